"""The archive that `docker save` writes, without its layers: every header, every document, byte for byte.

Engines before 25 write for each layer a directory named by an id that is made up for this purpose, with the config of
an image as of Docker 1.9; then the config, `manifest.json` and `repositories`, all in order of their names. From 25 on
it is an OCI layout that holds these documents, too.

Source: moby v20.10 and v28.5 image/tarexport/save.go, image/v1/imagev1.go, image/image.go,
api/types/container/config.go.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scanner.image.golike import Archive, Hole, blob_path, go_json, index_of
from scanner.image.layout import CONTAINERD_NAME, REF_NAME
from scanner.oci import chain_ids

_EPOCH = "1970-01-01T00:00:00Z"
_NO_TIME = "0001-01-01T00:00:00Z"
_FILE = 0o100644  # old engines write the kind of a file with its mode
_OCI = "application/vnd.oci.image."
_MANIFEST, _CONFIG, _LAYER = f"{_OCI}manifest.v1+json", f"{_OCI}config.v1+json", f"{_OCI}layer.v1.tar"


@dataclass(frozen=True, slots=True)
class _Form:
    """What differs in the config of an image as of Docker 1.9: a time not told, the fields of a health check."""

    no_time: str | None
    health: tuple[str, ...]


_OLD = _Form(_NO_TIME, ("Test", "Interval", "Timeout", "StartPeriod", "Retries"))
_NEW = _Form(None, ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"))


def archive(
    raw: bytes, config: Mapping[str, Any], tags: Sequence[str], sizes: Sequence[int]
) -> Iterator[bytes | Hole]:
    """The pieces of the archive of one image as engines before 25 write it, in order.

    Args:
        raw, config: the image's config as it is stored, and as a value.
        tags: as `name:tag`, those it is exported by.
        sizes: bytes of each layer's tar.

    Raises KeyError, TypeError, ValueError if the config is not one that an engine makes.
    """
    diff_ids = [str(each) for each in config["rootfs"]["diff_ids"]]
    ids, documents = _layers(config, diff_ids, _OLD)
    time = _seconds(config.get("created", _NO_TIME))
    config_name = f"{hashlib.sha256(raw).hexdigest()}.json"
    made, first = Archive("root"), dict[str, str]()
    for index, (id_, document) in enumerate(zip(ids, documents, strict=True)):
        name = f"{id_}/layer.tar"
        made.folder(f"{id_}/", time, 0o40755)
        made.file(f"{id_}/VERSION", b"1.0", time, _FILE)
        made.file(f"{id_}/json", document, time, _FILE)
        if diff_ids[index] in first:
            made.link(name, f"../{first[diff_ids[index]]}/layer.tar", time, 0o120777)
        else:
            first[diff_ids[index]] = id_
            made.hole(name, Hole(index, sizes[index]), time, _FILE)
    made.file(config_name, raw, time, _FILE)
    manifest = [{"Config": config_name, "RepoTags": list(tags) or None, "Layers": [f"{id_}/layer.tar" for id_ in ids]}]
    made.file("manifest.json", go_json(manifest).encode() + b"\n", 0, _FILE)
    if tags:
        made.file("repositories", _repositories(tags, ids[-1]), 0, _FILE)
    yield from made.pieces()


def layout(
    raw: bytes, config: Mapping[str, Any], tags: Sequence[str], sizes: Sequence[int]
) -> Iterator[bytes | Hole]:
    """The same as engines from 25 on write it out of the storage of a graph driver: an OCI layout with Docker's
    documents beside it, and what was each layer's document as a blob that nothing refers to."""
    diff_ids = [str(each) for each in config["rootfs"]["diff_ids"]]
    _, documents = _layers(config, diff_ids, _NEW)
    time = _seconds(config.get("created", _NO_TIME))
    made = Archive()
    made.folder("blobs/", time)
    made.folder("blobs/sha256/", time)

    def add_blob(content: bytes, time: int) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        made.file(blob_path(digest), content, time)
        return {"digest": digest, "size": len(content)}

    for document in documents:
        add_blob(document, time)
    for index, diff_id in enumerate(diff_ids):
        made.hole(blob_path(diff_id), Hole(index, sizes[index]), time)
    sources = dict(zip(diff_ids, sizes, strict=True))
    layers = [{"mediaType": _LAYER, "digest": each, "size": sources[each]} for each in diff_ids]
    kept = add_blob(raw, time)
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": {"mediaType": _CONFIG, **kept}, "layers": layers}
    entry = {"mediaType": _MANIFEST, **add_blob(go_json(manifest).encode(), 0)}
    entries = [{**entry, "annotations": naming(each)} for each in tags] or [entry]
    made.file("index.json", index_of(entries), 0)
    named = {"Config": blob_path(str(kept["digest"])), "RepoTags": list(tags) or None,
             "Layers": [blob_path(each) for each in diff_ids],
             "LayerSources": {each: {"mediaType": _LAYER, "size": sources[each], "digest": each}
                              for each in sorted(sources)}}  # fmt: skip
    made.file("manifest.json", go_json([named]).encode() + b"\n", 0)
    made.file("oci-layout", b'{"imageLayoutVersion": "1.0.0"}', 0)
    if tags:
        made.file("repositories", _repositories(tags, diff_ids[-1].removeprefix("sha256:")), 0)
    yield from made.pieces()


def naming(tag: str) -> dict[str, str]:
    """What index.json says of an image by the name `name:tag`, with the registry and folder that are left out in it."""
    first, slash, _ = tag.partition("/")
    known = slash and ("." in first or ":" in first or first == "localhost")
    full = tag if known else f"docker.io/{tag}" if slash else f"docker.io/library/{tag}"
    return {CONTAINERD_NAME: full, REF_NAME: tag.rpartition(":")[2]}


def _repositories(tags: Sequence[str], id: str) -> bytes:
    """The document that names the last layer of each tag."""
    found: dict[str, dict[str, str]] = {}
    for tag in tags:
        repository, _, version = tag.rpartition(":")
        found.setdefault(repository, {})[version] = id
    return go_json({each: dict(sorted(found[each].items())) for each in sorted(found)}).encode() + b"\n"


def _layers(config: Mapping[str, Any], diff_ids: Sequence[str], form: _Form) -> tuple[list[str], list[bytes]]:
    """The id of each layer, and the document in its directory. Raises ValueError if the engine may write them anew."""
    _check(config)
    ids, documents = [], []
    parent = ""
    for index, chain in enumerate(chain_ids(diff_ids)):
        last = index == len(diff_ids) - 1
        fields = _v1(config, form) if last else {"created": _EPOCH, "container_config": _container({}, form)}
        named = {**fields, "layer_id": chain, **({"parent": parent} if parent else {})}
        id_ = hashlib.sha256(go_json(dict(sorted(named.items()))).encode()).hexdigest()
        told = {**fields, "id": id_, "parent": parent.removeprefix("sha256:"), "os": config.get("os")}
        document = {key: told[key] for key in _FIELDS if told.get(key) or key == "created"}
        ids.append(id_)
        documents.append(go_json(document).encode())
        parent = f"sha256:{id_}"
    return ids, documents


#: in the order in which an engine writes them
_FIELDS = ("id", "parent", "comment", "created", "container", "container_config", "docker_version", "author", "config",
           "architecture", "variant", "os", "Size")  # fmt: skip


def _check(config: Mapping[str, Any]) -> None:
    """Raise ValueError for what is read and written again in another way: times, keys of another spelling, nulls."""
    created = config.get("created")
    if created is not None and not _TIME.fullmatch(created):
        raise ValueError("a time that Go writes in another way")
    inner = [config.get("config"), config.get("container_config")]
    known = {"config", "container_config", *_FIELDS}, {key for key, _ in _CONTAINER}
    for value, names in ((config, known[0]), *((each, known[1]) for each in inner if each)):
        folded = {name.casefold() for name in names}
        if any(key not in names and key.casefold() in folded for key in value):
            raise ValueError("a key of another spelling")
    if any(None in (part.values() if isinstance(part, Mapping) else part)
           for each in inner if each for part in each.values() if isinstance(part, Mapping | list)):  # fmt: skip
        raise ValueError("a null that Go writes as something else")


#: RFC 3339 without zeros that Go leaves out, and without an offset of nothing
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{0,8}[1-9])?(?:Z|[+-](?!00:00)\d\d:\d\d)")


def _v1(config: Mapping[str, Any], form: _Form) -> dict[str, Any]:
    """The part of a config that Docker 1.9 knew."""
    found: dict[str, Any] = {}
    for key in _FIELDS[2:]:
        value = config.get(key)
        if key == "created":
            found[key] = value or form.no_time
        elif key == "container_config":
            found[key] = _container(value or {}, form)
        elif key == "config":
            if value is not None:
                found[key] = _container(value, form)
        elif value:
            found[key] = value
    return found


def _container(value: Mapping[str, Any], form: _Form) -> dict[str, Any]:
    """A container's config with every field that an engine writes."""
    found: dict[str, Any] = {}
    for key, empty in _CONTAINER:
        given = value.get(key)
        if key in ("Cmd", "Entrypoint", "Shell") and isinstance(given, str):
            given = [given]
        if key == "Healthcheck" and given is not None:
            given = {name: given[name] for name in form.health if given.get(name)}
        elif isinstance(given, Mapping):
            given = dict(sorted(given.items(), key=lambda item: str(item[0]).encode("utf-8", "surrogatepass")))
        if empty is _OMITTED:
            if given or (key in ("StopTimeout", "Healthcheck") and given is not None):
                found[key] = given
        else:
            found[key] = empty if given is None else given
    return found


_OMITTED = object()
_CONTAINER: tuple[tuple[str, object], ...] = (
    ("Hostname", ""), ("Domainname", ""), ("User", ""), ("AttachStdin", False), ("AttachStdout", False),
    ("AttachStderr", False), ("ExposedPorts", _OMITTED), ("Tty", False), ("OpenStdin", False), ("StdinOnce", False),
    ("Env", None), ("Cmd", None), ("Healthcheck", _OMITTED), ("ArgsEscaped", _OMITTED), ("Image", ""),
    ("Volumes", None), ("WorkingDir", ""), ("Entrypoint", None), ("NetworkDisabled", _OMITTED),
    ("MacAddress", _OMITTED), ("OnBuild", None), ("Labels", None), ("StopSignal", _OMITTED),
    ("StopTimeout", _OMITTED), ("Shell", _OMITTED),
)  # fmt: skip


def _seconds(created: str) -> int:
    time = datetime.fromisoformat(f"{created[:19]}+00:00") if created.endswith("Z") else datetime.fromisoformat(created)
    return int(time.astimezone(UTC).timestamp())
