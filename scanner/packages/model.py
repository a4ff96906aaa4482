"""What a package manager's own records say about files, as values small enough to pass between processes."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package; *version* is empty where the record that names the files does not tell it."""

    manager: str
    name: str
    version: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.manager, self.name, self.version) if part)


@dataclass(frozen=True, slots=True)
class FileList:
    """The files of one package.

    Attributes:
        algorithm: of the digests, as hashlib names it; empty if there are none.
        hashes: `path_hash` of each path that has a digest, packed native 64-bit integers.
        digests: one for each of *hashes*, in the same order, all of the same width.
        bare: hashes of paths that are listed without a digest.
        root: a directory (clean path) whose whole content is the package's; empty if files are listed one by one. Of
            what was kept, hashes of paths are keyed, and this and *home* are such hashes.
        registry: the host that the package was fetched from, where the record tells.
        home: what other records call it: the directory of the list, or the package's name.
    """

    package: Package
    algorithm: str = ""
    hashes: bytes = field(default=b"", repr=False)
    digests: bytes = field(default=b"", repr=False)
    bare: bytes = field(default=b"", repr=False)
    root: bytes | int = b""
    registry: str = ""
    home: bytes | int = b""

    def digest(self, path: int) -> bytes | None:
        """The digest of a path given by its hash: empty if it is listed without one, None if it is not listed."""
        found = _index(self.hashes, path)
        if found is not None:
            width = len(self.digests) * 8 // len(self.hashes)
            return self.digests[found * width : (found + 1) * width]
        return b"" if _index(self.bare, path) is not None else None

    def paths(self) -> Iterator[int]:
        """The hashes of all paths."""
        for packed in (self.hashes, self.bare):
            yield from memoryview(packed).cast("Q")


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of a manager's packages, kept apart from their file lists (dpkg)."""

    manager: str
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Installer:
    """Which program installed the package whose list lies in *home* (PEP 627)."""

    home: bytes | int
    name: str


@dataclass(frozen=True, slots=True)
class PrivateOrigin:
    """A sign that packages are not what a public registry gives to everybody.

    Attributes:
        manager: whose packages it is about.
        reason: for people; holds host names, never a URL's credentials.
        home: the one package it is about (see `FileList.home`); empty for all of the manager.
    """

    manager: str
    reason: str
    home: bytes | int = b""


Record = FileList | Versions | Installer | PrivateOrigin


@dataclass(frozen=True, slots=True)
class FileDigests:
    """Digests of a whole file, by algorithm; *start* is where its data begins in the uncompressed layer."""

    start: int
    digests: dict[str, bytes]


def weight(record: Record) -> int:
    """About how many bytes a record takes."""
    if isinstance(record, FileList):
        return 500 + len(record.hashes) + len(record.digests) + len(record.bare)
    return 500 + 200 * len(record.versions) if isinstance(record, Versions) else 500


def json_object(data: bytes) -> Mapping[str, Any]:
    """The JSON object that a record is, empty if it is anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def packed(paths: Iterable[bytes]) -> bytes:
    """The `path_hash` of clean paths, packed native."""
    hashes = b"".join(hashlib.blake2b(path, digest_size=8).digest() for path in paths)
    values = array("Q", hashes)
    if memoryview(b"\1\0").cast("H")[0] != 1:  # the hash is read as little endian
        values.byteswap()
    return values.tobytes()


def _index(hashes: bytes, wanted: int) -> int | None:
    """Which of packed hashes is *wanted*."""
    needle = array("Q", (wanted,)).tobytes()
    at = hashes.find(needle)
    while at >= 0 and at % 8:
        at = hashes.find(needle, at + 1)
    return None if at < 0 else at // 8
