"""The fetcher process: downloads one blob after the other into spools of the coordinator's.

It talks to the network while layers are read, and never looks into what it fetched.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

from scanner.errors import LeakscanError, RegistryFault
from scanner.image.blob import AwaitedFile, BlobFile
from scanner.limits import Limits
from scanner.work.isolation import isolate
from scanner.work.messages import Failed, Fetch, Fetched

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(connection: Connection, files: Mapping[int, AwaitedFile], limits: Limits, parent: int) -> None:
    """Serve `Fetch` tasks until the connection closes; *files* are inherited, by the number of their job."""
    isolate(limits, parent)
    with contextlib.suppress(EOFError, OSError):  # the coordinator is gone: nobody left to tell
        while True:
            task: Fetch = connection.recv()
            spool = BlobFile(recv_handle(connection), "")
            try:
                connection.send(_fetched(files[task.job], spool, task.job))
            finally:
                spool.close()


def _fetched(file: AwaitedFile, spool: BlobFile, job: int) -> Fetched | Failed:
    try:
        file.fetch(spool)
    except RegistryFault as error:
        return Failed(error.reason, error.what)
    except LeakscanError as error:
        return Failed("file.unreadable", error.what)
    except OSError as error:
        reason = "spool.failed" if error.errno in _NO_ROOM else "file.unreadable"
        return Failed(reason, os.strerror(error.errno or 0))
    except Exception as error:  # a fault of ours must cost one blob, never the scan
        return Failed("worker.failed", type(error).__name__)
    return Fetched(job)
