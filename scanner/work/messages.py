"""What the coordinator and its workers say to each other. Values only; file descriptors travel beside them."""

from __future__ import annotations

import pickle
import zlib
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from scanner.content.repositories import LooseObject
from scanner.errors import LeakscanError
from scanner.evidence import Gap, Match, Secret
from scanner.layer.tree import Tree
from scanner.layer.walk import Ledger, Piece
from scanner.limits import Limits
from scanner.packages.model import FileDigests, Record
from scanner.work.called import Named


class Form(StrEnum):
    """What a blob is taken for.

    Attributes:
        LAYER: a tar archive, compressed or not; anything else is a gap.
        GUESS: walked if it looks like a tar archive, else bytes; expanded if it looks compressed.
        BYTES: bytes as they lie there.
    """

    LAYER = "layer"
    GUESS = "guess"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Fetch:
    """To a fetcher: download the blob of a job. Followed by the descriptor of an empty spool."""

    job: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """From a fetcher: the blob of a job is in the spool."""

    job: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """From a receiver: so many bytes more are in the file."""

    bytes: int


@dataclass(frozen=True, slots=True)
class Received:
    """From a receiver: all bytes are in the file; *result* is what copying them came to."""

    result: object


@dataclass(frozen=True, slots=True)
class Refused:
    """From a receiver: the bytes are not to be had, or cannot be written."""

    error: LeakscanError | OSError


@dataclass(frozen=True, slots=True)
class ReadLayer:
    """To a reader: expand and walk a blob. Followed by two descriptors: the blob's file and an empty spool.

    Attributes:
        job: the job's number.
        name: what gaps call the blob.
        offset, size: the blob within its file.
    """

    job: int
    name: str
    offset: int
    size: int
    form: Form
    limits: Limits


@dataclass(frozen=True, slots=True)
class Plain:
    """From a reader: the plain bytes are ready; pieces follow. *spooled* tells the spool from the blob itself."""

    job: int
    spooled: bool
    size: int


@dataclass(frozen=True, slots=True)
class Pieces:
    """From a reader: pieces of the plain bytes, or of the stored ones if *stored*."""

    job: int
    pieces: list[Piece]
    stored: bool = False


@dataclass(frozen=True, slots=True)
class LayerRead:
    """From a reader: the job is done. Digests are of what was read; see `layer.expand.Expansion`."""

    job: int
    compression: str
    size: int
    digest: str
    diff_id: str
    proof_key: bytes
    ledger: Ledger
    tree: Tree
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class OpenExtent:
    """To a matcher: bytes it will be asked about. Followed by one descriptor."""

    extent: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class EndExtent:
    """To a matcher: nothing more will be asked about these bytes. If *kept* they stay, for copies to be compared."""

    extent: int
    kept: bool


@dataclass(frozen=True, slots=True)
class MatchPieces:
    """To a matcher: match these pieces of an extent, and what is inside them."""

    extent: int
    pieces: list[Piece]


@dataclass(frozen=True, slots=True)
class MatchTexts:
    """To a matcher: match small blobs that were copied, and of JSON the decoded strings too.

    Attributes:
        texts: (key, name for detectors, bytes, whether they are JSON, whether nothing can be packed in them); the
            key comes back in `Sighting.text`.
    """

    texts: list[tuple[int, str, bytes, bool, bool]]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A match in its place.

    Attributes:
        member: the member's name as stored, None outside members.
        number: which member of the layer.
        part: data, structure (headers, padding, what follows the archive), name (a member's joined name), text,
            string (a JSON string with its escapes decoded), or inside (of what was unpacked or decoded).
        base: where the content starts in the extent: the member's data, or the structure; the string in the text.
        start: where the secret starts in the extent; in the text, the name, the decoded string or the unpacked
            content for those.
        line: 1-based line in the content, None for structure.
        text: the key of a text.
        inside, encoding: path through nested archives and what was undone, for *inside*.
        stored: for *inside*, offset and length in the extent or text of the stored bytes of the secret; for *name*,
            of all headers of the member.
        within: for *inside*, where the stored bytes of the innermost content start.
        spelled: for *inside*, how the text around it spells the secret.
        mac: the HMAC of its proof, in hex, where the value is not here any more (see `kept`).
        named: the member's path, where its name held a value and is not here any more.
    """

    member: bytes | None
    number: int
    part: str
    base: int
    start: int
    line: int | None
    match: Match
    text: int = 0
    inside: tuple[str, ...] = ()
    encoding: tuple[str, ...] = ()
    stored: tuple[int, int] = (0, 0)
    within: int = 0
    spelled: Secret | None = None
    mac: str = ""
    named: Named | None = None

    @property
    def apart(self) -> bool:
        """Whether the secret does not stand there as it is, so that other bytes prove it: those of *stored*."""
        return self.part in ("inside", "name")


@dataclass(frozen=True, slots=True)
class Ignored:
    """What looked like secrets of one rule in one content, and was judged to be none for one reason.

    Attributes:
        start: where the first one begins in the content, None if only their number is known.
        count: how many.
        member, line, text, inside, encoding: as in `Sighting`.
    """

    rule_id: str
    reason: str
    start: int | None
    line: int | None
    count: int
    member: bytes | None = None
    text: int = 0
    inside: tuple[str, ...] = ()
    encoding: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NestedGap:
    """Something inside a member that could not be looked at; whose member it is decides what follows from it.

    Attributes:
        base: where the member's data starts in the extent.
        gap: its blob is not named yet.
        named: as in `Sighting`.
    """

    member: bytes | None
    base: int
    gap: Gap
    named: Named | None = None


@dataclass(frozen=True, slots=True)
class Matched:
    """From a matcher: what it saw, and of how many bytes; decoded strings do not count.

    Attributes:
        records: what package managers' records among the members say.
        digests: of the members that hold sightings or nested gaps.
        gaps: what could not be looked at inside the members or texts.
        ignored: what was judged to be no secret, if that was asked for.
        objects: git's commits and trees among the members.
    """

    sightings: list[Sighting]
    bytes: int
    records: list[Record] = field(default_factory=list)
    digests: list[FileDigests] = field(default_factory=list)
    gaps: list[NestedGap] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    objects: list[LooseObject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Packed:
    """From a matcher: what it saw in pieces, packed. Nobody looks at that before all pieces were matched, and a large
    image has tens of thousands of sightings, of a kilobyte each.

    Attributes:
        spans: offset and length of the stored bytes of sightings that have proofs of their own.
        body: what `unpack` takes.
        records: the records in it, as `unpack_records` takes them; empty if there are none.
        bytes: of how many.
    """

    spans: frozenset[tuple[int, int]]
    body: bytes
    records: bytes
    bytes: int


def pack(message: Matched) -> Packed:
    """The same, packed."""
    spans = frozenset(sighting.stored for sighting in message.sightings if sighting.apart)
    records = _packed(message.records) if message.records else b""
    return Packed(spans, _packed(replace(message, records=[])), records, message.bytes)


def unpack(body: bytes) -> Matched:
    """What was packed, without its records."""
    message: Matched = _unpacked(body)
    return message


def unpack_records(body: bytes) -> list[Record]:
    """The records that were packed."""
    records: list[Record] = _unpacked(body) if body else []
    return records


def _packed(value: object) -> bytes:
    return zlib.compress(pickle.dumps(value), 1)


def _unpacked(body: bytes) -> Any:
    return pickle.loads(zlib.decompress(body))  # noqa: S301 - of a worker of our own, as all messages are


@dataclass(frozen=True, slots=True)
class Failed:
    """From a worker: it could not do the task, but lives. *reason* is a gap's code; *detail* holds no image bytes."""

    reason: str
    detail: str
