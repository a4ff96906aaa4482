"""Debian's PostgreSQL for tests: a cluster of its own on a socket in a folder, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.engine import STOP_SECONDS, Unavailable, home_of, started, wait_until


@dataclass
class Postgres:
    """A running server. *url* is as SQLAlchemy writes it."""

    home: Path
    bin: Path
    prefix: tuple[str, ...]
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"postgresql://postgres@/postgres?host={self.home}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = ("-c", "listen_addresses=", "-c", "fsync=off", "-k", str(self.home), "-D", str(self.home / "data"))
        process = self._running.enter_context(started([*self.prefix, str(self.bin / "postgres"), *options], self.home))
        ready = (str(self.bin / "pg_isready"), "--quiet", "--host", str(self.home))
        wait_until(lambda: subprocess.run(ready).returncode == 0, process, self.home)

    def stop(self) -> None:
        """Stop the server at once, as a crash does; whatever it was doing is undone when it starts again."""
        control = (str(self.bin / "pg_ctl"), "stop", "-m", "immediate", "-D", str(self.home / "data"))
        subprocess.run([*self.prefix, *control], stdout=subprocess.DEVNULL, timeout=STOP_SECONDS)
        self._running.close()


@contextlib.contextmanager
def own_postgres() -> Iterator[Postgres]:
    """A server with an empty database. Raises Unavailable with the reason."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        raise Unavailable("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with home_of("postgres") as home:
        prefix: tuple[str, ...] = ()
        if os.geteuid() == 0:  # the server refuses to run as root
            user = pwd.getpwnam("postgres")
            os.chown(home, user.pw_uid, user.pw_gid)
            prefix = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        server = Postgres(home, folders[-1], prefix)
        options = ("--username=postgres", "--auth=trust", "--no-sync", str(home / "data"))
        made = subprocess.run([*prefix, str(folders[-1] / "initdb"), *options], capture_output=True, text=True)
        if made.returncode:
            raise Unavailable(f"no PostgreSQL cluster can be made: {made.stderr}")
        server.start()
        try:
            yield server
        finally:
            server.stop()
