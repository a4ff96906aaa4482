"""What an audit came to, as text, JSON (docs/report.md) or CSV; the gate and the verdicts are those of the report."""

from __future__ import annotations

import csv
import io
import json as jsonlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scanner import __version__
from scanner.audit.run import Audit
from scanner.evidence import Confidence, Severity, Verdict
from scanner.report import escape
from scanner.store.ledger import State

FORMATS = ("text", "json", "csv")
_SHOWN = 20  # images and reasons in a text; JSON and CSV have all
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = (
    "reference", "manifest_digest", "platform", "verdict", "state", "reason", "severity", "confidence", "gated",
    "rule_id", "title", "surface", "layer", "path", "line", "file_state", "fingerprint", "preview", "created_by",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One image of one platform, or a reference of which no image is known (*platform* is None then).

    Attributes:
        stale: the rule set that the verdict is from, if it is another one.
    """

    reference: str
    manifest_digest: str | None
    platform: str | None
    verdict: Verdict
    state: State
    reason: str
    findings: list[dict[str, Any]] = field(default_factory=list)
    stale: str = ""

    @property
    def gated(self) -> list[dict[str, Any]]:
        """The findings that make it leak."""
        return [finding for finding in self.findings if finding["gated"]]


def rows(audits: Iterable[Audit], fail_on: Severity | None) -> Iterator[Row]:
    """Every image of every audit."""
    for each in audits:
        for entry, images, stale in each.images():
            unsure = entry.state is not State.SCANNED
            if not images:
                yield Row(entry.reference, entry.digest or None, None, Verdict.INCOMPLETE, entry.state, entry.reason)
            for image in images:
                findings = [{**finding, "gated": gated(finding, fail_on)} for finding in image["findings"]]
                leaked = any(finding["gated"] for finding in findings)
                verdict = Verdict.LEAKED if leaked else Verdict.INCOMPLETE if unsure else Verdict.CLEAN
                yield Row(entry.reference, image["manifest_digest"], image["platform"], verdict, entry.state,
                          entry.reason, findings, stale)  # fmt: skip


def gated(finding: Mapping[str, Any], fail_on: Severity | None) -> bool:
    """Whether a finding as a report has it makes its image leak, with that gate."""
    if fail_on is None or finding["suppressed"] is not None or finding["confidence"] == Confidence.LOW:
        return False
    return Severity(finding["severity"]).rank <= fail_on.rank


def counts(audits: Iterable[Audit]) -> dict[str, int]:
    """References by what came of them; together they are all that the registry listed."""
    found = Counter(entry.state for each in audits for entry in each.entries)
    return {state.value: found[state] for state in State}


def verdict(audits: Sequence[Audit], fail_on: Severity | None) -> Verdict:
    """Leaked if any image leaks, else incomplete if any was not read whole, else clean."""
    if any(row.verdict is Verdict.LEAKED for row in rows(audits, fail_on)):
        return Verdict.LEAKED
    number = counts(audits)
    return Verdict.CLEAN if number["scanned"] == sum(number.values()) else Verdict.INCOMPLETE


def json(audits: Sequence[Audit], fail_on: Severity | None, rules_digest: str) -> str:
    """The JSON document, an image a line."""
    images = []
    for row in rows(audits, fail_on):
        document = {
            "reference": row.reference, "manifest_digest": row.manifest_digest, "platform": row.platform,
            "verdict": row.verdict.value, "state": row.state.value, "reason": row.reason, "findings": row.findings,
            "stale_rules": row.stale or None,
        }  # fmt: skip
        images.append(_compact(document))
    head = {
        "schema_version": "1",
        "tool": {"name": "leakscan", "version": __version__, "rules_digest": rules_digest},
        "registry": ", ".join(each.host for each in audits),
        "counts": counts(audits),
    }
    lines = ",\n  ".join(images)
    body = f'"images": [\n  {lines}\n ]' if images else '"images": []'
    parts = {key: f'"{key}": {_compact(value)}' for key, value in head.items()} | {"images": body}
    return "{" + ",\n ".join(parts[key] for key in sorted(parts)) + "}\n"


def _compact(value: Any) -> str:
    return escape.json(jsonlib.dumps(_plain(value), ensure_ascii=True, sort_keys=True))


def _plain(value: Any) -> Any:
    """Strings without lone surrogates."""
    if isinstance(value, str):
        return escape.plain(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def csv_table(audits: Sequence[Audit], fail_on: Severity | None) -> str:
    """A line for each finding, and one for each image without any. Cells that a spreadsheet would run are quoted."""
    target = io.StringIO()
    writer = csv.writer(target, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for row in rows(audits, fail_on):
        head = [row.reference, row.manifest_digest, row.platform, row.verdict.value, row.state.value, row.reason]
        empty = [""] * (len(_COLUMNS) - len(head))
        for cells in [_cells(finding) for finding in row.findings] or [empty]:
            writer.writerow([_cell(value) for value in (*head, *cells)])
    return target.getvalue()


def _cells(finding: Mapping[str, Any]) -> list[Any]:
    layer, step = finding["layer"], finding["instruction"]
    return [
        finding["severity"], finding["confidence"], finding["gated"], finding["rule_id"], finding["title"],
        finding["surface"], layer["digest"] if layer else "", finding["path"], finding["line"], finding["state"],
        finding["secret"]["fingerprint"], finding["secret"]["preview"], step["created_by"] if step else "",
    ]  # fmt: skip


def _cell(value: Any) -> str:
    text = "" if value is None else escape.text(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text


def text(audits: Sequence[Audit], fail_on: Severity | None) -> str:
    """For people: the counts, the images that leak, the layers that they leak from, and what could not be read."""
    lines: list[str] = []
    for each in audits:
        lines += _registry(each, list(rows([each], fail_on)))
    return "\n".join(escape.line(line) for line in lines) + "\n"


def _registry(each: Audit, found: Sequence[Row]) -> list[str]:
    number = counts([each])
    total = sum(number.values())
    leaking = sorted({row.reference for row in found if row.verdict is Verdict.LEAKED})
    states = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in number.items())
    head = f"{len(leaking)} of {total} images leak" if leaking else f"none of {total} images is known to leak"
    lines = [f"{escape.text(each.host)}: {head}.", f"  {states}; {each.blobs} blobs read in this run."]
    if each.older:
        lines.append(f"  {each.older} older images were left out.")
    if each.interrupted:
        lines.append("  The audit was stopped; the next one goes on where this one was.")
    lines += _leaks(found) + _layers(found) + _unread(each)
    return [*lines, ""]


def _leaks(found: Sequence[Row]) -> list[str]:
    lines = []
    leaking = sorted((row for row in found if row.gated), key=lambda row: (_worst(row), row.reference))
    for row in leaking[:_SHOWN]:
        secrets = len({finding["secret"]["fingerprint"] for finding in row.gated})
        stale = ", by older rules" if row.stale else ""
        kind = "secret" if secrets == 1 else "secrets"
        lines += ["", f"  {escape.text(row.reference)} ({row.platform}{stale}): {secrets} {kind}"]
        for finding in row.gated[:3]:
            place = escape.text(finding["path"] or finding["surface"])
            layer = f", layer {finding['layer']['index']}" if finding["layer"] else ""
            state = "" if finding["state"] == "live" else f", {finding['state']}"
            title = escape.text(finding["title"])
            lines.append(f"    {finding['severity'].upper():8}  {title}: {place}{layer}{state}")
        if len(row.gated) > 3:
            lines.append(f"    and {len(row.gated) - 3} more places")
    if len(leaking) > _SHOWN:
        lines += ["", f"  and {len(leaking) - _SHOWN} more; --format json or csv has all of them"]
    return lines


def _worst(row: Row) -> int:
    return min(Severity(finding["severity"]).rank for finding in row.gated)


def _layers(found: Sequence[Row]) -> list[str]:
    """The layers that leak into more than one image: whoever makes them must act."""
    images: dict[str, set[str]] = {}
    for row in found:
        for finding in row.gated:
            if finding["layer"] and finding["layer"]["digest"]:
                images.setdefault(finding["layer"]["digest"], set()).add(row.reference)
    shared = sorted(((len(names), digest) for digest, names in images.items() if len(names) > 1), reverse=True)
    lines = ["", "  Layers that leak into several images:"] if shared else []
    return lines + [f"    {digest[:19]}  {number} images" for number, digest in shared[:_SHOWN]]


def _unread(each: Audit) -> list[str]:
    """References that were not read whole, with the reason."""
    unsure = [entry for entry in each.entries if entry.state in (State.INCOMPLETE, State.FAILED)]
    lines = ["", "  Not, or not wholly, read:"] if unsure else []
    for entry in unsure[:_SHOWN]:
        lines.append(f"    {escape.text(entry.reference)}: {entry.state.value}: {escape.text(entry.reason)}")
    return [*lines, *([f"    and {len(unsure) - _SHOWN} more"] if len(unsure) > _SHOWN else [])]
