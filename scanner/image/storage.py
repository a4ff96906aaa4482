"""An image out of the storage of an engine on this machine, in place of the engine's export.

An export takes several times as long as a scan: the engine writes all layers to its temporary directory, then sends
them. Where its storage can be read, the archive that it would send is put together from there instead, with the same
names, documents and bytes. Layers are put together when they are read, several at a time, while others are matched,
and the scan computes their digests: that a layer is the one that the config names is proved, not believed.

Only what is known to be so is done: the graph driver overlay2 of engines before 25. In doubt the engine exports.
"""

from __future__ import annotations

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from scanner.errors import LeakscanError
from scanner.image import saved, tarsplit
from scanner.image.blob import AwaitedFile, BlobFile, spool
from scanner.image.documents import parse
from scanner.image.store import Store
from scanner.image.tarball import open_tar
from scanner.limits import Limits
from scanner.oci import is_digest

_DRIVER = "overlay2"
_NAME = re.compile(r"[0-9a-z-]{1,128}")
_VERSION = re.compile(r"([0-9]+)\.")
_KNOWN = range(19, 25)  # major versions whose export `saved` writes


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine says that its storage is.

    Attributes:
        root: its data directory.
        driver: its storage driver.
        version: the engine's.
    """

    root: Path
    driver: str
    version: str


class StoredLayer(AwaitedFile):
    """A layer's tar, put together when it is read. Promised is the diffID that the engine has it recorded under."""

    def __init__(self, name: str, split: Path, root: Path, diff_id: str) -> None:
        super().__init__(name, diff_id)
        self._split, self._root = split, root

    def fetch(self, target: BlobFile) -> None:
        """Put it together in *target*. Raises LeakscanError, OSError."""
        tarsplit.reassemble(self._split, self._root, target.fileno())


def stored(place: Place, id: str, tag: str, name: str, limits: Limits) -> Store | None:
    """The archive of an image as a store. Close what it opened.

    Args:
        id: the engine's id of the image, the digest of its config.
        tag: `name:tag` that it is exported by, empty if by its id.
        name: what messages call it.

    Returns:
        None if the storage is not here, cannot be read, or is not of a form that is known.
    """
    version = _VERSION.match(place.version)
    if place.driver != _DRIVER or version is None or int(version[1]) not in _KNOWN or not is_digest(id):
        return None
    file = spool(name)
    try:
        return _stored(place.root / "image" / _DRIVER, place.root / _DRIVER, id, tag, file, limits)
    except (OSError, LeakscanError, LookupError, TypeError, ValueError, AttributeError):
        file.close()
        return None


def _stored(records: Path, files: Path, id: str, tag: str, file: BlobFile, limits: Limits) -> Store | None:
    algorithm, _, encoded = id.partition(":")
    raw = _read(records / "imagedb" / "content" / algorithm / encoded, limits.document_bytes)
    if f"sha256:{hashlib.sha256(raw).hexdigest()}" != id:
        raise ValueError
    config = parse(raw, "config", limits)
    layers = [_layer(records, files, *each) for each in _chain([str(each) for each in config["rootfs"]["diff_ids"]])]
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda layer: tarsplit.size_of(layer[1]), layers))
    at = 0
    places: dict[int, StoredLayer] = {}
    for part in saved.archive(raw, config, [tag] if tag else [], sizes):
        if isinstance(part, bytes):
            os.pwrite(file.fileno(), part, at)
            at += len(part)
        else:  # a hole of the file, which nobody reads
            diff_id, split, root = layers[part.index]
            places[at] = StoredLayer(f"{file.name}, layer {part.index}", split, root, diff_id)
            at += part.size
    store = open_tar(file, limits)
    for path, blob in store.files.items():
        if blob.offset in places and blob.size:
            store.files[path] = replace(blob, file=places[blob.offset], offset=0)
            store.opened.append(places[blob.offset])
    return store


def _chain(diff_ids: list[str]) -> list[tuple[str, str]]:
    """The diffID and chainID of each layer (image-spec config.md#layer-chainid). Raises ValueError."""
    found: list[tuple[str, str]] = []
    for diff_id in diff_ids:
        if not is_digest(diff_id) or not diff_id.startswith("sha256:"):
            raise ValueError
        chain = f"sha256:{hashlib.sha256(f'{found[-1][1]} {diff_id}'.encode()).hexdigest()}" if found else diff_id
        found.append((diff_id, chain))
    if not found:
        raise ValueError
    return found


def _layer(records: Path, files: Path, diff_id: str, chain: str) -> tuple[str, Path, Path]:
    """The diffID of a layer, the record of its tar and the directory of its files. Raises OSError, ValueError."""
    record = records / "layerdb" / "sha256" / chain.removeprefix("sha256:")
    cache_id = _read(record / "cache-id", 256).decode("ascii")
    if _read(record / "diff", 256).decode("ascii") != diff_id or not _NAME.fullmatch(cache_id):
        raise ValueError
    root = files / cache_id / "diff"
    os.close(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
    return diff_id, record / "tar-split.json.gz", root


def _read(path: Path, most: int) -> bytes:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ValueError
    return raw
