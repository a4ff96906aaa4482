"""Places and gaps of one scan → its result: judged by what the user accepts, without a found value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from scanner.accept.policy import Judged, judge
from scanner.account import known_secrets
from scanner.commands import show
from scanner.detect.known.parts import Known
from scanner.errors import LeakscanError
from scanner.evidence import Confidence, Coverage, Finding, Gap, IgnoredPlace, ImageSummary, LayerSummary, ScanResult
from scanner.image.history import users
from scanner.image.maker import builder_of
from scanner.image.model import Image, Layer, OpenedImage
from scanner.image.recipe import recipe_of
from scanner.places.ignored import shown
from scanner.places.locate import Place, Text, text_of
from scanner.places.merge import merged
from scanner.prove import Settings, findings
from scanner.report.escape import plain
from scanner.request import Detection, Options
from scanner.secrecy.keys import fingerprint, key_id
from scanner.secrecy.redact import Redactor
from scanner.secrecy.steps import Steps
from scanner.secrecy.unseal import unsealed
from scanner.surfaces import documents_of
from scanner.work.jobs import BlobOutcome


@dataclass(frozen=True, slots=True)
class Seen:
    """What reading and matching an image gave.

    Attributes:
        places: where detectors saw something.
        outcomes: of all blobs, each once.
        texts, text_bytes: small documents, and how many bytes of them were looked at.
        ignored: what was judged to be no secret.
    """

    places: list[Place]
    gaps: list[Gap]
    outcomes: Sequence[BlobOutcome]
    texts: Sequence[Text]
    text_bytes: int
    ignored: list[IgnoredPlace]


def result_of(opened: OpenedImage, detection: Detection, options: Options, seen: Seen) -> ScanResult:
    """The result of a scan; how long it took is for the caller to say."""
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
    clear = unsealed(seen.places, chain(own, _told(opened, seen.places, seen.gaps)))
    unique = merged(_without_identifiers(clear.places, own))
    redactor = Redactor([*_shown(unique), *clear.spellings, *_given(detection.known)])
    steps = Steps(unique)
    found = findings(unique, settings, redactor, steps, layers)
    judged = _judged(found, list(_redacted(seen.gaps, redactor)), unique, options, redactor)
    coverage = _coverage(seen, judged)
    return ScanResult(
        reference=plain(redactor.text(opened.reference)),
        source=opened.source,
        images=tuple(_summary(opened, image, redactor, steps) for image in opened.images),
        findings=judged.findings,
        coverage=coverage,
        rules_digest=detection.rules_digest,
        known_secrets=known_secrets(detection.known, seen.places, judged.findings, coverage),
        notes=tuple(plain(redactor.text(note)) for note in (*opened.notes, *options.policy.notes, *judged.notices)),
        ignored=shown(seen.ignored, redactor) if options.show_suppressed else None,
        key_id=key_id(options.key),
        settings=options.told,
    )


def _coverage(seen: Seen, judged: Judged) -> Coverage:
    sizes = [outcome.read.size if outcome.read else outcome.blob.size for outcome in seen.outcomes]
    matched = sum(min(outcome.matched, size) for outcome, size in zip(seen.outcomes, sizes, strict=True))
    return Coverage(
        total=sum(sizes) + sum(text.document.blob.size for text in seen.texts),
        accounted=matched + seen.text_bytes,
        members=sum(outcome.read.ledger.members for outcome in seen.outcomes if outcome.read),
        gaps=judged.gaps,
        accepted=judged.accepted,
    )


def unavailable(
    reference: str, source: str, error: LeakscanError, rules_digest: str, known: Sequence[Known] = ()
) -> ScanResult:
    """The result for an image that cannot be opened at all: incomplete, with the reason among the gaps."""
    gap = Gap("", "", "image.unavailable", None, plain(error.what))
    coverage = Coverage(0, 0, 0, (gap,))
    asked = known_secrets(known, (), (), coverage)
    return ScanResult(reference, source, (), (), coverage, rules_digest, known_secrets=asked)


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
    names = [document.blob.name for document in documents_of(opened)]
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
