"""Keeps what nobody looks at before the end out of memory."""

from __future__ import annotations

import contextlib

from scanner.image.blob import BlobFile, spool

#: offset and length in the file, or the bytes themselves where there was no room for them
Held = tuple[int, int] | bytes


class Shelf:
    """Bytes in a file without a name, which is made when it is first needed. They may hold paths and digests as a spool
    of a layer does, but no value that was found."""

    def __init__(self) -> None:
        self._file: BlobFile | None = None

    def put(self, body: bytes) -> Held:
        """Keep *body*: on the disk if that has room, else in memory."""
        if not body:
            return body
        with contextlib.suppress(OSError):
            self._file = self._file or spool("records")
            at = self._file.size()
            self._file.write(body)
            return at, len(body)
        return body

    def take(self, held: Held) -> bytes:
        """What was put. Raises OSError if the disk fails."""
        if isinstance(held, bytes):
            return held
        assert self._file is not None
        return self._file.read(*held)

    def close(self) -> None:
        """Give the file back; calling it again does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
