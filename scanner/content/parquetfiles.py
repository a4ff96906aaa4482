"""Parquet: pages of columns whose compression has no mark of its own. Others are told by their magics anywhere.

Sources: parquet.thrift and the notes on compression of apache/parquet-format; the compact protocol of Thrift.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from scanner.content.blocks import unpacked
from scanner.content.buffer import Portions
from scanner.content.numbers import LONGEST, signed, unsigned
from scanner.content.words import Broken, Content, Ended, Fault, Room
from scanner.limits import MIB

_DAMAGED = "nested.damaged"
_ENDS = "the table ends in what it says of its columns"
_IMPOSSIBLE = "the table says something of its columns that cannot be"
_PLAIN, _ENCRYPTED = b"PAR1", b"PARE"
_SNAPPY, _LZO, _BROTLI, _LZ4, _LZ4_RAW = 1, 3, 4, 5, 7  # codecs; 0, 2 and 6 are nothing, gzip and zstd
_NAMES = {_SNAPPY: "snappy", _BROTLI: "brotli", _LZ4_RAW: "lz4"}
_UNREAD = {_LZO: "LZO", _LZ4: "LZ4 in frames of Hadoop"}
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_DEEP = 16  # structures in one another
_LARGEST = 64 * MIB  # of a page, unpacked
_CHECKED = 1 << 14  # values between two looks at the clock


def open_parquet(content: Content, room: Room) -> Iterator[Content | Fault]:
    """What packed pages of columns hold."""
    data = content.data
    size, end = len(data), bytes(data[-8:])
    held, damaged, unread = Portions(content, room), 0, set[str]()
    try:
        if end[4:] == _ENCRYPTED or bytes(data[:4]) == _ENCRYPTED:
            raise Broken("nested.encrypted", "the columns of the table are encrypted")
        start = size - 8 - int.from_bytes(end[:4], "little")
        if end[4:] != _PLAIN or start < 4:
            raise Broken(_DAMAGED, "the table is cut off")
        for codec, first, last in _columns(_Reader(data[start : size - 8], room)):
            if codec in _UNREAD:
                unread.add(_UNREAD[codec])
            elif codec in _NAMES:
                for page in _pages(data, first, last, room):
                    plain, sound = _unpacked(codec, page, data)
                    damaged += not sound
                    yield from held.add(plain, page.start, page.end, _NAMES[codec])
    except Ended as ended:
        yield Fault(ended.reason, content.inside, size, ended.what)
    yield from held.rest()
    if damaged:
        yield Fault(_DAMAGED, content.inside, size, f"{damaged} pages of the table are damaged or larger than 64 MiB")
    for name in sorted(unread):
        yield Fault("nested.unknown", content.inside, size, f"columns are packed by {name}, which is not understood")


@dataclass(frozen=True, slots=True)
class _Page:
    """Where the packed bytes of a page lie, and those around them that are not packed; how many come out.

    Attributes:
        sound: whether the checksum is right, if there is one.
    """

    start: int
    end: int
    size: int
    sound: bool


def _columns(reader: _Reader) -> Iterator[tuple[int, int, int]]:
    """Of each chunk of a column its codec, and where its pages begin and end. Raises Broken or Stop."""
    for group in reader.each(4):
        for chunk in reader.each(1, group):
            about = reader.struct(chunk).get(3)
            if not isinstance(about, dict):
                raise Broken(_DAMAGED, "the table does not say where its columns lie")
            codec, size, start = (_number(about.get(number)) for number in (4, 7, 9))
            dictionary = about.get(11)
            start = min(start, dictionary) if isinstance(dictionary, int) and dictionary > 0 else start
            yield codec, start, start + size


def _pages(data: memoryview, at: int, end: int, room: Room) -> Iterator[_Page]:
    """The pages of a chunk. Raises Broken or Stop."""
    while at < end:
        reader = _Reader(data[at:end], room)
        about = reader.struct()
        size, packed = _number(about.get(2)), _number(about.get(3))
        start = at + reader.at
        at = start + packed
        if at > min(end, len(data)):
            raise Broken(_DAMAGED, "a page of the table is cut off")
        checksum = about.get(4)
        sound = not isinstance(checksum, int) or zlib.crc32(data[start:at]) == checksum & 0xFFFFFFFF
        second = about.get(8)
        if isinstance(second, dict):  # its levels lie in front, and are never packed
            levels = _number(second.get(5, 0)) + _number(second.get(6, 0))
            if second.get(7, 1):
                yield _Page(min(start + levels, at), at, size - levels, sound)
        else:
            yield _Page(start, at, size, sound)


def _unpacked(codec: int, page: _Page, data: memoryview) -> tuple[bytes, bool]:
    """What a page holds, and whether that is all of it, sound."""
    raw = bytes(data[page.start : page.end])
    if not 0 <= page.size <= _LARGEST:
        return b"", False
    if not raw:
        return b"", not page.size
    plain, sound = unpacked(_NAMES[codec], raw, page.size)
    return plain, sound and page.sound and len(plain) == page.size


def _number(value: Any) -> int:
    """A number that is not negative. Raises Broken."""
    if not isinstance(value, int) or value < 0:
        raise Broken(_DAMAGED, _IMPOSSIBLE)
    return value


class _Reader:
    """Structures of Thrift in its compact protocol. Of lists and maps in them nothing is kept. All raise Broken."""

    def __init__(self, data: memoryview, room: Room) -> None:
        self._data, self._room, self._values = data, room, 0
        self.at = 0

    def each(self, number: int, kind: int = _STRUCT) -> Iterator[int]:
        """Goes over the list that is the field of that number in a structure here; gives the kind of each value, which
        must be read before the next. *kind* is that of the structure itself."""
        if kind != _STRUCT:
            raise Broken(_DAMAGED, _IMPOSSIBLE)
        for found, of in self._fields():
            if found != number or of != _LIST:
                self._value(of, 1)
                continue
            size, inner = self._list()
            for _ in range(size):
                yield inner

    def struct(self, kind: int = _STRUCT, depth: int = 0) -> dict[int, Any]:
        """The fields of a structure here: numbers, and structures in it."""
        if kind != _STRUCT or depth > _DEEP:
            raise Broken(_DAMAGED, _IMPOSSIBLE)
        return {number: self._value(of, depth + 1) for number, of in self._fields()}

    def _fields(self) -> Iterator[tuple[int, int]]:
        number = 0
        while byte := self._byte():
            number = number + (byte >> 4) if byte >> 4 else self._signed()
            yield number, byte & 15

    def _value(self, kind: int, depth: int, element: bool = False) -> Any:
        self._values += 1
        if self._values % _CHECKED == 0:
            self._room.look()
        if kind in (_TRUE, _FALSE):  # of an element it stands by itself
            return int((self._byte() if element else kind) == _TRUE)
        if kind == _BYTE:
            return self._byte()
        if kind < _DOUBLE:
            return self._signed()
        if kind in (_DOUBLE, _BINARY):
            self._skip(8 if kind == _DOUBLE else self._unsigned())
            return None
        if kind == _STRUCT:
            return self.struct(depth=depth)
        if kind in (_LIST, _SET, _MAP) and depth <= _DEEP:
            size, *kinds = self._map() if kind == _MAP else self._list()
            for _ in range(size):
                for each in kinds:
                    self._value(each, depth + 1, element=True)
            return None
        raise Broken(_DAMAGED, _IMPOSSIBLE)

    def _list(self) -> tuple[int, int]:
        byte = self._byte()
        return (byte >> 4 if byte >> 4 < 15 else self._unsigned()), byte & 15

    def _map(self) -> tuple[int, int, int]:
        size = self._unsigned()
        kinds = self._byte() if size else 0
        return size, kinds >> 4, kinds & 15

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise Broken(_DAMAGED, _ENDS)
        self.at += 1
        return self._data[self.at - 1]

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise Broken(_DAMAGED, _ENDS)

    def _unsigned(self) -> int:
        return self._long(unsigned)

    def _signed(self) -> int:
        return self._long(signed)

    def _long(self, read: Callable[[memoryview, int], tuple[int, int]]) -> int:
        try:
            value, self.at = read(self._data, self.at)
        except IndexError:
            raise Broken(_DAMAGED, _ENDS if len(self._data) - self.at < LONGEST else _IMPOSSIBLE) from None
        return value
