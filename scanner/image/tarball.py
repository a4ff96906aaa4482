"""The members of an outer tar (docker-archive, OCI layout in a tar) as a store: ranges of the file, nothing copied.

Headers are read as those of layers are, for the same reason: engines load archives with Go's archive/tar. What is no
regular file's data (headers, links, padding, whatever follows the end) becomes documents, so that it is searched too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from scanner.evidence import Gap, Surface
from scanner.image.blob import Blob, BlobFile
from scanner.image.model import Document
from scanner.image.store import Kind, Link, Store, blob_name, clean_path
from scanner.layer.expand import map_blob
from scanner.layer.walk import LayerMember, Stop, Walk
from scanner.limits import Limits

_MEMBERS = 100_000  # of an outer archive: a saved image has five for each of at most 127 layers
_REGULAR = (b"0", b"\0", b"7")
_SPARSE, _HARD, _SYMBOLIC = b"S", b"1", b"2"
_REASONS = {"tar.truncated": "archive.truncated", "tar.trailing": "archive.trailing"}


def open_tar(file: BlobFile, limits: Limits) -> Store:
    """The members of the uncompressed tar in *file*. Raises OSError.

    Damage does not raise: what can be read is in the store, what cannot is among its gaps and documents.
    """
    store = Store(file.name, Kind.ARCHIVE, opened=[file])
    whole = Blob(file.name, file, 0, file.size())
    bounded = replace(limits, members=min(limits.members, _MEMBERS))
    walk = Walk(map_blob(whole), bounded, time.monotonic() + limits.layer_seconds)
    for member in walk.members():
        _add(store, file, whole.size, member)
    store.gaps += [_gap(file.name, stop) for stop in walk.ledger.stops]
    store.documents += _structure(whole, [*store.files.values(), *store.shadowed])
    return store


def _add(store: Store, file: BlobFile, end: int, member: LayerMember) -> None:
    stored = member.raw_name.decode("utf-8", "surrogateescape")
    path = clean_path(stored)
    kind = member.typeflag
    if kind in (_HARD, _SYMBOLIC):
        target = member.raw_link.decode("utf-8", "surrogateescape")
        store.link(path, Link(target, kind == _HARD or target.startswith("/")))
    elif kind == _SPARSE or (kind in _REGULAR and not (kind == b"\0" and stored.endswith("/"))):
        size = min(member.size, end - member.offset_data)
        store.add(path, Blob(blob_name(path), file, member.offset_data, size, stored))
    if kind == _SPARSE:
        text = "a member of the archive is sparse; its holes are not filled in"
        store.gaps.append(Gap(blob_name(path), path, "archive.sparse", None, text))


def _gap(name: str, stop: Stop) -> Gap:
    where = f"bytes {stop.offset}-{stop.offset + stop.length}"
    if stop.reason.startswith("limit."):
        return Gap(name, where, stop.reason, stop.length, stop.detail)
    detail = "it is no tar archive" if stop.reason == "tar.none" else stop.detail
    return Gap(name, where, _REASONS.get(stop.reason, "archive.damaged"), stop.length, detail)


def _structure(whole: Blob, files: list[Blob]) -> Iterator[Document]:
    """What lies between and behind the files of an archive, zeros left out."""
    at = 0
    for start, end in [*sorted((blob.offset, blob.offset + blob.size) for blob in files), (whole.size, whole.size)]:
        if start > at:
            part = Blob(f"{whole.name}@{at}+{start - at}", whole.file, whole.offset + at, start - at)
            if not _blank(part):
                where = f"archive structure, bytes {at}-{start}"
                yield Document(Surface.METADATA, where, part, is_json=False, structure=True)
        at = max(at, end)


def _blank(blob: Blob) -> bool:
    return all(not part.strip(b"\0") for part in blob.parts())
