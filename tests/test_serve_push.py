"""From a push to a denied verdict, without a hand: the real registry, the real service, a real browser."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from testimages.values import github_token
from tests.browser import Browser
from tests.builders import BuiltImage, image_of, layer, sha256, whiteout
from tests.engine import free_port
from tests.registries import RealRegistry, docker_registry
from tests.serving import Program, awaited, bearer, program, tokens_file
from tests.starting import or_skip

TOKEN = github_token(random.Random("pushed"))
OS = layer({"etc/os-release": "NAME=base\n"}, created_by="ADD rootfs.tar /", compression="gz")
LEAKY = image_of(OS, layer({"srv/.env": f"GITHUB_TOKEN={TOKEN}\n"}, created_by="COPY .env /srv/.env"),
                 layer(whiteout("srv/.env"), created_by="RUN make && rm /srv/.env"))  # fmt: skip
CLEAN = image_of(OS, layer({"srv/index.html": "<p>"}, created_by="COPY . /srv"))
LATER = image_of(OS, layer({"app/.env": f"GITHUB_TOKEN={TOKEN}\n"}, created_by="COPY . /app"))
pytestmark = pytest.mark.usefixtures("services_compile_once")


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    """One for the registry, one for people and clusters."""
    return tokens_file(tmp_path / "tokens", registry=["hooks"], people=["read"])


@pytest.fixture
def telling(tokens: dict[str, str]) -> Iterator[tuple[RealRegistry, int]]:
    """A registry that tells the service of pushes, and the port where it expects that. Skips where there is none."""
    port = free_port()
    notify = {"name": "leakscan", "url": f"http://127.0.0.1:{port}/hooks/distribution", "timeout": "2s", "threshold": 3,
              "backoff": "1s", "headers": {"Authorization": [f"Bearer {tokens['registry']}"]}}  # fmt: skip
    yield from _started(lambda: docker_registry(notify=notify), port)


@pytest.fixture
def silent() -> Iterator[tuple[RealRegistry, int]]:
    """A registry that tells nobody anything."""
    yield from _started(docker_registry, 0)


def _started(make: Callable[[], Any], port: int) -> Iterator[tuple[RealRegistry, int]]:
    with or_skip(make()) as registry:
        yield registry, port


def push(registry: RealRegistry, image: BuiltImage, name: str, folder: Path) -> str:
    """Push an image with skopeo, which compresses its layers; returns the digest of the manifest that it made."""
    registry.push(f"dir:{image.skopeo_dir(folder / name.replace('/', '-').replace(':', '-'))}", name)
    repository, _, tag = name.partition(":")
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    answer = httpx.head(f"http://{registry.address}/v2/{repository}/manifests/{tag}", headers=accept)
    return str(answer.headers["docker-content-digest"])


def verdict(client: httpx.Client, digest: str) -> dict[str, Any]:
    """The service's answer for a digest."""
    answer = client.get(f"/v1/verdicts/{digest}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def known(client: httpx.Client, digest: str) -> dict[str, Any]:
    """The answer as soon as it is one."""
    return dict(awaited(lambda: (found := verdict(client, digest))["verdict"] != "unknown" and found))


def tickets(home: Path) -> list[dict[str, Any]]:
    """Every ticket of a service's store."""
    [store] = home.rglob("audit.sqlite3")
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("select * from tickets order by asked")]
    connection.close()
    return rows


def serving(tmp_path: Path, registry: RealRegistry, port: int, every: str) -> Any:
    """The service for that registry."""
    options = ["--tokens", str(tmp_path / "tokens"), "--registry", registry.address, "--drain-seconds", "0",
               "--audit-every", every]  # fmt: skip
    return program(tmp_path, *options, env=registry.environment, port=port)


def test_from_a_push_to_a_denied_verdict(
    telling: tuple[RealRegistry, int], tokens: dict[str, str], tmp_path: Path, browser: Browser
) -> None:
    """A leaking image is pushed, and denied by its digest soon after; a clean one passes; people see why."""
    registry, port = telling
    with serving(tmp_path, registry, port, "never") as service, service.client(tokens["people"]) as client:
        assert verdict(client, sha256(LEAKY.manifest()))["effect"] == "deny"  # unknown: it fails closed
        digest = push(registry, LEAKY, "shop/web:v1", tmp_path)
        pushed = time.time()
        leaks = known(client, digest)
        denied = time.time()
        other = push(registry, CLEAN, "shop/clean:v1", tmp_path)
        then = time.time()
        clean = known(client, other)
        warm = time.time() - then
        push(registry, LEAKY, "shop/web:v2", tmp_path)  # the same image by another name: nothing to scan
        awaited(lambda: f"{registry.address}/shop/web:v2" in verdict(client, digest)["references"])
        metrics = client.get("/metrics").text
        looked = time.perf_counter()
        verdict(client, digest)
        looked = time.perf_counter() - looked
        look_at(browser, service, tokens["people"], registry, digest)
        assert service.end() == 0

    assert (leaks["verdict"], leaks["effect"]) == ("leaked", "deny")
    assert [finding["state"] for finding in leaks["findings"] if finding["gated"]] == ["deleted"]
    assert (clean["verdict"], clean["effect"]) == ("clean", "allow")
    found = tickets(tmp_path)
    assert [(each["origin"], each["state"], each["tries"]) for each in found] == [("hook distribution", "done", 1)] * 2
    assert 'leakscan_hooks_total{kind="distribution",result="known"} 1' in metrics
    assert TOKEN not in service.notes.read_text()
    [hook] = [line for line in metrics.splitlines()
              if line.startswith("leakscan_request_seconds_sum") and "/hooks/distribution" in line]  # fmt: skip
    [calls] = [line for line in metrics.splitlines()
               if line.startswith("leakscan_request_seconds_count") and "/hooks/distribution" in line]  # fmt: skip
    asked, begun, ended = (datetime.fromisoformat(found[0][each]).timestamp() for each in ("asked", "started", "ended"))
    per_call = float(hook.split()[-1]) / float(calls.split()[-1])
    print(  # pytest -s shows it: the numbers of docs/webhooks.md
        f"\npush to ticket {asked - pushed:.3f} s, begun at {begun - asked:.0f} s, ended at {ended - asked:.0f} s, "
        f"push to denied verdict {denied - pushed:.2f} s, of the second image {warm:.2f} s, "
        f"an answer to a notification {per_call * 1000:.1f} ms, "
        f"a look-up with HTTP {looked * 1000:.1f} ms"
    )


def look_at(browser: Browser, service: Program, token: str, registry: RealRegistry, digest: str) -> None:
    """Go from the overview to the image and its secret as a person does; the policy that is sent has no complaint."""
    base = f"http://127.0.0.1:{service.port}"
    browser.call("Network.setExtraHTTPHeaders", headers=bearer(token))
    try:
        browser.open(f"{base}/")
        assert browser.value("document.querySelector('h1').innerText") == "2 of 3 images leak"
        assert browser.complaints() == [] and browser.requests() == [f"{base}/"]
        follow(browser, f"a[href='/images/{digest}']")
        assert browser.value("document.querySelector('h1').innerText").startswith("LEAKED")
        assert browser.value("document.querySelectorAll('.lane.buried').length") == 1
        assert browser.complaints() == []
        follow(browser, "a[href^='/findings/']")
        told = browser.value("document.querySelector('main').innerText")
        assert f"{registry.address}/shop/web:v2" in told and browser.complaints() == []
    finally:
        browser.call("Network.setExtraHTTPHeaders", headers={})


def follow(browser: Browser, link: str) -> None:
    """Open what a link leads to."""
    browser.open(str(browser.value(f"document.querySelector({link!r}).href")))


def test_a_push_that_nobody_told_of(
    silent: tuple[RealRegistry, int], tokens: dict[str, str], tmp_path: Path
) -> None:  # fmt: skip
    """Pushed while no service ran, to a registry that tells nobody: the next audit finds it, and it is denied."""
    registry, port = silent
    digest = push(registry, LATER, "shop/lost:v1", tmp_path)
    with serving(tmp_path, registry, port, "1h") as service, service.client(tokens["people"]) as client:
        assert known(client, digest)["effect"] == "deny"
        assert verdict(client, digest)["references"] == [f"{registry.address}/shop/lost:v1"]

    assert [(each["origin"], each["state"]) for each in tickets(tmp_path)] == [("audit", "done")]
