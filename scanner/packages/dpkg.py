"""Reads what dpkg records: `*.md5sums` of packages, their versions and the digests of configuration files.

Formats: deb-md5sums(5) and deb-control(5); distroless images keep one control paragraph for each package in
`status.d/` with its md5sums beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scanner.layer.tree import clean
from scanner.packages.model import FileList, Package, Record, Versions, packed

_LINE = re.compile(rb"^([0-9a-f]{32}) [ *](.+?)\r?$", re.MULTILINE)
_FIELD = re.compile(r"^(Package|Version|Architecture|Multi-Arch|Status): *(.*)$", re.MULTILINE)
_CONFFILE = re.compile(r"^ (/.+) ([0-9a-f]{32})(?: obsolete)?(?: remove-on-upgrade)?$", re.MULTILINE)


def md5sums(path: bytes, data: bytes) -> Iterator[Record]:
    """The files of one package. Its name is the list's: `libc6:amd64.md5sums`."""
    name = path.rpartition(b"/")[2].removesuffix(b".md5sums").decode("utf-8", "replace").partition(":")[0]
    lines = _LINE.findall(data)
    yield FileList(
        Package("dpkg", name),
        "md5",
        packed(clean(file) for _, file in lines),
        bytes.fromhex(b"".join(digest for digest, _ in lines).decode("ascii")),
    )


def status(_path: bytes, data: bytes) -> Iterator[Record]:
    """The versions of all packages, and the files that md5sums leave out: configuration."""
    versions = []
    for paragraph in data.decode("utf-8", "replace").split("\n\n"):
        fields = dict(_FIELD.findall(paragraph))
        name, version = fields.get("Package", ""), fields.get("Version", "")
        if not name:
            continue
        versions.append((name, version))
        _, _, conffiles = paragraph.partition("\nConffiles:")
        files = _CONFFILE.findall(conffiles)
        if files:
            paths = packed(clean(file.encode()) for file, _ in files)
            digests = bytes.fromhex("".join(digest for _, digest in files))
            yield FileList(Package("dpkg", name, version), "md5", paths, digests)
    yield Versions("dpkg", tuple(versions))
