"""A report beside what a scan says now: no field that follows from the image can be changed unnoticed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scanner.errors import LeakscanError
from scanner.verify.claim import Check, Outcome
from scanner.verify.document import consistent, read_report
from scanner.verify.repeat import compared
from scanner.verify.terms import Terms
from tests.builders import write
from tests.conftest import Leakscan
from tests.test_verify import GIVEN, SECRETS, image

STRICT = Terms(same_source=True, same_name=True)
OTHER = Terms(same_source=False, same_name=False)
Report = dict[str, Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, leakscan: Leakscan) -> Report:
    """A report with findings on several surfaces, and secrets that are present and absent."""
    folder = tmp_path_factory.mktemp("report")
    path = write(folder / "image.tar", image().oci_archive())
    leakscan(path, *SECRETS, "--format", f"json={folder}/report.json", env=GIVEN)
    found: Report = json.loads((folder / "report.json").read_text())
    assert len(found["findings"]) >= 5
    return found


def _outcomes(checks: list[Check]) -> set[Outcome]:
    return {check.outcome for check in checks}


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a document: the keys that lead to it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _places(item, (*path, key))


def _other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return "low" if value in ("critical", "high", "medium") else f"{value}x"
    if isinstance(value, dict):
        return {**value, "more": 1}
    return [*value, "more"] if isinstance(value, list) else "something"


GONE = object()


def _gone(_: Any) -> Any:
    return GONE


def _held(document: Report, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


def test_the_same_report_is_confirmed(report: Report) -> None:
    """A scan that says the same differs in nothing, whatever the terms."""
    for terms in (STRICT, OTHER):
        assert Outcome.CONFIRMED in _outcomes(compared(report, report, terms))
    assert _outcomes(compared(report, report, STRICT)) == {Outcome.CONFIRMED}


def test_a_number_is_not_another_kind_of_number(report: Report) -> None:
    """Python takes 4, 4.0 and, for 1, true for equal, and so no reader of the report need do."""
    numbers = 0
    for path in _places(report):
        value = _held(report, path)[path[-1]]
        if isinstance(value, int):
            changed = copy.deepcopy(report)
            _held(changed, path)[path[-1]] = int(value) if isinstance(value, bool) else float(value)
            found = [*consistent(read_report(changed)), *compared(changed, report, STRICT)]
            assert Outcome.DIFFERS in _outcomes(found), path
            numbers += 1
    assert numbers > 30


def test_no_field_can_be_changed(report: Report) -> None:
    """A report with any single value changed or taken away is not confirmed, but for further notes, which are listed
    as not repeated."""
    passed = []
    for path in _places(report):
        for change in (_other, _gone, lambda _: None, lambda _: "x", lambda _: [], lambda _: {}):
            document = copy.deepcopy(report)
            held = _held(document, path)
            held[path[-1]] = change(held[path[-1]])
            if held[path[-1]] is GONE:
                del held[path[-1]]
            try:
                checks = [*consistent(read_report(document)), *compared(document, report, STRICT)]
            except LeakscanError:
                continue
            if document != report and not _outcomes(checks) & {Outcome.DIFFERS, Outcome.UNREADABLE}:
                passed.append(path)

    assert set(passed) <= {("notes",)}


def _first(report: Report, **wanted: Any) -> Report:
    found: Report = next(f for f in report["findings"] if all(f[key] == value for key, value in wanted.items()))
    return found


def _severity(report: Report) -> None:
    report["findings"][0]["severity"] = "low"


def _state(report: Report) -> None:
    _first(report, state="live")["state"] = "deleted"


def _removed_by(report: Report) -> None:
    _first(report, state="deleted")["removed_by"] = None


def _step(report: Report) -> None:
    report["findings"][0]["remediation"]["steps"][0] = "Nothing needs to be done."


def _last_step(report: Report) -> None:
    steps = report["findings"][0]["remediation"]["steps"]
    at = next(number for number, step in enumerate(steps) if step.startswith("Delete the leaked image"))
    steps[at] = steps[at].replace("digest", "digest, here $(touch /tmp/x)", 1)


def _fix(report: Report) -> None:
    report["findings"][0]["remediation"]["summary"] = "It is a test value."


def _command(report: Report) -> None:
    proof = report["findings"][0]["proof"]
    proof["command"] = proof["command"].replace("tar -xOf ", "rm -f x; tar -xOf ")


def _other_command(report: Report) -> None:
    proof = report["findings"][0]["proof"]
    proof["command"] = f"{proof['command']} | sh"


def _half_a_command(report: Report) -> None:
    proof = report["findings"][0]["proof"]
    proof["command"] = proof["command"][proof["command"].index(" | tail") :]


def _removed(report: Report) -> None:
    del report["findings"][0]


def _created_by(report: Report) -> None:
    report["image"]["layers"][0]["created_by"] = "RUN true"


def _ungated(report: Report) -> None:
    report["findings"][0]["gated"] = False


@pytest.mark.parametrize(
    "tamper",
    [_severity, _state, _removed_by, _step, _last_step, _fix, _command, _other_command, _half_a_command, _removed,
     _created_by, _ungated],
)  # fmt: skip
@pytest.mark.parametrize("terms", [STRICT, OTHER], ids=["same source", "other source"])
def test_what_differs_whatever_the_source(report: Report, tamper: Callable[[Report], None], terms: Terms) -> None:
    """Meaning and advice follow from the image, whichever form it is read in."""
    changed = copy.deepcopy(report)
    tamper(changed)
    assert changed != report

    assert Outcome.DIFFERS in _outcomes(compared(changed, report, terms))


def test_an_acceptance_that_is_not_given_again(report: Report) -> None:
    """A baseline is the user's and not the image's: what it accepted cannot be told without it; no difference."""
    accepted = copy.deepcopy(report)
    accepted["findings"][0] |= {"suppressed": {"by": "baseline", "reason": "known", "expires": None}, "gated": False}

    assert Outcome.DIFFERS not in (outcomes := _outcomes(compared(accepted, report, STRICT)))
    assert Outcome.UNREADABLE in outcomes


def test_fingerprints_of_another_installation(report: Report) -> None:
    """They are others there, but equal values have equal ones and others have others."""
    theirs = copy.deepcopy(report)
    theirs["tool"]["key_id"] = "0" * 16
    for finding in theirs["findings"]:
        finding["secret"]["fingerprint"] = finding["secret"]["fingerprint"][::-1]
    assert _outcomes(compared(theirs, report, STRICT)) == {Outcome.CONFIRMED}
    theirs["findings"][0]["secret"]["fingerprint"] += "0"

    assert Outcome.DIFFERS in _outcomes(compared(theirs, report, STRICT))


@pytest.mark.parametrize("severity", ["low", "utter", None, 3, []])
def test_a_sighting_of_another_weight(report: Report, severity: object) -> None:
    """Without its value, too, a sighting of a known secret has the severity of one, and never a word that is none."""
    without = copy.deepcopy(report) | {"findings": [], "known_secrets": []}
    changed = copy.deepcopy(report)
    _first(changed, rule_id="known-secret")["severity"] = severity
    terms = Terms(same_source=True, same_name=True, secrets=False)

    differs = [check.detail for check in compared(changed, without, terms) if check.outcome is Outcome.DIFFERS]

    assert "a sighting of a known secret is critical, its confidence high" in differs


def test_gaps_of_one_run(report: Report) -> None:
    """What a run could not read in time says nothing of the image: neither confirmed nor a difference."""
    broken = copy.deepcopy(report)
    broken["coverage"] |= {"complete": False, "gaps": [
        {"blob": "x", "where": "", "reason": "limit.time", "bytes": 1, "detail": ""}]}  # fmt: skip
    del broken["findings"][0]
    broken["known_secrets"][0]["sightings"] = broken["known_secrets"][0]["sightings"][1:]

    outcomes = _outcomes(compared(broken, report, Terms(True, True, secrets=False)))

    assert Outcome.DIFFERS not in outcomes and Outcome.UNREADABLE in outcomes
