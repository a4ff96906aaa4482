"""The program as a plugin of the docker client, and its completion in shells."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scanner import __version__
from scanner.cli.plugin import _own
from testimages.values import github_token
from tests.builders import image_of, layer, write
from tests.conftest import Leakscan
from tests.engine import Unavailable, client_program

BIN = Path(sys.executable).parent
KEY = github_token(random.Random("plugin"))


@pytest.fixture
def client(tmp_path: Path) -> list[str]:
    """The real docker client, whose configuration folder holds the plugin."""
    try:
        program = client_program()
    except Unavailable as error:
        pytest.skip(str(error))
    plugins = tmp_path / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-leakscan").symlink_to(BIN / "docker-leakscan")
    return [program, "--config", str(tmp_path / "config")]


def run(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        list(map(str, words)), env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_docker_lists_the_plugin(client: list[str]) -> None:
    """The client's help has it, with its description."""
    shown = run(*client, "--help").stdout

    assert any("leakscan*" in line and "Prove whether" in line for line in shown.splitlines())


def test_docker_leakscan_scans(client: list[str], tmp_path: Path) -> None:
    """`docker leakscan IMAGE` is `leakscan IMAGE`: the same report and exit code."""
    path = write(tmp_path / "image.tar", image_of(layer({"app/.env": f"TOKEN={KEY}\n"})).docker_archive())

    done = run(*client, "leakscan", path, "--format", "json")

    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["verdict"] == "leaked"
    assert KEY not in done.stdout + done.stderr


def test_docker_leakscan_has_help_under_its_own_name(client: list[str]) -> None:
    """What it prints can be typed."""
    assert "Usage: docker leakscan scan" in run(*client, "leakscan", "scan", "--help").stdout


def test_docker_s_own_options_are_heeded(client: list[str], tmp_path: Path) -> None:
    """`docker --host ... leakscan NAME` asks that engine."""
    done = run(*client, "--host", f"unix://{tmp_path}/nobody.sock", "leakscan", "docker:app:1")

    assert done.returncode == 3
    assert f"{tmp_path}/nobody.sock" in done.stderr


def test_the_metadata_costs_nothing() -> None:
    """The client asks for it whenever it prints help: no library is imported for the answer."""
    code = (
        "import sys; sys.argv[1:] = ['docker-cli-plugin-metadata']\n"
        "from scanner.cli.plugin import main; main()\n"
        "print(sorted({'click', 'docker', 'hyperscan', 'rich', 'detect_secrets'} & set(sys.modules)))"
    )
    answer, heavy = run(sys.executable, "-c", code).stdout.splitlines()

    told = json.loads(answer)
    assert told["SchemaVersion"] == "0.1.0" and told["Vendor"] and told["Version"] == __version__
    assert heavy == "[]"


@pytest.mark.parametrize(
    ("words", "own", "variables"),
    [
        ("leakscan a.tar --quiet", "a.tar --quiet", {}),
        ("-H tcp://a:1 leakscan leakscan", "leakscan", {"DOCKER_HOST": "tcp://a:1"}),
        ("--context=far --debug leakscan x", "x", {"DOCKER_CONTEXT": "far"}),
        ("--config /c -l debug leakscan scan x", "scan x", {"DOCKER_CONFIG": "/c"}),
        ("--version", "--version", {}),
    ],
)
def test_words_before_the_plugin_s_name_are_docker_s(
    words: str, own: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go to the environment, the others to the program."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    assert _own(words.split()) == own.split()
    assert {name: os.environ[name] for name in os.environ if name in variables} == variables


def script(shell: str, leakscan: Leakscan, folder: Path) -> Path:
    """The completion script, in a file."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed (Debian: apt-get install {shell})")
    done = leakscan("completion", shell)
    assert done.returncode == 0, done.stderr
    return write(folder / f"leakscan.{shell}", done.stdout.encode())


def in_path() -> dict[str, str]:
    """An environment that finds the program."""
    return {"PATH": f"{BIN}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--form", "--format"), ("comp", "completion"), ("scan --fail-on cri", "critical"),
        ("--quiet --allow", "--allow-incomplete"),
    ],
)
def test_bash_completes(leakscan: Leakscan, tmp_path: Path, words: str, expected: str) -> None:
    """Commands, options, also those of the command that may be left out, and their values."""
    path = script("bash", leakscan, tmp_path)
    typed = f"leakscan {words}"
    code = f"""
        source {path}
        COMP_WORDS=({typed}); COMP_CWORD={len(typed.split()) - 1}
        compopt() {{ :; }}
        _leakscan_completion leakscan
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """

    assert expected in run("bash", "-c", code, **in_path()).stdout.splitlines()


def test_fish_completes(leakscan: Leakscan, tmp_path: Path) -> None:
    """The same in fish, asked as it asks itself."""
    path = script("fish", leakscan, tmp_path)

    shown = run("fish", "--no-config", "-c", f"source {path}; complete -C 'leakscan --form'", **in_path()).stdout

    assert any(line.startswith("--format") for line in shown.splitlines())


def test_zsh_completes(leakscan: Leakscan, tmp_path: Path) -> None:
    """zsh takes the script, and gets its answers as type, value and help, a line each."""
    path = script("zsh", leakscan, tmp_path)
    asked = {"_LEAKSCAN_COMPLETE": "zsh_complete", "COMP_WORDS": "leakscan --form", "COMP_CWORD": "1"}

    assert run("zsh", "-f", "-c", f"autoload -U compinit; compinit -u -d {tmp_path}/dump; source {path}").stderr == ""
    assert "plain\n--format\n" in run(BIN / "leakscan", **asked).stdout
