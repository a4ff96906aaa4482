"""What a report says was and was not read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scanner.verify.claim import Check, Outcome
from scanner.verify.document import Json, entries_of, entry_of
from scanner.verify.terms import Terms, same

#: gaps of one run, not of an image
_PASSING = re.compile(
    r"worker\.|registry\.|spool\.|limit\.(?:time|memory)$|(?:layer|file)\.unreadable$|image\.unavailable$"
)
#: gaps inside layers: whatever a layer is packed in, they are the same
_WITHIN = ("tar.", "nested.")


def passing(document: Json) -> bool:
    """Whether a report has a gap that another run may not have."""
    return any(map(_passes, _gaps(document)))


def _gaps(document: Json) -> list[Json]:
    coverage = entry_of(document, "coverage")
    return [*entries_of(coverage, "gaps"), *entries_of(coverage, "accepted")]


def _passes(gap: Json) -> bool:
    return _PASSING.match(str(gap.get("reason"))) is not None


def coverage(report: Json, now: Json, terms: Terms) -> Iterator[Check]:
    """Bytes, members and gaps."""
    if not terms.caches:
        return
    said, own = entry_of(report, "coverage"), now["coverage"]
    mine, others = _gaps(report), _gaps(now)
    if not terms.same_source:
        mine, others = ([gap for gap in each if str(gap.get("reason")).startswith(_WITHIN)] for each in (mine, others))
        yield Check("coverage", "bytes", Outcome.NOT_REPEATED, "each source has documents of its own")
    lasting = {_bare(gap, terms) for gap in mine if not _passes(gap)}
    present = {_bare(gap, terms) for gap in others if not _passes(gap)}
    then, again = passing(report), passing(now)
    if (lasting - present and not again) or (present - lasting and not then):
        yield Check("coverage", "gaps", Outcome.DIFFERS, "they are others than those of a scan")
    elif then or again:
        when = "then" if then else "now"
        yield Check("coverage", "gaps", Outcome.UNREADABLE, f"not all of the image could be read {when}")
    elif terms.same_source and not all(same(said.get(key), own[key]) for key in ("bytes", "members")):
        yield Check("coverage", "bytes", Outcome.DIFFERS, "not what a scan says")
    if set(said) != set(own) or any(entries_of(said, key) != said[key] for key in ("gaps", "accepted")):
        yield Check("coverage", "fields", Outcome.DIFFERS, "not what a scan says")
    accepted = {_bare(gap, terms) for gap in entries_of(said, "accepted")}
    accepted_now = {_bare(gap, terms) for gap in own["accepted"]}
    if accepted - accepted_now:
        yield Check("coverage", "accepted", Outcome.UNREADABLE, "what accepts its gaps was not given: add --config")


def _bare(gap: Json, terms: Terms) -> tuple[str, ...]:
    keys = ("blob", "where", "reason", "bytes", "detail") if terms.same_source else ("where", "reason")
    return tuple(str(gap.get(key)) for key in keys)
