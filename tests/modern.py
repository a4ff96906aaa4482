"""A newer Docker Engine than Debian stable's, out of a root folder of its own, for what older BuildKits cannot do.

Debian 12's engine knows neither secrets that set variables nor heredocs nor ADD of repositories. The engine here comes
from Debian's unstable by debootstrap, runs in that root with private mounts, and leaves nothing of itself behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testimages.bases import cache_folder, write_atomically
from tests.engine import Docker, Unavailable, client_program, home_of, memory_of, needed, started, wait_until

SUITE = "sid"
PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "iptables", "ca-certificates", "git")
LEFT_OUT = ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/lib/apt/lists", "var/cache", "var/log")
#: Mounts of the engine's own, then the engine in its root. $1 is the root, $2 the folder for data and socket, $3
#: whether images are kept as containerd keeps them, which buildx wants before it exports images and caches.
START = """
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mkdir -p "$1/w" "$1/etc/docker" "$1/var/lib/docker" "$1/tmp" "$1/var/log" "$1/var/cache" "$2/data"
mount --bind "$2" "$1/w"
mount --bind "$2/data" "$1/var/lib/docker"
printf '{"features":{"containerd-snapshotter":%s}}' "$3" > "$1/etc/docker/daemon.json"
exec chroot "$1" /usr/sbin/dockerd --host=unix:///w/docker.sock --data-root=/var/lib/docker --exec-root=/w/exec \
    --pidfile=/w/pid --bridge=none --iptables=false --ip6tables=false
"""


@dataclass(frozen=True, slots=True)
class Modern:
    """A newer engine that runs.

    Attributes:
        docker: this machine's own, older client of it.
        own: the client of the engine's root, which has buildx. It sees files of the engine's root only.
        folder: a folder that it knows as /w.
    """

    docker: Docker
    own: Docker
    folder: Path


@contextlib.contextmanager
def own_modern_engine(containerd: bool = False) -> Iterator[Modern]:
    """That engine, gone afterwards with all its data. Raises Unavailable with the reason."""
    if os.geteuid() != 0:
        raise Unavailable("only root can start a Docker Engine")
    client, unshare, nsenter = client_program(), needed("unshare", "util-linux"), needed("nsenter", "util-linux")
    archive = root_archive()
    with home_of("modern") as home:
        memory = memory_of(home)
        root, state = memory / "root", memory / "state"
        root.mkdir()
        state.mkdir()
        subprocess.run(["tar", "-C", root, "-xf", archive], check=True)
        command = [unshare, "--mount", "--propagation", "private", "sh", "-c", START, "sh", str(root), str(state),
                   "true" if containerd else "false"]  # fmt: skip
        docker = Docker(client, f"unix://{state}/docker.sock")
        with started(command, home) as process:
            wait_until(docker.answers, process, home)
            within = home / "docker"
            inner = "env DOCKER_HOST=unix:///w/docker.sock HOME=/w docker"
            enter = f"{nsenter} --target {process.pid} --mount chroot {root} {inner}"
            within.write_text(f'#!/bin/sh\nexec {enter} "$@"\n')
            within.chmod(0o755)
            yield Modern(docker, Docker(str(within), docker.host), state)


def root_archive() -> Path:
    """A tar of the engine's root, made by debootstrap once and then kept. Raises Unavailable with the reason."""
    recipe = repr((SUITE, PACKAGES, LEFT_OUT))
    target = cache_folder() / f"engine-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.tar"
    if not target.exists():
        program = needed("debootstrap", "debootstrap")
        with tempfile.TemporaryDirectory(prefix="leakscan-root-") as work:
            root, archive = Path(work) / "root", Path(work) / "root.tar"
            command = [program, "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root)]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode:
                raise Unavailable(f"debootstrap failed: {done.stdout[-2000:].decode('utf-8', 'replace')}")
            left_out = [f"--exclude=./{place}/*" for place in LEFT_OUT]
            subprocess.run(["tar", "-C", root, *left_out, "-cf", archive, "."], check=True)
            write_atomically(target, archive)
            shutil.rmtree(root)
    return target
