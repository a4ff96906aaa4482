"""docker-archive: the images that manifest.json of `docker save`, buildah, skopeo, crane, kaniko ... lists.

Members are found by the paths that manifest.json gives, whatever they are called: `<id>/layer.tar`, `<diff_id>.tar`,
`<digest>.tar.gz`, `blobs/sha256/<digest>`, links to any of these.

Sources: moby image/tarexport (load and save), containers-image docker/internal/tarfile.
"""

from __future__ import annotations

import re

from scanner.errors import MalformedImage
from scanner.evidence import Gap, Surface
from scanner.image.assembly import Assembly, digest_like, stacked
from scanner.image.blob import Blob
from scanner.image.manifests import ArchiveEntry, read_archive_manifest
from scanner.image.model import Document, Image, Layer
from scanner.oci import Platform

MANIFEST = "manifest.json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_NAMED_BY_DIGEST = re.compile(r"(?:.*/)?(?:sha256:)?([0-9a-f]{64})(?:\.json)?")


def read_archive(assembly: Assembly) -> None:
    """Add every image of the store's manifest.json. Raises MalformedImage, OSError."""
    for place, entry in enumerate(_entries(assembly)):
        assembly.images.append(_image(assembly, place, entry))


def cross_check(assembly: Assembly) -> None:
    """Where an OCI layout is a docker-archive too: add what only manifest.json names.

    Which of the two an engine believes depends on its age, so neither may hide anything. Raises OSError.
    """
    try:
        entries = _entries(assembly)
    except MalformedImage as error:
        assembly.gaps.append(Gap(MANIFEST, "", "manifest.malformed", None, error.what))
        return
    configs = {image.config_digest for image in assembly.images}
    layers = {_place(layer.blob) for image in assembly.images for layer in image.layers}
    for place, entry in enumerate(entries):
        image = _image(assembly, place, entry)
        known = {_place(layer.blob) for layer in image.layers if layer.blob} <= layers
        missing = any(layer.blob is None for layer in image.layers)
        if image.config_digest not in configs or not known or (missing and image.config_digest is None):
            assembly.images.append(image)


def _place(blob: Blob | None) -> tuple[int, int] | None:
    return None if blob is None else (id(blob.file), blob.offset)


def _entries(assembly: Assembly) -> tuple[ArchiveEntry, ...]:
    blob = assembly.store.find(MANIFEST)
    if blob is None:
        return ()
    assembly.documents.append(Document(Surface.METADATA, MANIFEST, blob))
    return read_archive_manifest(assembly.read(blob, MANIFEST), MANIFEST, assembly.limits)


def _image(assembly: Assembly, place: int, entry: ArchiveEntry) -> Image:
    gaps: list[Gap] = []
    documents = []
    where = f"config of {MANIFEST}[{place}]"
    blob = assembly.store.find(entry.config)
    config = digest = None
    if blob is None:
        gaps.append(Gap(MANIFEST, where, "config.missing", None, "the archive has no such member"))
    else:
        documents.append(Document(Surface.CONFIG, blob.name, blob))
        digest = _config_digest(assembly, entry, blob, gaps)
        config = assembly.config(blob, where, gaps)
    layers = [_layer(assembly, path) for path in entry.layers]
    diff_ids, history = (config.diff_ids, config.history) if config else ((), ())
    stack = stacked(layers, diff_ids, history, gaps, config is not None)
    platform = config.platform if config else Platform()
    return Image(platform, None, digest, config, stack, tuple(documents), tuple(gaps), entry.tags)


def _config_digest(assembly: Assembly, entry: ArchiveEntry, blob: Blob, gaps: list[Gap]) -> str | None:
    """The digest of the config's bytes; writers name the member after it."""
    if blob.size > assembly.limits.document_bytes:
        return None
    digest = digest_like("sha256", blob.read())
    named = _NAMED_BY_DIGEST.fullmatch(entry.config)
    if named and f"sha256:{named[1]}" != digest:
        gaps.append(Gap(blob.name, "", "blob.digest", None, "the config does not match the digest in its name"))
    return digest


def _layer(assembly: Assembly, path: str) -> Layer:
    blob = assembly.store.find(path)
    if blob is None:
        return Layer(0, None, None, 0, _LAYER, None, "layer.missing")
    digest = blob.name if blob.name.startswith("sha256:") else None
    return Layer(0, digest, None, blob.size, _LAYER, blob)
