"""An audit of a registry of generated images behind a slow line: by one process, by one worker, and by two.

    python -m bench.audit_scale [--images 300] [--delay 0.02] [--rounds 1] [--only-workers]

The registry is Debian's docker-registry, behind a proxy that holds back every request; the store of workers is Debian's
PostgreSQL. Says what is found of what was planted, how often each blob was asked for, what a second audit asks for, how
memory and the store grow, and the wall time of two workers (`--jobs 1`) beside one's. docs/sizing.md has its numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import text as sql

from bench.measure import Measure
from bench.measure import run as measured
from scanner.store.database import open_store
from tests.kills import reset
from tests.plenty import Planted, plenty
from tests.postgres import Postgres, own_postgres
from tests.registries import RealRegistry, docker_registry
from tests.slowly import SlowRegistry, slowly

_COMMAND = (sys.executable, "-m", "scanner")


def fill(registry: RealRegistry, images: list[Planted]) -> None:
    """Push every image."""
    for each in images:
        registry.upload(each.name, each.tag, "application/vnd.oci.image.manifest.v1+json", each.image.manifest(),
                        each.image.blobs().values())  # fmt: skip


def audited(environment: Mapping[str, str], address: str, report: Path, *more: str) -> Measure:
    """One audit by the command."""
    command = [*_COMMAND, "audit", address, "--quiet", "--jobs", "1", "--format", f"json={report}", *more]
    return measured(command, {**os.environ, **environment})


def by_workers(number: int, environment: Mapping[str, str], address: str, report: Path, postgres: Postgres) -> Measure:
    """One audit by *number* workers that are up already, from an empty store."""
    reset(postgres)
    workers = [subprocess.Popen([*_COMMAND, "worker", "--jobs", "1"], env={**os.environ, **environment},
                                stderr=subprocess.DEVNULL) for _ in range(number)]  # fmt: skip
    try:
        _ready(postgres, number)
        return audited(environment, address, report, "--distribute")
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _ready(postgres: Postgres, number: int) -> None:
    """Return when so many workers are registered with the queue."""
    engine = open_store(postgres.url)
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with engine.connect() as connection:
            there = connection.execute(sql("select to_regclass('procrastinate_workers')")).scalar_one() is not None
            if there and connection.execute(sql("select count(*) from procrastinate_workers")).scalar_one() >= number:
                break
        time.sleep(0.1)
    engine.dispose()


_SQLITE = """select sum(pgsize) from dbstat where name = :table or name like :table || '\\_by%' escape '\\'
             or name like 'sqlite\\_autoindex\\_' || :table || '%' escape '\\'"""
_POSTGRES = "select pg_total_relation_size(cast(:table as regclass))"


def sizes(url: str) -> str:
    """What the tables of a store take."""
    engine = open_store(url)
    lines = []
    with engine.connect() as connection:
        for table in ("layers", "results", "sightings", "tags"):
            rows = connection.execute(sql(f"select count(*) from {table}")).scalar_one()  # noqa: S608
            query = sql(_SQLITE if engine.dialect.name == "sqlite" else _POSTGRES)
            size = connection.execute(query, {"table": table}).scalar_one() or 0
            lines.append(f"  {table}: {rows} rows, {size} bytes, {size / max(rows, 1):.0f} each, with indexes")
    engine.dispose()
    return "\n".join(lines)


def judged(report: Path, address: str, images: list[Planted]) -> str:
    """Whether a report says leaks of exactly those images that have them."""
    found = {each["reference"] for each in json.loads(report.read_text())["images"] if each["verdict"] == "leaked"}
    wanted = {f"{address}/{each.name}:{each.tag}" for each in images if each.tokens}
    return f"{len(found & wanted)} of {len(wanted)} leaking images found, {len(found - wanted)} others"


def told(name: str, took: Measure, slow: SlowRegistry) -> Counter[tuple[str, str]]:
    """Print a line about an audit; what it asked the registry for."""
    asked = Counter({key: number for key, number in slow.asked().items() if key[1].startswith("/v2/")})
    blobs = Counter({path: number for (method, path), number in asked.items() if method == "GET" and "/blobs/" in path})
    digests: Counter[str] = Counter()
    for path, number in blobs.items():
        digests[path.rpartition("/")[2]] += number
    kinds: Counter[str] = Counter()
    for (method, path), number in asked.items():
        kinds[f"{method} {'/'.join(path.split('/')[:-1]).rpartition('/')[2]}"] += number
    most = max(digests.values(), default=0)
    print(f"{name}: {took.wall:.1f} s, {took.cpu:.1f} s of processor, {took.memory} MiB, exit {took.code}, "
          f"load {os.getloadavg()[0]:.1f}; {len(digests)} blobs, each asked for {most} times at most; "
          f"{', '.join(f'{number} {kind}' for kind, number in kinds.most_common(5))}", flush=True)  # fmt: skip
    return asked


def main() -> int:
    """Run it; 1 if a report differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--delay", type=float, default=0.02, metavar="SECONDS")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only-workers", action="store_true", help="leave out the audits by one process")
    asked = parser.parse_args()
    images = list(plenty(asked.images))
    reports: dict[str, Any] = {}
    with docker_registry() as registry, own_postgres() as postgres, tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        fill(registry, images)
        with slowly(registry.address, asked.delay) as slow:
            address = slow.address
            shared = {"LEAKSCAN_KEY": "bench", "LEAKSCAN_REGISTRY_HTTP": address, "XDG_STATE_HOME": str(home / "state")}

            def default(name: str, store: str, *more: str) -> None:
                environment = {**shared, "LEAKSCAN_STORE": f"sqlite:///{home}/{store}"}
                told(name, audited(environment, address, home / "report.json", *more), slow)
                reports[name] = json.loads((home / "report.json").read_text())

            if not asked.only_workers:
                default("a third of it, one process, SQLite", "third.sqlite3", "--repository", "team[036]/*")
                default("one process, SQLite", "all.sqlite3")
                print(f"  {judged(home / 'report.json', address, images)}")
                print(sizes(f"sqlite:///{home}/all.sqlite3"), flush=True)
                default("again", "all.sqlite3")
            walls: dict[int, list[float]] = {1: [], 2: []}
            environment = {**shared, "LEAKSCAN_STORE": postgres.url}
            for _ in range(asked.rounds):
                for number in (1, 2):
                    took = by_workers(number, environment, address, home / "workers.json", postgres)
                    told(f"{number} worker{'s' * (number > 1)}, PostgreSQL", took, slow)
                    walls[number].append(took.wall)
                    if number == 1:
                        print(sizes(postgres.url), flush=True)
                    reports[f"{number} workers"] = json.loads((home / "workers.json").read_text())
    best = {number: min(each) for number, each in walls.items()}
    print(f"two workers take {best[2] / best[1]:.2f} of one's wall time")
    first, *others = [found for name, found in reports.items() if not name.startswith("a third")]
    same = [found == first for found in others]
    print(f"{sum(same)} of {len(same)} other reports equal the first")
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
