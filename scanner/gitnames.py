"""Names git's blobs by commit and path where commits and trees are files of their own, in whichever layer they lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from scanner.content.repositories import Names, repository_of
from scanner.locate import Place
from scanner.work.pool import BlobOutcome

_BLOB = re.compile(r"blob ([0-9a-f]{40})")


def named(places: Iterable[Place], outcomes: Sequence[BlobOutcome | None]) -> Iterator[Place]:
    """The places of one image; those in a blob of git say `commit <id>:<path>` instead of its id, if that is known.

    Args:
        outcomes: of the image's layers.
    """
    known: dict[bytes, Names] = {}
    for place in places:
        blob = _BLOB.fullmatch(place.inside[0]) if place.inside and place.encoding[:1] == ("git",) else None
        repository = repository_of((place.path or "").encode("utf-8", "surrogateescape")) if blob else None
        if blob is None or repository is None:
            yield place
            continue
        if repository not in known:
            known[repository] = _names(repository, outcomes)
        title = known[repository].title("blob", bytes.fromhex(blob[1]))
        yield replace(place, inside=(title, *place.inside[1:]))


def _names(repository: bytes, outcomes: Sequence[BlobOutcome | None]) -> Names:
    names = Names()
    for outcome in outcomes:
        for item in outcome.objects if outcome is not None else ():
            if item.repository == repository:
                names.learn(item.kind, item.digest, item.data)
    names.spread()
    return names
