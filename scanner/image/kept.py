"""What an engine keeps of builds and never ships: records of the build cache, and images of stages without a name.

The records hold the full command line of every step, and the images of builder stages everything that was in them. Both
are opened as documents of the surface `builder`.

Source: moby api/types BuildCache; BuildKit util/progress and solver descriptions (`mount / from exec ...`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from scanner.errors import ImageUnavailable
from scanner.evidence import Gap, Surface
from scanner.image.blob import Blob, spool
from scanner.image.engine.builds import Kept, kept
from scanner.image.model import Document, Image, OpenedImage
from scanner.image.source import open_image
from scanner.layer.compression import sniff
from scanner.limits import Limits

#: how a report names a record, and an image; followed by the id
RECORD, IMAGE = "build cache record ", "dangling image "
_TOLD = ("ID", "Type", "Description", "Parent", "Parents")
_HISTORY = "what buildx keeps of builds is not in the engine's API: docker buildx history rm --all clears it"
_PODMAN = "Podman's API tells no records of its build cache"


def open_builder(limits: Limits) -> OpenedImage:
    """Everything that the engine keeps, as documents. Close it when the scan is over.

    Layers that an image with a name has too are left out: scan that image.

    Raises:
        ImageUnavailable: there is no engine, or it does not tell.
        OSError: no spool can be written.
    """
    found = kept()
    opened = OpenedImage("the engine's build cache", found.source, ())
    opened.notes = (_HISTORY, _PODMAN) if found.source == "podman" else (_HISTORY,)
    try:
        _records(opened, found)
        seen = set(found.shipped)
        for id in found.images:
            _image(opened, found.source, id, seen, limits)
    except BaseException:
        opened.close()
        raise
    return opened


def _records(opened: OpenedImage, found: Kept) -> None:
    """Each record as a JSON document of its own, one after the other in one file."""
    file = spool("build cache records")
    opened.files = (*opened.files, file)
    documents, at = [], 0
    for record in found.records:
        id = str(record.get("ID"))
        raw = json.dumps({key: record[key] for key in _TOLD if record.get(key)}, ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
        file.write(raw)
        documents.append(Document(Surface.BUILDER, f"{RECORD}{id}", Blob(f"record {id}", file, at, len(raw))))
        at += len(raw)
    opened.documents = (*opened.documents, *documents)


def _image(opened: OpenedImage, source: str, id: str, seen: set[str], limits: Limits) -> None:
    """An image without a name: its documents and the layers that were not *seen*. One that is gone is no loss."""
    try:
        inner = open_image(f"{source}:{id}", limits=limits)
    except ImageUnavailable as error:
        opened.gaps = (*opened.gaps, Gap(id, f"{IMAGE}{id}", "image.unavailable", None, error.what))
        return
    opened.files = (*opened.files, *inner.files)
    gaps = [*inner.gaps, *(gap for image in inner.images for gap in image.gaps)]
    opened.gaps = (*opened.gaps, *(replace(gap, where=f"{IMAGE}{id} {gap.where}".strip()) for gap in gaps))
    documents = [*inner.documents, *(each for image in inner.images for each in image.documents)]
    named = [replace(each, surface=Surface.BUILDER, where=_where(id, each)) for each in documents]
    opened.documents = (*opened.documents, *named, *_layers(id, inner.images, seen))


def _where(id: str, document: Document) -> str:
    """The config of an image has its id for a name; other documents are named as well."""
    return f"{IMAGE}{id}" if document.surface == Surface.CONFIG else f"{IMAGE}{id}, {document.where}"


def _layers(id: str, images: tuple[Image, ...], seen: set[str]) -> Iterator[Document]:
    for layer in (layer for image in images for layer in image.layers):
        if layer.blob is None or (layer.diff_id or "") in seen:
            continue
        seen.add(layer.diff_id or layer.blob.name)
        where, compression = f"{IMAGE}{id}, layer {layer.index}", sniff(layer.blob.read(0, 6))
        yield Document(Surface.BUILDER, where, layer.blob, False, compression)
