"""What a user sees of an image in an engine: the leak with its step, and one clear message for whatever goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testimages.build import Built
from testimages.cases import load_case
from tests.engine import Docker, Registry

Done = subprocess.CompletedProcess[str]
Leakscan = Callable[..., Done]
Builder = Callable[[str, str], Built]

NOBODY = 65534


def told_once(done: Done, *words: str) -> None:
    """The scan could not be done, and stderr says so in a line or two that hold *words*."""
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "fault of leakscan" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert 1 <= len(lines) <= 3, done.stderr
    for word in words:
        assert word in done.stderr


def says_incomplete(done: Done) -> None:
    """A JSON document came all the same: incomplete, nothing found, the reason among the gaps."""
    report = json.loads(done.stdout)
    assert (report["verdict"], report["findings"]) == ("incomplete", [])
    assert report["coverage"]["gaps"]


def test_an_image_of_the_engine(engine: Docker, built: Builder, leakscan: Leakscan) -> None:
    """An image that the engine has is scanned by its name; the report names the step and hides the value."""
    reference = built("pipenv-inline", "buildkit").reference

    done = leakscan(reference, env={"DOCKER_HOST": engine.host})

    assert done.returncode == 1, done.stderr
    assert "PIPENV_PYPI_MIRROR=" in done.stdout
    assert load_case("pipenv-inline").values["password"] not in done.stdout + done.stderr


def test_a_name_that_the_engine_pulls_first(
    engine: Docker, real_registry: Registry, built: Builder, leakscan: Leakscan
) -> None:
    """An image that only a registry has is pulled with the user's credentials and scanned."""
    name = pushed(engine, real_registry, built("copy-then-rm", "buildkit"))
    with pytest.raises(Exception, match="No such image"):
        engine.run("image", "inspect", name)

    environment = {"DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(real_registry.config_folder)}
    done = leakscan(name, env=environment)

    assert done.returncode == 1, done.stderr
    assert "app/.env" in done.stdout
    assert "rm /app/.env" in done.stdout
    assert real_registry.password not in done.stdout + done.stderr


def test_a_name_that_needs_credentials(
    engine: Docker, real_registry: Registry, built: Builder, leakscan: Leakscan, tmp_path: Path
) -> None:
    """Without credentials the registry's refusal is told, with the name."""
    name = pushed(engine, real_registry, built("copy-then-rm", "buildkit"))

    done = leakscan("--format", "json", name, env={"DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(tmp_path)})

    told_once(done, name)
    says_incomplete(done)


@pytest.mark.parametrize("case", ["copy-then-rm", "pipenv-inline"])
def test_one_image_from_three_sources(
    engine: Docker, real_registry: Registry, built: Builder, leakscan: Leakscan, tmp_path: Path, case: str
) -> None:
    """From engine, registry and archive the findings are the same in all but the command that shows them, and the
    proofs of each report hold against the other two sources."""
    name, archive = f"{real_registry.address}/team/three:1", tmp_path / "image.tar"
    engine.run("tag", built(case, "buildkit").reference, name)
    engine.run("--config", str(real_registry.config_folder), "push", name)
    engine.run("save", "--output", str(archive), name)
    environment = {"DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(real_registry.config_folder)}
    sources = {"docker": f"docker:{name}", "registry": f"registry:{name}", "docker-archive": str(archive)}

    documents = {}
    for kind, source in sources.items():
        done = leakscan("--format", f"json={tmp_path}/{kind}.json", source, env=environment)
        assert done.returncode == 1, done.stderr
        documents[kind] = json.loads((tmp_path / f"{kind}.json").read_text())
    engine.run("rmi", name)

    told = [essence(document) for document in documents.values()]
    assert told[0] and told[0] == told[1] == told[2]
    assert [document["image"]["source"] for document in documents.values()] == list(sources)
    for kind in sources:
        for other in ("registry", "docker-archive"):
            done = leakscan("verify", tmp_path / f"{kind}.json", sources[other], env=environment)
            assert done.returncode == 0, f"{kind} against {other}: {done.stdout}{done.stderr}"


def essence(document: dict[str, Any]) -> list[Any]:
    """What the findings of a report say but for the source: where its blobs are called otherwise, and its commands."""
    found = []
    for finding in document["findings"]:
        proof = {key: value for key, value in finding["proof"].items() if key not in ("command", "blob", "member")}
        kept = {key: value for key, value in finding.items() if key not in ("proof", "remediation", "layer")}
        layer = finding["layer"] and (finding["layer"]["index"], finding["layer"]["diff_id"])
        found.append({**kept, "proof": proof, "layer": layer})
    return found


def pushed(engine: Docker, registry: Registry, image: Built) -> str:
    """A name in the registry that the engine does not know."""
    name = f"{registry.address}/team/app:1"
    engine.run("tag", image.reference, name)
    engine.run("--config", str(registry.config_folder), "push", name)
    engine.run("rmi", name)
    return name


def test_an_unknown_image(engine: Docker, real_registry: Registry, leakscan: Leakscan) -> None:
    """A name that neither the engine nor its registry has."""
    name = f"{real_registry.address}/team/none:1"
    environment = {"DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(real_registry.config_folder)}

    done = leakscan("--format", "json", name, env=environment)

    told_once(done, name)
    says_incomplete(done)


def test_an_engine_that_does_not_run(leakscan: Leakscan, tmp_path: Path) -> None:
    """A DOCKER_HOST where nobody listens is named, with what to try."""
    host = f"unix://{tmp_path}/docker.sock"

    done = leakscan("--format", "json", "docker:app:1", env={"DOCKER_HOST": host})

    told_once(done, f"{tmp_path}/docker.sock")
    says_incomplete(done)


@pytest.fixture
def closed_socket(tmp_path: Path) -> Iterator[Path]:
    """A socket with a listener that belongs to somebody else and may be used by nobody but its owner."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o600 if os.geteuid() == 0 else 0)
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
        yield path


def unprivileged() -> tuple[str, ...]:
    """A prefix that takes root's right to pass over file permissions; it keeps what else a user needs to start."""
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if not setpriv:
        pytest.skip("setpriv is not installed (Debian: apt-get install util-linux)")
    return (setpriv, "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search")


def test_no_permission_on_the_socket(leakscan: Leakscan, closed_socket: Path) -> None:
    """A socket that the user may not open is told apart from an engine that does not run."""
    host = f"unix://{closed_socket}"

    done = leakscan("--format", "json", "docker:app:1", env={"DOCKER_HOST": host}, prefix=unprivileged())

    told_once(done, str(closed_socket), "ermission")
    says_incomplete(done)
