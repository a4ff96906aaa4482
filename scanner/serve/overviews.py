"""The overview of everything in the store, made now and then: a large one is read for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from scanner.audit.columns import Column, history
from scanner.audit.leaks import Image, layers_of, leaks_of
from scanner.audit.overview import Overview, overview
from scanner.audit.rows import built, judged
from scanner.evidence import Severity
from scanner.store.database import Store
from scanner.store.ledger import spans
from scanner.store.views import Seen, current

#: Rows of a table.
ROWS = 100
_LEAST_SECONDS, _SHARE = 5.0, 20.0


@dataclass(frozen=True, slots=True)
class Made:
    """An overview, with what there was over time. *at*: when it was made, for people."""

    overview: Overview
    seen: tuple[Column, ...]
    at: str


class Overviews:
    """The latest overview; made anew when it is old, by one thread at a time, for a twentieth of the time at most."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._made: Made | None = None
        self._until = 0.0

    def of(self, store: Store, rules: str, fail_on: Severity | None) -> Made:
        """The overview. Blocks: for a thread. Raises DatabaseError."""
        made = self._made
        if made is not None and self._clock() < self._until:
            return made
        if made is not None and not self._lock.acquire(blocking=False):
            return made  # somebody makes it now; the one before will do
        if made is None:
            self._lock.acquire()
        try:
            if self._made is None or self._clock() >= self._until:
                begun = self._clock()
                now = datetime.now(UTC)
                self._made = Made(
                    overview(images(current(store, rules), rules, fail_on), ROWS),
                    history(spans(store, rules), now.date()),
                    now.strftime("%Y-%m-%d %H:%M:%S UTC"),
                )
                ended = self._clock()
                self._until = ended + max(_LEAST_SECONDS, _SHARE * (ended - begun))
            return self._made
        finally:
            self._lock.release()


def images(seen: Iterator[Seen] | list[Seen], rules: str, fail_on: Severity | None) -> Iterator[Image]:
    """Tags of the store as images, with the gate of the service."""
    for each in seen:
        yield Image(
            reference=each.reference,
            repository=each.repository,
            digest=each.digest,
            state=each.state,
            reason=each.reason,
            created=built(each.created),
            leaks=tuple(leaks_of(judged(each.images, fail_on))),
            layers=layers_of(each.images),
            stale=bool(each.rules) and each.rules != rules,
        )
