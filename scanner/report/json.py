"""A scan's result as the JSON document of docs/report.md: keys sorted, pure ASCII, findings in a stable order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scanner import __version__
from scanner.evidence import (
    Coverage,
    DockerfilePlace,
    Finding,
    Gap,
    IgnoredPlace,
    ImageSummary,
    Instruction,
    ScanResult,
    SecretSummary,
)
from scanner.oci import Platform
from scanner.report import escape
from scanner.report.escape import plain
from scanner.report.order import ordered

SCHEMA_VERSION = "1"


def render(result: ScanResult) -> str:
    """The document, with a newline at its end.

    It holds neither times nor durations: the same image and rules give the same text.
    """
    return "".join(pieces(result))


def pieces(result: ScanResult) -> Iterator[str]:
    """The same in pieces: of thousands of findings one at a time is there as a document and as text."""
    for number, (key, value) in enumerate(sorted(_fields(result).items())):
        yield ",\n " if number else "{"
        if not isinstance(value, (list, Iterator)):
            yield f'"{key}": {compact(value)}'
            continue
        yield f'"{key}": ['
        between, end = "\n  ", "]"
        for item in value:  # a line each, and the fast encoder
            yield between + compact(item)
            between, end = ",\n  ", "\n ]"
        yield end
    yield "}\n"


def compact(value: Any) -> str:
    """A value on one line that a CI job takes for no command, its strings made plain. Most hold nothing to be made
    plain, which the line tells sooner than each of its strings."""
    text = json.dumps(value, ensure_ascii=True, sort_keys=True)
    if "\\ud" in text:
        text = json.dumps(plain_document(value), ensure_ascii=True, sort_keys=True)
    return escape.json(text)


def document(result: ScanResult) -> dict[str, Any]:
    """The document as a value; its strings are not made plain yet."""
    return {key: list(value) if isinstance(value, Iterator) else value for key, value in _fields(result).items()}


def _fields(result: ScanResult) -> dict[str, Any]:
    """The fields of the document; its findings are an iterator."""
    several = len(result.images) > 1
    ignored = {} if result.ignored is None else {"ignored": [_ignored(place, several) for place in result.ignored]}
    return {
        **ignored,
        "schema_version": SCHEMA_VERSION,
        "settings": dict(result.settings),
        "tool": _tool(result),
        **_images(result),
        "verdict": result.verdict.value,
        "findings": (finding_document(finding, several) for finding in ordered(result.findings)),
        "known_secrets": [dict(known) for known in result.known_secrets],
        "coverage": coverage_document(result.coverage),
        "notes": list(result.notes),
    }


def _tool(result: ScanResult) -> dict[str, Any]:
    tool = {"name": "leakscan", "version": __version__, "rules_digest": result.rules_digest}
    return {**tool, "key_id": result.key_id} if result.key_id else tool


def _images(result: ScanResult) -> dict[str, Any]:
    if len(result.images) > 1:
        return {"images": [_image(image) for image in result.images]}
    if result.images:
        return {"image": _image(result.images[0])}
    unopened = ImageSummary(result.reference, result.source, None, None, str(Platform()))
    return {"image": _image(unopened)}


def _image(image: ImageSummary) -> dict[str, Any]:
    return {
        "reference": image.reference,
        "source": image.source,
        "manifest_digest": image.manifest_digest,
        "config_digest": image.config_digest,
        "platform": image.platform,
        "layers": layer_documents(image),
    }


def layer_documents(image: ImageSummary) -> list[dict[str, Any]]:
    """The layers of an image as values; their strings are not made plain yet."""
    return [
        {
            "index": layer.index,
            "digest": layer.digest,
            "diff_id": layer.diff_id,
            "size": layer.size,
            "media_type": layer.media_type,
            "created_by": layer.created_by,
            "history_index": layer.history_index,
        }
        for layer in image.layers
    ]


def finding_document(finding: Finding, several: bool) -> dict[str, Any]:
    """One finding as a value, with its platform if the image has *several*; its strings are not made plain yet."""
    entry = {
        "id": finding.id,
        "rule_id": finding.rule_id,
        "detector": finding.detector,
        "title": finding.title,
        "gains": finding.gains,
        "severity": finding.severity.value,
        "confidence": finding.confidence.value,
        "gated": finding.gated,
        "secret": _secret(finding.secret),
        "evidence": [{"check": e.check, "result": e.result, "detail": e.detail} for e in finding.evidence],
        "remediation": {
            "summary": finding.remediation.summary,
            "steps": list(finding.remediation.steps),
            "dockerfile": finding.remediation.dockerfile,
            "diff": finding.remediation.diff,
            "script": finding.remediation.script,
        },
        "suppressed": None if finding.suppressed is None else dict(finding.suppressed),
        **_place(finding),
    }
    return {**entry, "platform": finding.platform} if several else entry


def _secret(secret: SecretSummary) -> dict[str, Any]:
    shown = {"preview": secret.preview, "length": secret.length, "fingerprint": secret.fingerprint}
    return shown if secret.value is None else {**shown, "value": secret.value}


def _place(finding: Finding) -> dict[str, Any]:
    layer, removed, proof = finding.layer, finding.removed_by, finding.proof
    return {
        "surface": finding.surface.value,
        "layer": layer and {"index": layer.index, "digest": layer.digest, "diff_id": layer.diff_id},
        "path": finding.path,
        "inside": list(finding.inside),
        "line": finding.line,
        "offset": finding.offset,
        "encoding": list(finding.encoding),
        "state": finding.state.value,
        "removed_by": removed and {"layer_index": removed.layer_index, "created_by": removed.created_by},
        "instruction": finding.instruction and _instruction(finding.instruction),
        "dockerfile": finding.dockerfile and _lines(finding.dockerfile),
        "origin": dict(finding.origin),
        "proof": {
            "blob": proof.blob,
            "member": proof.member,
            "member_offset": proof.member_offset,
            "offset": proof.offset,
            "length": proof.length,
            "hmac": proof.hmac,
            "command": proof.command,
        },
    }


def _ignored(place: IgnoredPlace, several: bool) -> dict[str, Any]:
    return {
        **({"platform": place.platform} if several else {}),
        "rule_id": place.rule_id,
        "reason": place.reason,
        "surface": place.surface.value,
        "layer": place.layer,
        "path": place.path,
        "inside": list(place.inside),
        "encoding": list(place.encoding),
        "line": place.line,
        "offset": place.offset,
        "count": place.count,
    }


def _lines(place: DockerfilePlace) -> dict[str, Any]:
    return {"path": place.path, "line": place.line, "end_line": place.end_line}


def _instruction(step: Instruction) -> dict[str, Any]:
    entry: dict[str, Any] = {"history_index": step.history_index, "created_by": step.created_by}
    return entry if step.range is None else {**entry, "range": list(step.range)}


def coverage_document(coverage: Coverage) -> dict[str, Any]:
    """What was read of what there is, as a value; its strings are not made plain yet."""
    return {
        "complete": coverage.complete,
        "bytes": {"total": coverage.total, "accounted": coverage.accounted},
        "members": coverage.members,
        "gaps": [_gap(gap) for gap in coverage.gaps],
        "accepted": [{**_gap(each.gap), "accepted": dict(each.accepted)} for each in coverage.accepted],
    }


def _gap(gap: Gap) -> dict[str, Any]:
    return {"blob": gap.blob, "where": gap.where, "reason": gap.reason, "bytes": gap.bytes, "detail": gap.detail}


def plain_document(value: Any) -> Any:
    """A document with every string made plain."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {plain(str(key)): plain_document(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain_document(item) for item in value]
    return value
