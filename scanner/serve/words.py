"""The words of the service: what an image is, who asks, and what is answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from scanner.store.tickets import Ticket, TicketState

__all__ = ["Effect", "Policy", "Priority", "Scope", "Standing", "Ticket", "TicketState", "Verdict"]


class Standing(StrEnum):
    """What is known of an image."""

    CLEAN = "clean"
    LEAKED = "leaked"
    #: not all of it could be read, or nothing at all, as where its registry refused it
    INCOMPLETE = "incomplete"
    #: nobody tried yet
    UNKNOWN = "unknown"


class Effect(StrEnum):
    """What a policy makes of a standing."""

    DENY = "deny"
    WARN = "warn"
    ALLOW = "allow"


class Priority(IntEnum):
    """Who waits for a scan: the lowest number is scanned first."""

    ADMISSION = 0
    INTERACTIVE = 10
    WEBHOOK = 20
    AUDIT = 30


class Scope(StrEnum):
    """What a token or a client certificate may do."""

    ADMISSION = "admission"
    HARBOR = "harbor"
    HOOKS = "hooks"
    #: pages, verdicts and metrics
    READ = "read"
    #: ask for a scan
    SCAN = "scan"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of images not known to be clean. The defaults fail closed; *audit* never denies, it warns."""

    leaked: Effect = Effect.DENY
    incomplete: Effect = Effect.DENY
    unknown: Effect = Effect.DENY
    audit: bool = False

    def effect(self, standing: Standing) -> Effect:
        """What becomes of an image."""
        if standing is Standing.CLEAN:
            return Effect.ALLOW
        found = {Standing.LEAKED: self.leaked, Standing.INCOMPLETE: self.incomplete}.get(standing, self.unknown)
        return Effect.WARN if self.audit and found is Effect.DENY else found

    def of(self, verdict: Verdict | None) -> Effect:
        """What becomes of an image with that verdict, None if there is none.

        Other rules did not look for what those of now look for, so where they found nothing the image is as one that
        was not scanned yet.
        """
        if verdict is None or (verdict.stale and verdict.standing is Standing.CLEAN):
            return self.effect(Standing.UNKNOWN)
        return self.effect(verdict.standing)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one manifest or index.

    Attributes:
        rule_set: the rules that gave it; empty if it is unknown.
        stale: these are not the rules of now.
        due: a scan may give another answer, so one should be asked for.
        repository: host/name that its commands name.
        tags: references that point to it now.
        scanned: when, ISO 8601.
        findings: as the store has them (docs/report.md), with the gate of the service.
        gaps: what was not looked at, or why it could not be read.
        images: one for each platform: manifest_digest, platform, findings.
    """

    digest: str
    standing: Standing
    rule_set: str = ""
    stale: bool = False
    due: bool = True
    repository: str = ""
    tags: tuple[str, ...] = ()
    scanned: str = ""
    findings: tuple[dict[str, Any], ...] = ()
    gaps: tuple[str, ...] = ()
    images: tuple[dict[str, Any], ...] = ()

    def lacks(self, digest: str) -> bool:
        """Whether it was read without *digest*, which refers to it."""
        return bool(self.images) and not any(digest in image.get("referrers", ()) for image in self.images)

    @property
    def leaks(self) -> tuple[dict[str, Any], ...]:
        """The findings that make it leak."""
        return tuple(finding for finding in self.findings if finding["gated"])
