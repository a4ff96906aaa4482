"""ORC: what is in packed chunks is searched, and what cannot be is said."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence

import brotli
import lz4.block
import pytest
import zstandard

from scanner.content.words import Content
from tests.test_avrofiles import raw_deflate
from tests.test_content_formats import MARK, opened, reasons
from tests.test_lzofiles import lzo
from tests.test_snappyfiles import snappy, varint

#: made by pyarrow 26.0.1 of 40 rows with the mark and a digit, packed by zlib
REAL = """
T1JDEQAACgYSBAgoUABsAADjCuBiZQABIXcODSVHLtlEhdzEomyFkozEEoXi/NzUpPyUSoWCxOTs1BQuAyG80mYSE4QCGAAJAADAJx0AjAAAS1
TITSzKVijJSCxRKM7PTU3KT6lUKEhMzk5N4TJIxCNpiE/SCJ+kMT5JE3ySpvgkzfBJjnoFGJ+jsQIMhNEEBgyEwZdXAFIAAONi42ATYJDg5gLR
jBKWQJoJSLMDaUYg7SnEwsEgwAAkmQQYpJjdfUMAcAAA4/LnYuHQCGDgcufQUHLkkk1UyE0sylYoyUgsUSjOz01Nyk+pVChITM5OTeEyEMIrbS
YxQSiAAQDSAADjYBY4wCjFxcEs4CIRoKCjoaHEx8EjxMgoxZiowKDBYMCgxMHBDmEZaFixcGgEMFi5c2goOXLJJirkJhZlK5RkJJYoFOfnpibl
p1QqFCQmZ6emcBkI4ZU2k5ggFMDgMMHPgzGJ1UgPCAEIbBABGICABCICAAwoOzAGgvQDA09SQxc=
"""
TEXT = b"".join(MARK + b"%d" % number for number in range(40))
CODECS: dict[int, Callable[[bytes], bytes]] = {
    1: raw_deflate,
    2: snappy,
    3: lzo,
    4: lambda data: lz4.block.compress(data, store_size=False),
    5: zstandard.compress,
    6: brotli.compress,
}


def chunk(data: bytes, codec: int) -> bytes:
    """With its length in front; plain if there is no such codec."""
    packed = CODECS[codec](data) if codec else data
    return (len(packed) << 1 | (not codec)).to_bytes(3, "little") + packed


def orc(*chunks: bytes, codec: int = 1, most: int = 65536, padding: int = 0) -> bytes:
    """A file of stripes, and its footer."""
    out, footer = b"ORC", b"\x08\x03"
    for each in chunks:
        out += bytes(padding)
        stripe = b"\x08" + varint(len(out)) + b"\x10\0\x18" + varint(len(each)) + b"\x20\0"
        footer += b"\x1a" + varint(len(stripe)) + stripe
        out += each
    footer = chunk(footer, codec)
    about = b"\x08" + varint(len(footer)) + b"\x10" + bytes([codec]) + b"\x18" + varint(most)
    about += b"\x22\x02\0\x0c\x82\xf4\x03\x03ORC"
    return out + footer + about + bytes([len(about)])


def found(data: bytes) -> Sequence[bytes]:
    """What comes out."""
    return [bytes(inner.data) for inner in opened(data) if isinstance(inner, Content)]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("padding", [0, 1, 7])
def test_chunks_of_columns_are_searched(codec: int, padding: int) -> None:
    """As one text, since a value may go on in the next chunk; some are not packed, and zeros lie between stripes."""
    stripe = chunk(TEXT[:500], codec) + chunk(TEXT[500:510], 0) + chunk(TEXT[510:], codec)
    data = orc(stripe, stripe, codec=codec, padding=padding)

    (text,) = found(data)
    assert text.startswith(TEXT * 2)
    assert reasons(data) == []


def test_a_file_of_a_program_is_searched() -> None:
    """Of one stripe."""
    data = base64.b64decode(REAL)

    assert sum(each.count(MARK) for each in found(data)) > 0
    assert reasons(data) == []


def test_columns_that_are_not_packed_are_searched_where_they_lie() -> None:
    """There is nothing to do."""
    assert list(opened(orc(TEXT, codec=0))) == []


def test_text_that_begins_so_is_no_gap() -> None:
    """The letters are common, and the end must have them too."""
    assert list(opened(b"ORCHESTRA and its players " * 9)) == []


def test_a_codec_that_is_not_understood_is_a_gap() -> None:
    """A number that the format does not have yet."""
    data = orc(chunk(TEXT, 1))
    at = data.rfind(b"\x10\x01\x18")

    data = data[: at + 1] + b"\x09" + data[at + 2 :]

    assert reasons(data) == ["nested.unknown"]


@pytest.mark.parametrize("codec", CODECS)
def test_damage_to_a_chunk_is_a_gap(codec: int) -> None:
    """Those behind it are searched."""
    first = chunk(TEXT, codec)
    data = orc(first[:3] + b"\xff" * (len(first) - 3), chunk(TEXT, codec), codec=codec)

    assert reasons(data) == ["nested.damaged"]
    assert any(TEXT in each for each in found(data))


def test_a_length_beyond_the_end_is_a_gap() -> None:
    """What is in front of it is searched."""
    data = orc(chunk(TEXT, 1), b"\xfe\xff\x7f")

    assert "nested.damaged" in reasons(data)
    assert any(TEXT in each for each in found(data))


def test_a_postscript_longer_than_the_file_is_a_gap() -> None:
    """It leaves no place for chunks."""
    assert reasons(b"ORC" + b"\x10\x01" * 20 + b"ORC" + b"\x40") == ["nested.damaged"]


def test_a_damaged_footer_loses_no_stripe() -> None:
    """Chunks follow each other."""
    data = orc(chunk(TEXT, 1), chunk(TEXT, 1))
    at = len(data) - 30

    broken = data[:at] + b"\xff" * 6 + data[at + 6 :]

    assert "nested.damaged" in reasons(broken)
    assert b"".join(found(broken)).count(MARK) == 80


def test_more_than_a_chunk_may_hold_is_a_gap() -> None:
    """A bomb ends there."""
    assert reasons(orc(chunk(bytes(1 << 20), 1))) == ["nested.damaged"]
