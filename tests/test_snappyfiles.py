"""Snappy: what blocks and frames hold is searched, and damage is said."""

from __future__ import annotations

import base64
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.content.snappyfiles import MAGIC, crc32c, masked, unsnappy
from tests.test_content_formats import MARK, marks, reasons

#: made by cramjam 2.13.0 of the mark 30 times
REAL = (
    "/wYAAHNOYVBwWQBKAABk3/1VyAZsYSBtYXJrIHRoYXQgc29tZWJvZHkgcGFja2VkCv4cAP4cAP4cAP4c"
    "AP4cAP4cAP4cAP4cAP4cAP4cAP4cAP4cAK4cAA=="
)
TEXT = b"".join(b"%d %x\n" % (at, at * at) for at in range(3000)) + MARK * 3
NOISE = random.Random(1).randbytes(70_000)


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _literal(data: bytes) -> bytes:
    if not data:
        return b""
    if len(data) <= 60:
        return bytes([len(data) - 1 << 2]) + data
    size = (len(data) - 1).bit_length() + 7 >> 3
    return bytes([59 + size << 2]) + (len(data) - 1).to_bytes(size, "little") + data


def snappy(data: bytes) -> bytes:
    """A block, whose copies are of each kind where they can be."""
    out, run, at, known = varint(len(data)), 0, 0, dict[bytes, int]()
    while at < len(data):
        key = data[at : at + 4]
        found = known.get(key, -1)
        known[key] = at
        if found < 0 or len(key) < 4:
            at += 1
            continue
        length, distance = 4, at - found
        while at + length < len(data) and length < 64 and data[found + length] == data[at + length]:
            length += 1
        out += _literal(data[run:at])
        if length < 12 and distance < 2048:
            out += bytes([1 | length - 4 << 2 | distance >> 8 << 5, distance & 0xFF])
        elif distance < 65536:
            out += bytes([2 | length - 1 << 2]) + struct.pack("<H", distance)
        else:
            out += bytes([3 | length - 1 << 2]) + struct.pack("<I", distance)
        at = run = at + length
    return out + _literal(data[run:])


def framed(data: bytes, size: int = 65536, packed: bool = True) -> bytes:
    """A file of chunks."""
    out = MAGIC
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        body = struct.pack("<I", masked(crc32c(piece))) + (snappy(piece) if packed else piece)
        out += struct.pack("<I", len(body) << 8 | (not packed)) + body
    return out


def test_the_checksum_is_that_of_its_standard() -> None:
    """RFC 3720 section B.4 has this one."""
    assert crc32c(bytes(32)) == 0x8A9136AA


@pytest.mark.parametrize("data", [b"", b"x", TEXT, TEXT + NOISE + TEXT, b"ab" * 9000, bytes(300_000)])
def test_blocks_come_back(data: bytes) -> None:
    """Literals and copies of all kinds, copies of themselves too."""
    assert unsnappy(snappy(data)) == (data, True)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 255))
def test_no_block_raises_or_grows(data: bytes, at: int, byte: int) -> None:
    """Whatever the bytes are, no more comes out than may."""
    packed = bytearray(snappy(data * 3))
    packed[at % len(packed)] = byte

    plain, _ = unsnappy(bytes(packed), 500)

    assert len(plain) <= 500


def test_a_file_of_a_program_is_searched() -> None:
    """Its chunks have checksums."""
    data = base64.b64decode(REAL)

    assert marks(data) == [((), ("snappy",))]
    assert reasons(data) == []


@pytest.mark.parametrize(
    "data",
    [
        framed(TEXT, 5000),
        framed(TEXT, packed=False),
        framed(TEXT, 5000) + MAGIC + b"\xfe\3\0\0abc" + b"\x80\1\0\0x" + framed(TEXT)[10:],
    ],
    ids=["packed", "plain", "with padding and more"],
)
def test_files_of_snappy_are_searched(data: bytes) -> None:
    """All chunks, however they are kept."""
    assert marks(data) == [((), ("snappy",))]
    assert reasons(data) == []


@pytest.mark.parametrize(
    "data",
    [
        framed(TEXT, 5000)[:-20],
        framed(TEXT) + b"\x02\1\0\0x",
        framed(TEXT)[:14] + b"\0\0\0\0" + framed(TEXT)[18:],
    ],
    ids=["cut off", "an unknown chunk", "a wrong checksum"],
)
def test_damage_to_snappy_is_a_gap(data: bytes) -> None:
    """What comes out is searched."""
    assert reasons(data) == ["nested.damaged"]
