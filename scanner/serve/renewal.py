"""A certificate that was renewed is shown from the next connection on: whoever renews it restarts nobody."""

from __future__ import annotations

import logging
import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path

LOG = logging.getLogger("leakscan.serve")


class Renewal:
    """Looks after the certificate of a context. Called now and then by the thread that uses the context, as OpenSSL
    lets no other one change it."""

    def __init__(
        self, context: ssl.SSLContext, certificate: Path, key: Path, every: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._context, self._files = context, (certificate, key)
        self._every, self._clock = every, clock
        self._stamp, self._looked = self._stamped(), clock()

    def __call__(self) -> None:
        """Take the new certificate if there is one; one that cannot be used leaves the old one, and is said once."""
        if self._clock() - self._looked < self._every:
            return
        self._looked = self._clock()
        stamp = self._stamped()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            # a certificate whose key is not its own would stay in the context: it is tried in another one first
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
            self._context.load_cert_chain(*self._files)
        except OSError:
            LOG.error("the certificate was changed and cannot be used; the old one goes on")
        else:
            LOG.warning("the certificate was renewed")

    def _stamped(self) -> tuple[tuple[int, int, int] | None, ...]:
        """What changes with the files; also where they are links to others, as volumes of Kubernetes have them."""
        found: list[tuple[int, int, int] | None] = []
        for file in self._files:
            try:
                told = os.stat(file)
            except OSError:
                found.append(None)
            else:
                found.append((told.st_ino, told.st_mtime_ns, told.st_size))
        return tuple(found)
