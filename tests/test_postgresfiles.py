"""What PostgreSQL packs is searched: tables of its dumps."""

from __future__ import annotations

import struct
import zlib

import lz4.frame
import pytest
import zstandard

from scanner.content.words import Content, Fault
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
