"""Reports for CI services: each is what its reader takes, whatever an image calls its files."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import unicodedata
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import cmarkgfm
import jsonschema
import pytest
import xmlschema
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner.evidence import (
    AcceptedGap,
    Confidence,
    DockerfilePlace,
    Finding,
    Gap,
    Remediation,
    ScanResult,
    SecretSummary,
    Severity,
    State,
    Surface,
)
from scanner.report import attest, escape, github, gitlab, junit, markdown, sarif
from scanner.report import csv as table
from scanner.report.output import FORMATS, Target, render, setting_of
from scanner.report.phrases import image_name
from scanner.report.setting import Setting
from tests import reports

SHARED = os.environ.get("LEAKSCAN_SHARED", "")
needs_schemas = pytest.mark.skipif(not SHARED, reason="LEAKSCAN_SHARED names no folder of schemas")
SETTING = Setting(commit="c0ffee" * 6 + "c0ff", finished=1_700_000_000.0, whole="report.json")

#: names that are commands, formulas, markup, links or control characters somewhere
HOSTILE = (
    "a\x1b[2J\x1b]0;x\x07b", "a\r\nb\x00\x7f\x85", "gpj.\u202eexe\u2066", "\ud800\udcff\ufffe\uffff",
    "x\n::error::forged", "::stop-commands::x", "%0A::warning::forged", "##vso[task.setvariable variable=x]y",
    "##[error]forged", "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\uff1d1+1", "\t=1", '","=1', "a,b;c\"d'e",
    "<script>alert(1)</script>", "]]><x/>&lt;&#0;", "<!--", "a|b|c", "`a` ``b``", "```", "[x](javascript:alert(1))",
    "![x](https://evil.example/a.png)", "https://evil.example/a", "www.evil.example", "@octocat", "octo/cat#1",
    "!1 ~bug", "{0} {{x}}", "[x](1)", "../../etc/passwd", "//evil.example/x", "javascript:alert(1)", "C:\\x",
    "a b?c#d", "\\", "", "\u65e5\u672c/gr\u00fc\u00dfe", "n" * 100_000,
)  # fmt: skip


def hostile() -> ScanResult:
    """A finding and a gap for each name, which stands wherever an image can put one."""
    named = []
    for number, name in enumerate(HOSTILE):
        finding = reports.finding(
            number, surface=Surface.LAYER, layer=1, path=name, inside=(name, name), line=1, state=State.DELETED,
            removed=3,
        )  # fmt: skip
        step, removed = finding.instruction, finding.removed_by
        assert step is not None and removed is not None
        proof = replace(finding.proof, member=name, command=name)
        advice = replace(finding.remediation, summary=name, steps=(name, "a"), dockerfile=f"RUN {name}\n{name}")
        advice = replace(advice, diff=f"-{name}\n+{name}\n" if number % 2 else None)
        named.append(
            replace(
                finding, instruction=replace(step, created_by=name), removed_by=replace(removed, created_by=name),
                proof=proof, remediation=advice, platform=name,
                dockerfile=DockerfilePlace(name, 1, 2) if number % 3 == 0 else None,
                suppressed={"by": name, "reason": name} if number % 5 == 0 else None, gated=number % 5 > 0,
            )
        )  # fmt: skip
    gaps = tuple(Gap(reports.digest(2), name, "nested.encrypted", 1, name) for name in HOSTILE)
    image = reports.image(reference="x\n::error::y", platform="linux/\x1b[31m")
    result = reports.result(*named, gaps=gaps, images=(image,))
    return replace(result, reference="team/\x1b[31m<b>\n::error::app:1", notes=HOSTILE)


def crowd(number: int, **fields: object) -> ScanResult:
    """So many findings that fail the scan, each of its own file."""
    one = reports.finding(surface=Surface.LAYER, layer=2, line=3, **fields)
    found = (replace(one, id=f"lk-{n:016x}", path=f"srv/keys/{n:05}.pem", offset=n) for n in range(number))
    return reports.result(*found)


def accepted() -> ScanResult:
    """A scan whose only gap and only finding are accepted, under hostile reasons."""
    entry = {"by": ".leakscan.toml: [[accept]] 1", "reason": "x\n::error::y|<b>@z", "expires": "2030-01-01"}
    gap = Gap(reports.digest(2), "opt/\x1b[31m.zip", "nested.encrypted", 10, "it is encrypted")
    result = reports.result(replace(reports.finding(), gated=False, suppressed=entry))
    return replace(result, coverage=replace(result.coverage, accepted=(AcceptedGap(gap, entry),)))


CASES = {
    "none": reports.result,
    "one": lambda: crowd(1),
    "10,000": lambda: crowd(10_000),
    "some": reports.leaked,
    "incomplete": reports.incomplete,
    "unavailable": reports.unavailable,
    "mixed 10,000": reports.many,
    "hostile": hostile,
    "accepted": lambda: accepted(),
}


@pytest.fixture(scope="module", params=CASES)
def result(request: pytest.FixtureRequest) -> ScanResult:
    """Each of the cases."""
    return CASES[request.param]()


def schema(name: str) -> Path:
    """A published schema."""
    return Path(SHARED) / "schemas" / name


# --- accepted by its reader ------------------------------------------------------------------------------------------


@needs_schemas
def test_sarif_is_valid(result: ScanResult) -> None:
    """SARIF 2.1.0 as OASIS published it."""
    validator = jsonschema.Draft7Validator(json.loads(schema("sarif-schema-2.1.0.json").read_text()))

    assert [error.message for error in validator.iter_errors(json.loads(sarif.render(result, SETTING)))] == []


@needs_schemas
def test_gitlab_s_report_is_valid(result: ScanResult) -> None:
    """What GitLab demands, else it takes nothing of the report."""
    validator = jsonschema.Draft7Validator(json.loads(schema("gitlab-secret-detection-15.0.2.json").read_text()))

    assert [error.message for error in validator.iter_errors(json.loads(gitlab.render(result, SETTING)))] == []


@needs_schemas
def test_junit_s_report_is_valid(result: ScanResult) -> None:
    """JUnit as Jenkins' reader defines it."""
    xmlschema.XMLSchema(schema("junit-10.xsd")).validate(io.StringIO(junit.render(result, SETTING)))


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_renders_everything(result: ScanResult, format: str) -> None:
    """One document that ends in a newline, can be encoded, and forges neither a control character nor a command."""
    shown = render(result, format, SETTING)

    assert shown.endswith("\n")
    shown.encode("utf-8")
    assert {unicodedata.category(char) for char in shown.replace("\r\n", "\n")} & {"Cc", "Cf", "Cs"} <= {"Cc"}
    assert {char for char in shown.replace("\r\n", "\n") if unicodedata.category(char) == "Cc"} <= {"\n"}
    ours = ("::notice title=leakscan::", "::error title=", "::error file=", "::warning title=")
    ours = ours if format == "github" else ()
    commands = [line for line in shown.splitlines() if line.lstrip().startswith("::")]
    assert [line[:60] for line in commands if not line.startswith(ours)] == []
    assert re.search(r"##\w*\[", shown) is None


@pytest.mark.parametrize("format", FORMATS)
def test_no_value_but_in_text_and_json(format: str) -> None:
    """Even with --show-secrets the reports that are uploaded hold no value."""
    finding = reports.finding(secret=SecretSummary("***", 14, "fp", "v4lue-" + "of-a-secret"))

    shown = render(reports.result(finding), format, SETTING)

    assert ("v4lue-of-a-secret" in shown) == (format in ("text", "json", "html"))


@pytest.mark.parametrize("format", [name for name in FORMATS if name not in ("text", "json", "html")])
def test_snapshot(format: str) -> None:
    """A small report of each format is as it was."""
    from scanner import __version__

    gap = Gap(reports.digest(4), "opt/data.bin", "layer.truncated", 512, "the compressed stream ends early")
    accepted = replace(
        reports.finding(9, surface=Surface.LAYER, layer=1, path="srv/demo.key", line=1), gated=False,
        suppressed={"by": "baseline", "reason": "a key for demonstrations", "expires": None},
    )  # fmt: skip
    leaked = reports.leaked()
    # advice has tests of its own; here it is short and does not change
    advice = Remediation("COPY put the file into a layer.", ("Change it.", "Mount it."), "RUN --mount=type=secret x")
    found = tuple(replace(finding, remediation=advice) for finding in (*leaked.findings, accepted))
    result = replace(leaked, findings=found, coverage=replace(leaked.coverage, accounted=9, gaps=(gap,)))

    shown = render(result, format, SETTING).replace("\r\n", "\n").replace(f'ersion": "{__version__}"', 'ersion": "X"')

    assert reports.matches_snapshot(shown, f"small.{format}")


# --- SARIF -----------------------------------------------------------------------------------------------------------


def run_of(result: ScanResult, setting: Setting = SETTING) -> dict[str, Any]:
    """The one run of the SARIF document."""
    [run] = json.loads(sarif.render(result, setting))["runs"]
    assert isinstance(run, dict)
    return run


def test_sarif_has_what_github_demands() -> None:
    """Rules with help and a score, relative places, levels, and a fingerprint that GitHub does not compute itself."""
    run = run_of(reports.leaked())

    for rule in run["tool"]["driver"]["rules"]:
        assert rule["shortDescription"]["text"] and rule["help"]["text"] and rule["help"]["markdown"]
        hint = rule["id"].endswith("/hint")
        assert ("security-severity" in rule["properties"]) != hint
        assert rule["properties"]["tags"] == ["secret", "security"]
    for found in run["results"]:
        assert found["ruleId"] == run["tool"]["driver"]["rules"][found["ruleIndex"]]["id"]
        assert found["level"] in ("error", "warning", "note")
        assert found["partialFingerprints"]["primaryLocationLineHash"]
        assert found["locations"][0]["physicalLocation"]["region"]["startLine"] >= 1
    assert [r["level"] for r in run["results"]] == ["error"] * 5 + ["note"]


def test_sarif_places_are_relative() -> None:
    """No place has a scheme or a host, leads upwards, or starts at a root; the name can be read back from it."""
    for found in run_of(hostile())["results"]:
        uri = found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        parts = urlsplit(uri)
        assert not (parts.scheme or parts.netloc or parts.query or parts.fragment or uri.startswith("/"))
        assert ".." not in unquote(uri).split("/")
        assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", uri)


def test_sarif_fingerprints_survive_a_rebuild() -> None:
    """Other digests of layers and blobs leave a finding's fingerprint alone; another finding has another one."""
    first, second = reports.leaked().findings[:2]
    rebuilt = replace(first, proof=replace(first.proof, blob=reports.digest(77), offset=5), offset=5)

    def prints(*findings: Finding) -> list[str]:
        results = run_of(reports.result(*findings))["results"]
        return [found["partialFingerprints"]["primaryLocationLineHash"] for found in results]

    assert prints(first) == prints(rebuilt)
    assert len(set(prints(first, second))) == 2


def test_sarif_keeps_within_github_s_limits() -> None:
    """The 5,000 worst of 10,000 are listed, and the document says how many are not and where they are."""
    result = crowd(10_000)
    worst = replace(result.findings[-1], severity=Severity.CRITICAL, id="lk-worst")
    run = run_of(replace(result, findings=(*result.findings[:-1], worst)))

    assert len(run["results"]) == 5_000
    assert run["results"][0]["partialFingerprints"]["leakscanId/v1"] == "lk-worst"
    notices = [notice["message"]["text"] for notice in run["invocations"][0]["toolExecutionNotifications"]]
    assert any("5,000 findings of 10,000 left out" in text and "report.json" in text for text in notices)


def test_sarif_of_incompressible_names_is_small_enough() -> None:
    """GitHub refuses more than 10 MB, compressed; what does not fit is left out and counted."""
    import random

    chance = random.Random(1)
    letters = [chr(code) for code in range(0x4E00, 0x9000)]
    one = reports.finding(surface=Surface.LAYER, layer=1)
    names = ("".join(chance.choices(letters, k=1000)) for _ in range(2500))
    found = (replace(one, id=f"lk-{n}", path=name, inside=(name[::-1],)) for n, name in enumerate(names))

    shown = sarif.render(reports.result(*found), SETTING)

    [run] = json.loads(shown)["runs"]
    notices = json.dumps(run["invocations"])
    assert 100 < len(run["results"]) < 2500
    assert f"{2500 - len(run['results']):,} findings of 2,500 left out" in notices
    assert len(zlib.compress(shown.encode("ascii"), 6)) < 10_000_000


def test_sarif_tells_images_apart() -> None:
    """Results of one image do not close the alerts of another; tags and digests make no other image."""
    def category(reference: str, source: str) -> str:
        result = replace(reports.result(), reference=reference, source=source)
        return str(run_of(result)["automationDetails"]["id"])

    name = "hub.example:5000/shop"
    ids = {category(each, "docker") for each in (f"{name}:1", f"{name}:2", f"docker:{name}@{reports.digest(1)}")}

    assert ids == {"leakscan/hub.example%3A5000/shop/"}
    assert category("a/b/cart.tar", "docker-archive") == "leakscan/cart.tar/"


def test_sarif_messages_have_no_links_and_no_placeholders() -> None:
    """What an image calls its files is shown as it is, not filled in or linked."""
    for found in run_of(hostile())["results"]:
        text = found["message"]["text"]
        assert re.search(r"(?<!\{)(?:\{\{)*\{\d", text) is None
        assert re.search(r"\[[^\]]*\]\(", text) is None


def test_a_line_of_the_dockerfile_comes_first() -> None:
    """Where the user's Dockerfile is known, alert and annotation are on the line that can be changed there; the place
    in the image is a related one, and the fingerprint stays."""
    place = DockerfilePlace("docker/Dockerfile", 3, 4)
    image = reports.finding(surface=Surface.LAYER, layer=1, path="app/.env", line=2)
    finding = replace(image, dockerfile=place)

    [found], [plain] = run_of(reports.result(finding))["results"], run_of(reports.result(image))["results"]

    assert found["locations"] == [
        {"physicalLocation": {
            "artifactLocation": {"uri": "docker/Dockerfile"}, "region": {"startLine": 3, "endLine": 4}
        }}
    ]  # fmt: skip
    assert found["relatedLocations"][0]["physicalLocation"] == plain["locations"][0]["physicalLocation"]
    assert found["partialFingerprints"] == plain["partialFingerprints"]
    assert "::error file=docker/Dockerfile,line=3,endLine=4,title=" in github.render(reports.result(finding), SETTING)


def test_sarif_marks_accepted_findings_and_gaps() -> None:
    """An accepted finding is a suppression with its reason, a gap is a notification with its code."""
    accepted = replace(reports.finding(), gated=False, suppressed={"by": "baseline", "reason": "rotated in May"})
    result = replace(reports.incomplete(), findings=(accepted,))

    run = run_of(result)

    assert run["results"][0]["suppressions"] == [
        {"kind": "external", "status": "accepted", "justification": "rotated in May (baseline)"}
    ]
    [invocation] = run["invocations"]
    assert not invocation["executionSuccessful"]
    codes = [each["descriptor"]["id"] for each in invocation["toolExecutionNotifications"] if "descriptor" in each]
    assert codes == ["layer.missing", "layer.truncated"]


# --- GitLab, JUnit ---------------------------------------------------------------------------------------------------


def test_gitlab_s_report_names_commit_times_and_files() -> None:
    """GitLab needs the commit; a file is named below its image; a hint is for information only."""
    document = json.loads(gitlab.render(reports.leaked(), SETTING))

    places = {item["location"]["file"] for item in document["vulnerabilities"]}
    assert "shop:1.4/root/.npmrc" in places or "shop/root/.npmrc" in places
    assert {item["location"]["commit"]["sha"] for item in document["vulnerabilities"]} == {SETTING.commit}
    assert document["scan"]["end_time"] == "2023-11-14T22:13:20"
    assert [item["severity"] for item in document["vulnerabilities"]] == ["Critical", *["High"] * 4, "Info"]
    assert len({item["id"] for item in document["vulnerabilities"]}) == 6


def test_gitlab_hears_of_gaps_and_failures() -> None:
    """A gap is a warning; an image that could not be opened is a scan that failed."""
    scan = json.loads(gitlab.render(reports.incomplete(), SETTING))["scan"]
    assert [message["level"] for message in scan["messages"]] == ["info", "warn", "warn"]
    assert json.loads(gitlab.render(reports.unavailable(), SETTING))["scan"]["status"] == "failure"


def suites_of(result: ScanResult) -> list[ElementTree.Element]:
    """The suites of the JUnit report."""
    return list(ElementTree.fromstring(junit.render(result, SETTING)))  # noqa: S314  (our own document)


def test_junit_has_a_test_for_everything() -> None:
    """A clean image has tests that passed, a finding is a failure, an accepted one skipped, a gap an error."""
    clean = suites_of(reports.result())
    assert sum(int(suite.get("tests", "")) for suite in clean) == 6  # four layers, documents, coverage
    assert not [case for suite in clean for case in suite.iter() if case.tag in ("failure", "error", "skipped")]

    accepted = replace(reports.finding(), gated=False, suppressed={"reason": "known"})
    mixed = replace(reports.incomplete(), findings=(reports.finding(2), accepted))
    tags = [element.tag for suite in suites_of(mixed) for element in suite.iter()]
    assert (tags.count("failure"), tags.count("skipped"), tags.count("error")) == (1, 1, 2)
    for suite in suites_of(mixed):
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))


# --- GitHub ----------------------------------------------------------------------------------------------------------


def test_annotations_keep_to_what_github_shows() -> None:
    """Ten errors, ten warnings, and a line that says how many more there are."""
    mixed = [*crowd(30).findings, *crowd(30, severity=Severity.MEDIUM).findings]
    gaps = tuple(Gap("", f"f{n}", "nested.damaged", 1, "") for n in range(30))

    lines = github.render(reports.result(*mixed, gaps=gaps), SETTING).splitlines()

    kinds = [line.partition(" ")[0] for line in lines]
    assert (kinds.count("::error"), kinds.count("::warning"), kinds.count("::notice")) == (10, 10, 1)
    assert sum("Not looked at" in line for line in lines) == 1
    assert "70 more annotations left out" in lines[0] and "report.json" in lines[0]


@given(st.text(max_size=60))
@settings(max_examples=300)
def test_nothing_ends_an_annotation_early(name: str) -> None:
    """Read by the runner's rules, an annotation has the title and message that were meant."""
    line = f"::error title={escape.workflow_property(name)}::{escape.workflow(name)}"

    assert "\n" not in line and "\r" not in line
    title, message = line.removeprefix("::error title=").split("::", 1)

    def decoded(text: str) -> str:
        for code, char in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%25", "%")):
            text = text.replace(code, char)
        return text

    assert decoded(title) == escape.text(name)
    assert decoded(message) == "\n".join(map(escape.text, name.split("\n")))


# --- Markdown, CSV ---------------------------------------------------------------------------------------------------


def html_of(page: str) -> str:
    """The page as GitHub's own library renders it, raw HTML let through."""
    return cmarkgfm.github_flavored_markdown_to_html(page, options=cmarkgfm.cmark.Options.CMARK_OPT_UNSAFE)


def test_markdown_is_a_table_with_nothing_of_the_image_s_making() -> None:
    """Rendered, no name is a link, a picture, an element, a cell of its own or a mention."""
    html = html_of(markdown.render(hostile(), SETTING))

    assert not re.search(r"<(?:a|img|script|b|x|em|strong|del)[\s>]", html)
    assert {len(re.findall("<t[dh]", row)) for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)} == {4}
    prose = re.sub(r"<pre>.*?</pre>|<code>.*?</code>", "", html, flags=re.DOTALL)
    assert not re.search(r"[@#!~]\w", prose)


@example("0@.A")  # an address for mail, in code as well
@given(st.text(max_size=60))
@settings(max_examples=300)
def test_markdown_shows_what_went_in(name: str) -> None:
    """In a cell, any string comes out as the same characters, and as nothing else."""
    import html as entities

    shown = html_of(f"| a | b |\n|---|---|\n| {escape.code(name)} | {escape.markdown(name)} |\n")
    cells = re.findall(r"<td>(.*?)</td>", shown, re.DOTALL)

    assert len(cells) == 2
    code, prose = (entities.unescape(re.sub(r"</?code>|<!-- -->", "", cell)) for cell in cells)
    assert code.strip() == prose.strip() == escape.text(name).strip()


@pytest.mark.parametrize("case", ["10,000", "mixed 10,000", "hostile"])
def test_markdown_fits_into_a_comment(case: str) -> None:
    """However much was found the page has fewer characters than a comment may have, and says what it leaves out."""
    page = markdown.render(CASES[case](), SETTING)

    assert len(page.encode("utf-8")) < 65_536
    if case == "10,000":
        assert "more findings left out here" in page and "report.json" in page


@given(st.text(max_size=60))
def test_no_cell_of_a_table_is_a_formula(name: str) -> None:
    """A reader of CSV gets the string back, with an apostrophe where a spreadsheet would calculate."""
    [[cell]] = csv.reader(io.StringIO(escape.csv(name)), strict=True)

    assert cell.removeprefix("'") == escape.text(name).removeprefix("'")
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20"))


def test_the_table_has_every_finding_and_gap() -> None:
    """Rows of one width, none left out."""
    result = hostile()

    rows = list(csv.reader(io.StringIO(table.render(result)), strict=True))

    assert {len(row) for row in rows} == {len(table.COLUMNS)}
    assert len(rows) == 1 + len(result.findings) + len(result.coverage.gaps)


# --- attestation -----------------------------------------------------------------------------------------------------


def test_an_attestation_is_about_the_digest_and_tells_no_places() -> None:
    """The subject is the manifest scanned; neither places nor steps nor fingerprints are told."""
    statement = json.loads(attest.statement(reports.leaked()))

    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "shop:1.4", "digest": {"sha256": reports.digest(8)[7:]}}]
    assert statement["predicate"] == json.loads(attest.predicate(reports.leaked()))
    assert statement["predicate"]["leakscan"]["findings"]["byRule"] == {"npm.token": 1, "url.credentials": 4}
    assert not re.search(r"npmrc|fp-npm|pypi|history", json.dumps(statement))


@pytest.mark.parametrize(
    ("case", "result", "failed"),
    [
        ("none", "PASSED", []),
        ("some", "FAILED", ["no-leaked-credential"]),
        ("incomplete", "FAILED", ["every-byte-read"]),
        ("unavailable", "FAILED", ["every-byte-read"]),
    ],
)
def test_only_a_clean_image_passes(case: str, result: str, failed: list[str]) -> None:
    """A policy that asks for PASSED lets no incomplete scan through."""
    predicate = json.loads(attest.predicate(CASES[case]()))

    assert (predicate["result"], predicate["failedTests"]) == (result, failed)


def test_an_attestation_says_when_the_scan_was() -> None:
    """A policy can refuse what was scanned too long ago; the words are those of cosign's predicate `vuln`."""
    result = replace(reports.result(), seconds=30.0)

    told = json.loads(attest.predicate(result, SETTING))["leakscan"]["metadata"]

    assert told == {"scanStartedOn": "2023-11-14T22:12:50Z", "scanFinishedOn": "2023-11-14T22:13:20Z"}


@pytest.mark.parametrize("format", ["sarif", "gitlab", "junit", "markdown", "csv", "attest"])
def test_accepted_gaps_are_listed(format: str) -> None:
    """What the user's settings accept does not count, and stays in the report."""
    assert "nested.encrypted" in render(accepted(), format, SETTING)
    assert "PASSED" in attest.predicate(accepted())


# --- what reports know -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "source", "name"),
    [
        ("shop", "docker", "shop"),
        ("localhost:5000/a/shop:1", "docker", "localhost:5000/a/shop"),
        ("docker:shop:1.4@sha256:00", "docker", "shop"),
        ("docker://r.example/shop:1", "registry", "r.example/shop"),
        ("build/shop.tar", "oci-archive", "shop.tar"),
        ("oci-dir:build/shop/", "oci-dir", "shop"),
        ("-", "docker-archive", "stdin"),
    ],
)
def test_an_image_has_a_name_that_builds_share(reference: str, source: str, name: str) -> None:
    """Neither tag nor digest nor folder is part of it."""
    assert image_name(replace(reports.result(), reference=reference, source=source)) == name


def test_the_commit_comes_from_the_service_s_own_variable() -> None:
    """GitLab's before others; the JSON report's file is where the whole report is."""
    targets = (Target("sarif", Path("a.sarif")), Target("json", Path("a.json")))

    setting = setting_of(targets, {"CI_COMMIT_SHA": "1a", "GITHUB_SHA": "2b"}, 80, 5.0)

    assert (setting.commit, setting.whole, setting.finished) == ("1a", "a.json", 5.0)
    assert setting_of((), {"GITHUB_SHA": "2b"}, 80, 5.0).commit == "2b"


def test_hints_are_no_alerts() -> None:
    """A finding of low confidence is a rule of its own without a score: GitHub judges by the rule."""
    hint = reports.finding(confidence=Confidence.LOW, gated=False)
    sure = reports.finding(2)

    rules = {rule["id"]: rule for rule in run_of(reports.result(hint, sure))["tool"]["driver"]["rules"]}

    assert "security-severity" not in rules["url.credentials/hint"]["properties"]
    assert rules["url.credentials"]["properties"]["security-severity"] == "8.0"
