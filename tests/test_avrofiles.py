"""Avro: what is in packed blocks is searched, and what cannot be is said."""

from __future__ import annotations

import base64
import random
import struct
import zlib
from collections.abc import Callable, Sequence

import pytest

from scanner.content.words import Fault
from tests.test_content_formats import MARK, inner_bytes, opened, reasons
from tests.test_snappyfiles import snappy, varint

#: made by fastavro of 40 rows with the mark, which leaves a part of zlib's checksum behind each stream
REAL = """
T2JqAQQUYXZyby5jb2RlYw5kZWZsYXRlFmF2cm8uc2NoZW1hmAF7InR5cGUiOiAicmVjb3JkIiwgIm5hbWUiOiAiciIsICJmaWVsZHMiOiBbey
JuYW1lIjogImEiLCAidHlwZSI6ICJzdHJpbmcifV19ADAxMjM0NTY3ODlhYmNkZWYorAF90LsNgCAAQMHeKRiB/y8ug0JiQghGadzeDV593eUi
Rnm6WFdZ4p2jHbN+4i5nb3WTmVShalSDalEdqkcNqBE17bghmRWzZjbMltkxe+bAHJnTDwIi0zAxMjM0NTY3ODlhYmNkZWYotAF90MsNgCAURc
G9VbwSlOuPhGZQSEwIwSgbu7eDs57dhGg1PsX6Fbu9reajpc/ueJacBjcG5InZMYt5Zl6YV+aNeWf2yOI18Zp4TbwmXhOvidfEa+I1+R/j6tYw
MTIzNDU2Nzg5YWJjZGVm
"""
ROWS = [MARK + b"%d" % number for number in range(40)]
SYNC = random.Random(2).randbytes(16)


def raw_deflate(data: bytes) -> bytes:
    """Without a header and a checksum."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "deflate": raw_deflate,
    "snappy": lambda data: snappy(data) + struct.pack(">I", zlib.crc32(data)),
}


def number(value: int) -> bytes:
    """A long."""
    return varint(value << 1 ^ value >> 63)


def text(value: bytes) -> bytes:
    """A string or bytes."""
    return number(len(value)) + value


def avro(*blocks: Sequence[bytes], codec: str = "deflate", sized: bool = False) -> bytes:
    """A file of blocks of rows, each of one string."""
    entries = text(b"avro.schema") + text(b'"string"') + text(b"avro.codec") + text(codec.encode())
    out = b"Obj\1" + (number(-2) + number(len(entries)) if sized else number(2)) + entries + b"\0" + SYNC
    for rows in blocks:
        packed = CODECS.get(codec, bytes)(b"".join(map(text, rows)))
        out += number(len(rows)) + number(len(packed)) + packed + SYNC
    return out


FORMS = {
    **{codec: avro(ROWS[:20], ROWS[20:], codec=codec) for codec in CODECS},
    "sized": avro(ROWS[:20], ROWS[20:], sized=True),
}


@pytest.mark.parametrize("form", FORMS)
def test_blocks_of_rows_are_searched(form: str) -> None:
    """Every row of every block."""
    data = FORMS[form]

    assert inner_bytes(data).count(MARK) == 40
    assert data.count(MARK) < 3
    assert reasons(data) == []


def test_rows_of_a_program_are_searched() -> None:
    """Of several blocks."""
    data = base64.b64decode(REAL)

    assert inner_bytes(data).count(MARK) == 40
    assert reasons(data) == []


@pytest.mark.parametrize("codec", ["null", "bzip2", "xz", "zstandard"])
def test_other_blocks_are_searched_where_they_lie(codec: str) -> None:
    """Plain ones, and those whose magics tell them."""
    assert list(opened(avro(ROWS, codec=codec))) == []


def test_a_codec_that_is_not_understood_is_a_gap() -> None:
    """It is named."""
    told = [inner for inner in opened(avro(ROWS, codec="lzma9")) if isinstance(inner, Fault)]

    assert [each.reason for each in told] == ["nested.unknown"]
    assert "lzma9" in told[0].detail


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("hit", ["rows", "length", "mark"])
def test_a_damaged_block_costs_only_itself(form: str, hit: str) -> None:
    """The next mark tells where the one behind it begins."""
    data = bytearray(FORMS[form])
    first = data.find(SYNC) + 16
    second = data.find(SYNC, first)
    at = {"rows": first + 12, "length": first + 1, "mark": second}[hit]
    data[at : at + 2] = b"\xff\xfe"

    assert reasons(bytes(data)) == ["nested.damaged"]
    assert inner_bytes(bytes(data)).count(MARK) >= 20 - (hit == "mark")


def test_a_header_without_end_costs_nothing() -> None:
    """Of billions of entries."""
    assert reasons(b"Obj\1" + number(1 << 60) + text(b"a") + text(b"b")) == ["nested.damaged"]
