"""Wall time, processor time and peak memory of a command with all its children.

Memory is RssAnon + RssShmem summed over the process tree: maps of files, which the kernel can drop, do not count.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """What one run of a command took: seconds, seconds, MiB, and its exit code."""

    wall: float
    cpu: float
    memory: int
    code: int


def _tree_kib(pid: int) -> int:
    total, todo, seen = 0, [pid], set[int]()
    while todo:
        process = todo.pop()
        if process in seen:  # it changed its parent while this was read: once is enough
            continue
        seen.add(process)
        try:
            with open(f"/proc/{process}/status") as file:
                total += sum(map(int, re.findall(r"(?:RssAnon|RssShmem):\s+(\d+)", file.read())))
            for task in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{task}/children") as file:
                    todo += map(int, file.read().split())
        except OSError:
            continue  # it has ended meanwhile
    return total


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Measure:
    """Run *command* with its output thrown away."""
    peak, done = 0, threading.Event()

    def sample(pid: int) -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, _tree_kib(pid))

    start = time.monotonic()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    sampler = threading.Thread(target=sample, args=(process.pid,))
    sampler.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    done.set()
    sampler.join()
    return Measure(wall, usage.ru_utime + usage.ru_stime, peak >> 10, process.returncode)
