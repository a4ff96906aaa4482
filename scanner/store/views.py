"""What pages show of the store: every tag with what is known of it, one repository, one secret. Nothing is written."""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from scanner.store.database import Store
from scanner.store.ledger import Appearance, State
from scanner.store.schema import REGISTRIES, RESULTS, SIGHTINGS, TAGS

_CHUNK, _DOCUMENTS = 500, 200
_LOOKED_AT = 20  # images that are told in full


@dataclass(frozen=True, slots=True)
class Seen:
    """A tag, and what is known of the image that it points to.

    Attributes:
        repository: host/name.
        since, until: when it was first and last seen to point there, ISO 8601; *current*: it still does.
        state: None if nothing is known.
        rules: the rule set that says so.
        images: the stored documents of the image if it leaks, else none.
    """

    repository: str
    tag: str
    digest: str
    since: str
    until: str
    current: bool
    state: State | None = None
    reason: str = ""
    created: str = ""
    scanned: str = ""
    rules: str = ""
    images: tuple[dict[str, Any], ...] = ()

    @property
    def reference(self) -> str:
        """As a person names it."""
        return f"{self.repository}:{self.tag}"


#: tags of images: `sha256-<64 digits>`, with or without an ending, is how signatures and attestations are found
_IMAGES = ~(TAGS.c.tag.like("sha256-%") & (func.length(TAGS.c.tag) >= len("sha256-") + 64))
_TAG = (REGISTRIES.c.host, TAGS.c.repository, TAGS.c.tag, TAGS.c.digest, TAGS.c.seen_first, TAGS.c.seen_last,
        TAGS.c.current)  # fmt: skip
_RESULT = (RESULTS.c.digest, RESULTS.c.rules, RESULTS.c.state, RESULTS.c.reason, RESULTS.c.created, RESULTS.c.scanned)


def current(engine: Store, rules: str) -> Iterator[Seen]:
    """Every tag as it is now, by repository. Memory is that of a chunk of them, whatever the size of the registry."""
    query = (
        select(*_TAG).join(REGISTRIES, REGISTRIES.c.id == TAGS.c.registry).where(TAGS.c.current, _IMAGES)
        .order_by(REGISTRIES.c.host, TAGS.c.repository, TAGS.c.tag)
    )  # fmt: skip
    documents = _Documents()
    with engine.connect() as connection, engine.connect() as other:
        rows = connection.execution_options(yield_per=_CHUNK).execute(query)
        for chunk in rows.partitions(_CHUNK):
            yield from _judged(other, chunk, rules, documents)


def repository(engine: Store, rules: str, host: str, name: str, first: int, number: int) -> tuple[list[Seen], int]:
    """*number* tags of one repository from *first* on, those that are there now first; and how many it has."""
    mine = (REGISTRIES.c.host == host) & (TAGS.c.repository == name) & _IMAGES
    tags = select(*_TAG).join(REGISTRIES, REGISTRIES.c.id == TAGS.c.registry).where(mine)
    with engine.connect() as connection:
        total = connection.execute(select(func.count()).select_from(tags.subquery())).scalar_one()
        page = tags.order_by(TAGS.c.current.desc(), TAGS.c.seen_first.desc(), TAGS.c.tag).offset(first).limit(number)
        rows = connection.execute(page).all()
        return list(_judged(connection, rows, rules, _Documents())), total


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret wherever it is.

    Attributes:
        findings: of the images that were looked at for it, one for each place, with the digest of the image.
        places: the latest tags whose images hold it, those that still do first.
        since: when the first of all was seen.
        now, before: how many tags hold it now, and how many did.
    """

    findings: tuple[tuple[str, dict[str, Any]], ...]
    places: tuple[Appearance, ...]
    since: str
    now: int
    before: int


def secret(engine: Store, fingerprint: str, first: int, number: int) -> Secret | None:
    """Where a secret is and was; None if no image is known to hold it. Those scanned last are told in full."""
    digests = select(SIGHTINGS.c.digest).where(SIGHTINGS.c.fingerprint == fingerprint)
    held = TAGS.c.digest.in_(digests)
    with engine.connect() as connection:
        best = connection.execute(
            select(RESULTS.c.digest, RESULTS.c.rules)
            .where(RESULTS.c.digest.in_(digests)).order_by(RESULTS.c.scanned.desc()).limit(_LOOKED_AT)
        ).all()  # fmt: skip
        if not best:
            return None
        grouped = select(TAGS.c.current, func.count()).where(held).group_by(TAGS.c.current)
        numbers: dict[bool, int] = {bool(row[0]): row[1] for row in connection.execute(grouped)}
        since = connection.execute(select(func.min(TAGS.c.seen_first)).where(held)).scalar_one()
        rows = connection.execute(
            select(*_TAG).join(REGISTRIES, REGISTRIES.c.id == TAGS.c.registry).where(held)
            .order_by(TAGS.c.current.desc(), TAGS.c.seen_first, REGISTRIES.c.host, TAGS.c.repository, TAGS.c.tag)
            .offset(first).limit(number)
        ).all()  # fmt: skip
        documents = _Documents()
        looked = [(row.digest, documents.of(connection, row.digest, row.rules)) for row in best]
    findings: OrderedDict[tuple[str, str], tuple[str, dict[str, Any]]] = OrderedDict()
    for digest, images in looked:
        for finding in (each for image in images for each in image["findings"]):
            if finding["secret"]["fingerprint"] == fingerprint:
                findings.setdefault((digest, finding["id"]), (digest, finding))
    places = tuple(Appearance(f"{row.host}/{row.repository}:{row.tag}", row.digest, row.seen_first, row.seen_last,
                              row.current) for row in rows)  # fmt: skip
    return Secret(tuple(findings.values()), places, since or "", numbers.get(True, 0), numbers.get(False, 0))


class _Documents:
    """Documents of results, the latest in memory: many tags point to one image."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[dict[str, Any], ...]] = OrderedDict()

    def of(self, connection: Connection, digest: str, rules: str) -> tuple[dict[str, Any], ...]:
        """The images of a result."""
        key = digest, rules
        if key not in self._kept:
            query = select(RESULTS.c.document).where(RESULTS.c.digest == digest, RESULTS.c.rules == rules)
            raw = connection.execute(query).scalar_one_or_none()
            self._kept[key] = tuple(json.loads(zlib.decompress(raw))) if raw else ()
            if len(self._kept) > _DOCUMENTS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def _judged(connection: Connection, rows: Sequence[Any], rules: str, documents: _Documents) -> Iterator[Seen]:
    """Tags with what is known of their images: by *rules* if they judged them, else by those that did last."""
    known = _best(connection, {row.digest for row in rows}, rules)
    leaking = _leaking(connection, known.values())
    for row in rows:
        tag = (f"{row.host}/{row.repository}", row.tag, row.digest, row.seen_first, row.seen_last, row.current)
        found = known.get(row.digest)
        if found is None:
            yield Seen(*tag)
            continue
        leaks = (found.digest, found.rules) in leaking
        images = documents.of(connection, found.digest, found.rules) if leaks else ()
        yield Seen(*tag, State(found.state), found.reason, found.created, found.scanned, found.rules, images)


def _best(connection: Connection, digests: Iterable[str], rules: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    asked = sorted(digests)
    for at in range(0, len(asked), _CHUNK):
        query = select(*_RESULT).where(RESULTS.c.digest.in_(asked[at : at + _CHUNK]))
        for row in connection.execute(query):
            before = found.get(row.digest)
            if before is None or _worth(row, rules) > _worth(before, rules):
                found[row.digest] = row
    return found


def _worth(row: Any, rules: str) -> tuple[bool, bool, str]:
    judged = row.state in (State.SCANNED.value, State.INCOMPLETE.value)
    return judged and row.rules == rules, judged, row.scanned


def _leaking(connection: Connection, results: Iterable[Any]) -> set[tuple[str, str]]:
    asked = sorted({row.digest for row in results})
    found: set[tuple[str, str]] = set()
    for at in range(0, len(asked), _CHUNK):
        mine = SIGHTINGS.c.digest.in_(asked[at : at + _CHUNK]) & SIGHTINGS.c.gated
        query = select(SIGHTINGS.c.digest, SIGHTINGS.c.rules).where(mine).distinct()
        found.update((row.digest, row.rules) for row in connection.execute(query))
    return found
