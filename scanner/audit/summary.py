"""What an audit says of a whole registry: which secrets, since which build, in which repositories and layers, and who
must act. Every report of an audit shows this one value; its counts add up.

Sums that hold in every `Summary`: the four *counts* are all references; *leaking*, *unsure* and *clean* are, too; those
of the repositories together are the same, and so are those of the periods; the secrets of the owners together are all
secrets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from scanner.audit.rows import Row, counts, rows
from scanner.audit.run import Audit
from scanner.evidence import Severity, Verdict
from scanner.store.ledger import State

_DAYS, _MONTHS = 31, 36  # most periods of that length in a row; beyond, longer ones are taken


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret that leaks, wherever it stands.

    Attributes:
        fingerprint: keyed; `leakscan audit --where` takes it.
        preview: redacted.
        references, repositories: how many hold it.
        live: in how many references a container sees it; in the others it was deleted, and is in the layers.
        since: when the oldest build that holds it was made, ISO 8601; empty if nothing tells.
        first: that build: the one where it must be removed.
        repository: of *first*, with the host in front: whoever owns it must act.
        layer: digest of the layer that it is in there, None outside layers.
        place: path in the layer, or the surface.
        created_by: the build step that brought it in, redacted; None if nothing tells.
        advice: what to do, in one sentence.
    """

    fingerprint: str
    rule_id: str
    title: str
    severity: Severity
    preview: str
    references: int
    repositories: int
    live: int
    since: str
    first: str
    repository: str
    layer: str | None
    place: str
    created_by: str | None
    advice: str


@dataclass(frozen=True, slots=True)
class Period:
    """References by when they were built.

    Attributes:
        start: a day 2026-11-26, a month 2026-11 or a year 2026; empty for those of which nothing tells.
        secrets: that no older build holds.
    """

    start: str
    references: int
    leaking: int
    secrets: int


@dataclass(frozen=True, slots=True)
class Repository:
    """What came of one repository.

    Attributes:
        name: with the host in front; the host alone if the registry could not be listed.
        references: all that were listed; of them *leaking*, *unsure* (not known to leak, and not read whole) and
            *clean*.
        secrets: different ones.
        worst: the highest severity of what leaks, None if nothing does.
    """

    name: str
    references: int
    leaking: int
    unsure: int
    clean: int
    secrets: int
    worst: Severity | None


@dataclass(frozen=True, slots=True)
class SharedLayer:
    """A layer that leaks into more than one image.

    Attributes:
        digest: of its stored bytes.
        references, repositories: how many have it.
        secrets: different ones in it.
        first: the oldest build that has it: most likely the base of the others.
        repository: of *first*.
        created_by: the build step that made it, redacted.
    """

    digest: str
    references: int
    repositories: int
    secrets: int
    worst: Severity
    first: str
    repository: str
    created_by: str | None


@dataclass(frozen=True, slots=True)
class Owner:
    """A repository whose owner must act: secrets entered the registry with its builds.

    Attributes:
        secrets: that were first seen in it; each secret of a registry has one owner.
        own: references of its own that hold one of them.
        others: references of other repositories that inherited one of them.
        affected: those repositories.
    """

    repository: str
    secrets: int
    worst: Severity
    own: int
    others: int
    affected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """An audit of one or more registries in numbers, worst first everywhere; see the module for what adds up.

    Attributes:
        hosts: the registries.
        references: all that were listed.
        counts: references by state (scanned, incomplete, failed, not_reached).
        stale: references whose verdict is of older rules.
        older: images that an age filter left out; they are not among the references.
        blobs: that were read in this run.
        interrupted: the audit was stopped before its end.
    """

    hosts: tuple[str, ...]
    references: int
    counts: Mapping[str, int]
    leaking: int
    unsure: int
    clean: int
    stale: int
    older: int
    blobs: int
    interrupted: bool
    secrets: tuple[Secret, ...]
    periods: tuple[Period, ...]
    repositories: tuple[Repository, ...]
    layers: tuple[SharedLayer, ...]
    owners: tuple[Owner, ...]

    @property
    def verdict(self) -> Verdict:
        """Leaked if any image leaks, else incomplete if any was not read whole, else clean."""
        if self.leaking:
            return Verdict.LEAKED
        return Verdict.CLEAN if self.counts[State.SCANNED.value] == self.references else Verdict.INCOMPLETE


def summarize(audits: Sequence[Audit], fail_on: Severity | None) -> Summary:
    """Everything that reports say of a registry as a whole, in one pass over the ledger. Raises DatabaseError.

    Args:
        audits: of the registries.
        fail_on: the least severity that counts as a leak, None for none.
    """
    tally = _Tally()
    for row in rows(audits, fail_on):
        tally.add(row)
    number = counts(audits)
    verdicts = Counter(each.verdict for each in tally.references.values())
    secrets = tally.secrets_found()
    return Summary(
        hosts=tuple(each.host for each in audits),
        references=sum(number.values()),
        counts=number,
        leaking=verdicts[Verdict.LEAKED],
        unsure=verdicts[Verdict.INCOMPLETE],
        clean=verdicts[Verdict.CLEAN],
        stale=sum(each.stale for each in tally.references.values()),
        older=sum(each.older for each in audits),
        blobs=sum(each.blobs for each in audits),
        interrupted=any(each.interrupted for each in audits),
        secrets=secrets,
        periods=tuple(_periods(tally.references.values(), secrets)),
        repositories=tally.repositories_found(),
        layers=tally.layers_found(),
        owners=tally.owners_found(secrets),
    )


@dataclass(slots=True)
class _Reference:
    """What is known of one reference while rows are added."""

    repository: str
    created: str
    verdict: Verdict
    stale: bool


@dataclass(slots=True)
class _Held:
    """Where a secret or a layer was seen while rows are added; *first* is its oldest build, with a finding of it."""

    order: tuple[str, int, str]
    first: Row
    finding: dict[str, Any]
    references: set[tuple[str, str]] = field(default_factory=set)
    repositories: set[str] = field(default_factory=set)
    live: set[tuple[str, str]] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    worst: Severity = Severity.LOW

    def add(self, order: tuple[str, int, str], row: Row, finding: dict[str, Any]) -> None:
        """One more finding."""
        severity = Severity(finding["severity"])
        if order < self.order:
            self.order, self.first, self.finding = order, row, finding
        if severity.rank < self.worst.rank:
            self.worst = severity
        self.references.add(row.entry)
        self.repositories.add(row.repository)
        self.secrets.add(finding["secret"]["fingerprint"])
        if finding["state"] == "live":
            self.live.add(row.entry)


class _Tally:
    """Rows added up."""

    def __init__(self) -> None:
        self.references: dict[tuple[str, str], _Reference] = {}
        self._secrets: dict[str, _Held] = {}
        self._layers: dict[str, _Held] = {}

    def add(self, row: Row) -> None:
        """One more row."""
        known = self.references.setdefault(
            row.entry, _Reference(row.repository, row.created, row.verdict, bool(row.stale))
        )
        if _BADNESS[row.verdict] < _BADNESS[known.verdict]:
            known.verdict = row.verdict
        # the oldest build first; of builds of one time the shortest, which the others may be built on
        order = (row.created or "9999", row.layers, row.reference)
        for finding in row.gated:
            self._hold(self._secrets, finding["secret"]["fingerprint"], order, row, finding)
            if finding["layer"] and finding["layer"]["digest"]:
                self._hold(self._layers, finding["layer"]["digest"], order, row, finding)

    @staticmethod
    def _hold(
        held: dict[str, _Held], key: str, order: tuple[str, int, str], row: Row, finding: dict[str, Any]
    ) -> None:
        held.setdefault(key, _Held(order, row, finding)).add(order, row, finding)

    def secrets_found(self) -> tuple[Secret, ...]:
        """Every secret, the worst and most spread first."""
        found = []
        for fingerprint, held in self._secrets.items():
            finding, layer, step = held.finding, held.finding["layer"], held.finding["instruction"]
            found.append(Secret(
                fingerprint, finding["rule_id"], finding["title"], held.worst, finding["secret"]["preview"],
                len(held.references), len(held.repositories), len(held.live), held.first.created,
                held.first.reference, held.first.repository, layer["digest"] if layer else None,
                finding["path"] or finding["surface"], step["created_by"] if step else None,
                finding["remediation"]["summary"],
            ))  # fmt: skip
        return tuple(sorted(found, key=lambda each: (each.severity.rank, -each.references, each.fingerprint)))

    def repositories_found(self) -> tuple[Repository, ...]:
        """Every repository, the worst first."""
        verdicts: dict[str, Counter[Verdict]] = {}
        for each in self.references.values():
            verdicts.setdefault(each.repository, Counter())[each.verdict] += 1
        secrets: Counter[str] = Counter()
        worst: dict[str, Severity] = {}
        for held in self._secrets.values():
            for name in held.repositories:
                secrets[name] += 1
                if name not in worst or held.worst.rank < worst[name].rank:
                    worst[name] = held.worst
        found = [
            Repository(name, sum(number.values()), number[Verdict.LEAKED], number[Verdict.INCOMPLETE],
                       number[Verdict.CLEAN], secrets[name], worst.get(name))
            for name, number in verdicts.items()
        ]  # fmt: skip
        return tuple(sorted(found, key=lambda each: (_rank(each.worst), -each.leaking, -each.unsure, each.name)))

    def layers_found(self) -> tuple[SharedLayer, ...]:
        """The layers that leak into more than one reference, into most first."""
        found = [
            SharedLayer(digest, len(held.references), len(held.repositories), len(held.secrets), held.worst,
                        held.first.reference, held.first.repository,
                        held.finding["instruction"]["created_by"] if held.finding["instruction"] else None)
            for digest, held in self._layers.items() if len(held.references) > 1
        ]  # fmt: skip
        return tuple(sorted(found, key=lambda each: (-each.references, each.digest)))

    def owners_found(self, secrets: Sequence[Secret]) -> tuple[Owner, ...]:
        """Who must act for which number of *secrets*, whoever has the worst first."""
        by_owner: dict[str, list[Secret]] = {}
        for each in secrets:
            by_owner.setdefault(each.repository, []).append(each)
        found = []
        for name, owned in by_owner.items():
            held = [self._secrets[each.fingerprint] for each in owned]
            holders = {entry for each in held for entry in each.references}
            affected = {other for each in held for other in each.repositories} - {name}
            own = sum(self.references[each].repository == name for each in holders)
            worst = min((each.severity for each in owned), key=lambda severity: severity.rank)
            found.append(Owner(name, len(owned), worst, own, len(holders) - own, tuple(sorted(affected))))
        return tuple(sorted(found, key=lambda each: (each.worst.rank, -each.secrets, -each.others, each.repository)))


_BADNESS = {Verdict.LEAKED: 0, Verdict.INCOMPLETE: 1, Verdict.CLEAN: 2}


def _rank(severity: Severity | None) -> int:
    return 99 if severity is None else severity.rank


# --- time ---------------------------------------------------------------------------------------------------------


def _periods(references: Iterable[_Reference], secrets: Sequence[Secret]) -> Iterator[Period]:
    """Days, months or years without a hole between the first and the last, then what has no date."""
    built = list(references)
    length = _length([each.created[:10] for each in built if each.created])
    total: Counter[str] = Counter(each.created[:length] for each in built)
    leaking: Counter[str] = Counter(each.created[:length] for each in built if each.verdict is Verdict.LEAKED)
    first: Counter[str] = Counter(each.since[:length] for each in secrets)
    dated = sorted(start for start in total if start)
    for start in _between(dated[0], dated[-1]) if dated else ():
        yield Period(start, total[start], leaking[start], first[start])
    if total[""] or first[""]:
        yield Period("", total[""], leaking[""], first[""])


def _length(days: Sequence[str]) -> int:
    """How much of a date names a period: all of it, year and month, or the year."""
    if not days:
        return 4
    span = date.fromisoformat(max(days)) - date.fromisoformat(min(days))
    return 10 if span.days < _DAYS else 7 if span.days < _MONTHS * 30 else 4


def _between(first: str, last: str) -> Iterator[str]:
    """Every period from one to another, as they are named."""
    if len(first) == 10:
        start, end = date.fromisoformat(first), date.fromisoformat(last)
        yield from ((start + timedelta(days=number)).isoformat() for number in range((end - start).days + 1))
    elif len(first) == 7:
        month, end_month = (int(each[:4]) * 12 + int(each[5:7]) - 1 for each in (first, last))
        yield from (f"{number // 12:04}-{number % 12 + 1:02}" for number in range(month, end_month + 1))
    else:
        yield from (f"{year:04}" for year in range(int(first), int(last) + 1))
