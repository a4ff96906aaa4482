"""The service without sockets and without scans, for tests of its doors: what is asked for stays in the queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from scanner.limits import Limits
from scanner.serve.app import Application
from scanner.serve.doors import DOORS
from scanner.serve.logins import Safe
from scanner.serve.queue import Queue
from scanner.serve.registries import Registries
from scanner.serve.service import Service
from scanner.serve.settings import ServeSettings
from scanner.serve.tokens import Tokens, issue
from scanner.serve.verdicts import Verdicts
from scanner.serve.words import Policy, Scope, Ticket, TicketState
from scanner.store.database import Store, open_store

RULES = "sha256:rules+0"
REGISTRY = "registry.example:5000"


@dataclass(frozen=True)
class Client:
    """Calls the application as a server does."""

    application: Application

    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        """One request on a connection of its own."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.application)
            async with httpx.AsyncClient(transport=transport, base_url="http://leakscan.test") as client:
                return await client.request(method, url, **given)

        return asyncio.run(ask())

    def get(self, url: str, **given: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", url, **given)

    def post(self, url: str, **given: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", url, **given)


@dataclass(frozen=True)
class Doorway:
    """A service, a client that talks to it, and a token for each scope."""

    service: Service
    client: Client
    tokens: dict[Scope, str]

    def bearer(self, scope: Scope) -> dict[str, str]:
        """The header of a caller with that scope."""
        return {"Authorization": f"Bearer {self.tokens[scope]}"}

    @property
    def queued(self) -> list[Ticket]:
        """What waits to be scanned."""
        return self.service.queue.listed((TicketState.QUEUED,), 1000)


@contextlib.contextmanager
def doorway(
    folder: Path, settings: ServeSettings | None = None, store: Store | None = None, rules: str = RULES
) -> Iterator[Doorway]:
    """A service on a store in *folder*, or on the one that is given."""
    own = store or open_store(f"sqlite:///{folder}/store.sqlite3")
    chosen = settings or ServeSettings(frozenset({REGISTRY}))
    chosen = replace(chosen, cache_seconds=0.0)
    tokens = {scope: issue(folder / "tokens.toml", scope.value, frozenset({scope}), 24) for scope in Scope}
    service = Service(own, Verdicts(own, rules, chosen), Queue(own, rules, chosen), Policy(), chosen,
                      Registries(chosen, Limits()), Safe(b"k" * 32))  # fmt: skip
    application = Application(service, DOORS, Tokens(folder / "tokens.toml"))
    try:
        yield Doorway(service, Client(application), tokens)
    finally:
        service.pools.close()
        if store is None:
            own.dispose()
