"""Remembers where contents lie that were searched and hold nothing, so that a copy is compared, not searched again.

An image often holds the same bytes many times: packages and the archives they were installed from, files that a later
step changed in nothing but their mode. Comparing costs a tenth of searching. All workers of a pool share what they
know: each writes a part of its own, and reads all.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping

from scanner.layer.walk import WINDOW
from scanner.limits import KIB

_SLOT = struct.Struct("<QQQQ")  # key, extent, offset, size
_SLOTS = 1 << 16  # for each worker: 2 MiB, of which only what is written takes memory
_FULL = _SLOTS * 3 // 4
_PART = _SLOTS * _SLOT.size
_PROBES = 16
#: shorter ones are searched faster than looked up
_LEAST = KIB
_PORTION = 256 * KIB


def tail(path: str) -> str:
    """The part of a path by which detectors may judge a content: its name and its folder's."""
    return "/".join(path.rsplit("/", 2)[-2:])


class Twins:
    """What the workers of one pool know of each other's contents. Made before they are started."""

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, workers * _PART)
        self._workers = workers

    def part(self, worker: int, extents: Mapping[int, memoryview]) -> Known:
        """The view of worker number *worker*, whose open extents are *extents*."""
        return Known(self._memory, self._workers, worker, extents)


class Known:
    """One worker's view: it notes in its own part, and looks in all of them."""

    def __init__(self, memory: mmap.mmap, workers: int, worker: int, extents: Mapping[int, memoryview]) -> None:
        self._memory, self._extents = memory, extents
        self._parts = [number * _PART for number in range(workers)]
        self._own = worker * _PART
        self._noted = 0

    def note(self, path: str, extent: int, offset: int, size: int, start: int = 0) -> None:
        """Of the *size* bytes at *offset* of an extent, called *path*, the window from *start* on (`layer.walk.WINDOW`)
        was searched and holds nothing."""
        if size < _LEAST or self._noted >= _FULL:
            return
        key = _key(path, size, start)
        for probe in range(_PROBES):
            at = self._own + (key + probe) % _SLOTS * _SLOT.size
            if not int.from_bytes(self._memory[at : at + 8], "little"):
                # the key goes last: a slot without one is not looked at
                self._memory[at + 8 : at + _SLOT.size] = _SLOT.pack(key, extent, offset, size)[8:]
                self._memory[at : at + 8] = key.to_bytes(8, "little")
                self._noted += 1
                return

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
        return any(_equal(self._extents[extent][offset : offset + size], data) for extent, offset in places)

    def _places(self, path: str, size: int, start: int) -> set[tuple[int, int]]:
        """Extent and offset of contents of which that window is known."""
        key, found = _key(path, size, start), set()
        for part in self._parts:
            for probe in range(_PROBES):
                at = part + (key + probe) % _SLOTS * _SLOT.size
                noted, extent, offset, length = _SLOT.unpack_from(self._memory, at)
                if not noted:
                    break
                if noted == key and length == size and extent in self._extents:
                    found.add((extent, offset))
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
