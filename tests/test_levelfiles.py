"""LevelDB: what packed blocks of tables hold is searched, and damage is said."""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Sequence

import pytest

from scanner.content.snappyfiles import crc32c, masked
from scanner.content.unfold import unfold
from scanner.content.words import Budget, Content, Fault, Room
from scanner.limits import Limits
from tests.test_content_formats import MARK, inner_bytes, opened, reasons
from tests.test_snappyfiles import snappy, varint

#: made by LevelDB 1.23 of 40 keys with the mark and a digit, packed by Snappy
REAL = """
gQ0gAAsdazAwAQEABQGIYSBtYXJrIHRoYXQgc29tZWJvZHkgcGFja2VkCjACCR0xAQIFKHIpABgxAgkdMgEDhikAGDICCR0zAQSGKQAYMwIJHT
QBBYYpABg0AgkdNQEGhikAGDUCCR02AQeGKQAYNgIJHTcBCIYpACEfCDgBCYYpACEfCDkBCoYpABwyAQodMTABC4YqACEgCDEBDIYpACEgCDIB
DYYpACEgCDMBDoYpACEgCDQBD4YpACEgCDUBEIYpAAAxQZMMMTYBEYYrAEFBCDcBEoYpACEhCDgBE4YpACEhCDkBFIYpABw1AQodMjABFYYqAC
EiCDEBFoYpAAAwZTgAF4YpAAAxZTgAGIYpACEgCDQBGYYpACEgCDUBGoYpACEgCDYBG4YpAEFBCDcBHIYpACEfCDgBHYYpACEfCDkBHoYpABwx
AQodMzABH4YqACEgCDEBIIYpAAAzQZQMMzIBIYYrACEiCDMBIoYpACEiCDQBI4YpACEiCDUBJIYpACEiCDYBJYYpAEFBCDcBJoYpACEhCDgBJ4
YpAEFBCDkBKIYpAAA0ASMskwIAACcFAAADAAAAAdUpvYkAAAAAAQAAAADA8qGwAAkDbAH/////////ALkDAAAAAAEAAAAA+xI1Ib4DCMsDFwAA
AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABX+4CLJHVH2w==
"""
VALUES = [MARK + b"%d" % number for number in range(40)]


def entries(*pairs: tuple[bytes, bytes]) -> bytes:
    """A block: keys and values, and a place to begin at."""
    out = b"".join(b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs)
    return out + struct.pack("<II", 0, 1)


def table(*blocks: Sequence[bytes], packed: bool = True) -> bytes:
    """A table of blocks of values."""
    out, index = b"", []

    def add(block: bytes) -> bytes:
        nonlocal out
        raw = (snappy(block) if packed else block) + bytes([packed])
        handle = varint(len(out)) + varint(len(raw) - 1)
        out += raw + struct.pack("<I", masked(crc32c(raw)))
        return handle

    for number, values in enumerate(blocks):
        index.append((b"%d" % number, add(entries(*((b"k%02d" % at, value) for at, value in enumerate(values))))))
    footer = add(entries()) + add(entries(*index))
    return out + footer.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")


def test_packed_blocks_of_tables_are_searched() -> None:
    """Every value of every block."""
    data = table(VALUES[:20], VALUES[20:])

    assert inner_bytes(data).count(MARK) == 40
    assert data.count(MARK) < 3
    assert reasons(data) == []


def test_a_table_of_a_program_is_searched() -> None:
    """Its checksums are those of the format."""
    data = base64.b64decode(REAL)

    assert inner_bytes(data).count(MARK) == 40
    assert reasons(data) == []


def test_plain_blocks_are_searched_where_they_lie() -> None:
    """There is nothing to do."""
    assert list(opened(table(VALUES, packed=False))) == []


@pytest.mark.parametrize("at", [10, -60, -48, -50])
def test_damage_to_a_table_is_a_gap(at: int) -> None:
    """In a block, in the index, in what tells where that lies."""
    data = bytearray(table(VALUES[:20], VALUES[20:]))
    data[at] ^= 0xFF

    assert "nested.damaged" in reasons(bytes(data))


def test_an_index_that_leads_out_of_the_file_is_a_gap() -> None:
    """What is there is searched."""
    data = table(VALUES)

    assert reasons(data[40:]) == ["nested.damaged"]
    assert reasons(data[-30:]) == ["nested.damaged"]
    assert reasons(data[-8:]) == ["nested.damaged"]


def test_a_block_of_another_method_is_a_gap() -> None:
    """As later formats with the same end may have."""
    raw = b"?" * 9 + b"\x07"
    block = raw + struct.pack("<I", masked(crc32c(raw)))
    index = entries((b"k", varint(0) + varint(9))) + b"\0"
    data = block + index + struct.pack("<I", masked(crc32c(index)))
    footer = varint(0) + varint(0) + varint(len(block)) + varint(len(index) - 1)

    assert reasons(data + footer.ljust(40, b"\0") + base64.b64decode(REAL)[-8:]) == ["nested.unknown"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [(b"NoCompression", []), (b"ZSTD", []), (b"Snappy", ["nested.unknown"]), (b"LZ4", ["nested.unknown"]),
     (None, ["nested.unknown"])],
)  # fmt: skip
def test_packed_blocks_of_rocksdb_are_a_gap(name: bytes | None, expected: list[str]) -> None:
    """A property tells how blocks are packed; of its name there is what differs from the one before."""
    compared = b"rocksdb.comparator", b"leveldb.BytewiseComparator"
    told = b"" if name is None else b"\x0c\x07" + varint(len(name)) + b"ression" + name
    properties = b"\0" + varint(len(compared[0])) + varint(len(compared[1])) + b"".join(compared) + told
    data = b"?" * 500 + properties + b"\0" * 60 + (0x88E241B785F4CFF7).to_bytes(8, "little")

    assert reasons(data) == expected


def told(kind: int, body: bytes) -> bytes:
    """A record of RocksDB that tells of the log itself."""
    body = bytes([kind]) + body
    return struct.pack("<IH", masked(crc32c(body)), len(body) - (5 if kind in (11, 131) else 1)) + body


def log(*records: bytes, reused: bool = False, out: bytes = b"") -> bytes:
    """A log of records behind others, cut where its blocks end."""
    lead = 11 if reused else 7
    for record in records:
        first = True
        while first or record:
            left = 32768 - len(out) % 32768
            if left < lead:
                out += bytes(left)
                continue
            part, record = record[: left - lead], record[left - lead :]
            kind = (1 if not record else 2) if first else (4 if not record else 3)
            body = bytes([kind + 4 * reused]) + (b"\7\0\0\0" if reused else b"") + part
            out += struct.pack("<IH", masked(crc32c(body)), len(part)) + body
            first = False
    return out


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("before", [*range(32730, 32768, 4), 30, 80_000])
def test_records_of_a_log_are_joined(before: int, reused: bool) -> None:
    """Wherever the end of a block cuts the value, or what is in front of it."""
    data = log(b"a first one", b"x" * before + MARK, b"y" * 40_000 + MARK, reused=reused)

    assert (data + inner_bytes(data)).count(MARK) >= 2
    assert inner_bytes(data).count(MARK) == (2 if before > 32768 - 80 else 1)
    assert reasons(data) == []


@pytest.mark.parametrize(
    ("before", "kind"), [*((before, kind) for before in (0, 1) for kind in (10, 11, 130, 131)), (1, 9), (1, 77)]
)
def test_what_a_log_tells_of_itself_hides_no_record(before: int, kind: int) -> None:
    """It is stepped over, whatever comes to be told."""
    lead = log(*[b"a first one"] * before) + told(kind, b"what it tells, in a few bytes")
    data = log(b"x" * 32_700 + MARK * 5, b"y" * 70_000, out=lead)

    assert inner_bytes(data).count(MARK) == 5
    assert reasons(data) == []


@pytest.mark.parametrize("size", [20, 80_000])
def test_a_log_that_packs_its_records_is_a_gap(size: int) -> None:
    """However short it is; a text with a tab there is none."""
    data = log(random.Random(1).randbytes(size), out=told(9, b"\7\0\0\0"))

    assert reasons(data) == ["nested.unknown"]
    assert list(opened(b"?" + data[1:])) == []


def test_a_log_that_is_damaged_is_joined_where_it_is_not() -> None:
    """A block costs only itself; a file of another kind is nothing."""
    data = bytearray(log(b"a first one", b"x" * 70_000 + MARK, b"y" * 60_000 + MARK))
    data[32768 + 6] = 9

    assert inner_bytes(bytes(data)).count(MARK) == 1
    assert list(opened(b"\0" + bytes(data))) == []
    assert list(opened(bytes(4) + bytes(data[4:]))) == []


def test_a_long_record_comes_in_pieces() -> None:
    """Each goes on where the one before ends, so that nothing is lost at the cut, and all of it is never held."""
    record, cuts = bytearray(3 << 20), range(32768 - 15 - 7, 3 << 20, 32768 - 7)
    for cut in cuts:
        record[cut - 9 : cut - 9 + len(MARK)] = MARK
    made = [bytes(each.data) for each in opened(log(b"a first", bytes(record))) if isinstance(each, Content)]

    assert b"\n".join(made).count(MARK) == len(cuts)
    assert max(map(len, made)) < 3 << 19


def test_a_log_of_whole_records_ends_where_the_time_does() -> None:
    """A million of them are joined to nothing, and take time."""
    data = log(*[b"x"] * 9000)
    found = unfold(Content(memoryview(data), "file", (0, len(data))), (), Room(Budget(Limits()), len(data), 0))

    assert [each.reason for each in found if isinstance(each, Fault)] == ["limit.time"]
