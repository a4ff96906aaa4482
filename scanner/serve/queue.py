"""Scans that were asked for: bounded, one for each image, the most urgent first, none lost to a process that dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from scanner.errors import LeakscanError
from scanner.serve.settings import ServeSettings
from scanner.serve.words import Priority, Ticket, TicketState
from scanner.store.database import Store
from scanner.store.tickets import Tickets

_DEATHS = 3  # of processes that scanned an image, and it is given up
_GIVEN_UP = f"the process that scanned it died {_DEATHS} times"


class QueueFull(LeakscanError):
    """So many scans wait that no more are taken."""


class Queue:
    """The tickets of one rule set. Every method may raise DatabaseError.

    Attributes:
        asked: set whenever something was asked for in this process.
    """

    def __init__(
        self, store: Store, rule_set: str, settings: ServeSettings, clock: Callable[[], float] = time.time
    ) -> None:
        self._tickets, self._rules, self._settings, self._clock = Tickets(store), rule_set, settings, clock
        self.asked = threading.Event()

    def ask(
        self, reference: str, digest: str, priority: Priority, origin: str, login: bytes | None = None,
        admitted: bool = False,
    ) -> Ticket:  # fmt: skip
        """Have an image scanned, unless that is on its way: then that ticket, which becomes as urgent as this asker.

        Args:
            reference: HOST/NAME[:TAG][@DIGEST], where it can be read.
            digest: what is to be read there.
            origin: a word that tells which endpoint asks.
            login: for its registry, sealed; kept until the ticket ends.
            admitted: it takes the place of a ticket that was taken, and is not turned away.

        Raises:
            QueueFull: too many wait.
        """
        limit = None if admitted else self._settings.queue_limit
        found = self._tickets.ask(reference, digest, self._rules, priority, origin, limit, login)
        if found is None:
            raise QueueFull(f"{self._settings.queue_limit} scans wait, and no more are taken", "Ask again later.")
        self.asked.set()
        return found

    def ticket(self, id_: str) -> Ticket | None:
        """The ticket of an id, None if there is none."""
        return self._tickets.get(id_)

    def login(self, ticket: Ticket) -> bytes | None:
        """What was handed over with a ticket for its registry, sealed; None if nothing was."""
        return self._tickets.login(ticket.id)

    def claim(self, worker: str) -> Ticket | None:
        """The most urgent ticket, held by *worker* for a while; None if none waits."""
        return self._tickets.claim(worker, self._rules, self._clock() + self._settings.lease_seconds)

    def hold(self, ticket: Ticket, worker: str) -> bool:
        """Hold it for longer; False if it is somebody else's by now."""
        return self._tickets.extend(ticket.id, worker, self._clock() + self._settings.lease_seconds)

    def done(self, ticket: Ticket, worker: str) -> bool:
        """Its image was scanned; False if the ticket is somebody else's by now."""
        return self._tickets.end(ticket.id, worker, TicketState.DONE)

    def failed(self, ticket: Ticket, worker: str, reason: str) -> bool:
        """Its image cannot be read; False if the ticket is somebody else's by now."""
        return self._tickets.end(ticket.id, worker, TicketState.FAILED, reason)

    def back(self, ticket: Ticket, worker: str, died: bool) -> None:
        """Somebody else is to scan it; *died* if the process that scanned it did."""
        self._tickets.release(ticket.id, worker, died)

    def sweep(self) -> list[Ticket]:
        """Put back what dead processes held, end what killed too many of them; returns these."""
        self._tickets.expire(self._clock(), 2 * self._settings.lease_seconds)
        return self._tickets.give_up(_DEATHS, _GIVEN_UP)

    def free(self) -> int:
        """Put back all that is held, for whoever knows that nobody else is at work; returns how many."""
        return self._tickets.free()

    def adopt(self, seconds: float) -> int:
        """Take over what has waited *seconds* for another rule set, as after an upgrade nobody else will.

        Returns how many.
        """
        return self._tickets.adopt(self._rules, seconds)

    def tidy(self) -> int:
        """Drop tickets that ended long ago; returns how many."""
        return self._tickets.forget(self._settings.keep_days)

    def depth(self) -> dict[tuple[int, str], tuple[int, str]]:
        """(priority, state) → how many are queued or running, and since when (ISO 8601) the oldest."""
        return self._tickets.depth()

    def listed(self, states: tuple[TicketState, ...], limit: int = 100) -> list[Ticket]:
        """Tickets in these states: those on their way as they will be scanned, others the latest first."""
        return self._tickets.listed(states, limit)
