"""Puts a service together from a store, rules and settings, and takes it apart."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scanner import detection
from scanner.audit.run import rule_set
from scanner.limits import Limits
from scanner.secrecy.keys import installation_key
from scanner.secrecy.seal import Seal
from scanner.serve.logins import Safe
from scanner.serve.queue import Queue
from scanner.serve.registries import Registries
from scanner.serve.rounds import Rounds
from scanner.serve.scans import Scans
from scanner.serve.service import Service
from scanner.serve.settings import ServeSettings
from scanner.serve.verdicts import Verdicts
from scanner.serve.words import Policy
from scanner.store.damage import held, set_aside_if_damaged, sqlite_file
from scanner.store.database import open_store

LOG = logging.getLogger("leakscan.serve")


@dataclass(frozen=True, slots=True)
class Assembled:
    """A service, and what has its images scanned."""

    service: Service
    scans: Scans


@contextlib.contextmanager
def assembled(
    url: str, settings: ServeSettings, policy: Policy, away: Callable[[], object] | None = None
) -> Iterator[Assembled]:
    """A service on the store at *url*; its scans are begun, and are given back at the end.

    *away* is called once if the store's server does not answer, which then is waited for, a minute at the most.

    Raises:
        StoreError: the store cannot be used, or another process serves from it.
        LeakscanError: rules, limits or the key cannot be read.
    """
    limits, key = Limits.from_environment(os.environ), installation_key(os.environ)
    file = sqlite_file(url)
    with contextlib.ExitStack() as stack:
        if file is not None:
            stack.enter_context(held(file))
            if (aside := set_aside_if_damaged(file)) is not None:
                LOG.error("the store was damaged: it is %s now, and every image is unknown until it is scanned", aside)
        rules = rule_set(detection.load(os.environ), None, limits)
        store = open_store(url, durable=True, away=away)
        stack.callback(store.dispose)
        queue = Queue(store, rules, settings)
        if file is not None:  # nobody else is at work, so nothing need wait for a lease to end
            queue.free()
            queue.adopt(0.0)
        verdicts = Verdicts(store, rules, settings)
        service = Service(store, verdicts, queue, policy, settings, Registries(settings, limits), Safe(key))
        stack.callback(service.pools.close)
        scans = Scans(service, url, Seal(key).identity, limits)
        scans.start()
        stack.callback(scans.stop)
        rounds = Rounds(service, limits)
        rounds.start()
        stack.callback(rounds.stop)
        yield Assembled(service, scans)
