"""What a scan says of an image now, beside what a report says of it: every field that follows from the image.

Both are documents of docs/report.md as `json.loads` gives them. A difference that has another cause than the image or
the report, such as a secret or a baseline that was not given again, is told as that and never as a difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scanner.accept.policy import EXPIRED
from scanner.evidence import KNOWN_SECRET
from scanner.report.escape import plain
from scanner.verify.claim import Check, Outcome
from scanner.verify.coverage import coverage
from scanner.verify.document import Json, entries_of, entry_of, image_key
from scanner.verify.findings import findings, secret_ids
from scanner.verify.terms import Terms, alike, same

#: fields of a report that are compared by themselves; a verdict follows from findings and gaps, and is held to them
_ELSEWHERE = frozenset(
    ("image", "images", "findings", "known_secrets", "coverage", "notes", "tool", "settings", "verdict")
)


def compared(report: Json, now: Json, terms: Terms) -> list[Check]:
    """What of *report* is not as a scan under *terms* says *now*; one that confirms it if there is no difference."""
    parts = (_head, _images, findings, _known, coverage, _notes)
    checks = [*(check for part in parts for check in part(report, now, terms)), *_left(terms)]
    strict = all((terms.same_source, terms.same_name, terms.secrets, terms.dockerfile, terms.caches))
    equal = all(check.outcome is Outcome.NOT_REPEATED for check in checks)
    if equal and strict and not same(_whole(report), _whole(now)):
        checks.append(Check("report", "document", Outcome.DIFFERS, "it holds what no scan says, or in another order"))
    if not any(check.outcome is Outcome.DIFFERS for check in checks):
        checks.append(Check("report", "scan", Outcome.CONFIRMED))
    return checks


def _left(terms: Terms) -> Iterator[Check]:
    if not terms.dockerfile:
        detail = "the Dockerfile was not given: add --dockerfile to check lines and fixes"
        yield Check("report", "dockerfile", Outcome.UNREADABLE, detail)
    if not terms.caches:
        detail = "not the same number of build caches was given: add --cache-from"
        yield Check("report", "caches", Outcome.UNREADABLE, detail)


def _whole(document: Json) -> Json:
    """A document without what depends on the installation or on what the user accepts."""
    images = document.get("images") or [document.get("image")]
    secrets = [_but(entry_of(each, "secret"), "fingerprint") for each in entries_of(document, "findings")]
    return {
        **_but(document, "image", "verdict", "notes"),
        "images": images,
        "tool": _but(entry_of(document, "tool"), "key_id"),
        "findings": [_but(each, "gated", "suppressed", "secret") for each in entries_of(document, "findings")],
        "secrets": secrets,
        "coverage": _but(entry_of(document, "coverage"), "complete", "gaps", "accepted"),
    }


def _but(entry: Json, *keys: str) -> Json:
    return {key: value for key, value in entry.items() if key not in keys}


def _head(report: Json, now: Json, terms: Terms) -> Iterator[Check]:
    """Fields beside the lists."""
    for field in sorted({*report, *now} - _ELSEWHERE):
        if field == "ignored" and not terms.same_source:
            yield Check("report", field, Outcome.NOT_REPEATED, "each source has documents of its own")
        elif field not in now or not alike(report.get(field), now[field], terms):
            yield Check("report", plain(field), Outcome.DIFFERS, "it is not what a scan says")
    but = {*([] if terms.dockerfile else ["dockerfile"]), *([] if terms.caches else ["caches"])}
    for field, mine in (("tool", {"key_id"}), ("settings", but)):
        said, own = (_but(entry_of(each, field), *mine) for each in (report, now))
        if not same(said, own):
            yield Check("report", field, Outcome.DIFFERS, "it is not what a scan says")


def _images(report: Json, now: Json, terms: Terms) -> Iterator[Check]:
    """Images and layers, but for what `verify` compares with the bytes themselves."""
    listed = {image_key(each): each for each in _of(now)}
    for image in _of(report):
        own, name = listed.pop(image_key(image), None), plain(str(image.get("config_digest") or image.get("platform")))
        if own is None:
            continue  # `verify` says so
        keys = {"layers", "platform", "config_digest"}
        keys |= {"source", "manifest_digest"} if terms.same_source else set()
        keys |= {"reference"} if terms.same_name else set()
        wrong = [key for key in sorted(keys - {"layers"}) if image.get(key) != own[key]]
        wrong += sorted(map(plain, set(image) - set(own)))
        layers = ["index", "diff_id", "created_by", "history_index"]
        layers += ["digest", "size", "media_type"] if terms.same_source else []
        mine = entries_of(image, "layers")
        if len(mine) != len(own["layers"]):
            wrong.append("layers")
        for one, other in zip(mine, own["layers"], strict=False):
            wrong += [f"layer {other['index']}: {key}" for key in layers if not alike(one.get(key), other[key], terms)]
        if wrong:
            yield Check("image", name, Outcome.DIFFERS, f"not what a scan says: {', '.join(wrong)}")
    for image in listed.values():
        outcome = Outcome.DIFFERS if terms.same_source else Outcome.UNREADABLE
        yield Check("image", str(image["platform"]), outcome, "the report does not tell of this image")


def _of(document: Json) -> Sequence[Json]:
    return document["images"] if "images" in document else [document["image"]]


def _known(report: Json, now: Json, terms: Terms) -> Iterator[Check]:
    """Entries of known secrets, but for their verdicts, which `verify` compares; and their sightings."""
    listed = {str(each["id"]): each for each in now["known_secrets"]}
    for said in entries_of(report, "known_secrets"):
        own = listed.get(str(said.get("id")))
        keys = {*said, *(own or {})} - {"verdict"}
        keys -= set() if terms.same_source and terms.caches else {"bytes_searched", "sightings"}
        keys -= set() if terms.caches else {"encodings"}  # those of a cache that was not given are not seen again
        keys -= set() if terms.secrets else {"sightings"}  # ids are of redacted strings
        if own is not None and any(key not in said or said[key] != own.get(key) for key in keys):
            yield Check("known-secret", plain(str(said.get("id"))), Outcome.DIFFERS, "not what a scan says")
    told = {str(each.get("part_of", each.get("id"))) for each in entries_of(report, "known_secrets")}
    for finding in entries_of(report, "findings"):
        if finding.get("rule_id") == KNOWN_SECRET and not secret_ids(finding) <= told:
            name = plain(str(finding.get("id")))
            yield Check("finding", name, Outcome.DIFFERS, "the report does not tell of the secret that it is")


def _notes(report: Json, now: Json, terms: Terms) -> Iterator[Check]:
    """What the source cannot give follows from it; what the user's files say does not."""
    notes = report.get("notes")
    said = [str(each) for each in notes] if isinstance(notes, list) else ["none"]
    own = [each for each in now["notes"] if not each.startswith(EXPIRED)]
    missing = [note for note in own if not any(alike(each, note, terms) for each in said)]
    if missing and terms.same_source and terms.same_name:
        yield Check("note", "notes", Outcome.DIFFERS, "a scan has one more to say")
    for note in said:
        if not any(alike(note, each, terms) for each in own):
            yield Check("note", "notes", Outcome.NOT_REPEATED, plain(note))
