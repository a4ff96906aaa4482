"""Images that an audit leaves to workers: a queue in the PostgreSQL of the store (the only home of `procrastinate`).

The ledger is the truth, the queue only hands out work: it is fed from the ledger in a window, since it gets slow when
it is long; a job is a pack of images and known by them, so that none is there twice; jobs of workers that died are
handed out again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import logging
import math
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from functools import cache
from threading import Event
from types import MappingProxyType
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
from scanner.store.ledger import leaking

if TYPE_CHECKING:
    from procrastinate import App, PsycopgConnector
    from procrastinate.jobs import Job

QUEUE, URGENT, TASK = "audit", "urgent", "leakscan.pack"
_WINDOW = 500  # jobs that wait or are worked on
_PACK = 32  # images of a job at the most; what reading them costs is known to who reads them
_PACKS = 16  # into which what is left is divided, so that workers end together
_TAGS = 200  # that tell what refers to an image; of a repository with more a worker looks for those of its image
_POLL_SECONDS, _AGAIN_SECONDS = 0.5, 1.0
_TRIES = 5  # of a job whose worker dies
_NEVER_SECONDS = 86400.0  # nobody asks for the end of a job
_CONNECTIONS = 2  # of a worker to its queue, besides the one that listens: a server has some hundred for all of them
_SILENT_SECONDS = 20.0  # without a heartbeat, and a worker counts as dead
_ALONE_SECONDS = 10.0  # that an audit waits for its first worker, and says nothing
_SWEEP = 1000  # the priority of looking after jobs of the dead: it must not wait behind a window of images
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
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
        raise StoreError("that store cannot be opened", "Check --store, or LEAKSCAN_STORE.") from None
    if parsed.get_backend_name() != "postgresql":
        tip = "Give --store postgresql://USER@HOST/DATABASE, and install image-leakscan[cluster]."
        raise StoreError("workers need a store on PostgreSQL", tip)
    if importlib.util.find_spec("procrastinate") is None:
        raise StoreError("workers need the extra `cluster`", "Install it: pip install 'image-leakscan[cluster]'.")
    return conninfo_of(parsed)


@contextlib.contextmanager
def _opened(url: str) -> Iterator[App]:
    """The queue, for putting jobs into it. Raises StoreUnreachable."""
    from procrastinate import App, SyncPsycopgConnector
    from procrastinate.exceptions import ConnectorException
    from procrastinate.sync_psycopg_connector import wrap_exceptions

    app = App(connector=SyncPsycopgConnector(conninfo=conninfo(url), min_size=1, max_size=1))
    try:
        with wrap_exceptions():  # which it does not do itself
            app.open()
        yield app
    except ConnectorException:
        raise StoreUnreachable("the store does not answer", "Look at its server.") from None
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


#: images as jobs name them: repository, tag, digest
Images = Sequence[Mapping[str, Any]]
#: (images, what every job tells): deals with a pack; returns the packs that it leaves to whoever comes next
GiveUp = Callable[[Images, Mapping[str, Any]], Sequence[Images]]
#: the same; the last is asked after an image whether the rest of the pack shall be left
Work = Callable[[Images, Mapping[str, Any], Callable[[], bool]], Sequence[Images]]

_LEFT = """
    select args->'images' from procrastinate_jobs
    where task_name = :task and args->>'run' = :run and status in ('todo', 'doing')
"""
_URGENT_WAITS = """
    select exists (select from procrastinate_jobs where queue_name = %(queue)s and task_name = %(task)s and
                   status = 'todo') as waits
"""
_DROP = "delete from procrastinate_jobs where id = %(number)s and status = 'doing'"
_WORKERS = """
    select exists (select from procrastinate_workers where last_heartbeat > now() - make_interval(secs => :silent))
"""
_TAKE_BACK = "delete from procrastinate_jobs where task_name = :task and args->>'run' = :run and status = 'todo'"


class Window:
    """Images that one asker has put into the queue and that are not read yet. Use it as a context manager; at its end
    the packs that no worker has begun are taken back.

    Every method may raise DatabaseError or StoreUnreachable.

    Attributes:
        jobs: how many there are.
        images: digests of theirs.
    """

    def __init__(self, engine: Store, url: str, priority: Priority, about: Mapping[str, Any]) -> None:
        """*about* is what every job tells its worker: host, run, rules, key, platform, newer_than."""
        self._engine, self._url, self._priority, self._about = engine, url, priority, about
        self.jobs, self.images = 0, frozenset[str]()
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._app = self._closing.enter_context(_opened(self._url))
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(DatabaseError), self._engine.begin() as connection:
            connection.execute(text(_TAKE_BACK), self._mine)
        self._closing.close()

    def put(self, images: Images, referring: Mapping[str, Sequence[str]] = MappingProxyType({})) -> None:
        """Put a pack into the queue. *referring* has, by repository, the tags by which something refers to an image;
        who reads one of another repository looks for them."""
        about = {**self._about, "referring": dict(referring)}
        _put(self._app, self._priority.queue, self._priority.value, images, about)
        self.jobs += 1
        self.images |= {image["digest"] for image in images}

    def settle(self) -> None:
        """Forget the images that workers are done with. Their results are in the ledger, if there are any."""
        with self._engine.connect() as connection:
            left = connection.execute(text(_LEFT), self._mine).scalars().all()
        self.jobs, self.images = len(left), frozenset(image["digest"] for images in left for image in images)

    def is_alone(self) -> bool:
        """Whether no worker of any kind has been heard of lately."""
        with self._engine.connect() as connection:
            return not connection.execute(text(_WORKERS), {"silent": _SILENT_SECONDS}).scalar_one()

    @property
    def _mine(self) -> dict[str, str]:
        return {"task": TASK, "run": self._about["run"]}


def _put(app: App, queue: str, priority: int, images: Images, about: Mapping[str, Any]) -> None:
    from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

    # equal only for the very same images: what is there already stands for all that is put
    lock = hashlib.sha256(" ".join([about["run"], *(image["digest"] for image in images)]).encode()).hexdigest()
    try:
        job = app.configure_task(TASK, queue=queue, queueing_lock=lock, priority=priority)
        job.defer(images=[dict(image) for image in images], **about)
    except AlreadyEnqueued:  # a server that went away had it all the same
        return
    except ConnectorException:
        raise StoreUnreachable("the store does not answer", "Look at its server.") from None


def _is_urgent_work(app: App) -> bool:
    """Whether an urgent job waits; raises what the queue does if the store does not answer."""
    return bool(app.connector.execute_query_one(_URGENT_WAITS, queue=URGENT, task=TASK)["waits"])


def _pack_of(left: Sequence[Item]) -> int:
    """How many of the images that are left make the next job: fewer towards the end."""
    return min(_PACK, max(1, len(left) // _PACKS))


def feeder(
    engine: Store, url: str, about: Mapping[str, Any], priority: Priority = Priority.AUDIT,
    alone: Callable[[], object] = lambda: None,
) -> Elsewhere:  # fmt: skip
    """What `audit` takes as *elsewhere*: puts images into the queue, a window at a time, until all are read.

    Args:
        about: what every job tells its worker: host, rules, key, platform, newer_than.
        priority: of its images among those of all audits.
        alone: called once if no worker is there; the audit waits for one.

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
        alone_since, told = math.inf, False
        ended, leaks = set[str](), 0  # images that were not asked about yet; leaking ones of the others

        def put(pack: Sequence[Item]) -> None:
            repositories = {item.repository for item in pack} & referring.keys()
            tags = {name: sorted(referring[name]) for name in repositories if len(referring[name]) <= _TAGS}
            images = [{"repository": item.repository, "tag": item.tag, "digest": item.digest} for item in pack]
            out.put(images, tags)

        with Window(engine, url, priority, {**about, "run": mark}) as out:
            while left or out.jobs:
                try:
                    while left and out.jobs < _WINDOW:
                        number = _pack_of(left)
                        put(left[: -number - 1 : -1])
                        del left[-number:]
                    before = out.images
                    out.settle()
                    ended |= before - out.images
                    if ended:
                        leaks += leaking(engine, about["rules"], ended)
                        ended.clear()
                    now = time.monotonic()
                    alone_since = min(alone_since, now) if out.jobs and out.is_alone() else math.inf
                    if now - alone_since > _ALONE_SECONDS and not told:
                        alone()
                        told = True
                    patient_until = now + PATIENCE_SECONDS
                except (DatabaseError, StoreUnreachable):
                    if time.monotonic() > patient_until:
                        raise StoreError("the store does not answer any more", "Look at its server.") from None
                display.waiting(len(items) - len(left) - len(out.images), len(items), leaks)
                if left or out.jobs:
                    time.sleep(_POLL_SECONDS)

    return elsewhere


def serve(
    url: str, work: Work, give_up: GiveUp, once: bool, urgent: bool = False, away: Callable[[], object] = lambda: None
) -> None:
    """Take packs out of the queue and work on them, one at a time, until stopped by SIGINT or SIGTERM; the most urgent
    first, of those the one that waits longest. A server that goes away is waited for.

    Args:
        work: does a job, in a thread of its own; whatever it raises has the job tried again.
        give_up: the same for a job that was tried too often.
        once: return as soon as the queue is empty.
        urgent: leave the images of audits to others.
        away: called once if the server goes away for longer than a worker does not notice.

    Raises:
        StoreError: the server is away for longer than a minute.
    """
    from procrastinate.exceptions import ConnectorException

    failing_since = math.inf
    ending = Event()
    while True:
        started = time.monotonic()
        turn = _Turn(url, work, give_up, once, urgent, ending)
        try:
            asyncio.run(turn.serve())
            done = once and not turn.broken.is_set()
        except (ConnectorException, StoreUnreachable, DatabaseError, OSError):
            done = False
        if done or ending.is_set():
            return  # what it had at hand and could not put back is handed out again
        now = time.monotonic()
        served = turn.reached and now - started > _SILENT_SECONDS  # it worked meanwhile
        if served or failing_since == math.inf:
            away()
        failing_since = now if served else min(failing_since, started)
        if now - failing_since > PATIENCE_SECONDS:
            raise StoreError("the store does not answer any more", "Look at its server.") from None
        time.sleep(_AGAIN_SECONDS)


class _Turn:
    """A worker of the queue, from where it reaches the server to where it loses it, or is to end.

    Attributes:
        reached: the server answered.
        broken: the server did not answer: what the queue says of the job at hand may be wrong, and is put right when
            this worker is gone.
    """

    def __init__(self, url: str, work: Work, give_up: GiveUp, once: bool, urgent: bool, ending: Event) -> None:
        self._url, self._work, self._give_up = url, work, give_up
        self._once, self._urgent, self._ending = once, urgent, ending
        self._working: asyncio.Future[None] | None = None
        self.reached, self.broken = False, Event()

    async def serve(self) -> None:
        """Work until stopped; the first signal sets *ending*, a second one has its usual effect."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_say_unless_known)
        with contextlib.ExitStack() as closing:
            app = self._application(cache(lambda: closing.enter_context(_opened(self._url))))
            async with app.open_async():
                self.reached = True
                self._working = asyncio.ensure_future(app.run_worker_async(
                    queues=[URGENT] if self._urgent else [URGENT, QUEUE], wait=not self._once, concurrency=1,
                    delete_jobs="successful", fetch_job_polling_interval=1.0, update_heartbeat_interval=5.0,
                    stalled_worker_timeout=_SILENT_SECONDS, install_signal_handlers=False,
                    abort_job_polling_interval=_NEVER_SECONDS,
                ))  # fmt: skip

                def end() -> None:
                    for each in _SIGNALS:
                        loop.remove_signal_handler(each)
                    self._leave(self._ending)

                with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread: whoever is there decides
                    for each in _SIGNALS:
                        loop.add_signal_handler(each, end)
                with contextlib.suppress(asyncio.CancelledError):
                    await self._working

    def _leave(self, reason: Event) -> None:
        """Take nothing more; ends after the image at hand."""
        first = not (self._ending.is_set() or self.broken.is_set())
        reason.set()
        if first and self._working is not None:  # a second time would not wait for the image
            self._working.cancel()

    def _application(self, opened: Callable[[], App]) -> App:
        """The queue with its two tasks; *opened* opens it for looking at jobs and putting some into it."""
        from procrastinate import App, JobContext, RetryStrategy
        from procrastinate.exceptions import ConnectorException

        app = App(connector=_connector(self._url, lambda: self._leave(self.broken)))

        def pack(context: JobContext, /, images: Images, **about: Any) -> None:
            job = context.job

            def leave() -> bool:
                ends = self._ending.is_set() or self.broken.is_set()
                return ends or (job.queue != URGENT and _is_urgent_work(opened()))

            if job.attempts >= _TRIES:  # whoever had it died of it
                left = self._give_up(images, about)
            else:
                try:
                    left = self._work(images, about, leave)
                except Exception:
                    if job.attempts + 1 < _TRIES:
                        raise
                    left = self._give_up(images, about)
            for each in left:
                _put(opened(), job.queue, job.priority, each, about)

        async def stalled(timestamp: int) -> None:  # noqa: ARG001  (procrastinate tells the time)
            with contextlib.suppress(ConnectorException, StoreUnreachable):  # it is done again in ten seconds
                jobs = await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=_SILENT_SECONDS)
                await asyncio.to_thread(lambda: _hand_out_again(opened(), jobs))

        app.task(name=TASK, queue=QUEUE, pass_context=True, retry=RetryStrategy(wait=1))(pack)
        sweep = app.task(name="leakscan.stalled", queue=URGENT, queueing_lock="stalled", priority=_SWEEP)(stalled)
        app.periodic(cron="* * * * * */10")(sweep)
        return app


def _say_unless_known(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What no task waits for: a job whose end could not be written fails in nobody's hands, and the worker knows."""
    if not _is_absence(context.get("exception")):
        loop.default_exception_handler(context)


def _is_absence(error: object) -> bool:
    """Whether an exception says that the server is away, which is waited for and told in one line."""
    from procrastinate.exceptions import ConnectorException

    return isinstance(error, ConnectorException | StoreUnreachable | DatabaseError)


def still_queue() -> None:
    """Have the queue's own log on standard error leave out that the server is away."""
    log = logging.StreamHandler()
    log.setLevel(logging.WARNING)
    log.addFilter(lambda record: not (record.exc_info and _is_absence(record.exc_info[1])))
    logging.getLogger("procrastinate").addHandler(log)


def _connector(url: str, broken: Callable[[], object]) -> PsycopgConnector:
    """The way of a worker to its queue; *broken* is called when the server does not answer."""
    from procrastinate import PsycopgConnector
    from procrastinate.exceptions import ConnectorException, NoResult, UniqueViolation
    from procrastinate.psycopg_connector import wrap_exceptions

    class Connector(PsycopgConnector):
        """One that outlives its server."""

        async def open_async(self, pool: Any = None) -> None:
            async with wrap_exceptions():  # which it does not do itself
                await super().open_async(pool)

        async def listen_notify(self, on_notification: Any, channels: Iterable[str]) -> None:
            while True:  # a worker that does not listen asks for jobs by the second; it would end if this did
                with contextlib.suppress(ConnectorException):
                    await super().listen_notify(on_notification, channels)
                await asyncio.sleep(_AGAIN_SECONDS)

        async def execute_query_async(self, query: Any, **arguments: Any) -> None:
            with told():
                await super().execute_query_async(query, **arguments)

        async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
            with told():
                row: dict[str, Any] = await super().execute_query_one_async(query, **arguments)
                return row

    @contextlib.contextmanager
    def told() -> Iterator[None]:
        try:
            yield
        except (NoResult, UniqueViolation):  # answers
            raise
        except ConnectorException:  # nobody else hears of it if it is the end of a job, or a task beside them
            broken()
            raise

    return Connector(conninfo=conninfo(url), min_size=1, max_size=_CONNECTIONS)


def _hand_out_again(app: App, jobs: Iterable[Job]) -> None:
    """Let others have the jobs of workers that died. One that cannot be had now is left for the next time."""
    from procrastinate.exceptions import ConnectorException, UniqueViolation

    for job in jobs:
        assert job.id is not None
        try:
            app.job_manager.retry_job_by_id(job.id, retry_at=datetime.now(UTC))
        except UniqueViolation:  # the very same images wait already
            app.connector.execute_query(_DROP, number=job.id)
        except ConnectorException:  # somebody else was faster
            continue
