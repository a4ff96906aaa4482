"""Parquet: what is in packed pages is searched, and what cannot be is said."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import brotli
import lz4.block
import pytest

from scanner.content import parquetfiles
from scanner.content.snappyfiles import unsnappy
from scanner.content.words import Content, Fault
from scanner.limits import Limits
from tests.test_content_formats import MARK, inner_bytes, opened, reasons
from tests.test_snappyfiles import snappy, varint

#: made by pyarrow 26.0.1: two columns, the mark and a digit 40 times in one, packed by Snappy, pages of the second kind
REAL = """
UEFSMRUGFawKFbgBFdX+nt0HTBUoFQAVKBUAFQQVABEcAAAAKAGUBYAdAAAAYSBtYXJrIHRoYXQgc29tZWJvZHkgcGFja2VkCjB+IQAAMX4hAA
AyfiEAADN+IQAANH4hAAA1fiEAADZ+IQD+5wD+5wD+5wD+5wD+5wD+5wAy5wAVBhXEAhW6ARWc4c/jC0wVKBUAFSgVABUEFQARHAAAACgBoAEA
AA0BAAENCAACDQgAAw0IAAQNCAAFDQgABg0IAAcNCAAIDQgACQ0IAAoNCAALDQgADA0IAA0NCAAODQgADw0IABANCAARDQg8EgAAAAAAAAATAA
AAAAAAABUGFawKFbgBFeyf+oUCTBUoFQAVKBUAFQQVABEcAAAAKAGUBYAdAAAAYSBtYXJrIHRoYXQgc29tZWJvZHkgcGFja2VkCjZ+IQAAMH4h
AAAxfiEAADJ+IQAAM34hAAA0fiEAADV+IQD+5wD+5wD+5wD+5wD+5wD+5wAy5wAVBhXEAhXCARWbqb2qBUwVKBUAFSgVABUEFQARHAAAACgBoA
EEFAAJAQAVCQcEABYNCAAXDQgAGA0IABkNCAAaDQgAGw0IABwNCAQdAAkBAB4JBwQAHw0IACANCAAhDQgAIg0IACMNCAAkDQgAJQ0IPCYAAAAA
AAAAJwAAAAAAAAAVBBk8NQAYBnNjaGVtYRUEABUMJQIYAWElAEwcAAAAFQQlAhgBYgAWUBksGSwmABwVDBklBgAZGAFhFQIWKBbsChb4ASYISR
wVABUAFQIAPBaICRkGGSYAKAAAACYAHBUEGSUGABkYAWIVAhYoFoQDFvoBJoACSRwVABUAFQIAPCkGGSYAKAAAABbwDRYoJggW8gMAGSwmABwV
DBklBgAZGAFhFQIWKBbsChb4ASb6A0kcFQAVABUCADwWiAkZBhkmACgAAAAmABwVBBklBgAZGAFiFQIWKBaEAxaCAibyBUkcFQAVABUCADwpBh
kmACgAAAAW8A0WKCb6Axb6AwAoIHBhcnF1ZXQtY3BwLWFycm93IHZlcnNpb24gMjYuMC4xGSwcAAAcAAAAKgEAAFBBUjE=
"""
VALUES = [MARK + b"%d" % number for number in range(40)]
CODECS = {
    1: snappy,
    4: brotli.compress,
    7: lambda data: lz4.block.compress(data, store_size=False),
}

Field = tuple[int, int, bytes]  # number, kind and value in Thrift's compact protocol


def struct_of(*fields: Field) -> bytes:
    """A structure."""
    out, before = b"", 0
    for number, kind, value in fields:
        out += bytes([number - before << 4 | kind]) + value
        before = number
    return out + b"\0"


def whole(number: int, value: int) -> Field:
    """A number of 64 bits."""
    return number, 6, varint(value << 1 ^ value >> 63)


def listed(number: int, items: Sequence[bytes], kind: int = 12) -> Field:
    """A list, of structures."""
    size = bytes([len(items) << 4 | kind]) if len(items) < 15 else bytes([0xF0 | kind]) + varint(len(items))
    return number, 9, size + b"".join(items)


@dataclass(frozen=True)
class Table:
    """A table of one column; each group of values is a page."""

    pages: Sequence[Sequence[bytes]] = (VALUES[:20], VALUES[20:])
    codec: int = 1
    second: bool = False
    check: bool = True
    dictionary: bool = False

    def page(self, values: Sequence[bytes], kind: int) -> bytes:
        """Header and bytes."""
        plain = b"".join(struct.pack("<I", len(value)) + value for value in values)
        levels = b"\x02\x01\x07" if self.second else b""
        packed = levels + CODECS.get(self.codec, bytes)(plain)
        about = [(1, 5, varint(kind << 1)), (2, 5, varint(len(levels + plain) << 1)), (3, 5, varint(len(packed) << 1))]
        if self.check:
            checksum = zlib.crc32(packed)
            signed = checksum - (1 << 32) if checksum >> 31 else checksum
            about.append((4, 5, varint(signed << 1 if signed >= 0 else -signed * 2 - 1)))
        count = whole(1, len(values))
        if kind == 3:
            about.append((8, 12, struct_of(count, whole(5, 2), whole(6, 1), (7, 1, b""))))
        else:
            about.append((7 if kind == 2 else 5, 12, struct_of(count)))
        return struct_of(*about) + packed

    def build(self) -> bytes:
        """The file."""
        kinds = [3 if self.second else 0] * len(self.pages)
        if self.dictionary:
            kinds[0] = 2
        pages = [self.page(values, kind) for values, kind in zip(self.pages, kinds, strict=True)]
        size = sum(map(len, pages))
        first = 4 + len(pages[0]) if self.dictionary else 4
        column = [(1, 5, varint(12)), listed(2, [varint(0)], 5), listed(3, [b"\1a"], 8), whole(4, self.codec)]
        column += [whole(5, 40), whole(6, size), whole(7, size), whole(9, first)]
        column += [whole(11, 4)] if self.dictionary else []
        chunk = struct_of(whole(2, 0), (3, 12, struct_of(*column)))
        told = (5, 11, varint(1) + b"\x88\1k\1v")
        group = struct_of(listed(1, [chunk]), whole(2, size), whole(3, 40))
        footer = struct_of(whole(1, 2), listed(2, [struct_of((4, 8, b"\1a"))]), whole(3, 40), listed(4, [group]), told)
        return b"PAR1" + b"".join(pages) + footer + struct.pack("<I", len(footer)) + b"PAR1"


FORMS = {
    **{f"codec {codec}": Table(codec=codec).build() for codec in CODECS},
    "second kind": Table(second=True).build(),
    "dictionary": Table(dictionary=True).build(),
    "unchecked": Table(check=False).build(),
}


@pytest.mark.parametrize("form", FORMS)
def test_pages_of_tables_are_searched(form: str) -> None:
    """Every value, and not only what stands there for the first time."""
    data = FORMS[form]

    assert inner_bytes(data).count(MARK) == 40
    assert data.count(MARK) < 3
    assert reasons(data) == []


def test_a_table_of_a_program_is_searched() -> None:
    """Of two groups of rows, with checksums."""
    data = base64.b64decode(REAL)

    assert inner_bytes(data).count(MARK) == 40
    assert reasons(data) == []


def test_what_came_out_names_how_it_was_packed() -> None:
    """And the proof is the packed pages."""
    data = Table().build()
    first = next(inner for inner in opened(data) if isinstance(inner, Content))

    assert first.encoding == ("snappy",)
    assert first.stored == (first.covers[0][0], first.covers[-1][1] - first.covers[0][0])
    assert [unsnappy(data[start:end])[1] for start, end in first.covers] == [True, True]


@pytest.mark.parametrize("codec", [0, 2, 6])
def test_other_pages_are_searched_where_they_lie(codec: int) -> None:
    """Plain ones, and those whose magics tell them."""
    assert list(opened(Table(codec=codec).build())) == []


@pytest.mark.parametrize("codec", [3, 5])
def test_codecs_that_are_not_understood_are_gaps(codec: int) -> None:
    """They are named."""
    told = [inner for inner in opened(Table(codec=codec).build()) if isinstance(inner, Fault)]

    assert [each.reason for each in told] == ["nested.unknown"]
    assert ("LZO" if codec == 3 else "LZ4") in told[0].detail


def test_an_encrypted_table_is_a_gap() -> None:
    """Whichever end says so."""
    data = Table().build()

    assert reasons(data[:-4] + b"PARE") == ["nested.encrypted"]
    assert reasons(b"PARE" + data[4:]) == ["nested.encrypted"]


@pytest.mark.parametrize("form", FORMS)
def test_damage_to_a_page_is_a_gap(form: str) -> None:
    """What is in the other page is searched."""
    data = bytearray(FORMS[form])
    at = data.rfind(b"PAR1", 0, -4) + 60
    data[at : at + 30] = b"\xff" * 30

    assert "nested.damaged" in reasons(bytes(data))
    assert inner_bytes(bytes(data)).count(MARK) >= 20


@pytest.mark.parametrize("size", [60, 70])
def test_large_pages_take_no_memory_without_end(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is larger than may be held is a gap; nothing of it comes out."""
    monkeypatch.setattr(parquetfiles, "_LARGEST", 64 << 10)
    data = Table(pages=[[bytes(size << 10)], VALUES]).build()

    assert reasons(data) == (["nested.damaged"] if size > 64 else [])
    assert MARK in inner_bytes(data)


def test_lists_without_end_cost_nothing() -> None:
    """A footer that says that there are billions of groups, of lists in lists, of columns at one place."""
    page = Table().page(VALUES, 0)
    column = struct_of(whole(4, 1), whole(7, len(page)), whole(9, 4))
    chunk = struct_of((3, 12, column))
    endless = struct_of((4, 9, b"\xfc" + varint(1 << 40)))
    deep = b"\x49" + b"\x19" * 5000
    many = struct_of(listed(4, [struct_of(listed(1, [chunk] * 20_000))] * 3))

    def table(footer: bytes) -> bytes:
        return b"PAR1" + page + footer + struct.pack("<I", len(footer)) + b"PAR1"

    assert reasons(table(endless)) == ["nested.damaged"]
    assert reasons(table(deep)) == ["nested.damaged"]
    assert reasons(table(many), replace(Limits(), nested_bytes=1 << 20)) == ["nested.bytes"]
