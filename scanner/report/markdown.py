"""A scan's result as Markdown, for a comment on a merge request or a job's summary: GitHub's and GitLab's dialect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from scanner.evidence import Finding, ScanResult
from scanner.report.escape import code, fenced, line, markdown
from scanner.report.lines import counted, cut, unique
from scanner.report.order import ordered, parted
from scanner.report.phrases import accepted_gap, reason, step, verdict
from scanner.report.setting import PLAIN, Setting
from scanner.report.story import APPLIES_BY, BY_HAND, buried, called, gap_line, masked, spot, where

#: A comment on GitHub has 65,536 characters at most.
MOST = 60_000
_ROWS, _ADVICES, _GAPS, _ACCEPTED = 100, 10, 20, 20
_LONGEST, _LONGEST_PROSE = 200, 400


def render(result: ScanResult, setting: Setting = PLAIN) -> str:
    """The page, with a newline at its end: never more than `MOST` characters."""
    gated, accepted, hints = parted(ordered(result.findings))
    head = [f"## leakscan: {result.verdict.value.upper()}", "", f"{_code(called(result))}: {verdict(result)}", ""]
    tail = [
        *_hints(hints),
        *_accepted(accepted, setting),
        *_accepted_gaps(result, setting),
        *_gaps(result, setting),
        f"{counted(result.coverage.total, 'byte')} in {counted(result.coverage.members, 'file')}; "
        "values are never shown.",
    ]
    room = MOST - sum(len(each) + 1 for each in (*head, *tail)) - 1000
    table = _table(gated, setting, room * 2 // 3)
    room -= sum(len(each) + 1 for each in table)
    lines = [*head, *table, *_fitting(_advice(gated), room), *tail]
    return "\n".join(map(line, lines)) + "\n"


def _code(text: str) -> str:
    return code(cut(text, _LONGEST))


def _prose(text: str) -> str:
    return markdown(cut(text, _LONGEST_PROSE))


def _fitting(blocks: Iterable[str], room: int) -> Iterator[str]:
    """As many whole blocks as there is room for."""
    for block in blocks:
        room -= len(block) + 1
        if room < 0:
            return
        yield block


def _table(findings: Sequence[Finding], setting: Setting, room: int) -> list[str]:
    if not findings:
        return []
    rows = list(_fitting(map(_row, findings[:_ROWS]), room))
    lines = ["| severity | what | where | build step |", "|---|---|---|---|", *rows, ""]
    if left := len(findings) - len(rows):
        lines += [f"{counted(left, 'more finding')} left out here; {_complete(setting)}.", ""]
    return lines


def _complete(setting: Setting) -> str:
    return f"the JSON report {_code(setting.whole)} lists all" if setting.whole else setting.complete


def _row(finding: Finding) -> str:
    platform = f" ({_code(finding.platform)})" if finding.platform else ""
    what = f"{_prose(finding.title)}, {finding.secret.length} bytes"
    state = f", {finding.state.value}" if buried(finding) else ""
    layer = f", layer {finding.layer.index}" if finding.layer else ""
    place = f"{_code(spot(finding) or finding.surface.value)}{layer}{state}{platform}"
    return f"| {finding.severity.value} | {what} | {place} | {_code(step(finding)) if step(finding) else ''} |"


def _advice(findings: Sequence[Finding]) -> Iterator[str]:
    """What to do, each advice once, as blocks of lines."""
    by_summary: dict[str, list[Finding]] = {}
    for finding in findings[:1000]:
        by_summary.setdefault(finding.remediation.summary, []).append(finding)
    if by_summary:
        yield "### What to do\n"
    for summary, members in list(by_summary.items())[:_ADVICES]:
        steps = unique(step for finding in members[:1] for step in finding.remediation.steps)
        numbered = (f"{number}. {_prose(step)}" for number, step in enumerate(steps, 1))
        yield "\n".join([_prose(summary), "", *numbered, ""])
        yield from unique(written for finding in members for written in _written(finding))[:3]


def _written(finding: Finding) -> Iterator[str]:
    """The change as a diff against the user's Dockerfile, else the instruction anew."""
    advice = finding.remediation
    if advice.diff:
        yield f"{fenced(advice.diff.rstrip(), 'diff')}\n"
        if advice.script:
            yield f"{APPLIES_BY}\n\n{fenced(advice.script, 'sh')}\n"
        elif masked(advice.diff):
            yield f"{BY_HAND}\n"
    elif advice.dockerfile:
        yield f"{fenced(advice.dockerfile, 'dockerfile')}\n"


def _hints(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return []
    kinds = Counter(finding.title for finding in findings)
    listed = ", ".join(f"{number:,} x {_prose(title)}" for title, number in kinds.most_common(10))
    more = f", and {len(kinds) - 10:,} other kinds" if len(kinds) > 10 else ""
    said = f"For information, not sure or not severe enough to count: {listed}{more}."
    return [said, ""]


def _accepted(findings: Sequence[Finding], setting: Setting) -> list[str]:
    lines = [f"{_prose(each.title)} in {_code(where(each))}: {_prose(reason(each.suppressed))}"
             for each in findings[:_ACCEPTED]]  # fmt: skip
    return _listed(f"{counted(len(findings), 'accepted finding')}:", lines, len(findings), setting)


def _accepted_gaps(result: ScanResult, setting: Setting) -> list[str]:
    gaps = result.coverage.accepted
    lines = [f"{_code(each.gap.reason)} {_code(accepted_gap(each))}" for each in gaps[:_GAPS]]
    return _listed(f"Not looked at, and accepted ({counted(len(gaps), 'gap')}):", lines, len(gaps), setting)


def _gaps(result: ScanResult, setting: Setting) -> list[str]:
    gaps = result.coverage.gaps
    lines = [f"{_code(gap.reason)} {_code(gap_line(gap))}" for gap in gaps[:_GAPS]]
    return _listed(f"Not looked at ({counted(len(gaps), 'gap')}):", lines, len(gaps), setting)


def _listed(title: str, lines: Sequence[str], total: int, setting: Setting) -> list[str]:
    """A list with its title, and how many of *total* are not in it; nothing without lines."""
    if not lines:
        return []
    more = [f"- and {total - len(lines):,} more; {_complete(setting)}"] if total > len(lines) else []
    return [title, "", *(f"- {line}" for line in lines), *more, ""]
