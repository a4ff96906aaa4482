"""A job of GitHub Actions gets annotations and a summary without asking for them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from testimages.values import github_token
from tests.builders import image_of, layer, write
from tests.conftest import Leakscan

KEY = github_token(random.Random("actions"))


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a token."""
    image = image_of(layer({"app/.env": f"TOKEN={KEY}\n"}))
    return write(tmp_path_factory.mktemp("actions") / "image.tar", image.docker_archive())


def job(folder: Path) -> dict[str, str]:
    """What the runner sets."""
    return {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}


def test_annotations_and_summary_come_by_themselves(leakscan: Leakscan, leaky: Path, tmp_path: Path) -> None:
    """Annotations go to standard error, which the runner reads too, so that the report stays whole; the summary is
    added to what other commands of the step wrote."""
    (tmp_path / "summary.md").write_text("# before\n")

    done = leakscan("--format", "json", leaky, env=job(tmp_path))

    assert done.returncode == 1
    assert done.stdout.startswith("{") and "::error" not in done.stdout
    assert [line.partition(" ")[0] for line in done.stderr.splitlines()] == ["::notice", "::error"]
    summary = (tmp_path / "summary.md").read_text()
    assert summary.startswith("# before\n## leakscan: LEAKED\n") and "app/.env" in summary
    assert KEY not in done.stdout + done.stderr + summary


def test_annotations_that_are_asked_for_come_once(leakscan: Leakscan, leaky: Path, tmp_path: Path) -> None:
    """--format github prints them as the report, anywhere."""
    done = leakscan("--format", "github", leaky, env=job(tmp_path))

    assert done.stdout.count("::error ") == 1 and done.stderr == ""
    assert leakscan("--format", "github", leaky, env={"GITHUB_ACTIONS": ""}).stdout == done.stdout


def test_quiet_leaves_the_log_alone(leakscan: Leakscan, leaky: Path, tmp_path: Path) -> None:
    """With --quiet there is the summary, and nothing on standard error."""
    done = leakscan("--quiet", leaky, env=job(tmp_path))

    assert done.stderr == "" and (tmp_path / "summary.md").exists()


def test_a_summary_that_cannot_be_written_is_said(leakscan: Leakscan, leaky: Path, tmp_path: Path) -> None:
    """It changes no exit code."""
    done = leakscan("--quiet", leaky, env=job(tmp_path / "nowhere"))

    assert done.returncode == 1
    assert "summary.md" in done.stderr and "Traceback" not in done.stderr


def test_elsewhere_nothing_is_added(leakscan: Leakscan, leaky: Path, tmp_path: Path) -> None:
    """Outside of Actions there are neither."""
    done = leakscan(leaky, env={"GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")})

    assert done.stderr == "" and not (tmp_path / "summary.md").exists()
