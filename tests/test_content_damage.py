"""Whatever byte of something packed is wrong, and wherever it ends: what is lost by that is said."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import zlib
from dataclasses import dataclass

import lz4.frame
import pytest
import zstandard

from scanner.content.words import Fault
from tests.builders import tar_of
from tests.sevenzips import PACKINGS, Block, seven
from tests.squashimages import Image
from tests.test_avrofiles import SYNC, avro
from tests.test_cabinets import cabinet
from tests.test_content_formats import (
    FILTERS,
    MARK,
    METHODS,
    ar,
    cpio,
    legacy_lz4,
    opened,
    pack_of,
    packed_zip,
    pdf,
    rpm,
    zipped,
)
from tests.test_levelfiles import table
from tests.test_lzofiles import lzop
from tests.test_lzwfiles import compressed
from tests.test_orcfiles import chunk, orc
from tests.test_packed import lzip
from tests.test_parquetfiles import Table
from tests.test_snappyfiles import framed

TEXT = MARK + bytes(random.Random(7).choices(b"abcdefgh \n", k=250))
ANY = (0x01, 0x80, 0xFF)  # bits that are turned over


@dataclass(frozen=True)
class Sample:
    """Something packed. Its first *told* bytes tell what it is: a file in which they are wrong is another file, and is
    searched as that."""

    data: bytes
    told: int


def _fixed(data: bytes) -> bytes:
    """zlib without a table of its codes in front, behind which damage is all there is."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_FIXED)
    return packer.compress(data) + packer.flush()


def _pdf(filters: str) -> Sample:
    data = pdf(b"/Filter " + filters.encode(), FILTERS[filters](TEXT))
    return Sample(data, data.find(b"stream\n") + 7)


LEVELDB = table([TEXT], [MARK])
#: formats with checksums of what they hold
CHECKED: dict[str, Sample] = {
    "gzip": Sample(gzip.compress(TEXT, mtime=0), 18),
    "bzip2": Sample(bz2.compress(TEXT), 10),
    "xz": Sample(lzma.compress(TEXT), 12),
    "zlib": Sample(zlib.compress(b"".join(b"%d" % number**9 for number in range(99))), 128),
    "zstd": Sample(zstandard.ZstdCompressor(write_checksum=True).compress(TEXT), 9),
    "lz4": Sample(lz4.frame.compress(TEXT, content_checksum=True), 19),
    "lzip": Sample(lzip(TEXT), 8),
    "lzop": Sample(lzop(TEXT), 9),
    "zip": Sample(zipped(("a", TEXT), ("b/c", TEXT[:90])), 31),
    **{f"zip, {method}": Sample(packed_zip(number, pack(TEXT), TEXT), 35)
       for method, (number, pack) in METHODS.items()},
    **{f"7z, {coder}": Sample(seven(Block([("a", TEXT), ("b", MARK)], packing)), 8)
       for coder, packing in PACKINGS.items()},
    "7z with a packed header": Sample(seven(Block([("a", TEXT), ("b", MARK)]), times=1), 8),
    "cabinet": Sample(cabinet({"a": TEXT, "b": MARK}), 8),
    "cabinet, stored": Sample(cabinet({"a": TEXT, "b": MARK}, packed=False), 8),
    "tar in gzip": Sample(gzip.compress(tar_of({"a": TEXT}), mtime=0), 18),
    "rpm": Sample(rpm(gzip.compress(cpio(("a", TEXT)))), 8),
    **{f"PDF, {filters}": _pdf(filters) for filters in FILTERS},
    "git pack": Sample(pack_of((3, b"", b"first text here"), (3, b"", b"second")), 12),
    # read backwards, since one wrong byte of the other makes "edf" of "dfe", which Adler's checksum does not tell
    "git object": Sample(_fixed(b"blob %d\0" % len(TEXT) + TEXT[::-1]), 24),
}  # fmt: skip

SNAPPY = Sample(framed(TEXT, 100), 10)
AVRO = avro([TEXT], [TEXT[::-1]])

#: formats that have none, in which a wrong byte may make another text
UNCHECKED: dict[str, tuple[str, Sample]] = {
    "zstd": ("a checksum is left to the writer", Sample(zstandard.ZstdCompressor().compress(TEXT), 9)),
    "lz4": ("a checksum is left to the writer", Sample(lz4.frame.compress(TEXT), 19)),
    "legacy lz4": ("its blocks have sizes only", Sample(legacy_lz4(TEXT), 9)),
    "lzma": ("it has an end and nothing else", Sample(lzma.compress(TEXT, lzma.FORMAT_ALONE), 14)),
    "tar": ("of headers only; members lie there as they are", Sample(tar_of({"a": TEXT, "b": TEXT[::-1]}), 512)),
    "ar": ("members lie there as they are", Sample(ar(("a.gz", gzip.compress(TEXT)), ("b", TEXT)), 68)),
    "cpio": ("members lie there as they are", Sample(cpio(("a", TEXT), ("b", TEXT[::-1])), 110)),
    "snappy": ("of what is in chunks, and not of their kind", SNAPPY),
    "avro": ("of blocks that Snappy packed only", Sample(AVRO, 8)),
    "orc": ("its chunks have sizes only", Sample(orc(chunk(TEXT, 1)), 3)),
    "leveldb": ("of all but its end, which alone tells what it is", Sample(LEVELDB, 8)),
    "parquet": ("of pages, if the writer wants them, and not of what is said of columns", Sample(Table().build(), 8)),
    "squashfs": ("but for those that some compressors add to a block",
                 Sample(Image({"a": TEXT * 20, "d": {"b": TEXT}}).build(), 96)),
}  # fmt: skip
#: formats that are whole without an end: where to cut them, and nobody can tell
ENDLESS: dict[str, tuple[str, bytes, int]] = {
    "compress": ("it has neither a checksum nor an end", compressed(TEXT), 100),
    "orc": ("what it is stands at both of its ends", UNCHECKED["orc"][1].data, 100),
    "avro": ("its blocks follow each other until there are no more", AVRO, AVRO.find(SYNC, AVRO.find(SYNC) + 16) + 16),
    "leveldb": ("only its end tells what it is", LEVELDB, len(LEVELDB) - 1),
    "snappy": ("its chunks follow each other until there are no more", SNAPPY.data, 10),
    "tar": ("engines read it without its end, up to the last header", UNCHECKED["tar"][1].data, 1024),
}


def unfolded(data: bytes) -> tuple[list[bytes], list[str]]:
    """What comes out of it, but for zeros and what is searched as a part of something else; the reasons of faults."""
    found, reasons = [], []
    for inner in opened(data):
        if isinstance(inner, Fault):
            reasons.append(inner.reason)
        elif not inner.searched and not inner.closed and any(inner.data):
            found.append(bytes(inner.data))
    return found, reasons


def is_lost(plain: list[bytes], data: bytes) -> bool:
    """Whether something of *plain* does not come out of *data*, and nothing is said."""
    found, reasons = unfolded(data)
    return not reasons and not all(any(each in other for other in found) for each in plain)


def flipped(data: bytes, at: int, bits: int) -> bytes:
    """With one wrong byte."""
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


@pytest.mark.parametrize("name", CHECKED)
def test_no_wrong_byte_loses_anything_without_a_word(name: str) -> None:
    """Each byte in turn, of every format that has checksums."""
    sample = CHECKED[name]
    plain, reasons = unfolded(sample.data)
    assert plain
    assert reasons == []

    places = range(sample.told, len(sample.data))
    lost = [(at, bits) for at in places for bits in ANY if is_lost(plain, flipped(sample.data, at, bits))]

    assert lost == []


@pytest.mark.parametrize("name", [name for name in (*CHECKED, *UNCHECKED) if name not in ENDLESS])
def test_no_end_loses_anything_without_a_word(name: str) -> None:
    """Cut off at each place in turn. What lies in a file as it is, is there as far as the file goes."""
    sample = CHECKED[name] if name in CHECKED else UNCHECKED[name][1]
    plain, _ = unfolded(sample.data)

    lost = [end for end in range(sample.told, len(sample.data)) if is_lost(plain, sample.data[:end])]

    assert lost == []


def test_only_the_end_of_a_table_of_leveldb_has_no_checksum() -> None:
    """What it ends with is another file if it is wrong."""
    plain, _ = unfolded(LEVELDB)
    lost = {at for at in range(len(LEVELDB)) for bits in ANY if is_lost(plain, flipped(LEVELDB, at, bits))}

    assert lost == set(range(len(LEVELDB) - 8, len(LEVELDB)))


@pytest.mark.parametrize("name", UNCHECKED)
def test_formats_without_checksums_are_just_those(name: str) -> None:
    """A format in which each wrong byte is told belongs to the others."""
    why, sample = UNCHECKED[name]
    plain, reasons = unfolded(sample.data)
    assert reasons == []
    assert why

    places = range(sample.told, min(len(sample.data), sample.told + 600))
    assert any(is_lost(plain, flipped(sample.data, at, bits)) for at in places for bits in ANY)


@pytest.mark.parametrize("name", ENDLESS)
def test_formats_without_an_end_are_just_those(name: str) -> None:
    """A format in which each cut is told belongs to the others."""
    why, data, end = ENDLESS[name]
    plain, reasons = unfolded(data)
    assert reasons == []
    assert why

    assert is_lost(plain, data[:end])
