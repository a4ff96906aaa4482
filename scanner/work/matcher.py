"""The matcher process: runs the first pass over pieces and sends what the detectors confirm."""

from __future__ import annotations

import contextlib
import struct
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

from scanner.content.encoded import Clue
from scanner.content.repositories import LooseObject, loose_object
from scanner.content.words import Budget, Content
from scanner.detect.firstpass import FirstPass
from scanner.evidence import Gap
from scanner.image.blob import Blob, BlobFile
from scanner.image.documents import strings
from scanner.layer.expand import map_blob
from scanner.layer.tree import clean
from scanner.layer.walk import BLOCK, OVERLAP, Piece
from scanner.limits import KIB, MIB, Limits
from scanner.packages import records as packages
from scanner.packages.model import FileDigests, Record
from scanner.work.inside import Inner, Search
from scanner.work.isolation import isolate
from scanner.work.messages import (
    EndExtent,
    Failed,
    Ignored,
    Matched,
    MatchPieces,
    MatchTexts,
    NestedGap,
    OpenExtent,
    Packed,
    Sighting,
    pack,
)
from scanner.work.reader import place
from scanner.work.twins import Twins

_PACKED = (".data", ".payload", '["moby.buildkit.cache.v0"]', '["moby.buildkit.buildinfo.v1"]')
_SHORTEST = 4  # characters of a decoded string that could hold anything worth finding
_FIELDS = ((0, 100), (157, 257), (265, 297), (297, 329))  # ustar: name, link target, user and group names
_LONG_WORD = 16  # characters, less than any secret of its own shape has
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_PREFIX = 345  # the first half of a name that ustar stores in two
_EXTENDED = 64  # blocks of extended headers in front of a member that are looked at field by field
_CONTEXT = 4 * KIB  # bytes before a padding that hides something


def main(
    connection: Connection, first_pass: FirstPass, limits: Limits, explain: bool, parent: int, twins: Twins, number: int
) -> None:
    """Serve extents and tasks until the connection closes; this is worker *number* of those that share *twins*."""
    isolate(limits, parent)
    extents: dict[int, memoryview] = {}
    first_pass.explain = explain
    search = Search(first_pass, limits, twins.part(number, extents))
    digested: dict[int, set[int]] = defaultdict(set)  # by extent: where members start whose digests went out
    budgets: dict[int, Budget] = defaultdict(lambda: Budget(limits))  # by extent: what may still be unpacked
    with contextlib.suppress(EOFError, OSError):  # the coordinator is gone: nobody left to tell
        while True:
            task = connection.recv()
            if isinstance(task, OpenExtent):
                file = BlobFile(recv_handle(connection), "")
                extents[task.extent] = map_blob(Blob("", file, task.offset, task.size))
                file.close()  # the map stays
            elif isinstance(task, EndExtent):
                if not task.kept:
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
) -> Matched | Packed | Failed:
    search.start_task()
    try:
        if isinstance(task, MatchTexts):
            return match_texts(search, task.texts)
        view, known = extents[task.extent], digested[task.extent]
        return pack(match_pieces(search, view, task.pieces, known, budgets[task.extent], task.extent))
    except MemoryError:
        return Failed("limit.memory", "matching needs more memory than a worker may have")
    except Exception as error:  # a fault of ours must cost a few pieces, never the scan, and show no bytes
        return Failed("worker.failed", f"{type(error).__name__} at {place(error)}")


def match_texts(search: Search, texts: Sequence[tuple[int, str, bytes, bool, bool]]) -> Matched:
    """What the detectors see in small blobs, as they are stored and, of JSON, with escapes decoded."""
    found: list[Sighting] = []
    gaps: list[NestedGap] = []
    ignored: list[Ignored] = []
    for key, name, data, is_json, closed in texts:
        view = memoryview(data)
        budget = Budget(search.limits)
        matches, clues = search.matches(view, name)
        ignored += [replace(aside, text=key) for aside in search.ignored(view, 0, 0, len(view))]
        for match in matches:
            found.append(Sighting(None, 0, "text", 0, match.start, _line(view, 0, match.start), match, key))
        clues = [clue for clue in clues if not (is_json and clue.kind == "escapes")]  # the strings below are those
        clues += _packed(data) if is_json else ()
        contents = [(Content(view, name, (0, len(view))), clues)]
        for string in strings(data) if is_json and b"\\" in data else ():
            if string.escaped and len(string.value) >= _SHORTEST:
                value = memoryview(string.value.encode("utf-8", "surrogatepass"))
                matches, clues = search.matches(value, name)
                ignored += [
                    replace(aside, text=key, start=None, line=None, encoding=("json-string",))
                    for aside in search.ignored(value, 0, 0, len(value))
                ]
                found += (Sighting(None, 0, "string", string.start, match.start, None, match, key)
                          for match in matches)  # fmt: skip
                place = string.start, string.end - string.start
                contents.append((Content(value, name, place, verbatim=False, encoding=("json-string",)), clues))
        for content, clues in contents:
            for seen in search.inside(content, clues, budget, not closed):
                if isinstance(seen, Gap):
                    gaps.append(NestedGap(None, 0, seen))
                elif isinstance(seen, Ignored):
                    ignored.append(replace(seen, text=key))
                else:
                    found.append(_sighting(seen, None, 0, 0, key))
    return Matched(found, sum(len(text[2]) for text in texts), gaps=gaps,
                   ignored=ignored)  # fmt: skip


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
    search: Search, view: memoryview, pieces: Sequence[Piece], digested: set[int], budget: Budget, extent: int = 0,
) -> Matched:  # fmt: skip
    """What the detectors see in pieces of an extent.

    Args:
        digested: gathers the members whose digests went out.
        budget: what may still be unpacked of the extent.
    """
    found: list[Sighting] = []
    records: list[Record] = []
    digests: list[FileDigests] = []
    gaps: list[NestedGap] = []
    ignored: list[Ignored] = []
    objects: list[LooseObject] = []
    size = 0
    for piece in pieces:
        if piece.header < piece.data:
            found += _structure(search, view, piece, budget)
            for one in search.ignored(view, 0, 0, len(view)):
                header = replace(one, member=piece.member, encoding=("tar-header",))
                ignored.append(replace(header, start=None, line=None))
        if piece.start < piece.end:
            records += _records(view, piece)
            objects += _objects(view, piece)
            name = (piece.member or b"").decode("utf-8", "surrogateescape")
            place = name, extent, piece.data, piece.size, piece.start - piece.data
            to_know = piece.member is not None and not piece.again
            if not (to_know and search.known.repeats(*place) and search.is_judged_by_tail(name)):
                seen, nested, aside = _member(search, view, piece, name, budget)
                found += seen
                gaps += nested
                ignored += [replace(one, member=piece.member) for one in aside]
                digests += _digests(view, piece, digested) if seen or nested else []
                if to_know and not (seen or nested or aside):
                    search.known.note(*place)
        size += 0 if piece.again else piece.end - piece.start + piece.data - piece.header
    return Matched(found, size, records, digests, gaps, ignored, objects)


def _member(
    search: Search, view: memoryview, piece: Piece, name: str, budget: Budget
) -> tuple[list[Sighting], list[NestedGap], list[Ignored]]:
    """A window of a member's data, and with the first one what is inside the member. Bytes of a layer that belong to
    no member are a gap already if they matter, so nothing inside them is another; a whole blob is none."""
    found, clues, ignored = _window(search, view, piece, name)
    gaps: list[NestedGap] = []
    if piece.again and piece.member is None:  # what is packed there is looked at elsewhere
        return found, gaps, ignored
    whole = view[piece.data : piece.data + piece.size]
    content = Content(whole, name, (0, piece.size))
    for seen in search.inside(content, clues, budget, piece.start == piece.data):
        if isinstance(seen, Inner):
            found.append(_sighting(seen, piece.member, piece.number, piece.data))
        elif isinstance(seen, Ignored):
            ignored.append(seen)
        elif piece.member is not None or len(whole) == len(view):
            gaps.append(NestedGap(piece.member, piece.data, seen))
    return found, gaps, ignored


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


def _objects(view: memoryview, piece: Piece) -> list[LooseObject]:
    """The member if it is a commit or tree of git."""
    if piece.member is None or piece.start != piece.data or b"objects/" not in piece.member:
        return []
    found = loose_object(clean(piece.member), view[piece.data : piece.data + piece.size])
    return [found] if found is not None else []


def _digests(view: memoryview, piece: Piece, digested: set[int]) -> list[FileDigests]:
    """The digests of the whole member, once, if a record could name it."""
    if piece.member is None or piece.data in digested:
        return []
    digested.add(piece.data)
    found = packages.digests(piece.member, piece.data, view[piece.data : piece.data + piece.size])
    return [found] if found is not None else []


def _structure(search: Search, view: memoryview, piece: Piece, budget: Budget) -> Iterator[Sighting]:
    """Headers, extended headers and padding as they lie there, and what their layout cuts in two or runs together."""
    start = piece.header - _lead(view, piece.header)
    matches, clues = search.matches(view[start : piece.data], "", structure=True)
    for match in matches:
        if start + match.end > piece.header:
            yield Sighting(piece.member, piece.number, "structure", start, start + match.start, None, match)
    if clues:  # a name may be encoded
        whole = view[start : piece.data]
        content = Content(whole, "", (0, len(whole)), encoding=("tar-header",), closed=True)
        for seen in search.inside(content, clues, budget, first=False):
            if isinstance(seen, Inner):
                yield _sighting(seen, piece.member, piece.number, start)
    if piece.member is None:
        return
    for block in _headers(view, piece):
        for first, last in _FIELDS:
            # full to its end or right behind a letter: what is around it in the header would seem to belong to it
            if view[block + last - 1] or _is_led(view, block + first):
                for match in search.matches(view[block + first : block + last], "", structure=True)[0]:
                    at = block + first + match.start
                    yield Sighting(piece.member, piece.number, "structure", start, at, None, match)
    if view[piece.data - BLOCK + _PREFIX]:
        for match in search.matches(memoryview(piece.member), "")[0]:
            if match.secret.reveal() not in bytes(view[piece.header : piece.data]):
                yield Sighting(piece.member, piece.number, "name", piece.header, match.start, None, match,
                               stored=(piece.header, piece.data - piece.header))  # fmt: skip


def _is_led(view: memoryview, at: int) -> bool:
    """Whether the long word that a field at *at* begins with stands right behind a letter or digit of another field:
    a link's target behind the type, an owner behind the version."""
    return bool(view[at + _LONG_WORD - 1]) and view[at - 1] in _LETTERS and view[at] in _LETTERS


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


def _window(
    search: Search, view: memoryview, piece: Piece, name: str
) -> tuple[list[Sighting], list[Clue], list[Ignored]]:
    """One window of a member's data with what its neighbours overlap; a match belongs to the window it starts in.

    Offsets of the clues are in the member's data.
    """
    lead = _lead(view, piece.start) if piece.member is None else 0
    start = max(piece.data, piece.start - OVERLAP) - lead
    end = min(piece.data + piece.size, piece.end + OVERLAP)
    line, counted = 1, piece.data
    found = []
    matches, clues = search.matches(view[start:end], name)
    offset = piece.data
    ignored = search.ignored(view[offset:], start - offset, piece.start - offset, piece.end - offset)
    for match in matches:
        at = start + match.start
        if not piece.start <= at < piece.end and not (lead and at < piece.start < start + match.end):
            continue
        line += _line(view, counted, at) - 1
        counted = max(at, counted)
        found.append(Sighting(piece.member, piece.number, "data", piece.data, at, line, match))
    first, last = piece.start - start, piece.end - start
    clues = [
        Clue(clue.kind, array("Q", (start + at - piece.data for at in clue.ends if first < at <= last)), clue.phase)
        for clue in clues
    ]
    return found, clues, ignored


def _line(view: memoryview, start: int, end: int) -> int:
    """1 and the newlines of view[start:end]."""
    return 1 + sum(bytes(view[at : min(end, at + MIB)]).count(b"\n") for at in range(start, end, MIB))
