"""What tags point to and what came of it: the ledger that an audit reads and writes, one transaction for each image."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, delete, exists, func, select, update

from scanner.store.database import Store, patient, put
from scanner.store.schema import CHILDREN, REGISTRIES, RESULTS, SIGHTINGS, TAGS

_ASKED = 500  # tags that are asked for by name, and not with all of their repository
_SPANS = 20_000  # of a history, which is drawn in a few columns


class State(StrEnum):
    """What came of a manifest."""

    SCANNED = "scanned"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    NOT_REACHED = "not_reached"


_JUDGED = (State.SCANNED.value, State.INCOMPLETE.value)  # states of what was read


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of a manifest or index by one rule set.

    Attributes:
        final: reading it again would give the same.
        repository: host/name that its commands name.
        created: when its newest image was made, ISO 8601; empty if nothing tells.
        reason: why it failed or is incomplete, for people.
        attempts: how often it failed so far.
        images: one for each platform, as the report has them, without reference.
    """

    digest: str
    state: State
    final: bool
    repository: str
    created: str = ""
    reason: str = ""
    attempts: int = 0
    images: Sequence[dict[str, Any]] = ()


def now() -> str:
    """The time as the store writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Ledger:
    """The ledger of one registry, for one rule set; *run* marks what is written."""

    def __init__(self, engine: Store, host: str, rules: str, run: str) -> None:
        self._engine, self._rules, self._run = engine, rules, run
        with engine.begin() as connection:
            put(connection, REGISTRIES, [{"host": host}], keys=["host"])
            found = connection.execute(select(REGISTRIES.c.id).where(REGISTRIES.c.host == host))
            self._registry: int = found.scalar_one()

    @patient
    def point(
        self, repository: str, tags: Iterable[tuple[str, str]], present: Collection[str] | None = None
    ) -> None:  # fmt: skip
        """Note that tags point to digests now; where one pointed to something else before, that is history.

        *present* are all tags that the repository has, if they are known: it has no others any more.
        """
        time, new = now(), dict(tags)
        mine = (TAGS.c.registry == self._registry) & (TAGS.c.repository == repository)
        before = select(TAGS.c.tag, TAGS.c.digest).where(mine, TAGS.c.current)
        if present is None and len(new) <= _ASKED:
            before = before.where(TAGS.c.tag.in_(new))
        rows = [{"registry": self._registry, "repository": repository, "tag": tag, "digest": digest,
                 "seen_first": time, "seen_last": time, "current": True} for tag, digest in new.items()]  # fmt: skip
        with self._engine.begin() as connection:
            left = [{"old_tag": tag, "old_digest": digest} for tag, digest in connection.execute(before)
                    if (new[tag] != digest if tag in new else present is not None and tag not in present)]  # fmt: skip
            if left:
                old = (TAGS.c.tag == bindparam("old_tag")) & (TAGS.c.digest == bindparam("old_digest"))
                connection.execute(update(TAGS).where(mine, old).values(current=False), left)
            put(connection, TAGS, rows, update=("seen_last", "current"))

    @patient
    def result(self, digest: str) -> Result | None:
        """What the rule set said of a manifest, None if it has not seen it."""
        with self._engine.connect() as connection:
            row = connection.execute(
                select(RESULTS).where(RESULTS.c.digest == digest, RESULTS.c.rules == self._rules)
            ).one_or_none()
        return None if row is None else _result(row)

    @patient
    def stale(self, digest: str) -> tuple[str, Result] | None:
        """What another rule set that read a manifest said last of it, with the name of that rule set."""
        with self._engine.connect() as connection:
            row = connection.execute(
                select(RESULTS)
                .where(
                    RESULTS.c.digest == digest,
                    RESULTS.c.rules != self._rules,
                    RESULTS.c.state.in_(_JUDGED),
                )
                .order_by(RESULTS.c.scanned.desc())
                .limit(1)
            ).one_or_none()
        return None if row is None else (str(row.rules), _result(row))

    @patient
    def record(self, result: Result) -> None:
        """Write a result and its sightings at once, in place of what was there."""
        document = zlib.compress(json.dumps(list(result.images), separators=(",", ":")).encode(), 6)
        row = {"digest": result.digest, "rules": self._rules, "state": result.state.value, "final": result.final,
               "repository": result.repository, "created": result.created, "scanned": now(), "reason": result.reason,
               "attempts": result.attempts, "run": self._run, "document": document}  # fmt: skip
        seen = [finding for image in result.images for finding in image["findings"]]
        with self._engine.begin() as connection:
            mine = (SIGHTINGS.c.digest == result.digest) & (SIGHTINGS.c.rules == self._rules)
            connection.execute(delete(SIGHTINGS).where(mine))
            put(connection, RESULTS, [row], update=[name for name in row if name not in ("digest", "rules")])
            sightings = [self._sighting(result.digest, number, each) for number, each in enumerate(seen)]
            put(connection, SIGHTINGS, sightings)
            inside = {str(image["manifest_digest"]) for image in result.images if image["manifest_digest"]}
            put(connection, CHILDREN, [{"digest": each, "parent": result.digest}
                                       for each in sorted(inside - {result.digest})])  # fmt: skip

    @patient
    def spans(self) -> list[Span]:
        """When images of this registry were there, those of the same days and verdict together."""
        return spans(self._engine, self._rules, self._registry)

    def _sighting(self, digest: str, number: int, finding: dict[str, Any]) -> dict[str, Any]:
        layer = finding["layer"]
        return {"digest": digest, "rules": self._rules, "number": number,
                "fingerprint": finding["secret"]["fingerprint"], "rule_id": finding["rule_id"],
                "severity": finding["severity"], "gated": finding["gated"],
                "layer": layer["digest"] if layer else None}  # fmt: skip


def _result(row: Any) -> Result:
    images = json.loads(zlib.decompress(row.document))
    state = State(row.state)
    return Result(row.digest, state, row.final, row.repository, row.created, row.reason, row.attempts, images)


@dataclass(frozen=True, slots=True)
class Span:
    """How many tags were there from one day to another, or still are, and whether their images leak.

    Attributes:
        first, last: days, ISO 8601.
    """

    first: str
    last: str
    current: bool
    leaking: bool
    images: int


def spans(engine: Store, rules: str, registry: int | None = None) -> list[Span]:
    """When tags pointed to images that a rule set knows, in one *registry* or all; as many rows as days differ."""
    leaks = exists().where(SIGHTINGS.c.digest == TAGS.c.digest, SIGHTINGS.c.rules == rules, SIGHTINGS.c.gated)
    first, last = func.substr(TAGS.c.seen_first, 1, 10), func.substr(TAGS.c.seen_last, 1, 10)
    seen = select(first.label("first"), last.label("last"), TAGS.c.current.label("current"), leaks.label("leaking"))
    seen = seen.join(RESULTS, (RESULTS.c.digest == TAGS.c.digest) & (RESULTS.c.rules == rules))
    if registry is not None:
        seen = seen.where(TAGS.c.registry == registry)
    inner = seen.subquery()
    columns = [inner.c.first, inner.c.last, inner.c.current, inner.c.leaking]
    query = select(*columns, func.count().label("images")).group_by(*columns).limit(_SPANS)
    with engine.connect() as connection:
        return [Span(row.first, row.last, bool(row.current), bool(row.leaking), row.images)
                for row in connection.execute(query)]  # fmt: skip


def leaking(engine: Store, rules: str, digests: Iterable[str]) -> int:
    """How many of some manifests leak, by a rule set. Raises DatabaseError."""
    found = select(func.count(SIGHTINGS.c.digest.distinct()))
    found = found.where(SIGHTINGS.c.digest.in_(list(digests)), SIGHTINGS.c.rules == rules, SIGHTINGS.c.gated)
    with engine.connect() as connection:
        return int(connection.execute(found).scalar_one())


def audited(engine: Store) -> bool:
    """Whether any image was looked at. Raises DatabaseError."""
    with engine.connect() as connection:
        return connection.execute(select(RESULTS.c.digest).limit(1)).scalar_one_or_none() is not None


@dataclass(frozen=True, slots=True)
class Appearance:
    """A reference whose image holds a secret.

    Attributes:
        since: when an audit saw that first.
        until: when an audit saw it last.
        current: the reference still points to that image, or is a digest.
        built: when the image was made, ISO 8601; empty if nothing tells.
    """

    reference: str
    digest: str
    since: str
    until: str
    current: bool
    built: str = ""


def appearances(engine: Store, fingerprint: str) -> list[Appearance]:
    """Where and when a secret was seen, in any registry and by any rule set, the earliest first."""
    holding = select(SIGHTINGS.c.digest).where(SIGHTINGS.c.fingerprint == fingerprint)
    built = select(func.max(RESULTS.c.created)).where(RESULTS.c.digest == TAGS.c.digest).scalar_subquery()
    tagged = (
        select(REGISTRIES.c.host, TAGS.c.repository, TAGS.c.tag, TAGS.c.digest, TAGS.c.seen_first, TAGS.c.seen_last,
               TAGS.c.current, built.label("built"))
        .select_from(TAGS)
        .join(REGISTRIES, REGISTRIES.c.id == TAGS.c.registry)
        .where(TAGS.c.digest.in_(holding))
    )  # fmt: skip
    # what was asked for by its digest has no tag; a result of every rule set
    untagged = (
        select(RESULTS.c.repository, RESULTS.c.digest, func.min(RESULTS.c.scanned).label("since"),
               func.max(RESULTS.c.scanned).label("until"), func.max(RESULTS.c.created).label("built"))
        .where(RESULTS.c.digest.in_(holding), ~exists().where(TAGS.c.digest == RESULTS.c.digest))
        .group_by(RESULTS.c.repository, RESULTS.c.digest)
    )  # fmt: skip
    with engine.connect() as connection:
        found = [
            Appearance(f"{row.host}/{row.repository}:{row.tag}", row.digest, row.seen_first, row.seen_last,
                       bool(row.current), row.built or "")
            for row in connection.execute(tagged)
        ]  # fmt: skip
        found += [
            Appearance(f"{row.repository}@{row.digest}", row.digest, row.since, row.until, True, row.built or "")
            for row in connection.execute(untagged)
        ]
    return sorted(found, key=lambda each: (each.since, each.reference, each.digest))


@dataclass(frozen=True, slots=True)
class Known:
    """The result that answers for a manifest best.

    Attributes:
        rules: the rule set that gave it.
        scanned: when, ISO 8601.
        result: of the manifest itself, or of an index that has it.
        tags: references that point to the manifest, or to that index, now.
    """

    rules: str
    scanned: str
    result: Result
    tags: tuple[str, ...]


_TAGS = 100  # of one manifest that are told


def known(engine: Store, digest: str, rules: str) -> Known | None:
    """What is known of a manifest or index, by *rules* if they have judged it, else by others; None for nothing.

    A manifest that was only read as part of an index has the result of that index.
    """
    parents = select(CHILDREN.c.parent).where(CHILDREN.c.digest == digest)
    columns = (RESULTS.c.digest, RESULTS.c.rules, RESULTS.c.state, RESULTS.c.scanned)
    with engine.connect() as connection:
        # two statements: OR over both would read the whole table
        rows = [
            *connection.execute(select(*columns).where(RESULTS.c.digest == digest)),
            *connection.execute(select(*columns).where(RESULTS.c.digest.in_(parents))),
        ]
        if not rows:
            return None
        # without documents, which may be large, of results that do not count
        best = max(rows, key=lambda row: (row.rules == rules and row.state in _JUDGED, row.state in _JUDGED,
                                          row.rules == rules, row.state == State.SCANNED.value, row.digest == digest,
                                          row.scanned))  # fmt: skip
        found = connection.execute(
            select(RESULTS).where(RESULTS.c.digest == best.digest, RESULTS.c.rules == best.rules)
        ).one_or_none()
        if found is None:
            return None
        tags = connection.execute(
            select(REGISTRIES.c.host, TAGS.c.repository, TAGS.c.tag)
            .join(REGISTRIES, REGISTRIES.c.id == TAGS.c.registry)
            .where(TAGS.c.digest.in_({digest, best.digest}), TAGS.c.current)
            .order_by(REGISTRIES.c.host, TAGS.c.repository, TAGS.c.tag)
            .limit(_TAGS)
        ).all()
    names = tuple(f"{row.host}/{row.repository}:{row.tag}" for row in tags)
    return Known(found.rules, found.scanned, _result(found), names)
