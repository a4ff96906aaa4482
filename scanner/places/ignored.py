"""What detectors set aside → places for the report: rule, reason and where, never a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from scanner.evidence import IgnoredPlace, Surface
from scanner.image.model import Document, Image
from scanner.layer.tree import clean
from scanner.places.locate import Text, path_of, text_of
from scanner.report.escape import plain
from scanner.secrecy.redact import Redactor
from scanner.work.jobs import BlobOutcome
from scanner.work.messages import Ignored


def in_layers(
    image: Image, outcomes: Sequence[BlobOutcome | None], platform: str | None
) -> Iterator[IgnoredPlace]:
    """Those in the layers of one image; outcomes: one for each layer, None where there are no bytes."""
    for layer, outcome in zip(image.layers, outcomes, strict=True):
        for ignored in outcome.ignored if outcome is not None else ():
            path = None if ignored.member is None else path_of(ignored.member, None)
            yield replace(_place(ignored, Surface.LAYER, path), layer=layer.index, platform=platform)


def in_documents(
    texts: Sequence[Text], ignored: Iterable[Ignored], blobs: Iterable[tuple[Document, BlobOutcome]]
) -> Iterator[IgnoredPlace]:
    """Those in documents: small ones, by their numbers, and those that were matched as blobs."""
    for one in ignored:
        text = texts[one.text]
        yield replace(_place(one, Surface(text.document.surface), text.document.where), platform=text.platform)
    for document, outcome in blobs:
        for one in outcome.ignored:
            path = f"{document.where}: {text_of(clean(one.member))}" if one.member else document.where
            yield _place(one, Surface(document.surface), path)


def _place(ignored: Ignored, surface: Surface, path: str | None) -> IgnoredPlace:
    return IgnoredPlace(ignored.rule_id, ignored.reason, surface, None, path, ignored.inside, ignored.encoding,
                        ignored.line, ignored.start, ignored.count)  # fmt: skip


def shown(places: Iterable[IgnoredPlace], redactor: Redactor) -> tuple[IgnoredPlace, ...]:
    """Without found values in their strings, in a stable order; those of one place and reason as one."""

    def clear(text: str) -> str:
        return plain(redactor.text(text))

    found: dict[tuple[object, ...], IgnoredPlace] = {}
    for place in places:
        key = (place.platform or "", place.surface.value, -1 if place.layer is None else place.layer, place.path or "",
               place.inside, place.encoding, place.rule_id, place.reason)  # fmt: skip
        known = found.get(key)
        if known is None or (place.offset is not None and (known.offset is None or place.offset < known.offset)):
            found[key] = place if known is None else replace(place, count=place.count + known.count)
        else:
            found[key] = replace(known, count=place.count + known.count)
    return tuple(
        replace(place, path=None if place.path is None else clear(place.path),
                inside=tuple(clear(name) for name in place.inside))
        for _, place in sorted(found.items(), key=lambda item: item[0])
    )  # fmt: skip
