"""Registries that fail or lie: every fault ends in bytes that are right or in a named reason, and on the wire no
credential ever goes to another host than its own."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from scanner.errors import RegistryFault
from scanner.image.blob import spool
from scanner.image.registry.challenge import Challenge
from scanner.image.registry.client import Client
from scanner.image.registry.names import Repository
from scanner.image.registry.settings import Settings
from scanner.image.registry.tokens import Tokens
from scanner.limits import Limits
from testimages.values import value_of
from tests.builders import image_of, layer, sha256
from tests.registries import Handler, MemoryRegistry, Request, docker_config, memory_registry

PASSWORD = value_of("faults", "password", "password")
BASIC = "Basic " + base64.b64encode(f"reader:{PASSWORD}".encode()).decode()
DATA = b"".join(number.to_bytes(4, "big") for number in range(200_000))
DIGEST = sha256(DATA)
LIMITS = Limits()
Naps = list[float]


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    """A registry that has one blob."""
    with memory_registry() as found:
        found.blobs[DIGEST] = DATA
        yield found


@pytest.fixture
def other() -> Iterator[MemoryRegistry]:
    """Another host, which is no registry of ours but has the same blob. It is called localhost."""
    with memory_registry("localhost") as found:
        found.blobs[DIGEST] = DATA
        yield found


@pytest.fixture
def naps() -> Naps:
    """The pauses that clients made."""
    return []


Open = Callable[..., Client]


@pytest.fixture
def client(registry: MemoryRegistry, tmp_path: Path, naps: Naps) -> Iterator[Open]:
    """Make clients of the registry, with the user's credentials."""
    environment = {"DOCKER_CONFIG": str(docker_config(tmp_path / "docker", registry.address, "reader", PASSWORD))}
    made: list[Client] = []

    def make(limits: Limits = LIMITS, host: str = "", **settings: Any) -> Client:
        own = replace(Settings(plain_http=frozenset({registry.address, host})), **settings)
        made.append(
            Client.connect(Repository(host or registry.address, "team/app"), own, limits, environment, naps.append)
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


def fetched(client: Client, size: int = len(DATA)) -> bytes:
    """The blob. Raises RegistryFault."""
    target = spool("test")
    try:
        assert client.blob(DIGEST, size, target)
        return target.read(0, target.size())
    finally:
        target.close()


def reason(action: Callable[[], object]) -> str:
    """The reason that *action* ends with."""
    with pytest.raises(RegistryFault) as caught:
        action()
    assert PASSWORD not in str(caught.value) + caught.value.tip
    return caught.value.reason


def credentials_of(registry: MemoryRegistry) -> list[str]:
    """Every Authorization header that came over the wire."""
    return [request.headers["authorization"] for request in registry.seen if "authorization" in request.headers]


def cutting(after: int) -> Callable[[Handler, Request], bool]:
    """A fault: the body of a blob ends *after* bytes of each answer, though the header promised all of it."""

    def fault(handler: Handler, request: Request) -> bool:
        if "/blobs/" not in request.path:
            return False
        start = int(request.headers.get("range", "bytes=0-")[6:-1])
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(DATA) - start))
        handler.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        handler.end_headers()
        handler.wfile.write(DATA[start : start + after])
        handler.wfile.flush()
        handler.close_connection = True
        return True

    return fault


def status(code: int, times: int, **headers: str) -> Callable[[Handler, Request], bool]:
    """A fault: the first *times* requests are answered with a status."""
    left = [times]

    def fault(handler: Handler, request: Request) -> bool:  # noqa: ARG001
        left[0] -= 1
        if left[0] >= 0:
            handler.give(code, b'{"errors":[{"code":"TOOMANYREQUESTS"}]}', **headers)
        return left[0] >= 0

    return fault


def test_a_download_that_breaks_off_goes_on(registry: MemoryRegistry, client: Open, naps: Naps) -> None:
    """Each try asks for the rest only, and the digest is over all of it."""
    registry.fault = cutting(300_000)

    assert fetched(client()) == DATA
    ranges = [request.headers.get("range") for request in registry.seen]
    assert ranges == [None, "bytes=300000-", "bytes=600000-"]
    assert len(naps) == 2


def test_a_download_that_never_ends_well(registry: MemoryRegistry, client: Open) -> None:
    """Five tries are enough; the reason is named."""
    registry.fault = cutting(1000)

    assert reason(lambda: fetched(client())) == "registry.broken"
    assert len(registry.seen) == 5


def test_a_server_without_ranges(registry: MemoryRegistry, client: Open) -> None:
    """A 200 to a request for a range begins at the start again."""
    cut = cutting(300_000)

    def fault(handler: Handler, request: Request) -> bool:
        if len(registry.seen) == 1:
            return cut(handler, request)
        handler.give(200, DATA)
        return True

    registry.fault = fault

    assert fetched(client()) == DATA


def test_another_range_than_was_asked_for(registry: MemoryRegistry, client: Open) -> None:
    """It is not glued to what came before."""
    cut = cutting(300_000)

    def fault(handler: Handler, request: Request) -> bool:
        if len(registry.seen) == 1:
            return cut(handler, request)
        if "range" in request.headers:
            handler.give(206, DATA[7:], Content_Range=f"bytes 7-{len(DATA) - 1}/{len(DATA)}")
            return True
        return False

    registry.fault = fault

    assert fetched(client()) == DATA


@pytest.mark.parametrize(("code", "headers", "pauses"), [
    (429, {"Retry-After": "7"}, [7.0, 7.0]), (503, {"Retry-After": "1"}, [1.0, 1.0]), (500, {}, None), (502, {}, None),
])  # fmt: skip
def test_back_off(
    registry: MemoryRegistry, client: Open, naps: Naps, code: int, headers: dict[str, str], pauses: Naps | None
) -> None:
    """What may pass is tried again, after the time that the registry asks for, else after growing pauses."""
    registry.fault = status(code, 2, **{name.replace("-", "_"): value for name, value in headers.items()})

    assert fetched(client()) == DATA
    assert len(naps) == 2
    assert pauses is None or naps == pauses
    assert all(0 < nap < 10 for nap in naps)


def test_a_registry_that_stays_too_busy(registry: MemoryRegistry, client: Open, naps: Naps) -> None:
    """Five tries, or none at all when it asks for an hour."""
    registry.fault = status(429, 99)
    assert reason(lambda: fetched(client())) == "registry.too-many"
    assert len(registry.seen) == 5

    registry.seen.clear()
    naps.clear()
    registry.fault = status(429, 99, Retry_After="3600")
    assert reason(lambda: fetched(client())) == "registry.too-many"
    assert (len(registry.seen), naps) == (1, [])


def test_bytes_that_are_wrong(registry: MemoryRegistry, client: Open) -> None:
    """They are fetched once more, and then kept for the scan to name."""
    registry.blobs[DIGEST] = DATA[:-1] + b"!"

    assert fetched(client()) == DATA[:-1] + b"!"
    assert len(registry.seen) == 2


def test_a_manifest_that_is_another_one(registry: MemoryRegistry, client: Open) -> None:
    """Other bytes than the digest names are refused, whatever the header says."""
    image = image_of(layer({"a": "b"}))
    registry.put("team/app", "1", image)
    wanted = "sha256:" + "0" * 64
    registry.manifests["team/app", wanted] = registry.manifests["team/app", "1"]

    assert reason(lambda: client().manifest(wanted)) == "registry.digest"


def test_more_bytes_than_there_should_be(registry: MemoryRegistry, client: Open) -> None:
    """A blob longer than its descriptor is left at once; a body without an end is, too."""

    def endless(handler: Handler, request: Request) -> bool:  # noqa: ARG001
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        handler.close_connection = True
        return True

    assert reason(lambda: fetched(client(), len(DATA) - 1)) == "registry.size"
    registry.fault = endless
    assert reason(lambda: fetched(client())) == "registry.size"
    assert reason(lambda: client(replace(LIMITS, document_bytes=100_000)).manifest("1")) == "registry.size"


def test_content_that_is_packed(registry: MemoryRegistry, client: Open) -> None:
    """A Content-Encoding was not asked for, and could be a bomb."""

    def packed(handler: Handler, request: Request) -> bool:  # noqa: ARG001
        handler.give(200, DATA, Content_Encoding="gzip")
        return True

    registry.fault = packed

    assert reason(lambda: fetched(client())) == "registry.encoding"
    assert registry.seen[0].headers["accept-encoding"] == "identity"


def test_headers_without_end(registry: MemoryRegistry, client: Open) -> None:
    """A header of a megabyte, or a hundred thousand of them, are not kept."""

    def large(handler: Handler, request: Request) -> bool:  # noqa: ARG001
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n")
        handler.close_connection = True
        return True

    def many(handler: Handler, request: Request) -> bool:  # noqa: ARG001
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 100_000 + b"\r\n")
        handler.close_connection = True
        return True

    for fault in (large, many):
        registry.fault = fault
        assert reason(lambda: fetched(client())) == "registry.broken"


def trickle(handler: Handler, request: Request) -> bool:  # noqa: ARG001
    """Sends a byte now and then, for half a minute."""
    for _ in range(600):
        handler.wfile.write(b"H")
        handler.wfile.flush()
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("length", ["\u00b2", "1" * 30, "-1", "some", "1,1"])
def test_a_length_that_is_no_number(registry: MemoryRegistry, client: Open, length: str) -> None:
    """A registry that tells no length of a blob tells none, whatever it writes instead."""

    def fault(handler: Handler, request: Request) -> bool:
        handler.give(200, Content_Length=length)
        return bool(request)

    registry.fault = fault

    assert client().blob_size(DIGEST) is None


@pytest.mark.parametrize("in_header", [False, True])
def test_bytes_that_trickle(registry: MemoryRegistry, client: Open, in_header: bool) -> None:
    """A byte now and then keeps no connection past the deadline."""

    def slow(handler: Handler, request: Request) -> bool:
        if not in_header:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(DATA)))
            handler.end_headers()
        return trickle(handler, request)

    registry.fault = slow

    assert reason(lambda: fetched(client(replace(LIMITS, fetch_seconds=0.4)))) == "registry.timeout"


def proxying(handler: Handler, request: Request) -> bool:
    """Answers as a proxy: tunnels to where it is asked to, and has what a registry of that name would have."""
    if request.method != "CONNECT":
        return False
    host, _, port = request.path.rpartition(":")
    with socket.create_connection((host, int(port))) as there:
        handler.send_response(200)
        handler.end_headers()
        back = Thread(target=_pumped, args=(there, handler.connection), daemon=True)
        back.start()
        _pumped(handler.connection, there)
        back.join()
    handler.close_connection = True
    return True


def _pumped(source: socket.socket, target: socket.socket) -> None:
    """All bytes of one connection into another."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(1 << 16):
            target.sendall(chunk)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("secure", [False, True], ids=["forwarded", "tunnelled"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_bytes_that_trickle_through_a_proxy(
    client: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, secure: bool
) -> None:
    """They are timed as on the direct way; where the proxy is, is the user's to choose."""
    homes = [tmp_path / "proxy", tmp_path / "registry"]
    for home in homes:
        home.mkdir()
    slow = []

    def fault(handler: Handler, request: Request) -> bool:
        if not slow or request.method == "CONNECT":
            return proxying(handler, request)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        for byte in DATA[:600]:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.05)
        return True

    with (memory_registry(home=homes[0] if scheme == "https" else None) as proxy,
          memory_registry(home=homes[1] if secure else None) as behind):  # fmt: skip
        for each in (proxy, behind):
            each.blobs[DIGEST] = DATA
            each.fault = fault
        monkeypatch.setenv(f"http{'s' if secure else ''}_proxy", f"{scheme}://{proxy.address}")
        host, certs = behind.address if secure else "registry.example", tuple(f"{home}/certs" for home in homes)
        plain = frozenset() if secure else frozenset({host})

        def asked(seconds: float) -> Client:
            return client(replace(LIMITS, fetch_seconds=seconds), host, plain_http=plain, certificates=certs)

        assert fetched(asked(30.0)) == DATA
        slow.append(True)
        begun = time.monotonic()
        assert reason(lambda: fetched(asked(0.5))) == "registry.timeout"
        assert time.monotonic() - begun < 5
        assert {request.method for request in proxy.seen} == {"CONNECT" if secure else "GET"}


def test_a_proxy_that_trickles(registry: MemoryRegistry, client: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own answer to a request for a tunnel is timed, too."""

    registry.fault = trickle
    monkeypatch.setenv("https_proxy", f"http://{registry.address}")
    begun = time.monotonic()

    host = "registry.example"
    limits = replace(LIMITS, fetch_seconds=0.5)
    assert reason(lambda: fetched(client(limits, host, plain_http=frozenset()))) == "registry.timeout"
    assert time.monotonic() - begun < 5


def test_silence(registry: MemoryRegistry, client: Open) -> None:
    """A registry that accepts and says nothing is left after the idle time."""

    def mute(handler: Handler, request: Request) -> bool:  # noqa: ARG001
        time.sleep(1)
        return True

    registry.fault = mute

    assert reason(lambda: fetched(client(idle_seconds=0.1, tries=2))) == "registry.timeout"


def redirecting(target: Callable[[Request], str]) -> Callable[[Handler, Request], bool]:
    """A fault: authorized requests for blobs are redirected; others must log in."""

    def fault(handler: Handler, request: Request) -> bool:
        if request.headers.get("authorization") != BASIC:
            handler.give(401, WWW_Authenticate='Basic realm="tests"', Set_Cookie="session=planted; Domain=localhost")
        else:
            handler.give(307, Location=target(request), Set_Cookie="session=planted")
        return True

    return fault


def test_redirects_to_another_host(registry: MemoryRegistry, other: MemoryRegistry, client: Open) -> None:
    """They are followed without Authorization and cookies; a break in the other host's body starts here again."""
    registry.fault = redirecting(lambda request: f"http://{other.address}{request.path}?signature=planted")
    other.fault = cutting(500_000)

    assert fetched(client()) == DATA
    assert credentials_of(registry) == [BASIC, BASIC]
    assert credentials_of(other) == []
    assert not any("cookie" in request.headers for request in (*registry.seen, *other.seen))
    assert [request.headers.get("range") for request in other.seen] == [None, "bytes=500000-"]


@pytest.mark.parametrize("target", [
    "file:///etc/passwd", "ftp://127.0.0.1/x", "http://user:planted@127.0.0.1/x", "http://[::1", "//", "gopher://x/",
])  # fmt: skip
def test_redirects_that_are_not_followed(registry: MemoryRegistry, client: Open, target: str) -> None:
    """Other schemes, credentials in URLs, and what is no URL."""
    registry.fault = redirecting(lambda _: target)

    assert reason(lambda: fetched(client())) == "registry.redirect"


def test_a_redirect_that_leaves_tls(other: MemoryRegistry, tmp_path: Path) -> None:
    """From https nothing leads to http, not even to a host that could be talked to so."""
    with memory_registry(home=tmp_path) as secure:
        secure.blobs[DIGEST] = DATA
        settings = Settings(frozenset({other.address}), certificates=(str(tmp_path / "certs"),))
        own = Client.connect(Repository(secure.address, "team/app"), settings, LIMITS, {}, lambda _: None)
        assert fetched(own) == DATA

        place = f"http://{other.address}/v2/team/app/blobs/{DIGEST}"
        secure.fault = lambda handler, _: handler.give(307, Location=place) is None

        assert reason(lambda: fetched(own)) == "registry.redirect"
        own.close()
    assert other.seen == []


def test_redirects_whose_bodies_never_end(registry: MemoryRegistry, other: MemoryRegistry, client: Open) -> None:
    """The body of a redirect is not read."""

    def fault(handler: Handler, request: Request) -> bool:
        handler.send_response(307)
        handler.send_header("Location", f"http://{other.address}{request.path}")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    registry.fault = fault

    assert fetched(client()) == DATA


def test_redirects_in_circles(registry: MemoryRegistry, client: Open) -> None:
    """A handful of hops, then it is over."""
    registry.fault = redirecting(lambda request: request.path)

    assert reason(lambda: fetched(client())) == "registry.redirect"
    assert len(registry.seen) < 10


@pytest.mark.parametrize("address", [
    "169.254.169.254", "10.0.0.7", "::ffff:169.254.169.254", "100.64.1.1", "127.0.0.1", "fd00:ec2::254",
])  # fmt: skip
def test_names_that_resolve_to_addresses_near_us(
    registry: MemoryRegistry, client: Open, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """A public registry's redirect to a harmless name with such an address reaches nobody."""
    real = socket.getaddrinfo
    dialled: list[Any] = []
    port = int(registry.address.rpartition(":")[2])

    def resolve(host: str, *args: Any, **options: Any) -> Any:
        found = {"images.example": "203.0.113.7", "harmless.example": address}.get(host)
        if found is None:
            return real(host, *args, **options)
        family = socket.AF_INET6 if ":" in found else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (found, port))]

    def connect(sock: socket.socket, target: Any) -> None:
        dialled.append(target[0])
        return plain(sock, ("127.0.0.1", port))

    plain = socket.socket.connect
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr("scanner.image.registry.connect._Socket.connect", connect, raising=False)
    monkeypatch.setattr("scanner.image.registry.connect.reach", _as_if_public("203.0.113.7"))
    host = f"images.example:{port}"

    def lead(handler: Handler, request: Request) -> bool:  # noqa: ARG001
        handler.give(307, Location=f"http://harmless.example:{port}/v2/team/app/blobs/{DIGEST}")
        return True

    registry.fault = lead

    assert reason(lambda: fetched(client(host=host))) == "registry.address"
    assert dialled == ["203.0.113.7"]


def _as_if_public(public: str) -> Callable[[str], Any]:
    """Addresses are judged as always, but for one of the documentation's, which stands for a public one here."""
    from scanner.image.registry.addresses import Reach, reach

    return lambda text: Reach.PUBLIC if text == public else reach(text)


def bearer(realm: str) -> Callable[[Handler, Request], bool]:
    """A fault: everything needs a token of *realm*."""

    def fault(handler: Handler, request: Request) -> bool:
        if "/v2/" not in request.path or request.headers.get("authorization", "").startswith("Bearer good"):
            return False
        handler.give(401, WWW_Authenticate=f'Bearer realm="{realm}",service="tests",scope="registry:catalog:*"')
        return True

    return fault


def test_a_realm_on_another_host(registry: MemoryRegistry, other: MemoryRegistry, client: Open) -> None:
    """No request leaves for it, and the message names both hosts."""
    registry.fault = bearer(f"http://{other.address}/token")

    with pytest.raises(RegistryFault) as caught:
        fetched(client())

    assert caught.value.reason == "registry.auth-realm"
    assert "localhost" in caught.value.what and registry.address in caught.value.what
    assert other.seen == []
    assert credentials_of(registry) == []


@pytest.mark.parametrize("realm", ["", "/token", "file:///etc/passwd", "http://169.254.169.254/latest", "http://[::1"])
def test_realms_that_are_none(registry: MemoryRegistry, client: Open, realm: str) -> None:
    """Nothing is sent."""
    registry.fault = bearer(realm)

    assert reason(lambda: fetched(client())) == "registry.auth-realm"
    assert credentials_of(registry) == []


def issuing(registry: MemoryRegistry, tokens: list[str]) -> Callable[[Handler, Request], bool]:
    """A fault: a registry that is its own token server and gives *tokens* one after the other."""
    asking = bearer(f"http://{registry.address}/token")

    def fault(handler: Handler, request: Request) -> bool:
        if request.path.startswith("/token"):
            token = tokens.pop(0) if tokens else "none"
            handler.give(200, json.dumps({"token": token, "expires_in": 300}).encode())
            return True
        return asking(handler, request)

    return fault


def test_tokens_are_asked_for_once(registry: MemoryRegistry, client: Open) -> None:
    """One token serves all requests of a scope. It is asked for pulling, whatever the challenge says, and with the
    credentials, which go nowhere else."""
    registry.fault = issuing(registry, ["good-1", "good-2"])
    own = client()

    assert fetched(own) == fetched(own) == DATA
    asked = [request for request in registry.seen if request.path.startswith("/token")]
    assert [request.path for request in asked] == ["/token?service=tests&scope=repository%3Ateam%2Fapp%3Apull"]
    assert asked[0].headers["authorization"] == BASIC
    assert set(credentials_of(registry)) == {BASIC, "Bearer good-1"}


@pytest.mark.parametrize(("told", "kept"), [
    (100, 80), (0.5, 0.4), (3599, 2879.2), (3600, 2880), (7200, 2880), (float("inf"), 2880),
    (0, 48), (-1, 48), (True, 48), ("7200", 48), (None, 48), (float("nan"), 48),
])  # fmt: skip
def test_how_long_a_token_is_kept(
    registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch, told: object, kept: float
) -> None:
    """For most of what its server says, an hour at the longest; a minute is what it lives for if nothing is said."""
    now = [1000.0]
    monkeypatch.setattr("scanner.image.registry.tokens.time.monotonic", lambda: now[0])
    tokens = Tokens(Repository(registry.address), None, Settings())
    challenge = Challenge("bearer", {"realm": f"https://{registry.address}/token"})

    tokens.answer([challenge], "scope", True, lambda *_: {"token": "t", "expires_in": told})

    now[0] += kept - 0.01
    assert tokens.header("scope") == "Bearer t"
    now[0] += 0.02
    assert tokens.header("scope") == ""


def test_a_token_that_runs_out_on_the_way(registry: MemoryRegistry, client: Open) -> None:
    """A 401 in the middle brings one new token; if that is refused as well, it is over."""
    registry.fault = issuing(registry, ["good-1", "good-2"])
    own = client()
    fetched(own)
    valid = registry.fault

    def expired(handler: Handler, request: Request) -> bool:
        if request.headers.get("authorization") == "Bearer good-1":
            handler.give(401, WWW_Authenticate=f'Bearer realm="http://{registry.address}/token",service="tests"')
            return True
        return valid(handler, request)

    registry.fault = expired
    assert fetched(own) == DATA

    registry.fault = issuing(registry, ["bad-1", "bad-2"])
    registry.seen.clear()
    assert reason(lambda: fetched(client())) == "registry.denied"
    assert len(registry.seen) == 3  # without, for a token, with


def test_token_requests_are_not_redirected(registry: MemoryRegistry, other: MemoryRegistry, client: Open) -> None:
    """They carry the user's credentials."""
    asking = bearer(f"http://{registry.address}/token")

    def fault(handler: Handler, request: Request) -> bool:
        if request.path.startswith("/token"):
            handler.give(307, Location=f"http://{other.address}/token")
            return True
        return asking(handler, request)

    registry.fault = fault

    assert reason(lambda: fetched(client())) == "registry.auth-realm"
    assert other.seen == []


def test_credentials_are_of_one_host(other: MemoryRegistry, client: Open) -> None:
    """Another registry that asks for a password gets none, though the user has one for this one."""

    def ask(handler: Handler, request: Request) -> bool:  # noqa: ARG001
        handler.give(401, WWW_Authenticate='Basic realm="tests"')
        return True

    other.fault = ask

    assert reason(lambda: fetched(client(host=other.address))) == "registry.denied"
    assert credentials_of(other) == []


def test_pages_are_followed(registry: MemoryRegistry, client: Open) -> None:
    """To the last one, by the registry's own links; entries that can be no names are left out."""
    for number in range(7):
        registry.manifests["team/app", f"{number}"] = b"{}", "x"
        registry.manifests[f"repo{number}", "1"] = b"{}", "x"
    registry.manifests["../../etc", "1"] = b"{}", "x"

    assert list(client().tags()) == [str(number) for number in range(7)]
    assert list(client().catalog()) == [*(f"repo{number}" for number in range(7)), "team/app"]


@pytest.mark.parametrize(("link", "wanted"), [
    ("</v2/team/app/tags/list?n=1000>; rel=\"next\"", "registry.paging"),
    ("<http://localhost/v2/team/app/tags/list?last=b>; rel=\"next\"", "registry.paging"),
    ("<//localhost/v2/team/app/tags/list?last=b>; rel=next", "registry.paging"),
    ("</v2/team/other/tags/list?last=b>; rel=\"next\"", "registry.paging"),
])  # fmt: skip
def test_pages_that_lead_astray(registry: MemoryRegistry, client: Open, link: str, wanted: str) -> None:
    """A circle, another host, another list: the list ends with a reason, not silently."""

    def fault(handler: Handler, request: Request) -> bool:  # noqa: ARG001
        handler.give(200, b'{"tags":["a"]}', Link=link)
        return True

    registry.fault = fault

    assert reason(lambda: list(client().tags())) == wanted


def test_lists_that_are_none(registry: MemoryRegistry, client: Open) -> None:
    """What is no JSON, or no list, is named; nesting does not overrun."""
    for body in (b"<html>", b'{"tags": 7}', b"[" * 100_000):

        def fault(handler: Handler, request: Request, body: bytes = body) -> bool:  # noqa: ARG001
            handler.give(200, body)
            return True

        registry.fault = fault
        assert reason(lambda: list(client().tags())) == "registry.malformed"


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "fd00:ec2::254",
        "168.63.129.16", "192.0.0.192", "fd20:ce::254", "64:ff9b:1::a9fe:a9fe", "::169.254.169.254", "fec0::1",
    ],
)  # fmt: skip
def test_addresses_that_no_registry_may_lead_to(address: str) -> None:
    """Metadata services of all clouds, in whatever form an address carries another one."""
    from scanner.image.registry.addresses import Reach, reach

    assert reach(address) is Reach.NEVER
