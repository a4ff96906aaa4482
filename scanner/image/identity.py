"""What tells that a file has not changed since it was read: device, inode, size and both times to the nanosecond.

The kernel sets the second time (ctime) itself on every change of a file's bytes, and no program can set it back. What
it cannot tell are two changes in one tick of its clock: a file that changed just before it was looked at has no
identity yet.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from scanner.image.blob import BlobFile

_TICK, _COARSE_TICK = 20_000_000, 2_000_000_000  # nanoseconds; Linux takes 10 ms at most, FAT two seconds
_FILES = 10_000  # of a directory


def of_path(path: Path) -> str | None:
    """The identity of an archive, or of everything in a directory; None if it has none that can be relied on."""
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            return _of(status, time.time_ns())
        if not stat.S_ISDIR(status.st_mode):
            return None
        parts: list[str] = []
        now = time.time_ns()
        for folder, _, names, fd in os.fwalk(path, onerror=_raised, follow_symlinks=False):
            inside = [(folder, os.fstat(fd)), *((f"{folder}/{name}", os.stat(name, dir_fd=fd, follow_symlinks=False))
                                                for name in names)]  # fmt: skip
            for name, each in inside:
                known = _of(each, now)
                if known is None or len(parts) >= _FILES:
                    return None
                parts.append(f"{name!r} {each.st_mode} {known}")
        return "\n".join(sorted(parts))
    except OSError:
        return None


def of_file(file: BlobFile) -> str | None:
    """The identity of an open file; None if it has none that can be relied on, or no name any more.

    Raises OSError if it is gone.
    """
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode) or status.st_nlink == 0:
        return None
    return _of(status, time.time_ns())


def _raised(error: OSError) -> None:
    raise error


def _of(status: os.stat_result, now: int) -> str | None:
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    tick = _TICK if status.st_ctime_ns % 1_000_000 else _COARSE_TICK
    if now - changed <= tick:
        return None
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
