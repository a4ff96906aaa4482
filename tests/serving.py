"""The service for tests: in this process on a store of its own, over real sockets, or as the program that users run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from scanner.limits import Limits
from scanner.serve.app import Application
from scanner.serve.doors import DOORS
from scanner.serve.logins import Safe
from scanner.serve.queue import Queue
from scanner.serve.registries import Registries
from scanner.serve.routing import Door
from scanner.serve.server import Server, listening
from scanner.serve.service import Service
from scanner.serve.settings import ServeSettings
from scanner.serve.tokens import Tokens
from scanner.serve.verdicts import Verdicts
from scanner.serve.words import Policy, Scope
from scanner.store.database import Store
from scanner.store.ledger import Ledger, Result, State

RULES = "rules 1"
HOST = "registry.example"
REPOSITORY = f"{HOST}/team/app"
PATIENCE = 120.0


def digest_of(word: str) -> str:
    """A digest for a word."""
    return f"sha256:{hashlib.sha256(word.encode()).hexdigest()}"


def finding(number: int = 1, **changed: Any) -> dict[str, Any]:
    """A finding as the store has it; no value is in it."""
    return {
        "id": f"{number:016x}", "rule_id": "github.personal-token", "title": "GitHub personal access token",
        "severity": "critical", "confidence": "high", "gated": True, "suppressed": None, "platform": None,
        "secret": {"fingerprint": f"{number:032x}", "preview": "ghp_…", "length": 40},
        "location": {"surface": "file", "path": "app/.env", "line": 1},
        "layer": {"digest": digest_of("layer"), "diff_id": digest_of("diff"), "index": 0}, "state": "live",
        "proof": {"command": f"leakscan verify registry:{REPOSITORY}@x"}, **changed,
    }  # fmt: skip


def image(word: str, *findings: dict[str, Any], platform: str = "linux/amd64") -> dict[str, Any]:
    """One image of a result."""
    return {"manifest_digest": digest_of(word), "platform": platform, "findings": list(findings)}


def recorded(
    store: Store, word: str, *images: dict[str, Any], state: State = State.SCANNED, final: bool = True,
    rules: str = RULES, reason: str = "", tags: Iterable[str] = (),
) -> str:  # fmt: skip
    """Write what a scan came to; returns the digest."""
    ledger = Ledger(store, HOST, rules, "run")
    ledger.record(Result(digest_of(word), state, final, REPOSITORY, reason=reason, images=images))
    ledger.point("team/app", [(tag, digest_of(word)) for tag in tags])
    return digest_of(word)


def service_on(store: Store, policy: Policy | None = None, **settings: Any) -> Service:
    """A service that scans nothing."""
    chosen = ServeSettings(**{"registries": frozenset({HOST}), "cache_seconds": 0.0, **settings})
    return Service(store, Verdicts(store, RULES, chosen), Queue(store, RULES, chosen), policy or Policy(), chosen,
                   Registries(chosen, Limits()), Safe(b"k" * 32))  # fmt: skip


def tokens_file(path: Path, **scopes: Iterable[str]) -> dict[str, str]:
    """A file of tokens by name, with scopes; a name with `expired` in it has ended. Returns the tokens."""
    tokens = {name: f"token of {name} {random.Random(name).random()}" for name in scopes}
    text = ""
    for name, words in scopes.items():
        end = datetime.now(UTC) + timedelta(hours=-1 if "expired" in name else 1)
        listed = ", ".join(f'"{word}"' for word in words)
        text += (f'[[token]]\nname = "{name}"\nscopes = [{listed}]\nexpires = {end:%Y-%m-%dT%H:%M:%SZ}\n'
                 f'sha256 = "{hashlib.sha256(tokens[name].encode()).hexdigest()}"\n')  # fmt: skip
    path.write_text(text)
    return tokens


def bearer(token: str) -> dict[str, str]:
    """The header that brings a token."""
    return {"Authorization": f"Bearer {token}"}


def application_of(
    service: Service, tokens: Path | None, doors: Iterable[Door] = DOORS, certified: Iterable[Scope] = ()
) -> Application:
    """The application of a service."""
    return Application(service, doors, Tokens(tokens), frozenset(certified))


@contextlib.contextmanager
def over_sockets(application: Application, service: Service, context: Any = None) -> Iterator[tuple[str, int]]:
    """The application behind the real server in a thread; gives the address."""
    with listening("127.0.0.1", 0) as sock:
        server = Server(application, service, context)
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        try:
            yield sock.getsockname()[:2]
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


# -- as users run it ---------------------------------------------------------------------------------------------------


@dataclass
class Program:
    """`leakscan serve` as a process of its own."""

    process: subprocess.Popen[str]
    port: int
    notes: Path

    def client(self, token: str, **more: Any) -> httpx.Client:
        """Asks it with a token."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=bearer(token), timeout=30.0, **more)

    def kill(self) -> None:
        """SIGKILL: as a machine that fails."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def program(
    home: Path, *options: str, env: Mapping[str, str] | None = None, port: int = 0
) -> Iterator[Program]:  # fmt: skip
    """The program, once it answers; killed at the end if it still runs."""
    notes = home / "notes"
    own = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home / "state"),
           "XDG_CACHE_HOME": os.environ.get("LEAKSCAN_TEST_CACHE", str(home / "cache")), **(env or {})}  # fmt: skip
    command = [sys.executable, "-m", "scanner", "serve", "--listen", f"127.0.0.1:{port}", "--jobs", "1", *options]
    with notes.open("a+") as written:
        at = written.tell()
        process = subprocess.Popen(command, env=own, stderr=written, text=True)
        try:
            yield Program(process, _port(process, notes, at), notes)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def _port(process: subprocess.Popen[str], notes: Path, at: int) -> int:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        text = notes.read_text()[at:]
        if "serving on" in text and text.endswith("\n"):
            return int(text.partition("serving on")[2].split()[0].rpartition(":")[2])
        time.sleep(0.05)
    raise AssertionError(f"it does not serve: {notes.read_text()[at:]}")


def awaited(what: Callable[[], Any]) -> Any:
    """What a function returns as soon as that is true."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it never came")
