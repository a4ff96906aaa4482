"""What libraries of Java pack as streams is searched, and damage is said."""

from __future__ import annotations

import gzip
import math
import struct

import lz4.block
import pytest

from scanner.content.embedded import open_packed
from scanner.content.words import Budget, Content, Room
from scanner.limits import Limits
from tests.test_content_formats import MARK, marks, reasons
from tests.test_snappyfiles import snappy

TEXT = b"".join(MARK[at : at + 5] + b"|" for at in range(0, len(MARK), 5)) * 2 + MARK + b"and more " * 3000


def xerial(data: bytes, size: int = 9000) -> bytes:
    """A stream of snappy-java."""
    blocks = (snappy(data[at : at + size]) for at in range(0, len(data), size))
    return b"\x82SNAPPY\0" + struct.pack(">II", 1, 1) + b"".join(struct.pack(">I", len(each)) + each for each in blocks)


def blocks(data: bytes, size: int = 9000, end: bool = True) -> bytes:
    """A stream of lz4-java."""
    out = b""
    for piece in [data[at : at + size] for at in range(0, len(data), size)]:
        body = lz4.block.compress(piece, mode="high_compression", store_size=False)
        kind, body = (0x26, body) if len(body) < len(piece) else (0x16, piece)
        out += b"LZ4Block" + struct.pack("<BIII", kind, len(body), len(piece), 7) + body
    return out + (b"LZ4Block" + struct.pack("<BIII", 0x16, 0, 0, 0) if end else b"")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("snappy-java", xerial(TEXT)),
        ("snappy-java", xerial(b"another") + xerial(TEXT)),
        ("snappy-java", xerial(TEXT) + bytes(90)),
        ("lz4-java", blocks(TEXT)),
        ("lz4-java", blocks(b"another") + blocks(TEXT)),
        ("lz4-java", blocks(b"x") + blocks(TEXT, size=900)),
    ],
)
def test_streams_of_java_are_searched(kind: str, data: bytes) -> None:
    """All blocks, packed or not, of all streams."""
    assert MARK not in data
    assert marks(data) == [((), (kind,))]
    assert reasons(data) == []


@pytest.mark.parametrize(
    "data",
    [
        xerial(TEXT)[:-9],
        xerial(TEXT)[:14],
        blocks(TEXT, end=False),
        blocks(TEXT)[:-30],
        blocks(TEXT) + b"LZ4Block" + struct.pack("<BIII", 0x26, 9, 1 << 31, 0) + bytes(90),
        blocks(TEXT, end=False) + b"LZ4Block" + struct.pack("<BIII", 0x26, 9, 0, 0) + bytes(90),
        blocks(TEXT, end=False) + b"LZ4Block" + struct.pack("<BIII", 0x26, (1 << 31) - 1, 0, 0),
        xerial(TEXT)[:16] + bytes(3) + b"\7" + xerial(TEXT)[20:],
    ],
    ids=["cut", "cut in its head", "without its end", "cut in a block", "a large claim", "an end that holds something",
         "an end beyond the file", "damaged"],
)
def test_damage_to_streams_of_java_is_a_gap(data: bytes) -> None:
    """Nothing is lost without a word."""
    assert reasons(data) == ["nested.damaged"]


def test_what_an_end_claims_hides_nothing_behind_it() -> None:
    """What it was made of lies in the file, and what is packed behind it is searched as well."""
    end = b"LZ4Block" + struct.pack("<BIII", 0x26, (1 << 31) - 1, 0, 0)
    data = b"in front " + blocks(MARK + b"and more " * 90, end=False) + end + gzip.compress(MARK * 9) + b"behind it"
    starts = [data.index(magic) for magic in (b"LZ4Block", b"\x1f\x8b")]
    content, room = Content(memoryview(data), "file", (0, len(data))), Room(Budget(Limits()), len(data), math.inf)
    made = [each for each in open_packed(content, starts, room) if isinstance(each, Content)]

    assert [each.encoding for each in made] == [("lz4-java",), ("gzip",)]
    assert all(sum(each.stored) <= len(data) for each in made)


def test_a_text_about_it_is_no_stream() -> None:
    """Which a space may follow."""
    assert reasons(b"LZ4Block streams are what a library of Java writes, and this is a text\n") == []
