"""Bytes on their way into a file, and the members of an archive that are whole before the rest has come.

An archive that is still being written may be looked at early only if nothing depends on it: whoever used a member that
is found here holds it to the member that `image.tarball` finds in the whole archive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from scanner.image.blob import Blob, BlobFile
from scanner.image.store import blob_name, clean_path
from scanner.layer.compression import sniff
from scanner.layer.walk import BLOCK, NO_DATA, checksum_holds, is_tar, number
from scanner.limits import KIB, MIB

Result = TypeVar("Result")
Tell = Callable[[int], None]

_LEAST = 64 * KIB  # smaller ones are read as fast as they are found
_EXTENDED = MIB  # of extended headers; those of saved images have a few hundred bytes
_REGULAR, _RECORDS, _LONG = b"0\0", b"xg", b"LK"


class Carrier(Protocol):
    """Has bytes copied into a file."""

    def __call__(self, file: BlobFile, copy: Callable[[Tell], Result]) -> Result:
        """Run *copy*, which writes to *file* from its start and tells how many bytes it wrote; returns what it returns.

        Raises the LeakscanError or OSError that *copy* raises.
        """


def here(progress: Tell = lambda _: None) -> Carrier:
    """A carrier that copies in this process; *progress* is told of the bytes."""

    def carry(file: BlobFile, copy: Callable[[Tell], Result]) -> Result:
        del file
        return copy(progress)

    return carry


class Members:
    """The large members of a tar archive that is being written to *file*, each as soon as it is whole.

    Only what is plain is found, as every tool writes it: no sparse files, no sizes in extended headers, no names that
    fill more than one field. Anything else ends the search, and costs nothing but time.
    """

    def __init__(self, file: BlobFile) -> None:
        self._file = file
        self._size = self._at = 0
        self._over = self._named = False  # named: by the extended header in front of it

    def more(self, count: int) -> Iterator[Blob]:
        """Those that *count* more bytes have made whole, if they look like layers. Raises OSError."""
        self._size += count
        while not self._over and self._at + BLOCK <= self._size:
            header, data = self._file.read(self._at, BLOCK), self._at + BLOCK
            kind, size = header[156:157], number(header[124:136])
            if not checksum_holds(header) or size is None or size < 0:
                self._over = True
                return
            size = 0 if kind in NO_DATA else size
            if data + size > self._size:
                return
            self._at = data + size + -size % BLOCK
            if kind in _RECORDS:
                records = self._file.read(data, min(size, _EXTENDED))
                self._over = size > _EXTENDED or b"size=" in records or b"GNU.sparse" in records
                self._named = self._named or b"path=" in records
            elif kind in _LONG:
                self._named = True
            elif kind in NO_DATA or kind in _REGULAR:
                named, self._named = self._named or bool(header[345:346].strip(b"\0")), False
                if kind in _REGULAR and size >= _LEAST and not named:
                    yield from self._layer(header[:100].partition(b"\0")[0], data, size)
            else:
                self._over = True

    def _layer(self, name: bytes, offset: int, size: int) -> Iterator[Blob]:
        head = self._file.read(offset, BLOCK)
        if is_tar(head) or sniff(head[:6]):
            stored = name.decode("utf-8", "surrogateescape")
            yield Blob(blob_name(clean_path(stored)), self._file, offset, size, stored)
