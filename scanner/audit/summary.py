"""What an audit says of a whole registry: which secrets, since which build, in which repositories and layers, and who
must act. Every report of an audit shows this one value; its counts add up.

Sums that hold in every `Summary`: the four *counts* are all references; *leaking*, *unsure* and *clean* are, too; those
of the repositories together are the same, and so are those of the periods; the secrets of the owners together are all
secrets.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scanner.audit.holders import Holders, rank
from scanner.audit.periods import Period, periods
from scanner.audit.rows import Row, counts, rows
from scanner.audit.run import Audit
from scanner.evidence import Severity, Verdict
from scanner.store.ledger import State


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
        blobs: that this process read; those of workers are not counted.
        interrupted: the audit was stopped before its end.
        notes: what else must be said of the registries, a sentence each.
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
    notes: tuple[str, ...]
    secrets: tuple[Secret, ...]
    periods: tuple[Period, ...]
    repositories: tuple[Repository, ...]
    layers: tuple[SharedLayer, ...]
    owners: tuple[Owner, ...]

    @property
    def verdict(self) -> Verdict:
        """Leaked if any image leaks, else incomplete if any was not read whole or may not have been listed, else
        clean."""
        if self.leaking:
            return Verdict.LEAKED
        whole = self.counts[State.SCANNED.value] == self.references and not self.interrupted
        return Verdict.CLEAN if whole else Verdict.INCOMPLETE


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
    built = [(each.created, each.verdict is Verdict.LEAKED) for each in tally.references.values()]
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
        notes=tuple(note for each in audits for note in each.notes),
        secrets=secrets,
        periods=tuple(periods(built, (each.since for each in secrets))),
        repositories=tally.repositories_found(),
        layers=tally.layers_found(),
        owners=tally.owners_found(),
    )


@dataclass(slots=True)
class _Reference:
    """What is known of one reference while rows are added."""

    repository: str
    created: str
    verdict: Verdict
    stale: bool


@dataclass(frozen=True, slots=True)
class _Leak:
    """A finding that leaks; *step* is the build step that brought it in, if anything tells."""

    secret: str
    title: str
    severity: Severity
    layer: str
    finding: Mapping[str, Any]

    @property
    def step(self) -> str | None:
        instruction = self.finding["instruction"]
        return instruction["created_by"] if instruction else None


class _Tally:
    """Rows added up."""

    def __init__(self) -> None:
        self.references: dict[tuple[str, str], _Reference] = {}
        self._holders: Holders[_Leak] = Holders()
        self._live: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    def add(self, row: Row) -> None:
        """One more row."""
        known = self.references.setdefault(
            row.entry, _Reference(row.repository, row.created, row.verdict, bool(row.stale))
        )
        if _BADNESS[row.verdict] < _BADNESS[known.verdict]:
            known.verdict = row.verdict
        self._holders.add(row, map(_leak, row.gated))
        for finding in row.gated:
            if finding["state"] == "live":
                self._live[finding["secret"]["fingerprint"]].add(row.entry)

    def secrets_found(self) -> tuple[Secret, ...]:
        """Every secret, the worst and most spread first."""
        found = []
        for fingerprint, held in self._holders.secrets.items():
            finding = held.leak.finding
            found.append(Secret(
                fingerprint, finding["rule_id"], held.leak.title, held.worst, finding["secret"]["preview"],
                held.number, len(held.images), len(self._live[fingerprint]), held.created, held.reference,
                held.repository, finding["layer"]["digest"] if finding["layer"] else None,
                finding["path"] or finding["surface"], held.leak.step, finding["remediation"]["summary"],
            ))  # fmt: skip
        return tuple(sorted(found, key=lambda each: (each.severity.rank, -each.references, each.fingerprint)))

    def repositories_found(self) -> tuple[Repository, ...]:
        """Every repository, the worst first."""
        verdicts: defaultdict[str, Counter[Verdict]] = defaultdict(Counter)
        for each in self.references.values():
            verdicts[each.repository][each.verdict] += 1
        secrets = self._holders.secrets_in()
        worst: dict[str, Severity | None] = {}
        for held in self._holders.secrets.values():
            for name in held.images:
                worst[name] = min(worst.get(name), held.worst, key=rank)
        found = [
            Repository(name, sum(number.values()), number[Verdict.LEAKED], number[Verdict.INCOMPLETE],
                       number[Verdict.CLEAN], secrets[name], worst.get(name))
            for name, number in verdicts.items()
        ]  # fmt: skip
        return tuple(sorted(found, key=lambda each: (rank(each.worst), -each.leaking, -each.unsure, each.name)))

    def layers_found(self) -> tuple[SharedLayer, ...]:
        """The layers that leak into more than one reference, into most first."""
        found = [
            SharedLayer(digest, held.number, len(held.images), len(held.secrets), held.worst, held.reference,
                        held.repository, held.leak.step)
            for digest, held in self._holders.shared_layers()
        ]  # fmt: skip
        return tuple(sorted(found, key=lambda each: (-each.references, each.digest)))

    def owners_found(self) -> tuple[Owner, ...]:
        """Who must act for which number of secrets, whoever has the worst first."""
        found = [
            Owner(each.repository, len(each.held), each.worst, each.own, each.others, tuple(sorted(each.affected)))
            for each in self._holders.shares()
        ]
        return tuple(sorted(found, key=lambda each: (each.worst.rank, -each.secrets, -each.others, each.repository)))


def _leak(finding: Mapping[str, Any]) -> _Leak:
    layer = finding["layer"]
    return _Leak(finding["secret"]["fingerprint"], finding["title"], Severity(finding["severity"]),
                 (layer and layer["digest"]) or "", finding)  # fmt: skip


_BADNESS = {Verdict.LEAKED: 0, Verdict.INCOMPLETE: 1, Verdict.CLEAN: 2}
