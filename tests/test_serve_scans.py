"""Tickets are scanned in processes of their own; several services may share a store, and lose nothing of each other."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scanner.errors import StoreError
from scanner.serve.assembly import Assembled, assembled
from scanner.serve.hooks.push import Push
from scanner.serve.hooks.taken import pending, take
from scanner.serve.registries import Registries
from scanner.serve.settings import ServeSettings
from scanner.serve.words import Policy, Priority, Standing, Ticket, TicketState
from scanner.store.database import DatabaseError
from testimages.values import github_token
from tests.builders import OCI_MANIFEST, descriptor_of, dumps, image_of, layer, sha256
from tests.postgres import own_postgres
from tests.registries import Handler, MemoryRegistry, Request
from tests.serving import awaited
from tests.starting import or_skip


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home of the tests' own; detectors are compiled once."""
    folder = str(tmp_path_factory.mktemp("home"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME"):
            patch.setenv(name, folder)
        yield


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store of either kind. Skips where there is no server."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.sqlite3"
        return
    with or_skip(own_postgres()) as server:
        yield server.url


def settings(registry: MemoryRegistry, **more: float) -> ServeSettings:
    """Short leases."""
    return ServeSettings(frozenset({registry.address}), cache_seconds=0.0, lease_seconds=3.0, **more)  # type: ignore[arg-type]


def asked(both: Assembled, registry: MemoryRegistry, number: int) -> Ticket:
    """Ask for the scan of an image; each third one leaks."""
    token = github_token(random.Random(f"scans {number}"))
    files = {"a": f"{number}"} | ({".env": f"GITHUB_TOKEN={token}\n"} if number % 3 == 0 else {})
    image = image_of(layer(files))
    registry.put(f"team/app{number}", "1", image)
    digest = sha256(image.manifest())
    reference = f"{registry.address}/team/app{number}:1@{digest}"
    return both.service.queue.ask(reference, digest, Priority.WEBHOOK, "test")


def ended(both: Assembled, ticket: Ticket) -> Ticket:
    """The ticket when its scan is over."""

    def over() -> Ticket | None:
        found = both.service.queue.ticket(ticket.id)
        return found if found is not None and found.state in (TicketState.DONE, TicketState.FAILED) else None

    found = awaited(over)
    assert isinstance(found, Ticket)
    return found


def test_tickets_are_scanned(registry: MemoryRegistry, url: str) -> None:
    """Each once, and what came of it is the verdict."""
    with assembled(url, settings(registry), Policy()) as both:
        tickets = [asked(both, registry, number) for number in range(6)]
        states = [ended(both, ticket) for ticket in tickets]
        standings = [both.service.verdicts.of(ticket.digest).standing for ticket in tickets]

    assert {each.state for each in states} == {TicketState.DONE} and {each.tries for each in states} == {1}
    assert standings == [Standing.LEAKED, Standing.CLEAN, Standing.CLEAN] * 2


def test_an_attestation_that_came_after_its_image(registry: MemoryRegistry, url: str) -> None:
    """It is read beside the image, whose verdict tells of it; one that was read is not asked for again."""
    statement = dumps({"predicate": {"GITHUB_TOKEN": github_token(random.Random("attested"))}})
    raw = dumps({"schemaVersion": 2, "config": descriptor_of(b"{}", "application/vnd.oci.empty.v1+json"),
                 "layers": [descriptor_of(statement, "application/vnd.in-toto+json")]})  # fmt: skip
    with assembled(url, settings(registry), Policy()) as both:
        image = asked(both, registry, 1)
        ended(both, image)
        before = both.service.verdicts.of(image.digest)
        tag = f"{image.digest.replace(':', '-')}.att"
        registry.blobs |= {sha256(statement): statement, sha256(b"{}"): b"{}"}
        registry.manifests["team/app1", tag] = registry.manifests["team/app1", sha256(raw)] = raw, OCI_MANIFEST
        push = Push(registry.address, "team/app1", tag, sha256(raw))
        first = take(both.service, [push], "", "test")
        listed = both.service.queue.listed(tuple(TicketState), 10)
        [ticket] = [each for each in listed if each.id != image.id]
        over = ended(both, ticket)
        after = both.service.verdicts.of(image.digest)
        again = take(both.service, [push], "", "test")

    assert (before.standing, after.standing) == (Standing.CLEAN, Standing.LEAKED)
    assert (first.queued, over.state, over.digest) == (1, TicketState.DONE, image.digest)
    assert (again.queued, again.known) == (0, 0)


def test_what_another_service_left(registry: MemoryRegistry, url: str) -> None:
    """A ticket that a service took along when it was killed is scanned by the next, or by another on the same store."""
    with assembled(url, settings(registry, scans=0), Policy()) as both:  # one that scans nothing
        ticket = asked(both, registry, 0)
        taken = both.service.queue.claim("killed")
    with assembled(url, settings(registry), Policy()) as both:
        found = ended(both, ticket)
        standing = both.service.verdicts.of(ticket.digest).standing

    assert taken is not None and taken.id == ticket.id
    assert found.state is TicketState.DONE and found.tries == 2 and standing is Standing.LEAKED


def test_several_services_on_one_store(registry: MemoryRegistry, url: str) -> None:
    """On a server they share the queue, and no image is scanned twice; a file is for one."""
    own = settings(registry)
    with assembled(url, own, Policy()) as first:
        if url.startswith("sqlite"):
            with pytest.raises(StoreError, match="another leakscan serves"), assembled(url, own, Policy()):
                pass
            return
        with assembled(url, settings(registry), Policy()) as second:
            tickets = [asked((first, second)[number % 2], registry, number) for number in range(8)]
            states = [ended(first, ticket) for ticket in tickets]
            seen = [second.service.verdicts.of(ticket.digest).standing for ticket in tickets]

    assert [each.tries for each in states] == [1] * 8
    assert seen.count(Standing.LEAKED) == 3 and seen.count(Standing.CLEAN) == 5


def test_a_tag_that_was_pushed_is_not_lost_to_a_full_queue(registry: MemoryRegistry, url: str) -> None:
    """Its place may be taken while the registry is asked what it points to: whoever pushed it tells of it no more."""
    with assembled(url, settings(registry, queue_limit=1), Policy()) as both:
        image = image_of(layer({"a": "pushed"}))
        registry.put("team/pushed", "1", image)
        others: list[Ticket] = []

        def fills(_handler: Handler, request: Request) -> bool:
            if "/team/pushed/manifests/1" in request.path and not others:
                others.append(asked(both, registry, 1))
            return False

        registry.fault = fills
        reference = f"{registry.address}/team/pushed:1"
        ticket = both.service.queue.ask(reference, pending(reference), Priority.WEBHOOK, "test")

        assert ended(both, ticket).state is TicketState.DONE
        assert others and ended(both, others[0]).state is TicketState.DONE
        digest = sha256(image.manifest())
        assert awaited(lambda: both.service.verdicts.of(digest).standing is Standing.CLEAN)


def test_a_service_that_ends_begins_nothing(registry: MemoryRegistry, tmp_path: Path) -> None:
    """What is asked for then waits for the next one."""
    with assembled(f"sqlite:///{tmp_path}/store.sqlite3", settings(registry), Policy()) as both:
        both.service.draining.set()
        time.sleep(1.0)  # a look into the queue that was on its way is over
        ticket = asked(both, registry, 1)
        time.sleep(1.5)
        found = both.service.queue.ticket(ticket.id)

    assert found is not None and found.state is TicketState.QUEUED and found.tries == 0


def test_a_fault_ends_no_thread(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong on the way to a scan, the next ticket is taken; no log has the text of an error."""
    faults = iter([ValueError("some words"), DatabaseError("some words")])
    original = Registries.repository
    tried = threading.Event()

    def fails(self: Registries, reference: str) -> object:
        if threading.current_thread().name.startswith("scan-"):
            if (fault := next(faults, None)) is not None:
                raise fault
            tried.set()
        return original(self, reference)

    monkeypatch.setattr(Registries, "repository", fails)
    with assembled(f"sqlite:///{tmp_path}/store.sqlite3", settings(registry), Policy()) as both:
        states = [ended(both, asked(both, registry, number)).state for number in (1, 2)]

    assert tried.is_set() and states == [TicketState.DONE] * 2
    assert "ValueError" in caplog.text and "words" not in caplog.text


def test_an_image_that_kills_what_scans_it(registry: MemoryRegistry, tmp_path: Path) -> None:
    """After three deaths its verdict is incomplete, with that reason; one that is there stays."""
    with assembled(f"sqlite:///{tmp_path}/store.sqlite3", settings(registry, scans=0), Policy()) as both:
        queue, verdicts = both.service.queue, both.service.verdicts
        ticket = asked(both, registry, 1)
        for _ in range(3):
            claimed = queue.claim("w")
            assert claimed is not None
            queue.back(claimed, "w", died=True)
        found = awaited(lambda: (verdict := verdicts.of(ticket.digest)).standing is not Standing.UNKNOWN and verdict)
        state = ended(both, ticket)

    assert found.standing is Standing.INCOMPLETE and "died 3 times" in found.gaps[0] and not found.due
    assert state.state is TicketState.FAILED


def test_a_registry_that_may_not_be_read_any_more(registry: MemoryRegistry, tmp_path: Path) -> None:
    """The ticket fails with the reason, and nothing is sent there."""
    url = f"sqlite:///{tmp_path}/store.sqlite3"
    with assembled(url, settings(registry, scans=0), Policy()) as both:
        ticket = asked(both, registry, 1)
    with assembled(url, ServeSettings(frozenset({"other.example"})), Policy()) as both:
        found = ended(both, ticket)

    assert found.state is TicketState.FAILED and "not among the registries" in found.reason
    assert registry.seen == []


def test_what_scans_leaves_no_memory_behind(registry: MemoryRegistry, tmp_path: Path) -> None:
    """The process that scans writes no core file, and comes after whoever waits for an answer."""
    with assembled(f"sqlite:///{tmp_path}/store.sqlite3", settings(registry), Policy()) as both:
        ended(both, asked(both, registry, 1))
        pids = [int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
        scanning = [pid for pid in pids if os.getpriority(os.PRIO_PROCESS, pid) == 19]
        limits = [Path(f"/proc/{pid}/limits").read_text() for pid in scanning]

    assert scanning
    assert all("Max core file size        0                    0" in text for text in limits)
