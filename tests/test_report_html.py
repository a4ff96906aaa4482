"""The page for a browser, looked at in a real one: what it shows, to whom, and that nothing breaks out of it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.evidence import (
    AcceptedGap,
    Confidence,
    DockerfilePlace,
    Evidence,
    Gap,
    Instruction,
    LayerSummary,
    RemovedBy,
    ScanResult,
    SecretSummary,
    Severity,
    State,
    Surface,
)
from scanner.report.html import render
from tests import reports
from tests.browser import Browser
from tests.reports import digest, finding, result

KNOWN = (
    {"id": "pip", "verdict": "absent", "encodings": ["raw", "base64"], "bytes_searched": 2_034_176, "sightings": []},
    {"id": "npm", "verdict": "present", "encodings": ["raw"], "bytes_searched": 2_034_176, "sightings": ["f00004"]},
    {"id": "x", "verdict": "unknown", "encodings": [], "bytes_searched": 0, "sightings": []},
)
Show = Callable[..., Browser]


def large(layers: int, secrets: int) -> ScanResult:
    """An image of many steps, every fifth of which leaks, some of it deleted four steps later."""
    steps = [f"RUN /bin/sh -c make -C /src/{number} install # buildkit" for number in range(layers)]
    summaries = tuple(
        LayerSummary(number, digest(number % 200), digest(number % 200 + 1), 1000 * number, "tar", step, 2 * number)
        for number, step in enumerate(steps)
    )
    found = []
    for number in range(secrets):
        at = number * 5 % layers
        gone = number % 3 == 0 and at + 4 < layers
        found.append(
            finding(
                number, surface=Surface.LAYER, layer=at, path=f"srv/{number}/.env", line=3,
                instruction=Instruction(2 * at, steps[at]), state=State.DELETED if gone else State.LIVE,
                removed_by=RemovedBy(at + 4, steps[at + 4]) if gone else None,
                secret=SecretSummary("ghp_***", 40, f"fp{number}"), severity=list(Severity)[number % 4],
            )
        )  # fmt: skip
    scan = result(*found, images=(replace(reports.image(), layers=summaries),))
    return replace(scan, known_secrets=KNOWN)


def platforms() -> ScanResult:
    """Two images in one index, and an attestation of one of them."""
    both = [finding(number, platform=f"linux/{arch}") for number, arch in enumerate(("amd64", "arm64"))]
    told = finding(9, step=None, surface=Surface.ATTESTATION, path="predicate.x", platform="linux/arm64")
    return result(*both, told, images=(reports.image(), reports.image(platform="linux/arm64")))


CASES: dict[str, Callable[[], ScanResult]] = {
    "clean": result,
    "one": lambda: result(finding(4, step=2, surface=Surface.LAYER, layer=2, path="root/.npmrc")),
    "leaked": lambda: replace(reports.leaked(), known_secrets=KNOWN),
    "incomplete": reports.incomplete,
    "unavailable": reports.unavailable,
    "many": reports.many,
    "platforms": platforms,
    "twenty": lambda: large(25, 20),
    "five thousand": lambda: large(60, 5000),
}


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Show:
    """Render a result and open it in the browser."""

    def opened(scan: ScanResult, **window: int | bool) -> Browser:
        page = tmp_path / "report.html"
        page.write_text(render(scan), encoding="utf-8")
        browser.open(page, **window)  # type: ignore[arg-type]
        return browser

    return opened


def first_pixel(png: bytes) -> tuple[int, ...]:
    """Red, green and blue of the top left corner, whichever filter its row has: above and left of it is nothing."""
    import zlib

    data, at = b"", 8
    while at < len(png):
        length, kind = int.from_bytes(png[at : at + 4]), png[at + 4 : at + 8]
        data += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    return tuple(zlib.decompress(data)[1:4])


# --- how it looks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 400, 1400])
@pytest.mark.parametrize("case", CASES)
def test_nothing_sticks_out(case: str, width: int, show: Show) -> None:
    """However narrow the window, the page is not wider than it, with everything unfolded too."""
    page = show(CASES[case](), width=width)

    assert page.value("document.documentElement.scrollWidth") <= width
    page.value("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.value("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("dark", "colour"), [(False, (0xF4, 0xF6, 0xF9)), (True, (0x0F, 0x13, 0x1A))])
def test_it_follows_the_theme(dark: bool, colour: tuple[int, ...], show: Show) -> None:
    """The page is light or dark as its reader likes it; its policy lets its own style in."""
    page = show(CASES["leaked"](), dark=dark)

    assert first_pixel(page.screenshot()) == colour
    assert page.complaints() == []


CONTRAST = """(() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const solid = c => c !== 'rgba(0, 0, 0, 0)';
  const behind = e => { for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor; if (solid(c)) return c; } return 'rgb(255, 255, 255)'; };
  const low = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const a = light(getComputedStyle(e).color), b = light(behind(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) low.push(`${ratio.toFixed(2)} ${e.className} ${e.textContent.slice(0, 40)}`);
  }
  return low;
})()"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("case", ["clean", "leaked", "incomplete", "twenty"])
def test_text_can_be_read(case: str, dark: bool, show: Show) -> None:
    """Every word has a contrast of 4.5 at least against what is behind it (WCAG 2.2, 1.4.3), in both themes."""
    assert show(CASES[case](), dark=dark).value(CONTRAST) == []


def test_a_line_runs_from_the_step_that_leaked_to_the_step_that_buried(show: Show) -> None:
    """The mark of a leak is beside the step that brought it in, its cross beside the step that deleted the file."""
    page = show(CASES["leaked"]())

    beside = """(mark => { const box = document.querySelector(mark).getBoundingClientRect();
      const y = (box.top + box.bottom) / 2;
      return [...document.querySelectorAll('.stack > .row')].filter(row => {
        const r = row.getBoundingClientRect(); return r.top < y && y < r.bottom; })
        .map(row => row.querySelector('strong').textContent); })"""
    assert page.value(f"{beside}('.lane.critical.starts b')") == ["Step 2"]
    assert page.value(f"{beside}('.lane.critical.buried b')") == ["Step 3"]
    assert page.value(f"{beside}('.lane.critical.arrives-unseen b')") == ["Whoever can pull the image"]
    style = "getComputedStyle(document.querySelector('.lane.critical.{}'), '::{}').borderLeftStyle"
    assert page.value(style.format("starts", "before")) == "solid"
    assert page.value(style.format("buried", "after")) == "dotted"
    assert page.value(style.format("arrives-unseen", "before")) == "dotted"


def test_lines_have_no_holes(show: Show) -> None:
    """A line goes on from row to row without a gap between them."""
    page = show(CASES["twenty"]())

    tops = page.value(
        "[...document.querySelectorAll('.stack > .row > .gutter')].map(g => g.getBoundingClientRect())"
        ".map(r => [r.top, r.bottom])"
    )
    assert [(a, b) for (_, a), (b, _) in pairwise(tops) if abs(a - b) > 0.01] == []


def test_a_picture_of_a_large_image_is_short(show: Show) -> None:
    """Runs of steps that no leak touches are one row, which unfolds."""
    page = show(CASES["five thousand"]())

    assert page.value("document.querySelectorAll('.stack > .row').length") < 45
    assert page.value("[...document.querySelectorAll('.folded li')].every(li => !li.checkVisibility())")
    assert page.value("document.querySelectorAll('.stack > .row .lane.starts').length") == 8


# --- who reads it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_a_screen_reader_finds_its_way(case: str, show: Show) -> None:
    """There are landmarks, headings without a missing level, and a name for each link, list of steps and table."""
    page = show(CASES[case]())

    tree = page.tree()
    roles = [role for role, _ in tree]
    assert all(roles.count(role) == 1 for role in ("banner", "main", "contentinfo", "navigation"))
    assert all(name for role, name in tree if role in ("link", "heading", "region", "navigation"))
    levels = page.value("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.value("document.documentElement.lang") == "en"


def test_the_picture_is_told_in_words_too(show: Show) -> None:
    """Whoever does not see the lines is told the same by the steps."""
    page = show(CASES["leaked"]())

    spoken = " ".join(page.value("document.querySelector('.stack').innerText").split())
    assert "brings in 1 secret of leak 1 (critical) /root/.npmrc" in spoken
    assert "only buries 1 secret of leak 1 (deleted): still in layer 2" in spoken
    assert "A running container sees 2 secrets" in spoken
    assert "gets 3 secrets, 1 of which a container does not see" in spoken
    assert page.value("[...document.querySelectorAll('.gutter, .bar')].every(e => e.ariaHidden === 'true')")


def test_keys_suffice(show: Show) -> None:
    """Tab goes to the skip link first, then in the order of the page; Enter folds a leak."""
    page = show(CASES["leaked"]())

    page.press("Tab")
    assert page.value("document.activeElement.className") == "skip"
    seen = []
    while len(seen) < 100 and page.value("document.activeElement.tagName") != "SUMMARY":
        page.press("Tab")
        seen.append(page.value("document.activeElement.getBoundingClientRect().top + scrollY"))
    assert seen == sorted(seen)
    assert page.value("document.activeElement.parentElement.open") is True
    page.press("Enter")
    assert page.value("document.activeElement.parentElement.open") is False
    assert page.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_links_lead_to_what_they_name(show: Show) -> None:
    """Every link leads to a place of the page itself."""
    for case in ("leaked", "platforms", "five thousand"):
        page = show(CASES[case]())

        lost = "[...document.querySelectorAll('a')].filter(a => !document.querySelector(a.getAttribute('href')))"
        assert page.value(f"{lost}.length") == 0
        assert page.value("new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size") == page.value(
            "document.querySelectorAll('[id]').length"
        )


# --- what it says ----------------------------------------------------------------------------------------------------


def test_a_leak_says_what_where_and_how_to_mend_it(show: Show) -> None:
    """The worst comes first, with its place, state, the command that shows it, and the fix."""
    page = show(CASES["leaked"]())

    first = " ".join(page.value("document.querySelector('.leak').innerText").split())
    for words in (
        "Step 2", "npm access token", "npm_***, 14 bytes", "Publishes packages in the name of its owner.",
        "root/.npmrc:1 (layer 2 033333333333) deleted", "deleted by layer 3", "head -c 14", "HMAC cdcdcd",
        "finding f00004", "id=npmrc,target=/root/.npmrc",
    ):  # fmt: skip
        assert words in first
    severities = page.value("[...document.querySelectorAll('.leak > summary .tag')].map(t => t.textContent)")
    assert severities == ["critical", "high", "high"]


def test_known_secrets_and_coverage(show: Show) -> None:
    """Verdicts on known secrets link to the leaks that hold them; gaps are listed with their reason."""
    page = show(CASES["leaked"]())
    rows = page.value("[...document.querySelectorAll('#known tbody tr')].map(r => r.innerText.split('\\t').join('|'))")
    assert [row.split("|")[:2] for row in rows] == [["pip", "absent"], ["npm", "present"], ["x", "unknown"]]
    assert page.value("document.querySelector('#known a').getAttribute('href')") == "#leak-1"

    page = show(CASES["incomplete"]())
    told = page.value("document.querySelector('main').innerText")
    assert "Incomplete: 2,031,176 of 2,034,176 bytes" in told and "the blob is not in the archive" in told
    assert "not all of it was read: layer.missing" in told and "sees no secret in what was read" in told


def test_what_is_accepted_stays_listed(show: Show) -> None:
    """Findings and gaps that the user's files accept do not count, and are told with the entry and its reason."""
    entry = {"by": "baseline", "reason": "known since May", "expires": "2027-03-31"}
    scan = result(finding(gated=False, suppressed=entry))
    gap = AcceptedGap(Gap("", "opt/a.zip", "nested.encrypted", 10, ""), entry)
    page = show(replace(scan, coverage=replace(scan.coverage, accepted=(gap,))))

    told = page.value("document.querySelector('main').textContent")
    assert told.count("accepted by baseline: known since May, until 2027-03-31") == 1
    assert "1 gap accepted by your own files" in told and "nested.encrypted" in told and "CLEAN" in page.value(
        "document.title"
    )


def test_a_diff_stands_beside_its_lines(show: Show) -> None:
    """The lines of the Dockerfile are named, and the diff says that values are masked in it if they are."""
    leak = finding(dockerfile=DockerfilePlace("Dockerfile", 4, 6))
    diff = "--- a/Dockerfile\n+++ b/Dockerfile\n@@ -4,1 +4,1 @@\n-RUN T=************** make\n+RUN make\n"
    page = show(result(replace(leak, remediation=replace(leak.remediation, diff=diff))))

    assert "at Dockerfile:4-6" in " ".join(page.value("document.querySelector('.leak summary').textContent").split())
    assert page.value("document.querySelector('.diff code').textContent") == diff
    changed = page.value("[...document.querySelectorAll('.minus, .plus')].map(e => e.textContent)")
    assert changed == diff.split("\n")[3:5]
    assert "make the change by hand, or use --show-secrets" in page.value("document.querySelector('.fix').textContent")


def test_nothing_is_left_out_silently(show: Show) -> None:
    """Of five thousand secrets each is told of or counted, and the page stays below 2 MB."""
    page = show(CASES["five thousand"]())

    assert page.value("document.querySelectorAll('.secret, .rest tbody tr').length") == 5000
    assert len(render(CASES["five thousand"]())) < 2_000_000


@pytest.mark.parametrize("case", CASES)
def test_no_page_holds_a_secret(case: str) -> None:
    """No found value stands in the page."""
    shown = render(CASES[case]())

    assert [value for value in (reports.FAKE, "another-fake", "npm-fake-value") if value in shown] == []


def test_a_value_that_was_asked_for_is_shown(show: Show) -> None:
    """With --show-secrets the value stands beside its secret, on one line."""
    page = show(result(finding(secret=SecretSummary("***", 14, "fp", "two\nlines"))))

    assert page.value("document.querySelector('.value').textContent") == "two\\x0alines"


# --- hostile names ---------------------------------------------------------------------------------------------------


def hostile(text: str) -> ScanResult:
    """A result that says *text* wherever an image can have a say."""
    leak = finding(
        1, path=text, surface=Surface.LAYER, layer=1, instruction=Instruction(1, text), inside=(text, text), line=1,
        evidence=(Evidence(text, text, text),), state=State.DELETED, removed_by=RemovedBy(2, text), title=text,
        gains=text, secret=SecretSummary(text, 14, "fp", text), encoding=(text,),
    )  # fmt: skip
    advice = replace(leak.remediation, dockerfile=text, steps=(text,), summary=text, diff=f"--- a\n-{text}")
    proof = replace(leak.proof, blob=text, member=text, command=text, hmac=text)
    told = finding(2, path=text, gated=False, confidence=Confidence.LOW, surface=Surface.LAYER, title=text)
    entry = {"by": text, "reason": text, "expires": text}
    accepted = finding(3, path=text, gated=False, surface=Surface.LAYER, title=text, suppressed=entry)
    place = DockerfilePlace(text, 1, 2)
    layers = tuple(replace(layer, created_by=text, media_type=text) for layer in reports.image().layers)
    image = replace(reports.image(), layers=layers, reference=text, platform=text, manifest_digest=text)
    gap = Gap(text, text, "layer.missing", 1, text)
    leak = replace(leak, remediation=advice, proof=proof, dockerfile=place)
    scan = result(leak, told, accepted, gaps=(gap,), images=(image,))
    scan = replace(scan, coverage=replace(scan.coverage, accepted=(AcceptedGap(gap, entry),)))
    known = ({"id": text, "verdict": text, "encodings": [text], "bytes_searched": text, "sightings": [text]},)
    return replace(scan, reference=text, source=text, rules_digest=text, known_secrets=known, notes=(text,))


class Skeleton(HTMLParser):
    """Elements and attributes of a page, without text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[object] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # words of a command and lines of a diff are elements, so their number may differ; and labels hold names
        if dict(attrs).get("class") not in ("word", "line", "line plus", "line minus"):
            self.parts.append((tag, tuple((name, "" if name == "aria-label" else value) for name, value in attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag != "span":
            self.parts.append(f"/{tag}")


ATTACKS = (
    "</style><script>alert(1)</script>",
    "</title></code></pre><img src=x onerror=alert(1)><svg onload=alert(1)>",
    "\" onmouseover=\"alert(1)\" x='",
    "<!-- --!><a href=javascript:alert(1)>x</a><base href=//x.example>",
    "{{ 7 * 7 }}{% raw %}{# x #}",
    "<meta http-equiv=refresh content='0;url=http://x.example/'>",
    "\u202egpj.exe\u2066\x1b[31m\x00\x85\ud800\ufeff",
)


@pytest.mark.parametrize("text", ATTACKS)
def test_hostile_names_do_not_change_the_page(text: str) -> None:
    """Whatever names say, the page has the same elements and attributes as with harmless ones."""
    assert Skeleton(render(hostile(text))).parts == Skeleton(render(hostile("x"))).parts


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("<>&\"'/=-!{}%# \n\t`\\;") | st.characters(codec=None), min_size=1, max_size=60))
def test_no_name_changes_the_page(text: str) -> None:
    """The same for any text; and the page can be written down."""
    page = render(hostile("x" + text))

    assert Skeleton(page).parts == Skeleton(render(hostile("x"))).parts
    page.encode("utf-8")
    assert all(character.isprintable() or character == "\n" for character in page)


@pytest.fixture
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A port of loopback, and what each connection to it said within a second."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(1)
                    try:
                        heard.append(connection.recv(1000))
                    except TimeoutError:
                        heard.append(b"")

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize("text", ATTACKS)
def test_hostile_names_get_nowhere_in_a_browser(text: str, show: Show, listener: tuple[int, list[bytes]]) -> None:
    """In a real browser nothing runs, nothing is asked for, and the names stand there as they are."""
    port, heard = listener
    attack = text.replace("x.example", f"127.0.0.1:{port}").replace("src=x", f"src=http://127.0.0.1:{port}/x")

    page = show(hostile(attack))

    assert page.value("document.querySelectorAll('script, img, iframe, object, embed, link, form, base').length") == 0
    assert page.complaints() == [] and heard == []
    assert len(page.requests()) == 1 and page.requests()[0].startswith("file:")
    assert page.value("document.querySelectorAll('style').length") == 1


def test_the_policy_would_stop_what_escaping_missed(
    browser: Browser, tmp_path: Path, listener: tuple[int, list[bytes]]
) -> None:
    """Were a tag to get into the page after all, the browser would not run it, load it or style by it."""
    port, heard = listener
    smuggled = (
        "<script>document.title='run'</script><style>body{background:red}</style>"
        f"<img src=http://127.0.0.1:{port}/a><iframe src=http://127.0.0.1:{port}/b></iframe>"
        f"<form action=http://127.0.0.1:{port}/c></form></main>"
    )
    page = tmp_path / "report.html"
    page.write_text(render(result()).replace("</main>", smuggled, 1), encoding="utf-8")

    browser.open(page)

    assert browser.value("document.title") == "CLEAN: shop:1.4 - leakscan"
    assert first_pixel(browser.screenshot()) == (0xF4, 0xF6, 0xF9)
    assert b"".join(heard) == b""  # Chromium may open a connection ahead of the policy; it never asks for anything
    assert len(browser.complaints()) >= 3


def test_the_page_asks_for_nothing() -> None:
    """No address stands in the page where a browser would follow it, and nothing in it runs."""
    page = render(CASES["leaked"]())

    assert re.findall(r"<(?:script|link|img|iframe|object|embed|form|base)\b", page) == []
    assert [url for url in re.findall(r"(?:href|src|action|data)=\"([^\"]*)\"", page) if not url.startswith("#")] == []
    assert re.findall(r"\son\w+=|\sstyle=|url\(|@import", page) == []


def test_equal_results_give_equal_pages() -> None:
    """The page holds neither times nor durations."""
    scan = CASES["leaked"]()

    assert render(scan) == render(replace(scan, seconds=99.0))




def test_a_secret_that_only_a_builder_keeps_is_not_said_to_be_pulled(show: Show) -> None:
    """What only this machine's builder or a cache holds gets a mark, but no line to whoever pulls."""
    page = show(result(finding(1, step=None, surface=Surface.BUILDER, path="record")))

    assert page.value("document.querySelectorAll('.lane.alone').length") == 1
    assert page.value("document.querySelectorAll('.lane.arrives, .lane.arrives-unseen').length") == 0
    assert "gets no secret" in page.value("document.querySelector('.stack').innerText")
