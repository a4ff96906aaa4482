"""Remembers where contents lie that were searched and hold nothing, so that a copy is compared, not searched again.

An image often holds the same bytes many times: packages and the archives they were installed from, files that a later
step changed in nothing but their owner or mode. Comparing costs a tenth of searching. All workers of a pool share what
they know: each writes a part of its own, and reads all.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping

from scanner.layer.walk import WINDOW
from scanner.limits import KIB

_WORDS = 4  # of a slot, 8 bytes each: key, extent, offset, size
_SLOTS = 1 << 16  # for each worker: 2 MiB, of which only what is written takes memory
_FULL = _SLOTS * 3 // 4
_PART = _SLOTS * _WORDS
_PROBES = 16
#: shorter ones are searched faster than looked up
_LEAST = KIB
_PORTION = 256 * KIB

_Place = tuple[int, int]  # extent, offset


def tail(path: str) -> str:
    """The part of a path by which detectors may judge a content: its name and its folder's."""
    return "/".join(path.rsplit("/", 2)[-2:])


class Twins:
    """What the workers of one pool know of each other's contents. Made before they are started."""

    def __init__(self, workers: int) -> None:
        self._table = memoryview(mmap.mmap(-1, workers * _PART * 8)).cast("Q")
        self._workers = workers

    def part(self, worker: int, extents: Mapping[int, memoryview]) -> Known:
        """The view of worker number *worker*, whose open extents are *extents*."""
        return Known(self._table, self._workers, worker, extents)


class Known:
    """One worker's view: it notes in its own part, and looks in all of them."""

    def __init__(self, table: memoryview, workers: int, worker: int, extents: Mapping[int, memoryview]) -> None:
        self._table, self._extents = table, extents
        self._parts = [number * _PART for number in range(workers)]
        self._own = worker * _PART
        self._noted = 0
        self._compared: tuple[_Place, int] | None = None  # the large content that was compared last, its size,
        self._equal: dict[_Place, bool] = {}  # and which ones it equals

    def note(self, path: str, extent: int, offset: int, size: int, start: int = 0) -> None:
        """Of the *size* bytes at *offset* of an extent, called *path*, the window from *start* on (`layer.walk.WINDOW`)
        was searched and holds nothing."""
        if size < _LEAST or self._noted >= _FULL:
            return
        key, table = _key(path, size, start), self._table
        for probe in range(_PROBES):
            at = self._own + (key + probe) % _SLOTS * _WORDS
            if not table[at]:
                table[at + 1], table[at + 2], table[at + 3] = extent, offset, size
                table[at] = key  # last: a slot without one is not looked at
                self._noted += 1
                return

    def repeats(self, path: str, extent: int, offset: int, size: int, start: int = 0) -> bool:
        """Whether the content there is a copy of one whose window from *start* on is known to hold nothing.

        All of it must be equal: what is encoded may begin in one window and end in another.
        """
        if size < _LEAST:
            return False
        return any(self._are_equal(place, (extent, offset), size) for place in self._places(path, size, start))

    def _are_equal(self, one: _Place, other: _Place, size: int) -> bool:
        """Of large contents this is asked for each window, and found out once."""
        if self._compared != (other, size):
            self._compared = other, size
            self._equal.clear()
        if one not in self._equal:
            self._equal[one] = _equal(self._view(one, size), self._view(other, size))
        return self._equal[one]

    def _view(self, place: _Place, size: int) -> memoryview:
        extent, offset = place
        return self._extents[extent][offset : offset + size]

    def holds(self, path: str, data: memoryview) -> bool:
        """Whether the same bytes under such a name are known to hold nothing."""
        size = len(data)
        if size < _LEAST:
            return False
        places = self._places(path, size, 0)
        for start in range(WINDOW, size, WINDOW):  # all windows of one and the same content
            if not places:
                return False
            places &= self._places(path, size, start)
        return any(_equal(self._view(place, size), data) for place in places)

    def _places(self, path: str, size: int, start: int) -> set[_Place]:
        """Extent and offset of contents of which that window is known."""
        key, table, found = _key(path, size, start), self._table, set[_Place]()
        for part in self._parts:
            for probe in range(_PROBES):
                at = part + (key + probe) % _SLOTS * _WORDS
                noted = table[at]
                if not noted:
                    break
                if noted == key and table[at + 3] == size and table[at + 1] in self._extents:
                    found.add((table[at + 1], table[at + 2]))
        return found


def _key(path: str, size: int, start: int) -> int:
    """Never 0. Workers are forked, so `hash` of a text is the same in all of them."""
    return hash((tail(path), size, start)) & 0xFFFFFFFFFFFFFFFF | 1


def _equal(one: memoryview, other: memoryview) -> bool:
    """Bytes of equal length, compared in portions: most that differ do so at once, and none is copied whole."""
    end = min(len(other), 64)
    start = 0
    while bytes(one[start:end]) == bytes(other[start:end]):
        if end == len(other):
            return True
        start, end = end, min(len(other), end + _PORTION)
    return False
