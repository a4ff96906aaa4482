"""What PostgreSQL packs is searched: tables of its dumps, long values of its data directory."""

from __future__ import annotations

import random
import struct
import time
import zlib

import lz4.block
import lz4.frame
import pytest
import zstandard

from scanner.content.postgresfiles import open_table, unpglz
from scanner.content.words import Budget, Content, Fault, Room, Stop
from scanner.limits import Limits
from tests.test_content_formats import MARK, opened

FILLER = b"".join(b"%x\tand a row of it\n" % number**9 for number in range(9999, 11999))
ROWS = FILLER + MARK
LZ4_ROWS = b"".join(MARK[at : at + 5] + b"\n" for at in range(0, len(MARK), 5)) * 2 + MARK  # nothing of it as it is


def number(value: int) -> bytes:
    """A number as an archive stores it."""
    return b"\0" + struct.pack("<I", value)


def chunks(data: bytes, size: int = 4096) -> bytes:
    """A stream in chunks, each behind its length, and the length that ends them."""
    return b"".join(number(len(data[at : at + size])) + data[at : at + size] for at in range(0, len(data), size)) + (
        number(0)
    )


def dump(*tables: bytes) -> bytes:
    """A dump in the custom format; each table is what its chunks are."""
    head = b"PGDMP\1\x0e\0\4\x08\1" + number(1) + number(4) + b"seed" + bytes(60)
    return head + b"".join(b"\1" + number(3300 + at) + table for at, table in enumerate(tables))


def held(data: bytes) -> list[tuple[tuple[str, ...], bytes]]:
    """Encoding and bytes of each content in *data* that has the mark."""
    found = [each for each in opened(data) if isinstance(each, Content)]
    return [(each.encoding, bytes(each.data)) for each in found if MARK in bytes(each.data)]


def reasons(data: bytes) -> list[str]:
    """Why something in *data* was not looked at."""
    return [each.reason for each in opened(data) if isinstance(each, Fault)]


@pytest.mark.parametrize(
    ("kind", "stream", "rows"),
    [
        ("zlib", zlib.compress(ROWS), ROWS),
        ("zlib", zlib.compress(ROWS, 9), ROWS),
        ("zstd", zstandard.ZstdCompressor().compress(ROWS), ROWS),
        ("lz4", lz4.frame.compress(LZ4_ROWS), LZ4_ROWS),
    ],
)
def test_tables_of_a_dump_are_searched(kind: str, stream: bytes, rows: bytes) -> None:
    """The lengths of chunks are taken out of a table's stream, which they cut in two everywhere."""
    data = dump(chunks(zlib.compress(b"another table")), chunks(stream, 50), chunks(zlib.compress(b"a third")))

    assert held(data) == [(("pg_dump", kind), rows)]
    assert reasons(data) == []


def test_large_objects_of_a_dump_are_searched() -> None:
    """They follow each other behind one number, each with its own, until one that is none."""
    data = dump() + b"\3" + number(3399) + number(7) + chunks(zlib.compress(b"small")) + number(8) + chunks(
        zlib.compress(ROWS)) + number(0)  # fmt: skip

    assert held(data) == [(("pg_dump", "zlib"), ROWS)]


def test_plain_tables_of_a_dump_are_searched_where_they_lie() -> None:
    """Nothing is made of them."""
    assert list(opened(dump(number(len(MARK)) + MARK + number(0)))) == []


@pytest.mark.parametrize("cut", [3, 9, 4096, 9000])
def test_a_dump_that_is_cut_off_is_a_gap(cut: int) -> None:
    """Wherever it ends, and what is there is searched."""
    data = dump(chunks(zlib.compress(MARK + FILLER)))[:-cut]

    assert [plain[: len(MARK)] for _, plain in held(data)] == [MARK]
    assert "nested.damaged" in reasons(data)


def test_a_damaged_table_of_a_dump_costs_only_itself() -> None:
    """A length that leads nowhere ends a table, and not those behind it."""
    first = bytearray(chunks(zlib.compress(FILLER)))
    first[4096 + 5] = 0xFF
    data = dump(bytes(first), chunks(zlib.compress(ROWS)))

    assert held(data) == [(("pg_dump", "zlib"), ROWS)]
    assert "nested.damaged" in reasons(data)


def pglz(data: bytes) -> bytes:
    """The bytes packed as PostgreSQL does; whatever has been there before is referred to, four bytes at a time."""
    items: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        back = data.rfind(data[at : at + 4], max(0, at - 4000), at)
        if back >= 0 and len(data) - at >= 4:
            items.append((1, bytes([(at - back) >> 4 & 0xF0 | 1, (at - back) & 0xFF])))
            at += 4
        else:
            items.append((0, data[at : at + 1]))
            at += 1
    groups = [items[at : at + 8] for at in range(0, len(items), 8)]
    return b"".join(
        bytes([sum(kind << bit for bit, (kind, _) in enumerate(group))]) + b"".join(part for _, part in group)
        for group in groups
    )


def packed(data: bytes, method: int = 0) -> bytes:
    """A packed value behind the length of what comes out of it."""
    body = pglz(data) if not method else lz4.block.compress(data, mode="high_compression", store_size=False)
    return struct.pack("<I", len(data) | method << 30) + body


def row(body: bytes, columns: int = 2) -> bytes:
    """A row of a table."""
    return struct.pack("<IIIHHHHHB", 700, 0, 0, 0, 0, 1, columns, 0x0802, 24) + b"\0" + body


def inline(value: bytes) -> bytes:
    """A row of a number and of a packed value behind its length."""
    return row(struct.pack("<II", 5, (len(value) + 4) << 2 | 2) + value)


def chunked(value: bytes, number: int = 16400, size: int = 1996) -> list[bytes]:
    """A value as rows of the table beside its own."""
    parts = [value[at : at + size] for at in range(0, len(value), size)]
    heads = [struct.pack("<I", (len(part) + 4) << 2) if len(part) > 126 else bytes([(len(part) + 1) << 1 | 1])
             for part in parts]  # fmt: skip
    return [row(struct.pack("<II", number, at) + heads[at] + part, 3) for at, part in enumerate(parts)]


def heap(*rows: bytes) -> bytes:
    """A file of a table; rows fill its pages from their ends."""
    pages, page, pointers = [], b"", b""
    for each in (*rows, b""):
        each += bytes(-len(each) % 8)
        if not each or 24 + len(pointers) + 4 + len(page) + len(each) > 8192:
            upper = 8192 - len(page)
            head = struct.pack("<QHHHHHHI", 1 << 24, 0, 0, 24 + len(pointers), upper, 8192, 0x2004, 0)
            pages.append(head + pointers + bytes(upper - 24 - len(pointers)) + page)
            page = pointers = b""
        page = each + page
        pointers += struct.pack("<I", 8192 - len(page) | 1 << 15 | len(each) << 17)
    return b"".join(pages)


SPLIT = b"".join(MARK[at : at + 5] + b"|" for at in range(0, len(MARK), 5)) + MARK
LONG = FILLER[:9000] + SPLIT


@pytest.mark.parametrize(
    ("kind", "rows", "plain"),
    [
        ("pglz", [inline(packed(SPLIT * 9))], SPLIT * 9),
        ("lz4", [inline(packed(SPLIT * 9, 1))], SPLIT * 9),
        ("pglz", chunked(packed(LONG)), LONG),
        ("lz4", chunked(packed(LONG, 1)), LONG),
        ("pglz", chunked(packed(SPLIT * 9)), SPLIT * 9),
        ("toast", chunked(b"x" * (1996 - 9) + MARK), b"x" * (1996 - 9) + MARK),
        ("pglz", chunked(packed(LONG))[::-1], LONG),
    ],
)
def test_long_values_of_tables_are_searched(kind: str, rows: list[bytes], plain: bytes) -> None:
    """Packed within a row or beside it, and in chunks, in whatever order these lie."""
    others = chunked(packed(b"something else " * 300), 16398)
    data = heap(row(b"a plain row"), *others[:1], *rows, *others[1:], inline(packed(b"nothing " * 90)))

    [(encoding, found)] = held(data)

    assert encoding == (kind,)
    assert plain in found
    assert reasons(data) == []


def test_a_value_of_which_chunks_are_missing_gives_what_is_there() -> None:
    """Rows of a table that was being cleaned up."""
    rows = chunked(MARK + FILLER[:9000])

    assert [encoding for encoding, _ in held(heap(*rows[:2], *rows[3:]))] == [("toast",)]
    assert held(heap(*rows[1:])) == []


def noise(size: int) -> bytes:
    """Bytes that no packer makes shorter."""
    return random.Random(2).randbytes(size)


@pytest.mark.parametrize("method", [0, 1])
@pytest.mark.parametrize("gone", [slice(1, 2), slice(1, 3), slice(-1, None)])
def test_a_packed_value_of_which_chunks_are_missing_is_a_gap(method: int, gone: slice) -> None:
    """Nothing of it lies there as it is; a plain one is searched where it lies."""
    rows = chunked(packed(noise(8000) + SPLIT * 90, method))
    plain = chunked(MARK + FILLER[:9000], 16401)
    del rows[gone], plain[gone]

    assert reasons(heap(*plain)) == []
    assert reasons(heap(*rows, *plain)) == ["nested.damaged"]


def test_a_value_that_is_too_large_is_a_gap_and_costs_only_itself() -> None:
    """Nothing is made for it, whatever it tells of its size."""
    large = struct.pack("<I", (65 << 20) | 1 << 30) + lz4.block.compress(bytes(65 << 20), store_size=False)
    data = heap(*chunked(large), *chunked(packed(LONG, 1), 16401))

    assert [encoding for encoding, _ in held(data)] == [("lz4",)]
    assert reasons(data) == ["nested.bytes"]


def test_a_long_text_is_no_packed_value_that_is_too_large() -> None:
    """Its first letters are those of such a size, but what follows refers to nothing."""
    data = heap(*chunked(b"data" + FILLER * 70 + MARK))

    assert [encoding for encoding, _ in held(data)] == [("toast",)]
    assert reasons(data) == []


@pytest.mark.parametrize("method", [0, 1])
def test_what_comes_out_of_a_value_must_fit_before_it_is_made(method: int) -> None:
    """The limit is that of all packed files of a layer."""
    data = heap(*chunked(packed(noise(9000) + bytes(300_000), method)))
    limits = Limits(nested_bytes=100_000)

    assert [each.reason for each in opened(data, limits=limits) if isinstance(each, Fault)] == ["nested.bytes"]
    assert not [each for each in opened(data, limits=limits) if isinstance(each, Content)]


def test_tries_that_fail_take_time_and_count() -> None:
    """Every fourth byte may begin a value that ends with the page, and comes out nearly."""
    heads = b"".join(struct.pack("<II", (8192 - at) << 2 | 2, 1 << 20) + bytes(4) for at in range(24, 4224, 12))
    page = struct.pack("<QHHHHHHI", 1 << 24, 0, 0, 24, 24, 8192, 0x2004, 0) + heads + bytes(2000)
    page += b"\x7f" * (8192 - len(page))
    late = Room(Budget(Limits()), len(page), time.monotonic() - 1)
    soon = Room(Budget(Limits()), len(page), time.monotonic() + 60)

    [fault] = open_table(Content(memoryview(page), "", (0, len(page))), late)
    assert isinstance(fault, Fault)
    assert fault.reason == "limit.time"
    assert not list(open_table(Content(memoryview(page), "", (0, len(page))), soon))
    assert soon.bytes > 100_000


def test_rows_of_long_values_are_read_by_the_clock() -> None:
    """Also while none of them is whole."""
    data = heap(*(each for number in range(9) for each in chunked(FILLER[:9000], number)[1:]))

    [fault] = open_table(Content(memoryview(data), "", (0, len(data))), Room(Budget(Limits()), 9, time.monotonic() - 1))
    assert isinstance(fault, Fault)
    assert fault.reason == "limit.time"


def test_rows_that_claim_the_same_bytes_are_a_gap() -> None:
    """What is deleted may be overwritten from any byte on, but not again and again."""
    heads = b"".join(row(struct.pack("<III", 7, at, 2000 << 2), 3) for at in range(200))
    whole = chunked(MARK + FILLER[:9000])
    page = struct.pack("<QHHHHHHI", 1 << 24, 0, 0, 24, 24, 8192, 0x2004, 0) + heads
    page += bytes(8192 - len(page))
    [first, *_] = chunked(FILLER[:9000], 3)
    overlaid = [first[:700] + each for each in whole]

    assert reasons(page) == ["nested.damaged"]
    assert sum(len(each.data) for each in opened(page) if isinstance(each, Content)) < 5 * len(page)
    assert [encoding for encoding, _ in held(heap(*overlaid))] == [("toast",)]
    assert reasons(heap(*overlaid)) == []


def test_values_that_wait_for_chunks_are_counted() -> None:
    """Each takes memory."""
    rows = heap(*(row(struct.pack("<II", number, 1) + b"\x07xy", 3) for number in range(300)))

    limits = Limits(nested_entries=200)

    assert reasons(rows) == []
    assert [each.reason for each in opened(rows, limits=limits) if isinstance(each, Fault)] == ["nested.entries"]


def test_rows_that_only_look_like_long_values_are_nothing() -> None:
    """Noise, and numbers that could be lengths."""
    chance = random.Random(1)
    rows = [row(struct.pack("<6I", *(chance.randrange(300) << 2 | 2 for _ in range(6)))) for _ in range(200)]

    assert list(opened(heap(*rows, *(row(chance.randbytes(3000)) for _ in range(9))))) == []


def test_the_unpacker_never_raises_but_for_a_limit() -> None:
    """It gives the bytes of the size that was told, or nothing."""
    chance = random.Random(1)
    room = Room(Budget(Limits()), 1000, time.monotonic() + 60)
    for _ in range(3000):
        size = chance.randrange(200)
        plain = unpglz(chance.randbytes(chance.randrange(60)), size, room)
        assert plain is None or len(plain) == size
    with pytest.raises(Stop):
        unpglz(bytes(80_000), 1 << 20, Room(Budget(Limits()), 10, time.monotonic() - 1))
