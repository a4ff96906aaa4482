"""A service over a store that a real audit filled: one image that leaks, one that is clean, one not read whole."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import random
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from scanner import detection
from scanner.audit.run import Display as AuditDisplay
from scanner.audit.run import Wanted, audit, rule_set
from scanner.audit.targets import Filters, parse_target
from scanner.image.registry.client import Client
from scanner.image.registry.settings import Settings
from scanner.limits import Limits
from scanner.request import Detection
from scanner.serve.app import Application
from scanner.serve.doors import DOORS
from scanner.serve.logins import Safe
from scanner.serve.queue import Queue
from scanner.serve.registries import Registries
from scanner.serve.service import Service
from scanner.serve.settings import ServeSettings
from scanner.serve.tokens import Tokens, issue
from scanner.serve.verdicts import Verdicts
from scanner.serve.words import Policy, Scope
from scanner.store.database import Store, open_store
from testimages.values import github_token
from tests.builders import image_of, layer, sha256, whiteout
from tests.registries import MemoryRegistry, memory_registry

KEY = b"k" * 32
UNKNOWN = f"sha256:{'0' * 64}"


def token(name: str) -> str:
    """A fake credential."""
    return github_token(random.Random(f"admitting {name}"))


def leaking(name: str = "leaky") -> Any:
    """An image whose second layer holds a credential that the third deletes."""
    return image_of(
        layer({"etc/os-release": "NAME=base\n"}),
        layer({"app/.env": f"GITHUB_TOKEN={token(name)}\n"}, created_by="COPY app /app"),
        layer(whiteout("app/.env"), created_by="RUN rm /app/.env"),
    )


@dataclass
class Asker:
    """Sends requests to an application in this process, each in a loop of its own."""

    application: Application
    service: Service
    token: str

    def ask(self, method: str, path: str, *, authorized: bool = True, **named: Any) -> httpx.Response:
        """The answer to one request."""
        headers = {**({"Authorization": f"Bearer {self.token}"} if authorized else {}), **named.pop("headers", {})}

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.application, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://leakscan", timeout=30) as client:
                return await client.request(method, path, headers=headers, **named)

        return asyncio.run(once())

    def post(self, path: str, **named: Any) -> httpx.Response:
        """POST."""
        return self.ask("POST", path, **named)

    def get(self, path: str, **named: Any) -> httpx.Response:
        """GET."""
        return self.ask("GET", path, **named)


@dataclass
class Grounds:
    """A registry in memory, and a store with what an audit found in it.

    Attributes:
        digests: of its images by name.
    """

    registry: MemoryRegistry
    store: Store
    rules: Detection
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def rule_set(self) -> str:
        """What results are kept under."""
        return rule_set(self.rules, None, Limits())

    def reference(self, name: str) -> str:
        """An image by its tag."""
        return f"{self.registry.address}/team/{name}:1"

    def put(self, name: str, image: Any) -> str:
        """Add an image that no audit has seen; its digest."""
        self.registry.put(f"team/{name}", "1", image)
        self.digests[name] = sha256(image.manifest())
        return self.digests[name]

    def service(self, policy: Policy | None = None, **settings: Any) -> Service:
        """A service whose queue nobody works on."""
        chosen = replace(ServeSettings(registries=frozenset({self.registry.address})), **settings)
        return Service(
            self.store, Verdicts(self.store, self.rule_set, chosen), Queue(self.store, self.rule_set, chosen),
            policy or Policy(), chosen, Registries(chosen, Limits()), Safe(KEY),
        )  # fmt: skip

    @contextlib.contextmanager
    def client(self, *scopes: Scope, policy: Policy | None = None, **settings: Any) -> Iterator[Asker]:
        """Asks a service with a token of these scopes."""
        service = self.service(policy, **settings)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "tokens.toml"
            value = issue(file, "tests", frozenset(scopes), 1)
            try:
                yield Asker(Application(service, DOORS, Tokens(file)), service, value)
            finally:
                service.pools.close()


@contextlib.contextmanager
def grounds() -> Iterator[Grounds]:
    """The registry and the store."""
    with tempfile.TemporaryDirectory() as folder, memory_registry() as registry:
        rules = detection.load({**os.environ, "XDG_CACHE_HOME": f"{folder}/cache"})
        store = open_store(f"sqlite:///{folder}/audit.sqlite3")
        found = Grounds(registry, store, rules)
        cut = gzip.compress(secrets.token_bytes(5000))[:-500]
        found.put("leaky", leaking())
        found.put("clean", image_of(layer({"etc/os-release": "NAME=base\n"})))
        found.put("partial", image_of(layer({"app/data.json.gz": cut})))
        target = parse_target(registry.address)
        client = Client.connect(target.registry, Settings(), Limits(), {"HOME": "/nowhere"})
        try:
            audit(client, target, store, rules, Wanted(Limits(), 1, KEY, Filters()), AuditDisplay())
        finally:
            client.close()
        yield found
        store.dispose()
