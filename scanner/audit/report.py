"""What an audit came to, as text, JSON (docs/audit.md) or CSV; the numbers are those of `audit.summary`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from scanner import __version__
from scanner.audit.rows import Row, counts, rows
from scanner.audit.run import Audit
from scanner.audit.summary import Owner, Secret, Summary, summarize
from scanner.evidence import Severity
from scanner.report import escape
from scanner.report.json import compact
from scanner.report.lines import counted
from scanner.store.ledger import State

FORMATS = ("text", "json", "csv")
_SHOWN = 20  # lines of each table in a text; JSON and CSV have all
_PERIODS = 12  # the last ones, in a text
_COLUMNS = (
    "reference", "repository", "built", "manifest_digest", "platform", "verdict", "state", "reason", "severity",
    "confidence", "gated", "rule_id", "title", "surface", "layer", "path", "line", "file_state", "fingerprint",
    "preview", "created_by", "first_built", "first_seen_in", "owner",
)  # fmt: skip


def json(
    audits: Sequence[Audit], fail_on: Severity | None, rules_digest: str, summary: Summary | None = None
) -> str:
    """The JSON document, an image a line. *summary* is made if it is not given."""
    images = []
    for row in rows(audits, fail_on):
        document = {
            "reference": row.reference, "manifest_digest": row.manifest_digest, "platform": row.platform,
            "created": row.created or None, "verdict": row.verdict.value, "state": row.state.value,
            "reason": row.reason, "findings": row.findings, "stale_rules": row.stale or None,
        }  # fmt: skip
        images.append(compact(document))
    head = {
        "schema_version": "1",
        "tool": {"name": "leakscan", "version": __version__, "rules_digest": rules_digest},
        "registry": ", ".join(each.host for each in audits),
        "counts": counts(audits),
        "summary": _summary(summary or summarize(audits, fail_on)),
    }
    lines = ",\n  ".join(images)
    body = f'"images": [\n  {lines}\n ]' if images else '"images": []'
    parts = {key: f'"{key}": {compact(value)}' for key, value in head.items()} | {"images": body}
    return "{" + ",\n ".join(parts[key] for key in sorted(parts)) + "}\n"


def _summary(summary: Summary) -> dict[str, Any]:
    """All but what other fields of the document say, and what differs between an audit and its repetition."""
    left_out = ("hosts", "counts", "blobs", "interrupted")
    return {name: value for name, value in asdict(summary).items() if name not in left_out}


def csv_table(audits: Sequence[Audit], fail_on: Severity | None, summary: Summary | None = None) -> str:
    """A line for each finding, and one for each image without any. Cells that a spreadsheet would run are quoted."""
    secrets = {each.fingerprint: each for each in (summary or summarize(audits, fail_on)).secrets}
    lines: list[Sequence[Any]] = [_COLUMNS]
    for row in rows(audits, fail_on):
        head = [row.reference, row.repository, row.created, row.manifest_digest, row.platform, row.verdict.value,
                row.state.value, row.reason]  # fmt: skip
        empty = [""] * (len(_COLUMNS) - len(head))
        for cells in [_cells(finding, secrets) for finding in row.findings] or [empty]:
            lines.append([*head, *cells])
    return "".join(",".join(map(_cell, line)) + "\r\n" for line in lines)


def _cells(finding: Mapping[str, Any], secrets: Mapping[str, Secret]) -> list[Any]:
    layer, step = finding["layer"], finding["instruction"]
    secret = secrets.get(finding["secret"]["fingerprint"]) if finding["gated"] else None
    return [
        finding["severity"], finding["confidence"], finding["gated"], finding["rule_id"], finding["title"],
        finding["surface"], layer["digest"] if layer else "", finding["path"], finding["line"], finding["state"],
        finding["secret"]["fingerprint"], finding["secret"]["preview"], step["created_by"] if step else "",
        *((secret.since, secret.first, secret.repository) if secret else ("", "", "")),
    ]  # fmt: skip


def _cell(value: Any) -> str:
    return escape.csv("" if value is None else str(value))


def text(audits: Sequence[Audit], fail_on: Severity | None, summary: Summary | None = None) -> str:
    """For people: the counts, who must act, the images that leak, since when, and what could not be read."""
    found = summary or summarize(audits, fail_on)
    lines = [*_head(found), *_owners(found), *_images(audits, fail_on), *_secrets(found), *_layers(found),
             *_repositories(found), *_periods(found)]  # fmt: skip
    for each in audits:
        lines += _unread(each)
    return "\n".join(escape.line(line) for line in [*lines, ""]) + "\n"


def headline(leaking: int, images: int, failed: int) -> str:
    """What every report for people begins with, without the full stop."""
    if not images:
        return "there is no image to read"
    if leaking:
        return f"{leaking:,} of {counted(images, 'image')} {'leaks' if leaking == 1 else 'leak'}"
    if failed == images:
        return "nothing could be read"  # perhaps not even the names of images
    return f"none of {counted(images, 'image')} is known to leak"


def _head(found: Summary) -> list[str]:
    states = ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in found.counts.items())
    head = headline(found.leaking, found.references, found.counts[State.FAILED.value])
    lines = [f"{escape.text(', '.join(found.hosts))}: {head}.",
             f"  {states}; {counted(found.blobs, 'blob')} read by this process."]  # fmt: skip
    if found.secrets:
        lines.append(f"  {counted(len(found.secrets), 'different secret')}.")
    if found.stale:
        lines.append(f"  {counted(found.stale, 'verdict')} by older rules, until the images are read again.")
    if found.older:
        lines.append(f"  {counted(found.older, 'older image')} left out.")
    if found.interrupted:
        lines.append("  The audit was stopped; the next one goes on where this one was.")
    return [*lines, *(f"  Note: {escape.text(note)}" for note in found.notes)]


def _table(title: str, lines: Sequence[str], total: int) -> list[str]:
    """A part of the text, empty without lines."""
    more = [f"    and {total - len(lines):,} more; --format json has all of them"] if total > len(lines) else []
    return ["", f"  {title}", *lines, *more] if lines else []


def _owners(found: Summary) -> list[str]:
    def line(each: Owner) -> str:
        others = ""
        if each.others:
            others = f", and {each.others:,} of {_repositories_of(len(each.affected))} built on it"
        held = f"{counted(each.secrets, 'secret')} in {counted(each.own, 'image')} of its own{others}"
        return f"    {each.worst.upper():8}  {escape.text(each.repository)}: {held}"

    lines = [line(each) for each in found.owners[:_SHOWN]]
    return _table("Who must act (where each secret entered the registry):", lines, len(found.owners))


def _repositories_of(number: int) -> str:
    return "another repository" if number == 1 else f"{number:,} other repositories"


def _images(audits: Sequence[Audit], fail_on: Severity | None) -> list[str]:
    lines: list[str] = []
    leaking = sorted((row for row in rows(audits, fail_on) if row.gated), key=lambda row: (_worst(row), row.reference))
    for row in leaking[:_SHOWN]:
        secrets = len({finding["secret"]["fingerprint"] for finding in row.gated})
        stale = ", by older rules" if row.stale else ""
        kind = f"{row.platform or 'build cache'}{stale}"
        lines += ["", f"  {escape.text(row.reference)} ({kind}): {counted(secrets, 'secret')}"]
        for finding in row.gated[:3]:
            place = escape.text(finding["path"] or finding["surface"])
            layer = f", layer {finding['layer']['index']}" if finding["layer"] else ""
            state = "" if finding["state"] == "live" else f", {finding['state']}"
            title = escape.text(finding["title"])
            lines.append(f"    {finding['severity'].upper():8}  {title}: {place}{layer}{state}")
        if len(row.gated) > 3:
            lines.append(f"    and {counted(len(row.gated) - 3, 'more place')}")
    if len(leaking) > _SHOWN:
        lines += ["", f"  and {len(leaking) - _SHOWN:,} more; --format json or csv has all of them"]
    return lines


def _worst(row: Row) -> int:
    return min(Severity(finding["severity"]).rank for finding in row.gated)


def _secrets(found: Summary) -> list[str]:
    lines = []
    for each in found.secrets[:_SHOWN]:
        since = f"since {each.since[:10]}" if each.since else "first"
        places = f"{counted(each.references, 'image')}, {since} in {escape.text(each.first)}"
        lines += [f"    {each.severity.upper():8}  {escape.text(each.title)}: {places}",
                  f"              leakscan audit --where {each.fingerprint}"]  # fmt: skip
    return _table("Secrets, and the oldest build that holds them:", lines, len(found.secrets) * 2)


def _layers(found: Summary) -> list[str]:
    lines = []
    for each in found.layers[:_SHOWN]:
        lines.append(f"    {each.digest[:19]}  {counted(each.references, 'image')}, {counted(each.secrets, 'secret')}, "
                     f"first in {escape.text(each.first)}")  # fmt: skip
    return _table("Layers that leak into several images:", lines, len(found.layers))


def _repositories(found: Summary) -> list[str]:
    lines = []
    leaking = [each for each in found.repositories if each.leaking]
    for each in leaking[:_SHOWN]:
        numbers = f"{each.leaking:,} of {counted(each.references, 'image')} leak, {counted(each.secrets, 'secret')}"
        lines.append(f"    {escape.text(each.name)}: {numbers}")
    return _table("By repository:", lines, len(leaking))


def _periods(found: Summary) -> list[str]:
    if not found.leaking:
        return []
    lines = []
    for each in found.periods[-_PERIODS:]:
        new = f", {counted(each.secrets, 'new secret')}" if each.secrets else ""
        leaking = f"{each.leaking:,} of {counted(each.references, 'image')} leak{new}"
        lines.append(f"    {each.start or 'unknown':10}  {leaking}")
    return _table("By the time of the build:", lines, len(found.periods))


def _unread(each: Audit) -> list[str]:
    """References that were not read whole, with the reason."""
    unsure = [entry for entry in each.entries if entry.state in (State.INCOMPLETE, State.FAILED)]
    lines = [f"    {escape.text(entry.reference)}: {entry.state.value}: {escape.text(entry.reason)}"
             for entry in unsure[:_SHOWN]]  # fmt: skip
    return _table("Not, or not wholly, read:", lines, len(unsure))
