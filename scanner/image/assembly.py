"""Images put together from what a form's documents say and a store holds, with every doubt as a gap."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from scanner.errors import LeakscanError, MalformedImage
from scanner.evidence import Gap, Surface
from scanner.image.blob import Blob, spool
from scanner.image.documents import parse, refusal
from scanner.image.history import instructions
from scanner.image.manifests import Index, Manifest, Schema1, read_config, read_manifest
from scanner.image.model import Document, Image, Layer
from scanner.image.store import Store
from scanner.layer.compression import sniff
from scanner.limits import Limits
from scanner.oci import Config, Descriptor, HistoryEntry

_KEPT_CONFIGS = 2  # times `limits.document_bytes`: what all parsed configs of one source may take
_EXPECTED = ("oci-layout", "index.json", "manifest.json", "repositories", "version")
_FOREIGN = (".foreign.", ".nondistributable.")


@dataclass(slots=True)
class Assembly:
    """What has been read of one source so far.

    Attributes:
        documents: those that belong to no single image.
        absent: manifests that an index names and the store has not.
        refused: why manifests could not be read.
        referrers: digests of manifests and indexes that refer to an image and were read as surfaces of it.
    """

    store: Store
    limits: Limits
    images: list[Image] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    absent: list[Descriptor] = field(default_factory=list)
    refused: list[LeakscanError] = field(default_factory=list)
    referrers: list[str] = field(default_factory=list)
    config_bytes: int = 0
    document_bytes: int = 0

    def read(self, blob: Blob, name: str) -> bytes:
        """The bytes of a JSON document. Raises OSError if it cannot be read.

        Raises:
            MalformedImage: it is too large, or all documents read so far are too large together.
        """
        if blob.size > self.limits.document_bytes:
            raise refusal(name, f"has {blob.size} bytes, more than {self.limits.document_bytes}")
        self.document_bytes += blob.size
        if self.document_bytes > self.limits.documents_bytes:
            raise refusal(name, f"comes after {self.limits.documents_bytes} bytes of documents, which is the limit")
        return blob.read()

    def read_entry(self, entry: Descriptor, blob: Blob) -> tuple[Manifest | Index | Schema1, list[Gap]] | None:
        """The manifest that an entry of an index means, with what is wrong with its digest or size; None, with a gap,
        if it is malformed. Raises OSError if it cannot be read."""
        try:
            raw = self.read(blob, entry.digest)
            manifest = read_manifest(raw, entry.digest, self.limits)
        except MalformedImage as error:
            self.documents.append(Document(Surface.ANNOTATION, entry.digest, blob))
            self.gaps.append(Gap(entry.digest, "", "manifest.malformed", blob.size, error.what))
            self.refused.append(error)
            return None
        return manifest, self.check(entry, blob, raw)

    def blob(self, descriptor: Descriptor, document: Blob | None) -> Blob | None:
        """The blob that a descriptor means, from the store or embedded in the descriptor (descriptor.md, `data`), and
        so in *document*; that is None for a descriptor that nothing holds."""
        found = self.store.blob(descriptor)
        if found is not None:
            return found if found.name == descriptor.digest else replace(found, name=descriptor.digest)
        return None if document is None else self._embedded(descriptor, document)

    def manifest(self, descriptor: Descriptor, document: Blob | None) -> Blob | None:
        """The manifest that an entry of an index means; some stores keep those apart from blobs."""
        return self.store.manifest(descriptor) or self.blob(descriptor, document)

    def _embedded(self, descriptor: Descriptor, document: Blob) -> Blob | None:
        text = descriptor.data.encode()
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return None
        if not data or digest_like(descriptor.digest, data) != descriptor.digest:
            return None
        file = spool(descriptor.digest)
        self.store.opened.append(file)
        file.write(data)
        at = document.read().find(text)  # not there if its `/` is escaped
        return Blob(descriptor.digest, file, 0, len(data), within=None if at < 0 else (document, at, len(text)))

    def check(self, descriptor: Descriptor, blob: Blob, raw: bytes | None = None) -> list[Gap]:
        """What is wrong with a blob in the light of its descriptor; *raw* are its bytes where they are at hand."""
        found = []
        if descriptor.size != blob.size:
            text = f"the descriptor says {descriptor.size} bytes, there are {blob.size}"
            found.append(Gap(descriptor.digest, "", "blob.size", None, text))
        if raw is not None and digest_like(descriptor.digest, raw) != descriptor.digest:
            found.append(Gap(descriptor.digest, "", "blob.digest", None, "the bytes do not match the digest"))
        return found

    def config(self, blob: Blob, where: str, gaps: list[Gap]) -> Config | None:
        """The parsed config, None with a gap if it is malformed; the layers can be read without it."""
        try:
            raw = self.read(blob, where)
            if self.config_bytes + len(raw) > _KEPT_CONFIGS * self.limits.document_bytes:
                raise refusal(where, "comes after more configs than are read of one source")
            config = read_config(raw, where, self.limits)
        except MalformedImage as error:
            gaps.append(Gap(blob.name, where, "config.malformed", None, error.what))
            return None
        self.config_bytes += len(raw)
        return config

    def layer(self, descriptor: Descriptor, document: Blob, gaps: list[Gap]) -> Layer:
        """A layer by its descriptor in *document*; index, diff_id and instruction are put in by `stacked`."""
        blob = self.blob(descriptor, document)
        absent = ""
        if blob is None:
            foreign = any(mark in descriptor.media_type for mark in _FOREIGN)
            absent = "layer.foreign" if foreign else "layer.missing"
        else:
            gaps += self.check(descriptor, blob)
            absent = "layer.encrypted" if descriptor.media_type.endswith("+encrypted") else ""
        return Layer(
            0,
            descriptor.digest,
            None,
            descriptor.size,
            descriptor.media_type,
            blob,
            absent,
            descriptor.annotations,
            descriptor.urls,
        )

    def document(self, surface: Surface, where: str, blob: Blob, is_json: bool = True) -> Document:
        """A document; one that is not meant to be JSON is looked at for compression, if its bytes are at hand."""
        looks = not is_json and not blob.file.awaited
        return Document(surface, where, blob, is_json, sniff(blob.read(0, 6)) if looks else "")

    def leftovers(self) -> None:
        """Whatever nothing refers to becomes documents: legacy files, orphans, members hidden by a later one."""
        for path, blob in self.store.unused():
            self.documents.append(self.leftover(path if _is_expected(path) else f"unreferenced {path}", blob))
        for blob in self.store.shadowed:
            self.documents.append(self.leftover(f"earlier member {blob.name}", blob))
        self.documents += self.store.documents

    def leftover(self, where: str, blob: Blob) -> Document:
        """A file that nothing refers to, as a document; one that cannot be read is a gap."""
        try:
            document = self.document(Surface.METADATA, where, blob, self._is_json(blob))
        except OSError as error:
            self.gaps.append(Gap(blob.name, where, "file.unreadable", blob.size, error.strerror or ""))
            document = Document(Surface.METADATA, where, replace(blob, size=0), False)
        blob.file.release()
        return document

    def _is_json(self, blob: Blob) -> bool:
        if blob.size > self.limits.document_bytes or blob.read(0, 64).lstrip()[:1] not in (b"{", b"["):
            return False
        try:
            parse(self.read(blob, ""), "", self.limits)
        except MalformedImage:
            return False
        return True


def _is_expected(path: str) -> bool:
    """Whether an archive or directory is meant to have such a file beside its blobs."""
    return path.endswith(("/VERSION", "/json")) or path in _EXPECTED


def digest_like(digest: str, raw: bytes) -> str:
    """The digest of *raw* by the algorithm of *digest*."""
    algorithm = "sha512" if digest.startswith("sha512:") else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, raw).hexdigest()}"


def stacked(
    layers: Sequence[Layer], diff_ids: Sequence[str], history: Sequence[HistoryEntry], gaps: list[Gap], counted: bool
) -> tuple[Layer, ...]:
    """Layers with their index, diff_id and build step.

    Args:
        layers: base first.
        diff_ids: of the config.
        gaps: where a config that lists another number of layers is noted; then no diff_id can be told.
        counted: whether the config is to list the layers.
    """
    steps = instructions(history, len(layers))
    fits = len(diff_ids) == len(layers)
    if counted and not fits:
        text = f"the config lists {len(diff_ids)} layers, the manifest {len(layers)}"
        gaps.append(Gap("", "rootfs.diff_ids", "config.layer-count", None, text))
    return tuple(
        replace(layer, index=index, diff_id=diff_ids[index] if fits else None, instruction=steps[index])
        for index, layer in enumerate(layers)
    )
