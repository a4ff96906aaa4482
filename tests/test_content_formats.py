"""Whatever format a file has, what lies inside it is given to the search, within the limits, and damage is said."""

from __future__ import annotations

import base64
import bz2
import errno
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import brotli
import lz4.block
import lz4.frame
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.content import buffer, pdffilters
from scanner.content.unfold import is_covered, unfold
from scanner.content.words import Budget, Content, Fault, Room
from scanner.limits import Limits
from tests.builders import Member, tar_of
from tests.fuzzing import tar_file, tar_header

MARK = b"a mark that somebody packed\n"


def opened(data: bytes, name: str = "file", limits: Limits = Limits()) -> Iterator[Content | Fault]:  # noqa: B008
    """Everything inside *data* at any depth, as formats alone tell it; no clues of encoded text."""
    room = Room(Budget(limits), len(data), time.monotonic() + 60)
    waiting = [Content(memoryview(data), name, (0, len(data)))]
    yield from _opened(waiting[0], room)


def _opened(content: Content, room: Room) -> Iterator[Content | Fault]:
    for inner in unfold(content, (), room):
        yield inner
        if isinstance(inner, Content):
            yield from _opened(inner, room)


def marks(data: bytes, name: str = "file") -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(inside, encoding) of every content that holds the mark."""
    return [
        (inner.inside, inner.encoding)
        for inner in opened(data, name)
        if isinstance(inner, Content) and not is_covered(inner) and MARK in bytes(inner.data)
    ]


def reasons(data: bytes, limits: Limits = Limits()) -> list[str]:  # noqa: B008
    """The reasons of all faults."""
    return [inner.reason for inner in opened(data, limits=limits) if isinstance(inner, Fault)]


def inner_bytes(data: bytes) -> bytes:
    """All that comes out."""
    return b"\n".join(bytes(inner.data) for inner in opened(data) if isinstance(inner, Content))


def files(data: bytes) -> dict[str, bytes]:
    """What each named file in an archive or image holds."""
    return {
        inner.inside[0]: bytes(inner.data) for inner in opened(data) if isinstance(inner, Content) and inner.inside
    }


def faults(data: bytes, limits: Limits = Limits()) -> list[tuple[str, tuple[str, ...], str]]:  # noqa: B008
    """Reason, place and sentence of each fault."""
    found = opened(data, limits=limits)
    return [(fault.reason, fault.inside, fault.detail) for fault in found if isinstance(fault, Fault)]


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return target.getvalue()


def ar(*entries: tuple[str, bytes]) -> bytes:
    """An ar archive with GNU names."""
    found = b"!<arch>\n"
    for name, data in entries:
        found += f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data
        found += b"\n" * (len(data) % 2)
    return found


def cpio(*entries: tuple[str, bytes], magic: bytes = b"070701") -> bytes:
    """A cpio archive in the new ASCII form."""
    found = b""
    for name, data in (*entries, ("TRAILER!!!", b"")):
        fields = (1, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        found += magic + b"".join(b"%08x" % value for value in fields) + name.encode() + b"\0"
        found += b"\0" * (-len(found) % 4) + data
        found += b"\0" * (-len(found) % 4)
    return found


def rpm(payload: bytes) -> bytes:
    """Lead, signature, header and payload."""
    lead = b"\xed\xab\xee\xdb\3\0" + b"\0" * 90
    header = b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">II", 1, 4) + struct.pack(">IIII", 1000, 6, 0, 1)
    signature = header + b"sig\0" + b"\0" * (-len(header + b"sig\0") % 8)
    return lead + signature + header + b"hdr\0" + payload


def raw_deflate(data: bytes) -> bytes:
    """A deflate stream without a header."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


STREAMS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zlib": zlib.compress,
    "lz4": lz4.frame.compress,
}


@pytest.mark.parametrize("kind", STREAMS)
def test_compressed_files_are_expanded(kind: str) -> None:
    """The plain bytes of a compressed file are searched under its own path, and the compression is named."""
    assert marks(STREAMS[kind](MARK)) == [((), (kind,))]


@pytest.mark.parametrize("kind", STREAMS)
def test_a_cut_stream_gives_what_it_has_and_a_gap(kind: str) -> None:
    """What came out before the damage is searched."""
    data = MARK + random.Random(1).randbytes(300_000)

    found = list(opened(STREAMS[kind](data)[:200_000]))

    plain = [bytes(inner.data) for inner in found if isinstance(inner, Content)]
    assert [inner.reason for inner in found if isinstance(inner, Fault)] == ["nested.damaged"]
    assert all(part.startswith(MARK) for part in plain)
    assert plain or kind in ("bzip2", "zstd")  # those have not finished their first block


@pytest.mark.parametrize("kind", ["gzip", "zlib", "zip"])
def test_a_damaged_deflate_stream_gives_all_in_front_of_the_damage(kind: str) -> None:
    """Not only what came out of the chunks before the one that holds it. A stored block is damaged where it begins."""
    plain = MARK + random.Random(1).randbytes(300_000)
    pack = (lambda data: zipped(("entry", data))) if kind == "zip" else STREAMS[kind]
    packed = bytearray(pack(plain))
    at = packed.find(plain[200_000:200_020])
    broken = next(place for place in range(at, 0, -1) if _is_stored(packed, place))
    packed[broken] ^= 0xFF

    found = list(opened(bytes(packed)))

    [inner] = [inner for inner in found if isinstance(inner, Content)]
    assert [inner.reason for inner in found if isinstance(inner, Fault)] == ["nested.damaged"]
    assert plain.startswith(bytes(inner.data))
    assert len(inner.data) > 100_000
    assert plain[len(inner.data) :].startswith(bytes(packed[broken + 4 :][:100]))


def _is_stored(packed: bytearray, at: int) -> bool:
    """Whether the sizes of a stored block of deflate are here."""
    size, opposite = struct.unpack_from("<HH", packed, at)
    return size ^ opposite == 0xFFFF and size > 1000


def test_every_member_of_a_gzip_file_is_read() -> None:
    """As gzip itself does."""
    assert marks(gzip.compress(b"first") + gzip.compress(MARK)) == [((), ("gzip",))]


@pytest.mark.parametrize("level", [1, 3, 255])
def test_a_gzip_file_of_an_unusual_level_is_read(level: int) -> None:
    """The level in its header is for people: no decompressor looks at it."""
    packed = bytearray(gzip.compress(MARK * 20))
    packed[8] = level

    assert marks(bytes(packed)) == [((), ("gzip",))]


def test_a_zstd_file_may_begin_with_a_skippable_frame() -> None:
    """As tools write it that compress in parallel."""
    assert marks(SKIPPABLE + STREAMS["zstd"](MARK * 20)) == [((), ("zstd",))]


def legacy_lz4(*blocks: bytes) -> bytes:
    """A legacy frame of LZ4, each block packed by itself."""
    packed = (lz4.block.compress(block, store_size=False) for block in blocks)
    return b"\x02\x21\x4c\x18" + b"".join(struct.pack("<I", len(block)) + block for block in packed)


SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"\1\2\3\4"


@pytest.mark.parametrize(
    "data",
    [
        lz4.frame.compress(b"first") + lz4.frame.compress(MARK),
        lz4.frame.compress(b"first") + SKIPPABLE + lz4.frame.compress(MARK),
        SKIPPABLE + lz4.frame.compress(MARK),
        SKIPPABLE + SKIPPABLE + legacy_lz4(MARK),
        legacy_lz4(MARK),
        legacy_lz4(bytes(8 << 20), MARK),
        legacy_lz4(b"first") + legacy_lz4(MARK) + lz4.frame.compress(b"last"),
        legacy_lz4(MARK) + struct.pack("<I", 9_000_000),
        lz4.frame.compress(MARK, content_checksum=True, block_checksum=True, store_size=False),
        lz4.frame.compress(random.Random(1).randbytes(1 << 20) + MARK, block_linked=False, block_size=7),
    ],
    ids=["two frames", "skippable between", "skippable first", "skippable before legacy", "legacy", "legacy blocks",
         "all kinds", "as Linux packs its kernel", "checksums", "independent blocks"],
)  # fmt: skip
def test_every_kind_of_lz4_frame_is_read(data: bytes) -> None:
    """One behind the other, as the program of the same name reads them."""
    assert marks(data) == [((), ("lz4",))]
    assert reasons(data) == []


@pytest.mark.parametrize("place", ["header", "block", "content"])
def test_lz4_of_a_wrong_checksum_is_a_gap(place: str) -> None:
    """What came out before is searched."""
    first, noise = lz4.frame.compress(MARK), random.Random(1).randbytes(300_000)
    packed = bytearray(lz4.frame.compress(MARK + noise, content_checksum=True, block_checksum=True))
    packed[{"header": 4, "block": -5000, "content": -1}[place]] ^= 8

    assert marks(first + packed) == [((), ("lz4",))]
    assert reasons(first + packed) == ["nested.damaged"]
    assert place == "header" or marks(bytes(packed)) == [((), ("lz4",))]


@pytest.mark.parametrize("size", [len(MARK), 8 << 20], ids=["short", "full"])
def test_a_cut_legacy_frame_of_lz4_is_a_gap(size: int) -> None:
    """Its whole blocks are searched."""
    packed = legacy_lz4(MARK.ljust(size, b"."), random.Random(1).randbytes(5000))[:-100]

    assert marks(packed) == [((), ("lz4",))]
    assert reasons(packed) == ["nested.damaged"]


def test_a_legacy_frame_of_lz4_ends_where_its_blocks_end() -> None:
    """It has no end of its own; what follows a block that is not full is something else."""
    assert reasons(legacy_lz4(MARK) + struct.pack("<I", 20) + b"\xff" * 40) == []
    assert reasons(legacy_lz4(bytes(8 << 20)) + struct.pack("<I", 20) + b"\xff" * 40) == ["nested.damaged"]


def test_brotli_is_told_by_its_name() -> None:
    """Its streams have no magic: the same bytes under another name are as they are."""
    packed = brotli.compress(MARK * 20)

    assert marks(packed, "usr/share/app.min.js.br") == [((), ("brotli",))]
    assert marks(zipped(("app.js.br", packed), method=0), "a.zip") == [(("app.js.br",), ("brotli",))]
    assert marks(brotli.compress(tar_of({"entry": MARK})), "a.tar.br") == [(("entry",), ("brotli",))]
    assert marks(packed, "usr/share/app.min.js") == []


def test_brotli_that_something_follows_is_read() -> None:
    """Though the library refuses all of it."""
    [inner] = opened(brotli.compress(MARK) + b"more", "a.br")

    assert isinstance(inner, Content)
    assert bytes(inner.data) == MARK


@pytest.mark.parametrize("how", ["cut", "flipped", "followed"])
@pytest.mark.parametrize("size", [3000, 200_000, 6_000_000])
def test_damaged_brotli_gives_what_it_has(how: str, size: int) -> None:
    """To the byte where it breaks off, each byte once."""
    plain = MARK + random.Random(1).randbytes(size)
    packed = brotli.compress(plain, quality=1)
    cut = len(packed) - 100
    damaged = {"cut": packed[:cut], "flipped": packed[:cut] + b"\xff" * 100, "followed": packed + packed}[how]

    found = list(opened(damaged, "a.br"))

    [inner] = [inner for inner in found if isinstance(inner, Content)]
    assert plain.startswith(bytes(inner.data)[: len(plain) - 200])
    assert 0 <= len(plain) - len(inner.data) <= (0 if how == "followed" else 200)
    gaps = [inner.reason for inner in found if isinstance(inner, Fault)]
    assert gaps == ([] if how == "followed" else ["nested.damaged"])


@pytest.mark.parametrize("text", ["Degemer mat\n" * 9, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 5000])
def test_text_named_as_brotli_is_no_gap(text: str) -> None:
    """The name alone proves little."""
    assert [inner for inner in opened(text.encode(), "words.br") if isinstance(inner, Fault)] == []


def test_other_bytes_named_as_brotli_are_a_gap() -> None:
    """They may be damaged brotli."""
    found = list(opened(random.Random(1).randbytes(3000), "words.br"))

    assert [inner.reason for inner in found if isinstance(inner, Fault)] == ["nested.damaged"]


def test_a_million_frames_that_hold_nothing_end_at_the_time_limit() -> None:
    """Nothing comes out of them, but they take time."""
    room = Room(Budget(Limits()), 100, time.monotonic() - 1)
    content = Content(memoryview(lz4.frame.compress(b"") * 1000), "file", (0, 100))

    assert [inner.reason for inner in unfold(content, (), room) if isinstance(inner, Fault)] == ["limit.time"]


def test_the_oldest_form_of_tar_is_opened() -> None:
    """It has no magic, only a checksum."""
    head = bytearray(512)
    packed = gzip.compress(MARK)
    for at, text in ((0, b"entry.gz"), (100, b"0000644"), (124, b"%011o" % len(packed)), (148, b" " * 8), (156, b"0")):
        head[at : at + len(text)] = text
    head[148:156] = b"%06o\0 " % sum(head)
    archive = bytes(head) + packed + bytes(-len(packed) % 512 + 1024)

    assert (("entry.gz",), ("gzip",)) in marks(archive)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str
)
@pytest.mark.parametrize("name", ["a.zip", "a.jar", "a.whl", "a.apk", "a.docx", "a.egg", "a.war", "a.xlsx"])
def test_entries_of_zip_archives_are_searched(method: int, name: str) -> None:
    """By whatever method they are packed, and whatever the archive is called."""
    names = {0: (), 8: ("deflate",), 12: ("bzip2",), 14: ("lzma",)}

    assert marks(zipped(("dir/entry", MARK), method=method), name) == [(("dir/entry",), names[method])]


def test_zip_entries_packed_with_zstd_and_xz_are_searched() -> None:
    """Methods 93 and 95, which the standard library does not write."""
    for method, packed in ((93, STREAMS["zstd"](MARK)), (95, STREAMS["xz"](MARK))):
        archive = bytearray(zipped(("entry", packed), method=0))
        for signature, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
            at = archive.find(signature) + place
            archive[at : at + 2] = method.to_bytes(2, "little")
        assert [inside for inside, _ in marks(bytes(archive))] == [("entry",)]


def test_stored_entries_have_the_place_of_their_bytes() -> None:
    """Bytes that lie in the archive as they are need no way back."""
    data = zipped(("entry", MARK), method=0)

    [inner] = [inner for inner in opened(data) if isinstance(inner, Content)]

    at, length = inner.place(2, 6)
    assert data[at : at + length] == MARK[2:6]
    assert inner.verbatim


def test_a_zip_hidden_from_its_directory_is_searched() -> None:
    """An entry that no directory names is found by its local header; streaming readers believe those."""
    hidden = zipped(("hidden", MARK))
    local = hidden[: hidden.find(b"PK\1\2")]
    archive = zipped(("shown", b"nothing"))
    directory = archive.find(b"PK\1\2")
    moved = bytearray(archive[:directory] + local + archive[directory:])
    end = moved.rfind(b"PK\5\6")
    moved[end + 16 : end + 20] = (directory + len(local)).to_bytes(4, "little")

    assert marks(bytes(moved)) == [(("hidden",), ("deflate",))]


def test_lying_sizes_of_a_zip_hide_nothing() -> None:
    """A deflated entry ends where its stream ends, whatever the headers say."""
    archive = bytearray(zipped(("entry", MARK)))
    for signature, place in ((b"PK\3\4", 18), (b"PK\1\2", 20)):
        at = archive.find(signature) + place
        archive[at : at + 4] = (1).to_bytes(4, "little")

    assert marks(bytes(archive)) == [(("entry",), ("deflate",))]


@pytest.mark.parametrize("lie", ["size", "method"])
def test_an_entry_is_read_as_the_directory_of_a_zip_tells_it_too(lie: str) -> None:
    """Readers that believe the directory get what it says, whatever the local header says."""
    if lie == "size":
        data, place, value = gzip.compress(MARK * 20), 18, (5).to_bytes(4, "little")
        archive = bytearray(zipped(("entry.gz", data), method=zipfile.ZIP_STORED))
    else:
        archive, place, value = bytearray(zipped(("entry", MARK * 20))), 8, (0).to_bytes(2, "little")
    archive[place : place + len(value)] = value
    with zipfile.ZipFile(io.BytesIO(bytes(archive))) as reader:  # such a reader
        [name] = reader.namelist()
        assert MARK in (gzip.decompress(reader.read(name)) if lie == "size" else reader.read(name))

    assert [inside for inside, _ in marks(bytes(archive))] == [(name,)]


def packed_zip(method: int, packed: bytes, plain: bytes, streamed: bool = False, listed: bool = True) -> bytes:
    """A zip archive of one entry, whose header tells its sizes or leaves them to what follows it."""
    crc, flags = zlib.crc32(plain), 8 if streamed else 0
    told = struct.pack("<III", crc, len(packed), len(plain))
    head = struct.pack("<HHHHH", 20, flags, method, 0, 33)
    local = b"PK\3\4" + head + (bytes(12) if streamed else told) + struct.pack("<HH", 5, 0) + b"entry" + packed
    local += (b"PK\7\x08" + told) if streamed else b""
    central = b"PK\1\2" + b"\x14\0" + head + told + struct.pack("<HHHHHII", 5, 0, 0, 0, 0, 0, 0) + b"entry"
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end if listed else local


METHODS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "stored": (0, bytes),
    "deflate": (8, lambda data: raw_deflate(data)),
    "bzip2": (12, bz2.compress),
    "zstd": (93, zstandard.ZstdCompressor().compress),
    "xz": (95, lambda data: lzma.compress(data, check=lzma.CHECK_NONE)),
    "lzma with an end": (14, lambda data: lzma_entry(data)),
    "lzma without an end": (14, lambda data: lzma_entry(data)[:-5]),
    "lzma behind which bits are left": (14, lambda data: lzma_entry(data)[:-5] + bytes(3)),
}


ENDLESS = ("stored", "lzma without an end", "lzma behind which bits are left")


def lzma_entry(data: bytes) -> bytes:
    """Version, size of properties, properties, stream."""
    chain = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 16}]
    packed = lzma.compress(data, lzma.FORMAT_RAW, filters=chain)
    return b"\x09\x04\x05\x00\x5d" + struct.pack("<I", 1 << 16) + packed


@pytest.mark.parametrize("streamed", [False, True], ids=["told in front", "told behind"])
@pytest.mark.parametrize("listed", [True, False], ids=["listed", "not listed"])
@pytest.mark.parametrize("method", METHODS)
def test_a_zip_entry_of_a_wrong_checksum_is_searched_and_a_gap(method: str, listed: bool, streamed: bool) -> None:
    """By whatever method it is packed, and wherever its checksum is told: the stream itself is sound."""
    number, pack = METHODS[method]
    whole = packed_zip(number, pack(MARK), MARK, streamed, listed)
    wrong = packed_zip(number, pack(MARK), MARK[:-1] + b"?", streamed, listed)

    if method in ENDLESS and streamed and not listed:  # nobody can know where that ends
        assert reasons(wrong) == reasons(whole) != []
        return
    assert [inside for inside, _ in marks(whole)] == [inside for inside, _ in marks(wrong)] == [("entry",)]
    assert reasons(whole) == ([] if listed else ["nested.damaged"])
    assert reasons(wrong) == [*reasons(whole), "nested.damaged"]


def test_a_zip_entry_is_sound_if_one_of_its_headers_is_right() -> None:
    """Readers believe one or the other."""
    for place in (14, -10 - 22 - 46 + 16 + 5):
        archive = bytearray(packed_zip(8, raw_deflate(MARK), MARK))
        archive[place] ^= 1

        assert marks(bytes(archive)) == [(("entry",), ("deflate",))]
        assert reasons(bytes(archive)) == []


@pytest.mark.parametrize("size", [0, 4, 12])
def test_a_streamed_zip_entry_that_nothing_follows_is_a_gap(size: int) -> None:
    """With a magic or without one, writers put there what they did not know before."""
    whole = packed_zip(8, raw_deflate(MARK), MARK, streamed=True, listed=False)
    bare = whole[:-16] + whole[-12:]
    told = ("nested.damaged", ("entry",), "the entry is damaged or cut off")

    assert told not in faults(whole)
    assert told not in faults(bare)
    assert told in faults(bare[: len(bare) - 12 + size] if size < 12 else bare[:-8] + bytes(8))


def test_large_zip_entries_have_checksums_too() -> None:
    """Those whose sizes are in an extra field, and those that no memory is taken for."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(
        "entry", "w", force_zip64=True
    ) as entry:
        entry.write(MARK + bytes(6 << 20))
    data = bytearray(target.getvalue())

    assert reasons(bytes(data)) == []

    data[14] ^= 1
    data[data.rfind(b"PK\1\2") + 16] ^= 1
    assert marks(bytes(data)) == [(("entry",), ("deflate",))]
    assert faults(bytes(data)) == [("nested.damaged", ("entry",), "the checksum of the entry is wrong")]


def test_a_zip_entry_that_a_limit_cuts_is_not_called_damaged() -> None:
    """Nobody knows the checksum of what was not read."""
    data = zipped(("entry", random.Random(1).randbytes(200_000)))

    assert reasons(data, replace(Limits(), nested_bytes=100_000)) == ["nested.bytes"]


FULL = random.Random(2).randbytes(5000).hex().encode()


@pytest.mark.parametrize("data", [
    gzip.compress(FULL), bz2.compress(FULL), lzma.compress(FULL), zstandard.compress(FULL),
    zipped(("entry", FULL)), zipped(("entry", FULL), method=zipfile.ZIP_BZIP2),
    zlib.compress(b"blob 10000\0" + FULL),
], ids=["gzip", "bzip2", "xz", "zstd", "deflated zip", "bzip2 zip", "git"])  # fmt: skip
def test_a_full_disk_is_a_gap_and_no_damage(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as any other limit, whatever the format."""
    full_disk(monkeypatch)

    [(reason, _, sentence)] = faults(data)
    assert (reason, sentence.rpartition(": ")[2]) == ("nested.bytes", os.strerror(errno.ENOSPC))


def test_a_full_disk_costs_only_what_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small entries need none, and objects of git are whole or not there."""
    full_disk(monkeypatch)
    git = pack_of(*((3, b"", b"object %07d" % number) for number in range(100)))

    assert marks(zipped(("large", FULL), ("small", MARK))) == [(("small",), ("deflate",))]
    assert reasons(git) == ["nested.bytes"]
    assert all(len(each.data) == 14 for each in opened(git) if isinstance(each, Content))


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file can be made, and little is kept in memory."""
    def spool(_: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(buffer, "spool", spool)
    monkeypatch.setattr(buffer, "_IN_MEMORY", 1000)


def test_a_stored_zip_entry_that_is_cut_off_is_a_gap() -> None:
    """What lies there of it is searched."""
    data = packed_zip(0, MARK + bytes(900), MARK + bytes(900), listed=False)[:-100]

    assert marks(data) == [(("entry",), ())]
    assert ("nested.damaged", ("entry",), "the entry is damaged or cut off") in faults(data)


def test_an_encrypted_entry_is_a_gap() -> None:
    """It is named by its path."""
    archive = bytearray(zipped(("locked", MARK)))
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        archive[archive.find(signature) + place] |= 1

    [fault] = [inner for inner in opened(bytes(archive)) if isinstance(inner, Fault)]

    assert (fault.reason, fault.inside) == ("nested.encrypted", ("locked",))


def test_an_unknown_method_is_a_gap() -> None:
    """Implode, shrink and others that nobody writes any more."""
    archive = bytearray(zipped(("odd", MARK)))
    for signature, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        archive[archive.find(signature) + place] = 6

    assert reasons(bytes(archive)) == ["nested.unknown"]


def test_a_zip_without_a_directory_is_searched_and_a_gap() -> None:
    """A cut download."""
    archive = zipped(("entry", MARK))
    cut = archive[: archive.find(b"PK\1\2")]

    assert [inside for inside, _ in marks(cut)] == [("entry",)]
    assert reasons(cut) == ["nested.damaged"]


@pytest.mark.parametrize("kind", ["", "gzip", "bzip2", "xz", "zstd"])
def test_members_of_tar_archives_are_searched(kind: str) -> None:
    """Packed or not."""
    archive = tar_of({"dir/entry": MARK})

    packed = STREAMS[kind](archive) if kind else archive

    assert (("dir/entry",), (kind,) if kind else ()) in marks(packed)


def test_a_tar_of_nothing_but_a_global_header_is_searched_once() -> None:
    """It has no members, so all of it is what lies between them."""
    comment = b"%d comment=%s" % (len(MARK) + 12, MARK)
    archive = tar_header("pax_global_header", len(comment), b"g") + comment

    found = list(opened(archive))

    assert [bytes(inner.data) for inner in found if isinstance(inner, Content)] == [archive[:512], comment]
    assert [inner.reason for inner in found if isinstance(inner, Fault)] == ["nested.damaged"]  # no padding, no end


@pytest.mark.parametrize("kind", [b"X", b"D", b"V", b"Z"])
def test_a_member_of_a_type_that_nobody_knows_is_an_entry_like_others(kind: bytes) -> None:
    """Of a nested tar no engine makes files, so nothing hangs on what the type means; all bytes are looked at."""
    archive = tar_file("entry.gz", gzip.compress(MARK), kind=kind) + bytes(1024)

    assert marks(archive) == [(("entry.gz",), ("gzip",))]
    assert reasons(archive) == []


def test_a_cut_tar_is_searched_and_a_gap() -> None:
    """What lies there of the last member is searched too."""
    cut = tar_of({"entry": MARK + b"x" * 5000})[:2000]

    assert (("entry",), ()) in marks(cut)
    assert "nested.damaged" in reasons(cut)


def test_deb_packages_are_searched() -> None:
    """An ar with two compressed tars."""
    deb = ar(
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", gzip.compress(tar_of({"./control": "Package: x"}))),
        ("data.tar.xz", lzma.compress(tar_of({"./etc/app.conf": MARK}))),
    )

    assert marks(deb) == [(("data.tar.xz", "etc/app.conf"), ("xz",))]


def test_ar_members_with_long_names_are_searched() -> None:
    """Both GNU's table of names and BSD's names in front of the data."""
    packed = gzip.compress(MARK)
    gnu = ar(("/", b"a-name-that-is-longer-than-16.gz/\n"), ("x", packed)).replace(b"x/  ", b"/0  ", 1)
    bsd = ar(("#1/20", b"another-long-name.gz" + packed)).replace(b"#1/20/", b"#1/20 ", 1)

    assert [inside for inside, _ in marks(gnu)] == [("a-name-that-is-longer-than-16.gz",)]
    assert [inside for inside, _ in marks(bsd)] == [("another-long-name.gz",)]


@pytest.mark.parametrize("kind", ["", "gzip", "xz", "zstd", "bzip2"])
def test_rpm_packages_are_searched(kind: str) -> None:
    """The cpio payload behind lead, signature and header."""
    payload = cpio(("./etc/app.conf", MARK))

    found = marks(rpm(STREAMS[kind](payload) if kind else payload))

    assert (("etc/app.conf",), (kind,) if kind else ()) in found


def test_an_initramfs_is_searched() -> None:
    """A plain cpio, padding, and a compressed one behind it."""
    data = cpio(("early", b"microcode")) + b"\0" * 512 + gzip.compress(cpio(("etc/key", MARK)))

    assert (("etc/key",), ("gzip",)) in marks(data)


def test_old_ascii_cpio_is_searched() -> None:
    """POSIX's portable form."""
    found = b""
    for name, data in (("entry", MARK), ("TRAILER!!!", b"")):
        found += b"070707" + b"%06o" * 7 % (0, 0, 0o100644, 0, 0, 1, 0) + b"%011o" % 0
        found = found[:-11] + b"%011o%06o%011o" % (0, len(name) + 1, len(data)) + name.encode() + b"\0" + data

    assert [inside for inside, _ in marks(found)] == [("entry",)]


def test_nesting_goes_deep() -> None:
    """A zip in a tar.gz in a deb in a zip."""
    data = zipped(("inner.txt", MARK))
    data = gzip.compress(tar_of({"a.zip": data}))
    data = ar(("data.tar.gz", data))
    data = zipped(("x.deb", data))

    assert marks(data) == [(("x.deb", "data.tar.gz", "a.zip", "inner.txt"), ("deflate", "gzip", "deflate"))]


def test_nesting_ends_at_the_limit() -> None:
    """The depth is said with the path."""
    data = MARK
    for _ in range(9):
        data = gzip.compress(data)

    assert reasons(data) == ["nested.depth"]
    assert reasons(data, replace(Limits(), nested_depth=10)) == []


def test_bombs_end_at_the_ratio() -> None:
    """A gigabyte of zeros in a megabyte is not read to its end."""
    bomb = gzip.compress(b"\0" * (80 << 20), 9)

    assert reasons(bomb) == ["nested.ratio"]


def test_unpacked_bytes_end_at_the_limit() -> None:
    """All that is packed in one layer counts."""
    data = zipped(*((f"{number}", random.Random(number).randbytes(200_000)) for number in range(10)))

    assert reasons(data, replace(Limits(), nested_bytes=1_000_000)).count("nested.bytes") >= 1


def test_entries_end_at_the_limit() -> None:
    """An archive of countless empty files."""
    data = zipped(*((f"{number}", b"x") for number in range(300)))

    assert reasons(data, replace(Limits(), nested_entries=100)) == ["nested.entries"]


def test_overlapping_zip_entries_end_at_a_limit() -> None:
    """Many entries that share one compressed body (Fifield's bomb) come out only as often as the ratio allows."""
    body = raw_deflate(b"\0" * (8 << 20))
    local = b"PK\3\4" + struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, len(body), 8 << 20, 1, 0) + b"x"
    locals_, central, at = b"", b"", 0
    for number in range(100):
        # each header is followed by an empty stored block that leads on to the next header
        skip = len(local) + 5
        head = b"PK\3\4" + struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, len(body), 8 << 20, 1, 0) + b"x"
        quote = b"\0" + struct.pack("<HH", len(local), len(local) ^ 0xFFFF) if number < 99 else b""
        locals_ += head + quote
        central += b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 8, 0, 0, 0, len(body), 8 << 20, 1, 0, 0, 0,
                                           0, 0, at) + b"x"  # fmt: skip
        at += skip
    data = locals_ + body + central
    data += b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 100, 100, len(central), len(locals_ + body), 0)

    assert "nested.ratio" in reasons(data)


def test_text_that_pdf_pages_show_is_searched() -> None:
    """Deflated page streams, with the words joined that typesetting cuts into pieces."""
    page = b"BT /F1 12 Tf 72 720 Td [(a mark that) -250 (some) 20 (body)] TJ (\\040pack\\145d) Tj T* (next) Tj ET"
    packed = zlib.compress(page)
    pdf = b"%%PDF-1.7\n4 0 obj\n<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed) + packed + b"\nendstream"

    texts = [(i.inside, i.encoding, bytes(i.data)) for i in opened(pdf) if isinstance(i, Content)]

    assert texts[0] == (("object 4",), ("flate",), page)
    assert texts[1] == (("object 4",), ("flate", "pdf-text"), b"a mark that somebody packed\nnext")


def test_strings_of_a_pdf_that_never_end_cost_little_and_hide_nothing() -> None:
    """What stands behind the sign of a string is read by itself if the string does not end."""
    page = b"BT (broken <" + b"a mark".hex().encode() + b"> Td <" + b"next".hex().encode() + b"> " + b"(\\" * 100_000
    packed = zlib.compress(page)
    start = time.monotonic()

    found = list(opened(b"%%PDF-1.7\n4 0 obj\n<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed) + packed))

    assert b"a mark\nnext" in [bytes(each.data) for each in found if isinstance(each, Content)]
    assert time.monotonic() - start < 20


def test_an_encrypted_pdf_is_a_gap() -> None:
    """Its strings cannot be read."""
    assert reasons(b"%PDF-1.7\ntrailer << /Encrypt 5 0 R >>\n%%EOF") == ["nested.encrypted"]


def pdf(dictionary: bytes, packed: bytes) -> bytes:
    """A PDF of one stream."""
    return b"%%PDF-1.5\n4 0 obj\n<< %s >>\nstream\n%s\nendstream\nendobj\n%%%%EOF\n" % (dictionary, packed)


FILTERS: dict[str, Callable[[bytes], bytes]] = {
    "/FlateDecode": zlib.compress,
    "[/ASCIIHexDecode /FlateDecode]": lambda data: zlib.compress(data).hex().encode() + b">",
    "[/ASCII85Decode /FlateDecode]": lambda data: base64.a85encode(zlib.compress(data)) + b"~>",
    "[/FlateDecode /ASCIIHexDecode]": lambda data: zlib.compress(data.hex().encode() + b">"),
}


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("how", ["altered", "cut", "checksum"])
def test_a_damaged_stream_of_a_pdf_gives_what_it_has_and_a_gap(filters: str, how: str) -> None:
    """To the very damage, whatever filters are around it."""
    noise = base64.b64encode(random.Random(1).randbytes(3000))
    packed = FILTERS[filters](MARK + noise)
    body = bytearray(pdf(b"/Filter " + filters.encode(), packed))
    start = body.find(packed)
    if how == "altered":
        body[start + len(packed) * 3 // 4] ^= 0x55
    elif how == "cut":
        del body[start + len(packed) * 3 // 4 :]
    else:
        body[start + len(packed) - (5 if filters.startswith("[/A") else 1)] ^= 1

    found = list(opened(bytes(body)))

    assert {inner.reason for inner in found if isinstance(inner, Fault)} == {"nested.damaged"}
    whole = [bytes(inner.data) for inner in found if isinstance(inner, Content) and inner.data[:9] == MARK[:9]]
    assert whole
    assert whole[0][: len(noise) // 2] == (MARK + noise)[: len(noise) // 2]


@pytest.mark.parametrize("filters", ["/FlateDecode", "[/ASCIIHexDecode /FlateDecode]"])
def test_a_stream_of_a_pdf_that_was_flushed_and_not_ended_is_no_gap(filters: str) -> None:
    """Some programs write no other; elsewhere than at such a place, it is cut off."""
    packer, plain = zlib.compressobj(), MARK + b"%x" % random.Random(1).getrandbits(40_000)
    packed = packer.compress(plain) + packer.flush(zlib.Z_SYNC_FLUSH)
    letters = (lambda data: data.hex().encode()) if "Hex" in filters else bytes
    whole, short = (pdf(b"/Filter " + filters.encode(), letters(data)) for data in (packed, packed[:-1]))

    assert [bytes(inner.data) for inner in opened(whole) if isinstance(inner, Content)] == [plain]
    assert reasons(whole) == []
    assert reasons(short) == ["nested.damaged"]


def test_a_stream_of_a_pdf_behind_a_damaged_one_is_searched() -> None:
    """However near it is."""
    first = bytearray(pdf(b"/Filter /FlateDecode", zlib.compress(random.Random(1).randbytes(500))))
    first[first.find(b"stream\n") + 100] ^= 0xFF
    second = pdf(b"/Filter [/ASCIIHexDecode]", MARK.hex().encode() + b">")

    assert marks(bytes(first) + second) == [(("object 4",), ("hex",))]


@pytest.mark.parametrize(
    ("filters", "packed", "faults"),
    [
        (b"/RunLengthDecode", b"\x02abc\xfed\x80", []),
        (b"/RunLengthDecode", b"\x02abc\xfed\x80\r", []),
        (b"/RunLengthDecode", b"\x02abc\xfed", ["nested.damaged"]),
        (b"/RunLengthDecode", b"\x02abc\x80\x02abc\x80", ["nested.damaged"]),
        (b"/RunLengthDecode", b"\x70abc", ["nested.damaged"]),
        (b"/LZWDecode", b"\x80\x0b\x60\x50\x22\x0c\x0c\x85\x01", []),  # the example of ISO 32000-1
        (b"/LZWDecode", b"\x80\x0b\x60\x50\x22\x0c\x0c", ["nested.damaged"]),
        (b"/LZWDecode", b"\x80\x0b\x7f\xff\xff\x0c\x0c\x85\x01", ["nested.damaged"]),
        (b"/LZWDecode", b"\x80\x0b\x60\x50\x22\x0c\x0c\x85\x01\x80\x0b\x60", ["nested.damaged"]),
        (b"/ASCIIHexDecode", b"61 62\n63>", []),
        (b"/ASCIIHexDecode", b"61 62\n63", []),
        (b"/ASCIIHexDecode", b"61 x62\n63>", ["nested.damaged"]),
        (b"/ASCIIHexDecode", b"61 62> 63 64>", ["nested.damaged"]),
        (b"/ASCII85Decode", b"<~87cUR D]j7~>\n", []),
        (b"/ASCII85Decode", b"87cUR\x7fD]j7~>", ["nested.damaged"]),
        (b"/ASCII85Decode", b"87cUR~>D]j7~>", ["nested.damaged"]),
        (b"[/ASCIIHexDecode /DCTDecode]", b"61 62>", []),
        (b"[/FlateDecode /Crypt]", zlib.compress(b"abc"), ["nested.encrypted"]),
        (b"[/AHx /Fl /Fl /Fl /Fl /Fl /Fl /Fl /Fl]", zlib.compress(b"abc").hex().encode(), ["nested.damaged"]),
        (b"[" + b"/AHx " * 9 + b"]", b"3" * 511 + b"1", ["nested.depth"]),
        (b"/FlateDecode", b"", []),
        (b"/FlateDecode", b"\r\n", []),
        (b"[]", b"abc", []),
    ],
)
def test_whether_filters_of_a_pdf_ended_is_said(filters: bytes, packed: bytes, faults: list[str]) -> None:
    """Each tells in its own way where it ends; what cannot be, and what follows the end, is damage."""
    assert reasons(pdf(b"/Filter " + filters, packed)) == faults


def test_a_stream_of_a_pdf_that_is_longer_than_is_decoded_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decoded of it is searched."""
    monkeypatch.setattr(pdffilters, "_LARGEST", 1000)
    letters = pdf(b"/Filter /AHx", (MARK + bytes(1000)).hex().encode())
    runs = pdf(b"/Filter /RL", b"".join(b"\x1b" + MARK for _ in range(1000)) + b"\x80")
    between = pdf(b"/Filter [/Fl /AHx]", zlib.compress((MARK + bytes(1000)).hex().encode()))

    for data in (letters, runs, between):
        assert marks(data)
        assert set(reasons(data)) == {"nested.bytes"}


@pytest.mark.parametrize("place", ["trailer", "first trailer", "stream"])
@pytest.mark.parametrize("key", [b"/Encrypt 5 0 R", b"/Encrypt<</V 4>>", b"/Encr#79pt 5 0 R"])
def test_an_encrypted_pdf_is_a_gap_wherever_it_says_so(place: str, key: bytes) -> None:
    """The dictionary of a stream of references, which is at the end or the start of a file, is a trailer too. Streams
    that are encrypted look damaged, which is said once."""
    noise = random.Random(1).randbytes(6000)
    secret = b"9 0 obj\n<< /Filter /FlateDecode >>\nstream\n" + noise + b"\nendstream\nendobj\n"
    says = {
        "trailer": secret + b"trailer\n<< /ID [(100%)(x)] " + key + b" >>\n%%EOF\n",
        "first trailer": b"trailer\n<< " + key + b" >>\nstartxref\n0\n%%EOF\n" + secret,
        "stream": b"8 0 obj\n<< /Type /XRef " + key + b" /W [1 2 1] >>\nstream\n" + noise + b"\nendstream\n" + secret,
    }

    assert reasons(b"%PDF-1.5\n" + says[place]) == ["nested.encrypted"]


@pytest.mark.parametrize(
    "data",
    [
        b"8 0 obj\n<< /Length 30 >>\nstream\nThe key /Encrypt 5 0 R says so.\nendstream\nendobj\n",
        b"% of old, the trailer had /Encrypt 5 0 R\ntrailer\n<< /Size 3 >>\n",
        b"trailer\n<< /Encrypt null /Title (/Encrypt) >>\n",
        pdf(b"/Filter /FlateDecode", zlib.compress(b"trailer << /Encrypt 5 0 R >>"))[9:],
    ],
)
def test_words_about_encryption_in_a_pdf_are_no_gap(data: bytes) -> None:
    """In a stream, in a comment, or without what it would refer to."""
    assert reasons(b"%PDF-1.5\n" + data + b"%%EOF\n") == []


def test_rows_that_sqlite_spreads_over_pages_are_joined(tmp_path: Path) -> None:
    """A value longer than a page is cut wherever the page ends."""
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (a, b)")
        long = "".join(random.Random(3).choices("abcdefgh", k=9000))
        connection.execute("insert into t values (?, ?)", ("short", long))
    connection.close()
    data = path.read_bytes()

    [row] = [bytes(inner.data) for inner in opened(data) if isinstance(inner, Content)]

    assert long.encode() not in data
    assert long.encode() in row


@pytest.mark.parametrize("kept", ["wal", "journal"])
def test_rows_are_joined_in_what_sqlite_keeps_beside_a_database(kept: str, tmp_path: Path) -> None:
    """A log has pages of several transactions, a journal those of before; both stay when a program dies."""
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.execute("pragma page_size = 512")
    connection.execute(f"pragma journal_mode = {'wal' if kept == 'wal' else 'persist'}")
    connection.execute("create table t (a, b)")
    rows = ["".join(random.Random(seed).choices("abcdefgh", k=9000)) for seed in range(3)]
    for number, row in enumerate(rows):
        connection.execute("insert into t values (?, ?)", (number, row))
        connection.commit()
    connection.execute("update t set b = ?", ("nothing" * 2000,))
    if kept == "wal":
        connection.commit()
        data = path.with_name("a.db-wal").read_bytes()
    else:
        data = path.with_name("a.db-journal").read_bytes()
        connection.commit()
        data = data if data[:1] == b"\xd9" else b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + data[8:]
    connection.close()

    found = [bytes(inner.data) for inner in opened(data) if isinstance(inner, Content)]

    for row in rows:
        assert row.encode() not in data
        assert any(row.encode() in each for each in found)


def test_logs_of_sqlite_that_lie_end() -> None:
    """Pages that follow themselves, and one that begins where the file ends."""
    head = b"\x37\x7f\x06\x82" + struct.pack(">2I", 3007000, 512) + bytes(20)
    page = struct.pack(">BHHHBH", 13, 0, 1, 400, 0, 400).ljust(400, b"\0") + b"\x84\x80\x00\1" + b"\0\0\0\1" * 27
    data = head + (struct.pack(">I", 1) + bytes(20) + page) * 50 + struct.pack(">I", 1) + bytes(20) + b"\0\0\0\1"

    assert all(isinstance(inner, Content | Fault) for inner in opened(data))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with a file that was changed and then removed."""
    if shutil.which("git") is None:
        pytest.skip("no git to make a repository with")
    root = tmp_path_factory.mktemp("repository")

    def git(*words: str) -> None:
        settings_ = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": os.environ["PATH"]}
        who = {f"GIT_{role}_{what}": "somebody" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        subprocess.run(["git", *words], cwd=root, env={**settings_, **who}, check=True, capture_output=True)

    git("init", "-q", ".")
    long = "".join(f"line {number}: {hashlib.sha256(str(number).encode()).hexdigest()}\n" for number in range(200))
    (root / "conf").mkdir()
    for text in (long, long + MARK.decode(), long + "the mark is gone\n"):
        (root / "conf" / "app.env").write_text(text)
        git("add", ".")
        git("commit", "-qm", "a step")
    git("rm", "-q", "conf/app.env")
    git("commit", "-qm", "remove it")
    return root


def test_loose_git_objects_are_searched(repository: Path) -> None:
    """A blob that no branch shows any more."""
    found = [
        marks(path.read_bytes(), str(path))
        for path in (repository / ".git" / "objects").glob("??/*")
    ]

    [[(inside, encoding)]] = [each for each in found if each]
    assert inside[0].startswith("blob ")
    assert encoding == ("git",)


def test_git_packs_are_searched_with_commit_and_path(repository: Path, tmp_path: Path) -> None:
    """Deltas are resolved, and the removed version is told by a commit that had it."""
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    subprocess.run(["git", "gc", "-q", "--aggressive"], cwd=copy, check=True, capture_output=True)
    [pack] = (copy / ".git" / "objects" / "pack").glob("*.pack")

    found = marks(pack.read_bytes(), str(pack))

    assert [encoding for _, encoding in found] == [("git",)]
    [[title]] = [inside for inside, _ in found]
    commit, _, path = title.removeprefix("commit ").partition(":")
    assert len(commit) == 40
    assert path == "conf/app.env"
    assert reasons(pack.read_bytes()) == []


def test_a_loose_git_object_of_a_small_window_is_searched() -> None:
    """Git inflates whatever zlib does."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 12)
    data = b"blob %d\0" % (20 * len(MARK)) + 20 * MARK

    [(inside, encoding)] = marks(packer.compress(data) + packer.flush())

    assert inside[0].startswith("blob ")
    assert encoding == ("git",)


def test_a_git_pack_with_more_objects_than_it_counts_is_a_gap() -> None:
    """What lies behind the objects that are counted is not passed over."""
    first, second = (bytes([0x30 | len(data)]) + zlib.compress(data) for data in (b"first", b"second"))
    whole = b"PACK" + struct.pack(">II", 2, 2) + first + second
    short = b"PACK" + struct.pack(">II", 2, 1) + first + second

    assert reasons(whole + hashlib.sha1(whole, usedforsecurity=False).digest()) == []
    assert reasons(short + hashlib.sha1(short, usedforsecurity=False).digest()) == ["nested.damaged"]


def pack_of(*objects: tuple[int, bytes, bytes]) -> bytes:
    """A pack of (kind, base of a delta, bytes), none of which is longer than 15 bytes, or has a base farther off than
    127."""
    found = b"PACK" + struct.pack(">II", 2, len(objects))
    found += b"".join(bytes([kind << 4 | len(data)]) + base + zlib.compress(data) for kind, base, data in objects)
    return found + hashlib.sha1(found, usedforsecurity=False).digest()


@pytest.mark.parametrize("kind", [1, 2, 3, 4], ids=["commit", "tree", "blob", "tag"])
def test_a_damaged_delta_in_a_git_pack_is_a_gap(kind: int) -> None:
    """Whatever it would make. A delta says two sizes, and then what to copy and what to add."""
    base = (kind, b"", b"0123456789")
    distance = bytes([1 + len(zlib.compress(b"0123456789"))])
    sound, damaged = b"\x0a\x05\x90\x03\x02ab", b"\x0a\x05\x90\x03\x00ab"

    whole = pack_of(base, (6, distance, sound))
    made = [bytes(inner.data) for inner in opened(whole) if isinstance(inner, Content)]

    assert made == [b"0123456789", b"012ab"]
    assert reasons(whole) == []
    assert reasons(pack_of(base, (6, distance, damaged))) == ["nested.damaged"]


@pytest.mark.parametrize("size", [20, 32])
def test_a_git_pack_of_a_wrong_checksum_is_a_gap(size: int) -> None:
    """It is all that tells damage to what stands between the streams: of what an object is a delta, for one."""
    packed = pack_of((3, b"", b"first"))
    packed = packed if size == 20 else packed[:-20] + hashlib.sha256(packed[:-20]).digest()

    assert reasons(packed) == []
    assert reasons(packed[:12] + b"\x15" + packed[13:]) == ["nested.damaged"]


def test_a_cut_git_pack_is_a_gap(repository: Path, tmp_path: Path) -> None:
    """The objects before the cut are searched."""
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    subprocess.run(["git", "gc", "-q"], cwd=copy, check=True, capture_output=True)
    [pack] = (copy / ".git" / "objects" / "pack").glob("*.pack")
    data = pack.read_bytes()

    found = list(opened(data[: len(data) * 2 // 3]))

    assert "nested.damaged" in [inner.reason for inner in found if isinstance(inner, Fault)]
    assert any(isinstance(inner, Content) for inner in found)


@pytest.mark.parametrize("encoding", ["utf-16le", "utf-16be", "utf-32le", "utf-32be"])
def test_files_of_wide_characters_are_searched(encoding: str) -> None:
    """A byte order mark tells them; a match leads back to the wide characters."""
    codec = encoding.replace("le", "-le").replace("be", "-be")
    data = ("\ufeff" + "gr\u00fc\u00dfe \U0001f511 " + MARK.decode()).encode(codec)

    [inner] = [inner for inner in opened(data) if isinstance(inner, Content)]

    start = bytes(inner.data).index(MARK)
    at, length = inner.place(start, start + len(MARK))
    assert inner.encoding == (encoding,)
    assert data[at : at + length] == MARK.decode().encode(codec)


ARJ = bytes([30, 11, 1, 2, 0x10, 0, 2, 0]) + bytes(22) + b"a.arj\0"


@pytest.mark.parametrize(
    "data",
    [
        b"Rar!\x1a\x07\1\0" + b"\0" * 24,
        struct.pack(">4s4I4H2H", b"sqsh", 9, 0, 1 << 17, 1, 1, 17, 0, 1, 4, 0) + b"\0" * 64,
        struct.pack("<4s6I4H", b"hsqs", 9, 1, 2, 3, 4, 5, 3, 1, 0, 16) + b"\0" * 64,
        b"MSWIM\0\0\0\xd0\0\0\0" + b"\0" * 24,
        b"xar!\0\x1c\0\1" + b"\0" * 24,
        b"\x60\xea\x24\0" + ARJ + zlib.crc32(ARJ).to_bytes(4, "little") + b"\0" * 64,
        b"\x60\xea\xff\0" + ARJ + b"a comment of some length" * 9,
        b"\x19\x47-lh5-\x20\0\0\0\x40\0\0\0" + b"\0" * 4 + b"\x20\1\4name" + b"\x8a" * 40,
        b"\x01\x02\x31\0\0\0\x10**ACE**\x14\x14" + b"\0" * 40,
        b"7kSt\xa0\x31\x83\xd3\x8c\xb2\x28\xb0\xd3zPQ\1\1" + b"\x99" * 40,
        b"LRZI\0\6" + b"\0" * 40,
        b"BZ3v1" + b"\0\0\1\0" + b"\x98" * 40,
        b"SZDD\x88\xf0\x27\x33A\0" + b"\0" * 40,
        bytes(range(1, 9)) + b"DUCK\x40" + b"\0" * 4096,
        bytes(1024) + b"\xe2\xe1\xf5\xe0" + bytes(8) + b"\x0c" + bytes(67) + b"\1" + bytes(3000),
    ],
    ids=["rar", "squashfs in another order", "old squashfs", "wim", "xar", "arj", "arj with a comment", "lha",
         "ace", "zpaq", "lrzip", "bzip3", "compress.exe", "duckdb", "erofs"],
)
def test_formats_that_are_not_understood_are_gaps(data: bytes) -> None:
    """Never silently clean."""
    assert reasons(data) == ["nested.unknown"]


def test_an_encrypted_office_document_is_a_gap() -> None:
    """It is an OLE file with a stream that says so."""
    assert reasons(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 504 + "EncryptedPackage".encode("utf-16-le")) == [
        "nested.encrypted"
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"BZh9 is how the magic of bzip2 begins",
        b"Donald, DUCK: a text of no database at all, and more of it",
        bytes(1024) + b"\xe2\xe1\xf5\xe0" + bytes(8) + b"\x0c" + bytes(3000),
        b"\x1f\x8b\x08\xff" + b"\xff" * 40,
        b"PK\3\4 four letters and no archive behind them, but more than thirty bytes",
        b"%PDF-1.4 in a list of magics",
        b"x^2 + y^2 = 1, a formula",
        b"PACK your things",
        b"070701 is a number",
        b"]\0\0 nothing",
        b"\xff\xfe\x01\x02\x03\x04\x05\x06",
        b"!<arch>\n",
        b"\x04\x22\x4d\x18" + b"\x64\x40\xa8" + b"\0" * 24,
        b"\x02\x21\x4c\x18" + b"\xff" * 24,
        struct.pack("<BIQ", 8, 1 << 16, 300) + b"\0" * 64 + bytes(range(200)),
        struct.pack("<BIQ", 8, 1 << 16, 300) + b"\0" + b"\xff" * 4 + random.Random(1).randbytes(200),
        struct.pack("<BIQ", 8, (1 << 16) + 99, 300) + b"\0" * 5 + random.Random(1).randbytes(200),
    ],
)
def test_what_only_looks_like_an_archive_is_no_gap(data: bytes) -> None:
    """A magic alone is no archive; ordinary files begin with such bytes."""
    assert reasons(data) == []


def _samples() -> list[bytes]:
    rng = random.Random(7)
    text = MARK + bytes(rng.choices(b"abcdefgh \n", k=3000))
    return [
        *(pack(text) for pack in STREAMS.values()),
        zipped(("a", text), ("b/c", text)),
        zipped(("a", text), method=0),
        tar_of({"a": text, "b": text}),
        ar(("a.gz", gzip.compress(text)), ("b", text)),
        cpio(("a", text), ("b", text)),
        rpm(gzip.compress(cpio(("a", text)))),
        b"%PDF-1.7\n4 0 obj\n<< /Filter /FlateDecode >>\nstream\n" + zlib.compress(b"BT (x) Tj ET") + b"\nendstream",
        b"PACK\0\0\0\2\0\0\0\1\x3a" + zlib.compress(b"0123456789"),
    ]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(range(len(_samples()))),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6),
    st.integers(0, 5000),
)
def test_damage_never_raises(which: int, changes: list[tuple[int, int]], cut: int) -> None:
    """Any byte may be wrong and any part may be missing. That this is said, is for `test_content_damage.py`."""
    data = bytearray(_samples()[which])
    for at, value in changes:
        data[at % len(data)] = value
    list(opened(bytes(data[: max(8, len(data) - cut)])))


@settings(max_examples=200, deadline=None)
@given(
    st.binary(min_size=8, max_size=600),
    st.sampled_from(
        ["", "PACK\0\0\0\2", "PK\3\4", "!<arch>\n", "%PDF-", "070701", "SQLite format 3\0", "\x1f\x8b\x08\0"]
    ),
)
def test_random_bytes_never_raise(data: bytes, magic: str) -> None:
    """Whatever follows a magic."""
    list(opened(magic.encode("latin-1") + data))


def test_jupyter_outputs_and_packed_json_are_files_like_others() -> None:
    """A notebook in a wheel is one more text."""
    notebook = json.dumps({"cells": [{"outputs": [{"text": [MARK.decode()]}]}]}).encode()

    [inner] = [inner for inner in opened(zipped(("a.ipynb", notebook))) if isinstance(inner, Content)]

    assert (inner.name, bytes(inner.data)) == ("a.ipynb", notebook)


def test_members_of_nested_tars_keep_their_place() -> None:
    """A tar that lies uncompressed in a file leads to the very bytes."""
    data = tar_of(Member("outer.tar", tar_of({"entry": MARK})))

    [inner] = [
        inner
        for inner in opened(data)
        if isinstance(inner, Content) and inner.inside == ("outer.tar", "entry") and not inner.closed
    ]

    at, length = inner.place(0, len(MARK))
    assert data[at : at + length] == MARK


def test_stored_entries_that_share_their_bytes_end_at_a_limit() -> None:
    """Nothing is compressed there, and still a thousand entries hold a thousand times the file."""
    body = random.Random(2).randbytes(1 << 20)
    locals_, central = b"", b""
    for number in range(1000):
        size = (999 - number) * 31 + len(body)
        head = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, 0, size, size, 1, 0)
        central += b"PK\1\2" + struct.pack("<H", 20) + head + struct.pack("<HHHII", 0, 0, 0, 0, len(locals_)) + b"x"
        locals_ += b"PK\3\4" + head + b"x"
    data = locals_ + body + central
    data += b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1000, 1000, len(central), len(locals_ + body), 0)

    assert "nested.ratio" in reasons(data)
