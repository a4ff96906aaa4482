"""The stored bytes of a layer to its plain bytes, with both digests. Source: image-spec layer.md (media types)."""

from __future__ import annotations

import hashlib
import mmap
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from scanner.evidence import Gap
from scanner.image.blob import Blob, BlobFile
from scanner.layer.compression import EXPANDERS, Region, Stop, sniff
from scanner.limits import Limits

PROOF_SUFFIX = b"leakscan proof v1"


@dataclass(frozen=True, slots=True)
class Digests:
    """What hashing a layer's plain bytes gives.

    Attributes:
        diff_id: sha256 of the plain bytes.
        proof_key: SHA-256(plain bytes + b"leakscan proof v1"), the key of every proof about this layer.
    """

    diff_id: str
    proof_key: bytes


def plain_digests(blob: Blob) -> Digests:
    """Hash a blob of plain bytes. Raises OSError."""
    return _digests(hashed(blob, hashlib.sha256()))


def hashed(blob: Blob, digest: hashlib._Hash) -> hashlib._Hash:
    """Add all of a blob to *digest*. It is read for that, which is faster than to go over a map. Raises OSError."""
    for part in blob.parts():
        digest.update(part)
    return digest


def _digests(sha: hashlib._Hash) -> Digests:
    keyed = sha.copy()
    keyed.update(PROOF_SUFFIX)
    return Digests(f"sha256:{sha.hexdigest()}", keyed.digest())


@dataclass(frozen=True, slots=True)
class Expansion:
    """What came out of a blob.

    Attributes:
        compression: '' if the bytes were not compressed (nothing is written to the target then).
        size: plain bytes.
        digest: sha256 of the stored bytes.
        diff_id, proof_key: see `Digests`.
        outside: stored bytes not in the plain ones.
        gaps: damage, truncation, limits, unknown compression; what came out before is in the target.
    """

    compression: str
    size: int
    digest: str
    diff_id: str
    proof_key: bytes
    outside: tuple[Region, ...] = ()
    gaps: tuple[Gap, ...] = ()


def map_blob(blob: Blob) -> memoryview:
    """The blob's bytes as a read-only map. Raises OSError. An empty blob gives an empty view."""
    if blob.size == 0:
        return memoryview(b"")
    lead = blob.offset % mmap.ALLOCATIONGRANULARITY
    mapped = mmap.mmap(
        blob.file.fileno(), blob.size + lead, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED, offset=blob.offset - lead
    )
    return memoryview(mapped)[lead:]


@dataclass(slots=True)
class _Sink:
    """Counts, hashes and writes plain bytes, and stops at the limits."""

    target: BlobFile
    limit: int
    deadline: float
    tell: Callable[[int], None]
    sha: hashlib._Hash = field(default_factory=hashlib.sha256)
    size: int = 0

    def write(self, data: bytes, used: int) -> None:
        room = self.limit - self.size
        kept = memoryview(data)[:room]
        self.sha.update(kept)
        self.target.write(kept)
        self.size += min(len(data), room)
        self.tell(min(len(data), room))
        if len(data) > room:
            raise Stop("limit.expanded", used, f"more than {self.limit} bytes come out of it")
        if time.monotonic() > self.deadline:
            raise Stop("limit.time", used, "expanding takes longer than the limit")


def expand(source: Blob, target: BlobFile, limits: Limits, tell: Callable[[int], None] = lambda _: None) -> Expansion:
    """Write the plain bytes of *source* to *target*, from its current position on; *tell* how many as they are written.

    Damage never raises: it becomes a gap, and what came out before it is kept. Raises OSError if the source cannot be
    read or the target cannot be written (disk full).
    """
    view = map_blob(source)
    whole = plain_digests(source)
    stored = whole.diff_id
    compression = sniff(bytes(view[:6]))
    if compression not in EXPANDERS:
        gaps = (Gap(source.name, "", "compression.unknown", len(view), f"{compression} is not understood"),)
        return Expansion("", len(view), stored, stored, whole.proof_key, (), gaps if compression else ())
    sink = _Sink(target, limits.layer_bytes, time.monotonic() + limits.layer_seconds, tell)
    outside: list[Region] = []
    found: list[Gap] = []
    try:
        EXPANDERS[compression](view, sink, outside)
    except Stop as stop:
        found.append(Gap(source.name, "", stop.reason, len(view) - stop.used, stop.what))
        if stop.used < len(view):
            outside.append(Region(stop.used, len(view) - stop.used))
    found += [
        Gap(source.name, f"bytes {r.offset}-{r.offset + r.length}", "compression.trailing", r.length,
            "bytes follow the compressed stream")
        for r in outside
        if r.trailing
    ]  # fmt: skip
    digests = _digests(sink.sha)
    return Expansion(compression, sink.size, stored, digests.diff_id, digests.proof_key, tuple(outside), tuple(found))
