"""A scan's result as SARIF 2.1.0, as GitHub code scanning takes it; other readers of SARIF take it as well.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/ and https://docs.github.com/code-security/code-scanning (SARIF support).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from scanner import __version__
from scanner.evidence import AcceptedGap, Confidence, Finding, Gap, ScanResult, Severity, Surface, line_to_show
from scanner.report import escape
from scanner.report.json import compact
from scanner.report.lines import counted, cut
from scanner.report.order import ordered
from scanner.report.phrases import LONGEST, accepted_gap, fate, image_name, reason, sure, verdict
from scanner.report.setting import PLAIN, Setting
from scanner.report.story import gap_line, spot, where

#: GitHub takes 25,000 results and keeps 5,000, the worst; the rest would vanish there without a word.
MOST = 5_000
#: GitHub takes 10 MB, compressed. Each result compressed for itself takes more than all of them together.
_COMPRESSED = 9_000_000
_GAPS = 1_000
_LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}
#: GitHub's bands: over 9.0 critical, 7.0 high, 4.0 medium, 0.1 low
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "3.0"}
_PRECISION = {Confidence.HIGH: "very-high", Confidence.MEDIUM: "high", Confidence.LOW: "low"}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
#: hints of a rule are a rule of their own, as GitHub judges severity and precision by the rule
_HINT = "/hint"
_ADVICE = (
    "Change the credential first: whoever can pull the image has it, and deleting the file in a later step does not "
    "help. Then keep it out of the build (RUN --mount=type=secret), build again, and remove old tags and caches."
)


def render(result: ScanResult, setting: Setting = PLAIN) -> str:
    """The document, with a newline at its end. One run, whatever the number of platforms."""
    findings = ordered(result.findings)
    rules = _rules(findings)
    numbers = {rule["id"]: number for number, rule in enumerate(rules)}
    results = _within_limits(compact(_result(finding, numbers)) for finding in findings[:MOST])
    run = {
        "automationDetails": {"id": f"leakscan/{escape.uri(image_name(result))}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(result, len(findings) - len(results), setting)],
        "originalUriBaseIds": {"ROOTPATH": {"uri": "file:///"}},
        "properties": _image(result),
        "tool": {"driver": _driver(result, rules)},
    }
    listed = ",\n  ".join(results)
    return (
        f'{{"$schema": "{_SCHEMA}",\n "version": "2.1.0",\n "runs": [{compact(run)[:-1]},\n'
        f' "results": [{listed}]}}]}}\n'
    )


def _within_limits(results: Iterable[str]) -> list[str]:
    kept, size = [], 0
    for result in results:
        size += len(zlib.compress(result.encode("ascii"), 1))
        if size > _COMPRESSED:
            break
        kept.append(result)
    return kept


def _driver(result: ScanResult, rules: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": "leakscan",
        "semanticVersion": __version__,
        "version": __version__,
        "rules": list(rules),
        "properties": {"rulesDigest": escape.plain(result.rules_digest)},
    }


def _rule_id(finding: Finding) -> str:
    return finding.rule_id if sure(finding) else f"{finding.rule_id}{_HINT}"


def _rules(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """A descriptor for each rule that found something, with the worst severity and the best confidence it found."""
    by_id: dict[str, Finding] = {}
    for finding in findings:  # worst first
        by_id.setdefault(_rule_id(finding), finding)
    return [_rule(rule_id, by_id[rule_id]) for rule_id in sorted(by_id)]


def _rule(rule_id: str, finding: Finding) -> dict[str, Any]:
    title = cut(escape.text(finding.title), LONGEST)
    gains = cut(escape.text(finding.gains), LONGEST)
    help_text = " ".join(part for part in (gains, _ADVICE) if part)
    properties: dict[str, Any] = {"precision": _PRECISION[finding.confidence], "tags": ["secret", "security"]}
    if sure(finding):
        properties["security-severity"] = _SCORES[finding.severity]
    else:
        help_text = f"A hint only, which never fails a scan: the value may be no secret. {help_text}"
    return {
        "id": rule_id,
        "name": "".join(part.capitalize() for part in rule_id.replace("/", ".").replace("-", ".").split(".")),
        "shortDescription": {"text": title},
        "fullDescription": {"text": gains or title},
        "help": {"text": help_text, "markdown": f"**{escape.markdown(title)}**\n\n{_marked(gains)}{_ADVICE}"},
        "defaultConfiguration": {"level": _level(finding)},
        "properties": properties,
    }


def _marked(gains: str) -> str:
    return f"{escape.markdown(gains)}\n\n" if gains else ""


def _level(finding: Finding) -> str:
    return _LEVELS[finding.severity] if sure(finding) else "note"


def _result(finding: Finding, numbers: dict[str, int]) -> dict[str, Any]:
    rule_id = _rule_id(finding)
    found = {
        "ruleId": rule_id,
        "ruleIndex": numbers[rule_id],
        "level": _level(finding),
        "message": {"text": _message(finding)},
        **_locations(finding),
        # GitHub computes the first from a file of the repository unless it is given; an id survives rebuilds
        "partialFingerprints": {"leakscanId/v1": finding.id, "primaryLocationLineHash": f"{finding.id}:1"},
        "properties": _properties(finding),
    }
    if finding.suppressed is not None:
        found["suppressions"] = [_suppression(finding.suppressed)]
    return found


def _message(finding: Finding) -> str:
    place = f"{finding.title} in {cut(where(finding), LONGEST)}."
    return escape.message(" ".join([place, *fate(finding), finding.remediation.summary]))


def _locations(finding: Finding) -> dict[str, Any]:
    """The place in the image; where the step's lines in a Dockerfile are known those come first, as a reviewer can
    comment on them, and the place in the image is a related one."""
    place = finding.dockerfile
    if place is None:
        return {"locations": [_location(finding)]}
    region = {"startLine": max(place.line, 1), "endLine": max(place.end_line, place.line, 1)}
    file = {"uri": escape.uri(cut(place.path, LONGEST))}
    primary = {"physicalLocation": {"artifactLocation": file, "region": region}}
    related = {"id": 1, "message": {"text": "Where it lies in the image."}, **_location(finding)}
    return {"locations": [primary], "relatedLocations": [related]}


def _location(finding: Finding) -> dict[str, Any]:
    """A file of the image, or for what lies in no file a path that begins with the kind of document."""
    path = "!/".join((cut(finding.path or "", LONGEST), *(cut(name, LONGEST) for name in finding.inside)))
    if finding.surface is not Surface.LAYER:
        path = f"{finding.surface.value}/{path}"
    blob = (finding.layer and (finding.layer.digest or finding.layer.diff_id)) or finding.proof.blob
    logical = f"{cut(blob, LONGEST)}:/{cut(spot(finding), LONGEST)}"
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": escape.uri(path), "uriBaseId": "ROOTPATH"},
            "region": {"startLine": max(line_to_show(finding.line, finding.encoding) or 1, 1)},
        },
        "logicalLocations": [{"fullyQualifiedName": escape.text(logical), "kind": finding.surface.value}],
    }


def _properties(finding: Finding) -> dict[str, Any]:
    found: dict[str, Any] = {
        "confidence": finding.confidence.value,
        "gated": finding.gated,
        "secretFingerprint": finding.secret.fingerprint,
        "severity": finding.severity.value,
        "state": finding.state.value,
        "surface": finding.surface.value,
    }
    if finding.layer is not None:
        found["layer"] = {"index": finding.layer.index, "diffId": finding.layer.diff_id}
    if finding.platform is not None:
        found["platform"] = escape.text(finding.platform)
    return found


def _suppression(suppressed: Any) -> dict[str, Any]:
    justification = escape.text(cut(reason(suppressed), LONGEST))
    return {"kind": "external", "status": "accepted", "justification": justification}


def _invocation(result: ScanResult, left_out: int, setting: Setting) -> dict[str, Any]:
    gaps = result.coverage.gaps
    notices = [_notice("note", verdict(result))]
    if left_out:
        text = f"{counted(left_out, 'finding')} of {len(result.findings):,} left out, the least severe ones: GitHub "
        notices.append(_notice("warning", f"{text}would not show them; {setting.complete}."))
    if len(gaps) > _GAPS:
        notices.append(_notice("warning", f"{len(gaps) - _GAPS:,} more gaps are not listed; {setting.complete}."))
    return {
        "executionSuccessful": result.coverage.complete,
        "toolExecutionNotifications": [
            *notices,
            *(_gap(gap) for gap in gaps[:_GAPS]),
            *(_accepted_gap(each) for each in result.coverage.accepted[:_GAPS]),
        ],
    }


def _notice(level: str, text: str) -> dict[str, Any]:
    return {"level": level, "message": {"text": escape.message(text)}}


def _gap(gap: Gap) -> dict[str, Any]:
    said = f"Not looked at: {cut(gap_line(gap), LONGEST)}"
    return {**_notice("error", said), "descriptor": {"id": escape.text(gap.reason)}}


def _accepted_gap(each: AcceptedGap) -> dict[str, Any]:
    said = f"Not looked at: {cut(accepted_gap(each), LONGEST)}"
    return {**_notice("note", said), "descriptor": {"id": escape.text(each.gap.reason)}}


def _image(result: ScanResult) -> dict[str, Any]:
    """What trivy and others call an image by, and ours."""
    images = result.images
    return {
        "imageName": escape.text(cut(result.reference, LONGEST)),
        "imageID": images[0].config_digest if images else None,
        "repoDigests": [image.manifest_digest for image in images if image.manifest_digest],
        "platforms": [escape.text(image.platform) for image in images],
        "verdict": result.verdict.value,
        "bytesAccounted": result.coverage.accounted,
        "bytesTotal": result.coverage.total,
    }
