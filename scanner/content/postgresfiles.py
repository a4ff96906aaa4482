"""PostgreSQL: dumps in the custom format (`pg_dump -Fc`), whose compressed tables are cut into chunks; tables of its
data directory, whose long values are packed, or cut into chunks that are rows of a table beside theirs (TOAST).

Sources: pg_backup_archiver.c (ReadHead, ReadInt), pg_backup_custom.c and compress_io.c of PostgreSQL; its bufpage.h,
htup_details.h, varatt.h, heaptoast.h and pg_lzcompress.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, takewhile

from scanner.content.buffer import Buffer, Portions
from scanner.content.lz4frames import unlz4_block
from scanner.content.words import Broken, Content, Fault, Room, Stop
from scanner.limits import MIB

_MAGIC, _CUSTOM = b"PGDMP", b"\1"
_NUMBER = 5  # bytes of a number: its sign, which is 0, and four more
#: the number of a table, the length of its first chunk, and what that begins with: zlib, gzip, zstd or LZ4
_FIRST_CHUNK = re.compile(
    rb"\0....\0...[\0-\x0f](?=x[\x01\x5e\x9c\xda]|\x1f\x8b\x08|\x28\xb5\x2f\xfd|\x04\x22\x4d\x18)", re.DOTALL
)

_PAGE, _ROWS = 8192, b"\0\x20\4\x20"  # at 16 of a page of rows: nothing lies behind them; size and version of a page
#: a value that is packed within its row: its length, behind which stand the length of what comes out and the method
_PACKED = re.compile(
    rb"[%s][\0-\x7f]\0\0(?=...[\0\x40])" % b"".join(b"\\x%02x" % byte for byte in range(2, 256, 4)), re.DOTALL
)
#: the head of a row of three columns: which value, which chunk of it, and the length of that in 4 bytes or in one
_CHUNK = re.compile(
    rb"\x03...\x18.(....)(...)\0(?:[%s][\0-\x1f]\0\0|[%s])"
    % tuple(b"".join(b"\\x%02x" % byte for byte in range(first, 256, step)) for first, step in ((0, 4), (3, 2))),
    re.DOTALL,
)
_LENGTH, _FIRST_REFERENCE = 4, 300  # bytes that tell of what is packed; of it that hold the first reference
_CHUNK_HEAD, _WHOLE_CHUNK = 14, 1996  # bytes in front of a length; of every chunk but the last
_MOST = 256  # bytes that one packed byte can make, and more
_LARGEST = 64 * MIB  # of a value, as it is stored and as it comes out
_CHECKED = 4096  # steps of the decoder between two looks at the clock
_OVERLAID = 4  # rows that may claim the same bytes: what was there before is overwritten from any byte on
_MISSING = "nested.damaged", "chunks of long values that are packed are missing or damaged"
_HEAPED = "nested.damaged", f"more than {_OVERLAID} rows of long values claim the same bytes"
_TOO_LARGE = "nested.bytes", "a long value is larger than 64 MiB"
#: bytes, where they begin and end in the file, and what was undone
_Value = tuple[bytes, int, int, str]


@dataclass(slots=True)
class _Chunks:
    """Chunks of one value: where each begins and ends, by its number, and how many there are once the last is seen."""

    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    count: int = 0


def is_dump(head: bytes) -> bool:
    """Whether the first bytes are those of a dump in the custom format, with numbers of four bytes."""
    return head.startswith(_MAGIC) and head[8:9] == b"\4" and head[10:11] == _CUSTOM


def open_dump(content: Content, room: Room) -> Iterator[Content | Fault]:
    """The compressed stream of each table and of large objects; plain ones are searched where they lie.

    What tells of tables differs by version; a stream behind the number of a table and a length is one.
    """
    data, at, damaged = content.data, 0, False
    fault: tuple[str, str] | None = None
    while fault is None and (found := _FIRST_CHUNK.search(data, at)) is not None:
        start = at = found.end() - _NUMBER
        buffer, whole = Buffer(room), True
        try:
            try:
                room.entry()
                at, whole = _join(buffer, data, start)
                buffer.settle()
            except Stop as stop:
                fault = stop.reason, stop.what
            if buffer.size:
                end = at if fault is None else len(data)
                yield content.made(buffer.view(), start, end, "", ("pg_dump",))._replace(searched=True)
        finally:
            buffer.close()
        damaged = damaged or not whole
    if damaged and fault is None:
        fault = "nested.damaged", "the dump is damaged or cut off"
    if fault is not None:
        yield Fault(fault[0], content.inside, len(data), fault[1])


def _join(buffer: Buffer, data: memoryview, at: int) -> tuple[int, bool]:
    """Add the chunks from *at* on to *buffer*: where they end, and whether as they should. Raises Stop."""
    while at + _NUMBER <= len(data) and not data[at]:
        size = int.from_bytes(data[at + 1 : at + _NUMBER], "little")
        at += _NUMBER
        if not size:
            return at, True
        chunk = bytes(data[at : at + size])
        at += len(chunk)
        buffer.write(chunk)
    return at, False


def is_table(data: memoryview) -> bool:
    """Whether the first page is one of rows, of the usual size."""
    if len(data) < _PAGE or data[16:20] != _ROWS:
        return False
    flags, lower, upper = (int.from_bytes(data[at : at + 2], "little") for at in (10, 12, 14))
    return flags < 8 and 24 <= lower <= upper <= _PAGE and not lower % 4


def open_table(content: Content, room: Room) -> Iterator[Content | Fault]:
    """Long values as they were before they were packed and cut; all others are searched where they lie.

    Rows are told by their heads, without what the catalogue says of columns: those that are gone count too.
    """
    data, held = content.data, Portions(content, room)
    gaps: set[tuple[str, str]] = set()
    try:
        for each in chain(_packed(data, room), _chunked(data, room)):
            if isinstance(each, Broken):
                gaps.add((each.reason, each.what))
            else:
                yield from held.add(*each)
    except Stop as stop:
        gaps.add((stop.reason, stop.what))
    yield from held.rest()
    for reason, what in sorted(gaps):
        yield Fault(reason, content.inside, len(data), what)


def _packed(data: memoryview, room: Room) -> Iterator[_Value]:
    """Values that are packed within their rows."""
    at = 0
    while (found := _PACKED.search(data, at)) is not None:
        room.look()
        start = found.start()
        end = start + (int.from_bytes(found[0], "little") >> 2)
        at = start + 1
        if start % 4 or not start + 8 < end <= start - start % _PAGE + _PAGE:
            continue
        if value := _unpacked(bytes(data[start + 4 : end]), room):
            yield value[0], start, end, value[1]
            at = end


def _chunked(data: memoryview, room: Room) -> Iterator[_Value | Broken]:
    """Values that are cut into chunks: packed ones of any size, plain ones of more than one chunk."""
    waiting: dict[bytes, _Chunks] = {}
    ends: list[int] = []
    for found in _CHUNK.finditer(data):
        room.look()
        start, head = found.end(), found[0][_CHUNK_HEAD:]
        size = (int.from_bytes(head, "little") >> 2) - 4 if len(head) == 4 else (head[0] >> 1) - 1
        if not 0 < size <= _WHOLE_CHUNK or start % _PAGE + size > _PAGE:
            continue
        ends = [end for end in ends if end > found.start()]
        if len(ends) == _OVERLAID:
            yield Broken(*_HEAPED)
            continue
        ends.append(start + size)
        value, number = found[1], int.from_bytes(found[2], "little")
        last = size < _WHOLE_CHUNK
        if last and value in waiting and waiting[value].count not in (0, number + 1):  # that was another value
            yield from _joined(data, waiting.pop(value), room)
        if value not in waiting:
            room.entry()
            waiting[value] = _Chunks()
        chunks = waiting[value]
        chunks.places[number] = start, start + size
        if last:
            chunks.count = number + 1
        if len(chunks.places) == chunks.count:
            yield from _joined(data, waiting.pop(value), room)
    for chunks in waiting.values():
        yield from _joined(data, chunks, room)


def _joined(data: memoryview, chunks: _Chunks, room: Room) -> Iterator[_Value | Broken]:
    """The value of those chunks, up to the first that is missing."""
    count = max(chunks.count, *(number + 1 for number in chunks.places))
    there = [chunks.places[number] for number in takewhile(chunks.places.__contains__, range(count))]
    size = sum(end - start for start, end in there)
    if size > _LARGEST:
        yield Broken(*_TOO_LARGE)
    elif there:
        room.look(size)
        joined = b"".join(data[start:end] for start, end in there)
        whole = min(there)[0], max(end for _, end in there)
        value = None
        try:
            if len(there) == count:
                value = _unpacked(joined, room)
            if value is None and _told(joined, (count + 1) * _WHOLE_CHUNK):
                yield Broken(*_MISSING)
        except Broken as broken:
            yield broken
        if value:
            yield value[0], *whole, value[1]
        elif len(there) > 1:
            yield joined, *whole, "toast"


def _unpacked(stored: bytes, room: Room) -> tuple[bytes, str] | None:
    """What a packed value holds behind its length, and what packed it; None if it is no such value.

    Raises Broken if it is too large, and Stop.
    """
    told = _told(stored, len(stored))
    if told is None:
        return None
    size, method = told
    if size > _LARGEST:
        raise Broken(*_TOO_LARGE)
    if method:
        room.look(size)
        plain = unlz4_block(stored[_LENGTH:], size)
        return (plain, "lz4") if len(plain) == size else None
    unpacked = unpglz(stored[_LENGTH:], size, room)
    return None if unpacked is None else (unpacked, "pglz")


def _told(stored: bytes, most: int) -> tuple[int, int] | None:
    """The size that a packed value of up to *most* bytes tells of what comes out, and the method; None if it is no
    such value: nearly all others tell a size that cannot be, or refer at first to what is not there."""
    told = int.from_bytes(stored[:_LENGTH], "little")
    size, method = told & 0x3FFFFFFF, told >> 30
    body = stored[_LENGTH : _LENGTH + _FIRST_REFERENCE]
    if method > 1 or not body or not len(stored) - _LENGTH < size <= _MOST * (most - _LENGTH):
        return None
    return (size, method) if (_begins_lz4(body) if method else _begins_pglz(body)) else None


def _begins_lz4(body: bytes) -> bool:
    """Whether the first reference is to a byte before it, or is too far away to be looked at."""
    literals, at = body[0] >> 4, 1
    if literals == 15 and len(body) > 1:
        literals, at = 15 + body[1], 2
    if literals == 15 + 255:
        return True
    back = int.from_bytes(body[at + literals : at + literals + 2], "little")
    return 0 < back <= literals


def _begins_pglz(body: bytes) -> bool:
    """The same, of PostgreSQL's own packer."""
    if not body[0]:
        return True
    literals = (body[0] & -body[0]).bit_length() - 1
    reference = body[1 + literals : 3 + literals]
    return len(reference) == 2 and 0 < ((reference[0] & 0xF0) << 4 | reference[1]) <= literals


def unpglz(data: bytes, size: int, room: Room) -> bytes | None:
    """What PostgreSQL's own packer made of *size* bytes; None if it is not that, which is counted. Raises Stop."""
    out = bytearray()
    if _unpglz(out, data, size, room):
        return bytes(out)
    room.take(len(out))  # bytes that are tried again and again are work, too
    return None


def _unpglz(out: bytearray, data: bytes, size: int, room: Room) -> bool:
    """Unpack to *out*; whether that is all. Raises Stop."""
    at, end, steps = 0, len(data), 0
    while at < end and len(out) < size:
        steps += 1
        if steps % _CHECKED == 0:
            room.look(len(out))
        control = data[at]
        at += 1
        if not control:  # eight bytes as they are
            out += data[at : at + 8]
            at += 8
            continue
        for bit in range(8):
            if at >= end or len(out) >= size:
                break
            if not control >> bit & 1:
                out.append(data[at])
                at += 1
                continue
            if at + 2 > end:
                return False
            length, back = (data[at] & 15) + 3, (data[at] & 0xF0) << 4 | data[at + 1]
            at += 2
            if length == 18 and at < end:
                length += data[at]
                at += 1
            if not 0 < back <= len(out):
                return False
            piece = bytes(out[-back:][:length])
            out += (piece * (length // len(piece) + 1))[:length]
    return at >= end and len(out) == size
