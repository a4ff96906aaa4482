"""The base images of the cases, made of Debian packages: nothing is pulled."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.engine import CommandFailed, Docker, Unavailable, needed

PREFIX = "leakscan-base"
SUITE = "bookworm"
PIPENV_PACKAGES = ("python3", "pipenv", "ca-certificates")
PYTHON_PACKAGES = ("python3", "python3-venv", "ca-certificates")
LEFT_OUT = ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/lib/apt/lists", "var/cache", "var/log")
FOLDERS = ("bin", "etc", "root", "tmp", "opt")


def ensure_base(docker: Docker, base: str) -> None:
    """See to it that the engine has the image `leakscan-base:BASE`. Raises Unavailable with the reason."""
    reference = f"{PREFIX}:{base}"
    try:
        docker.run("image", "inspect", reference)
    except CommandFailed:
        docker.run("import", "--change", 'CMD ["/bin/sh"]', str(BASES[base]()), reference)


def cache_folder() -> Path:
    """Where made base filesystems are kept: $LEAKSCAN_TEST_CACHE or ~/.cache/leakscan-tests."""
    folder = Path(os.environ.get("LEAKSCAN_TEST_CACHE") or Path.home() / ".cache" / "leakscan-tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def busybox() -> Path:
    """A tar of a filesystem with the static busybox of this machine under all of its names."""
    program = Path(needed("busybox", "busybox-static"))
    content = program.read_bytes()
    if b"/ld-linux" in content:
        raise Unavailable("busybox is not static (Debian: apt-get install busybox-static)")
    target = cache_folder() / f"busybox-{hashlib.sha256(content).hexdigest()[:16]}.tar"
    if not target.exists():
        names = subprocess.run([program, "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout.split()
        write_atomically(target, busybox_tar(content, [name for name in names if name != "busybox"]))
    return target


def busybox_tar(content: bytes, names: list[str]) -> bytes:
    """The bytes of that tar, the same on every machine that has this busybox."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in FOLDERS:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(folder)
        program = tarfile.TarInfo("bin/busybox")
        program.size, program.mode = len(content), 0o755
        archive.addfile(program, io.BytesIO(content))
        for name in names:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        users = b"root:x:0:0:root:/root:/bin/sh\n"
        passwd = tarfile.TarInfo("etc/passwd")
        passwd.size = len(users)
        archive.addfile(passwd, io.BytesIO(users))
    return buffer.getvalue()


def pipenv() -> Path:
    """A tar of a minimal Debian with Python and pipenv."""
    return debian("pipenv", PIPENV_PACKAGES)


def python() -> Path:
    """A tar of a minimal Debian with Python and what makes virtual environments: the base of leakscan's own image."""
    return debian("python", PYTHON_PACKAGES)


def debian(name: str, packages: Sequence[str]) -> Path:
    """A tar of a minimal Debian with *packages*, made by debootstrap once and then kept."""
    recipe = repr((SUITE, tuple(packages), LEFT_OUT))
    target = cache_folder() / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.tar"
    if not target.exists():
        if os.geteuid() != 0:
            raise Unavailable("only root can run debootstrap")
        program = needed("debootstrap", "debootstrap")
        with tempfile.TemporaryDirectory(prefix="leakscan-base-") as work:
            root, archive = Path(work) / "root", Path(work) / "root.tar"
            bootstrap(program, root, packages)
            left_out = [f"--exclude=./{place}" for place in LEFT_OUT]
            subprocess.run(["tar", "-C", root, *left_out, "-cf", archive, "."], check=True)
            write_atomically(target, archive)
    return target


def bootstrap(program: str, root: Path, packages: Sequence[str]) -> None:
    """Install Debian's packages below *root*. Raises Unavailable with debootstrap's last lines."""
    command = [program, "--variant=minbase", f"--include={','.join(packages)}", SUITE, str(root)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise Unavailable(f"debootstrap failed: {done.stdout[-2000:].decode('utf-8', 'replace')}")


def write_atomically(target: Path, content: bytes | Path) -> None:
    """Put bytes or a file's content at *target*, whole or not at all."""
    handle, name = tempfile.mkstemp(dir=target.parent)
    with open(handle, "wb") as out:
        if isinstance(content, bytes):
            out.write(content)
        else:
            with content.open("rb") as source:
                while chunk := source.read(1 << 20):
                    out.write(chunk)
    os.chmod(name, stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)
    os.replace(name, target)


BASES = {"busybox": busybox, "pipenv": pipenv, "python": python}
