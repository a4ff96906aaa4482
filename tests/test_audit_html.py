"""An audit as a page: its counts add up, it says whose leak it is, and a real browser shows it to everybody."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.audit import html, report
from scanner.audit import rows as audit_rows
from scanner.audit.columns import COLUMNS, history, periods
from scanner.audit.leaks import Image, Leak
from scanner.audit.overview import overview
from scanner.audit.periods import periods as table_periods
from scanner.audit.run import Audit, Display, Wanted, audit
from scanner.audit.summary import summarize
from scanner.audit.targets import Filters, parse_target
from scanner.evidence import Remediation, Severity
from scanner.image.registry.client import Client
from scanner.image.registry.settings import Settings
from scanner.limits import Limits
from scanner.report.json import coverage_document, finding_document
from scanner.report.stored import coverage_of, finding_of, image_of
from scanner.request import Detection
from scanner.store.database import open_store
from scanner.store.ledger import Span, State
from testimages.values import github_token
from tests import reports
from tests.browser import Browser
from tests.builders import image_of as built_image
from tests.builders import layer
from tests.registries import MemoryRegistry, memory_registry
from tests.test_report_html import CONTRAST

TOKENS = [github_token(random.Random(f"audit page {number}")) for number in range(3)]
BASE = layer({"etc/os-release": "NAME=base\n"})
NPMRC = layer({"root/.npmrc": f"//npm.example/:_authToken={TOKENS[0]}\n"}, created_by="COPY .npmrc /root/.npmrc")


@pytest.fixture(scope="module")
def found(rules: Detection) -> Iterator[Audit]:
    """An audit of a base that leaks, three images built on it, one that leaks by itself, and a clean one."""
    with memory_registry() as registry, tempfile.TemporaryDirectory() as folder:
        registry.put("base/node", "20", built_image(BASE, NPMRC))
        for number in range(3):
            registry.put(f"shop/web{number % 2}", f"v{number}", built_image(BASE, NPMRC, layer({"srv/x": f"{number}"})))
        registry.put("pay/api", "1", built_image(BASE, layer({"srv/.env": f"GITHUB_TOKEN={TOKENS[1]}\n"})))
        registry.put("pay/web", "1", built_image(BASE, layer({"srv/index.html": "<p>"})))
        store = open_store(f"sqlite:///{folder}/audit.sqlite3")
        yield run(registry, store, rules)
        store.dispose()


def run(registry: MemoryRegistry, store: object, rules: Detection) -> Audit:
    """One audit of all of a registry."""
    target = parse_target(registry.address)
    settings = Settings(plain_http=frozenset({registry.address}))
    client = Client.connect(target.registry, settings, Limits(), {"HOME": "/nowhere"}, lambda _: None)
    wanted = Wanted(Limits(), 1, b"k" * 32, Filters())
    try:
        return audit(client, target, store, rules, wanted, Display())  # type: ignore[arg-type]
    finally:
        client.close()


def rows(browser: Browser, section: str) -> list[list[str]]:
    """The cells of a section's first table, row by row."""
    table = f"document.querySelector('[aria-labelledby={section}] tbody')"
    cells: list[list[str]] = browser.value(
        f"[...{table}.rows].map(r => [...r.cells].map(c => c.innerText.replace(/\\s+/g, ' ').trim()))"
    )
    return cells


def test_the_page_says_who_must_act(found: Audit, browser: Browser, tmp_path: Path) -> None:
    """The leak of a base is its maker's, with the images of others that it spoils; the counts add up."""
    page = tmp_path / "audit.html"
    page.write_text(html.render([found], Severity.LOW, "sha256:0"), encoding="utf-8")
    browser.open(page)

    assert browser.complaints() == [] and browser.requests() == [page.as_uri()]
    assert browser.value("document.querySelector('.sentence').innerText") == "5 of 6 images leak."
    numbers = browser.value("[...document.querySelectorAll('.counts dd')].map(d => +d.innerText)")
    assert numbers == [6, 0, 0, 0, 6, 5, 2]  # four states, their sum, those that leak, secrets
    assert sum(audit_rows.counts([found]).values()) == 6
    assert [row[0] for row in rows(browser, "act-1")] == ["base/node", "pay/api"]
    assert rows(browser, "act-1")[0][2:5] == ["1", "1", "3"]
    [shared] = rows(browser, "layers-1")
    assert "COPY .npmrc /root/.npmrc" in shared[0] and shared[2:4] == ["4", "3"] and shared[5] == "base/node"
    by_name = {row[0]: row[2:5] for row in rows(browser, "repositories-1")}
    assert by_name == {"shop/web0": ["2", "2", "2"], "shop/web1": ["1", "1", "1"], "base/node": ["1", "0", "1"],
                       "pay/api": ["1", "0", "1"]}  # fmt: skip
    assert "1 repository without a leak" in browser.value("document.querySelector('main').innerText")
    drawn = browser.value("[...document.querySelectorAll('details.kind summary code')].map(c => c.innerText)")
    assert [name.partition("/")[2] for name in drawn] == ["base/node:20", "pay/api:1", "shop/web0:v0", "shop/web1:v1"]
    assert browser.value("document.querySelectorAll('.stack .lane.starts').length") == 4
    assert browser.value("[...document.querySelectorAll('a')].every(a => document.querySelector(a.hash))")
    assert not any(token in page.read_text() for token in TOKENS)


def test_the_gate_is_the_reports(found: Audit) -> None:
    """With a higher gate nothing leaks on the page either."""
    page = html.render([found], None, "sha256:0")

    assert "None of 6 images is known to leak." in page and 'class="tag' not in page


def test_it_begins_as_the_text_does(found: Audit) -> None:
    """Where nothing could be read, nothing is said to be known of any image."""
    failed = [replace(entry, state=State.FAILED, digest="") for entry in found.entries[:2]]
    for entries in ([], failed, failed[:1]):
        audit = replace(found, entries=tuple(entries))
        page, text = html.render([audit], Severity.LOW, "sha256:0"), report.text([audit], Severity.LOW)
        head = "Nothing could be read." if entries else "There is no image to read."
        assert head in page and f": {head.lower()}\n" in text


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 1400])
def test_it_can_be_read(width: int, dark: bool, found: Audit, browser: Browser, tmp_path: Path) -> None:
    """In a narrow window and a wide one, in both themes: nothing sticks out, every word has contrast."""
    hostile = f"<img src=x onerror=alert(1)>\u202e{'w' * 300}"
    entry = replace(found.entries[0], reference=hostile, digest="", state=State.FAILED, reason=hostile)
    page = tmp_path / "audit.html"
    page.write_text(html.render([replace(found, entries=(*found.entries, entry))], Severity.LOW, "0"), encoding="utf-8")
    browser.open(page, width=width, dark=dark)
    browser.value("document.querySelectorAll('details').forEach(d => d.open = true)")

    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(CONTRAST) == [] and browser.complaints() == []
    assert browser.value("document.querySelectorAll('img, script').length") == 0
    assert "<img src=x onerror=alert(1)>\\u202e" in browser.value("document.querySelector('main').innerText")
    tree = browser.tree()
    roles = [role for role, _ in tree]
    assert all(roles.count(role) == 1 for role in ("banner", "main", "contentinfo", "navigation"))
    assert all(name for role, name in tree if role in ("link", "heading", "region", "navigation"))


def leak(secret: str, severity: Severity = Severity.HIGH) -> Leak:
    """A leak, by a layer of its own."""
    return Leak(secret, "Token", severity, f"layer of {secret}", "COPY . .")


def image(repository: str, *leaks: Leak, created: str = "", layers: int = 0, tag: str = "1") -> Image:
    """An image."""
    name = f"{repository}:{tag}"
    return Image(name, repository, f"sha256:{name}", State.SCANNED, created=created, leaks=leaks, layers=layers)


def test_the_oldest_build_is_the_owners() -> None:
    """Whoever built a secret in first must act, however many others have it; of one time it is the shorter image."""
    seen = overview([
        image("app", leak("s"), created="2026-02-01", layers=1),
        image("base", leak("s"), created="2026-01-01", layers=9),
        image("other", leak("t"), layers=3), image("short", leak("t"), layers=2),
    ])  # fmt: skip

    assert {each.repository: (each.secrets, each.images, each.others) for each in seen.actors} == {
        "base": (1, 1, 1), "short": (1, 1, 1)
    }  # fmt: skip
    assert {each.digest: each.maker for each in seen.layers} == {"layer of s": "base", "layer of t": "short"}
    assert {each.name: each.inherited for each in seen.repositories} == {"app": 1, "base": 0, "other": 1, "short": 0}


def test_what_an_image_adds_is_its_own() -> None:
    """An image on a leaking base that leaks by itself too is not one that only inherits."""
    seen = overview([
        image("base", leak("s"), layers=2), image("app", leak("s"), leak("t", Severity.CRITICAL), layers=3)
    ])  # fmt: skip

    assert {each.name: each.inherited for each in seen.repositories} == {"base": 0, "app": 0}
    assert {each.repository: (each.images, each.others) for each in seen.actors} == {"base": (1, 1), "app": (1, 0)}


def test_all_reports_of_an_audit_say_the_same(found: Audit) -> None:
    """Owners, layers, repositories and counts of the page are those of text, JSON and CSV."""
    summary = summarize([found], Severity.LOW)
    page = html.overview_of(found, Severity.LOW)

    def full(name: str) -> str:
        return f"{found.host}/{name}"

    assert {(full(each.repository), each.secrets, each.worst, each.images, each.others) for each in page.actors} == {
        (each.repository, each.secrets, each.worst, each.own, each.others) for each in summary.owners
    }  # fmt: skip
    assert [(each.digest, each.images, each.repositories, each.secrets, full(each.maker)) for each in page.layers] == [
        (each.digest, each.references, each.repositories, each.secrets, each.repository) for each in summary.layers
    ]  # fmt: skip
    assert {(full(each.name), each.images, each.leaking, each.secrets) for each in page.repositories} == {
        (each.name, each.references, each.leaking, each.secrets) for each in summary.repositories
    }  # fmt: skip
    assert (page.images, page.leaking, page.secrets) == (summary.references, summary.leaking, len(summary.secrets))
    assert {state.value: number for state, number in page.states.items()} == summary.counts


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([*State, None]), st.sets(st.sampled_from("xyz")))))
def test_counts_add_up(given_images: list[tuple[str, State | None, set[str]]]) -> None:
    """Whatever the images: states and those that wait are all of them, and repositories hold each once."""
    images = [
        replace(image(name, *map(leak, sorted(leaks)), tag=str(number)), state=state)
        for number, (name, state, leaks) in enumerate(given_images)
    ]
    seen = overview(images)

    assert sum(seen.states.values()) + seen.waiting == seen.images == len(images)
    assert sum(each.images for each in seen.repositories) == len(images)
    assert sum(each.leaking for each in seen.repositories) == seen.leaking == sum(bool(one[2]) for one in given_images)
    assert all(each.inherited <= each.leaking <= each.images for each in seen.repositories)


@given(st.dictionaries(st.dates(date(2001, 1, 1), date(2060, 1, 1)), st.integers(1, 9), min_size=1))
def test_a_chart_holds_every_image_in_few_columns(made: dict[date, int]) -> None:
    """However far apart the days are, each image stands in one column."""
    columns = periods(made, made)

    assert len(columns) <= COLUMNS
    assert sum(each.images for each in columns) == sum(made.values()) == sum(each.leaking for each in columns)


def test_history_knows_what_was_there() -> None:
    """A tag counts from the day it was seen to the day it went."""
    spans = [
        Span("2026-03-02", "2026-03-02", False, True, 2),
        Span("2026-03-03", "2026-03-05", True, False, 5),
    ]
    days = history(spans, date(2026, 3, 5))

    assert [(each.label, each.leaking, each.images) for each in days] == [
        ("2026-03-02", 2, 2), ("2026-03-03", 0, 5), ("2026-03-04", 0, 5), ("2026-03-05", 0, 5)
    ]  # fmt: skip


def test_documents_come_back_as_they_were() -> None:
    """Findings and coverage survive the way into the store and back."""
    whole = replace(reports.finding(1), remediation=Remediation("how", ("do",), "RUN x", "a diff", "a script"))
    for scan in (reports.leaked(), reports.incomplete(), reports.many(), reports.result(whole)):
        for each in scan.findings:
            document = json.loads(json.dumps(finding_document(each, several=True)))
            assert finding_of(document) == each
        stored = json.loads(json.dumps(coverage_document(replace(scan.coverage, accepted=()))))
        assert coverage_of(stored) == replace(scan.coverage, accepted=())
    cache = {"manifest_digest": "sha256:0", "platform": None, "layers": 0, "findings": []}  # a build cache: no image
    assert image_of(cache, "x", "registry").layers == ()


def test_the_store_keeps_what_a_picture_needs(found: Audit) -> None:
    """Layers with their steps, coverage and age stand in the stored result."""
    known = next(each for each in found.images() if "base/node" in each.entry.reference)
    documents = known.images

    summary = image_of(documents[0], known.entry.reference, "registry")
    assert [each.created_by for each in summary.layers][1] == "COPY .npmrc /root/.npmrc"
    assert coverage_of(documents[0]["coverage"]).complete


def test_the_page_and_the_table_have_the_same_builds() -> None:
    """Whatever counts as the time of a build counts in both: only a clock that was set tells nothing."""
    times = ("1979-12-31T00:00:00+00:00", "1995-05-05T00:00:00+00:00", "2026-01-05T00:00:00+00:00")
    images = [Image(f"h/r:{time}", "h/r", "", State.SCANNED, created=audit_rows.built(time)) for time in times]

    assert sum(column.images for column in overview(images).built) == 2
    table = table_periods([(audit_rows.built(time), False) for time in times], ())
    assert sum(each.references for each in table if each.start) == 2
