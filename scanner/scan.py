"""The pipeline: one opened image in, one result out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Protocol

from scanner.account import known_secrets
from scanner.commands import show
from scanner.detect.base import Detector
from scanner.detect.firstpass import FirstPass
from scanner.detect.known.parts import Known
from scanner.errors import LeakscanError, MalformedImage
from scanner.evidence import (
    Confidence,
    Coverage,
    Finding,
    Gap,
    IgnoredPlace,
    ImageSummary,
    LayerSummary,
    ScanResult,
    Severity,
    Surface,
)
from scanner.gitnames import named
from scanner.ignored import in_documents, in_layers, shown
from scanner.image.assembly import digest_like
from scanner.image.blob import Blob
from scanner.image.dockerfile import Dockerfile
from scanner.image.documents import parse
from scanner.image.history import users
from scanner.image.maker import builder_of
from scanner.image.model import Document, Image, Layer, OpenedImage
from scanner.image.recipe import recipe_of
from scanner.keys import fingerprint, key_id
from scanner.limits import KIB, Limits
from scanner.locate import Place, Text, blob_places, layer_places, path_of, text_of, text_places
from scanner.merge import merged
from scanner.oci import is_digest
from scanner.origin import attributed, intact
from scanner.prove import Settings, findings
from scanner.redact import Redactor
from scanner.report.escape import plain
from scanner.steps import Steps
from scanner.suppress import Judged, Policy, judge
from scanner.unseal import unsealed
from scanner.work.jobs import BlobJob, BlobOutcome, TextJob
from scanner.work.messages import Form, Sighting
from scanner.work.pool import Pool

_SMALL = 64 * KIB  # a document of fewer bytes is matched in the company of others


@dataclass(frozen=True, slots=True)
class Detection:
    """The detectors with their compiled first pass, the name of the rule set, and secrets that the user gave.

    Made once: the workers of every scan are forked with it.
    """

    first_pass: FirstPass
    rules_digest: str
    known: tuple[Known, ...] = ()

    @property
    def detectors(self) -> Sequence[Detector]:
        """Those of the first pass."""
        return self.first_pass.detectors


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may ask of a scan.

    Attributes:
        dockerfile: what the image was built from, as far as the user says.
        platform, caches: what was asked when the image was opened: a platform, a number of build caches.
    """

    limits: Limits
    jobs: int
    key: bytes
    fail_on: Severity | None = Severity.LOW
    show_secrets: bool = False
    show_suppressed: bool = False
    policy: Policy = field(default_factory=Policy)
    dockerfile: Dockerfile | None = None
    platform: str | None = None
    caches: int = 0

    @property
    def told(self) -> dict[str, object]:
        """What of this changes what a report says: with it, the rules and the image a scan can be repeated."""
        limits = self.limits.changed()
        return {
            "fail_on": self.fail_on.value if self.fail_on else "never",
            "show_secrets": self.show_secrets,
            "platform": self.platform,
            "dockerfile": None if self.dockerfile is None else plain(self.dockerfile.path),
            "caches": self.caches,
            "limits": {name: limits[name] for name in sorted(limits)},
        }


class Kept(Protocol):
    """Keeps what reading and matching gave, by the digest of a blob. What it gives holds no values."""

    def get(self, blob: Blob, form: Form) -> BlobOutcome | None:
        """What an earlier scan by the same rules gave for *blob*, None if that is not known."""

    def put(self, outcome: BlobOutcome, form: Form) -> BlobOutcome:
        """Keep an outcome if it can be kept; returns it as `get` will give it, or as it is."""


def scan(
    opened: OpenedImage,
    detection: Detection,
    options: Options,
    progress: Callable[[int], None] = lambda _: None,
    kept: Kept | None = None,
    pool: Pool | None = None,
) -> ScanResult:
    """Scan every layer and document of *opened*. Raises OSError if no spool can be made (disk full).

    *pool* was made by `pool_for` and has begun with layers already; *progress* is that of the pool then.

    Blobs that *kept* knows are not read again; the findings are the same. It is not asked where values are needed (to
    show them, to compare them with a baseline, to look for those that are known), nor what was judged to be no secret,
    as it knows neither.
    """
    if options.show_secrets or options.show_suppressed or options.policy.acceptors or detection.known:
        kept = None
    started = time.monotonic()
    gaps = [*opened.gaps, *(gap for image in opened.images for gap in image.gaps)]
    texts, blobs, text_gaps = _texts(opened, options.limits)
    gaps += text_gaps
    jobs = _jobs(opened, blobs)
    pool = pool or pool_for(detection, options, progress)
    known = {key: outcome for key, job in jobs.items() if kept and (outcome := kept.get(job.blob, job.form))}
    fresh = {key: job for key, job in jobs.items() if key not in known}
    ran = pool.run(
        list(fresh.values()),
        [TextJob(key, text.document.where, text.document.blob, text.document.is_json, text.document.structure)
         for key, text in enumerate(texts)],
    )  # fmt: skip
    read = {key: kept.put(outcome, fresh[key].form) if kept else outcome
            for key, outcome in zip(fresh, ran, strict=True)}  # fmt: skip
    by_blob = {key: known[key] if key in known else read[key] for key in jobs}
    outcomes = list(by_blob.values())
    if pool.text_gaps:
        gaps += pool.text_gaps
        opened = _without_steps(opened)
    by_text: dict[int, list[Sighting]] = {}
    for sighting in pool.text_sightings:
        by_text.setdefault(sighting.text, []).append(sighting)
    places = [place for key, sightings in by_text.items() for place in text_places(texts[key], sightings)]
    layers = (by_blob[layer.blob.place] for image in opened.images for layer in image.layers if layer.blob)
    own = {layer.read.diff_id for layer in layers if layer.read}  # not what a config says: that may be missing here
    for document in blobs:
        if not _is_own(document, by_blob[document.blob.place], own):
            places += blob_places(document, by_blob[document.blob.place])
        gaps += [nested.gap for nested in by_blob[document.blob.place].nested]
    several = len(opened.images) > 1
    ignored = [*in_documents(texts, pool.text_ignored, ((d, by_blob[d.blob.place]) for d in blobs))]
    for number, image in enumerate(opened.images):
        mine = [by_blob[layer.blob.place] if layer.blob else None for layer in image.layers]
        found = layer_places(image, mine, number, str(image.platform) if several else None)
        ignored += in_layers(image, mine, str(image.platform) if several else None)
        places += attributed(image, mine, named(found, mine))
        gaps += [*_layer_gaps(image, mine), *_nested_gaps(image, mine)]
    gaps += [gap for outcome in outcomes for gap in _outcome_gaps(outcome)]
    gaps += [gap for document in blobs for gap in _misnamed(by_blob[document.blob.place])]
    return _result(opened, detection, options, places, gaps, outcomes, texts, pool.text_bytes, started,
                   ignored if options.show_suppressed else None)  # fmt: skip


def pool_for(detection: Detection, options: Options, progress: Callable[[int], None]) -> Pool:
    """Workers for one scan; *progress* is told of plain bytes that were matched."""
    return Pool(detection.first_pass, options.limits, options.jobs, progress, options.show_suppressed)


def unavailable(
    reference: str, source: str, error: LeakscanError, rules_digest: str, known: Sequence[Known] = ()
) -> ScanResult:
    """The result for an image that cannot be opened at all: incomplete, with the reason among the gaps."""
    gap = Gap("", "", "image.unavailable", None, plain(error.what))
    coverage = Coverage(0, 0, 0, (gap,))
    asked = known_secrets(known, (), (), coverage)
    return ScanResult(reference, source, (), (), coverage, rules_digest, known_secrets=asked)


def blob_jobs(opened: OpenedImage, limits: Limits) -> list[BlobJob]:
    """A job for every blob of *opened* that is not small enough to be read as it is."""
    return list(_jobs(opened, _texts(opened, limits)[1]).values())


def _jobs(opened: OpenedImage, documents: Iterable[Document]) -> dict[tuple[int, int, int], BlobJob]:
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


def _texts(opened: OpenedImage, limits: Limits) -> tuple[list[Text], list[Document], list[Gap]]:
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


def _without_steps(opened: OpenedImage) -> OpenedImage:
    """The image without the text of its build steps: no detector saw all of it, so it may hold anything."""
    images = [
        replace(image, layers=tuple(replace(layer, instruction=None) for layer in image.layers))
        for image in opened.images
    ]
    return replace(opened, images=tuple(images))


def _is_own(document: Document, outcome: BlobOutcome, own: set[str]) -> bool:
    """Whether a layer of a build cache is one of the image, by the digest of its bytes: its findings are that one's."""
    return document.surface == Surface.CACHE and outcome.read is not None and outcome.read.diff_id in own


def _misnamed(outcome: BlobOutcome) -> Iterator[Gap]:
    """A blob that does not have the digest it is named by."""
    name, read = outcome.blob.name, outcome.read
    if read is not None and name.startswith("sha256:") and read.digest != name:
        yield Gap(name, "", "blob.digest", None, "the bytes do not match the digest")


def _nested_gaps(image: Image, outcomes: Sequence[BlobOutcome | None]) -> Iterator[Gap]:
    """What could not be looked at inside files; untouched content of a package may be as broken as its author likes."""
    found = {
        (layer, nested.base): path_of(nested.member, nested.named)
        for layer, outcome in enumerate(outcomes)
        for nested in (outcome.nested if outcome is not None else ())
        if nested.member is not None
    }
    fine = intact(image, outcomes, found) if found else set()
    for layer, outcome in enumerate(outcomes):
        for nested in outcome.nested if outcome is not None else ():
            if nested.member is None or (layer, nested.base) not in fine:
                yield nested.gap


def _outcome_gaps(outcome: BlobOutcome) -> Iterator[Gap]:
    """What went wrong while reading and matching a blob."""
    yield from outcome.gaps
    read = outcome.read
    if read is None:
        return
    for gap in read.gaps:  # a member's name that no detector saw is not told
        yield gap if not outcome.gaps or gap.where.startswith("bytes ") else replace(gap, where="")
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
    text_bytes: int,
    started: float,
    ignored: list[IgnoredPlace] | None,
) -> ScanResult:
    histories = [image.config.history if image.config else () for image in opened.images]
    settings = Settings(
        fail_on=options.fail_on,
        show_secrets=options.show_secrets,
        key=options.key,
        command=partial(show, opened),
        builders=[builder_of(history) for history in histories],
        users=[users(history) for history in histories],
        names=[_names(opened, image) for image in opened.images],
        systems=[image.platform.os for image in opened.images],
        recipes=[recipe_of(options.dockerfile, history) for history in histories] if options.dockerfile else (),
    )
    layers = [image.layers for image in opened.images]
    own = _identifiers(opened)
    clear = unsealed(places, chain(own, _told(opened, places, gaps)))
    unique = merged(_without_identifiers(clear.places, own))
    redactor = Redactor([*_shown(unique), *clear.spellings, *_given(detection.known)])
    steps = Steps(unique)
    found = findings(unique, settings, redactor, steps, layers)
    judged = _judged(found, list(_redacted(gaps, redactor)), unique, options, redactor)
    whole = sum(text.document.blob.size for text in texts)
    sizes = [outcome.read.size if outcome.read else outcome.blob.size for outcome in outcomes]
    coverage = Coverage(
        total=sum(sizes) + whole,
        accounted=sum(min(outcome.matched, size) for outcome, size in zip(outcomes, sizes, strict=True)) + text_bytes,
        members=sum(outcome.read.ledger.members for outcome in outcomes if outcome.read),
        gaps=judged.gaps,
        accepted=judged.accepted,
    )
    return ScanResult(
        reference=plain(redactor.text(opened.reference)),
        source=opened.source,
        images=tuple(_summary(opened, image, redactor, steps) for image in opened.images),
        findings=judged.findings,
        coverage=coverage,
        rules_digest=detection.rules_digest,
        seconds=time.monotonic() - started,
        known_secrets=known_secrets(detection.known, places, judged.findings, coverage),
        notes=tuple(plain(redactor.text(note)) for note in (*opened.notes, *options.policy.notes, *judged.notices)),
        ignored=None if ignored is None else shown(ignored, redactor),
        key_id=key_id(options.key),
        settings=options.told,
    )


def _judged(
    found: Sequence[Finding], gaps: Sequence[Gap], places: Iterable[Place], options: Options, redactor: Redactor
) -> Judged:
    """Findings and gaps after what the user accepts; what accepts may look at the values, reports may not."""
    secrets = [place.match.secret for place in places] if options.policy.acceptors else []
    values = {fingerprint(options.key, secret.reveal()): secret for secret in secrets}
    judged = judge(found, gaps, options.policy, values)

    def clear(accepted: Mapping[str, object]) -> dict[str, object]:
        return {key: plain(redactor.text(value)) if isinstance(value, str) else value
                for key, value in accepted.items()}  # fmt: skip

    return replace(
        judged,
        findings=tuple(each if each.suppressed is None else replace(each, suppressed=clear(each.suppressed))
                       for each in judged.findings),
        accepted=tuple(replace(each, accepted=clear(each.accepted)) for each in judged.accepted),
    )  # fmt: skip


def _names(opened: OpenedImage, image: Image) -> str:
    """What to delete of an image: a few of its names, and the digest that they point to. Where that is of an index,
    whoever deleted the image's own manifest would leave the tag, and the attestations beside the image."""
    own = [opened.reference] if opened.source in ("docker", "podman", "registry") else []
    known = list(dict.fromkeys([*own, *image.names]))
    # an entry of index.json bears its name in whole and, in another annotation, the tag of it
    names = [name for name in known if not any(other.endswith(f":{name}") for other in known)][:3]
    digest = f" at {image.tagged or image.manifest_digest}" if image.manifest_digest and names else ""
    index = f" (the index of {image.manifest_digest})" if image.tagged and digest else ""
    return f"{' and '.join(name[:200] for name in names)}{digest}{index}"


def _shown(places: Iterable[Place]) -> Iterator[bytes]:
    """What no string of a report may show: the values, and how documents spell them."""
    for place in places:
        yield place.match.secret.reveal()
        if place.spelled is not None:
            yield place.spelled.reveal()


def _given(known: Iterable[Known]) -> Iterator[bytes]:
    """Values that the user gave and that are secrets: no report shows them, found or not."""
    for secret in known:
        for part in secret.parts:
            if part.telling:
                yield part.value.reveal()


_IDENTIFIER = re.compile(rb"[0-9a-f]{12,128}")
#: The member of a docker-archive that tells the layer id of each tag.
_IDS_BY_TAG = "repositories"


def _identifiers(opened: OpenedImage) -> list[str]:
    """The image's own names: digests of its manifests, configs, layers and documents."""
    layers = [layer for image in opened.images for layer in image.layers]
    names = [document.blob.name for document, _, _ in _documents(opened)]
    names += [name for layer in layers for name in (layer.digest, layer.diff_id) if name]
    names += [layer.blob.name for layer in layers if layer.blob]
    names += [name for image in opened.images for name in (image.manifest_digest, image.config_digest) if name]
    return names


def _without_identifiers(places: Iterable[Place], names: Iterable[str]) -> Iterator[Place]:
    """Places but for the image's own names: the entropy of a digest is no news, and redacting it would spoil proofs.

    Only what is nothing but hexadecimal is left out, and unsure anyway or an id that belongs where it stands, whatever
    the tag in front of it is called: so no name can hide a credential.
    """
    own = "\n".join(names).encode("utf-8", "surrogateescape")
    for place in places:
        value = place.match.secret.reveal()
        expected = place.match.confidence is Confidence.LOW or place.blob.name == _IDS_BY_TAG
        if not expected or not _IDENTIFIER.fullmatch(value) or value not in own:
            yield place


def _told(opened: OpenedImage, places: Iterable[Place], gaps: Iterable[Gap]) -> Iterator[str]:
    """Every string of the image that its report could show."""
    yield from (opened.reference, opened.path, opened.exported, *opened.notes)
    for image in opened.images:
        yield str(image.platform)
        yield from (entry.created_by for entry in (image.config.history if image.config else ()))
        for layer in image.layers:
            yield layer.media_type
            if layer.instruction is not None:
                yield layer.instruction.created_by
    for place in places:
        yield from (place.path or "", *place.inside, *(item.detail for item in place.match.evidence))
        yield place.instruction.created_by if place.instruction is not None else ""
        yield text_of(place.member or b"")
    for gap in gaps:
        yield from (gap.blob, gap.where, gap.detail)


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
