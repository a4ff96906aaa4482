"""What an audit came to as one page for a browser: counts, how it grew, what leaks most widely, and who must act.

A single file that asks for nothing else and runs nothing, like the page of one image. Rows are bounded; JSON and CSV
have every image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from scanner import __version__
from scanner.audit.columns import Column, history
from scanner.audit.leaks import Image, layers_of, leaks_of
from scanner.audit.overview import Overview, overview
from scanner.audit.report import headline
from scanner.audit.rows import built, gated, judged
from scanner.audit.run import Audit
from scanner.evidence import Severity, Verdict
from scanner.report import markup
from scanner.report.lines import amount, counted, cut, short
from scanner.report.order import ordered
from scanner.report.picture import LANES, Picture, picture
from scanner.report.stored import coverage_of, finding_of, image_of
from scanner.report.story import by_step
from scanner.store.ledger import State

#: Rows of a table, at most; images with a picture.
ROWS, _PICTURED = 500, 10
STYLES = ("report.css", "registry.css")
STATES = {
    State.SCANNED: "read whole",
    State.INCOMPLETE: "not wholly read",
    State.FAILED: "could not be opened or listed",
    State.NOT_REACHED: "not reached",
}


@dataclass(frozen=True, slots=True)
class _Registry:
    """One registry of an audit.

    Attributes:
        seen: the images that the store knew of, by time.
        pictures: of a few images: the reference, whether it was read whole, and a picture for each platform.
    """

    host: str
    overview: Overview
    seen: tuple[Column, ...]
    pictures: tuple[tuple[str, bool, tuple[Picture, ...]], ...]
    older: int
    blobs: int
    interrupted: bool
    notes: tuple[str, ...]


def render(audits: Sequence[Audit], fail_on: Severity | None, rules_digest: str) -> str:
    """The page, with a newline at its end.

    Args:
        fail_on: the least severity that counts; None for none.
    """
    registries = [_registry(each, fail_on) for each in audits]
    leaking = sum(each.overview.leaking for each in registries)
    images = sum(each.overview.images for each in registries)
    whole, failed = (sum(each.overview.states[state] for each in registries) for state in (State.SCANNED, State.FAILED))
    every = whole == images and not any(each.interrupted for each in registries)
    found = Verdict.LEAKED if leaking else Verdict.CLEAN if every else Verdict.INCOMPLETE
    return markup.page(
        "audit.html",
        *STYLES,
        version=__version__,
        verdict=found,
        name=cut(", ".join(each.host for each in audits), 200),
        sentence=f"{sentence(leaking, images, whole, failed)}.",
        registries=registries,
        states=STATES,
        rules=rules_digest,
        time=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        fail_on="never" if fail_on is None else fail_on.value,
        rows=ROWS,
        pictured=_PICTURED,
        lanes=LANES,
        amount=amount,
        counted=counted,
        cut=cut,
        short=short,
        linked=False,
    )


def _registry(each: Audit, fail_on: Severity | None) -> _Registry:
    found, seen = overview_of(each, fail_on), history(each.ledger.spans(), datetime.now(UTC).date())
    return _Registry(each.host, found, seen, tuple(_pictures(each, found, fail_on)), each.older, each.blobs,
                     each.interrupted, each.notes)  # fmt: skip


def overview_of(each: Audit, fail_on: Severity | None) -> Overview:
    """What the images of an audit come to. Raises DatabaseError."""
    return overview(_images(each, fail_on), ROWS)


def _pictures(
    each: Audit, found: Overview, fail_on: Severity | None
) -> Iterator[tuple[str, bool, tuple[Picture, ...]]]:
    """The worst image of each repository, step by step, as far as layers are known."""
    of: dict[str, Image] = {}
    for image in found.worst:
        of.setdefault(image.repository, image)
    for image in list(of.values())[:_PICTURED]:
        result = each.ledger.result(image.digest)
        if result is None or not result.images or not image.layers:
            continue
        several = len(result.images) > 1
        summaries = [image_of(document, image.reference, "registry") for document in result.images]
        leaking = [finding_of(one) for document in result.images for one in document["findings"] if gated(one, fail_on)]
        groups = by_step(ordered(leaking))
        coverage = coverage_of(result.images[0].get("coverage"))
        pictures = (picture(summary, groups, coverage.gaps, several) for summary in summaries[:_PICTURED])
        yield image.reference, coverage.complete, tuple(one for one in pictures if one.got)


def _images(each: Audit, fail_on: Severity | None) -> Iterator[Image]:
    for known in each.images():
        entry, documents = known.entry, known.images
        yield Image(
            reference=entry.reference,
            repository=entry.repository or each.host,
            digest=entry.digest,
            state=entry.state,
            reason=entry.reason,
            created=built(known.created),
            leaks=tuple(leaks_of(judged(documents, fail_on))),
            layers=layers_of(documents),
            stale=bool(known.stale),
        )


def sentence(leaking: int, images: int, whole: int, failed: int) -> str:
    """What a page begins with, without the full stop: the headline, and of how many images it does not tell."""
    head = headline(leaking, images, failed)
    left = images - whole
    rest = f"; {counted(left, 'image')} {'was' if left == 1 else 'were'} not, or not wholly, read"
    return f"{head[:1].upper()}{head[1:]}{rest if left and failed < images else ''}"
