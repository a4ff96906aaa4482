"""The JSON report."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace

import pytest

from scanner import __version__
from scanner.evidence import Instruction, SecretSummary, Surface
from scanner.report.json import render
from tests import reports

STR, NAT, OPT_STR, OPT_NAT = "str", "nat", "str?", "nat?"
LAYER = {
    "index": NAT, "digest": OPT_STR, "diff_id": OPT_STR, "size": NAT, "media_type": STR, "created_by": OPT_STR,
    "history_index": OPT_NAT,
}  # fmt: skip
IMAGE = {
    "reference": STR, "source": STR, "manifest_digest": OPT_STR, "config_digest": OPT_STR, "platform": STR,
    "layers": [LAYER],
}  # fmt: skip
FINDING = {
    "id": STR, "rule_id": STR, "detector": STR, "title": STR, "gains": STR,
    "severity": {"critical", "high", "medium", "low"}, "confidence": {"high", "medium", "low"}, "gated": "bool",
    "secret": {"preview": STR, "length": NAT, "fingerprint": STR},
    "surface": {surface.value for surface in Surface},
    "layer": ({"index": NAT, "digest": OPT_STR, "diff_id": OPT_STR}, None),
    "path": OPT_STR, "inside": [STR], "line": OPT_NAT, "offset": NAT, "encoding": [STR],
    "state": {"live", "deleted", "overwritten", "hidden"},
    "removed_by": ({"layer_index": NAT, "created_by": OPT_STR}, None),
    "instruction": ({"history_index": NAT, "created_by": STR}, None),
    "dockerfile": ({"path": STR, "line": NAT, "end_line": NAT}, None),
    "origin": {"kind": STR},
    "evidence": [{"check": STR, "result": STR, "detail": STR}],
    "proof": {
        "blob": STR, "member": OPT_STR, "member_offset": OPT_NAT, "offset": NAT, "length": NAT, "hmac": STR,
        "command": STR,
    },
    "remediation": {"summary": STR, "steps": [STR], "dockerfile": OPT_STR, "diff": OPT_STR, "script": OPT_STR},
    "suppressed": ("any", None),
}  # fmt: skip
DOCUMENT = {
    "notes": [STR],
    "schema_version": {"1"},
    "settings": "any",
    "tool": {"name": {"leakscan"}, "version": STR, "rules_digest": STR},
    "image": IMAGE,
    "verdict": {"clean", "leaked", "incomplete"},
    "findings": [FINDING],
    "known_secrets": ["any"],
    "coverage": {
        "complete": "bool", "bytes": {"total": NAT, "accounted": NAT}, "members": NAT,
        "gaps": [{"blob": STR, "where": STR, "reason": STR, "bytes": OPT_NAT, "detail": STR}],
        "accepted": [{"blob": STR, "where": STR, "reason": STR, "bytes": OPT_NAT, "detail": STR, "accepted": "any"}],
    },
}  # fmt: skip


def problems(value, shape, at="$"):
    """Where *value* is not of *shape*."""
    if shape == "any":
        return []
    if isinstance(shape, tuple):
        return [] if value is None else problems(value, shape[0], at)
    if isinstance(shape, set):
        return [] if value in shape else [at]
    if isinstance(shape, list):
        return [p for i, item in enumerate(value) for p in problems(item, shape[0], f"{at}[{i}]")]
    if isinstance(shape, dict):
        if set(value) != set(shape):
            return [f"{at}: {set(value) ^ set(shape)}"]
        return [p for key in shape for p in problems(value[key], shape[key], f"{at}.{key}")]
    if shape.endswith("?") and value is None:
        return []
    kind = {"str": str, "nat": int, "bool": bool}[shape.removesuffix("?")]
    return [] if type(value) is kind and not (kind is int and value < 0) else [at]


@pytest.mark.parametrize("case", ["leaked", "incomplete", "unavailable", "many"])
def test_every_field_is_there(case):
    """Each report has every field of docs/report.md, and of the right kind."""
    assert problems(json.loads(render(getattr(reports, case)())), DOCUMENT) == []


@pytest.mark.parametrize("case", ["leaked", "unavailable"])
def test_snapshot(case):
    """The whole document is as it was."""
    document = render(getattr(reports, case)()).replace(f'"version": "{__version__}"', '"version": "X"')

    assert reports.matches_snapshot(document, f"{case}.json")


def test_keys_are_sorted_and_text_is_ascii():
    """The document is pure ASCII with sorted keys, and ends in a newline."""
    shown = render(reports.result(reports.finding(path="gr\u00fc\u00dfe/\udcff\ud800")))

    assert shown.isascii() and shown.endswith("}\n")
    document = json.loads(shown)
    assert re.sub(r"\s", "", json.dumps(document, sort_keys=True)) == re.sub(r"\s", "", shown)
    assert document["findings"][0]["path"] == "gr\u00fc\u00dfe/\\xff\\ud800"


def test_order_of_findings_does_not_depend_on_their_making():
    """The same findings in any order give the same document."""
    result = reports.leaked()
    mixed = list(result.findings)
    random.Random(1).shuffle(mixed)

    assert render(replace(result, findings=tuple(mixed))) == render(result)


def test_unavailable_image_still_has_a_document():
    """An image that cannot be opened gives a document: verdict incomplete, no findings, the reason among the gaps."""
    document = json.loads(render(reports.unavailable()))

    assert document["verdict"] == "incomplete" and document["findings"] == []
    assert document["image"]["reference"] == "shop:1.4" and document["image"]["layers"] == []
    assert document["coverage"]["gaps"][0]["reason"] == "image.unavailable"


def test_several_platforms():
    """Where an index holds several images they are listed, and each finding names its platform."""
    images = (reports.image(), reports.image(platform="linux/arm64"))
    finding = reports.finding(platform="linux/arm64")

    document = json.loads(render(reports.result(finding, images=images)))

    assert "image" not in document
    assert [image["platform"] for image in document["images"]] == ["linux/amd64", "linux/arm64"]
    assert document["findings"][0]["platform"] == "linux/arm64"


def test_value_only_when_shown():
    """The value is a field only where the scan was told to show it."""
    hidden = json.loads(render(reports.result(reports.finding())))
    assert "value" not in hidden["findings"][0]["secret"]
    shown = reports.result(reports.finding(secret=SecretSummary("***", 14, "fp", reports.FAKE)))
    assert json.loads(render(shown))["findings"][0]["secret"]["value"] == reports.FAKE


def test_range_of_steps():
    """Where only a run of steps is known the instruction has a range."""
    instruction = Instruction(5, "CMD", (2, 5))

    document = json.loads(render(reports.result(reports.finding(instruction=instruction))))

    assert document["findings"][0]["instruction"]["range"] == [2, 5]
