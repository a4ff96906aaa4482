"""What a detector is: triggers for the first pass, and a confirm that makes matches of where they fired."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol, runtime_checkable

from scanner.detect.spans import Suppressed
from scanner.evidence import Match


class Group(IntEnum):
    """Kinds of expressions; those of one database of the first pass are run over a content together.

    Each pass over the bytes costs something, and expressions without rare literals slow down those that have them: on
    the same bytes all in one database ran at half the speed of these, a database for each group at three quarters.

    Attributes:
        SHAPED: rare literals, or words such as `password` and `token` with something behind them: most.
        ENCODED: what secrets begin with, in base64, hex, UTF-16 and the like: thousands of literals.
        RUNS: whole patterns in which nothing is rare, as only rules of users are.
        QUOTED: long runs of characters in quotes.
        SETTINGS: long runs without quotes; run over contents that could be settings files only.
        KNOWN: parts of secrets that the user gave, compiled for one run and never kept.
    """

    SHAPED = 0
    ENCODED = 1
    QUOTED = 2
    RUNS = 3
    SETTINGS = 4
    KNOWN = 5

    @property
    def database(self) -> Group:
        """The first group of the database that it belongs to."""
        return Group.SHAPED if self <= Group.QUOTED else self


class Trigger(NamedTuple):  # a tuple, as twenty thousand are made for every scan
    """One expression of the first pass, in Hyperscan's dialect; bytes, not UTF-8, newlines match `.`.

    It must fire for everything that its detector could confirm, and should be cheap: the first pass runs it over
    every byte of an image.

    Attributes:
        expression: no start-of-match is reported, only where it ends, and it ends at every place it can: write
            `{20}` rather than `{20,}` if the shortest form already decides.
        caseless: letters match either case.
        single: report only the first place in a content; for expressions that fire so often that the confirm
            had better read the content itself.
        group: what kind it is, which decides the database it goes into.
    """

    expression: bytes
    caseless: bool = False
    single: bool = False
    group: Group = Group.SHAPED


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


class Explaining(ABC):
    """Most detectors: what they confirm is what they explain, without what was judged to be no secret."""

    __slots__ = ()

    @abstractmethod
    def explain(self, data: memoryview, ends: Sequence[int], path: str, /) -> Iterator[Match | Suppressed]:
        """As `confirm`, with what was judged to be no secret, and why."""

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """The matches in *data*, each once (`Detector`)."""
        return (found for found in self.explain(data, ends, path) if isinstance(found, Match))


@runtime_checkable
class PathDetector(Protocol):
    """A detector that some paths are enough for: it confirms their contents whether a trigger fired or not."""

    def claims(self, path: str) -> bool:
        """Whether the content called *path* is worth a look; asked for every content, so it must be quick."""
        ...
