"""A result as one page for a browser: a picture of the image first, then what leaked, worst first, and how to mend it.

The page is a single file that asks for nothing else, runs nothing, and can be sent to whoever has to act on it. Like
the JSON report it holds neither times nor durations.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from scanner import __version__
from scanner.evidence import Finding, ScanResult
from scanner.image.instruction import parse_created_by
from scanner.report import markup
from scanner.report.accepted import entry
from scanner.report.lines import amount, counted, cut, unique
from scanner.report.order import ordered
from scanner.report.picture import LANES, picture
from scanner.report.story import (
    APPLIES_BY,
    BY_HAND,
    CLOSING,
    Advice,
    Group,
    advised,
    buried,
    by_step,
    called,
    common_steps,
    gap_line,
    masked,
    sentence,
    value_of,
    where,
    why_not_gated,
)

#: Secrets told in full, for each step and in all; the rest are rows of a table, and above _ROWS they are counted.
_SECRETS, _ALL_SECRETS, _ROWS = 20, 100, 5000
_PLACES, _TITLES, _TITLE_PLACES, _GAPS, _PICTURES = 10, 100, 20, 200, 20
#: Leaks that are unfolded when the page opens, and the secrets of each.
_OPEN, _SHOWN = 3, 3
_STEP, _LONGEST, _NAME = 2000, 600, 200


@dataclass(frozen=True, slots=True)
class _Secret:
    """One secret of one step; *elsewhere* is the number of the leak that told of it before, 0 if none did."""

    worst: Finding
    places: tuple[Finding, ...]
    more: int
    elsewhere: int


@dataclass(frozen=True, slots=True)
class _Leak:
    """What one step leaked.

    Attributes:
        secrets: those told in full; *rest* are the worst of each other one, *more* how many are not even there.
        arguments: build arguments that the step was given.
    """

    number: int
    group: Group
    step: str
    arguments: str
    count: int
    secrets: tuple[_Secret, ...]
    rest: tuple[Finding, ...]
    more: int
    advice: Advice
    steps: tuple[str, ...]

    @property
    def worst(self) -> Finding:
        return self.group.findings[0]


@dataclass(frozen=True, slots=True)
class _Kind:
    """Findings that do not count, of one title."""

    title: str
    why: str
    count: int
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """A secret that the user gave; *leaks* are the numbers of those that hold it, *reason* says why it was not looked
    for, if so."""

    id: str
    verdict: str
    searched: str
    reason: str
    leaks: tuple[int, ...]


def render(result: ScanResult) -> str:
    """The page, with a newline at its end."""
    return markup.page("report.html", "report.css", **values(result))


def values(result: ScanResult) -> dict[str, object]:
    """What the template of the page, and those that extend it, are filled with."""
    findings = ordered(result.findings)
    groups = by_step([finding for finding in findings if finding.gated])
    common = common_steps(groups)
    several = len(result.images) > 1
    return {
        "result": result,
        "version": __version__,
        "called": called(result),
        "name": cut(called(result), _NAME),
        "sentence": _sentence(sentence(result, groups), called(result)),
        "closing": CLOSING[result.verdict],
        "pictures": [picture(image, groups, result.coverage.gaps, several) for image in result.images[:_PICTURES]],
        "lanes": LANES,
        "leaks": _leaks(groups, common),
        "common": common,
        "open": _OPEN,
        "shown": _SHOWN,
        "kinds": _kinds([finding for finding in findings if not finding.gated]),
        "ungated": sum(not finding.gated for finding in findings),
        "gaps": result.coverage.gaps[:_GAPS],
        "accepted": result.coverage.accepted[:_GAPS],
        "entry": entry,
        "reasons": sorted(Counter(gap.reason for gap in result.coverage.gaps).items()),
        "known": _known(result, groups),
        "encodings": _encodings(result),
        "amount": amount,
        "counted": counted,
        "cut": cut,
        "where": _where,
        "buried": buried,
        "gap_line": gap_line,
        "masked": masked,
        "applies_by": APPLIES_BY,
        "by_hand": BY_HAND,
        "linked": False,
    }


def _sentence(text: str, reference: str) -> str:
    """*text* as a sentence of its own, if it does not begin with the image's name, which stays as it is."""
    return cut(text if text.startswith(reference) else text[:1].upper() + text[1:], _LONGEST)


def _where(finding: Finding) -> str:
    return cut(where(finding), _LONGEST)


def _leaks(groups: Sequence[Group], common: Sequence[str]) -> list[_Leak]:
    leaks = []
    shown: dict[str, int] = {}
    full, listed = _ALL_SECRETS, _ROWS
    for number, group in enumerate(groups, 1):
        secrets = group.secrets
        told = secrets[: min(_SECRETS, full)]
        full -= len(told)
        rest = [members[0] for members in secrets[len(told) :][:listed]]
        listed -= len(rest)
        step, advice = parse_created_by(group.step), advised(group)
        leaks.append(
            _Leak(
                number=number,
                group=group,
                step=cut(step.line, _STEP),
                arguments=cut(" ".join(f"{name}={value}" for name, value in step.args if value), _STEP),
                count=len(secrets),
                secrets=tuple(_secret(members, shown) for members in told),
                rest=tuple(rest),
                more=len(secrets) - len(told) - len(rest),
                advice=advice,
                steps=tuple(step for step in advice.steps if step not in common),
            )
        )
        for members in secrets:
            shown.setdefault(value_of(members[0]), number)
    return leaks


def _secret(members: Sequence[Finding], shown: dict[str, int]) -> _Secret:
    worst = members[0]
    return _Secret(worst, tuple(members[:_PLACES]), max(0, len(members) - _PLACES), shown.get(value_of(worst), 0))


def _kinds(findings: Sequence[Finding]) -> list[_Kind]:
    found: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        why = why_not_gated(finding) if finding.suppressed is None else f"accepted by {entry(finding.suppressed)}"
        found[finding.title, cut(why, _LONGEST)].append(finding)
    kinds = [
        _Kind(title, why, len(members), tuple(_where(finding) for finding in members[:_TITLE_PLACES]))
        for (title, why), members in found.items()
    ]
    return sorted(kinds, key=lambda kind: (-kind.count, kind.title, kind.why))[:_TITLES]


def _known(result: ScanResult, groups: Sequence[Group]) -> list[_Known]:
    """The verdicts on known secrets, `known_secrets` of docs/report.md."""
    leak_of = {finding.id: number for number, group in enumerate(groups, 1) for finding in group.findings}
    found = []
    for known in result.known_secrets:
        searched, sightings = known.get("bytes_searched"), known.get("sightings")
        leaks = {leak_of[str(id_)] for id_ in _listed(sightings) if str(id_) in leak_of}
        found.append(
            _Known(
                id=str(known.get("id")),
                verdict=str(known.get("verdict")),
                searched=amount(searched) if isinstance(searched, int) else "",
                reason=str(known.get("reason", "")),
                leaks=tuple(sorted(leaks)),
            )
        )
    return found


def _encodings(result: ScanResult) -> str:
    """What known secrets were looked for in, the same for all that were looked for."""
    every = (str(each) for known in result.known_secrets for each in _listed(known.get("encodings")))
    return ", ".join(unique(every))


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
