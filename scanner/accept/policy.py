"""What the user accepts: findings that then do not count, gaps that then leave a scan complete. All of it stays listed.

Pure functions over findings and gaps, between `prove` and the reports. What accepts a finding is an `Acceptor`: the
ignore entries of the settings, a baseline. An acceptance that has expired accepts nothing any more, and is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Protocol, TypeVar

from scanner.evidence import AcceptedGap, Finding, Gap, Secret

#: only what lies inside files may be accepted: everything else is a hole in the image itself
ACCEPTABLE = "nested."
#: how a notice of something expired begins
EXPIRED = "expired on "


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Why something is accepted.

    Attributes:
        by: the file, and the entry in it.
        expires: the last day on which it holds, None for ever.
    """

    by: str
    reason: str
    expires: date | None = None

    def holds(self, today: date) -> bool:
        """Whether it has not expired."""
        return self.expires is None or today <= self.expires

    @property
    def shown(self) -> dict[str, object]:
        """As a report has it."""
        expires = None if self.expires is None else self.expires.isoformat()
        return {"by": self.by, "reason": self.reason, "expires": expires}


class Expiring(Protocol):
    """Something that holds up to a day."""

    def holds(self, today: date) -> bool:
        """Whether it has not expired."""
        ...


_E = TypeVar("_E", bound=Expiring)


def preferred(found: Sequence[_E], today: date) -> _E | None:
    """The first that holds, else the first; None of none."""
    return next((each for each in found if each.holds(today)), found[0] if found else None)


class Acceptor(Protocol):
    """Something that accepts findings."""

    def accepted(
        self, findings: Sequence[Finding], values: Mapping[str, Secret], today: date
    ) -> Mapping[int, Acceptance]:
        """What it accepts of *findings*, by position; one that has expired only if none holds.

        *values* are the secrets by their fingerprints.
        """
        ...


class GapAcceptor(Protocol):
    """Something that accepts gaps."""

    def accepted_gap(self, gap: Gap, today: date) -> Acceptance | None:
        """The acceptance of one gap, if any."""
        ...


def this_day() -> date:
    """Today, in UTC, so that a date expires at the same moment everywhere."""
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True)
class Policy:
    """All that is accepted in one scan; *notes* are for the report."""

    acceptors: tuple[Acceptor, ...] = ()
    gaps: tuple[GapAcceptor, ...] = ()
    today: date = field(default_factory=this_day)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """Findings and gaps after the policy.

    Attributes:
        gaps: those that still count; *accepted* those that do not.
        notices: about what has expired, for the report.
    """

    findings: tuple[Finding, ...]
    gaps: tuple[Gap, ...]
    accepted: tuple[AcceptedGap, ...]
    notices: tuple[str, ...]


def judge(
    findings: Sequence[Finding], gaps: Sequence[Gap], policy: Policy, values: Mapping[str, Secret]
) -> Judged:
    """Apply *policy*: what is accepted is not gated, and says by what and why."""
    expired: Counter[Acceptance] = Counter()
    kept = list(findings)
    late: dict[int, Acceptance] = {}
    left = list(range(len(kept)))
    for acceptor in policy.acceptors:
        accepted = acceptor.accepted([kept[at] for at in left], values, policy.today)
        for place, acceptance in accepted.items():
            at = left[place]
            if acceptance.holds(policy.today):
                kept[at] = replace(kept[at], gated=False, suppressed=acceptance.shown)
                late.pop(at, None)
            else:
                late.setdefault(at, acceptance)
        left = [at for at in left if kept[at].suppressed is None]
    expired.update(late.values())
    open_gaps, accepted_gaps = [], []
    for gap in gaps:
        verdict = _gap(gap, policy)
        if verdict is not None and verdict.holds(policy.today):
            accepted_gaps.append(AcceptedGap(gap, verdict.shown))
            continue
        open_gaps.append(gap)
        if verdict is not None:
            expired[verdict] += 1
    notices = tuple(_expired(acceptance, count) for acceptance, count in expired.items())
    return Judged(tuple(kept), tuple(open_gaps), tuple(accepted_gaps), notices)


def _gap(gap: Gap, policy: Policy) -> Acceptance | None:
    """The acceptance that holds, else one that has expired."""
    if not gap.reason.startswith(ACCEPTABLE):
        return None
    found = [each for acceptor in policy.gaps if (each := acceptor.accepted_gap(gap, policy.today)) is not None]
    return preferred(found, policy.today)


def _expired(acceptance: Acceptance, count: int) -> str:
    what = "finding or gap counts" if count == 1 else "findings or gaps count"
    return f"{EXPIRED}{acceptance.expires}, so {count} {what} again: {acceptance.by} ({acceptance.reason})"
