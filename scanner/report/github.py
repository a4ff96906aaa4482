"""A scan's result as annotations of GitHub Actions: commands that the runner reads from a job's log.

GitHub shows ten of each kind for a step, so the worst ten are written, and what is left out is said.
https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from scanner.evidence import Finding, ScanResult, Severity
from scanner.report.escape import workflow, workflow_property
from scanner.report.lines import counted, cut
from scanner.report.order import ordered
from scanner.report.phrases import LONGEST, fate, verdict
from scanner.report.setting import PLAIN, Setting
from scanner.report.story import called, gap_line, where

#: what GitHub shows of each kind for a step
MOST = 10
_SEVERE = (Severity.CRITICAL, Severity.HIGH)


def render(result: ScanResult, setting: Setting = PLAIN) -> str:
    """A line for each annotation, the verdict first; findings that fail no scan have none."""
    gated = [finding for finding in ordered(result.findings) if finding.gated]
    errors = [_finding("error", finding) for finding in gated if finding.severity in _SEVERE]
    warnings = [_finding("warning", finding) for finding in gated if finding.severity not in _SEVERE]
    # gaps are warnings as well: one place is kept for them, whatever was found
    gaps = [_command("warning", f"Not looked at ({gap.reason})", gap_line(gap)) for gap in result.coverage.gaps]
    room = MOST - min(len(gaps), 1)
    shown = [*errors[:MOST], *warnings[:room]]
    shown += gaps[: MOST - len(warnings[:room])]
    notice = f"{called(result)}: {verdict(result)}"
    if left := len(errors) + len(warnings) + len(gaps) - len(shown):
        notice += f" {counted(left, 'more annotation')} left out, as GitHub shows {MOST} of a kind; {setting.complete}."
    return "\n".join([_command("notice", "leakscan", notice), *shown, ""])


def _command(kind: str, title: str, message: str, spot: str = "") -> str:
    return f"::{kind} {spot}title={workflow_property(cut(title, LONGEST))}::{workflow(cut(message, 4 * LONGEST))}"


def _finding(kind: str, finding: Finding) -> str:
    advice = finding.remediation
    steps = (f"{number}. {step}" for number, step in enumerate(advice.steps, 1))
    lines = [cut(where(finding), LONGEST), finding.gains, *fate(finding), advice.summary, *steps]
    title, message = f"{finding.severity.value}: {finding.title}", "\n".join(line for line in lines if line)
    return _command(kind, title, message, _in_dockerfile(finding))


def _in_dockerfile(finding: Finding) -> str:
    """The lines of the user's Dockerfile as properties, empty if they are unknown."""
    place = finding.dockerfile
    if place is None:
        return ""
    return f"file={workflow_property(cut(place.path, LONGEST))},line={place.line},endLine={place.end_line},"
