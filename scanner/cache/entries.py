"""A bounded directory of entries, each whole or not there: damaged, cut or somebody else's is as good as none.

An entry is a file of its own (`keptfile`). It begins with an HMAC under a key made of the installation's, over its name
and all that follows: whoever lacks the key can neither make an entry nor put one in another's place. Nothing that goes
wrong here is an error: it costs time, and never the scan.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scanner import keptfile
from scanner.directories import cache_directory
from scanner.limits import GIB, MIB

#: what all entries together may take on the disk, unless the user says otherwise
LARGEST = GIB
#: one entry, unpacked
_LARGEST_ENTRY = 512 * MIB
_MAGIC = b"leakscan entry 1\n"
_MAC = 32
_NAME = re.compile(r"[a-z]+-[0-9a-f]{40}")
_OLD = 3600.0  # seconds after which a file under a passing name belongs to nobody any more
_ROOM = 0.9  # of the bound, to which entries are cut down


@dataclass(frozen=True, slots=True)
class Usage:
    """What a directory holds: entries by kind as (number, bytes), and bytes of all."""

    kinds: Mapping[str, tuple[int, int]]
    bytes: int


class Entries:
    """Entries by kind and key.

    Args:
        directory: of entries only; made when it is needed, for the user alone.
        key: the installation's.
        largest: bytes of all entries; those that were used longest ago go first.
    """

    def __init__(self, directory: Path, key: bytes, largest: int = LARGEST) -> None:
        self.directory, self._largest = directory, largest
        self._key = hashlib.blake2b(key, digest_size=32, person=b"leakscan-entries").digest()

    @classmethod
    def of(cls, environment: Mapping[str, str], key: bytes) -> Entries:
        """Those of the user's cache directory (`directories.cache_directory`)."""
        return cls(entries_directory(environment), key)

    def get(self, kind: str, parts: Iterable[str]) -> bytes | None:
        """The content of an entry, None if there is none that is sound."""
        name = self._name(kind, parts)
        with contextlib.suppress(OSError), keptfile.opened(self.directory / name) as file:
            content = self._opened(name, file.read(_LARGEST_ENTRY))
            if content is not None:
                with contextlib.suppress(OSError):
                    os.utime(file.fileno())  # used now: it goes last
            return content
        return None

    def has(self, kind: str, parts: Iterable[str]) -> bool:
        """Whether there is an entry, sound or not."""
        return os.path.lexists(self.directory / self._name(kind, parts))

    def any(self) -> bool:
        """Whether there is any entry."""
        return next(listed(self.directory), None) is not None

    def put(self, kind: str, parts: Iterable[str], content: bytes) -> None:
        """Keep *content* whole, or not at all; makes room for it."""
        if len(content) > _LARGEST_ENTRY:
            return
        name = self._name(kind, parts)
        packed = zlib.compress(content, 1)
        with contextlib.suppress(OSError):
            keptfile.replace(self.directory / name, _MAGIC, self._mac(name, packed), packed)

    def trim(self) -> None:
        """Let entries go, those used longest ago first, until all of them fit; and what dead runs left behind."""
        found = sorted((status.st_mtime, status.st_size, name) for name, status in listed(self.directory))
        now = time.time()
        total = sum(size for _, size, _ in found)
        bound = self._largest if total <= self._largest else int(self._largest * _ROOM)
        for used, size, name in found:
            if now - used > _OLD if name.startswith(keptfile.PASSING) else total > bound:
                with contextlib.suppress(OSError):
                    os.unlink(self.directory / name)
                    total -= size

    def _name(self, kind: str, parts: Iterable[str]) -> str:
        """The file name of an entry: keyed, as parts may be digests of what nobody else is to know of."""
        mac = hashlib.blake2b(key=self._key, digest_size=20, person=b"name")
        for part in parts:
            raw = part.encode("utf-8", "surrogatepass")
            mac.update(len(raw).to_bytes(8, "little") + raw)
        return f"{kind}-{mac.hexdigest()}"

    def _mac(self, name: str, packed: bytes) -> bytes:
        return hmac.new(self._key, name.encode() + b"\0" + packed, hashlib.sha256).digest()

    def _opened(self, name: str, raw: bytes) -> bytes | None:
        start = len(_MAGIC) + _MAC
        packed = raw[start:]
        if raw[: len(_MAGIC)] != _MAGIC or not hmac.compare_digest(raw[len(_MAGIC) : start], self._mac(name, packed)):
            return None
        inflate = zlib.decompressobj()
        try:
            content = inflate.decompress(packed, _LARGEST_ENTRY)
        except zlib.error:
            return None
        return content if inflate.eof else None


def entries_directory(environment: Mapping[str, str]) -> Path:
    """Where entries are kept."""
    return cache_directory(environment) / "results"


def listed(directory: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The files of a directory of entries, by name; none if it cannot be read."""
    with contextlib.suppress(OSError), os.scandir(directory) as found:
        for each in found:
            if _NAME.fullmatch(each.name) or each.name.startswith(keptfile.PASSING):
                with contextlib.suppress(OSError):  # gone meanwhile
                    yield each.name, each.stat(follow_symlinks=False)


def usage(directory: Path) -> Usage:
    """What is in a directory of entries."""
    kinds: dict[str, tuple[int, int]] = {}
    for name, status in listed(directory):
        kind = name.partition("-")[0] if not name.startswith(keptfile.PASSING) else "unfinished"
        number, size = kinds.get(kind, (0, 0))
        kinds[kind] = number + 1, size + status.st_size
    return Usage(dict(sorted(kinds.items())), sum(size for _, size in kinds.values()))


def clear(directory: Path) -> int:
    """Remove every entry; returns the bytes that this gave back. Raises OSError if one cannot be removed."""
    freed = 0
    for name, status in list(listed(directory)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(directory / name)
            freed += status.st_size
    return freed
