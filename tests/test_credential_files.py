"""Credential files of every kind are parsed: the secret is found with its exact span, and whom it is for is named."""

from __future__ import annotations

import hashlib
import random
import re
import tempfile
from pathlib import Path

import pytest

from scanner.detect.filekinds import FileKinds
from scanner.detect.formats import read_ini, read_json, read_table, read_xml, read_yaml
from scanner.detect.parsed import ParsedFileDetector
from scanner.detect.spans import Suppressed
from scanner.evidence import Finding, Match
from scanner.image.source import open_image
from scanner.limits import Limits
from scanner.request import Detection, Options
from scanner.scan import scan
from tests.builders import image_of, layer, write
from tests.credential_files import CASES, Case

READERS = (read_ini, read_json, read_yaml, read_xml, read_table)
PASSWORD = CASES[0].secret()


@pytest.fixture(scope="module")
def findings(rules: Detection) -> dict[str, list[Finding]]:
    """What a scan of an image with all the files finds, by path."""
    with tempfile.TemporaryDirectory() as folder:
        image = image_of(layer({case.path: case.content() for case in CASES}))
        archive = write(Path(folder) / "image.tar", image.docker_archive())
        opened = open_image(str(archive), limits=Limits(), platform=None)
        try:
            result = scan(opened, rules, Options(Limits(), 1, b"k" * 32, show_secrets=True))
        finally:
            opened.close()
    found: dict[str, list[Finding]] = {}
    for finding in result.findings:
        found.setdefault(finding.path or "", []).append(finding)
    return found


def test_the_cases_are_different_files() -> None:
    """No case hides another one."""
    assert len({case.path for case in CASES}) == len(CASES) == len({case.name for case in CASES})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_credential_file_is_parsed(case: Case, findings: dict[str, list[Finding]]) -> None:
    """The secret is found in its file, gated unless it is a hash or encrypted, and user and host are in evidence."""
    seen = [f for f in findings.get(case.path, []) if case.secret() in (f.secret.value or "")]

    assert seen
    assert any(finding.gated for finding in seen) is case.gated
    named = {item.detail for f in seen if f.secret.value == case.secret() for item in f.evidence}
    assert set(case.beside) <= named


def explained(path: str, text: str) -> list[Match | Suppressed]:
    """What the parser says about one file."""
    return list(ParsedFileDetector().explain(memoryview(text.encode()), (), path))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".npmrc", "//npm.shop.io/:_authToken=${NPM_TOKEN}\n"),
        (".env", "DB_PASSWORD=$(cat /run/secrets/db)\n"),
        ("values.yaml", "auth:\n  password: {{ .Values.secret }}\n"),
        ("values.yaml", 'auth:\n  password: ""\n  existingSecretPassword: changeme\n'),
        (".my.cnf", "[client]\npassword=<password>\n"),
        ("root/.m2/settings.xml", "<server><password>${env.PASS}</password></server>"),
        (".git-credentials", "https://git@git.shop.io\nhttps://someone@git.shop.io\n"),
        ("application.yml", "spring:\n  datasource:\n    password: ENC(abcdefgh12345)\n"),
        ("app/vault-paths.json", '{"keys": ["secret/data/shop/production"]}'),
        ("root/.kube/config", "users:\n- name: a\n  user:\n    token: some-service-account-name\n"),
        ("application.yml", "db:\n  password-file: /run/secrets/db\n  secret: /run/secrets/x\n"),
    ],
)
def test_references_and_placeholders_are_no_secrets(path: str, text: str) -> None:
    """What only points at a secret is set aside with a reason."""
    assert not [found for found in explained(path, text) if isinstance(found, Match)]


def test_what_is_set_aside_has_its_reason_and_place() -> None:
    """A reference is listed as one, with the span of its value."""
    text = "//npm.shop.io/:_authToken=${NPM_TOKEN}\n"

    [found] = explained(".npmrc", text)

    assert isinstance(found, Suppressed)
    assert (text[found.start : found.end], found.reason) == ("${NPM_TOKEN}", "reference")


def test_a_published_value_is_set_aside() -> None:
    """Whoever copied it from documentation has told nobody anything."""
    known = {hashlib.sha256(PASSWORD.encode()).hexdigest(): "a manual"}
    text = f"[client]\npassword={PASSWORD}\n".encode()

    [found] = ParsedFileDetector(known).explain(memoryview(text), (), "root/.my.cnf")

    assert isinstance(found, Suppressed)
    assert found.reason == "public-example: a manual"


def test_the_user_goes_with_the_password_of_the_same_name() -> None:
    """Of several logins in one flat file each password has its own user."""
    one, two = PASSWORD, PASSWORD[::-1]
    text = f"nexusUser=ann\nnexusPassword={one}\nsonarUser=bob\nsonarPassword={two}\n"

    found = [match for match in explained("gradle.properties", text) if isinstance(match, Match)]

    named = [(match.secret.reveal().decode(), match.evidence[0].detail) for match in found]
    assert named == [(one, "ann"), (two, "bob")]


def test_escapes_are_undone_for_judging_and_kept_in_the_span() -> None:
    """The secret is the text as it stands in the file."""
    text = '{"auths": {"r.shop.io": {"password": "a\\u0062' + PASSWORD + '"}}}'

    [found] = [match for match in explained(".dockercfg", text) if isinstance(match, Match)]

    assert found.secret.reveal().decode() == "a\\u0062" + PASSWORD == text[found.start : found.end]


def test_windows_line_ends_and_missing_ends_change_nothing() -> None:
    """Files from elsewhere are read too."""
    for text in (f"[client]\r\nuser=app\r\npassword={PASSWORD}\r\n", f"[client]\nuser=app\npassword={PASSWORD}"):
        [found] = explained("root/.my.cnf", text)
        assert isinstance(found, Match)
        assert found.secret.reveal().decode() == PASSWORD


def test_damaged_files_raise_nothing() -> None:
    """Readers take any bytes: cut, flipped and random ones."""
    chance = random.Random(7)
    for case in CASES:
        data = bytearray(case.content().encode())
        for _ in range(6):
            data[chance.randrange(len(data))] = chance.randrange(256)
        broken = bytes(data)[: chance.randrange(len(data) + 1)] + chance.randbytes(chance.randrange(20))
        for reader in READERS:
            for field in reader(broken).fields:
                assert 0 <= field.start <= field.end <= len(broken)
        found = ParsedFileDetector().explain(memoryview(broken), (), case.path)
        assert all(one.end <= len(broken) for one in found)


@pytest.mark.parametrize(
    "cell",
    [b" " * 40_000 + b"\rx", b'"a' * 40_000, b'"' * 40_001, b'"a"x,' * 40_000],
    ids=["blanks", "open", "quotes", "behind a quote"],
)
def test_a_table_that_ends_nowhere_takes_linear_time(cell: bytes) -> None:
    """Blanks in front of half an end of a line, quotes that are not closed: what comes before is read."""
    read = read_table(b"user,password\nshop,Kp7wWq2z\n" + cell + b"\n")

    assert b"Kp7wWq2z" in {field.value for field in read.fields}


def test_only_paths_of_the_table_are_parsed() -> None:
    """The quick look at a path and the rows agree."""
    kinds = FileKinds()
    paths = [case.path for case in CASES] + ["usr/bin/env", "usr/lib/python3/json/decoder.py", "x/README.md", ""]
    for path in paths:
        assert kinds.claims(path) is bool(kinds.of(path)), path


def test_the_page_names_every_case() -> None:
    """docs/content.md lists every kind of file by the name of its test, and nothing else."""
    page = Path("docs/content.md").read_text(encoding="utf-8")
    table = page.partition("## Credential files")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    named = re.findall(r"`([^`]+)`", "".join(row.rpartition(" | ")[2] for row in rows))

    assert sorted(named) == sorted(case.name for case in CASES)
