"""An opened image: what the readers hand to the scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scanner.evidence import Gap, Instruction
from scanner.image.blob import Blob, BlobFile
from scanner.oci import Config, Platform


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image.

    Attributes:
        index: place in the image, the base is 0.
        digest: of the stored bytes, None in formats that have none (docker-archive before Docker 25).
        diff_id: of the uncompressed bytes, None where the format has none (schema 1).
        size: stored bytes as the descriptor claims them, else as found.
        media_type: as the descriptor has it; never trusted for choosing a decompressor.
        blob: the stored bytes, None if they are not there.
        absent: the reason code of the gap if *blob* is None or must not be read (layer.missing, layer.foreign,
            layer.encrypted ...); encrypted layers have a blob and a reason.
        instruction: the build step that made the layer, None if unknown.
    """

    index: int
    digest: str | None
    diff_id: str | None
    size: int
    media_type: str
    blob: Blob | None
    absent: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    instruction: Instruction | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """Bytes of an image that are no layer: config, manifest, index, legacy JSON, attestation, unreferenced blob.

    Attributes:
        surface: config, history, annotation, attestation, metadata or cache; a config's history entries are told
            apart later by their JSON path.
        where: the name a person knows it by: a member or file name, or a digest.
        blob: the stored bytes.
        is_json: it was meant to be JSON; if it does not parse that is a gap.
        compression: what its first bytes tell, as `layer.compression.sniff` names it; '' for none, or if they are not
            here yet. A compressed document must be expanded to be searched.
        structure: it is a piece of an archive's own structure: bytes to match, whatever they look like.
    """

    surface: str
    where: str
    blob: Blob
    is_json: bool = True
    compression: str = ""
    structure: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """One image of one platform. Layers and history are counted from 0, the base first.

    *names* are the tags and reference names that the source gives it; *tagged* is the digest that they point to, where
    that is not the manifest's: of the index that leads to it.
    """

    platform: Platform
    manifest_digest: str | None
    config_digest: str | None
    config: Config | None
    layers: tuple[Layer, ...]
    documents: tuple[Document, ...] = ()
    gaps: tuple[Gap, ...] = ()
    names: tuple[str, ...] = ()
    tagged: str | None = None


@dataclass(slots=True)
class OpenedImage:
    """All that a reference led to; close it when the scan is over.

    Attributes:
        reference: as the user gave it.
        source: docker, podman, registry, docker-archive, oci-archive, oci-dir or dir.
        images: one for each platform that is to be scanned.
        documents: those that belong to no single image: indexes, legacy JSON, unreferenced blobs.
        gaps: what could not be opened.
        files: what `close()` closes.
        path: the archive or directory as the user gave it, empty if there is none.
        compression: of the whole archive, '' for none.
        notes: what a reader should know about what the source cannot give.
        exported: what to give to the engine's `save` for the same archive, or the repository of a registry; empty for
            other sources.
        referrers: digests of what refers to it in its registry and was read with it.
    """

    reference: str
    source: str
    images: tuple[Image, ...]
    documents: tuple[Document, ...] = ()
    gaps: tuple[Gap, ...] = ()
    files: tuple[BlobFile, ...] = ()
    notes: tuple[str, ...] = ()
    path: str = ""
    exported: str = ""
    compression: str = ""
    referrers: tuple[str, ...] = ()

    def close(self) -> None:
        """Close every file of the image."""
        for file in self.files:
            file.close()
