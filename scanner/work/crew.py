"""The processes that work for a pool: started, given tasks, replaced and ended.

A crew is of one kind. Each of its workers holds one task at the most, with a time by which it has to be heard.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from multiprocessing.reduction import send_handle
from typing import Any

from scanner.image.blob import BlobFile
from scanner.work.isolation import uninterrupted

_CONTEXT = multiprocessing.get_context("fork")  # inherits detectors and database without a copy
_PATIENCE = 1.0  # seconds in which a worker that nobody listens to any more ends by itself


@dataclass(slots=True, eq=False)
class Worker:
    """One process with the task it holds.

    Attributes:
        deadline: when it counts as hanging, by the monotonic clock.
        extents: that it has open, of a matcher.
        number: tells it from the other matchers that work now.
        answered: whether it was ever heard.
    """

    process: ForkProcess
    connection: Connection
    task: Any = None
    deadline: float = 0.0
    extents: set[int] = field(default_factory=set)
    number: int = 0
    answered: bool = False

    def give(self, message: object, files: Iterable[BlobFile], task: object, seconds: float) -> None:
        """Send a task with descriptors of *files*. A worker that died meanwhile is noticed when it is listened to.

        Raises OSError if a file cannot be opened.
        """
        self.task = task
        self.deadline = time.monotonic() + seconds
        descriptors = [file.fileno() for file in files]
        with contextlib.suppress(OSError):
            self.connection.send(message)
            for descriptor in descriptors:
                send_handle(self.connection, descriptor, self.process.pid)

    def kill(self) -> None:
        """End it now, whatever it does."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class Crew:
    """The workers of one kind."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []

    def idle(self, start: Callable[[], Worker], most: int) -> Worker | None:
        """One without a task, a new one if there are fewer than *most*."""
        for worker in self.workers:
            if worker.task is None:
                return worker
        if len(self.workers) < most:
            self.workers.append(start())
            return self.workers[-1]
        return None

    def tasks(self) -> list[Any]:
        """What its workers do."""
        return [worker.task for worker in self.workers if worker.task is not None]


class Crews:
    """All workers of a pool, by crew."""

    def __init__(self) -> None:
        self._crews: list[Crew] = []
        self._retired: list[Worker] = []

    def crew(self) -> Crew:
        """One more crew, without a worker yet."""
        self._crews.append(Crew())
        return self._crews[-1]

    def __iter__(self) -> Iterator[Worker]:
        return (worker for crew in self._crews for worker in crew.workers)

    def busy(self) -> list[Worker]:
        """Those that hold a task."""
        return [worker for worker in self if worker.task is not None]

    def start(self, spools: Iterable[BlobFile], target: Callable[..., None], *args: object) -> Worker:
        """A process that runs *target* with its end of a connection and *args*; whose crew it joins is for the caller.

        Args:
            spools: files of this process whose room the new one must not hold.
        """
        ours, theirs = _CONTEXT.Pipe()
        inherited = [*(worker.connection for worker in self), ours]
        held = list(spools)

        def run() -> None:
            for connection in inherited:  # else a worker would keep another one's pipe open past the coordinator's end
                connection.close()
            for file in held:  # and the room that a spool takes, as long as it lives itself
                file.close()
            target(theirs, *args)

        process = _CONTEXT.Process(target=run, daemon=True)
        with uninterrupted():
            process.start()
        theirs.close()
        return Worker(process, ours)

    def retire(self, crew: Crew) -> None:
        """End those that have nothing to do and never will: each holds what this process held when it was forked."""
        for worker in [worker for worker in crew.workers if worker.task is None]:
            crew.workers.remove(worker)
            worker.connection.close()
            self._retired.append(worker)

    def lose(self, worker: Worker) -> None:
        """End one that died or hangs; its crew starts another when it is needed."""
        worker.kill()
        for crew in self._crews:
            if worker in crew.workers:
                crew.workers.remove(worker)

    def close(self) -> None:
        """End all."""
        ending = [*self, *self._retired]
        for worker in self:
            worker.connection.close()
        for crew in self._crews:
            crew.workers.clear()
        self._retired.clear()
        for worker in ending:
            worker.process.join(_PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
