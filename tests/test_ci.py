"""The GitHub Action and the GitLab component: their scripts are run as a runner would, with the real program."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from testimages.values import github_token
from tests.builders import image_of, layer, sha256, write

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
KEY = github_token(random.Random("ci"))
IMAGE = image_of(layer({"app/.env": f"TOKEN={KEY}\n"}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's working directory with an archive in it."""
    write(tmp_path / "image.tar", IMAGE.oci_archive())
    return tmp_path


def bash(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as runners do; the program is in PATH as after its installation."""
    own = {"PATH": f"{BIN}:{os.environ['PATH']}", **environment}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder, env=os.environ | own, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


# --- GitHub ----------------------------------------------------------------------------------------------------------


def action() -> dict[str, Any]:
    """The action's definition."""
    read = yaml.safe_load(ROOT.joinpath("action.yml").read_text())
    assert isinstance(read, dict)
    return read


def run_action(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the action's last step with *inputs*, the others as they are by default."""
    step = action()["runs"]["steps"][-1]
    given = {name: told.get("default", "") for name, told in action()["inputs"].items()}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}

    def value(text: str) -> str:
        return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: given[found[1]], text)

    environment = {name: value(text) for name, text in step["env"].items()}
    job = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(folder / "output"),
           "GITHUB_STEP_SUMMARY": str(folder / "summary")}  # fmt: skip
    return bash(step["run"], folder, **job, **environment)


def test_the_action_fails_a_job_that_leaks(folder: Path) -> None:
    """The report in the log, annotations, a summary, two files, and outputs for later steps."""
    done = run_action(folder, image="image.tar")

    assert done.returncode == 1
    assert done.stdout.startswith("LEAKED") and "::error " in done.stderr
    assert "leakscan: LEAKED" in (folder / "summary").read_text()
    assert json.loads((folder / "leakscan.sarif").read_text())["runs"][0]["results"]
    assert json.loads((folder / "leakscan.json").read_text())["verdict"] == "leaked"
    assert (folder / "output").read_text().splitlines() == [
        "exit-code=1", "sarif-file=leakscan.sarif", "json-file=leakscan.json"
    ]  # fmt: skip


def test_the_action_takes_options_and_metadata(folder: Path) -> None:
    """The image's name from buildx, further options a word a line, and no image."""
    told = {"image.name": "hub.example/shop:1", "containerimage.digest": sha256(IMAGE.manifest())}
    write(folder / "build.json", json.dumps(told).encode())

    done = run_action(
        folder, image="image.tar", metadata_file="build.json", fail_on="never", options="--jobs\n1\n\n--quiet\n"
    )

    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "leakscan.json").read_text())["image"]["reference"] == "hub.example/shop:1"
    run = json.loads((folder / "leakscan.sarif").read_text())["runs"][0]
    assert run["automationDetails"]["id"] == "leakscan/hub.example/shop/"


@pytest.mark.parametrize("words", ["$(touch forged)", "'; touch forged; '", "--help", "`touch forged`"])
def test_no_input_of_the_action_is_run(folder: Path, words: str) -> None:
    """An image's name may come from a pull request: it is a name, whatever it says."""
    done = run_action(folder, image=words)

    assert done.returncode == 3
    assert not (folder / "forged").exists()


def test_the_action_uses_what_it_defines() -> None:
    """Each input is used, and nothing else is; outputs come from a step that there is."""
    text = ROOT.joinpath("action.yml").read_text()
    scripts = "".join(step["run"] for step in action()["runs"]["steps"])

    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(action()["inputs"])
    assert "${{" not in scripts
    assert {step.get("id") for step in action()["runs"]["steps"]} >= set(re.findall(r"steps\.(\w+)\.", text))


# --- GitLab ----------------------------------------------------------------------------------------------------------


def component(**inputs: str) -> dict[str, Any]:
    """The component's job with *inputs* filled in, the others as they are by default."""
    text = ROOT.joinpath("templates/leakscan.yml").read_text()
    spec, body = text.split("\n---\n")
    defined = yaml.safe_load(spec)["spec"]["inputs"]
    given = {name: (told or {}).get("default") for name, told in defined.items()} | inputs
    filled = re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda found: str(given[found[1]]), body)
    [job] = yaml.safe_load(filled).values()
    assert isinstance(job, dict)
    return job


def test_the_component_fails_a_job_that_leaks(folder: Path) -> None:
    """The reports that GitLab collects are there afterwards, under the names that the job gives them."""
    job = component(image="image.tar")
    (folder / ".leakscan").mkdir()
    (folder / ".leakscan" / "bin").symlink_to(BIN)

    done = bash("\n".join(job["script"]), folder, CI_COMMIT_SHA="c0ffee", **job["variables"])

    assert done.returncode == 1
    reports = job["artifacts"]["reports"]
    document = json.loads((folder / reports["secret_detection"]).read_text())
    assert document["vulnerabilities"][0]["location"] == {
        "commit": {"sha": "c0ffee"}, "file": "image.tar/app/.env", "start_line": 1, "end_line": 1
    }  # fmt: skip
    assert "<failure" in (folder / reports["junit"]).read_text()
    assert all((folder / path).exists() for path in job["artifacts"]["paths"])


# --- the papers ------------------------------------------------------------------------------------------------------


def test_snippets_of_the_papers_are_yaml() -> None:
    """What docs/ci.md gives to paste can be read by a YAML reader."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", ROOT.joinpath("docs/ci.md").read_text(), re.MULTILINE | re.DOTALL)

    assert len(blocks) > 3
    assert all(yaml.safe_load(block) for block in blocks)
