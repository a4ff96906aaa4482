"""What was pushed becomes tickets: each image once, and only if a scan would tell something new."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scanner.audit.listing import refers
from scanner.errors import LeakscanError
from scanner.image.registry.names import registry_of
from scanner.serve.hooks.push import Push
from scanner.serve.queue import QueueFull
from scanner.serve.service import Service
from scanner.serve.words import Priority
from scanner.store.ledger import Ledger

#: Images of one notification; what is beyond is left to the next audit.
MOST = 50


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a notification, in images.

    Attributes:
        queued: a scan was asked for; *known*: the store has its verdict.
        refused: the name is none, or its registry may not be read.
        left: more than are taken at once.
    """

    queued: int = 0
    known: int = 0
    refused: int = 0
    left: int = 0


def take(service: Service, pushes: Iterable[Push], host: str, origin: str) -> Taken:
    """Note what tags point to, and have scanned what is not known. Blocks: for a thread.

    Args:
        host: of the registry, where a push does not say it.

    Raises:
        QueueFull: nothing more can wait; what was taken stays taken, and another delivery brings the rest.
        DatabaseError: the store cannot be written.
    """
    wanted = [push for push in dict.fromkeys(pushes) if not refers(push.tag) or _lacking(service, push)]
    queued = known = refused = 0
    tags: defaultdict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    full: QueueFull | None = None
    for push in wanted[:MOST]:
        at = registry_of((push.host or host).lower()).host if push.host or host else ""
        reference = f"{at}/{push.repository}" + (f":{push.tag}" if push.tag else "")
        if not at or not push.usable or not _readable(service, reference):
            refused += 1
            continue
        subject = refers(push.tag)
        digest = subject or push.digest
        if push.digest and push.tag and not subject:
            tags[at, push.repository].append((push.tag, push.digest))
        if digest and not subject and not service.verdicts.of(digest).due:
            known += 1
            continue
        try:
            if digest:
                service.queue.ask(f"{reference}@{digest}", digest, Priority.WEBHOOK, origin)
            else:
                service.queue.ask(reference, pending(reference), Priority.WEBHOOK, origin)
            queued += 1
        except QueueFull as error:
            full = error
            break
    note(service, tags)
    if full is not None:
        raise full
    return Taken(queued, known, refused, max(0, len(wanted) - MOST))


def pending(reference: str) -> str:
    """What stands in a ticket for the digest of a tag, until the registry was asked for it."""
    return f"tag:{hashlib.sha256(reference.encode()).hexdigest()}"


def note(service: Service, tags: defaultdict[tuple[str, str], list[tuple[str, str]]]) -> None:
    """Write down what tags of repositories point to now. Raises DatabaseError."""
    for (host, repository), found in tags.items():
        Ledger(service.store, host, service.verdicts.rule_set, "").point(repository, _last(found))


def _lacking(service: Service, push: Push) -> bool:
    """Whether what was pushed refers to an image that is known without it."""
    return service.verdicts.of(refers(push.tag)).lacks(push.digest)


def _last(found: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(dict(found).items())


def _readable(service: Service, reference: str) -> bool:
    try:
        service.registries.repository(reference)
    except LeakscanError:
        return False
    return True
