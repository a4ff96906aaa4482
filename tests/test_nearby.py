"""Whoever misspells an image, a command or an option is told what may have been meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner.image.nearby import meant
from tests.builders import image_of, layer, write
from tests.conftest import Leakscan
from tests.engine import Docker


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with an archive and a layout in it."""
    write(tmp_path / "build" / "image.tar", image_of(layer({"a": "b"})).docker_archive())
    (tmp_path / "layout").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("build/imgae.tar", "build/image.tar"),
        ("docker-archive:build/image.tra", "docker-archive:build/image.tar"),
        ("layuot", "layout"),
        ("dokcer:shop:1", "docker:shop:1"),
        ("oci-dri:layout", "oci-dir:layout"),
        ("shpo:1.4", "shop:1.4"),
        ("docker:shpo:1.4", "docker:shop:1.4"),
        ("hub.example/team/wroker", "hub.example/team/worker:2"),
        ("something/else:1", ""),
        ("shop:1.4", ""),
        ("nowhere/at/all.tar", ""),
        ("-", ""),
        ("", ""),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_was_meant(words: str, found: str) -> None:
    """A path beside it, a prefix, a name of the engine; nothing where nothing looks like it."""
    assert meant(words, lambda _: ["shop:1.4", "hub.example/team/worker:2"]) == found


def test_a_misspelt_path_is_told(leakscan: Leakscan, folder: Path) -> None:
    """In the message, with the reason why the words themselves do not work."""
    done = leakscan(folder / "build" / "imgae.tar")

    assert done.returncode == 3
    assert f"Did you mean {folder}/build/image.tar?" in done.stderr


def test_a_misspelt_name_is_told(engine: Docker, leakscan: Leakscan) -> None:
    """The engine's images are looked at."""
    engine.run("import", "-", "leakscan-nearby:1", stdin=b"\0" * 10240)

    done = leakscan("docker:leakscan-naerby:1", env={"DOCKER_HOST": engine.host})

    assert done.returncode == 3
    assert "Did you mean docker:leakscan-nearby:1?" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("scna", "image.tar"), "Did you mean the command 'scan'?"),
        (("--fail-onn", "low", "image.tar"), "--fail-on"),
        (("--format", "srif", "image.tar"), "Did you mean sarif?"),
    ],
)
def test_misspelt_commands_and_options_are_told(leakscan: Leakscan, words: tuple[str, ...], told: str) -> None:
    """Wrong usage, and the word that is right."""
    done = leakscan(*words)

    assert done.returncode == 2 and told in done.stderr


def test_help_fits_80_columns(leakscan: Leakscan) -> None:
    """The program's help and that of each command."""
    from scanner.cli.main import COMMANDS

    for command in ((), *((name,) for name in COMMANDS)):
        shown = leakscan(*command, "--help", env={"COLUMNS": "80"}).stdout
        assert shown and max(map(len, shown.splitlines())) <= 80, command
