"""Whatever bytes a user's file holds: it is read, or refused in one error of ours, never in a traceback."""

from __future__ import annotations

import contextlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner import userfile
from scanner.accept import baseline, secretsbaseline
from scanner.accept.entries import accepts, ignores
from scanner.detect import gitleaks
from scanner.detect.plugins import settings as plugins
from scanner.errors import UnusableFile
from scanner.settings import Keys, load

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates()
WORDS = st.sampled_from(
    "rules id regex path secretGroup entropy keywords allowlists allowlist regexes stopwords condition regexTarget "
    "extend useDefault disabledRules targetRules description results hashed_secret version plugins_used name limit "
    "filters_used pattern leakscan_baseline created key_id scrypt salt n r p findings surface value fingerprint since "
    "reason expires inside ids paths fingerprints gaps".split()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip
DOCUMENTS = st.dictionaries(WORDS, VALUES, max_size=6)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS)
def test_any_document_is_read_or_refused(document: dict[str, Any]) -> None:
    """Gitleaks' form, detect-secrets' two, baselines, entries of settings."""
    with contextlib.suppress(UnusableFile):
        gitleaks.read(document, "f", None, lambda _: True)
    with contextlib.suppress(UnusableFile):
        plugins.read(document, "f")
    with contextlib.suppress(UnusableFile):
        if secretsbaseline.is_baseline(document):
            secretsbaseline.parsed(document, "f")
    with contextlib.suppress(UnusableFile):
        baseline.parsed({**document, "leakscan_baseline": 1}, "f", "")
    with contextlib.suppress(UnusableFile):
        baseline.reported(document, "f")
    for part in document.values():
        with contextlib.suppress(UnusableFile):
            ignores(part, "f")
        with contextlib.suppress(UnusableFile):
            accepts(part, "f")


ENTRY = {"surface": "layer", "path": "p", "value": "ab", "since": "2026-01-01", "reason": "r", "inside": []}
WHOLE = {"leakscan_baseline": 1, "created": "2026-01-01", "key_id": "", "findings": [ENTRY],
         "scrypt": {"salt": "00" * 16, "n": 2, "r": 1, "p": 1}}  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*WHOLE, *(f"findings.{key}" for key in ENTRY), "scrypt.salt", "scrypt.n"]), VALUES)
def test_a_baseline_with_one_wrong_field_is_read_or_refused(where: str, value: object) -> None:
    """And one that is read can be used and written."""
    document = json.loads(json.dumps(WHOLE))
    key, _, field = where.partition(".")
    if field:
        inner = document[key]
        (inner[0] if isinstance(inner, list) else inner)[field] = value
    else:
        document[key] = value
    with contextlib.suppress(UnusableFile):
        file = baseline.parsed(document, "f", "")
        file.known([], date(2026, 1, 1))
        baseline.parsed(json.loads(file.text()), "f", "")


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=80) | st.text(alphabet="[]{}=\"'\n.a1#-", max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    """As settings, as JSON, as TOML."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(raw)
    with contextlib.suppress(UnusableFile):
        load(path, Path("/"), {}, lambda: Keys(("fail-on",)))
    with contextlib.suppress(UnusableFile):
        userfile.parsed(raw, "f")
