"""An engine's storage gives the archive that its export gives, byte for byte, and nothing from outside a layer."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from scanner.errors import ImageUnavailable
from scanner.image import saved, storage, tarsplit
from scanner.image.engine import export
from scanner.image.golike import go_json
from scanner.image.storage import Kept, Place, stored
from scanner.image.store import Store
from scanner.limits import Limits
from tests.builders import (
    OCI_INDEX,
    descriptor_of,
    directory,
    dumps,
    file,
    hardlink,
    image_index,
    image_of,
    layer,
    layout_members,
    symlink,
    tar_of,
    write,
    write_all,
)
from tests.conftest import Leakscan, or_skip
from tests.engine import Docker, newer_engine

LIMITS = Limits()


def split_of(tar: bytes) -> bytes:
    """What an engine keeps of a tar beside its files."""
    lines: list[dict[str, Any]] = []
    at = 0
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        for member in members:
            if member.isfile() and member.size:
                lines.append({"type": 2, "payload": b64encode(tar[at : member.offset_data]).decode()})
                lines.append({"type": 1, "name": member.name, "size": member.size, "payload": "AAAAAAAAAAA="})
                at = member.offset_data + member.size
            else:
                lines.append({"type": 1, "name": member.name, "payload": None})
    lines.append({"type": 2, "payload": b64encode(tar[at:]).decode()})
    text = "".join(json.dumps({**line, "position": at}, separators=(",", ":")) + "\n" for at, line in enumerate(lines))
    return gzip.compress(text.encode())


def laid_out(folder: Path, tar: bytes) -> tuple[Path, Path]:
    """The record and the directory of a layer, as an engine has them."""
    root = folder / "diff"
    root.mkdir()
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        members.extractall(root, filter="tar")
    return write(folder / "tar-split.json.gz", split_of(tar)), root


def reassembled(split: Path, root: Path, target: Path) -> bytes:
    """The tar that comes out."""
    with target.open("wb") as out:
        tarsplit.reassemble(split, root, out.fileno())
    return target.read_bytes()


def test_a_layer_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """Small and large files, links, directories, names that are no UTF-8, and what lies between."""
    tar = tar_of(
        directory("a"), file("a/small", b"x"), file("a/large", os.urandom(700_000)), file("b", b"y" * 512),
        hardlink("a/hard", "a/small"), symlink("l", "/etc/passwd"), file("empty"), file("ü/é", b"z" * 1000),
    )  # fmt: skip
    split, root = laid_out(tmp_path, tar)

    assert reassembled(split, root, tmp_path / "out") == tar
    assert tarsplit.size_of(split) == len(tar)


def test_links_on_the_way_stay_within_the_layer(tmp_path: Path) -> None:
    """A folder that is a link leads where it leads from the layer's own root."""
    tar = tar_of(directory("usr"), directory("usr/lib"), file("usr/lib/x", b"inside"))
    split, root = laid_out(tmp_path, tar)
    write(split, gzip.compress(gzip.decompress(split_of(tar)).replace(b'"usr/lib/x"', b'"lib/x"')))
    (root / "lib").symlink_to("/usr/lib")

    assert reassembled(split, root, tmp_path / "out") == tar


@pytest.mark.parametrize("trick", ["link", "parent", "absolute", "through a folder", "endless"])
def test_nothing_outside_a_layer_is_opened(trick: str, tmp_path: Path) -> None:
    """Whatever names and links say: the reader may be root."""
    outside = write(tmp_path / "outside" / "secret", b"secret")
    tar = tar_of(directory("d"), file("d/x", b"inside"))
    split, root = laid_out(tmp_path, tar)
    name = {"link": "d/x", "parent": "d/../../outside/secret", "absolute": str(outside), "through a folder": "e/secret",
            "endless": "f/x"}[trick]  # fmt: skip
    write(split, gzip.compress(gzip.decompress(split_of(tar)).replace(b'"d/x"', json.dumps(name).encode())))
    if trick == "link":
        (root / "d" / "x").unlink()
        (root / "d" / "x").symlink_to(outside)
    (root / "e").symlink_to(tmp_path / "outside")
    (root / "f").symlink_to("f")

    with pytest.raises((OSError, ImageUnavailable)):
        reassembled(split, root, tmp_path / "out")


@pytest.mark.parametrize("damage", ["no gzip", "cut", "no JSON", "kind", "size", "grown", "shrunk", "gone", "pipe"])
def test_damage_is_told(damage: str, tmp_path: Path) -> None:
    """No wrong bytes without an error, and no waiting."""
    tar = tar_of(file("x", b"inside" * 50_000))
    split, root = laid_out(tmp_path, tar)
    lines = gzip.decompress(split.read_bytes())
    contents = {
        "no gzip": lines, "cut": split.read_bytes()[:-20], "no JSON": gzip.compress(lines + b"{"),
        "kind": gzip.compress(lines + b'{"type":3,"position":9}\n'),
        "size": gzip.compress(lines.replace(b'"size":300000', b'"size":-1')),
    }  # fmt: skip
    if damage in contents:
        write(split, contents[damage])
    elif damage == "grown":
        write(root / "x", b"inside" * 50_001)
    elif damage == "shrunk":
        write(root / "x", b"inside")
    else:
        (root / "x").unlink()
        if damage == "pipe":
            os.mkfifo(root / "x")

    with pytest.raises((OSError, ImageUnavailable)):
        reassembled(split, root, tmp_path / "out")


@pytest.mark.parametrize(
    ("driver", "version", "id"),
    [("btrfs", "20.10.24", "sha256:" + "0" * 64), ("overlay2", "31.0.1", "sha256:" + "0" * 64),
     ("overlay2", "x", "sha256:" + "0" * 64), ("overlay2", "20.10.24", "../../x"),
     ("overlay2", "20.10.24", "sha256:" + "0" * 64), ("overlayfs", "28.5.2", "sha256:" + "0" * 64)],
)  # fmt: skip
@pytest.mark.parametrize("containerd", [False, True])
def test_storage_that_is_not_known_or_not_here_is_left_to_the_export(
    driver: str, version: str, id: str, containerd: bool, tmp_path: Path
) -> None:
    """Other drivers, other versions, an engine on another machine."""
    assert stored(Place(tmp_path, driver, version, containerd), Kept(id, "x:1", annotations={}), "x:1", LIMITS) is None


def test_a_config_with_another_digest_is_not_believed(tmp_path: Path) -> None:
    """The engine's id is the digest of the config: storage that says otherwise is another engine's, or damaged."""
    raw = b'{"rootfs": {"type": "layers", "diff_ids": []}}'
    id = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    write(tmp_path / "image" / "overlay2" / "imagedb" / "content" / "sha256" / id[7:], raw + b" ")

    assert stored(Place(tmp_path, "overlay2", "20.10.24"), Kept(id, "x:1"), "x:1", LIMITS) is None


IMAGE = image_of(layer({"app/a": b"a"}, compression="gz"), layer({"app/b": b"b"}, compression="zst"))
ID = descriptor_of(IMAGE.manifest(), "")["digest"]
WHOLE = frozenset([ID])
CONTENT = "containerd/daemon/io.containerd.content.v1.content"
SNAPSHOTS = "overlayfs"


def content_store(root: Path) -> Path:
    """A content store below an engine's data directory, with one image."""
    write_all(root / CONTENT, [each for each in layout_members(IMAGE) if each.name.startswith("blobs/")])
    return root / CONTENT / "blobs" / "sha256"


def test_blobs_of_a_content_store_are_taken_as_they_are(tmp_path: Path) -> None:
    """Compressed as they were pulled, and read where they lie."""
    content_store(tmp_path)
    image = Kept(ID, "x:1", annotations={}, whole=WHOLE)
    store = stored(Place(tmp_path, SNAPSHOTS, "28.5.2", True), image, "x:1", LIMITS)

    assert store is not None
    for each in IMAGE.layers:
        assert store.files[f"blobs/sha256/{each.digest[7:]}"].read() == each.stored
    [entry] = json.loads(store.files["index.json"].read())["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/x:1"
    store.close()


@pytest.mark.parametrize(
    "trouble", ["manifest", "gone", "linked", "no layer", "linked layer", "not told", "parts not told", "other parts"]
)
def test_a_content_store_in_doubt_is_left_to_the_export(trouble: str, tmp_path: Path) -> None:
    """Something is another one, is not here, or lies elsewhere; the engine does not tell all, or tells of more than is
    here: what it exports of a part of an image is its own affair, and this may be another one's storage."""
    blobs = content_store(tmp_path)
    told: frozenset[str] | None = WHOLE
    one = blobs / (IMAGE.layers[0].digest if "layer" in trouble else ID)[7:]
    if trouble == "manifest":
        write(one, IMAGE.manifest(annotations={"a": "b"}))
    elif trouble in ("gone", "no layer"):
        one.unlink()
    elif trouble.startswith("linked"):
        one.rename(tmp_path / "elsewhere")
        one.symlink_to(tmp_path / "elsewhere")
    elif trouble == "parts not told":
        told = None
    elif trouble == "other parts":
        told = WHOLE | {IMAGE.config_digest}
    image = Kept(ID, "x:1", annotations=None if trouble == "not told" else {}, whole=told)

    assert stored(Place(tmp_path, SNAPSHOTS, "28.5.2", True), image, "x:1", LIMITS) is None


@pytest.mark.parametrize("kind", ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                                  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"])  # fmt: skip
def test_layers_that_are_not_to_be_exported_are_left_to_the_engine(kind: str, tmp_path: Path) -> None:
    """It knows which of them it leaves out."""
    image = image_of(layer({"a": b"a"}, compression="gz", media_type=kind))
    id = descriptor_of(image.manifest(), "")["digest"]
    write_all(tmp_path / CONTENT, [each for each in layout_members(image) if each.name.startswith("blobs/")])

    kept = Kept(id, "x:1", annotations={}, whole=frozenset([id]))
    assert stored(Place(tmp_path, SNAPSHOTS, "28.5.2", True), kept, "x:1", LIMITS) is None


def test_go_writes_characters_that_html_minds_as_escapes() -> None:
    """As the documents of an export have them."""
    assert go_json({"a": "<&>\u2028\1\n\"\\é"}) == '{"a":"\\u003c\\u0026\\u003e\\u2028\\u0001\\n\\"\\\\é"}'


@pytest.mark.parametrize("odd", [
    {"created": "1970-01-01T00:00:01+00:00"}, {"created": "2024-01-01T00:00:00.120Z"},
    {"created": "2024-01-01T00:00:00.000000Z"}, {"created": "yesterday"}, {"Created": "2024-01-01T00:00:00Z"},
    {"config": {"env": ["A=1"]}}, {"config": {"Volumes": {"/x": None}}}, {"config": {"Env": ["A=1", None]}},
    {"author": "a\bb"}, {"config": {"Labels": {"a": "\f"}}},
], ids=str)  # fmt: skip
def test_what_go_may_write_anew_is_left_to_the_export(odd: dict[str, Any]) -> None:
    """Ids of layers are made of it, and nobody knows which version of Go an engine was built with."""
    config = {"architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00.12+02:00",
              "rootfs": {"type": "layers", "diff_ids": [f"sha256:{'0' * 64}"]}}  # fmt: skip
    for form in (saved.archive, saved.layout):
        assert len(list(form(b"", config, ["a:1"], [1]))) > 5
        with pytest.raises(ValueError, match=r"Go|spelling"):
            list(form(b"", {**config, **odd}, ["a:1"], [1]))


# --- a real engine ----------------------------------------------------------------------------------------------------

DOCKERFILES = {
    "settings": b"""FROM leakscan-base:1
ENV A="<&>" B='q"\\\\' C=\xc3\xa9
LABEL z=1 a="two words"
RUN mkdir -p /app && echo one > /app/one && ln /app/one /app/two && ln -s one /app/three
HEALTHCHECK --interval=5s CMD true
EXPOSE 80 443/udp
VOLUME /data
ONBUILD RUN echo x
STOPSIGNAL 9
SHELL ["/bin/sh", "-ec"]
WORKDIR /w
RUN rm /app/one
USER 12:13
ENTRYPOINT ["/bin/sh"]
CMD echo hello
""",
    "twice the same": b"""FROM leakscan-base:1
RUN true
RUN true
COPY x /x
""",
}


@pytest.fixture(scope="module")
def local(engine: Docker) -> Docker:
    """An engine whose storage can be read; skips where it is of a kind that is exported."""
    return with_known_storage(engine)


@pytest.fixture(scope="module", params=["graph driver", "containerd"])
def newer(request: pytest.FixtureRequest) -> Iterator[Docker]:
    """An engine since 25, with each of its ways to keep images."""
    with or_skip(newer_engine(request.param == "containerd")) as docker:
        yield with_known_storage(docker)


def with_known_storage(engine: Docker) -> Docker:
    """The engine; skips where its images are exported."""
    about = json.loads(engine.run("info", "--format", "{{json .}}"))
    major = int(about["ServerVersion"].partition(".")[0])
    by_root = os.geteuid() == 0 and major in storage.KNOWN
    known = about["Driver"] == "overlayfs" or (about["Driver"] == "overlay2" and by_root)
    if not known or not os.access(about["DockerRootDir"], os.R_OK):
        pytest.skip(f"storage {about['Driver']} of version {about['ServerVersion']}")
    return engine


def out_of_storage(engine: Docker, name: str) -> Store:
    """The archive of an image, as the storage has it."""
    found: list[Store | None] = []

    def take(place: Place, image: Kept, name: str) -> bool:
        found.append(stored(place, image, name, LIMITS))
        return True

    client = docker.DockerClient(base_url=engine.host or None, version="auto")
    assert export._local(client.api, name, take)
    client.close()
    [store] = found
    assert store is not None
    return store


def assert_exported(engine: Docker, name: str, tmp_path: Path) -> None:
    """The archive out of the storage is the exported one, but for the times of what is made by exporting."""
    engine.run("save", "-o", str(tmp_path / "image.tar"), name)
    exported = (tmp_path / "image.tar").read_bytes()
    store = out_of_storage(engine, name)
    whole = bytearray(store.opened[0].read(0, store.opened[0].size()))
    with tarfile.open(fileobj=io.BytesIO(exported)) as members:
        for member in members:
            if member.issym() or member.name in ("blobs/sha256", "index.json"):
                at = member.offset + 136
                whole[at : at + 20] = exported[at : at + 20]
            if member.isfile() and (member.name.endswith("layer.tar") or member.name.startswith("blobs/")):
                blob = store.files[member.name]
                whole[member.offset_data : member.offset_data + member.size] = blob.read()
    store.close()
    assert bytes(whole) == exported


@pytest.mark.parametrize("buildkit", ["0", "1"])
@pytest.mark.parametrize("case", DOCKERFILES)
def test_the_archive_is_the_one_that_the_engine_exports(
    case: str, buildkit: str, local: Docker, tmp_path: Path
) -> None:
    """Byte for byte, whoever built it: names, documents, headers, layers."""
    base = tar_of(directory("bin"), file("bin/sh", Path("/bin/busybox").read_bytes(), mode=0o755))
    for name in ("mkdir", "ln", "rm", "echo", "true"):
        base = base[: -2 * 512] + tar_of(symlink(f"bin/{name}", "sh"))
    local.run("import", "-", "leakscan-base:1", stdin=base)
    write(tmp_path / "c" / "Dockerfile", DOCKERFILES[case])
    write(tmp_path / "c" / "x", b"x" * 200_000)
    tag = f"leakscan-storage-{case.replace(' ', '-')}:{buildkit}"
    local.run("build", "-q", "--network", "none", "-t", tag, str(tmp_path / "c"), env={"DOCKER_BUILDKIT": buildkit})

    assert_exported(local, tag, tmp_path)


def test_files_of_other_users_are_left_to_the_export(local: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine without root has files there that its own user cannot read."""
    local.run("import", "-", "leakscan-rootless:1", stdin=tar_of(file("a", b"a")))
    out_of_storage(local, "leakscan-rootless:1").close()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(AssertionError):
        out_of_storage(local, "leakscan-rootless:1")


SETTINGS = (
    'ENV A="<&>" C=\xe9', 'LABEL z=1 a="two words"', "HEALTHCHECK --interval=5s --start-interval=2s CMD true",
    "EXPOSE 80 443/udp", "VOLUME /data", "ONBUILD RUN echo x", "STOPSIGNAL 9", "WORKDIR /w", "USER 12:13",
    'ENTRYPOINT ["/bin/sh"]', "CMD echo hello",
)  # fmt: skip


@pytest.mark.parametrize("by_id", [False, True])
@pytest.mark.parametrize("case", ["settings", "twice the same"])
def test_so_it_is_for_newer_engines(case: str, by_id: bool, newer: Docker, tmp_path: Path) -> None:
    """By name and by id."""
    tag = f"leakscan-newer-{case.replace(' ', '-')}:{by_id}"
    if case == "settings":
        changes = [word for each in SETTINGS for word in ("-c", each)]
        newer.run("import", *changes, "-", tag, stdin=tar_of(directory("a"), file("a/b", b"x" * 200_000)))
    else:
        same = layer({"app/x": b"x" * 100_000})
        image = image_of(layer({"app/y": b"y"}), same, same, tag=tag)
        newer.run("load", "-q", stdin=image.docker_archive())
    name = newer.run("inspect", "--format", "{{.Id}}", tag).strip() if by_id else tag

    assert_exported(newer, name, tmp_path)


def test_all_platforms_and_attestations_of_a_content_store(newer: Docker, tmp_path: Path) -> None:
    """Whatever the index leads to and is here, with what its entry says."""
    if "io.containerd.snapshotter" not in newer.run("info"):
        return  # a graph driver has room for one platform
    tag = "leakscan-platforms:1"
    images = [image_of(layer({"app/x": each}, compression="gz"), tag=tag, platform=each)
              for each in ("linux/amd64", "linux/arm64/v8")]  # fmt: skip
    statement = image_of(layer({"x": b"{}"}), platform="unknown/unknown")
    absent = image_of(layer({"x": b"absent"}), platform="linux/s390x")
    index = json.loads(image_index(*images, absent))
    mark = {"vnd.docker.reference.type": "attestation-manifest"}
    index["manifests"].append(descriptor_of(statement.manifest(), index["manifests"][0]["mediaType"], annotations=mark,
                                            platform={"os": "unknown", "architecture": "unknown"}))  # fmt: skip
    named = {"io.containerd.image.name": f"docker.io/library/{tag}", "org.opencontainers.image.ref.name": "1",
             "org.example.note": "kept"}  # fmt: skip
    top = dumps({"schemaVersion": 2, "manifests": [descriptor_of(dumps(index), OCI_INDEX, annotations=named)]})
    newer.run("load", "-q", stdin=tar_of(
        *layout_members(*images, statement, index=top, blobs=[dumps(index)])))  # fmt: skip

    assert_exported(newer, tag, tmp_path)
    store = out_of_storage(newer, tag)
    assert {descriptor_of(each.manifest(), "")["digest"] for each in (*images, statement)} <= {
        path.replace("blobs/sha256/", "sha256:") for path in store.files
    }
    assert b"org.example.note" in store.files["index.json"].read()
    store.close()


def test_a_platform_that_comes_later_is_seen(newer: Docker, leakscan: Leakscan) -> None:
    """The engine's id of an index is the same before and after, and what was kept of it is not the answer."""
    if "io.containerd.snapshotter" not in newer.run("info"):
        return  # a graph driver has room for one platform
    tag, secret = "leakscan-later:1", "hunter2-" + hashlib.sha256(b"later").hexdigest()[:20]
    first = image_of(layer({"app/x": b"x"}), tag=tag)
    second = image_of(layer({"app/.env": f"DB_PASSWORD={secret}\n"}), tag=tag, platform="linux/arm64/v8")
    index = image_index(first, second)
    named = {"io.containerd.image.name": f"docker.io/library/{tag}", "org.opencontainers.image.ref.name": "1"}
    top = dumps({"schemaVersion": 2, "manifests": [descriptor_of(index, OCI_INDEX, annotations=named)]})
    words = (f"docker:{tag}", "--platform", "all", "--format", "json")

    newer.run("load", "-q", stdin=tar_of(*layout_members(first, index=top, blobs=[index])))
    before = [leakscan(*words, env=newer.environment()).returncode for _ in range(2)]
    newer.run("load", "-q", stdin=tar_of(*layout_members(first, second, index=top, blobs=[index])))
    after = leakscan(*words, env=newer.environment())

    assert 1 not in before
    assert after.returncode == 1, after.stderr


def test_a_scan_from_storage_reports_what_an_export_gives(local: Docker, leakscan: Leakscan, tmp_path: Path) -> None:
    """The engine is not asked to export; a second scan reads nothing and says whom it believes."""
    assert_reported(local, leakscan, tmp_path)


def test_so_it_does_for_newer_engines(newer: Docker, leakscan: Leakscan, tmp_path: Path) -> None:
    """With both of their ways to keep images."""
    assert_reported(newer, leakscan, tmp_path)


def assert_reported(local: Docker, leakscan: Leakscan, tmp_path: Path) -> None:
    """A scan through the engine reports what a scan of its export does."""
    secret = "hunter2-" + hashlib.sha256(b"storage").hexdigest()[:20]
    tar = tar_of(file("app/.env", f"DB_PASSWORD={secret}\n"))
    local.run("import", "-c", f"ENV PIP_INDEX_URL=https://bob:{secret}@pypi.example.org/", "-", "leakscan-stored:1",
              stdin=tar)  # fmt: skip
    local.run("save", "-o", str(tmp_path / "image.tar"), "leakscan-stored:1")
    words = ("--format", "json", "--no-cache")
    env = local.environment()

    archive = json.loads(leakscan(str(tmp_path / "image.tar"), *words).stdout)
    stored_ = json.loads(leakscan("docker:leakscan-stored:1", *words, env=env).stdout)
    leakscan("docker:leakscan-stored:1", "--format", "json", env=env)
    again = json.loads(leakscan("docker:leakscan-stored:1", "--format", "json", env=env).stdout)

    assert stored_["coverage"] == archive["coverage"] and stored_["verdict"] == "leaked"
    proofs = [[each["proof"]["hmac"] for each in report["findings"]] for report in (stored_, archive)]
    assert proofs[0] == proofs[1] != []
    assert {**again, "notes": []} == {**stored_, "notes": []}
    assert "taken from the engine" in again["notes"][-1]
