"""A worker of an audit: takes packs of images out of the queue, has each image scanned in another process, which writes
the ledger.

The process that scans is not the one that keeps the heartbeat: what kills it (memory, a fault in a library) costs one
try of one image.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from scanner.audit.queue import Images, conninfo, prepare, serve
from scanner.errors import LeakscanError, StoreError
from scanner.limits import MIB
from scanner.store.database import DatabaseError, default_url, open_store
from scanner.store.ledger import Ledger
from scanner.work.isolation import uninterrupted

if TYPE_CHECKING:
    from scanner.audit.run import Reader

#: blobs and bytes that are read for one job: what is left of its images then is another job
PACK_BLOBS, PACK_BYTES = 32, 256 * MIB
_LOGIN_SECONDS = 300.0  # that credentials of the user's configuration are used for
_CONTEXT = multiprocessing.get_context("spawn")  # the worker has threads, which a fork does not copy


class Lost(Exception):
    """The process that scanned an image died, or could not write what it found."""


class Scanner:
    """The process that scans; started when it is needed, and again when it died.

    It ends with the thread that starts it (prctl(2), PR_SET_PDEATHSIG): one thread uses it from first to last.
    """

    def __init__(self, url: str, jobs: int, niceness: int = 0) -> None:
        self._url, self._jobs, self._niceness = url, jobs, niceness
        self._process: Any = None
        self._connection: Connection | None = None

    def work(
        self, job: Mapping[str, Any], meanwhile: Callable[[], None] | None = None, every: float = 1.0
    ) -> tuple[int, int]:
        """Have an image scanned. Raises Lost if it was not, and whatever *meanwhile* raises.

        Returns how many blobs were read for it, and their bytes as they are unpacked.

        *meanwhile* is called each *every* seconds until it is done.
        """
        self.start()
        assert self._connection is not None
        try:
            self._connection.send(job)
            while meanwhile is not None and not self._connection.poll(every):
                meanwhile()
            answer = self._connection.recv()
        except (EOFError, OSError):
            self.close()
            raise Lost("the process that scanned it died") from None
        if isinstance(answer, str):
            raise Lost(answer)
        blobs, size = answer
        return blobs, size

    def start(self) -> None:
        """Start the process unless it is there."""
        if self._process is not None and self._process.is_alive():
            return
        ours, theirs = _CONTEXT.Pipe()
        # not a daemon: those may have no processes of their own; it ends with this one all the same
        self._process = _CONTEXT.Process(target=scan_jobs, args=(theirs, self._url, self._jobs, os.getpid(),
                                                                     self._niceness))  # fmt: skip
        with uninterrupted():
            self._process.start()
        theirs.close()
        self._connection = ours

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def work(
    url: str | None, jobs: int, once: bool, urgent: bool = False, away: Callable[[], object] = lambda: None
) -> None:
    """Serve the queue of the store until stopped, or until it is empty if *once*. Raises StoreError.

    Args:
        urgent: leave the images of audits to others.
        away: called if the store does not answer; it is waited for.
    """
    url = url or default_url(os.environ)
    conninfo(url)
    engine = open_store(url, away=away)
    prepare(engine, url)
    engine.dispose()  # its connection: this process needs one again only when it gives something up
    scanner = Scanner(url, jobs)

    def work_on(images: Images, about: Mapping[str, Any], leave: Callable[[], bool]) -> list[Images]:
        return read_pack(scanner.work, images, about, leave)

    def give_up(images: Images, about: Mapping[str, Any]) -> list[Images]:
        from scanner.audit.results import failed
        from scanner.audit.run import note_failure

        if len(images) > 1:
            return [[image] for image in images]
        [image] = images
        ledger = Ledger(engine, about["host"], about["rules"], about["run"])
        repository = f"{about['host']}/{image['repository']}"
        note_failure(ledger, failed(image["digest"], repository, "every process that scanned it died", 1))
        return []

    scanner.start()  # it makes ready while the first job is waited for
    try:
        serve(url, work_on, give_up, once, urgent, away)
    finally:
        scanner.close()
        engine.dispose()


def read_pack(
    read: Callable[[Mapping[str, Any]], tuple[int, int]], images: Images, about: Mapping[str, Any],
    leave: Callable[[], bool],
) -> list[Images]:  # fmt: skip
    """Have the images of a pack read one after the other. Raises Lost if it is a single image that was not.

    Returns the packs that are left: the images behind those that were work enough for one job, or after which *leave*
    said so; and an image that was lost, alone, so that the others are not tried as often as it is.
    """
    blobs = size = 0
    for number, image in enumerate(images, 1):
        rest = [images[number:]] if images[number:] else []
        try:
            more_blobs, more = read({**about, **image, "tags": about["referring"].get(image["repository"])})
        except Lost:
            if len(images) == 1:
                raise
            return [[image], *rest]
        blobs, size = blobs + more_blobs, size + more
        if rest and (blobs >= PACK_BLOBS or size >= PACK_BYTES or leave()):
            return rest
    return []


def scan_jobs(connection: Connection, url: str, jobs: int, parent: int, niceness: int = 0) -> None:
    """Scan images until the connection closes; answers each with what `Scanner.work` returns, or with why nothing was
    written."""
    from scanner.work.isolation import die_with, no_core

    die_with(parent)
    no_core()
    if niceness:
        os.nice(niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker decides how a Ctrl-C ends
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        desk = _Desk(url, jobs)
    except (StoreError, DatabaseError):  # whoever has a job for it sees that it is gone, and starts another
        return
    gc.collect()
    gc.freeze()  # what is there now stays, and is shared with the processes that are forked for each image
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            connection.send(desk.scan(job))
        except Exception as error:  # tried again by whoever comes next; its text could hold anything
            connection.send(type(error).__name__)


class _Desk:
    """All that scanning needs, made once."""

    def __init__(self, url: str, jobs: int) -> None:
        from scanner import detection
        from scanner.audit.run import ready
        from scanner.limits import Limits
        from scanner.secrecy.keys import installation_key
        from scanner.secrecy.seal import Seal

        self._engine = open_store(url, away=lambda: None)  # an image is not lost because its server starts again
        self._rules = detection.load(os.environ)
        ready(self._rules)
        self._limits, self._jobs = Limits.from_environment(os.environ), jobs
        self._key = installation_key(os.environ)
        self._identity = Seal(self._key).identity
        self._clients: dict[str, tuple[Any, float]] = {}
        # of the image before, which most are like
        self._ledger: tuple[object, Ledger] | None = None
        self._reader: tuple[object, Reader] | None = None

    def scan(self, job: Mapping[str, Any]) -> tuple[int, int]:
        """Scan the image of a job and write down what came of it; returns how many blobs were read, and their bytes as
        they are unpacked. Raises DatabaseError."""
        from scanner.audit.listing import Item
        from scanner.audit.results import failed
        from scanner.audit.run import Reader, Wanted, note_failure, rule_set
        from scanner.audit.targets import Filters

        ledger = self._ledger_of(job)
        item = Item(job["repository"], job["tag"], job["digest"])
        known = ledger.result(item.digest)
        again = known is not None and known.final  # by a job of another audit, or of one that was killed
        if known is not None and again and not (item.subject and known.images):
            return 0, 0
        if job["rules"] != rule_set(self._rules, job["platform"], self._limits) or job["key"] != self._identity:
            what = "a worker has other rules, limits, version or key (LEAKSCAN_KEY) than the audit"
            note_failure(ledger, failed(item.digest, f"{job['host']}/{item.repository}", what, 1))
            return 0, 0
        wanted = Wanted(self._limits, self._jobs, self._key, Filters(newer_than=job["newer_than"]), job["platform"])
        login = job.get("login")
        try:
            client = self._connected(job["host"], job, login) if login else self._client(job["host"], job)
        except LeakscanError as error:
            note_failure(ledger, failed(item.digest, f"{job['host']}/{item.repository}", error.what, 1))
            return 0, 0
        kind = client, ledger, wanted
        if self._reader is None or self._reader[0] != kind:
            self._reader = kind, Reader(client, self._engine, ledger, self._rules, wanted)
        reader = self._reader[1]
        blobs, size = reader.kept.read, reader.kept.size
        try:
            if known is not None and again:  # what has that tag may have come after the image was read
                reader.extended(replace(item, digest=""), known)
            else:
                reader.read(item, known, job.get("tags"))
        finally:
            if login:  # of this image alone
                client.close()
        return reader.kept.read - blobs, reader.kept.size - size

    def _ledger_of(self, job: Mapping[str, Any]) -> Ledger:
        kind = job["host"], job["rules"], job["run"]
        if self._ledger is None or self._ledger[0] != kind:
            self._ledger = kind, Ledger(self._engine, *kind)
        return self._ledger[1]

    def _client(self, host: str, job: Mapping[str, Any]) -> Any:
        """A client with the user's own credentials, looked up again now and then: some last for hours only."""
        client, since = self._clients.get(host, (None, 0.0))
        if client is None or time.monotonic() - since > _LOGIN_SECONDS:
            if client is not None:
                client.close()
            client = self._connected(host, job, None)
            self._clients[host] = client, time.monotonic()
        return client

    def _connected(self, host: str, job: Mapping[str, Any], login: Any) -> Any:
        from dataclasses import replace

        from scanner.image.registry.addresses import Reach
        from scanner.image.registry.client import Client
        from scanner.image.registry.names import registry_of
        from scanner.image.registry.settings import from_environment

        settings = from_environment(os.environ)
        if job.get("public"):  # somebody else named the registry
            settings = replace(settings, nearest=Reach.PUBLIC)
        return Client.connect(registry_of(host), settings, self._limits, os.environ, login=login)
