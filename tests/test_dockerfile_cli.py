"""`--dockerfile PATH`: findings name its lines, fixes are diffs against it, and no report shows a value of it."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scanner.report.output import FORMATS
from testimages.values import github_token
from tests.builders import directory, file, image_of, layer, whiteout, write

Leakscan = Callable[..., "subprocess.CompletedProcess[str]"]
KEY = github_token(random.Random("dockerfile"))
TEXT = f"""\
# syntax=docker/dockerfile:1.4
FROM base
ARG TOKEN
COPY app /app
RUN make \\
    -C /app --token {KEY} \\
    all
RUN rm /app/.env
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An archive of what the Dockerfile builds, the Dockerfile beside it."""
    (tmp_path / "Dockerfile").write_text(TEXT)
    built = image_of(
        layer({"etc/os-release": "x"}, created_by="/bin/sh -c #(nop) ADD file:00 in / "),
        layer(directory("app/"), file("app/.env", f"TOKEN={KEY}\n"), created_by="COPY app /app # buildkit"),
        layer({"app/a": "x"}, created_by=f"RUN |1 TOKEN= /bin/sh -c make     -C /app --token {KEY}     all # buildkit"),
        layer(whiteout("app/.env"), created_by="RUN |1 TOKEN= /bin/sh -c rm /app/.env # buildkit"),
    )
    return write(tmp_path / "image.tar", built.docker_archive())


def test_findings_name_the_lines_of_the_dockerfile(image: Path, leakscan: Leakscan) -> None:
    """Each finding has the lines of the instruction that brought it in, continuation lines included."""
    done = leakscan("--format", "json", "--dockerfile", image.with_name("Dockerfile"), image)

    found = [finding for finding in json.loads(done.stdout)["findings"] if finding["gated"]]
    lines = {(f["surface"], f["dockerfile"]["line"], f["dockerfile"]["end_line"]) for f in found}
    assert lines == {("layer", 4, 4), ("history", 5, 7)}
    assert {finding["dockerfile"]["path"] for finding in found} == {str(image.with_name("Dockerfile"))}


def test_fixes_are_diffs_for_the_frontend_that_the_file_names(image: Path, leakscan: Leakscan) -> None:
    """Frontend 1.4 has no env=, so the command reads the file; the diff masks the value unless it is asked for."""
    masked, shown = (
        json.loads(leakscan("--format", "json", "--dockerfile", image.with_name("Dockerfile"), *more, image).stdout)
        for more in ((), ("--show-secrets",))
    )

    def diffs(report: dict[str, list[dict[str, dict[str, str]]]]) -> str:
        return "\n".join(finding["remediation"]["diff"] or "" for finding in report["findings"])

    assert "-    -C /app --token ****" in diffs(masked) and KEY not in diffs(masked)
    assert f"-    -C /app --token {KEY}" in diffs(shown)
    assert "+RUN --mount=type=secret,id=token,required=true \\" in diffs(masked)
    assert '+    export TOKEN="$(cat /run/secrets/token)" && \\' in diffs(masked)
    assert "-RUN rm /app/.env" in diffs(masked) and "+app/.env" in diffs(masked)


@pytest.mark.parametrize("format", FORMATS)
def test_no_report_shows_a_value_of_the_dockerfile(format: str, image: Path, leakscan: Leakscan) -> None:
    """Whatever the format, the value that stands in the Dockerfile does not."""
    done = leakscan("--format", format, "--dockerfile", image.with_name("Dockerfile"), image)

    assert done.returncode == 1, done.stderr
    assert KEY not in done.stdout + done.stderr


def test_the_text_report_points_at_the_file(image: Path, leakscan: Leakscan) -> None:
    """The lines stand below the step, the diff among what to do, with a word on what it masks."""
    done = leakscan("--dockerfile", image.with_name("Dockerfile"), image)

    assert f"{image.with_name('Dockerfile')}:5-7" in "".join(done.stdout.split())
    assert "+++ b/Dockerfile" in done.stdout and "patch does not take it" in done.stdout


def test_another_images_dockerfile_changes_nothing(image: Path, leakscan: Leakscan) -> None:
    """Where no instruction fits there are neither lines nor diffs."""
    other = image.with_name("Other")
    other.write_text("FROM x\nRUN something else\n")

    done = leakscan("--format", "json", "--dockerfile", other, image)

    for finding in json.loads(done.stdout)["findings"]:
        assert finding["dockerfile"] is None and finding["remediation"]["diff"] is None


def test_a_file_that_is_none(image: Path, leakscan: Leakscan) -> None:
    """A path that is not there is wrong usage; a file that is no text is said to be none."""
    assert leakscan("--dockerfile", image.with_name("nowhere"), image).returncode == 2
    none = leakscan("--dockerfile", image, image)
    assert none.returncode == 2 and "is no Dockerfile" in none.stderr


def test_every_step_that_uses_an_argument_takes_it_from_a_mount(tmp_path: Path, leakscan: Leakscan) -> None:
    """The diff takes the ARG away, so that each RUN that uses it must have the mount."""
    write(tmp_path / "Dockerfile", b"FROM base\nARG TOKEN\nRUN one $TOKEN\nRUN two\nRUN three ${TOKEN}\n")
    commands = ("one $TOKEN", "two", "three ${TOKEN}")
    runs = (f"RUN |1 TOKEN={KEY} /bin/sh -c {command} # buildkit" for command in commands)
    built = image_of(
        layer({"etc/os-release": "x"}, created_by="/bin/sh -c #(nop) ADD file:00 in / "),
        *(layer({f"srv/{number}": "x"}, created_by=run) for number, run in enumerate(runs)),
    )
    image = write(tmp_path / "image.tar", built.docker_archive())

    done = leakscan("--format", "json", "--show-secrets", "--dockerfile", tmp_path / "Dockerfile", image)

    advice = [finding["remediation"] for finding in json.loads(done.stdout)["findings"] if finding["gated"]]
    [change] = {each["diff"] for each in advice} - {None}
    added = [line for line in change.splitlines() if line.startswith("+")]
    mount = "+RUN --mount=type=secret,id=token,env=TOKEN,required=true \\"
    assert added[1:] == [mount, "+    one $TOKEN", mount, "+    three ${TOKEN}"] and "-ARG TOKEN" in change
    assert any("Later steps that use the variable" in step for step in advice[0]["steps"])


@pytest.mark.parametrize("second", ["cat /root/.npmrc; (chmod 600 /root/.npmrc)", "<<EOT\ncat /root/.npmrc\nls\nEOT"])
def test_no_diff_leaves_out_a_file_that_a_second_step_needs(second: str, tmp_path: Path, leakscan: Leakscan) -> None:
    """Its commands are no plain chain, so it gets no mount, and would fail."""
    text = f"FROM base\nCOPY .npmrc /root/.npmrc\nRUN cat /root/.npmrc && npm ci\nRUN {second}\n"
    recipe = write(tmp_path / "Dockerfile", text.encode())
    ran = second.removeprefix("<<EOT\n").removesuffix("EOT")
    built = image_of(
        layer({"etc/os-release": "x"}, created_by="/bin/sh -c #(nop) ADD file:00 in / "),
        layer({"root/.npmrc": f"//r.example/:_authToken={KEY}\n"}, created_by="COPY .npmrc /root/.npmrc # buildkit"),
        layer({"a": "x"}, created_by="RUN /bin/sh -c cat /root/.npmrc && npm ci # buildkit"),
        layer({"b": "x"}, created_by=f"RUN /bin/sh -c {ran} # buildkit"),
    )
    image = write(tmp_path / "image.tar", built.docker_archive())

    report = json.loads(leakscan("--format", "json", "--dockerfile", recipe, image).stdout)

    [advice] = [each["remediation"] for each in report["findings"] if each["gated"]]
    assert advice["dockerfile"].endswith("cat /root/.npmrc && npm ci") and advice["diff"] is None


def test_no_diff_leaves_out_a_file_that_a_later_step_copies(tmp_path: Path, leakscan: Leakscan) -> None:
    """The step would fail without it; the advice says in words what becomes of both."""
    recipe = write(tmp_path / "Dockerfile", b"FROM base\nCOPY app /app\nRUN cp /app/.env /srv/.env\n")
    built = image_of(
        layer({"etc/os-release": "x"}, created_by="/bin/sh -c #(nop) ADD file:00 in / "),
        layer({"app/.env": f"TOKEN={KEY}\n"}, created_by="COPY app /app # buildkit"),
        layer({"srv/.env": f"TOKEN={KEY}\n"}, created_by="RUN /bin/sh -c cp /app/.env /srv/.env # buildkit"),
    )
    image = write(tmp_path / "image.tar", built.docker_archive())

    report = json.loads(leakscan("--format", "json", "--dockerfile", recipe, image).stdout)

    found = {each["path"]: each["remediation"] for each in report["findings"] if each["gated"]}
    assert [advice["diff"] for advice in found.values()] == [None, None]
    assert any("puts it into a layer once more" in step for step in found["app/.env"]["steps"])


@pytest.mark.parametrize("declared", ["ENV TOKEN={}", "ARG TOKEN={}", "ARG TOKEN"])
def test_no_diff_takes_a_variable_from_a_step_that_uses_it(declared: str, tmp_path: Path, leakscan: Leakscan) -> None:
    """Where the value goes, each RUN that names it has it from a mount; none is left with an empty variable."""
    words, given = declared.format(KEY), declared.startswith("ARG")
    (tmp_path / "Dockerfile").write_text(f"FROM x\n{words}\nRUN one $TOKEN\nRUN two\nRUN sh -c 'three ${{TOKEN}}'\n")
    prefix = f"RUN |1 TOKEN={KEY} /bin/sh -c" if given else "RUN /bin/sh -c"
    commands = ["one $TOKEN", "two", "sh -c 'three ${TOKEN}'"]
    texts = [f"{words} # buildkit", *(f"{prefix} {command} # buildkit" for command in commands)]
    history = [{"created_by": text, "empty_layer": not text.startswith("RUN")} for text in texts]
    built = image_of(*(layer({name: name}) for name in "abc"), history=history)
    path = write(tmp_path / "image.tar", built.docker_archive())

    report = json.loads(leakscan("--format", "json", "--dockerfile", tmp_path / "Dockerfile", path).stdout)

    diffs = set(filter(None, (finding["remediation"]["diff"] for finding in report["findings"])))
    assert diffs
    for diff in diffs:
        assert f"\n-{words[:3]}" in diff
        for command in ("one $TOKEN", "sh -c 'three ${TOKEN}'"):
            assert f"+RUN --mount=type=secret,id=token,env=TOKEN,required=true \\\n+    {command}\n" in diff
