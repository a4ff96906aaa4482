"""Findings of a report: which are said again, with which fields, and which are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from scanner.advice.remediation import unnamed
from scanner.detect.known.search import WHOLE
from scanner.evidence import KNOWN_SECRET, Confidence, Severity, is_gated
from scanner.report.escape import plain
from scanner.verify.claim import Check, Outcome
from scanner.verify.coverage import passing
from scanner.verify.document import Json, entries_of, entry_of
from scanner.verify.proofs import proof
from scanner.verify.terms import Terms, alike, differing

#: surfaces of which each source holds its own documents
PER_SOURCE = ("annotation", "attestation", "metadata")
#: severity and confidence that a sighting of a known secret can have: of all of it, and of what may be another's too
_WEIGHTS = (("critical", "high"), ("medium", "low"))
#: fields whose values a difference may quote: none of them can hold anything of an image
_QUOTED = ("severity", "confidence", "state", "line", "surface")


def findings(report: Json, now: Json, terms: Terms) -> Iterator[Check]:
    """Findings that differ or are missing on either side."""
    found: dict[tuple[object, ...], list[Json]] = {}
    for each in now["findings"]:
        found.setdefault(_key(each), []).append(each)
    fingerprints = _Fingerprints(entry_of(report, "tool").get("key_id") == now["tool"].get("key_id"))
    least = str(now["settings"]["fail_on"])
    given = {str(each.get("id")) for each in now["known_secrets"]}
    alone: list[Json] = []  # sightings of secrets whose values were not given again
    for finding in entries_of(report, "findings"):
        others, name = found.get(_key(finding)), plain(str(finding.get("id")))
        if others:
            own = others.pop(0)
            yield from _finding(name, finding, own, terms, least)
            yield from fingerprints.check(name, finding, own)
            continue
        if finding.get("rule_id") == KNOWN_SECRET and not secret_ids(finding) <= given:
            alone.append(finding)
            yield _unrepeated(name, finding, least)
        elif finding.get("surface") in PER_SOURCE and not terms.same_source:
            continue  # `verify` says whether its document is here
        elif not (finding.get("surface") == "cache" and not terms.caches):
            yield Check("finding", name, Outcome.DIFFERS, "a scan does not find it")
    covered = _Covered(alone)
    cut_short = passing(report)
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
        elif cut_short:
            yield Check("finding", name, Outcome.UNREADABLE, "not in the report, which says that not all was read")
        else:
            yield Check("finding", name, Outcome.DIFFERS, f"the report leaves out: {_place(each)}: {each['title']}")


def _key(finding: Json) -> tuple[object, ...]:
    """What tells a finding from others of an image in every source: the rule, and the very bytes. The few that are
    still alike are in the same order."""
    layer, proof = entry_of(finding, "layer"), entry_of(finding, "proof")
    return tuple(map(repr, (
        finding.get("platform"), finding.get("rule_id"), finding.get("surface"), layer.get("index"),
        proof.get("offset"), proof.get("length"), finding.get("offset"), finding.get("encoding"),
    )))  # fmt: skip


def _place(finding: Json) -> str:
    layer = f"layer {finding['layer']['index']} " if finding["layer"] else ""
    return f"{layer}{finding['path'] or finding['surface']}"


def secret_ids(finding: Json) -> set[str]:
    """The ids of the known secrets that a finding is a sighting of."""
    items = entries_of(finding, "evidence")
    return {str(item.get("result")) for item in items if item.get("check") == KNOWN_SECRET} or {""}


def _unrepeated(name: str, finding: Json, least: str) -> Check:
    """A sighting whose secret was not given again: its bytes are proved; of the rest only what is fixed is checked."""
    items = entries_of(finding, "evidence")
    whole = any(item.get("check") == KNOWN_SECRET and item.get("detail") == WHOLE for item in items)
    severity, confidence = finding.get("severity"), finding.get("confidence")
    if (severity, confidence) not in _WEIGHTS or (whole and severity != "critical"):
        return Check("finding", name, Outcome.DIFFERS, "a sighting of a known secret is critical, its confidence high")
    if finding.get("gated") is not (finding.get("suppressed") is None and _counts(severity, confidence, least)):
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
        proof = entry_of(finding, "proof")
        start, length = proof.get("offset"), proof.get("length")
        return (start, start + length) if type(start) is int and type(length) is int else (0, 0)

    @staticmethod
    def _content(finding: Json) -> tuple[object, ...]:
        layer, proof, surface = entry_of(finding, "layer"), entry_of(finding, "proof"), finding.get("surface")
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
        said, own = str(entry_of(finding, "secret").get("fingerprint")), str(now["secret"]["fingerprint"])
        equal = self._there.setdefault(said, own) == own and self._back.setdefault(own, said) == said
        if self._same_key is not (said == own) or not equal:
            yield Check("finding", name, Outcome.DIFFERS, "its fingerprint is not that of its value")


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
            same = entry_of(said, "layer").get("diff_id") == entry_of(now, "layer").get("diff_id")
        elif field == "id" and not terms.secrets:
            continue  # of redacted strings; `verify` holds it to those of the report
        else:
            same = field in said and field in now and alike(said[field], now[field], terms)
        if not same:
            (unsure if field == "evidence" and not terms.secrets else wrong).append(_told(field, said, now))
    wrong += [f"secret.{key}" for key in differing(entry_of(said, "secret"), now["secret"], ["fingerprint"], terms)]
    wrong += proof(entry_of(said, "proof"), now["proof"], terms)
    if terms.dockerfile and (advice := _advice(entry_of(said, "remediation"), now["remediation"], terms)):
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


def _counts(severity: Any, confidence: Any, least: str) -> bool:
    """Whether a finding counts if nothing accepts it; *least* is the least severity that does, or `never`."""
    return is_gated(Severity(severity), Confidence(confidence), None if least == "never" else Severity(least))


def _told(field: str, said: Json, now: Json) -> str:
    """A field that differs, with both values where they hold nothing of an image."""
    if field in _QUOTED and isinstance(said.get(field), str | int) and len(str(said[field])) < 40:
        return f"{field} is {plain(str(now.get(field)))}, not {plain(str(said[field]))}"
    return plain(field)


def _advice(said: Json, now: Json, terms: Terms) -> list[str]:
    wrong = differing(said, now, ["steps"], terms)
    mine, own = said.get("steps"), now["steps"]
    if not (terms.same_source and terms.same_name) and isinstance(mine, list):
        mine, own = [unnamed(str(step)) for step in mine], [unnamed(step) for step in own]
    if not alike(mine, own, terms):
        wrong.append("steps")
    return [f"remediation.{plain(key)}" for key in wrong]
