"""Where unpacked bytes go: memory while they are few, a nameless file when they are many."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

from scanner.content.words import Broken, Content, Room, Stop
from scanner.image.blob import BlobFile, spool
from scanner.limits import KIB, MIB

_IN_MEMORY = 4 * MIB
_PORTION = 256 * KIB


class Buffer:
    """Collects bytes and gives them back as one view. Close it when the view is no longer used.

    Args:
        room: counts what is written. `write` raises Stop when it is full, or if no temporary file can be made or grow:
            to whoever reads archives one is as the other. What came before is kept.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._parts: list[bytes] = []
        self._file: BlobFile | None = None
        self._held = self._stored = 0
        #: bytes written
        self.size = 0

    def write(self, data: bytes, _used: int = 0) -> None:
        """Add bytes (`layer.expand.PlainSink`). Raises Stop.

        None at all count too: a million parts that hold nothing take time.
        """
        if data:
            self._parts.append(data)
        self._held += len(data)
        self.size += len(data)
        if self._held > _IN_MEMORY:
            self._spill()
        self._room.take(len(data))

    def _spill(self) -> None:
        """Move what is held to the file. Raises Stop; what reached the file before is all there is then."""
        parts, self._parts, self._held = self._parts, [], 0
        try:
            if self._file is None:
                self._file = spool("nested")
            for part in parts:
                rest = memoryview(part)
                while rest:
                    count = os.write(self._file.fileno(), rest)
                    rest = rest[count:]
                    self._stored += count
        except OSError as error:
            self.size = self._stored
            raise _no_room(error) from None

    def settle(self) -> None:
        """Write what is held, so that `view` cannot fail. Raises Stop."""
        if self._file is not None:
            self._spill()

    def clear(self) -> None:
        """Forget what was written, though it stays counted: the next step of a chain of filters takes its place."""
        self.close()
        self._held = self._stored = self.size = 0

    def view(self) -> memoryview:
        """All bytes so far, read-only. Raises Stop."""
        if self._file is None:
            return memoryview(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
        self._spill()
        if not self.size:
            return memoryview(b"")
        try:
            return memoryview(mmap.mmap(self._file.fileno(), self.size, prot=mmap.PROT_READ))
        except OSError as error:
            raise _no_room(error) from None

    def close(self) -> None:
        """Let go of the file; views stay valid until they are dropped."""
        self._parts.clear()
        if self._file is not None:
            self._file.close()
            self._file = None


def _no_room(error: OSError) -> Stop:
    return Stop("nested.bytes", f"no temporary file can hold what is packed in it: {error.strerror}")


def occupied(data: memoryview, at: int) -> int:
    """Where from *at* on the first byte stands that is not zero, the end if none does."""
    for start in range(at, len(data), MIB):
        portion = bytes(data[start : start + MIB])
        if rest := portion.lstrip(b"\0"):
            return start + len(portion) - len(rest)
    return len(data)


class Block:
    """Collects up to *most* bytes, of one block."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.data = bytearray()

    @property
    def size(self) -> int:
        return len(self.data)

    def write(self, data: bytes, _used: int = 0, /) -> None:
        """Add bytes (`layer.expand.PlainSink`). Raises Broken if they are too many; those that may be are kept."""
        room = self._most - len(self.data)
        self.data += data[:room]
        if len(data) > room:
            raise Broken("nested.damaged", "more comes out of a block than it may hold")


class Portions:
    """Plain bytes of many small blocks of one content, given together while they were packed in the same way: most
    blocks are small, and each content costs a search of its own."""

    def __init__(self, content: Content, room: Room) -> None:
        self._content, self._room = content, room
        self._parts: list[bytes] = []
        self._ranges: list[tuple[int, int]] = []
        self._size, self._undone = 0, ""

    def add(self, plain: bytes, start: int, end: int, undone: str) -> Iterator[Content]:
        """Hold what came out of a block; gives those before it if they are enough. Raises Stop, which counts it in."""
        if undone != self._undone or self._size >= _PORTION:
            yield from self.rest()
        self._parts.append(plain)
        self._ranges.append((start, end))
        self._size, self._undone = self._size + len(plain), undone
        self._room.take(len(plain))

    def rest(self) -> Iterator[Content]:
        """All that is held."""
        parts, ranges = self._parts, self._ranges
        self._parts, self._ranges, self._size = [], [], 0
        if any(parts):
            start, end = min(ranges)[0], max(end for _, end in ranges)
            yield self._content.made(b"\n".join(parts), start, end, "", (self._undone,), covers=tuple(ranges))
