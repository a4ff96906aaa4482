"""From a push to a refusal: a real registry, the program on a socket, the API server's and Harbor's requests."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.admitting import leaking, token
from tests.builders import image_of, layer, write
from tests.engine import Unavailable
from tests.harbor_client import HarborClient, blocked
from tests.registries import docker_registry
from tests.serving import awaited, program, tokens_file
from tests.test_kubernetes import pod, review

USER = "reader"


def judged(client: httpx.Client, image: str, **fields: Any) -> dict[str, Any]:
    """The response to a pod that runs an image."""
    answer = client.post("/kubernetes/validate", json=review(pod(image), **fields))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["response"]
    return found


def known(client: httpx.Client, image: str) -> dict[str, Any]:
    """The same as soon as the image is known: a controller tries again until then."""
    awaited(lambda: "not scanned yet" not in str(judged(client, image, dryRun=True)))
    return judged(client, image)


def test_a_pushed_image_is_judged_without_a_hand(tmp_path: Path) -> None:
    """The first pod is refused and has its image scanned; from then on the leaking one is refused by name, the clean
    one runs, and Harbor blocks the first by the same verdict. The registry wants a password all the time."""
    password = token("registry")
    images = {"leaky": leaking("program"), "clean": image_of(layer({"etc/os-release": "NAME=x\n"}))}
    try:
        with docker_registry(user=USER, password=password) as registry:
            names = {}
            for name, image in images.items():
                archive = write(tmp_path / f"{name}.tar", image.oci_archive())
                registry.push(f"oci-archive:{archive}", f"team/{name}:1")
                names[name] = f"{registry.address}/team/{name}:1"
            tokens = tokens_file(tmp_path / "tokens.toml", cluster=["admission"], harbor=["harbor"])
            options = ("--registry", registry.address, "--tokens", str(tmp_path / "tokens.toml"))
            with (
                program(tmp_path, *options, env=registry.environment) as running,
                running.client(tokens["cluster"]) as client,
            ):
                for name in names.values():
                    first = judged(client, name)
                    assert not first["allowed"] and "its scan is on its way" in first["status"]["message"]

                leaks, passes = known(client, names["leaky"]), known(client, names["clean"])

                assert "leaks 1 credential: " in leaks["status"]["message"]
                assert passes["allowed"] and "warnings" not in passes
                digest = leaks["auditAnnotations"]["images"].split()[1]
                pinned = client.post("/kubernetes/pin", json=review(pod(names["clean"]))).json()["response"]
                assert b"@sha256:" in base64.b64decode(pinned["patch"])
                url, authorization = f"http://127.0.0.1:{running.port}", f"Bearer {tokens['harbor']}"
                harbor = HarborClient(url, authorization, sleep=lambda _: None)
                login = "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()
                report = harbor.report(harbor.submit(f"http://{registry.address}", login, "team/leaky", digest))
                assert blocked(report, "Critical") and report["vulnerabilities"][0]["package"] == "app/.env"
                assert running.end() == 0
            files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".tar"]
            written = b"".join(path.read_bytes() for path in files)
            assert token("program").encode() not in written and password.encode() not in written
    except Unavailable as error:
        pytest.skip(str(error))
