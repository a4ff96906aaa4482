"""What a scan says about each secret that the user gave: absent, present or unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from scanner.detect.known.parts import Known
from scanner.detect.known.search import WHOLE
from scanner.evidence import KNOWN_SECRET, Coverage, Evidence, Finding
from scanner.places.locate import Place

#: in which forms every known secret is looked for
ENCODINGS = (
    "raw", "base64", "base64url", "hex", "url", "json", "shell", "html", "utf-16le", "utf-16be",
)  # fmt: skip


def known_secrets(
    given: Sequence[Known], places: Iterable[Place], findings: Iterable[Finding], coverage: Coverage
) -> tuple[Mapping[str, object], ...]:
    """An entry for each secret, followed by one for each of its parts (docs/report.md).

    A secret is present if its whole value or a part that is a secret by itself was seen; absent only if every byte of
    the image was looked at, so accepted gaps count as well.
    """
    seen = {(item.result, _part(item)) for place in places for item in place.match.evidence if _is_known(item)}
    ids: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        for item in finding.evidence:
            if _is_known(item):
                ids.setdefault((item.result, _part(item)), []).append(finding.id)
    found: list[Mapping[str, object]] = []
    for secret in given:
        if not secret.parts:
            found.append({**_entry(secret.id, "unknown", coverage, ()), "bytes_searched": 0, "encodings": [],
                          "reason": secret.refused})  # fmt: skip
            continue
        own = [part.name for part in secret.parts if part.telling]
        if own:
            found.append(_judged(secret.id, secret.id, own, seen, ids, coverage))
        for part in dict.fromkeys(part.name for part in secret.parts if part.name):
            entry = _judged(f"{secret.id}: {part}", secret.id, [part], seen, ids, coverage)
            found.append({**entry, "part_of": secret.id})
    return tuple(found)


def _judged(
    id: str, secret: str, parts: Sequence[str], seen: set[tuple[str, str]],
    ids: Mapping[tuple[str, str], list[str]], coverage: Coverage,
) -> Mapping[str, object]:  # fmt: skip
    if any((secret, part) in seen for part in parts):
        sightings = dict.fromkeys(each for part in parts for each in ids.get((secret, part), ()))
        return _entry(id, "present", coverage, sightings)
    whole = coverage.complete and not coverage.accepted  # who accepts a gap does not look into it
    return _entry(id, "absent" if whole else "unknown", coverage, ())


def _entry(id: str, verdict: str, coverage: Coverage, sightings: Iterable[str]) -> Mapping[str, object]:
    return {
        "id": id,
        "verdict": verdict,
        "encodings": list(ENCODINGS),
        "bytes_searched": coverage.accounted,
        "sightings": list(sightings),
    }


def _is_known(item: Evidence) -> bool:
    return item.check == KNOWN_SECRET


def _part(item: Evidence) -> str:
    return "" if item.detail == WHOLE else item.detail
