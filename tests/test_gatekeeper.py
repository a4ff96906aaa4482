"""Gatekeeper's external data provider: many images in one request, each with what the policy makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from scanner.serve.words import Policy, Scope
from tests.admitting import Grounds, grounds, leaking
from tests.test_policies import violations


@pytest.fixture(scope="module")
def place() -> Iterator[Grounds]:
    """A registry and a store that knows its images."""
    with grounds() as found:
        yield found


def request(*keys: Any, version: str = "v1beta1") -> dict[str, Any]:
    """What Gatekeeper sends."""
    return {"apiVersion": f"externaldata.gatekeeper.sh/{version}", "kind": "ProviderRequest",
            "request": {"keys": list(keys)}}  # fmt: skip


def provided(place: Grounds, *keys: str, policy: Policy | None = None) -> dict[str, Any]:
    """The value of each key."""
    with place.client(Scope.ADMISSION, policy=policy) as client:
        answer = client.post("/gatekeeper", content=json.dumps(request(*keys)))  # ASCII, as keys may be anything
    assert answer.status_code == 200
    found = answer.json()
    assert (found["apiVersion"], found["kind"]) == ("externaldata.gatekeeper.sh/v1beta1", "ProviderResponse")
    assert found["response"]["idempotent"] is True and "systemError" not in found["response"]
    return {each["key"]: each["value"] for each in found["response"]["items"]}


def test_each_image_has_its_answer(place: Grounds) -> None:
    """Action, verdict and digest for rules, a message for people; each key once."""
    names = [place.reference(name) for name in ("clean", "leaky", "partial")]

    found = provided(place, *names, names[0])

    assert {key: (value["action"], value["verdict"]) for key, value in found.items()} == {
        names[0]: ("allow", "clean"), names[1]: ("deny", "leaked"), names[2]: ("deny", "incomplete"),
    }  # fmt: skip
    assert found[names[1]]["digest"] == place.digests["leaky"]
    assert "leaks 1 credential: " in found[names[1]]["message"]


def test_an_unknown_image_is_asked_for(place: Grounds) -> None:
    """The next time it is asked about it is known."""
    digest = place.put("fresh", leaking("fresh"))

    found = provided(place, place.reference("fresh"))[place.reference("fresh")]

    assert (found["action"], found["verdict"]) == ("deny", "unknown") and "its scan is on its way" in found["message"]
    ticket = place.service().queue.claim("worker")
    assert ticket is not None and (ticket.digest, ticket.origin) == (digest, "gatekeeper")


def test_keys_come_back_as_they_were(place: Grounds) -> None:
    """Whatever stands in a pod: the rule that asked looks for its own key."""
    keys = ["", "NO IMAGE", "\ud800\u202e", "a" * 1000]

    found = provided(place, *keys)

    assert list(found) == keys and {each["action"] for each in found.values()} == {"deny"}
    assert all(each["message"].isprintable() for each in found.values())


def test_audit_mode_warns(place: Grounds) -> None:
    """The action says so, and a rule that denies what is to be denied lets it through."""
    name = place.reference("leaky")

    assert provided(place, name, policy=Policy(audit=True))[name]["action"] == "warn"


@pytest.mark.parametrize(
    "sent",
    [[], {"kind": "Pod"}, request("a", version="v2"), request(1), request("a" * 2000),
     {**request("a"), "request": {"keys": "a"}}, {**request("a"), "request": None}],
)  # fmt: skip
def test_what_is_no_request_is_refused(place: Grounds, sent: Any) -> None:
    """Gatekeeper makes a system error of it, and the example policy a refusal."""
    with place.client(Scope.ADMISSION) as client:
        assert client.post("/gatekeeper", json=sent).status_code == 400


def test_the_example_policy_understands_the_answer(place: Grounds) -> None:
    """The Rego of deploy/policies with what the provider really answers: one image of two is refused."""
    clean, leaky = place.reference("clean"), place.reference("leaky")
    answer = {"responses": list(provided(place, clean, leaky).items()), "errors": [], "system_error": ""}
    spec = {"containers": [{"image": clean}, {"image": leaky}]}

    [message] = violations(spec, answer, f'["{clean}", "{leaky}"]')

    assert leaky in message and "leaks 1 credential" in message
