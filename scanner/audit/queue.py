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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scanner.audit.listing import Item
from scanner.audit.run import Display, Elsewhere
from scanner.errors import StoreError
from scanner.store.database import PATIENCE_SECONDS, ArgumentError, DatabaseError, Store, parse_url, text

if TYPE_CHECKING:
    from procrastinate import App

QUEUE, TASK = "audit", "leakscan.image"
_WINDOW = 500  # jobs that wait or are worked on
_POLL_SECONDS = 0.5
_TRIES = 5  # of a job whose worker dies
_SILENT_SECONDS = 20.0  # without a heartbeat, and a worker counts as dead
_SCHEMA_LOCK = 0x6C65616B  # `leak`: one process makes the tables


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
    return parsed.set(drivername="postgresql").render_as_string(hide_password=False)


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


def feeder(engine: Store, url: str, about: Mapping[str, Any]) -> Elsewhere:
    """What `audit` takes as *elsewhere*: puts images into the queue, a window at a time, until all are read.

    Args:
        about: what every job tells its worker: host, rules, key, platform, newer_than.

    Raises:
        StoreError: it is no PostgreSQL, or cannot be used.
    """
    from procrastinate.exceptions import ConnectorException

    conninfo(url)  # says what is missing before anything is listed
    prepare(engine, url)

    def elsewhere(mark: str, items: Sequence[Item], written: Callable[[], set[str]], display: Display) -> None:
        left = list(items)[::-1]
        out: set[str] = set()
        patient_until = time.monotonic() + PATIENCE_SECONDS
        with _opened(url) as app:
            while left or out:
                try:
                    while left and len(out) < _WINDOW:
                        _defer(app, left[-1], {**about, "run": mark})
                        out.add(left.pop().digest)
                    out -= written()
                    patient_until = time.monotonic() + PATIENCE_SECONDS
                except (DatabaseError, ConnectorException):
                    if time.monotonic() > patient_until:
                        raise StoreError("the store does not answer any more", "Look at its server.") from None
                display.waiting(len(items) - len(left) - len(out), len(items))
                if left or out:
                    time.sleep(_POLL_SECONDS)

    return elsewhere


def _defer(app: App, item: Item, about: Mapping[str, Any]) -> None:
    """Put one image into the queue, unless it waits there."""
    from procrastinate.exceptions import AlreadyEnqueued

    job = app.configure_task(TASK, queue=QUEUE, queueing_lock=f"{about['run']} {item.digest}")
    with contextlib.suppress(AlreadyEnqueued):
        job.defer(repository=item.repository, tag=item.tag, digest=item.digest, **about)


def serve(
    url: str, work: Callable[[dict[str, Any]], None], give_up: Callable[[dict[str, Any]], None], once: bool
) -> None:
    """Take images out of the queue and work on them, one at a time, until stopped by SIGINT or SIGTERM.

    Args:
        work: does a job, in a thread of its own; whatever it raises has the job tried again.
        give_up: is told of a job that was tried too often.
        once: return as soon as the queue is empty.
    """
    from procrastinate.exceptions import ConnectorException

    failing_since = math.inf
    while True:
        started = time.monotonic()
        try:
            asyncio.run(_serve(_application(url, work, give_up), once))
            return
        except (ConnectorException, DatabaseError, OSError):
            now = time.monotonic()
            served = now - started > _SILENT_SECONDS  # it worked meanwhile
            failing_since = now if served else min(failing_since, started)
            if now - failing_since > PATIENCE_SECONDS:
                raise StoreError("the store does not answer any more", "Look at its server.") from None
            time.sleep(1.0)


async def _serve(app: App, once: bool) -> None:
    async with app.open_async():
        await app.run_worker_async(
            queues=[QUEUE], wait=not once, concurrency=1, delete_jobs="successful", fetch_job_polling_interval=1.0,
            update_heartbeat_interval=5.0, stalled_worker_timeout=_SILENT_SECONDS,
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
    sweep = app.task(name="leakscan.stalled", queue=QUEUE, queueing_lock="stalled")(stalled)
    app.periodic(cron="* * * * * */10")(sweep)
    return app
