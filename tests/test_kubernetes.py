"""The API server of Kubernetes is answered in its own words, at once, and by what is known of each image's digest."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text as sql

from scanner.serve import review as reviews
from scanner.serve.admission import decided, sentence
from scanner.serve.images import Image
from scanner.serve.podspec import KINDS, Unreadable, Use, uses
from scanner.serve.refusal import Refused
from scanner.serve.review import Answer
from scanner.serve.words import Effect, Policy, Scope, Standing, Verdict
from tests.admitting import UNKNOWN, Grounds, grounds, leaking
from tests.builders import image_of, layer
from tests.registries import Handler, Request


@pytest.fixture(scope="module")
def place() -> Iterator[Grounds]:
    """A registry and a store that knows its images."""
    with grounds() as found:
        yield found


def pod(*images: str, kind: str = "containers", **spec: Any) -> dict[str, Any]:
    """A pod that runs these images."""
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop"}, "spec": {kind: containers, **spec}}


def review(object_: Any, *, kind: tuple[str, str] = ("", "Pod"), operation: str = "CREATE", **fields: Any) -> Any:
    """The review that the API server sends for an object."""
    group, name = kind
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": group, "version": "v1", "kind": name},
        "resource": {"group": group, "version": "v1", "resource": f"{name.lower()}s"},
        "operation": operation,
        "namespace": "shop",
        "name": "shop",
        "userInfo": {"username": "admin"},
        "object": object_,
        "oldObject": None,
        "dryRun": False,
        "options": {},
        **fields,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def asked(place: Grounds, sent: Any, *, policy: Policy | None = None, door: str = "validate", **settings: Any) -> Any:
    """The `response` to a review."""
    with place.client(Scope.ADMISSION, policy=policy, **settings) as client:
        answer = client.post(f"/kubernetes/{door}", json=sent)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["apiVersion"], found["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert found["response"]["uid"] == sent["request"]["uid"]
    return found["response"]


def tickets(place: Grounds) -> list[str]:
    """The digests of the scans that were asked for."""
    with place.store.connect() as connection:
        return sorted(connection.execute(sql("select digest from tickets")).scalars())


@pytest.fixture(autouse=True)
def _no_tickets(place: Grounds) -> None:
    """Each test begins with an empty queue."""
    with place.store.begin() as connection:
        connection.execute(sql("delete from tickets"))


# --- decisions -------------------------------------------------------------------------------------------------------


def test_a_pod_with_a_leaking_image_is_refused_with_the_place(place: Grounds) -> None:
    """The message names container, image, digest, what leaks where, and that deleting it did not help."""
    found = asked(place, review(pod(place.reference("clean"), place.reference("leaky"))))

    assert found["allowed"] is False
    assert found["status"]["code"] == 403 and found["status"]["reason"] == "Forbidden"
    message = found["status"]["message"]
    assert 'container "c1"' in message and place.reference("leaky") in message
    assert place.digests["leaky"][7:19] in message
    assert "app/.env:1 (deleted, and still there)" in message and "clean" not in message
    assert "GITHUB_TOKEN" not in message and "ghp_" not in message


def test_a_value_in_several_places_is_one_credential() -> None:
    """As in every report: a leak and the log that tells of it are no two passwords to change."""
    leak = {"gated": True, "title": "Token", "path": "log", "inside": [], "surface": "layer", "state": "live",
            "encoding": [], "secret": {"fingerprint": "0f"}}  # fmt: skip
    verdict = Verdict("sha256:0", Standing.LEAKED, findings=tuple({**leak, "line": line} for line in range(5)))

    told = sentence(Image("shop:1", verdict=verdict))
    assert told == "shop:1 leaks 1 credential: Token in log:0, Token in log:1, Token in log:2, and 2 more places"


def test_a_place_is_counted_once() -> None:
    """However many values it has, and for however many platforms the image is."""
    def told(*lines: int) -> str:
        leak = {"gated": True, "title": "Token", "path": "log", "inside": [], "surface": "layer", "state": "live",
                "encoding": []}  # fmt: skip
        leaks = [{**leak, "line": line, "secret": {"fingerprint": str(at)}} for at, line in enumerate(lines)]
        return sentence(Image("shop:1", verdict=Verdict("sha256:0", Standing.LEAKED, findings=tuple(leaks))))

    assert told(1, 1, 1, 1, 1) == "shop:1 leaks 5 credentials: Token in log:1"
    assert told(1, 1, 1, 2, 3, 4).endswith(": Token in log:1, Token in log:2, Token in log:3, and 1 more place")


@pytest.mark.parametrize(("encoding", "state", "where"), [
    (["base64"], "live", "log"), (["gzip"], "live", "log:7"), ([], "hidden", "log:7 (hidden, and still there)"),
])  # fmt: skip
def test_a_place_is_told_as_in_reports(encoding: list[str], state: str, where: str) -> None:
    """A line of what was decoded of a part of a file is none of the file."""
    leak = {"gated": True, "title": "Token", "path": "log", "inside": [], "surface": "layer", "state": state,
            "line": 7, "encoding": encoding, "secret": {"fingerprint": "0f"}}  # fmt: skip

    told = sentence(Image("shop:1", verdict=Verdict("sha256:0", Standing.LEAKED, findings=(leak,))))
    assert told == f"shop:1 leaks 1 credential: Token in {where}"


def test_a_pod_with_clean_images_passes_without_a_word(place: Grounds) -> None:
    """Warnings are for what is not clean."""
    found = asked(place, review(pod(place.reference("clean"))))

    assert found == {
        "uid": found["uid"], "allowed": True,
        "auditAnnotations": {
            "verdict": "clean", "images": f"{place.reference('clean')} {place.digests['clean']} clean",
        },
    }  # fmt: skip
    assert tickets(place) == []


def test_an_image_that_was_not_read_whole_is_refused(place: Grounds) -> None:
    """Incomplete is no kind of clean; the message says what was not read."""
    found = asked(place, review(pod(place.reference("partial"))))

    assert found["allowed"] is False
    assert "could not be searched whole (nested." in found["status"]["message"]


def test_an_unknown_image_is_refused_and_scanned(place: Grounds) -> None:
    """The answer does not wait for the scan; whoever tries again finds it done."""
    digest = place.put("new", leaking("new"))

    found = asked(place, review(pod(place.reference("new"))))

    assert found["allowed"] is False
    assert "was not scanned yet; its scan is on its way" in found["status"]["message"]
    assert tickets(place) == [digest]
    with place.store.connect() as connection:
        [row] = connection.execute(sql("select reference, priority, origin from tickets")).all()
    assert tuple(row) == (f"{place.registry.address}/team/new@{digest}", 0, "kubernetes")


def test_an_image_that_was_clean_by_older_rules_is_refused_and_scanned() -> None:
    """These did not look for all that the rules of now do; whoever tries again finds the scan done."""
    digest = f"sha256:{'a' * 64}"
    image = Image("shop:1", digest, f"shop@{digest}", Verdict(digest, Standing.CLEAN, "old", stale=True), asked=True)
    used = [Use("shop:1", "container", "/spec/containers/0/image")]

    refused, told = decided(used, {"shop:1": image}, Policy(), True), decided(used, {"shop:1": image}, Policy(), False)
    unsaid = decided(used, {"shop:1": replace(image, asked=False, problem="no room")}, Policy(), True)

    assert not refused.allowed and "was clean by older rules" in refused.message
    assert "its scan is on its way" in refused.message and "no room" in unsaid.message
    assert told.allowed and len(told.warnings) == 1


def test_a_dry_run_leaves_nothing_behind(place: Grounds) -> None:
    """sideEffects is NoneOnDryRun, so the same answer comes without a scan being asked for."""
    place.put("dry", leaking("dry"))

    found = asked(place, review(pod(place.reference("dry")), dryRun=True))

    assert found["allowed"] is False and "was not scanned yet" in found["status"]["message"]
    assert tickets(place) == []


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("leaky", Policy(leaked=Effect.WARN)),
        ("partial", Policy(incomplete=Effect.WARN)),
        ("unscanned", Policy(unknown=Effect.WARN)),
        ("leaky", Policy(audit=True)),
        ("partial", Policy(audit=True)),
        ("unscanned", Policy(audit=True)),
    ],
)
def test_a_policy_may_warn(place: Grounds, name: str, policy: Policy) -> None:
    """Each kind of answer has its own effect, and audit mode turns every refusal into a warning."""
    if name not in place.digests:
        place.put(name, image_of(layer({"a": name})))

    found = asked(place, review(pod(place.reference(name))), policy=policy)

    assert found["allowed"] is True and "status" not in found
    [warning] = found["warnings"]
    assert warning.startswith('leakscan: container "c0": ') and len(warning) <= 256


def test_audit_mode_denies_nothing_whatever_fails(place: Grounds) -> None:
    """A registry that hangs, a reference that is none, a pod that is none: warnings all of them."""
    policy = Policy(audit=True)
    for broken in (pod("NO REFERENCE"), pod("unreachable.invalid/a:1"), {"spec": {"containers": "none"}}, {}):
        found = asked(place, review(broken), policy=policy)

        assert found["allowed"] is True and found["warnings"]
        assert not asked(place, review(broken))["allowed"]


def test_a_registry_that_hangs_is_not_waited_for(place: Grounds, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer comes in time to be one; images whose verdict needs no registry are judged all the same."""
    monkeypatch.setattr("scanner.serve.kubernetes._SECONDS", 4.0)
    hang, answered = place.reference("clean"), threading.Event()

    def late(_handler: Handler, request: Request) -> bool:
        if "clean" in request.path:
            answered.wait(60)
        return False

    place.registry.fault = late
    try:
        sent = review(pod(hang, f"{place.registry.address}/team/leaky@{place.digests['leaky']}"))
        found = asked(place, sent, resolve_seconds=60.0)
    finally:
        answered.set()
        place.registry.fault = lambda _handler, _request: False

    message = found["status"]["message"]
    assert "is not known: it took too long" in message and "leaks 1 credential" in message


def test_a_tag_is_resolved_once(place: Grounds) -> None:
    """Two containers of one image are judged by one digest, and nothing else is fetched of it."""
    place.registry.seen.clear()

    asked(place, review(pod(place.reference("leaky"), place.reference("leaky"))))

    assert [(each.method, each.path) for each in place.registry.seen] == [("HEAD", "/v2/team/leaky/manifests/1")]


def test_a_digest_needs_no_registry(place: Grounds) -> None:
    """A verdict is of the bytes: a mirror that nobody may read has it as well."""
    place.registry.seen.clear()

    found = asked(place, review(pod(f"mirror.example/other/name@{place.digests['leaky']}")))

    assert "leaks 1 credential" in found["status"]["message"] and place.registry.seen == []


def test_a_registry_that_may_not_be_read_is_not_asked(place: Grounds) -> None:
    """Whoever may create a pod must not be able to send the service anywhere."""
    found = asked(place, review(pod("127.0.0.1:1/internal/admin:1", f"other.example/x@{UNKNOWN}")))

    assert "127.0.0.1:1 is not among the registries" in found["status"]["message"]
    assert "other.example is not among the registries" in found["status"]["message"]
    assert tickets(place) == []


def test_a_full_queue_is_said(place: Grounds) -> None:
    """Nothing is asked for without an end, and the refusal says why no scan is on its way."""
    place.put("one", image_of(layer({"a": "one"})))
    place.put("two", image_of(layer({"a": "two"})))

    asked(place, review(pod(place.reference("one"))), queue_limit=1)
    found = asked(place, review(pod(place.reference("two"))), queue_limit=1)

    assert "scans wait" in found["status"]["message"]


def test_too_many_images_are_not_known(place: Grounds, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod with more images than anybody runs is refused, not looked up without end."""
    monkeypatch.setattr("scanner.serve.images.MOST", 2)
    place.registry.seen.clear()

    found = asked(place, review(pod(*(f"{place.registry.address}/team/x{n}:1" for n in range(3)))))

    assert "team/x2:1 is not known: there are more than" in found["status"]["message"]
    assert len(place.registry.seen) == 2


def test_a_pod_of_many_containers_is_answered_in_few_words(place: Grounds) -> None:
    """Whoever makes a pod chooses how many containers it has, not how long the answer takes to write."""
    found = asked(place, review(pod(*[place.reference("leaky")] * 5000)))

    message = found["status"]["message"]
    assert 'container "c0"' in message and len(message) <= 3000
    assert asked(place, review(pod(*[place.reference("leaky")] * 21)))["status"]["message"].count("leaks") <= 20


# --- which images ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
def test_every_kind_of_container_counts(place: Grounds, kind: str) -> None:
    """An init or an ephemeral container runs with the rights of its pod."""
    found = asked(place, review(pod(place.reference("leaky"), kind=kind)))

    assert found["allowed"] is False


def test_an_image_that_is_mounted_counts(place: Grounds) -> None:
    """A volume of an image is pulled to the node like any other image."""
    volumes = [{"name": "data", "image": {"reference": place.reference("leaky")}}, {"name": "tmp", "emptyDir": {}}]

    found = asked(place, review(pod(place.reference("clean"), volumes=volumes)))

    assert 'volume "data"' in found["status"]["message"]


def test_an_ephemeral_container_that_is_added_is_judged(place: Grounds) -> None:
    """kubectl debug updates pods/ephemeralcontainers; the pod's own images were judged when it came."""
    before = pod(place.reference("leaky"))
    after = pod(place.reference("leaky"), ephemeralContainers=[{"name": "debug", "image": place.reference("partial")}])
    sent = review(after, operation="UPDATE", oldObject=before, subResource="ephemeralcontainers")

    message = asked(place, sent)["status"]["message"]

    assert 'ephemeral container "debug"' in message and "credential" not in message


def test_a_running_pod_can_be_changed_and_ended(place: Grounds) -> None:
    """To refuse a label, a finalizer or a deletion would only keep the leak running."""
    before, after = pod(place.reference("leaky")), pod(place.reference("leaky"))
    after["metadata"]["labels"] = {"drain": "true"}

    assert asked(place, review(after, operation="UPDATE", oldObject=before))["allowed"]
    assert asked(place, review(None, operation="DELETE", oldObject=before))["allowed"]


def test_another_image_in_a_running_pod_is_judged(place: Grounds) -> None:
    """kubectl set image on a pod brings a new image in."""
    before, after = pod(place.reference("clean")), pod(place.reference("leaky"))

    assert not asked(place, review(after, operation="UPDATE", oldObject=before))["allowed"]


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {("", "Pod")}))
def test_a_template_is_warned_of(place: Grounds, kind: tuple[str, str]) -> None:
    """Whoever applies a workload learns at once that its pods will be refused; the pods are."""
    object_: Any = pod(place.reference("leaky"))["spec"]
    for step in reversed(KINDS[kind]):
        object_ = {step: object_}

    found = asked(place, review(object_, kind=kind))

    [warning] = found["warnings"]
    assert found["allowed"] and warning.startswith("leakscan: pods of this template would be refused: ")


def test_a_kind_of_another_group_is_not_taken_for_ours(place: Grounds) -> None:
    """batch.volcano.sh has Jobs too: a rule that sends them is told, and harms nobody."""
    found = asked(place, review({"spec": {}}, kind=("batch.volcano.sh", "Job")))

    assert found["allowed"] and "Job.batch.volcano.sh" in found["warnings"][0]


@pytest.mark.parametrize(
    "broken",
    [None, {}, {"spec": None}, {"spec": []}, {"spec": {"containers": {}}}, {"spec": {"containers": [1]}},
     {"spec": {"containers": [{"image": 1}]}}, {"spec": {"volumes": [{"image": "x"}]}}],
)  # fmt: skip
def test_a_pod_that_cannot_be_read_is_refused(place: Grounds, broken: Any) -> None:
    """What is not understood is not known to be clean."""
    found = asked(place, review(broken))

    assert found["allowed"] is False and "cannot be read" in found["status"]["message"]


def test_the_order_and_the_pointers_of_images() -> None:
    """Each use tells where its reference stands, for patches."""
    volumes = [{"name": "v", "image": {"reference": "c"}}]
    object_ = pod("b", initContainers=[{"name": "i", "image": "a"}], volumes=volumes)

    found = uses("", "Pod", object_)

    assert [(each.reference, each.pointer) for each in found] == [
        ("a", "/spec/initContainers/0/image"),
        ("b", "/spec/containers/0/image"),
        ("c", "/spec/volumes/0/image/reference"),
    ]
    with pytest.raises(Unreadable):
        uses("", "Pod", {"spec": {"containers": [{"image": []}]}})


# --- pinning ---------------------------------------------------------------------------------------------------------


def test_tags_are_replaced_by_the_digests_they_have(place: Grounds) -> None:
    """What was judged is what is run, even if the tag moves before the node pulls it."""
    reference, other = place.reference("clean"), f"{place.registry.address}/team/leaky@{place.digests['leaky']}"
    sent = pod(reference, other, f"{place.registry.address}/team/none:1")

    found = asked(place, review(sent), door="pin")

    assert found["allowed"] and found["patchType"] == "JSONPatch"
    assert json.loads(base64.b64decode(found["patch"])) == [
        {"op": "replace", "path": "/spec/containers/0/image", "value": f"{reference}@{place.digests['clean']}"}
    ]


def test_templates_are_not_pinned(place: Grounds) -> None:
    """What a repository of manifests holds stays as it is written there."""
    object_ = {"spec": {"template": pod(place.reference("clean"))}}

    found = asked(place, review(object_, kind=("apps", "Deployment")), door="pin")

    assert found["allowed"] and "patch" not in found


# --- the wire --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[" * 100_000, 400),
        (b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{}}', 400),
        (b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"kind":{"kind":"Pod"}}}', 400),
        (b'{"kind":"Pod","apiVersion":"v1"}', 400),
        (json.dumps(review({}, operation="create")).encode(), 400),
        (json.dumps(review({}, operation=["CREATE"])).encode(), 400),  # type: ignore[arg-type]
        (b" " * (9 << 20), 413),
    ],
)
def test_what_is_no_review_gets_no_answer_of_admission(place: Grounds, body: bytes, status: int) -> None:
    """The API server takes anything but a review for a failure, and its failurePolicy decides."""
    with place.client(Scope.ADMISSION) as client:
        answer = client.post("/kubernetes/validate", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == status
    assert "response" not in answer.json()


def test_the_token_may_stand_in_the_path(place: Grounds) -> None:
    """The API server can be told a path and no header; no token, or another one, is refused."""
    sent = review(pod(place.reference("clean")))
    with place.client(Scope.ADMISSION) as client:
        ways = [f"/{client.token}", f"/{client.token[:-1]}", ""]

        answers = [client.post(f"/kubernetes/validate{way}", authorized=False, json=sent) for way in ways]

    assert [each.status_code for each in answers] == [200, 401, 401]


def test_answers_hold_to_the_schema_of_the_api(place: Grounds) -> None:
    """Types and required fields of AdmissionResponse, as k8s.io/api/admission/v1 has them."""
    import jsonschema

    schema = {
        "type": "object", "additionalProperties": False, "required": ["uid", "allowed"],
        "properties": {
            "uid": {"type": "string"}, "allowed": {"type": "boolean"},
            "status": {"type": "object", "additionalProperties": False, "properties": {
                "status": {"enum": ["Success", "Failure"]}, "message": {"type": "string"},
                "reason": {"type": "string"}, "code": {"type": "integer"}}},
            "patch": {"type": "string", "contentEncoding": "base64"}, "patchType": {"enum": ["JSONPatch"]},
            "auditAnnotations": {"type": "object", "additionalProperties": {"type": "string"}},
            "warnings": {"type": "array", "items": {"type": "string", "maxLength": 256}},
        },
    }  # fmt: skip
    for door in ("validate", "pin"):
        for name in ("clean", "leaky", "partial"):
            jsonschema.validate(asked(place, review(pod(place.reference(name))), door=door), schema)


def test_warnings_fit_into_what_the_api_server_passes_on() -> None:
    """Of too many or too long ones the rest is counted; none has a character that a header cannot have."""
    many = reviews.fitted([f"{number} \u202e{'x' * 400}\r\n" for number in range(60)])

    assert sum(map(len, many)) <= 4096 and all(len(each) <= 256 for each in many)
    assert all(each.isascii() and each.isprintable() for each in many)
    assert many[-1] == f"leakscan: {60 - (len(many) - 1)} more warnings"
    assert reviews.fitted(["a", "a", "b"]) == ["a", "b"]


def test_names_of_a_pod_cannot_forge_a_message(place: Grounds) -> None:
    """Controls in names and references are spelled out."""
    hostile = pod("x\u001b[2J\u202eevil:1")
    hostile["spec"]["containers"][0]["name"] = "a\nleakscan: all is well\u0000"

    message = asked(place, review(hostile))["status"]["message"]

    assert message.isprintable() and "\n" not in message


def test_a_denial_alone_has_a_status() -> None:
    """allowed with a status would be read by nobody."""
    assert "status" not in reviews.document("u", Answer(True, "why"))["response"]
    with pytest.raises(Refused):
        reviews.parse(b"{}")
