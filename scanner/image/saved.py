"""The archive that `docker save` writes, without its layers: every header, every document, byte for byte.

Engines before 25 write one form: for each layer a directory named by an id that is made up for this purpose, with the
config of an image as of Docker 1.9; then the config, `manifest.json` and `repositories`, all in order of their names.

Source: moby v20.10 image/tarexport/save.go, image/v1/imagev1.go, image/image.go, api/types/container/config.go;
encoding/json.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_BLOCK = 512
_EPOCH = "1970-01-01T00:00:00Z"
_NO_TIME = "0001-01-01T00:00:00Z"
_GO = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029\ud800-\udfff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, slots=True)
class SavedLayer:
    """Where the bytes of a layer belong: the number of the layer, and how many they are."""

    index: int
    size: int


def archive(
    raw: bytes, config: Mapping[str, Any], tags: Sequence[str], sizes: Sequence[int]
) -> Iterator[bytes | SavedLayer]:
    """The pieces of the archive of one image, in order.

    Args:
        raw, config: the image's config as it is stored, and as a value.
        tags: as `name:tag`, those it is exported by.
        sizes: bytes of each layer's tar.

    Raises KeyError, TypeError, ValueError if the config is not one that an engine makes.
    """
    diff_ids = [str(each) for each in config["rootfs"]["diff_ids"]]
    ids, documents = _layers(config, diff_ids)
    time = _seconds(config.get("created", _NO_TIME))
    config_name = f"{hashlib.sha256(raw).hexdigest()}.json"
    made: dict[str, list[bytes | SavedLayer]] = {}
    first: dict[str, str] = {}
    for index, (id_, document) in enumerate(zip(ids, documents, strict=True)):
        name = f"{id_}/layer.tar"
        made[f"{id_}/"] = [_header(f"{id_}/", 0, time, 0o40755, b"5")]
        made[f"{id_}/VERSION"] = _member(f"{id_}/VERSION", b"1.0", time)
        made[f"{id_}/json"] = _member(f"{id_}/json", document, time)
        if diff_ids[index] in first:
            made[name] = [_header(name, 0, time, 0o120777, b"2", f"../{first[diff_ids[index]]}/layer.tar")]
        else:
            first[diff_ids[index]] = id_
            size = sizes[index]
            made[name] = [_header(name, size, time, 0o100644, b"0"), SavedLayer(index, size), bytes(-size % _BLOCK)]
    made[config_name] = _member(config_name, raw, time)
    manifest = [{"Config": config_name, "RepoTags": list(tags) or None, "Layers": [f"{id_}/layer.tar" for id_ in ids]}]
    made["manifest.json"] = _member("manifest.json", _go(manifest).encode() + b"\n", 0)
    if tags:
        repositories: dict[str, dict[str, str]] = {}
        for tag in tags:
            repository, _, version = tag.rpartition(":")
            repositories.setdefault(repository, {})[version] = ids[-1]
        ordered = {each: dict(sorted(found.items())) for each, found in sorted(repositories.items())}
        made["repositories"] = _member("repositories", _go(ordered).encode() + b"\n", 0)
    for name in sorted(made, key=lambda name: name.encode().split(b"/")):
        yield from made[name]
    yield bytes(2 * _BLOCK)


def _layers(config: Mapping[str, Any], diff_ids: Sequence[str]) -> tuple[list[str], list[bytes]]:
    """The id of each layer, and the document in its directory."""
    ids, documents = [], []
    chain = parent = ""
    for index, diff_id in enumerate(diff_ids):
        chain = diff_id if not chain else f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}"
        last = index == len(diff_ids) - 1
        fields = _v1(config) if last else {"created": _EPOCH, "container_config": _container({})}
        named = {**fields, "layer_id": chain, **({"parent": parent} if parent else {})}
        id_ = hashlib.sha256(_go(dict(sorted(named.items()))).encode()).hexdigest()
        told = {**fields, "id": id_, "parent": parent.removeprefix("sha256:"), "os": config.get("os")}
        document = {key: told[key] for key in _FIELDS if told.get(key)}
        ids.append(id_)
        documents.append(_go(document).encode())
        parent = f"sha256:{id_}"
    return ids, documents


#: in the order in which an engine writes them
_FIELDS = ("id", "parent", "comment", "created", "container", "container_config", "docker_version", "author", "config",
           "architecture", "variant", "os", "Size")  # fmt: skip


def _v1(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that Docker 1.9 knew."""
    found: dict[str, Any] = {}
    for key in _FIELDS[2:]:
        value = config.get(key)
        if key == "created":
            found[key] = value or _NO_TIME
        elif key == "container_config":
            found[key] = _container(value or {})
        elif key == "config":
            if value is not None:
                found[key] = _container(value)
        elif value:
            found[key] = value
    return found


def _container(value: Mapping[str, Any]) -> dict[str, Any]:
    """A container's config with every field that an engine writes."""
    found: dict[str, Any] = {}
    for key, empty in _CONTAINER:
        given = value.get(key)
        if key in ("Cmd", "Entrypoint", "Shell") and isinstance(given, str):
            given = [given]
        if key == "Healthcheck" and given is not None:
            given = {name: given[name] for name in _HEALTH if given.get(name)}
        elif isinstance(given, Mapping):
            given = dict(sorted(given.items(), key=lambda item: str(item[0]).encode("utf-8", "surrogatepass")))
        if empty is _OMITTED:
            if given or (key in ("StopTimeout", "Healthcheck") and given is not None):
                found[key] = given
        else:
            found[key] = empty if given is None else given
    return found


_OMITTED = object()
_HEALTH = ("Test", "Interval", "Timeout", "StartPeriod", "Retries")
_CONTAINER: tuple[tuple[str, object], ...] = (
    ("Hostname", ""), ("Domainname", ""), ("User", ""), ("AttachStdin", False), ("AttachStdout", False),
    ("AttachStderr", False), ("ExposedPorts", _OMITTED), ("Tty", False), ("OpenStdin", False), ("StdinOnce", False),
    ("Env", None), ("Cmd", None), ("Healthcheck", _OMITTED), ("ArgsEscaped", _OMITTED), ("Image", ""),
    ("Volumes", None), ("WorkingDir", ""), ("Entrypoint", None), ("NetworkDisabled", _OMITTED),
    ("MacAddress", _OMITTED), ("OnBuild", None), ("Labels", None), ("StopSignal", _OMITTED),
    ("StopTimeout", _OMITTED), ("Shell", _OMITTED),
)  # fmt: skip


def _go(value: object) -> str:
    """JSON as Go writes it: no spaces, keys as they come, characters that HTML minds as escapes."""
    if isinstance(value, str):
        return f'"{_GO.sub(_escaped, value)}"'
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{_go(str(key))}:{_go(item)}' for key, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_go, value))}]"
    return json.dumps(value)


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"
    return _SHORT.get(char) or f"\\u{ord(char):04x}"


def _seconds(created: str) -> int:
    time = datetime.fromisoformat(f"{created[:19]}+00:00") if created.endswith("Z") else datetime.fromisoformat(created)
    return int(time.astimezone(UTC).timestamp())


def _member(name: str, content: bytes, time: int) -> list[bytes | SavedLayer]:
    return [_header(name, len(content), time, 0o100644, b"0"), content, bytes(-len(content) % _BLOCK)]


def _header(name: str, size: int, time: int, mode: int, kind: bytes, link: str = "") -> bytes:
    """A header as Go writes it: the mode with the bits for the kind of file, numbers of devices as zeros."""
    if size >= 8 << 30:
        raise ValueError("larger than a plain header can tell")
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.type, member.linkname = size, max(0, time), kind, link
    member.uname = member.gname = "root"
    block = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    if kind == b"5":
        block[: len(name)] = name.encode()
    block[100:108] = b"%07o\0" % mode
    block[329:345] = b"0000000\0" * 2
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
