"""Checks a JSON report against an image: the same digests, the same bytes at the same places, the same absence.

The image may come from another source than the report's: layers are known by their diffIDs, documents by the digest of
their bytes, and offsets count in uncompressed bytes, so compression and packing do not matter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from scanner.detect.firstpass import FirstPass
from scanner.evidence import ScanResult
from scanner.image.model import Image, Layer, OpenedImage
from scanner.limits import Limits
from scanner.report.escape import plain
from scanner.report.json import render
from scanner.surfaces import blob_jobs
from scanner.verify.claim import Check, Outcome
from scanner.verify.document import Json, consistent, entries_of, image_key
from scanner.verify.proven import Wanted
from scanner.verify.repeat import compared
from scanner.verify.terms import Terms
from scanner.work.jobs import BlobOutcome
from scanner.work.pool import Pool


def fitting(opened: OpenedImage, report: Json) -> OpenedImage:
    """*opened* without images that a report of another kind of source does not tell of: an engine has one platform."""
    if report["images"][0].get("source") == opened.source:
        return opened
    matched = [image for image in (_match(entry, opened.images) for entry in report["images"]) if image is not None]
    return replace(opened, images=tuple(image for image in opened.images if image in matched)) if matched else opened


def terms_of(
    opened: OpenedImage, report: Json, named: bool, given: Collection[str], dockerfile: bool, caches: int
) -> Terms:
    """Under which terms the scan of a report is repeated.

    Args:
        named: the image was read under the reference that the report has.
        given: ids of the known secrets that were given again.
        dockerfile, caches: whether a Dockerfile, and how many caches, were given.
    """
    settings, first = report["settings"], report["images"][0]
    kind = first.get("source") == opened.source
    pulled = opened.source == "registry" and bool(first.get("manifest_digest"))
    digests = {image.manifest_digest for image in opened.images}
    listed = {str(each.get("part_of", each.get("id"))) for each in report.get("known_secrets", ())}
    return Terms(
        same_source=kind and (named or (pulled and first["manifest_digest"] in digests)),
        same_name=named and kind,
        secrets=listed <= set(given),
        dockerfile=(settings.get("dockerfile") is not None) == dockerfile,
        caches=settings.get("caches") == caches,
    )


def verify(
    opened: OpenedImage,
    report: Json,
    limits: Limits,
    jobs: int,
    repeated: ScanResult | None = None,
    progress: Callable[[int], None] = lambda _: None,
    terms: Terms | None = None,
) -> list[Check]:
    """Every claim of *report*, checked against *opened*. Raises OSError if no spool can be made.

    Args:
        report: as `read_report` gives it.
        repeated: what a scan said now: a whole one under *terms*, or one for the known secrets only that were given
            again; None if there was none.
        terms: under which the scan was repeated; None if it could not be.
    """
    images = {image_key(entry): _match(entry, opened.images) for entry in report["images"]}
    wanted = Wanted(opened, report, images)
    # nothing is unpacked: proofs are of stored bytes
    pool = Pool(FirstPass((), b""), replace(limits, nested_depth=0), jobs, progress)
    specs = [replace(job, spans=wanted.spans(job.blob)) for job in blob_jobs(opened, limits)]
    outcomes = {outcome.blob.place: outcome for outcome in pool.run(specs, ())}
    checks = [*consistent(report)]
    for entry in report["images"]:
        checks += _image(entry, images[image_key(entry)], outcomes)
    checks += [wanted.check(finding, outcomes) for finding in report["findings"]]
    checks += _known(report, repeated)
    if terms is not None and repeated is not None:
        checks += compared(report, json.loads(render(repeated)), terms)
    return checks


def _match(entry: Json, images: Sequence[Image]) -> Image | None:
    """The image that an entry of a report is about."""
    listed = entries_of(entry, "layers")
    for image in images:
        if entry.get("config_digest"):
            if image.config_digest == entry["config_digest"]:
                return image
        elif [layer.digest for layer in image.layers] == [layer.get("digest") for layer in listed]:
            return image
    return None


def _image(
    entry: Json, image: Image | None, outcomes: Mapping[tuple[int, int, int], BlobOutcome]
) -> Iterator[Check]:
    """The digests of config and layers, those of the layers taken again of the bytes."""
    listed = entries_of(entry, "layers")
    name = plain(str(entry.get("config_digest") or entry.get("manifest_digest") or entry.get("platform")))
    if image is None:
        if listed or entry.get("config_digest"):
            yield Check("image", name, Outcome.DIFFERS, "this is another image: none has that config and those layers")
        else:
            yield Check("image", name, Outcome.UNREADABLE, "the report is about an image that could not be opened")
        return
    if [layer.get("diff_id") for layer in listed] != [layer.diff_id for layer in image.layers]:
        yield Check("image", name, Outcome.DIFFERS, "its layers are others than those of the report")
        return
    if entry.get("platform") != plain(str(image.platform)):
        yield Check("image", name, Outcome.DIFFERS, f"its platform is {image.platform}")
    yield Check("image", name, Outcome.CONFIRMED)
    for layer in image.layers:
        yield _layer(layer, outcomes)


def _layer(layer: Layer, outcomes: Mapping[tuple[int, int, int], BlobOutcome]) -> Check:
    name = layer.diff_id or layer.digest or f"layer {layer.index}"
    outcome = outcomes.get(layer.blob.place) if layer.blob else None
    if outcome is None or outcome.read is None or layer.absent:
        return Check("layer", name, Outcome.UNREADABLE, layer.absent or "it could not be read")
    if layer.diff_id and layer.diff_id.startswith("sha256:") and outcome.read.diff_id != layer.diff_id:
        return Check("layer", name, Outcome.DIFFERS, f"its bytes have the digest {outcome.read.diff_id}")
    if layer.digest and layer.digest.startswith("sha256:") and outcome.read.digest != layer.digest:
        return Check("layer", name, Outcome.DIFFERS, f"its stored bytes have the digest {outcome.read.digest}")
    return Check("layer", name, Outcome.CONFIRMED)


def _known(report: Json, repeated: ScanResult | None) -> Iterator[Check]:
    """Each verdict on a known secret, compared with that of a scan for the same secret now."""
    now = {str(entry["id"]): entry for entry in repeated.known_secrets} if repeated else {}
    for secret in report.get("known_secrets", ()):
        name, said, own = plain(str(secret.get("id"))), secret.get("verdict"), now.pop(str(secret.get("id")), None)
        if own is None:
            detail = "its value was not given; --secret repeats the search"
            yield Check("known-secret", name, Outcome.NOT_REPEATED, detail)
        elif own["verdict"] == said:
            yield Check("known-secret", name, Outcome.CONFIRMED, f"{said} again")
        elif own["verdict"] == "unknown":
            yield Check("known-secret", name, Outcome.UNREADABLE, "not all of the image could be read this time")
        else:
            detail = f"the report says {plain(str(said))}, it is {own['verdict']}"
            yield Check("known-secret", name, Outcome.DIFFERS, detail)
    for name, own in now.items():
        detail = f"the report does not tell of it, it is {own['verdict']}"
        yield Check("known-secret", plain(name), Outcome.DIFFERS, detail)
