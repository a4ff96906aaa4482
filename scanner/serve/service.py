"""What every endpoint gets: verdicts, queue, policy, settings; what blocks runs in threads, look-ups in their own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from scanner.image.registry.credentials import Login
from scanner.serve.counters import Counters
from scanner.serve.logins import Safe
from scanner.serve.overviews import Overviews
from scanner.serve.queue import Queue
from scanner.serve.registries import Registries
from scanner.serve.settings import ServeSettings
from scanner.serve.verdicts import Verdicts
from scanner.serve.words import Policy, Priority, Ticket, Verdict
from scanner.store.database import Store

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Pools:
    """Threads for what blocks: no kind of work takes those of another."""

    lookups: Executor = field(default_factory=lambda: ThreadPoolExecutor(4, "lookup"))
    writes: Executor = field(default_factory=lambda: ThreadPoolExecutor(2, "write"))
    registries: Executor = field(default_factory=lambda: ThreadPoolExecutor(8, "registry"))
    pages: Executor = field(default_factory=lambda: ThreadPoolExecutor(2, "page"))

    def close(self) -> None:
        """Wait for nobody."""
        for pool in (self.lookups, self.writes, self.registries, self.pages):
            pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Service:
    """The service as endpoints see it.

    Attributes:
        pending: look-ups that are on their way.
        draining: set when the service is about to end.
        clock: monotonic seconds.
    """

    store: Store
    verdicts: Verdicts
    queue: Queue
    policy: Policy
    settings: ServeSettings
    registries: Registries
    safe: Safe
    overviews: Overviews = field(default_factory=Overviews)
    counters: Counters = field(default_factory=Counters)
    pools: Pools = field(default_factory=Pools)
    pending: dict[tuple[int, str], asyncio.Future[Verdict]] = field(default_factory=dict)
    draining: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic

    async def verdict(self, digest: str) -> Verdict:
        """The answer for a manifest or index (oci.is_digest must hold). Raises DatabaseError."""
        found = self.verdicts.cached(digest)
        if found is None:
            found = await asyncio.shield(self._looking_up(digest))
        elif self.verdicts.ages(digest):
            self._looking_up(digest)  # for whoever asks next: nobody waits for it
        self.counters.add("leakscan_verdicts_total", standing=found.standing.value)
        return found

    def _looking_up(self, digest: str) -> asyncio.Future[Verdict]:
        """One look-up of a digest at a time, however many wait for it."""
        key = (self.verdicts.writes, digest)  # one that began before something was written is not joined
        found = self.pending.get(key)
        if found is None:
            found = asyncio.get_running_loop().run_in_executor(self.pools.lookups, self.verdicts.looked_up, digest)
            self.pending[key] = found
            found.add_done_callback(lambda done: self._looked(key, done))
        return found

    def _looked(self, key: tuple[int, str], done: asyncio.Future[Verdict]) -> None:
        self.pending.pop(key, None)
        if not done.cancelled() and done.exception() is not None:  # asked for, so that it does not count as forgotten
            self.counters.add("leakscan_store_errors_total")

    async def ask(
        self, reference: str, digest: str, priority: Priority, origin: str, login: Login | None = None
    ) -> Ticket:
        """Have an image scanned, as `Queue.ask`; *login* is for its registry, for this scan alone, and kept sealed.

        Raises:
            QueueFull: too many wait.
            InvalidReference, RegistryRefused: it leads nowhere, or nowhere that may be read.
            DatabaseError: the store cannot be written.
        """
        repository, _ = self.registries.repository(reference)
        sealed = None if login is None else self.safe.seal(login, f"{repository}@{digest}")
        ticket = await _run(self.pools.writes, self.queue.ask, reference, digest, priority, origin, sealed)
        self.counters.add("leakscan_asked_total", origin=origin)
        return ticket

    async def resolve(self, reference: str) -> tuple[str, str]:
        """(HOST/NAME@DIGEST, digest) of a reference, as `Registries.resolve`."""
        return await _run(self.pools.registries, self.registries.resolve, reference)

    async def looked_up(
        self, function: Callable[_Given, _Result], /, *args: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """What a function that reads the store returns, run in a thread."""
        return await _run(self.pools.lookups, function, *args, **named)

    async def shown(
        self, function: Callable[_Given, _Result], /, *args: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """What a function that makes a page returns, run in a thread: pages keep no look-up waiting."""
        return await _run(self.pools.pages, function, *args, **named)

    async def written(
        self, function: Callable[_Given, _Result], /, *args: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """What a function that writes the store returns, run in a thread."""
        return await _run(self.pools.writes, function, *args, **named)


async def _run(
    pool: Executor, function: Callable[_Given, _Result], /, *args: _Given.args, **named: _Given.kwargs
) -> _Result:
    return await asyncio.get_running_loop().run_in_executor(pool, lambda: function(*args, **named))
