"""Images in the storage of the graph driver overlay2: records of an image and its layers, a directory for each layer.

Layers are put together when they are read, several at a time, while others are matched.

Source: moby image/fs.go, layer/filestore.go, daemon/graphdriver/overlay2.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scanner.image import saved, tarsplit
from scanner.image.assembly import digest_like
from scanner.image.blob import AwaitedFile, BlobFile
from scanner.image.documents import parse
from scanner.image.golike import Hole
from scanner.limits import Limits
from scanner.oci import chain_ids, is_digest

DRIVER = "overlay2"
_NAME = re.compile(r"[0-9a-z-]{1,128}")


class StoredLayer(AwaitedFile):
    """A layer's tar, put together when it is read. Promised is the diffID that the engine has it recorded under."""

    def __init__(self, name: str, split: Path, root: Path, diff_id: str) -> None:
        super().__init__(name, diff_id)
        self._split, self._root = split, root

    def fetch(self, target: BlobFile) -> None:
        """Put it together in *target*. Raises LeakscanError, OSError."""
        tarsplit.reassemble(self._split, self._root, target.fileno())


def archive(
    root: Path, id: str, tags: list[str], layout: bool, name: str, limits: Limits
) -> tuple[Iterator[bytes | Hole], list[StoredLayer]]:
    """The pieces of an image's archive, and the files of its holes.

    Args:
        root: the engine's data directory.
        layout: write it as engines from 25 on do.

    Raises LeakscanError, OSError, LookupError, TypeError, ValueError, AttributeError if it is not as it should be.
    """
    records, files = root / "image" / DRIVER, root / DRIVER
    algorithm, _, encoded = id.partition(":")
    raw = _read(records / "imagedb" / "content" / algorithm / encoded, limits.document_bytes)
    if digest_like(id, raw) != id:
        raise ValueError
    config = parse(raw, "config", limits)
    diff_ids = [str(each) for each in config["rootfs"]["diff_ids"]]
    if not diff_ids or not all(is_digest(each) and each.startswith("sha256:") for each in diff_ids):
        raise ValueError
    layers = [_layer(records, files, *each) for each in zip(diff_ids, chain_ids(diff_ids), strict=True)]
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda layer: tarsplit.size_of(layer[1]), layers))
    holes = [StoredLayer(f"{name}, layer {index}", split, folder, diff_id)
             for index, (diff_id, split, folder) in enumerate(layers)]  # fmt: skip
    write = saved.layout if layout else saved.archive
    return write(raw, config, tags, sizes), holes


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
