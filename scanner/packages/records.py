"""Tells the records of package managers from other files by their path, and reads them.

Runs in worker processes; what it gives back is small. A record that is too large or that nobody can read gives
nothing: files of its package then count as the user's own, which lowers nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from scanner.layer.tree import clean
from scanner.limits import MIB
from scanner.packages import apk, apt, dpkg, node, python, registries, rpm, vendored
from scanner.packages.model import FileDigests, Record

#: bytes of one record; rpm's database is one file for all packages
_LARGEST, _LARGEST_DATABASE, _LARGEST_JSON = 32 * MIB, 128 * MIB, 8 * MIB
#: larger files are not digested, and count as the user's
_LARGEST_FILE = 256 * MIB
#: what package managers write down for themselves
_NOT_PACKAGED = (b"var/cache/", b"var/lib/apt/", b"var/lib/dpkg/", b"var/lib/rpm/", b"lib/apk/", b"var/log/", b"tmp/")

Read = Callable[[bytes, Any], Iterator[Record]]


def _settings(manager: str, _path: bytes, data: bytes) -> Iterator[Record]:
    return registries.settings(manager, data)


#: by the last part of the path: what the rest must end with, and what reads it
_BY_NAME: dict[bytes, tuple[tuple[bytes, ...], Read]] = {
    b"status": ((b"lib/dpkg",), dpkg.status),
    b"Release": ((b"var/lib/apt/lists",), apt.release),
    b"InRelease": ((b"var/lib/apt/lists",), apt.release),
    b"pkgcache.bin": ((b"var/cache/apt",), apt.cache),
    b"srcpkgcache.bin": ((b"var/cache/apt",), apt.cache),
    b"installed": ((b"lib/apk/db",), apk.installed),
    b"rpmdb.sqlite": ((b"var/lib/rpm", b"usr/lib/sysimage/rpm", b"usr/share/rpm"), rpm.database),
    b"RECORD": ((b".dist-info",), python.record),
    b"INSTALLER": ((b".dist-info",), python.installer),
    b"direct_url.json": ((b".dist-info",), python.direct_url),
    b".package-lock.json": ((b"node_modules",), node.hidden_lockfile),
    b".cargo-checksum.json": ((b"",), vendored.cargo_checksum),
    b"modules.txt": ((b"vendor",), vendored.go_modules),
    b"pip.conf": ((b"",), partial(_settings, "pip")),
    b"uv.toml": ((b"",), partial(_settings, "pip")),
    b"Pipfile": ((b"",), partial(_settings, "pip")),
    b"requirements.txt": ((b"",), partial(_settings, "requirements")),
    b".npmrc": ((b"",), partial(_settings, "npm")),
    b"npmrc": ((b"",), partial(_settings, "npm")),
    b".yarnrc": ((b"",), partial(_settings, "npm")),
    b".yarnrc.yml": ((b"",), partial(_settings, "npm")),
    b"sources.list": ((b"etc/apt",), partial(_settings, "dpkg")),
    b"repositories": ((b"etc/apk",), partial(_settings, "apk")),
}
#: by the ending of the path
_BY_ENDING: dict[bytes, tuple[tuple[bytes, ...], Read]] = {
    b"md5sums": ((b"lib/dpkg/info", b"lib/dpkg/status.d"), dpkg.md5sums),
    b"gemspec": ((b"/specifications", b"/specifications/default"), vendored.gemspec),
    b"list": ((b"etc/apt/sources.list.d",), partial(_settings, "dpkg")),
    b"sources": ((b"etc/apt/sources.list.d",), partial(_settings, "dpkg")),
    b"repo": ((b"etc/yum.repos.d", b"etc/zypp/repos.d"), partial(_settings, "rpm")),
}
#: they are given the bytes where they lie, not a copy: their files are large
_IN_PLACE = (apt.cache, rpm.database)
#: where npm puts a package for all users
_FOR_ALL = re.compile(rb"(?:^|/)lib/node_modules/(?:@[^/]+/)?[^/]+$")


def _reader(path: bytes) -> Read | None:
    parent, _, name = path.rpartition(b"/")
    known = _BY_NAME.get(name.rpartition(b"_")[2]) or _BY_NAME.get(name) or _BY_ENDING.get(name.rpartition(b".")[2])
    if known is not None:
        if parent.endswith(known[0]):
            return known[1]
    elif parent.endswith(b"lib/dpkg/status.d"):
        return dpkg.status
    elif b"/_cacache/index-v5/" in parent:
        return node.cache_index
    elif name == b"package.json" and _FOR_ALL.search(parent):
        return node.installed_for_all
    return None


def read(member: bytes, data: memoryview) -> list[Record]:
    """What the member with that name tells about packages; nothing if it is no record."""
    if _reader(member) is None:
        return []
    path = clean(member)
    reader = _reader(path)
    if reader is None or len(data) > _limit(path) or (isinstance(reader, partial) and _inside_package(path)):
        return []
    return list(reader(path, data if reader in _IN_PLACE else bytes(data)))


def _limit(path: bytes) -> int:
    ending = path.rpartition(b".")[2]
    return {b"sqlite": _LARGEST_DATABASE, b"bin": _LARGEST_DATABASE, b"json": _LARGEST_JSON}.get(ending, _LARGEST)


def _inside_package(path: bytes) -> bool:
    """Whether a file of settings is only content of a library; npm's own one counts."""
    if path.endswith(b"node_modules/npm/npmrc"):
        return False
    return any(part in path for part in (b"node_modules/", b"site-packages/", b"dist-packages/"))


def digests(member: bytes, start: int, data: memoryview) -> FileDigests | None:
    """The digests by which records may know the file; None if no record names files of that path."""
    path = clean(member)
    algorithms = _algorithms(path) if len(data) <= _LARGEST_FILE else ()
    if not algorithms:
        return None
    return FileDigests(
        start, {name: hashlib.new(name, data, usedforsecurity=False).digest() for name in algorithms}
    )


def _algorithms(path: bytes) -> tuple[str, ...]:
    """Which digests a record of that file would have: MD5 dpkg's, SHA-1 apk's, SHA-256 those of rpm and libraries.

    Digesting everything thrice would cost more than all else here: MD5 runs at 0.7 GB/s, the others at 1.7.
    """
    if path.startswith(b"var/lib/apt/lists/"):
        return ("sha256",)
    if node.CONTENT in path:
        return ("sha512",)
    if path.startswith(_NOT_PACKAGED):
        return ()
    if b"node_modules/" in path and not path.startswith((b"usr/share/", b"usr/lib/")):
        return ()  # npm's record has no digests
    if b"/site-packages/" in path:
        return ("sha1", "sha256") if path.startswith(b"usr/lib") else ("sha256",)
    if b"-linux-gnu" in path:  # Debian's directories of one architecture
        return ("md5",)
    return ("sha256",) if path.startswith(b"usr/lib64/") else ("md5", "sha1", "sha256")
