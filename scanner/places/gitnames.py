"""Names git's blobs by commit and path where commits and trees are files of their own, in whichever layer they lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from scanner.content.repositories import Names
from scanner.places.locate import Place
from scanner.work.called import Key, entry, in_repository, key_of, repository
from scanner.work.called import named as masked
from scanner.work.jobs import BlobOutcome
from scanner.work.kept import seal_of

_BLOB = re.compile(r"blob ([0-9a-f]{40})")


def named(places: Iterable[Place], outcomes: Sequence[BlobOutcome | None]) -> Iterator[Place]:
    """The places of one image; those in a blob of git say `commit <id>:<path>` instead of its id, if that is known.

    Args:
        outcomes: of the image's layers.
    """
    seal = seal_of(outcomes)
    key = key_of(seal)
    known: dict[int, Names] = {}
    for place in places:
        blob = _BLOB.fullmatch(place.inside[0]) if place.inside and place.encoding[:1] == ("git",) else None
        at = repository(place.path or "", key) if blob else None
        if blob is None or at is None:
            yield place
            continue
        if at not in known:
            known[at] = _names(at, outcomes, key)
        title = known[at].title("blob", bytes.fromhex(blob[1]))
        if seal is not None and "*" in title:  # other files may be called so as well without what stood there
            title = masked(title, entry(place.inside[0], key), seal, ())
        yield replace(place, inside=(title, *place.inside[1:]))


def _names(at: int, outcomes: Sequence[BlobOutcome | None], key: Key) -> Names:
    names = Names()
    for outcome in outcomes:
        for item in outcome.objects if outcome is not None else ():
            if in_repository(item, key) == at:
                names.learn(item.kind, item.digest, item.data)
    names.spread()
    return names
