"""A SQLite store that is damaged is set aside, and one process at a time serves from it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from scanner.errors import StoreError
from scanner.store.database import ArgumentError, parse_url

_BESIDE = ("", "-wal", "-shm")


def sqlite_file(url: str) -> Path | None:
    """The file that a URL names, None if it names a server. Raises StoreError."""
    try:
        parsed = parse_url(url)
    except ArgumentError:
        raise StoreError("that store cannot be opened", "Check --store, or LEAKSCAN_STORE.") from None
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def set_aside_if_damaged(file: Path) -> Path | None:
    """Look through a store; give it another name if it is damaged, and return that name. None if it is sound.

    Raises StoreError if it cannot be read or renamed.
    """
    if not os.path.exists(file) or not file.stat().st_size:
        return None
    try:
        connection = sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=60.0)
        with contextlib.closing(connection):
            if connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",):
                return None
    except sqlite3.OperationalError as error:  # no right to read it, or it is held: not what can be set aside
        if error.sqlite_errorcode not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            what = f"the store {file} cannot be read: {error.sqlite_errorname}"
            raise StoreError(what, "Look at its disk.") from None
    except sqlite3.DatabaseError:
        pass
    aside = file.with_name(f"{file.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    try:
        for end in _BESIDE:
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{file}{end}", f"{aside}{end}")
    except OSError as error:
        raise StoreError(f"the damaged store {file} cannot be set aside: {error.strerror}", "Move it away.") from None
    return aside


@contextlib.contextmanager
def held(file: Path) -> Iterator[None]:
    """While this lasts no other process serves from that store. Raises StoreError if one does, or if none can."""
    path = file.with_name(f"{file.name}.serve")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        what = f"nothing can be written beside the store {file}: {error.strerror}"
        raise StoreError(what, "Check --store, or LEAKSCAN_STORE.") from None
    with open(descriptor, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            tip = "Several need a store on PostgreSQL: --store postgresql://USER@HOST/DATABASE."
            raise StoreError(f"another leakscan serves from {file}", tip) from None
        yield
