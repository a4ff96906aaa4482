"""What the user's own files accept, for the text report: findings by the entry that does, then gaps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from scanner.evidence import AcceptedGap, Finding, ScanResult
from scanner.report.lines import Page, Style, counted, cut, unique
from scanner.report.story import spot

#: above these numbers the rest is counted; the JSON report lists all
_ENTRIES, _PLACES, _GAPS = 20, 3, 10


def say_accepted(page: Page, result: ScanResult) -> None:
    """The section on *page*; nothing if nothing is accepted."""
    findings = [finding for finding in result.findings if finding.suppressed is not None]
    gaps = result.coverage.accepted
    if not findings and not gaps:
        return
    page.blank()
    parts = [*([counted(len(findings), "finding")] if findings else []), *([counted(len(gaps), "gap")] if gaps else [])]
    page.say(f"{' and '.join(parts)}, by your own files; they do not count.", label="Accepted: ", style=Style.BOLD)
    _findings(page, findings)
    _gaps(page, gaps)


def _findings(page: Page, findings: Sequence[Finding]) -> None:
    by_entry: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_entry[entry(finding.suppressed or {})].append(finding)
    for by, members in list(by_entry.items())[:_ENTRIES]:
        page.say(by, indent=2, label=f"{len(members):,} x ")
        spots = ((each.title, cut(spot(each, each.surface.value), 200)) for each in members[:1000])
        places = unique(f"{title} in {place}" for title, place in spots)
        page.say("; ".join(places[:_PLACES]) + ("; ..." if len(places) > _PLACES else ""), indent=6)
    if len(by_entry) > _ENTRIES:
        page.say(f"... and by {len(by_entry) - _ENTRIES:,} more; the JSON report lists all.", indent=2)


def _gaps(page: Page, gaps: Sequence[AcceptedGap]) -> None:
    for each in gaps[:_GAPS]:
        page.say(f"{cut(each.gap.where, 200)}, by {entry(each.accepted)}", indent=2, label=f"{each.gap.reason}  ")
    if len(gaps) > _GAPS:
        page.say(f"... and {counted(len(gaps) - _GAPS, 'more gap')}.", indent=2)


def entry(accepted: Mapping[str, object]) -> str:
    """`.leakscan.toml: [[ignore]] 1: the reason, until 2027-03-31`."""
    expires = f", until {accepted['expires']}" if accepted.get("expires") else ""
    return f"{accepted.get('by')}: {accepted.get('reason')}{expires}"
