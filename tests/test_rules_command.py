"""`leakscan rules`: the list, one rule explained, packs of the user's own tested; docs/rules.md."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scanner.cli.main import cli
from scanner.detect import filekinds, files, keystores, rulepack
from scanner.detect.checks import CHECKS
from scanner.detect.describe import words
from scanner.detect.entries import entries
from scanner.evidence import KNOWN_SECRET
from scanner.report.rules import page_of

ROOT = Path(__file__).parent.parent
PACK = """
[[rule]]
id = 'acme.token'
title = 'Acme token'
gains = 'Orders anvils.'
severity = 'high'
confidence = 'high'
pattern = '(?P<secret>acme_[A-Za-z0-9]{24})'
examples = ['ACME={secret}']
negatives = ['ACME=acme_{alnum:20}']
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["rules", *map(str, arguments)])


def pack(tmp_path: Path, text: str = PACK) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def test_the_page_of_rules_is_current() -> None:
    """docs/rules.md is what `make rules-page` writes."""
    assert (ROOT / "docs" / "rules.md").read_text() == page_of(entries()), "run `make rules-page`"


def test_every_rule_of_the_pack_is_listed() -> None:
    """No rule and no issuer of the pack is missing from the list, and none is there twice."""
    listed = [entry.id for entry in entries()]

    assert len(listed) == len(set(listed))
    assert {rule.id for rule in rulepack.load().rules} <= set(listed)
    assert len([each for each in listed if each.startswith("context.")]) > 100
    assert {kind.rule for kind in (*filekinds.table(), *files.KINDS, *keystores.FORMS)} <= set(listed)
    assert KNOWN_SECRET in listed  # findings name it as their rule, and `rules show` explains what findings name


def test_words_and_severity_filter_the_list() -> None:
    """Every word must occur; the list says how many of all rules it shows."""
    rows = json.loads(run("list", "github", "token", "--severity", "critical", "--format", "json").stdout)["rules"]

    assert rows
    assert all("github" in json.dumps(row).lower() and row["severity"] == "critical" for row in rows)
    assert f"{len(rows)} of " in run("list", "github", "token", "--severity", "critical").stdout
    assert "No rule fits" in run("list", "no-such-word").stdout


def test_a_part_of_the_list_is_no_page() -> None:
    """In Markdown it is the tables that hold something, without a word about all rules."""
    assert run("list", "--format", "markdown", "no-such-word").stdout == ""
    text = run("list", "--format", "markdown", "aws.access-key").stdout

    assert text.startswith("## ")
    assert [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")] == [
        entry.id for entry in entries() if "aws.access-key" in entry.id
    ]


def test_one_rule_is_explained_with_an_example_that_it_finds(tmp_path: Path) -> None:
    """`show` says what it looks like, what it gains and how it is checked."""
    shown = run("show", "acme.token", "--rules", pack(tmp_path)).stdout

    assert "`acme_`, then 24 letters or digits" in shown
    assert "Orders anvils." in shown
    assert "ACME=acme_" in shown


@pytest.mark.parametrize("id", ["aws.access-key-pair", "context.algolia", "detect-secrets.jwt", "login.password"])
def test_every_kind_of_rule_can_be_explained(id: str) -> None:
    """Rules of the pack, issuers, code and plugins alike."""
    known = {entry.id for entry in entries()}
    chosen = id if id in known else next(each for each in known if each.startswith(id.partition(".")[0]))

    assert chosen in run("show", chosen).stdout


def test_every_check_says_what_it_does() -> None:
    """`rules show` can explain each check of each rule."""
    assert [name for name, check in CHECKS.items() if not check.__doc__] == []


def test_a_misspelt_rule_gets_a_suggestion(tmp_path: Path) -> None:
    """Wrong usage, with the nearest id."""
    result = run("show", "acme.tokn", "--rules", pack(tmp_path))

    assert result.exit_code == 2
    assert "Did you mean acme.token?" in result.output


def test_a_sound_pack_passes_and_its_cost_is_shown(tmp_path: Path) -> None:
    """Exit code 0, with the size and time of each rule."""
    result = run("check", pack(tmp_path), "--format", "json")
    [file] = json.loads(result.stdout)["files"]

    assert result.exit_code == 0
    assert file["sound"] is True
    [rule] = file["rules"]
    assert (rule["id"], rule["examples"], rule["negatives"]) == ("acme.token", 1, 1)
    assert rule["cost"]["database_bytes"] > 0
    assert file["cost"]["time_share"] > 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("ACME={secret}", "ACME=acmx_{alnum:24}"), "is not found"),
        (("acme_{alnum:20}", "acme_{alnum:24}"), "is found"),
        (("'high'\nconf", "'huge'\nconf"), "severity must be one of"),
        (("acme_[", "(?<!x)acme_["), "look-around"),
        (("acme.token", "aws.access-key-pair"), "the id is taken"),
        (("{24})", "{24}"), "not closed"),
        (("[[rule]]", "[[rulez]]"), "no rule file"),
        (("{secret}", "{hex:99999999999}"), "must be a number up to"),
        (("{secret}", "{seed:zz}"), "template"),
        (("(?P<secret>", "(?P<secret>" + "(" * 400), "nested too deep"),
        (("[[rule]]", "providers = [['acme', 'key', 'acme', '(']]\n[[rule]]"), "provider acme"),
        (("[[rule]]", "providers = [['acme', 'key', 'ä', '[a-z]{20}']]\n[[rule]]"), "must be ASCII"),
        (("[[rule]]", "providers = [['acme', 'key', 'acme', '[a-z]*']]\n[[rule]]"), "are no secrets"),
        (("examples", "trigger = '('\nexamples"), "cannot run its trigger"),
        (("examples", "trigger = 'ä'\nexamples"), "beyond ASCII"),
        (("examples", "max_length = -1\nexamples"), "must be from 0"),
        (("examples", "near = { pattern = 3, within = 2 }\nexamples"), "wrong type"),
        (("examples", "near = { pattern = 'acme', within = 0 }\nexamples"), "within must be"),
        (("title = ", "title "), "is not TOML"),
    ],
)
def test_what_is_wrong_with_a_pack_is_told(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    """Exit code 1 and the reason."""
    result = run("check", pack(tmp_path, PACK.replace(*change)))

    assert result.exit_code == 1
    assert reason in " ".join(result.stdout.split())


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Two wrong rules of one file are both named, and the sound one is ok."""
    two = PACK.replace("acme.token", "acme.two").replace("acme_", "two_").replace("two_{alnum:20}", "two_{alnum:24}")
    three = PACK.replace("acme.token", "acme.three").replace("severity", "severty")
    result = run("check", pack(tmp_path, PACK + two + three), "--format", "json")
    [file] = json.loads(result.stdout)["files"]

    assert [bool(rule["problems"]) for rule in file["rules"]] == [False, True, True]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?P<secret>ghx_[A-Za-z0-9]{36})", "`ghx_`, then 36 letters or digits"),
        ("(?P<secret>(?:ab|cd)[0-9a-f]{8,16})", "either `ab` or `cd`, then 8 to 16 hexadecimal digits"),
        ("key=(?P<secret>[0-9]{6}(?:-x)?)", "6 digits, then perhaps `-x`"),
        ("(?i)(?P<secret>tok[a-z]{4,})", "`tok`, then 4 or more letters"),
        ("(?P<secret>[^ ]{9})", "9 characters but space"),
        ("(?P<secret>", ""),
    ],
)
def test_patterns_in_plain_words(pattern: str, said: str) -> None:
    """What the secret looks like, not what stands around it."""
    assert words(pattern) == said


def test_examples_are_not_the_same_twice() -> None:
    """No fixed secret-shaped text can be copied from the program into a file by accident."""
    rule = next(rule for rule in rulepack.load().rules if "[A-Za-z0-9]{30" in rule.pattern or "{36}" in rule.pattern)

    assert rule.sample(random.Random()) != rule.sample(random.Random())
