"""leakscan's own image: small, clean, and it runs as nobody on a file system that it cannot write."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from testimages.own_image import build_own_image
from testimages.values import github_token
from tests.builders import image_of, layer, write
from tests.conftest import Leakscan
from tests.engine import Docker, Unavailable

KEY = github_token(random.Random("own image"))
STRICT = ("run", "--rm", "--read-only", "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


@pytest.fixture(scope="module")
def own(engine: Docker) -> str:
    """The image, built from this tree."""
    try:
        return build_own_image(engine)
    except Unavailable as error:
        pytest.skip(str(error))


def run(engine: Docker, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run the docker client; a scan that finds something ends with 1."""
    return subprocess.run([engine.program, *words], env=engine.environment(), capture_output=True, timeout=300)


def test_it_scans_an_archive_that_is_mounted(engine: Docker, own: str, tmp_path: Path) -> None:
    """Read-only, without network, capabilities or root, compressed archives too."""
    image = image_of(layer({"app/.env": f"TOKEN={KEY}\n"}, compression="gz"))
    path = write(tmp_path / "image.tar", image.oci_archive())
    path.chmod(0o644)

    done = run(engine, *STRICT, "--volume", f"{path}:/image.tar:ro", own, "--format", "json", "/image.tar")

    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["verdict"] == "leaked"
    assert KEY.encode() not in done.stdout + done.stderr


def test_it_scans_what_is_piped_in(engine: Docker, own: str) -> None:
    """`docker save IMAGE | docker run -i leakscan -`."""
    archive = image_of(layer({"etc/x": "y"})).docker_archive()
    done = subprocess.run(
        [engine.program, *STRICT, "--interactive", own, "-"],
        env=engine.environment(), input=archive, capture_output=True, timeout=300, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


def test_it_scans_an_image_of_the_engine_whose_socket_is_mounted(engine: Docker, own: str) -> None:
    """Nobody needs to be root: the socket's group is enough."""
    socket = Path(engine.host.removeprefix("unix://"))
    group = str(socket.stat().st_gid)

    done = run(
        engine, *STRICT, "--group-add", group, "--volume", f"{socket}:/var/run/docker.sock",
        own, "--format", "json", f"docker:{own}",
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert json.loads(done.stdout)["image"]["source"] == "docker"


def test_it_is_clean(engine: Docker, own: str, leakscan: Leakscan) -> None:
    """Scanned by itself: no leak, every byte read."""
    done = leakscan("--format", "json", own, env={"DOCKER_HOST": engine.host})

    report = json.loads(done.stdout)
    assert [finding for finding in report["findings"] if finding["gated"]] == []
    assert (done.returncode, report["verdict"]) == (0, "clean"), report["coverage"]["gaps"]


def test_it_is_small_and_nobody_s(engine: Docker, own: str) -> None:
    """Below 150 MB, no shell, no user with rights."""
    [image] = json.loads(engine.run("image", "inspect", own))

    assert image["Size"] < 150_000_000
    assert image["Config"]["User"] == "65532:65532"
    assert run(engine, "run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", own, "-c", "true").returncode != 0
