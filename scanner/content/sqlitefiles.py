"""Databases of SQLite and the logs and journals beside them: rows that are cut in pieces over several pages.

Source: "Database File Format" of SQLite sections 1.3 and 1.6 (pages, cells, overflow), 3 and 4.1 (rollback journal,
write-ahead log).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scanner.content.words import Content, Fault, Room, Stop

_TABLE_LEAF, _INDEX_LEAF, _INDEX_INNER = 0x0D, 0x0A, 0x02
_LARGEST_VALUE, _FILE_HEADER = 64 << 20, 100
_DATABASE, _JOURNAL, _LOG = b"SQLite format 3\0", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", b"\x37\x7f\x06"
_LOG_HEADER, _LOG_FRAME, _JOURNAL_FRAME = 32, 24, 8


def is_sqlite(head: bytes) -> bool:
    """Whether the first bytes are those of a database, or of a log or journal beside one."""
    return head[:16] == _DATABASE or head[:8] == _JOURNAL or (head[:3] == _LOG and head[3:4] in b"\x82\x83")


@dataclass(frozen=True, slots=True)
class _Pages:
    """Where the pages of a file lie.

    Attributes:
        size, usable: bytes of a page, and of those that rows may take.
        first, step: where the first page starts, and how far from it the next one does.
        numbered: how far in front of a page its number stands, 0 if it follows from its place.
        versions: where each page starts in a file with numbers, which may have it several times.
    """

    data: memoryview
    size: int
    usable: int
    first: int = 0
    step: int = 0
    numbered: int = 0
    versions: Mapping[int, Sequence[int]] = field(default_factory=dict)

    def starts(self) -> range:
        """Where pages start."""
        return range(self.first, len(self.data), self.step or self.size)

    def number(self, start: int) -> int:
        """Which page starts there."""
        if not self.numbered:
            return start // self.size + 1
        return int.from_bytes(self.data[start - self.numbered : start - self.numbered + 4], "big")

    def find(self, number: int, near: int) -> int | None:
        """Where the version of a page starts that is the nearest, as one transaction writes its pages in a row."""
        if not self.numbered:
            return (number - 1) * self.size if number * self.size <= len(self.data) else None
        starts = self.versions.get(number, ())
        at = bisect_left(starts, near)
        return min(starts[max(0, at - 1) : at + 1], key=lambda start: abs(start - near), default=None)


def _pages(data: memoryview) -> _Pages | None:
    """The pages of a database, of a log or of a journal; None if its header says nothing sound."""
    if len(data) < _FILE_HEADER:
        return None
    if data[:3] == _LOG:
        size = int.from_bytes(data[8:12], "big")
        pages = _Pages(data, size, size, _LOG_HEADER + _LOG_FRAME, _LOG_FRAME + size, _LOG_FRAME)
    elif data[:8] == _JOURNAL:
        sector, size = int.from_bytes(data[20:24], "big"), int.from_bytes(data[24:28], "big")
        pages = _Pages(data, size, size, min(sector, len(data)) + 4, _JOURNAL_FRAME + size, 4)
    else:
        size = int.from_bytes(data[16:18], "big")
        size = 65536 if size == 1 else size
        pages = _Pages(data, size, size - data[20])
    if not 512 <= size <= 65536 or size & (size - 1):
        return None
    versions = defaultdict(list)
    for start in pages.starts() if pages.numbered else ():
        versions[pages.number(start)].append(start)
    return replace(pages, versions=versions)


def open_sqlite(content: Content, room: Room) -> Iterator[Content | Fault]:
    """Rows that are cut in pieces over several pages, joined; all others were searched as they lie there."""
    data = content.data
    pages = _pages(data)
    if pages is None:
        return
    try:
        for page in pages.starts():
            header = page + (_FILE_HEADER if pages.number(page) == 1 else 0)
            if header + 12 > len(data) or data[header] not in (_TABLE_LEAF, _INDEX_LEAF, _INDEX_INNER):
                continue
            for cell in _cells(data, page, header, pages.size):
                row, covers = _spread_row(pages, page + cell, data[header], room)
                if row:
                    room.entry()
                    end = min(page + pages.size, len(data))
                    yield content.made(row, page + cell, end, "", ("sqlite-overflow",), covers=covers)
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(data), stop.what)


def _cells(data: memoryview, page: int, header: int, size: int) -> Iterator[int]:
    count = int.from_bytes(data[header + 3 : header + 5], "big")
    first = header + (12 if data[header] == _INDEX_INNER else 8)
    for at in range(first, min(first + 2 * count, page + size), 2):
        cell = int.from_bytes(data[at : at + 2], "big")
        if 8 <= cell < size - 4:
            yield cell


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A variable-length number and where it ends."""
    value = 0
    for step, byte in enumerate(bytes(data[at : at + 9])):
        if step == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at + step + 1
    return 0, at


def _spread_row(
    pages: _Pages, cell: int, kind: int, room: Room
) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """The payload of a cell with overflow pages and the ranges it lies in, empty if it has none."""
    data, usable = pages.data, pages.usable
    at = cell + 4 if kind == _INDEX_INNER else cell
    length, at = _varint(data, at)
    most = usable - 35 if kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if kind == _TABLE_LEAF:
        _, at = _varint(data, at)
    if not most < length <= min(_LARGEST_VALUE, len(data)):
        return b"", ()
    least = (usable - 12) * 32 // 255 - 23
    local = least + (length - least) % (usable - 4)
    local = least if local > most else local
    parts, rest = [bytes(data[at : at + local])], length - local
    covers = [(at, at + local)]
    following, start = int.from_bytes(data[at + local : at + local + 4], "big"), cell
    while following and rest > 0:
        found = pages.find(following, start)
        if found is None or found + 4 >= len(data):
            break
        start = found
        part = bytes(data[start + 4 : start + 4 + min(rest, usable - 4)])
        following = int.from_bytes(data[start : start + 4], "big")
        parts.append(part)
        covers.append((start, start + 4 + len(part)))
        rest -= len(part)
        room.take(len(part))
    return b"".join(parts), tuple(covers)
