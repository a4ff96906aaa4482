"""What a worker process may not do: outgrow its memory, dump core, write endless files, outlive its parent."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
from collections.abc import Iterator

from scanner.limits import MIB, Limits

# malloc.h: what is larger is a map of its own; what may stay free at the end of the heap
_M_MMAP_THRESHOLD, _LARGE_BUFFER = -3, MIB
_M_TRIM_THRESHOLD, _SPARE = -1, 8 * MIB
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # linux/prctl.h


def isolate(limits: Limits, parent: int) -> None:
    """Apply the limits to this process. *parent* is the coordinator's pid.

    RLIMIT_DATA and not RLIMIT_AS, which would count the maps of layers.
    """
    gc.disable()  # short-lived values without cycles: looking for garbage among them costs a fifth of the time
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides how a Ctrl-C ends
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for what, value in (
        (resource.RLIMIT_DATA, limits.worker_bytes),
        (resource.RLIMIT_FSIZE, limits.layer_bytes),
    ):
        _, hard = resource.getrlimit(what)
        with contextlib.suppress(OSError, ValueError):
            wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(what, (wanted, wanted))
    _give_back()
    die_with(parent)
    no_core()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep Ctrl-C away from this thread, and from a process that is forked meanwhile, which keeps it away for good.

    Python runs code of its own around a fork: a Ctrl-C there is lost, or ends the new process with a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _give_back() -> None:
    """Have large buffers leave this process when they are freed.

    glibc keeps ever larger ones in its heap once it has seen them freed, up to 32 MiB, between small values that pin
    them there (mallopt(3), "dynamic mmap threshold"). Other libraries have no such call.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BUFFER)
            library.mallopt(_M_TRIM_THRESHOLD, _SPARE)


def no_core() -> None:
    """Leave no memory behind: a core dump would hold what was found.

    Where the kernel pipes cores to a program RLIMIT_CORE does not count, so the process is made undumpable as well.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with(parent: int) -> None:
    """Have the kernel end this process when its *parent* (a pid) ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
