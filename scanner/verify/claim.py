"""One claim of a report, and what became of it when it was checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What a check came to."""

    CONFIRMED = "confirmed"
    DIFFERS = "differs"
    UNREADABLE = "unreadable"
    NOT_REPEATED = "not repeated"


@dataclass(frozen=True, slots=True)
class Check:
    """One claim of a report and what became of it.

    Attributes:
        claim: image, layer, finding, known-secret, coverage, note or report.
        name: the digest, the finding's or the secret's id.
        detail: for people; empty if confirmed.
    """

    claim: str
    name: str
    outcome: Outcome
    detail: str = ""
