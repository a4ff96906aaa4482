"""The pipeline: one opened image in, one result out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from scanner.evidence import ScanResult, Surface
from scanner.image.model import Document, OpenedImage
from scanner.places.gitnames import named
from scanner.places.ignored import in_documents, in_layers
from scanner.places.locate import Text, blob_places, layer_places, text_places
from scanner.places.origin import attributed
from scanner.request import Detection, Kept, Options
from scanner.result import Seen, result_of
from scanner.surfaces import jobs_of, texts_of
from scanner.unread import layer_gaps, misnamed, nested_gaps, outcome_gaps
from scanner.work.jobs import BlobJob, BlobOutcome, TextJob
from scanner.work.messages import Sighting
from scanner.work.pool import Pool


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
    texts, blobs, doubts = texts_of(opened, options.limits)
    jobs = jobs_of(opened, blobs)
    pool = pool or pool_for(detection, options, progress)
    outcomes = _outcomes(pool, jobs, texts, kept)
    if pool.text_gaps:
        opened = _without_steps(opened)
    seen = _seen(opened, texts, blobs, outcomes, pool)
    said = [*opened.gaps, *(gap for image in opened.images for gap in image.gaps), *doubts]
    seen = replace(seen, gaps=[*said, *seen.gaps])
    return replace(result_of(opened, detection, options, seen), seconds=time.monotonic() - started)


def pool_for(detection: Detection, options: Options, progress: Callable[[int], None]) -> Pool:
    """Workers for one scan; *progress* is told of plain bytes that were matched."""
    return Pool(detection.first_pass, options.limits, options.jobs, progress, options.show_suppressed)


def _outcomes(
    pool: Pool, jobs: Mapping[tuple[int, int, int], BlobJob], texts: Sequence[Text], kept: Kept | None
) -> dict[tuple[int, int, int], BlobOutcome]:
    """What is known of each job's blob already, and for the rest what the pool makes of it. Texts are the pool's."""
    known = {key: outcome for key, job in jobs.items() if kept and (outcome := kept.get(job.blob, job.form))}
    fresh = {key: job for key, job in jobs.items() if key not in known}
    ran = pool.run(
        list(fresh.values()),
        [TextJob(key, text.document.where, text.document.blob, text.document.is_json, text.document.structure)
         for key, text in enumerate(texts)],
    )  # fmt: skip
    read = {key: kept.put(outcome, fresh[key].form) if kept else outcome
            for key, outcome in zip(fresh, ran, strict=True)}  # fmt: skip
    return {key: known[key] if key in known else read[key] for key in jobs}


def _seen(
    opened: OpenedImage,
    texts: Sequence[Text],
    blobs: Sequence[Document],
    outcomes: Mapping[tuple[int, int, int], BlobOutcome],
    pool: Pool,
) -> Seen:
    """What detectors saw, each in its place in the images: in texts, in *blobs*, which are documents too, in layers."""
    by_text: dict[int, list[Sighting]] = {}
    for sighting in pool.text_sightings:
        by_text.setdefault(sighting.text, []).append(sighting)
    places = [place for key, sightings in by_text.items() for place in text_places(texts[key], sightings)]
    gaps = list(pool.text_gaps)
    layers = (outcomes[layer.blob.place] for image in opened.images for layer in image.layers if layer.blob)
    own = {layer.read.diff_id for layer in layers if layer.read}  # not what a config says: that may be missing here
    for document in blobs:
        outcome = outcomes[document.blob.place]
        if not _is_own(document, outcome, own):
            places += blob_places(document, outcome)
        gaps += [*(nested.gap for nested in outcome.nested), *misnamed(outcome)]
    several = len(opened.images) > 1
    ignored = [*in_documents(texts, pool.text_ignored, ((each, outcomes[each.blob.place]) for each in blobs))]
    for number, image in enumerate(opened.images):
        mine = [outcomes[layer.blob.place] if layer.blob else None for layer in image.layers]
        platform = str(image.platform) if several else None
        places += attributed(image, mine, named(layer_places(image, mine, number, platform), mine))
        ignored += in_layers(image, mine, platform)
        gaps += [*layer_gaps(image, mine), *nested_gaps(image, mine)]
    gaps += [gap for outcome in outcomes.values() for gap in outcome_gaps(outcome)]
    return Seen(places, gaps, list(outcomes.values()), texts, pool.text_bytes, ignored)


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
