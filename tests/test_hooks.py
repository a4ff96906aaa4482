"""Webhooks: what each product says becomes scans, from whom it should, once, and whatever else comes does no harm."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.limits import Limits
from scanner.serve.hooks.doors import PARSERS
from scanner.serve.hooks.push import BODY_BYTES, NoNotification, Push, document
from scanner.serve.hooks.taken import MOST
from scanner.serve.rounds import Rounds
from scanner.serve.settings import ServeSettings
from scanner.serve.words import Priority, Scope
from scanner.store.ledger import Ledger, Result, State
from tests.builders import image_of, layer, sha256
from tests.doorways import REGISTRY, RULES, Doorway, doorway
from tests.registries import Handler, Request, memory_registry

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def event(**target: Any) -> dict[str, Any]:
    """An event of distribution."""
    kind = {"mediaType": MANIFEST, "digest": DIGEST, "repository": "shop/web", "tag": "v1"}
    return {"id": "e1", "action": "push", "target": {**kind, **target}, "request": {"host": "localhost:5000"}}


def harbor(kind: str) -> dict[str, Any]:
    """Harbor's data of a push, in either form."""
    data = {"resources": [{"digest": DIGEST, "tag": "v1", "resource_url": "harbor.example/shop/web:v1"}],
            "repository": {"name": "web", "namespace": "shop", "repo_full_name": "shop/web"}}  # fmt: skip
    return {"type": kind, "data" if "." in kind else "event_data": data}


GHCR = {
    "action": "published",
    "registry_package": {
        "name": "web", "namespace": "Shop", "package_type": "CONTAINER",
        "package_version": {"version": DIGEST, "package_url": "ghcr.io/Shop/web:v1",
                            "container_metadata": {"tag": {"name": "v1", "digest": DIGEST}}},
    },
}  # fmt: skip
ECR = {
    "source": "aws.ecr", "detail-type": "ECR Image Action", "account": "123456789012", "region": "eu-central-1",
    "detail": {"result": "SUCCESS", "action-type": "PUSH", "repository-name": "shop/web", "image-tag": "v1",
               "image-digest": DIGEST},
}  # fmt: skip
ARTIFACTORY = {
    "domain": "docker", "event_type": "pushed",
    "data": {"repo_key": "shop", "image_name": "web", "tag": "v1", "sha256": DIGEST[7:], "path": "web/v1"},
}  # fmt: skip
SAID: list[tuple[str, dict[str, str], dict[str, Any], Push]] = [
    ("distribution", {}, {"events": [event()]}, Push("", "shop/web", "v1", DIGEST)),
    ("harbor", {}, harbor("PUSH_ARTIFACT"), Push("", "shop/web", "v1", DIGEST)),
    ("harbor", {}, harbor("harbor.artifact.pushed"), Push("", "shop/web", "v1", DIGEST)),
    ("zot", {"ce-type": "zotregistry.image.updated"}, {"name": "shop/web", "reference": "v1", "digest": DIGEST},
     Push("", "shop/web", "v1", DIGEST)),
    ("zot", {}, {"type": "zotregistry.image.updated", "data": {"name": "shop/web", "reference": DIGEST,
                                                               "digest": DIGEST}},
     Push("", "shop/web", "", DIGEST)),
    ("quay", {}, {"repository": "shop/web", "docker_url": "quay.io/shop/web", "updated_tags": ["v1"]},
     Push("quay.io", "shop/web", "v1")),
    ("dockerhub", {}, {"push_data": {"tag": "v1"}, "repository": {"repo_name": "shop/web"},
                       "callback_url": "https://registry.hub.docker.com/u/shop/web/hook/1/"},
     Push("docker.io", "shop/web", "v1")),
    ("ecr", {}, ECR, Push("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "shop/web", "v1", DIGEST)),
    ("ghcr", {"x-github-event": "registry_package"}, GHCR, Push("ghcr.io", "shop/web", "v1", DIGEST)),
    ("artifactory", {}, ARTIFACTORY, Push("", "shop/web", "v1", DIGEST)),
]  # fmt: skip
ANYWHERE = ServeSettings(frozenset({REGISTRY}), any_registry=True)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Doorway]:
    """A service that reads one registry."""
    with doorway(tmp_path) as found:
        yield found


@pytest.mark.parametrize(("kind", "headers", "body", "push"), SAID)
def test_each_product_is_understood(
    kind: str, headers: dict[str, str], body: dict[str, Any], push: Push, tmp_path: Path
) -> None:
    """Its own words for a push are one ticket for that image in that registry, and a second delivery is no second."""
    assert list(PARSERS[kind](headers, body)) == [push]
    with doorway(tmp_path, ANYWHERE) as door:
        for _ in range(2):
            answer = door.client.post(f"/hooks/{kind}", json=body, headers={**door.bearer(Scope.HOOKS), **headers})
            assert (answer.status_code, answer.json()["queued"]) == (202, 1)
        [ticket] = door.queued
        digest = f"@{push.digest}" if push.digest else ""
        assert ticket.reference == f"{push.host or REGISTRY}/shop/web{f':{push.tag}' if push.tag else ''}{digest}"
        assert ticket.priority == Priority.WEBHOOK and ticket.origin == f"hook {kind}"


@pytest.mark.parametrize(("kind", "body"), [
    ("distribution", {"events": [{**event(), "action": "pull"}, event(mediaType=LAYER), {**event(), "action": "delete"},
                                 event(tag=f"sha256-{'ab' * 32}.sig")]}),
    ("harbor", {"type": "SCANNING_COMPLETED", "event_data": {}}),
    ("zot", {"type": "zotregistry.image.deleted", "data": {"name": "a", "digest": DIGEST}}),
    ("ecr", {**ECR, "detail": {**ECR["detail"], "action-type": "DELETE"}}),  # type: ignore[dict-item]
    ("ghcr", {**GHCR, "registry_package": {**GHCR["registry_package"], "package_type": "npm"}}),  # type: ignore[dict-item]
    ("artifactory", {**ARTIFACTORY, "event_type": "deleted"}),
])  # fmt: skip
def test_what_is_no_push_asks_for_nothing(kind: str, body: dict[str, Any], door: Doorway) -> None:
    """Blobs, pulls, deletions, signatures and packages of other kinds are taken, and nothing comes of them."""
    answer = door.client.post(f"/hooks/{kind}?registry={REGISTRY}", json=body, headers=door.bearer(Scope.HOOKS))

    assert answer.status_code == 202 and answer.json() == {"queued": 0, "known": 0, "refused": 0, "left": 0}
    assert door.queued == []


def test_only_the_operators_registries_are_read(door: Doorway) -> None:
    """A body, a URL or a name that leads elsewhere asks for nothing."""
    post, hooks = door.client.post, door.bearer(Scope.HOOKS)
    names = ["../../etc", "UPPER/case", "a//b", "x" * 300, ""]

    assert post("/hooks/ecr", json=ECR, headers=hooks).json()["refused"] == 1
    assert post("/hooks/harbor?registry=169.254.169.254", json=harbor("PUSH_ARTIFACT"), headers=hooks).json() == {
        "queued": 0, "known": 0, "refused": 1, "left": 0
    }  # fmt: skip
    assert post("/hooks/harbor?registry=nonsense", json=harbor("PUSH_ARTIFACT"), headers=hooks).status_code == 422
    events = {"events": [*(event(repository=name) for name in names), event(digest="sha256:0"), event(tag="-")]}
    assert post("/hooks/distribution", json=events, headers=hooks).json()["refused"] == len(names) + 2
    assert door.queued == []


def test_a_known_image_is_not_scanned_again_but_its_tag_is_noted(door: Doorway) -> None:
    """The store has the verdict of that digest: no ticket, and the new tag stands among its references."""
    result = Result(DIGEST, State.SCANNED, True, f"{REGISTRY}/shop/web")
    Ledger(door.service.store, REGISTRY, RULES, "run").record(result)

    answer = door.client.post("/hooks/distribution", json={"events": [event()]}, headers=door.bearer(Scope.HOOKS))

    assert answer.json()["known"] == 1 and door.queued == []
    assert door.service.verdicts.of(DIGEST).tags == (f"{REGISTRY}/shop/web:v1",)


def test_a_flood_is_taken_in_part_at_once(door: Doorway) -> None:
    """Of a notification with very many images the first are queued, the rest is counted, and it is answered quickly."""
    events = {"events": [event(digest=f"sha256:{number:064x}") for number in range(2000)]}

    started = time.monotonic()
    answer = door.client.post("/hooks/distribution", json=events, headers=door.bearer(Scope.HOOKS))

    assert answer.json() == {"queued": MOST, "known": 0, "refused": 0, "left": 2000 - MOST}
    assert len(door.queued) == MOST
    assert time.monotonic() - started < 30  # no promise, only that it ends; docs/webhooks.md has what was measured


def test_a_full_queue_says_come_again(tmp_path: Path) -> None:
    """Products deliver again when they are told that it did not work."""
    with doorway(tmp_path, ServeSettings(frozenset({REGISTRY}), queue_limit=1)) as door:
        events = {"events": [event(), event(digest=OTHER, tag="v2")]}
        answer = door.client.post("/hooks/distribution", json=events, headers=door.bearer(Scope.HOOKS))

        assert answer.status_code == 429 and "Retry-After" in answer.headers
        assert [ticket.digest for ticket in door.queued] == [DIGEST]


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{", b"null", b'{"events": 3}', b"[" * 100_000, b'{"a":1,"a":2}',
    b'{"events": [1, null, {"action": {}, "target": []}], "x": ' + b"9" * 500 + b"}",
])  # fmt: skip
@pytest.mark.parametrize("kind", PARSERS)
def test_hostile_bodies_are_refused(kind: str, body: bytes, door: Doorway) -> None:
    """Whatever is no notification is told so in words that hold nothing of it."""
    answer = door.client.post(f"/hooks/{kind}", content=body, headers=door.bearer(Scope.HOOKS))

    assert answer.status_code == 422 and answer.json()["detail"]
    assert door.queued == []


def test_bodies_have_an_end(door: Doorway) -> None:
    """A body longer than any notification is refused before it is read."""
    answer = door.client.post("/hooks/harbor", content=b" " * (BODY_BYTES + 1), headers=door.bearer(Scope.HOOKS))

    assert answer.status_code == 413


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20)
    | st.sampled_from(["PUSH_ARTIFACT", "push", MANIFEST, DIGEST, "aws.ecr", "docker", "pushed", "published"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["events", "action", "target", "type", "event_data", "data", "resources", "repository", "tag",
                         "push_data", "updated_tags", "detail", "source", "package", "package_version", "domain"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(sorted(PARSERS)), VALUES)
def test_no_body_is_a_fault(kind: str, body: Any) -> None:
    """Any JSON at all gives pushes, nothing, or a refusal; what is usable names an image and nothing else."""
    try:
        found = list(PARSERS[kind]({}, document(json.dumps(body).encode())))
    except NoNotification:
        return
    assert all(isinstance(push.usable, bool) for push in found)
    assert all(push.digest or push.tag for push in found if push.usable)


def credentials(door: Doorway, scope: Scope, way: str) -> dict[str, Any]:
    """The URL and headers of a caller who presents a token in one of the ways there are."""
    token = door.tokens[scope]
    if way == "path":
        return {"url": f"/hooks/harbor/token/{token}"}
    if way == "basic":
        return {"url": "/hooks/harbor", "auth": ("anybody", token)}
    return {"url": "/hooks/harbor", "headers": {"Authorization": f"Bearer {token}"}}


@pytest.mark.parametrize("way", ["bearer", "basic", "path"])
def test_a_token_in_each_way_a_product_has(way: str, door: Doorway) -> None:
    """As bearer, as a password and in the path: the right scope passes, another does not, none does not."""
    body = harbor("PUSH_ARTIFACT")

    assert door.client.post(**credentials(door, Scope.HOOKS, way), json=body).status_code == 202
    assert door.client.post(**credentials(door, Scope.READ, way), json=body).status_code == 403
    assert door.client.post("/hooks/harbor/token/wrong", json=body).status_code == 401
    assert door.client.post("/hooks/harbor", json=body).status_code == 401


@pytest.mark.parametrize(("kind", "header", "form", "body"), [
    ("ghcr", "X-Hub-Signature-256", "sha256={}", GHCR), ("artifactory", "X-JFrog-Event-Auth", "{}", ARTIFACTORY),
])  # fmt: skip
def test_a_signature_stands_for_a_token(
    kind: str, header: str, form: str, body: dict[str, Any], tmp_path: Path
) -> None:
    """The secret's HMAC of these very bytes passes; another body, another secret, none, or no secret set do not."""
    secret = b"a made-up secret of the tests"
    raw = json.dumps(body).encode()

    def signed(content: bytes, key: bytes) -> dict[str, str]:
        return {header: form.format(hmac.new(key, content, hashlib.sha256).hexdigest())}

    with doorway(tmp_path, replace(ANYWHERE, hook_secret=secret)) as door:
        url = f"/hooks/{kind}/signed"
        assert door.client.post(url, content=raw + b" ", headers=signed(raw, secret)).status_code == 401
        assert door.client.post(url, content=raw, headers=signed(raw, b"another")).status_code == 401
        assert door.client.post(url, content=raw).status_code == 401
        assert door.client.post(url, content=raw, headers=door.bearer(Scope.HOOKS)).status_code == 401
        assert door.queued == []
        assert door.client.post(url, content=raw, headers=signed(raw, secret)).json()["queued"] == 1
        assert secret.decode() not in repr(door.service.settings)
    (tmp_path / "other").mkdir()
    with doorway(tmp_path / "other") as door:
        assert door.client.post(url, content=raw, headers=signed(raw, b"")).status_code == 401


@pytest.mark.parametrize(("status", "word"), [(404, "has no catalogue"), (503, "answers 503")])
def test_an_audit_that_could_not_list_is_not_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, status: int, word: str
) -> None:
    """Whatever the registry answers instead of its catalogue; the log has the reason."""
    monkeypatch.setattr("scanner.image.registry.transport._BACKOFF", 0.0)

    def fault(handler: Handler, request: Request) -> bool:  # noqa: ARG001
        handler.give(status, b"{}")
        return True

    with memory_registry() as registry, doorway(tmp_path, ServeSettings(frozenset({registry.address}))) as door:
        registry.fault = fault
        Rounds(door.service, Limits()).audit(registry.address)
        counted = [door.service.counters.value("leakscan_audits_total", result=result)
                   for result in ("done", "incomplete")]  # fmt: skip

    assert counted == [0, 1]
    assert word in caplog.text


def test_an_audit_catches_what_no_webhook_told(tmp_path: Path) -> None:
    """Tags of the registry that nobody told of are queued last; those that are known are not; gone tags are gone."""
    with memory_registry() as registry:
        images = [image_of(layer({"a": str(number)})) for number in range(2)]
        for number, image in enumerate(images):
            registry.put("shop/web", f"v{number + 1}", image)
        known, lost = (sha256(image.manifest()) for image in images)
        settings = ServeSettings(frozenset({registry.address}))
        with doorway(tmp_path, settings) as door:
            ledger = Ledger(door.service.store, registry.address, RULES, "run")
            ledger.record(Result(known, State.SCANNED, True, f"{registry.address}/shop/web"))
            ledger.record(Result(OTHER, State.SCANNED, True, f"{registry.address}/shop/web"))
            ledger.point("shop/web", [("old", OTHER)])

            Rounds(door.service, Limits()).audit(registry.address)

            [ticket] = door.queued
            assert (ticket.digest, ticket.priority) == (lost, Priority.AUDIT)
            assert door.service.verdicts.of(known).tags == (f"{registry.address}/shop/web:v1",)
            assert door.service.verdicts.of(OTHER).tags == ()
            assert door.service.counters.value("leakscan_audits_total", result="done") == 1


@pytest.mark.parametrize("read", [False, True])
def test_an_audit_asks_for_what_refers_to_a_known_image(tmp_path: Path, read: bool) -> None:
    """An attestation that the image was read without is read beside it; one that was read with it is not."""
    with memory_registry() as registry:
        image, later = image_of(layer({"a": "b"})), image_of(layer({"c": "d"}))
        registry.put("shop/web", "v1", image)
        digest = sha256(image.manifest())
        tag = f"{digest.replace(':', '-')}.att"
        registry.put("shop/web", tag, later)
        referrers = [sha256(later.manifest())] if read else []
        found = {"manifest_digest": digest, "platform": "linux/amd64", "findings": [], "referrers": referrers}
        with doorway(tmp_path, ServeSettings(frozenset({registry.address}))) as door:
            ledger = Ledger(door.service.store, registry.address, RULES, "run")
            ledger.record(Result(digest, State.SCANNED, True, f"{registry.address}/shop/web", images=[found]))

            Rounds(door.service, Limits()).audit(registry.address)

            assert [(ticket.digest, ticket.reference) for ticket in door.queued] == (
                [] if read else [(digest, f"{registry.address}/shop/web:{tag}@{digest}")]
            )
