"""Images come out of a real engine, and an engine that cannot give them is told from one that is not there."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker
import pytest

from scanner.errors import ImageUnavailable
from scanner.image.arriving import here
from scanner.image.source import open_image
from scanner.limits import Limits
from tests.builders import BuiltImage, image_of, layer
from tests.engine import Docker

LIMITS = Limits()
BASE = layer({"etc/os-release": "NAME=test\n"}, created_by="COPY base / # buildkit")
TOP = layer({"app/.env": "A=1\n"}, created_by="RUN /bin/sh -c make # buildkit")


@pytest.fixture
def client(engine: Docker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the tests' engine, which DOCKER_HOST names."""
    if engine.host:
        monkeypatch.setenv("DOCKER_HOST", engine.host)
    found = docker.from_env(version="auto", timeout=60)
    yield found
    found.close()


def loaded(client: Any, image: BuiltImage) -> str:
    """Load an image into the engine; returns its name."""
    client.api.load_image(io.BytesIO(image.docker_archive()))
    return image.tag


def test_an_image_of_the_engine(client: Any) -> None:
    """By name, name without tag, prefix and id: the layers that were loaded come out again."""
    name = loaded(client, image_of(BASE, TOP, tag="leakscan-test-sources:latest"))
    try:
        identity = client.images.get(name).id
        for reference in (name, name.removesuffix(":latest"), f"docker:{name}", f"docker-daemon:{name}", identity):
            told: list[int] = []
            image = open_image(reference, limits=LIMITS, carry=here(told.append))
            [only] = image.images
            assert [each.blob and each.blob.read() for each in only.layers] == [BASE.plain, TOP.plain]
            assert image.source == "docker" and image.exported
            assert (*image.gaps, *only.gaps) == ()
            assert any("attestations" in note for note in image.notes)
            # nothing is received where the engine's storage can be read
            assert sum(told) in (0, image.files[0].size())
            image.close()
        with pytest.raises(ImageUnavailable):
            open_image(f"docker:{name}", limits=LIMITS, platform="plan9/mips")
    finally:
        client.images.remove(name, force=True)


@pytest.mark.usefixtures("client")
def test_an_image_that_neither_engine_nor_registry_has() -> None:
    """The message says what was tried and why it failed."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        name = f"127.0.0.1:{unused.getsockname()[1]}/nothing/here:1"
        with pytest.raises(ImageUnavailable) as caught:
            open_image(name, limits=LIMITS)
        assert "registry cannot be reached" in caught.value.what
        with pytest.raises(ImageUnavailable) as caught:
            open_image(f"docker:{name}", limits=LIMITS)
    assert "could not pull" in caught.value.what and "registry cannot be reached" in caught.value.what
    with pytest.raises(ImageUnavailable, match="has no image"):
        open_image("sha256:" + "0" * 64, limits=LIMITS)


def engine_error(monkeypatch: pytest.MonkeyPatch, host: str, reference: str = "docker:x") -> str:
    """The message of an engine that cannot be used."""
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(ImageUnavailable) as caught:
        open_image(reference, limits=LIMITS)
    assert caught.value.tip
    return caught.value.what


def test_engines_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No socket, nobody listening, a wrong scheme: each has its own message; passwords in hosts are not repeated."""
    assert "socket is not there" in engine_error(monkeypatch, f"unix://{tmp_path}/none.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
        assert "not running" in engine_error(monkeypatch, f"unix://{tmp_path}/dead.sock")
    assert "not running" in engine_error(monkeypatch, "tcp://127.0.0.1:1")
    message = engine_error(monkeypatch, "odd://user:planted@host")
    assert "no connection" in message and "planted" not in message
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    if not os.path.exists("/run/podman/podman.sock"):
        with pytest.raises(ImageUnavailable, match="Podman"):
            open_image("podman:x", limits=LIMITS)


def test_no_permission_on_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says so, and what to do."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = Path(folder) / "x.sock"
        server.bind(str(path))
        server.listen()
        path.chmod(0)
        user = os.geteuid()
        if user == 0:  # root may open every socket
            Path(folder).chmod(0o755)
            os.seteuid(65534)
        try:
            assert "no permission" in engine_error(monkeypatch, f"unix://{path}")
        finally:
            os.seteuid(user)
