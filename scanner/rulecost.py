"""What rules cost the first pass, measured: the size of their database, their time and how often they fire."""

from __future__ import annotations

import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scanner.detect.base import Trigger
from scanner.detect.firstpass import compile_database, fired

BLOCK = 1 << 20
#: the best of so many runs counts, in processor time: the rest is the machine's doing
_RUNS = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one rule or a set of them.

    Attributes:
        database: bytes of the compiled database.
        seconds: of processor time, of one pass over the sample, alone in its database.
        fired: how often a trigger fired in the sample.
        sample: bytes of the sample.
    """

    database: int
    seconds: float
    fired: int
    sample: int

    @property
    def speed(self) -> float:
        """Megabytes in a second."""
        return self.sample / 1e6 / max(self.seconds, 1e-9)

    @property
    def hits(self) -> float:
        """How often it fires in a megabyte."""
        return self.fired / max(self.sample / 1e6, 1e-9)


def measure(triggers: Sequence[Trigger], contents: Sequence[bytes]) -> Cost:
    """The cost of *triggers* on *contents*. Raises RulePackError if the first pass refuses one."""
    database = compile_database(triggers)
    best, count = float("inf"), 0
    for _ in range(_RUNS):
        started = time.thread_time()
        count = fired(database, contents)
        best = min(best, time.thread_time() - started)
    return Cost(len(database), best, count, sum(map(len, contents)))


def stock() -> list[bytes]:
    """A sample that every machine has: Python's own library, sources and compiled, and the interpreter."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [Path(sys.executable).resolve(), *sorted(root.glob("*.py")), *sorted(root.glob("*/*.py")),
             *sorted(root.glob("lib-dynload/*.so"))]  # fmt: skip
    return list(blocks(files, 8 * BLOCK, share=2 * BLOCK))


def blocks(files: Sequence[Path], limit: int, share: int) -> Iterator[bytes]:
    """The beginnings of files, none more than *share* bytes, until *limit*."""
    left = limit
    for path in files:
        if left <= 0:
            return
        try:
            with open(path, "rb") as file:
                content = file.read(min(left, share))
        except OSError:
            continue
        left -= len(content)
        if content:
            yield content
