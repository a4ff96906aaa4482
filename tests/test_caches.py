"""Build caches and statements beside an image: whatever they carry is searched, and named by its surface."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scanner.cli.caches import Cache, with_cache
from scanner.errors import RegistryFault
from scanner.image import withcache
from scanner.image.model import OpenedImage
from scanner.limits import Limits
from tests.builders import (
    OCI_INDEX,
    OCI_MANIFEST,
    BuiltImage,
    BuiltLayer,
    blob_path,
    descriptor_of,
    dumps,
    file,
    image_of,
    layer,
    layout_members,
    sha256,
    write,
    write_all,
)
from tests.conftest import Leakscan
from tests.registries import RealRegistry, docker_registry, memory_registry
from tests.starting import or_skip

VALUE = "kc7-" + "unlikely-in-any-Image"
SECRET = ("--secret", "id=given,env=GIVEN")
GIVEN = {"GIVEN": VALUE}
CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0"
IN_TOTO = "application/vnd.in-toto+json"


def cache(path: Path, *layers: BuiltLayer, as_index: bool) -> Path:
    """What `--cache-to type=local` writes, as an image manifest or in the older shape of an index."""
    config = dumps({"layers": [{"blob": each.digest, "parent": -1} for each in layers], "records": []})
    described = descriptor_of(config, CACHE_CONFIG)
    listed = [
        {**each.described(), "annotations": {"containerd.io/uncompressed": each.diff_id}} for each in layers
    ]
    if as_index:
        manifest = dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*listed, described]})
        media_type = OCI_INDEX
    else:
        manifest = dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": listed})
        media_type = OCI_MANIFEST
    index = dumps({"schemaVersion": 2, "manifests": [descriptor_of(manifest, media_type)]})
    blobs = [manifest, config, *(each.stored for each in layers)]
    return write_all(path, [
        file("oci-layout", dumps({"imageLayoutVersion": "1.0.0"})), file("index.json", index),
        *(file(blob_path(sha256(data)), data) for data in blobs),
    ])  # fmt: skip


def findings(leakscan: Leakscan, *arguments: str | Path, code: int = 1) -> list[dict[str, Any]]:
    """The known secret's findings of a scan."""
    ran = leakscan(*arguments, *SECRET, "--format", "json", env=GIVEN)
    assert ran.returncode == code, ran.stderr + ran.stdout
    report = json.loads(ran.stdout)
    return [finding for finding in report["findings"] if finding["detector"] == "known-secret"]


SHARED = layer({"srv/shared.txt": f"k={VALUE}\n"}, compression="gz")
BUILDER = layer({"root/.cache/pip/log.txt": f"https://u:{VALUE}@i.example\n"}, compression="gz")


@pytest.fixture(scope="module")
def registry() -> Iterator[RealRegistry]:
    """Debian's docker-registry. Skips with the reason where it cannot be started."""
    with or_skip(docker_registry()) as started:
        yield started


def pushed(registry: RealRegistry, layout: Path, name: str, *, as_index: bool | None = None) -> str:
    """A cache that lies in a layout, in a registry, as `--cache-to type=registry` puts it there; its reference.

    Args:
        as_index: make it an index if it is none, as `image-manifest=false` does.
    """
    [entry] = json.loads((layout / "index.json").read_bytes())["manifests"]
    raw, media_type = (layout / blob_path(entry["digest"])).read_bytes(), entry["mediaType"]
    if as_index and media_type == OCI_MANIFEST:
        manifest = json.loads(raw)
        listed = [*manifest["layers"], manifest["config"]]
        raw, media_type = dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}), OCI_INDEX
    blobs = [path.read_bytes() for path in (layout / "blobs" / "sha256").iterdir()]
    return registry.upload(name, "buildcache", media_type, raw, blobs)


@pytest.mark.parametrize("as_index", [False, True], ids=["manifest", "index"])
def test_a_cache_in_a_registry(
    tmp_path: Path, leakscan: Leakscan, registry: RealRegistry, as_index: bool
) -> None:
    """The same findings as from a directory, with commands of their own; the image may be there, too, or an archive."""
    archive = write(tmp_path / "image.tar", image_of(SHARED).docker_archive())
    kept = cache(tmp_path / "cache", SHARED, BUILDER, as_index=as_index)
    reference = pushed(registry, kept, f"team/app{as_index:d}")
    built = image_of(SHARED)
    image = registry.upload("team/app", "1", OCI_MANIFEST, built.manifest(), built.blobs().values())
    local, remote = (f"type=local,src={kept}", f"type=registry,ref={reference}")

    here = findings(leakscan, archive, "--cache-from", local)
    there = findings(leakscan, archive, "--cache-from", remote)
    report = ("--format", f"json={tmp_path}/report.json")
    beside = findings(leakscan, f"registry:{image}", "--cache-from", remote, *report)

    assert {each["surface"] for each in there} == {"layer", "cache"}
    assert [each["proof"]["hmac"] for each in here] == [each["proof"]["hmac"] for each in there]
    assert [each["id"] for each in beside] == [each["id"] for each in there]
    [shown] = [each["proof"]["command"] for each in here if each["surface"] == "cache"]
    assert subprocess.run(["sh", "-c", shown], stdout=subprocess.PIPE).stdout == VALUE.encode()
    for found in (there, beside):
        [shown] = [each["proof"]["command"] for each in found if each["surface"] == "cache"]
        assert shown.startswith(f"crane blob {reference.rpartition(':')[0]}@{BUILDER.digest} | ")
    for words in (remote, reference):
        assert leakscan("verify", tmp_path / "report.json", *SECRET, "--cache-from", words, env=GIVEN).returncode == 0
    unproved = leakscan("verify", tmp_path / "report.json", *SECRET, env=GIVEN)
    assert (unproved.returncode, "--cache-from" in unproved.stdout) == (3, True), unproved.stdout


@pytest.mark.parametrize("as_index", [False, True], ids=["manifest", "index"])
def test_a_cache_of_a_real_build_in_a_registry(
    leakscan: Leakscan, registry: RealRegistry, samples: Path, as_index: bool
) -> None:
    """What BuildKit exported says the same from a registry as from its directory, in either form."""
    reference = pushed(registry, samples / "cache-max", f"real{as_index:d}", as_index=as_index)
    image = samples / "oci" / "docker-exporter.tar"
    secret = ("--secret", "id=arg,env=ARG", "--format", "json")
    given = {"ARG": "BARGSECRET@server"}

    runs = [leakscan(image, "--cache-from", words, *secret, env=given)
            for words in (f"type=local,src={samples}/cache-max", f"type=registry,ref={reference}")]  # fmt: skip

    here, there = ([(f["id"], f["path"], f["proof"]["hmac"]) for f in json.loads(ran.stdout)["findings"]
                    if f["surface"] == "cache"] for ran in runs)  # fmt: skip
    assert any("root/.cache/pip/log.txt" in path for _, path, _ in there)
    assert here == there


def test_what_is_no_cache_in_a_registry(tmp_path: Path, leakscan: Leakscan, registry: RealRegistry) -> None:
    """An image, a name that nobody has, a part that is gone: told, and the scan is not called complete."""
    path = write(tmp_path / "image.tar", image_of(layer({"a": "b"})).docker_archive())
    plain = image_of(layer({"c": "d"}))
    image = registry.upload("plain", "1", OCI_MANIFEST, plain.manifest(), plain.blobs().values())

    wrong = leakscan(path, "--cache-from", f"type=registry,ref={image}")
    none = leakscan(path, "--cache-from", f"type=registry,ref={registry.address}/none:1")

    assert (wrong.returncode, "is no build cache" in wrong.stderr) == (3, True)
    assert (none.returncode, "has no such build cache" in none.stderr) == (3, True)


def test_a_reference_that_is_none_is_told_with_the_reason(tmp_path: Path, leakscan: Leakscan) -> None:
    """And with how caches are named where nothing better is known: not how images are."""
    for given, reason, tip in (
        ("type=registry,ref=Upper/Case", "Upper/Case is no image reference", "try upper/case"),
        ("type=registry,ref=foo:bad tag", "foo:bad tag has no valid tag", "A tag is up to 128"),
        ("type=registry", "an empty name is no image reference", "Write type=local,src=DIR or type=registry,ref=REF."),
        (str(tmp_path), "is no image reference", "Write type=local,src=DIR or type=registry,ref=REF."),
    ):
        ran = leakscan("x.tar", "--cache-from", given)
        assert ran.returncode == 2 and reason in ran.stderr and tip in ran.stderr


def test_a_directory_of_a_cache_s_name_is_told_beside_the_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the registry said, with its tip, stays what it was."""
    monkeypatch.chdir(tmp_path)
    fault = RegistryFault("registry.denied", "it refuses", "Log in.")

    def refused(*_: object) -> OpenedImage:
        raise fault

    monkeypatch.setattr(withcache, "add_remote_cache", refused)
    (tmp_path / "cache").mkdir()

    with pytest.raises(RegistryFault) as raised:
        with_cache(OpenedImage.__new__(OpenedImage), Cache(reference="cache"), Limits())
    assert raised.value is fault
    assert fault.tip == "Log in. The directory of that name is type=local,src=cache"


def test_a_part_of_a_cache_that_the_registry_lost(tmp_path: Path, leakscan: Leakscan) -> None:
    """It is a gap with a name, so nothing can be called absent."""
    path = write(tmp_path / "image.tar", image_of(layer({"a": "b"})).docker_archive())
    config = dumps({"layers": [], "records": []})
    raw = dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor_of(config, CACHE_CONFIG),
                 "layers": [BUILDER.described()]})  # fmt: skip
    with memory_registry() as memory:
        memory.manifests["team/app", "buildcache"] = raw, OCI_MANIFEST
        memory.blobs[sha256(config)] = config

        words = ("--cache-from", f"type=registry,ref={memory.address}/team/app:buildcache")
        ran = leakscan(path, *words, *SECRET, "--format", "json", env=GIVEN)

    report = json.loads(ran.stdout)
    assert (ran.returncode, report["verdict"], report["known_secrets"][0]["verdict"]) == (3, "incomplete", "unknown")
    assert "blob.missing" in {gap["reason"] for gap in report["coverage"]["gaps"]}


@pytest.mark.parametrize("as_index", [False, True], ids=["manifest", "index"])
def test_a_layer_that_only_the_cache_has(tmp_path: Path, leakscan: Leakscan, as_index: bool) -> None:
    """The stage that never reached the image is searched; what the image has too is its own finding only."""
    path = write(tmp_path / "image.tar", image_of(SHARED).docker_archive())
    kept = cache(tmp_path / "cache", SHARED, BUILDER, as_index=as_index)

    report = f"json={tmp_path}/report.json"
    found = findings(leakscan, path, "--cache-from", f"type=local,src={kept}", "--format", report)

    found.sort(key=lambda each: each["surface"])
    assert [(each["surface"], each["path"]) for each in found] == [
        ("cache", f"cache only, layer {BUILDER.digest}: root/.cache/pip/log.txt"),
        ("layer", "srv/shared.txt"),
    ]
    assert found[0]["proof"]["blob"] == BUILDER.digest
    again = ("verify", tmp_path / "report.json", *SECRET)
    assert leakscan(*again, "--cache-from", f"type=local,src={kept}", env=GIVEN).returncode == 0
    assert leakscan("verify", tmp_path / "report.json").returncode == 3


def test_an_annotation_that_lies_about_a_layer(tmp_path: Path, leakscan: Leakscan) -> None:
    """A cache layer counts as the image's own by the digest of its bytes, never by what is said of it."""
    own = layer({"srv/a": "nothing"})
    liar = layer({"srv/b": VALUE}, compression="gz", diff_id=own.diff_id)
    path = write(tmp_path / "image.tar", image_of(own).docker_archive())

    [found] = findings(leakscan, path, "--cache-from", f"type=local,src={cache(tmp_path / 'c', liar, as_index=False)}")

    assert found["surface"] == "cache"


@pytest.mark.parametrize("stored", [None, b"other bytes"], ids=["missing", "other"])
def test_a_layer_that_the_image_only_claims(tmp_path: Path, leakscan: Leakscan, stored: bytes | None) -> None:
    """What a config says that the image has, and the image does not hold, is found where it is: in the cache."""
    image = image_of(layer({"srv/a": "nothing"}), BUILDER)
    content = [each for each in layout_members(image) if each.name != blob_path(BUILDER.digest)]
    if stored is not None:
        content.append(file(blob_path(BUILDER.digest), stored))
    path = write_all(tmp_path / "image", content)
    kept = cache(tmp_path / "cache", BUILDER, as_index=False)

    [found] = findings(leakscan, path, "--cache-from", f"type=local,src={kept}")

    assert found["surface"] == "cache"


def test_a_cache_layer_that_is_not_there(tmp_path: Path, leakscan: Leakscan) -> None:
    """It is a gap, so nothing can be called absent."""
    kept = cache(tmp_path / "cache", BUILDER, as_index=False)
    (kept / blob_path(BUILDER.digest)).unlink()
    path = write(tmp_path / "image.tar", image_of(layer({"a": "b"})).docker_archive())

    assert findings(leakscan, path, "--cache-from", f"type=local,src={kept}", code=3) == []


def test_what_is_no_cache(tmp_path: Path, leakscan: Leakscan) -> None:
    """A directory without an export is told; other types and directories that are not there are wrong usage."""
    path = write(tmp_path / "image.tar", image_of(layer({"a": "b"})).docker_archive())
    image_of(layer({"a": "b"})).oci_dir(tmp_path / "layout")

    ran = leakscan(path, "--cache-from", f"type=local,src={tmp_path}/layout")

    assert (ran.returncode, "holds no build cache" in ran.stderr) == (3, True)
    assert leakscan(path, "--cache-from", "type=gha").returncode == 2
    assert leakscan(path, "--cache-from", '"type=local').returncode == 2
    assert leakscan(path, "--cache-from", f"type=local,src={tmp_path}/none").returncode == 2


def test_a_cache_beside_an_image_in_one_layout(tmp_path: Path, leakscan: Leakscan) -> None:
    """Its layers are searched as those of a cache; the image alone decides what is an image."""
    image = image_of(layer({"a": "b"}))
    config = dumps({"layers": [], "records": []})
    described = descriptor_of(config, CACHE_CONFIG)
    manifest = dumps({"schemaVersion": 2, "config": described, "layers": [BUILDER.described()]})
    index = dumps({"schemaVersion": 2, "manifests": [
        descriptor_of(image.manifest(), OCI_MANIFEST), descriptor_of(manifest, OCI_MANIFEST)]})  # fmt: skip
    path = write_all(tmp_path / "l", layout_members(image, index=index, blobs=[config, manifest, BUILDER.stored]))

    [found] = findings(leakscan, path)

    assert found["surface"] == "cache"


def attested(image: BuiltImage, *statements: object, artifact: bool, tag: str = "") -> tuple[bytes, list[bytes]]:
    """index.json and further blobs of an image with statements, in BuildKit's old shape or as an artifact."""
    raw = [dumps(each) for each in statements]
    layers = [descriptor_of(each, IN_TOTO, annotations={"in-toto.io/predicate-type": "x"}) for each in raw]
    empty = b"{}" if artifact else dumps({"architecture": "unknown", "os": "unknown", "rootfs": {"diff_ids": []}})
    kind = "application/vnd.oci.empty.v1+json" if artifact else "application/vnd.oci.image.config.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor_of(empty, kind), "layers": layers}
    marks = {"vnd.docker.reference.type": "attestation-manifest"}
    if artifact:
        manifest["artifactType"] = "application/vnd.docker.attestation.manifest.v1+json"
        manifest["subject"] = descriptor_of(image.manifest(), OCI_MANIFEST)
        marks = {}
    if tag:
        marks = {"org.opencontainers.image.ref.name": tag}
    own = descriptor_of(dumps(manifest), OCI_MANIFEST, annotations=marks)
    entries = [descriptor_of(image.manifest(), OCI_MANIFEST), own]
    return dumps({"schemaVersion": 2, "manifests": entries}), [dumps(manifest), empty, *raw]


DOCKERFILE = f"FROM scratch\nRUN --mount=type=cache TOKEN={VALUE} make\n"
PACKED = base64.b64encode(DOCKERFILE.encode()).decode()
V02 = {
    "predicateType": "https://slsa.dev/provenance/v0.2",
    "predicate": {
        "invocation": {"parameters": {"args": {"build-arg:TOKEN": VALUE}}, "configSource": {"uri": f"https://x:{VALUE}@h/r"}},
        "buildConfig": {"llbDefinition": [
            {"op": {"Op": {"exec": {"meta": {"env": [f"T={VALUE}"], "proxy_env": {"http_proxy": f"http://u:{VALUE}@p"}}}}}},
            {"op": {"Op": {"file": {"actions": [{"Action": {"mkfile": {"data": PACKED}}}]}}}},
        ]},
        "metadata": {"https://mobyproject.org/buildkit@v1#metadata": {"source": {"infos": [{"data": PACKED}]}}},
        "materials": [{"uri": f"pkg:git/{VALUE}"}],
    },
}  # fmt: skip
V1 = {
    "predicateType": "https://slsa.dev/provenance/v1",
    "predicate": {
        "buildDefinition": {
            "externalParameters": {"request": {"args": {"build-arg:TOKEN": VALUE}}},
            "internalParameters": {"buildConfig": {"llbDefinition": [
                {"op": {"Op": {"exec": {"meta": {"args": [VALUE]}}}}},
            ]}},
            "resolvedDependencies": [{"uri": f"https://x:{VALUE}@h/r"}],
        },
        "runDetails": {"metadata": {"buildkit_metadata": {"source": {"infos": [{"data": PACKED}]}}}},
    },
}  # fmt: skip
SBOM = {"predicateType": "https://spdx.dev/Document", "predicate": {"packages": [{"downloadLocation": f"https://u:{VALUE}@h"}]}}
PLACES = {
    "v0.2": (V02, {
        'predicate.invocation.parameters.args["build-arg:TOKEN"]', "predicate.invocation.configSource.uri",
        "predicate.buildConfig.llbDefinition[0].op.Op.exec.meta.env[0]",
        "predicate.buildConfig.llbDefinition[0].op.Op.exec.meta.proxy_env.http_proxy",
        "predicate.buildConfig.llbDefinition[1].op.Op.file.actions[0].Action.mkfile.data",
        'predicate.metadata["https://mobyproject.org/buildkit@v1#metadata"].source.infos[0].data',
        "predicate.materials[0].uri",
    }),
    "v1": (V1, {
        'predicate.buildDefinition.externalParameters.request.args["build-arg:TOKEN"]',
        "predicate.buildDefinition.internalParameters.buildConfig.llbDefinition[0].op.Op.exec.meta.args[0]",
        "predicate.buildDefinition.resolvedDependencies[0].uri",
        "predicate.runDetails.metadata.buildkit_metadata.source.infos[0].data",
    }),
    "sbom": (SBOM, {"predicate.packages[0].downloadLocation"}),
}  # fmt: skip


@pytest.mark.parametrize("artifact", [False, True], ids=["image shape", "artifact shape"])
@pytest.mark.parametrize("kind", PLACES)
def test_statements_about_an_image(tmp_path: Path, leakscan: Leakscan, kind: str, artifact: bool) -> None:
    """Every field of provenance and SBOM that can hold a secret is named by its JSON path, what is packed included."""
    image = image_of(layer({"a": "b"}))
    statement, places = PLACES[kind]
    index, blobs = attested(image, statement, artifact=artifact)
    path = write_all(tmp_path / "l", layout_members(image, index=index, blobs=blobs))

    found = findings(leakscan, path)

    assert {each["surface"] for each in found} == {"attestation"}
    assert {each["path"].partition(": ")[2] for each in found} == places


def test_a_signed_statement_under_a_tag(tmp_path: Path, leakscan: Leakscan) -> None:
    """What lies under `sha256-….att` is about an image, not one; its envelope's payload is opened."""
    image = image_of(layer({"a": "b"}))
    envelope = {"payloadType": IN_TOTO, "payload": base64.b64encode(dumps(SBOM)).decode(), "signatures": []}
    index, blobs = attested(image, envelope, artifact=False, tag=f"sha256-{sha256(image.manifest())[7:]}.att")
    path = write_all(tmp_path / "l", layout_members(image, index=index, blobs=blobs))

    ran = leakscan(path, *SECRET, "--format", "json", env=GIVEN)

    report = json.loads(ran.stdout)
    [found] = [each for each in report["findings"] if each["detector"] == "known-secret"]
    assert (found["surface"], found["encoding"]) == ("attestation", ["base64"])
    assert found["path"].endswith(": payload")
    assert "image" in report and report["verdict"] == "leaked"


def test_a_large_bill_of_materials(tmp_path: Path, leakscan: Leakscan) -> None:
    """Statements larger than other documents may be are searched string by string, without a gap."""
    image = image_of(layer({"a": "b"}))
    packages = [{"name": f"package-{number}", "note": "x" * 400} for number in range(12_000)]
    statement = {"predicate": {"packages": [*packages, {"downloadLocation": f"https://u:{VALUE}@h\n"}]}}
    index, blobs = attested(image, statement, artifact=False)
    path = write_all(tmp_path / "l", layout_members(image, index=index, blobs=blobs))

    [found] = findings(leakscan, path)

    assert found["path"].endswith("predicate.packages[12000].downloadLocation")
    assert len(dumps(statement)) > 4 << 20


@pytest.mark.parametrize("form", ["docker_archive", "oci_archive"])
def test_an_image_in_an_image(tmp_path: Path, leakscan: Leakscan, form: str) -> None:
    """A saved image that was copied into a layer is opened, its deleted files included."""
    inner = image_of(layer({"root/.netrc": f"password {VALUE}\n"}, compression="gz"), layer({"root/.wh..netrc": ""}))
    outer = image_of(layer({"opt/inner.tar": getattr(inner, form)()}))
    path = write(tmp_path / "image.tar", outer.docker_archive())

    [found] = findings(leakscan, path)

    assert (found["path"], found["inside"][-1]) == ("opt/inner.tar", "root/.netrc")


def test_annotations_and_data_of_descriptors(tmp_path: Path, leakscan: Leakscan) -> None:
    """Annotations of index, manifest and layers, and what a descriptor embeds, are searched."""
    one = layer({"a": "b"}, descriptor={"annotations": {"note": f"built with {VALUE}"}})
    image = image_of(one, annotations={"key": VALUE})
    data = base64.b64encode(f"token {VALUE}".encode()).decode()
    entry = {**descriptor_of(image.manifest(), OCI_MANIFEST, annotations={"own": VALUE}), "data": data}
    index = dumps({"schemaVersion": 2, "manifests": [entry], "annotations": {"all": VALUE}})
    path = write_all(tmp_path / "l", layout_members(image, index=index))

    found = findings(leakscan, path)

    assert {each["surface"] for each in found} == {"annotation"}
    assert {each["path"].partition(": ")[2] for each in found} == {
        "annotations.all", "annotations.key", "layers[0].annotations.note", "manifests[0].annotations.own",
        "manifests[0].data",
    }  # fmt: skip
