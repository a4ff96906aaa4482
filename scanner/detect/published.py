"""What is published is no secret: drops matches of other detectors whose value documentation or open source shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scanner.detect.base import Detector, Explaining, Trigger
from scanner.detect.spans import Suppressed
from scanner.evidence import Match


@dataclass(frozen=True, slots=True)
class Unpublished(Explaining):
    """Another detector without what is known to everybody (`base.Detector`).

    Attributes:
        detector: whose matches are looked at.
        known: SHA-256 of a value, hexadecimal → where it is published.
    """

    detector: Detector
    known: Mapping[str, str]

    @property
    def triggers(self) -> Sequence[Trigger]:
        """Those of the detector."""
        return self.detector.triggers

    def explain(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match | Suppressed]:
        """As `confirm`, with what was judged to be no secret, and why, as far as the detector says it."""
        seen: Iterator[Match | Suppressed] = getattr(self.detector, "explain", self.detector.confirm)(data, ends, path)
        for found in seen:
            source = None
            if isinstance(found, Match):
                source = self.known.get(hashlib.sha256(found.secret.reveal()).hexdigest())
            if source is None:
                yield found
            else:
                yield Suppressed(found.rule_id, found.start, found.end, f"public-example: {source}")
