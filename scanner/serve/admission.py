"""What is answered for an object of Kubernetes whose images are known as far as they are: a decision, with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scanner.evidence import line_to_show
from scanner.report import escape
from scanner.report.lines import counted, cut, short
from scanner.report.story import BURIED
from scanner.serve.images import Image
from scanner.serve.podspec import Use
from scanner.serve.review import Answer
from scanner.serve.words import Effect, Policy, Standing

_ORDER = (Standing.LEAKED, Standing.INCOMPLETE, Standing.UNKNOWN, Standing.CLEAN)
_SHOWN = 3  # places of leaks of one image that are named
_SAID = 20  # images of one object that are: whoever makes it chooses how many there are
_PLACE, _REFERENCE, _GAP = 80, 120, 80
_TEMPLATE = "pods of this template would be refused: "


def decided(
    uses: Sequence[Use], images: Mapping[str, Image], policy: Policy, runs: bool, public_url: str = ""
) -> Answer:
    """The answer for an object.

    Args:
        uses: its images, each with the container that it is of.
        images: what is known, by reference.
        runs: it is run as it is; a template only earns warnings, its pods are judged when they come.
        public_url: where the pages are; links lead there.
    """
    effects = {reference: policy.of(image.verdict) for reference, image in images.items()}
    found = [(use, images[use.reference]) for use in uses]
    refused, warned = (
        _said([pair for pair in found if effects[pair[0].reference] is effect], public_url)
        for effect in (Effect.DENY, Effect.WARN)
    )
    notes = _notes(images)
    if refused and runs:
        return Answer(False, f"leakscan: {'; '.join(refused)}", _warnings("", warned), notes)
    return Answer(True, "", (*_warnings(_TEMPLATE, refused), *_warnings("", warned)), notes)


def sentence(image: Image, public_url: str = "") -> str:
    """What is known of an image, and what follows, without a value: `REFERENCE leaks 2 credentials: ...`."""
    name = escape.text(cut(image.reference, _REFERENCE)) or "an image without a name"
    if image.digest and image.digest not in image.reference:
        name += f" ({short(image.digest)})"
    verdict = image.verdict
    if verdict is None or verdict.standing is Standing.UNKNOWN:
        return f"{name} {_unknown(image)}"
    link = f"; see {public_url}/images/{verdict.digest}" if public_url else ""
    old = " by older rules" if verdict.stale else ""
    if verdict.standing is Standing.LEAKED:
        leaks = verdict.leaks
        places = list(dict.fromkeys(map(_leak, leaks)))  # one place may have several, or be of several platforms
        more = f", and {counted(len(places) - _SHOWN, 'more place')}" if len(places) > _SHOWN else ""
        secrets = len({each["secret"]["fingerprint"] for each in leaks})
        return f"{name} leaks {counted(secrets, 'credential')}{old}: {', '.join(places[:_SHOWN])}{more}{link}"
    if verdict.standing is Standing.INCOMPLETE:
        why = escape.text(cut(", ".join(verdict.gaps), _GAP))
        again = "; it is scanned again" if image.asked else ""
        return f"{name} could not be searched whole{old} ({why}){again}{link}"
    if verdict.stale:
        again = "; its scan is on its way, try again in a moment" if image.asked else _because(image)
        return f"{name} was clean by older rules, and not scanned by those of now yet{again}{link}"
    return f"{name} is clean"


def _said(found: Sequence[tuple[Use, Image]], public_url: str) -> list[str]:
    said = [f"{use.where}: {sentence(image, public_url)}" for use, image in found[:_SAID]]
    return [*said, f"and {len(found) - _SAID:,} more"] if len(found) > _SAID else said


def _because(image: Image) -> str:
    return f": {escape.text(image.problem)}" if image.problem else ""


def _unknown(image: Image) -> str:
    if image.problem:
        return f"is not known: {escape.text(image.problem)}"
    if image.asked:
        return "was not scanned yet; its scan is on its way, try again in a moment"
    return "was not scanned yet"


def _leak(finding: Mapping[str, Any]) -> str:
    path = " > ".join((finding["path"] or "", *finding["inside"])) or finding["surface"]
    line = line_to_show(finding["line"], finding["encoding"])
    place = cut(path, _PLACE) if line is None else f"{cut(path, _PLACE)}:{line}"
    gone = f" ({BURIED[finding['state']]}, and still there)" if finding["state"] in BURIED else ""
    return escape.text(f"{finding['title']} in {place}{gone}")


def _warnings(prefix: str, said: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"leakscan: {prefix}{each}" for each in said)


def _notes(images: Mapping[str, Image]) -> dict[str, str]:
    """For the cluster's audit log: the worst standing, and which digest each tag was taken for."""
    if not images:
        return {}
    worst = min((image.standing for image in images.values()), key=_ORDER.index)
    told = [f"{cut(image.reference, _REFERENCE)} {image.digest or '-'} {image.standing.value}"
            for image in list(images.values())[:_SAID]]  # fmt: skip
    return {"verdict": worst.value, "images": ", ".join(told)}
