"""The periods that reports divide builds into: days, months or years, by how far apart the builds are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

_DAYS, _MONTHS = 31, 36  # most periods of that length in a row; beyond, longer ones are taken


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


def periods(built: Sequence[tuple[str, bool]], secrets: Iterable[str]) -> Iterator[Period]:
    """Days, months or years without a hole between the first and the last, then what has no date.

    Args:
        built: of each reference when it was built, ISO 8601 or empty, and whether it leaks.
        secrets: of each secret when the oldest build was made that holds it.
    """
    length = _length([created[:10] for created, _ in built if created])
    total = Counter(created[:length] for created, _ in built)
    leaking = Counter(created[:length] for created, leaks in built if leaks)
    first = Counter(since[:length] for since in secrets)
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
