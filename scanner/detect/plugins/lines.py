"""The lines around the places where triggers fired, cut out of a content that may be gigabytes.

A line ends at LF, CR or CR LF, as Python's text files have it; it is decoded as UTF-8 with surrogate escapes, and
white space at its end is dropped. A line longer than `WHOLE` may come in windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from scanner.detect.plugins.alphabet import Projection

#: lines up to this many bytes are always seen whole
WHOLE = 256 << 10
#: the largest window of a longer line; windows overlap by WHOLE, so only what is longer than that can be cut
WINDOW = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """A line, or a window of a very long one.

    Attributes:
        start: offset of its first byte in the content.
        text: decoded, white space at its end dropped.
        projected: *text* in the alphabet of `alphabet`.
        cut_before, cut_after: whether the line goes on beyond the window.
    """

    start: int
    text: str
    projected: bytes
    cut_before: bool = False
    cut_after: bool = False
    #: the last place asked for and its offset, from where the next one is counted
    _mark: list[int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_mark", [0, self.start])

    @property
    def cut(self) -> bool:
        """Whether this is not all of the line."""
        return self.cut_before or self.cut_after

    def at_cut(self, start: int, end: int) -> bool:
        """Whether a match between two characters may be an artefact of the window's edge."""
        return (self.cut_before and start == 0) or (self.cut_after and end >= len(self.text))

    def offset(self, place: int) -> int:
        """The offset in the content of the character at *place* of the text."""
        if self.text.isascii():
            return self.start + place
        known, offset = self._mark if self._mark[0] <= place else (0, self.start)
        offset += len(self.text[known:place].encode("utf-8", "surrogateescape"))
        self._mark[:] = place, offset
        return offset


def line_start(data: memoryview, at: int, reach: int) -> tuple[int, bool]:
    """Where the line of the byte at *at* starts, looking back *reach* bytes; and whether that was far enough."""
    floor, high, step = max(0, at - reach), at, 256
    while high > floor:
        low = max(floor, high - step)
        chunk = bytes(data[low:high])
        place = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        if place >= 0:
            return low + place + 1, True
        high, step = low, step * 8
    return floor, floor == 0


def line_end(data: memoryview, at: int, reach: int) -> tuple[int, bool]:
    """Where the line of the byte at *at* ends, its terminator excluded; and whether *reach* bytes were enough."""
    ceiling, low, step = min(len(data), at + reach), at, 256
    while low < ceiling:
        high = min(ceiling, low + step)
        chunk = bytes(data[low:high])
        places = [place for place in (chunk.find(b"\n"), chunk.find(b"\r")) if place >= 0]
        if places:
            return low + min(places), True
        low, step = high, step * 8
    return ceiling, ceiling == len(data)


def make_line(
    data: memoryview, start: int, end: int, project: Projection, cut_before: bool = False, cut_after: bool = False
) -> Line:
    """The line between two offsets."""
    text = bytes(data[start:end]).decode("utf-8", "surrogateescape")
    text = text if cut_after else text.rstrip()
    return Line(start, text, project(text), cut_before, cut_after)


def affected(data: memoryview, ends: Sequence[int], project: Projection, reach: int = WHOLE) -> Iterator[Line]:
    """Each line that holds the byte before one of *ends*, once. A terminator belongs to the line that it ends.

    Lines of more than *reach* bytes come in windows around the places, overlapping by *reach*: what is shorter is
    whole in one of them. Work is linear in the length of the lines, as windows advance by more than they overlap.
    """
    covered, widest = 0, WINDOW if reach >= WHOLE else 4 * reach
    for end in ends:
        at = end - 1
        if at < covered:
            continue
        start, complete = line_start(data, at, reach)
        stop, ended = line_end(data, at, max(reach, widest - (at - start)))
        yield make_line(data, start, stop, project, not complete, not ended)
        covered = stop + 1 if ended else stop - reach
