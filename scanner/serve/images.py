"""What is known of images by the references that somebody else wrote: each resolved once, looked up, asked for.

The digest that a tag had when it was resolved is the one that the answer holds for, and that is named in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from scanner.errors import LeakscanError
from scanner.image.reference import parse_reference
from scanner.image.registry.names import repository_of
from scanner.serve.service import Service
from scanner.serve.words import Priority, Standing, Verdict
from scanner.store.database import DatabaseError

#: different images of one request; of more, the rest is not looked at and so not known
MOST = 200
_LATE = "it took too long to find out; try again"
_MANY = f"there are more than {MOST} images in one request"
_STORE = "the store of verdicts cannot be used now"


@dataclass(frozen=True, slots=True)
class Image:
    """A reference, and what is known of it.

    Attributes:
        digest: that it has, or had when it was asked for; empty if nobody could tell.
        pinned: HOST/NAME@DIGEST, empty likewise.
        problem: why nothing is known, or why no scan could be asked for, for people.
        asked: a scan is on its way.
    """

    reference: str
    digest: str = ""
    pinned: str = ""
    verdict: Verdict | None = None
    problem: str = ""
    asked: bool = False

    @property
    def standing(self) -> Standing:
        """What is known of it."""
        return Standing.UNKNOWN if self.verdict is None else self.verdict.standing


async def looked_up(
    references: Iterable[str], service: Service, origin: str, may_ask: bool, seconds: float
) -> Mapping[str, Image]:
    """Each reference with what is known of it. Never raises for what an image, a registry or the store does.

    Args:
        origin: which endpoint asks.
        may_ask: scans are asked for where a verdict is missing or due.
        seconds: after which the rest is late, and so not known.
    """
    wanted = list(dict.fromkeys(references))
    found = {reference: Image(reference, problem=_MANY) for reference in wanted[MOST:]}
    tasks = {reference: asyncio.create_task(_looked_up(reference, service, origin, may_ask))
             for reference in wanted[:MOST]}  # fmt: skip
    if tasks:
        await asyncio.wait(tasks.values(), timeout=seconds)
    for reference, task in tasks.items():
        if task.done():
            found[reference] = task.result()
        else:
            task.cancel()
            found[reference] = Image(reference, problem=_LATE)
    return found


async def pins(references: Iterable[str], service: Service, seconds: float) -> Mapping[str, str]:
    """The references that name a tag → the digests that these have now; what cannot be found out is left out."""
    tagged = [each for each in dict.fromkeys(references) if "@" not in each][:MOST]
    tasks = {reference: asyncio.create_task(_resolved(reference, service)) for reference in tagged}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=seconds)
    found = {}
    for reference, task in tasks.items():
        if not task.done():
            task.cancel()
        elif digest := task.result().digest:
            found[reference] = digest
    return found


async def _resolved(reference: str, service: Service) -> Image:
    try:
        parsed = parse_reference(reference)
        if parsed.digest:  # a verdict is of a digest, whichever registry has it
            return Image(reference, parsed.digest, f"{repository_of(parsed)}@{parsed.digest}")
        pinned, digest = await service.resolve(reference)
    except LeakscanError as error:
        return Image(reference, problem=error.what)
    return Image(reference, digest, pinned)


async def _looked_up(reference: str, service: Service, origin: str, may_ask: bool) -> Image:
    image = await _resolved(reference, service)
    if not image.digest:
        return image
    try:
        verdict = await service.verdict(image.digest)
    except DatabaseError:
        return replace(image, problem=_STORE)
    image = replace(image, verdict=verdict)
    if not (verdict.due and may_ask):
        return image
    try:
        await service.ask(image.pinned, image.digest, Priority.ADMISSION, origin)
    except LeakscanError as error:  # the queue is full, or nobody lets that registry be read
        return replace(image, problem=error.what)
    except DatabaseError:
        return replace(image, problem=_STORE)
    return replace(image, asked=True)
