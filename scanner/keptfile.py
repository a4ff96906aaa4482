"""Files that are kept from one run to the next: whole or not there, and read only if nobody else can have written them.

One is written under a passing name beside its own, for the user alone, then put in its place, so that neither kill -9
nor a full disk nor another run leaves half of one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

#: what a passing name begins with; such a file belongs to nobody when its writer is dead
PASSING = ".writing-"


def opened(path: Path) -> BinaryIO:
    """A file of the user's own, to be read. Raises OSError, if somebody else could have written it too."""
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  (the caller closes it)
    status = os.fstat(file.fileno())
    writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or writable:
        file.close()
        raise PermissionError(errno.EPERM, "no file of the user's own", path)
    return file


def replace(path: Path, *parts: bytes) -> None:
    """Put a file of *parts* in the place of what is there. Raises OSError, and leaves nothing behind then."""
    with _written(path, parts) as passing:
        os.replace(passing, path)


def add(path: Path, *parts: bytes) -> None:
    """Put a file of *parts* there, unless one is: whoever is first counts. Raises OSError as `replace`."""
    with _written(path, parts) as passing:
        try:
            os.link(passing, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            os.rename(passing, path)


@contextlib.contextmanager
def _written(path: Path, parts: tuple[bytes, ...]) -> Iterator[Path]:
    """A file of *parts* under a passing name beside *path*, which is gone afterwards. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    passing = path.with_name(f"{PASSING}{secrets.token_hex(8)}")
    try:
        with open(os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.writelines(parts)
        yield passing
    finally:
        passing.unlink(missing_ok=True)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
