"""Every image of testimages, built by a real engine, holds and shows what its planted.toml says."""

from __future__ import annotations

import json
import lzma
import mmap
import subprocess
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from testimages.build import BUILDERS, Built
from testimages.cases import HOME, Case, Expected, case_names, load_case
from tests.engine import Docker

Finding = Mapping[str, Any]
Leakscan = Callable[..., "subprocess.CompletedProcess[str]"]
Builder = Callable[[str, str], Built]

IMAGES = [
    pytest.param(name, builder, stage, id="-".join(filter(None, (name, builder, stage))))
    for name in case_names()
    for builder in load_case(name).builders
    for stage in ("", *load_case(name).stages)
]


def image_of(built: Built, stage: str) -> tuple[str, Expected]:
    """Name and expectations of a stage, or of the final image."""
    if stage:
        return built.stages[stage], built.case.stages[stage]
    return built.reference, built.case.final


def saved(engine: Docker, reference: str, folder: Path) -> Path:
    """The image as `docker save` writes it."""
    archive = folder / "image.tar"
    engine.run("save", "--output", str(archive), reference)
    return archive


def answers(row: Mapping[str, str], finding: Finding, case: Case) -> bool:
    """Whether a finding is the one that a row of planted.toml tells of."""
    step, removal = finding["instruction"] or {}, finding["removed_by"] or {}
    return (
        finding["secret"]["value"] == case.values[row["value"]]
        and finding["surface"] == row.get("surface", finding["surface"])
        and ("path" not in row or fnmatchcase((finding["path"] or "").removeprefix("./").lstrip("/"), row["path"]))
        and finding["state"] == row.get("state", finding["state"])
        and row.get("step", "") in (step.get("created_by") or "")
        and row.get("removed_by", "") in (removal.get("created_by") or "")
        and finding["rule_id"].startswith(row.get("rule", ""))
    )


def told(findings: list[Finding]) -> str:
    """The findings in short, for the message of a failed test."""
    fields = ("rule_id", "surface", "path", "state", "instruction", "removed_by", "gated")
    return "\n".join(" ".join(f"{field}={finding[field]}" for field in fields) for finding in findings) or "no findings"


def check(report: Mapping[str, Any], expected: Expected, case: Case, builder: str) -> None:
    """Compare a report that shows its values with what was planted."""
    findings = report["findings"]
    gated = [finding for finding in findings if finding["gated"]]
    for row in expected.must:
        if row.get("builder", builder) == builder:
            assert any(answers(row, finding, case) for finding in gated), f"missing {dict(row)} in\n{told(findings)}"
    for row in expected.must_not:
        if row.get("builder", builder) == builder:
            wrong = [finding for finding in findings if answers(row, finding, case)]
            assert not wrong, f"{dict(row)} must not be found:\n{told(wrong)}"
    if expected.clean:
        assert not gated, f"a clean image:\n{told(gated)}"
    assert report["coverage"]["complete"], report["coverage"]["gaps"]
    assert report["verdict"] == ("clean" if expected.clean else "leaked")


def check_leak(archive: Path, expected: Expected, case: Case, builder: str) -> None:
    """Compare the uncompressed bytes of an image with what was planted: the case itself must be right."""
    with archive.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        inside = {name for name, value in case.values.items() if content.find(value.encode()) >= 0}
    planted = {row["value"] for row in expected.must if row.get("builder", builder) == builder}
    assert inside >= planted
    assert not (expected.clean and inside)


@pytest.mark.parametrize(("name", "builder", "stage"), IMAGES)
def test_an_image_is_reported_as_planted(
    name: str, builder: str, stage: str, engine: Docker, built: Builder, leakscan: Leakscan, tmp_path: Path
) -> None:
    """Saved or in the engine, the image gives the findings of planted.toml, and no output shows a value unasked."""
    image = built(name, builder)
    reference, expected = image_of(image, stage)
    archive = saved(engine, reference, tmp_path)
    check_leak(archive, expected, image.case, builder)

    shown = leakscan("--format", "json", "--show-secrets", archive)
    masked = leakscan("--format", "json", f"docker:{reference}", env={"DOCKER_HOST": engine.host})

    report = json.loads(shown.stdout)
    check(report, expected, image.case, builder)
    ids = [finding["id"] for finding in report["findings"]]
    assert [finding["id"] for finding in json.loads(masked.stdout)["findings"]] == ids
    assert shown.returncode == masked.returncode == (0 if expected.clean else 1)
    for value in image.case.hidden:
        assert value not in masked.stdout + masked.stderr + shown.stderr


def test_the_first_image_of_readme_is_as_planted(leakscan: Leakscan) -> None:
    """The committed archive, which needs no engine, leaks as its recipe says."""
    case = load_case("first")

    done = leakscan("--format", "json", "--show-secrets", HOME / "first" / "image.tar.xz")

    assert done.returncode == 1, done.stderr
    check(json.loads(done.stdout), case.final, case, "buildkit")


def test_the_first_image_was_made_of_its_recipe() -> None:
    """The committed archive holds the values that the recipe makes, and is small."""
    archive = HOME / "first" / "image.tar.xz"

    content = lzma.decompress(archive.read_bytes())

    assert all(value.encode() in content for value in load_case("first").values.values())
    assert archive.stat().st_size < 1_500_000


@pytest.mark.parametrize("name", case_names())
def test_a_case_explains_itself_and_hides_its_values(name: str) -> None:
    """A case names builders that exist, says why it is there, and no file of it holds a value."""
    case = load_case(name)

    assert set(case.builders) <= set(BUILDERS)
    assert case.why.endswith(".")
    files = [path for path in case.folder.rglob("*") if path.is_file() and path.suffix != ".xz"]
    texts = [path.read_text(encoding="utf-8") + str(path) for path in files]
    assert not [value for value, text in case.values.items() if any(text in content for content in texts)]
