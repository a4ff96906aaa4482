"""What the user accepts: does not count, stays listed, and comes back when it expires."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from scanner.accept.entries import accepts, ignores
from scanner.accept.policy import Policy, judge
from scanner.errors import UnusableFile
from scanner.evidence import Coverage, Gap, Surface, Verdict
from scanner.report import json, text
from tests.reports import finding, result

TODAY = date(2026, 6, 15)
NPMRC = finding(2, surface=Surface.LAYER, path="root/.npmrc", layer=1, rule_id="npm.access-token",
                value="npm-fake-value")  # fmt: skip
URL = finding(1)


def policy(*tables: dict[str, object], gaps: list[dict[str, object]] | None = None) -> Policy:
    return Policy((ignores(list(tables), "t.toml"),), accepts(gaps or [], "t.toml"), TODAY)


@pytest.mark.parametrize(
    ("entry", "accepted"),
    [
        ({"rules": ["npm.access-token"]}, ["root/.npmrc"]),
        ({"rules": ["npm.*"]}, ["root/.npmrc"]),
        ({"rules": "*.access-*"}, ["root/.npmrc"]),
        ({"paths": [".npmrc"]}, ["root/.npmrc"]),
        ({"paths": ["/.npmrc"]}, []),
        ({"paths": ["/root/.npmrc"]}, ["root/.npmrc"]),
        ({"paths": ["root/"]}, ["root/.npmrc"]),
        ({"paths": ["root/*"]}, ["root/.npmrc"]),
        ({"paths": ["**/.npmrc"]}, ["root/.npmrc"]),
        ({"paths": ["ro?t/.n*"]}, ["root/.npmrc"]),
        ({"paths": ["*/npmrc"]}, []),
        ({"paths": [".npmrc"], "rules": ["github.*"]}, []),
        ({"paths": [".npmrc"], "rules": ["github.*", "npm.*"]}, ["root/.npmrc"]),
        ({"ids": [NPMRC.id]}, ["root/.npmrc"]),
        ({"fingerprints": [NPMRC.secret.fingerprint]}, ["root/.npmrc"]),
    ],
)
def test_an_entry_accepts_what_all_its_conditions_fit(entry: dict[str, object], accepted: list[str]) -> None:
    """Within one kind of condition any may fit, all kinds that are given must."""
    judged = judge([NPMRC, URL], [], policy({**entry, "reason": "ours"}), {})
    suppressed = [each for each in judged.findings if each.suppressed is not None]

    assert [each.path for each in suppressed] == accepted
    assert not any(each.gated for each in suppressed)
    assert len(judged.findings) == 2


def test_what_is_inside_an_archive_is_named_by_the_whole_way() -> None:
    """A path with ` > ` fits the way to the inner file, one without fits all that is inside."""
    inner = finding(3, surface=Surface.LAYER, path="opt/a.zip", layer=1, inside=("conf/x.env",))

    def count(pattern: str) -> int:
        return sum(f.suppressed is not None for f in judge([inner], [], policy({"paths": [pattern], "reason": "r"}),
                                                           {}).findings)  # fmt: skip

    assert [count("opt/*.zip"), count("opt/a.zip > conf/*"), count("opt/a.zip > other/*")] == [1, 1, 0]


def test_an_expired_entry_accepts_nothing_and_is_told() -> None:
    """The last day counts; after it the finding is back, with a notice, unless another entry holds."""
    on_the_day = {"paths": [".npmrc"], "reason": "until then", "expires": TODAY}
    late = {"paths": [".npmrc"], "reason": "too late", "expires": "2026-06-14"}

    assert judge([NPMRC], [], policy(on_the_day), {}).findings[0].suppressed == {
        "by": "t.toml: [[ignore]] 1", "reason": "until then", "expires": "2026-06-15",
    }  # fmt: skip
    judged = judge([NPMRC], [], policy(late), {})
    assert judged.findings == (NPMRC,)
    assert judged.notices == (
        "expired on 2026-06-14, so 1 finding or gap counts again: t.toml: [[ignore]] 1 (too late)",
    )
    both = judge([NPMRC], [], policy(late, on_the_day), {})
    assert both.notices == () and both.findings[0].suppressed is not None


def test_gaps_inside_files_can_be_accepted_and_no_others() -> None:
    """By path, and by reason if one is given; the rest still counts."""
    zip_gap = Gap("sha256:aa", "opt/a.zip > b", "nested.encrypted", 9)
    elsewhere = Gap("sha256:aa", "srv/a.zip > b", "nested.encrypted", 9)
    layer_gap = Gap("sha256:aa", "opt/a.zip > b", "layer.missing", 9)
    every = [zip_gap, elsewhere, layer_gap]

    judged = judge([], every, policy(gaps=[{"paths": ["opt/*.zip"], "reason": "vendor"}]), {})
    other = judge([], every, policy(gaps=[{"paths": ["opt/*.zip"], "gaps": ["nested.damaged"], "reason": "r"}]), {})

    assert judged.gaps == (elsewhere, layer_gap)
    assert [each.gap for each in judged.accepted] == [zip_gap]
    assert other.gaps == tuple(every)


def test_gaps_that_were_accepted_count_again() -> None:
    """After its last day an entry accepts no gap, and says of how many that is so."""
    gaps = [Gap("sha256:aa", f"opt/{name}.zip", "nested.encrypted", 9) for name in "ab"]
    late = {"paths": ["opt/*.zip"], "reason": "too late", "expires": "2026-06-14"}

    judged = judge([], gaps, policy(gaps=[late]), {})
    holds = judge([], gaps, policy(gaps=[late, {"paths": ["opt/b.zip"], "reason": "still"}]), {})

    assert (judged.gaps, judged.accepted) == (tuple(gaps), ())
    told = "expired on 2026-06-14, so 2 findings or gaps count again: t.toml: [[accept]] 1 (too late)"
    assert judged.notices == (told,)
    assert holds.gaps == (gaps[0],) and [each.gap for each in holds.accepted] == [gaps[1]]


def test_what_one_file_does_not_accept_another_may() -> None:
    """Settings first, then a baseline: each finding says which of them it was."""
    first, second = (ignores([{"rules": [rule], "reason": rule}, {"rules": ["npm.*"], "reason": "both"}], name)
                     for rule, name in (("npm.*", "first"), (URL.rule_id, "second")))  # fmt: skip

    judged = judge([NPMRC, URL], [], Policy((first, second), (), TODAY), {})

    assert [each.suppressed and each.suppressed["by"] for each in judged.findings] == [
        "first: [[ignore]] 1", "second: [[ignore]] 1",
    ]  # fmt: skip


def test_reports_list_what_is_accepted() -> None:
    """A scan whose findings and gaps are all accepted is clean, and says what was accepted, by what and why."""
    judged = judge([NPMRC], [Gap("b", "opt/a.zip", "nested.encrypted", 9)],
                   policy({"paths": [".npmrc"], "reason": "rotated in May"},
                          gaps=[{"paths": ["*.zip"], "reason": "vendor's"}]), {})  # fmt: skip
    scan = replace(result(*judged.findings), coverage=Coverage(9, 9, 1, judged.gaps, judged.accepted))

    assert scan.verdict is Verdict.CLEAN
    document = json.document(scan)
    assert document["findings"][0]["suppressed"]["reason"] == "rotated in May"
    assert document["coverage"]["gaps"] == []
    assert document["coverage"]["accepted"][0]["accepted"]["reason"] == "vendor's"
    page = " ".join(text.render(scan, width=100).split())
    assert "Accepted: 1 finding and 1 gap, by your own files" in page
    assert "rotated in May" in page and "vendor's" in page


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ([{"paths": ["a"]}], "has no reason"),
        ([{"paths": ["a"], "reason": " "}], "has no reason"),
        ([{"reason": "r"}], "must say what"),
        ([{"path": ["a"], "reason": "r"}], "path is not known"),
        ([{"paths": [], "reason": "r"}], "none of them empty"),
        ([{"paths": [3], "reason": "r"}], "none of them empty"),
        ([{"paths": ["**"], "reason": "r"}], "every finding"),
        ([{"rules": ["*"], "reason": "r"}], "every finding"),
        ([{"paths": ["a"], "reason": "r", "expires": "soon"}], "must be a date"),
        ([{"paths": ["a"], "reason": "r", "expires": 20260101}], "must be a date"),
        ({"paths": ["a"]}, "list of tables"),
        (["x"], "list of tables"),
    ],
)
def test_a_wrong_entry_is_one_clear_error(tables: object, reason: str) -> None:
    """It names the file, the entry and what is wrong."""
    with pytest.raises(UnusableFile, match=r"t\.toml: \[\[ignore\]\]") as caught:
        ignores(tables, "t.toml")
    assert reason in caught.value.what


def test_only_gaps_inside_files_may_be_named() -> None:
    """A layer that is missing cannot be accepted away."""
    with pytest.raises(UnusableFile, match=r"layer\.missing cannot be accepted"):
        accepts([{"paths": ["a"], "gaps": ["layer.missing"], "reason": "r"}], "t.toml")


def test_gaps_are_accepted_at_paths_only() -> None:
    """An entry without any would accept whatever cannot be read."""
    with pytest.raises(UnusableFile, match="must say which paths"):
        accepts([{"gaps": ["nested.encrypted"], "reason": "r"}], "t.toml")
