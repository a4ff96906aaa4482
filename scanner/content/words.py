"""What unfolding is about: a content, what may be taken out of it, and what was not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from scanner.errors import LeakscanError
from scanner.limits import MIB, Limits

#: nested content may always be so large, whatever its ratio to the stored bytes
RATIO_FREE = 64 * MIB


@dataclass(frozen=True, slots=True)
class Run:
    """Encoded text that a content was decoded from.

    Attributes:
        parent: the content it stands in, at *start*.
        raw: its bytes.
        back: span in the decoded bytes → span in *raw*.
    """

    parent: Content
    start: int
    raw: memoryview
    back: Callable[[int, int], tuple[int, int]]


class Content(NamedTuple):  # a tuple, as there is one for every file and for all that is in it
    """Bytes to be searched, and where they come from.

    Attributes:
        data: the bytes; valid until the generator that gave the content goes on.
        name: what detectors are told: the innermost path.
        stored: offset and length, in the bytes of the outermost file, of the innermost range that is stored there.
        verbatim: *data* is that very range; else it was made of it.
        inside: paths through nested archives, the outermost first.
        encoding: what was undone on the way, the outermost first.
        depth: how many archives, compressions and encodings were opened.
        searched: these bytes are part of a content that is searched anyway, only what is inside them is new.
        closed: nothing is inside: an archive's own headers, which look like an archive.
        run: where decoded text comes from.
        covers: the ranges of the content around it that it was made of: what is packed there is packed in it.
        packed: where in *data* something packed may begin, of a content that is searched as part of another.
    """

    data: memoryview
    name: str
    stored: tuple[int, int]
    verbatim: bool = True
    inside: tuple[str, ...] = ()
    encoding: tuple[str, ...] = ()
    depth: int = 0
    searched: bool = False
    closed: bool = False
    run: Run | None = None
    covers: tuple[tuple[int, int], ...] = ()
    packed: tuple[int, ...] = ()

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Offset and length in the outermost file of the stored bytes that data[start:end] was made of."""
        if self.verbatim:
            return self.stored[0] + start, end - start
        if self.run is None:
            return self.stored
        first, last = self.run.back(start, end)
        return self.run.parent.place(self.run.start + first, self.run.start + last)

    def stands(self, at: int, length: int) -> bool:
        """Whether data[at:at+length] was decoded of text and stands in that text as it is."""
        if self.run is None:
            return False
        first, last = self.run.back(at, at + length)
        return bytes(self.run.raw[first:last]) == bytes(self.data[at : at + length])

    def spelling(self, start: int, end: int) -> bytes | None:
        """How data[start:end] is spelled in the outermost text around it, None if no text was decoded."""
        if self.run is None:
            return None
        first, last = self.run.back(start, end)
        outer = self.run.parent.spelling(self.run.start + first, self.run.start + last)
        return bytes(self.run.raw[first:last]) if outer is None else outer

    def part(self, start: int, end: int, name: str, searched: bool = False, closed: bool = False) -> Content:
        """An entry that lies in *data* as it is. *searched*: searching *data* searched it well enough."""
        place = self.place(start, end)
        return self._inner(self.data[start:end], place, ((start, end),), self.verbatim, name, "", (), searched, closed)

    def made(
        self, data: bytes | memoryview, start: int, end: int, name: str, encoding: tuple[str, ...] = (),
        rename: str = "", covers: tuple[tuple[int, int], ...] = (),
    ) -> Content:  # fmt: skip
        """An entry made of data[start:end]; without a *name* it has the path of this content.

        Args:
            encoding: what was undone.
            rename: what detectors are told instead.
            covers: the ranges that it was made of, if not of all.
        """
        covers = covers or ((start, end),)
        return self._inner(memoryview(data), self.place(start, end), covers, False, name, rename, encoding)

    def _inner(
        self, data: memoryview, stored: tuple[int, int], covers: tuple[tuple[int, int], ...], verbatim: bool,
        name: str, rename: str, encoding: tuple[str, ...], searched: bool = False, closed: bool = False,
    ) -> Content:  # fmt: skip
        return Content(
            data=data,
            name=rename or name or self.name,
            stored=stored,
            verbatim=verbatim,
            inside=(*self.inside, name) if name else self.inside,
            encoding=(*self.encoding, *encoding),
            depth=self.depth + 1,
            searched=searched,
            closed=closed,
            covers=covers,
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """Something inside a content that could not be looked at.

    Attributes:
        reason: nested.damaged, nested.encrypted, nested.unknown, nested.depth, nested.bytes, nested.entries,
            nested.ratio or limit.time.
        inside: the path to it, as in `Content.inside`.
        bytes: stored bytes it is about, None if nobody can know.
    """

    reason: str
    inside: tuple[str, ...]
    bytes: int | None
    detail: str


class Ended(LeakscanError):
    """Reading ended early; carries the reason of the fault."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Stop(Ended):
    """A limit was hit."""


class Broken(Ended):
    """A part cannot be read, others may be."""


@dataclass(slots=True)
class Budget:
    """What may still be made of the nested content of one layer."""

    limits: Limits
    bytes: int = 0
    entries: int = 0


@dataclass(slots=True)
class Room:
    """What may still be made of one outermost file, out of the layer's budget.

    Attributes:
        size: its stored bytes.
        deadline: `time.monotonic()` after which nothing more is opened.
    """

    budget: Budget
    size: int
    deadline: float
    bytes: int = 0

    def take(self, count: int) -> None:
        """Count bytes that came out of something. Raises Stop."""
        self.bytes += count
        self.budget.bytes += count
        self.look()

    def look(self, more: int = 0) -> None:
        """Look at the clock, and whether *more* bytes may come out, which are not counted yet. Raises Stop."""
        limits = self.budget.limits
        if self.budget.bytes + more > limits.nested_bytes:
            raise Stop("nested.bytes", f"more than {limits.nested_bytes} bytes are packed in the layer's files")
        if self.bytes + more > max(RATIO_FREE, limits.nested_ratio * self.size):
            raise Stop("nested.ratio", f"more than {limits.nested_ratio} times its size comes out of it")
        if time.monotonic() > self.deadline:
            raise Stop("limit.time", "unpacking it takes longer than the limit")

    def entry(self) -> None:
        """Count an entry of an archive. Raises Stop."""
        limits = self.budget.limits
        self.budget.entries += 1
        if self.budget.entries > limits.nested_entries:
            raise Stop("nested.entries", f"more than {limits.nested_entries} entries are packed in the layer's files")
        if self.budget.entries % 64 == 0 and time.monotonic() > self.deadline:
            raise Stop("limit.time", "unpacking it takes longer than the limit")
