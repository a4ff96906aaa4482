"""Audits on PostgreSQL, by workers that are killed: the same results as one process and SQLite give."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from scanner.audit.display import Line
from scanner.audit.listing import Item
from scanner.audit.queue import TASK, Images, Priority, Window, feeder, prepare, serve
from scanner.audit.run import failed, note_failure
from scanner.audit.worker import PACK_BYTES, Lost, read_pack
from scanner.errors import StoreError
from scanner.image.blob import Blob, BlobFile
from scanner.secrecy.seal import Seal
from scanner.store.database import Store, open_store
from scanner.store.database import text as sql
from scanner.store.layers import KeptLayers
from scanner.store.ledger import Ledger, Result, State
from scanner.store.schema import METADATA
from tests.kills import disturbed, rows_of
from tests.plenty import plenty
from tests.postgres import Postgres, own_postgres
from tests.registries import MemoryRegistry
from tests.starting import or_skip
from tests.test_audit import filled

Leakscan = Callable[..., "subprocess.CompletedProcess[str]"]
Worker = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server of the test's own. Skips with the reason where none can be started."""
    with or_skip(own_postgres()) as server:
        yield server


@pytest.fixture
def environment(registry: MemoryRegistry, postgres: Postgres) -> dict[str, str]:
    """What auditor and workers share."""
    return {"LEAKSCAN_REGISTRY_HTTP": registry.address, "LEAKSCAN_STORE": postgres.url, "LEAKSCAN_KEY": "tests"}


@pytest.fixture
def worker(environment: dict[str, str]) -> Iterator[Worker]:
    """Start workers; those that live are stopped in the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "scanner", "worker", "--jobs", "1"]
        started.append(subprocess.Popen(command, env={**os.environ, **environment}, stderr=stderr))
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


def test_a_server_that_goes_away_is_waited_for(
    registry: MemoryRegistry, postgres: Postgres, environment: dict[str, str], leakscan: Leakscan, worker: Worker,
) -> None:  # fmt: skip
    """A worker that has nothing to do while its server is restarted is there afterwards, and has no more to say than
    that it waits."""
    filled(registry, 3)
    idle = worker(subprocess.PIPE)
    until_there_is(postgres, "procrastinate_workers")
    postgres.stop()
    time.sleep(1.0)  # whatever listens has seen it
    postgres.start()
    out, _ = audited(leakscan, registry, environment, "--distribute").communicate(timeout=120)

    assert json.loads(out)["counts"]["scanned"] == 3
    assert idle.poll() is None
    idle.terminate()
    _, said = idle.communicate(timeout=60)
    assert [line for line in said.splitlines() if b"is waited for" not in line] == []


def until_there_is(postgres: Postgres, table: str) -> None:
    """Return when a table has a row."""
    engine = open_store(postgres.url)
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with engine.connect() as connection:
            made = connection.execute(sql("select to_regclass(:name)"), {"name": table}).scalar_one() is not None
        if made and rows(engine, table):
            break
        time.sleep(0.05)
    engine.dispose()


def test_the_end_of_a_job_that_cannot_be_written(
    registry: MemoryRegistry, postgres: Postgres, environment: dict[str, str], leakscan: Leakscan, worker: Worker,
) -> None:  # fmt: skip
    """The queue says that a worker which lives has a job which it has not: nobody waits for that for ever, and the
    worker has no more to say than that it waits."""
    filled(registry, 3)
    engine = open_store(postgres.url)
    prepare(engine, postgres.url)
    with engine.begin() as connection:
        connection.execute(sql("create sequence ends"))
        connection.execute(sql("""
            create function fails_once() returns trigger language plpgsql as $$
            begin
                if old.task_name = 'leakscan.pack' and nextval('ends') = 1 then raise 'the server went away'; end if;
                return old;
            end $$
        """))
        connection.execute(sql("create trigger once before delete on procrastinate_jobs for each row "
                               "execute function fails_once()"))  # fmt: skip
    unlucky = worker(subprocess.PIPE)
    out, _ = audited(leakscan, registry, environment, "--distribute").communicate(timeout=120)

    assert json.loads(out)["counts"]["scanned"] == 3
    with engine.connect() as connection:
        assert connection.execute(sql("select last_value from ends")).scalar_one() > 1
    engine.dispose()
    unlucky.terminate()
    _, said = unlucky.communicate(timeout=60)
    assert [line for line in said.splitlines() if b"is waited for" not in line] == []


def test_a_server_that_comes_back_while_it_is_asked_for(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was away when it was connected to, and is there when its absence is looked into: no refusal."""
    from scanner.store import database

    asked = []

    def comes_back(url: object) -> bool:
        if not asked:
            postgres.start()
        asked.append(url)
        return False

    monkeypatch.setattr(database, "_is_away", comes_back)
    postgres.stop()
    open_store(postgres.url, away=lambda: None).dispose()
    assert len(asked) == 1


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
    for each in plenty(40):  # so many that jobs have more than one
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


def test_an_audit_without_workers_says_so(
    registry: MemoryRegistry, environment: dict[str, str], worker: Worker
) -> None:
    """Once, and waits for one."""
    filled(registry, 3)
    command = [sys.executable, "-m", "scanner", "audit", registry.address, "--distribute", "--format", "json"]
    audit = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert audit.stderr is not None
    told = audit.stderr.readline().decode()
    worker()
    out, more = audit.communicate(timeout=120)

    assert "no worker is there" in told and b"no worker" not in more
    assert json.loads(out)["counts"]["scanned"] == 3


def test_a_worker_holds_few_connections(
    registry: MemoryRegistry, postgres: Postgres, environment: dict[str, str], leakscan: Leakscan, worker: Worker
) -> None:
    """A server has a hundred for all of them: one to listen, two for the queue, one for packs that are put back, and
    three of the process that scans."""
    filled(registry, 12)
    worker()
    audited(leakscan, registry, environment, "--distribute").communicate(timeout=120)

    engine = open_store(postgres.url)
    assert rows(engine, "pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()") <= 7
    engine.dispose()


ABOUT = {"host": "example.com", "referring": {"team/app": ["sha256-0.sig"]}}


def images_of(number: int) -> list[dict[str, object]]:
    """Images as jobs name them."""
    return [{"repository": "team/app", "tag": str(each), "digest": f"sha256:{each:064x}"}
            for each in range(number)]  # fmt: skip


@pytest.mark.parametrize(
    ("cost", "read"),
    [((0, 0), 40), ((8, 0), 4), ((40, 0), 1), ((1, PACK_BYTES // 2), 2), ((1, PACK_BYTES // 2 - 1), 3)],
    ids=["known already", "blobs", "one of many blobs", "bytes", "not quite the bytes"],
)
def test_a_job_ends_when_it_was_work_enough(cost: tuple[int, int], read: int) -> None:
    """What is left of its images is another job, which somebody else may take."""
    images, seen = images_of(40), []

    def reading(job: Mapping[str, object]) -> tuple[int, int]:
        seen.append(job["tag"])
        assert (job["host"], job["tags"]) == ("example.com", ["sha256-0.sig"])
        return cost

    left = read_pack(reading, images, ABOUT, lambda: False)

    assert seen == [image["tag"] for image in images[:read]]
    assert left == ([images[read:]] if images[read:] else [])


def test_an_image_that_is_lost_is_tried_alone() -> None:
    """The others of its pack are read, and what is lost for good is that image."""
    images = images_of(4)

    def reading(job: Mapping[str, object]) -> tuple[int, int]:
        if job["tag"] == "1":
            raise Lost("the process that scanned it died")
        return 1, 1

    assert read_pack(reading, images, ABOUT, lambda: False) == [[images[1]], images[2:]]
    assert read_pack(reading, images[:2], ABOUT, lambda: False) == [[images[1]]]
    with pytest.raises(Lost):
        read_pack(reading, images[1:2], ABOUT, lambda: False)


def test_a_worker_that_is_to_end_leaves_the_rest_of_its_pack() -> None:
    """After the image at hand."""
    images, seen = images_of(3), list[object]()

    def reading(job: Mapping[str, object]) -> tuple[int, int]:
        seen.append(job["tag"])
        return 1, 1

    assert read_pack(reading, images, ABOUT, lambda: len(seen) == 2) == [images[2:]]


def test_nobody_is_asked_for_the_rest_of_a_pack_that_has_none() -> None:
    """Its image is read, whatever becomes of the server."""

    def leave() -> bool:
        raise ConnectionError

    assert read_pack(lambda _: (1, 1), images_of(1), ABOUT, leave) == []


def test_a_worker_ends_after_the_image_at_hand(
    registry: MemoryRegistry, postgres: Postgres, environment: dict[str, str], leakscan: Leakscan, worker: Worker
) -> None:
    """By SIGTERM, with exit code 0; what it leaves is read by the next one."""
    engine = open_store(postgres.url)
    audit, first = begun(leakscan, registry, environment, worker, engine, 1)
    first.terminate()
    assert first.wait(60) == 0
    assert 0 < rows(engine, "results") < 40
    with engine.connect() as connection:
        assert not connection.execute(sql("select 1 from procrastinate_jobs where status = 'doing'")).all()
    engine.dispose()
    worker()
    out, _ = audit.communicate(timeout=280)

    assert json.loads(out)["counts"]["scanned"] == 40


def begun(
    leakscan: Leakscan, registry: MemoryRegistry, environment: dict[str, str], worker: Worker, engine: Store, read: int
) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """An audit of 40 images and its worker, which has *read* some of them."""
    filled(registry, 40)
    audit = audited(leakscan, registry, environment, "--distribute")
    first = worker()
    while rows(engine, "results") < read:
        time.sleep(0.05)
    return audit, first


def rows(engine: Store, table: str) -> int:
    """How many rows a table has."""
    with engine.connect() as connection:
        return int(connection.execute(sql(f"select count(*) from {table}")).scalar_one())  # noqa: S608


def test_what_is_left_of_a_job_is_another_job(postgres: Postgres) -> None:
    """The one who put it into the queue waits for both; an image that nobody can read is given up in the end, alone."""
    engine = open_store(postgres.url)
    prepare(engine, postgres.url)
    images, seen, tried, given_up = images_of(5), list[object](), Counter[object](), list[object]()

    def work(pack: Images, about: Mapping[str, object], _: Callable[[], bool]) -> list[Images]:
        window.settle()
        assert window.images == {image["digest"] for image in images} - set(seen)
        first, *rest = pack
        if first["tag"] == "2":
            tried["alone" if not rest else "with others"] += 1
            raise ValueError
        assert about["run"] == "a run"
        seen.append(first["digest"])
        return [rest] if rest else []

    def give_up(pack: Images, _: Mapping[str, object]) -> list[Images]:
        if len(pack) > 1:
            return [[image] for image in pack]
        given_up.extend(image["tag"] for image in pack)
        return []

    with Window(engine, postgres.url, Priority.AUDIT, {"run": "a run"}) as window:
        window.put(images)
        window.put(images)  # a server that went away had it all the same
        until = time.monotonic() + 120
        while window.jobs and time.monotonic() < until:
            serve(postgres.url, work, give_up, once=True)
            window.settle()

    assert seen == [images[number]["digest"] for number in (0, 1, 3, 4)]
    assert (tried["with others"], tried["alone"], given_up) == (5, 5, ["2"])
    assert (window.jobs, window.images) == (0, frozenset())
    engine.dispose()


def test_an_audit_tells_how_far_its_workers_are(postgres: Postgres) -> None:
    """How many images are read and leak, the rate, and the time left."""
    engine = open_store(postgres.url)
    about = {"host": "example.com", "rules": "some", "key": "", "platform": None, "newer_than": None}
    ledger, images = Ledger(engine, "example.com", "some", "a run"), images_of(4)
    screen = io.StringIO()
    finding = {"secret": {"fingerprint": "f"}, "rule_id": "r", "severity": "high", "layer": None}

    def work(pack: Images, *_: object) -> list[Images]:
        for image in pack:
            found = [{**finding, "gated": image["tag"] == "1"}] * (int(image["tag"]) % 2)
            document = {"manifest_digest": image["digest"], "findings": found}
            ledger.record(Result(image["digest"], State.SCANNED, True, "team/app", images=[document]))
        return []

    def others() -> None:
        while rows(engine, "results") < 4:
            serve(postgres.url, work, lambda *_: [], once=True)

    items = [Item(str(each["repository"]), str(each["tag"]), str(each["digest"])) for each in images]
    elsewhere = feeder(engine, postgres.url, about)
    working = threading.Thread(target=others)
    working.start()
    elsewhere("a run", items, {}, Line(screen, interval=0.0))
    working.join()
    engine.dispose()

    first, *_, last = screen.getvalue().split("\r\x1b[K")[1:]
    assert re.fullmatch(r"[0-4] of 4 images read by workers, [01] leak, [0-9.]+/s.*", first)
    assert re.fullmatch(r"4 of 4 images read by workers, 1 leak, [0-9.]+/s, 0:00:00 left", last)


def test_a_pack_stands_for_no_other(postgres: Postgres) -> None:
    """One that waits is no reason to leave out another that begins with the same image."""
    engine = open_store(postgres.url)
    prepare(engine, postgres.url)
    with Window(engine, postgres.url, Priority.AUDIT, {"run": "a run"}) as window:
        window.put(images_of(1))
        window.put(images_of(3))
        window.settle()
        assert window.images == {image["digest"] for image in images_of(3)}
    engine.dispose()


def test_jobs_of_the_dead_are_handed_out_again(postgres: Postgres) -> None:
    """All of them, even if one waits already: of that there is one then."""
    engine = open_store(postgres.url)
    prepare(engine, postgres.url)
    first, second = [[image] for image in images_of(2)]
    with Window(engine, postgres.url, Priority.AUDIT, {"run": "a run"}) as window:
        for pack in (first, second):
            window.put(pack)
        with engine.begin() as connection:  # by workers that are gone
            connection.execute(sql("update procrastinate_jobs set status = 'doing'"))
        window.put(first)
        until = time.monotonic() + 60
        while rows(engine, "procrastinate_jobs where status = 'doing'") and time.monotonic() < until:
            serve(postgres.url, lambda *_: [], lambda *_: [], once=True, urgent=True)  # which takes none of these
        window.settle()
        assert (window.jobs, len(window.images)) == (2, 2)
        assert rows(engine, "procrastinate_jobs where status = 'todo' and queue_name = 'audit'") == 2
    engine.dispose()


def test_an_image_that_takes_its_worker_with_it_is_given_up(postgres: Postgres) -> None:
    """Nobody lives to say so: it is seen by how often the job was handed out."""
    engine = open_store(postgres.url)
    prepare(engine, postgres.url)
    given_up, worked = list[object](), list[object]()

    def work(pack: Images, *_: object) -> list[Images]:
        worked.extend(image["tag"] for image in pack)
        return []

    def give_up(pack: Images, _: Mapping[str, object]) -> list[Images]:
        given_up.extend(image["tag"] for image in pack)
        return []

    with Window(engine, postgres.url, Priority.AUDIT, {"run": "a run"}) as window:
        window.put(images_of(1))
        with engine.begin() as connection:
            connection.execute(sql("update procrastinate_jobs set attempts = 5"))
        serve(postgres.url, work, give_up, once=True)
        window.settle()
    engine.dispose()

    assert (given_up, worked, window.jobs) == (["0"], [], 0)


def test_a_pack_of_an_audit_is_left_for_an_urgent_one(postgres: Postgres) -> None:
    """After the image at hand, and it goes on behind it."""
    engine = open_store(postgres.url)
    prepare(engine, postgres.url)
    audit = Window(engine, postgres.url, Priority.AUDIT, {"run": "audit"})
    urgent = Window(engine, postgres.url, Priority.INTERACTIVE, {"run": "urgent"})
    done: list[tuple[object, object, bool]] = []

    def work(pack: Images, about: Mapping[str, object], leave: Callable[[], bool]) -> list[Images]:
        if not done:
            urgent.put(images_of(2))
        for number, image in enumerate(pack, 1):
            done.append((about["run"], image["tag"], leave()))
            if done[-1][2]:
                return [pack[number:]]
        return []

    with audit, urgent:
        audit.put(images_of(3))
        serve(postgres.url, work, lambda _, __: [], once=True)
    engine.dispose()

    assert done == [("audit", "0", True), ("urgent", "0", False), ("urgent", "1", False), ("audit", "1", False),
                    ("audit", "2", False)]  # fmt: skip


def test_an_asker_that_leaves_takes_back_what_nobody_has_begun(postgres: Postgres) -> None:
    """Its own jobs; those of others stay."""
    engine = open_store(postgres.url)
    prepare(engine, postgres.url)
    with Window(engine, postgres.url, Priority.AUDIT, {"run": "stays"}) as stays:
        stays.put(images_of(3))
        with Window(engine, postgres.url, Priority.AUDIT, {"run": "leaves"}) as leaves:
            leaves.put(images_of(3))
        leaves.settle()
        stays.settle()
        assert (leaves.jobs, stays.jobs, len(stays.images)) == (0, 1, 3)
    engine.dispose()


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


def test_what_is_known_is_not_taken_back(
    registry: MemoryRegistry, postgres: Postgres, environment: dict[str, str], leakscan: Leakscan
) -> None:
    """A worker that cannot read an image leaves what another one found in it."""
    filled(registry, 4)
    assert leakscan("audit", registry.address, env=environment).returncode == 1
    engine = open_store(postgres.url)
    prepare(engine, postgres.url)
    with engine.connect() as connection:
        known = connection.execute(sql("select digest, rules, state, document from results order by digest")).all()
    about = {"host": registry.address, "run": "another", "rules": known[0].rules, "key": "another", "platform": None,
             "newer_than": None, "referring": {}}  # fmt: skip
    with Window(engine, postgres.url, Priority.AUDIT, about) as window:
        window.put([{"repository": "team3/app3", "tag": "1", "digest": row.digest} for row in known])
        assert leakscan("worker", "--once", env=environment).returncode == 0
        window.settle()
        assert window.jobs == 0
    with engine.connect() as connection:
        again = connection.execute(sql("select digest, rules, state, document from results order by digest")).all()
        assert (again, len(known)) == (known, 4)
    assert rows(engine, "sightings") == 1

    ledger = Ledger(engine, registry.address, known[0].rules, "another")
    known_part = replace(require(ledger.result(known[0].digest)), final=False)
    ledger.record(known_part)
    note_failure(ledger, failed(known[0].digest, "team3/app3", "the registry is away", 1))
    assert ledger.result(known[0].digest) == replace(known_part, reason="the registry is away")
    engine.dispose()


def require(result: Result | None) -> Result:
    """A result that must be there."""
    assert result is not None
    return result


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_audit_that_is_stopped_tells_what_workers_have_read(
    registry: MemoryRegistry, postgres: Postgres, environment: dict[str, str], leakscan: Leakscan, worker: Worker,
    by: signal.Signals,
) -> None:  # fmt: skip
    """By Ctrl-C, or as services are stopped: the rest is not reached, and waits for no worker any more."""
    engine = open_store(postgres.url)
    audit, first = begun(leakscan, registry, environment, worker, engine, 2)
    first.kill()
    first.wait()
    read = rows(engine, "results")
    audit.send_signal(by)
    out, _ = audit.communicate(timeout=120)
    with engine.connect() as connection:
        waiting = "select count(*) from procrastinate_jobs where status = 'todo' and task_name = :task"
        assert connection.execute(sql(waiting), {"task": TASK}).scalar_one() == 0
    engine.dispose()

    counts = json.loads(out)["counts"]
    assert counts == {"scanned": read, "incomplete": 0, "failed": 0, "not_reached": 40 - read}
    assert 0 < read < 40


def test_workers_need_postgres(leakscan: Leakscan, tmp_path: Path, registry: MemoryRegistry) -> None:
    """SQLite is told to be no store for workers, by both commands."""
    environment = {"LEAKSCAN_STORE": f"sqlite:///{tmp_path}/a.sqlite3", "LEAKSCAN_REGISTRY_HTTP": registry.address}

    for command in (("worker",), ("audit", registry.address, "--distribute")):
        done = leakscan(*command, env=environment)
        assert (done.returncode, "PostgreSQL" in done.stderr) == (3, True)
    with pytest.raises(StoreError):
        open_store("nonsense://")


def test_a_claim_that_fails_half_way_is_let_go(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection lives on among those of the store, and would keep layers from all others."""
    engine = open_store(postgres.url)
    kept = KeptLayers(engine, "rules", Seal(b"k" * 32))
    nothing = BlobFile(os.open(os.devnull, os.O_RDONLY), "nothing")
    blobs = [Blob(f"sha256:{number:064x}", nothing, 0, 0) for number in (1, 2)]
    answers = iter([frozenset[str]()])

    def known(_: object, names: list[str]) -> frozenset[str]:
        answer = next(answers, None)
        if answer is None:
            raise ValueError(names)
        return answer

    monkeypatch.setattr(KeptLayers, "_known", known)
    with pytest.raises(ValueError, match="sha256"), kept.claimed(blobs):
        pass
    with engine.connect() as connection:
        locks = sql("select count(*) from pg_locks where locktype = 'advisory'")
        assert connection.execute(locks).scalar_one() == 0
    engine.dispose()


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
