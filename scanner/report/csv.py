"""A scan's result as CSV (RFC 4180): a row for each finding and for each gap, all of them."""

from __future__ import annotations

from collections.abc import Iterator

from scanner.evidence import Finding, Gap, ScanResult
from scanner.report.escape import csv
from scanner.report.lines import cut
from scanner.report.order import ordered
from scanner.report.phrases import step

COLUMNS = (
    "kind", "image", "platform", "id", "rule", "title", "severity", "confidence", "gated", "accepted", "surface",
    "layer", "layer_digest", "path", "inside", "line", "state", "removed_by_layer", "step", "preview", "length",
    "fingerprint", "blob", "blob_offset", "advice",
)  # fmt: skip
#: a cell of a spreadsheet has 32,767 characters at most; what is cut ends in `...`
_LONGEST = 32_000


def render(result: ScanResult) -> str:
    """The table with a line of headings; lines end in CR LF."""
    rows = [*_findings(result), *(_gap(result, gap) for gap in result.coverage.gaps)]
    lines = [",".join(csv(cut(row.get(name, ""), _LONGEST)) for name in COLUMNS) for row in rows]
    return "\r\n".join([",".join(map(csv, COLUMNS)), *lines, ""])


def _findings(result: ScanResult) -> Iterator[dict[str, str]]:
    for finding in ordered(result.findings):
        yield {"kind": "finding", "image": result.reference, **_meaning(finding), **_place(finding)}


def _meaning(finding: Finding) -> dict[str, str]:
    return {
        "id": finding.id,
        "rule": finding.rule_id,
        "title": finding.title,
        "severity": finding.severity.value,
        "confidence": finding.confidence.value,
        "gated": "yes" if finding.gated else "no",
        "accepted": str((finding.suppressed or {}).get("reason") or ("yes" if finding.suppressed is not None else "")),
        "preview": finding.secret.preview,
        "length": str(finding.secret.length),
        "fingerprint": finding.secret.fingerprint,
        "advice": finding.remediation.summary,
    }


def _place(finding: Finding) -> dict[str, str]:
    layer, removed = finding.layer, finding.removed_by
    return {
        "platform": finding.platform or "",
        "surface": finding.surface.value,
        "layer": "" if layer is None else str(layer.index),
        "layer_digest": "" if layer is None else layer.digest or layer.diff_id or "",
        "path": finding.path or "",
        "inside": " > ".join(finding.inside),
        "line": "" if finding.line is None else str(finding.line),
        "state": finding.state.value,
        "removed_by_layer": "" if removed is None else str(removed.layer_index),
        "step": step(finding),
        "blob": finding.proof.blob,
        "blob_offset": str(finding.proof.offset),
    }


def _gap(result: ScanResult, gap: Gap) -> dict[str, str]:
    return {
        "kind": "gap",
        "image": result.reference,
        "rule": gap.reason,
        "title": gap.detail,
        "path": gap.where,
        "length": "" if gap.bytes is None else str(gap.bytes),
        "blob": gap.blob,
    }
