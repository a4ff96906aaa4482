"""Audits on PostgreSQL, by workers that are killed: the same results as one process and SQLite give."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from scanner.errors import StoreError
from scanner.store.database import open_store
from scanner.store.schema import METADATA
from tests.engine import Unavailable
from tests.postgres import Postgres, own_postgres
from tests.registries import MemoryRegistry, memory_registry
from tests.test_audit import filled

Leakscan = Callable[..., "subprocess.CompletedProcess[str]"]
Worker = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server of the test's own. Skips with the reason where none can be started."""
    try:
        context = own_postgres()
        server = context.__enter__()
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        yield server
    finally:
        context.__exit__(None, None, None)


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    """A registry in memory."""
    with memory_registry() as found:
        yield found


@pytest.fixture
def environment(registry: MemoryRegistry, postgres: Postgres) -> dict[str, str]:
    """What auditor and workers share."""
    return {"LEAKSCAN_REGISTRY_HTTP": registry.address, "LEAKSCAN_STORE": postgres.url, "LEAKSCAN_KEY": "tests"}


@pytest.fixture
def worker(environment: dict[str, str]) -> Iterator[Worker]:
    """Start workers; those that live are stopped in the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "scanner", "worker", "--jobs", "1"]
        started.append(subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def audited(leakscan: Leakscan, registry: MemoryRegistry, env: dict[str, str], *more: str) -> subprocess.Popen[bytes]:
    """An audit on its way; its report goes to its stdout."""
    del leakscan
    command = [sys.executable, "-m", "scanner", "audit", registry.address, "--jobs", "1", "--format", "json", *more]
    return subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.PIPE)


def test_the_schema_is_the_same(postgres: Postgres) -> None:
    """The migrations make on PostgreSQL what the code expects."""
    engine = open_store(postgres.url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_one_process_on_postgres(
    registry: MemoryRegistry, environment: dict[str, str], leakscan: Leakscan, tmp_path: Path
) -> None:
    """The store makes no difference."""
    filled(registry, 12)

    here = leakscan("audit", registry.address, "--format", "json", env=environment)
    there = leakscan("audit", registry.address, "--format", "json",
                     env={**environment, "LEAKSCAN_STORE": f"sqlite:///{tmp_path}/a.sqlite3"})  # fmt: skip

    assert here.returncode == 1, here.stderr
    assert json.loads(here.stdout) == json.loads(there.stdout)


def test_workers_that_are_killed(
    registry: MemoryRegistry, postgres: Postgres, environment: dict[str, str], leakscan: Leakscan, tmp_path: Path,
    worker: Worker,
) -> None:  # fmt: skip
    """Two workers, killed in turn at moments of no choice of their own, and a server that crashes: nothing is lost,
    nothing is there twice, and what is left undisturbed reads no blob twice."""
    filled(registry, 30)
    calm = leakscan("audit", registry.address, "--jobs", "1", "--format", "json",
                    env={**environment, "LEAKSCAN_STORE": f"sqlite:///{tmp_path}/calm.sqlite3"})  # fmt: skip
    registry.seen.clear()
    audit = audited(leakscan, registry, environment, "--distribute")
    running = [worker(), worker()]
    source = random.Random("workers")
    for number in range(5):
        wanted = len(registry.seen) + source.randrange(3, 25)
        while len(registry.seen) < wanted and audit.poll() is None:
            time.sleep(0.01)
        running[0].kill()
        running[0].wait()
        running = [running[1], worker()]
        if number == 2:
            postgres.stop()
            postgres.start()
    out, _ = audit.communicate(timeout=280)

    assert audit.returncode == calm.returncode == 1
    assert json.loads(out) == json.loads(calm.stdout)


def test_workers_share_the_work(
    registry: MemoryRegistry, environment: dict[str, str], leakscan: Leakscan, worker: Worker
) -> None:
    """Each blob is read once by all of them together, though they start on images with the same base."""
    leaks = filled(registry, 16)
    audit = audited(leakscan, registry, environment, "--distribute")
    for _ in range(2):
        worker()
    out, _ = audit.communicate(timeout=280)

    report = json.loads(out)
    assert report["counts"] == {"scanned": 16, "incomplete": 0, "failed": 0, "not_reached": 0}
    assert {image["reference"] for image in report["images"] if image["verdict"] == "leaked"} == set(leaks)
    assert set(Counter(registry.paths("/blobs/")).values()) == {1}


def test_a_worker_with_another_key(
    registry: MemoryRegistry, environment: dict[str, str], leakscan: Leakscan, worker: Worker
) -> None:
    """Its fingerprints would be of no use: the images fail, and the reason says what to do."""
    filled(registry, 1)
    worker()
    audit = audited(leakscan, registry, {**environment, "LEAKSCAN_KEY": "another"}, "--distribute")
    out, _ = audit.communicate(timeout=120)

    [image] = json.loads(out)["images"]
    assert image["state"] == "failed" and "LEAKSCAN_KEY" in image["reason"]


def test_workers_need_postgres(leakscan: Leakscan, tmp_path: Path, registry: MemoryRegistry) -> None:
    """SQLite is told to be no store for workers, by both commands."""
    environment = {"LEAKSCAN_STORE": f"sqlite:///{tmp_path}/a.sqlite3", "LEAKSCAN_REGISTRY_HTTP": registry.address}

    for command in (("worker",), ("audit", registry.address, "--distribute")):
        done = leakscan(*command, env=environment)
        assert (done.returncode, "PostgreSQL" in done.stderr) == (3, True)
    with pytest.raises(StoreError):
        open_store("nonsense://")
