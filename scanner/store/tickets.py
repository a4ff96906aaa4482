"""Scans that were asked for, in the store: claimed by lease, so that no death of a process loses one.

A claim and its state are one statement; an asker is told an id only after its commit.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from scanner.store.database import Store, patient, put
from scanner.store.ledger import now
from scanner.store.schema import LIVE, LOGINS, TICKETS

_LIVE = ("queued", "running")


class TicketState(StrEnum):
    """How far a scan that was asked for is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A scan that was asked for. Times are ISO 8601 in UTC, empty for what has not happened.

    Attributes:
        reference: the image as it was asked for; its registry is read.
        digest: the manifest or index.
        rules: the rule set that is to judge it.
        origin: who asked: the word of an endpoint.
        priority: lower numbers come first.
        reason: why it failed, for people.
        tries: how often it was begun.
        deaths: how often the process that scanned it died.
    """

    id: str
    reference: str
    digest: str
    rules: str
    origin: str
    priority: int
    state: TicketState
    asked: str
    started: str = ""
    ended: str = ""
    reason: str = ""
    tries: int = 0
    deaths: int = 0


class Tickets:
    """The table. *worker* names whoever holds a lease; leases are in seconds since the epoch, as hosts share no other
    clock."""

    def __init__(self, engine: Store) -> None:
        self._engine = engine

    @patient
    def ask(
        self, reference: str, digest: str, rules: str, priority: int, origin: str, limit: int | None,
        login: bytes | None = None,
    ) -> Ticket | None:  # fmt: skip
        """A ticket for a scan: the one that is on its way, if there is one, else a new one.

        *login* is kept until the ticket ends, sealed as it comes. Whoever brings one is read where he says.

        None if *limit* tickets of this priority or before it wait already: a flood of lesser ones keeps nobody out. No
        *limit*, and it is taken in any case.
        """
        row = {"id": secrets.token_hex(16), "reference": reference, "digest": digest, "rules": rules,
               "origin": origin[:64], "priority": priority, "state": TicketState.QUEUED.value, "asked": _precisely(),
               "started": "", "ended": "", "reason": "", "tries": 0, "deaths": 0, "lease": 0.0,
               "worker": ""}  # fmt: skip
        mine = (TICKETS.c.digest == digest) & (TICKETS.c.rules == rules) & TICKETS.c.state.in_(_LIVE)
        with self._engine.connect() as connection, connection.begin() as transaction:
            put(connection, TICKETS, [row], where=LIVE, keys=("digest", "rules"))
            found = connection.execute(select(TICKETS).where(mine)).one()
            if found.id == row["id"]:
                queued = TICKETS.c.state == TicketState.QUEUED.value
                before = select(func.count()).where(queued, TICKETS.c.priority <= priority)
                if limit is not None and connection.execute(before).scalar_one() > limit:
                    transaction.rollback()
                    return None
            elif priority < found.priority and found.state == TicketState.QUEUED.value:
                connection.execute(update(TICKETS).where(TICKETS.c.id == found.id).values(priority=priority))
                found = connection.execute(select(TICKETS).where(TICKETS.c.id == found.id)).one()
            if login is not None:
                put(connection, LOGINS, [{"ticket": found.id, "sealed": login}], update=("sealed",))
                if found.reference != reference:
                    connection.execute(update(TICKETS).where(TICKETS.c.id == found.id).values(reference=reference))
        return _ticket(found)

    @patient
    def login(self, id_: str) -> bytes | None:
        """What was handed over for a ticket that has not ended, sealed."""
        with self._engine.connect() as connection:
            found = connection.execute(select(LOGINS.c.sealed).where(LOGINS.c.ticket == id_)).scalar_one_or_none()
        return None if found is None else bytes(found)

    @patient
    def get(self, id_: str) -> Ticket | None:
        """The ticket of an id, None if there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(select(TICKETS).where(TICKETS.c.id == id_)).one_or_none()
        return None if row is None else _ticket(row)

    @patient
    def claim(self, worker: str, rules: str, until: float) -> Ticket | None:
        """The first ticket in the queue that is for *rules*, now running until its lease ends; None if none waits."""
        first = (
            select(TICKETS.c.id)
            .where(TICKETS.c.state == TicketState.QUEUED.value, TICKETS.c.rules == rules)
            .order_by(TICKETS.c.priority, TICKETS.c.asked)
            .limit(1)
            .with_for_update(skip_locked=True)  # PostgreSQL's; SQLite has one writer at a time
            .scalar_subquery()
        )
        with self._engine.begin() as connection:
            row = connection.execute(
                update(TICKETS)
                .where(TICKETS.c.id == first, TICKETS.c.state == TicketState.QUEUED.value)
                .values(state=TicketState.RUNNING.value, started=now(), lease=until, worker=worker,
                        tries=TICKETS.c.tries + 1)
                .returning(*TICKETS.c)
            ).one_or_none()  # fmt: skip
        return None if row is None else _ticket(row)

    @patient
    def extend(self, id_: str, worker: str, until: float) -> bool:
        """Hold a ticket longer; False if it is somebody else's by now."""
        with self._engine.begin() as connection:
            return _held(connection, id_, worker, {"lease": until})

    @patient
    def end(self, id_: str, worker: str, state: TicketState, reason: str = "") -> bool:
        """A ticket's last state; False if it is somebody else's by now."""
        values = {"state": state.value, "ended": now(), "reason": reason, "lease": 0.0, "worker": ""}
        with self._engine.begin() as connection:
            held = _held(connection, id_, worker, values)
            if held:
                _drop_logins(connection, [id_])
            return held

    @patient
    def release(self, id_: str, worker: str, died: bool) -> bool:
        """Put a ticket back into the queue; *died* if the process that scanned it did."""
        values = {"state": TicketState.QUEUED.value, "lease": 0.0, "worker": "",
                  "deaths": TICKETS.c.deaths + int(died)}  # fmt: skip
        with self._engine.begin() as connection:
            return _held(connection, id_, worker, values)

    @patient
    def expire(self, time: float, longest: float) -> int:
        """Put back what is held by leases that ended, or that end later than any can: clocks are set back at times.

        Returns how many.
        """
        over = (TICKETS.c.lease < time) | (TICKETS.c.lease > time + longest)
        with self._engine.begin() as connection:
            return connection.execute(
                update(TICKETS)
                .where(TICKETS.c.state == TicketState.RUNNING.value, over)
                .values(state=TicketState.QUEUED.value, lease=0.0, worker="", deaths=TICKETS.c.deaths + 1)
            ).rowcount

    @patient
    def give_up(self, deaths: int, reason: str) -> list[Ticket]:
        """End what killed its process so often; returns these tickets."""
        with self._engine.begin() as connection:
            rows = connection.execute(
                update(TICKETS)
                .where(TICKETS.c.state == TicketState.QUEUED.value, TICKETS.c.deaths >= deaths)
                .values(state=TicketState.FAILED.value, ended=now(), reason=reason)
                .returning(*TICKETS.c)
            ).all()
            _drop_logins(connection, [row.id for row in rows])
        return [_ticket(row) for row in rows]

    @patient
    def free(self) -> int:
        """Put back all that is held: for whoever knows that nobody else is at work."""
        with self._engine.begin() as connection:
            return connection.execute(
                update(TICKETS)
                .where(TICKETS.c.state == TicketState.RUNNING.value)
                .values(state=TicketState.QUEUED.value, lease=0.0, worker="")
            ).rowcount

    @patient
    def adopt(self, rules: str, seconds: float) -> int:
        """Have what has waited *seconds* for another rule set judged by *rules*: nobody may be left who has that one.

        Ids go on to count. Of an image that waits for several rule sets one ticket remains. Returns how many.
        """
        before = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="microseconds")
        others = (TICKETS.c.state == TicketState.QUEUED.value) & (TICKETS.c.rules != rules)
        adopted = 0
        with self._engine.begin() as connection:
            rows = connection.execute(
                select(TICKETS.c.id, TICKETS.c.digest)
                .where(others, TICKETS.c.asked <= before)
                .order_by(TICKETS.c.priority, TICKETS.c.asked)
            ).all()
            for row in rows:
                mine = TICKETS.c.id == row.id
                there = (TICKETS.c.digest == row.digest) & (TICKETS.c.rules == rules) & TICKETS.c.state.in_(_LIVE)
                if connection.execute(select(TICKETS.c.id).where(there)).first() is None:
                    adopted += connection.execute(update(TICKETS).where(mine, others).values(rules=rules)).rowcount
                    continue
                values = {"state": TicketState.FAILED.value, "ended": now(), "reason": "it was asked for anew"}
                if connection.execute(update(TICKETS).where(mine, others).values(**values)).rowcount:
                    _drop_logins(connection, [row.id])
        return adopted

    @patient
    def forget(self, days: int) -> int:
        """Drop tickets that ended so many days ago; returns how many."""
        before = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
        with self._engine.begin() as connection:
            return connection.execute(delete(TICKETS).where(TICKETS.c.ended != "", TICKETS.c.ended < before)).rowcount

    @patient
    def depth(self) -> dict[tuple[int, str], tuple[int, str]]:
        """(priority, state) → how many are queued or running, and since when the oldest."""
        query = (
            select(TICKETS.c.priority, TICKETS.c.state, func.count(), func.min(TICKETS.c.asked))
            .where(TICKETS.c.state.in_(_LIVE))
            .group_by(TICKETS.c.priority, TICKETS.c.state)
        )
        with self._engine.connect() as connection:
            return {(row[0], row[1]): (row[2], row[3]) for row in connection.execute(query)}

    @patient
    def listed(self, states: tuple[TicketState, ...], limit: int) -> list[Ticket]:
        """Tickets in these states: those that are on their way in the order of the queue, others the latest first."""
        live = all(state.value in _LIVE for state in states)
        order = (TICKETS.c.priority, TICKETS.c.asked) if live else (TICKETS.c.ended.desc(), TICKETS.c.asked.desc())
        query = select(TICKETS).where(TICKETS.c.state.in_([state.value for state in states])).order_by(*order)
        with self._engine.connect() as connection:
            return [_ticket(row) for row in connection.execute(query.limit(limit))]


def _precisely() -> str:
    """The time as the queue orders by it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _held(connection: Connection, id_: str, worker: str, values: dict[str, Any]) -> bool:
    mine = (TICKETS.c.id == id_) & (TICKETS.c.worker == worker) & (TICKETS.c.state == TicketState.RUNNING.value)
    return bool(connection.execute(update(TICKETS).where(mine).values(**values)).rowcount)


def _drop_logins(connection: Connection, ids: list[str]) -> None:
    if ids:
        connection.execute(delete(LOGINS).where(LOGINS.c.ticket.in_(ids)))


def _ticket(row: Any) -> Ticket:
    return Ticket(row.id, row.reference, row.digest, row.rules, row.origin, row.priority, TicketState(row.state),
                  row.asked, row.started, row.ended, row.reason, row.tries, row.deaths)  # fmt: skip
