"""Baselines of detect-secrets (`.secrets.baseline`), as they are: SHA-1 of a value, and the file it stood in.

The file stood in a repository, the finding in an image: paths differ, so the file's name and the value decide.
Source: detect_secrets/core/potential_secret.py, 1.5.0.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from scanner import userfile
from scanner.accept.policy import Acceptance
from scanner.errors import UnusableFile
from scanner.evidence import Finding, Secret

#: what its plugins hash instead of the value: a prefix of tokens, the header of keys; these accept nothing, or any
_HOLLOW = tuple(
    hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    for text in ("ghp", "gho", "ghu", "ghs", "ghr", "glpat", "gldt", "glft", "glsoat", "glrt",
                 *(f"BEGIN {kind}PRIVATE KEY" for kind in
                   ("", "DSA ", "EC ", "OPENSSH ", "PGP ", "RSA ", "SSH2 ENCRYPTED ")),
                 "BEGIN PGP PRIVATE KEY BLOCK", "PuTTY-User-Key-File-2")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SecretsBaseline:
    """Such a file (`policy.Acceptor`). *places*: (file name, SHA-1 of the value) → what an audit said of it."""

    name: str
    places: Mapping[tuple[str, str], str]
    remarks: tuple[str, ...] = ()

    def accepted(
        self, findings: Sequence[Finding], values: Mapping[str, Secret], _today: date
    ) -> Mapping[int, Acceptance]:
        """The findings that are in it (`policy.Acceptor`)."""
        found: dict[int, Acceptance] = {}
        for at, finding in enumerate(findings):
            secret = values.get(finding.secret.fingerprint)
            if secret is None or not finding.path:
                continue
            digest = hashlib.sha1(secret.reveal(), usedforsecurity=False).hexdigest()
            reason = self.places.get((posixpath.basename(finding.path), digest))
            if reason is not None:
                found[at] = Acceptance(self.name, reason)
        return found


def is_baseline(document: Any) -> bool:
    """Whether a JSON document is a baseline of detect-secrets."""
    return isinstance(document, dict) and isinstance(document.get("results"), dict) and "version" in document


def parsed(document: Mapping[str, Any], name: str) -> SecretsBaseline:
    """A baseline of a JSON document. Raises UnusableFile naming what is wrong."""
    places: dict[tuple[str, str], str] = {}
    hollow = 0
    for file, entries in document["results"].items():
        if not isinstance(entries, list):
            raise UnusableFile(f"{name}: the results of {userfile.shown(file)} must be a list")
        for entry in entries:
            digest = entry.get("hashed_secret") if isinstance(entry, dict) else None
            if not isinstance(digest, str):
                raise UnusableFile(f"{name}: a result of {userfile.shown(file)} has no hashed_secret")
            if digest in _HOLLOW:
                hollow += 1
                continue
            places[posixpath.basename(file.replace("\\", "/")), digest] = _reason(entry)
    remarks = () if not hollow else (
        f"{name}: {hollow} of its results hold only the beginning of a token or key, which any other has too: "
        "they accept nothing",
    )  # fmt: skip
    return SecretsBaseline(name, places, remarks)


def _reason(entry: Mapping[str, Any]) -> str:
    audited = entry.get("is_secret")
    if audited is None:
        return "in a baseline of detect-secrets, not audited"
    return f"in a baseline of detect-secrets, audited as {'a secret' if audited else 'no secret'}"
