"""The coordinator's side: keeps readers and matchers busy, and turns whatever goes wrong into gaps.

Readers are throttled by not listening to them while many pieces wait; a worker that dies or hangs is replaced, and
the pieces it held are tried again in halves, so that one poisonous piece costs only itself.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import Any

from scanner.detect.firstpass import FirstPass
from scanner.errors import ImageUnavailable
from scanner.evidence import Gap
from scanner.image.arriving import Tell
from scanner.image.blob import AwaitedFile, Blob, BlobFile, spool
from scanner.layer.walk import WINDOW, Piece
from scanner.limits import Limits
from scanner.work import fetcher, matcher, reader, receiver
from scanner.work.crew import Crews, Worker
from scanner.work.gathering import Gathering
from scanner.work.jobs import Batch, BlobJob, BlobOutcome, Job, Seen, TextJob, in_batches
from scanner.work.messages import (
    Arrived,
    EndExtent,
    Failed,
    Fetch,
    Fetched,
    Ignored,
    LayerRead,
    Matched,
    MatchPieces,
    MatchTexts,
    OpenExtent,
    Packed,
    Pieces,
    Plain,
    ReadLayer,
    Received,
    Refused,
    Sighting,
)
from scanner.work.shelf import Shelf
from scanner.work.twins import Twins

_WAITING = 32  # batches that may wait before readers are throttled; each holds some 500 pieces
_GRACE_SECONDS = 30.0  # for a worker to keep its own limit, before it counts as hanging
_MATCH_SECONDS = 300.0  # a batch is 16 MiB: a tenth of a second
_FETCHERS = 4  # downloads at a time
_GROWS = 4  # times as large a layer becomes, and rarely more, when it is expanded
_SHARE = 8  # one part of so many of the room on the disk is for layers that are expanded early
_FED = 6  # matchers that one reader of plain layers keeps busy; it is nine times as fast
_KEPT = 200  # extents that a matcher keeps open: each takes a descriptor
#: workers that died in a row without an answer: then it is not their tasks that kill them, and parts fare no better
_STILLBORN = 16


@dataclass(frozen=True, slots=True)
class _Download:
    """A blob that a fetcher writes to a spool."""

    job: Job
    spool: BlobFile


@dataclass(slots=True, eq=False)
class _Receipt:
    """What a receiver is to copy: who is told of it, and in the end what became of it."""

    arrived: Callable[[int], None]
    outcome: Received | Refused | Failed | None = None


class Pool:
    """Runs blob jobs and texts over worker processes.

    Args:
        jobs: how many matchers, and at most how many readers, work at a time.
        progress: called with the plain bytes matched since the last call.
        explain: tell what was judged to be no secret.
    """

    def __init__(
        self,
        first_pass: FirstPass,
        limits: Limits,
        jobs: int,
        progress: Callable[[int], None] = lambda _: None,
        explain: bool = False,
    ) -> None:
        self._explain = explain
        self.text_ignored: list[Ignored] = []
        self._first_pass, self._limits, self._jobs = first_pass, limits, max(1, jobs)
        self._progress = progress
        self._twins = Twins(self._jobs)
        self._crews = Crews()
        self._shelf = Shelf()
        self._receivers, self._fetchers = self._crews.crew(), self._crews.crew()
        self._readers, self._matchers = self._crews.crew(), self._crews.crew()
        self._awaited: deque[Job] = deque()  # blobs that are elsewhere
        self._files: dict[int, AwaitedFile] = {}  # theirs, by job
        self._here: dict[int, Job] = {}  # whose blobs were fetched, or are just now, and take room
        self._blobs: deque[Job] = deque()
        self._batches: deque[Batch] = deque()
        self._texts: deque[list[TextJob]] = deque()
        self._expanded = 0  # plain bytes that were spooled
        self.text_sightings: list[Sighting] = []
        self.text_bytes = 0
        self.text_gaps: list[Gap] = []
        self._open: list[Job] = []
        self._begun: dict[BlobJob, Job] = {}  # before anybody asked for them
        self._jobs_made = 0
        self._stillborn = 0
        self._end = math.inf

    def receive(self, copy: Callable[[Tell], Any], arrived: Callable[[int], None]) -> Any:
        """Have *copy* run in another process, and what is begun meanwhile read and matched; returns what it returns.

        Args:
            arrived: told of bytes as they come. It may `begin` what is whole.

        Raises the LeakscanError or OSError that *copy* raises, and ImageUnavailable if the process fails.
        """
        receipt = _Receipt(arrived)
        worker = self._started(receiver.main, copy, self._limits, os.getpid())
        worker.task, worker.deadline = receipt, math.inf
        self._receivers.workers.append(worker)
        while receipt.outcome is None:
            self._assign()
            self._listen()
        self._crews.retire(self._receivers)
        if isinstance(receipt.outcome, Refused):
            raise receipt.outcome.error
        if isinstance(receipt.outcome, Failed):
            raise ImageUnavailable(f"the process that received the image failed: {receipt.outcome.detail}", "")
        return receipt.outcome.result

    def begin(self, spec: BlobJob) -> None:
        """Read and match a blob early, for which `run` is likely to be asked. Its bytes must be there.

        Nothing but time may come of that: early layers expand into a share of the room on the disk, and whatever a
        limit or a fault kept from being read is read again when it is asked for.
        """
        if spec not in self._begun:
            job = self._begun[spec] = self._job(spec)
            job.early = True
            self._blobs.append(job)

    def _job(self, spec: BlobJob) -> Job:
        self._jobs_made += 1
        return Job(self._jobs_made, spec, BlobOutcome(spec.blob))

    def run(self, blobs: Sequence[BlobJob], texts: Iterable[TextJob]) -> list[BlobOutcome]:
        """Do all of it; outcomes come in the order of *blobs*, texts' sightings in `text_sightings`.

        Workers are gone when this returns or raises.
        """
        self._end = time.monotonic() + self._limits.image_seconds
        jobs = [self._begun.get(spec) or self._job(spec) for spec in blobs]
        self._texts.extend(in_batches(texts))
        try:
            self._drop(job for job in self._begun.values() if job not in jobs)
            self._add(job for job in jobs if job.spec not in self._begun)
            self._work()
            again = {job: self._job(job.spec) for job in jobs if job.is_spoiled()}
            self._expanded -= sum(job.spooled for job in again)
            self._add(again.values())
            self._work()
            self._crews.close()  # what they saw is unpacked when their memory is free
            # what a limit cut both times is told as far as it was seen
            jobs = [max(again.get(job, job), job, key=lambda each: each.outcome.matched) for job in jobs]
            gathering = Gathering(self._shelf)
            for job in jobs:
                gathering.add(job)
        finally:
            self.close()
        return [job.outcome for job in jobs]

    def _add(self, jobs: Iterable[Job]) -> None:
        for job in sorted(jobs, key=lambda job: -job.spec.blob.size):
            file = job.spec.blob.file
            if isinstance(file, AwaitedFile) and file.awaited:
                self._awaited.append(job)
                self._files[job.number] = file
            else:
                self._blobs.append(job)

    def _work(self) -> None:
        while self._awaited or self._blobs or self._batches or self._texts or self._crews.busy():
            self._assign()
            self._listen()

    def _drop(self, jobs: Iterable[Job]) -> None:
        """End what was begun and is not asked for."""
        for job in jobs:
            job.unwanted = True
            if job in self._blobs:
                self._blobs.remove(job)
            waiting = [batch for batch in self._batches if batch.job is job]
            for batch in waiting:
                self._batches.remove(batch)
            job.out -= len(waiting)
            for worker in [worker for worker in self._readers.workers if worker.task is job]:
                self._lost(worker, "", "")
            self._expanded -= job.spooled
            self._release(job)

    # -- handing out -----------------------------------------------------------------------------------------------

    def _assign(self) -> None:
        # so much is downloaded ahead that readers need not wait, and no more: it takes room on the disk
        while self._awaited and len(self._here) < _FETCHERS + self._jobs:
            worker = self._fetchers.idle(self._fetcher, _FETCHERS)
            if worker is None:
                break
            self._fetch(worker, self._awaited.popleft())
        while len(self._batches) < _WAITING and (job := self._next_blob()) is not None:
            worker = self._readers.idle(self._reader, self._jobs)
            if worker is None:
                break
            self._blobs.remove(job)
            self._start(worker, job)
        while (self._texts or self._batches) and (worker := self._matchers.idle(self._matcher, self._jobs)):
            if self._texts:
                self._match_texts(worker, self._texts.popleft())
            else:
                self._match(worker, self._batches.popleft())
        if not (self._awaited or self._receivers.workers):
            self._crews.retire(self._fetchers)
            if not (self._blobs or self._fetchers.workers):
                self._crews.retire(self._readers)

    def _next_blob(self) -> Job | None:
        """The first blob that another reader is of use for: what is compressed takes its time, of the rest one reader
        feeds many matchers."""
        reading = self._readers.tasks()
        if not self._blobs or len(reading) == self._jobs:
            return None
        plain = sum(not job.is_packed() for job in reading) <= self._jobs // _FED
        room = self._early_room() if self._receivers.workers else math.inf
        for job in self._blobs:
            if (not job.early or room >= _GROWS * job.spec.blob.size) if job.is_packed() else plain:
                return job
        return None

    def _early_room(self) -> int:
        """Plain bytes that the next early blob may take on the disk, where all that is to arrive must find room."""
        try:
            status = os.statvfs(tempfile.gettempdir())
        except OSError:
            return 0
        held = sum(job.room for job in self._open if job.early and job.is_packed())
        return (status.f_bavail * status.f_frsize // _SHARE - held) // 2

    def _started(self, target: Callable[..., None], *args: object) -> Worker:
        spools = [job.spool for job in self._open if job.spool]
        spools += [task.spool for task in self._fetchers.tasks()]
        spools += [job.spec.blob.file for job in self._here.values() if not job.spec.blob.file.awaited]
        return self._crews.start(spools, target, *args)

    def _fetcher(self) -> Worker:
        return self._started(fetcher.main, self._files, self._limits, os.getpid())

    def _reader(self) -> Worker:
        return self._started(reader.main, self._limits, os.getpid())

    def _matcher(self) -> Worker:
        number = min(set(range(self._jobs)) - {worker.number for worker in self._matchers.workers})
        shared = self._first_pass, self._limits, self._explain, os.getpid(), self._twins
        worker = self._started(matcher.main, *shared, number)
        worker.number = number
        return worker

    def _fetch(self, worker: Worker, job: Job) -> None:
        target = self._spool(job)
        if target is None:
            return
        self._here[job.number] = job
        self._give(worker, Fetch(job.number), _Download(job, target), (target,))
        worker.deadline = time.monotonic() + self._limits.fetch_seconds + _GRACE_SECONDS

    @staticmethod
    def _spool(job: Job) -> BlobFile | None:
        """A file for bytes of a blob; a gap and nothing if none can be made."""
        blob = job.spec.blob
        try:
            return spool(blob.name)
        except OSError as error:
            detail = f"no temporary file can be made: {error.strerror}"
            job.outcome.gaps.append(Gap(blob.name, "", "spool.failed", blob.size, detail))
            return None

    def _start(self, worker: Worker, job: Job) -> None:
        blob = job.spec.blob
        try:
            blob.file.fileno()
        except OSError as error:
            job.outcome.gaps.append(Gap(blob.name, "", "file.unreadable", blob.size, error.strerror or ""))
            self._here.pop(job.number, None)
            return
        job.spool = self._spool(job)
        if job.spool is None:
            self._here.pop(job.number, None)
            blob.file.release()
            return
        room = min(self._limits.layer_bytes, self._limits.image_bytes - self._expanded)
        job.early = job.early and bool(self._receivers.workers)
        job.room = max(0, min(room, self._early_room()) if job.early and job.is_packed() else room)
        self._open.append(job)
        limits = replace(self._limits, layer_bytes=job.room)
        task = ReadLayer(job.number, blob.name, blob.offset, blob.size, job.spec.form, limits)
        self._give(worker, task, job, (blob.file, job.spool))

    def _match(self, worker: Worker, batch: Batch) -> None:
        job = batch.job
        blob = job.spec.blob if batch.stored else job.plain
        assert blob is not None
        extent = job.extent(batch.stored)
        if extent not in worker.extents:
            try:
                self._give(worker, OpenExtent(extent, blob.offset, blob.size), batch, (blob.file,))
            except OSError as error:  # a file of a directory that has gone meanwhile
                self._failed(worker, "file.unreadable", error.strerror or "")
                return
            worker.extents.add(extent)
        self._give(worker, MatchPieces(extent, batch.pieces), batch)

    def _match_texts(self, worker: Worker, batch: list[TextJob]) -> None:
        """Read a batch and hand it out. It is read no sooner, as all of them together may be large."""
        texts, held = [], []
        for job in batch:
            try:
                texts.append((job.key, job.name, job.blob.read(), job.is_json, job.closed))
                held.append(job)
            except OSError as error:
                self.text_gaps.append(Gap(job.name, "", "file.unreadable", job.blob.size, error.strerror or ""))
            job.blob.file.release()
        if held:
            self._give(worker, MatchTexts(texts), held)

    def _give(self, worker: Worker, message: object, task: object, files: Iterable[BlobFile] = ()) -> None:
        seconds = self._limits.layer_seconds + _GRACE_SECONDS if files else _MATCH_SECONDS
        worker.give(message, files, task, seconds)

    # -- listening -------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        busy = self._crews.busy()
        if len(self._batches) >= _WAITING:
            busy = [worker for worker in busy if worker not in self._readers.workers]
        if not busy:
            return
        nearest = min(self._end, *(worker.deadline for worker in busy))
        longest = None if math.isinf(nearest) else max(0.0, nearest - time.monotonic())
        ready = wait([worker.connection for worker in busy], longest)
        for worker in busy:
            if worker.connection in ready:
                self._hear(worker)
            elif time.monotonic() > min(worker.deadline, self._end):
                self._lost(worker, "limit.time", "a worker took longer than the limit")
        if time.monotonic() > self._end:
            self._give_up()

    def _hear(self, worker: Worker) -> None:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            self._stillborn += not worker.answered
            self._lost(worker, "worker.died", "the process that looked at it died")
            return
        worker.answered, self._stillborn = True, 0
        if isinstance(message, Packed):
            self._matched(worker, message)
        elif isinstance(message, Matched):
            self._matched_texts(worker, message)
        elif isinstance(message, Arrived):
            worker.task.arrived(message.bytes)
        elif isinstance(worker.task, _Receipt):
            worker.task.outcome, worker.task = message, None
        elif isinstance(message, Failed):
            self._failed(worker, message.reason, message.detail)
        elif isinstance(message, Fetched):
            task, worker.task = worker.task, None
            self._files[task.job.number].arrived(task.spool)
            self._blobs.append(task.job)
        else:
            self._read(worker, message)

    def _matched_texts(self, worker: Worker, message: Matched) -> None:
        worker.task = None
        self.text_sightings += message.sightings
        self.text_gaps += [nested.gap for nested in message.gaps]
        self.text_bytes += message.bytes
        self.text_ignored += message.ignored

    def _matched(self, worker: Worker, message: Packed) -> None:
        task, worker.task = worker.task, None
        task.job.packed.append(Seen(task.stored, message.body, self._shelf.put(message.records)))
        task.job.spans[task.stored].update(message.spans)
        if not task.stored:
            task.job.outcome.matched += message.bytes
            self._progress(message.bytes)
        task.job.out -= 1
        self._release(task.job)

    def _read(self, worker: Worker, message: Plain | Pieces | LayerRead) -> None:
        job: Job = worker.task
        # anew with each message: it may have waited to be heard
        worker.deadline = time.monotonic() + self._limits.layer_seconds + _GRACE_SECONDS
        if isinstance(message, Plain):
            job.room = job.spooled = message.size if message.spooled else 0
            self._expanded += job.spooled
            self._plain(job, message.spooled, message.size)
        elif isinstance(message, Pieces):
            self._queue(job, message.pieces, message.stored)
        else:
            worker.task = None
            job.outcome.read = message
            job.finished = True
            self._release(job)

    @staticmethod
    def _plain(job: Job, spooled: bool, size: int) -> None:
        stored = job.spec.blob
        job.plain = Blob(stored.name, job.spool, 0, size) if spooled and job.spool else stored

    def _queue(self, job: Job, pieces: list[Piece], stored: bool = False) -> None:
        if job.unwanted:
            return
        job.out += 1
        if not stored:
            job.sent = max(job.sent, pieces[-1].end)
        self._batches.append(Batch(job, stored, pieces))

    def _release(self, job: Job) -> None:
        """Give back what a job holds once nothing of it is out."""
        if not job.finished or job.out or job not in self._open:
            return
        self._open.remove(job)
        job.prove()
        for worker in self._matchers.workers:
            for extent in worker.extents & {job.extent(True), job.extent(False)}:
                kept = len(worker.extents) <= _KEPT and extent == job.extent(False) and job.lies_in_source()
                if not kept:
                    worker.extents.discard(extent)
                with contextlib.suppress(OSError):
                    worker.connection.send(EndExtent(extent, kept))
        if job.spool:
            job.spool.close()
        job.spec.blob.file.release()
        self._here.pop(job.number, None)

    # -- when something goes wrong ---------------------------------------------------------------------------------

    def _lost(self, worker: Worker, reason: str, detail: str) -> None:
        """Replace a worker that died or hangs."""
        self._crews.lose(worker)
        self._failed(worker, reason, detail)

    def _failed(self, worker: Worker, reason: str, detail: str) -> None:
        task, worker.task = worker.task, None
        if isinstance(task, _Receipt):
            task.outcome = Failed(reason, detail)
        elif isinstance(task, _Download):
            self._unfetched(task, reason, detail)
        elif isinstance(task, Job):
            self._unread(task, reason, detail)
        elif isinstance(task, list):
            self._split_texts(task, reason, detail)
        elif task is not None:
            self._split(task, reason, detail)

    def _unfetched(self, task: _Download, reason: str, detail: str) -> None:
        task.spool.close()
        self._here.pop(task.job.number, None)
        blob = task.job.spec.blob
        task.job.outcome.gaps.append(Gap(blob.name, "", reason, blob.size, detail))

    def _unread(self, job: Job, reason: str, detail: str) -> None:
        """A reader gave up: what it did not hand out is matched as it lies there, without members."""
        blob, spooled = job.spec.blob, job.spool.size() if job.spool else 0
        job.outcome.gaps.append(Gap(blob.name, "", reason, None, detail))
        if job.plain is None:
            self._plain(job, bool(spooled), spooled)
        assert job.plain is not None
        rest = range(job.sent, job.plain.size, WINDOW)
        size = job.plain.size - job.sent
        if rest:
            self._queue(
                job, [Piece(None, 0, rest.start, rest.start, size, at, min(at + WINDOW, rest.stop)) for at in rest]
            )
        job.finished = True
        self._release(job)

    def _split(self, batch: Batch, reason: str, detail: str) -> None:
        pieces = batch.pieces
        if len(pieces) > 1 and self._stillborn < _STILLBORN:
            middle = len(pieces) // 2
            batch.job.out += 1
            for half in (pieces[:middle], pieces[middle:]):
                self._batches.appendleft(Batch(batch.job, batch.stored, half))
            return
        # not the member's name: it was in these very bytes, and nobody can tell whether it holds a secret
        where = f"bytes {min(pieces[0].header, pieces[0].start)}-{pieces[-1].end}"
        batch.job.outcome.gaps.append(Gap(batch.job.spec.blob.name, where, reason, batch.size, detail))
        batch.job.out -= 1
        self._release(batch.job)

    def _split_texts(self, task: list[TextJob], reason: str, detail: str) -> None:
        if len(task) > 1 and self._stillborn < _STILLBORN:
            middle = len(task) // 2
            self._texts.extendleft((task[:middle], task[middle:]))
            return
        self.text_gaps += [Gap(text.name, "", reason, text.blob.size, detail) for text in task]

    def _give_up(self) -> None:
        """The image's time is over: all that was not looked at becomes a gap."""
        detail = "the scan took longer than the limit"
        for worker in self._crews.busy():
            self._lost(worker, "limit.time", detail)
        for job in [*self._awaited, *self._blobs, *self._open]:
            rest = job.spec.blob.size if job.plain is None else job.plain.size - job.outcome.matched
            job.outcome.gaps.append(Gap(job.spec.blob.name, "", "limit.time", rest, detail))
            if job.spool:
                job.spool.close()
        for task in self._texts:
            self.text_gaps += [Gap(job.name, "", "limit.time", job.blob.size, detail) for job in task]
        for queue in (self._awaited, self._blobs, self._batches, self._texts, self._open):
            queue.clear()

    def close(self) -> None:
        """End all workers; what was not done is left undone. Calling it again does nothing."""
        for task in self._fetchers.tasks():
            task.spool.close()
        for worker in self._receivers.workers:  # it waits for others, and hears nothing
            worker.process.kill()
        self._crews.close()
        for job in self._open:
            if job.spool:
                job.spool.close()
        self._shelf.close()
