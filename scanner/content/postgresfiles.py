"""Dumps of PostgreSQL in the custom format (`pg_dump -Fc`): compressed tables, cut into chunks.

Source: pg_backup_archiver.c (ReadHead, ReadInt), pg_backup_custom.c and compress_io.c of PostgreSQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scanner.content.buffer import Buffer
from scanner.content.words import Content, Fault, Room, Stop, no_room

_MAGIC, _CUSTOM = b"PGDMP", b"\1"
_NUMBER = 5  # bytes of a number: its sign, which is 0, and four more
#: the number of a table, the length of its first chunk, and what that begins with: zlib, gzip, zstd or LZ4
_FIRST_CHUNK = re.compile(
    rb"\0....\0...[\0-\x0f](?=x[\x01\x5e\x9c\xda]|\x1f\x8b\x08|\x28\xb5\x2f\xfd|\x04\x22\x4d\x18)", re.DOTALL
)


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
