"""The first pass: the triggers of all detectors in Hyperscan databases, run over every byte."""

from __future__ import annotations

import operator
import re
import struct
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import hyperscan

from scanner.detect.base import Detector, Group, PathDetector, Trigger
from scanner.detect.plugins.assigned import reads_as_assignments
from scanner.detect.plugins.tally import Tally
from scanner.detect.spans import Suppressed
from scanner.errors import RulePackError
from scanner.evidence import Match

#: the engine's version
ENGINE = str(hyperscan.__version__)  # type: ignore[attr-defined]
_FIRST_LINES = 1024
_NOBODY = -1  # owner of what is not looked for
#: a whole line that is none of INI: no comment, section or indented line, and without a delimiter; with the newline
#: before it, to which `re` skips
_NO_SETTING = re.compile(rb"\n[^ \t\r\n#;\[=:][^=:\n]*\n")
_HEAD = struct.Struct("<BQ")  # group and length in front of each database
_REFUSED = (hyperscan.error, struct.error, ValueError)  # the latter two: no database at all


def _flags(trigger: Trigger) -> int:
    flags = int(hyperscan.HS_FLAG_DOTALL)
    if trigger.caseless:
        flags |= int(hyperscan.HS_FLAG_CASELESS)
    if trigger.single:
        flags |= int(hyperscan.HS_FLAG_SINGLEMATCH)
    return flags


def _groups(triggers: Sequence[Trigger]) -> dict[Group, list[int]]:
    """Positions of the triggers of each database that has any."""
    groups: dict[Group, list[int]] = {}
    for position, trigger in enumerate(triggers):
        groups.setdefault(trigger.group.database, []).append(position)
    return dict(sorted(groups.items()))


def compile_database(triggers: Sequence[Trigger], first: int = 0) -> bytes:
    """The serialized databases of *triggers*, each behind its group and length; ids are positions in *triggers*, the
    first one being *first*. What is made of several parts of a list can be joined.

    Raises RulePackError naming the bad one, unless it is of a secret.
    """
    serialized = b""
    for group, positions in _groups(triggers).items():
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        try:
            database.compile(
                expressions=[triggers[position].expression for position in positions],
                ids=[first + position for position in positions],
                elements=len(positions),
                flags=[_flags(triggers[position]) for position in positions],
            )
        except hyperscan.error as error:
            bad = next((trigger for trigger in triggers if not compiles(trigger)), None)
            shown = bad is not None and group is not Group.KNOWN
            what = f"the first pass refuses {bad.expression!r}: {error}" if bad and shown else str(error)
            raise RulePackError(what) from error
        one = bytes(hyperscan.dumpb(database))
        serialized += _HEAD.pack(group, len(one)) + one
    return serialized


def _parts(serialized: bytes) -> Iterator[tuple[Group, int, int]]:
    """Group, beginning and end of each database. Raises struct.error or ValueError if these are none."""
    at = 0
    while at < len(serialized):
        group, size = _HEAD.unpack_from(serialized, at)
        yield Group(group), at + _HEAD.size, at + _HEAD.size + size
        at += _HEAD.size + size
    if at > len(serialized):
        raise ValueError("cut short")


def heads(serialized: bytes) -> bytes:
    """What stands in front of the databases that `compile_database` made: the engine's own checksums cover all that is
    run of each. Raises struct.error or ValueError if these are none."""
    return b"".join(serialized[start - _HEAD.size : start] for _, start, _ in _parts(serialized))


def _databases(serialized: bytes) -> Iterator[tuple[Group, Any]]:
    """The databases of what `compile_database` made. Raises as `_parts`, or hyperscan.error for damaged ones, and for
    those of another engine or machine."""
    for group, start, end in _parts(serialized):
        yield group, hyperscan.loadb(serialized[start:end], hyperscan.HS_MODE_BLOCK)


def compiles(trigger: Trigger) -> bool:
    """Whether the first pass can run *trigger*."""
    try:
        hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK).compile(
            expressions=[trigger.expression], ids=[0], elements=1, flags=[_flags(trigger)]
        )
    except hyperscan.error:
        return False
    return True


def loads(serialized: bytes) -> bool:
    """Whether this engine on this machine accepts what is to be databases."""
    try:
        list(_databases(serialized))
    except _REFUSED:
        return False
    return True


def _may_be_settings(data: memoryview, path: str) -> bool:
    """Whether a content may be INI or YAML, by its name or its first lines."""
    if path.endswith((".yaml", ".yml", ".eyaml")):
        return True
    # nearly every other kind of file shows in its first lines
    if _NO_SETTING.search(b"\n" + bytes(data[:_FIRST_LINES])):
        return False
    return reads_as_assignments(data, "OTHER")


@runtime_checkable
class _Explains(Protocol):
    """A detector that can say what it judged to be no secret, and why."""

    def explain(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match | Suppressed]: ...


def _by_path(detectors: Sequence[Detector]) -> Iterator[tuple[int, PathDetector]]:
    """The detectors that may look at a content because of its name, each with its number. `isinstance` of a protocol
    would take longer than reading a small image."""
    for number, detector in enumerate(detectors):
        if hasattr(detector, "claims"):
            yield number, cast(PathDetector, detector)


@dataclass(frozen=True, slots=True)
class SetAside:
    """What looked like a secret in a content and was judged to be none.

    Attributes:
        start: where it begins in the content; None for a number of them whose places were not kept.
    """

    rule_id: str
    reason: str
    start: int | None
    count: int = 1


def _ascending(places: array[int]) -> Sequence[int]:
    """The places in order, each once; most are so already."""
    return places if all(map(operator.lt, places, places[1:])) else sorted(set(places))


class Owned(NamedTuple):
    """Triggers that follow one another in the databases.

    Attributes:
        owner: the number of their detector.
        triggers: how many they are.
        structural: they are looked for in headers and padding, too.
    """

    owner: int
    triggers: int
    structural: bool


def owned_by(detectors: Sequence[Detector]) -> Iterator[Owned]:
    """Whose triggers are where, if those of all *detectors* follow one another."""
    quoted_or_encoded = (Group.ENCODED, Group.QUOTED)
    for owner, detector in enumerate(detectors):
        for structural, run in groupby(each.group not in quoted_or_encoded for each in detector.triggers):
            yield Owned(owner, len(list(run)), structural)


class FirstPass:
    """Runs the databases over contents and lets the detectors confirm what fired. Made once; a process that is forked
    has one of its own.

    Attributes:
        detectors: whose triggers are in the databases.
        explain: remember what the detectors set aside; costs time and memory.

    Args:
        serialized: what `compile_database` made of the triggers of *detectors*. It is not kept.
        base: one whose detectors come before these; its databases are used as they are.
        owned: whose triggers they are, if that is known already.

    Raises ValueError if the engine refuses the databases.
    """

    def __init__(
        self, detectors: Sequence[Detector], serialized: bytes, explain: bool = False, base: FirstPass | None = None,
        owned: Sequence[Owned] | None = None,
    ) -> None:  # fmt: skip
        before = base.detectors if base else ()
        own = (each._replace(owner=len(before) + each.owner) for each in owned or owned_by(detectors))
        #: whose triggers are in the databases, in order
        self.owned: tuple[Owned, ...] = (*(base.owned if base else ()), *own)
        detectors = (*before, *detectors)
        self.detectors: tuple[Detector, ...] = detectors
        self.explain = explain
        #: the numbers of the detectors whose triggers fired in the last content, and of those that its path claimed
        self.fired: Collection[int] = ()
        self._aside: list[SetAside] = []
        tallies: list[Tally] = [detector.tally for detector in detectors if hasattr(detector, "tally")]
        self._tallies = {id(tally): tally for tally in tallies}
        self._by_path = tuple(_by_path(detectors))
        #: whether what one content holds tells nothing about the same bytes in another folder
        self.by_whole_path = any(getattr(each, "by_whole_path", False) for each in detectors)
        try:
            databases = tuple(_databases(serialized))
        except _REFUSED as error:
            raise ValueError(f"the engine refuses the databases: {error}") from error
        for _, database in databases:
            database.scratch = hyperscan.Scratch(database)
        self._databases: tuple[tuple[Group, Any], ...] = (*(base._databases if base else ()), *databases)
        #: by owner, where its triggers ended; in arrays, as a hostile content has millions of places
        self._ends: defaultdict[int, array[int]] = defaultdict(partial(array, "Q"))
        self._in_contents = self._recorder(False)
        self._in_structure = self._recorder(True)

    def _recorder(self, structure: bool) -> Callable[[int, int, int, int, object], None]:
        """What the engine calls for each place."""
        ends = self._ends
        owners = [_NOBODY if structure and not each.structural else each.owner
                  for each in self.owned for _ in range(each.triggers)]  # fmt: skip

        def record(trigger: int, _start: int, end: int, _flags: int, _context: object) -> None:
            ends[owners[trigger]].append(end)

        return record

    def claimants(self, path: str) -> list[int]:
        """The numbers of the detectors that look at a content because it is called *path*."""
        return [owner for owner, each in self._by_path if each.claims(path)]

    def matches(self, data: memoryview, path: str, structure: bool = False) -> list[Match]:
        """Every match in *data* of all detectors, in order of place.

        *structure* tells that these are headers and padding around members: names and paths, which hold neither
        quoted strings nor settings, and are not encoded.
        """
        self._ends.clear()  # a pass that ran out of memory left some
        record = self._in_structure if structure else self._in_contents
        for group, database in self._databases:
            if group is Group.SETTINGS and (structure or not _may_be_settings(data, path)):
                continue
            database.scan(data, match_event_handler=record)
        ends = dict(self._ends)
        ends.pop(_NOBODY, None)
        if not structure and path:
            for owner in self.claimants(path):
                ends.setdefault(owner, array("Q"))
        self.fired = ends.keys()
        if not ends:
            return []
        self._ends.clear()
        found: list[Match] = []
        confirm = self._explained if self.explain else self._confirmed
        for owner, places in ends.items():
            found += confirm(self.detectors[owner], data, _ascending(places), path)
        found.sort(key=lambda match: (match.start, match.end, match.rule_id))
        return found

    @staticmethod
    def _confirmed(detector: Detector, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        return detector.confirm(data, ends, path)

    def _explained(self, detector: Detector, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        if not isinstance(detector, _Explains):
            yield from detector.confirm(data, ends, path)
            return
        for seen in detector.explain(data, ends, path):
            if isinstance(seen, Match):
                yield seen
            else:
                self._aside.append(SetAside(seen.rule_id, seen.reason, seen.start))

    def take_aside(self) -> list[SetAside]:
        """What was set aside since this was last asked; always nothing unless *explain*."""
        taken, self._aside = self._aside, []
        for tally in self._tallies.values():
            taken += [SetAside(rule_id, reason, None, count) for (rule_id, reason), count in tally.take()]
        return taken


def triggers_of(detectors: Sequence[Detector]) -> list[Trigger]:
    """All triggers in the order that `FirstPass` expects them in the database."""
    return [trigger for detector in detectors for trigger in detector.triggers]


def fired(serialized: bytes, contents: Sequence[bytes | memoryview]) -> int:
    """How often the triggers of a compiled database fire in *contents*; nothing is confirmed."""
    count = 0

    def on_match(*_: object) -> None:
        nonlocal count
        count += 1

    for _, database in _databases(serialized):
        database.scratch = hyperscan.Scratch(database)
        for content in contents:
            database.scan(content, match_event_handler=on_match)
    return count
