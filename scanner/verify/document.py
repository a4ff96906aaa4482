"""A JSON report as it was given: its outline, what it says twice, and whether its scan can be repeated here.

Whoever made it may have written anything: nothing of it is taken to be of the right type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scanner import __version__
from scanner.errors import LeakscanError
from scanner.evidence import Severity, Verdict
from scanner.limits import Limits
from scanner.report.escape import plain
from scanner.verify.claim import Check, Outcome

Json = Mapping[str, Any]
_TIP = "Give a file that leakscan --format json wrote."


def entry_of(entry: Json, key: str) -> Json:
    """What should be an object of a report, empty if it is none."""
    found = entry.get(key)
    return found if isinstance(found, Mapping) else {}


def entries_of(entry: Json, key: str) -> list[Json]:
    """What should be a list of objects of a report, but for what is none."""
    found = entry.get(key)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def image_key(entry: Json) -> tuple[str, str]:
    """What tells the image of an entry from the others of its report."""
    return str(entry.get("platform")), str(entry.get("config_digest"))


def read_report(document: Any) -> Json:
    """A report of one scan, its outline checked. Raises LeakscanError."""
    if not isinstance(document, dict) or document.get("schema_version") != "1":
        raise LeakscanError("this is no JSON report of leakscan", _TIP)
    if "counts" in document and "findings" not in document:
        tip = "Scan an image of it by itself: leakscan IMAGE --format json=FILE"
        raise LeakscanError("this is the report of an audit; verify takes that of one image", tip)
    images = document.get("images", [document.get("image")])
    lists = (images, document.get("findings"), document.get("known_secrets", []))
    if not all(isinstance(each, list) and all(isinstance(item, dict) for item in each) for each in lists) or not images:
        raise LeakscanError("this report is not as leakscan writes it", _TIP)
    return {**document, "images": images}


def reference_of(report: Json) -> str:
    """The image that a report is about, as the user named it then; '' if it came from standard input."""
    reference = report["images"][0].get("reference")
    return reference if isinstance(reference, str) and reference != "-" else ""


def unrepeatable(report: Json, rules_digest: str, limits: Limits) -> str:
    """Why the scan that a report is of cannot be repeated here: another version, rules or limits; '' if it can."""
    tool, settings = entry_of(report, "tool"), entry_of(report, "settings")
    if tool.get("version") != __version__:
        made = plain(str(tool.get("version", "unknown")))
        return f"it was made by leakscan {made}, this is {__version__}; only its proofs were checked"
    if tool.get("rules_digest") != rules_digest:
        return "it was made by other rules (--rules gives yours); only its proofs were checked"
    if settings.get("fail_on") not in (*Severity, "never"):
        return "it does not say what was asked of the scan; only its proofs were checked"
    if settings.get("limits") != limits.changed():
        return "it was made under other limits (LEAKSCAN_LIMIT_...); only its proofs were checked"
    return ""


def consistent(report: Json) -> Iterator[Check]:
    """What a report says twice must agree."""
    findings, coverage = report["findings"], entry_of(report, "coverage")
    size = entry_of(coverage, "bytes")
    ids = [finding.get("id") for finding in findings]
    complete = coverage.get("complete") is True
    if complete is not (not coverage.get("gaps") and size.get("total") == size.get("accounted")):
        yield Check("report", "coverage", Outcome.DIFFERS, "it is called complete and has gaps, or neither")
    leaked = any(finding.get("gated") is True for finding in findings)
    verdict = Verdict.LEAKED if leaked else Verdict.CLEAN if complete else Verdict.INCOMPLETE
    if report.get("verdict") != verdict:
        yield Check("report", "verdict", Outcome.DIFFERS, f"its findings and gaps make it {verdict}")
    if len(set(map(str, ids))) != len(ids):
        yield Check("report", "findings", Outcome.DIFFERS, "two findings have one id")
    for secret in report.get("known_secrets", ()):
        sightings = secret.get("sightings")
        sightings = sightings if isinstance(sightings, list) else []
        name, said = plain(str(secret.get("id"))), secret.get("verdict")
        if not set(map(str, sightings)) <= set(map(str, ids)) or bool(sightings) > (said == "present"):
            yield Check("report", name, Outcome.DIFFERS, "its sightings are not among the findings")
        if said == "absent" and not complete:
            yield Check("report", name, Outcome.DIFFERS, "it is called absent although not all was read")
