"""Images that real tools made open with the right platforms, layers, digests and build steps.

They are not part of the project: LEAKSCAN_SHARED names the folder that holds samples/samples.tar.xz. What is expected
of an image is derived from the Dockerfile it was built from, which lies beside the images.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from scanner.errors import ImageUnavailable
from scanner.image.instruction import parse_created_by
from scanner.image.model import Image, OpenedImage
from scanner.image.source import open_image
from scanner.limits import Limits

SHARED = os.environ.get("LEAKSCAN_SHARED", "")
pytestmark = pytest.mark.skipif(not SHARED, reason="LEAKSCAN_SHARED names no folder of samples")

_LAYERED = {"ADD", "COPY", "RUN", "WORKDIR"}


def images(samples: Path) -> Iterator[Path]:
    """Every sample that is an image."""
    for folder in ("engine20", "engine28-graph", "engine28-containerd", "oci", "buildah"):
        yield from sorted((samples / folder).iterdir())
    yield samples / "schema1-dir"


def plain(data: bytes) -> bytes:
    """A layer's plain bytes, by the standard library and zstandard."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            return reader.read()
    return data


def case_of(path: Path) -> str:
    """The letter of the Dockerfile that an engine's sample was built from."""
    name = path.name.removesuffix(".tar").removeprefix("save20-").removeprefix("save28ctd-")
    return name.partition("-")[0]


def steps(samples: Path, case: str) -> list[str]:
    """The instructions of the last stage of a Dockerfile, keywords only, continuation lines and heredocs left out."""
    found: list[str] = []
    until, continued = "", False
    for line in (samples / "dockerfiles" / f"Dockerfile.{case}").read_text().splitlines():
        if until:
            until = "" if line.strip() == until else until
            continue
        if not continued and line.strip() and not line.startswith("#"):
            keyword = line.split()[0].upper()
            found = [] if keyword == "FROM" else [*found, keyword]
            if "<<" in line:
                until = line.split("<<")[1].split()[0].strip("-'\"")
        continued = line.rstrip().endswith("\\")
    return found


def open_one(path: Path) -> tuple[OpenedImage, Image]:
    """The opened sample and its only image."""
    opened = open_image(str(path), limits=Limits())
    [image] = opened.images
    return opened, image


def test_every_sample_opens_without_a_gap(samples: Path) -> None:
    """One image of linux/amd64 each; nothing missing but what is encrypted, and every diff_id as the config has it."""
    count = 0
    for path in images(samples):
        opened, image = open_one(path)
        assert str(image.platform) == "linux/amd64", path
        assert [gap.reason for gap in (*opened.gaps, *image.gaps)] == [], path
        assert image.layers, path
        for layer in image.layers:
            assert layer.blob is not None, path
            encrypted = layer.media_type.endswith("+encrypted")
            assert layer.absent == ("layer.encrypted" if encrypted else ""), path
            assert layer.size == layer.blob.size, path
            data = layer.blob.read()
            if layer.digest:
                assert layer.digest == f"sha256:{hashlib.sha256(data).hexdigest()}", path
            if layer.diff_id and not encrypted:
                assert layer.diff_id == f"sha256:{hashlib.sha256(plain(data)).hexdigest()}", path
        opened.close()
        count += 1
    assert count > 50


def test_build_steps_of_engine_samples_are_those_of_their_dockerfiles(samples: Path) -> None:
    """The steps of the layers are, in order, those instructions of the Dockerfile that make layers."""
    for path in (path for folder in ("engine20", "engine28-graph") for path in sorted((samples / folder).iterdir())):
        opened, image = open_one(path)
        kinds = [parse_created_by(layer.instruction.created_by).kind for layer in image.layers if layer.instruction]
        assert len(kinds) == len(image.layers), path
        assert all(layer.instruction and layer.instruction.range is None for layer in image.layers), path
        expected = [keyword for keyword in steps(samples, case_of(path)) if keyword in _LAYERED]
        if "-cl" in path.name:  # the classic builder makes no layer for a RUN that changes nothing
            assert all(kind in _LAYERED for kind in kinds[1:]), path
            assert len(kinds) <= len(expected) + 2, path
        else:
            assert kinds[-len(expected) :] == expected, path
        opened.close()


def test_containerd_samples_show_their_attestations(samples: Path) -> None:
    """Attestations are documents, never images; the statements are among them."""
    for path in sorted((samples / "engine28-containerd").iterdir()):
        opened, _ = open_one(path)
        found = [document.blob.read() for document in opened.documents if document.surface == "attestation"]
        attested = "inline" not in path.name
        assert bool(found) == attested, path
        if attested:
            assert any(b"slsa.dev/provenance" in each for each in found), path
        opened.close()


def test_buildah_in_one_layer_maps_to_a_range(samples: Path) -> None:
    """Without --layers all of the build is one layer, whose step is known as a range; with it each step is."""
    expected = {
        "buildah-e.tar": [(0, None), (1, None), (2, None), (17, (3, 17))],
        "buildah-e-dockerarchive.tar": [(0, None), (1, None), (2, None), (17, (3, 17))],
        "buildah-e--squash.tar": [(14, (0, 14))],
        "buildah-e--layers.tar": [(0, None), (1, None), (2, None), (6, None), (7, None)],
        "buildah-c.tar": [(0, None), (1, None), (2, None), (3, None)],
    }
    for name, steps_of in expected.items():
        opened, image = open_one(samples / "buildah" / name)
        found = [layer.instruction for layer in image.layers]
        assert [each and (each.history_index, each.range) for each in found] == steps_of, name
        opened.close()


def test_schema_1_sample(samples: Path) -> None:
    """Throwaway entries are no layers; the others have the step that their entry names, and no diff_id."""
    opened, image = open_one(samples / "schema1-dir")
    document = json.loads((samples / "schema1-dir" / "manifest.json").read_text())
    entries = [json.loads(each["v1Compatibility"]) for each in document["history"]][::-1]
    blobs = [each["blobSum"] for each in document["fsLayers"]][::-1]
    kept = [index for index, entry in enumerate(entries) if not entry.get("throwaway")]
    assert [layer.digest for layer in image.layers] == [blobs[index] for index in kept]
    assert [layer.instruction and layer.instruction.history_index for layer in image.layers] == kept
    assert (image.config_digest, opened.source) == (None, "dir")
    opened.close()


def test_cache_exports_are_refused(samples: Path) -> None:
    """A BuildKit cache is no image, and the message says so."""
    for name in ("cache-min", "cache-max"):
        with pytest.raises(ImageUnavailable, match="cache export"):
            open_image(str(samples / name), limits=Limits())
