"""The reason codes of gaps and their page in the docs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FAMILIES = (
    "archive|attestation|blob|compression|config|file|image|json|layer|limit|manifest|nested|registry|spool|tar|worker"
)
CODE = re.compile(rf"(?:{FAMILIES})\.[a-z]+(?:-[a-z]+)*")
#: strings that look like codes and are none
NONE = {"manifest.json", "manifest.list", "index.json", "config.json", "image.name", "file.settings", "image.html",
        "registry.css"}


def test_each_reason_is_documented():
    """Every reason that the code can give is explained in docs/coverage.md, and no other."""
    used = set()
    paths = [path for path in (ROOT / "scanner").rglob("*.py") if "detect" not in path.parts]  # ids of rules
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                used.add(node.value)
    page = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^\| `([a-z.-]+)` \|", page, re.MULTILINE)) == used - NONE
