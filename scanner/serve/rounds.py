"""Audits from time to time: every named registry is listed, and what no webhook told of goes into the queue.

Webhooks get lost: registries keep them in memory, or give up on them. What is asked for here comes last in the queue,
and a few at a time, so that it keeps nobody waiting and fills no disk.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace

from scanner.audit.listing import Item, listed
from scanner.audit.targets import Filters, Target
from scanner.errors import LeakscanError
from scanner.image.registry.client import Client
from scanner.image.registry.names import registry_of
from scanner.image.registry.settings import from_environment
from scanner.limits import Limits
from scanner.serve.queue import QueueFull
from scanner.serve.service import Service
from scanner.serve.words import Priority
from scanner.store.database import DatabaseError, reason_of
from scanner.store.ledger import Ledger

LOG = logging.getLogger("leakscan.serve")
#: Of an audit, so many scans wait at a time.
WINDOW = 200
_LOOK_SECONDS = 2.0


class _Stopped(Exception):
    """The service ends."""


class Rounds:
    """A thread that audits all named registries each `audit_seconds`, the first time at once; none if that is 0."""

    def __init__(self, service: Service, limits: Limits) -> None:
        self._service, self._limits = service, limits
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audits", daemon=True)

    def start(self) -> None:
        """Begin. Comes back at once."""
        if self._service.settings.audit_seconds > 0:
            self._thread.start()

    def stop(self) -> None:
        """End soon. A registry that does not answer is not waited for: nothing is lost with the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_LOOK_SECONDS)

    def _run(self) -> None:
        while True:
            for host in sorted(self._service.settings.registries):
                try:
                    self.audit(host)
                except _Stopped:
                    return
                except LeakscanError as error:
                    self._failed(host, error.what)
                except DatabaseError as error:
                    self._failed(host, f"the store failed: {reason_of(error)}")
                except Exception as error:  # it must cost one audit, never all that would follow
                    self._failed(host, f"a fault of leakscan itself ({type(error).__name__})")
            if self._stop.wait(self._service.settings.audit_seconds):
                return

    def _failed(self, host: str, reason: str) -> None:
        self._service.counters.add("leakscan_audits_total", result="failed")
        LOG.warning("the audit of %s failed: %s", host, reason)

    def audit(self, host: str) -> None:
        """List a registry: note what its tags point to now, and ask for what is not known. Raises as its parts do."""
        service = self._service
        registry = registry_of(host.lower())
        client = Client.connect(registry, from_environment(os.environ), self._limits, os.environ)
        ledger = Ledger(service.store, registry.host, service.verdicts.rule_set, "")
        failures: list[str] = []
        try:
            for found in listed(client, Target(registry), Filters(), self._tell):
                if found.repository:
                    tags = [(item.tag, item.digest) for item in found.items
                            if item.tag and item.digest and not item.subject]  # fmt: skip
                    ledger.point(found.repository, tags, found.present if found.whole else None)
                for item in found.items:
                    failures += [item.reason] if item.reason else []
                    if item.digest and self._new(item):
                        self._ask(item, registry.host)
        finally:
            client.close()
        if failures:
            LOG.warning("the audit of %s could not list all of it (%d failures, first: %s)", host, len(failures),
                        failures[0])  # fmt: skip
        service.counters.add("leakscan_audits_total", result="incomplete" if failures else "done")

    def _tell(self, _number: int) -> None:
        if self._stop.is_set():
            raise _Stopped

    def _new(self, item: Item) -> bool:
        """Whether a scan would tell more: of an image that has no verdict, or of one without what refers to it."""
        if item.subject:
            return self._service.verdicts.of(item.subject).lacks(item.digest)
        return self._service.verdicts.of(item.digest).due

    def _ask(self, item: Item, host: str) -> None:
        """Ask for a scan as soon as there is room."""
        service, digest = self._service, item.subject or item.digest
        reference = replace(item, digest="").reference(host) if item.tag else f"{host}/{item.repository}"
        while True:
            self._tell(0)
            waiting = sum(number for (priority, _), (number, _since) in service.queue.depth().items()
                          if priority == Priority.AUDIT)  # fmt: skip
            if waiting < WINDOW:
                try:
                    service.queue.ask(f"{reference}@{digest}", digest, Priority.AUDIT, "audit")
                except QueueFull:
                    pass
                else:
                    return
            self._stop.wait(_LOOK_SECONDS)
