"""Audits whose processes are killed at random moments while they run, and whose server crashes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text as sql

from scanner.store.database import open_store
from tests.postgres import Postgres

_COMMAND = (sys.executable, "-m", "scanner")
_LONGEST_SECONDS = 900.0  # of one audit, however often it was killed


@dataclass
class Disturbed:
    """What became of audits that were killed.

    Attributes:
        killed: how many of auditor and workers.
        crashes: of the server.
        reports: the JSON report that each audit ended with.
        rows: of each audit's store, results and sightings in the end.
        gave_up: what auditors said that ended without a report, and were started again: the server was away when they
            began.
    """

    killed: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    reports: list[Any] = field(default_factory=list)
    rows: list[dict[str, int]] = field(default_factory=list)
    gave_up: list[str] = field(default_factory=list)


def rows_of(url: str) -> dict[str, int]:
    """How many results and sightings a store has."""
    engine = open_store(url)
    with engine.connect() as connection:
        found = {name: connection.execute(sql(f"select count(*) from {name}")).scalar_one()  # noqa: S608
                 for name in ("results", "sightings")}  # fmt: skip
    engine.dispose()
    return found


def disturbed(
    address: str, postgres: Postgres, environment: Mapping[str, str], *, kills: int, crashes: int, seed: int = 1
) -> Disturbed:
    """Audit a registry with two workers, again from an empty store whenever one ends, until *kills* processes were
    killed with SIGKILL; each is started again at once, and the last audit runs to its end.

    Args:
        crashes: how often the server is stopped as a crash does, and started again, spread over the kills.
    """
    source, found = random.Random(seed), Disturbed()
    moments = {kills * (each + 1) // (crashes + 1) for each in range(crashes)}
    while not found.reports or found.killed.total() < kills:
        reset(postgres)
        with _Audit(address, environment) as audit:
            while audit.running() and found.killed.total() < kills:
                audit.wait(source.uniform(0.05, 4.0))
                if not audit.running():
                    break
                found.killed[audit.kill(source)] += 1
                if found.killed.total() in moments:
                    moments.discard(found.killed.total())
                    postgres.stop()
                    postgres.start()
                    found.crashes += 1
            found.reports.append(audit.report())
            found.gave_up += audit.gave_up
            found.rows.append(rows_of(postgres.url))
    return found


def reset(postgres: Postgres) -> None:
    """Make the database empty."""
    engine = open_store(postgres.url)
    with engine.begin() as connection:
        connection.execute(sql("drop schema public cascade"))
        connection.execute(sql("create schema public"))
    engine.dispose()


class _Audit:
    """An auditor and two workers on their way."""

    def __init__(self, address: str, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self._arguments = ("audit", address, "--jobs", "1", "--distribute", "--quiet", "--format", "json")
        self._closing = contextlib.ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.gave_up: list[str] = []

    def __enter__(self) -> _Audit:
        self._out = self._closing.enter_context(tempfile.TemporaryFile())
        self._errors = self._closing.enter_context(tempfile.TemporaryFile())
        for name in ("auditor", "worker 1", "worker 2"):
            self._start(name)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._closing.close()

    def _start(self, name: str) -> None:
        arguments = self._arguments if name == "auditor" else ("worker", "--jobs", "1")
        out, errors = (self._out, self._errors) if name == "auditor" else (subprocess.DEVNULL, subprocess.DEVNULL)
        if name == "auditor":
            for file in (self._out, self._errors):
                file.seek(0)
                file.truncate()
        self._processes[name] = subprocess.Popen(
            [*_COMMAND, *arguments], env=self._environment, stdout=out, stderr=errors
        )

    def running(self) -> bool:
        """Whether the auditor has not ended with a report. One that gave up is started again."""
        if self._processes["auditor"].poll() is None:
            return True
        if os.fstat(self._out.fileno()).st_size:
            return False
        self._errors.seek(0)
        self.gave_up.append(self._errors.read().decode())
        self._start("auditor")
        return True

    def wait(self, seconds: float) -> None:
        """Return after a while, or when the auditor has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._processes["auditor"].wait(seconds)

    def kill(self, source: random.Random) -> str:
        """Kill one of them, and start it again; its kind."""
        name = source.choice(sorted(self._processes))
        self._processes[name].kill()
        self._processes[name].wait()
        self._start(name)
        return name.partition(" ")[0]

    def report(self) -> Any:
        """The report, once there is one; workers that have given up meanwhile are started again."""
        until = time.monotonic() + _LONGEST_SECONDS
        while self.running():
            if time.monotonic() > until:
                raise TimeoutError("the audit has not ended")
            self.wait(0.5)
            for name in [name for name, process in self._processes.items() if process.poll() is not None]:
                if name != "auditor":
                    self._start(name)
        self._out.seek(0)
        return json.loads(self._out.read())
