"""What comes of an image in an audit, as the ledger keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from scanner.errors import LeakscanError
from scanner.evidence import Gap, ScanResult
from scanner.image.model import OpenedImage
from scanner.report.json import coverage_document, finding_document, layer_documents, plain_document
from scanner.store.ledger import Result, State

#: gaps that another try may not have; what fails for another reason is not read again by the same rules
_PASSING = (
    "limit.time", "limit.memory", "spool.", "worker.", "file.", "registry.", "blob.", "attestation.missing",
    "layer.digest",
)  # fmt: skip
_GAPS = 200  # of an image that are kept


def passes(reason: str) -> bool:
    """Whether what has that reason may be gone at another try."""
    return reason.startswith(_PASSING)


def why(error: Exception) -> str:
    """Why an image cannot be read, without any of its bytes."""
    if isinstance(error, LeakscanError):
        return error.what
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror or 'input/output error'}"
    return f"a fault of leakscan itself ({type(error).__name__})"


def failed(digest: str, repository: str, reason: str, attempts: int, final: bool = False) -> Result:
    """The result of an image that could not be read."""
    return Result(digest, State.FAILED, final, repository, reason=reason, attempts=attempts)


def scanned(found: ScanResult, opened: OpenedImage, digest: str, repository: str, created: str) -> Result:
    """The result of an image that was read."""
    gaps = found.coverage.gaps
    state = State.SCANNED if found.coverage.complete else State.INCOMPLETE
    images = _images(found, digest)
    images[0]["referrers"] = list(opened.referrers)
    return Result(digest, state, _is_final(gaps), repository, created, _reasons(gaps), 0, images)


def joined(before: Result, found: ScanResult, opened: OpenedImage) -> Result:
    """The result of an image with what came of something that refers to it.

    Args:
        before: without it.
        found, opened: of what refers to it alone.
    """
    first, *others = before.images
    findings = [plain_document(finding_document(finding, bool(others))) for finding in found.findings]
    known = {_mark(finding) for finding in first["findings"]}
    together = {
        **first,
        "findings": [*first["findings"], *(finding for finding in findings if _mark(finding) not in known)],
        "referrers": [*first.get("referrers", ()), *opened.referrers],
    }
    if "coverage" in first:
        together["coverage"] = _both(first["coverage"], plain_document(coverage_document(found.coverage)))
    gaps = found.coverage.gaps
    complete = found.coverage.complete and before.state is State.SCANNED
    final = before.final and _is_final(gaps)
    reason = ", ".join(filter(None, (before.reason, _reasons(gaps))))
    state = State.SCANNED if complete else State.INCOMPLETE
    return replace(before, state=state, final=final, reason=reason, images=[together, *others])


def _mark(finding: dict[str, Any]) -> tuple[str, ...]:
    """What tells a finding from others: an id is the same for different values in places that are alike."""
    return finding["id"], finding["secret"]["fingerprint"], finding["proof"]["blob"]


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The coverage of two scans as that of one."""
    sums = {name: one["bytes"][name] + other["bytes"][name] for name in one["bytes"]}
    gaps = [*one["gaps"], *other["gaps"]][:_GAPS]
    return {**one, "complete": one["complete"] and other["complete"], "bytes": sums, "gaps": gaps}


def incomplete(before: Result, reason: str) -> Result:
    """The result of an image of which something that refers to it could not be read."""
    told = ", ".join(filter(None, (before.reason, reason)))
    return replace(before, state=State.INCOMPLETE, final=False, reason=told)


def renamed(result: Result, repository: str) -> list[dict[str, Any]]:
    """The images with commands for another repository that has the same manifest."""
    if result.repository == repository:
        return list(result.images)

    def moved(finding: dict[str, Any]) -> dict[str, Any]:
        command = finding["proof"]["command"].replace(f" {result.repository}@", f" {repository}@", 1)
        return {**finding, "proof": {**finding["proof"], "command": command}}

    return [{**image, "findings": [moved(finding) for finding in image["findings"]]} for image in result.images]


def created_of(opened: OpenedImage) -> str:
    """When the newest image was made, in UTC: the last step of its history tells. What is no time is not kept."""
    times = []
    for entry in (entry for image in opened.images if image.config for entry in image.config.history):
        try:
            time = datetime.fromisoformat(entry.created)
            times.append((time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC))
        except (ValueError, OverflowError):
            continue
    return max(times).isoformat(timespec="seconds") if times else ""


def _is_final(gaps: Sequence[Gap]) -> bool:
    return not any(passes(gap.reason) for gap in gaps)


def _reasons(gaps: Sequence[Gap]) -> str:
    counted: dict[str, int] = {}
    for gap in gaps:
        counted[gap.reason] = counted.get(gap.reason, 0) + 1
    return ", ".join(f"{reason} ({number})" if number > 1 else reason for reason, number in sorted(counted.items()))


def _images(found: ScanResult, digest: str) -> list[dict[str, Any]]:
    """One document for each platform, as an audit's report has them, without reference and verdict. A build cache of
    that *digest* has one without a platform.

    Beside what that report has they hold what pages show: the layers, and in the first one the coverage of all.
    """
    several = len(found.images) > 1
    if not found.images:
        findings = [plain_document(finding_document(finding, False)) for finding in found.findings]
        return [{"manifest_digest": digest, "platform": None, "layers": 0, "findings": findings}]
    images: list[dict[str, Any]] = []
    for summary in found.images:
        mine = [finding for finding in found.findings if not several or finding.platform == summary.platform]
        images.append({
            "manifest_digest": summary.manifest_digest,
            "platform": summary.platform,
            "config_digest": summary.config_digest,
            "layers": plain_document(layer_documents(summary)),
            "findings": [plain_document(finding_document(finding, several)) for finding in mine],
        })  # fmt: skip
    if several:  # what belongs to no single platform is in all of them, so it is told once
        shared = [finding for finding in found.findings if finding.platform is None]
        images[0]["findings"] += [plain_document(finding_document(finding, several)) for finding in shared]
    if images:
        shortened = replace(found.coverage, gaps=found.coverage.gaps[:_GAPS], accepted=())
        images[0]["coverage"] = plain_document(coverage_document(shortened))
    return images
