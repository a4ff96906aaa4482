"""Nobody passes a door without its scope, whichever door it is."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from scanner.cli.main import cli
from scanner.errors import UnusableFile
from scanner.serve.app import Application, OpenDoor
from scanner.serve.doors import DOORS
from scanner.serve.routing import PUBLIC, Door, Request, Response
from scanner.serve.service import Service
from scanner.serve.tokens import TokenExpired, Tokens, presented
from scanner.serve.words import Scope
from scanner.store.database import Store
from tests.serving import application_of, bearer, service_on, tokens_file

#: what a caller may bring, and what comes of it
CASES = {"none": 401, "wrong": 401, "expired": 401, "wrong scope": 403, "right": 204}


@pytest.fixture
def service(store: Store) -> Service:
    """A service on it."""
    return service_on(store)


async def passed(_request: Request, _service: Service) -> Response:
    """Stands for what is behind a door."""
    return Response(status_code=204)


def asked(application: Application, method: str, path: str, **more: Any) -> httpx.Response:
    """One request to the application."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, **more)

    return asyncio.run(ask())


def path_of(door: Door, **known: str) -> str:
    """A path that leads to a door."""
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda part: known.get(part[1], "x"), door.path)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("door", [door for door in DOORS if not door.signature],
                         ids=lambda door: f"{door.method} {door.path}")  # fmt: skip
def test_a_door_opens_to_its_scope_alone(door: Door, case: str, service: Service, tmp_path: Path) -> None:
    """Each door of the service, with what callers may bring; what is behind it is not reached otherwise."""
    others = [scope.value for scope in Scope if scope is not door.scope]
    own = [] if door.scope is PUBLIC else [door.scope.value]
    tokens = tokens_file(tmp_path / "tokens", right=own or others, expired=own or others, other=others)
    application = application_of(service, tmp_path / "tokens", [replace(door, endpoint=passed)])
    brought: dict[str, dict[str, str]] = {
        "none": {}, "wrong": bearer("of nobody"), "expired": bearer(tokens["expired"]),
        "wrong scope": bearer(tokens["other"]), "right": bearer(tokens["right"]),
    }  # fmt: skip

    answer = asked(application, door.method, path_of(door), headers=brought[case])

    assert answer.status_code == (204 if door.scope is PUBLIC else CASES[case])
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)


@pytest.mark.parametrize("case", ["none", "wrong", "of another body", "a token instead", "right", "no secret is set"])
@pytest.mark.parametrize("door", [door for door in DOORS if door.signature], ids=lambda door: door.path)
def test_a_signed_door_opens_to_signatures_alone(door: Door, case: str, store: Store, tmp_path: Path) -> None:
    """Neither the right token nor an empty secret passes: the body must be signed with the secret of hooks."""
    secret = b"a secret of hooks" if case != "no secret is set" else b""
    tokens = tokens_file(tmp_path / "tokens", right=[door.scope.value])  # type: ignore[union-attr]
    application = application_of(service_on(store, hook_secret=secret), tmp_path / "tokens",
                                 [replace(door, endpoint=passed)])  # fmt: skip
    right = hmac.new(secret, b"{}", "sha256").hexdigest()
    brought = {"none": {}, "wrong": {door.signature: "sha256=" + "0" * 64}, "a token instead": bearer(tokens["right"]),
               "right": {door.signature: right}, "no secret is set": {door.signature: right},
               "of another body": {door.signature: hmac.new(secret, b"[]", "sha256").hexdigest()}}  # fmt: skip

    answer = asked(application, "POST", door.path, headers=brought[case], content=b"{}")

    assert answer.status_code == (204 if case == "right" else 401)


def test_only_health_is_open() -> None:
    """Doors for everybody are two, and tell nothing."""
    assert {door.path for door in DOORS if door.scope is PUBLIC} == {"/livez", "/readyz"}


@pytest.mark.parametrize("scope", [None, "read", ""])
def test_a_door_without_a_scope_does_not_start(service: Service, scope: Any) -> None:
    """Nothing is served then."""
    with pytest.raises(OpenDoor, match="GET /open has no scope"):
        application_of(service, None, [Door("GET", "/open", scope, passed)])


def test_two_doors_at_one_place(service: Service) -> None:
    """The second would never open, with its scope: nothing is served."""
    door = Door("GET", "/one", Scope.READ, passed)
    with pytest.raises(OpenDoor, match="twice"):
        application_of(service, None, [door, replace(door, scope=Scope.ADMIN)])


def test_a_door_whose_place_is_anywhere(service: Service) -> None:
    """It would open for whatever is no other door: nothing is served."""
    with pytest.raises(OpenDoor, match="not known"):
        application_of(service, None, [Door("GET", "/{anything:path}", Scope.READ, passed)])


def test_what_is_no_door(service: Service) -> None:
    """It is not there, or not for that method."""
    application = application_of(service, None)

    assert asked(application, "GET", "/nothing").status_code == 404
    assert asked(application, "DELETE", "/livez").status_code == 405
    assert asked(application, "GET", "/nothing").headers["content-type"] == "application/problem+json"


def test_a_slash_too_many_leads_nowhere(service: Service) -> None:
    """Neither to a host of the caller's choice nor back with the token that the path held."""
    application = application_of(service, None)

    for path in ("/livez/", "/queue/", "/kubernetes/validate/a-token/"):
        answer = asked(application, "GET", path, headers={"Host": "elsewhere.example"})
        assert answer.status_code == 404 and "location" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "in_path", "token"),
    [
        ({"authorization": "Bearer abc"}, "", "abc"),
        ({"authorization": "bearer abc"}, "", "abc"),
        ({"authorization": "Basic dXNlcjphOmI="}, "", "a:b"),
        ({"authorization": "Basic ???"}, "", ""),
        ({"authorization": "Basic /w=="}, "", ""),
        ({"authorization": "Digest abc"}, "", ""),
        ({"x-scanneradapter-api-key": "abc"}, "", "abc"),
        ({}, "abc", "abc"),
        ({"authorization": "Bearer abc"}, "other", "abc"),
        ({}, "", ""),
    ],
)
def test_how_a_token_is_brought(headers: Mapping[str, str], in_path: str, token: str) -> None:
    """As bearer, as a browser's password, as Harbor's API key, in the path of whoever can send no header."""
    assert presented(headers, in_path) == token


def test_a_token_in_the_path(service: Service, tmp_path: Path) -> None:
    """It counts where a door has a place for it."""
    tokens = tokens_file(tmp_path / "tokens", hub=["hooks"])
    door = Door("POST", "/hooks/hub/{token}", Scope.HOOKS, passed)
    application = application_of(service, tmp_path / "tokens", [door])

    assert asked(application, "POST", path_of(door, token=tokens["hub"])).status_code == 204
    assert asked(application, "POST", path_of(door)).status_code == 401


def test_a_page_of_another_site_cannot_use_a_browser_s_password(service: Service, tmp_path: Path) -> None:
    """What changes something is refused if a browser says that it comes from elsewhere."""
    tokens = tokens_file(tmp_path / "tokens", person=["scan"])
    application = application_of(service, tmp_path / "tokens", [Door("POST", "/do", Scope.SCAN, passed)])
    auth = ("person", tokens["person"])

    def status(**headers: str) -> int:
        return asked(application, "POST", "/do", auth=auth, headers=headers).status_code

    assert status() == 204
    assert status(Origin="http://service") == 204
    assert status(Origin="http://evil.example") == 403
    assert status(Origin="null") == 403
    assert status(**{"Sec-Fetch-Site": "cross-site"}) == 403


def test_a_fault_tells_no_text(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """The text of an exception could hold bytes of an image: neither answer nor log have it."""

    async def fails(_request: Request, _service: Service) -> Response:
        raise ValueError("some words of an image")

    answer = asked(application_of(service, None, [Door("GET", "/f", PUBLIC, fails)]), "GET", "/f")

    assert answer.status_code == 500 and "ValueError" in answer.text
    assert "words" not in answer.text + caplog.text


# -- the file of tokens ------------------------------------------------------------------------------------------------


def test_a_token_that_is_struck_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is out as soon as the file is looked at; a file that is wrong meanwhile changes nothing."""
    monkeypatch.setattr("scanner.serve.tokens._LOOK_SECONDS", -1.0)
    path = tmp_path / "tokens"
    tokens = tokens_file(path, one=["read"], two=["read", "scan"])
    known = Tokens(path)
    both = [known.caller(tokens["one"]), known.caller(tokens["two"])]

    path.write_text("[[token")
    broken = known.caller(tokens["one"])
    tokens_file(path, two=["scan"])

    assert all(both) and broken == both[0]
    assert known.caller(tokens["one"]) is None
    found = known.caller(tokens["two"])
    assert found is not None and found.scopes == {Scope.SCAN}


def test_a_token_ends(tmp_path: Path) -> None:
    """At the very second."""
    tokens = tokens_file(tmp_path / "tokens", one=["read"])
    now = datetime.now(UTC)

    assert Tokens(tmp_path / "tokens", lambda: now).caller(tokens["one"]) is not None
    with pytest.raises(TokenExpired):
        Tokens(tmp_path / "tokens", lambda: now + timedelta(hours=1)).caller(tokens["one"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[token]]\nname = 'a'\n", "needs expires, name, scopes, sha256"),
        ("[[token]]\nname='a'\nsha256='00'\nscopes=['read']\nexpires=2030-01-01T00:00:00Z\n", "64 hexadecimal"),
        (f"[[token]]\nname='a'\nsha256='{'0' * 64}'\nscopes=['all']\nexpires=2030-01-01T00:00:00Z\n", "some of"),
        (f"[[token]]\nname='a'\nsha256='{'0' * 64}'\nscopes=[]\nexpires=2030-01-01T00:00:00Z\n", "some of"),
        (f"[[token]]\nname='a'\nsha256='{'0' * 64}'\nscopes=['read']\nexpires='never'\n", "a date with a time"),
        (f"[[token]]\nname='a b'\nsha256='{'0' * 64}'\nscopes=['read']\nexpires=2030-01-01T00:00:00Z\n", "name must"),
        ("token = 1\n", "stand in"),
        ("tokens = 1\n", "tokens is not known"),
    ],
)
def test_a_file_of_tokens_that_is_wrong(tmp_path: Path, text: str, reason: str) -> None:
    """It is said why, and nothing is served."""
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(UnusableFile, match=reason):
        Tokens(tmp_path / "tokens")


def test_a_token_is_issued(tmp_path: Path) -> None:
    """It is printed once, and only its hash is kept, in a file for its owner alone."""
    path = tmp_path / "tokens"
    runner = CliRunner()
    first = runner.invoke(cli, ["serve", "--tokens", str(path), "--issue-token", "ci:read,scan:12h"])
    second = runner.invoke(cli, ["serve", "--tokens", str(path), "--issue-token", "cluster:admission"])

    assert first.exit_code == second.exit_code == 0
    known = Tokens(path)
    found = known.caller(first.stdout.strip())
    assert found is not None and found.name == "ci" and found.scopes == {Scope.READ, Scope.SCAN}
    assert known.caller(second.stdout.strip()) is not None
    assert first.stdout.strip() not in path.read_text() and path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--issue-token", "ci:read"], "--tokens"),
        (["--tokens", "t", "--issue-token", "ci:everything"], "scopes must be"),
        (["--tokens", "t", "--issue-token", "ci:read:soon"], "is no age"),
        (["--tokens", "t", "--issue-token", "ci:read:0h"], "0h is an age of nothing. Give hours"),
        (["--registry", "r.example", "--tokens", "t", "--audit-every", "0d"], "0d is an age of nothing. Give hours, "
         "days or weeks: 12h, 30d, 8w, or never."),
        (["--tokens", "t", "--issue-token", "a b:read"], "name of a token"),
        (["--tokens", "t"], "--registry"),
        (["--registry", "r.example"], "nobody could pass"),
        (["--registry", "r.example", "--tokens", "t", "--listen", "8080"], "no [HOST]:PORT"),
        (["--registry", "r.example", "--tokens", "t", "--listen", ":8080"], "in clear"),
        (["--registry", "r.example", "--tokens", "t", "--tls-cert", "c"], "both"),
        (["--registry", "r.example", "--client-ca", "c"], "client certificates need"),
        (["--registry", "https://r.example", "--tokens", "t"], "'https://r.example' is no HOST[:PORT]"),
        (["--registry", "r.example/team", "--tokens", "t"], "'r.example/team' is no HOST[:PORT]"),
        (["--registry", "r.example", "--tokens", "t", "--public-url", "pages.example"], "is no address"),
        (["--tokens", "t" * 300, "--issue-token", "ci:read"], "cannot be written: File name too long"),
    ],
)
def test_wrong_usage(options: list[str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be open, deaf or meant otherwise is refused."""
    monkeypatch.chdir(tmp_path)

    found = CliRunner().invoke(cli, ["serve", *options])

    assert found.exit_code == 2 and reason in found.output
