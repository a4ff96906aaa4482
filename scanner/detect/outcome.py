"""The words of offline checks: what a check is given, and what it may say about a match."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from scanner.evidence import Severity


class Verdict(Enum):
    """What an outcome does to a match."""

    SURE = auto()  #: confidence becomes high
    FITS = auto()  #: confidence stays
    DOUBT = auto()  #: confidence falls by one step
    PUBLIC = auto()  #: confidence becomes low: real, but no secret
    DROP = auto()  #: no match


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check says.

    Attributes:
        check: the name that evidence carries, such as crc32 or jwt-exp.
        result: one word or two: valid, mismatch, encrypted ...
        severity: replaces the rule's, if given.
    """

    verdict: Verdict
    check: str
    result: str
    detail: str = ""
    severity: Severity | None = None


Groups = Mapping[str, bytes]
Check = Callable[[Groups], Outcome]
