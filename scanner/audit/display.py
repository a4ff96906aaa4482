"""Shows on standard error how far an audit is: images, what was found, rate, time left. Draws when told something."""

from __future__ import annotations

import time
from typing import TextIO

from scanner.audit.run import Display, Entry
from scanner.store.ledger import State

_INTERVAL = 0.2


class Line(Display):
    """One line that is written over and over, on a terminal."""

    def __init__(self, stream: TextIO, interval: float = _INTERVAL) -> None:
        self._stream, self._interval = stream, interval
        self._started = self._drawn = time.monotonic()
        self._waits = False
        self._listed = self._done = self._read = self._failed = self._leaking = 0

    def listed(self, number: int) -> None:
        """*number* more images were found."""
        self._listed += number
        self._draw(f"{self._listed} images listed")

    def waiting(self, done: int, total: int, leaks: int) -> None:
        """Workers have read *done* of *total* images, of which *leaks* leak."""
        if not self._waits:
            self._started, self._waits = time.monotonic(), True
        self._draw(f"{done} of {total} images read by workers, {leaks} leak, {self._pace(done, total)}")

    def done(self, entry: Entry, total: int) -> None:
        """One of *total* images is done."""
        if not self._done:
            self._started = time.monotonic()
        self._done += 1
        self._read += not entry.known
        self._failed += entry.state is State.FAILED
        self._leaking += entry.leaks > 0
        counts = f"{self._leaking} leak, {self._read} read, {self._failed} failed"
        self._draw(f"{self._done} of {total} images, {counts}, {self._pace(self._done, total)}")

    def _pace(self, done: int, total: int) -> str:
        """The rate since the first image, and the time left if it stays."""
        rate = done / max(time.monotonic() - self._started, 0.001)
        if not done:
            return f"{rate:.1f}/s"
        left = int((total - done) / rate)
        return f"{rate:.1f}/s, {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"

    def clear(self) -> None:
        """Leave nothing behind."""
        self._stream.write("\r\x1b[K")
        self._stream.flush()

    def _draw(self, text: str) -> None:
        if time.monotonic() - self._drawn >= self._interval:
            self._drawn = time.monotonic()
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()
