"""Secrets that the user gives: found in every form, proved absent only if all was read, and never shown."""

from __future__ import annotations

import base64
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scanner import detection
from scanner.detect.known.parts import Known, known
from scanner.evidence import ScanResult
from scanner.image.source import open_image
from scanner.limits import Limits
from scanner.request import Detection, Options
from scanner.scan import scan
from tests.builders import BuiltLayer, image_of, layer, write, write_all
from tests.conftest import Leakscan
from tests.plantings import planted, plantings

VALUE = "zQ7-rather/unlikely+" + "words&in=a row"
OTHER = "neverin" + "anyimage42"


@cache
def rules() -> Detection:
    """All rules, compiled once."""
    return detection.load({"XDG_CACHE_HOME": os.devnull})  # nothing is kept below a device


def scanned(path: Path, given: list[Known]) -> ScanResult:
    """The result of scanning for *given* secrets, in this process."""
    limits = Limits()
    opened = open_image(str(path), limits=limits)
    try:
        return scan(opened, detection.with_known(rules(), given), Options(limits, 2, b"k" * 32))
    finally:
        opened.close()


def verdicts(result: ScanResult) -> dict[str, Any]:
    """What is said of each secret, by id."""
    return {str(entry["id"]): entry["verdict"] for entry in result.known_secrets}


@pytest.mark.parametrize("seed", [1, 2])
def test_every_planting_is_found(tmp_path: Path, seed: int) -> None:
    """Whatever the encoding, the nesting and the surface, and on the edge of what is read at a time."""
    chosen = plantings(seed, 330)
    path = tmp_path / "layout"
    write_all(path, planted(chosen, large=(16 << 20) + 13 if seed == 1 else 0).oci_members())
    given = [known(planting.id, planting.value) for planting, _ in chosen]

    result = scanned(path, [*given, known("absent", OTHER.encode())])

    said = verdicts(result)
    assert [str(planting) for planting, _ in chosen if said[planting.id] != "present"] == []
    assert said["absent"] == ("absent" if result.coverage.complete else "unknown")


def test_the_words_of_a_report_are_no_values(tmp_path: Path, leakscan: Leakscan) -> None:
    """Somebody's password is `password`: that masks neither the names of our parts nor what finds them by these."""
    files = {"a.py": "url = 'https://user2:password@mydomain.com/x'\n"}
    step = {"created_by": f"RUN TOOL_URL=http://ci:{OTHER}@pypi.example/simple pip install x # buildkit"}
    path = write(tmp_path / "image.tar", image_of(layer(files), history=[step]).docker_archive())

    ran = leakscan("--secret", "id=mirror,env=MIRROR", "--format", "json", path,
                   env={"MIRROR": f"http://ci:{OTHER}@mirror.example"})  # fmt: skip

    report = json.loads(ran.stdout)
    assert any(finding["secret"]["length"] == len("password") for finding in report["findings"])
    told = {entry["id"]: (entry["verdict"], len(entry["sightings"])) for entry in report["known_secrets"]}
    assert told["mirror"] == told["mirror: password"] == ("present", 1)


def test_a_secret_in_a_layer_that_was_deleted(tmp_path: Path, leakscan: Leakscan) -> None:
    """A sighting is critical, high and gated, names the secret, and shows nothing of it in any report."""
    path = write(tmp_path / "image.tar", image_of(layer({"root/.env": f"K='{VALUE}'\n"})).docker_archive())
    source = write(tmp_path / "pip.txt", f"{VALUE}\n".encode())

    ran = leakscan("--secret", f"id=pip,src={source}", "--format", "json", path)
    text = leakscan("--secret", f"id=pip,source={source},type=file", path)

    report = json.loads(ran.stdout)
    [entry] = report["known_secrets"]
    [found] = [finding for finding in report["findings"] if finding["detector"] == "known-secret"]
    assert (ran.returncode, report["verdict"], entry["verdict"]) == (1, "leaked", "present")
    assert entry["sightings"] == [found["id"]]
    assert (found["severity"], found["confidence"], found["gated"]) == ("critical", "high", True)
    assert (found["path"], found["secret"]["length"]) == ("root/.env", len(VALUE))
    assert "pip: present" in text.stdout
    assert VALUE not in ran.stdout + ran.stderr + text.stdout + text.stderr


def test_absent_only_if_everything_was_read(tmp_path: Path) -> None:
    """A gap anywhere makes it unknown; what was searched and how is told either way."""
    sound = image_of(layer({"etc/motd": "hello\n"}))
    torn = BuiltLayer(b"x", b"\x1f\x8b broken", "", "sha256:" + "0" * 64, "RUN x")
    broken = image_of(layer({"etc/motd": "hello\n"}), torn)

    for image, verdict in ((sound, "absent"), (broken, "unknown")):
        path = write(tmp_path / "image.tar", image.docker_archive())
        [entry] = scanned(path, [known("token", VALUE.encode())]).known_secrets
        assert entry["verdict"] == verdict
        assert entry["bytes_searched"] > 0
        assert {"raw", "base64", "hex", "utf-16le"} <= set(entry["encodings"])


def test_the_password_of_a_url_alone(tmp_path: Path) -> None:
    """The password is the secret; user and host alone are information, told apart by name."""
    url = f"https://{'deploy-' + 'robot'}:{OTHER}@index.corp.example/simple"
    leaks = image_of(layer({"srv/log": f"login with {OTHER}\n"}))
    harmless = image_of(layer({"etc/pip.conf": "[global]\nindex-url = https://index.corp.example/simple\n"}))

    leaked = scanned(write(tmp_path / "a.tar", leaks.docker_archive()), [known("url", url.encode())])
    clean = scanned(write(tmp_path / "b.tar", harmless.docker_archive()), [known("url", url.encode())])

    assert {**verdicts(leaked)} == {
        "url": "present", "url: user": "absent", "url: password": "present", "url: user and password": "absent",
        "url: host": "absent",
    }  # fmt: skip
    assert (verdicts(clean)["url"], verdicts(clean)["url: host"]) == ("absent", "present")
    assert leaked.verdict == "leaked"
    assert clean.verdict == "clean"


AUTH = base64.b64encode(f"robot-9:{OTHER}".encode()).decode()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        pytest.param(f"machine index.corp.example login robot-nine password {OTHER}\n", "password", id="netrc"),
        pytest.param(f"//npm.corp.example/:_authToken={OTHER}\nalways-auth=true\n", "_authToken", id="npmrc"),
        pytest.param(f"[global]\nindex-url = https://u:{OTHER}@i.example/\n", "password", id="pip.conf"),
        pytest.param(json.dumps({"auths": {"r.test": {"auth": AUTH}}}), "auths.r.test.auth: password", id="docker"),
        pytest.param(f"# local\nexport DB_PASSWORD='{OTHER}'\nDEBUG=true\n", "DB_PASSWORD", id="dotenv"),
        pytest.param(f"first line\n{OTHER}\n", "line 2", id="lines"),
    ],
)
def test_what_a_tool_takes_out_of_a_file(tmp_path: Path, text: str, part: str) -> None:
    """A value out of a settings file is found where the file itself is not."""
    path = write(tmp_path / "image.tar", image_of(layer({"srv/out.log": f"sent {OTHER} ok\n"})).docker_archive())

    said = verdicts(scanned(path, [known("file", text.encode())]))

    assert (said["file"], said[f"file: {part}"]) == ("present", "present")


@pytest.mark.parametrize(
    "value", ["short", "aaaaaaaaaaaaaaaa", "123456789012", "password", "production", "12345678", "abcdefghij"]
)
def test_a_value_that_proves_nothing_is_refused(tmp_path: Path, leakscan: Leakscan, value: str) -> None:
    """Wrong usage, with the reason; the value itself is not said."""
    path = write(tmp_path / "image.tar", image_of(layer({"a": "b"})).docker_archive())

    ran = leakscan(path, "--secret", "id=weak,env=WEAK", env={"WEAK": value})

    assert ran.returncode == 2
    assert "weak proves nothing" in ran.stderr
    assert value not in ran.stderr.replace("weak proves nothing", "") or value in ("password", "production")


def test_secrets_from_a_dotenv_file(tmp_path: Path, leakscan: Leakscan) -> None:
    """Each variable is a secret; those that prove nothing are named and unknown, and fail nothing."""
    path = write(tmp_path / "image.tar", image_of(layer({"srv/a": f"{VALUE}\n"})).docker_archive())
    source = write(tmp_path / "ci.env", f'A="{VALUE}"\nexport B={OTHER}\nPORT=80\n'.encode())

    ran = leakscan(path, "--secrets-from", source, "--format", "json")

    said = {entry["id"]: entry["verdict"] for entry in json.loads(ran.stdout)["known_secrets"]}
    assert said == {"A": "present", "B": "absent", "PORT": "unknown"}
    assert "secret PORT: it has 2 bytes" in ran.stderr


def test_lines_that_set_nothing_are_named(tmp_path: Path, leakscan: Leakscan) -> None:
    """A line in another form may hold a secret: it is told by its number, and its secret is not said to be absent."""
    path = write(tmp_path / "image.tar", image_of(layer({"srv/a": f"{VALUE}\n"})).docker_archive())
    text = f'\ufeff# for CI\n\nA="{VALUE}"\r\nmy-token={OTHER}\n  # more\nOTHER: {OTHER}\nB="two\nlines of it"\nalone\n'
    source = write(tmp_path / "ci.env", text.encode())

    ran = leakscan(path, "--secrets-from", source, "--format", "json")

    said = {entry["id"]: entry["verdict"] for entry in json.loads(ran.stdout)["known_secrets"]}
    assert said == {"A": "present", "my-token": "absent", "B": "absent", "B: line 2": "absent",
                    "in line 6 of ci.env": "unknown", "in line 9 of ci.env": "unknown"}  # fmt: skip
    assert "secret in line 6 of ci.env: the line is not of the form NAME=value; it is not searched for" in ran.stderr
    assert OTHER not in ran.stdout + ran.stderr


def test_words_that_are_no_fields_are_not_repeated(tmp_path: Path, leakscan: Leakscan) -> None:
    """A person may have written the secret itself; a quote that does not end is an error as well."""
    path = write(tmp_path / "image.tar", image_of(layer({"a": "b"})).docker_archive())

    for words in (OTHER, f'"id={OTHER}', f"id=a,{OTHER}=b"):
        ran = leakscan(path, "--secret", words)
        assert ran.returncode == 2
        assert OTHER not in ran.stdout + ran.stderr


def test_words_that_docker_refuses_too(tmp_path: Path, leakscan: Leakscan) -> None:
    """No id, an unknown field or type, a file or variable that is not there."""
    path = write(tmp_path / "image.tar", image_of(layer({"a": "b"})).docker_archive())

    for words in ("src=x", "id=a,what=b", "id=a,type=vault", f"id=a,src={tmp_path}/none", "id=a,env=NO_SUCH_VARIABLE"):
        assert leakscan(path, "--secret", words).returncode == 2


def test_no_part_of_a_secret_is_kept(tmp_path: Path, leakscan: Leakscan) -> None:
    """Neither the value nor a form that it is told by is in the compiled rules or anything else kept on disk."""
    path = write(tmp_path / "image.tar", image_of(layer({"srv/a": f"{VALUE}\n"})).docker_archive())
    home = tmp_path / "home"
    homes = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "XDG_STATE_HOME": str(home / "state"),
             "GIVEN": VALUE}  # fmt: skip

    first = json.loads(leakscan(path, "--secret", "id=given,env=GIVEN", "--format", "json", env=homes).stdout)
    names = {found.name for found in home.rglob("*.hsdb")}
    second = json.loads(leakscan(path, "--format", "json", env=homes).stdout)

    kept = b"".join(found.read_bytes() for found in home.rglob("*") if found.is_file())
    telling = [VALUE[at : at + 6].encode() for at in range(0, len(VALUE) - 6, 3)]
    assert [part for part in telling if part in kept] == []
    assert base64.b64encode(VALUE.encode())[:10] not in kept
    assert names == {found.name for found in home.rglob("*.hsdb")}
    assert first["tool"]["rules_digest"] == second["tool"]["rules_digest"]
