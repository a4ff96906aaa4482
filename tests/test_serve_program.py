"""`leakscan serve` as users run it: from a push to a verdict, through kills, signals and damage."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import httpx
import pytest

from scanner.store.database import file_of, open_store
from testimages.values import github_token
from tests.builders import image_of, layer, sha256, whiteout
from tests.postgres import own_postgres
from tests.registries import MemoryRegistry
from tests.serving import Program, awaited, program, tokens_file
from tests.starting import or_skip

KILLS = 6
SCOPES = ["admission", "read", "scan", "admin"]
pytestmark = pytest.mark.usefixtures("services_compile_once")


def token(number: int) -> str:
    """A fake token."""
    return github_token(random.Random(f"serve {number}"))


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    """One token that may do everything."""
    return tokens_file(tmp_path / "tokens", one=SCOPES)


def options(tmp_path: Path, registry: MemoryRegistry, *more: str) -> list[str]:
    """What the service is started with."""
    return ["--tokens", str(tmp_path / "tokens"), "--registry", registry.address, "--drain-seconds", "0",
            "--audit-every", "never", *more]  # fmt: skip


def leaking(number: int) -> list[object]:
    """Layers of an image that leaks a token and hides it."""
    return [layer({"app/.env": f"GITHUB_TOKEN={token(number)}\n"}), layer(whiteout("app/.env"))]


def state_of(client: httpx.Client, id_: str) -> str:
    """A ticket's state."""
    answer = client.get(f"/v1/scans/{id_}")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["state"])


def scanned(client: httpx.Client, reference: str) -> str:
    """Have an image scanned; returns its digest."""
    ticket = client.post("/v1/scans", json={"reference": reference}).json()
    assert awaited(lambda: (state := state_of(client, ticket["id"])) in ("done", "failed") and state) == "done"
    return str(ticket["digest"])


def bytes_of(folder: Path) -> bytes:
    """All that is in the files of a folder, with what the store has packed."""
    found = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for path in folder.rglob("*.sqlite3"):
        with sqlite3.connect(path) as connection:
            rows = connection.execute("select document from results union all select outcome from layers").fetchall()
        found += b"".join(zlib.decompress(row[0]) for row in rows)
        connection.close()
    return found


def test_a_store_that_is_away_is_waited_for(
    registry: MemoryRegistry, tmp_path: Path, tokens: dict[str, str]
) -> None:  # fmt: skip
    """A service that starts before its PostgreSQL says so, and serves once it is there."""
    with or_skip(own_postgres()) as postgres:
        postgres.stop()
        starting = threading.Timer(1.0, lambda: (awaited(lambda: "waited for" in notes_of(tmp_path)), postgres.start()))
        starting.start()
        asked = options(tmp_path, registry, "--store", postgres.url)
        with program(tmp_path, *asked) as service, service.client(tokens["one"]) as client:
            assert client.get("/readyz").status_code == 200
        starting.join()


def notes_of(home: Path) -> str:
    """What the program has written to standard error so far."""
    return (home / "notes").read_text() if (home / "notes").exists() else ""


def test_from_a_tag_to_a_verdict(registry: MemoryRegistry, tmp_path: Path, tokens: dict[str, str]) -> None:
    """What was unknown is scanned once, then denied or allowed by its digest, and by those of its platforms."""
    registry.put("team/leaks", "1", image_of(*leaking(1)))
    arm64 = image_of(layer({"a": "c"}), platform="linux/arm64")
    registry.put("team/clean", "1", image_of(layer({"a": "b"})), arm64)
    with program(tmp_path, *options(tmp_path, registry)) as service, service.client(tokens["one"]) as client:
        tag = f"{registry.address}/team/leaks:1"
        leaks, clean = scanned(client, tag), scanned(client, f"{registry.address}/team/clean:1")
        verdicts = [client.get(f"/v1/verdicts/{digest}").json() for digest in (leaks, clean)]
        [finding] = verdicts[0]["findings"]
        arm = client.get(f"/v1/verdicts/{sha256(arm64.manifest())}").json()
        unknown = client.get(f"/v1/verdicts/sha256:{'0' * 64}").json()
        ended = service.end()

    assert [(each["verdict"], each["effect"]) for each in verdicts] == [("leaked", "deny"), ("clean", "allow")]
    assert finding["gated"] and finding["rule_id"].startswith("github.") and finding["state"] == "deleted"
    assert arm["verdict"] == "clean" and (unknown["verdict"], unknown["effect"]) == ("unknown", "deny")
    assert ended == 0
    assert token(1).encode() not in bytes_of(tmp_path)


def test_kill_9_at_any_moment(registry: MemoryRegistry, tmp_path: Path, tokens: dict[str, str]) -> None:
    """No ticket is lost, no verdict wrong, no value on disk, whenever the service or what scans for it is killed."""
    random_ = random.Random("kills")
    expected: dict[str, str] = {}
    asked: dict[str, str] = {}
    number = 0
    for kill in range(KILLS):
        with program(tmp_path, *options(tmp_path, registry)) as service:
            with service.client(tokens["one"]) as client:
                for _ in range(3):
                    number += 1
                    layers = leaking(number) if number % 3 == 0 else [layer({"a": f"{number}"})]
                    name = f"team/app{number}"
                    registry.put(name, "1", image_of(*layers))
                    answer = client.post("/v1/scans", json={"reference": f"{registry.address}/{name}:1"})
                    assert answer.status_code == 202
                    asked[answer.json()["id"]] = answer.json()["digest"]
                    expected[answer.json()["digest"]] = "leaked" if number % 3 == 0 else "clean"
            time.sleep(random_.uniform(0.0, 3.0))
            if kill % 2:
                _kill_a_child(service, random_)
            service.kill()
    with program(tmp_path, *options(tmp_path, registry)) as service, service.client(tokens["one"]) as client:
        for id_ in asked:
            assert awaited(lambda id_=id_: (state := state_of(client, id_)) in ("done", "failed") and state) == "done"
        verdicts = {digest: client.get(f"/v1/verdicts/{digest}").json()["verdict"] for digest in expected}

    assert verdicts == expected
    assert not any(token(each).encode() in bytes_of(tmp_path) for each in range(number + 1))


def _kill_a_child(service: Program, random_: random.Random) -> None:
    """Kill one of the processes that scan, if there is one."""
    children = Path(f"/proc/{service.process.pid}/task").glob("*/children")
    pids = [int(pid) for path in children for pid in path.read_text().split()]
    if pids:
        os.kill(random_.choice(pids), signal.SIGKILL)


def test_a_scan_whose_process_dies(registry: MemoryRegistry, tmp_path: Path, tokens: dict[str, str]) -> None:
    """The service goes on, and the image is scanned by another one."""
    registry.put("team/app", "1", image_of(*leaking(1)))
    with program(tmp_path, *options(tmp_path, registry)) as service, service.client(tokens["one"]) as client:
        ticket = client.post("/v1/scans", json={"reference": f"{registry.address}/team/app:1"}).json()
        awaited(lambda: state_of(client, ticket["id"]) == "running")
        _kill_a_child(service, random.Random(1))
        awaited(lambda: state_of(client, ticket["id"]) == "done")
        verdict = client.get(f"/v1/verdicts/{ticket['digest']}").json()["verdict"]

    assert verdict == "leaked"


def test_a_registry_that_does_not_give_the_image(
    registry: MemoryRegistry, tmp_path: Path, tokens: dict[str, str]
) -> None:
    """The ticket failed with the reason, and the verdict is incomplete, never clean."""
    registry.put("team/app", "1", image_of(layer({"a": "b"})))
    registry.blobs.clear()
    with program(tmp_path, *options(tmp_path, registry)) as service, service.client(tokens["one"]) as client:
        ticket = client.post("/v1/scans", json={"reference": f"{registry.address}/team/app:1"}).json()
        awaited(lambda: state_of(client, ticket["id"]) in ("failed", "done"))
        verdict = client.get(f"/v1/verdicts/{ticket['digest']}").json()
        missing = client.post("/v1/scans", json={"reference": f"{registry.address}/team/none:1"})

    assert verdict["verdict"] == "incomplete" and verdict["effect"] == "deny" and verdict["gaps"]
    assert missing.status_code == 502


def test_sigterm(registry: MemoryRegistry, tmp_path: Path, tokens: dict[str, str]) -> None:
    """It says that it is not ready, goes on answering, gives back what is at hand, and ends; a second one ends it."""
    registry.put("team/app", "1", image_of(layer({"a": "b"})))
    slow = options(tmp_path, registry)
    slow[slow.index("--drain-seconds") + 1] = "2"
    with program(tmp_path, *slow) as service, service.client(tokens["one"]) as client:
        ticket = client.post("/v1/scans", json={"reference": f"{registry.address}/team/app:1"}).json()
        service.process.send_signal(signal.SIGTERM)
        awaited(lambda: client.get("/readyz").status_code == 503)
        answered = client.get(f"/v1/verdicts/{ticket['digest']}").status_code
        code = service.process.wait(60.0)
    slow[slow.index("--drain-seconds") + 1] = "300"
    with program(tmp_path, *slow) as service, service.client(tokens["one"]) as client:
        awaited(lambda: state_of(client, ticket["id"]) == "done")
        service.process.send_signal(signal.SIGTERM)
        awaited(lambda: client.get("/readyz").status_code == 503)
        again = service.end()

    assert answered == 200 and code == 0 and again == 0


def test_a_damaged_store(registry: MemoryRegistry, tmp_path: Path, tokens: dict[str, str]) -> None:
    """It is set aside and said so; every image is unknown and denied until it is scanned again."""
    registry.put("team/app", "1", image_of(layer({"a": "b"})))
    reference = f"{registry.address}/team/app:1"
    with program(tmp_path, *options(tmp_path, registry)) as service, service.client(tokens["one"]) as client:
        digest = scanned(client, reference)
        service.end()
    file = tmp_path / "state" / "leakscan" / "audit.sqlite3"
    raw = bytearray(file.read_bytes())
    raw[4096:] = os.urandom(len(raw) - 4096)
    file.write_bytes(raw)
    with program(tmp_path, *options(tmp_path, registry)) as service, service.client(tokens["one"]) as client:
        before = client.get(f"/v1/verdicts/{digest}").json()
        again = scanned(client, reference)
        after = client.get(f"/v1/verdicts/{digest}").json()

    assert (before["verdict"], before["effect"]) == ("unknown", "deny") and again == digest
    assert after["verdict"] == "clean"
    assert "the store was damaged" in (tmp_path / "notes").read_text()
    assert len(list(file.parent.glob("audit.sqlite3.damaged-*"))) == 1


def test_two_services_on_one_file(registry: MemoryRegistry, tmp_path: Path, tokens: dict[str, str]) -> None:
    """The second one does not start, and says what several need."""
    env = {**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"),
           "XDG_CACHE_HOME": os.environ["LEAKSCAN_TEST_CACHE"]}  # fmt: skip
    command = [sys.executable, "-m", "scanner", "serve", "--listen", "127.0.0.1:0", *options(tmp_path, registry)]
    with program(tmp_path, *options(tmp_path, registry)):
        second = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)

    assert tokens and second.returncode == 3
    assert "another leakscan serves" in second.stderr and "PostgreSQL" in second.stderr


def test_a_store_in_a_place_that_is_closed(registry: MemoryRegistry, tmp_path: Path, tokens: dict[str, str]) -> None:
    """It is said so."""
    command = [sys.executable, "-m", "scanner", "serve", *options(tmp_path, registry)]

    found = subprocess.run([*command, "--store", "sqlite:////proc/none/s"], capture_output=True, text=True, timeout=120)

    assert tokens and found.returncode == 3 and "/proc/none/s: No such file or directory" in found.stderr


def test_an_address_that_is_taken(registry: MemoryRegistry, tmp_path: Path, tokens: dict[str, str]) -> None:
    """It is said so."""
    env = {**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"),
           "XDG_CACHE_HOME": os.environ["LEAKSCAN_TEST_CACHE"]}  # fmt: skip
    command = [sys.executable, "-m", "scanner", "serve", *options(tmp_path, registry), "--listen", registry.address]

    found = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)

    assert tokens and found.returncode == 3 and "cannot be listened on" in found.stderr


def test_a_store_of_the_service_is_durable(tmp_path: Path) -> None:
    """What was committed outlives a loss of power."""
    store = open_store(f"sqlite:///{tmp_path}/store.sqlite3", durable=True)
    with store.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
    assert file_of(store) == tmp_path / "store.sqlite3"
    store.dispose()
