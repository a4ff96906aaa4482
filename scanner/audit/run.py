"""An audit: lists, skips what is known, scans the rest image by image, and writes each result at once.

Killed at any moment, the next run finds all that was written and goes on; results are keyed by what was read and by
the rules, so nothing is counted twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scanner import __version__
from scanner.audit.listing import Item, Listed, listed, refers
from scanner.audit.results import created_of, failed, incomplete, joined, passes, renamed, scanned, why
from scanner.audit.targets import Filters, Target
from scanner.detect.plugins.library import preload
from scanner.errors import LeakscanError
from scanner.evidence import Severity
from scanner.image.blob import Blob
from scanner.image.model import OpenedImage
from scanner.image.reference import Reference
from scanner.image.registry.client import Client
from scanner.image.registry.store import Documents
from scanner.image.remote import open_referrer, open_remote
from scanner.limits import Limits
from scanner.request import Detection, Options
from scanner.scan import scan
from scanner.secrecy.seal import Seal
from scanner.store.database import DatabaseError, Store, explained
from scanner.store.layers import KeptLayers
from scanner.store.ledger import Ledger, Result, State

_TRIES = 3  # of an image that fails for no reason that may pass


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asks of an audit; *fail_on* and such are asked of the report."""

    limits: Limits
    jobs: int
    key: bytes
    filters: Filters
    platform: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One reference of the registry and what came of it; the findings are in the ledger.

    Attributes:
        known: it was not read in this run.
        leaks: different secrets that are found in it, whatever the gate of a report makes of them later.
    """

    reference: str
    repository: str
    digest: str
    state: State
    reason: str = ""
    known: bool = False
    leaks: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger has of one entry.

    Attributes:
        images: one for each platform, as an audit's report has them.
        created: when the newest of them was made, ISO 8601 in UTC; empty if nothing tells.
        stale: the rule set that said this, if it is not this run's.
    """

    entry: Entry
    images: Sequence[dict[str, Any]] = ()
    created: str = ""
    stale: str = ""


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit of one registry came to.

    Attributes:
        older: images that the age filter left out.
        blobs: layers and large documents that this process read; those of workers are not counted.
        interrupted: it was stopped before its end.
        notes: what else must be said of the registry, a sentence each.
    """

    host: str
    entries: tuple[Entry, ...]
    ledger: Ledger
    older: int = 0
    blobs: int = 0
    interrupted: bool = False
    notes: tuple[str, ...] = ()

    def images(self) -> Iterator[Known]:
        """Every entry with what is known of it. A stale verdict stands in for one that is still to come."""
        for entry in self.entries:
            result = self.ledger.result(entry.digest) if entry.digest else None
            name = f"{self.host}/{entry.repository}"
            found = renamed(result, name) if result is not None else ()
            created = result.created if result is not None else ""
            settled = result is not None and (result.final or any(image["findings"] for image in found))
            old = self.ledger.stale(entry.digest) if entry.digest and not settled else None
            if old is None:
                yield Known(entry, found, created)
            else:
                yield Known(entry, renamed(old[1], name), old[1].created, old[0])


class Display:
    """Is told how far an audit is."""

    def listed(self, number: int) -> None:
        """*number* more images were found."""

    def waiting(self, done: int, total: int, leaks: int) -> None:
        """Others have read *done* of *total* images, of which *leaks* leak."""

    def done(self, entry: Entry, total: int) -> None:
        """One of *total* images is done."""


def rule_set(detection: Detection, platform: str | None, limits: Limits) -> str:
    """What results are kept under: the rules, this program's version, the platform if one was asked for, and the limits
    unless they are the usual ones. What was read within narrower limits does not answer for wider ones."""
    more = [*([platform] if platform else ()), *([f"limits-{limits.mark}"] if limits.mark else ())]
    return "+".join((detection.rules_digest, __version__, *more))


#: (mark of the run, images, by repository the tags by which something refers to an image, display): has images read by
#: other processes, and returns when all of them are
Elsewhere = Callable[[str, Sequence[Item], Mapping[str, Collection[str]], Display], None]


def audit(
    client: Client,
    target: Target,
    engine: Store,
    detection: Detection,
    wanted: Wanted,
    display: Display,
    elsewhere: Elsewhere | None = None,
) -> Audit:
    """Look at every image of *target*. Ctrl-C ends it early, with the rest not reached.

    Args:
        client: of the registry.
        engine: the store.
        elsewhere: reads what is not known yet; by default this process does.

    Raises:
        StoreError: the store cannot be used.
    """
    with explained():
        return _Run(client, target, engine, detection, wanted, display, elsewhere).audit()


class Reader:
    """Scans images of one registry and writes down what comes of them.

    Attributes:
        kept: the layers that are known.
    """

    def __init__(self, client: Client, engine: Store, ledger: Ledger, detection: Detection, wanted: Wanted) -> None:
        self._client, self._ledger, self._detection, self._wanted = client, ledger, detection, wanted
        self.kept = KeptLayers(engine, rule_set(detection, wanted.platform, wanted.limits), Seal(wanted.key))
        self._shared = Documents()
        ready(detection)

    def read(self, item: Item, before: Result | None, tags: Collection[str] | None = None) -> Result:
        """Scan an image and write down what came of it. Raises DatabaseError.

        *before* is what the ledger has of it.
        *tags* are those of its repository by which something refers to an image, if they are known.
        """
        repository = f"{self._client.repository.host}/{item.repository}"
        attempts = 1 + (before.attempts if before is not None else 0)
        try:
            result = self._scanned(item, repository, tags)
        except DatabaseError:
            raise
        except Exception as error:  # a fault of ours must cost one image, never the audit
            final = isinstance(error, LeakscanError) and not passes(getattr(error, "reason", "")) and attempts >= _TRIES
            result = failed(item.digest, repository, why(error), attempts, final)
        if result.state is State.FAILED:
            return note_failure(self._ledger, result)
        self._ledger.record(result)
        return result

    def extended(self, item: Item, before: Result) -> Result:
        """Scan what refers to an image that was read without it; write down what came of both. Raises DatabaseError.

        *before* is what the ledger has of the image. Without a digest *item* is what its tag points to.
        """
        client, limits = self._client.of(item.repository), self._wanted.limits
        name = item.reference(self._client.repository.host)
        try:
            opened = open_referrer(
                client, Reference(item.repository, item.tag, item.digest), limits=limits, shared=self._shared, name=name
            )
            try:
                options = Options(limits, self._wanted.jobs, self._wanted.key, Severity.LOW)
                result = joined(before, scan(opened, self._detection, options, kept=self.kept), opened)
            finally:
                opened.close()
        except DatabaseError:
            raise
        except Exception as error:
            result = incomplete(before, f"{item.tag}: {why(error)}")
        self._ledger.record(result)
        return result

    def _scanned(self, item: Item, repository: str, tags: Collection[str] | None) -> Result:
        wanted = self._wanted
        client = self._client.of(item.repository)
        name = item.reference(self._client.repository.host)
        opened = open_remote(
            client, Reference(item.repository, "", item.digest), limits=wanted.limits, platform=wanted.platform,
            shared=self._shared, name=name, tags=tags,
        )  # fmt: skip
        try:
            created = created_of(opened)
            if wanted.filters.is_older(created):  # it is not read, and told by its age from now on
                return Result(item.digest, State.NOT_REACHED, False, repository, created)
            options = Options(wanted.limits, wanted.jobs, wanted.key, Severity.LOW)
            with self.kept.claimed(_layers(opened)):
                found = scan(opened, self._detection, options, kept=self.kept)
        finally:
            opened.close()
        return scanned(found, opened, item.digest, repository, created)


def ready(detection: Detection) -> None:
    """Make what every process that is forked for an image would make."""
    preload()
    detection.first_pass.claimants("")


def note_failure(ledger: Ledger, result: Result) -> Result:
    """Write down that an image could not be read, and keep what was found in it once; returns what the ledger has now.
    Raises DatabaseError."""
    before = ledger.result(result.digest)
    if before is not None and before.final:  # somebody else could
        return before
    if before is not None and before.images:
        result = replace(before, reason=result.reason)
    ledger.record(result)
    return result


class _Run:
    """One audit on its way."""

    def __init__(
        self, client: Client, target: Target, engine: Store, detection: Detection, wanted: Wanted, display: Display,
        elsewhere: Elsewhere | None,
    ) -> None:  # fmt: skip
        self._client, self._target, self._filters, self._display = client, target, wanted.filters, display
        self._host, self._elsewhere = target.registry.host, elsewhere
        run = secrets.token_hex(8)
        self._ledger = Ledger(engine, self._host, rule_set(detection, wanted.platform, wanted.limits), run)
        self._reader = Reader(client, engine, self._ledger, detection, wanted)
        self._mark = run
        self._seen: set[str] = set()  # digests of manifests that were looked at in this run
        self._tried: set[tuple[str, str]] = set()  # the same, with the repository: what one refuses another may give
        self._referring: dict[str, set[str]] = {}  # by repository: tags by which something refers to an image
        self._referrers: dict[str, list[Item]] = {}  # by the digest of an image: what refers to it by a tag
        self._older = 0
        self._notes: list[str] = []

    def audit(self) -> Audit:
        items: list[Item] = []
        came: list[Entry | None] = []  # of each item in turn; None of what does not count
        stopped = False
        try:
            for repository in listed(self._client, self._target, self._filters, self._display.listed):
                self._note(repository)
                items += repository.items
            # what refers to an image by its tag comes last: by then it is known which images there are
            items.sort(key=lambda item: bool(item.subject))
            for item in items:
                if item.subject and item.digest:
                    self._referrers.setdefault(item.subject, []).append(item)
            read = frozenset[str]()
            if self._elsewhere is not None:
                read, stopped = self._read_elsewhere(items)
            for item in items:
                came.append(self._entry(item, read, stopped))
                if came[-1] is not None:
                    self._display.done(came[-1], len(items))
        except KeyboardInterrupt:
            stopped = True
            left = (item for item in items[len(came) :] if not item.subject)
            came += [self._made(item, State.NOT_REACHED, "the audit was stopped") for item in left]
        entries = sorted((entry for entry in came if entry is not None), key=lambda entry: entry.reference)
        return Audit(self._host, tuple(entries), self._ledger, self._older, self._reader.kept.read, stopped,
                     tuple(self._notes))  # fmt: skip

    def _note(self, repository: Listed) -> None:
        """Write down what tags point to, and remember what is to be said."""
        if repository.note:
            self._notes.append(repository.note)
        if repository.repository:
            found = [(item.tag, item.digest) for item in repository.items if item.tag and item.digest]
            self._ledger.point(repository.repository, found, repository.present if repository.whole else None)
            if repository.whole:
                self._referring[repository.repository] = {tag for tag in repository.present if refers(tag)}

    def _read_elsewhere(self, items: Sequence[Item]) -> tuple[frozenset[str], bool]:
        """Let others read what is not known; the digests of what they were to read, and whether Ctrl-C ended it."""
        assert self._elsewhere is not None
        wanted: dict[str, Item] = {}
        for item in items:
            if item.digest and not item.subject and item.digest not in wanted:
                result = self._ledger.result(item.digest)
                if result is None or not (result.final or self._filters.is_older(result.created)):
                    wanted[item.digest] = item
        try:
            self._elsewhere(self._mark, list(wanted.values()), self._referring, self._display)
        except KeyboardInterrupt:
            return frozenset(wanted), True
        return frozenset(wanted), False

    def _made(self, item: Item, state: State, reason: str = "", known: bool = False) -> Entry:
        return Entry(item.reference(self._host), item.repository, item.digest, state, reason, known)

    def _entry(self, item: Item, read: Collection[str], stopped: bool) -> Entry | None:
        """What comes of an item; None if it is no image, or none that counts. *read* were read elsewhere. Of an audit
        that was *stopped* it is what is known."""
        if item.reason:
            return self._made(item, State.FAILED, item.reason)
        if item.subject in self._seen:
            return None
        result = self._ledger.result(item.digest)
        known = result is not None and (result.final or (item.repository, item.digest) in self._tried)
        if result is not None and self._filters.is_older(result.created):
            known = True
        if stopped and not known:
            return None if item.subject else self._made(item, State.NOT_REACHED, "the audit was stopped")
        fresh = result is None or not (known or item.digest in read)
        if result is None or fresh:
            result = self._reader.read(item, result, self._referring.get(item.repository))
        for referrer in self._unread(result, item.repository if fresh else ""):
            if stopped:
                return self._made(item, State.NOT_REACHED, "the audit was stopped")
            result, known = self._reader.extended(referrer, result), False
        if self._filters.is_older(result.created):
            self._older += 1
            return None
        there = {item.digest, *(str(image["manifest_digest"]) for image in result.images)}
        self._seen |= there
        self._tried |= {(item.repository, digest) for digest in there}
        found = {finding["secret"]["fingerprint"] for image in result.images for finding in image["findings"]
                 if finding["gated"]}  # fmt: skip
        return replace(self._made(item, result.state, result.reason, known), leaks=len(found))

    def _unread(self, result: Result, repository: str) -> list[Item]:
        """What refers to an image and is not in its result: it came later, or is in another repository. What there is
        in *repository* was asked for just now."""
        if not result.images:
            return []
        there = dict.fromkeys([result.digest, *(str(image["manifest_digest"]) for image in result.images)])
        read = {digest for image in result.images for digest in image.get("referrers", ())}
        found = (item for digest in there for item in self._referrers.get(digest, ()))
        return [item for item in found if item.digest not in read and item.repository != repository]


def _layers(opened: OpenedImage) -> Iterator[Blob]:
    """The blobs of an image's layers."""
    return (layer.blob for image in opened.images for layer in image.layers if layer.blob is not None)
