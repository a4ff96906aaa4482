"""Findings as Harbor's vulnerability items, the only thing that Harbor shows of a scanner and blocks a pull for.

Harbor keeps one record for each id, package and version, whatever image it is in, and sets its description and links
when it first meets them. So the three together say all that the description depends on, and nothing in a description
is of one image alone. The id is that of one secret in one place, in every image and build: what a project's list of
exemptions names stays exempt, and a new secret in that place does not.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scanner.evidence import line_to_show
from scanner.report import escape
from scanner.report.lines import cut, short
from scanner.report.story import SURFACES

#: Harbor turns any other word into one that blocks nothing
_SEVERITIES = {"critical": "Critical", "high": "High", "medium": "Medium", "low": "Low"}
#: known to Harbor, shown, and never a reason to refuse a pull
INFORMATION = "Negligible"
_ORDER = ("Unknown", INFORMATION, "Low", "Medium", "High", "Critical")
_BURIED = {"deleted": "deletes it", "overwritten": "overwrites it", "hidden": "hides it"}
_KEYS = re.compile(r"private-?key|keystore|pkcs|ssh", re.IGNORECASE)
_NAME = re.compile(r"[^A-Z0-9]+")
_REASON = re.compile(r"([a-z]+(?:[.-][a-z0-9]+)+)(?: \(\d+\))?")
_PLACE, _STEP, _TEXT = 500, 200, 2000
_MARK = 12


def item(finding: Mapping[str, Any], link: str = "") -> dict[str, Any]:
    """One finding, as a report's JSON has it, as a vulnerability item.

    One that fails no scan is given a severity that blocks nothing.

    Args:
        link: where more is said of it; must not depend on the image.
    """
    severity = _SEVERITIES[finding["severity"]] if finding["gated"] else INFORMATION
    layer = finding["layer"]
    digest = (layer["digest"] or layer["diff_id"] or "") if layer else ""
    description = _description(finding)
    links = [link] if link else []
    said = _mark(digest, finding["state"], description, links)
    return {
        "id": f"LEAK-{_plain_name(finding['rule_id'])}-{_mark(finding['id'], finding['secret']['fingerprint'])}",
        "package": _package(finding),
        "version": f"{f'layer:{short(digest)}' if digest else finding['surface']}#{said}",
        "fix_version": "",  # anything else counts as fixable by an update, and a credential is not
        "severity": severity,
        "description": description,
        "links": links,
        "cwe_ids": [_weakness(finding)],
        "vendor_attributes": {
            "leakscan": {
                "finding": finding["id"],
                "rule": finding["rule_id"],
                "fingerprint": finding["secret"]["fingerprint"],
                "confidence": finding["confidence"],
                "state": finding["state"],
                "surface": finding["surface"],
                "layer": digest,
                "line": finding["line"],
            }
        },
    }


def gap_item(gap: str, repository: str, severity: str) -> dict[str, Any]:
    """What was not looked at, as an item: an image that was not read whole never shows as one without findings.

    Args:
        gap: its reason, and how often, as `limit.bytes (2)`.
        repository: whose images an exemption of this id is for.
        severity: Harbor's; what the policy makes of incomplete images.
    """
    name = escape.text(cut(gap, _PLACE))
    told = _REASON.fullmatch(name)
    reason = told[1] if told else "unreadable"  # else it is a sentence, of an image that could not be read at all
    description = (
        f"Part of the image could not be searched for credentials: {name}. What was not read may leak; nothing is "
        "known of it."
    )
    return {
        "id": f"LEAK-NOT-READ-{_plain_name(reason)}-{_mark(repository, reason)}",
        "package": reason,
        "version": f"gap#{_mark(description)}",
        "fix_version": "",
        "severity": severity,
        "description": description,
        "links": [],
        "cwe_ids": [],
        "vendor_attributes": {"leakscan": {"gap": reason}},
    }


def worst(items: Iterable[Mapping[str, Any]]) -> str:
    """The highest severity of some items. Of none it is the one of which Harbor makes its `None`, a word that the
    specification does not have."""
    return max((str(each["severity"]) for each in items), key=_ORDER.index, default=INFORMATION)


def merged(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """*items* with each id, package and version once, the worst first: Harbor has one record for the three."""
    kept: dict[tuple[str, str, str], dict[str, Any]] = {}
    for each in items:
        key = (each["id"], each["package"], each["version"])
        if key not in kept or _ORDER.index(each["severity"]) > _ORDER.index(kept[key]["severity"]):
            kept[key] = dict(each)
    return sorted(kept.values(), key=lambda each: (-_ORDER.index(each["severity"]), each["package"], each["id"]))


def _package(finding: Mapping[str, Any]) -> str:
    path = " > ".join((finding["path"] or "", *finding["inside"]))
    return escape.text(cut(path, _PLACE)) or SURFACES.get(finding["surface"], finding["surface"])


def _description(finding: Mapping[str, Any]) -> str:
    place = _package(finding)
    line = line_to_show(finding["line"], finding["encoding"])
    place += "" if line is None else f":{line}"
    encoding = f", encoded as {' in '.join(finding['encoding'])}" if finding["encoding"] else ""
    kind = SURFACES.get(finding["surface"], finding["surface"])
    said = [f"{finding['title']} in {place} ({kind}{encoding})."]
    if finding.get("gains"):
        said.append(finding["gains"])
    if step := finding["instruction"]:
        said.append(f"Brought in by: {cut(step['created_by'], _STEP)}.")
    if removed := _BURIED.get(finding["state"]):
        said.append(f"A later step {removed}; the layer still holds it, and whoever pulls the image has it.")
    said.append("Revoke or change the credential where it was issued, then rebuild without it.")
    return cut(escape.text(" ".join(said)), _TEXT)


def _weakness(finding: Mapping[str, Any]) -> str:
    """CWE-321, a hard-coded cryptographic key, or CWE-798, hard-coded credentials."""
    return "CWE-321" if _KEYS.search(finding["rule_id"]) else "CWE-798"


def _plain_name(name: str) -> str:
    return _NAME.sub("-", name.upper()).strip("-")


def _mark(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_MARK]
