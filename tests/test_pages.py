"""The pages of the service: what they say, to whom, in a real browser, and that nothing an image says breaks out."""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from scanner.audit.run import Audit, Display, Wanted, audit, rule_set
from scanner.audit.targets import Filters, parse_target
from scanner.image.registry.client import Client
from scanner.image.registry.settings import Settings
from scanner.limits import Limits
from scanner.request import Detection
from scanner.serve.overviews import Overviews
from scanner.serve.pages import DOORS
from scanner.serve.settings import ServeSettings
from scanner.serve.words import Priority, Scope
from scanner.store.database import Store, open_store
from scanner.store.ledger import Ledger, Result, State
from testimages.values import github_token
from tests.browser import Browser
from tests.builders import image_of, layer, sha256, whiteout
from tests.doorways import Doorway, doorway
from tests.registries import memory_registry
from tests.test_report_html import CONTRAST

TOKEN = github_token(random.Random("pages"))
HOSTILE = "RUN echo '<script>alert(1)</script>' \u202e\x1b[31m && true"
LEAKY = image_of(
    layer({"etc/os-release": "NAME=base\n"}, created_by="ADD rootfs.tar /"),
    layer({"srv/.env": f"GITHUB_TOKEN={TOKEN}\n"}, created_by="COPY .env /srv/.env"),
    layer(whiteout("srv/.env"), created_by=HOSTILE),
)
CLEAN = image_of(layer({"etc/os-release": "NAME=base\n"}, created_by="ADD rootfs.tar /"))
DIGEST, CLEAN_DIGEST = sha256(LEAKY.manifest()), sha256(CLEAN.manifest())
UNREAD = "sha256:" + "ef" * 32


@pytest.fixture(scope="module")
def filled(rules: Detection) -> Iterator[tuple[Store, str, str]]:
    """A store that an audit filled, the rule set, and the registry's name."""
    with memory_registry() as registry, tempfile.TemporaryDirectory() as folder:
        for number in range(3):
            registry.put("shop/web", f"v{number}", LEAKY)
        registry.put("shop/clean", "1", CLEAN)
        store = open_store(f"sqlite:///{folder}/store.sqlite3")
        target = parse_target(registry.address)
        client = Client.connect(target.registry, Settings(plain_http=frozenset({registry.address})), Limits(),
                                {"HOME": "/nowhere"}, lambda _: None)  # fmt: skip
        wanted = Wanted(Limits(), 1, b"k" * 32, Filters())
        found: Audit = audit(client, target, store, rules, wanted, Display())
        client.close()
        assert len(found.entries) == 4
        ledger = Ledger(store, registry.address, rule_set(rules, None, Limits()), "run")
        reason = "<b>registry.missing</b>\x1b[2J"
        ledger.record(Result(UNREAD, State.FAILED, False, f"{registry.address}/shop/gone", reason=reason))
        ledger.point("shop/gone", [("1", UNREAD)])
        ledger.point("shop/new", [(f"t{number:03}", f"sha256:{number:064x}") for number in range(250)])
        yield store, rule_set(rules, None, Limits()), registry.address
        store.dispose()


@pytest.fixture
def door(filled: tuple[Store, str, str], tmp_path: Path) -> Iterator[Doorway]:
    """The service on that store."""
    store, rules, host = filled
    with doorway(tmp_path, ServeSettings(frozenset({host})), store, rules) as found:
        yield found


@pytest.fixture
def host(filled: tuple[Store, str, str]) -> str:
    """The registry's name."""
    return filled[2]


def page(door: Doorway, url: str, status: int = 200) -> str:
    """A page as a reader of the service gets it."""
    answer = door.client.get(url, auth=("anybody", door.tokens[Scope.READ]))
    assert answer.status_code == status, answer.text[-300:]
    assert answer.headers["content-type"].startswith("text/html")
    return answer.text


def fingerprint(door: Doorway) -> str:
    """Of the secret in the store."""
    found = door.service.verdicts.of(DIGEST).leaks
    return str(found[0]["secret"]["fingerprint"])


def every(door: Doorway, host: str) -> dict[str, str]:
    """A page of each kind, by name."""
    door.service.queue.ask(f"{host}/shop/web:v9", "tag:" + "0" * 64, Priority.WEBHOOK, "hook quay")
    door.service.queue.ask(f"{host}/shop/web:v8@{UNREAD}", UNREAD, Priority.AUDIT, "audit")
    urls = {"overview": "/", "repository": f"/repositories/{host}/shop/web", "many": f"/repositories/{host}/shop/new",
            "image": f"/images/{DIGEST}", "clean": f"/images/{CLEAN_DIGEST}", "unread": f"/images/{UNREAD}",
            "finding": f"/findings/{fingerprint(door)}", "queue": "/queue"}  # fmt: skip
    pages = {name: page(door, url) for name, url in urls.items()}
    return {**pages, "unknown": page(door, f"/images/sha256:{'0' * 64}", 404)}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 1400])
def test_every_page_can_be_read(
    width: int, dark: bool, door: Doorway, host: str, browser: Browser, tmp_path: Path
) -> None:
    """Narrow and wide, light and dark: it fits, has contrast, landmarks and names, and the policy has no complaint."""
    for name, text in every(door, host).items():
        file = tmp_path / f"{name}.html"
        file.write_text(text, encoding="utf-8")
        browser.open(file, width=width, dark=dark)
        browser.value("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert browser.value("document.documentElement.scrollWidth") <= width, name
        assert browser.value(CONTRAST) == [], name
        assert browser.complaints() == [] and browser.requests() == [file.as_uri()], name
        tree = browser.tree()
        roles = [role for role, _ in tree]
        assert all(roles.count(role) == 1 for role in ("banner", "main", "contentinfo")), name
        assert all(text for role, text in tree if role in ("link", "heading", "region", "navigation")), name
        levels = browser.value("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
        assert levels[0] == 1 and levels.count(1) == 1 and all(b <= a + 1 for a, b in pairwise(levels)), name


def test_nothing_of_an_image_is_markup(door: Doorway, host: str) -> None:
    """Steps, reasons and names stand there as text, and the found value nowhere."""
    pages = every(door, host)

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in pages["image"] and "\\u202e\\x1b[31m" in pages["image"]
    assert "&lt;b&gt;registry.missing" in pages["overview"] and "&lt;b&gt;registry.missing" in pages["unread"]
    for name, text in pages.items():
        assert "<script" not in text and "\x1b" not in text and "\u202e" not in text, name
        assert TOKEN not in text and TOKEN[4:20] not in text, name


def test_every_link_leads_to_a_page(door: Doorway, host: str) -> None:
    """From the overview on, each link of each page is answered, those to images that wait with that they do."""
    seen, left = set(), ["/"]
    while left and len(seen) < 60:
        url = left.pop(0)  # breadth first: tags of the long list come last
        answer = door.client.get(url, headers=door.bearer(Scope.READ))
        digest = url.rpartition("/")[2]
        known = not url.startswith("/images/") or digest in (DIGEST, CLEAN_DIGEST, UNREAD)
        assert answer.status_code == (200 if known else 404), url
        seen.add(url)
        links = {link.replace("&amp;", "&") for link in re.findall(r'href="(/[^"#]*)"', answer.text)}
        left += sorted(links - seen - set(left))
    assert {f"/images/{DIGEST}", f"/findings/{fingerprint(door)}", f"/repositories/{host}/shop/web", "/queue"} <= seen


def test_the_overview_adds_up(door: Doorway, host: str, browser: Browser, tmp_path: Path) -> None:
    """States and those that wait are all images; the repository that leaks must act."""
    file = tmp_path / "overview.html"
    file.write_text(page(door, "/"), encoding="utf-8")
    browser.open(file)

    assert browser.value("document.querySelector('h1').innerText").startswith("3 of 255 images leak")
    numbers = dict(browser.value("[...document.querySelectorAll('.counts div')].map(d => d.innerText.split('\\n'))"))
    states = ("read whole", "not wholly read", "could not be opened or listed", "not reached", "not scanned yet")
    assert [int(numbers[state]) for state in states] == [4, 0, 1, 0, 250]
    assert numbers["images in all"] == "255" and numbers["of them leak"] == "3"
    acting = browser.value("document.querySelector('[aria-labelledby=act] tbody').innerText")
    assert acting.startswith(f"{host}/shop/web") and "GitHub" in acting


def test_an_image_is_told_with_its_picture_and_a_secret_with_its_images(door: Doorway, host: str) -> None:
    """The image page has the line from the step that leaked to the one that buried, the finding page where it is."""
    pages = every(door, host)
    image = " ".join(re.sub(r"<[^>]+>", " ", pages["image"]).split())
    finding = " ".join(re.sub(r"<[^>]+>", " ", pages["finding"]).split())

    assert "brings in 1 secret" in image and "only buries 1 secret" in image and "Clusters are told: deny" in image
    assert all(f"{host}/shop/web:v{number}" in image for number in range(3))
    assert "3 tags hold it now. First seen" in finding and "COPY .env /srv/.env" in finding and "Revoke" in finding
    assert finding.count("yes") >= 3 and "srv/.env:1" in finding
    assert "hook quay" in pages["queue"] and "2 scans wait, 0 are under way" in pages["queue"]


def test_long_lists_have_pages(door: Doorway, host: str) -> None:
    """A hundred rows a page, with a way on and back; what is no page is none."""
    first = page(door, f"/repositories/{host}/shop/new")
    last = page(door, f"/repositories/{host}/shop/new?page=3")

    assert first.count("<tr><th") == 101 and 'rel="next"' in first and 'rel="prev"' not in first
    assert last.count("<tr><th") == 51 and 'rel="prev"' in last and 'rel="next"' not in last
    for wrong in ("0", "4", "-1", "x", "9" * 30, "٣"):
        assert "no such page" in page(door, f"/repositories/{host}/shop/new?page={wrong}", 404) or wrong == "4"


def test_only_readers_see_pages(door: Doorway, host: str) -> None:
    """Without a token the browser is told to ask for one; with another scope, that it is not allowed."""
    parts = {"{digest}": DIGEST, "{fingerprint}": "x", "{host}": host, "{name:path}": "a"}
    for each in DOORS:
        url = re.sub(r"\{[^}]+\}", lambda part: parts[part[0]], each.path)
        none = door.client.get(url)
        assert none.status_code == 401 and "Basic" in none.headers["www-authenticate"]
        assert door.client.get(url, auth=("anybody", "wrong")).status_code == 401
        assert door.client.get(url, auth=("anybody", door.tokens[Scope.HOOKS])).status_code == 403
        right = door.client.get(url, auth=("anybody", door.tokens[Scope.READ]))
        assert right.status_code in (200, 404)
        policy = right.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-") and "frame-ancestors 'none'" in policy


def test_what_is_no_name_is_no_page(door: Doorway) -> None:
    """Digests and fingerprints have their form; anything else is answered with a page that says so."""
    for url in ("/images/latest", "/images/sha256:0", "/findings/%27or%201=1", f"/findings/{'a' * 65}",
                "/findings/unknown", "/repositories/nowhere.example/x"):  # fmt: skip
        assert "There is nothing of that name" in page(door, url, 404)


def test_the_overview_is_made_now_and_then(filled: tuple[Store, str, str]) -> None:
    """Within a moment the same one is given again, later another."""
    store, rules, _ = filled
    time = [0.0]
    overviews = Overviews(lambda: time[0])

    first = overviews.of(store, rules, None)
    assert overviews.of(store, rules, None) is first and first.overview.leaking == 0
    time[0] += 60
    assert overviews.of(store, rules, None) is not first


def test_the_overview_begins_as_an_audit_does(tmp_path: Path, rules: Detection) -> None:
    """Where nothing could be read, nothing is said to be known of any image."""
    store, rule_names = open_store(f"sqlite:///{tmp_path}/store.sqlite3"), rule_set(rules, None, Limits())
    with doorway(tmp_path, ServeSettings(frozenset({"r:5000"})), store, rule_names) as door:
        ledger = Ledger(store, "r:5000", rule_names, "run")
        ledger.record(Result(UNREAD, State.FAILED, False, "r:5000/shop/gone", reason="registry.missing"))
        ledger.point("shop/gone", [("1", UNREAD)])

        assert "<h1>Nothing could be read</h1>" in page(door, "/")
    store.dispose()
