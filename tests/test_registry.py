"""Images straight from real registries: with passwords, tokens, TLS, made by real tools, equal to the archive's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testimages.values import value_of
from tests.builders import (
    OCI_INDEX,
    OCI_MANIFEST,
    BuiltImage,
    descriptor_of,
    dumps,
    image_index,
    image_of,
    layer,
    layout_members,
    sha256,
    tar_of,
    whiteout,
    write,
)  # fmt: skip
from tests.engine import Unavailable
from tests.registries import (
    MemoryRegistry,
    RealRegistry,
    digest_tag,
    docker_config,
    docker_registry,
    memory_registry,
    unused_address,
)  # fmt: skip
from tests.starting import or_skip

Leakscan = Callable[..., "subprocess.CompletedProcess[str]"]
TOKEN = value_of("registry", "token", "github-token")
PASSWORD = value_of("registry", "password", "password")


def leaky(tag: str = "1", platform: str = "linux/amd64", extra: str = "") -> BuiltImage:
    """An image that leaks a token in a file that is deleted later."""
    return image_of(
        layer({"etc/os-release": f"NAME=test{extra}\n"}, created_by="COPY base / # buildkit"),
        layer({"app/.env": f"GITHUB_TOKEN={TOKEN}\n"}, created_by="COPY . /app # buildkit", compression="gz"),
        layer(whiteout("app/.env"), created_by="RUN rm /app/.env # buildkit", compression="zst"),
        tag=f"example:{tag}",
        platform=platform,
    )


@pytest.fixture(scope="module", params=["htpasswd", "token", "token by TLS"])
def real(request: pytest.FixtureRequest) -> Iterator[RealRegistry]:
    """docker-registry in three dresses. Skips with the reason where it cannot be started."""
    kind = request.param
    dressed = docker_registry(user="reader", password=PASSWORD, token="token" in kind, tls="TLS" in kind)
    with or_skip(dressed) as started:
        yield started


@pytest.fixture
def memory() -> Iterator[MemoryRegistry]:
    """A registry in memory."""
    with memory_registry() as registry:
        yield registry


def report(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON document of a scan that showed neither a value nor a fault of its own."""
    assert "fault of leakscan" not in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return json.loads(done.stdout)


def essence(document: Any) -> list[Any]:
    """Findings but for what names the source: the command that shows them, and where blobs of documents lie."""
    found = []
    for finding in document["findings"]:
        kept = {key: value for key, value in finding.items() if key not in ("proof", "remediation")}
        proof = {key: value for key, value in finding["proof"].items() if key != "command"}
        found.append({**kept, "proof": proof})
    return found


def test_an_image_is_the_same_from_registry_and_layout(
    real: RealRegistry, leakscan: Leakscan, tmp_path: Path
) -> None:
    """Several platforms, compressed layers, a deleted file: findings, states, proofs and coverage are equal."""
    images = leaky(platform="linux/amd64"), leaky(platform="linux/arm64", extra=" arm")
    archive = _layout(tmp_path / "image.tar", *images)
    name = real.push(f"oci-archive:{archive}", "team/app:1")

    remote = report(leakscan("--format", "json", name, env=real.environment))
    local = report(leakscan("--format", "json", archive))

    assert remote["verdict"] == "leaked" and essence(remote)
    assert essence(remote) == essence(local)
    assert remote["coverage"]["gaps"] == []
    assert {finding["state"] for finding in remote["findings"]} == {"deleted"}
    assert [image["source"] for image in remote["images"]] == ["registry", "registry"]


def _layout(path: Path, *images: BuiltImage) -> Path:
    """An archive of a layout with one index of all the images, as buildx writes it."""
    inner = image_index(*images)
    top = dumps({"schemaVersion": 2, "manifests": [descriptor_of(inner, OCI_INDEX)]})
    return write(path, tar_of(*layout_members(*images, index=top, blobs=[inner])))


def test_one_platform_of_several(real: RealRegistry, leakscan: Leakscan, tmp_path: Path) -> None:
    """--platform chooses; the other platform's layers are not downloaded and not reported."""
    images = leaky(platform="linux/amd64"), leaky(platform="linux/arm64", extra=" arm")
    name = real.push(f"oci-archive:{_layout(tmp_path / 'image.tar', *images)}", "team/two:1")

    document = report(leakscan("--platform", "linux/arm64", "--format", "json", name, env=real.environment))

    assert document["image"]["platform"] == "linux/arm64"
    assert document["verdict"] == "leaked"


def test_without_credentials(real: RealRegistry, leakscan: Leakscan, tmp_path: Path) -> None:
    """The registry's refusal is told in words, exit code 3, and the document says incomplete."""
    environment = {**real.environment, "DOCKER_CONFIG": str(docker_config(tmp_path / "none", "", "", ""))}

    done = leakscan("--format", "json", f"registry:{real.address}/team/app:1", env=environment)

    assert done.returncode == 3
    assert "docker login" in done.stderr
    assert report(done)["verdict"] == "incomplete"


def test_an_image_that_is_not_there(real: RealRegistry, leakscan: Leakscan) -> None:
    """A missing tag is told apart from a missing permission."""
    done = leakscan("--format", "json", f"docker://{real.address}/team/none:1", env=real.environment)

    assert done.returncode == 3
    assert "has no such image" in done.stderr


def test_a_name_that_no_engine_has(memory: MemoryRegistry, leakscan: Leakscan, tmp_path: Path) -> None:
    """A bare name without an engine is read from its registry; if that fails too, both reasons are told."""
    name = memory.put("team/app", "1", leaky()).removeprefix("registry:")
    environment = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "LEAKSCAN_REGISTRY_HTTP": memory.address}

    found = leakscan("--format", "json", name, env=environment)
    lost = leakscan(f"{unused_address()}/team/app:1", env=environment)

    assert report(found)["image"]["source"] == "registry"
    assert lost.returncode == 3
    assert "cannot be reached" in lost.stderr and "no engine listens" in lost.stderr


def test_what_refers_to_an_image_is_searched(memory: MemoryRegistry, leakscan: Leakscan) -> None:
    """Referrers by API, by fallback tag and by cosign's tag are surfaces of the image."""
    clean = image_of(layer({"a": "b"}), tag="example:2")
    memory.put("team/app", "1", clean)
    subject = clean.manifest()
    secrets = {kind: value_of("registry", kind, "github-token") for kind in ("api", "fallback", "cosign")}
    for kind, secret in secrets.items():
        raw = _attestation(memory, secret)
        entry = descriptor_of(raw, OCI_MANIFEST)
        index = dumps({"schemaVersion": 2, "mediaType": OCI_INDEX,
                       "manifests": [entry]})  # fmt: skip
        memory.manifests["team/app", sha256(raw)] = raw, entry["mediaType"]
        if kind == "api":
            memory.referrers[sha256(subject)] = index
        elif kind == "cosign":
            memory.manifests["team/app", f"{digest_tag(subject)}.att"] = raw, entry["mediaType"]
        else:
            memory.put("team/other", "1", image_of(layer({"c": "d"})))
            other = image_of(layer({"c": "d"})).manifest()
            memory.manifests["team/other", digest_tag(other)] = index, OCI_INDEX
            memory.manifests["team/other", sha256(raw)] = raw, entry["mediaType"]
    environment = {"LEAKSCAN_REGISTRY_HTTP": memory.address}

    app = leakscan("--format", "json", f"registry:{memory.address}/team/app:1", env=environment)
    other = leakscan("--format", "json", f"registry:{memory.address}/team/other:1", env=environment)

    assert all(secret not in app.stdout + other.stdout for secret in secrets.values())
    for done, least in ((app, 2), (other, 1)):
        document = json.loads(done.stdout)
        assert document["verdict"] == "leaked"
        found = [finding for finding in document["findings"] if finding["surface"] == "attestation"]
        assert len({finding["secret"]["fingerprint"] for finding in found}) == least


def _attestation(memory: MemoryRegistry, secret: str) -> bytes:
    """The manifest of a statement that holds *secret*; its blobs are put into the registry."""
    statement = dumps({"_type": "https://in-toto.io/Statement/v0.1", "predicate": {"GITHUB_TOKEN": secret}})
    memory.blobs |= {sha256(statement): statement, sha256(b"{}"): b"{}"}
    return dumps({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor_of(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [descriptor_of(statement, "application/vnd.in-toto+json")],
    })  # fmt: skip


SHARED = os.environ.get("LEAKSCAN_SHARED", "")
SAMPLES = {
    "docker-archive": "engine20/save20-a-bk.tar",
    "oci-archive": "engine28-containerd/save28ctd-ip-max.tar",
    "oci-archive zstd:chunked": "buildah/buildah-zstdchunked.tar",
    "oci attested": "oci/oci-v1prov",
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images that real tools made, unpacked."""
    archive = Path(SHARED) / "samples" / "samples.tar.xz"
    if not SHARED or not archive.exists():
        pytest.skip("LEAKSCAN_SHARED names no folder with images of real tools")
    folder = tmp_path_factory.mktemp("samples")
    wanted = [f"*{name}*" for name in SAMPLES.values()]
    subprocess.run(["tar", "-xJf", archive, "-C", folder, "--wildcards", *wanted], check=True)
    return folder


@pytest.mark.parametrize("kind", SAMPLES)
def test_images_of_real_tools(leakscan: Leakscan, samples: Path, kind: str) -> None:
    """What skopeo pushed is scanned as its archive is: as many findings on each surface, nothing missing."""
    path = samples / SAMPLES[kind]
    try:
        with docker_registry() as registry:
            name = registry.push(f"{kind.split()[0]}:{path}", f"samples/{path.stem.lower()}:1")
            remote = report(leakscan("--format", "json", name, env=registry.environment))
    except Unavailable as error:
        pytest.skip(str(error))
    local = report(leakscan("--format", "json", path))

    assert remote["coverage"]["gaps"] == []
    assert _places(remote) == _places(local)


def _places(document: Any) -> list[Any]:
    """Which secret lies on which surface, and its state there."""
    return sorted({(finding["secret"]["fingerprint"], finding["surface"], finding["state"],
                    finding["path"] if finding["surface"] == "layer" else "")
                   for finding in document["findings"] if finding["surface"] != "metadata"})  # fmt: skip
