"""A scan's result as GitLab's secret-detection report 15.0.2.

GitLab takes reports of container scanning only with a package for every finding, so this is the report for secrets.
https://gitlab.com/gitlab-org/security-products/security-report-schemas
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from scanner import __version__
from scanner.evidence import Finding, ScanResult, Severity, line_to_show
from scanner.report import escape
from scanner.report.json import compact
from scanner.report.lines import counted, cut
from scanner.report.order import ordered
from scanner.report.phrases import LONGEST, accepted_gap, fate, image_name, sure, verdict
from scanner.report.setting import PLAIN, Setting
from scanner.report.story import called, gap_line, where

_VERSION = "15.0.2"
_SCHEMA = (
    "https://gitlab.com/gitlab-org/security-products/security-report-schemas/-/raw/"
    f"v{_VERSION}/dist/secret-detection-report-format.json"
)
_NAME = 255
_GAPS = 1_000
_SEVERITIES = {
    Severity.CRITICAL: "Critical",
    Severity.HIGH: "High",
    Severity.MEDIUM: "Medium",
    Severity.LOW: "Low",
}
_NO_COMMIT = "0" * 40


def render(result: ScanResult, setting: Setting = PLAIN) -> str:
    """The document, with a newline at its end. Accepted findings are counted in a message, not listed."""
    name = image_name(result)
    listed = [finding for finding in ordered(result.findings) if finding.suppressed is None]
    vulnerabilities = ",\n  ".join(compact(_vulnerability(finding, name, setting.commit)) for finding in listed)
    scan = compact(_scan(result, len(result.findings) - len(listed), setting))
    return (
        f'{{"schema": "{_SCHEMA}",\n "version": "{_VERSION}",\n "scan": {scan},\n'
        f' "vulnerabilities": [{vulnerabilities}]}}\n'
    )


def _scan(result: ScanResult, accepted: int, setting: Setting) -> dict[str, Any]:
    tool = {"id": "leakscan", "name": "leakscan", "version": __version__, "vendor": {"name": "leakscan"}}
    gaps = result.coverage.gaps
    messages = [_message("info", f"{called(result)}: {verdict(result)}")]
    if accepted:
        messages.append(_message("info", f"{counted(accepted, 'accepted finding')} not listed; {setting.complete}."))
    messages += [_message("warn", f"Not looked at: {gap.reason} {gap_line(gap)}") for gap in gaps[:_GAPS]]
    allowed = result.coverage.accepted[:_GAPS]
    messages += [_message("info", f"Not looked at: {each.gap.reason} {accepted_gap(each)}") for each in allowed]
    if len(gaps) > _GAPS:
        messages.append(_message("warn", f"{len(gaps) - _GAPS:,} more gaps are not listed; {setting.complete}."))
    return {
        "analyzer": tool,
        "scanner": tool,
        "type": "secret_detection",
        # GitLab drops the findings of a scan that failed, so one that found something has not
        "status": "success" if result.images else "failure",
        "start_time": _time(setting.finished - result.seconds),
        "end_time": _time(setting.finished),
        "messages": messages,
    }


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(max(seconds, 0)))


def _message(level: str, text: str) -> dict[str, str]:
    return {"level": level, "value": escape.text(cut(text, LONGEST))}


def _vulnerability(finding: Finding, image: str, commit: str) -> dict[str, Any]:
    path = "/".join((image, finding.path or finding.surface.value, *finding.inside))
    location: dict[str, Any] = {"commit": {"sha": commit or _NO_COMMIT}, "file": escape.text(cut(path, LONGEST))}
    line = line_to_show(finding.line, finding.encoding)
    if line is not None:
        location |= {"start_line": line, "end_line": line}
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"leakscan:{image}:{finding.id}".encode("ascii", "replace").decode())),
        "name": cut(escape.text(finding.title), _NAME),
        "description": _description(finding),
        "severity": _SEVERITIES[finding.severity] if sure(finding) else "Info",
        "solution": escape.text(cut(" ".join(finding.remediation.steps), LONGEST)),
        "identifiers": [
            _identifier("leakscan_rule_id", f"leakscan rule {finding.rule_id}", finding.rule_id),
            _identifier("leakscan_finding_id", f"leakscan finding {finding.id}", finding.id),
        ],
        "location": location,
    }


def _identifier(kind: str, name: str, value: str) -> dict[str, str]:
    return {"type": kind, "name": cut(escape.text(name), _NAME), "value": escape.text(value)}


def _description(finding: Finding) -> str:
    place, gains = f"{finding.title} in {cut(where(finding), LONGEST)}.", [finding.gains] if finding.gains else []
    return escape.text(" ".join([place, *gains, *fate(finding), finding.remediation.summary]))
