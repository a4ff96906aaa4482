"""Journals of systemd: fields that are packed by LZ4, as blocks without a magic; those of zstd and xz have one.

Source: journal-def.h and compress.c of systemd (DataObject, compress_blob_lz4); "Journal File Format".
"""

from __future__ import annotations

from collections.abc import Iterator

from scanner.content.buffer import Portions, occupied
from scanner.content.lz4frames import MOST as LZ4_MOST
from scanner.content.lz4frames import unlz4_block
from scanner.content.words import Content, Fault, Room, Stop

_HEADER, _OBJECT = 240, 16  # bytes of the first headers there were, and in front of every object
_LONGEST_HEADER = 512
_FLAGS, _SIZE = 12, 88  # where flags and the size of the header stand
_COMPACT = 1 << 4
_DATA, _LZ4 = 1, 2  # kind and flag of an object
_PAYLOAD = (64, 72)  # where it begins in a usual file, in a compact one
_LONGEST = 64 << 20  # of a field that is unpacked; systemd cuts messages and core dumps far below


def open_journal(content: Content, room: Room) -> Iterator[Content | Fault]:
    """The fields that are packed by LZ4, from one object to the next; all others stand in the journal as they are."""
    data, portions = content.data, Portions(content, room)
    compact, head = bool(_number(data, _FLAGS, 4) & _COMPACT), _number(data, _SIZE)
    damaged, at = head > _LONGEST_HEADER, _HEADER if head > _LONGEST_HEADER else max(_HEADER, head)
    try:
        while at < len(data):
            room.look()
            if not any(data[at : at + _OBJECT]):  # room for more; what the header says of the last object is not asked
                at = occupied(data, at)
                continue
            size = _number(data, at + 8)
            if size < _OBJECT or at + size > len(data):
                damaged = True
                break
            if data[at] == _DATA and data[at + 1] & _LZ4:
                plain = _field(data[at + _PAYLOAD[compact] : at + size])
                damaged = damaged or not plain
                if plain:
                    yield from portions.add(plain, at, at + size, "lz4")
            at += size + -size % 8
        yield from portions.rest()
        if damaged:
            yield Fault("nested.damaged", content.inside, len(data), "objects of the journal are damaged or cut off")
    except Stop as stop:
        yield from portions.rest()
        yield Fault(stop.reason, content.inside, len(data), stop.what)


def _field(packed: memoryview) -> bytes:
    """What a field holds, nothing if it is damaged."""
    size = _number(packed, 0)
    if size > min(_LONGEST, LZ4_MOST * len(packed)):
        return b""
    plain = unlz4_block(bytes(packed[8:]), size)
    return plain if len(plain) == size else b""


def _number(data: memoryview, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")
