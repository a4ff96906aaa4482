"""Opens the store, with its schema brought up to date."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import URL, Connection, Engine, Table, TextClause, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError, SQLAlchemyError

from scanner.directories import state_directory
from scanner.errors import StoreError

#: an open store
Store = Engine
#: what its use may raise
DatabaseError = SQLAlchemyError
#: how long a server may be away
PATIENCE_SECONDS = 60.0
_BUSY_SECONDS, _AGAIN_SECONDS, _LOCKED_SECONDS = 60.0, 0.5, 0.05
_SCHEMA_LOCK = 0x6C736373
#: why a SQLite file cannot be used, by the low byte of SQLite's code
_SQLITE = {
    sqlite3.SQLITE_FULL: "its disk is full", sqlite3.SQLITE_READONLY: "it may not be written",
    sqlite3.SQLITE_BUSY: "another process holds it", sqlite3.SQLITE_IOERR: "its disk fails",
    sqlite3.SQLITE_CORRUPT: "it is damaged", sqlite3.SQLITE_NOTADB: "it is no SQLite file",
    sqlite3.SQLITE_CANTOPEN: "its file or directory may not be opened",
}  # fmt: skip
#: classes of PostgreSQL's codes whose messages say what the server lacks, and never what was to be written
_SERVER = ("25", "28", "3D", "53", "57", "58")
__all__ = [
    "PATIENCE_SECONDS", "ArgumentError", "DatabaseError", "Store", "conninfo_of", "default_url", "explained", "file_of",
    "open_store", "parse_url", "patient", "put", "reason_of", "text",
]  # fmt: skip


def default_url(environment: Mapping[str, str]) -> str:
    """LEAKSCAN_STORE, else a SQLite file in the state directory."""
    if given := environment.get("LEAKSCAN_STORE"):
        return given
    return f"sqlite:///{state_directory(environment) / 'audit.sqlite3'}"


def open_store(
    url: str, durable: bool = False, away: Callable[[], object] | None = None, make: bool = True
) -> Store:
    """The store at *url*, as SQLAlchemy writes it.

    Args:
        make: a SQLite file is made if it is not there, which is an error otherwise.
        durable: what is committed outlives a loss of power, too; a killed process loses no commit in any case.
        away: called once if the server does not answer, which then is waited for, a minute at the most; without it
            that is an error at once.

    Raises:
        StoreError: it cannot be opened, or a newer leakscan made it.
    """
    try:
        parsed = parse_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            if not make and not Path(parsed.database).exists():
                tip = "Name the one that audits write: --store, LEAKSCAN_STORE."
                raise StoreError("nothing was audited into that store: there is no such file", tip)
            _make_file(Path(parsed.database))
        engine = create_engine(parsed, pool_pre_ping=True)  # a server that was restarted is no error
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", functools.partial(_pragmas, durable))
        _bring_up_to_date(engine, away)
        return engine
    except (SQLAlchemyError, ArgumentError, ImportError, OSError) as error:
        what = f"the store {_shown(url)} cannot be opened: {reason_of(error)}"
        raise StoreError(what, "Check --store, or LEAKSCAN_STORE.") from None


def reason_of(error: BaseException) -> str:
    """Why a store cannot be used; nothing of what was to be written to it."""
    own = getattr(error, "orig", None)
    if isinstance(own, sqlite3.Error):
        code = getattr(own, "sqlite_errorcode", 0)
        return _SQLITE.get(code & 0xFF, type(own).__name__)  # the byte above tells more of the same
    _, refused, words = str(own).rpartition("FATAL:")  # of a server that does not let us in
    state = str(getattr(own, "sqlstate", None) or "")
    if state.startswith(_SERVER):
        words = str(own)
    if refused or state.startswith(_SERVER):
        return words.strip().partition("\n")[0]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ImportError):
        return f"there is no {error.name}"
    return "that is no URL of a store" if isinstance(error, ArgumentError) else type(own or error).__name__


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Errors of the database as StoreError."""
    try:
        yield
    except SQLAlchemyError as error:
        tip = "Look at its disk and its server; then run the audit again: it goes on."
        raise StoreError(f"the store cannot be used: {reason_of(error)}", tip) from None


def _bring_up_to_date(engine: Engine, away: Callable[[], object] | None) -> None:
    """Connect for the first time, and make what tables there are not; waits for what passes."""
    until = time.monotonic() + PATIENCE_SECONDS
    told = False
    answers = False  # what refuses while it answers is no server that comes back
    while True:
        try:
            with engine.begin() as connection:
                _wait_for_others(connection)
                _migrate(connection)
            return
        except OperationalError as error:
            waits = away is not None and engine.dialect.name == "postgresql"
            gone = waits and _is_away(engine.url)
            if time.monotonic() > until or not (gone or (waits and not answers) or _is_locked(error)):
                raise
            answers = not gone  # it may have come back since it was asked
            if away is not None and gone and not told:
                away()
                told = True
        time.sleep(_AGAIN_SECONDS if gone else _LOCKED_SECONDS)


def _is_locked(error: OperationalError) -> bool:
    """Whether another process is making the same SQLite file a store: of two that change its journal at a time one is
    refused without a wait, whatever busy_timeout says."""
    code = getattr(error.orig, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_BUSY  # the byte above tells what was busy


def _is_away(url: URL) -> bool:
    """Whether a PostgreSQL does not answer, or not yet; one that refuses a login or a database answers."""
    from psycopg.pq import PGconn, Ping

    return PGconn.ping(conninfo_of(url).encode()) in (Ping.NO_RESPONSE, Ping.REJECT)


def parse_url(url: str) -> URL:
    """A URL with the driver that the extra `cluster` brings, if it is PostgreSQL's. Raises ArgumentError."""
    try:
        parsed = make_url(url)
    except ValueError:  # a port that is no number
        raise ArgumentError("no URL") from None
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


def conninfo_of(url: URL) -> str:
    """The URL of a PostgreSQL as its own tools take it, with the password."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _shown(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "that --store or LEAKSCAN_STORE names"


def _make_file(path: Path) -> None:
    """An empty file that only its owner may read, unless it is there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _pragmas(durable: bool, connection: Any, _record: Any) -> None:
    """A killed process loses no commit; readers do not wait for the writer."""
    synchronous = f"synchronous={'FULL' if durable else 'NORMAL'}"
    for pragma in ("journal_mode=WAL", synchronous, f"busy_timeout={int(_BUSY_SECONDS * 1000)}"):
        connection.execute(f"PRAGMA {pragma}")


def _wait_for_others(connection: Connection) -> None:
    """One process makes the tables; those that start with it wait until it has."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
    else:
        connection.exec_driver_sql("begin immediate")


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "scanner:store/migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise StoreError("a newer leakscan made this store", "Use that version, or another LEAKSCAN_STORE.") from None


_Self = TypeVar("_Self", bound="HasStore")
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class HasStore(Protocol):
    """Something that works on a store."""

    _engine: Store


def patient(
    method: Callable[Concatenate[_Self, _Given], _Result],
) -> Callable[Concatenate[_Self, _Given], _Result]:
    """A method that is one transaction, done again for a minute while its server is away: a restart is no error."""

    @functools.wraps(method)
    def again(self: _Self, /, *args: _Given.args, **named: _Given.kwargs) -> _Result:
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return method(self, *args, **named)
            except (OperationalError, InterfaceError):
                if self._engine.dialect.name != "postgresql" or time.monotonic() > until:
                    raise
                time.sleep(_AGAIN_SECONDS)

    return again


def put(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    update: Sequence[str] = (),
    keys: Sequence[str] = (),
    where: TextClause | None = None,
) -> None:
    """Insert rows; of one whose key (*keys*, by default the primary key) is there *update* columns are replaced.

    *where* is the condition of a unique index that has one.
    """
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    statement = insert(table)
    keys = list(keys) or [column.name for column in table.primary_key]
    if update:
        statement = statement.on_conflict_do_update(
            index_elements=keys, set_={name: statement.excluded[name] for name in update}
        )
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys, index_where=where)
    connection.execute(statement, [dict(row) for row in rows])


def file_of(engine: Store) -> Path | None:
    """The file of a store, None if it is on a server or in memory."""
    name = engine.url.database if engine.dialect.name == "sqlite" else None
    return Path(name) if name else None
