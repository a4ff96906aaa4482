"""What a detector is: triggers for the first pass, and a confirm that makes matches of where they fired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from scanner.evidence import Match


@dataclass(frozen=True, slots=True)
class Trigger:
    """One expression of the first pass, in Hyperscan's dialect; bytes, not UTF-8, newlines match `.`.

    It must fire for everything that its detector could confirm, and should be cheap: the first pass runs it over
    every byte of an image.

    Attributes:
        expression: no start-of-match is reported, only where it ends, and it ends at every place it can: write
            `{20}` rather than `{20,}` if the shortest form already decides.
        caseless: letters match either case.
        single: report only the first place in a content; for expressions that fire so often that the confirm
            had better read the content itself.
        apart: goes into the second database. Expressions without a rare literal make those that have one slower
            than both are in two passes (measured: 141 MB/s together, 239 MB/s apart).
    """

    expression: bytes
    caseless: bool = False
    single: bool = False
    apart: bool = False


class Detector(Protocol):
    """Finds matches in one content, told where its triggers fired."""

    @property
    def triggers(self) -> Sequence[Trigger]:
        """The expressions of the first pass."""
        ...

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """The matches of this detector in *data*, each once.

        Args:
            data: the whole content, read-only, possibly a map of gigabytes: copy windows out of it, never all of it.
            ends: offsets in *data* just after each place where a trigger fired, ascending, without duplicates.
            path: the member path or a name for the content; detectors may look at it, as the kind of file decides
                what an assignment looks like. Undecodable bytes are surrogate-escaped.
        """
        ...
