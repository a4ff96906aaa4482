"""A layer's plain bytes to pieces: every byte of a tar as member data or as structure around it.

`tarfile` walks the headers, with a `TarInfo` of our own that reads them as Go's archive/tar does, since that is what
the engine believes: numbers, names, PAX records, which types carry data. Where `tarfile` would end silently this one
says why it stops, and the rest of the layer becomes pieces without a member. So nothing depends on the walk being
right: headers, padding, end marker and whatever follows are pieces too, and the pieces cover the layer.

Sources: POSIX.1-2017 pax (ustar and extended headers), GNU tar manual (long names, sparse files), go archive/tar.
"""

from __future__ import annotations

import re
import tarfile
import time
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, Self

from scanner.layer import sparse
from scanner.layer.tree import DIRECTORY, FILE, Tree, clean, effect, path_hash
from scanner.limits import KIB, MIB, Limits

BLOCK = 512
WINDOW = 16 * MIB  # larger members are matched in windows, so that all processes share them
OVERLAP = 256 * KIB  # what a window sees of its neighbours: more than any rule needs
BATCH_BYTES, BATCH_PIECES = 16 * MIB, 500
NO_DATA = b"123456"  # links, devices, directories, fifos: header only, whatever their size field says
_FILE_TYPES = b"07\0S"
_SPARSE_ENTRIES = 100_000
_NAME = 4096  # PATH_MAX: no engine can create a longer path
_DIRECTORIES = 500_000
_ZEROS = bytes(BLOCK)
_DECIMAL = re.compile(rb"[+-]?[0-9]{1,19}")


class Piece(NamedTuple):
    """Bytes to match: a window of one member's data, and the structure in front of it. Offsets in the plain layer.

    Attributes:
        member: name as stored (PAX and GNU long names applied), None for bytes that belong to no member.
        number: which member of the layer, from 0.
        header: [header, data) is the structure before the data; empty for all windows but the first.
        data, size: the member's data.
        start, end: the window of the data that this piece is about.
        again: these bytes are in another piece as well, and do not count twice.
    """

    member: bytes | None
    number: int
    header: int
    data: int
    size: int
    start: int
    end: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a walk ended before the end, or what it met that an engine would refuse: a gap in the making."""

    reason: str
    offset: int
    length: int
    detail: str
    member: bytes | None = None


@dataclass(slots=True)
class Ledger:
    """Bytes of a layer by what they are; the sum is the layer's size. Filled while walking."""

    headers: int = 0
    extended: int = 0
    data: int = 0
    padding: int = 0
    end_marker: int = 0
    gap: int = 0
    members: int = 0
    stops: list[Stop] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All bytes accounted for."""
        return self.headers + self.extended + self.data + self.padding + self.end_marker + self.gap


class _Unreadable(Exception):
    """The bytes at an offset are no header that an engine would accept."""

    def __init__(self, reason: str, offset: int, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.offset, self.detail = reason, offset, detail


def number(field_bytes: bytes) -> int | None:
    """A numeric header field as Go's parseNumeric reads it: octal, or base 256 if the top bit is set, else None."""
    if field_bytes[0] & 0x80:
        negative = bool(field_bytes[0] & 0x40)
        value = int.from_bytes(field_bytes, "big") & ((1 << (8 * len(field_bytes) - 1)) - 1)
        if negative:
            value -= 1 << (8 * len(field_bytes) - 1)
        return value if -(1 << 63) <= value < 1 << 63 else None
    text = field_bytes.strip(b" \0").partition(b"\0")[0]
    if not text.isdigit():  # int() would take signs, underscores and prefixes
        return None if text else 0
    try:
        return int(text, 8)
    except ValueError:
        return None


def is_tar(block: bytes) -> bool:
    """Whether a header block says that it is one, as POSIX and GNU have it."""
    return block[257:262] == b"ustar"


def checksum_holds(header: bytes) -> bool:
    """Whether the header's checksum is its unsigned or signed byte sum (both are accepted everywhere)."""
    stored = number(header[148:156])
    if stored is None:
        return False
    # adler32's low half is 1 + the byte sum modulo 65521, at the speed of C
    total = (zlib.adler32(header) & 0xFFFF) - 1 - sum(header[148:156]) + 256
    if (stored - total) % 65521 == 0:
        return True
    rest = header[:148] + header[156:]
    return stored == 256 + sum(byte - 256 if byte > 127 else byte for byte in rest)


def _prefix(header: bytes) -> bytes:
    """What Go's reader puts in front of a name, which its field was too short for; b"" for nothing."""
    if header[257:263] == b"ustar\0":
        end = 476 if header[508:512] == b"tar\0" else 500  # star keeps times behind a shorter prefix
        return header[345:end].partition(b"\0")[0]
    times = header[345:357], header[357:369]  # one that begins with a zero is none
    if header[257:265] != b"ustar  \0" or all(not each[0] or number(each) is not None for each in times):
        return b""
    prefix = header[345:500].partition(b"\0")[0]  # by a fault of older writers, where GNU's format has times
    return prefix if prefix.isascii() else b""


def _pax_records(body: bytes) -> tuple[dict[bytes, bytes], bool]:
    """The records of an extended header, and whether all of it was sound. Empty values are dropped, as Go does."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + 8)
        digits = body[at:space]
        if space < 0 or not digits.isdigit():
            return records, not body[at:].strip(b"\0")
        end = at + int(digits)
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if end <= space + 1 or end > len(body) or not equals or body[end - 1 : end] != b"\n":
            return records, False
        if value and key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):  # format 0.0 repeats them, a pair a run
            records[b"GNU.sparse.map"] = b",".join((*filter(None, [records.get(b"GNU.sparse.map")]), value))
        elif value:
            records[key] = value
        at = end
    return records, True


class LayerMember(tarfile.TarInfo):
    """A member as the engine would see it. Only what a scanner needs is set: type, size, offsets and raw names."""

    __slots__ = ("faults", "raw_link", "raw_name", "runs", "typeflag")

    raw_name: bytes
    raw_link: bytes
    typeflag: bytes
    faults: list[tuple[str, str]]
    runs: tuple[int, ...]  # where in the data of a sparse member a hole lies before the byte

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        """Read the member at the archive's offset, extended headers first. Sets the offset of the next one.

        Raises tarfile.EOFHeaderError at the end of the archive, whatever kind of end; the archive remembers which.
        """
        assert isinstance(tar, LayerTar)
        try:
            return cls._read(tar)
        except _Unreadable as stop:
            tar.stop = stop
            raise tarfile.EOFHeaderError(stop.reason) from None  # type: ignore[attr-defined]

    @classmethod
    def _read(cls, tar: LayerTar) -> Self:
        member = cls.__new__(cls)
        member.faults = []
        member.offset = at = tar.offset
        pax: dict[bytes, bytes] = {}
        long_name = long_link = b""
        chained = 0
        while True:
            header = tar.header(at)
            kind = header[156:157]
            at += BLOCK
            if kind not in (b"x", b"g", b"L", b"K"):
                break
            chained += 1
            if chained > tar.limits.extended_header_chain:
                raise _Unreadable("tar.extended-headers", at - BLOCK, "more extended headers in a row than allowed")
            body, at = tar.extended(header, at)
            if kind == b"g":  # to Go's reader an entry of its own: what came before it does not count any more
                pax, long_name, long_link = {}, b"", b""
                if not _pax_records(body)[1]:
                    member.faults.append(("tar.pax", "a global extended header is malformed"))
            elif kind == b"x":
                pax, sound = _pax_records(body)
                if not sound or any(b"\0" in pax.get(key, b"") for key in (b"path", b"linkpath")):
                    member.faults.append(("tar.pax", "an extended header is malformed"))
            elif kind == b"L":
                long_name = body.partition(b"\0")[0]
            elif kind == b"K":
                long_link = body.partition(b"\0")[0]
        member._fill(tar, header, at, pax, long_name, long_link)
        return member

    def _fill(
        self, tar: LayerTar, header: bytes, at: int, pax: dict[bytes, bytes], long_name: bytes, long_link: bytes
    ) -> None:
        kind = header[156:157]
        name = header[:100].partition(b"\0")[0]
        if header[345] and (prefix := _prefix(header)):
            name = prefix + b"/" + name
        sparse_name = pax.get(b"GNU.sparse.name") if kind != b"S" and sparse.is_declared(pax) else None
        self.raw_name = sparse_name or long_name or pax.get(b"path") or name
        self.raw_link = long_link or pax.get(b"linkpath") or header[157:257].partition(b"\0")[0]
        self.type = self.typeflag = kind
        size = number(header[124:136])
        if b"size" in pax:
            size = int(pax[b"size"]) if _DECIMAL.fullmatch(pax[b"size"]) else None
        if size is None or size < 0:
            raise _Unreadable("tar.size", self.offset, "a member's size is no number that an engine accepts")
        if kind in NO_DATA or (kind == b"\0" and self.raw_name.endswith(b"/")):  # the latter is how V7 says directory
            size = 0
        entries: list[tuple[int, int]] | None = None
        self.runs = ()
        if kind == b"S":
            at, entries = tar.sparse_blocks(header, at)
        self.offset_data, self.size = at, size
        if entries is not None or pax.get(b"GNU.sparse.major") == b"1" or b"GNU.sparse.map" in pax:
            self._find_runs(tar.view[at : at + size], entries, pax)
        tar.offset = min(at + size + (-size % BLOCK), len(tar.view))


    def _find_runs(
        self, data: memoryview, entries: list[tuple[int, int]] | None, pax: dict[bytes, bytes]
    ) -> None:
        """Note the holes of a sparse member, by the map of its header (*entries*) or of one of PAX's formats."""
        start = 0
        if entries is None and pax.get(b"GNU.sparse.major") == b"1":
            entries, start = sparse.stored(data) or (None, 0)
        elif entries is None:
            entries = sparse.listed(pax[b"GNU.sparse.map"])
        runs = None if entries is None else sparse.runs(entries, start, self.size)
        if runs is None:
            self.faults.append(("tar.sparse", "a sparse member's map is malformed"))
        else:
            self.runs = runs
            if runs and entries and not sparse.is_usual(entries):
                self.faults.append(("tar.sparse", "holes of a sparse member lie where no tool puts any"))


class LayerTar(tarfile.TarFile):
    """The tar of one layer over a map. Remembers how the archive ended."""

    tarinfo = LayerMember

    def __init__(self, view: memoryview, limits: Limits) -> None:
        self.view = view
        self.limits = limits
        #: '' while walking; then marker (two zero blocks), bare (the bytes just end) or lone (one zero block)
        self.ending = ""
        #: why walking ended at bytes that are no header
        self.stop: _Unreadable | None = None
        super().__init__(fileobj=ViewFile(view),  # type: ignore[arg-type]  # reading needs no write
                         mode="r")

    def header(self, at: int) -> bytes:
        """The header block at *at*, its checksum right."""
        header = bytes(self.view[at : at + BLOCK])
        if not header:
            self.ending = "bare"
            raise tarfile.EOFHeaderError("end of file header")  # type: ignore[attr-defined]
        if header == _ZEROS[: len(header)]:
            second = bytes(self.view[at + BLOCK : at + 2 * BLOCK])
            self.ending = "lone" if second.strip(b"\0") else "marker"
            raise tarfile.EOFHeaderError("end of file header")  # type: ignore[attr-defined]
        if len(header) < BLOCK:
            raise _Unreadable("tar.truncated", at, "the archive ends within a header")
        if not checksum_holds(header):
            raise _Unreadable("tar.header", at, "these bytes are no tar header")
        return header

    def extended(self, header: bytes, at: int) -> tuple[bytes, int]:
        """The body of an extended header at *at*, and where the next header starts."""
        size = number(header[124:136])
        if size is None or not 0 <= size <= self.limits.extended_header_bytes:
            raise _Unreadable("tar.extended-headers", at - BLOCK, "an extended header is larger than allowed")
        body = bytes(self.view[at : at + size])
        if len(body) < size:
            raise _Unreadable("tar.truncated", at - BLOCK, "the archive ends within an extended header")
        return body, at + size + (-size % BLOCK)

    def sparse_blocks(self, header: bytes, at: int) -> tuple[int, list[tuple[int, int]]]:
        """Where the data of an old GNU sparse member starts, after the blocks that continue its map, and the map."""
        fields = [*sparse.header_entries(header)]
        more = header[482]
        while more:
            block = bytes(self.view[at : at + BLOCK])
            if len(block) < BLOCK:
                raise _Unreadable("tar.truncated", at, "the archive ends within a sparse map")
            if len(fields) > _SPARSE_ENTRIES:
                raise _Unreadable("tar.sparse", at, "a sparse map is longer than allowed")
            fields += sparse.more_entries(block)
            more = block[504]
            at += BLOCK
        return at, [(number(offset) or 0, number(length) or 0) for offset, length in fields]


class ViewFile:
    """The little of a file that `tarfile` asks for when it reads, over a map."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int) -> int:
        self._at = offset
        return offset

    def read(self, size: int) -> bytes:
        part = bytes(self._view[self._at : self._at + size])
        self._at += len(part)
        return part


@dataclass(slots=True)
class Walk:
    """One walk over a layer: iterate `batches()`, then read `ledger` and `tree()`.

    Attributes:
        view: the layer's plain bytes.
        deadline: `time.monotonic()` after which the walk stops with a gap.
    """

    view: memoryview
    limits: Limits
    deadline: float
    ledger: Ledger = field(default_factory=Ledger)
    _kinds: bytearray = field(default_factory=bytearray)
    _hashes: array[int] = field(default_factory=lambda: array("Q"))
    _directories: array[int] = field(default_factory=lambda: array("Q", (path_hash(b""), 0)))
    _links: array[int] = field(default_factory=lambda: array("Q"))
    _numbers: dict[int, int] = field(default_factory=lambda: {path_hash(b""): 0})  # of directories, by their hashes
    _parent: bytes = b""
    _place: int | None = 0

    def tree(self) -> Tree:
        """What the layer does to those below; complete when the walk is."""
        packed = (each.tobytes() for each in (self._hashes, self._directories, self._links))
        return Tree(bytes(self._kinds), *packed)

    def batches(self) -> Iterator[list[Piece]]:
        """All pieces in order, in batches of about 16 MiB or 500 pieces."""
        batch: list[Piece] = []
        size = 0
        for piece in self._pieces():
            batch.append(piece)
            size += piece.end - piece.start + piece.data - piece.header
            if size >= BATCH_BYTES or len(batch) >= BATCH_PIECES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def members(self) -> Iterator[LayerMember]:
        """The members alone, accounted for as by `batches()`: for an archive whose data is read elsewhere."""
        for member in self._members():
            size = min(member.size, len(self.view) - member.offset_data)
            self._account(member, size)
            if size < member.size:
                text = "the archive ends within a member"
                self._stop("tar.truncated", member.offset_data, member.size - size, text, member.raw_name)
            yield member

    def _pieces(self) -> Iterator[Piece]:
        done = 0  # everything before this offset is in a piece
        for member in self._members():
            data, size = member.offset_data, min(member.size, len(self.view) - member.offset_data)
            self._account(member, size)
            if size < member.size:
                text = "the archive ends within a member"
                self._stop("tar.truncated", data, member.size - size, text, member.raw_name)
            index = self.ledger.members - 1
            name = member.raw_name[:_NAME]
            first = min(data + size, data + WINDOW)
            yield Piece(name, index, done, data, size, data, first)
            done = data + size
            if first < done:
                yield from self._windows(name, index, data, size, first)
            if member.runs:
                yield from self._runs(name, index, member, size)
        rest = len(self.view) - done
        if rest:
            yield from self._windows(None, self.ledger.members, done, rest, done)

    def _runs(self, name: bytes, index: int, member: LayerMember, size: int) -> Iterator[Piece]:
        """The data of a sparse member once more, each run for itself: what a hole parts is not to be read together."""
        for start, end in pairwise([0, *(run for run in member.runs if run < size), size]):
            whole = member.offset_data + start
            for piece in self._windows(name, index, whole, end - start, whole):
                yield piece._replace(again=True)

    @staticmethod
    def _windows(member: bytes | None, index: int, data: int, size: int, start: int) -> Iterator[Piece]:
        for at in range(start, data + size, WINDOW):
            yield Piece(member, index, data, data, size, at, min(data + size, at + WINDOW))

    def _account(self, member: LayerMember, size: int) -> None:
        ledger = self.ledger
        ledger.members += 1
        ledger.headers += BLOCK
        ledger.extended += member.offset_data - member.offset - BLOCK
        ledger.data += size
        ledger.padding += min(-member.size % BLOCK, max(0, len(self.view) - member.offset_data - size))
        for reason, detail in member.faults:
            self._stop(reason, member.offset, member.offset_data - member.offset, detail, member.raw_name)
        if member.typeflag not in _FILE_TYPES and member.typeflag not in NO_DATA:
            text = "a member has a type that no engine knows"
            self._stop("tar.unknown-type", member.offset, size, text, member.raw_name)
        path = clean(member.raw_name)
        kind, path = effect(path)
        if kind == FILE and (member.typeflag == b"5" or (member.typeflag == b"\0" and member.raw_name.endswith(b"/"))):
            kind = DIRECTORY
        self._kinds.append(kind)
        self._hashes.append(path_hash(path))
        parent = path.rpartition(b"/")[0]
        if parent != self._parent:
            self._parent, self._place = parent, self._directory(parent)
        if member.typeflag == b"1" and kind == FILE and self._place is not None:
            self._links.extend((ledger.members - 1, path_hash(clean(member.raw_link)), self._place))

    def _directory(self, path: bytes) -> int | None:
        """The number of a directory, noted with all above it; None beyond what any engine can create, or where there
        are more than any image has."""
        missing: list[int] = []
        while (number := self._numbers.get(own := path_hash(path))) is None:
            if len(path) > _NAME or len(self._numbers) + len(missing) >= _DIRECTORIES:
                return None
            missing.append(own)
            path = path.rpartition(b"/")[0]
        for own in reversed(missing):
            self._directories.extend((own, number))
            number = self._numbers[own] = len(self._numbers)
        return number

    def _stop(self, reason: str, offset: int, length: int, detail: str, member: bytes | None = None) -> None:
        self.ledger.stops.append(Stop(reason, offset, length, detail, member))

    def _members(self) -> Iterator[LayerMember]:
        """The members; how the archive ends goes into the ledger."""
        tar = LayerTar(self.view, self.limits)
        while (member := self._next(tar)) is not None:
            yield member
            if self.ledger.members >= self.limits.members:
                tar.stop = _Unreadable("limit.members", tar.offset, "more members than the limit")
                break
            if self.ledger.members % 1024 == 0 and time.monotonic() > self.deadline:
                tar.stop = _Unreadable("limit.time", tar.offset, "reading the layer takes longer than the limit")
                break
        if tar.stop is None:
            self._end(tar.offset, tar.ending)
        else:
            self._broken(tar.stop, tar.offset)

    def _broken(self, stop: _Unreadable, offset: int) -> None:
        """Account for what lies behind bytes that are no header."""
        size = len(self.view)
        no_tar = self.ledger.members == 0 and stop.reason == "tar.header"
        start = max(stop.offset, min(offset, size))
        reason, detail = ("tar.none", "the layer is no tar archive") if no_tar else (stop.reason, stop.detail)
        self._stop(reason, start, size - start, detail)
        self.ledger.gap += size - offset

    @staticmethod
    def _next(tar: LayerTar) -> LayerMember | None:
        tar.members.clear()  # type: ignore[attr-defined]  # else every member of millions is kept
        member: Any = tar.next()
        return member if isinstance(member, LayerMember) else None

    def _end(self, at: int, ending: str) -> None:
        """Account for the end marker and what follows it; all of it was or will be a piece."""
        rest = self.view[at:]
        trailing = next((o for o in range(0, len(rest), MIB) if bytes(rest[o : o + MIB]).strip(b"\0")), None)
        if ending != "lone" and trailing is None:
            self.ledger.end_marker += len(rest)
            return
        marker = min(BLOCK if ending == "lone" else 2 * BLOCK, len(rest))
        self.ledger.end_marker += marker
        self.ledger.gap += len(rest) - marker
        reason = "tar.lone-zero-block" if ending == "lone" else "tar.trailing"
        self._stop(reason, at + marker, len(rest) - marker, "bytes follow the end of the archive")
