"""Reads what apt knows of archives: the signed index with the digests of the lists of packages that lie beside it,
and the caches that apt makes of those lists.

Format: the Debian wiki's "Repository format": fields, and lines of digest, size and name below `SHA256:`. apt keeps
the files of an archive side by side, their names made of host and path with `_` for `/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scanner.packages.model import FileList, Package, Record, packed
from scanner.packages.registries import is_public

_FIELD = re.compile(rb"^(Origin|Suite|Codename|Version): *([^\r\n]{1,100})$", re.MULTILINE)
#: apt-pkg/pkgcache.h: the cache's header begins with this number; nearly all machines write it like this
_CACHE = b"\xdc\x76\xfe\x98"
#: the name of a list in a cache: host and path of the archive
_LIST = re.compile(rb"/var/lib/apt/lists/([A-Za-z0-9][A-Za-z0-9.-]{0,250})_")
_LINE = re.compile(rb"^ ([0-9a-f]{64}) +[0-9]+ (\S+)$", re.MULTILINE)


def release(path: bytes, data: bytes) -> Iterator[Record]:
    """The lists of packages that one release names."""
    beside = path.removesuffix(b"Release").removesuffix(b"In")
    fields = {key: value.decode("utf-8", "replace") for key, value in _FIELD.findall(data)}
    name = " ".join(filter(None, (fields.get(b"Origin"), fields.get(b"Codename") or fields.get(b"Suite"))))
    lines = _LINE.findall(data)
    yield FileList(
        Package("apt", name, fields.get(b"Version", "")),
        "sha256",
        packed(beside + file.replace(b"/", b"_") for _, file in lines),
        bytes.fromhex(b"".join(digest for digest, _ in lines).decode("ascii")),
        registry=beside.rpartition(b"/")[2].partition(b"_")[0].decode("ascii", "replace"),
    )


def cache(path: bytes, data: memoryview) -> Iterator[Record]:
    """apt's binary cache: names, versions and digests from the lists of packages. It counts as fetched from the
    archives that it is made of: from one that is not known to be public, if there is any."""
    if data[: len(_CACHE)] != _CACHE:
        return
    hosts = sorted({found.group(1).decode("ascii") for found in _LIST.finditer(data)})
    if hosts:
        registry = next((host for host in hosts if not is_public("apt", host)), hosts[0])
        yield FileList(Package("apt", "lists of packages"), bare=packed([path]), registry=registry)
