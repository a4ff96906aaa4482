"""An audit finds every leak of a registry, reads each blob once, and loses nothing when it is killed."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event
from sqlalchemy import text as sql

from scanner.audit import html, report
from scanner.audit.display import Line
from scanner.audit.periods import Period
from scanner.audit.run import Audit, Display, Entry, Wanted, audit
from scanner.audit.summary import Summary, summarize
from scanner.audit.targets import Filters, Target, parse_age, parse_list, parse_target
from scanner.audit.where import trails
from scanner.errors import InvalidReference, StoreError
from scanner.evidence import Severity
from scanner.image.registry.client import Client
from scanner.image.registry.settings import Settings
from scanner.limits import Limits
from scanner.request import Detection
from scanner.secrecy.keys import fingerprint
from scanner.store.database import Store, open_store
from scanner.store.ledger import State, appearances
from scanner.store.schema import METADATA
from testimages.values import github_token
from tests.builders import (
    OCI_INDEX,
    OCI_MANIFEST,
    BuiltImage,
    BuiltLayer,
    descriptor_of,
    dumps,
    image_of,
    layer,
    sha256,
    whiteout,
)
from tests.kills import rows_of
from tests.registries import Fault, Handler, MemoryRegistry, Request, digest_tag

Leakscan = Callable[..., "subprocess.CompletedProcess[str]"]
KEY = b"k" * 32
IMAGES = 42


def token(number: int) -> str:
    """A fake token."""
    return github_token(random.Random(f"audit {number}"))


def filled(registry: MemoryRegistry, number: int = IMAGES) -> dict[str, str]:
    """Images that share layers about as a registry's do; every seventh leaks. The token by each leaking reference."""
    bases = [layer({"etc/os-release": f"NAME=base{each}\n"}, compression="gz") for each in range(4)]
    middles = [layer({f"usr/lib/m{each}": f"library {each}\n" * 50}) for each in range(12)]
    leaks = {}
    for each in range(number):
        own = {f"app/{each}.txt": f"program {each}\n"}
        stack = [bases[each % 4], middles[each % 12]]
        if each % 7 == 3:
            own["app/.env"] = f"GITHUB_TOKEN={token(each)}\n"
            stack += [layer(own), layer(whiteout("app/.env"), created_by="RUN rm app/.env")]
        else:
            stack.append(layer(own))
        name, tag = f"team{each % 5}/app{each}", "1"
        registry.put(name, tag, image_of(*stack))
        if each % 7 == 3:
            leaks[f"{registry.address}/{name}:{tag}"] = token(each)
    return leaks


def run(
    registry: MemoryRegistry, store: Store, rules: Detection, *, target: Target | None = None,
    display: Display | None = None, limits: Limits | None = None, **filters: Any,
) -> Audit:  # fmt: skip
    """One audit of the whole registry."""
    chosen = target or parse_target(registry.address)
    settings = Settings(plain_http=frozenset({registry.address}))
    limits = limits or Limits()
    client = Client.connect(chosen.registry, settings, limits, {"HOME": "/nowhere"}, lambda _: None)
    wanted = Wanted(limits, 1, KEY, Filters(**filters))
    try:
        return audit(client, chosen, store, rules, wanted, display or Display())
    finally:
        client.close()


def document(found: Audit) -> Any:
    """The JSON report as a value."""
    return json.loads(report.json([found], Severity.LOW, "sha256:0"))


def leaking(found: Audit) -> set[str]:
    """References of images that leak."""
    return {image["reference"] for image in document(found)["images"] if image["verdict"] == "leaked"}


def test_every_leak_is_found_and_every_blob_read_once(
    registry: MemoryRegistry, store: Store, rules: Detection
) -> None:
    """Counted on the wire: no blob is asked for twice, and the second audit asks for none."""
    leaks = filled(registry)

    first = run(registry, store, rules)

    assert leaking(first) == set(leaks)
    assert report.counts([first]) == {"scanned": IMAGES, "incomplete": 0, "failed": 0, "not_reached": 0}
    assert not any("/manifests/sha256-" in request.path for request in registry.seen)  # no tag is looked for in vain
    asked = Counter(registry.paths("/blobs/"))
    assert set(asked.values()) == {1}
    assert {path.rpartition("/")[2] for path in asked} == set(registry.blobs)
    findings = [finding for image in document(first)["images"] for finding in image["findings"]]
    assert {finding["state"] for finding in findings if finding["gated"]} == {"deleted"}

    registry.seen.clear()
    second = run(registry, store, rules)

    assert document(second) == document(first)
    assert registry.paths("/blobs/") == registry.paths("/manifests/") == []
    assert all(entry.known for entry in second.entries)


def test_a_layer_with_a_value_in_a_file_s_name_is_read_once(
    registry: MemoryRegistry, store: Store, rules: Detection
) -> None:
    """Two images have it, in repositories of their own; what each of them does to the file is told."""
    leak = layer({f"srv/{token(1)}.txt": f"GITHUB_TOKEN={token(1)}\n"})
    registry.put("team/app", "1", image_of(leak))
    registry.put("team/other", "1", image_of(leak, layer(whiteout(f"srv/{token(1)}.txt"))))

    found = run(registry, store, rules)

    asked = Counter(path.rpartition("/")[2] for path in registry.paths("/blobs/"))
    assert asked[leak.digest] == 1
    assert leaking(found) == {f"{registry.address}/team/app:1", f"{registry.address}/team/other:1"}
    path = f"srv/{'*' * len(token(1))}.txt"
    states = [{finding["state"] for finding in image["findings"] if finding["path"] == path}
              for image in sorted(document(found)["images"], key=lambda each: str(each["reference"]))]  # fmt: skip
    assert states == [{"live"}, {"deleted"}]


def test_only_what_is_new_is_read(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """A new image on known layers costs its own blobs; a tag that moved is told from what it was."""
    shared = layer({"usr/lib/shared": "x" * 100})
    leak = layer({".env": f"GITHUB_TOKEN={token(1)}\n"})
    registry.put("team/app", "1", image_of(shared, leak))
    run(registry, store, rules)
    registry.seen.clear()
    new = image_of(shared, layer({"new": "file"}))
    registry.put("team/app", "1", new)

    found = run(registry, store, rules)

    assert leaking(found) == set()
    own = {new.config_digest, new.layers[1].digest}
    assert {path.rpartition("/")[2] for path in registry.paths("/blobs/")} == own


def test_where_a_secret_is_and_since_when(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """One query tells the images, and whether the tag still has it."""
    leak = image_of(layer({".env": f"GITHUB_TOKEN={token(1)}\n"}))
    for tag in ("1", "2"):
        registry.put("team/app", tag, leak)
    found = run(registry, store, rules)
    [fingerprint] = {finding["secret"]["fingerprint"] for image in document(found)["images"]
                     for finding in image["findings"] if finding["gated"]}  # fmt: skip
    registry.put("team/app", "1", image_of(layer({"clean": "1"})))
    run(registry, store, rules)
    del registry.manifests["team/app", "2"]
    registry.put("team/app", "3", leak)
    run(registry, store, rules)

    seen = {each.reference.rpartition(":")[2]: each.current for each in appearances(store, fingerprint)}
    assert seen == {"1": False, "2": False, "3": True}
    assert appearances(store, "0" * 32) == []


def test_the_trail_of_a_secret(
    registry: MemoryRegistry, store: Store, rules: Detection, leakscan: Leakscan, tmp_path: Path
) -> None:
    """One command answers which, since which build, and whether it is gone, for a fingerprint or a value at hand."""
    leak = layer({".env": f"GITHUB_TOKEN={token(1)}\n"})
    registry.put("team/app", "1", built("2026-01-05", leak))
    registry.put("team/app", "2", built("2026-01-07", leak, layer({"b": "c"})))
    pinned = sha256(registry.manifests["team/app", "2"][0])
    run(registry, store, rules)
    run(registry, store, rules, target=parse_list([f"{registry.address}/team/app@{pinned}"])[0])
    registry.put("team/app", "1", image_of(layer({"clean": "1"})))
    run(registry, store, rules)
    environment = {"LEAKSCAN_STORE": str(store.url), "TOKEN": token(1)}
    print_ = fingerprint(KEY, token(1).encode())
    [here] = trails(store, "id=x,env=TOKEN", KEY, environment)

    told = leakscan("audit", "--where", print_, env=environment)
    given = leakscan("audit", "--where", "id=x,env=TOKEN", "--format", "json", env=environment)
    other = leakscan("audit", "--where", "0" * 32, env=environment)
    misspelt = [leakscan("audit", "--where", words, env=environment) for words in ("", print_[:-1], f"{print_[:-1]}x")]

    assert here.fingerprint == print_
    assert told.returncode == 1
    assert f"in 1 image now; first in {registry.address}/team/app:1, built 2026-01-05" in told.stdout
    assert [line.split()[-1] for line in told.stdout.splitlines()[1:]] == ["there", f"{datetime.now(UTC):%Y-%m-%d}"]
    assert given.returncode == 3 and "LEAKSCAN_KEY" in given.stderr  # it has another key
    assert (other.returncode, leakscan("audit", "--where", print_[:16], env=environment).returncode) == (0, 2)
    empty = leakscan("audit", "--where", print_, "--store", f"sqlite:///{tmp_path}/empty.sqlite3")
    assert empty.returncode == 3 and "nothing was audited" in empty.stderr
    assert not (tmp_path / "empty.sqlite3").exists()  # a question makes no store
    open_store(f"sqlite:///{tmp_path}/fresh.sqlite3").dispose()
    fresh = leakscan("audit", "--where", print_, "--store", f"sqlite:///{tmp_path}/fresh.sqlite3")
    assert fresh.returncode == 3 and "nothing was audited" in fresh.stderr
    assert token(1) not in told.stdout + given.stdout + given.stderr
    assert (other.returncode, "no image" in other.stdout) == (0, True)
    assert all((each.returncode, "names no fingerprint" in each.stderr) == (2, True) for each in misspelt)


def test_what_was_asked_for_by_its_digest(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """It has no tag, and is found all the same."""
    registry.put("team/app", "1", image_of(layer({".env": f"GITHUB_TOKEN={token(1)}\n"})))
    digest = sha256(registry.manifests["team/app", "1"][0])
    reference = f"{registry.address}/team/app@{digest}"
    run(registry, store, rules, target=parse_list([reference])[0])

    found = appearances(store, fingerprint(KEY, token(1).encode()))

    assert [(each.reference, each.current) for each in found] == [(reference, True)]


def test_new_rules_read_again(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """Another rule set reads everything; until it has, the old verdict is shown as one of older rules."""
    filled(registry, 8)
    old = run(registry, store, rules)
    newer = replace(rules, rules_digest="sha256:" + "1" * 64)

    registry.fault = lambda handler, request: "/blobs/" in request.path and (handler.give(404, b"{}") or True)
    waiting = run(registry, store, newer)
    rows = list(report.rows([waiting], Severity.LOW))
    registry.fault = lambda _handler, _request: False
    registry.seen.clear()
    again = run(registry, store, newer)

    assert leaking(waiting) == leaking(old) != set()
    assert {row.stale.partition("+")[0] for row in rows} == {rules.rules_digest}
    assert {row.state for row in rows} == {State.INCOMPLETE}
    assert {row.verdict.value for row in rows} == {"leaked", "incomplete"}
    assert not any(row.stale for row in report.rows([again], Severity.LOW))
    assert len(registry.paths("/blobs/")) == len(set(registry.paths("/blobs/"))) > 8
    assert leaking(again) == leaking(old)


def test_wider_limits_read_again(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """A verdict made within narrow limits is not answered for wide ones; limits that decide nothing change nothing."""
    leak = layer({"a": "b", "app/.env": f"GITHUB_TOKEN={token(1)}\n"})
    registry.put("team/app", "1", image_of(leak))
    narrow = Limits(members=1)

    first = run(registry, store, rules, limits=narrow)
    second = run(registry, store, rules)
    registry.seen.clear()
    third = run(registry, store, rules, limits=replace(narrow, fetch_seconds=5.0))

    assert report.counts([first])["incomplete"] == 1
    assert (leaking(second), report.counts([second])["scanned"]) == ({f"{registry.address}/team/app:1"}, 1)
    assert document(third)["counts"] == document(first)["counts"]
    assert registry.paths("/blobs/") == []


def test_the_live_display(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """While an audit runs it tells how far it is, what was found, the rate and the time left; in the end nothing."""
    filled(registry, 4)
    screen = io.StringIO()
    line = Line(screen, interval=0.0)

    run(registry, store, rules, display=line)
    line.clear()

    *_, last, empty = screen.getvalue().split("\r\x1b[K")
    assert re.fullmatch(r"4 of 4 images, 1 leak, 4 read, 0 failed, [0-9.]+/s, 0:00:00 left", last)
    assert empty == ""


class Stop(Display):
    """Presses Ctrl-C after some images."""

    def __init__(self, after: int) -> None:
        self._left = after

    def done(self, entry: Entry, total: int) -> None:
        """As `Display.done`."""
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


class StopListing(Display):
    """Presses Ctrl-C as soon as an image is listed."""

    def listed(self, number: int) -> None:
        """As `Display.listed`."""
        raise KeyboardInterrupt


def test_ctrl_c_waits_for_no_answer(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """While a registry keeps its answers to itself an audit ends before they come."""
    filled(registry, 10)
    answered, over = [], threading.Event()

    def fault(_handler: Handler, request: Request) -> bool:
        if request.method == "HEAD" and not over.wait(15):
            answered.append(request)
        return False

    registry.fault = fault
    stopped = run(registry, store, rules, display=StopListing())
    over.set()

    assert stopped.interrupted
    assert not answered


def test_ctrl_c_before_anything_is_known(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """An audit that was stopped says nothing of what it did not list."""

    def fault(_handler: Handler, request: Request) -> bool:
        if "_catalog" in request.path:
            os.kill(os.getpid(), signal.SIGINT)
        return False

    registry.fault = fault
    stopped = run(registry, store, rules)

    assert (stopped.interrupted, stopped.entries) == (True, ())
    assert summarize([stopped], Severity.LOW).verdict == "incomplete"
    assert "INCOMPLETE" in html.render([stopped], Severity.LOW, "sha256:0")


def test_ctrl_c_leaves_a_report_that_adds_up(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """What was not reached is counted; the next audit goes on with the rest."""
    filled(registry, 10)

    stopped = run(registry, store, rules, display=Stop(4))
    counts = report.counts([stopped])
    resumed = run(registry, store, rules)

    assert stopped.interrupted
    assert (counts["scanned"], counts["not_reached"], sum(counts.values())) == (4, 6, 10)
    assert sum(entry.known for entry in resumed.entries) == 4
    assert report.counts([resumed])["scanned"] == 10


def refusing(part: str, status: int) -> Callable[[Handler, Request], bool]:
    """A registry's refusal of what has *part* in its path."""

    def refuse(handler: Handler, request: Request) -> bool:
        if part in request.path:
            handler.give(status, b"{}")
        return part in request.path

    return refuse


def test_images_that_fail(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """A manifest that is none, a layer that is not there, a repository that is refused: counted, named, tried again."""
    leaks = filled(registry, 8)
    broken = image_of(layer({"gone": "1"}))
    registry.put("team/broken", "1", broken)
    del registry.blobs[broken.layers[0].digest]
    registry.manifests["team/garbage", "1"] = b"{}", OCI_MANIFEST

    registry.fault = refusing("/team0/app0/tags/", 403)
    found = run(registry, store, rules)

    assert leaking(found) == set(leaks)
    assert report.counts([found]) == {"scanned": 7, "incomplete": 1, "failed": 2, "not_reached": 0}
    reasons = {entry.reference.partition("/")[2]: entry.reason for entry in found.entries if entry.reason}
    assert set(reasons) == {"team0/app0", "team/broken:1", "team/garbage:1"}
    assert "blob.missing" in reasons["team/broken:1"]
    text = report.text([found], Severity.LOW)
    assert all(name in text for name in reasons)
    assert summarize([found], Severity.LOW).verdict == "leaked"
    assert summarize([found], None).verdict == "incomplete"

    registry.fault = lambda _handler, _request: False
    registry.blobs[broken.layers[0].digest] = broken.layers[0].stored
    mended = run(registry, store, rules)
    assert report.counts([mended]) == {"scanned": 9, "incomplete": 0, "failed": 1, "not_reached": 0}


def test_wrong_bytes_are_read_again(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """What came damaged once is no lasting verdict: the next audit finds the leak that the damage hid."""
    leak = layer({"app/.env": f"GITHUB_TOKEN={token(1)}\n"})
    registry.put("team/app", "1", image_of(leak))
    registry.blobs[leak.digest] = leak.stored[:512] + bytes(len(leak.stored) - 512)

    damaged = run(registry, store, rules)
    before = report.counts([damaged])["incomplete"], leaking(damaged)
    registry.blobs[leak.digest] = leak.stored
    mended = run(registry, store, rules)

    assert before == (1, set())
    assert (report.counts([mended])["scanned"], leaking(mended)) == (1, {f"{registry.address}/team/app:1"})


def test_wrong_bytes_of_one_repository_are_not_those_of_another(
    registry: MemoryRegistry, store: Store, rules: Detection
) -> None:
    """Small blobs are read once for all repositories, if they are what their digest says."""
    first, second = (image_of(layer({"a": "b"}), annotations={"n": name}) for name in ("first", "second"))
    registry.put("team/a", "1", first)
    registry.put("team/b", "1", second)
    registry.fault = answering(f"/v2/team/a/blobs/{first.config_digest}", first.config[:-1] + b"!")

    found = run(registry, store, rules)

    states = {entry.reference.partition("/")[2]: entry.state.value for entry in found.entries}
    assert first.config_digest == second.config_digest
    assert states["team/a:1"] != "scanned" and states["team/b:1"] == "scanned"


def test_what_one_repository_refuses_another_may_give(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """The same manifest in both is read from the one that gives its layers, in the same audit."""
    image = image_of(layer({"app/.env": f"GITHUB_TOKEN={token(1)}\n"}))
    for name in ("team/a", "team/b"):
        registry.put(name, "1", image)
    registry.fault = refusing("/team/a/blobs/", 403)

    found = run(registry, store, rules)

    assert leaking(found) == {f"{registry.address}/team/{name}:1" for name in "ab"}
    assert {entry.repository: str(entry.state) for entry in found.entries}["team/b"] == "scanned"


def test_a_registry_that_lists_nothing(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """A refused catalogue is a failure, not an empty registry; a repository can be audited by its name all the same."""
    leaks = filled(registry, 8)

    registry.fault = refusing("_catalog", 401)

    nothing = run(registry, store, rules)
    one = run(registry, store, rules, target=parse_target(f"{registry.address}/team3/app3"))

    assert report.counts([nothing])["failed"] == 1
    assert summarize([nothing], Severity.LOW).verdict == "incomplete"
    assert leaking(one) == set(leaks)
    assert report.counts([one]) == {"scanned": 1, "incomplete": 0, "failed": 0, "not_reached": 0}


def test_a_server_that_is_no_registry(registry: MemoryRegistry, leakscan: Leakscan, tmp_path: Path) -> None:
    """Whose every answer is 404: whatever was asked for could not be listed, with the reason and what to try."""
    registry.fault = refusing("/", 404)
    environment = {"LEAKSCAN_REGISTRY_HTTP": registry.address, "LEAKSCAN_STORE": f"sqlite:///{tmp_path}/a.sqlite3"}
    (tmp_path / "list").write_text(f"{registry.address}/team/typo\n")

    whole = leakscan("audit", registry.address, env=environment)
    below = leakscan("audit", f"{registry.address}/team/typo", env=environment)
    listed = leakscan("audit", "--repos-file", f"{tmp_path}/list", env=environment)

    assert [each.returncode for each in (whole, below, listed)] == [3, 3, 3], whole.stderr
    assert whole.stdout.startswith(f"{registry.address}: nothing could be read.\n")
    assert f"{registry.address}: failed: {registry.address} has no catalogue" in whole.stdout
    assert "--repos-file" in whole.stdout
    for each in (below, listed):
        assert f"{registry.address}/team/typo: failed: {registry.address} has no repository team/typo" in each.stdout
        assert "Check the spelling" in each.stdout


def answering(path: str, body: bytes, status: int = 200, **headers: str) -> Fault:
    """A registry's own answer to one path."""

    def answer(handler: Handler, request: Request) -> bool:
        if urlsplit(request.path).path == path:
            handler.give(status, body, **headers)
        return urlsplit(request.path).path == path

    return answer


@pytest.mark.parametrize(("status", "body"), [(404, b"{}"), (200, b'{"tags":null}'), (200, b'{"tags":[]}')])
def test_a_repository_whose_tags_were_deleted(
    registry: MemoryRegistry, store: Store, rules: Detection, status: int, body: bytes
) -> None:
    """The catalogue names it still, and nothing is wrong with that; only who asks for it by name is told."""
    image = image_of(layer({"a": "b"}))
    registry.put("team/app", "1", image)
    registry.put("team/gone", "1", image)
    registry.fault = answering("/v2/team/gone/tags/list", body, status)

    whole, below = (run(registry, store, rules, target=parse_target(registry.address + path)) for path in ("", "/team"))
    [listed] = parse_list([f"{registry.address}/team/gone", f"{registry.address}/team/app"])
    named = run(registry, store, rules, target=listed)

    assert [[entry.reference.partition("/")[2] for entry in each.entries] for each in (whole, below)] == [
        ["team/app:1"], ["team/app:1"],
    ]  # fmt: skip
    assert summarize([whole], Severity.LOW).verdict == "clean"
    states = {entry.reference.partition("/")[2]: entry.state.value for entry in named.entries}
    assert states == {"team/gone": "failed", "team/app:1": "scanned"}


def test_a_list_that_ends_in_the_middle(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """A page that is not there is no end of the list."""
    registry.put("team/app", "1", image_of(layer({"a": "b"})))
    more = {"Link": '</v2/team/app/tags/list?last=1>; rel="next"'}

    def fault(handler: Handler, request: Request) -> bool:
        if "/tags/" in request.path:
            handler.give(*((404, b"{}") if "last=" in request.path else (200, b'{"tags":["1"]}')), **more)
        return "/tags/" in request.path

    registry.fault = fault
    found = run(registry, store, rules)

    assert {entry.reference.partition("/")[2]: entry.state.value for entry in found.entries} == {
        "team/app": "failed", "team/app:1": "scanned",
    }  # fmt: skip


def test_an_audit_without_any_image(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """Nothing that was listed is nothing that was read, unless the registry says that it is empty."""
    empty = run(registry, store, rules)
    registry.put("team/app", "1", image_of(layer({"a": "b"})))
    others = [run(registry, store, rules, **filters) for filters in ({"repositories": ("tema/*",)}, {"tags": ("v*",)})]
    others += [run(registry, store, rules, target=parse_target(f"{registry.address}/team"), tags=("v*",))]
    registry.fault = answering("/v2/_catalog", b'{"hello":"world"}')
    others += [run(registry, store, rules)]

    assert summarize([empty], Severity.LOW).verdict == "clean"
    text = report.text([empty], Severity.LOW)
    assert "there is no image to read" in text and "lists no repository that this account may see" in text
    assert document(empty)["summary"]["notes"] == [
        f"{registry.address} lists no repository that this account may see"
    ]
    for each in others:
        assert report.counts([each])["failed"] == 1 and summarize([each], Severity.LOW).verdict == "incomplete"


@pytest.mark.parametrize(
    ("status", "failed"), [(401, 0), (403, 0), (404, 0), (405, 0), (501, 0), (400, 1), (500, 1), (503, 1)]
)
def test_what_lies_below_a_repository_without_a_catalogue(
    registry: MemoryRegistry, store: Store, rules: Detection, status: int, failed: int
) -> None:
    """Many registries have none, or refuse it: that is said in each report. What fails is a failure."""
    registry.put("team", "1", image_of(layer({"a": "b"})))
    registry.put("team/app", "1", image_of(layer({"app/.env": f"GITHUB_TOKEN={token(1)}\n"})))
    registry.fault = refusing("_catalog", status)

    found = run(registry, store, rules, target=parse_target(f"{registry.address}/team"))

    assert report.counts([found]) == {"scanned": 1, "incomplete": 0, "failed": failed, "not_reached": 0}
    said = f"what lies below {registry.address}/team could not be listed: "
    assert said in report.text([found], Severity.LOW)
    assert said in html.render([found], Severity.LOW, "sha256:0")
    assert said in report.json([found], Severity.LOW, "sha256:0")
    assert summarize([found], Severity.LOW).verdict == ("incomplete" if failed else "clean")


def test_a_catalogue_that_is_refused_in_the_middle(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """There is one, so the rest of it was not read."""
    for name in ("team", "team/a", "team/b", "team/c"):
        registry.put(name, "1", image_of(layer({"a": "b"})))
    registry.fault = refusing("_catalog?n=2", 403)

    found = run(registry, store, rules, target=parse_target(f"{registry.address}/team"))

    assert report.counts([found]) == {"scanned": 2, "incomplete": 0, "failed": 1, "not_reached": 0}


def test_filters(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """By prefix, repository, tag and age."""
    old = image_of(layer({"a": "b"}))  # the builders' history is of 2024
    for name in ("team/app", "team/web", "teams/app", "other"):
        for tag in ("1", "2-rc"):
            registry.put(name, tag, old)

    def references(**filters: Any) -> set[str]:
        found = run(registry, store, rules, **filters)
        return {entry.reference.partition("/")[2] for entry in found.entries}

    assert references(target=parse_target(f"{registry.address}/team"), tags=("[0-9]",)) == {"team/app:1", "team/web:1"}
    assert references(repositories=("*/app",), tags=("*-rc",)) == {"team/app:2-rc", "teams/app:2-rc"}
    aged = run(registry, store, rules, newer_than=parse_age("8w"))
    assert (aged.entries, aged.older) == ((), 8)


def test_ctrl_c_among_images_that_are_too_old(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """Those that an age filter left out are not among those that were not reached."""
    recent = image_of(layer({"a": "b"}), history=[{"created": datetime.now(UTC).isoformat(), "created_by": "COPY"}])
    for tag in ("1", "2", "3"):
        registry.put("team/old", tag, image_of(layer({"a": "b"})))
        registry.put("team/recent", tag, recent)

    stopped = run(registry, store, rules, display=Stop(1), newer_than=parse_age("8w"))

    assert stopped.older == 3
    assert [entry.state.value for entry in stopped.entries] == ["scanned", "not_reached", "not_reached"]
    assert all("recent" in entry.reference for entry in stopped.entries)


class Counting(Display):
    """Adds up what was listed."""

    number = 0

    def listed(self, number: int) -> None:
        """As `Display.listed`."""
        self.number += number


def test_images_that_are_named_by_their_digests_are_listed(
    registry: MemoryRegistry, store: Store, rules: Detection
) -> None:
    """The display counts them like those that have a tag."""
    image = image_of(layer({"a": "b"}))
    registry.put("team/app", "1", image)
    [target] = parse_list([f"{registry.address}/team/app:1", f"{registry.address}/team/app@{sha256(image.manifest())}"])
    display = Counting()

    found = run(registry, store, rules, target=target, display=display)

    assert display.number == len(found.entries) == 2


def test_a_list_of_references(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """Tags, digests, and whole repositories, each reference once."""
    image = image_of(layer({"a": "b"}))
    for tag in ("1", "2", "3"):
        registry.put("team/app", tag, image)
        registry.put("team/all", tag, image)
    digest = sha256(image.manifest())
    lines = ["\ufeff# ours", f"{registry.address}/team/app:2", "", f"{registry.address}/team/app@{digest}",
             f"registry:{registry.address}/team/all", f"{registry.address}/team/app:9  # the ninth"]  # fmt: skip

    [target] = parse_list(lines)
    found = run(registry, store, rules, target=target)

    names = {entry.reference.partition("/")[2]: entry.state.value for entry in found.entries}
    assert names == {"team/app:2": "scanned", f"team/app@{digest}": "scanned", "team/app:9": "failed",
                     "team/all:1": "scanned", "team/all:2": "scanned", "team/all:3": "scanned"}  # fmt: skip
    assert [entry.reason for entry in found.entries if entry.reason] == ["the registry has no such tag now"]
    assert len(registry.paths("/blobs/")) == 2


@pytest.mark.parametrize("words", [
    "", "name", "team/app", "http://host.example", "host.example/UPPER", "host.example:x",
])  # fmt: skip
def test_words_that_name_no_registry(words: str) -> None:
    """They are wrong usage."""
    with pytest.raises(InvalidReference):
        parse_target(words)


def attest(registry: MemoryRegistry, name: str, image: BuiltImage, text: str, suffix: str = ".att") -> None:
    """Have an attestation that holds *text* refer to an image: by cosign's tag, or by the fallback tag, which has no
    suffix and leads to an index."""
    statement = dumps({"predicate": {"GITHUB_TOKEN": text}})
    registry.blobs |= {sha256(statement): statement, sha256(b"{}"): b"{}"}
    raw = dumps({"schemaVersion": 2, "config": descriptor_of(b"{}", "application/vnd.oci.empty.v1+json"),
                 "layers": [descriptor_of(statement, "application/vnd.in-toto+json")]})  # fmt: skip
    tagged, media_type = raw, OCI_MANIFEST
    if not suffix:
        registry.manifests[name, sha256(raw)] = raw, OCI_MANIFEST
        tagged = dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor_of(raw, OCI_MANIFEST)]})
        media_type = OCI_INDEX
    registry.manifests[name, sha256(tagged)] = tagged, media_type
    registry.manifests[name, f"{digest_tag(image.manifest())}{suffix}"] = tagged, media_type


@pytest.mark.parametrize("suffix", [".att", ""])
def test_attestations_are_no_images(registry: MemoryRegistry, store: Store, rules: Detection, suffix: str) -> None:
    """Tags by which signatures refer to an image are surfaces of it, and not counted."""
    image = image_of(layer({"a": "b"}))
    registry.put("team/app", "1", image)
    attest(registry, "team/app", image, token(5), suffix)

    found = run(registry, store, rules)

    assert [entry.reference for entry in found.entries] == [f"{registry.address}/team/app:1"]
    assert leaking(found) == {f"{registry.address}/team/app:1"}
    asked = Counter(registry.paths("/manifests/"))
    run(registry, store, rules)
    assert Counter(registry.paths("/manifests/")) == asked  # what was read with its image is not read by itself


@pytest.mark.parametrize("suffix", [".att", ""])
@pytest.mark.parametrize("later", [False, True])
def test_an_attestation_that_the_image_was_read_without(
    registry: MemoryRegistry, store: Store, rules: Detection, later: bool, suffix: str
) -> None:
    """One that was pushed after the image was read, or beside the same image in another repository, is searched, and
    what was found before stays."""
    image = image_of(layer({"a": "b"}))
    for name in ("team/app", "team/copy"):
        registry.put(name, "1", image)
    attest(registry, "team/app", image, token(5), ".sig")
    if later:
        assert run(registry, store, rules).entries[0].leaks == 1
    attest(registry, "team/copy", image, token(6), suffix)

    found = run(registry, store, rules)

    assert report.counts([found]) == {"scanned": 2, "incomplete": 0, "failed": 0, "not_reached": 0}
    for written in document(found)["images"]:
        prints = {finding["secret"]["fingerprint"] for finding in written["findings"]}
        assert prints == {fingerprint(KEY, token(number).encode()) for number in (5, 6)}
    assert [entry.leaks for entry in found.entries] == [2, 2]
    asked = Counter(registry.paths("/manifests/"))
    assert [entry.leaks for entry in run(registry, store, rules).entries] == [2, 2]
    assert Counter(registry.paths("/manifests/")) == asked


def test_an_attestation_that_cannot_be_read_by_itself(
    registry: MemoryRegistry, store: Store, rules: Detection
) -> None:
    """The image is not known to be clean then, until the next audit reads it."""
    image = image_of(layer({"a": "b"}))
    for name in ("team/app", "team/copy"):
        registry.put(name, "1", image)
    attest(registry, "team/copy", image, token(6))
    refused = {"now": True}

    def fault(handler: Handler, request: Request) -> bool:
        if not refused["now"] or request.method != "GET" or "team/copy/manifests" not in request.path:
            return False
        handler.give(403)
        return True

    registry.fault = fault
    found = run(registry, store, rules)
    assert [entry.state for entry in found.entries] == [State.INCOMPLETE, State.INCOMPLETE]
    assert [".att: " in entry.reason for entry in found.entries] == [True, False]
    assert "no access to it" in found.entries[1].reason  # it was asked for the image as well
    refused["now"] = False
    found = run(registry, store, rules)
    assert [entry.state for entry in found.entries] == [State.SCANNED, State.SCANNED]
    assert len(leaking(found)) == 2


@pytest.mark.parametrize("as_index", [False, True])
def test_a_build_cache_that_was_pushed(
    registry: MemoryRegistry, store: Store, rules: Detection, as_index: bool
) -> None:
    """Whoever can pull it has the layers of every stage: it is searched as an image is, and what it shares with images
    is not read again."""
    shared = layer({"srv/a": "b"}, compression="gz")
    stage = layer({"root/.netrc": f"machine x.example login y password {token(3)}\n"}, compression="gz")
    config = dumps({"layers": [], "records": []})
    parts = [shared.described(), stage.described()]
    own = descriptor_of(config, "application/vnd.buildkit.cacheconfig.v0")
    if as_index:
        raw, media_type = dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*parts, own]}), OCI_INDEX
    else:
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": own, "layers": parts}
        raw, media_type = dumps(manifest), OCI_MANIFEST
    registry.put("team/app", "1", image_of(shared))
    registry.manifests["team/app", "buildcache"] = registry.manifests["team/app", sha256(raw)] = raw, media_type
    registry.blobs |= {sha256(config): config, stage.digest: stage.stored}

    found = run(registry, store, rules)
    text, written = report.text([found], Severity.LOW), document(found)

    assert report.counts([found])["scanned"] == 2
    assert leaking(found) == {f"{registry.address}/team/app:buildcache"}
    [cache] = [image for image in written["images"] if image["verdict"] == "leaked"]
    assert (cache["platform"], cache["manifest_digest"]) == (None, sha256(raw))
    assert {finding["surface"] for finding in cache["findings"] if finding["gated"]} == {"cache"}
    assert "team/app:buildcache (build cache)" in text
    assert set(Counter(registry.paths("/blobs/")).values()) == {1}


def test_the_same_image_under_two_names(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """It is read once, and each name has commands of its own."""
    image = image_of(layer({".env": f"GITHUB_TOKEN={token(1)}\n"}))
    registry.put("team/app", "1", image)
    registry.put("copy/app", "1", image)

    found = document(run(registry, store, rules))

    assert len(registry.paths("/blobs/")) == 2
    for each in found["images"]:
        name = each["reference"].rpartition(":")[0]
        assert all(f" {name}@" in finding["proof"]["command"] for finding in each["findings"])


def test_several_platforms(registry: MemoryRegistry, store: Store, rules: Detection, leakscan: Leakscan) -> None:
    """An image for each, with the findings that a scan of the reference gives."""
    images = [image_of(layer({".env": f"GITHUB_TOKEN={token(number)}\n"}), platform=platform)
              for number, platform in enumerate(("linux/amd64", "linux/arm64"))]  # fmt: skip
    reference = registry.put("team/app", "1", *images)

    found = document(run(registry, store, rules))
    alone = leakscan("--format", "json", reference, env={"LEAKSCAN_REGISTRY_HTTP": registry.address})

    assert [image["platform"] for image in found["images"]] == ["linux/amd64", "linux/arm64"]
    assert [image["manifest_digest"] for image in found["images"]] == [sha256(each.manifest()) for each in images]
    ids = {finding["id"] for image in found["images"] for finding in image["findings"]}
    assert ids == {finding["id"] for finding in json.loads(alone.stdout)["findings"]}
    assert found["counts"]["scanned"] == 1


def test_the_store_holds_no_value(registry: MemoryRegistry, store: Store, rules: Detection, tmp_path: Path) -> None:
    """No value is in any of its files, nor in what is packed in them."""
    leaks = filled(registry, 20)
    run(registry, store, rules)
    store.dispose()

    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    with store.connect() as connection:
        packed = connection.execute(sql("select document from results union all select outcome from layers")).scalars()
        text = b"".join(zlib.decompress(raw) for raw in packed)
    assert len(leaks) == 3
    assert not any(value.encode() in files + text for value in leaks.values())
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir() if path.name.endswith(".sqlite3"))


def test_the_migrations_make_the_schema(store: Store) -> None:
    """What Alembic made is what the code expects."""
    with store.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_layers_that_an_older_program_kept_are_forgotten(
    registry: MemoryRegistry, store: Store, rules: Detection
) -> None:
    """Verdicts stay; a new image on such a layer has it read once more, and the one after that does not."""
    leak = layer({".env": f"GITHUB_TOKEN={token(1)}\n"})
    registry.put("team/app", "1", image_of(leak))
    run(registry, store, rules)
    with store.begin() as connection:
        connection.execute(sql("update layers set outcome = :old"), {"old": zlib.compress(b'{"version": 1}')})
        connection.execute(sql("update alembic_version set version_num = '0003'"))
    registry.seen.clear()

    renewed = open_store(str(store.url))
    with renewed.connect() as connection:
        assert connection.execute(sql("select count(*) from layers")).scalar_one() == 0
    run(registry, renewed, rules)
    assert registry.paths("/blobs/") == []
    for number in (2, 3):
        registry.put("team/app", str(number), image_of(leak, layer({"a": str(number)})))
        run(registry, renewed, rules)
    renewed.dispose()

    assert [path.rpartition("/")[2] for path in registry.paths("/blobs/")].count(leak.digest) == 1


def test_a_store_of_a_newer_version(store: Store) -> None:
    """It is left alone."""
    with store.begin() as connection:
        connection.execute(sql("update alembic_version set version_num = '9999'"))

    with pytest.raises(StoreError, match="newer"):
        open_store(str(store.url))


def test_the_csv_report(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """A line for each finding; a cell that a spreadsheet would run is none any more."""
    run_as_they_are = [f"{sign}cmd()/.env" for sign in ("=", " =", "|", "%", "\uff1d")]
    leak = layer({path: f"GITHUB_TOKEN={token(1)}\n" for path in run_as_they_are})
    registry.put("team/app", "1", image_of(leak))
    registry.put("team/clean", "1", image_of(layer({"a": "b"})))

    found = run(registry, store, rules)
    rows = list(csv.DictReader(io.StringIO(report.csv_table([found], Severity.LOW))))

    verdicts = {row["reference"].rpartition("/")[2]: row["verdict"] for row in rows}
    assert verdicts == {"app:1": "leaked", "clean:1": "clean"}
    assert {row["path"] for row in rows if row["path"]} == {f"'{path}" for path in run_as_they_are}


def built(day: str, *layers: BuiltLayer) -> BuiltImage:
    """An image that was built on a day."""
    steps = [{"created": f"{day}T10:00:00Z", "created_by": each.created_by} for each in layers]
    return image_of(*layers, history=steps)


def adds_up(found: Summary) -> bool:
    """Whether the sums hold that a summary promises."""
    parts = (found.repositories, found.periods)
    return (
        sum(found.counts.values()) == found.leaking + found.unsure + found.clean == found.references
        and all(sum(each.references for each in part) == found.references for part in parts)
        and all(sum(each.leaking for each in part) == found.leaking for part in parts)
        and sum(each.unsure for each in found.repositories) == found.unsure
        and sum(each.secrets for each in found.owners) == len(found.secrets)
        and sum(each.secrets for each in found.periods) == len(found.secrets)
    )


def test_what_a_registry_comes_to(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """A leak of a base is its owner's, whatever is built on it; a secret is as old as the oldest build that has it."""
    base = layer({"etc/base.env": f"GITHUB_TOKEN={token(1)}\n"}, created_by="COPY base.env /etc")
    own = layer({"app/.env": f"GITHUB_TOKEN={token(2)}\n"}, created_by="COPY . /app")
    registry.put("base/os", "1", built("2026-01-05", base))
    registry.put("team/app", "1", built("2026-01-06", layer({"app/run": "1"})))
    registry.put("team/app", "2", built("2026-03-07", base, own))
    registry.put("team/app", "3", built("2026-03-08", base, own, layer(whiteout("app/.env"))))
    registry.put("team/gone", "1", built("1970-01-01", layer({"lost": "1"})))
    lost = image_of(layer({"lost": "2"}))
    registry.put("team/gone", "2", lost)
    del registry.blobs[lost.config_digest], registry.blobs[lost.layers[0].digest]

    found = summarize([run(registry, store, rules)], Severity.LOW)

    host = registry.address
    assert adds_up(found)
    assert (found.references, found.leaking, found.unsure, found.clean) == (6, 3, 1, 2)
    assert {(each.first, each.since[:10], each.references, each.repositories, each.live) for each in found.secrets} == {
        (f"{host}/base/os:1", "2026-01-05", 3, 2, 3), (f"{host}/team/app:2", "2026-03-07", 2, 1, 1),
    }  # fmt: skip
    assert {each.created_by for each in found.secrets} == {"COPY base.env /etc", "COPY . /app"}
    assert [(each.start, each.references, each.leaking, each.secrets) for each in found.periods] == [
        ("2026-01", 2, 1, 1), ("2026-02", 0, 0, 0), ("2026-03", 2, 2, 1), ("", 2, 0, 0),
    ]  # fmt: skip
    assert [(each.digest, each.references, each.repository) for each in found.layers] == [
        (base.digest, 3, f"{host}/base/os"), (own.digest, 2, f"{host}/team/app"),
    ]  # fmt: skip
    owners = {each.repository: (each.secrets, each.own, each.others, each.affected) for each in found.owners}
    assert owners == {f"{host}/base/os": (1, 1, 2, (f"{host}/team/app",)), f"{host}/team/app": (1, 2, 0, ())}
    numbers = {each.name.rpartition("/")[2]: (each.leaking, each.unsure, each.clean, each.secrets)
               for each in found.repositories}  # fmt: skip
    assert numbers == {"os": (1, 0, 0, 1), "app": (2, 0, 1, 2), "gone": (0, 1, 1, 0)}


def test_every_report_says_what_it_comes_to(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """Who must act is in text, JSON and CSV; the JSON's own sums are the summary's."""
    base = layer({"etc/base.env": f"GITHUB_TOKEN={token(1)}\n"})
    registry.put("base/os", "1", built("2026-01-05", base))
    registry.put("team/app", "1", built("2026-01-07", base, layer({"app/run": "1"})))

    found = run(registry, store, rules)
    text, written = report.text([found], Severity.LOW), document(found)
    rows = list(csv.DictReader(io.StringIO(report.csv_table([found], Severity.LOW))))

    owner = f"{registry.address}/base/os"
    assert f"{owner}: 1 secret in 1 image of its own, and 1 of another repository built on it" in text
    assert f"2 images, since 2026-01-05 in {owner}:1" in text
    assert f"{found.blobs} blobs read by this process." in text  # workers would have read others
    assert "1,234 blobs read" in report.text([replace(found, blobs=1234)], Severity.LOW)
    assert written["summary"]["leaking"] == sum(image["verdict"] == "leaked" for image in written["images"]) == 2
    assert [each["repository"] for each in written["summary"]["owners"]] == [owner]
    assert {image["created"][:10] for image in written["images"]} == {"2026-01-05", "2026-01-07"}
    assert {(row["owner"], row["first_seen_in"]) for row in rows if row["gated"] == "True"} == {(owner, f"{owner}:1")}


@pytest.mark.parametrize(("days", "periods"), [
    (("2026-01-30", "2026-02-02"), ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02"]),
    (("2025-11-30", "2026-02-02"), ["2025-11", "2025-12", "2026-01", "2026-02"]),
    (("2019-11-30", "2023-02-02"), ["2019", "2020", "2021", "2022", "2023"]),
    (("2026-01-30", "1980-01-01"), ["2026-01-30", ""]),
    (("2026-01-30", "9999-12-31"), ["2026-01-30", ""]),
])  # fmt: skip
def test_periods(
    registry: MemoryRegistry, store: Store, rules: Detection, days: tuple[str, str], periods: list[str]
) -> None:
    """Days, months or years, none left out; a clock that was set, or lies, tells nothing."""
    for number, day in enumerate(days):
        registry.put("team/app", str(number), built(day, layer({"file": str(number)})))

    found: tuple[Period, ...] = summarize([run(registry, store, rules)], Severity.LOW).periods

    assert [each.start for each in found] == periods
    assert sum(each.references for each in found) == 2


def test_the_command(registry: MemoryRegistry, leakscan: Leakscan, tmp_path: Path) -> None:
    """Exit codes and formats as the user sees them."""
    filled(registry, 4)
    environment = {"LEAKSCAN_REGISTRY_HTTP": registry.address, "LEAKSCAN_STORE": f"sqlite:///{tmp_path}/a.sqlite3"}

    formats = ("--format", f"json={tmp_path}/a.json", "--format", "text")
    done = leakscan("audit", registry.address, *formats, env=environment)
    clean = leakscan("audit", f"{registry.address}/team0", env=environment)
    usage = leakscan("audit", env=environment)

    assert (done.returncode, clean.returncode, usage.returncode) == (1, 0, 2), done.stderr
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["counts"] == {"scanned": 4, "incomplete": 0, "failed": 0, "not_reached": 0}
    assert "1 of 4 images leak" in done.stdout
    assert token(3) not in done.stdout + done.stderr + (tmp_path / "a.json").read_text()
    [fingerprint] = {finding["secret"]["fingerprint"] for image in written["images"] for finding in image["findings"]
                     if finding["gated"]}  # fmt: skip
    where = leakscan("audit", "--where", fingerprint, env=environment)
    assert (where.returncode, "team3/app3:1" in where.stdout) == (1, True)


def test_reports_of_one_file(registry: MemoryRegistry, leakscan: Leakscan, tmp_path: Path) -> None:
    """Two of them are refused before anything is read, and so is what one secret is not told as."""
    environment = {"LEAKSCAN_REGISTRY_HTTP": registry.address, "LEAKSCAN_STORE": f"sqlite:///{tmp_path}/a.sqlite3"}
    out = tmp_path / "out"

    twice = leakscan("audit", registry.address, "--format", f"json={out}", "--format", f"csv={out}", env=environment)
    where = leakscan("audit", "--where", "0" * 16, "--format", f"html={out}", env=environment)
    wrong = leakscan("audit", registry.address, "--format", "jsn", env=environment)

    assert [each.returncode for each in (twice, where, wrong)] == [2, 2, 2]
    assert "two reports go to out" in twice.stderr
    assert "as text or json" in where.stderr
    assert "Did you mean json?" in wrong.stderr and "sarif" not in wrong.stderr
    assert not out.exists() and registry.seen == []


def test_a_store_that_is_full(registry: MemoryRegistry, store: Store, rules: Detection) -> None:
    """The audit ends with the reason, keeps what was written, and the next one goes on from there."""
    leaks = filled(registry, 12)
    run(registry, store, rules, target=parse_target(f"{registry.address}/team0"))

    @event.listens_for(store, "connect")
    def full(connection: Any, _record: Any) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 2}")

    store.dispose()
    with pytest.raises(StoreError, match="cannot be used: its disk is full"):
        run(registry, store, rules)
    event.remove(store, "connect", full)
    store.dispose()
    registry.seen.clear()
    after = run(registry, store, rules)

    assert leaking(after) == set(leaks)
    assert report.counts([after])["scanned"] == 12
    assert len(registry.paths("/manifests/")) < 10


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:////proc/none/s", "No such file or directory"),
        ("sqlite:///{}/list", "it is no SQLite file"),
        ("store", "that is no URL of a store"),
        ("postgresql://db.invalid:port/store", "that is no URL of a store"),
    ],
)
def test_a_store_that_cannot_be_opened(leakscan: Leakscan, tmp_path: Path, url: str, reason: str) -> None:
    """Every command says why, in words."""
    (tmp_path / "list").write_text("registry.example/team\n" * 100)
    for words in (["audit", "registry.invalid"], ["audit", "--where", "0" * 32]):
        found = leakscan(*words, "--store", url.format(tmp_path))

        asked = "--where" in words and "/none/" in url  # what only asks makes no file, so none can be refused
        said = "nothing was audited into that store: there is no such file" if asked else f"cannot be opened: {reason}"
        assert found.returncode == 3 and found.stderr.splitlines()[0].endswith(said)


def test_a_store_that_another_process_makes_is_waited_for(tmp_path: Path) -> None:
    """Of two that turn one new file into a store SQLite refuses the second at once; it tries again."""
    file = tmp_path / "audit.sqlite3"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    release = threading.Timer(0.3, other.rollback)
    release.start()

    open_store(f"sqlite:///{file}").dispose()

    release.join()
    other.close()


def test_two_audits_of_one_store(registry: MemoryRegistry, tmp_path: Path) -> None:
    """Both end with the same report, and what they wrote is there once."""
    leaks = filled(registry, 12)
    environment = {"LEAKSCAN_REGISTRY_HTTP": registry.address, "LEAKSCAN_STORE": f"sqlite:///{tmp_path}/a.sqlite3",
                   "LEAKSCAN_KEY": "tests"}  # fmt: skip
    command = [sys.executable, "-m", "scanner", "audit", registry.address, "--jobs", "1", "--format", "json"]
    both = [subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE) for _ in range(2)]

    first, second = (json.loads(process.communicate(timeout=280)[0]) for process in both)

    assert [process.returncode for process in both] == [1, 1]
    assert first == second
    assert {image["reference"] for image in first["images"] if image["verdict"] == "leaked"} == set(leaks)
    assert rows_of(environment["LEAKSCAN_STORE"])["results"] == 12


def test_kill_minus_nine(registry: MemoryRegistry, leakscan: Leakscan, tmp_path: Path) -> None:
    """Killed again and again at moments of no choice of its own, it ends where an undisturbed audit ends."""
    filled(registry, 24)
    address = {"LEAKSCAN_REGISTRY_HTTP": registry.address, "XDG_STATE_HOME": str(tmp_path / "state")}
    undisturbed = leakscan("audit", registry.address, "--jobs", "1", "--format", "json",
                           env={**address, "LEAKSCAN_STORE": f"sqlite:///{tmp_path}/calm.sqlite3"})  # fmt: skip
    environment = {**os.environ, **address, "LEAKSCAN_STORE": f"sqlite:///{tmp_path}/killed.sqlite3"}
    source = random.Random("kill")
    for _ in range(8):
        registry.seen.clear()
        wanted = source.randrange(30, 160)
        process = subprocess.Popen([sys.executable, "-m", "scanner", "audit", registry.address, "--jobs", "1"],
                                   env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        while len(registry.seen) < wanted and process.poll() is None:
            try:
                process.wait(0.002)
            except subprocess.TimeoutExpired:
                continue
        process.send_signal(signal.SIGKILL)
        process.wait()

    last = leakscan("audit", registry.address, "--jobs", "1", "--format", "json", env=environment)

    assert last.returncode == undisturbed.returncode == 1, last.stderr
    assert json.loads(last.stdout) == json.loads(undisturbed.stdout)
