"""LevelDB, in which browsers keep what pages store: blocks of tables that Snappy packed, records of logs that are cut
where blocks of the log end. RocksDB's come from them: its logs are read as well; of its tables, which have an index of
another form, those that are packed are told.

Sources: doc/table_format.md and doc/log_format.md of google/leveldb; table/format.cc, util/compression.h and
db/log_format.h of facebook/rocksdb.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scanner.content.buffer import Portions
from scanner.content.numbers import unsigned
from scanner.content.snappyfiles import crc32c, masked, unsnappy
from scanner.content.words import Broken, Content, Ended, Fault, Room, Stop
from scanner.limits import KIB, MIB

_FOOTER, _TRAILER = 48, 5  # bytes at the end of the file; behind each block: how it is packed, a checksum
_PLAIN, _SNAPPY, _ZSTD = 0, 1, 2
_LARGEST = 64 * MIB  # of a block, unpacked
_PROPERTIES = MIB  # of the end of a table of RocksDB: what it says of itself is there, and is never packed
#: the end of a property's name, which is all there is of it behind a like one, and its value
_PACKED_BY = re.compile(rb"ression(NoCompression|Snappy|Zlib|BZip2|LZ4(?:HC)?|Xpress|ZSTD)")
_DAMAGED = "nested.damaged"

_LOG_BLOCK, _RECORD = 32 * KIB, 7  # bytes of a block of a log; in front of a record: checksum, length, kind
_PIECE = MIB  # of a long record, which comes in pieces; each begins with the part that the one before ends with
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4  # kinds of records
#: kinds of RocksDB's in files that are written again, with 4 more bytes in front, and which they stand for
_REUSED = {5: _WHOLE, 6: _FIRST, 7: _MIDDLE, 8: _LAST, 11: 10, 131: 130}
#: RocksDB's kinds that tell of the log itself: how records are packed, how long times are, which log came before
_PACKED, _TIMES, _BEFORE = 9, 10, 130
_TOLD = 256  # bytes of those, at most


def open_table(content: Content, room: Room) -> Iterator[Content | Fault]:
    """What packed blocks hold; plain ones, and those of zstd, are searched where they lie."""
    data, size = content.data, len(content.data)
    held, damaged = Portions(content, room), 0
    try:
        footer = bytes(data[-_FOOTER:])
        _, at = _handle(footer, 0)
        index, _ = _handle(footer, at)
        for place in (index, *_entries(_block(data, index)[0], room)):
            plain, packed, sound = _block(data, place)
            damaged += not sound
            if packed > _ZSTD:
                raise Broken("nested.unknown", "blocks of the table are packed in a way that is not understood")
            if packed == _SNAPPY:
                yield from held.add(plain, min(place[0], size), min(place[1], size), "snappy")
    except Ended as ended:
        yield Fault(ended.reason, content.inside, size, ended.what)
    yield from held.rest()
    if damaged:
        yield Fault(_DAMAGED, content.inside, size, f"{damaged} blocks of the table are damaged or cut off")


def open_rocks(content: Content) -> Iterator[Fault]:
    """What cannot be looked at of a table of RocksDB. Plain blocks, and those of zstd, are searched where they lie."""
    found = _PACKED_BY.findall(bytes(content.data[-_PROPERTIES:]))
    name = found[-1].decode("ascii") if found else "something that it does not say"
    if name not in ("NoCompression", "ZSTD"):
        text = f"blocks of the table are packed by {name}, which is not understood in RocksDB's"
        yield Fault("nested.unknown", content.inside, len(content.data), text)


def _block(data: memoryview, place: tuple[int, int]) -> tuple[bytes, int, bool]:
    """What a block holds, how it is packed, and whether it is sound; of one that zstd packed, what it is packed in."""
    start, end = place
    raw, trailer = bytes(data[start:end]), bytes(data[end : end + _TRAILER])
    if len(trailer) < _TRAILER:
        return b"", _PLAIN, False
    sound = masked(crc32c(raw + trailer[:1])) == int.from_bytes(trailer[1:], "little")
    if trailer[0] != _SNAPPY:
        return raw, trailer[0] if sound else _PLAIN, sound
    plain, whole = unsnappy(raw, _LARGEST)
    return plain, _SNAPPY, sound and whole


def _entries(index: bytes, room: Room) -> Iterator[tuple[int, int]]:
    """Where the blocks begin and end, by the values of the index. Raises Broken or Stop."""
    end = len(index) - 4 - 4 * int.from_bytes(index[-4:], "little")
    if end < 0:
        raise Broken(_DAMAGED, "the index of the table is damaged")
    at = 0
    while at < end:
        room.look()
        _, at = _number(index, at)
        rest, at = _number(index, at)
        size, at = _number(index, at)
        place, _ = _handle(index, at + rest)
        yield place
        at += rest + size


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Where a block begins and ends, and where what tells it ends. Raises Broken."""
    start, at = _number(data, at)
    size, at = _number(data, at)
    return (start, start + size), at


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends. Raises Broken."""
    try:
        return unsigned(data, at)
    except IndexError:
        raise Broken(_DAMAGED, "the index of the table is damaged") from None


def is_log(data: memoryview) -> bool:
    """Whether a log of more than one block, or one that packs, begins with a record whose checksum is right."""
    kind, start, end = _record(data, 0)
    last = min(_LOG_BLOCK, len(data))
    if kind in (_PACKED, _TIMES, _BEFORE):
        may_be = end - start <= _TOLD and (kind == _PACKED or len(data) > _LOG_BLOCK)
    else:
        may_be = len(data) > _LOG_BLOCK and (kind == _WHOLE or (kind == _FIRST and end == last))
    if not may_be or not start < end <= last:
        return False
    return masked(crc32c(bytes(data[_RECORD - 1 : end]))) == int.from_bytes(data[:4], "little")


def open_log(content: Content, room: Room) -> Iterator[Content | Fault]:
    """Records that lie in several blocks of a log, joined; all others are searched where they lie."""
    data, held = content.data, Portions(content, room)
    if data[_RECORD - 1] == _PACKED:
        text = "records of the log are packed, which is not understood"
        yield Fault("nested.unknown", content.inside, len(data), text)
        return
    parts: list[memoryview] = []
    begun = at = 0
    try:
        while at + _RECORD <= len(data):
            if not at % _LOG_BLOCK:
                room.look()
            kind, start, end = _record(data, at)
            left = _LOG_BLOCK - at % _LOG_BLOCK
            if left < _RECORD or (left < _RECORD + 4 and not kind):  # too little for a record
                at += left
                continue
            if not kind or end > at + left:  # damaged, or not written yet
                parts, at = [], at + left
                continue
            if kind not in (_MIDDLE, _LAST):
                parts = []
            if kind in (_FIRST, _MIDDLE, _LAST):
                begun = begun if parts else at
                parts.append(data[start:end])
            if kind == _LAST or end - begun > _PIECE:
                if len(parts) > 1:
                    yield from held.add(b"".join(parts), begun, min(end, len(data)), "leveldb-log")
                parts, begun = ([] if kind == _LAST else parts[-1:]), at
            at = end
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(data), stop.what)
    yield from held.rest()


def _record(data: memoryview, at: int) -> tuple[int, int, int]:
    """The kind of the record at *at*, and where its bytes begin and end."""
    kind, start = data[at + _RECORD - 1], at + _RECORD
    if kind in _REUSED:
        kind, start = _REUSED[kind], start + 4
    return kind, start, start + int.from_bytes(data[at + 4 : at + 6], "little")
