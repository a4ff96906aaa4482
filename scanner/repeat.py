"""What a scan says of an image now, beside what a report says of it: every field that follows from the image.

Both are documents of docs/report.md as `json.loads` gives them. A difference that has another cause than the image or
the report, such as a secret or a baseline that was not given again, is told as that and never as a difference.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scanner.claim import Check, Outcome
from scanner.detect.known.search import WHOLE
from scanner.evidence import KNOWN_SECRET, Severity
from scanner.remediation import unnamed
from scanner.report.escape import plain
from scanner.suppress import EXPIRED

Json = Mapping[str, Any]
#: surfaces of which each source holds its own documents
PER_SOURCE = ("annotation", "attestation", "metadata")
#: gaps of one run, not of an image
_PASSING = re.compile(
    r"worker\.|registry\.|spool\.|limit\.(?:time|memory)$|(?:layer|file)\.unreadable$|image\.unavailable$"
)
#: gaps inside layers: whatever a layer is packed in, they are the same
_WITHIN = ("tar.", "nested.")
#: fields whose values a difference may quote: none of them can hold anything of an image
_QUOTED = ("severity", "confidence", "state", "line", "surface")
#: fields of a report that are compared by themselves; a verdict follows from findings and gaps, and is held to them
_ELSEWHERE = frozenset(
    ("image", "images", "findings", "known_secrets", "coverage", "notes", "tool", "settings", "verdict")
)
_MASK = re.compile(r"\*+")
_EXPAND = (("gzip", "-dc"), ("zstd", "-dc"), ("bzip2", "-dc"), ("xz", "-dc"))


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms a report was repeated.

    Attributes:
        same_source: the image came from the same kind of source with the same manifest, so its documents are the same.
        same_name: it was read under the very reference that the report has.
        secrets: every known secret of the report was given again.
        dockerfile: the Dockerfile was given again, if there was one.
        caches: as many build caches were given.
    """

    same_source: bool
    same_name: bool
    secrets: bool = True
    dockerfile: bool = True
    caches: bool = True


def compared(report: Json, now: Json, terms: Terms) -> list[Check]:
    """What of *report* is not as a scan under *terms* says *now*; one that confirms it if there is no difference."""
    parts = (_head, _images, _findings, _known, _coverage, _notes)
    checks = [*(check for part in parts for check in part(report, now, terms)), *_left(terms)]
    strict = all((terms.same_source, terms.same_name, terms.secrets, terms.dockerfile, terms.caches))
    same = all(check.outcome is Outcome.NOT_REPEATED for check in checks)
    if same and strict and _whole(report) != _whole(now):
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
    secrets = [_but(_dict(each, "secret"), "fingerprint") for each in _list(document, "findings")]
    return {
        **_but(document, "image", "verdict", "notes"),
        "images": images,
        "tool": _but(_dict(document, "tool"), "key_id"),
        "findings": [_but(each, "gated", "suppressed", "secret") for each in _list(document, "findings")],
        "secrets": secrets,
        "coverage": _but(_dict(document, "coverage"), "complete", "gaps", "accepted"),
    }


def _but(entry: Json, *keys: str) -> Json:
    return {key: value for key, value in entry.items() if key not in keys}


def _head(report: Json, now: Json, terms: Terms) -> Iterator[Check]:
    """Fields beside the lists."""
    for field in sorted({*report, *now} - _ELSEWHERE):
        if field == "ignored" and not terms.same_source:
            yield Check("report", field, Outcome.NOT_REPEATED, "each source has documents of its own")
        elif field not in now or not _same(report.get(field), now[field], terms):
            yield Check("report", plain(field), Outcome.DIFFERS, "it is not what a scan says")
    but = {*([] if terms.dockerfile else ["dockerfile"]), *([] if terms.caches else ["caches"])}
    for field, mine in (("tool", {"key_id"}), ("settings", but)):
        said, own = (_but(_dict(each, field), *mine) for each in (report, now))
        if said != own:
            yield Check("report", field, Outcome.DIFFERS, "it is not what a scan says")


def _images(report: Json, now: Json, terms: Terms) -> Iterator[Check]:
    """Images and layers, but for what `verify` compares with the bytes themselves."""
    listed = {_image_key(each): each for each in _of(now)}
    for image in _of(report):
        own, name = listed.pop(_image_key(image), None), plain(str(image.get("config_digest") or image.get("platform")))
        if own is None:
            continue  # `verify` says so
        keys = {"layers", "platform", "config_digest"}
        keys |= {"source", "manifest_digest"} if terms.same_source else set()
        keys |= {"reference"} if terms.same_name else set()
        wrong = [key for key in sorted(keys - {"layers"}) if image.get(key) != own[key]]
        wrong += sorted(map(plain, set(image) - set(own)))
        layers = ["index", "diff_id", "created_by", "history_index"]
        layers += ["digest", "size", "media_type"] if terms.same_source else []
        mine = _list(image, "layers")
        if len(mine) != len(own["layers"]):
            wrong.append("layers")
        for one, other in zip(mine, own["layers"], strict=False):
            wrong += [f"layer {other['index']}: {key}" for key in layers if not _same(one.get(key), other[key], terms)]
        if wrong:
            yield Check("image", name, Outcome.DIFFERS, f"not what a scan says: {', '.join(wrong)}")
    for image in listed.values():
        outcome = Outcome.DIFFERS if terms.same_source else Outcome.UNREADABLE
        yield Check("image", str(image["platform"]), outcome, "the report does not tell of this image")


def _of(document: Json) -> Sequence[Json]:
    return document["images"] if "images" in document else [document["image"]]


def _image_key(image: Json) -> tuple[str, str]:
    return str(image.get("platform")), str(image.get("config_digest"))


# --- findings -----------------------------------------------------------------------------------------------------


def _key(finding: Json) -> tuple[object, ...]:
    """What tells a finding from others of an image in every source: the rule, and the very bytes. The few that are
    still alike are in the same order."""
    layer, proof = _dict(finding, "layer"), _dict(finding, "proof")
    return tuple(map(repr, (
        finding.get("platform"), finding.get("rule_id"), finding.get("surface"), layer.get("index"),
        proof.get("offset"), proof.get("length"), finding.get("offset"), finding.get("encoding"),
    )))  # fmt: skip


def _findings(report: Json, now: Json, terms: Terms) -> Iterator[Check]:
    found: dict[tuple[object, ...], list[Json]] = {}
    for each in now["findings"]:
        found.setdefault(_key(each), []).append(each)
    fingerprints = _Fingerprints(_dict(report, "tool").get("key_id") == now["tool"].get("key_id"))
    least = str(now["settings"]["fail_on"])
    given = {str(each.get("id")) for each in now["known_secrets"]}
    alone: list[Json] = []  # sightings of secrets whose values were not given again
    for finding in _list(report, "findings"):
        others, name = found.get(_key(finding)), plain(str(finding.get("id")))
        if others:
            own = others.pop(0)
            yield from _finding(name, finding, own, terms, least)
            yield from fingerprints.check(name, finding, own)
            continue
        if finding.get("rule_id") == KNOWN_SECRET and not _names(finding) <= given:
            alone.append(finding)
            yield _unrepeated(name, finding, least)
        elif finding.get("surface") in PER_SOURCE and not terms.same_source:
            continue  # `verify` says whether its document is here
        elif not (finding.get("surface") == "cache" and not terms.caches):
            yield Check("finding", name, Outcome.DIFFERS, "a scan does not find it")
    covered = _Covered(alone)
    passing = any(_PASSING.match(str(gap.get("reason"))) for gap in _gaps(report))
    for each in (each for left in found.values() for each in left):
        name = str(each["id"])
        if covered.by_bytes(each):
            continue
        if each["surface"] == "cache" and not terms.caches:
            continue
        if covered.by_place(each):
            detail = "it may be a sighting of a secret that was not given again: add --secret"
            yield Check("finding", name, Outcome.UNREADABLE, detail)
        elif each["surface"] in PER_SOURCE and not terms.same_source:
            detail = "the image leaks here, in a document that the report's source may not hold"
            yield Check("finding", name, Outcome.UNREADABLE, f"{detail}: {each['title']}")
        elif passing:
            yield Check("finding", name, Outcome.UNREADABLE, "not in the report, which says that not all was read")
        else:
            yield Check("finding", name, Outcome.DIFFERS, f"the report leaves out: {_place(each)}: {each['title']}")


def _place(finding: Json) -> str:
    layer = f"layer {finding['layer']['index']} " if finding["layer"] else ""
    return f"{layer}{finding['path'] or finding['surface']}"


def _names(finding: Json) -> set[str]:
    """The ids of the known secrets that a finding is a sighting of."""
    items = _list(finding, "evidence")
    return {str(item.get("result")) for item in items if item.get("check") == KNOWN_SECRET} or {""}


def _unrepeated(name: str, finding: Json, least: str) -> Check:
    """A sighting whose secret was not given again: its bytes are proved; of the rest only what is fixed is checked."""
    items = _list(finding, "evidence")
    whole = any(item.get("check") == KNOWN_SECRET and item.get("detail") == WHOLE for item in items)
    weight = finding.get("severity"), finding.get("confidence")
    gated = finding.get("suppressed") is None and _counts(str(weight[0]), str(weight[1]), least)
    if weight not in (("critical", "high"), ("medium", "low")) or (whole and weight[0] != "critical"):
        return Check("finding", name, Outcome.DIFFERS, "a sighting of a known secret is critical, its confidence high")
    if finding.get("gated") is not gated:
        return Check("finding", name, Outcome.DIFFERS, "not what a scan says: gated")
    detail = "its secret was not given again: add --secret to check all that is said of it"
    return Check("finding", name, Outcome.UNREADABLE, detail)


class _Covered:
    """What findings whose secrets were not given again may stand for."""

    def __init__(self, findings: Sequence[Json]) -> None:
        self._findings = findings

    def by_bytes(self, other: Json) -> bool:
        """Whether one of them is of the same bytes, or of some of them."""
        start, end = self._span(other)
        return any(
            low < end and start < high
            for each in self._findings
            if self._content(each) == self._content(other)
            for low, high in [self._span(each)]
        )

    def by_place(self, other: Json) -> bool:
        """Whether one of them lies in the same file or document, where equal values are told once."""
        return any(self._content(each) == self._content(other) for each in self._findings)

    @staticmethod
    def _span(finding: Json) -> tuple[int, int]:
        proof = _dict(finding, "proof")
        start, length = proof.get("offset"), proof.get("length")
        return (start, start + length) if type(start) is int and type(length) is int else (0, 0)

    @staticmethod
    def _content(finding: Json) -> tuple[object, ...]:
        layer, proof, surface = _dict(finding, "layer"), _dict(finding, "proof"), finding.get("surface")
        document = "" if layer or surface in ("config", "history") else proof.get("blob")  # both are in the config
        return finding.get("platform"), layer.get("index"), proof.get("member_offset"), document


class _Fingerprints:
    """Fingerprints of one installation beside those of another: equal values have equal ones in each."""

    def __init__(self, same_key: bool) -> None:
        self._same_key = same_key
        self._there: dict[str, str] = {}
        self._back: dict[str, str] = {}

    def check(self, name: str, finding: Json, now: Json) -> Iterator[Check]:
        """A difference, if there is one."""
        said, own = str(_dict(finding, "secret").get("fingerprint")), str(now["secret"]["fingerprint"])
        equal = self._there.setdefault(said, own) == own and self._back.setdefault(own, said) == said
        if self._same_key is not (said == own) or not equal:
            yield Check("finding", name, Outcome.DIFFERS, "its fingerprint is not that of its value")


def _dict(entry: Json, key: str) -> Json:
    """What should be an object of a report, empty if it is none."""
    found = entry.get(key)
    return found if isinstance(found, Mapping) else {}


def _list(entry: Json, key: str) -> list[Json]:
    """What should be a list of objects of a report, but for what is none."""
    found = entry.get(key)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _finding(name: str, said: Json, now: Json, terms: Terms, least: str) -> Iterator[Check]:
    """A finding beside the same one of now: which fields differ."""
    wrong: list[str] = []
    unsure: list[str] = []
    accepted, own = said.get("suppressed"), now["suppressed"]
    for field in sorted({*said, *now}):
        if field in ("gated", "suppressed", "proof", "secret", "remediation"):
            continue
        if field == "dockerfile" and not terms.dockerfile:
            continue
        if field == "layer" and not terms.same_source:
            same = _dict(said, "layer").get("diff_id") == _dict(now, "layer").get("diff_id")
        elif field == "id" and not terms.secrets:
            continue  # of redacted strings; `verify` holds it to those of the report
        else:
            same = field in said and field in now and _same(said[field], now[field], terms)
        if not same:
            (unsure if field == "evidence" and not terms.secrets else wrong).append(_told(field, said, now))
    wrong += [f"secret.{key}" for key in _others(_dict(said, "secret"), now["secret"], ["fingerprint"], terms)]
    wrong += _proof(_dict(said, "proof"), now["proof"], terms)
    if terms.dockerfile and (advice := _advice(_dict(said, "remediation"), now["remediation"], terms)):
        (wrong if terms.secrets else unsure).extend(advice)
    if said.get("gated") is not (accepted is None and _counts(now["severity"], now["confidence"], least)):
        wrong.append("gated")
    elif accepted is not None and own is None:
        unsure.append("what accepts it was not given: --baseline or --config")
    elif "suppressed" not in said or (accepted is not None and accepted != own):
        wrong.append("suppressed")
    if wrong:
        yield Check("finding", name, Outcome.DIFFERS, f"not what a scan says: {', '.join(wrong)}")
    elif unsure:
        yield Check("finding", name, Outcome.UNREADABLE, f"cannot be told: {', '.join(unsure)}")


def _counts(severity: str, confidence: str, least: str) -> bool:
    """Whether a finding counts if nothing accepts it; *least* is the least severity that does, or `never`."""
    known = list(Severity)
    return least != "never" and confidence != "low" and known.index(Severity(severity)) <= known.index(Severity(least))


def _told(field: str, said: Json, now: Json) -> str:
    """A field that differs, with both values where they hold nothing of an image."""
    if field in _QUOTED and isinstance(said.get(field), str | int) and len(str(said[field])) < 40:
        return f"{field} is {plain(str(now.get(field)))}, not {plain(str(said[field]))}"
    return plain(field)


def _proof(said: Json, now: Json, terms: Terms) -> list[str]:
    """Fields of a proof, but for its offset, length and HMAC, which are held to the bytes."""
    but = ["command"] if terms.same_source else ["command", "blob"]
    wrong = _others(said, now, but, terms)
    if terms.same_source and terms.same_name:
        same = _same(said.get("command"), now["command"], terms)
    else:
        mine, own = _shape(str(said.get("command"))), _shape(now["command"])
        same = mine is not None and mine[-1] == now["length"]
        same = same and (mine == own if terms.same_source else mine is not None and int(str(mine[-2])) > now["offset"])
    return [f"proof.{key}" for key in [*wrong, *([] if same else ["command"])]]


def _others(said: Json, now: Json, but: Sequence[str], terms: Terms) -> list[str]:
    """Fields that differ."""
    keys = sorted({*said, *now} - {*but})
    return [plain(key) for key in keys if key not in said or not _same(said[key], now.get(key), terms)]


def _shape(command: str) -> tuple[object, ...] | None:
    """A command as `commands.show` writes it, without the name of the archive; None if it is none of those.

    The last two are the place at which the bytes begin, from 1, and their number.
    """
    stages = []
    for text in command.split(" | "):
        try:
            words = shlex.split(text)
        except ValueError:
            return None
        if shlex.join(words) != text:  # so there is nothing in it that a shell would understand
            return None
        stages.append(tuple(words))
    if len(stages) < 3 or stages[-2][:2] != ("tail", "-c") or stages[-1][:2] != ("head", "-c"):
        return None
    first, *between, tail, head = stages
    start, count = tail[2:], head[2:]
    if len(start) != 1 or len(count) != 1 or not re.fullmatch(r"\+[0-9]{1,18}", start[0]) or not count[0].isdecimal():
        return None
    if any(not _unpacks(stage) for stage in between):
        return None
    source = _source(first)
    return None if source is None else (source, *between, start[0][1:], int(count[0]))


def _unpacks(stage: tuple[str, ...]) -> bool:
    return stage in _EXPAND or (len(stage) == 5 and stage[:4] == ("tar", "-xO", "-f", "-"))


def _source(stage: tuple[str, ...]) -> tuple[str, ...] | None:
    """What prints a blob, without the name of what it is read from; None if it is anything else."""
    *words, last = stage
    match words:
        case ["crane", "blob" | "manifest"] if "@" in last and not last.startswith("-"):
            return (*words, last.rpartition("@")[2])
        case ["docker" | "podman", "save"] | ["cat"] | ["gzip" | "zstd" | "bzip2" | "xz", "-dc"] if last[:1] != "-":
            return tuple(words)
        case ["tar", "-xOf", archive] if not archive.startswith("-"):
            return ("tar", "-xOf", last)
    return None


def _advice(said: Json, now: Json, terms: Terms) -> list[str]:
    wrong = _others(said, now, ["steps"], terms)
    mine, own = said.get("steps"), now["steps"]
    if not (terms.same_source and terms.same_name) and isinstance(mine, list):
        mine, own = [unnamed(str(step)) for step in mine], [unnamed(step) for step in own]
    if not _same(mine, own, terms):
        wrong.append("steps")
    return [f"remediation.{plain(key)}" for key in wrong]


def _same(said: Any, now: Any, terms: Terms) -> bool:
    """Whether two values are the same; where not all secrets were given again, but for what the report masks."""
    if terms.secrets or said == now:
        return bool(said == now) and type(said) is type(now)
    if isinstance(said, str) and isinstance(now, str):
        pattern = ".*".join(map(re.escape, _MASK.split(said)))
        return "*" in said and re.fullmatch(pattern, now, re.DOTALL) is not None
    if isinstance(said, list) and isinstance(now, list):
        return len(said) == len(now) and all(_same(*pair, terms) for pair in zip(said, now, strict=True))
    if isinstance(said, Mapping) and isinstance(now, Mapping):
        return set(said) == set(now) and all(_same(said[key], now[key], terms) for key in said)
    return False


def _known(report: Json, now: Json, terms: Terms) -> Iterator[Check]:
    """Entries of known secrets, but for their verdicts, which `verify` compares; and their sightings."""
    listed = {str(each["id"]): each for each in now["known_secrets"]}
    for said in _list(report, "known_secrets"):
        own = listed.get(str(said.get("id")))
        keys = {*said, *(own or {})} - {"verdict"}
        keys -= set() if terms.same_source and terms.caches else {"bytes_searched", "sightings"}
        keys -= set() if terms.caches else {"encodings"}  # those of a cache that was not given are not seen again
        keys -= set() if terms.secrets else {"sightings"}  # ids are of redacted strings
        if own is not None and any(key not in said or said[key] != own.get(key) for key in keys):
            yield Check("known-secret", plain(str(said.get("id"))), Outcome.DIFFERS, "not what a scan says")
    told = {str(each.get("part_of", each.get("id"))) for each in _list(report, "known_secrets")}
    for finding in _list(report, "findings"):
        if finding.get("rule_id") == KNOWN_SECRET and not _names(finding) <= told:
            name = plain(str(finding.get("id")))
            yield Check("finding", name, Outcome.DIFFERS, "the report does not tell of the secret that it is")


# --- coverage and notes -------------------------------------------------------------------------------------------


def _gaps(document: Json) -> list[Json]:
    coverage = _dict(document, "coverage")
    return [*_list(coverage, "gaps"), *_list(coverage, "accepted")]


def _bare(gap: Json, terms: Terms) -> tuple[str, ...]:
    keys = ("blob", "where", "reason", "bytes", "detail") if terms.same_source else ("where", "reason")
    where = str(gap.get("where"))
    return tuple(str(gap.get(key)) if key != "where" else where for key in keys)


def _coverage(report: Json, now: Json, terms: Terms) -> Iterator[Check]:
    """Bytes, members and gaps."""
    if not terms.caches:
        return
    said, own = _dict(report, "coverage"), now["coverage"]
    mine, others = _gaps(report), _gaps(now)
    if not terms.same_source:
        mine, others = ([gap for gap in each if str(gap.get("reason")).startswith(_WITHIN)] for each in (mine, others))
        yield Check("coverage", "bytes", Outcome.NOT_REPEATED, "each source has documents of its own")
    lasting = {_bare(gap, terms) for gap in mine if not _PASSING.match(str(gap.get("reason")))}
    present = {_bare(gap, terms) for gap in others if not _PASSING.match(str(gap.get("reason")))}
    passed = any(_PASSING.match(str(gap.get("reason"))) for gap in _gaps(report))
    passing = any(_PASSING.match(str(gap.get("reason"))) for gap in _gaps(now))
    if (lasting - present and not passing) or (present - lasting and not passed):
        yield Check("coverage", "gaps", Outcome.DIFFERS, "they are others than those of a scan")
    elif passed or passing:
        when = "then" if passed else "now"
        yield Check("coverage", "gaps", Outcome.UNREADABLE, f"not all of the image could be read {when}")
    elif terms.same_source and any(said.get(key) != own[key] for key in ("bytes", "members")):
        yield Check("coverage", "bytes", Outcome.DIFFERS, "not what a scan says")
    if set(said) != set(own) or any(_list(said, key) != said[key] for key in ("gaps", "accepted")):
        yield Check("coverage", "fields", Outcome.DIFFERS, "not what a scan says")
    accepted = {_bare(gap, terms) for gap in _list(said, "accepted")}
    again = {_bare(gap, terms) for gap in own["accepted"]}
    if accepted - again:
        yield Check("coverage", "accepted", Outcome.UNREADABLE, "what accepts its gaps was not given: add --config")


def _notes(report: Json, now: Json, terms: Terms) -> Iterator[Check]:
    """What the source cannot give follows from it; what the user's files say does not."""
    notes = report.get("notes")
    said = [str(each) for each in notes] if isinstance(notes, list) else ["none"]
    own = [each for each in now["notes"] if not each.startswith(EXPIRED)]
    missing = [note for note in own if not any(_same(each, note, terms) for each in said)]
    if missing and terms.same_source and terms.same_name:
        yield Check("note", "notes", Outcome.DIFFERS, "a scan has one more to say")
    for note in said:
        if not any(_same(note, each, terms) for each in own):
            yield Check("note", "notes", Outcome.NOT_REPEATED, plain(note))
