"""What a scan is asked: by which detectors, with which options, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from scanner.accept.policy import Policy
from scanner.detect.base import Detector
from scanner.detect.firstpass import FirstPass
from scanner.detect.known.parts import Known
from scanner.evidence import Severity
from scanner.image.blob import Blob
from scanner.image.dockerfile import Dockerfile
from scanner.limits import Limits
from scanner.report.escape import plain
from scanner.work.jobs import BlobOutcome
from scanner.work.messages import Form


@dataclass(frozen=True, slots=True)
class Detection:
    """The detectors with their compiled first pass, the name of the rule set, and secrets that the user gave.

    Made once: the workers of every scan are forked with it.
    """

    first_pass: FirstPass
    rules_digest: str
    known: tuple[Known, ...] = ()

    @property
    def detectors(self) -> Sequence[Detector]:
        """Those of the first pass."""
        return self.first_pass.detectors


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may ask of a scan.

    Attributes:
        dockerfile: what the image was built from, as far as the user says.
        platform, caches: what was asked when the image was opened: a platform, a number of build caches.
    """

    limits: Limits
    jobs: int
    key: bytes
    fail_on: Severity | None = Severity.LOW
    show_secrets: bool = False
    show_suppressed: bool = False
    policy: Policy = field(default_factory=Policy)
    dockerfile: Dockerfile | None = None
    platform: str | None = None
    caches: int = 0

    @property
    def told(self) -> dict[str, object]:
        """What of this changes what a report says: with it, the rules and the image a scan can be repeated."""
        limits = self.limits.changed()
        return {
            "fail_on": self.fail_on.value if self.fail_on else "never",
            "show_secrets": self.show_secrets,
            "platform": self.platform,
            "dockerfile": None if self.dockerfile is None else plain(self.dockerfile.path),
            "caches": self.caches,
            "limits": {name: limits[name] for name in sorted(limits)},
        }


class Kept(Protocol):
    """Keeps what reading and matching gave, by the digest of a blob. What it gives holds no values."""

    def get(self, blob: Blob, form: Form) -> BlobOutcome | None:
        """What an earlier scan by the same rules gave for *blob*, None if that is not known."""

    def put(self, outcome: BlobOutcome, form: Form) -> BlobOutcome:
        """Keep an outcome if it can be kept; returns it as `get` will give it, or as it is."""
