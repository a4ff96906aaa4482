"""Manifests, indexes and configs as frozen values, checked at the door.

A document that two readers could take for different things is refused: an index that is a manifest too, keys in a
second spelling, values of the wrong type, digests that are no digests (none ever becomes part of a path unchecked),
sizes that are no sizes.

Sources: image-spec manifest.md, image-index.md, config.md, descriptor.md; distribution's manifest-v2-2 and
manifest-v2-1 (schema 1) pages; moby image/tarexport for docker-archive's manifest.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scanner.image.documents import folded_keys, parse, refusal
from scanner.limits import Limits
from scanner.oci import Config, Descriptor, HistoryEntry, Platform, is_digest

CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0"
IN_TOTO = "application/vnd.in-toto+json"
_IMAGE_CONFIGS = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
        "application/octet-stream",  # Docker 1.10 pushed configs so
        "",
    }
)
_MANIFEST_KEYS = frozenset(
    {"mediaType", "config", "layers", "manifests", "fsLayers", "history", "annotations", "subject", "artifactType"}
)
_DESCRIPTOR_KEYS = frozenset(
    {"mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType", "blobSum"}
)
_CONFIG_KEYS = frozenset({"architecture", "os", "variant", "rootfs", "history", "config"})
_HISTORY_KEYS = frozenset({"created", "created_by", "author", "comment", "empty_layer"})
_ENTRY_KEYS = frozenset({"Config", "Layers", "RepoTags", "LayerSources", "Parent"})
_LARGEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest: a config and layers, base first. *layers* are as listed, repeated ones too."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = ""
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Descriptor | None = None

    @property
    def is_image(self) -> bool:
        """Whether the config is an image config; otherwise this is an artifact of another kind."""
        return self.config.media_type in _IMAGE_CONFIGS

    @property
    def is_cache(self) -> bool:
        """Whether this is a BuildKit cache export."""
        return self.config.media_type == CACHE_CONFIG

    @property
    def is_attestation(self) -> bool:
        """Whether this says of itself that it holds statements about an image (BuildKit's artifact shape)."""
        return self.artifact_type.startswith("application/vnd.docker.attestation.")


@dataclass(frozen=True, slots=True)
class Index:
    """An image index (or Docker manifest list)."""

    manifests: tuple[Descriptor, ...]
    media_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_cache(self) -> bool:
        """Whether this is a BuildKit cache export in its older shape: an index of layers."""
        return any(each.media_type == CACHE_CONFIG for each in self.manifests)


@dataclass(frozen=True, slots=True)
class Schema1:
    """A Docker schema 1 manifest, turned to base first. *layers* are digests, without those of throwaway entries."""

    layers: tuple[str, ...]
    history: tuple[HistoryEntry, ...]
    platform: Platform


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """One image of a docker-archive's manifest.json: paths of members, layers base first."""

    config: str
    layers: tuple[str, ...]
    tags: tuple[str, ...] = ()


def read_manifest(raw: bytes, name: str, limits: Limits) -> Manifest | Index | Schema1:
    """The manifest, index or schema 1 manifest in *raw*. Raises MalformedImage; *name* is for its message."""
    document = _object(parse(raw, name, limits), name)
    folded_keys(document, _MANIFEST_KEYS, name)
    shapes: list[str] = [key for key in ("manifests", "layers", "fsLayers") if key in document]
    if "config" in document and "layers" not in document:
        shapes.append("config")
    if len(shapes) > 1 or ("manifests" in document and "config" in document):
        raise refusal(name, "can be read as more than one kind of document")
    media_type = _text(document, "mediaType", name)
    if shapes == ["manifests"]:
        if ".manifest.v1" in media_type or ".manifest.v2" in media_type:
            raise refusal(name, "is an index that calls itself a manifest")
        return _index(document, media_type, name, limits)
    if shapes == ["layers"] and "config" in document:
        if ".index." in media_type or "manifest.list" in media_type:
            raise refusal(name, "is a manifest that calls itself an index")
        return _manifest(document, media_type, name)
    if shapes == ["fsLayers"]:
        return _schema1(document, name, limits)
    raise refusal(name, "is neither a manifest nor an index")


def _index(document: Mapping[str, Any], media_type: str, name: str, limits: Limits) -> Index:
    entries = _array(document, "manifests", name)
    if len(entries) > limits.index_manifests:
        raise refusal(name, f"lists {len(entries)} manifests, more than {limits.index_manifests}")
    found = tuple(_descriptor(entry, f"{name}: manifests[{place}]") for place, entry in enumerate(entries))
    return Index(found, media_type, _annotations(document, name))


def _manifest(document: Mapping[str, Any], media_type: str, name: str) -> Manifest:
    layers = enumerate(_array(document, "layers", name))
    subject = document.get("subject")
    return Manifest(
        _descriptor(document["config"], f"{name}: config"),
        tuple(_descriptor(entry, f"{name}: layers[{place}]") for place, entry in layers),
        media_type,
        _text(document, "artifactType", name),
        _annotations(document, name),
        None if subject is None else _descriptor(subject, f"{name}: subject"),
    )


def _descriptor(entry: Any, name: str) -> Descriptor:
    entry = _object(entry, name)
    folded_keys(entry, _DESCRIPTOR_KEYS, name)
    size = entry.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _LARGEST:
        raise refusal(name, "has no valid size")
    platform = entry.get("platform")
    return Descriptor(
        _text(entry, "mediaType", name),
        _digest(entry.get("digest"), name),
        size,
        _annotations(entry, name),
        _texts(entry, "urls", name),
        None if platform is None else _platform(_object(platform, f"{name}.platform"), name),
        _text(entry, "artifactType", name),
        _text(entry, "data", name),
    )


def _schema1(document: Mapping[str, Any], name: str, limits: Limits) -> Schema1:
    """The lists of schema 1 are newest first and of one length (manifest-v2-1, fields `fsLayers` and `history`)."""
    blobs = [_object(entry, name) for entry in _array(document, "fsLayers", name)]
    entries = [_object(entry, name) for entry in _array(document, "history", name)]
    if len(blobs) != len(entries):
        raise refusal(name, "lists not as many layers as history entries")
    layers, history = [], []
    platform = Platform("linux", _text(document, "architecture", name))
    for place in reversed(range(len(blobs))):
        where = f"{name}: history[{place}].v1Compatibility"
        text = _text(entries[place], "v1Compatibility", name).encode(errors="replace")
        step = _object(parse(text, where, limits), where)
        throwaway = step.get("throwaway") is True
        if not throwaway:
            layers.append(_digest(blobs[place].get("blobSum"), name))
        history.append(_step(step, throwaway, where))
        if place == 0:
            platform = Platform(_text(step, "os", where) or platform.os, platform.architecture)
    return Schema1(tuple(layers), tuple(history), platform)


def _step(step: Mapping[str, Any], throwaway: bool, name: str) -> HistoryEntry:
    """One v1Compatibility as a history entry; the command is the container's, joined as engines join it."""
    container = step.get("container_config")
    command = _texts(container, "Cmd", name) if isinstance(container, dict) else ()
    comment, author, created = (_text(step, key, name) for key in ("comment", "author", "created"))
    return HistoryEntry(" ".join(command), comment, author, created, throwaway)


def read_config(raw: bytes, name: str, limits: Limits) -> Config:
    """The image config in *raw*. Raises MalformedImage; *name* is for its message."""
    document = _object(parse(raw, name, limits), name)
    folded_keys(document, _CONFIG_KEYS, name)
    rootfs = _object(document.get("rootfs") or {}, f"{name}: rootfs")
    folded_keys(rootfs, frozenset({"diff_ids", "type"}), name)
    diff_ids = tuple(_digest(each, f"{name}: rootfs.diff_ids") for each in _array(rootfs, "diff_ids", name))
    history = tuple(_history(each, f"{name}: history") for each in _array(document, "history", name))
    return Config(_platform(document, name), diff_ids, history)


def _history(entry: Any, name: str) -> HistoryEntry:
    entry = _object(entry, name)
    folded_keys(entry, _HISTORY_KEYS, name)
    empty = entry.get("empty_layer")
    if not (empty is None or isinstance(empty, bool)):
        raise refusal(name, "has an empty_layer that is neither true nor false")
    created_by, comment, author, created = (
        _text(entry, key, name) for key in ("created_by", "comment", "author", "created")
    )
    return HistoryEntry(created_by, comment, author, created, bool(empty))


def read_archive_manifest(raw: bytes, name: str, limits: Limits) -> tuple[ArchiveEntry, ...]:
    """The images of a docker-archive's manifest.json. Raises MalformedImage."""
    document = parse(raw, name, limits)
    if not isinstance(document, list):
        raise refusal(name, "is no list of images")
    if len(document) > limits.index_manifests:
        raise refusal(name, f"lists {len(document)} images, more than {limits.index_manifests}")
    found = []
    for place, entry in enumerate(document):
        where = f"{name}[{place}]"
        entry = _object(entry, where)
        folded_keys(entry, _ENTRY_KEYS, where)
        config = _text(entry, "Config", where)
        if not config:
            raise refusal(where, "names no config")
        found.append(ArchiveEntry(config, _texts(entry, "Layers", where), _texts(entry, "RepoTags", where)))
    return tuple(found)


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refusal(name, "is no JSON object")
    return value


def _array(document: Mapping[str, Any], key: str, name: str) -> list[Any]:
    value = document.get(key)
    if value is None:  # Go writes an empty list as null
        return []
    if not isinstance(value, list):
        raise refusal(name, f"has a {key} that is no list")
    return value


def _text(document: Mapping[str, Any], key: str, name: str) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise refusal(name, f"has a {key} that is no string")
    return value


def _texts(document: Mapping[str, Any], key: str, name: str) -> tuple[str, ...]:
    values = _array(document, key, name)
    if not all(isinstance(value, str) for value in values):
        raise refusal(name, f"has a {key} that holds something else than strings")
    return tuple(values)


def _annotations(document: Mapping[str, Any], name: str) -> dict[str, str]:
    value = document.get("annotations")
    found = _object({} if value is None else value, f"{name}: annotations")
    if not all(isinstance(each, str) for each in found.values()):
        raise refusal(name, "has annotations that are no strings")
    return found


def _digest(value: object, name: str) -> str:
    if not isinstance(value, str) or not is_digest(value):
        raise refusal(name, "has no valid digest")
    return value


def _platform(document: Mapping[str, Any], name: str) -> Platform:
    return Platform(*(_text(document, key, name) for key in ("os", "architecture", "variant")))
