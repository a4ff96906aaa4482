"""Stored bytes become plain bytes, whole or with a named gap."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.image.blob import Blob, BlobFile, spool
from scanner.layer.compression import EXPANDERS, Stop, sniff
from scanner.layer.expand import PROOF_SUFFIX, Expansion, expand
from scanner.limits import Limits
from tests.fuzzing import gzip_with_fields

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def run(stored: bytes, limits: Limits = Limits()) -> tuple[Expansion, bytes]:  # noqa: B008  (frozen)
    """Expand bytes through real files; the plain bytes come back."""
    source, target = spool("stored"), spool("plain")
    try:
        with open(source.fileno(), "wb", closefd=False) as file:
            file.write(stored)
        expansion = expand(Blob("sha256:test", source, 0, len(stored)), target, limits)
        return expansion, target.read(0, target.size())
    finally:
        source.close()
        target.close()


def skippable(body: bytes) -> bytes:
    """A zstd frame that decoders skip."""
    return struct.pack("<II", 0x184D2A50, len(body)) + body


@pytest.mark.parametrize("name", COMPRESS)
@given(parts=st.lists(st.binary(max_size=5000), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_all_members_are_read(name: str, parts: list[bytes]) -> None:
    """Streams one after the other come out as one, with both digests and the proof key right."""
    stored, plain = b"".join(map(COMPRESS[name], parts)), b"".join(parts)

    expansion, out = run(stored)

    assert out == plain
    assert expansion.compression == name == sniff(stored)
    assert expansion.gaps == ()
    assert expansion.digest == f"sha256:{hashlib.sha256(stored).hexdigest()}"
    assert expansion.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert expansion.proof_key == hashlib.sha256(plain + PROOF_SUFFIX).digest()


@pytest.mark.parametrize("name", COMPRESS)
def test_a_cut_stream_is_a_gap_and_keeps_what_came_out(name: str) -> None:
    """Nothing already expanded is lost when the rest is missing."""
    first, second = bytes(range(256)) * 2000, hashlib.sha512(b"x").digest() * 3000
    stored = COMPRESS[name](first) + COMPRESS[name](second)

    expansion, out = run(stored[:-20])

    assert out.startswith(first)
    assert [gap.reason for gap in expansion.gaps] == ["compression.truncated"]


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_damage_is_a_gap(name: str) -> None:
    """A flipped bit fails the stream's own checksum and is said."""
    stored = bytearray(COMPRESS[name](hashlib.sha512(b"y").digest() * 300))
    stored[len(stored) // 2] ^= 0xFF

    expansion, _ = run(bytes(stored))

    assert [gap.reason for gap in expansion.gaps] in (["compression.damaged"], ["compression.truncated"])


@pytest.mark.parametrize("name", COMPRESS)
def test_what_is_in_front_of_damage_comes_out(name: str) -> None:
    """Though a decoder that meets damage gives nothing of what it was called for."""
    lines = b"".join(b"%d %x\n" % (number, number**5) for number in range(150_000))
    pack = zstandard.ZstdCompressor(write_checksum=True).compress if name == "zstd" else COMPRESS[name]
    stored = bytearray(pack(lines))
    at = len(stored) * 9 // 10
    stored[at : at + 3000] = b"\xff" * 3000

    expansion, out = run(bytes(stored))

    assert lines[: len(lines) // 2] == out[: len(lines) // 2]
    assert [gap.reason for gap in expansion.gaps] == ["compression.damaged"]


class Counting:
    """Counts what comes out (`layer.compression.PlainSink`)."""

    size = 0

    def write(self, data: bytes, _used: int = 0, /) -> None:
        """Bytes that came out."""
        self.size += len(data)


def test_what_comes_out_of_a_damaged_bomb_comes_a_little_at_a_time() -> None:
    """Blocks of zstd (RFC 8878, section 3.1.1.2) that are one byte each, 131,072 times, and a last one of no kind."""
    block, none = (0x20000 << 3 | 1 << 1).to_bytes(3, "little") + b"A", (8 << 3 | 3 << 1 | 1).to_bytes(3, "little")
    frame, sink = b"\x28\xb5\x2f\xfd\0\x58" + 4000 * block + none + bytes(8), Counting()

    tracemalloc.start()
    try:
        with pytest.raises(Stop, match="damaged"):
            EXPANDERS["zstd"](memoryview(frame), sink, [])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sink.size >= 3900 * 0x20000
    assert most < 64 * 0x100000


def test_a_wrong_gzip_checksum_is_a_gap() -> None:
    """The CRC of every gzip member is checked."""
    stored = bytearray(gzip.compress(b"hello" * 100, mtime=0))
    stored[-6] ^= 1

    expansion, out = run(bytes(stored))

    assert out == b"hello" * 100
    assert [gap.reason for gap in expansion.gaps] == ["compression.damaged"]


@pytest.mark.parametrize("name", COMPRESS)
def test_bytes_after_the_stream_are_named(name: str) -> None:
    """What follows the stream is a region to scan, and a gap."""
    stored = COMPRESS[name](b"data" * 50)

    expansion, out = run(stored + b"trailing words")

    assert out == b"data" * 50
    assert [(r.offset, r.length) for r in expansion.outside] == [(len(stored), 14)]
    assert [gap.reason for gap in expansion.gaps] == ["compression.trailing"]


def test_zero_padding_after_gzip_is_lawful() -> None:
    """Tape padding is no gap."""
    expansion, out = run(gzip.compress(b"data") + bytes(1000))

    assert (out, expansion.gaps, expansion.outside) == (b"data", (), ())


def test_skippable_zstd_frames_are_regions_without_a_gap() -> None:
    """zstd:chunked appends its table of contents in skippable frames; they are scanned as they are."""
    frame = COMPRESS["zstd"](b"data" * 50)
    stored = skippable(b"first") + frame + skippable(b"table of contents")

    expansion, out = run(stored)

    assert (out, expansion.gaps) == (b"data" * 50, ())
    assert [stored[r.offset : r.offset + r.length][8:] for r in expansion.outside] == [b"first", b"table of contents"]
    assert sniff(stored) == "zstd"


def test_gzip_header_fields_are_regions() -> None:
    """A file name or comment in a gzip header can hold anything."""
    plain = gzip.compress(b"data", mtime=0)
    stored = plain[:3] + b"\x18" + plain[4:10] + b"name\0comment\0" + plain[10:]

    expansion, out = run(stored)

    assert (out, expansion.gaps) == (b"data", ())
    assert [(r.offset, r.length) for r in expansion.outside] == [(10, 13)]


@pytest.mark.parametrize("name", COMPRESS)
def test_a_bomb_stops_at_the_limit(name: str) -> None:
    """Expanding ends at the limit with a gap; what is within is kept."""
    expansion, out = run(COMPRESS[name](bytes(3_000_000)), Limits(layer_bytes=1_000_000))

    assert len(out) == 1_000_000 == expansion.size
    assert [gap.reason for gap in expansion.gaps] == ["limit.expanded"]


def test_plain_bytes_are_left_where_they_are() -> None:
    """Without compression nothing is copied; digests are of the bytes themselves."""
    expansion, out = run(b"no magic here")

    assert (out, expansion.compression, expansion.size) == (b"", "", 13)
    assert expansion.digest == expansion.diff_id


def test_an_unknown_compression_is_a_gap() -> None:
    """lz4 is recognised and said not to be understood."""
    expansion, _ = run(b"\x04\x22\x4d\x18" + bytes(50))

    assert [gap.reason for gap in expansion.gaps] == ["compression.unknown"]


def test_a_range_of_a_file_is_expanded(tmp_path: Path) -> None:
    """A blob inside an archive starts anywhere in the file."""
    stored = gzip.compress(b"inner", mtime=0)
    (tmp_path / "f").write_bytes(b"x" * 5000 + stored + b"y" * 100)
    file, target = BlobFile.open(tmp_path / "f"), spool("plain")

    expansion = expand(Blob("b", file, 5000, len(stored)), target, Limits())

    assert target.read(0, 100) == b"inner"
    assert expansion.gaps == ()


PART = st.tuples(st.sampled_from(["frame", "skippable", "fields"]), st.binary(max_size=300))


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@given(parts=st.lists(PART, max_size=8), tail=st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_every_stored_byte_is_decoded_or_a_region(name: str, parts: list[tuple[str, bytes]], tail: bytes) -> None:
    """Compressed data, header fields, skippable frames and what follows add up to the stored size, each byte once."""
    stored, plain, regions = COMPRESS[name](b"first"), b"first", bytearray(len(COMPRESS[name](b"first")))
    for kind, data in parts:
        part = COMPRESS[name](data)
        if kind == "skippable" and name == "zstd":
            part = skippable(data)
            regions += b"\1" * len(part)
        elif kind == "fields" and name == "gzip":
            part, plain = gzip_with_fields(8, part), plain + data
            regions += bytes(10) + b"\1" * 5 + bytes(len(part) - 15)
        else:
            plain += data
            regions += bytes(len(part))
        stored += part
    tail = b"tail" + tail

    expansion, out = run(stored + tail)

    named = bytearray(len(stored) + len(tail))
    for region in expansion.outside:
        assert not any(named[region.offset : region.offset + region.length])
        named[region.offset : region.offset + region.length] = b"\1" * region.length
    assert out == plain
    assert named == regions + b"\1" * len(tail)
    assert [gap.bytes for gap in expansion.gaps] == [len(tail)]


def test_millions_of_regions_take_no_memory() -> None:
    """Behind a thousand regions the last one grows over what lies between."""
    empty = gzip_with_fields(8, gzip.compress(b"", mtime=0))

    expansion, out = run(empty * 5000 + gzip.compress(b"data"))

    assert (out, expansion.gaps, len(expansion.outside)) == (b"data", (), 1000)
    assert sum(region.length for region in expansion.outside[:-1]) == 999 * 5


def test_what_could_not_be_expanded_is_a_region() -> None:
    """The rest of a damaged stream is looked at as it is stored."""
    stored = gzip.compress(b"data" * 100, mtime=0) + b"\x1f\x8b\x07" + b"words behind damage"

    expansion, out = run(stored)

    assert out == b"data" * 100
    assert [gap.reason for gap in expansion.gaps] == ["compression.damaged"]
    last = expansion.outside[-1]
    assert last.offset + last.length == len(stored)
