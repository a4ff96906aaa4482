"""An audit of a registry in which every repository has a fault of its own: each ends in a result or a named gap, the
others go on, and on the wire no credential leaves for another host."""

from __future__ import annotations

import base64
import os
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scanner import detection
from scanner.audit.run import Audit, Display, Wanted, audit
from scanner.audit.summary import summarize
from scanner.audit.targets import Filters, parse_target
from scanner.evidence import Severity
from scanner.image.registry.client import Client
from scanner.image.registry.settings import Settings
from scanner.limits import Limits
from scanner.store.database import open_store
from testimages.values import value_of
from tests.builders import image_of, layer, sha256
from tests.registries import Fault, Handler, MemoryRegistry, Request, docker_config, memory_registry

PASSWORD = value_of("audit faults", "password", "password")
BASIC = "Basic " + base64.b64encode(f"reader:{PASSWORD}".encode()).decode()
TEXT = "".join(f"line {number * 7919 % 100_003}\n" for number in range(20_000))


def of_layers(fault: Fault) -> Fault:
    """A fault of large blobs only."""
    return lambda handler, request: _size(handler, request) > 10_000 and fault(handler, request)


def _size(handler: Handler, request: Request) -> int:
    blobs = handler.server.registry.blobs
    return len(blobs.get(request.path.rpartition("/")[2], b"")) if "/blobs/" in request.path else 0


def first(number: int, fault: Fault) -> Fault:
    """A fault of the first requests only."""
    left = [number]

    def once(handler: Handler, request: Request) -> bool:
        left[0] -= 1
        return left[0] >= 0 and fault(handler, request)

    return of_layers(once)


def body(change: Callable[[bytes], bytes], length: int = 0) -> Fault:
    """Another body than it should be, which the header promises to be *length* longer than it is."""

    def fault(handler: Handler, request: Request) -> bool:
        data = change(handler.server.registry.blobs[request.path.rpartition("/")[2]])
        start = int(request.headers.get("range", "bytes=0-")[6:-1])
        whole = len(data) + length
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(whole - start))
        handler.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        handler.end_headers()
        handler.wfile.write(data[start:])
        handler.close_connection = True
        return True

    return fault


def reset(handler: Handler, request: Request) -> bool:
    """The connection is torn down in the middle (RST)."""
    data = handler.server.registry.blobs[request.path.rpartition("/")[2]]
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[:1000])
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
    return True


def trickle(handler: Handler, request: Request) -> bool:
    """A byte now and then."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(_size(handler, request)))
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.1)
    return True


def mute(handler: Handler, request: Request) -> bool:  # noqa: ARG001
    """Nothing at all."""
    time.sleep(20)
    return True


def status(code: int, **headers: str) -> Fault:
    """A refusal."""

    def fault(handler: Handler, request: Request) -> bool:  # noqa: ARG001
        handler.give(code, b"{}", **headers)
        return True

    return fault


def to(location: Callable[[Request], str]) -> Fault:
    """A redirect."""

    def fault(handler: Handler, request: Request) -> bool:
        handler.give(307, Location=location(request), Set_Cookie="session=planted")
        return True

    return fault


def headers(handler: Handler, request: Request) -> bool:  # noqa: ARG001
    """A header of a megabyte."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n")
    handler.close_connection = True
    return True


def manifest(change: Callable[[bytes], bytes], media_type: str) -> Fault:
    """Another manifest than the digest names, or of another type."""

    def fault(handler: Handler, request: Request) -> bool:
        name, found, item = request.path.removeprefix("/v2/").partition("/manifests/")
        if not found or request.method == "HEAD" or (name, item) not in handler.server.registry.manifests:
            return False
        raw = handler.server.registry.manifests[name, item][0]
        handler.give(200, change(raw), Content_Type=media_type, Docker_Content_Digest=sha256(raw))
        return True

    return fault


def faults(other: MemoryRegistry, registry: MemoryRegistry) -> dict[str, tuple[Fault, str]]:
    """By repository: a fault, and the reason that its image is then told with; empty if the scan is whole."""
    elsewhere = to(lambda request: f"http://{other.address}{request.path}?signature=planted")
    realm = f'Bearer realm="http://{other.address}/token",service="tests"'
    return {
        "none": (lambda _handler, _request: False, ""),
        "cut-once": (first(1, body(lambda data: data[: len(data) // 2], 0)), ""),
        "cut-always": (of_layers(body(lambda data: data[:5000], 90_000)), "registry."),
        "reset-once": (first(1, reset), ""),
        "reset-always": (of_layers(reset), "registry.broken"),
        "trickle": (of_layers(trickle), "registry.timeout"),
        "mute": (of_layers(mute), "registry.timeout"),
        "busy-twice": (first(2, status(429, Retry_After="1")), ""),
        "busy-always": (of_layers(status(429)), "registry.too-many"),
        "broken-twice": (first(2, status(503)), ""),
        "broken-always": (of_layers(status(500)), "registry.failed"),
        "denied": (of_layers(status(403)), "registry.denied"),
        "not-logged-in": (of_layers(status(401, WWW_Authenticate='Basic realm="tests"')), "registry.denied"),
        "realm": (of_layers(status(401, WWW_Authenticate=realm)), "registry.auth-realm"),
        "gone": (of_layers(status(404)), "blob.missing"),
        "wrong-once": (first(1, body(lambda data: data[:-1] + b"!")), ""),
        "wrong": (of_layers(body(lambda data: data[:-1] + b"!")), "layer.digest"),
        "longer": (of_layers(body(lambda data: data + b"x")), "registry.size"),
        "packed": (of_layers(status(200, Content_Encoding="gzip")), "registry.encoding"),
        "headers": (of_layers(headers), "registry.broken"),
        "elsewhere": (of_layers(elsewhere), ""),
        "circle": (of_layers(to(lambda request: f"http://{registry.address}{request.path}")), "registry.redirect"),
        "file": (of_layers(to(lambda _: "file:///etc/passwd")), "registry.redirect"),
        "metadata": (of_layers(to(lambda _: "http://169.254.169.254/latest")), "registry.address"),
        "other-manifest": (manifest(lambda raw: raw + b" ", "application/vnd.oci.image.manifest.v1+json"),
                           "that has the digest"),
        "mistyped": (manifest(lambda raw: raw, "text/html"), ""),
    }  # fmt: skip


@pytest.fixture
def hosts() -> Iterator[tuple[MemoryRegistry, MemoryRegistry]]:
    """The registry, and another host that has the same blobs."""
    with memory_registry() as registry, memory_registry("localhost") as other:
        yield registry, other


def run(registry: MemoryRegistry, home: Path, limits: Limits, settings: Settings) -> Audit:
    """An audit with the user's credentials."""
    docker = docker_config(home / "docker", registry.address, "reader", PASSWORD)
    target = parse_target(registry.address)
    client = Client.connect(target.registry, settings, limits, {"DOCKER_CONFIG": str(docker)}, lambda _: None)
    store = open_store(f"sqlite:///{home}/audit.sqlite3")
    with tempfile.TemporaryDirectory() as cache:
        rules = detection.load({**os.environ, "XDG_CACHE_HOME": cache})
        try:
            return audit(client, target, store, rules, Wanted(limits, 2, b"k" * 32, Filters()), Display())
        finally:
            client.close()


def test_every_fault(hosts: tuple[MemoryRegistry, MemoryRegistry], tmp_path: Path) -> None:
    """All that can be read is read, all else has its reason, and the counts are those of all images."""
    registry, other = hosts
    expected = faults(other, registry)
    for name in expected:
        registry.put(f"team/{name}", "1", image_of(layer({f"srv/{name}": name + TEXT})))
    other.blobs = registry.blobs

    def fault(handler: Handler, request: Request) -> bool:
        if request.headers.get("authorization") != BASIC:
            handler.give(401, WWW_Authenticate='Basic realm="tests"', Set_Cookie="session=planted; Domain=localhost")
            return True
        parts = request.path.split("/")
        return len(parts) > 3 and parts[2] == "team" and expected[parts[3]][0](handler, request)

    registry.fault = fault
    settings = Settings(frozenset({registry.address, other.address}), idle_seconds=4.0, tries=3)

    found = run(registry, tmp_path, Limits(fetch_seconds=8.0), settings)

    told = {entry.repository.removeprefix("team/"): entry.reason for entry in found.entries}
    assert told.keys() == expected.keys()
    for name, (_, reason) in expected.items():
        assert (reason in told[name]) if reason else (told[name] == ""), f"{name}: {told[name]}"
    summary = summarize([found], Severity.LOW)
    assert sum(summary.counts.values()) == summary.references == len(expected)
    assert summary.counts["scanned"] == sum(not reason for _, reason in expected.values())
    asked = [request for request in registry.seen if "authorization" in request.headers]
    assert {request.headers["authorization"] for request in asked} == {BASIC}
    assert other.seen and not any({"authorization", "cookie"} & request.headers.keys() for request in other.seen)
    assert not any("token" in request.path for request in other.seen)
    assert not any(PASSWORD in reason for reason in told.values())
