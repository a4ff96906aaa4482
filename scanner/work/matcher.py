"""The matcher process: runs the first pass over pieces and sends what the detectors confirm."""

from __future__ import annotations

import contextlib
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

from scanner.content.encoded import Clue
from scanner.content.words import Budget, Content
from scanner.detect.base import Detector
from scanner.detect.firstpass import FirstPass
from scanner.evidence import Gap
from scanner.image.blob import Blob, BlobFile
from scanner.image.documents import strings
from scanner.layer.expand import map_blob
from scanner.layer.walk import BLOCK, OVERLAP, Piece
from scanner.limits import KIB, MIB, Limits
from scanner.packages import records as packages
from scanner.packages.model import FileDigests, Record
from scanner.work.inside import Inner, Search
from scanner.work.isolation import isolate
from scanner.work.messages import (
    CloseExtent,
    Failed,
    Matched,
    MatchPieces,
    MatchTexts,
    NestedGap,
    OpenExtent,
    Sighting,
)
from scanner.work.reader import place

_PACKED = (".data", ".payload", '["moby.buildkit.cache.v0"]', '["moby.buildkit.buildinfo.v1"]')
_SHORTEST = 4  # characters of a decoded string that could hold anything worth finding
_FIELDS = ((0, 100), (157, 257), (265, 297), (297, 329))  # ustar: name, link target, user and group names
_PREFIX = 345  # the first half of a name that ustar stores in two
_EXTENDED = 64  # blocks of extended headers in front of a member that are looked at field by field
_CONTEXT = 4 * KIB  # bytes before a padding that hides something


def main(connection: Connection, detectors: Sequence[Detector], database: bytes, limits: Limits, parent: int) -> None:
    """Serve extents and tasks until the connection closes."""
    isolate(limits, parent)
    search = Search(FirstPass(detectors, database), detectors, limits)
    extents: dict[int, memoryview] = {}
    digested: dict[int, set[int]] = defaultdict(set)  # by extent: where members start whose digests went out
    budgets: dict[int, Budget] = defaultdict(lambda: Budget(limits))  # by extent: what may still be unpacked
    with contextlib.suppress(EOFError, OSError):  # the coordinator is gone: nobody left to tell
        while True:
            task = connection.recv()
            if isinstance(task, OpenExtent):
                file = BlobFile(recv_handle(connection), "")
                extents[task.extent] = map_blob(Blob("", file, task.offset, task.size))
                file.close()  # the map stays
            elif isinstance(task, CloseExtent):
                extents.pop(task.extent, None)
                digested.pop(task.extent, None)
                budgets.pop(task.extent, None)
            else:
                connection.send(_serve(search, task, extents, digested, budgets))


def _serve(
    search: Search,
    task: MatchPieces | MatchTexts,
    extents: dict[int, memoryview],
    digested: dict[int, set[int]],
    budgets: dict[int, Budget],
) -> Matched | Failed:
    search.start_task()
    try:
        if isinstance(task, MatchTexts):
            return match_texts(search, task.texts)
        budget = budgets[task.extent] if task.unfold else None
        return match_pieces(search, extents[task.extent], task.pieces, digested[task.extent], budget)
    except MemoryError:
        return Failed("limit.memory", "matching needs more memory than a worker may have")
    except Exception as error:  # a fault of ours must cost a few pieces, never the scan, and show no bytes
        return Failed("worker.failed", f"{type(error).__name__} at {place(error)}")


def match_texts(search: Search, texts: Sequence[tuple[int, str, bytes, bool, bool]]) -> Matched:
    """What the detectors see in small blobs, as they are stored and, of JSON, with escapes decoded."""
    found: list[Sighting] = []
    gaps: list[NestedGap] = []
    for key, name, data, is_json, closed in texts:
        view = memoryview(data)
        budget = Budget(search.limits)
        matches, clues = search.matches(view, name)
        for match in matches:
            found.append(Sighting(None, 0, "text", 0, match.start, _line(view, 0, match.start), match, key))
        clues = [clue for clue in clues if not (is_json and clue.kind == "escapes")]  # the strings below are those
        clues += _packed(data) if is_json else ()
        contents = [(Content(view, name, (0, len(view))), clues)]
        for string in strings(data) if is_json and b"\\" in data else ():
            if string.escaped and len(string.value) >= _SHORTEST:
                value = memoryview(string.value.encode("utf-8", "surrogatepass"))
                matches, clues = search.matches(value, name)
                found += (Sighting(None, 0, "string", string.start, match.start, None, match, key)
                          for match in matches)  # fmt: skip
                place = string.start, string.end - string.start
                contents.append((Content(value, name, place, verbatim=False, encoding=("json-string",)), clues))
        for content, clues in contents:
            for seen in search.inside(content, clues, budget, not closed):
                if isinstance(seen, Gap):
                    gaps.append(NestedGap(None, 0, seen))
                else:
                    found.append(_sighting(seen, None, 0, 0, key))
    return Matched(found, sum(len(text[2]) for text in texts), gaps=gaps)


def _packed(data: bytes) -> Iterator[Clue]:
    """Strings of a document that are meant to be base64, whatever they hold: descriptors' data (image-spec
    descriptor.md), Dockerfiles and heredocs in provenance, payloads of signed envelopes, BuildKit's records."""
    if b"data" not in data and b"payload" not in data and b"moby.buildkit" not in data:
        return
    for string in strings(data):
        members = len(string.value.rstrip("="))
        if members and not (string.is_key or string.escaped) and string.path.endswith(_PACKED):
            yield Clue("base64", [string.start + members], members % 4)


def match_pieces(
    search: Search, view: memoryview, pieces: Sequence[Piece], digested: set[int], budget: Budget | None = None
) -> Matched:
    """What the detectors see in pieces of an extent.

    Args:
        digested: gathers the members whose digests went out.
        budget: what may still be unpacked of the extent, None if nothing is to be unpacked.
    """
    found: list[Sighting] = []
    records: list[Record] = []
    digests: list[FileDigests] = []
    gaps: list[NestedGap] = []
    size = 0
    for piece in pieces:
        if piece.header < piece.data:
            found += _structure(search, view, piece, budget)
        if piece.start < piece.end:
            seen, nested = _member(search, view, piece, budget)
            found += seen
            gaps += nested
            records += _records(view, piece)
            digests += _digests(view, piece, digested) if seen or nested else []
        size += 0 if piece.again else piece.end - piece.start + piece.data - piece.header
    return Matched(found, size, records, digests, gaps)


def _member(
    search: Search, view: memoryview, piece: Piece, budget: Budget | None
) -> tuple[list[Sighting], list[NestedGap]]:
    """A window of a member's data, and with the first one what is inside the member. Bytes that belong to no member
    are a gap already if they matter, so nothing inside them is another."""
    found, clues = _window(search, view, piece)
    gaps: list[NestedGap] = []
    if budget is None:
        return found, gaps
    whole = view[piece.data : piece.data + piece.size]
    content = Content(whole, (piece.member or b"").decode("utf-8", "surrogateescape"), (0, piece.size))
    for seen in search.inside(content, clues, budget, piece.start == piece.data):
        if isinstance(seen, Inner):
            found.append(_sighting(seen, piece.member, piece.number, piece.data))
        elif piece.member is not None:
            gaps.append(NestedGap(piece.member, piece.data, seen))
    return found, gaps


def _sighting(seen: Inner, member: bytes | None, number: int, base: int, key: int = 0) -> Sighting:
    stored = base + seen.stored[0], seen.stored[1]
    return Sighting(member, number, "inside", base, seen.start, seen.line, seen.match, key, seen.inside, seen.encoding,
                    stored, base + seen.within, seen.spelled if member is None else None)  # fmt: skip


def _records(view: memoryview, piece: Piece) -> list[Record]:
    """What the member says if it is a package manager's record; one that cannot be read lowers nothing."""
    if piece.member is None or piece.start != piece.data:
        return []
    try:
        return packages.read(piece.member, view[piece.data : piece.data + piece.size])
    except (MemoryError, RecursionError, LookupError, TypeError, ValueError, struct.error):
        return []


def _digests(view: memoryview, piece: Piece, digested: set[int]) -> list[FileDigests]:
    """The digests of the whole member, once, if a record could name it."""
    if piece.member is None or piece.data in digested:
        return []
    digested.add(piece.data)
    found = packages.digests(piece.member, piece.data, view[piece.data : piece.data + piece.size])
    return [found] if found is not None else []


def _structure(search: Search, view: memoryview, piece: Piece, budget: Budget | None) -> Iterator[Sighting]:
    """Headers, extended headers and padding as they lie there, and what their layout cuts in two or runs together."""
    start = piece.header - _lead(view, piece.header)
    matches, clues = search.matches(view[start : piece.data], "", structure=True)
    for match in matches:
        if start + match.end > piece.header:
            yield Sighting(piece.member, piece.number, "structure", start, start + match.start, None, match)
    if clues and budget is not None:  # a name may be encoded
        whole = view[start : piece.data]
        content = Content(whole, "", (0, len(whole)), encoding=("tar-header",))
        for seen in search.inside(content, clues, budget, first=False):
            if isinstance(seen, Inner):
                yield _sighting(seen, piece.member, piece.number, start)
    if piece.member is None:
        return
    for block in _headers(view, piece):
        for first, last in _FIELDS:
            if view[block + last - 1]:  # full to its end: what follows in the header would seem to belong to it
                for match in search.matches(view[block + first : block + last], "", structure=True)[0]:
                    at = block + first + match.start
                    yield Sighting(piece.member, piece.number, "structure", start, at, None, match)
    if view[piece.data - BLOCK + _PREFIX]:
        for match in search.matches(memoryview(piece.member), "")[0]:
            if match.secret.reveal() not in bytes(view[piece.header : piece.data]):
                yield Sighting(piece.member, piece.number, "name", piece.header, match.start, None, match,
                               stored=(piece.header, piece.data - piece.header))  # fmt: skip


def _headers(view: memoryview, piece: Piece) -> Iterator[int]:
    """Where the header blocks in front of a member's data start; of extended headers those nearest to it."""
    last = piece.data - BLOCK
    yield last
    for block in range(last - BLOCK, max(piece.header, last - _EXTENDED * BLOCK) - 1, -BLOCK):
        if bytes(view[block + 257 : block + 262]) == b"ustar":
            yield block


def _lead(view: memoryview, at: int) -> int:
    """How many bytes before padding that starts at *at* belong to its context: none if the padding is zero, as it
    should be. Else a size that is too small may have cut a value in two."""
    end = at + -at % BLOCK
    return min(_CONTEXT, at) if end > at and bytes(view[at:end]).strip(b"\0") else 0


def _window(search: Search, view: memoryview, piece: Piece) -> tuple[list[Sighting], list[Clue]]:
    """One window of a member's data with what its neighbours overlap; a match belongs to the window it starts in.

    Offsets of the clues are in the member's data.
    """
    lead = _lead(view, piece.start) if piece.member is None else 0
    start = max(piece.data, piece.start - OVERLAP) - lead
    end = min(piece.data + piece.size, piece.end + OVERLAP)
    name = (piece.member or b"").decode("utf-8", "surrogateescape")
    line, counted = 1, piece.data
    found = []
    matches, clues = search.matches(view[start:end], name)
    for match in matches:
        at = start + match.start
        if not piece.start <= at < piece.end and not (lead and at < piece.start < start + match.end):
            continue
        line += _line(view, counted, at) - 1
        counted = max(at, counted)
        found.append(Sighting(piece.member, piece.number, "data", piece.data, at, line, match))
    first, last = piece.start - start, piece.end - start
    return found, [
        Clue(clue.kind, [start + at - piece.data for at in clue.ends if first < at <= last], clue.phase)
        for clue in clues
    ]


def _line(view: memoryview, start: int, end: int) -> int:
    """1 and the newlines of view[start:end]."""
    return 1 + sum(bytes(view[at : min(end, at + MIB)]).count(b"\n") for at in range(start, end, MIB))
