"""A scan's result as an in-toto attestation that is signed and stored beside the image.

The type is in-toto's own for test results, so that policies need to learn nothing new; what they may also want to
decide on stands in its field `leakscan`. An attestation is as public as its image, so it counts findings and names
rules, but says nothing of places, steps or values. It says when the scan was: a policy can ask for a recent one, and
an image may leak by the rules of today what those of last year did not know.
https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from scanner import __version__
from scanner.evidence import Gap, ScanResult, Verdict
from scanner.report import escape
from scanner.report.order import parted
from scanner.report.setting import PLAIN, Setting

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
_FOUND, _READ = "no-leaked-credential", "every-byte-read"


def predicate(result: ScanResult, setting: Setting = PLAIN) -> str:
    """The predicate alone, which `cosign attest --predicate FILE` wraps into a statement about an image."""
    return _document(_predicate(result, setting))


def statement(result: ScanResult, setting: Setting = PLAIN) -> str:
    """The whole statement; its subjects are the manifests scanned, by digest.

    An image whose source has no manifest digest is named by the digest of its config; one that could not be opened
    has no digest, and a statement about it no subject that could be verified.
    """
    subjects = [
        {"name": escape.text(result.reference), "digest": {kind: value}}
        for digest in (image.manifest_digest or image.config_digest for image in result.images)
        if digest
        for kind, _, value in (digest.partition(":"),)
    ]
    content = _predicate(result, setting)
    return _document({"_type": STATEMENT, "subject": subjects, "predicateType": PREDICATE, "predicate": content})


def _document(value: Any) -> str:
    return escape.json(json.dumps(value, ensure_ascii=True, sort_keys=True, indent=1)) + "\n"


def _predicate(result: ScanResult, setting: Setting) -> dict[str, Any]:
    leaked = any(finding.gated for finding in result.findings)
    tests = {_FOUND: not leaked, _READ: result.coverage.complete}
    return {
        # in-toto's WARNED means passed: an incomplete scan has not
        "result": "PASSED" if result.verdict is Verdict.CLEAN else "FAILED",
        "configuration": [{"name": "leakscan rules", "digest": {"sha256": _hex(result.rules_digest)}}],
        "passedTests": [name for name, passed in tests.items() if passed],
        "failedTests": [name for name, passed in tests.items() if not passed],
        "leakscan": {
            "tool": {"name": "leakscan", "version": __version__},
            # the words of cosign's predicate for vulnerabilities, whose policies people have
            "metadata": {
                "scanStartedOn": _time(setting.finished - result.seconds),
                "scanFinishedOn": _time(setting.finished),
            },
            "verdict": result.verdict.value,
            "images": [
                {
                    "platform": escape.text(image.platform),
                    "manifestDigest": image.manifest_digest,
                    "configDigest": image.config_digest,
                }
                for image in result.images
            ],
            "findings": _counts(result),
            "knownSecrets": dict(sorted(Counter(str(known.get("verdict")) for known in result.known_secrets).items())),
            "coverage": {
                "complete": result.coverage.complete,
                "bytes": {"total": result.coverage.total, "accounted": result.coverage.accounted},
                "gaps": _reasons(result.coverage.gaps),
                "acceptedGaps": _reasons([each.gap for each in result.coverage.accepted]),
            },
        },
    }


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(seconds, 0)))


def _reasons(gaps: Iterable[Gap]) -> dict[str, int]:
    return dict(sorted(Counter(escape.text(gap.reason) for gap in gaps).items()))


def _hex(digest: str) -> str:
    return escape.text(digest).removeprefix("sha256:")


def _counts(result: ScanResult) -> dict[str, Any]:
    gated, accepted, hints = parted(result.findings)
    return {
        "gated": len(gated),
        "bySeverity": dict(sorted(Counter(finding.severity.value for finding in gated).items())),
        "byRule": dict(sorted(Counter(escape.text(finding.rule_id) for finding in gated).items())),
        "accepted": len(accepted),
        "information": len(hints),
    }
