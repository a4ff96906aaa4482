"""Takes tickets and has each image scanned in a process of its own; results are those of an audit, in the same store.

A process that dies costs one try of one image; a service that is killed leaves its tickets to the next one.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from typing import Any

from scanner.audit.results import failed
from scanner.audit.worker import Lost, Scanner
from scanner.errors import LeakscanError
from scanner.limits import Limits
from scanner.oci import is_digest
from scanner.serve.service import Service
from scanner.serve.words import Priority, Ticket
from scanner.store.database import DatabaseError
from scanner.store.ledger import Ledger, State, known

LOG = logging.getLogger("leakscan.serve")
_IDLE_SECONDS, _SWEEP_SECONDS, _TIDY_SECONDS = 1.0, 5.0, 3600.0
_NICENESS = 19  # whoever waits for an answer comes first
_SLACK_SECONDS = 120.0  # beyond the limits that a scan holds itself to
_ADOPT_SECONDS = 600.0  # where several share a store, another version may be at work still


class _Stopped(Exception):
    """The scan at hand is not to go on."""


class Scans:
    """The threads that have images scanned, and the one that looks after tickets of the dead.

    Args:
        url: of the store; the processes that scan open it themselves.
        key: the identity of the installation's key (`Seal.identity`).
    """

    def __init__(self, service: Service, url: str, key: str, limits: Limits) -> None:
        self._service, self._url, self._key, self._limits = service, url, key, limits
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        host = socket.gethostname()[:32]
        self._name = f"{host}-{os.getpid()}-{secrets.token_hex(4)}"

    def start(self) -> None:
        """Begin. Comes back at once."""
        work = [threading.Thread(target=self._work, args=(number,), name=f"scan-{number}")
                for number in range(self._service.settings.scans)]  # fmt: skip
        self._threads = [*work, threading.Thread(target=self._look_after, name="sweep")]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Give back what is at hand and end; waits for that."""
        self._stop.set()
        self._service.queue.asked.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        worker = f"{self._name}-{number}"
        scanner = Scanner(self._url, self._service.settings.jobs, _NICENESS)
        queue = self._service.queue
        try:
            while not self._stop.is_set():
                queue.asked.clear()
                try:
                    ticket = None if self._service.draining.is_set() else queue.claim(worker)
                    if ticket is not None:
                        self._scan(ticket, worker, scanner)
                        continue
                except Exception as error:  # the ticket's lease ends, and it is taken again
                    self._failed(error)
                    self._stop.wait(_IDLE_SECONDS)
                queue.asked.wait(_IDLE_SECONDS)
        finally:
            scanner.close()

    def _scan(self, ticket: Ticket, worker: str, scanner: Scanner) -> None:
        """Have the image of a ticket scanned, and end the ticket. Raises DatabaseError."""
        service = self._service
        if not is_digest(ticket.digest):
            self._resolve(ticket, worker)
            return
        begun = held = time.monotonic()
        longest = self._limits.image_seconds + self._limits.fetch_seconds + _SLACK_SECONDS

        def meanwhile() -> None:
            nonlocal held
            if self._stop.is_set():
                raise _Stopped
            passed = time.monotonic()
            if passed - begun > longest:
                raise Lost("it took longer than any scan may")
            if passed - held > service.settings.lease_seconds / 3:
                if not service.queue.hold(ticket, worker):
                    raise _Stopped
                held = passed

        login = None
        try:
            login = service.queue.login(ticket)
            scanner.work(self._job(ticket, login), meanwhile, 0.2)
        except _Stopped:
            scanner.close()
            service.queue.back(ticket, worker, died=False)
            return
        except Lost:
            scanner.close()
            service.counters.add("leakscan_scans_total", result="died")
            service.queue.back(ticket, worker, died=True)
            self._give_up()
            return
        except DatabaseError:  # while the lease was renewed
            scanner.close()
            raise
        except LeakscanError as error:  # a registry that may not be read any more
            service.queue.failed(ticket, worker, error.what)
            return
        found = known(service.store, ticket.digest, ticket.rules)
        service.verdicts.forget()
        service.counters.took("leakscan_scan_seconds", time.monotonic() - begun)
        if found is None or found.rules != ticket.rules or found.result.state is State.FAILED:
            reason = found.result.reason if found is not None else "nothing was written of it"
            service.counters.add("leakscan_scans_total", result="failed")
            if service.queue.login(ticket) != login:  # somebody who may read it asked for it meanwhile
                service.queue.back(ticket, worker, died=False)
            else:
                service.queue.failed(ticket, worker, reason)
        else:
            service.counters.add("leakscan_scans_total", result=found.result.state.value)
            service.queue.done(ticket, worker)

    def _resolve(self, ticket: Ticket, worker: str) -> None:
        """Ask the registry what the tag of a ticket points to, and for a scan of that. Raises DatabaseError."""
        service = self._service
        try:
            repository, reference = service.registries.repository(ticket.reference)
            _, digest = service.registries.resolve(ticket.reference)
            Ledger(service.store, repository.host, ticket.rules, "").point(
                repository.name, [(reference.tag or "latest", digest)]
            )
            if service.verdicts.of(digest).due:
                image, priority = f"{ticket.reference}@{digest}", Priority(ticket.priority)
                # its place was given away when this ticket was taken up, and whoever told of the tag has gone
                service.queue.ask(image, digest, priority, ticket.origin, admitted=True)
        except LeakscanError as error:
            service.queue.failed(ticket, worker, error.what)
        else:
            service.queue.done(ticket, worker)

    def _job(self, ticket: Ticket, sealed: bytes | None) -> dict[str, Any]:
        repository, reference = self._service.registries.repository(ticket.reference)
        image = f"{repository}@{ticket.digest}"
        return {
            "host": repository.host, "repository": repository.name, "tag": reference.tag, "digest": ticket.digest,
            "run": ticket.id, "rules": ticket.rules, "key": self._key, "platform": None, "newer_than": None,
            "public": self._service.registries.public_only(repository.host),
            "login": None if sealed is None else self._service.safe.open(sealed, image),
        }  # fmt: skip

    def _look_after(self) -> None:
        tidied = 0.0
        while not self._stop.wait(_SWEEP_SECONDS):
            try:
                self._give_up()
                self._service.queue.adopt(_ADOPT_SECONDS)
                if time.monotonic() - tidied > _TIDY_SECONDS:
                    self._service.queue.tidy()
                    tidied = time.monotonic()
            except Exception as error:  # this thread is the only one that does this
                self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Note that something did not work; the text of an error could hold anything."""
        if isinstance(error, DatabaseError):
            self._service.counters.add("leakscan_store_errors_total")
        LOG.error("a scan was not begun or not written down: %s", type(error).__name__)

    def _give_up(self) -> None:
        """Write down why images that killed their processes have no verdict. Raises DatabaseError."""
        for ticket in self._service.queue.sweep():
            if not is_digest(ticket.digest):  # a tag whose registry was never reached: no image to say anything of
                continue
            try:
                repository, _ = self._service.registries.repository(ticket.reference)
            except LeakscanError:  # its registry may not be read any more
                continue
            ledger = Ledger(self._service.store, repository.host, ticket.rules, ticket.id)
            before = ledger.result(ticket.digest)
            if before is None or before.state in (State.FAILED, State.NOT_REACHED):
                ledger.record(failed(ticket.digest, str(repository), ticket.reason, ticket.tries))
            self._service.verdicts.forget()
