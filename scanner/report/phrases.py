"""What reports for CI services say of findings and images. Nothing here is escaped: that is up to the sink."""

from __future__ import annotations

import re
from collections.abc import Mapping

from scanner.evidence import AcceptedGap, Confidence, Finding, ScanResult, Verdict
from scanner.image.instruction import parse_created_by
from scanner.image.reference import Form, looks_like_path, split_form
from scanner.report.lines import counted, cut
from scanner.report.story import buried, gap_line, lines_of

_VERSION = re.compile(r"(?::[^/:@]*)?(?:@[^/]*)?$")
#: What somebody other than a rule's author may make this long is cut here in reports of limited size.
LONGEST = 1000
_STEP = 200


def step(finding: Finding) -> str:
    """The build step that brought it in, with its number and its lines of a Dockerfile; empty if it is unknown."""
    found = finding.instruction
    if found is None:
        return ""
    numbers = f"steps {found.range[0]} to {found.range[1]}" if found.range else f"step {found.history_index}"
    numbers += f" ({lines_of(finding)})" if finding.dockerfile else ""
    line = cut(parse_created_by(found.created_by).line, _STEP)
    return f"{numbers}: {line}" if line else numbers


def fate(finding: Finding) -> list[str]:
    """How it came in and what became of the file, a sentence each; none for what is not known or did not happen."""
    brought, burial = step(finding), buried(finding)
    return [*([f"Brought in by {brought}."] if brought else []), *([f"The file was {burial}."] if burial else [])]


def reason(accepted: Mapping[str, object] | None) -> str:
    """Why and by what a finding or gap is accepted: `a key for tests (.leakscan.toml: [[ignore]] 1)`."""
    told = accepted or {}
    by = f" ({told['by']})" if told.get("by") else ""
    return f"{told.get('reason') or 'no reason is given'}{by}"


def accepted_gap(each: AcceptedGap) -> str:
    """A gap that the user's settings accept, in a line."""
    return f"{gap_line(each.gap)}; accepted: {reason(each.accepted)}"


def image_name(result: ScanResult) -> str:
    """The image without tag and digest, or the name of its file: the same for every build of it."""
    form, rest = split_form(result.reference)
    if form is Form.STDIN:
        return "stdin"
    if form is Form.FILE or looks_like_path(rest):
        return rest.rstrip("/").rpartition("/")[2] or "image"
    return _VERSION.sub("", rest).rstrip("/") or "image"


def sure(finding: Finding) -> bool:
    """Whether it is more than a hint: only such findings can fail a scan."""
    return finding.confidence is not Confidence.LOW


def verdict(result: ScanResult) -> str:
    """The verdict in a sentence."""
    gated = sum(finding.gated for finding in result.findings)
    read = f"{result.coverage.accounted:,} of {counted(result.coverage.total, 'byte')} were read"
    gaps = counted(len(result.coverage.gaps), "gap")
    if result.verdict is Verdict.LEAKED:
        held = f"{counted(gated, 'finding')} that fail{'s' if gated == 1 else ''} the scan"
        return held + ("." if result.coverage.complete else f"; {read}, {gaps}.")
    if result.verdict is Verdict.CLEAN:
        return "Nothing that fails the scan, and every byte was read."
    if not result.images:
        return "The image could not be opened; nothing was scanned."
    return f"Nothing that fails the scan was found, but only {read}, {gaps}."
