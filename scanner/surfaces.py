"""What of an opened image is looked at how: blobs by jobs of their own, small documents in the company of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from scanner.errors import MalformedImage
from scanner.evidence import Gap, Surface
from scanner.image.assembly import digest_like
from scanner.image.documents import parse
from scanner.image.model import Document, Image, Layer, OpenedImage
from scanner.limits import KIB, Limits
from scanner.oci import is_digest
from scanner.places.locate import Text
from scanner.work.jobs import BlobJob
from scanner.work.messages import Form

_SMALL = 64 * KIB  # a document of fewer bytes is matched in the company of others


def blob_jobs(opened: OpenedImage, limits: Limits) -> list[BlobJob]:
    """A job for every blob of *opened* that is not small enough to be read as it is."""
    return list(jobs_of(opened, texts_of(opened, limits)[1]).values())


def documents_of(opened: OpenedImage) -> list[Document]:
    """Every document of *opened*."""
    return [document for document, _, _ in _documents(opened)]


def _documents(opened: OpenedImage) -> Iterator[tuple[Document, Image | None, int]]:
    """Every document with the image it belongs to, if to one, and that image's number."""
    only = opened.images[0] if len(opened.images) == 1 else None
    for document in opened.documents:
        yield document, only, 0
    for number, image in enumerate(opened.images):
        for document in image.documents:
            yield document, image, number


def texts_of(opened: OpenedImage, limits: Limits) -> tuple[list[Text], list[Document], list[Gap]]:
    """JSON and other small documents as texts, the rest to be matched as blobs, and what could not be parsed."""
    texts: list[Text] = []
    blobs: list[Document] = []
    gaps: list[Gap] = []
    several = len(opened.images) > 1
    seen: set[tuple[object, ...]] = set()
    for document, image, number in _documents(opened):
        if (*document.blob.place, number) in seen:
            continue
        seen.add((*document.blob.place, number))
        if document.is_json and document.blob.size > _most(document, limits):
            gaps.append(Gap(document.where, "", "json.too-large", document.blob.size, "larger than the limit"))
            blobs.append(document)
        elif document.is_json or _is_plain(document):
            texts.append(Text(document, image, number, str(image.platform) if image and several else None))
        else:
            blobs.append(document)
    return texts, blobs, [*gaps, *_doubts(texts, limits)]


def _most(document: Document, limits: Limits) -> int:
    """How many bytes of JSON are looked at string by string. Statements such as SBOMs are large, and nothing is built
    on what they say."""
    return limits.documents_bytes if document.surface == Surface.ATTESTATION else limits.document_bytes


def _is_plain(document: Document) -> bool:
    """Whether a document is at hand and so small that it needs no job of its own, with nothing to expand or walk."""
    if document.compression or document.blob.file.awaited or document.blob.size > _SMALL:
        return False
    return document.structure or document.blob.read(257, 5) != b"ustar"


def _doubts(texts: Iterable[Text], limits: Limits) -> Iterator[Gap]:
    """JSON that does not parse, and blobs that are not what their digest says."""
    left = limits.documents_bytes
    for document in (text.document for text in texts):
        digest = document.blob.name if is_digest(document.blob.name) else ""
        if not (document.is_json or digest):
            continue
        try:
            raw = document.blob.read()
        except OSError:  # whoever reads it for matching says so
            continue
        document.blob.file.release()
        if digest and digest_like(digest, raw) != digest:
            yield Gap(digest, "", "blob.digest", None, "the bytes do not match the digest")
        if len(raw) > limits.document_bytes:
            continue
        left -= len(raw) if document.is_json else 0
        if left < 0:
            text = "all documents together are larger than the limit"
            yield Gap(document.where, "", "json.too-large", len(raw), text)
            continue
        try:
            if document.is_json:
                parse(raw, document.where, limits)
        except MalformedImage as error:
            yield Gap(document.where, "", "json.malformed", len(raw), error.what)


def jobs_of(opened: OpenedImage, documents: Iterable[Document]) -> dict[tuple[int, int, int], BlobJob]:
    """Every distinct layer blob once, however many images or layers share it, and *documents* that are large."""
    found: dict[tuple[int, int, int], BlobJob] = {}
    for image in opened.images:
        for layer in image.layers:
            if layer.blob is not None:
                found.setdefault(layer.blob.place, BlobJob(layer.blob, _form(layer)))
    for document in documents:
        form = Form.BYTES if document.structure else Form.GUESS
        found.setdefault(document.blob.place, BlobJob(document.blob, form))
    return found


def _form(layer: Layer) -> Form:
    """Encrypted layers are matched as they lie there, not walked."""
    return Form.BYTES if layer.absent else Form.LAYER
