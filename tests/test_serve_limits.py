"""What is too large, too slow, too much or contradicts itself is refused, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from scanner.errors import UnusableFile
from scanner.serve.counters import Counters
from scanner.serve.rates import Rates
from scanner.serve.routing import PUBLIC, Door, PlainTextResponse, Request, Response, Scope, problem
from scanner.serve.server import tls
from scanner.serve.service import Service
from scanner.serve.words import Priority
from scanner.store.database import Store
from tests.registries import certificates
from tests.serving import (
    HOST,
    REPOSITORY,
    application_of,
    bearer,
    digest_of,
    image,
    over_sockets,
    recorded,
    service_on,
    tokens_file,
)

Address = tuple[str, int]


async def echoed(request: Request, _service: Service) -> Response:
    """How long the body is."""
    return PlainTextResponse(str(len(await request.body())))


ECHO = Door("POST", "/echo", PUBLIC, echoed, body_limit=1000)


def said(address: Address, *sent: bytes) -> bytes:
    """What comes back for raw bytes, sent one piece after the other, until the other side closes."""
    with socket.create_connection(address, timeout=60.0) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in sent:
                connection.sendall(piece)
                time.sleep(0.01 if len(sent) > 1 else 0.0)
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


def request(head: str, body: bytes = b"") -> bytes:
    """A request that asks to close the connection after it."""
    return f"{head}\r\nHost: service\r\nConnection: close\r\n\r\n".encode() + body


def status(answer: bytes) -> int:
    """The status of an answer, 0 if there was none."""
    return int(answer.split()[1]) if answer else 0


def test_a_body_that_is_too_large(store: Store) -> None:
    """It is refused at its length, or when it outgrows the limit, and one that just fits is taken."""
    service = service_on(store)
    with over_sockets(application_of(service, None, [ECHO]), service) as address:
        fits = said(address, request("POST /echo HTTP/1.1\r\nContent-Length: 1000", b"x" * 1000))
        claims = said(address, request("POST /echo HTTP/1.1\r\nContent-Length: 1001"))
        chunk = b"200\r\n" + b"x" * 512 + b"\r\n"
        grows = said(address, request("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked", chunk * 2))
        odd = said(address, request("POST /echo HTTP/1.1\r\nContent-Length: " + "9" * 30))

    assert status(fits) == 200 and fits.endswith(b"1000")
    assert status(claims) == status(grows) == 413
    assert status(odd) in (400, 413)


def test_a_head_that_is_too_large(store: Store) -> None:
    """It is refused before it is whole."""
    service = service_on(store, header_bytes=4096)
    with over_sockets(application_of(service, None), service) as address:
        trickle = said(address, *[b"GET /livez HTTP/1.1\r\nHost: s\r\n", *[b"X: " + b"y" * 1000 + b"\r\n"] * 9])
        one = said(address, b"GET /livez HTTP/1.1\r\nHost: s\r\nX: " + b"x" * 100_000)
        many = said(address, b"GET /livez HTTP/1.1\r\nHost: s\r\n" + b"X: y\r\n" * 100_000)
        fine = said(address, request("GET /livez HTTP/1.1\r\nX: " + "x" * 1000))

    assert status(fine) == 200
    assert status(one) in (0, 400) and status(many) in (0, 400) and status(trickle) in (0, 400)


def test_requests_that_are_sent_ahead(store: Store) -> None:
    """A few are answered in their order; a flood of them ends the connection."""
    service = service_on(store)
    one, last = b"GET /livez HTTP/1.1\r\nHost: s\r\n\r\n", request("GET /livez HTTP/1.1")
    with over_sockets(application_of(service, None), service) as address:
        few, flood = said(address, one * 9 + last), said(address, one * 1000 + last)

    assert few.count(b"HTTP/1.1 200") == 10
    assert flood.count(b"HTTP/1.1 200") < 100


def test_two_lengths(store: Store) -> None:
    """A request whose end two servers could see in two places is refused."""
    service = service_on(store)
    with over_sockets(application_of(service, None, [ECHO]), service) as address:
        both = request("POST /echo HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked", b"0\r\n\r\n")
        twice = request("POST /echo HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5", b"abcde")

        assert status(said(address, both)) == status(said(address, twice)) == 400


def test_a_client_that_is_slow(store: Store) -> None:
    """A head or a body that trickles in ends at the limit of a request, and so does a connection that says nothing."""
    service = service_on(store, request_seconds=0.5)
    with over_sockets(application_of(service, None, [ECHO]), service) as address:
        assert said(address, b"") == b""
        assert said(address, b"GET /livez HTTP/1.1\r\nHost:") == b""
        body = said(address, request("POST /echo HTTP/1.1\r\nContent-Length: 9", b"a"))
        kept = said(address, b"POST /echo HTTP/1.1\r\nHost: s\r\nContent-Length: 1\r\n\r\na" + b"POST /ec")

    assert status(body) == 503 and b"took too long" in body
    assert status(kept) == 200 and kept.count(b"HTTP/1.1 ") == 1


def test_an_endpoint_that_is_slow(store: Store) -> None:
    """Its caller is answered all the same, in the form that the door has for problems."""

    async def sleeps(_request: Request, _service: Service) -> Response:
        await asyncio.sleep(60.0)
        raise AssertionError

    def ours(status_: int, detail: str) -> Response:
        return problem(status_, f"ours: {detail}")

    service = service_on(store, request_seconds=0.2)
    door = Door("GET", "/slow", PUBLIC, sleeps, problem=ours)
    with over_sockets(application_of(service, None, [door]), service) as address:
        answer = said(address, request("GET /slow HTTP/1.1"))

    assert status(answer) == 503 and b"ours: it took too long" in answer and b"retry-after: 1" in answer.lower()


def test_more_requests_than_are_worked_on(store: Store, tmp_path: Path) -> None:
    """They are refused at once, with when to come again; other scopes, and the open doors, do not notice."""
    entered, leave = threading.Semaphore(0), threading.Event()

    async def waits(_request: Request, _service: Service) -> Response:
        entered.release()
        while not leave.is_set():
            await asyncio.sleep(0.01)
        return PlainTextResponse("done")

    service = service_on(store, in_flight=2, request_seconds=60.0)
    tokens = tokens_file(tmp_path / "tokens", one=["read", "admission"])
    doors = [Door("GET", "/waits", Scope.READ, waits), Door("GET", "/may", Scope.ADMISSION, echoed),
             Door("GET", "/open", PUBLIC, echoed)]  # fmt: skip
    answers: list[bytes] = []
    head = request(f"GET /waits HTTP/1.1\r\nAuthorization: Bearer {tokens['one']}")
    with over_sockets(application_of(service, tmp_path / "tokens", doors), service) as address:
        threads = [threading.Thread(target=lambda: answers.append(said(address, head))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert entered.acquire(timeout=60.0)
        refused, alive = said(address, head), said(address, request("GET /open HTTP/1.1"))
        may = said(address, head.replace(b"/waits", b"/may"))
        leave.set()
        for thread in threads:
            thread.join()

    assert status(refused) == 429 and b"retry-after: 1" in refused.lower()
    assert status(alive) == status(may) == 200
    assert [status(answer) for answer in answers] == [200, 200]


def test_strangers_hold_up_strangers_alone(store: Store, tmp_path: Path) -> None:
    """Who signed a body shows when all of it is there: whoever is slow with it keeps no token out."""
    service = service_on(store, in_flight=1, request_seconds=60.0, hook_secret=b"a secret of hooks")
    tokens = tokens_file(tmp_path / "tokens", hub=["hooks"])
    doors = [Door("POST", "/signed", Scope.HOOKS, echoed, signature="x-signature"),
             Door("POST", "/token", Scope.HOOKS, echoed)]  # fmt: skip
    application = application_of(service, tmp_path / "tokens", doors)

    async def statuses() -> list[int]:
        inside, leave = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            inside.set()
            await leave.wait()
            yield b"12345"

        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://service") as client:
            slow = asyncio.create_task(client.post("/signed", content=slowly()))
            await inside.wait()
            told = await client.post("/token", content=b"12345", headers=bearer(tokens["hub"]))
            stranger = await client.post("/signed", content=b"12345")
            leave.set()
            return [told.status_code, stranger.status_code, (await slow).status_code]

    assert asyncio.run(statuses()) == [200, 429, 401]


def test_more_connections_than_are_taken(store: Store) -> None:
    """Those that are open are served; one more is told to come again."""
    service = service_on(store, connections=3)
    with over_sockets(application_of(service, None), service) as address, contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection(address))
        over = said(address, request("GET /livez HTTP/1.1"))

    assert status(over) == 503


def test_a_client_that_asks_too_often(store: Store, tmp_path: Path) -> None:
    """It is told when to come again; another one is not hindered. Guessing tokens is dearer."""
    service = service_on(store, rate=0.001, burst=3)
    tokens = tokens_file(tmp_path / "tokens", one=["read"], two=["read"])
    door = Door("GET", "/door", Scope.READ, echoed)
    with over_sockets(application_of(service, tmp_path / "tokens", [door]), service) as (host, port):
        client = httpx.Client(base_url=f"http://{host}:{port}")

        def statuses(number: int, token: str) -> list[int]:
            return [client.get("/door", headers=bearer(token)).status_code for _ in range(number)]

        first, second = statuses(4, tokens["one"]), statuses(1, tokens["two"])
        waiting = client.get("/door", headers=bearer(tokens["one"]))
        guesses = statuses(2, "a guess")
        client.close()

    assert first == [200, 200, 200, 429] and second == [200]
    assert waiting.headers["retry-after"] == "1000"
    assert guesses == [429, 429]


def test_buckets_fill_again() -> None:
    """As fast as the rate says, up to the burst, for as many clients as memory is set aside for."""
    now = 0.0
    rates = Rates(2.0, 4, lambda: now)
    spent = [rates.wait("a") for _ in range(5)]
    now = 1.0
    again = [rates.wait("a") for _ in range(3)]
    now = 100.0
    full = [rates.wait("a") for _ in range(5)]

    assert spent == full == [0, 0, 0, 0, 1] and again == [0, 0, 1]
    for number in range(10_000):
        rates.wait(str(number))
    assert len(rates._buckets) <= 4096


# -- the store fails ---------------------------------------------------------------------------------------------------


def test_a_full_disk(store: Store, tmp_path: Path) -> None:
    """What cannot be written is refused, what is known is still answered, and it heals by itself."""
    service = service_on(store)
    known = recorded(store, "a", image("a"))
    tokens = tokens_file(tmp_path / "tokens", one=["read", "scan"])
    full = True

    @event.listens_for(store, "begin")
    def limited(connection: Any) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages if full else 1_000_000}")

    reference = f"{REPOSITORY}@{digest_of('b')}"
    with over_sockets(application_of(service, tmp_path / "tokens"), service) as (host, port):
        client = httpx.Client(base_url=f"http://{host}:{port}", headers=bearer(tokens["one"]))
        answers = [client.post("/v1/scans", json={"reference": f"{REPOSITORY}@{digest_of(str(number))}"})
                   for number in range(200)]  # fmt: skip
        verdict = client.get(f"/v1/verdicts/{known}")
        full = False
        healed = client.post("/v1/scans", json={"reference": reference})
        client.close()

    assert answers[-1].status_code == 503 and answers[-1].headers["retry-after"]
    ids = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    assert all(service.queue.ticket(each) for each in ids)  # no id was given that is not there
    assert verdict.json()["verdict"] == "clean" and healed.status_code == 202


def test_ready(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service says what it lacks; that it lives stays true."""
    service = service_on(store)
    with over_sockets(application_of(service, None), service) as (host, port):
        client = httpx.Client(base_url=f"http://{host}:{port}")

        def troubles() -> tuple[int, list[str]]:
            answer = client.get("/readyz")
            return answer.status_code, answer.json()["troubles"]

        fine = troubles()
        monkeypatch.setattr("scanner.serve.health._FREE_BYTES", 1 << 60)
        no_room = troubles()
        monkeypatch.undo()
        with store.begin() as connection:
            connection.exec_driver_sql("alter table results rename to gone")
        no_store = troubles()
        service.draining.set()
        both = troubles()
        live = client.get("/livez").status_code
        client.close()

    assert fine == (200, []) and no_room == (503, ["disk"]) and no_store == (503, ["store"])
    assert both == (503, ["draining", "store"]) and live == 200


def test_large_numbers_are_exact() -> None:
    """A counter that stands still above a million, and then jumps, is no counter."""
    counters = Counters()
    for amount in (1_234_566, 1):
        counters.add("things_total", amount, kind="a")
    counters.took("seconds", 2_000_000.25)

    lines = list(counters.lines())

    assert 'things_total{kind="a"} 1234567' in lines
    assert "seconds_sum 2000000.25" in lines and "seconds_count 1" in lines
    assert 'seconds_bucket{le="0.0025"} 0' in lines


def test_numbers(store: Store, tmp_path: Path) -> None:
    """Prometheus reads what was asked, how long it took, and what waits; no label has words of a request."""
    service = service_on(store)
    tokens = tokens_file(tmp_path / "tokens", one=["read", "scan"])
    service.queue.ask(f"{HOST}/a@{digest_of('a')}", digest_of("a"), Priority.WEBHOOK, "test")
    with over_sockets(application_of(service, tmp_path / "tokens"), service) as (host, port):
        client = httpx.Client(base_url=f"http://{host}:{port}", headers=bearer(tokens["one"]))
        client.get(f"/v1/verdicts/{digest_of('b')}")
        client.get("/v1/verdicts/secretword")
        text = client.get("/metrics").text
        client.close()

    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    door = 'door="/v1/verdicts/{digest}",method="GET"'
    assert lines[f'leakscan_requests_total{{{door},status="200"}}'] == "1"
    assert lines[f'leakscan_requests_total{{{door},status="400"}}'] == "1"
    assert lines['leakscan_queue{priority="webhook",state="queued"}'] == "1"
    assert lines['leakscan_request_seconds_count{door="/v1/verdicts/{digest}"}'] == "2"
    assert lines['leakscan_request_seconds_bucket{door="/v1/verdicts/{digest}",le="+Inf"}'] == "2"
    assert lines['leakscan_verdicts_total{standing="unknown"}'] == "1"
    assert "secretword" not in text


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"reference": f"{REPOSITORY}@{digest_of('a')}"}, 202),
        ({"reference": f"other.example/app@{digest_of('a')}"}, 403),
        ({"reference": f"169.254.169.254/app@{digest_of('a')}"}, 403),
        ({"reference": "team/UPPER"}, 422),
        ({"reference": ""}, 422),
        ({"reference": "x" * 2000}, 422),
        ({"reference": 7}, 422),
        ({}, 422),
        ([], 400),
    ],
)
def test_what_may_be_asked_for(store: Store, tmp_path: Path, sent: Any, expected: int) -> None:
    """An image of a registry that the operator named, and nothing else."""
    service = service_on(store)
    tokens = tokens_file(tmp_path / "tokens", one=["scan"])
    with over_sockets(application_of(service, tmp_path / "tokens"), service) as (host, port):
        answer = httpx.post(f"http://{host}:{port}/v1/scans", json=sent, headers=bearer(tokens["one"]))

    assert answer.status_code == expected


def test_an_address_is_judged_when_it_is_connected_to(store: Store, tmp_path: Path) -> None:
    """With any registry allowed, a name that leads to this machine is refused all the same."""
    service = service_on(store, any_registry=True)
    tokens = tokens_file(tmp_path / "tokens", one=["scan"])
    with over_sockets(application_of(service, tmp_path / "tokens"), service) as (host, port):
        answer = httpx.post(f"http://{host}:{port}/v1/scans", json={"reference": f"localhost:{port}/team/app:1"},
                            headers=bearer(tokens["one"]))  # fmt: skip

    assert answer.status_code == 502 and "may not lead" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff\xfe"])
def test_a_body_that_is_no_json(store: Store, tmp_path: Path, body: bytes) -> None:
    """It is said so."""
    service = service_on(store)
    tokens = tokens_file(tmp_path / "tokens", one=["scan"])
    with over_sockets(application_of(service, tmp_path / "tokens"), service) as (host, port):
        answer = httpx.post(f"http://{host}:{port}/v1/scans", content=body, headers=bearer(tokens["one"]))

    assert answer.status_code == 400 and json.loads(answer.text)["title"] == "Bad request"


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA with a server's and a client's certificate, and the same of somebody else in `other`."""
    home = tmp_path_factory.mktemp("pki")
    for place in (home, home / "other"):
        place.mkdir(exist_ok=True)
        folder = certificates(place / "certs", "127.0.0.1", place)
        for name in ("ca.crt", "client.cert", "client.key"):
            (place / name).write_bytes((folder / name).read_bytes())
    return home


def trusting(pki: Path, client: Path | None = None) -> ssl.SSLContext:
    """A client's TLS that trusts the CA, with a certificate of its own if one is named."""
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    if client is not None:
        context.load_cert_chain(client / "client.cert", client / "client.key")
    return context


def test_a_client_certificate(store: Store, pki: Path, tmp_path: Path) -> None:
    """It passes as far as it may; whoever has none needs a token; one of somebody else is no certificate at all."""
    service = service_on(store)
    tokens = tokens_file(tmp_path / "tokens", person=["read"])
    doors = [Door("GET", "/may", Scope.ADMISSION, echoed), Door("GET", "/people", Scope.READ, echoed)]
    application = application_of(service, tmp_path / "tokens", doors, [Scope.ADMISSION])
    context = tls(pki / "server.pem", pki / "server.key", pki / "ca.crt", False)
    with over_sockets(application, service, context) as (host, port):

        def asked(path: str, client: Path | None, **headers: str) -> int:
            url = f"https://{host}:{port}{path}"
            return httpx.get(url, verify=trusting(pki, client), headers=headers).status_code

        assert asked("/may", pki) == 200 and asked("/people", pki) == 403
        assert asked("/may", None) == 401
        person = bearer(tokens["person"])
        assert asked("/people", None, **person) == asked("/people", pki, **person) == 200
        with pytest.raises(httpx.HTTPError):
            asked("/may", pki / "other")


def test_a_client_certificate_is_required(store: Store, pki: Path) -> None:
    """Without one there is no connection, whatever is asked for."""
    service = service_on(store)
    context = tls(pki / "server.pem", pki / "server.key", pki / "ca.crt", True)
    with over_sockets(application_of(service, None), service, context) as (host, port):
        url = f"https://{host}:{port}/livez"
        with pytest.raises(httpx.HTTPError):
            httpx.get(url, verify=trusting(pki))
        assert httpx.get(url, verify=trusting(pki, pki)).status_code == 200


def test_old_tls(store: Store, pki: Path) -> None:
    """Nothing older than TLS 1.2 is spoken."""
    service = service_on(store)
    context = tls(pki / "server.pem", pki / "server.key", None, False)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    old = trusting(pki)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        over_sockets(application_of(service, None), service, context) as address,
        socket.create_connection(address) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        old.wrap_socket(plain, server_hostname="127.0.0.1")


@pytest.mark.parametrize("missing", ["server.pem", "server.key", "ca.crt"])
def test_certificates_that_cannot_be_used(pki: Path, tmp_path: Path, missing: str) -> None:
    """It is said which."""
    names = {name: pki / name for name in ("server.pem", "server.key", "ca.crt")} | {missing: tmp_path / "none"}
    with pytest.raises(UnusableFile, match="none cannot be read: No such file"):
        tls(names["server.pem"], names["server.key"], names["ca.crt"], False)
