"""Time as the columns of a chart: images by when they were built, and how many there were and leaked at each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from scanner.store.ledger import Span

#: Columns of a chart that an eye can take in.
COLUMNS = 18


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a chart: *leaking* of *images* in the time that *label* names; *short* fits below a column."""

    label: str
    short: str
    images: int
    leaking: int


def day_of(time: str) -> date | None:
    """The day of an ISO 8601 time; None for what is none. Which times builds have is for `rows.built` to say."""
    try:
        return date.fromisoformat(time[:10])
    except ValueError:
        return None


def history(spans: Iterable[Span], today: date) -> tuple[Column, ...]:
    """How many images there were, and how many of them leak by what is known now, at the end of each period."""
    kept = list(spans)
    days = {day for span in kept if (day := day_of(span.first)) is not None}
    if not days:
        return ()
    ends = _ends(min(days), today)
    found = []
    for start, end, label, short in ends:
        there = [span for span in kept if (day_of(span.first) or start) <= end
                 and (span.current or (day_of(span.last) or start) >= end)]  # fmt: skip
        found.append(Column(label, short, sum(span.images for span in there),
                            sum(span.images for span in there if span.leaking)))  # fmt: skip
    return tuple(found)


def periods(images: Mapping[date, int], leaking: Mapping[date, int]) -> tuple[Column, ...]:
    """Images by the time they were made, in as many columns as are good to look at; the first holds all before it."""
    if not images:
        return ()
    found = []
    ends = _ends(min(images), max(images))
    for at, (start, end, label, short) in enumerate(ends):
        days = [day for day in images if (start <= day or at == 0) and day <= end]
        found.append(Column(f"until {label}" if at == 0 and min(images) < start else label, short,
                            sum(images[day] for day in days), sum(leaking.get(day, 0) for day in days)))  # fmt: skip
    return tuple(found)


def _ends(first: date, last: date) -> list[tuple[date, date, str, str]]:
    """Days, weeks, months, quarters or years up to *last*, COLUMNS at most: first day, last day, label, short label."""
    days = (last - first).days + 1
    if days <= COLUMNS:
        return [(day, day, day.isoformat(), str(day.day)) for day in (first + timedelta(n) for n in range(days))]
    if days <= 7 * COLUMNS:
        start = first - timedelta(first.weekday())
        weeks = [start + timedelta(7 * n) for n in range((last - start).days // 7 + 1)][-COLUMNS:]
        return [(day, day + timedelta(6), f"week of {day.isoformat()}", f"{day.day}.{day.month}.") for day in weeks]
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    if months <= COLUMNS:
        each = [(first.year + (first.month - 1 + n) // 12, (first.month - 1 + n) % 12 + 1) for n in range(months)]
        return [(date(year, month, 1), _month_end(year, month), f"{year}-{month:02}", f"{month}/{year % 100:02}")
                for year, month in each]  # fmt: skip
    if months <= 3 * (COLUMNS - 1):
        each = [divmod(n, 4) for n in range(first.year * 4 + (first.month - 1) // 3,
                                            last.year * 4 + (last.month - 1) // 3 + 1)]  # fmt: skip
        return [(date(year, 3 * quarter + 1, 1), _month_end(year, 3 * quarter + 3), f"{year}, quarter {quarter + 1}",
                 f"Q{quarter + 1}/{year % 100:02}") for year, quarter in each]  # fmt: skip
    years = range(max(first.year, last.year - COLUMNS + 1), last.year + 1)
    return [(date(year, 1, 1), date(year, 12, 31), str(year), str(year)) for year in years]


def _month_end(year: int, month: int) -> date:
    following = date(year + month // 12, month % 12 + 1, 1)
    return following - timedelta(1)
