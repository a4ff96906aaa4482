"""What rules come to is made once, the databases by another process where there can be one, and kept whole or not at
all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from scanner import detection
from scanner.detect import compiled, rulepack, userrules
from scanner.detect.base import Trigger
from scanner.detect.compiled import CompiledRules, database
from scanner.detect.firstpass import fired
from scanner.errors import RulePackError

TRIGGERS = (Trigger(rb"glpat-[0-9a-z]{20}"), Trigger(rb"passwor[dt]"))
TEXT = b"a password"


def refuse(*_: object) -> bytes:
    """What a process that may compile nothing has in place of compiling."""
    raise AssertionError


def test_a_database_is_compiled_by_another_process_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This one and those that are forked of it are spared the memory; next time nobody compiles."""
    monkeypatch.setattr(compiled, "compile_database", refuse)
    made = database(TRIGGERS, CompiledRules(tmp_path))
    monkeypatch.setattr(compiled, "_compiled_apart", refuse)

    assert database(TRIGGERS, CompiledRules(tmp_path)) == made
    assert fired(made, [TEXT]) == 1


def test_without_another_process_it_is_compiled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that has Python within."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    assert fired(database(TRIGGERS, None), [TEXT]) == 1


def test_what_another_process_says_beside_it_is_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Python itself prints something when it starts."""
    monkeypatch.setattr(compiled, "_COMPILE", "print('a greeting of this site' * 9)")

    assert fired(database(TRIGGERS, None), [TEXT]) == 1


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_database_is_compiled_anew(damage: str, tmp_path: Path) -> None:
    """And takes the place of the damaged one."""
    made = database(TRIGGERS, CompiledRules(tmp_path))
    [kept] = tmp_path.glob("*.hsdb")
    whole = kept.read_bytes()
    kept.write_bytes({"cut": whole[:-9], "changed": whole[:-9] + b"\0" * 9, "empty": b""}[damage])

    assert fired(database(TRIGGERS, CompiledRules(tmp_path)), [TEXT]) == fired(made, [TEXT]) == 1
    assert kept.read_bytes() == whole


def test_a_trigger_that_cannot_be_compiled_is_named() -> None:
    """Whichever process noticed."""
    with pytest.raises(RulePackError, match=r"refuses.*unclosed"):
        database((*TRIGGERS, Trigger(rb"(unclosed")), None)


# --- prepared rules ---------------------------------------------------------------------------------------------------


def outcome(loaded: detection.Detection) -> list[tuple[str, int]]:
    """What detectors find in a text that wakes a rule, a plugin and a signal, and how many triggers there are."""
    token = b"ghp_" + b"aB3dE6gH9j" * 3 + b"Kx7z1Q"
    found = loaded.first_pass.matches(memoryview(b"password = '" + token + b"' " + token.hex().encode()), "a.py")
    return [(match.rule_id, match.start) for match in found] + [(str(each), 0) for each in loaded.first_pass.owned]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, detection.Detection]:
    """A cache directory that a first run made, and what that run loaded."""
    directory = tmp_path_factory.mktemp("first")
    return directory, detection.load({"XDG_CACHE_HOME": str(directory)})


@pytest.fixture
def home(first: tuple[Path, detection.Detection], tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has run the program once."""
    shutil.copytree(first[0], tmp_path, dirs_exist_ok=True)
    return {"XDG_CACHE_HOME": str(tmp_path)}


def prepared(home: dict[str, str]) -> Path:
    """The file that the first run left."""
    [kept] = Path(home["XDG_CACHE_HOME"]).glob("leakscan/*.json")
    return kept


def test_the_next_run_works_nothing_out(
    first: tuple[Path, detection.Detection], home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither parses rules nor spells triggers nor compiles, and finds the same."""
    monkeypatch.setattr(rulepack, "built_in", refuse)
    monkeypatch.setattr(detection, "triggers_of", refuse)
    monkeypatch.setattr(detection, "database", refuse)

    again = detection.load(home)

    assert outcome(again) == outcome(first[1])
    assert len(outcome(again)) > 600
    assert again.rules_digest == first[1].rules_digest


def test_what_another_program_prepared_is_not_used(home: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rules may be other ones; this one's take their place."""
    before = prepared(home).read_bytes()
    monkeypatch.setattr(detection, "_program", lambda: "another")
    detection.load(home)

    assert json.loads(prepared(home).read_bytes()[32:])["for"][0] == "another"
    assert prepared(home).read_bytes() != before


@pytest.mark.parametrize(
    "damage", ["cut", "changed", "empty", "writable", "other shape", "fifo", "no databases", "damaged databases"]
)
def test_what_is_damaged_or_anothers_is_prepared_anew(damage: str, home: dict[str, str]) -> None:
    """A rule must not be lost to it, nor the scan."""
    kept = prepared(home)
    [databases] = kept.parent.glob("*.hsdb")
    whole, sound = kept.read_bytes(), databases.read_bytes()
    middle = len(sound) // 2
    if damage == "no databases":
        databases.unlink()
    elif damage == "damaged databases":
        databases.write_bytes(sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1 :])
    elif damage == "writable":
        kept.write_bytes(whole.replace(b'"documents":[', b'"documents":[["x",{}],'))
        kept.chmod(0o666)
    elif damage == "fifo":
        kept.unlink()
        os.mkfifo(kept)
    elif damage == "other shape":
        kept.write_bytes(hashlib.sha256(b'{"for": 3}').digest() + b'{"for": 3}')
    else:
        kept.write_bytes({"cut": whole[:-9], "changed": whole[:-9] + b"\0" * 9, "empty": b""}[damage])

    loaded = detection.load(home)

    assert ("github.pat-classic", 12) in outcome(loaded)
    assert kept.read_bytes() == whole
    assert databases.read_bytes() == sound


def test_a_directory_in_the_place_of_what_is_kept_costs_time_only(home: dict[str, str]) -> None:
    """Nothing can be kept there, and every run works it out."""
    kept = prepared(home)
    kept.unlink()
    kept.mkdir()

    assert ("github.pat-classic", 12) in outcome(detection.load(home))


@pytest.mark.parametrize("form", ["ours", "gitleaks"])
def test_the_order_in_which_rules_are_given_changes_nothing(form: str, home: dict[str, str], tmp_path: Path) -> None:
    """What is kept numbers the rules: under another order it would give what fired to others."""
    files = []
    for name in ("one", "two"):
        rule = (
            f'[[rule]]\nid = "mine.{name}"\ntitle = "t"\ngains = "g"\nseverity = "high"\nconfidence = "high"\n'
            f'pattern = "(?P<secret>{name}_[0-9a-f]{{24}})"\n'
            f'examples = ["{name}_{{hex:24}}"]\nnegatives = ["{name}_"]\n'
            if form == "ours"
            else f'[[rules]]\nid = "mine.{name}"\nregex = "{name}_[0-9a-f]{{24}}"\nkeywords = ["{name}_"]\n'
        )
        files.append(tmp_path / f"{name}.toml")
        files[-1].write_text(rule)
    text = memoryview(b" ".join(name + b"_" + b"0a1b2c3d4e5f" * 2 for name in (b"one", b"two")))

    def found(paths: list[Path]) -> set[str]:
        loaded = detection.load(home, userrules.load(paths))
        ids = (match.rule_id.removeprefix("gitleaks.") for match in loaded.first_pass.matches(text, "x"))
        return {found for rule_id in ids if (found := rule_id.replace("-", ".")).startswith("mine.")}

    assert found(files) == {"mine.one", "mine.two"}
    assert found(files[::-1]) == {"mine.one", "mine.two"}
    assert userrules.load(files).digest == userrules.load(files[::-1]).digest
