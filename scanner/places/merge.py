"""Sightings to what a report tells as one: one secret in one place, whatever number of detectors saw it there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

from scanner.evidence import KNOWN_SECRET, Evidence, Match
from scanner.places.locate import Place
from scanner.work.called import mark

#: rules about names, and not about what one issuer makes
_GENERAL = ("assigned.", "login.", "url.", "context.", "command.", "web.")
_ADDRESSES = "detect-secrets.public-ip-ipv4"


def merged(places: Iterable[Place]) -> list[Place]:
    """One place for each secret, surface, layer and path.

    Of overlapping matches the surest stays; what else was seen there, and how often the same value occurs in the same
    place, becomes evidence.
    """
    found: list[Place] = []
    ordered = sorted(((_whereabouts(place), place) for place in _innermost(places)), key=itemgetter(0))
    for _, same in groupby(ordered, key=lambda each: each[0][:-2]):
        contents = groupby((place for _, place in same), key=_content)
        kept = [place for _, content in contents for place in _strongest(list(content))]
        found += _distinct(_as_they_lie(_without_companions(kept)))
    return found


def _innermost(places: Iterable[Place]) -> list[Place]:
    """Places but for those in an archive where the entry that lies there as it is was looked at by itself too."""
    everything = list(places)
    entries: dict[tuple[object, ...], set[tuple[str, ...]]] = {}
    for place in everything:
        if place.inside:
            entries.setdefault(_spot(place), set()).add(tuple(map(mark, place.inside)))
    return [
        place
        for place in everything
        if not any(
            len(inside) > len(place.inside) and inside[: len(place.inside)] == tuple(map(mark, place.inside))
            for inside in entries.get(_spot(place), ())
        )
    ] if entries else everything  # fmt: skip


def _spot(place: Place) -> tuple[object, ...]:
    layer = -1 if place.layer is None else place.layer.index
    return place.image, layer, id(place.blob), place.encoding, place.stored, place.match.secret


def _without_companions(places: Sequence[Place]) -> list[Place]:
    """Places but for the ids of pairs, which the pair's evidence names. A user or host of a pair stays what it is: a
    token may stand in a user's place."""
    known = {
        item.detail.encode("utf-8", "surrogateescape")
        for place in places
        for item in place.match.evidence
        if item.check == "companion" and item.result == "id"
    }
    return [place for place in places if not place.match.secret.among(known)]


def _as_they_lie(places: Sequence[Place]) -> list[Place]:
    """Places but for those of a rule that saw the very bytes before they were decoded: a signature in an address is
    one, with its percent escapes or without."""
    seen: dict[tuple[object, ...], int] = {}
    for place in places:
        if place.stored[1] == place.match.end - place.match.start:  # not the whole of something packed
            spot = place.match.rule_id, place.stored
            seen[spot] = min(len(place.encoding), seen.get(spot, len(place.encoding)))
    return [
        place
        for place in places
        if len(place.encoding) <= seen.get((place.match.rule_id, place.stored), len(place.encoding))
    ]


def _whereabouts(place: Place) -> tuple[object, ...]:
    layer = -1 if place.layer is None else place.layer.index
    in_header = "tar-header" in place.encoding
    names = mark(place.path or ""), tuple(map(mark, place.inside))
    return place.image, place.surface.value, layer, *names, place.blob.name, in_header, *_content(place)


def _content(place: Place) -> tuple[tuple[str, ...], int]:
    """What offsets count from: several members may have one path, and all of them are in the layer."""
    return place.encoding, place.content


def _quality(place: Place) -> tuple[object, ...]:
    match = place.match
    return (
        match.rule_id != KNOWN_SECRET,
        match.confidence.rank,
        match.severity.rank,
        _family(match),
        -(match.end - match.start),
        place.stored,
        match.rule_id,
    )


def _family(match: Match) -> int:
    """Who is believed where matches are as sure and as bad: rules of one issuer, then what a file's own format says,
    then names and the like, then detect-secrets."""
    if match.detector == "file":
        return 1
    if match.detector != "pattern":
        return 3
    return 2 if match.rule_id.startswith(_GENERAL) else 0


def _strongest(places: Sequence[Place]) -> list[Place]:
    """Of matches that overlap, the best; the others are named in its evidence."""
    kept: list[Place] = []
    spans: list[tuple[int, int, int]] = []  # start, end and number of those kept, in order: they never overlap
    also: dict[int, set[str]] = {}
    beside: dict[int, dict[Evidence, None]] = {}
    for place in sorted(places, key=_quality):
        start, end = place.offset, place.offset + place.match.end - place.match.start
        at = bisect_left(spans, (end, 0, 0))
        over = min((number for _, last, number in spans[max(0, at - 2) : at] if start < last), default=None)
        if over is None:
            spans.insert(at, (start, end, len(kept)))
            kept.append(place)
        else:
            if place.match.rule_id != kept[over].match.rule_id:
                also.setdefault(over, set()).add(place.match.rule_id)
            elif place.match.rule_id == KNOWN_SECRET:  # another secret, or a part of one, within the same bytes
                kept[over] = _with(kept[over], *(e for e in place.match.evidence if e not in kept[over].match.evidence))
            if place.match.detector == "file" and place.match.secret == kept[over].match.secret:
                companions = (item for item in place.match.evidence if item.check == "companion")
                beside.setdefault(over, {}).update(dict.fromkeys(companions))
    for number, named in beside.items():  # the rule that is believed need not know whom the secret is for
        known = {item.detail for item in kept[number].match.evidence if item.check == "companion"}
        for item in named:
            kept[number] = kept[number] if item.detail in known else _with(kept[number], item)
    for number, rules in also.items():
        kept[number] = _with(kept[number], Evidence("also-seen-by", "match", ", ".join(sorted(rules))))
    return kept


def _with(place: Place, *evidence: Evidence) -> Place:
    return replace(place, match=replace(place.match, evidence=(*place.match.evidence, *evidence)))


def _distinct(places: Iterable[Place]) -> list[Place]:
    """One place for each value; the first one, with the number of the others as evidence."""
    found = []
    ordered = sorted(places, key=lambda p: (_sort_of(p), p.match.confidence.rank, p.match.severity.rank, p.offset))
    for _, same in groupby(ordered, key=_sort_of):
        seen = list(same)
        # a document is looked at as it lies there and with its escapes decoded: that is one sighting, not two
        least = min(len(place.encoding) for place in seen)
        first, *others = [place for place in seen if len(place.encoding) == least]
        if others:
            first = _with(first, Evidence("occurrences", str(1 + len(others)), "sightings in the same place"))
        found.append(first)
    return found


def _sort_of(place: Place) -> bytes:
    """What makes two places in one content one finding: the value. Addresses are no secrets: a file's are one."""
    match = place.match
    return _ADDRESSES.encode() if match.rule_id == _ADDRESSES else match.secret.order
