"""Images in containerd's content store: blobs by digest, of which an image is whatever its manifest or index leads to.

Engines of 28 and later keep images there if the feature `containerd-snapshotter` is on, as it is by default from 29 on.
Blobs are as they were pulled or built, so that nothing is put together; a blob is what it is called or is not taken.

Source: containerd core/images/archive/exporter.go, plugins/content/local; moby daemon/containerd/image_exporter.go.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from scanner.image.assembly import digest_like
from scanner.image.directory import DirectoryFile
from scanner.image.golike import Archive, Hole, blob_path, go_json, index_of
from scanner.image.layout import ALL_MANIFESTS
from scanner.image.manifests import Index, Manifest, read_manifest
from scanner.limits import Limits
from scanner.oci import Platform, is_digest

_CONTENT = "io.containerd.content.v1.content"
#: of a containerd that the engine starts itself, below its data directory; of one that runs beside it
_OWN, _SHARED = "containerd/daemon", Path("/var/lib/containerd")
_WITHHELD = "nondistributable", "foreign"  # in media types of layers that stay where they are


def find(root: Path, digest: str, shared: Path = _SHARED) -> Path | None:
    """The content store that has a blob, of those where an engine with this data directory has it."""
    for store in (root / _OWN / _CONTENT, shared / _CONTENT):
        if is_digest(digest) and (store / blob_path(digest)).is_file():
            return store
    return None


def archive(
    store: Path, digest: str, names: Mapping[str, str], tag: str, platform: Platform, whole: Collection[str],
    limits: Limits,
) -> tuple[Iterator[bytes | Hole], list[DirectoryFile]]:  # fmt: skip
    """The pieces of the archive of one image as the engine writes it, and the files of its holes.

    Args:
        digest: of the image's manifest or index.
        names: the annotations of its descriptor in index.json.
        tag: `name:tag`, empty if it has none.
        platform: whose manifest `manifest.json` is of.
        whole: digests of the manifests of which the engine says that all they need is here.

    Raises LeakscanError, OSError, LookupError, ValueError if it is not as it should be: what an engine exports of an
    image that is here in part is its own affair, and this may be another engine's storage.
    """
    found = _Image(store, limits)
    found.follow(digest)
    if found.incomplete or {each for each, read in found.manifests.items() if isinstance(read, Manifest)} != set(whole):
        raise LookupError
    top = found.manifests[digest]
    if not top.media_type:
        raise ValueError
    made = Archive()
    made.folder("blobs/", 0)
    made.folder("blobs/sha256/", 0)
    for index, (each, size) in enumerate(found.sizes.items()):
        made.hole(blob_path(each), Hole(index, size), 0, 0o444)
    entry = {"mediaType": top.media_type, "digest": digest, "size": found.sizes[digest]}
    named = {"annotations": dict(sorted(names.items()))} if names else {}
    made.file("index.json", index_of([{**entry, **named}]), 0)
    made.file("manifest.json", go_json([_docker(found.of_platform(top, platform), tag)]).encode(), 0)
    made.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}', 0, 0o444)
    return made.pieces(), [DirectoryFile(store, blob_path(each)) for each in found.sizes]


class _Image:
    """What an image is made of.

    Attributes:
        sizes: of each blob that is here, by digest, in the order in which they are reached.
        manifests: manifests and indexes among them.
        incomplete: whether something is not here that a manifest which is here needs, or that is not to be exported.
    """

    def __init__(self, store: Path, limits: Limits) -> None:
        self._store, self._limits = store, limits
        self.sizes: dict[str, int] = {}
        self.manifests: dict[str, Manifest | Index] = {}
        self.incomplete = False

    def follow(self, digest: str) -> None:
        """Read whatever a manifest or index leads to. Raises ValueError if that is more than the limit."""
        todo = [digest]
        while todo:
            if len(self.manifests) > ALL_MANIFESTS * self._limits.index_manifests:
                raise ValueError
            each = todo.pop()
            if each in self.manifests or not self._has(each):
                continue
            manifest = self.manifests[each] = self._read(each)
            if isinstance(manifest, Index):
                todo += [inner.digest for inner in manifest.manifests]
            else:
                for part in (manifest.config, *manifest.layers):
                    self.incomplete |= not self._has(part.digest) or any(word in part.media_type for word in _WITHHELD)

    def of_platform(self, top: Manifest | Index, platform: Platform) -> Manifest:
        """The manifest for a platform. Raises LookupError if none is, or more than one."""
        if isinstance(top, Manifest):
            return top
        [found] = [each for each in top.manifests if each.platform == platform and each.digest in self.manifests]
        manifest = self.manifests[found.digest]
        if not isinstance(manifest, Manifest):
            raise LookupError
        return manifest

    def _has(self, digest: str) -> bool:
        """Note a blob if it is here; images for other platforms and attestations may not be. Links are not followed."""
        if digest not in self.sizes and is_digest(digest):
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(self._store / blob_path(digest))
                if stat.S_ISREG(status.st_mode):
                    self.sizes[digest] = status.st_size
        return digest in self.sizes

    def _read(self, digest: str) -> Manifest | Index:
        if self.sizes[digest] > self._limits.document_bytes:
            raise ValueError
        file = DirectoryFile(self._store, blob_path(digest))
        try:
            raw = file.read(0, self._limits.document_bytes)
        finally:
            file.close()
        manifest = read_manifest(raw, digest, self._limits)
        if digest_like(digest, raw) != digest or not isinstance(manifest, (Manifest, Index)):
            raise ValueError
        return manifest


def _docker(manifest: Manifest, tag: str) -> dict[str, object]:
    """The entry of manifest.json for an image."""
    return {"Config": blob_path(manifest.config.digest), "RepoTags": [tag] if tag else None,
            "Layers": [blob_path(each.digest) for each in manifest.layers]}  # fmt: skip
