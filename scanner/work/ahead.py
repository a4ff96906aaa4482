"""Reads the layers of an archive while later ones are still arriving."""

from __future__ import annotations

from collections.abc import Callable

from scanner.image.arriving import Members, Result, Tell
from scanner.image.blob import BlobFile
from scanner.work.jobs import BlobJob
from scanner.work.pool import Pool


class Ahead:
    """A carrier (`image.arriving.Carrier`) that has what is whole read and matched by the pool of the scan to come.

    Attributes:
        pool: made when something first arrives; None until then. Close it.

    Args:
        make: makes the pool.
        received: told of bytes as they arrive.
        known: whether a blob of that name need not be read, as an earlier scan may have kept what it gives.
    """

    def __init__(self, make: Callable[[], Pool], received: Tell, known: Callable[[str], bool]) -> None:
        self._make, self._received, self._known = make, received, known
        self.pool: Pool | None = None

    def __call__(self, file: BlobFile, copy: Callable[[Tell], Result]) -> Result:
        """Have *copy* write to *file* in a process of its own, and begin with the layers that are there."""
        self.pool = pool = self.pool or self._make()
        members = Members(file)

        def arrived(count: int) -> None:
            self._received(count)
            for blob in members.more(count):
                if not self._known(blob.name):
                    pool.begin(BlobJob(blob))

        result: Result = pool.receive(copy, arrived)
        return result

    def close(self) -> None:
        """End what still works for it."""
        if self.pool is not None:
            self.pool.close()
