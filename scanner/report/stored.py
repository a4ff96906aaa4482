"""Documents of findings, layers and coverage as values again: the way back from `report.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scanner.evidence import (
    Confidence,
    Coverage,
    DockerfilePlace,
    Evidence,
    Finding,
    Gap,
    ImageSummary,
    Instruction,
    LayerPlace,
    LayerSummary,
    Proof,
    Remediation,
    RemovedBy,
    SecretSummary,
    Severity,
    State,
    Surface,
)

Document = Mapping[str, Any]


def finding_of(document: Document) -> Finding:
    """A finding, of what `finding_document` made of it. Raises KeyError, TypeError or ValueError if nothing did."""
    layer, removed, step, proof = (document[key] for key in ("layer", "removed_by", "instruction", "proof"))
    place, secret, advice = document.get("dockerfile"), document["secret"], document["remediation"]
    return Finding(
        id=document["id"],
        rule_id=document["rule_id"],
        detector=document["detector"],
        title=document["title"],
        gains=document.get("gains", ""),
        severity=Severity(document["severity"]),
        confidence=Confidence(document["confidence"]),
        gated=document["gated"],
        secret=SecretSummary(secret["preview"], secret["length"], secret["fingerprint"], secret.get("value")),
        surface=Surface(document["surface"]),
        layer=layer and LayerPlace(layer["index"], layer["digest"], layer["diff_id"]),
        path=document["path"],
        inside=tuple(document["inside"]),
        line=document["line"],
        offset=document["offset"],
        encoding=tuple(document["encoding"]),
        state=State(document["state"]),
        removed_by=removed and RemovedBy(removed["layer_index"], removed["created_by"]),
        instruction=step and _instruction(step),
        evidence=tuple(Evidence(each["check"], each["result"], each["detail"]) for each in document["evidence"]),
        proof=Proof(proof["blob"], proof["member"], proof["member_offset"], proof["offset"], proof["length"],
                    proof["hmac"], proof["command"]),
        remediation=Remediation(advice["summary"], tuple(advice["steps"]), advice["dockerfile"], advice.get("diff"),
                                advice.get("script")),
        origin=document["origin"],
        platform=document.get("platform"),
        suppressed=document["suppressed"],
        dockerfile=place and DockerfilePlace(place["path"], place["line"], place["end_line"]),
    )  # fmt: skip


def _instruction(step: Document) -> Instruction:
    between = step.get("range")
    return Instruction(step["history_index"], step["created_by"], (between[0], between[1]) if between else None)


def image_of(document: Document, reference: str, source: str) -> ImageSummary:
    """An image of a stored result; without layers if it was stored before they were, or is a build cache."""
    stored = document.get("layers")
    layers = tuple(
        LayerSummary(each["index"], each["digest"], each["diff_id"], each["size"], each["media_type"],
                     each["created_by"], each["history_index"])
        for each in (stored if isinstance(stored, list) else ())
    )  # fmt: skip
    digests = document["manifest_digest"], document.get("config_digest")
    return ImageSummary(reference, source, *digests, document["platform"] or "", layers)


def coverage_of(document: Document | None) -> Coverage:
    """Coverage of what `coverage_document` made of it; of None nothing is known to be missing."""
    if document is None:
        return Coverage(0, 0, 0)
    gaps = (Gap(each["blob"], each["where"], each["reason"], each["bytes"], each["detail"])
            for each in document["gaps"])  # fmt: skip
    total = document["bytes"]
    return Coverage(total["total"], total["accounted"], document["members"], tuple(gaps))
