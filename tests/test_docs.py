"""What the papers show is what the program does."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from scanner.cli.main import cli
from testimages.values import github_token
from tests.builders import image_of, layer, whiteout, write

ROOT = Path(__file__).parent.parent


def readme_sample() -> list[str]:
    """The parts of the report that README shows, cut at its `...`."""
    text = ROOT.joinpath("README.md").read_text()
    section = text.partition("## What it prints")[2].partition("\n## ")[0]
    block = "\n".join(line.removeprefix("    ") for line in section.splitlines() if line.startswith("    ") or not line)
    return [part.strip("\n") for part in block.split("\n...\n")]


def test_readme_shows_a_finding_as_it_is_printed() -> None:
    """README's sample is cut out of what its first command prints."""
    run = subprocess.run(
        [sys.executable, "-m", "scanner", "testimages/first/image.tar.xz"],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip

    parts = readme_sample()

    assert len(parts) > 1
    assert [part for part in parts if part not in run.stdout] == []


def test_a_project_is_taken_up_as_docs_baseline_says(tmp_path: Path) -> None:
    """The commands at the top of docs/baseline.md, typed as printed, end as printed."""
    page = ROOT.joinpath("docs", "baseline.md").read_text()
    lines = re.findall(r"^    (.+?) +# exit code ([0-9])", page, re.MULTILINE)
    (tmp_path / "testimages").symlink_to(ROOT / "testimages")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    codes = [
        subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, check=False,
                       env={**os.environ, "PATH": path}).returncode
        for line, _ in lines
    ]  # fmt: skip

    assert len(lines) == 5
    assert codes == [int(code) for _, code in lines]


def test_links_of_the_papers_lead_somewhere() -> None:
    """No page points to a file that is not there."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    broken = [
        (page.name, target)
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


KEY = github_token(random.Random("papers"))
RUN_PAGES = ("getting-started.md", "formats.md")


def test_whoever_is_told_to_install_it_gets_it() -> None:
    """Every word of installing this program, in papers and messages, has the name of the distribution and extras that
    there are; another `leakscan` may be somebody else's."""
    project = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())["project"]
    name, extras = project["name"], {*project["optional-dependencies"]}
    kinds = (".md", ".py", ".html", ".yml", ".yaml", ".1")
    folders = ("docs", "scanner", "deploy", "templates", "bench", "testimages")
    files = [path for folder in folders for path in ROOT.joinpath(folder).rglob("*") if path.suffix in kinds]
    seen = 0
    for path in [*ROOT.glob("*.md"), ROOT / "action.yml", *files]:
        text = path.read_text()
        for word in re.findall(r"[\w.-]*leakscan\[[^\]\n]*\]", text):
            told, _, named = word.rstrip("]").partition("[")
            assert told == name and {each.strip() for each in named.split(",")} <= extras, f"{path}: {word}"
            seen += 1
        for line in re.findall(r"\bpip3? install (.*)", text):
            for word in re.findall(r"(?<![\w/.:-])[\w-]*leakscan(?![\w/.-])", line):
                assert word == name, f"{path}: pip install {line}"
                seen += 1
    assert seen > 4


def _named_tests(page: Path) -> Iterator[tuple[str, str]]:
    """(file, function) of each test that the rows of a page's tables name, '' for a whole file."""
    for row in page.read_text().splitlines():
        file = ""
        for named, function in re.findall(r"`(test_\w+\.py)?(?:::(test_\w+))?`", row if row.startswith("|") else ""):
            file = named or file
            if named or function:
                yield file, function


def test_every_promise_names_tests_that_there_are() -> None:
    """What SECURITY.md promises is held by tests that exist."""
    named = list(_named_tests(ROOT / "SECURITY.md"))
    assert len(named) > 20
    for file, function in named:
        text = (ROOT / "tests" / file).read_text()
        assert f"def {function}(" in text if function else "def test_" in text, f"{file}::{function}"


def test_every_kind_of_content_names_tests_that_there_are() -> None:
    """So are the formats and encodings of docs/content.md."""
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    for name in re.findall(r"`(test_\w+)(?:\[|`)", (ROOT / "docs" / "content.md").read_text()):
        assert f"def {name}(" in tests, name


@pytest.mark.parametrize("page", RUN_PAGES)
def test_examples_of_the_papers_do_what_they_say(page: str, tmp_path: Path) -> None:
    """Every line of an `sh` block, in order, ends with the exit code that stands behind it, else with 0."""
    leaky = image_of(layer({"app/.env": f"TOKEN={KEY}\n"}), layer(whiteout("app/.env")))
    write(tmp_path / "image.tar", leaky.docker_archive())
    write(tmp_path / "clean.tar", image_of(layer({"etc/x": "y"})).docker_archive())
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    assert lines

    for line in lines:
        command, _, code = line.partition("  # exit ")
        run = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (line, run.returncode) == (line, int(code or 0)), run.stdout + run.stderr
        assert KEY not in run.stdout + run.stderr


def test_the_session_is_as_recorded(tmp_path: Path) -> None:
    """Each command of docs/session.md prints what stands below it."""
    page = ROOT / "docs" / "session.md"
    leaky = image_of(
        layer({"app/.env": f"STAGE=ci\nTOKEN={KEY}\n"}, created_by="COPY . /app # buildkit"),
        layer(whiteout("app/.env"), created_by="RUN /bin/sh -c rm /app/.env # buildkit"),
    )
    write(tmp_path / "image.tar", leaky.docker_archive())
    write(tmp_path / "fixed.tar", image_of(layer({"app/run": "echo"})).docker_archive())
    text = page.read_text()
    head, recorded, tail = re.split(r"(?<=```console\n)(.*?)(?=```)", text, maxsplit=1, flags=re.DOTALL)
    commands = re.findall(r"^\$ (.*)$", recorded, re.MULTILINE)
    script = "\n".join(f"echo {shlex.quote(f'$ {command}')}\n{command}" for command in commands)
    environment = {
        **os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "100",
        "DOCKER_HOST": f"unix://{tmp_path}/none", "GITHUB_ACTIONS": "",
    }  # fmt: skip

    run = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip

    shown = run.stdout
    if os.environ.get("LEAKSCAN_SNAPSHOTS") == "write":
        page.write_text(f"{head}{shown}{tail}")
        recorded = shown
    assert KEY not in shown
    assert shown == recorded


def reference() -> ModuleType:
    """The program that makes docs/options.md and the manual page."""
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_options_and_manual_page_are_those_of_the_program() -> None:
    """Whoever changes an option runs `make docs`."""
    made = reference()

    assert ROOT.joinpath("docs/options.md").read_text() == made.markdown()
    assert ROOT.joinpath("docs/leakscan.1").read_text() == made.man()


def test_the_manual_page_has_no_fault() -> None:
    """man shows every option of it and warns of nothing."""
    man = shutil.which("man")
    if man is None:
        pytest.skip("man is not installed (Debian: apt-get install man-db)")
    run = subprocess.run(
        [man, "--warnings", "--local-file", ROOT / "docs" / "leakscan.1"],
        capture_output=True, text=True, check=True, env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip

    assert run.stderr == ""
    shown = re.sub(r".\x08", "", run.stdout)
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        longest = [option.opts[-1] for option in command.params if isinstance(option, click.Option)]
        assert [option for option in longest if option not in shown] == []


def test_every_option_has_a_help_text() -> None:
    """`--help` of each command says what each option does."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None and command.help
        assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []
