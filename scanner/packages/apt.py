"""Reads apt's signed index of an archive: the digests of the lists of packages that lie beside it.

Format: the Debian wiki's "Repository format": fields, and lines of digest, size and name below `SHA256:`. apt keeps
the files of an archive side by side, their names made of host and path with `_` for `/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scanner.packages.model import FileList, Package, Record, packed

_FIELD = re.compile(rb"^(Origin|Suite|Codename|Version): *([^\r\n]{1,100})$", re.MULTILINE)
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
