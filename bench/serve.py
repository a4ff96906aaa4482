"""Holds the service to its promises: python -m bench.serve saturation | python -m bench.serve kills --count 100.

*saturation*: four times as many callers as the service works on at a time ask for verdicts without a pause, while two
hostile images are scanned. Says how long answers took, how many were wrong or missing, and what memory the service had.

*kills*: SIGKILL for the service, and for what scans for it, at random moments under traffic. Says which tickets were
lost, which verdicts were wrong at any time, and whether a value is on the disk.

Exit code 1 if a promise is not kept.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import re
import selectors
import signal
import socket
import sqlite3
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from scanner.serve.doors import DOORS
from scanner.serve.settings import ServeSettings
from testimages.values import github_token
from tests.builders import OCI_LAYER, BuiltLayer, image_of, layer, sha256, tar_of, whiteout
from tests.registries import MemoryRegistry, memory_registry
from tests.serving import Program, awaited, program, tokens_file

_MIB = 1 << 20
_SCOPES = ["admission", "read", "scan"]
_REVIEWS = "/kubernetes/validate"
_P99_SECONDS = 0.1
_GROWTH_MIB = 16  # of the service, between the first and the last quarter of the load


def main() -> int:
    """Run one of the two."""
    parser = argparse.ArgumentParser(prog="bench.serve", description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("saturation", "kills"))
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the load lasts (default 20)")
    parser.add_argument("--callers", type=int, default=4 * ServeSettings().in_flight, help="(default 4 times capacity)")
    parser.add_argument("--count", type=int, default=100, help="kills (default 100)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leakscan-bench-") as home, memory_registry() as registry:
        if options.what == "saturation":
            return saturation(Path(home), registry, options.seconds, options.callers)
        return kills(Path(home), registry, options.count, random.Random(options.seed))


def _token(number: int) -> str:
    return github_token(random.Random(f"bench serve {number}"))


def _put(registry: MemoryRegistry, number: int, leaks: bool) -> str:
    """A small image in the registry; returns its reference."""
    hidden = [layer({"app/.env": f"GITHUB_TOKEN={_token(number)}\n"}), layer(whiteout("app/.env"))]
    registry.put(f"team/app{number}", "1", image_of(*(hidden if leaks else [layer({"app/a": f"{number}"})])))
    return f"{registry.address}/team/app{number}:1"


def _options(home: Path, registry: MemoryRegistry, *more: str) -> list[str]:
    return ["--tokens", str(home / "tokens"), "--registry", registry.address, "--drain-seconds", "0",
            "--rate", "1000000", *more]  # fmt: skip


def _state(client: httpx.Client, id_: str) -> str:
    answer = client.get(f"/v1/scans/{id_}")
    return str(answer.json()["state"]) if answer.status_code == 200 else ""


def _is_in(client: httpx.Client, id_: str, *states: str) -> bool:
    return _state(client, id_) in states


def _asked(client: httpx.Client, reference: str) -> str:
    """The id of a ticket for an image; empty if there is none, as when the registry does not answer in time."""
    answer = client.post("/v1/scans", json={"reference": reference})
    return str(answer.json()["id"]) if answer.status_code == 202 else ""


# -- saturation --------------------------------------------------------------------------------------------------------


def _zeros() -> BuiltLayer:
    """4 GiB of zeros in 4 MiB of gzip."""
    head = tar_of({"a": "b"})[:1024]
    packer, digest = zlib.compressobj(9, wbits=31), hashlib.sha256()
    parts, piece = [], bytes(_MIB)
    for part in (head, *[piece] * 4096):
        parts.append(packer.compress(part))
        digest.update(part)
    stored = b"".join((*parts, packer.flush()))
    return BuiltLayer(b"", stored, f"{OCI_LAYER}+gzip", f"sha256:{digest.hexdigest()}", "ADD z")


def _alike() -> BuiltLayer:
    """Text in which every line looks like a secret of some kind, and none is the same."""
    random_ = random.Random("alike")
    names = ("password", "api_key", "aws_secret_access_key", "token", "client_secret", "DATABASE_URL", "private_key")
    files = {
        f"a/{number}.env": "".join(
            f"{names[line % len(names)]}{line} = {random_.randbytes(24).hex()}{line:x}\n" for line in range(8000)
        )
        for number in range(100)
    }  # fmt: skip
    return layer(files, compression="gz")


def saturation(home: Path, registry: MemoryRegistry, seconds: float, callers: int) -> int:
    """The first promise; returns an exit code."""
    tokens = tokens_file(home / "tokens", one=_SCOPES)
    print("two hostile images are made", flush=True)
    registry.put("hostile/zeros", "1", image_of(_zeros()))
    registry.put("hostile/alike", "1", image_of(_alike()))
    with (
        program(home, *_options(home, registry, "--scans", "2")) as service,
        service.client(tokens["one"]) as client,
    ):
        known: dict[str, str] = {}
        tickets = []
        for number in range(20):
            reference = _put(registry, number, number % 2 == 0)
            id_ = awaited(partial(_asked, client, reference))
            known[client.get(f"/v1/scans/{id_}").json()["reference"]] = "leaked" if number % 2 == 0 else "clean"
            tickets.append(id_)
        for id_ in tickets:
            awaited(partial(_is_in, client, id_, "done"))
        alone = _load(service.port, tokens["one"], known, callers, min(seconds, 5.0))
        _say(f"{callers} callers, nothing scanned", alone)
        hostile = [awaited(partial(_asked, client, f"{registry.address}/hostile/{name}:1"))
                   for name in ("zeros", "alike")]  # fmt: skip
        for id_ in hostile:
            awaited(partial(_is_in, client, id_, "running"))
        memory: list[tuple[float, int]] = []
        with _sampled(service.process.pid, memory):
            loaded = _load(service.port, tokens["one"], known, callers, seconds)
        states = [_state(client, id_) for id_ in hostile]
        _say(f"{callers} callers, two hostile images scanned", loaded)
    quarter = max(len(memory) // 4, 1)
    first, last = (max(mib for _, mib in part) for part in (memory[:quarter], memory[-quarter:]))
    print(f"hostile images at the end: {', '.join(states)}; memory of the service: {first} MiB in the first quarter, "
          f"{last} MiB in the last, {max(mib for _, mib in memory)} MiB at most")  # fmt: skip
    kept = loaded["p99"] < _P99_SECONDS and not loaded["wrong"] and not loaded["unanswered"]
    return 0 if kept and last - first < _GROWTH_MIB else 1


def _say(what: str, found: dict[str, Any]) -> None:
    print(f"{what}: {found['answers']} answers, {found['rate']:.0f}/s; verdicts: p50 {found['p50'] * 1000:.1f} ms, "
          f"p99 {found['p99'] * 1000:.1f} ms, longest {found['longest'] * 1000:.1f} ms; "
          f"{found['wrong']} wrong, {found['unanswered']} unanswered, statuses {found['statuses']}",
          flush=True)  # fmt: skip


def _load(port: int, token: str, known: dict[str, str], callers: int, seconds: float) -> dict[str, Any]:
    """What callers of a process of their own are answered, each asking again as soon as it has its answer."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_callers, args=(theirs, port, token, known, callers, seconds))
    process.start()
    found: dict[str, Any] = ours.recv()
    process.join()
    return found


def _callers(answer: Any, port: int, token: str, known: dict[str, str], callers: int, seconds: float) -> None:
    """Plain sockets: a client library would take more time than the service."""
    requests = [_request(token, reference, word) for reference, word in known.items()]
    random_, selector = random.Random(1), selectors.DefaultSelector()
    took: list[float] = []
    statuses: Counter[int] = Counter()
    wrong = 0
    length = re.compile(rb"content-length: (\d+)", re.IGNORECASE)

    def send(connection: socket.socket) -> list[Any]:
        request, expected = random_.choice(requests)
        connection.sendall(request)
        return [time.perf_counter(), expected, b""]

    waiting: dict[socket.socket, list[Any]] = {}
    for _ in range(callers):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        waiting[connection] = send(connection)
    begun = time.perf_counter()
    patience = begun + seconds + 30.0
    while waiting and time.perf_counter() < patience:
        for key, _ in selector.select(1.0):
            connection = key.fileobj  # type: ignore[assignment]
            state = waiting[connection]
            piece = connection.recv(1 << 18)
            state[2] += piece
            head, end, body = state[2].partition(b"\r\n\r\n")
            if piece and (not end or len(body) < int(length.search(head)[1])):  # type: ignore[index]
                continue
            if not piece:  # it hung up: that call stays unanswered
                selector.unregister(connection)
                continue
            status = int(head.split()[1])
            if status == 200:
                took.append(time.perf_counter() - state[0])
            statuses[status] += 1
            wrong += status == 200 and state[1] not in body
            del waiting[connection]
            if time.perf_counter() - begun < seconds:
                waiting[connection] = send(connection)
    took.sort()
    number = sum(statuses.values())
    answer.send({
        "answers": number, "rate": number / seconds, "p50": took[len(took) // 2], "longest": took[-1],
        "p99": took[int(len(took) * 0.99)], "wrong": wrong, "unanswered": len(waiting), "statuses": dict(statuses),
    })  # fmt: skip


def _request(token: str, reference: str, word: str) -> tuple[bytes, bytes]:
    """A call about an image, and what its answer must hold: a review as a cluster sends it, if there is a door."""
    head = f"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    if not any(door.path == _REVIEWS for door in DOORS):
        return (f"GET /v1/verdicts/{reference.rpartition('@')[2]} {head}\r\n".encode(), f'"verdict":"{word}"'.encode())
    pod = {"metadata": {"name": "app"}, "spec": {"containers": [{"name": "app", "image": reference}]}}
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": kind, "operation": "CREATE", "object": pod,
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": "default", "dryRun": False,
    }})  # fmt: skip
    more = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    allowed = "true" if word == "clean" else "false"
    return f"POST {_REVIEWS} {head}{more}\r\n{body}".encode(), f'"allowed":{allowed}'.encode()


@contextlib.contextmanager
def _sampled(pid: int, found: list[tuple[float, int]]) -> Iterator[None]:
    """Note the memory (MiB) of one process, twice a second."""
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.5):
            text = Path(f"/proc/{pid}/status").read_text()
            kib = sum(map(int, re.findall(r"(?:RssAnon|RssShmem):\s+(\d+)", text)))
            found.append((time.monotonic(), kib >> 10))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


# -- kills -------------------------------------------------------------------------------------------------------------


class _Traffic:
    """Callers that ask for scans and verdicts all the time, whether the service is there or not.

    Attributes:
        asked: digest by the id of a ticket that the service gave.
        expected: the verdict by digest.
        wrong: answers that were neither that verdict nor that none is known yet.
    """

    def __init__(self, registry: MemoryRegistry, token: str, seed: int) -> None:
        self._registry, self._token, self._random = registry, token, random.Random(seed)
        self.asked: dict[str, str] = {}
        self.expected: dict[str, str] = {}
        self.references: dict[str, str] = {}
        self.wrong: list[str] = []
        self.answers = 0
        self.port = 0
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(what,)) for what in (self._ask, self._look)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, what: Callable[[httpx.Client], None]) -> None:
        while not self._done.wait(0.02):
            port = self.port
            with contextlib.suppress(httpx.HTTPError), httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {self._token}"}, timeout=20.0
            ) as client:  # fmt: skip
                while not self._done.wait(0.02) and port == self.port:
                    what(client)

    def _ask(self, client: httpx.Client) -> None:
        if self.expected and self._random.random() < 0.5:  # again, for one that may be on its way
            reference = self._random.choice(list(self.references.values()))
        else:
            number = len(self.expected)
            leaks = number % 2 == 0
            reference = _put(self._registry, number, leaks)
            digest = sha256(self._registry.manifests[f"team/app{number}", "1"][0])
            self.expected[digest] = "leaked" if leaks else "clean"
            self.references[digest] = reference
            self._done.wait(0.2)
        answer = client.post("/v1/scans", json={"reference": reference})
        if answer.status_code == 202:
            self.asked[answer.json()["id"]] = answer.json()["digest"]

    def _look(self, client: httpx.Client) -> None:
        if self.expected:
            self.look(client, self._random.choice(list(self.expected)))

    def look(self, client: httpx.Client, digest: str) -> str:
        """Ask for a verdict, and hold it to what is true."""
        answer = client.get(f"/v1/verdicts/{digest}")
        if answer.status_code != 200:
            return ""
        self.answers += 1
        found = str(answer.json()["verdict"])
        if found not in (self.expected[digest], "unknown", "incomplete"):
            self.wrong.append(f"{digest}: {found}, not {self.expected[digest]}")
        return found


def kills(home: Path, registry: MemoryRegistry, count: int, random_: random.Random) -> int:
    """The second promise; returns an exit code."""
    tokens = tokens_file(home / "tokens", one=_SCOPES)
    traffic = _Traffic(registry, tokens["one"], random_.randrange(1 << 30))
    begun, killed, services = time.monotonic(), Counter[str](), 0
    traffic.start()
    try:
        while sum(killed.values()) < count:
            services += 1
            with program(home, *_options(home, registry)) as service:
                traffic.port = service.port
                time.sleep(random_.uniform(0.0, 5.0))
                if random_.random() < 0.8 and sum(killed.values()) < count - 1:
                    killed["a process that scans"] += _kill_a_child(service, random_)
                    time.sleep(random_.uniform(0.0, 2.0))
                service.kill()
                killed["the service"] += 1
    finally:
        traffic.stop()
    print(f"{sum(killed.values())} kills in {time.monotonic() - begun:.0f} s ({dict(killed)}); {services} services; "
          f"{len(traffic.asked)} tickets for {len(traffic.expected)} images; {traffic.answers} verdicts",
          flush=True)  # fmt: skip
    lost: list[str] = []
    with program(home, *_options(home, registry)) as service, service.client(tokens["one"]) as client:
        states: Counter[str] = Counter()
        for id_ in traffic.asked:
            if client.get(f"/v1/scans/{id_}").status_code != 200:
                lost.append(id_)
                continue
            awaited(partial(_is_in, client, id_, "done", "failed"))
            states[_state(client, id_)] += 1
        again, digests = 0, sorted(set(traffic.asked.values()))
        for digest in digests:
            if traffic.look(client, digest) != traffic.expected[digest]:  # it was given up after three deaths
                again += 1
                id_ = awaited(partial(_asked, client, traffic.references[digest]))
                awaited(partial(_is_in, client, id_, "done", "failed"))
        unsettled = [digest for digest in digests if traffic.look(client, digest) != traffic.expected[digest]]
        service.end()
    disk = _bytes(home)
    leaked = sum(_token(number).encode() in disk for number in range(len(traffic.expected)))
    print(f"tickets: {len(lost)} lost, {dict(states)}; asked for once more: {again}; "
          f"verdicts: {len(traffic.wrong)} wrong at any time, {len(unsettled)} wrong or missing at the end; "
          f"values on the disk: {leaked}")  # fmt: skip
    return 1 if lost or traffic.wrong or unsettled or leaked else 0


def _kill_a_child(service: Program, random_: random.Random) -> int:
    """Kill one of the processes that scan, or that work for one; 1 if there was any."""
    found, todo = [], [service.process.pid]
    while todo:
        for path in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                pids = [int(pid) for pid in path.read_text().split()]
                found += pids
                todo += pids
    if not found:
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(random_.choice(found), signal.SIGKILL)
    return 1


def _bytes(folder: Path) -> bytes:
    """All that is in the files of a folder, with what stores have packed."""
    found = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for path in folder.rglob("*.sqlite3"):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("select document from results union all select outcome from layers").fetchall()
        found += b"".join(zlib.decompress(row[0]) for row in rows)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
