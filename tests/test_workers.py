"""Audits on PostgreSQL, by workers that are killed: the same results as one process and SQLite give."""

from __future__ import annotations

import json
import os
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
from scanner.store.database import Store, open_store
from scanner.store.database import text as sql
from scanner.store.schema import METADATA
from tests.kills import disturbed, rows_of
from tests.plenty import plenty
from tests.postgres import Postgres, own_postgres
from tests.registries import MemoryRegistry, memory_registry
from tests.starting import or_skip
from tests.test_audit import filled

Leakscan = Callable[..., "subprocess.CompletedProcess[str]"]
Worker = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server of the test's own. Skips with the reason where none can be started."""
    with or_skip(own_postgres()) as server:
        yield server


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


def test_a_store_that_is_away_is_waited_for(
    registry: MemoryRegistry, postgres: Postgres, environment: dict[str, str], worker: Worker,
) -> None:  # fmt: skip
    """An audit and a worker that start before their server say so, and do their work once it is there."""
    filled(registry, 3)
    postgres.stop()

    command = [sys.executable, "-m", "scanner", "audit", registry.address, "--distribute", "--format", "json"]
    waiting = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)  # fmt: skip
    worker()
    assert waiting.stderr is not None
    told = waiting.stderr.readline().decode()
    postgres.start()
    report, errors = waiting.communicate(timeout=120)

    assert "the store does not answer; it is waited for" in told
    assert (waiting.returncode, json.loads(report)["counts"]["scanned"]) == (0, 3), errors


def test_a_wrong_name_is_not_waited_for(postgres: Postgres) -> None:
    """A server that refuses a database is there: that is an error at once, and nobody is told to wait."""
    told: list[str] = []
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(postgres.url.replace("/postgres?", "/nowhere?"), away=lambda: told.append("away"))
    assert told == []


def test_what_is_killed(
    registry: MemoryRegistry, postgres: Postgres, environment: dict[str, str], leakscan: Leakscan, tmp_path: Path,
) -> None:  # fmt: skip
    """Auditor and workers killed at moments of no choice of their own, and a server that crashes: nothing is lost, and
    nothing is there twice. `bench.audit_kills` does the same with fifty kills."""
    planted = {}
    for each in plenty(24):
        registry.put(each.name, each.tag, each.image)
        planted[f"{registry.address}/{each.name}:{each.tag}"] = each.tokens
    calm_store = f"sqlite:///{tmp_path}/calm.sqlite3"
    done = leakscan("audit", registry.address, "--format", "json", env={**environment, "LEAKSCAN_STORE": calm_store})
    calm = json.loads(done.stdout)

    found = disturbed(registry.address, postgres, environment, kills=6, crashes=1)

    leaking = {image["reference"] for image in calm["images"] if image["verdict"] == "leaked"}
    assert leaking == {reference for reference, tokens in planted.items() if tokens}
    assert (found.killed.total(), found.crashes) == (6, 1)
    assert all(report == calm for report in found.reports)
    assert all(rows == rows_of(calm_store) for rows in found.rows)


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
    assert not any("/manifests/sha256-" in request.path for request in registry.seen)  # no tag is looked for in vain


def waiting(engine: Store, number: int) -> None:
    """Return when so many images are in the queue, or there is no hope."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with engine.connect() as connection:
            there = connection.execute(sql("select to_regclass('procrastinate_jobs')")).scalar_one() is not None
            if there and connection.execute(sql("select count(*) from procrastinate_jobs")).scalar_one() >= number:
                return
        time.sleep(0.05)


def test_an_urgent_image_overtakes_an_audit(
    registry: MemoryRegistry, postgres: Postgres, environment: dict[str, str], leakscan: Leakscan, worker: Worker,
    tmp_path: Path,
) -> None:  # fmt: skip
    """An image that somebody waits for is read before those of an audit that came first; both get their reports."""
    filled(registry, 8)
    wanted = f"{registry.address}/team2/app7:1"
    (tmp_path / "list").write_text(f"{wanted}\n")
    engine = open_store(postgres.url)

    audit = audited(leakscan, registry, environment, "--distribute")
    waiting(engine, 8)
    command = [sys.executable, "-m", "scanner", "audit", "--repos-file", str(tmp_path / "list"), "--format", "json"]
    urgent = subprocess.Popen([*command, "--distribute", "--urgent"], env={**os.environ, **environment},
                              stdout=subprocess.PIPE)  # fmt: skip
    waiting(engine, 9)
    engine.dispose()
    registry.seen.clear()
    worker()
    out, _ = urgent.communicate(timeout=280)
    whole, _ = audit.communicate(timeout=280)

    [image] = json.loads(out)["images"]
    assert (image["reference"], image["state"]) == (wanted, "scanned")
    assert registry.paths("/manifests/")[0].endswith(image["manifest_digest"])
    assert json.loads(whole)["counts"]["scanned"] == 8


def test_urgent_is_a_word_for_workers(leakscan: Leakscan) -> None:
    """Without workers nothing waits, and --urgent is wrong usage."""
    assert leakscan("audit", "127.0.0.1:1", "--urgent").returncode == 2


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


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_store_that_many_open_at_once_is_made_once(kind: str, postgres: Postgres, tmp_path: Path) -> None:
    """An auditor and its workers start together, and the store has no table yet."""
    url = postgres.url if kind == "postgresql" else f"sqlite:///{tmp_path}/store.sqlite3"
    program = "import sys; from scanner.store.database import open_store; input(); open_store(sys.argv[1])"

    opening = [subprocess.Popen([sys.executable, "-c", program, url], stdin=subprocess.PIPE) for _ in range(4)]
    for process in opening:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()

    assert [process.wait(60) for process in opening] == [0] * len(opening)
