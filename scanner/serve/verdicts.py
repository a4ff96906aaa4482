"""The one function that answers for an image: a look-up in the store, never a scan."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from scanner.audit.rows import judged
from scanner.serve.settings import ServeSettings
from scanner.serve.words import Standing, Verdict
from scanner.store.database import Store
from scanner.store.ledger import Known, State, known


class Verdicts:
    """Answers for digests by one rule set; the latest answers are kept in memory for a moment.

    Attributes:
        writes: how often this service said that something was written.
    """

    def __init__(
        self, store: Store, rule_set: str, settings: ServeSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self.rule_set, self._settings, self._clock = store, rule_set, settings, clock
        self._kept: OrderedDict[str, tuple[float, Verdict]] = OrderedDict()
        self._weight = self.writes = 0
        self._lock = threading.Lock()

    def of(self, digest: str) -> Verdict:
        """The answer for a manifest or index, from memory if it is there. Raises DatabaseError."""
        return self.cached(digest) or self.looked_up(digest)

    def looked_up(self, digest: str) -> Verdict:
        """The answer as the store has it now; it is remembered. Raises DatabaseError."""
        began = self.writes
        found = self._read(digest)
        with self._lock:
            if began == self.writes:  # else it may be of before
                self._drop(digest)
                self._kept[digest] = (self._clock() + self._settings.cache_seconds, found)
                self._weight += _weight(found)
                while self._weight > self._settings.cache_weight:
                    self._drop(next(iter(self._kept)))
        return found

    def cached(self, digest: str) -> Verdict | None:
        """The answer if it is in memory; touches nothing else."""
        found = self._kept.get(digest)
        return None if found is None or found[0] < self._clock() else found[1]

    def ages(self, digest: str) -> bool:
        """Whether half the time is over for which an answer is remembered."""
        found = self._kept.get(digest)
        return found is not None and found[0] < self._clock() + self._settings.cache_seconds / 2

    def forget(self) -> None:
        """Look everything up anew: something was written."""
        with self._lock:
            self.writes += 1
            self._kept.clear()
            self._weight = 0

    def _drop(self, digest: str) -> None:
        found = self._kept.pop(digest, None)
        if found is not None:
            self._weight -= _weight(found[1])

    def _read(self, digest: str) -> Verdict:
        found = known(self._store, digest, self.rule_set)
        if found is None or found.result.state is State.NOT_REACHED:
            return Verdict(digest, Standing.UNKNOWN)
        images = _images(found, digest)
        findings = tuple(judged(images, self._settings.fail_on))
        stale = found.rules != self.rule_set
        if any(finding["gated"] for finding in findings):
            standing = Standing.LEAKED
        elif found.result.state is State.SCANNED:
            standing = Standing.CLEAN
        else:
            standing = Standing.INCOMPLETE
        return Verdict(digest, standing, found.rules, stale, stale or self._due(found), found.result.repository,
                       found.tags, found.scanned, findings, _gaps(found), images)  # fmt: skip

    def _due(self, found: Known) -> bool:
        """Whether reading it again may give more: not at once, or an image that never can be read is read for ever."""
        if found.result.final or found.result.state is State.SCANNED:
            return False
        age = (datetime.now(UTC) - datetime.fromisoformat(found.scanned)).total_seconds()
        return not 0 <= age < self._settings.incomplete_seconds


def _weight(verdict: Verdict) -> int:
    return 1 + len(verdict.findings)


def _images(found: Known, digest: str) -> tuple[dict[str, Any], ...]:
    """The images that *digest* stands for: all of an index, or one of its manifests.

    What belongs to no single platform is kept with the first image (`audit.results`), and counts for each.
    """
    images = found.result.images
    if found.result.digest == digest or not images:
        return tuple(images)
    own = [image for image in images if image["manifest_digest"] == digest]
    first = images[0]
    if not own or own[0] is first:
        return tuple(own)
    shared = [finding for finding in first["findings"] if finding.get("platform") is None]
    return ({**own[0], "findings": [*own[0]["findings"], *shared]},)


def _gaps(found: Known) -> tuple[str, ...]:
    reason = found.result.reason
    if not reason:
        return ()
    return (reason,) if found.result.state is State.FAILED else tuple(reason.split(", "))
