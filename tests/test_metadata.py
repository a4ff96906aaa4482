"""What buildx writes of a build: names the image, and tells an image of another build from it."""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from scanner.errors import InvalidReference, UnusableFile
from scanner.image.metadata import read_metadata
from scanner.limits import Limits
from testimages.values import github_token
from tests.builders import BuiltImage, image_index, image_of, layer, layout_members, sha256, tar_of, write
from tests.conftest import Leakscan

SHARED = os.environ.get("LEAKSCAN_SHARED", "")
#: a docker client whose builder exports type=oci, such as `docker` after `docker buildx create --use`
BUILDX = os.environ.get("LEAKSCAN_BUILDX", "")


def metadata(folder: Path, **fields: object) -> Path:
    """A metadata file; `containerimage_digest` stands for the key with dots."""
    document = {key.replace("_", "."): value for key, value in fields.items()}
    return write(folder / "build.json", json.dumps(document).encode())


def built(image: BuiltImage, folder: Path) -> Path:
    """The metadata of a build of *image*."""
    return metadata(
        folder, image_name="hub.example/team/shop:1,hub.example/team/shop:latest",
        containerimage_digest=sha256(image.manifest()), containerimage_config_digest=image.config_digest,
    )  # fmt: skip


IMAGE = image_of(layer({"etc/x": "y"}))


@pytest.mark.parametrize("form", ["oci", "docker"])
def test_the_image_built_is_reported_under_its_name(leakscan: Leakscan, tmp_path: Path, form: str) -> None:
    """An archive has a file's name only; the report and its category have that of the image."""
    archive = IMAGE.oci_archive() if form == "oci" else IMAGE.docker_archive()
    path = write(tmp_path / "image.tar", archive)

    done = leakscan("--metadata-file", built(IMAGE, tmp_path), "--format", "json", path)

    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (report["verdict"], report["image"]["reference"]) == ("clean", "hub.example/team/shop:1")


def test_an_image_of_another_build_is_refused(leakscan: Leakscan, tmp_path: Path) -> None:
    """A clean old image must not stand for the one just built."""
    path = write(tmp_path / "old.tar", image_of(layer({"etc/x": "older"})).oci_archive())

    done = leakscan("--metadata-file", built(IMAGE, tmp_path), path)

    assert done.returncode == 3
    assert "is not the image that" in done.stderr and sha256(IMAGE.manifest()) in done.stderr


def test_an_index_is_known_by_its_digest(leakscan: Leakscan, tmp_path: Path) -> None:
    """A build for several platforms tells the digest of its index."""
    other = image_of(layer({"etc/x": "z"}), platform="linux/arm64")
    inner = image_index(IMAGE, other)
    top = {"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": sha256(inner), "size": len(inner)}
    ]}  # fmt: skip
    members = layout_members(IMAGE, other, index=json.dumps(top).encode(), blobs=[inner])
    path = write(tmp_path / "image.tar", tar_of(*members))

    done = leakscan("--metadata-file", metadata(tmp_path, containerimage_digest=sha256(inner)), path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_without_digests_the_report_says_that_nothing_was_compared(leakscan: Leakscan, tmp_path: Path) -> None:
    """A build that exported nothing tells no digest."""
    path = write(tmp_path / "image.tar", IMAGE.oci_archive())

    done = leakscan("--metadata-file", metadata(tmp_path, image_name="shop:1"), "--format", "json", path)

    report = json.loads(done.stdout)
    assert report["image"]["reference"] == "shop:1"
    assert any("could not be checked" in note for note in report["notes"])


def test_the_file_alone_names_what_to_scan(tmp_path: Path) -> None:
    """The first name; without one the id of the config, which an engine knows; else nothing."""
    limits = Limits()

    assert read_metadata(built(IMAGE, tmp_path), limits).reference == "hub.example/team/shop:1"
    nameless = metadata(tmp_path, containerimage_digest=sha256(b"m"), containerimage_config_digest=sha256(b"c"))
    assert read_metadata(nameless, limits).reference == sha256(b"c")
    with pytest.raises(InvalidReference, match="names no image"):
        _ = read_metadata(metadata(tmp_path, image_name=""), limits).reference


def test_bake_s_file_with_one_image(tmp_path: Path) -> None:
    """Bake writes an object for each target, and one about the build."""
    targets = {"app": {"image.name": "shop:1"}, "buildx.build.warnings": {}, "lint": {"buildx.build.ref": "a/b/c"}}
    path = write(tmp_path / "bake.json", json.dumps(targets).encode())

    assert read_metadata(path, Limits()).names == ("shop:1",)

    targets["worker"] = {"image.name": "worker:1"}
    write(path, json.dumps(targets).encode())
    with pytest.raises(UnusableFile, match=r"several images \(app, worker\)"):
        read_metadata(path, Limits())


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"image.name": 1}', b'{"containerimage.digest": "sha256:1"}', b'{"a": {"b": 1}}', b"\xff{"],
)
def test_another_file_is_refused(leakscan: Leakscan, tmp_path: Path, content: bytes) -> None:
    """One message that names the file: wrong usage, as of every file that is given."""
    path = write(tmp_path / "other.json", content)

    done = leakscan("--metadata-file", path, "--format", "json", tmp_path / "image.tar")

    assert (done.returncode, done.stdout) == (2, "")
    assert "other.json" in done.stderr and "Traceback" not in done.stderr


def test_no_image_and_no_file_is_wrong_usage(leakscan: Leakscan) -> None:
    """click's own code, and the word that is missing."""
    done = leakscan("scan", "--quiet")

    assert done.returncode == 2 and "IMAGE" in done.stderr


@pytest.mark.skipif(not SHARED, reason="LEAKSCAN_SHARED names no folder of samples")
@pytest.mark.parametrize("name", ["oci-max.tar", "oci-zstd.tar", "docker-exporter.tar"])
def test_a_stream_of_buildx(tmp_path: Path, name: str) -> None:
    """What `docker buildx build --output type=oci,dest=-` writes is read from a pipe: the bytes that buildx wrote, in
    pieces as a pipe gives them, with the metadata of that build."""
    with tarfile.open(Path(SHARED) / "samples" / "samples.tar.xz") as samples:
        member = samples.extractfile(f"./oci/{name}")
        assert member is not None
        path = write(tmp_path / name, member.read())
    with tarfile.open(path) as archive:
        index = archive.extractfile("index.json")
        digest = json.load(index)["manifests"][0]["digest"] if index else ""
    told = metadata(tmp_path, image_name="shop:1", containerimage_digest=digest)

    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as builder:
        done = subprocess.run(
            [sys.executable, "-m", "scanner", "--metadata-file", told, "--format", "json", "-"],
            stdin=builder.stdout, capture_output=True, timeout=120, check=False,
        )  # fmt: skip

    report = json.loads(done.stdout)
    images = report.get("images") or [report["image"]]
    assert done.returncode in (0, 1), done.stderr
    assert {image["reference"] for image in images} == {"shop:1"}
    assert report["coverage"]["complete"]


if BUILDX:

    def test_a_build_in_a_pipe() -> None:
        """`docker buildx build --output type=oci,dest=- - | leakscan -`, with a real builder (LEAKSCAN_BUILDX)."""
        key = github_token(random.Random("pipe"))
        context = tar_of({"Dockerfile": "FROM scratch\nCOPY env /app/.env\n", "env": f"TOKEN={key}\n"})
        words = [*shlex.split(BUILDX), "buildx", "build", "--quiet", "--output", "type=oci,dest=-", "-"]

        with tempfile.TemporaryFile() as stdin:
            stdin.write(context)
            stdin.seek(0)
            builder = subprocess.Popen(words, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with builder:
            done = subprocess.run(
                [sys.executable, "-m", "scanner", "--format", "json", "-"],
                stdin=builder.stdout, capture_output=True, timeout=300, check=False,
            )  # fmt: skip

        assert builder.returncode == 0
        report = json.loads(done.stdout)
        assert [finding["path"] for finding in report["findings"] if finding["gated"]] == ["app/.env"]
        assert report["coverage"]["complete"] and key.encode() not in done.stdout + done.stderr
