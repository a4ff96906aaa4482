"""The scanner adapter does for Harbor what Harbor's client expects, and holds every answer to the published API.

The client is `tests.harbor_client`; the last tests run the program on a socket, with a registry that wants the login
which Harbor hands over, and kill it in the middle of a scan.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import yaml
from sqlalchemy import text as sql

from scanner.serve import adapter, harbor
from scanner.serve.vulnerabilities import gap_item, item, merged
from scanner.serve.words import Effect, Policy, Scope, Standing, Ticket, TicketState, Verdict
from tests.admitting import UNKNOWN, Asker, Grounds, grounds, leaking, token
from tests.builders import image_of, layer, sha256
from tests.harbor_client import (
    GENERIC,
    METADATA,
    NATIVE,
    RAW,
    REQUEST,
    SCORES,
    HarborClient,
    Refused,
    blocked,
    refresh_after,
)
from tests.registries import Handler, MemoryRegistry, Request, memory_registry
from tests.serving import Program, awaited, program, tokens_file

SHARED = os.environ.get("LEAKSCAN_SHARED")
ERROR = "application/vnd.scanner.adapter.error+json; version=1.0"
ROBOT = "robot$shop+scanner"


@pytest.fixture(scope="module")
def place() -> Iterator[Grounds]:
    """A registry and a store that knows its images."""
    with grounds() as found:
        yield found


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    """The published OpenAPI document of the adapter API."""
    if not SHARED:
        pytest.skip("LEAKSCAN_SHARED names no folder with the schemas")
    path = Path(SHARED) / "schemas" / "harbor-scanner-adapter-openapi-v1.1.yaml"
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def holds_to(api: dict[str, Any], path: str, method: str, answer: httpx.Response) -> None:
    """Check an answer against what the API says of its status and type; a status that it does not know fails."""
    told = api["paths"][path][method]["responses"][answer.status_code]
    for name, header in told.get("headers", {}).items():
        jsonschema.validate(int(answer.headers[name]), header["schema"])
    if "content" not in told:
        return
    kind = answer.headers["content-type"]
    assert kind in told["content"], kind
    schema = {**told["content"][kind]["schema"], "components": api["components"]}
    document: Any = answer.text if kind == RAW else answer.json()
    jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker()).validate(document)


def body(place: Grounds, digest: str, **changed: Any) -> dict[str, Any]:
    """A scan request of Harbor's."""
    return {
        "registry": {
            "url": f"http://{place.registry.address}",
            "authorization": "Basic " + base64.b64encode(f"{ROBOT}:{token('robot')}".encode()).decode(),
        },
        "artifact": {
            "repository": "team/app", "digest": digest, "tag": "1",
            "mime_type": "application/vnd.oci.image.manifest.v1+json", "size": 1000,
        },
        "enabled_capabilities": [{"type": "vulnerability", "produces_mime_types": [GENERIC], "parameters": None}],
        **changed,
    }  # fmt: skip


def submit(client: Asker, document: Any) -> httpx.Response:
    """POST /scan."""
    return client.post("/api/v1/scan", content=json.dumps(document), headers={"Content-Type": REQUEST})


def fetched(client: Asker, identity: str, mime: str = GENERIC) -> httpx.Response:
    """GET the report."""
    return client.get(f"/api/v1/scan/{identity}/report", headers={"Accept": mime})


def report_of(place: Grounds, name: str, policy: Policy | None = None) -> dict[str, Any]:
    """The report of an image that the store knows."""
    with place.client(Scope.HARBOR, policy=policy) as client:
        found: dict[str, Any] = fetched(client, place.digests[name]).json()
    return found


# --- the API ---------------------------------------------------------------------------------------------------------


def test_metadata_announce_one_report(place: Grounds, api: dict[str, Any]) -> None:
    """Harbor asks for each announced type and keeps as many reports; an index is judged by its images."""
    with place.client(Scope.HARBOR) as client:
        answer = client.get("/api/v1/metadata", headers={"Accept": METADATA})

    holds_to(api, "/metadata", "get", answer)
    [capability] = answer.json()["capabilities"]
    assert capability["produces_mime_types"] == [GENERIC]
    assert not [mime for mime in capability["consumes_mime_types"] if "index" in mime or "list" in mime]
    assert answer.json()["properties"]["harbor.scanner-adapter/registry-authorization-type"] == "Basic"
    assert all(isinstance(value, str) for value in answer.json()["properties"].values())


def test_an_unknown_image_is_queued_and_polled(place: Grounds, api: dict[str, Any]) -> None:
    """202 with an id at once, then 302 with a Refresh-After that Harbor can read, never a redirect to follow."""
    digest = place.put("app", leaking("queued"))
    with place.client(Scope.HARBOR) as client:
        accepted = submit(client, body(place, digest))
        polled = fetched(client, accepted.json()["id"])

    holds_to(api, "/scan", "post", accepted)
    holds_to(api, "/scan/{scan_request_id}/report", "get", polled)
    assert (accepted.status_code, polled.status_code) == (202, 302)
    assert 0 < int(polled.headers["Refresh-After"]) <= 127 and "location" not in polled.headers


@pytest.mark.parametrize("name", ["leaky", "clean"])
@pytest.mark.parametrize("mime", [GENERIC, NATIVE, RAW, "", "*/*", GENERIC.replace("; ", ";")])
def test_a_known_image_has_its_report_at_once(place: Grounds, api: dict[str, Any], name: str, mime: str) -> None:
    """A scan that would only repeat what is known is not done; every type of report holds to the schema."""
    with place.client(Scope.HARBOR) as client:
        accepted = submit(client, body(place, place.digests[name]))
        answer = fetched(client, accepted.json()["id"], mime)

    holds_to(api, "/scan/{scan_request_id}/report", "get", answer)
    assert answer.status_code == 200 and answer.headers["content-type"] == (mime if mime in (NATIVE, RAW) else GENERIC)
    assert token("leaky") not in answer.text


@pytest.mark.parametrize(
    "mime", [GENERIC.replace("1.1", "1.0"), "application/vnd.security.sbom.report+json; version=1.0"]
)
def test_a_report_of_another_type_is_not_made_up(place: Grounds, mime: str) -> None:
    """501, as the specification 1.2 has it: a type counts with its version."""
    with place.client(Scope.HARBOR) as client:
        answer = fetched(client, place.digests["leaky"], mime)

    assert answer.status_code == 501 and answer.headers["content-type"] == ERROR


def test_an_image_that_was_not_read_whole_is_read_again(place: Grounds) -> None:
    """Somebody else may have asked for it first, without the login that Harbor hands over."""
    with place.client(Scope.HARBOR) as client:
        identity = submit(client, body(place, place.digests["partial"])).json()["id"]
        polled = fetched(client, identity)

    assert identity != place.digests["partial"] and polled.status_code == 302


def test_an_id_that_nobody_gave_is_not_found(place: Grounds, api: dict[str, Any]) -> None:
    """404, in Harbor's form."""
    with place.client(Scope.HARBOR) as client:
        answer = fetched(client, "0" * 32)

    holds_to(api, "/scan/{scan_request_id}/report", "get", answer)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda _: [], 400),
        (lambda sent: {**sent, "registry": "x"}, 400),
        (lambda sent: {**sent, "artifact": {**sent["artifact"], "digest": 7}}, 400),
        (lambda sent: {**sent, "enabled_capabilities": "all"}, 400),
        (lambda sent: {"registry": sent["registry"]}, 422),
        (lambda sent: {**sent, "artifact": {**sent["artifact"], "digest": "sha256:12"}}, 422),
        (lambda sent: {**sent, "artifact": {**sent["artifact"], "repository": "../etc"}}, 422),
        (lambda sent: {**sent, "registry": {"url": "file:///etc/passwd"}}, 422),
        (lambda sent: {**sent, "registry": {"url": "https://user:word@registry.example"}}, 422),
        (lambda sent: {**sent, "registry": {"url": "https://elsewhere.example"}}, 422),
        (lambda sent: {**sent, "registry": {**sent["registry"], "authorization": "Bearer abc"}}, 422),
        (lambda sent: {**sent, "enabled_capabilities": [{"type": "sbom"}]}, 422),
    ],
)
def test_requests_that_are_none_are_refused_in_harbors_form(
    place: Grounds, api: dict[str, Any], change: Callable[[Any], Any], status: int
) -> None:
    """400 for the wrong form, 422 for a wrong field, and no word of what was sent as a password."""
    with place.client(Scope.HARBOR) as client:
        answer = submit(client, change(body(place, UNKNOWN)))

    holds_to(api, "/scan", "post", answer)
    assert answer.status_code == status and answer.json()["error"]["message"]
    assert token("robot") not in answer.text


def test_problems_of_all_doors_have_harbors_form(place: Grounds) -> None:
    """Harbor shows an administrator the message of an error document, and of nothing else."""
    with place.client(Scope.READ) as client:
        for answer in (client.get("/api/v1/metadata"), client.get("/api/v1/metadata", authorized=False)):
            assert answer.status_code in (401, 403) and answer.headers["content-type"] == ERROR
            assert answer.json()["error"]["message"]


@pytest.mark.parametrize("way", ["Bearer", "Basic", "key"])
def test_every_way_of_harbors_to_authenticate(place: Grounds, way: str) -> None:
    """Its form for a scanner offers a bearer token, a user with a password, and an API key."""
    with place.client(Scope.HARBOR) as client:
        basic = base64.b64encode(f"harbor:{client.token}".encode()).decode()
        headers = {"Bearer": {"Authorization": f"Bearer {client.token}"}, "Basic": {"Authorization": f"Basic {basic}"},
                   "key": {"X-ScannerAdapter-API-Key": client.token}}[way]  # fmt: skip

        assert client.get("/api/v1/metadata", authorized=False, headers=headers).status_code == 200


def test_a_full_queue_fails_the_scan_with_a_reason(place: Grounds, api: dict[str, Any]) -> None:
    """Harbor knows no 'later' for a request; the administrator sees why."""
    first, second = (place.put(f"full{n}", image_of(layer({"a": f"full{n}"}))) for n in (1, 2))
    with place.client(Scope.HARBOR, queue_limit=1) as client:
        with place.store.begin() as connection:
            connection.execute(sql("delete from tickets"))
        submit(client, body(place, first))
        answer = submit(client, body(place, second))

    holds_to(api, "/scan", "post", answer)
    assert answer.status_code == 500 and "scans wait" in answer.json()["error"]["message"]


def test_a_scan_that_failed_says_why(place: Grounds, api: dict[str, Any]) -> None:
    """500 ends Harbor's polling."""
    digest = place.put("gone", image_of(layer({"a": "gone"})))
    with place.client(Scope.HARBOR) as client:
        identity = submit(client, body(place, digest)).json()["id"]
        while (ticket := client.service.queue.claim("worker")) is not None:
            client.service.queue.failed(ticket, "worker", "the registry has no such image")
        answer = fetched(client, identity)

    holds_to(api, "/scan/{scan_request_id}/report", "get", answer)
    assert answer.status_code == 500 and "the registry has no such image" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("age", "seconds"), [(0, 2), (40, 10), (3600, 60), (10**7, 60)])
def test_the_longer_a_scan_takes_the_less_often_it_is_asked_for(age: int, seconds: int) -> None:
    """Harbor reads the seconds into a signed byte: more than 127 would be an error."""
    asked = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    ticket = Ticket("1", "a", UNKNOWN, "rules", "harbor", 1, TicketState.QUEUED, asked)

    assert refresh_after(harbor._later(ticket).headers["Refresh-After"]) == seconds


def test_what_harbor_calls_a_registry() -> None:
    """Hosts as references need them: a name without a dot keeps its port, and so does one that is reached by HTTP."""
    def host(url: str) -> str:
        sent = {"registry": {"url": url}, "artifact": {"repository": "a/b", "digest": UNKNOWN}}
        return adapter.read_request(REQUEST, json.dumps(sent).encode()).host

    assert host("https://Harbor.example/") == "harbor.example"
    assert host("https://harbor.example:8443") == "harbor.example:8443"
    assert host("https://harbor-core") == "harbor-core:443"
    assert host("http://harbor-core") == "harbor-core:80"
    assert host("https://[2001:db8::1]:5000") == "[2001:db8::1]:5000"


# --- items -----------------------------------------------------------------------------------------------------------


def finding(**changed: Any) -> dict[str, Any]:
    """A finding as the store has it."""
    return {
        "id": "lk-0123456789abcdef", "rule_id": "github.pat-classic", "title": "GitHub token", "gains": "Acts as you.",
        "severity": "critical", "confidence": "high", "gated": True, "surface": "layer", "state": "deleted",
        "secret": {"fingerprint": "f" * 32, "preview": "ghp_***", "length": 40},
        "layer": {"index": 1, "digest": f"sha256:{'a' * 64}", "diff_id": f"sha256:{'b' * 64}"},
        "path": "app/.env", "inside": [], "line": 3, "encoding": [],
        "instruction": {"history_index": 2, "created_by": "COPY app /app"}, **changed,
    }  # fmt: skip


def triple(found: dict[str, Any]) -> tuple[str, str, str]:
    """What Harbor keeps one record for."""
    return found["id"], found["package"], found["version"]


def test_one_secret_in_one_place_has_one_id() -> None:
    """A rebuild keeps what a project exempts; another secret in that place, or the same elsewhere, is not exempt."""
    rebuilt = finding(layer={"index": 5, "digest": f"sha256:{'c' * 64}", "diff_id": f"sha256:{'d' * 64}"})
    rotated = finding(secret={**finding()["secret"], "fingerprint": "e" * 32})
    elsewhere = finding(id="lk-fedcba9876543210", path="srv/.env")
    first = item(finding())["id"]

    assert first.startswith("LEAK-GITHUB-PAT-CLASSIC-") and item(rebuilt)["id"] == first
    assert len({first, item(rotated)["id"], item(elsewhere)["id"]}) == 3


def test_one_record_never_has_two_descriptions() -> None:
    """Harbor sets a record's description when it first meets the three words, so they say all that it depends on."""
    variants = [
        finding(), finding(state="live"), finding(state="overwritten"), finding(line=4), finding(title="Another"),
        finding(gains=""), finding(encoding=["base64"]), finding(inside=["x.zip"]), finding(instruction=None),
        finding(layer=None, surface="config", path=None), finding(path="a"),
        finding(instruction={"history_index": 2, "created_by": "COPY . /"}),
        finding(layer={"index": 1, "digest": f"sha256:{'9' * 64}", "diff_id": None}),
    ]  # fmt: skip
    descriptions: dict[tuple[str, str, str], Any] = {}
    for each in variants:
        found = item(each, "https://pages.example/x")
        told = (found["description"], found["links"])
        assert descriptions.setdefault(triple(found), told) == told
        assert triple(item(each, "https://elsewhere.example/x")) != triple(found)
    assert len(descriptions) >= len({each[0] for each in descriptions.values()})


def test_only_what_fails_a_scan_can_block() -> None:
    """A guess is shown and blocks nothing at any threshold; a leak blocks at its severity."""
    report = {"vulnerabilities": [item(finding()), item(finding(gated=False, id="lk-2"))]}
    [leak, guess] = report["vulnerabilities"]

    assert blocked(report, "Low") == blocked(report, "Critical") == [leak["id"]]
    assert guess["severity"] == "Negligible"
    assert blocked(report, "Low", exempt=[leak["id"]]) == []
    assert leak["fix_version"] == "" and leak["cwe_ids"] == ["CWE-798"]


@pytest.mark.parametrize("severity", ["critical", "high", "medium", "low"])
def test_severities_are_words_that_harbor_knows(severity: str) -> None:
    """Any other word would block nothing."""
    assert item(finding(severity=severity))["severity"] == severity.title()


def test_an_image_that_was_not_read_whole_blocks(place: Grounds, api: dict[str, Any]) -> None:
    """Under a policy that denies what is incomplete; one that warns has it shown below every usual threshold."""
    with place.client(Scope.HARBOR) as client:
        holds_to(api, "/scan/{scan_request_id}/report", "get", fetched(client, place.digests["partial"]))
    denied = report_of(place, "partial")
    warned = report_of(place, "partial", Policy(incomplete=Effect.WARN))
    allowed = report_of(place, "partial", Policy(incomplete=Effect.ALLOW))

    assert denied["severity"] == "High" and blocked(denied, "High")
    assert blocked(warned, "Low") and not blocked(warned, "Medium")
    assert not blocked(allowed, "Low")
    [gap] = denied["vulnerabilities"]
    assert gap["package"].startswith("nested.") and "nothing is known of it" in gap["description"]


def test_an_exempt_gap_is_one_of_one_repository() -> None:
    """Else a project's exemption would let every image through that is not read."""
    one, other = gap_item("limit.bytes (2)", "h/a", "High"), gap_item("limit.bytes (7)", "h/b", "High")

    assert one["id"] != other["id"]
    assert gap_item("limit.bytes (9)", "h/a", "High")["id"] == one["id"]
    assert one["package"] == "limit.bytes"
    assert gap_item("the registry says no", "h/a", "High")["package"] == "unreadable"


def test_a_clean_image_has_an_empty_report(place: Grounds) -> None:
    """An empty list, and the severity of which Harbor makes none."""
    found = report_of(place, "clean")

    assert (found["vulnerabilities"], SCORES[found["severity"]]) == ([], 0)
    assert found["artifact"] == {"digest": place.digests["clean"]}


def test_a_leak_tells_where_and_what_to_do(place: Grounds) -> None:
    """Path, layer, step, that deleting did not help; never the value."""
    found = report_of(place, "leaky")

    [leak] = found["vulnerabilities"]
    assert leak["package"] == "app/.env" and leak["version"].startswith("layer:")
    assert "COPY app /app" in leak["description"] and "the layer still holds it" in leak["description"]
    assert found["severity"] == leak["severity"] == "Critical"
    assert token("leaky") not in json.dumps(found)


def test_two_alike_are_one_item() -> None:
    """An index lists a shared layer's finding for each platform; Harbor has one record for them."""
    low = item(finding(gated=False))

    assert merged([low, item(finding()), low]) == [item(finding())]


def test_a_verdict_with_leaks_and_gaps_shows_both() -> None:
    """Whoever exempts the leak must still see that the rest was not read."""
    verdict = Verdict(UNKNOWN, Standing.LEAKED, findings=(finding(),), gaps=("limit.bytes",), repository="h/a")

    found = harbor.document(verdict, Policy())["vulnerabilities"]

    assert [each["severity"] for each in found] == ["Critical", "High"]


# --- the program -----------------------------------------------------------------------------------------------------


@pytest.fixture
def private() -> Iterator[tuple[MemoryRegistry, str]]:
    """A registry that wants the robot's login for everything, and the password."""
    password = token("robot")
    wanted = "Basic " + base64.b64encode(f"{ROBOT}:{password}".encode()).decode()

    def locked(handler: Handler, request: Request) -> bool:
        if request.headers.get("authorization") == wanted:
            return False
        handler.give(401, b"{}", WWW_Authenticate='Basic realm="harbor"')
        return True

    with memory_registry() as registry:
        registry.fault = locked
        yield registry, password


def written(folder: Path) -> bytes:
    """All that the program has written below a folder, the log included."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_harbor_scans_a_private_image_over_a_socket(tmp_path: Path, private: tuple[MemoryRegistry, str]) -> None:
    """Register, submit, poll, read; with the login for this scan, which is on no disk and in no log in clear.

    In between everything is killed, in the middle of the download of a layer: the id and the login outlive it.
    """
    registry, password = private
    image = leaking("private")
    registry.put("shop/app", "1", image)
    digest = sha256(image.manifest())
    locked = registry.fault
    tokens = tokens_file(tmp_path / "tokens.toml", harbor=["harbor"])
    options = ("--registry", registry.address, "--tokens", str(tmp_path / "tokens.toml"))
    login = "Basic " + base64.b64encode(f"{ROBOT}:{password}".encode()).decode()
    waits: list[float] = []

    def harbor(running: Program) -> HarborClient:
        """Harbor, which waits a twentieth of what it would."""
        url = f"http://127.0.0.1:{running.port}"
        return HarborClient(url, f"Bearer {tokens['harbor']}", sleep=lambda s: time.sleep(s / 20), waits=waits)

    def hangs(handler: Handler, request: Request) -> bool:  # a layer never comes
        if locked(handler, request):
            return True
        if "/blobs/" in request.path:
            time.sleep(60)
        return False

    registry.fault = hangs
    with program(tmp_path, *options) as running:
        harbor(running).metadata()
        identity = harbor(running).submit(f"http://{registry.address}", login, "shop/app", digest)
        awaited(lambda: any("/blobs/" in each.path and each.headers.get("authorization") == login
                            for each in registry.seen))  # fmt: skip
        assert password.encode() not in written(tmp_path)
        running.kill()
    registry.fault = locked
    with program(tmp_path, *options) as running:
        report = harbor(running).report(identity)

        assert [each["package"] for each in report["vulnerabilities"]] == ["app/.env"]
        assert blocked(report, "Critical") and waits[0] == 2.0
        everything = written(tmp_path)
        for value in (password, ROBOT, token("private")):
            assert value.encode() not in everything
        again = harbor(running).submit(f"http://{registry.address}", login, "shop/app", digest)
        assert harbor(running).report(again)["vulnerabilities"] == report["vulnerabilities"]
        with pytest.raises(Refused):
            harbor(running).submit("http://127.0.0.1:1", login, "shop/app", UNKNOWN)
