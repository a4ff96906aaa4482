"""Misspelt commands, options, files and images get a suggestion; help fits a terminal of 80 columns."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from scanner.cli import suggest
from scanner.cli.main import COMMANDS, cli
from scanner.image.engine import images
from scanner.image.reference import Form


def leakscan(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {"DOCKER_HOST": "unix:///nowhere/docker.sock", **environment}
    return subprocess.run([sys.executable, "-m", "scanner", *arguments], cwd=cwd, text=True, capture_output=True,
                          env={**os.environ, **own}, timeout=60, check=False)  # fmt: skip


def commands(command: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command by the words that call it."""
    yield path
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None
            yield from commands(child, (*path, name))


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help_fits_80_columns(words: tuple[str, ...]) -> None:
    """No line of a help text is longer, and no command's line in a list is cut off."""
    shown = leakscan(*words, "--help", COLUMNS="80").stdout

    assert shown.startswith("Usage: leakscan")
    assert [line for line in shown.splitlines() if len(line) > 80 or line.endswith("...")] == [
        line for line in shown.splitlines() if line.startswith("Usage:") and line.endswith("...")
    ]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("rulse", "list"), "Did you mean the command `leakscan rules`?"),
        (("rules", "lst"), "Did you mean 'list'?"),
        (("scan", "--fromat", "json", "x.tar"), "'--format'"),
        (("--fail_on", "high", "x.tar"), "Did you mean '--fail-on'?"),
        (("--format", "srif", "x.tar"), "Did you mean sarif?"),
    ],
)
def test_a_misspelt_word_is_wrong_usage_with_a_suggestion(words: tuple[str, ...], meant: str) -> None:
    """Exit code 2."""
    run = leakscan(*words)

    assert run.returncode == 2
    assert meant in run.stderr


def test_the_name_of_an_image_is_no_misspelt_command() -> None:
    """Two letters in the wrong order are one, or one that is missing; not what has some letters in common."""
    given = ("scna", "verfy", "audti", "ruels", "buidler", "baselin", "conf", "cach", "wroker", "alpine", "memcached",
             "rust")  # fmt: skip

    assert [suggest.command(word, COMMANDS) for word in given] == [
        "scan", "verify", "audit", "rules", "builder", "baseline", "config", "cache", "worker", "", "", "",
    ]  # fmt: skip


def test_a_misspelt_file_gets_the_nearest_one(tmp_path: Path) -> None:
    """In the directory where it would be, with the prefix that was given."""
    (tmp_path / "image.tar").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "layout.tar.gz").write_bytes(b"")

    for given, meant in (("imge.tar", "image.tar"), ("./imag.tar", "./image.tar"),
                         ("sub/layuot.tar.gz", "sub/layout.tar.gz"),
                         ("docker-archive:imge.tar", "docker-archive:image.tar")):  # fmt: skip
        run = leakscan(given, cwd=tmp_path)
        assert run.returncode == 3
        assert f"Did you mean {meant}?" in run.stderr
    assert "Did you mean" not in leakscan("nothing-like-it.tar", cwd=tmp_path).stderr


def test_a_misspelt_image_gets_one_of_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name and tag if there is a tag, else by name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        images, "tags", lambda form: () if form is Form.PODMAN else ("shop/web:1.4", "alpine:3.20")
    )

    assert suggest.image("shop/wbe") == "shop/web:1.4"
    assert suggest.image("shop/web:1.5") == "shop/web:1.4"
    assert suggest.image("docker:alpin:3.20") == "docker:alpine:3.20"
    assert suggest.image("podman:alpin:3.20") == ""
    assert suggest.image("registry:alpin:3.20") == ""
    assert suggest.image("something-else") == ""
    assert suggest.image("containers-storage:localhost/shop:1") == "podman:localhost/shop:1"
    assert suggest.image("containers-storage:[overlay@/var/lib/x+/run/x]shop:1") == "podman:shop:1"


def test_an_image_within_a_file_needs_the_word_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`path:tag` without one is a name; a directory that happens to be called as an image is not meant."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(images, "tags", lambda _form: ())
    (tmp_path / "image.tar").write_bytes(b"")
    (tmp_path / "app").write_bytes(b"")
    for name in ("layout", "shop"):
        (tmp_path / name).mkdir()
    (tmp_path / "layout" / "oci-layout").write_bytes(b"")

    assert suggest.image("image.tar:shop:1") == "docker-archive:image.tar:shop:1"
    assert suggest.image("layout:1") == "oci-dir:layout:1"
    assert "oci-dir" not in suggest.image("shop:1")
    assert "docker-archive" not in suggest.image("app:1")
    assert "oci-dir" not in suggest.image("shop/../" * 511 + "shop:1")  # may not be looked into, here for its length


def test_a_suggestion_that_fails_costs_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It comes last."""
    monkeypatch.setattr(suggest, "image", lambda _reference: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        cli.main(["scan", "--format", "json", str(tmp_path / "none.tar")], standalone_mode=False)
    assert '"reference": ' in capsys.readouterr().out


def test_options_may_stand_before_a_command(tmp_path: Path) -> None:
    """As they may before an image; a path of that name is an image."""
    run = leakscan("--quiet", "--format", "json", "builder", cwd=tmp_path)
    assert run.returncode == 3 and "the engine's build cache" in run.stdout

    (tmp_path / "builder").write_bytes(b"no image")
    assert '"reference": "builder"' in leakscan("--quiet", "--format", "json", "builder", cwd=tmp_path).stdout


def test_help_and_version_are_no_images(tmp_path: Path) -> None:
    """Nor is `help` in front of a command; a path of that name is an image."""
    for asked, option in ((("help",), ("--help",)), (("version",), ("--version",)),
                          (("help", "rules", "list"), ("rules", "list", "--help"))):  # fmt: skip
        run = leakscan(*asked, cwd=tmp_path)
        assert (run.returncode, run.stdout) == (0, leakscan(*option).stdout)

    assert "unexpected extra argument (shop:1)" in leakscan("version", "shop:1", cwd=tmp_path).stderr
    assert '"reference": "version"' in leakscan("scan", "version", "--format", "json", cwd=tmp_path).stdout
    assert "unexpected extra argument (shop:1)" in leakscan("help", "shop:1", cwd=tmp_path).stderr
    (tmp_path / "help").write_bytes(b"no image")
    assert '"reference": "help"' in leakscan("help", "--quiet", "--format", "json", cwd=tmp_path).stdout


def test_options_that_only_another_command_has_stand_behind_it(tmp_path: Path) -> None:
    """Of scan, which the words would otherwise be for, they are none."""
    run = leakscan("--store", "sqlite:///s", "audit", "registry.invalid", cwd=tmp_path)

    assert run.returncode == 2 and "Options stand behind the command that they belong to: leakscan audit" in run.stderr


def test_an_engine_that_is_not_there_costs_no_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    """No error, and nothing is asked of an engine on another machine."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert images.tags() == ()
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    assert images.tags() == ()


def test_a_file_of_a_command_s_name_is_no_misspelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What exists was meant."""
    monkeypatch.chdir(tmp_path)
    assert suggest.command("rulse", COMMANDS) == "rules"
    (tmp_path / "rulse").write_bytes(b"")
    assert suggest.command("rulse", COMMANDS) == ""
