"""PostgreSQL: dumps in the custom format (`pg_dump -Fc`), whose compressed tables are cut into chunks; tables of its
data directory, whose long values are packed, or cut into chunks that are rows of a table beside theirs (TOAST).

Sources: pg_backup_archiver.c (ReadHead, ReadInt), pg_backup_custom.c and compress_io.c of PostgreSQL; its bufpage.h,
htup_details.h, varatt.h, heaptoast.h and pg_lzcompress.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, takewhile

from scanner.content.buffer import Buffer, Portions
from scanner.content.lz4frames import unlz4_block
from scanner.content.words import Content, Fault, Room, Stop, no_room

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
_CHUNK_HEAD, _WHOLE_CHUNK = 14, 1996  # bytes in front of a length; of every chunk but the last
_MOST = 256  # bytes that one packed byte can make, and more
_CHECKED = 4096  # steps of the decoder between two looks at the clock
#: bytes, where they begin and end in the file, and what was undone
_Value = tuple[bytes, int, int, str]


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
            except OSError as error:
                fault = no_room(error)
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
    """Add the chunks from *at* on to *buffer*: where they end, and whether as they should. Raises Stop, OSError."""
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
    try:
        for plain, start, end, undone in chain(_packed(data, room), _chunked(data, room)):
            yield from held.add(plain, start, end, undone)
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(data), stop.what)
    yield from held.rest()


def _packed(data: memoryview, room: Room) -> Iterator[_Value]:
    """Values that are packed within their rows."""
    at = 0
    while (found := _PACKED.search(data, at)) is not None:
        start = found.start()
        end = start + (int.from_bytes(found[0], "little") >> 2)
        at = start + 1
        if start % 4 or not start + 8 < end <= start - start % _PAGE + _PAGE:
            continue
        if value := _unpacked(bytes(data[start + 4 : end]), room):
            yield value[0], start, end, value[1]
            at = end


def _chunked(data: memoryview, room: Room) -> Iterator[_Value]:
    """Values that are cut into chunks: packed ones of any size, plain ones of more than one chunk."""
    waiting: dict[bytes, dict[int, tuple[int, int]]] = {}
    for found in _CHUNK.finditer(data):
        start, head = found.end(), found[0][_CHUNK_HEAD:]
        size = (int.from_bytes(head, "little") >> 2) - 4 if len(head) == 4 else (head[0] >> 1) - 1
        if not 0 < size <= _WHOLE_CHUNK or start % _PAGE + size > _PAGE:
            continue
        number = int.from_bytes(found[2], "little")
        chunks = waiting.setdefault(found[1], {})
        chunks[number] = start, start + size
        if size < _WHOLE_CHUNK and len(chunks) > number:
            yield from _joined(data, waiting.pop(found[1]), room)
    for chunks in waiting.values():
        yield from _joined(data, chunks, room)


def _joined(data: memoryview, chunks: dict[int, tuple[int, int]], room: Room) -> Iterator[_Value]:
    """The value of those chunks, up to the first that is missing."""
    room.entry()
    there = [chunks[number] for number in takewhile(chunks.__contains__, range(len(chunks)))]
    if there:
        joined = b"".join(bytes(data[start:end]) for start, end in there)
        whole = min(there)[0], max(end for _, end in there)
        if value := _unpacked(joined, room):
            yield value[0], *whole, value[1]
        elif len(there) > 1:
            yield joined, *whole, "toast"


def _unpacked(stored: bytes, room: Room) -> tuple[bytes, str] | None:
    """What a packed value holds behind its length, and what packed it; None if it is no such value."""
    told = int.from_bytes(stored[:4], "little")
    size, method, body = told & 0x3FFFFFFF, told >> 30, stored[4:]
    if method > 1 or not len(body) < size <= _MOST * len(body):
        return None
    if method:
        plain = unlz4_block(body, size)
        return (plain, "lz4") if len(plain) == size else None
    unpacked = unpglz(body, size, room)
    return None if unpacked is None else (unpacked, "pglz")


def unpglz(data: bytes, size: int, room: Room) -> bytes | None:
    """What PostgreSQL's own packer made of *size* bytes; None if it is not that. Raises Stop at the limit of time."""
    out, at, end, steps = bytearray(), 0, len(data), 0
    while at < end and len(out) < size:
        steps += 1
        if steps % _CHECKED == 0:
            room.take(0)
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
                return None
            length, back = (data[at] & 15) + 3, (data[at] & 0xF0) << 4 | data[at + 1]
            at += 2
            if length == 18 and at < end:
                length += data[at]
                at += 1
            if not 0 < back <= len(out):
                return None
            piece = bytes(out[-back:][:length])
            out += (piece * (length // len(piece) + 1))[:length]
    return bytes(out) if at >= end and len(out) == size else None
