"""What the papers show is what the program does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click

from scanner.cli.main import cli

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
    lines = re.findall(r"^    leakscan (.+?)  +exit code ([0-9])", page, re.MULTILINE)
    image = str(ROOT / "testimages" / "first" / "image.tar.xz")

    codes = [
        subprocess.run([sys.executable, "-m", "scanner", *line.replace("myimage:tag", image).split()], cwd=tmp_path,
                       capture_output=True, check=False).returncode
        for line, _ in lines
    ]  # fmt: skip

    assert len(lines) == 4
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


def test_every_option_has_a_help_text() -> None:
    """`--help` of each command says what each option does."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None and command.help
        assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []
