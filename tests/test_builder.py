"""What an engine keeps of builds is found, named by record or image, and gone after the command the report gives."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from testimages.bases import PREFIX, ensure_base
from tests.builders import write
from tests.conftest import Leakscan
from tests.engine import Docker

INLINE = "kb2-" + "inline/Unlikely"
BUILT = "kb3-" + "stage-file.Unlikely"
DOCKERFILE = f"""\
FROM {{base}} AS builder
RUN TOKEN={INLINE} true
RUN echo {BUILT} > /srv-{BUILT[:3]}.txt
FROM {{base}}
COPY --from=builder /etc /copied
"""


def built(engine: Docker, folder: Path, builder: str) -> str:
    """An image whose builder stage has secrets that it has not."""
    ensure_base(engine, "busybox")
    write(folder / "Dockerfile", DOCKERFILE.format(base=f"{PREFIX}:busybox").encode())
    reference = f"leakscan-builder:{builder}"
    environment = {"DOCKER_BUILDKIT": "1" if builder == "buildkit" else "0"}
    engine.run("build", "--network", "host", "--no-cache", "--tag", reference, str(folder), env=environment)
    return reference


def findings(leakscan: Leakscan, engine: Docker, code: int, *arguments: str) -> list[dict[str, Any]]:
    """The sightings of both secrets."""
    given = ("--secret", "id=inline,env=INLINE", "--secret", "id=built,env=BUILT", "--format", "json", "--no-progress")
    ran = leakscan(*(arguments or ("builder",)), *given,
                   env={"DOCKER_HOST": engine.host, "INLINE": INLINE, "BUILT": BUILT})  # fmt: skip
    assert ran.returncode == code, ran.stderr + ran.stdout
    assert INLINE not in ran.stdout + ran.stderr
    return [each for each in json.loads(ran.stdout)["findings"] if each["detector"] == "known-secret"]


def cure(engine: Docker, found: list[dict[str, Any]]) -> None:
    """Run the command that each finding gives for its record or image."""
    commands = {step.removeprefix("Remove it: ") for each in found for step in each["remediation"]["steps"]
                if step.startswith("Remove it: ")}  # fmt: skip
    assert commands
    for command in (part for line in commands for part in line.split(" && ")):
        program, *words = shlex.split(command)
        assert program == "docker"
        engine.run(*words)


def test_a_command_line_in_the_build_cache(engine: Docker, tmp_path: Path, leakscan: Leakscan) -> None:
    """BuildKit's records tell the whole command line; the image is clean; the prune takes the record away."""
    reference = built(engine, tmp_path, "buildkit")

    assert findings(leakscan, engine, 0, reference) == []
    found = findings(leakscan, engine, 1)

    assert {each["evidence"][0]["result"] for each in found} == {"inline", "built"}
    assert {each["surface"] for each in found} == {"builder"}
    assert all(each["path"].startswith("build cache record ") for each in found)
    assert all(each["path"].endswith(": Description") for each in found)
    cure(engine, found)
    assert findings(leakscan, engine, 0) == []


def test_a_stage_of_the_classic_builder(engine: Docker, tmp_path: Path, leakscan: Leakscan) -> None:
    """The image that a stage left behind holds its steps and files; removing that image takes them away."""
    reference = built(engine, tmp_path, "classic")

    assert findings(leakscan, engine, 0, reference) == []
    found = findings(leakscan, engine, 1)

    assert {each["surface"] for each in found} == {"builder"}
    places = {each["path"].partition(" sha256:")[2][64:] for each in found}
    assert any("history[" in place for place in places)
    assert any("layer " in place and place.endswith(": srv-kb3.txt") for place in places)
    cure(engine, found)
    assert findings(leakscan, engine, 0) == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_engine(tmp_path: Path, leakscan: Leakscan, form: str) -> None:
    """A message and exit code 3; the JSON document comes all the same."""
    ran = leakscan("builder", "--format", form, env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})

    assert ran.returncode == 3
    assert "no engine listens" in ran.stderr
    if form == "json":
        assert json.loads(ran.stdout)["verdict"] == "incomplete"
