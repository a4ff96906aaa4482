"""Stored bytes that can be read from several processes: a range of an open file.

Every source comes down to this: a blob of an OCI directory is a whole file, a blob of an archive is a range of
the archive, and what arrives as a stream (standard input, an engine, a compressed archive) is spooled first into a
file that has no name any more.
"""

from __future__ import annotations

import errno
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scanner.errors import LeakscanError
from scanner.limits import KIB

#: what to try when a spool finds no room
SPACE_TIP = "Free some space in TMPDIR, or set TMPDIR to a larger file system."
#: of a blob that is read from one end to the other: less than what a worker gives back to the system each time
#: (`work.isolation`), so that it is one buffer again and again, which stays in the processor's cache
_PART = 512 * KIB


class BlobFile:
    """An open file that blobs are ranges of. Closed with `close()`; ranges must not be read after that."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        #: what messages call the file
        self.name = name
        #: host/name of the repository that its blobs are of, empty for other sources
        self.repository = ""

    @classmethod
    def open(cls, path: Path) -> BlobFile:
        """Open *path* for reading. Raises OSError."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), str(path))

    def fileno(self) -> int:
        """The descriptor, for maps and for handing over to another process."""
        return self._fd

    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self.fileno()).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Up to *length* bytes from *offset*; shorter only where the file ends. Raises OSError."""
        parts = []
        while length > 0:
            part = os.pread(self.fileno(), min(length, 1 << 30), offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)

    def write(self, data: bytes | memoryview) -> None:
        """Add all of *data* where the file was last written. Raises OSError."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.fileno(), rest) :]

    @property
    def awaited(self) -> bool:
        """Whether the bytes are elsewhere and are fetched when the file is first read."""
        return False

    @property
    def promised(self) -> str:
        """The digest that whoever has the bytes says they have; empty if nobody does."""
        return ""

    def release(self) -> None:
        """Give back what can be had again when the file is next read; an open file is kept."""

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def spool(name: str) -> BlobFile:
    """A new empty file to write and read that has no name, so that nothing is left behind even by kill -9.

    It lies in TMPDIR. Raises OSError.
    """
    try:
        with tempfile.TemporaryFile(prefix="leakscan-") as file:
            return BlobFile(os.dup(file.fileno()), name)
    except FileNotFoundError:  # it is not the image that is missing
        raise OSError(errno.ENOSPC, "no directory for temporary files can be written to") from None


class AwaitedFile(BlobFile, ABC):
    """A file whose bytes are elsewhere until it is first read, and again after `release()`."""

    def __init__(self, name: str, promised: str) -> None:
        super().__init__(-1, name)
        self._promised = promised
        self._file: BlobFile | None = None

    @property
    def awaited(self) -> bool:
        """Whether it is not here."""
        return self._file is None

    @property
    def promised(self) -> str:
        """The digest that whoever has the bytes says they have."""
        return self._promised

    @abstractmethod
    def fetch(self, target: BlobFile) -> None:
        """Write the bytes to *target*.

        Raises LeakscanError if they are not to be had, OSError if *target* cannot be written.
        """

    def arrived(self, file: BlobFile) -> None:
        """The bytes are in *file* now, which belongs to this one from here on."""
        self._file = file

    def fileno(self) -> int:
        """The descriptor of the file they lie in; fetches them if they are not here. Raises OSError."""
        if self._file is None:
            target = spool(self.name)
            try:
                self.fetch(target)
            except LeakscanError as error:
                target.close()
                raise OSError(errno.EIO, error.what) from None
            except BaseException:
                target.close()
                raise
            self._file = target
        return self._file.fileno()

    def release(self) -> None:
        """Give the room back that they take here."""
        self.close()

    def close(self) -> None:
        """The same."""
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(frozen=True, slots=True)
class Blob:
    """The stored bytes of one blob.

    Attributes:
        name: the digest it is stored under, or for formats without digests the member or file name.
        file: the file it is a range of.
        offset, size: the range; *size* is what is really there, not what a document claims.
        member: its name within the archive that *file* is, as `tar -x` wants it; None if the file is the blob.
        within: the blob of the document that holds it in base64, with the offset and length of that text; *file* is
            made of it then.
    """

    name: str
    file: BlobFile
    offset: int
    size: int
    member: str | None = None
    within: tuple[Blob, int, int] | None = None

    @property
    def place(self) -> tuple[int, int, int]:
        """What tells it from other blobs of open files, under whatever names."""
        return id(self.file), self.offset, self.size

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of the blob from *offset*, to its end if *length* is None. Raises OSError."""
        rest = max(0, self.size - offset)
        return self.file.read(self.offset + offset, rest if length is None else min(length, rest))

    def parts(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The same, one part after the other. Raises OSError."""
        end = self.size if length is None else min(self.size, offset + length)
        for at in range(offset, end, _PART):
            yield self.read(at, min(_PART, end - at))
