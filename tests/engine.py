"""A real Docker Engine and a real registry for tests: started, waited for, stopped and cleaned up.

An engine here shares nothing with one that already runs: own socket, data, pid file and network setting.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

START_SECONDS = 60.0
STOP_SECONDS = 30.0
BUILD_SECONDS = 900.0
DATA_BYTES = 8 << 30
#: where `.ci/engine` unpacks an engine of a later series than the distribution's
NEWER = Path("/opt/leakscan-engine")


class Unavailable(Exception):
    """This machine cannot start the service; the text says what is missing."""


class CommandFailed(Exception):
    """A tool of the harness failed; the text holds what it said."""


@dataclass(frozen=True, slots=True)
class Docker:
    """The docker client of one engine.

    Attributes:
        program: a client that builds with this engine.
        host: a DOCKER_HOST value, empty for the client's own default.
    """

    program: str
    host: str

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a process that is to talk to this engine and to no other."""
        kept = {name: value for name, value in os.environ.items() if name not in ("DOCKER_CONTEXT", "DOCKER_BUILDKIT")}
        return kept | ({"DOCKER_HOST": self.host} if self.host else {}) | dict(extra or {})

    def run(self, *args: str, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> str:
        """What `docker ARGS` prints on stdout and stderr together. Raises CommandFailed with that text."""
        done = subprocess.run(
            [self.program, *args],
            env=self.environment(env),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=BUILD_SECONDS,
        )
        text = done.stdout.decode("utf-8", "replace")
        if done.returncode:
            raise CommandFailed(f"docker {' '.join(args)}: exit {done.returncode}\n{text}")
        return text

    def answers(self) -> bool:
        """Whether the engine answers at all."""
        try:
            self.run("version")
        except (CommandFailed, OSError, subprocess.TimeoutExpired):
            return False
        return True


def client_program() -> str:
    """The docker client to use: the distribution's before another one in PATH.

    A client of a later series than the engine may need a build component that is not installed beside it.
    """
    for candidate in ("/usr/bin/docker", shutil.which("docker")):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    raise Unavailable("no docker client is installed (Debian: apt-get install docker.io)")


def needed(program: str, package: str) -> str:
    """The path of a program, system folders included. Raises Unavailable naming its package."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not found:
        raise Unavailable(f"{program} is not installed (Debian: apt-get install {package})")
    return found


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def own_engine() -> Iterator[Docker]:
    """A Docker Engine of one's own, gone afterwards with all its data. Raises Unavailable with the reason."""
    with _engine(needed("dockerd", "docker.io"), {}) as docker:
        yield docker


@contextlib.contextmanager
def newer_engine(containerd: bool) -> Iterator[Docker]:
    """The same of a later series, with images in containerd's store or in a graph driver's.

    It is used for loading and saving: its programs lie beside the system's, whose runc and network tools it has.
    """
    daemon = NEWER / "usr/sbin/dockerd"
    if not daemon.exists():
        raise Unavailable(f"{daemon} is not there (.ci/engine unpacks it)")
    path = f"{NEWER}/usr/bin:{NEWER}/usr/sbin:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    with _engine(str(daemon), {"features": {"containerd-snapshotter": containerd}}, PATH=path) as docker:
        yield docker


@contextlib.contextmanager
def _engine(daemon: str, settings: Mapping[str, object], **environment: str) -> Iterator[Docker]:
    if os.geteuid() != 0:
        raise Unavailable("only root can start a Docker Engine")
    client = client_program()
    with home_of("engine") as home:
        (home / "daemon.json").write_text(json.dumps(settings), encoding="utf-8")
        command = [
            daemon,
            f"--config-file={home}/daemon.json",
            f"--host=unix://{home}/docker.sock",
            f"--data-root={memory_of(home)}",
            f"--exec-root={home}/exec",
            f"--pidfile={home}/pid",
            "--bridge=none",  # no bridge and no packet rules of its own: builds use `--network host`
            "--iptables=false",
        ]
        docker = Docker(client, f"unix://{home}/docker.sock")
        with started(command, home, environment) as process:
            wait_until(docker.answers, process, home)
            yield docker


@contextlib.contextmanager
def started(
    command: Sequence[str], home: Path, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    """A background process that logs to *home*/log; it is ended politely, then firmly.

    Should the tests be killed, the kernel ends it too (setpriv), and it shares the lock of *home* until it is gone.
    """
    setpriv = shutil.which("setpriv")
    prefix = (setpriv, "--pdeathsig", "TERM") if setpriv else ()
    with open(home / "log", "wb") as out, open(home / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        process = subprocess.Popen(
            [*prefix, *command],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def home_of(kind: str) -> Iterator[Path]:
    """A folder for a service's files, gone afterwards; folders whose tests and services were killed go first.

    It is locked from its first moment to its last: a test may stop its service and start it again, while other
    processes of the suite look for what was left behind.
    """
    for left in Path(tempfile.gettempdir()).glob(f"leakscan-{kind}-*"):
        remove_abandoned(left)
    home = Path(tempfile.mkdtemp(prefix=f"leakscan-{kind}-"))  # short: a socket's path has 108 bytes at most
    with open(home / "lock.new", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        (home / "lock.new").rename(home / "lock")  # whoever sees the lock sees it held
        try:
            yield home
        finally:
            remove(home)


def memory_of(home: Path) -> Path:
    """A folder in memory, for images: on a disk it takes longer to remove them than to build them.

    It is below the home, not the home itself: a lock under a mounted file system would be out of sight.
    Raises Unavailable.
    """
    place = home / "memory"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DATA_BYTES}", home.name, str(place)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
        raise Unavailable("no file system can be mounted here, so no Docker Engine can run")
    return place


def remove_abandoned(home: Path) -> None:
    """Remove a service's folder if neither a test nor a service holds its lock any more."""
    with contextlib.suppress(OSError), open(home / "lock", "rb") as lock:  # held, not there yet, or just removed
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(home)


def remove(home: Path) -> None:
    """Remove a service's folder with whatever a daemon left mounted below it, the innermost first."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    places = [line.split(" ")[1].encode().decode("unicode_escape") for line in lines]
    for place in sorted((place for place in places if f"{place}/".startswith(f"{home}/")), reverse=True):
        subprocess.run(["umount", "--lazy", place], check=True)
    shutil.rmtree(home)


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], home: Path) -> None:
    """Wait until *ready()* is true. Raises Unavailable with the end of the log if that never happens."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.1)
    log = (home / "log").read_bytes()[-2000:].decode("utf-8", "replace")
    raise Unavailable(f"a service did not start, its last words: {log}")


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry on loopback that asks for a user and a password.

    Attributes:
        address: host:port, the first part of an image name.
        config_folder: a DOCKER_CONFIG folder that holds the credentials.
    """

    address: str
    user: str
    password: str
    config_folder: Path


@contextlib.contextmanager
def own_registry(docker: Docker, user: str, password: str) -> Iterator[Registry]:
    """Debian's docker-registry with a password file of its own. Raises Unavailable with the reason."""
    program = needed("docker-registry", "docker-registry")
    htpasswd = needed("htpasswd", "apache2-utils")
    address = f"127.0.0.1:{free_port()}"
    with home_of("registry") as home:
        hashed = subprocess.run([htpasswd, "-niB", user], input=password.encode(), stdout=subprocess.PIPE, check=True)
        (home / "htpasswd").write_bytes(hashed.stdout)
        (home / "config.yml").write_text(registry_settings(home, address), encoding="utf-8")
        with started([program, "serve", str(home / "config.yml")], home) as process:
            wait_until(lambda: listens(address), process, home)
            config = home / "docker-config"
            login = ("--config", str(config), "login", "--username", user, "--password-stdin", address)
            docker.run(*login, stdin=password.encode())
            yield Registry(address, user, password, config)


def registry_settings(home: Path, address: str) -> str:
    """The registry's settings file: storage and passwords below *home*, nothing shared with another one."""
    return "\n".join(
        (
            "version: 0.1",
            f"storage: {{filesystem: {{rootdirectory: {home}/storage}}, delete: {{enabled: true}}}}",
            f"http: {{addr: '{address}'}}",
            f"auth: {{htpasswd: {{realm: tests, path: {home}/htpasswd}}}}",
            "",
        )
    )


def listens(address: str) -> bool:
    """Whether somebody accepts connections at host:port."""
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
