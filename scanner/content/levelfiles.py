"""Tables of LevelDB, in which browsers keep what pages store: blocks that Snappy packed. Of RocksDB's, which come from
them and have an index of another form, those that are packed are told.

Sources: doc/table_format.md of google/leveldb; table/format.cc and util/compression.h of facebook/rocksdb.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scanner.content.buffer import Portions
from scanner.content.numbers import unsigned
from scanner.content.snappyfiles import crc32c, masked, unsnappy
from scanner.content.words import Broken, Content, Fault, Room, Stop
from scanner.limits import MIB

_FOOTER, _TRAILER = 48, 5  # bytes at the end of the file; behind each block: how it is packed, a checksum
_PLAIN, _SNAPPY, _ZSTD = 0, 1, 2
_LARGEST = 64 * MIB  # of a block, unpacked
_PROPERTIES = MIB  # of the end of a table of RocksDB: what it says of itself is there, and is never packed
#: the end of a property's name, which is all there is of it behind a like one, and its value
_PACKED_BY = re.compile(rb"ression(NoCompression|Snappy|Zlib|BZip2|LZ4(?:HC)?|Xpress|ZSTD)")
_DAMAGED = "nested.damaged"


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
    except (Broken, Stop) as ended:
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
        room.take(0)
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
