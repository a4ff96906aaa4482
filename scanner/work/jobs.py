"""What a pool is asked for, what came of it, and what it notes of a blob on its way."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from scanner.content.repositories import LooseObject
from scanner.evidence import Gap
from scanner.image.blob import AwaitedFile, Blob, BlobFile
from scanner.layer.compression import sniff
from scanner.layer.walk import Piece
from scanner.limits import MIB
from scanner.packages.model import FileDigests, Record
from scanner.work.messages import Form, Ignored, LayerRead, NestedGap, Sighting
from scanner.work.shelf import Held

_TEXTS, _TEXT_BYTES = 1000, 4 * MIB  # in one task


@dataclass(frozen=True, slots=True)
class BlobJob:
    """Read a blob and match all its bytes.

    Attributes:
        blob: the stored bytes.
        form: what they are taken for.
        spans: further offsets and lengths, in the plain bytes or else the stored ones, whose HMACs are to be taken.
    """

    blob: Blob
    form: Form = Form.LAYER
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class TextJob:
    """Match a small blob whole.

    Attributes:
        key: comes back in `Sighting.text`.
        name: for detectors and gaps.
        is_json: its strings are matched with their escapes decoded too.
        closed: it is a piece of an archive's own structure, in which no formats are looked for.
    """

    key: int
    name: str
    blob: Blob
    is_json: bool = False
    closed: bool = False


@dataclass(slots=True)
class BlobOutcome:
    """What reading and matching a blob gave. Complete when `Pool.run` returns.

    Attributes:
        read: the reader's account, None if it died or failed.
        sightings: in the plain bytes.
        stored_sightings: in stored bytes that the plain ones lack.
        matched: plain bytes that detectors saw.
        gaps: what went wrong on the way, beyond what *read* says.
        records, digests: see `messages.Matched`.
        nested: gaps inside members, the blob named.
        proofs: HMACs, in hex, of stored bytes that hold a secret packed or encoded, by offset and length in the plain
            bytes; those of other secrets are of the secrets themselves. Those of the job's own spans, too.
        stored_proofs: the same, by offset and length in the stored bytes.
        ignored, objects: see `messages.Matched`.
        partial: some records or objects were not kept, as those of all blobs together are more than the limit.
    """

    blob: Blob
    read: LayerRead | None = None
    sightings: list[Sighting] = field(default_factory=list)
    stored_sightings: list[Sighting] = field(default_factory=list)
    matched: int = 0
    gaps: list[Gap] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    digests: list[FileDigests] = field(default_factory=list)
    nested: list[NestedGap] = field(default_factory=list)
    proofs: dict[tuple[int, int], str] = field(default_factory=dict)
    stored_proofs: dict[tuple[int, int], str] = field(default_factory=dict)
    ignored: list[Ignored] = field(default_factory=list)
    objects: list[LooseObject] = field(default_factory=list)
    partial: bool = False


class Seen(NamedTuple):
    """What a matcher saw, packed: whether in the stored bytes, and where the records are that were among them."""

    stored: bool
    body: bytes
    records: Held


@dataclass(slots=True, eq=False)
class Job:
    """A blob on its way: its spool, its two extents (2n stored, 2n + 1 plain), and how much is still out."""

    number: int
    spec: BlobJob
    outcome: BlobOutcome
    spool: BlobFile | None = None
    plain: Blob | None = None
    sent: int = 0  # plain bytes handed out as pieces, in order
    out: int = 0  # batches that are waiting or being matched
    finished: bool = False  # the reader is done with it
    early: bool = False  # begun before anybody asked for it
    unwanted: bool = False  # nobody will ask for it
    packs: bool | None = None  # whether a reader will expand it, once that was looked at
    room: int = 0  # plain bytes that it may take on the disk
    spooled: int = 0  # that it took
    packed: list[Seen] = field(default_factory=list)
    #: that are to be proven, of the plain bytes and of the stored ones
    spans: tuple[set[tuple[int, int]], set[tuple[int, int]]] = field(default_factory=lambda: (set(), set()))

    def extent(self, stored: bool) -> int:
        """The number of one of its extents."""
        return 2 * self.number + (0 if stored else 1)

    def is_packed(self) -> bool:
        """Whether a reader will expand a blob."""
        if self.packs is None:
            self.packs = False
            with contextlib.suppress(OSError):  # the reader will say so
                self.packs = self.spec.form is not Form.BYTES and bool(sniff(self.spec.blob.read(0, 6)))
        return self.packs

    def lies_in_source(self) -> bool:
        """Whether its plain bytes take no room of ours, and stay where they are until the scan is over."""
        return self.plain is self.spec.blob and not isinstance(self.spec.blob.file, AwaitedFile)

    def is_spoiled(self) -> bool:
        """Whether something else than its bytes kept an early one from being read whole."""
        read = self.outcome.read
        gaps = [*self.outcome.gaps, *(read.gaps if read is not None else ())]
        return self.early and any(gap.reason.startswith(("limit.", "spool.", "worker.")) for gap in gaps)

    def prove(self) -> None:
        """Take the HMACs of stored bytes while the plain bytes are there; what cannot be read any more has no proof."""
        outcome, plain = self.outcome, self.plain
        if outcome.read is None or plain is None:
            return
        key = outcome.read.proof_key
        with contextlib.suppress(OSError):
            for blob, spans, proofs in zip(
                (plain, self.spec.blob), self.spans, (outcome.proofs, outcome.stored_proofs), strict=True
            ):
                proofs.update({span: _mac(key, blob, *span) for span in spans.union(self.spec.spans)})


@dataclass(frozen=True, slots=True)
class Batch:
    """Pieces of one extent that wait for a matcher."""

    job: Job
    stored: bool
    pieces: list[Piece]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(piece.end - piece.start + piece.data - piece.header for piece in self.pieces)


def _mac(key: bytes, blob: Blob, offset: int, length: int) -> str:
    """The HMAC of a span of *blob*, in hex. Raises OSError."""
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in blob.parts(offset, length):
        mac.update(part)
    return mac.hexdigest()


def in_batches(texts: Iterable[TextJob]) -> Iterator[list[TextJob]]:
    """The texts of each task."""
    batch: list[TextJob] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += text.blob.size
        if size >= _TEXT_BYTES or len(batch) >= _TEXTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
