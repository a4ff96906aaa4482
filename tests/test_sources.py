"""Every form of an image opens alike, and what cannot be read is said, never left out."""

from __future__ import annotations

import bz2
import gc
import gzip
import io
import json
import lzma
import os
import random
import re
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner.errors import ImageUnavailable, InvalidReference, LeakscanError, MalformedImage
from scanner.evidence import Gap, Instruction
from scanner.image.arriving import here
from scanner.image.model import Document, OpenedImage
from scanner.image.reference import parse_reference
from scanner.image.source import open_image
from scanner.limits import Limits
from tests.builders import (
    OCI_INDEX,
    OCI_MANIFEST,
    BuiltImage,
    Member,
    blob_path,
    descriptor_of,
    directory,
    dumps,
    file,
    hardlink,
    image_index,
    image_of,
    layer,
    layout_members,
    sha256,
    symlink,
    tar_of,
    write,
    write_all,
)

LIMITS = Limits()
BASE = layer({"etc/os-release": "NAME=test\n"}, created_by="COPY base / # buildkit")
TOP = layer({"app/.env": "A=1\n"}, created_by="RUN /bin/sh -c make # buildkit", compression="gz")
HISTORY: list[dict[str, Any]] = [
    {"created_by": BASE.created_by},
    {"created_by": "ENV A=1", "empty_layer": True},
    {"created_by": TOP.created_by},
]
IMAGE = image_of(BASE, TOP, history=HISTORY)


@pytest.fixture
def opened() -> Iterator[Callable[..., OpenedImage]]:
    """Opens images, and closes them after the test."""
    found: list[OpenedImage] = []

    def run(reference: str | Path, **options: Any) -> OpenedImage:
        image = open_image(str(reference), **{"limits": LIMITS, **options})
        found.append(image)
        return image

    yield run
    for image in found:
        image.close()


Open = Callable[..., OpenedImage]


def gaps(image: OpenedImage) -> list[Gap]:
    """All gaps of what was opened."""
    return [*image.gaps, *(gap for each in image.images for gap in each.gaps)]


def reasons(image: OpenedImage) -> list[str]:
    """The reason codes of all gaps."""
    return sorted(gap.reason for gap in gaps(image))


def documents(image: OpenedImage) -> list[Document]:
    """All documents of what was opened."""
    return [*image.documents, *(document for each in image.images for document in each.documents)]


def every_byte(image: OpenedImage) -> bytes:
    """What the scan will get to see, layers and documents."""
    layers = [each.blob.read() for one in image.images for each in one.layers if each.blob]
    return b"\n".join([*layers, *(document.blob.read() for document in documents(image))])


def stored(image: OpenedImage) -> list[bytes | None]:
    """The stored bytes of the layers of the only image."""
    [only] = image.images
    return [each.blob.read() if each.blob else None for each in only.layers]


def is_example(image: OpenedImage) -> None:
    """The image is IMAGE: its layers in order with diff_ids and build steps, and no gap."""
    [only] = image.images
    assert stored(image) == [BASE.stored, TOP.stored]
    assert [each.index for each in only.layers] == [0, 1]
    assert [each.diff_id for each in only.layers] == [BASE.diff_id, TOP.diff_id]
    assert [each.instruction and each.instruction.history_index for each in only.layers] == [0, 2]
    assert str(only.platform) == "linux/amd64"
    assert only.config_digest == IMAGE.config_digest
    assert gaps(image) == []


# -- forms -------------------------------------------------------------------------------------------------------------

ARCHIVES: dict[str, Callable[[BuiltImage], bytes]] = {
    "docker-archive": BuiltImage.docker_archive,
    "docker-25": BuiltImage.docker25_archive,
    "oci-archive": BuiltImage.oci_archive,
}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("form", ARCHIVES)
@pytest.mark.parametrize("packed", PACK)
def test_archives_open_whatever_they_are_called(opened: Open, tmp_path: Path, form: str, packed: str) -> None:
    """The form is told by what is in the file and the compression by its magic; names say nothing."""
    path = write(tmp_path / "image.zip", PACK[packed](ARCHIVES[form](IMAGE)))
    image = opened(path)
    is_example(image)
    assert image.source == ("oci-archive" if form == "oci-archive" else "docker-archive")


@pytest.mark.parametrize("form", ARCHIVES)
def test_archives_open_from_standard_input(opened: Open, form: str) -> None:
    """`-` reads an archive from a stream, and tells of the bytes as they come."""
    data = ARCHIVES[form](IMAGE)
    told: list[int] = []
    is_example(opened("-", stdin=io.BytesIO(data), carry=here(told.append)))
    assert sum(told) == len(data)


def test_archive_opens_from_a_pipe(opened: Open, tmp_path: Path) -> None:
    """A named pipe, as the shell makes of <(docker save x), is read like standard input."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(IMAGE.docker_archive(),))
    writer.start()
    is_example(opened(pipe))
    writer.join()


def test_directories_open(opened: Open, tmp_path: Path) -> None:
    """An OCI layout and skopeo's dir: form open by their content, and by their prefixes."""
    layout, flat = IMAGE.oci_dir(tmp_path / "layout"), IMAGE.skopeo_dir(tmp_path / "flat")
    for reference in (layout, f"oci-dir:{layout}", f"oci:{layout}", f"oci:{layout}:1"):
        is_example(opened(reference))
        assert opened(reference).source == "oci-dir"
    for reference in (flat, f"dir:{flat}"):
        is_example(opened(reference))
        assert opened(reference).source == "dir"


def test_prefixed_archives_open(opened: Open, tmp_path: Path) -> None:
    """docker-archive: and oci-archive: take a path, and a name after it."""
    docker = write(tmp_path / "a:b.tar", IMAGE.docker_archive())
    oci = write(tmp_path / "c.tar", IMAGE.oci_archive())
    for reference in (docker, f"docker-archive:{docker}", f"docker-archive:{docker}:example:1", f"oci-archive:{oci}:1"):
        is_example(opened(reference))


def test_tar_of_a_directory_opens(opened: Open, tmp_path: Path) -> None:
    """`tar -c .` writes names with ./ in front and directories of its own, in any order."""
    members = [replace(each, name=f"./{each.name}") for each in reversed(IMAGE.oci_members())]
    image = opened(write(tmp_path / "x.tar", tar_of(directory("./"), directory("./blobs"), *members)))
    is_example(image)
    assert image.images[0].layers[0].blob is not None
    assert image.images[0].layers[0].blob.member == "./" + blob_path(BASE.digest)


def test_equal_layers_as_links_share_their_bytes(opened: Open, tmp_path: Path) -> None:
    """`docker save` writes an equal layer as a symbolic link, buildah names layers by links; hard links work too."""
    image = image_of(BASE, BASE, BASE)
    members = image.docker_members()
    names = [each.name for each in members if each.name.endswith("layer.tar")]
    assert len(names) == 3
    kept = [each for each in members if each.name not in names[1:]]
    links = [symlink(names[1], f"../{names[0]}"), hardlink(names[2], names[0])]
    found = opened(write(tmp_path / "x.tar", tar_of(*kept, *links)))
    assert stored(found) == [BASE.stored] * 3
    assert len({id(each.blob) for each in found.images[0].layers}) == 1
    assert gaps(found) == []


def test_members_named_by_digest(opened: Open, tmp_path: Path) -> None:
    """crane and kaniko write sha256:<digest> configs and <digest>.tar.gz layers at the root of the archive."""
    names = [f"{each.digest[7:]}.tar.gz" for each in IMAGE.layers]
    listed = [{"Config": IMAGE.config_digest, "RepoTags": ["example:1"], "Layers": names}]
    members = [file(name, each.stored) for name, each in zip(names, IMAGE.layers, strict=True)]
    data = tar_of(file(IMAGE.config_digest, IMAGE.config), *members, file("manifest.json", dumps(listed)))
    is_example(opened(write(tmp_path / "x.tar", data)))


def test_schema_1_directory(opened: Open, tmp_path: Path) -> None:
    """Schema 1 is newest first; throwaway entries have no layer, and there is neither config nor diff_id."""
    steps = [
        {"architecture": "amd64", "os": "linux", "container_config": {"Cmd": ["/bin/sh", "-c", "two"]}},
        {"container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) ENV A=1"]}, "throwaway": True},
        {"container_config": {"Cmd": ["/bin/sh", "-c", "one"]}, "comment": "c", "author": "a"},
    ]
    blobs = [TOP.digest, sha256(b""), BASE.digest]
    document = {
        "schemaVersion": 1,
        "architecture": "amd64",
        "fsLayers": [{"blobSum": each} for each in blobs],
        "history": [{"v1Compatibility": json.dumps(step)} for step in steps],
    }
    content = [file("manifest.json", dumps(document)), *(file(each.digest[7:], each.stored) for each in IMAGE.layers)]
    image = opened(write_all(tmp_path / "d", content))
    [only] = image.images
    assert stored(image) == [BASE.stored, TOP.stored]
    steps_found = [each.instruction for each in only.layers]
    assert steps_found == [Instruction(0, "/bin/sh -c one"), Instruction(2, "/bin/sh -c two")]
    assert (only.config_digest, only.layers[0].diff_id, str(only.platform)) == (None, None, "linux/amd64")
    assert gaps(image) == []


# -- indexes and platforms ---------------------------------------------------------------------------------------------

ARM = image_of(BASE, platform="linux/arm64/v8")


def multi(*present: BuiltImage, attestation: bool = False) -> bytes:
    """An OCI archive whose nested index names IMAGE, ARM and an attestation; only some of them are in it."""
    statement = dumps({"_type": "statement", "predicate": {"args": {"build-arg:A": "planted-argument"}}})
    part = descriptor_of(statement, "application/vnd.in-toto+json")
    empty = b"{}"
    manifest = dumps({"config": descriptor_of(empty, "application/vnd.oci.image.config.v1+json"), "layers": [part]})
    marks = {"vnd.docker.reference.type": "attestation-manifest"}
    unknown = {"os": "unknown", "architecture": "unknown"}
    own = descriptor_of(manifest, OCI_MANIFEST, platform=unknown, annotations=marks)
    listed = json.loads(image_index(IMAGE, ARM))["manifests"]
    nested = dumps({"schemaVersion": 2, "manifests": [*listed, own]})
    index = dumps({"schemaVersion": 2, "manifests": [descriptor_of(nested, OCI_INDEX)]})
    more = [nested, *([statement, manifest, empty] if attestation else [])]
    return tar_of(*layout_members(*present, index=index, blobs=more))


def test_every_platform_present_is_opened(opened: Open, tmp_path: Path) -> None:
    """Indexes inside indexes lead to one image for each platform; an attestation is no image but is searched."""
    image = opened(write(tmp_path / "x.tar", multi(IMAGE, ARM, attestation=True)))
    assert [str(each.platform) for each in image.images] == ["linux/amd64", "linux/arm64/v8"]
    assert [len(each.layers) for each in image.images] == [2, 1]
    found = [document.blob.read() for document in image.documents if document.surface == "attestation"]
    assert len(found) == 3 and any(b"planted-argument" in each for each in found)
    assert gaps(image) == []


@pytest.mark.parametrize("asked", ["linux/arm64", "linux/arm64/v8", "linux/aarch64"])
def test_a_platform_is_selected(opened: Open, tmp_path: Path, asked: str) -> None:
    """--platform takes one image; a variant is needed only if the user names one."""
    image = opened(write(tmp_path / "x.tar", multi(IMAGE, ARM)), platform=asked)
    assert [str(each.platform) for each in image.images] == ["linux/arm64/v8"]
    assert TOP.stored not in every_byte(image)


def test_platforms_that_are_not_here(opened: Open, tmp_path: Path) -> None:
    """A platform the archive lacks is a note, a gap if all were asked for, an error if it was the one asked for."""
    path = write(tmp_path / "x.tar", multi(IMAGE))
    image = opened(path)
    assert reasons(image) == [] and any("linux/arm64/v8" in note for note in image.notes)
    assert reasons(opened(path, platform="all")) == ["manifest.missing"]
    with pytest.raises(ImageUnavailable) as caught:
        opened(path, platform="linux/arm64")
    assert "linux/amd64" in caught.value.tip
    with pytest.raises(ImageUnavailable):
        opened(write(tmp_path / "none.tar", multi()))
    with pytest.raises(InvalidReference):
        opened(path, platform="arm64")


def test_reference_names_select(opened: Open, tmp_path: Path) -> None:
    """oci:DIR:NAME takes the image of that name, and leaves alone what belongs to others."""
    first, second = replace(IMAGE, tag="x:one", platform=None), replace(ARM, tag="x:two", platform=None)
    path = write_all(tmp_path / "d", layout_members(first, second))
    assert len(opened(path).images) == 2
    image = opened(f"oci:{path}:two")
    assert [each.names for each in image.images] == [("two",)]
    assert TOP.stored not in every_byte(image)
    with pytest.raises(ImageUnavailable) as caught:
        opened(f"oci:{path}:three")
    assert "one, two" in caught.value.tip


def test_one_manifest_with_two_names_is_one_image(opened: Open, tmp_path: Path) -> None:
    """Tags of the same manifest do not make it several images."""
    key = "org.opencontainers.image.ref.name"
    entries = [descriptor_of(IMAGE.manifest(), OCI_MANIFEST, annotations={key: name}) for name in ("one", "two")]
    index = dumps({"schemaVersion": 2, "manifests": entries})
    [only] = opened(write(tmp_path / "x.tar", tar_of(*layout_members(IMAGE, index=index)))).images
    assert only.names == ("one", "two")


def test_cache_exports_are_no_images(opened: Open, tmp_path: Path) -> None:
    """A BuildKit cache export is refused with a clear message, in both of its shapes."""
    config = descriptor_of(b"{}", "application/vnd.buildkit.cacheconfig.v0")
    manifest = dumps({"schemaVersion": 2, "config": config, "layers": [BASE.described()]})
    as_manifest = dumps({"schemaVersion": 2, "manifests": [descriptor_of(manifest, OCI_MANIFEST)]})
    as_index = dumps({"schemaVersion": 2, "manifests": [BASE.described(), config]})
    for index in (as_manifest, as_index):
        data = tar_of(*layout_members(index=index, blobs=[manifest, b"{}", BASE.stored]))
        with pytest.raises(ImageUnavailable, match="cache export"):
            opened(write(tmp_path / "x.tar", data))


# -- nothing is left out -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["docker", "docker25", "oci"])
def test_all_of_an_archive_is_in_layers_and_documents(opened: Open, tmp_path: Path, form: str) -> None:
    """Orphans, legacy files, member names, link targets, annotations: whatever is in the file reaches the scan."""
    image = replace(IMAGE, annotations={"note": "planted-annotation"})
    more = [file("orphan/layer.tar", "planted-orphan"), file("name-planted-name"), symlink("link", "planted-target")]
    data = tar_of(*getattr(image, f"{form}_members")(), *more) + b"planted-trailer"
    found = opened(write(tmp_path / "x.tar", data))
    seen = every_byte(found)
    for mark in (b"orphan", b"name", b"target", b"trailer", *([] if form == "docker" else [b"annotation"])):
        assert b"planted-" + mark in seen, mark
    assert reasons(found) == ["archive.trailing"]


def test_unreferenced_blobs_are_named_so(opened: Open, tmp_path: Path) -> None:
    """Orphans say what they are, JSON or not, compressed or not."""
    orphans = [b'{"planted": 1}', b'{"broken', gzip.compress(b"planted")]
    image = opened(write(tmp_path / "x.tar", tar_of(*layout_members(IMAGE, blobs=orphans))))
    named = [document for document in image.documents if document.where.startswith("unreferenced")]
    found = {document.blob.read(): document for document in named}
    assert [found[each].is_json for each in orphans] == [True, False, False]
    assert [found[each].compression for each in orphans] == ["", "", "gzip"]
    assert all(document.surface == "metadata" for document in found.values())


def test_earlier_members_of_a_name_are_searched(opened: Open, tmp_path: Path) -> None:
    """Of members under one name the last one counts, as for engines, but the others are searched."""
    members = IMAGE.docker_members()
    name = next(each.name for each in members if each.name.endswith("layer.tar"))
    image = opened(write(tmp_path / "x.tar", tar_of(file(name, "planted-first"), *members)))
    is_example(image)
    assert any(document.blob.read() == b"planted-first" for document in image.documents)


def test_manifest_json_beside_an_index_hides_nothing(opened: Open, tmp_path: Path) -> None:
    """Old engines read manifest.json and new ones index.json: an image that only one of them names is opened too."""
    other = image_of(layer({"x": "planted"}))
    listed = [{"Config": blob_path(other.config_digest), "Layers": [blob_path(other.layers[0].digest)]}]
    members = [*IMAGE.oci_members(), *layout_members(other)[2:], file("manifest.json", dumps(listed))]
    image = opened(write(tmp_path / "x.tar", tar_of(*members)))
    assert [each.config_digest for each in image.images] == [IMAGE.config_digest, other.config_digest]
    broken = [each for each in members if each.name != "index.json"]
    image = opened(write(tmp_path / "y.tar", tar_of(*broken, file("index.json", "{"))))
    assert [each.config_digest for each in image.images] == [other.config_digest]
    assert reasons(image) == ["manifest.malformed"]


def test_bytes_between_and_behind_compressed_data_are_documents(opened: Open, tmp_path: Path) -> None:
    """What a compressed archive holds outside its stream (a comment, a trailer) is searched too."""
    image = opened(write(tmp_path / "x.gz", gzip.compress(IMAGE.oci_archive()) + b"planted-trailer"))
    assert b"planted-trailer" in every_byte(image)
    assert reasons(image) == ["compression.trailing"]


# -- damage ------------------------------------------------------------------------------------------------------------


def replaced(members: list[Member], name: str, data: bytes | None) -> bytes:
    """A tar of members with one of them changed, or left out."""
    changed = [replace(each, data=data) if each.name == name and data is not None else each for each in members]
    return tar_of(*(each for each in changed if each.name != name or data is not None))


def test_missing_foreign_and_encrypted_layers_are_told_apart(opened: Open, tmp_path: Path) -> None:
    """A layer that is not here, was never meant to be, or cannot be read has its own reason."""
    foreign = layer(
        {"a": "1"},
        descriptor={"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "urls": ["http://x/"]},
    )
    secret = layer(raw=b"ciphertext", media_type="application/vnd.oci.image.layer.v1.tar+gzip+encrypted")
    image = image_of(BASE, foreign, secret, TOP)
    gone = {blob_path(foreign.digest), blob_path(TOP.digest)}
    path = write(tmp_path / "x.tar", tar_of(*(each for each in image.oci_members() if each.name not in gone)))
    [only] = opened(path).images
    assert [each.absent for each in only.layers] == ["", "layer.foreign", "layer.encrypted", "layer.missing"]
    assert [each.blob is None for each in only.layers] == [False, True, False, True]
    assert only.layers[1].urls == ("http://x/",)


def test_missing_layer_of_a_docker_archive(opened: Open, tmp_path: Path) -> None:
    """The other layers are still opened, in their places."""
    members = IMAGE.docker_members()
    name = next(each.name for each in members if each.name.endswith("layer.tar"))
    image = opened(write(tmp_path / "x.tar", replaced(members, name, None)))
    assert stored(image) == [None, TOP.stored]
    assert [each.absent for each in image.images[0].layers] == ["layer.missing", ""]


@pytest.mark.parametrize("name", ["../../../../../../../../etc/passwd", "/etc/passwd", "escape/passwd", "loop"])
def test_paths_never_leave_the_archive(opened: Open, tmp_path: Path, name: str) -> None:
    """Layer names and links are looked up among the members only."""
    listed = [{"Config": "c.json", "Layers": [name]}]
    links = [symlink("escape", "/etc"), symlink("loop", "loop")]
    data = tar_of(*links, file("c.json", IMAGE.config), file("manifest.json", dumps(listed)))
    image = opened(write(tmp_path / "x.tar", data))
    assert [each.absent for each in image.images[0].layers] == ["layer.missing"]


def test_links_out_of_a_directory_are_not_followed(opened: Open, tmp_path: Path) -> None:
    """A blob that is a link to a file outside is a missing layer; one to a file inside is the layer."""
    outside = write(tmp_path / "outside", TOP.stored)
    path = IMAGE.oci_dir(tmp_path / "d")
    blob, base = path / blob_path(TOP.digest), path / blob_path(BASE.digest)
    blob.unlink()
    blob.symlink_to(outside)
    assert [each.absent for each in opened(path).images[0].layers] == ["", "layer.missing"]
    base.rename(path / "elsewhere")
    base.symlink_to("../../elsewhere")
    assert stored(opened(path)) == [BASE.stored, None]
    (path / "blobs").rename(tmp_path / "moved")
    (path / "blobs").symlink_to(tmp_path / "moved")
    with pytest.raises(ImageUnavailable):
        opened(path)


@pytest.mark.parametrize("folder", ["aaa", "zzz"])
def test_what_a_directory_does_not_tell_of_is_a_gap(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """/proc has links whose targets are closed even to root: what is listed before and behind is read all the same."""
    path = IMAGE.oci_dir(tmp_path / "d")
    (path / folder).mkdir()
    (path / folder / "closed").symlink_to("anywhere")

    def closed(*_: Any, **__: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "readlink", closed)
    image = opened(path)
    assert stored(image) == [BASE.stored, TOP.stored]
    assert [(gap.reason, gap.where, gap.detail) for gap in image.gaps] == [
        ("file.unreadable", f"{folder}/closed", "it cannot be read: Permission denied")
    ]


def test_lying_sizes_and_digests_are_gaps(opened: Open, tmp_path: Path) -> None:
    """The bytes that are here are read, and what the documents say otherwise is told."""
    image = image_of(layer({"a": "1"}, descriptor={"size": 7}))
    assert reasons(opened(write(tmp_path / "a.tar", image.oci_archive()))) == ["blob.size"]
    for name in (blob_path(IMAGE.config_digest), blob_path(sha256(IMAGE.manifest()))):
        data = next(each.data for each in IMAGE.oci_members() if each.name == name)
        changed = replaced(IMAGE.oci_members(), name, data.replace(b'"os":"linux"', b'"os":"LINUX"') + b" ")
        assert reasons(opened(write(tmp_path / "b.tar", changed))) == ["blob.digest", "blob.size"]
    name = f"{IMAGE.config_digest[7:]}.json"
    changed = replaced(IMAGE.docker_members(), name, IMAGE.config + b" ")
    assert reasons(opened(write(tmp_path / "c.tar", changed))) == ["blob.digest"]


def test_config_that_cannot_be_read_does_not_hide_the_layers(opened: Open, tmp_path: Path) -> None:
    """A malformed, missing or ambiguous config is a gap; the layers and its bytes are read all the same."""
    twice = b'{"config": {"Env": ["planted=1"]}, ' + IMAGE.config[1:]
    for config in (twice, b"[" * 100_000, b'{"x": ' + b"9" * 5000 + b"}", b"{" + b" " * LIMITS.document_bytes):
        image = opened(write(tmp_path / "x.tar", replace(IMAGE, config=config).docker_archive()))
        assert stored(image) == [BASE.stored, TOP.stored]
        assert reasons(image) == ["config.malformed"]
        assert config in every_byte(image)
    missing = replaced(IMAGE.docker_members(), f"{IMAGE.config_digest[7:]}.json", None)
    assert reasons(opened(write(tmp_path / "y.tar", missing))) == ["config.missing"]


def test_layer_counts_that_differ_are_a_gap(opened: Open, tmp_path: Path) -> None:
    """No diff_id and no build step is told where the config lists another number of layers."""
    image = opened(write(tmp_path / "x.tar", replace(IMAGE, layers=(BASE, TOP, BASE)).oci_archive()))
    assert reasons(image) == ["config.layer-count"]
    assert [(each.diff_id, each.instruction) for each in image.images[0].layers] == [(None, None)] * 3


@pytest.mark.parametrize(
    "document",
    [
        b"42",
        b"{",
        b"[null]",
        b'[{"Config": 1}]',
        b'[{"Config": "c", "Layers": [null, 7, {}]}]',
        b'[{"Config": "c", "layers": []}]',
        b"[]",
    ],
)
def test_malformed_archive_manifests_are_refused(tmp_path: Path, document: bytes) -> None:
    """Wrong types, a second spelling, nothing at all."""
    data = replaced(IMAGE.docker_members(), "manifest.json", document)
    with pytest.raises(MalformedImage):
        open_image(str(write(tmp_path / "x.tar", data)), limits=LIMITS)


def ambiguous() -> list[bytes]:
    """Manifests that two readers could take for different things."""
    layers, config = [BASE.described()], json.loads(IMAGE.manifest())["config"]
    return [
        IMAGE.manifest(manifests=[]),
        IMAGE.manifest(fsLayers=[]),
        IMAGE.manifest(mediaType=OCI_INDEX),
        IMAGE.manifest(Layers=layers),
        IMAGE.manifest(layers=[{**layers[0], "digest": "sha256:../../../../etc/passwd"}]),
        *(IMAGE.manifest(layers=[{**layers[0], "size": size}]) for size in (-1, "12", 1e300, True, None, 1 << 63)),
        dumps({"manifests": [], "config": config}),
        dumps({"mediaType": OCI_MANIFEST, "manifests": []}),
        dumps({"config": config}),
        dumps({"schemaVersion": 2}),
    ]


@pytest.mark.parametrize("manifest", ambiguous())
def test_ambiguous_manifests_are_refused(opened: Open, tmp_path: Path, manifest: bytes) -> None:
    """Alone it refuses the image; beside a sound one it is a gap, and the sound one is opened."""
    entry = descriptor_of(manifest, OCI_MANIFEST)
    sound = descriptor_of(IMAGE.manifest(), OCI_MANIFEST)
    for entries in ([entry], [entry, sound]):
        index = dumps({"schemaVersion": 2, "manifests": entries})
        path = write(tmp_path / "x.tar", tar_of(*layout_members(IMAGE, index=index, blobs=[manifest])))
        if len(entries) == 1:
            with pytest.raises(MalformedImage):
                opened(path)
        else:
            image = opened(path)
            assert len(image.images) == 1 and reasons(image) == ["manifest.malformed"]
            assert manifest in every_byte(image)


def test_indexes_do_not_lead_astray(opened: Open, tmp_path: Path) -> None:
    """Indexes nested too deeply are a gap, too many entries are refused."""
    inner, blobs = IMAGE.manifest(), []
    entry = descriptor_of(inner, OCI_MANIFEST)
    for _ in range(LIMITS.index_depth):
        blobs.append(dumps({"schemaVersion": 2, "manifests": [entry]}))
        entry = descriptor_of(blobs[-1], OCI_INDEX)
    sound = descriptor_of(ARM.manifest(), OCI_MANIFEST)
    index = dumps({"schemaVersion": 2, "manifests": [sound, entry]})
    image = opened(write(tmp_path / "x.tar", tar_of(*layout_members(IMAGE, ARM, index=index, blobs=blobs))))
    assert len(image.images) == 1 and reasons(image) == ["limit.index"]
    index = dumps({"schemaVersion": 2, "manifests": [sound] * (LIMITS.index_manifests + 1)})
    with pytest.raises(MalformedImage):
        opened(write(tmp_path / "y.tar", tar_of(*layout_members(ARM, index=index))))


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_cut_archives_keep_what_is_left(tmp_path: Path, form: str) -> None:
    """An archive cut anywhere is opened with a gap or refused, and no byte of it goes unseen when it is opened."""
    data = ARCHIVES[form](IMAGE)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
    for cut in range(0, members[-1].offset_data, 509):
        if any(0 <= cut - each.offset_data - each.size <= 512 for each in members):
            continue  # between two members, where nobody can tell a cut from an end
        path = write(tmp_path / "x.tar", data[:cut])
        try:
            image = open_image(str(path), limits=LIMITS)
        except LeakscanError:
            continue
        lost = any(each.blob is None for one in image.images for each in one.layers)
        assert lost or reasons(image), cut
        image.close()


def test_cut_compressed_archive_is_a_gap(opened: Open, tmp_path: Path) -> None:
    """The end of a compressed archive is missing: its images are opened as far as they go."""
    noise = layer({"noise": random.Random(1).randbytes(100_000)})
    members = sorted(image_of(BASE, noise).docker_members(), key=lambda each: len(each.data))
    image = opened(write(tmp_path / "x.tar.gz", gzip.compress(tar_of(*members), 1)[:-50_000]))
    assert reasons(image) == ["archive.truncated", "compression.truncated"]
    assert stored(image)[0] == BASE.stored


def test_hostile_headers_of_the_outer_archive(opened: Open, tmp_path: Path) -> None:
    """Negative and absurd sizes neither hang nor crash; what follows them is a document."""
    good = IMAGE.docker_archive()[:-1024].rstrip(b"\0")
    good += b"\0" * (-len(good) % 512)
    for size in (b"-0000001000\0", b"\x80" + b"\x7f" * 11, b"\xff" * 12, b"99999999999\0"):
        header = bytearray(tar_of(file("x"))[:512])
        header[124:136] = size
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        image = opened(write(tmp_path / "x.tar", good + bytes(header) + b"planted-behind"))
        assert {"archive.damaged", "archive.truncated"} & set(reasons(image))
        assert b"planted-behind" in every_byte(image)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_archives_raise_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever is done to an archive: it opens, or a LeakscanError says why not."""
    raw = bytearray(ARCHIVES[data.draw(st.sampled_from(sorted(ARCHIVES)))](IMAGE))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    path = write(tmp_path / "x.tar", bytes(raw))
    try:
        image = open_image(str(path), limits=LIMITS)
    except LeakscanError:
        return
    every_byte(image)
    image.close()


@given(st.binary(max_size=2000))
def test_any_bytes_are_refused_or_opened(raw: bytes) -> None:
    """Standard input that is no archive is refused with a message."""
    with pytest.raises(LeakscanError) as caught:
        open_image("-", limits=LIMITS, stdin=io.BytesIO(raw))
    assert caught.value.what


def test_opening_closes_its_files_when_it_fails(tmp_path: Path) -> None:
    """Neither an error nor `close()` leaves a descriptor behind."""
    bad = write(tmp_path / "bad.tar", replaced(IMAGE.docker_members(), "manifest.json", b"42"))
    good = write(tmp_path / "good.tar.gz", gzip.compress(IMAGE.oci_archive()))
    layout = IMAGE.oci_dir(tmp_path / "d")
    gc.collect()  # what earlier tests left open must not be closed in between
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with pytest.raises(MalformedImage):
        open_image(str(bad), limits=LIMITS)
    for path in (good, layout):
        image = open_image(str(path), limits=LIMITS)
        every_byte(image)
        image.close()
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before


# -- words that name nothing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    ["", "docker:", "Upper:1", "a b", "x:", "x@sha256:12", "/no/such/file", "./nothing", "missing.tar", "a//b",
     "x:" + "y" * 129, "-x", "x@", "é", "a\x1b[31m", "x" * 300],
)  # fmt: skip
def test_words_that_are_no_reference(reference: str) -> None:
    """Each is refused as such, with a tip, before any engine is asked; control characters are not repeated."""
    with pytest.raises(InvalidReference) as caught:
        open_image(reference, limits=LIMITS)
    assert caught.value.tip and "\x1b" not in caught.value.what


@pytest.mark.parametrize(("reference", "name"), [("", "an empty name"), ("../x", "../x")])
def test_a_name_for_a_registry_is_no_file(reference: str, name: str) -> None:
    """A service and `registry:` look for none, so it is not said that there is none."""
    with pytest.raises(InvalidReference, match=re.escape(f"{name} is no image reference")):
        parse_reference(reference)


def test_no_place_for_temporary_files_is_no_fault_of_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose file systems are all read-only: what to do about that is said."""
    path = write(tmp_path / "image.tar.gz", gzip.compress(image_of(layer({"a": "b"})).docker_archive()))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))

    with pytest.raises(ImageUnavailable, match="no directory for temporary files") as caught:
        open_image(str(path), limits=LIMITS)
    assert "TMPDIR" in caught.value.tip


def test_files_that_hold_no_image(tmp_path: Path) -> None:
    """An empty file, a text, a file system, a directory of anything, a device, nothing at all: one message each."""
    cases = {
        "empty": b"",
        "text": b"hello\n" * 1000,
        "rootfs": tar_of({"etc/passwd": "x"}),
        "lz4": b"\x04\x22\x4d\x18" + bytes(100),
    }
    for name, data in cases.items():
        with pytest.raises((ImageUnavailable, MalformedImage)) as caught:
            open_image(str(write(tmp_path / name, data)), limits=LIMITS)
        assert caught.value.tip
    for reference in (str(tmp_path), "/dev/null", "oci-archive:/no/such", "-"):
        with pytest.raises(ImageUnavailable):
            open_image(reference, limits=LIMITS)


def test_a_path_that_exists_wins_over_a_name(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`alpine` in the working directory is the file."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "alpine", IMAGE.docker_archive())
    is_example(opened("alpine"))


def test_hard_links_between_tar_types_are_members_only(opened: Open, tmp_path: Path) -> None:
    """A hard link to a file outside the archive is a missing layer."""
    listed = [{"Config": "c.json", "Layers": ["l"]}]
    data = tar_of(hardlink("l", "etc/passwd"), file("c.json", IMAGE.config), file("manifest.json", dumps(listed)))
    image = opened(write(tmp_path / "x.tar", data))
    assert [each.absent for each in image.images[0].layers] == ["layer.missing"]


def test_devices_and_pipes_in_an_archive_are_nothing(opened: Open, tmp_path: Path) -> None:
    """Members that are no files are noticed as structure only."""
    odd = [Member("fifo", kind=tarfile.FIFOTYPE), Member("device", kind=tarfile.CHRTYPE)]
    is_example(opened(write(tmp_path / "x.tar", tar_of(*odd, *IMAGE.oci_members()))))
