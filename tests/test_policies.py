"""The example policies of deploy/policies decide by the attestations that leakscan writes, as their comments say.

Rego is run by a real interpreter. Kyverno and policy-controller are not run: of Kyverno's policy the conditions are
read, and held to what an attestation says; signatures are theirs to check.
"""

from __future__ import annotations

import calendar
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scanner.evidence import ScanResult
from scanner.report import attest
from scanner.report.setting import Setting
from tests import reports
from tests.rego import rego

POLICIES = Path(__file__).parent.parent / "deploy" / "policies"
DAY = 24 * 60 * 60.0
CASES: dict[str, tuple[Callable[[], ScanResult], float, bool]] = {
    "clean and recent": (reports.result, DAY, True),
    "clean and old": (reports.result, 8 * DAY, False),
    "leaked": (reports.leaked, DAY, False),
    "not read whole": (reports.incomplete, DAY, False),
    "not opened": (reports.unavailable, DAY, False),
}
each_case = pytest.mark.parametrize(("result", "age", "passes"), CASES.values(), ids=CASES)


def documents(name: str) -> list[dict[str, Any]]:
    """The objects of a policy file."""
    return list(yaml.safe_load_all((POLICIES / name).read_text()))


def statement(result: ScanResult, age: float) -> dict[str, Any]:
    """What is attested of a scan that ended *age* seconds ago."""
    found: dict[str, Any] = json.loads(attest.statement(result, Setting(finished=time.time() - age)))
    return found


# --- Kyverno ---------------------------------------------------------------------------------------------------------


def value_at(expression: str, predicate: dict[str, Any]) -> Any:
    """What `{{ a.b || '' }}` stands for in a predicate."""
    path = expression.strip("{} ").removesuffix("|| ''").strip()
    value: Any = predicate
    for name in path.split("."):
        value = value.get(name, {}) if isinstance(value, dict) else {}
    return value or ""


def accepted_by_kyverno(predicate: dict[str, Any]) -> bool:
    """Whether the conditions of the policy hold. Understands the two forms of condition that it has, no others."""
    [policy] = documents("kyverno.yaml")
    [verification] = policy["spec"]["rules"][0]["verifyImages"]
    [attestation] = verification["attestations"]
    assert attestation["type"] == attest.PREDICATE
    holds = []
    for condition in attestation["conditions"][0]["all"]:
        if nested := re.fullmatch(r"\{\{ time_since\('', '(\{\{.*?\}\})', ''\) \}\}", condition["key"]):
            assert (condition["operator"], condition["value"]) == ("LessThanOrEquals", "168h")
            finished = time.strptime(str(value_at(nested[1], predicate)) + "UTC", "%Y-%m-%dT%H:%M:%SZ%Z")
            holds.append(time.time() - calendar.timegm(finished) <= 168 * 3600)
        else:
            assert condition["operator"] == "Equals"
            holds.append(value_at(condition["key"], predicate) == condition["value"])
    return all(holds)


@each_case
def test_kyverno_takes_a_recent_clean_scan_only(result: Callable[[], ScanResult], age: float, passes: bool) -> None:
    """The fields that the conditions name are those that an attestation has."""
    assert accepted_by_kyverno(statement(result(), age)["predicate"]) is passes


def test_kyverno_takes_no_test_result_of_another_tool() -> None:
    """The predicate's type is in-toto's own: a unit test's result must not pass for a scan."""
    predicate = statement(reports.result(), DAY)["predicate"]
    del predicate["leakscan"]["tool"]

    assert not accepted_by_kyverno(predicate)


# --- policy-controller -----------------------------------------------------------------------------------------------


def compliant(given: dict[str, Any]) -> bool:
    """What the policy's Rego says of a statement."""
    [policy] = documents("policy-controller.yaml")
    [attestation] = policy["spec"]["authorities"][0]["attestations"]
    assert attestation["predicateType"] == attest.PREDICATE
    [found] = rego(attestation["policy"]["data"], "data.sigstore", given)
    return found["isCompliant"] is True


@each_case
def test_policy_controller_takes_a_recent_clean_scan_only(
    result: Callable[[], ScanResult], age: float, passes: bool
) -> None:
    """Its Rego runs over the whole statement."""
    assert compliant(statement(result(), age)) is passes


@pytest.mark.parametrize("missing", ["predicateType", "predicate"])
def test_policy_controller_takes_nothing_else(missing: str) -> None:
    """A field that is not there refuses, it does not pass."""
    given = statement(reports.result(), DAY)
    del given[missing]

    assert not compliant(given)


# --- Gatekeeper ------------------------------------------------------------------------------------------------------


def violations(pod_spec: dict[str, Any], answer: dict[str, Any], asked: str) -> list[str]:
    """The messages of the constraint template for a pod, if the provider gives *answer* for the keys *asked*."""
    template = next(each for each in documents("gatekeeper.yaml") if each["kind"] == "ConstraintTemplate")
    [target] = template["spec"]["targets"]
    # the function is Gatekeeper's own; this one answers only if it is asked for what it should be asked for
    provider = f"""
external_data(request) := {json.dumps(answer)} {{
  request.provider == "leakscan"
  request.keys == {asked}
}}
"""
    given = {"review": {"object": {"spec": pod_spec}}}
    [found] = rego(target["rego"] + provider, "data.leakedcredentials.violation", given)
    return sorted(json.loads(key)["msg"] if isinstance(key, str) else key["msg"] for key in found)


def test_gatekeeper_asks_for_every_image_and_refuses_what_is_to_be_denied() -> None:
    """Every kind of container and mounted images are among the keys; a warning is no refusal."""
    spec = {
        "containers": [{"name": "a", "image": "a"}],
        "initContainers": [{"name": "b", "image": "b"}],
        "ephemeralContainers": [{"name": "c", "image": "c"}],
        "volumes": [{"name": "d", "image": {"reference": "d"}}, {"name": "e", "emptyDir": {}}],
    }
    responses = [["a", {"action": "allow", "message": ""}], ["b", {"action": "deny", "message": "b leaks"}],
                 ["c", {"action": "warn", "message": "c is not known"}]]  # fmt: skip
    answer = {"responses": responses, "errors": [["d", "no image reference"]], "system_error": ""}

    assert violations(spec, answer, '["a", "b", "c", "d"]') == ["b leaks", "leakscan: d: no image reference"]


def test_gatekeeper_refuses_what_cannot_be_asked_for() -> None:
    """A provider that is down gives no verdict, and no verdict is no permission."""
    answer = {"responses": [], "errors": [], "system_error": "connection refused"}

    assert violations({"containers": [{"image": "a"}]}, answer, '["a"]') == ["leakscan: connection refused"]
