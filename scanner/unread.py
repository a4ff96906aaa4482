"""Gaps of what was read: layers that are not there or not what they are said to be, bytes that nobody looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from scanner.evidence import Gap
from scanner.image.model import Image
from scanner.places.locate import path_of
from scanner.places.origin import intact
from scanner.work.jobs import BlobOutcome


def layer_gaps(image: Image, outcomes: Sequence[BlobOutcome | None]) -> Iterator[Gap]:
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


def nested_gaps(image: Image, outcomes: Sequence[BlobOutcome | None]) -> Iterator[Gap]:
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


def outcome_gaps(outcome: BlobOutcome) -> Iterator[Gap]:
    """What went wrong while reading and matching a blob."""
    yield from outcome.gaps
    read = outcome.read
    if read is None:
        return
    for gap in read.gaps:  # a member's name that no detector saw is not told
        yield gap if not outcome.gaps or gap.where.startswith("bytes ") else replace(gap, where="")
    if outcome.matched < read.size and not outcome.gaps:
        yield Gap(outcome.blob.name, "", "worker.lost", read.size - outcome.matched, "no worker answered for them")


def misnamed(outcome: BlobOutcome) -> Iterator[Gap]:
    """A blob that does not have the digest it is named by."""
    name, read = outcome.blob.name, outcome.read
    if read is not None and name.startswith("sha256:") and read.digest != name:
        yield Gap(name, "", "blob.digest", None, "the bytes do not match the digest")
