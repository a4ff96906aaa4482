"""The order in which findings stand in every report, and the three parts they fall into. Equal results give equal
reports."""

from __future__ import annotations

from collections.abc import Iterable

from scanner.evidence import Finding

Key = tuple[bool, int, int, str, int, str, str, int, str]


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """*findings*, gated ones first, then by severity, confidence, platform, layer, path and offset."""
    return sorted(findings, key=_key)


def parted(findings: Iterable[Finding]) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """*findings* in three lists: those that fail the scan, those that the user accepts, those that are only told."""
    everything = list(findings)
    rest = [finding for finding in everything if not finding.gated]
    return (
        [finding for finding in everything if finding.gated],
        [finding for finding in rest if finding.suppressed is not None],
        [finding for finding in rest if finding.suppressed is None],
    )


def _key(finding: Finding) -> Key:
    layer = -1 if finding.layer is None else finding.layer.index
    return (
        not finding.gated,
        finding.severity.rank,
        finding.confidence.rank,
        finding.platform or "",
        layer,
        finding.path or "",
        "\0".join(finding.inside),
        finding.offset,
        finding.id,
    )
