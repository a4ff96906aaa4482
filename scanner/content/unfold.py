"""What lies inside one content: which format it has by its own bytes, and everything that format holds."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from scanner.content import (
    archives,
    embedded,
    pdffiles,
    phars,
    postgresfiles,
    repositories,
    sqlitefiles,
    storedvalues,
    zips,
)
from scanner.content.brotlifiles import is_named_brotli
from scanner.content.encoded import Clue, decode_runs, open_wide, wide_text
from scanner.content.lzofiles import is_lzop
from scanner.content.lzwfiles import is_compress
from scanner.content.streams import is_refused_lzma, odd_kind, open_stream, stream_kind
from scanner.content.unread import unread
from scanner.content.words import Content, Fault, Room
from scanner.layer.walk import WINDOW

_HEAD = 128
_TELLING = 24  # bytes that tell a compressed stream
#: first bytes that may be the start of something with an inside
_FIRST = frozenset(b"\x1f\x28\x50\x21\x42\x53\x25\x30\x37\x68\x73\x52\x4c\x4d\x5d\x78")
_FIRST |= frozenset(b"O\x82\x02\x04\x60\x6d\x89\xd0\xd9\xed\xfd\xff\xfe\0")
#: of skippable frames of zstd, of zlib streams with a window smaller than git's own, of binary cpio
_FIRST |= frozenset(range(0x50, 0x60)) | frozenset(range(0x08, 0x78, 0x10)) | frozenset(b"\xc7\x71")
#: where the checksum of a tar header stands, and how it may begin
_TAR_SUM, _SUM_FIRST = 148, b" 01234567\0\x80"
_LOCAL = b"PK\3\4"
_TABLE = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # the end of a table of LevelDB
_ROCKS_TABLE = b"\xf7\xcf\xf4\x85\xb7\x41\xe2\x88"  # of RocksDB
_WIRED, _WIRED_LOG = b"\x41\xd8\x01\0\1\0", b"\x64\x10\x10\0"  # of tables of WiredTiger; of its logs, at 16
_LOG_KINDS = b"\1\2\5\6\x09\x0a\x0b\x82\x83"  # of logs of LevelDB and RocksDB: the first record's kind, at 6
_DUCKDB, _EROFS = b"DUCK", b"\xe2\xe1\xf5\xe0"  # magics at 8 and at 1024
_DEEP = 1152  # bytes that tell those
_LHA, _ACE = 0x2D, 0x2A  # of magics that do not stand first: at 2, at 7
_LZMA_ZERO = 13  # where the first coded byte of lzma stands, which is 0
_OLE, _ENCRYPTED_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "EncryptedPackage".encode("utf-16-le")
_OLE_SEARCHED = 1 << 22


@dataclass(frozen=True, slots=True)
class _Format:
    """A content's format.

    Attributes:
        opener: everything in it, read when it is asked for.
        apart: whether what is in it is searched by itself, so that magics in its members say nothing about it.
        own: a magic that the opener looks for itself.
        by_end: whether the end tells it, which is in the last window of a content and not in the first.
    """

    opener: Iterator[Content | Fault]
    apart: bool = True
    own: bytes = b""
    by_end: bool = False


def unfold(
    content: Content, clues: Sequence[Clue], room: Room, first: bool = True
) -> Iterator[Content | Fault]:
    """Everything that is directly inside *content*; what is inside that is for the next call.

    Never raises because of what the bytes are; a content that is given stays valid until the next one is asked for.

    Args:
        clues: where the first pass saw encoded text, as `signals` tells it.
        room: what may still be unpacked.
        first: False if the content was unfolded before and only the clues are new: then no format is looked for but
            zip, which is told by the end.
    """
    known = None if content.closed else _format(content, clues, room)
    opened = known.opener if known is not None and (first or known.by_end) else None
    if opened is None and not clues and not content.packed:
        return
    if content.depth >= room.budget.limits.nested_depth:
        text = f"nested deeper than {room.budget.limits.nested_depth}"
        yield Fault("nested.depth", content.inside, len(content.data), text)
        return
    packed = _packed(content, clues, room.budget.limits.nested_entries)
    if packed is None:
        text = "more beginnings of something packed than archives may have entries"
        yield Fault("nested.entries", content.inside, len(content.data), text)
        packed = []
    if opened is not None:
        covered: list[tuple[int, int]] = []
        for inner in opened:
            if isinstance(inner, Content):
                _cover(covered, inner.covers)
                inner = _with_packed(inner, packed) if inner.searched else inner
            yield inner
        packed = _uncovered(content, packed, covered, known)
    elif known is not None:
        packed = [] if known.apart else _loose(content, packed, room)
    elif packed and len(content.data) > WINDOW and zips.find_end(content.data) is not None:
        packed = [at for at in packed if content.data[at : at + 4] != _LOCAL]  # a zip behind a program: by its end
    yield from decode_runs(content, clues, room)
    if packed:
        yield from embedded.open_packed(content, packed, room)


def _cover(covered: list[tuple[int, int]], ranges: Sequence[tuple[int, int]]) -> None:
    """Add ranges; those that go on where the last one ends join it, as all of a tar do."""
    for start, end in ranges:
        if covered and covered[-1][0] <= start <= covered[-1][1]:
            covered[-1] = covered[-1][0], max(covered[-1][1], end)
        else:
            covered.append((start, end))


def _packed(content: Content, clues: Sequence[Clue], most: int) -> list[int] | None:
    """Where something packed may begin, as the first pass tells; None if that is at more than *most* places."""
    if sum(len(clue.ends) for clue in clues if clue.kind == "packed") > most:
        return None
    starts = {end - clue.phase for clue in clues if clue.kind == "packed" for end in clue.ends}
    return sorted(starts.union(content.packed))


def _with_packed(inner: Content, packed: Sequence[int]) -> Content:
    """A content that is not searched by itself, told where something may be packed in it."""
    start, end = inner.covers[0]
    low, high = bisect.bisect_right(packed, start), bisect.bisect_left(packed, end)
    return inner._replace(packed=tuple(at - start for at in packed[low:high])) if low < high else inner


def _uncovered(
    content: Content, packed: list[int], covered: list[tuple[int, int]], known: _Format | None
) -> list[int]:
    """Where something packed may begin that is not part of what was opened. A content of several windows has clues of
    the first one only; what it was opened into leaves little of it."""
    size = len(content.data)
    ranges = list(embedded.uncovered(covered, size))
    if known is not None and known.apart and size > WINDOW:
        packed = list(embedded.starts_in(content.data, ranges))
    own = b"" if known is None else known.own
    found = [at for at in embedded.among(packed, ranges) if at]  # what stands at the start was opened
    return [at for at in found if content.data[at : at + len(own)] != own] if own else found


def _loose(content: Content, packed: list[int], room: Room) -> list[int]:
    """Those of *packed*, of a later window of an ar archive, that are in no member with a format of its own: that was
    opened with the first window."""
    left = packed
    for start, end in archives.ar_members(content.data) if packed else ():
        low, high = bisect.bisect_left(left, start), bisect.bisect_left(left, end)
        if low < high and _by_start(content.part(start, end, "", searched=True), room) is not None:
            left = left[:low] + left[high:]
    return left


def is_covered(content: Content) -> bool:
    """Whether what `unfold` gives covers all its bytes as they are, so that it needs no search of its own."""
    return not content.verbatim and _is_tar(content.data)


def _format(content: Content, clues: Sequence[Clue], room: Room) -> _Format | None:
    """The content's format, None if nothing can be inside."""
    data = content.data
    if len(data) < 8 or _is_seen(content, room):
        return None
    if found := _by_start(content, room):
        return found
    ended = any(clue.kind == "zip" for clue in clues)
    if ended and (end := zips.find_end(data)) is not None and not content.stands(end, len(data) - end):
        return replace(_zip(content, room, end), by_end=True)
    if data[-8:] in (_TABLE, _ROCKS_TABLE):
        from scanner.content.levelfiles import open_rocks, open_table

        return _Format(open_table(content, room) if data[-8:] == _TABLE else open_rocks(content), apart=False)
    if (data[8:12] == _DUCKDB or data[1024:1028] == _EROFS) and (found := _closed(content, bytes(data[:_DEEP]))):
        return found
    if data[:6] == _WIRED or data[16:20] == _WIRED_LOG:
        from scanner.content.wiredtiger import open_wired

        return _Format(open_wired(content, room), apart=False)
    if data[6] in _LOG_KINDS:
        from scanner.content.levelfiles import is_log, open_log

        if is_log(data):
            return _Format(open_log(content, room), apart=False)
    if phars.may_be_phar(content) and (opened := phars.find_phar(content, room)):
        return _Format(opened)
    if postgresfiles.is_table(data):
        return _Format(postgresfiles.open_table(content, room), apart=False)
    may_be = data[0] in _FIRST or (len(data) > _LZMA_ZERO and not data[_LZMA_ZERO])
    if may_be and (kind := odd_kind(bytes(data[:_HEAD]))):
        return _Format(open_stream(content, kind, room))
    if may_be and is_refused_lzma(bytes(data[:_HEAD])):
        text = "lzma with properties of this kind is not understood"
        return _Format(iter([Fault("nested.unknown", content.inside, len(data), text)]))
    if content.run is None and is_named_brotli(content.name):  # a run is text in the file of that name
        return _Format(open_stream(content, "brotli", room))
    return None


def _is_seen(content: Content, room: Room) -> bool:
    """Whether what begins a decoded text begins the text itself, or is looked for amid it: what was decoded further on
    is part of something that is packed, and only looks like escapes."""
    run = content.run
    if run is None or not content.stands(0, _TELLING):
        return False
    head = bytes(content.data[:_HEAD])
    amid = stream_kind(head) or head[:4] == _LOCAL or unread(head, start=True)
    return bool(amid) or (run.start == 0 and _by_start(run.parent, room) is not None)


def _zip(content: Content, room: Room, end: int | None) -> _Format:
    return _Format(zips.open_zip(content, room, end), own=_LOCAL)


def _by_start(content: Content, room: Room) -> _Format | None:
    """The format that the first bytes tell."""
    data = content.data
    if data[0] in _FIRST or data[2] == _LHA or data[7] == _ACE:
        head = bytes(data[:_HEAD])
        if head[0] & 0x8F == 8 and repositories.is_loose(head):
            return _Format(repositories.open_loose(content, room))
        if kind := stream_kind(head):
            return _Format(open_stream(content, kind, room))
        if encoding := wide_text(data):
            return _Format(open_wide(content, encoding, room))
        if known := _by_magic(content, head, room):
            return known
    if _is_tar(data):
        return _Format(archives.open_tar(content, room))
    return None


def _by_magic(content: Content, head: bytes, room: Room) -> _Format | None:
    data = content.data
    if head[:4] == b"PK\3\4" and zips.is_local(data):
        return _zip(content, room, zips.find_end(data))
    if head[:8] == b"!<arch>\n":
        return _Format(archives.open_ar(content, room), apart=False)
    if head[:4] == b"\xed\xab\xee\xdb" and head[4:5] in b"\3\4":
        return _Format(archives.open_rpm(content, room))
    if is_compress(head):
        return _Format(open_stream(content, "compress", room))
    if is_lzop(head):
        return _Format(open_stream(content, "lzo", room))
    if head[:6] == b"7z\xbc\xaf\x27\x1c":
        from scanner.content.sevenzip import open_seven  # costs an import only where there is one; so do the next ones

        return _Format(open_seven(content, 0, room))
    if head[:8] == b"MSCF\0\0\0\0":
        from scanner.content.cabinets import open_cabinet

        return _Format(open_cabinet(content, 0, room))
    if head[:4] in (b"PAR1", b"PARE"):
        from scanner.content.parquetfiles import open_parquet

        return _Format(open_parquet(content, room), apart=False)
    if head[:3] in (b"Obj", b"ORC") and (opened := _rows(content, head, room)):
        return opened
    if head[:8] == b"LPKSHHRH":
        from scanner.content.journalfiles import open_journal

        return _Format(open_journal(content, room), apart=False)
    if head[:4] == b"QFI\xfb":
        from scanner.content import qcow

        return _Format(qcow.open_qcow(content, room), apart=False) if qcow.is_qcow(head) else None
    if head[:4] == b"hsqs" and (opened := _squashfs(content, head, room)):
        return opened
    if archives.is_cpio(head):
        return _Format(archives.open_cpio(content, room))
    if sqlitefiles.is_sqlite(head):
        return _Format(sqlitefiles.open_sqlite(content, room))
    if head[:5] == b"%PDF-":
        return _Format(pdffiles.open_pdf(content, room))
    if postgresfiles.is_dump(head):
        return _Format(postgresfiles.open_dump(content, room))
    if storedvalues.is_redis(head):
        return _Format(storedvalues.open_redis(content, room), apart=False)
    if storedvalues.is_mozilla(head):
        return _Format(storedvalues.open_mozilla(content, room))
    if repositories.is_pack(head):
        return _Format(repositories.open_pack(content, room))
    return _closed(content, head)


def _rows(content: Content, head: bytes, room: Room) -> _Format | None:
    from scanner.content import avrofiles, orcfiles

    if avrofiles.is_avro(head):
        return _Format(avrofiles.open_avro(content, room), apart=False)
    return _Format(orcfiles.open_orc(content, room)) if orcfiles.is_orc(content.data) else None


def _squashfs(content: Content, head: bytes, room: Room) -> _Format | None:
    from scanner.content.squashblocks import is_like
    from scanner.content.squashfs import open_squash

    return _Format(open_squash(content, 0, room)) if is_like(head) else None


def _closed(content: Content, head: bytes) -> _Format | None:
    """What has an inside that cannot be opened."""
    fault = None
    if name := unread(head, start=True):
        fault = Fault("nested.unknown", content.inside, len(content.data), f"{name} is not understood")
    elif head[:8] == _OLE and _ENCRYPTED_OFFICE in bytes(content.data[:_OLE_SEARCHED]):
        fault = Fault("nested.encrypted", content.inside, len(content.data), "the document is encrypted")
    return None if fault is None else _Format(iter([fault]))


def _is_tar(data: memoryview) -> bool:
    """By the checksum: the oldest form of tar has no magic, and is read by all that read the others."""
    return len(data) > _TAR_SUM and data[_TAR_SUM] in _SUM_FIRST and archives.is_tar(data)
