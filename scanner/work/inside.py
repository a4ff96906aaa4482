"""Matches what is inside a file, level by level: archives in archives, encodings in encodings.

Unpacked bytes may be larger than memory: they are matched in windows. The bytes of a content stay valid only while
its level is being worked on, so each level is finished before the next entry is unpacked.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from scanner.content.encoded import Clue
from scanner.content.signals import Signal
from scanner.content.unfold import is_covered, unfold
from scanner.content.words import Budget, Content, Fault, Room
from scanner.detect.firstpass import FirstPass
from scanner.evidence import Gap, Match, Secret
from scanner.layer.walk import OVERLAP, WINDOW
from scanner.limits import MIB, Limits
from scanner.work.messages import Ignored
from scanner.work.twins import Known

#: seconds that all files of one task may take together, so that it is over before its worker counts as hanging
_TASK_SECONDS = 200.0
#: faults of one kind that are named for one file; a hostile archive has a hundred thousand
_NAMED = 8


@dataclass(frozen=True, slots=True)
class Inner:
    """A match in something that was unfolded.

    Attributes:
        match: its secret; *start*: where that begins in the content.
        line: 1-based line in the content.
        inside, encoding: see `content.words.Content`.
        within: where in the file the stored bytes of the content start.
        stored: offset and length, in the file, of the stored bytes of the secret.
        spelled: the secret as it is spelled in the text around it, None if no text was decoded.
    """

    match: Match
    start: int
    line: int
    inside: tuple[str, ...]
    encoding: tuple[str, ...]
    within: int
    stored: tuple[int, int]
    spelled: Secret | None = None


@dataclass(slots=True)
class Search:
    """Runs the first pass and remembers where it saw encoded text. One for each process.

    Args:
        known: contents that were searched already and hold nothing.
    """

    first_pass: FirstPass
    limits: Limits
    known: Known
    _signals: dict[int, Signal] = field(init=False)
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self.start_task()
        numbered = enumerate(self.first_pass.detectors)
        self._signals = {number: each for number, each in numbered if isinstance(each, Signal)}

    def start_task(self) -> None:
        """Time counts from here."""
        self._end = time.monotonic() + _TASK_SECONDS

    def matches(self, data: memoryview, name: str, structure: bool = False) -> tuple[list[Match], list[Clue]]:
        """What the detectors see in a content, and where encoded text may be worth decoding.

        *structure*: see `FirstPass.matches`.
        """
        found = self.first_pass.matches(data, name, structure)
        heard = sorted(self._signals.keys() & self.first_pass.fired) if self.first_pass.fired else ()
        return found, [self._signals[owner].take() for owner in heard]

    def ignored(self, data: memoryview, base: int, start: int, end: int) -> list[Ignored]:
        """What was set aside since this was last asked, one for each rule and reason; nothing unless that was wanted.

        Args:
            base: where in *data* the bytes that were matched begin.
            start, end: what begins in data[start:end] counts; the rest belongs to another window.
        """
        if not self.first_pass.explain:
            return []
        found: dict[tuple[str, str], tuple[int | None, int]] = {}
        for aside in self.first_pass.take_aside():
            at = None if aside.start is None else base + aside.start
            if at is None or start <= at < end:
                first, count = found.get((aside.rule_id, aside.reason), (at, 0))
                first = at if first is None else first if at is None else min(first, at)
                found[aside.rule_id, aside.reason] = first, count + aside.count
        return [
            Ignored(rule_id, reason, first, None if first is None else 1 + lines(data, 0, first), count)
            for (rule_id, reason), (first, count) in found.items()
        ]

    def is_judged_by_tail(self, name: str) -> bool:
        """Whether no detector goes by more of a content's path than what `known` knows it by."""
        return not (self.first_pass.by_whole_path or self.first_pass.claimants(name))

    def inside(
        self, content: Content, clues: Sequence[Clue], budget: Budget, first: bool = True
    ) -> Iterator[Inner | Ignored | Gap]:
        """What the detectors see in everything inside *content*, the outermost file, which itself was matched.

        Args:
            clues: from matching it; offsets in its bytes.
            budget: of the layer it lies in.
            first: open archives; False for a later window of the same file, where only encoded text is new.
        """
        deadline = min(self._end, time.monotonic() + self.limits.nested_seconds)
        room = Room(budget, len(content.data), deadline)
        said: dict[tuple[str, str], int] = {}  # a Counter takes longer to make than all of this for most files
        for found in self._unfolded(content, clues, room, first):
            if not isinstance(found, Fault):
                yield found
                continue
            kind = found.reason, found.detail
            said[kind] = said.get(kind, 0) + 1
            if said[kind] <= _NAMED:
                yield Gap("", " > ".join((content.name, *found.inside)), found.reason, found.bytes, found.detail)
        for (reason, detail), count in said.items():
            if count > _NAMED:
                yield Gap("", content.name, reason, None, f"{detail}: {count - _NAMED} more of these")

    def _unfolded(
        self, content: Content, clues: Sequence[Clue], room: Room, first: bool = True
    ) -> Iterator[Inner | Ignored | Fault]:
        for inner in unfold(content, clues, room, first):
            if isinstance(inner, Fault):
                yield inner
                continue
            further: list[Clue] = []
            if inner.run is None and self.known.holds(inner.name, inner.data) and self.is_judged_by_tail(inner.name):
                continue
            if not inner.searched and not is_covered(inner):
                for window in _windows(inner):
                    found, seen = self._window(inner, *window)
                    yield from found
                    further += seen
            yield from self._unfolded(inner, further, room)

    def _window(
        self, content: Content, start: int, low: int, high: int, end: int
    ) -> tuple[list[Inner | Ignored], list[Clue]]:
        """Matches and clues of data[low:high]; those count that start in data[start:end]."""
        data = content.data
        matches, clues = self.matches(data[low:high], "" if content.closed else content.name, content.closed)
        found: list[Inner | Ignored] = [
            replace(ignored, inside=content.inside, encoding=content.encoding)
            for ignored in self.ignored(data, low, start, end)
        ]
        line, counted = 1, 0
        for match in matches:
            at = low + match.start
            if not start <= at < end:
                continue
            line, counted = line + lines(data, counted, at), max(counted, at)
            place = content.place(at, low + match.end)
            spelled = content.spelling(at, low + match.end)
            found.append(
                Inner(match, at, line, content.inside, content.encoding, content.stored[0], place,
                      None if spelled is None else Secret(spelled))
            )  # fmt: skip
        if not low:
            return found, clues
        return found, [Clue(clue.kind, array("Q", (low + at for at in clue.ends)), clue.phase) for clue in clues]


def _windows(content: Content) -> Iterator[tuple[int, int, int, int]]:
    """(start, start with overlap, end with overlap, end) of each window."""
    size = len(content.data)
    for start in range(0, size, WINDOW):
        end = min(size, start + WINDOW)
        yield start, max(0, start - OVERLAP), min(size, end + OVERLAP), end


def lines(view: memoryview, start: int, end: int) -> int:
    """The newlines of view[start:end]."""
    return sum(bytes(view[at : min(end, at + MIB)]).count(b"\n") for at in range(start, end, MIB))
