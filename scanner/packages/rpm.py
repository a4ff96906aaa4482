"""Reads rpm's SQLite database: the files of every package with their digests.

Each row of the table `Packages` is a header as rpm's manual describes it ("RPM V4 Package format", header structure):
two 32-bit counts, an index of 16-byte entries, then the data that the entries point into; all numbers big endian.
The older Berkeley DB and NDB forms are not read.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Iterator, Mapping

from scanner.layer.tree import clean
from scanner.packages.model import FileList, Package, PrivateOrigin, Record, packed

_MAGIC = b"SQLite format 3\0"
_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_FILE_DIGESTS, _DIRECTORY_INDEXES, _BASE_NAMES, _DIRECTORY_NAMES, _DIGEST_ALGORITHM = 1035, 1116, 1117, 1118, 5011
_SIGNATURES = {259, 262, 267, 268, 278}  # PGP, GPG, DSA and RSA over header or payload, OpenPGP
_ALGORITHMS = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}
_INT32 = 4
_STEPS = 50_000_000  # of SQLite's machine; a database of 3,000 packages takes some 100,000
_ENTRIES = 1 << 16  # index entries of one header
Tags = Mapping[int, tuple[int, int, int]]  # tag → type, offset in the data, count


def database(_path: bytes, data: memoryview) -> Iterator[Record]:
    """The files of every package, and which packages nobody signed."""
    for blob in _rows(data):
        tags, store = _header(blob)
        found = _package(tags, store)
        if found is None:
            continue
        yield found
        if not _SIGNATURES & tags.keys() and found.package.name != "gpg-pubkey":
            yield PrivateOrigin("rpm", "the package carries no signature", found.home)


def _rows(data: memoryview) -> Iterator[bytes]:
    """The headers. A database is hostile input: nothing but a plain table is asked, with a bound on the work."""
    if data[: len(_MAGIC)] != _MAGIC:
        return
    damage = (sqlite3.Error, MemoryError, UnicodeDecodeError)  # the last: of a message that quotes a broken schema
    with contextlib.closing(sqlite3.connect(":memory:")) as connection, contextlib.suppress(*damage):
        # bytes 18 and 19 say that a write-ahead log belongs to it, which a database in memory cannot have
        connection.deserialize(b"".join((data[:18], b"\1\1", data[20:])))
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        steps = iter(range(_STEPS // 10_000))
        connection.set_progress_handler(lambda: next(steps, None) is None, 10_000)
        kind = connection.execute("SELECT type FROM sqlite_master WHERE name = 'Packages'").fetchone()
        if kind == ("table",):
            for (blob,) in connection.execute("SELECT blob FROM Packages"):
                if isinstance(blob, bytes):
                    yield blob


def _header(blob: bytes) -> tuple[Tags, bytes]:
    """The index and the data it points into; an empty index if the counts cannot be right."""
    if len(blob) < 8:
        return {}, b""
    count, size = struct.unpack_from(">II", blob)
    start = 8 + 16 * count
    if count > _ENTRIES or start > len(blob):
        return {}, b""
    entries = struct.iter_unpack(">iIII", blob[8:start])
    return {tag: (kind, offset, number) for tag, kind, offset, number in entries}, blob[start : start + size]


def _strings(tags: Tags, store: bytes, tag: int) -> list[bytes]:
    kind, offset, count = tags.get(tag, (0, 0, 0))
    return store[offset:].split(b"\0", count)[:count] if kind and count <= len(store) else []


def _numbers(tags: Tags, store: bytes, tag: int) -> tuple[int, ...]:
    kind, offset, count = tags.get(tag, (0, 0, 0))
    if kind != _INT32 or offset + 4 * count > len(store):
        return ()
    return struct.unpack_from(f">{count}I", store, offset)


def _text(tags: Tags, store: bytes, tag: int) -> str:
    return next((value.decode("utf-8", "replace") for value in _strings(tags, store, tag)), "")


def _package(tags: Tags, store: bytes) -> FileList | None:
    name, version = _text(tags, store, _NAME), _text(tags, store, _VERSION)
    if not name:
        return None
    release, epoch = _text(tags, store, _RELEASE), _numbers(tags, store, _EPOCH)
    full = f"{epoch[0]}:{version}-{release}" if epoch else f"{version}-{release}"
    algorithm = _ALGORITHMS.get((_numbers(tags, store, _DIGEST_ALGORITHM) or (1,))[0], "")
    listed = dict(_files(tags, store))
    width = max((len(digest) for digest in listed.values()), default=0)
    hashed = {path: digest for path, digest in listed.items() if algorithm and digest and len(digest) == width}
    bare = [path for path in listed if path not in hashed]
    package = Package("rpm", name, full)
    return FileList(
        package, algorithm, packed(hashed), b"".join(hashed.values()), packed(bare), home=str(package).encode()
    )


def _files(tags: Tags, store: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every path with its digest; links and directories have none."""
    directories = _strings(tags, store, _DIRECTORY_NAMES)
    names = _strings(tags, store, _BASE_NAMES)
    digests = _strings(tags, store, _FILE_DIGESTS) or [b""] * len(names)
    for name, index, digest in zip(names, _numbers(tags, store, _DIRECTORY_INDEXES), digests, strict=False):
        if index < len(directories):
            try:
                yield clean(directories[index] + name), bytes.fromhex(digest.decode("ascii", "replace"))
            except ValueError:
                yield clean(directories[index] + name), b""
