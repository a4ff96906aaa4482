"""LZO: what its blocks hold is searched, and damage is said."""

from __future__ import annotations

import base64
import random
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.content.lzofiles import unlzo
from scanner.content.words import Content, Fault
from tests.builders import tar_of
from tests.test_content_formats import MARK, marks, opened, reasons

#: made by lzop 1.04 with `-n -9`, of the mark and the lines of `seq 1 5000`, 1200 bytes in all
REAL = """
iUxaTwANChoKEEAgoAlAAwkDAAABAACBpF4L4QAAAAAAAmx6PewEwQAABLAAAAOng9rCr2FhIG1hcmsgdGhhdCBzb21lYm9keSBwYWNrZWQKMQ
oyCjMKNAo1CjYKNwo4CjkKMTAKMTEKMTIKMTMKMTQKMTUKMTYKMTcKMTgKMTkKMjAKMk0GMgkAMwkANAkANQkANgkANwkAOAkAOQUSMAsAMQoz
SQozCQA0CQA1CQA2CQA3CQA4CQA5BRkwCQAxCwAyCjRFDjQJADUJADYJADcJADgJADkFIDAJADEJADILADMKNUESNQkANgkANwkAOAkAOQUnMA
kAMQkAMgkAMwsANAo2XRU2CQA3CQA4CQA5BS4wCQAxCQAyCQAzCQA0CwA1CjdZGTcJADgJADkFNTAJADEJADIJADMJADQJADULADYKOFUdOAkA
OQU8MAkAMQkAMgkAMwkANAkANQkANgsANwo5UCF0IVkhMF0hMEEiMEUiMEkiME0iMFEiMFUiMFkiMFwEmCZcBGAnZCdoJ2wncCd0J3gnXScxQi
gxMnwrXARNKDFRKDFVKDFZKDFdKDFBKTFFKTFJKTFOKTEzYDFcBFkpMV0pMUEqMUUqMUkqMU0qMVEqMVUqMVoqMTRkNlwERSsxSSsxTSsxUSsx
VSsxWSsxXSsxQSwxRiwxNWg7XARRLDFVLDFZLDFdLDFBLTFFLTFJLTFNLTFSLTE2bEBcBF0tMUEuMUUuMUkuMU0uMVEuMVUuMVkuMV4uMTdwRV
wESS8xTS8xUS8xVS8xWS8xXS8xQTAxRTAxSjAxOHRKXARVMDFZMDFdMDFBMTFFMTFJMTFNMTFRMTFWMTE5eE98T0BQXTEyXTEyXTEyXTEyXTEy
XTEyXTEyXTEyXjEyMWBVXARdMTJdMTJdMTJdMTJdMTJdMTJdMTJ8WWBahFpcBGxacFp0WnhafFpgW10xMl0xMl4xMjNoX1wEXTEyXTEyXTEyXT
EyXTEyXTEyXTEyXTEyXjEyNGxkXARdMTJdMTJdMTJdMTJdMTJdMTJdMTJdMTJeMTI1cGlcBF0xMl0xMl0xMl0xMl0xMl0xMl0xMl0xMl4xMjZ0
blwEXTEyXTEyXTEyXTEyXTEyXTEyXTEyXTEyXjEyN3hzXARdMTJdMTJdMTJdMTJdMTJdMTJdMTJdMTJeMTI4fHhcBF0xMl0xMl0xMl0xMl0xMl
0xMl0xMl0xMl4xMjlgfmR+SH5dMTNdMTNdMTNdMTNdMTNdMTNdMTNdMTNeMTMxaINcBF0xM10xM10xM10xM10xM10xM10xM10xM1wxEQAAAAAA
AA==
"""
TEXT = b"".join(b"%d %x\n" % (at, at * at) for at in range(3000)) + MARK * 3
NOISE = random.Random(1).randbytes(70_000)


def long(base: int, length: int) -> bytes:
    """What an instruction says of a length, and what follows it."""
    if length <= base:
        return bytes([length])
    more, rest = divmod(length - base - 1, 255)
    return bytes(1 + more) + bytes([rest + 1])


def literals(data: bytes, first: bool) -> bytes:
    """A run that has an instruction of its own."""
    if first and len(data) <= 238:
        return bytes([len(data) + 17]) + data
    return long(15, len(data) - 3) + data


def lzo(data: bytes) -> bytes:
    """A block, whose matches are told by each of the instructions where it can."""
    out, run, at, known, open_ = bytearray(), 0, 0, dict[bytes, int](), 0
    while at < len(data):
        key = data[at : at + 4]
        found = known.get(key, -1)
        known[key] = at
        distance = at - found
        if found < 0 or distance > 0xBFFF or len(key) < 4:
            at += 1
            continue
        length = 4
        while at + length < len(data) and data[found + length] == data[at + length] and length < 3000:
            length += 1
        _pend(out, data[run:at], open_)
        # the two lowest bits that say how many literals follow are set by `_pend`
        if length <= 8 and distance <= 2048:
            low, high = (distance - 1) & 7, (distance - 1) >> 3
            code = 0x40 | low << 2 if length == 4 else 0x80 | length - 5 << 5 | low << 2
            out += bytes([code | (0x20 if length == 4 else 0), high])
            open_ = len(out) - 2
        elif distance <= 0x4000:
            told = long(31, length - 2)
            out += bytes([0x20 | told[0]]) + told[1:] + struct.pack("<H", distance - 1 << 2)
            open_ = len(out) - 2
        else:
            told, far = long(7, length - 2), distance - 0x4000
            out += bytes([0x10 | (far >> 14) << 3 | told[0]]) + told[1:] + struct.pack("<H", (far & 0x3FFF) << 2)
            open_ = len(out) - 2
        at += length
        run = at
    _pend(out, data[run:], open_)
    return bytes(out) + b"\x11\0\0"


def _pend(out: bytearray, data: bytes, last: int) -> None:
    """The literals in front of a match: a few of them are told by the match before."""
    if out and len(data) < 4:
        out[last] |= len(data)
        out += data
    elif data:
        out += literals(data, first=not out)


def lzop(data: bytes, block: int = 1 << 14, flags: int = 0x303, version: int = 0x1040) -> bytes:
    """A file of lzop, with any checksums."""
    new = version >= 0x940
    head = struct.pack(">HH", version, 0x20A0) + (struct.pack(">HBB", 0x940, 3, 9) if new else b"\3")
    head += struct.pack(">III", flags, 0o100644, 0) + (bytes(4) if new else b"") + b"\4name" + bytes(4)
    out = b"\x89LZO\0\r\n\x1a\n" + head + (struct.pack(">I", 3) + b"abc" + bytes(4) if flags & 0x40 else b"")
    for at in range(0, len(data), block):
        plain = data[at : at + block]
        packed = lzo(plain)
        stored = packed if len(packed) < len(plain) else plain
        sums = b"".join(struct.pack(">I", check(plain)) for bit, check in ((1, zlib.adler32), (256, zlib.crc32))
                        if flags & bit)  # fmt: skip
        if stored is packed:
            sums += bytes(4 * bool(flags & 2) + 4 * bool(flags & 512))
        out += struct.pack(">II", len(plain), len(stored)) + sums + stored
    return out + bytes(4)


def plain(data: bytes) -> bytes:
    """What comes out of a file."""
    return b"".join(bytes(inner.data) for inner in opened(data) if isinstance(inner, Content))


@pytest.mark.parametrize("data", [b"x", MARK, TEXT, NOISE, bytes(200_000), TEXT + NOISE[:20_000] + TEXT])
@pytest.mark.parametrize("flags", [0, 1, 0x303, 0x43])
@pytest.mark.parametrize("version", [0x900, 0x1040])
def test_files_of_lzop_are_searched(version: int, flags: int, data: bytes) -> None:
    """Packed and stored blocks, with and without checksums, with headers of every form."""
    packed = lzop(data, 1 << 16, flags, version)

    assert plain(packed) == data
    assert reasons(packed) == []


def test_a_file_of_the_program_is_searched() -> None:
    """As the usual tool makes it."""
    assert plain(base64.b64decode(REAL)).startswith(MARK + b"1\n2\n3\n")
    assert len(plain(base64.b64decode(REAL))) == 1200
    assert reasons(base64.b64decode(REAL)) == []


def test_members_follow_each_other_and_archives_are_opened() -> None:
    """And the name loses its ending."""
    assert plain(lzop(TEXT) + lzop(MARK)) == TEXT + MARK
    assert marks(lzop(tar_of({"a": MARK})), "old.tar.lzo") == [(("a",), ("lzo",))]
    [inner] = [inner for inner in opened(lzop(MARK), "notes.lzo") if isinstance(inner, Content)]
    assert inner.name == "notes"


@pytest.mark.parametrize("how", ["cut", "sum", "code", "size", "head", "filter", "end"])
def test_damage_to_lzo_is_a_gap(how: str) -> None:
    """What came out before is searched."""
    whole = lzop(TEXT)
    start = whole.index(b"name") + 8
    damaged = {
        "cut": whole[:-900],
        "sum": whole[: start + 8] + b"oops" + whole[start + 12 :],
        "code": whole[:400] + b"\x10\0\0\0\xff\xff" * 20 + whole[520:],
        "size": whole[:start] + b"\xff\xff\xff\xff" + whole[start + 4 :],
        "head": whole[:30],
        "filter": lzop(TEXT, flags=0x800),
        "end": whole[:-4],
    }[how]

    assert reasons(damaged) == ["nested.damaged"]
    assert how in ("head", "filter") or plain(damaged)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0", b"\x11", b"\x11\0", b"\xff", b"\x12", b"\x15aaaa", b"\0" * 99, b"\x15aaaa\x40\0", b"\x15aaaa\x20",
        b"\x15aaaa\x20" + bytes(3000) + b"\1\0\0", b"\x15aaaa\x20\xff\xff\xff", b"\x12aa\x0c\xff",
    ],
)  # fmt: skip
def test_blocks_that_cannot_be_are_told(data: bytes) -> None:
    """They end too early, lead in front of their start or hold too much; no more comes out than may."""
    out, sound = unlzo(data, 1000)

    assert not sound
    assert len(out) <= 1000


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=300), st.integers(1, 40)), max_size=30))
def test_what_was_packed_comes_out(parts: list[bytes | int]) -> None:
    """Whatever it was, with repetitions near and far."""
    data = b"some"
    for part in parts:
        data += part if isinstance(part, bytes) else data[-(len(data) // part) :][:5000]

    assert unlzo(lzo(data), len(data)) == (data, True)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.sampled_from([b"", lzop(MARK)[:34], lzop(MARK * 30)[:60]]))
def test_a_file_of_lzop_may_be_anything(data: bytes, start: bytes) -> None:
    """Nothing is raised."""
    for inner in opened(b"\x89LZO\0\r\n\x1a\n" + start[9:] + data):
        assert isinstance(inner, Content | Fault)
