"""An image out of the storage of an engine on this machine, in place of the engine's export.

An export takes several times as long as a scan: the engine writes all layers to its temporary directory, then sends
them. Where its storage can be read, the archive that it would send is put together from there instead, with the same
names, documents and bytes. The scan computes the digests of all that is read: that a layer is the one that the config
names is proved, not believed.

Only what is known to be so is done: the graph driver overlay2 of the engines whose export `saved` writes, and
containerd's image store (`contentstore`). In doubt the engine exports.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scanner.errors import LeakscanError
from scanner.image import contentstore, graphdriver, saved
from scanner.image.blob import BlobFile, spool
from scanner.image.golike import Hole
from scanner.image.layout import CONTAINERD_NAME, REF_NAME
from scanner.image.store import Store
from scanner.image.tarball import open_tar
from scanner.limits import Limits
from scanner.oci import Platform, is_digest

_VERSION = re.compile(r"([0-9]+)\.")
_LAYOUT_SINCE = 25
#: major versions whose export of a graph driver's storage is known
KNOWN = range(19, 29)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine says that its storage is.

    Attributes:
        root: its data directory.
        driver: its storage driver.
        version: the engine's.
        containerd: whether images lie in containerd's image store.
    """

    root: Path
    driver: str
    version: str
    containerd: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What an engine says of an image that it has.

    Attributes:
        id: the engine's id of it: the digest of its config or, in containerd's image store, of its manifest or index.
        tag: `name:tag` that it is exported by, empty if by its id.
        platform: the one that the engine would run.
        annotations: of the descriptor of its manifest or index; None if the engine does not tell, which those before
            28 do not.
        whole: digests of the manifests that it leads to of which nothing is missing here; None likewise.
    """

    id: str
    tag: str = ""
    platform: Platform = field(default_factory=Platform)
    annotations: Mapping[str, str] | None = None
    whole: frozenset[str] | None = None


def stored(place: Place, image: Kept, name: str, limits: Limits) -> Store | None:
    """The archive of an image as a store. Close what it opened.

    Args:
        name: what messages call it.

    Returns:
        None if the storage is not here, cannot be read, or is not of a form that is known.
    """
    version = _VERSION.match(place.version)
    if version is None or not is_digest(image.id):
        return None
    file = spool(name)
    try:
        if place.containerd:
            return _opened(*_content(place, image, limits), file, limits)
        # files there belong to the users of images, and only root can surely read all of them
        if place.driver == graphdriver.DRIVER and int(version[1]) in KNOWN and os.geteuid() == 0:
            tags, layout = [image.tag] if image.tag else [], int(version[1]) >= _LAYOUT_SINCE
            return _opened(*graphdriver.archive(place.root, image.id, tags, layout, name, limits), file, limits)
    except (OSError, LeakscanError, LookupError, TypeError, ValueError, AttributeError):
        pass
    file.close()
    return None


def _content(place: Place, image: Kept, limits: Limits) -> tuple[Iterator[bytes | Hole], Sequence[BlobFile]]:
    """The archive of an image out of containerd's content store."""
    store = contentstore.find(place.root, image.id)
    if store is None or image.annotations is None or image.whole is None:
        raise LookupError
    others = {key: text for key, text in image.annotations.items() if key not in (CONTAINERD_NAME, REF_NAME)}
    names = {**others, **(saved.naming(image.tag) if image.tag else {})}
    return contentstore.archive(store, image.id, names, image.tag, image.platform, image.whole, limits)


def _opened(parts: Iterable[bytes | Hole], sources: Sequence[BlobFile], file: BlobFile, limits: Limits) -> Store:
    """The store of an archive that is put together in *file*, and whose holes are what *sources* hold."""
    at = 0
    places: dict[int, BlobFile] = {}
    for part in parts:
        if isinstance(part, bytes):
            os.pwrite(file.fileno(), part, at)
            at += len(part)
        else:  # nobody reads it here
            places[at] = sources[part.index]
            at += part.size
    store = open_tar(file, limits)
    for path, blob in store.files.items():
        if blob.offset in places and blob.size:
            store.files[path] = replace(blob, file=places[blob.offset], offset=0)
            store.opened.append(places[blob.offset])
    return store
