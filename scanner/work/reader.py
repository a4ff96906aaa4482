"""The reader process: expands and walks one layer after the other, and streams their pieces."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

from scanner.evidence import Gap
from scanner.image.blob import Blob, BlobFile
from scanner.layer.compression import sniff
from scanner.layer.expand import Expansion, expand, hashed, map_blob, plain_digests
from scanner.layer.walk import BLOCK, WINDOW, Ledger, Piece, Walk, is_tar
from scanner.limits import Limits
from scanner.work.isolation import isolate
from scanner.work.messages import Failed, Form, LayerRead, Pieces, Plain, ReadLayer

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(connection: Connection, limits: Limits, parent: int) -> None:
    """Serve `ReadLayer` tasks until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as `isolate` does, which has to come after the thread
    hashing = ThreadPoolExecutor(1)
    hashing.submit(int).result()  # its thread starts while there is memory: one that cannot is waited for without end
    isolate(limits, parent)
    with contextlib.suppress(EOFError, OSError):  # the coordinator is gone: nobody left to tell
        while True:
            task = connection.recv()
            stored, spool = (BlobFile(recv_handle(connection), task.name) for _ in range(2))
            try:
                _read(connection, task, stored, spool, hashing)
            except MemoryError:
                connection.send(Failed("limit.memory", "reading the layer needs more memory than a worker may have"))
            except BrokenPipeError:
                raise
            except OSError as error:
                reason = "spool.failed" if error.errno in _NO_ROOM else "layer.unreadable"
                connection.send(Failed(reason, os.strerror(error.errno or 0)))
            except Exception as error:  # a fault of ours must cost one layer, never the scan, and show no bytes
                connection.send(Failed("worker.failed", f"{type(error).__name__} at {place(error)}"))
            finally:
                stored.close()
                spool.close()


def place(error: BaseException) -> str:
    """File and line of the innermost frame: an exception's own text could hold bytes of the image."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"


def _read(
    connection: Connection, task: ReadLayer, file: BlobFile, spool: BlobFile, hashing: ThreadPoolExecutor
) -> None:
    stored = Blob(task.name, file, task.offset, task.size)
    if task.form is not Form.BYTES and sniff(stored.read(0, 6)):
        expansion = expand(stored, spool, task.limits)
        if expansion.compression:
            connection.send(Plain(task.job, True, expansion.size))
            outside = [Piece(None, 0, r.offset, r.offset, r.length, r.offset, r.offset + r.length,
                             again=r.mixed)
                       for r in expansion.outside]  # fmt: skip
            if outside:
                connection.send(Pieces(task.job, _windowed(outside), stored=True))
            expansion = replace(expansion, gaps=(*expansion.gaps, *_other_digest(stored)))
            walk = _pieces(connection, task, map_blob(Blob(task.name, spool, 0, expansion.size)))
            connection.send(_summary(task, walk, expansion))
            return
        gaps = expansion.gaps
    else:
        gaps = ()
    connection.send(Plain(task.job, False, task.size))
    view = map_blob(stored)
    digests = hashing.submit(plain_digests, stored)  # hashlib lets go of the interpreter lock: both share the time
    walk = _pieces(connection, task, view)
    found = digests.result()
    gaps += tuple(_other_digest(stored))
    done = Expansion("", task.size, found.diff_id, found.diff_id, found.proof_key, (), gaps)
    connection.send(_summary(task, walk, done))


def _windowed(pieces: list[Piece]) -> list[Piece]:
    return [
        piece._replace(start=at, end=min(piece.end, at + WINDOW))
        for piece in pieces
        for at in range(piece.start, piece.end, WINDOW)
    ]


def _pieces(connection: Connection, task: ReadLayer, view: memoryview) -> Walk:
    """Send all pieces of the plain bytes; the walk that made them comes back."""
    walk = Walk(view, task.limits, time.monotonic() + task.limits.layer_seconds)
    if task.form is Form.LAYER or (task.form is Form.GUESS and is_tar(bytes(view[:BLOCK]))):
        for batch in walk.batches():
            sent = time.monotonic()
            connection.send(Pieces(task.job, batch))
            walk.deadline += time.monotonic() - sent  # what it waits to be heard is not its time
        return walk
    walk.ledger.data = len(view)
    if view:
        connection.send(Pieces(task.job, _windowed([Piece(None, 0, 0, 0, len(view), 0, len(view))])))
    return walk


def _other_digest(blob: Blob) -> list[Gap]:
    """Compare a blob that is named by a sha512 digest; sha256 is computed of all blobs and compared by the scan."""
    if not blob.name.startswith("sha512:") or blob.name == f"sha512:{hashed(blob, hashlib.sha512()).hexdigest()}":
        return []
    return [Gap(blob.name, "", "blob.digest", None, "the bytes do not match the digest")]


def _summary(task: ReadLayer, walk: Walk, expansion: Expansion) -> LayerRead:
    gaps = list(expansion.gaps)
    for stop in walk.ledger.stops:
        where = stop.member.decode("utf-8", "surrogateescape") if stop.member else f"bytes {stop.offset}-"
        gaps.append(Gap(task.name, where, stop.reason, stop.length, stop.detail))
    ledger: Ledger = walk.ledger
    return LayerRead(
        task.job,
        expansion.compression,
        expansion.size,
        expansion.digest,
        expansion.diff_id,
        expansion.proof_key,
        ledger,
        walk.tree(),
        tuple(gaps),
    )
