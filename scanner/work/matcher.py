"""The matcher process: runs the first pass over pieces and sends what the detectors confirm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

from scanner.detect.base import Detector
from scanner.detect.firstpass import FirstPass
from scanner.image.blob import Blob, BlobFile
from scanner.layer.expand import map_blob
from scanner.layer.walk import BLOCK, OVERLAP, Piece
from scanner.limits import MIB, Limits
from scanner.work.isolation import isolate
from scanner.work.messages import CloseExtent, Failed, Matched, MatchPieces, MatchTexts, OpenExtent, Sighting
from scanner.work.reader import place

_USTAR_NAME = 100  # a longer ustar name is stored in two halves, so it is looked at once more in one piece


def main(connection: Connection, detectors: Sequence[Detector], database: bytes, limits: Limits, parent: int) -> None:
    """Serve extents and tasks until the connection closes."""
    isolate(limits, parent)
    first_pass = FirstPass(detectors, database)
    extents: dict[int, memoryview] = {}
    with contextlib.suppress(EOFError, OSError):  # the coordinator is gone: nobody left to tell
        while True:
            task = connection.recv()
            if isinstance(task, OpenExtent):
                file = BlobFile(recv_handle(connection), "")
                extents[task.extent] = map_blob(Blob("", file, task.offset, task.size))
                file.close()  # the map stays
            elif isinstance(task, CloseExtent):
                extents.pop(task.extent, None)
            else:
                connection.send(_serve(first_pass, task, extents))


def _serve(
    first_pass: FirstPass, task: MatchPieces | MatchTexts, extents: dict[int, memoryview]
) -> Matched | Failed:
    try:
        if isinstance(task, MatchTexts):
            return match_texts(first_pass, task.texts)
        return match_pieces(first_pass, extents[task.extent], task.pieces)
    except MemoryError:
        return Failed("limit.memory", "matching needs more memory than a worker may have")
    except Exception as error:  # a fault of ours must cost a few pieces, never the scan, and show no bytes
        return Failed("worker.failed", f"{type(error).__name__} at {place(error)}")


def match_texts(first_pass: FirstPass, texts: Sequence[tuple[int, str, bytes]]) -> Matched:
    """What the detectors see in bytes that were made."""
    found = [
        Sighting(None, 0, "text", 0, match.start, _line(memoryview(data), 0, match.start), match, key)
        for key, name, data in texts
        for match in first_pass.matches(memoryview(data), name)
    ]
    return Matched(found, sum(len(data) for _, _, data in texts))


def match_pieces(first_pass: FirstPass, view: memoryview, pieces: Sequence[Piece]) -> Matched:
    """What the detectors see in pieces of an extent."""
    found: list[Sighting] = []
    size = 0
    for piece in pieces:
        if piece.header < piece.data:
            found += _structure(first_pass, view, piece)
        if piece.start < piece.end:
            found += _window(first_pass, view, piece)
        size += piece.end - piece.start + piece.data - piece.header
    return Matched(found, size)


def _structure(first_pass: FirstPass, view: memoryview, piece: Piece) -> Iterator[Sighting]:
    """Headers, extended headers and padding as they lie there, and a name that a header splits in two."""
    for match in first_pass.matches(view[piece.header : piece.data], "", structure=True):
        yield Sighting(piece.member, piece.number, "structure", piece.header, piece.header + match.start, None, match)
    if piece.member is not None and len(piece.member) > _USTAR_NAME and piece.data - piece.header < 3 * BLOCK:
        header = bytes(view[piece.header : piece.data])
        for match in first_pass.matches(memoryview(piece.member), ""):
            if match.secret.reveal() not in header:
                yield Sighting(piece.member, piece.number, "name", piece.header, match.start, None, match)


def _window(first_pass: FirstPass, view: memoryview, piece: Piece) -> Iterator[Sighting]:
    """One window of a member's data with what its neighbours overlap; a match belongs to the window it starts in."""
    start = max(piece.data, piece.start - OVERLAP)
    end = min(piece.data + piece.size, piece.end + OVERLAP)
    name = (piece.member or b"").decode("utf-8", "surrogateescape")
    line, counted = 1, piece.data
    for match in first_pass.matches(view[start:end], name):
        at = start + match.start
        if not piece.start <= at < piece.end:
            continue
        line += _line(view, counted, at) - 1
        counted = at
        yield Sighting(piece.member, piece.number, "data", piece.data, at, line, match)


def _line(view: memoryview, start: int, end: int) -> int:
    """1 and the newlines of view[start:end]."""
    return 1 + sum(bytes(view[at : min(end, at + MIB)]).count(b"\n") for at in range(start, end, MIB))
