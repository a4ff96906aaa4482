"""Images that an audit leaves to workers: a queue in the PostgreSQL of the store (the only home of `procrastinate`).

The ledger is the truth, the queue only hands out work: it is fed from the ledger in a window, since it gets slow when
it is long; a job is known by its image, so that none is there twice; jobs of workers that died are handed out again.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Self

from scanner.audit.listing import Item
from scanner.audit.run import Display, Elsewhere
from scanner.errors import StoreError
from scanner.store.database import (
    PATIENCE_SECONDS,
    ArgumentError,
    DatabaseError,
    Store,
    conninfo_of,
    parse_url,
    text,
)

if TYPE_CHECKING:
    from procrastinate import App

QUEUE, URGENT, TASK = "audit", "urgent", "leakscan.image"
_WINDOW = 500  # jobs that wait or are worked on
_TAGS = 200  # that tell what refers to an image; of a repository with more a worker looks for those of its image
_POLL_SECONDS = 0.5
_TRIES = 5  # of a job whose worker dies
_SILENT_SECONDS = 20.0  # without a heartbeat, and a worker counts as dead
_SWEEP = 1000  # the priority of looking after jobs of the dead: it must not wait behind a window of images
_SCHEMA_LOCK = 0x6C65616B  # `leak`: one process makes the tables


class Priority(IntEnum):
    """Which images workers take first; the more urgent have a queue of their own, which workers can be kept for."""

    AUDIT = 0
    INTERACTIVE = 20

    @property
    def queue(self) -> str:
        """Its queue."""
        return QUEUE if self is Priority.AUDIT else URGENT


def conninfo(url: str) -> str:
    """The store at *url* as PostgreSQL's own tools name it. Raises StoreError if it is something else."""
    try:
        parsed = parse_url(url)
    except ArgumentError:
        raise StoreError("that store cannot be opened", "Check LEAKSCAN_STORE.") from None
    if parsed.get_backend_name() != "postgresql":
        tip = "Give --store postgresql://USER@HOST/DATABASE, and install leakscan[cluster]."
        raise StoreError("workers need a store on PostgreSQL", tip)
    if importlib.util.find_spec("procrastinate") is None:
        raise StoreError("workers need the extra `cluster`", "Install it: pip install 'leakscan[cluster]'.")
    return conninfo_of(parsed)


@contextlib.contextmanager
def _opened(url: str) -> Iterator[App]:
    """The queue, for putting jobs into it."""
    from procrastinate import App, SyncPsycopgConnector

    app = App(connector=SyncPsycopgConnector(conninfo=conninfo(url)))
    app.open()
    try:
        yield app
    finally:
        app.close()


def prepare(engine: Store, url: str) -> None:
    """Make the queue's tables unless they are there. Raises StoreError, DatabaseError."""
    with engine.begin() as connection:
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
        if connection.execute(text("select to_regclass('procrastinate_jobs')")).scalar_one() is None:
            with _opened(url) as app:
                app.schema_manager.apply_schema()


class StoreUnreachable(StoreError):
    """The server of the store does not answer, which may pass."""


_LEFT = "select id from procrastinate_jobs where id = any(:numbers) and status in ('todo', 'doing')"
_TAKE_BACK = "delete from procrastinate_jobs where id = any(:numbers) and status = 'todo' returning id"
_BY_LOCK = "select id from procrastinate_jobs where queueing_lock = :lock and status = 'todo'"


class Window:
    """Images that one asker has put into the queue and that are not read yet. Use it as a context manager; at its end
    the images that no worker has begun are taken back.

    Every method may raise DatabaseError or StoreUnreachable.
    """

    def __init__(self, engine: Store, url: str, priority: Priority) -> None:
        self._engine, self._url, self._priority = engine, url, priority
        self._out: dict[int, str] = {}  # digests by the numbers of their jobs
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._app = self._closing.enter_context(_opened(self._url))
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(DatabaseError):
            self._ask(_TAKE_BACK)
        self._closing.close()

    def __len__(self) -> int:
        return len(self._out)

    def put(self, item: Item, about: Mapping[str, Any]) -> None:
        """Put an image into the queue. *about* is what its worker must know: host, run, rules, key, platform,
        newer_than, and the tags by which something refers to an image, if they are known."""
        from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

        lock = f"{about['run']} {item.digest}"
        job = self._app.configure_task(
            TASK, queue=self._priority.queue, queueing_lock=lock, priority=self._priority.value
        )
        try:
            number: int | None = job.defer(repository=item.repository, tag=item.tag, digest=item.digest, **about)
        except AlreadyEnqueued:  # a server that went away had it all the same
            number = self._number(lock)
        except ConnectorException:
            raise StoreUnreachable("the store does not answer", "Look at its server.") from None
        if number is not None:
            self._out[number] = item.digest

    def settle(self) -> None:
        """Forget the images that workers are done with. Their results are in the ledger, if there are any."""
        left = self._ask(_LEFT)
        self._out = {number: digest for number, digest in self._out.items() if number in left}

    def _number(self, lock: str) -> int | None:
        with self._engine.connect() as connection:
            found = connection.execute(text(_BY_LOCK), {"lock": lock}).scalar_one_or_none()
            return None if found is None else int(found)

    def _ask(self, statement: str) -> set[int]:
        if not self._out:
            return set()
        with self._engine.begin() as connection:
            return set(connection.execute(text(statement), {"numbers": list(self._out)}).scalars())


def feeder(engine: Store, url: str, about: Mapping[str, Any], priority: Priority = Priority.AUDIT) -> Elsewhere:
    """What `audit` takes as *elsewhere*: puts images into the queue, a window at a time, until all are read.

    Args:
        about: what every job tells its worker: host, rules, key, platform, newer_than.
        priority: of its images among those of all audits.

    Raises:
        StoreError: it is no PostgreSQL, or cannot be used.
    """
    conninfo(url)  # says what is missing before anything is listed
    prepare(engine, url)

    def elsewhere(
        mark: str, items: Sequence[Item], referring: Mapping[str, Collection[str]], display: Display
    ) -> None:
        left = list(items)[::-1]
        patient_until = time.monotonic() + PATIENCE_SECONDS
        with Window(engine, url, priority) as out:
            while left or len(out):
                try:
                    while left and len(out) < _WINDOW:
                        tags = referring.get(left[-1].repository)
                        told = None if tags is None or len(tags) > _TAGS else sorted(tags)
                        out.put(left[-1], {**about, "run": mark, "tags": told})
                        left.pop()
                    out.settle()
                    patient_until = time.monotonic() + PATIENCE_SECONDS
                except (DatabaseError, StoreUnreachable):
                    if time.monotonic() > patient_until:
                        raise StoreError("the store does not answer any more", "Look at its server.") from None
                display.waiting(len(items) - len(left) - len(out), len(items))
                if left or len(out):
                    time.sleep(_POLL_SECONDS)

    return elsewhere


def serve(
    url: str, work: Callable[[dict[str, Any]], None], give_up: Callable[[dict[str, Any]], None], once: bool,
    urgent: bool = False,
) -> None:  # fmt: skip
    """Take images out of the queue and work on them, one at a time, until stopped by SIGINT or SIGTERM; the most urgent
    first, of those the one that waits longest.

    Args:
        work: does a job, in a thread of its own; whatever it raises has the job tried again.
        give_up: is told of a job that was tried too often.
        once: return as soon as the queue is empty.
        urgent: leave the images of audits to others.
    """
    from procrastinate.exceptions import ConnectorException

    failing_since = math.inf
    while True:
        started = time.monotonic()
        try:
            asyncio.run(_serve(_application(url, work, give_up), once, urgent))
            return
        except (ConnectorException, DatabaseError, OSError):
            now = time.monotonic()
            served = now - started > _SILENT_SECONDS  # it worked meanwhile
            failing_since = now if served else min(failing_since, started)
            if now - failing_since > PATIENCE_SECONDS:
                raise StoreError("the store does not answer any more", "Look at its server.") from None
            time.sleep(1.0)


async def _serve(app: App, once: bool, urgent: bool) -> None:
    async with app.open_async():
        await app.run_worker_async(
            queues=[URGENT] if urgent else [URGENT, QUEUE], wait=not once, concurrency=1, delete_jobs="successful",
            fetch_job_polling_interval=1.0, update_heartbeat_interval=5.0, stalled_worker_timeout=_SILENT_SECONDS,
        )  # fmt: skip


def _application(
    url: str, work: Callable[[dict[str, Any]], None], give_up: Callable[[dict[str, Any]], None]
) -> App:
    """The queue with its two tasks."""
    from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy

    app = App(connector=PsycopgConnector(conninfo=conninfo(url)))

    def image(context: JobContext, /, **job: Any) -> None:
        try:
            work(job)
        except Exception:
            if context.job.attempts + 1 < _TRIES:
                raise
            give_up(job)

    async def stalled(timestamp: int) -> None:  # noqa: ARG001  (procrastinate tells the time)
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=_SILENT_SECONDS):
            await app.job_manager.retry_job(job)

    app.task(name=TASK, queue=QUEUE, pass_context=True, retry=RetryStrategy(max_attempts=_TRIES, wait=1))(image)
    sweep = app.task(name="leakscan.stalled", queue=URGENT, queueing_lock="stalled", priority=_SWEEP)(stalled)
    app.periodic(cron="* * * * * */10")(sweep)
    return app
