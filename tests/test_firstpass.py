"""The compiled first pass is made once, by another process where there can be one, and kept whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scanner.detect import firstpass
from scanner.detect.base import Trigger
from scanner.detect.firstpass import DatabaseCache, database, fired
from scanner.errors import RulePackError

TRIGGERS = (Trigger(rb"glpat-[0-9a-z]{20}"), Trigger(rb"passwor[dt]"))
TEXT = b"a password"


def refuse(*_: object) -> bytes:
    """What a process that may compile nothing has in place of compiling."""
    raise AssertionError


def test_a_database_is_compiled_by_another_process_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This one and those that are forked of it are spared the memory; next time nobody compiles."""
    monkeypatch.setattr(firstpass, "compile_database", refuse)
    made = database(TRIGGERS, DatabaseCache(tmp_path))
    monkeypatch.setattr(firstpass, "_compiled_apart", refuse)

    assert database(TRIGGERS, DatabaseCache(tmp_path)) == made
    assert fired(made, [TEXT]) == 1


def test_without_another_process_it_is_compiled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that has Python within."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    assert fired(database(TRIGGERS, None), [TEXT]) == 1


def test_what_another_process_says_beside_it_is_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Python itself prints something when it starts."""
    monkeypatch.setattr(firstpass, "_COMPILE", "print('a greeting of this site' * 9)")

    assert fired(database(TRIGGERS, None), [TEXT]) == 1


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_database_is_compiled_anew(damage: str, tmp_path: Path) -> None:
    """And takes the place of the damaged one."""
    made = database(TRIGGERS, DatabaseCache(tmp_path))
    [kept] = tmp_path.glob("*.hsdb")
    whole = kept.read_bytes()
    kept.write_bytes({"cut": whole[:-9], "changed": whole[:-9] + b"\0" * 9, "empty": b""}[damage])

    assert fired(database(TRIGGERS, DatabaseCache(tmp_path)), [TEXT]) == fired(made, [TEXT]) == 1
    assert kept.read_bytes() == whole


def test_a_trigger_that_cannot_be_compiled_is_named() -> None:
    """Whichever process noticed."""
    with pytest.raises(RulePackError, match=r"refuses.*unclosed"):
        database((*TRIGGERS, Trigger(rb"(unclosed")), None)
