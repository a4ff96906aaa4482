"""Zip archives, in front of which anything may stand: every entry that any reader could see, each once.

Readers disagree: some believe the central directory at the end, some read local headers from the start. So entries
come from both, by where their local header lies. Source: APPNOTE.TXT 6.3.10 (section numbers below).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

from scanner.content.buffer import Buffer
from scanner.content.streams import fill_from
from scanner.content.words import Content, Fault, Room, Stop
from scanner.layer.compression import crc32

_LOCAL, _CENTRAL, _END, _END64 = b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6"
_DESCRIPTOR = b"PK\7\x08"
_END_SIZE, _COMMENT = 22, 65535
_METHODS = {8: "deflate", 12: "bzip2", 14: "lzma-raw", 93: "zstd", 95: "xz"}
#: methods that are assigned and not understood (section 4.4.5)
_UNREAD = frozenset((*range(1, 7), 9, 10, 16, 18, 19, 20, 94, 96, 97, 98, 99))
_ENCRYPTED, _SIZE_FOLLOWS = 0x1, 0x8
_RESERVED = 0xD780  # flags that no writer sets
_U32 = 0xFFFFFFFF
_DAMAGED = "nested.damaged", "the entry is damaged or cut off"
_WRONG = "nested.damaged", "the checksum of the entry is wrong"


@dataclass(frozen=True, slots=True)
class _Plain:
    """What a header says of an entry's plain bytes."""

    crc: int
    size: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry by its local header; *size* is None where only the stream itself tells where it ends. *plain*: what its
    headers say of its plain bytes, of which one must be right, since readers believe either; empty if that follows."""

    at: int
    data: int
    size: int | None
    method: int
    flags: int
    name: str
    plain: tuple[_Plain, ...]


@dataclass(frozen=True, slots=True)
class _Listed:
    """An entry as the central directory tells it; *size* is of the stored bytes."""

    name: str
    size: int
    method: int
    flags: int
    plain: _Plain


@dataclass(frozen=True, slots=True)
class _Directory:
    """The central directory: what it lists by offset of the local header, and whether it can be read to its end."""

    entries: dict[int, _Listed]
    whole: bool


def _int(data: memoryview | bytes, at: int, length: int) -> int:
    return int.from_bytes(data[at : at + length], "little")


def find_end(data: memoryview) -> int | None:
    """Where the end record lies (section 4.3.16), if a central directory stands where it says; None if none does."""
    start = max(0, len(data) - _END_SIZE - _COMMENT)
    tail = bytes(data[start:])
    at = tail.rfind(_END)
    while at >= 0:
        if _directory_start(data, start + at) is not None:
            return start + at
        at = tail.rfind(_END, 0, at)
    return None


def is_empty(data: memoryview) -> bool:
    """Whether it is nothing but an end record."""
    return len(data) == _END_SIZE and bytes(data[:4]) == _END


def is_local(data: memoryview) -> bool:
    """Whether a sound local header is at the start."""
    return _local(data, 0, None) is not None


def _directory_start(data: memoryview, end: int) -> tuple[int, int, int] | None:
    """Where the central directory starts, where it ends, and what must be added to its offsets."""
    if end + _END_SIZE > len(data):
        return None
    size, offset, last = _int(data, end + 12, 4), _int(data, end + 16, 4), end
    if (size == _U32 or offset == _U32) and end >= 76 and bytes(data[end - 20 : end - 16]) == b"PK\6\7":
        record = bytes(data[: end - 20][-4096:]).rfind(_END64)
        if record >= 0:
            last = max(0, end - 20 - 4096) + record
            size, offset = _int(data, last + 40, 8), _int(data, last + 48, 8)
    start = last - size
    if size == 0 or start < 0 or bytes(data[start : start + 4]) != _CENTRAL:
        return None
    return start, last, start - offset


def _directory(data: memoryview, end: int | None) -> _Directory:
    """What the central directory says; not whole if it is missing or ends early."""
    place = None if end is None else _directory_start(data, end)
    if end is None or place is None:
        return _Directory({}, False)
    at, last, shift = place
    entries: dict[int, _Listed] = {}
    while at + 46 <= last and bytes(data[at : at + 4]) == _CENTRAL:
        size, offset = _int(data, at + 20, 4), _int(data, at + 42, 4)
        name, extra, comment = _int(data, at + 28, 2), _int(data, at + 30, 2), _int(data, at + 32, 2)
        if _U32 in (size, offset):
            body = data[at + 46 + name : at + 46 + name + extra]
            size, offset = _zip64(body, _int(data, at + 24, 4) == _U32, size, offset)
        text = _name(bytes(data[at + 46 : at + 46 + name]))
        plain = _Plain(_int(data, at + 16, 4), _int(data, at + 24, 4))
        entries.setdefault(offset + shift, _Listed(text, size, _int(data, at + 10, 2), _int(data, at + 8, 2), plain))
        at += 46 + name + extra + comment
    return _Directory(entries, at == last)


def _zip64(extra: memoryview, plain_too: bool, size: int, offset: int) -> tuple[int, int]:
    """Sizes and offset of an extra field of kind 1 (section 4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = _int(extra, at, 2), _int(extra, at + 2, 2)
        if kind == 1:
            place = at + 4 + (8 if plain_too else 0)
            if size == _U32:
                size, place = _int(extra, place, 8), place + 8
            return size, _int(extra, place, 8) if offset == _U32 else offset
        at += 4 + length
    return size, offset


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _local(data: memoryview, at: int, known: _Listed | None) -> _Entry | None:
    """The entry whose local header is at *at* (section 4.3.7), None if none is."""
    if at < 0 or at + 30 > len(data) or bytes(data[at : at + 4]) != _LOCAL:
        return None
    flags, method, size = _int(data, at + 6, 2), _int(data, at + 8, 2), _int(data, at + 18, 4)
    name, extra = _int(data, at + 26, 2), _int(data, at + 28, 2)
    start = at + 30 + name + extra
    if start > len(data) or _int(data, at + 4, 1) > 100:
        return None
    if size == _U32:
        size, _ = _zip64(data[at + 30 + name : start], _int(data, at + 22, 4) == _U32, size, 0)
    text = known.name if known else _name(bytes(data[at + 30 : at + 30 + name]))
    own = _Plain(_int(data, at + 14, 4), _int(data, at + 22, 4))
    plain = (*((known.plain,) if known else ()), *((own,) if own.crc or not flags & _SIZE_FOLLOWS else ()))
    if known and (flags & _SIZE_FOLLOWS or size == 0):
        size = known.size
    elif flags & _SIZE_FOLLOWS and size == 0:
        return _Entry(at, start, None, method, flags, text, plain)
    return _Entry(at, start, size, method, flags, text, plain)


def open_zip(content: Content, room: Room, end: int | None) -> Iterator[Content | Fault]:
    """All entries. *end* is where the end record is, as `find_end` gives it."""
    data = content.data
    directory = _directory(data, end)
    if not directory.whole and not is_empty(data):
        yield Fault("nested.damaged", content.inside, len(data), "the zip archive has no sound directory")
    seen: set[int] = set()
    covered = [(0, 0)]
    try:
        for at in sorted(directory.entries):
            listed = directory.entries[at]
            entry = _local(data, at, listed)
            if entry is None:
                text = "the directory of the zip archive names an entry that is not there"
                yield Fault("nested.damaged", (*content.inside, listed.name), None, text)
                continue
            room.entry()
            seen.add(at)
            stop = yield from _open(content, entry, room)
            covered.append((at, stop))
            if _differs(entry, listed):
                other = replace(entry, size=listed.size, method=listed.method, flags=listed.flags)
                yield from _open(content, other, room)
        yield from _unlisted(content, room, seen, covered)
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(data), stop.what)


def _differs(entry: _Entry, listed: _Listed) -> bool:
    """Whether readers that believe the directory get other bytes than those that believe the local header."""
    if entry.method != listed.method or (entry.flags ^ listed.flags) & _ENCRYPTED:
        return True
    return entry.size != listed.size and _METHODS.get(entry.method) != "deflate"  # which ends by itself


def _unlisted(
    content: Content, room: Room, seen: set[int], covered: list[tuple[int, int]]
) -> Iterator[Content | Fault]:
    """Entries by local headers that no directory names, in the bytes that no other entry covers. What stands in front
    of an archive that does not begin with an entry may be anything, where some bytes look like a header."""
    reached = 0
    front = bytes(content.data[:4]) != _LOCAL
    gaps = []
    for start, stop in [*sorted(covered), (len(content.data), 0)]:
        if start > reached:
            gaps.append((reached, start))
        reached = max(reached, stop)
    for start, stop in gaps:
        at = _find_local(content.data, start, stop)
        while at is not None:
            entry = _local(content.data, at, None)
            after = at + 4
            if not start and front:
                after = max(after, (yield from open_entry(content, at, room)))
            elif entry is not None and at not in seen:
                room.entry()
                after = max(after, (yield from _open(content, entry, room)))
            at = _find_local(content.data, after, stop)


def _find_local(data: memoryview, start: int, stop: int) -> int | None:
    for at in range(start, stop, 1 << 20):
        found = bytes(data[at : min(stop, at + (1 << 20) + 3)]).find(_LOCAL)
        if found >= 0:
            return at + found
    return None


def _open(
    content: Content, entry: _Entry, room: Room, whole: bool = False
) -> Generator[Content | Fault, None, int]:
    """One entry; returns where its data ends. *whole*: without what comes out of a damaged one."""
    data, start, inside = content.data, entry.data, (*content.inside, entry.name)
    end = len(data) if entry.size is None else min(len(data), start + entry.size)
    if entry.flags & _ENCRYPTED:
        yield Fault("nested.encrypted", inside, end - start, "the entry is encrypted")
    elif entry.method == 0:
        yield from _stored(content, entry, room, end, whole)
    elif entry.method in _METHODS:
        return (yield from _unpacked(content, entry, room, end, whole))
    else:
        yield Fault("nested.unknown", inside, end - start, f"packed by method {entry.method}, which is not understood")
    return end


def _stored(content: Content, entry: _Entry, room: Room, end: int, whole: bool) -> Iterator[Content | Fault]:
    """An entry that lies in the archive as it is."""
    start, fault = entry.data, None
    room.take(end - start)  # entries may overlap: countless ones can share the same bytes
    if entry.size is not None:
        told = entry.plain or _following(content.data, end, entry.size)
        fault = _DAMAGED if end - start < entry.size else _checked(told, content.data[start:end])
    if end > start and not (whole and fault):
        yield content.part(start, end, entry.name)._replace(covers=_covers(entry, end))
    if fault:
        yield Fault(fault[0], (*content.inside, entry.name), end - start, fault[1])


def _checked(told: tuple[_Plain, ...], data: memoryview, cut: bool = False) -> tuple[str, str] | None:
    """What is wrong with plain bytes, unless one of *told* is right about them. *cut*: what comes out behind the size
    that is told counts for nothing: a stream of LZMA need not mark its end."""
    if not told:
        return _DAMAGED
    if crc32(data) in [plain.crc for plain in told]:
        return None
    return None if cut and any(crc32(data[: plain.size]) == plain.crc for plain in told) else _WRONG


def _following(data: memoryview, at: int, size: int) -> tuple[_Plain, ...]:
    """What follows an entry of *size* stored bytes that ends at *at*, with or without a magic (section 4.3.9): empty if
    something else does."""
    signed = bytes(data[at : at + 4]) == _DESCRIPTOR
    at += 4 * signed
    if at + 12 > len(data) or not (signed or _int(data, at + 4, 4) == size):
        return ()
    return (_Plain(_int(data, at, 4), _int(data, at + 8, 4)),)


def _covers(entry: _Entry, end: int) -> tuple[tuple[int, int], ...]:
    """The magic and the data; the fields between them may hold anything."""
    return (entry.at, entry.at + 4), (entry.data, end)


def open_entry(
    content: Content, at: int, room: Room, whole: bool = False
) -> Generator[Content | Fault, None, int]:
    """The entry whose local header is at *at*, amid something that is no zip archive; nothing if it only looks like
    one, or is damaged and must be *whole*. Returns where it ends."""
    entry = _local(content.data, at, None)
    if entry is None or not _is_sound(content.data, entry):
        return at
    room.entry()
    damage: list[Fault] = []
    opened, steps = False, _open(content, entry, room, whole)
    while True:
        try:
            found = next(steps)
        except StopIteration as stop:
            end: int = stop.value
            break
        if isinstance(found, Fault) and found.reason == "nested.damaged":
            damage.append(found)
            continue
        if isinstance(found, Fault) and whole and found.reason in ("nested.encrypted", "nested.unknown"):
            continue
        opened = True
        yield found
    if opened:
        yield from damage
    return end if opened else at


def _is_sound(data: memoryview, entry: _Entry) -> bool:
    """Whether a header that stands by itself says what a writer of archives would (sections 4.4.4 and 4.4.17)."""
    name = bytes(data[entry.at + 30 : entry.at + 30 + _int(data, entry.at + 26, 2)])
    if not name or min(name) < 0x20 or entry.flags & _RESERVED:
        return False
    if entry.method in _METHODS:
        return True
    if entry.method and entry.method not in _UNREAD:
        return False
    return entry.size is not None and entry.data + entry.size <= len(data)


def _unpacked(
    content: Content, entry: _Entry, room: Room, end: int, whole: bool
) -> Generator[Content | Fault, None, int]:
    data, start, inside = content.data, entry.data, (*content.inside, entry.name)
    kind = _METHODS[entry.method]
    buffer = Buffer(room)
    try:
        fault, end = _filled(buffer, data, entry, end)
        plain = buffer.view()
        fault = fault or _checked(entry.plain or _following(data, end, end - start), plain, kind == "lzma-raw")
        if buffer.size and not (whole and fault):
            name = (kind.removesuffix("-raw"),)
            yield content.made(plain, start, end, entry.name, name, covers=_covers(entry, end))
        if fault:
            yield Fault(fault[0], inside, end - start, fault[1])
    finally:
        buffer.close()
    return end


def _filled(buffer: Buffer, data: memoryview, entry: _Entry, end: int) -> tuple[tuple[str, str] | None, int]:
    """Unpack an entry, up to *end* at most, into *buffer*: what is wrong if that ended early, and where it ends."""
    start, kind = entry.data, _METHODS[entry.method]
    deflated = kind == "deflate"  # where it ends is in the stream itself, whatever the headers say
    fault, used = fill_from(buffer, data[start:] if deflated else data[start:end], kind)
    if fault is None:
        return None, start + used
    if fault[0] != _DAMAGED[0]:
        return fault, end
    return _DAMAGED, start + used if deflated else end
