"""The pipeline: one opened image in, one result out."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from scanner.commands import show
from scanner.detect.base import Detector
from scanner.errors import LeakscanError, MalformedImage
from scanner.evidence import Confidence, Coverage, Gap, ImageSummary, LayerSummary, ScanResult, Severity
from scanner.image.blob import Blob
from scanner.image.documents import parse, strings
from scanner.image.model import Document, Image, Layer, OpenedImage
from scanner.layer.expand import PROOF_SUFFIX
from scanner.limits import Limits
from scanner.locate import Place, Text, blob_places, cut_by_escape, layer_places, text_place
from scanner.prove import Settings, Steps, findings, merged
from scanner.redact import Redactor
from scanner.report.escape import plain
from scanner.work.messages import Form
from scanner.work.pool import BlobJob, BlobOutcome, Pool, in_batches


@dataclass(frozen=True, slots=True)
class Detection:
    """The detectors, their compiled first pass and the name of the rule set."""

    detectors: Sequence[Detector]
    database: bytes
    rules_digest: str


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may ask of a scan."""

    limits: Limits
    jobs: int
    key: bytes
    fail_on: Severity | None = Severity.LOW
    show_secrets: bool = False


def scan(
    opened: OpenedImage, detection: Detection, options: Options, progress: Callable[[int], None] = lambda _: None
) -> ScanResult:
    """Scan every layer and document of *opened*. Raises OSError if no spool can be made (disk full)."""
    started = time.monotonic()
    gaps = [*opened.gaps, *(gap for image in opened.images for gap in image.gaps)]
    jobs = _jobs(opened)
    texts, blobs, text_gaps = _texts(opened, options.limits)
    gaps += text_gaps
    for document in blobs:
        form = Form.BYTES if document.structure else Form.GUESS
        jobs.setdefault(_key(document.blob), BlobJob(document.blob, form))
    pool = Pool(detection.detectors, detection.database, options.limits, options.jobs, progress)
    outcomes = pool.run(
        list(jobs.values()),
        list(in_batches([(key, text.document.where, text.data) for key, text in enumerate(texts)])),
    )
    by_blob = dict(zip(jobs, outcomes, strict=True))
    gaps += pool.text_gaps
    places = [
        text_place(texts[sighting.text], sighting)
        for sighting in pool.text_sightings
        if not cut_by_escape(texts[sighting.text], sighting)
    ]
    for document in blobs:
        places += blob_places(document, by_blob[_key(document.blob)])
    several = len(opened.images) > 1
    for number, image in enumerate(opened.images):
        mine = [by_blob[_key(layer.blob)] if layer.blob else None for layer in image.layers]
        places += layer_places(image, mine, number, str(image.platform) if several else None)
        gaps += _layer_gaps(image, mine)
    gaps += [gap for outcome in outcomes for gap in _outcome_gaps(outcome)]
    return _result(opened, detection, options, places, gaps, outcomes, texts, started)


def unavailable(reference: str, source: str, error: LeakscanError, rules_digest: str) -> ScanResult:
    """The result for an image that cannot be opened at all: incomplete, with the reason among the gaps."""
    gap = Gap("", "", "image.unavailable", None, plain(error.what))
    return ScanResult(reference, source, (), (), Coverage(0, 0, 0, (gap,)), rules_digest)


def _key(blob: Blob) -> tuple[int, int, int]:
    return id(blob.file), blob.offset, blob.size


def _jobs(opened: OpenedImage) -> dict[tuple[int, int, int], BlobJob]:
    """Every distinct layer blob once, however many images or layers share it."""
    found: dict[tuple[int, int, int], BlobJob] = {}
    for image in opened.images:
        for layer in image.layers:
            if layer.blob is not None:
                found.setdefault(_key(layer.blob), BlobJob(layer.blob, _form(layer)))
    return found


def _form(layer: Layer) -> Form:
    """Encrypted layers are matched as they lie there, not walked."""
    return Form.BYTES if layer.absent else Form.LAYER


def _documents(opened: OpenedImage) -> Iterator[tuple[Document, Image | None, int]]:
    """Every document with the image it belongs to, if to one, and that image's number."""
    only = opened.images[0] if len(opened.images) == 1 else None
    for document in opened.documents:
        yield document, only, 0
    for number, image in enumerate(opened.images):
        for document in image.documents:
            yield document, image, number


def _texts(opened: OpenedImage, limits: Limits) -> tuple[list[Text], list[Document], list[Gap]]:
    """JSON documents as texts, all other documents to be matched as blobs, and what could not be parsed."""
    texts: list[Text] = []
    blobs: list[Document] = []
    gaps: list[Gap] = []
    several = len(opened.images) > 1
    seen: set[tuple[object, ...]] = set()
    for document, image, number in _documents(opened):
        platform = str(image.platform) if image and several else None
        if (*_key(document.blob), number) in seen:
            continue
        seen.add((*_key(document.blob), number))
        if not document.is_json or document.blob.size > limits.document_bytes:
            blobs.append(document)
            if document.is_json:
                gaps.append(Gap(document.where, "", "json.too-large", document.blob.size, "larger than the limit"))
            continue
        raw = document.blob.read()
        try:
            parse(raw, document.where, limits)
        except MalformedImage as error:
            gaps.append(Gap(document.where, "", "json.malformed", len(raw), error.what))
        texts += _text(document, raw, image, number, platform)
    return texts, blobs, gaps


def _text(
    document: Document, raw: bytes, image: Image | None, number: int, platform: str | None
) -> Iterator[Text]:
    """A document as it lies there, and each of its strings that escapes make differ from their stored bytes."""
    key = hashlib.sha256(raw + PROOF_SUFFIX).digest()
    found = tuple(strings(raw))
    yield Text(document, raw, key, found, None, image, number, platform)
    for string in found:
        if string.escaped:
            value = string.value.encode("utf-8", "surrogatepass")
            yield Text(document, value, key, (), string, image, number, platform)


def _layer_gaps(image: Image, outcomes: Sequence[BlobOutcome | None]) -> Iterator[Gap]:
    """Layers that are not there, may not be read, or are not what the documents say."""
    for layer, outcome in zip(image.layers, outcomes, strict=True):
        name = layer.digest or layer.diff_id or f"layer {layer.index}"
        if layer.absent or outcome is None:
            yield Gap(name, f"layer {layer.index}", layer.absent or "layer.missing", layer.size or None, "")
            continue
        read = outcome.read
        if read is None:
            continue
        if layer.digest and read.digest != layer.digest and layer.digest.startswith("sha256:"):
            yield Gap(name, f"layer {layer.index}", "layer.digest", None, f"its bytes have the digest {read.digest}")
        if layer.diff_id and read.diff_id != layer.diff_id and layer.diff_id.startswith("sha256:"):
            yield Gap(name, f"layer {layer.index}", "layer.diff-id", None, f"its plain bytes have {read.diff_id}")


def _outcome_gaps(outcome: BlobOutcome) -> Iterator[Gap]:
    """What went wrong while reading and matching a blob."""
    yield from outcome.gaps
    read = outcome.read
    if read is None:
        return
    yield from read.gaps
    if outcome.matched < read.size and not outcome.gaps:
        yield Gap(outcome.blob.name, "", "worker.lost", read.size - outcome.matched, "no worker answered for them")


def _result(
    opened: OpenedImage,
    detection: Detection,
    options: Options,
    places: list[Place],
    gaps: list[Gap],
    outcomes: Sequence[BlobOutcome],
    texts: Sequence[Text],
    started: float,
) -> ScanResult:
    settings = Settings(options.fail_on, options.show_secrets, options.key, partial(show, opened))
    layers = [image.layers for image in opened.images]
    unique = merged(_without_identifiers(places, opened))
    redactor, steps = Redactor(place.match.secret.reveal() for place in unique), Steps(unique)
    found = findings(unique, settings, redactor, steps, layers)
    whole = sum(len(text.data) for text in texts if text.string is None)
    sizes = [outcome.read.size if outcome.read else outcome.blob.size for outcome in outcomes]
    coverage = Coverage(
        total=sum(sizes) + whole,
        accounted=sum(min(outcome.matched, size) for outcome, size in zip(outcomes, sizes, strict=True)) + whole,
        members=sum(outcome.read.ledger.members for outcome in outcomes if outcome.read),
        gaps=tuple(_redacted(gaps, redactor)),
    )
    return ScanResult(
        reference=plain(redactor.text(opened.reference)),
        source=opened.source,
        images=tuple(_summary(opened, image, redactor, steps) for image in opened.images),
        findings=tuple(found),
        coverage=coverage,
        rules_digest=detection.rules_digest,
        seconds=time.monotonic() - started,
        notes=tuple(plain(redactor.text(note)) for note in opened.notes),
    )


_IDENTIFIER = re.compile(rb"[0-9a-f]{12,128}")


def _without_identifiers(places: Iterable[Place], opened: OpenedImage) -> Iterator[Place]:
    """Places but for the image's own names: the entropy of a digest is no news, and redacting it would spoil proofs.

    Only what is nothing but hexadecimal and unsure anyway is left out, so no name can hide a credential.
    """
    layers = [layer for image in opened.images for layer in image.layers]
    names = [document.blob.name for document, _, _ in _documents(opened)]
    names += [name for layer in layers for name in (layer.digest, layer.diff_id) if name]
    names += [layer.blob.name for layer in layers if layer.blob]
    names += [name for image in opened.images for name in (image.manifest_digest, image.config_digest) if name]
    own = "\n".join(names).encode("utf-8", "surrogateescape")
    for place in places:
        value = place.match.secret.reveal()
        if place.match.confidence is not Confidence.LOW or not _IDENTIFIER.fullmatch(value) or value not in own:
            yield place


def _redacted(gaps: Iterable[Gap], redactor: Redactor) -> Iterator[Gap]:
    """Gaps without found values, each once."""
    seen = set()
    for gap in gaps:
        clear = replace(gap, where=plain(redactor.text(gap.where)), detail=plain(redactor.text(gap.detail)),
                        blob=plain(redactor.text(gap.blob)))  # fmt: skip
        if clear not in seen:
            seen.add(clear)
            yield clear


def _summary(opened: OpenedImage, image: Image, redactor: Redactor, steps: Steps) -> ImageSummary:
    def layer(item: Layer) -> LayerSummary:
        step = item.instruction
        return LayerSummary(
            item.index, item.digest, item.diff_id, item.size, plain(redactor.text(item.media_type)),
            steps.redacted(step.created_by, redactor) if step else None, step.history_index if step else None,
        )  # fmt: skip

    return ImageSummary(
        plain(redactor.text(opened.reference)), opened.source, image.manifest_digest,
        image.config_digest, plain(str(image.platform)), tuple(layer(item) for item in image.layers),
    )  # fmt: skip
