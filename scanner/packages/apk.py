"""Reads apk's database of installed packages: the files of each with SHA-1 digests.

Format: the Alpine wiki's page on the installed database. Letters: P name, V version, F directory, R file, Z digest
(`Q1` and base64 of SHA-1, `Q2` of SHA-256).
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator

from scanner.layer.tree import clean
from scanner.packages.model import FileList, Package, Record, packed

_SHA1_LENGTH = 20


def installed(_path: bytes, data: bytes) -> Iterator[Record]:
    """The files of every package."""
    for paragraph in data.split(b"\n\n"):
        found = _package(paragraph)
        if found is not None:
            yield found


def _package(paragraph: bytes) -> FileList | None:
    name = version = ""
    directory = file = b""
    digests: dict[bytes, bytes] = {}
    bare: list[bytes] = []
    for line in paragraph.splitlines():
        letter, value = line[:2], line[2:]
        if letter == b"P:":
            name = value.decode("utf-8", "replace")
        elif letter == b"V:":
            version = value.decode("utf-8", "replace")
        elif letter == b"F:":
            directory = value
        elif letter == b"R:":
            file = clean(directory + b"/" + value)
            bare.append(file)
        elif letter == b"Z:" and bare and value.startswith(b"Q1") and (digest := _sha1(value[2:])):
            digests[file] = digest
    if not name:
        return None
    unlisted = [path for path in bare if path not in digests]
    package = Package("apk", name, version)
    return FileList(package, "sha1", packed(digests), b"".join(digests.values()), packed(unlisted))


def _sha1(text: bytes) -> bytes:
    try:
        digest = binascii.a2b_base64(text)
    except binascii.Error:
        return b""
    return digest if len(digest) == _SHA1_LENGTH else b""
