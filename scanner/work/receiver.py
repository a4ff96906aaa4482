"""The receiver process: copies what arrives into a file of the coordinator's, and tells how far it is.

Meanwhile the coordinator has the first layers read: it could not, were it waiting for a stream itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection

from scanner.errors import LeakscanError
from scanner.image.arriving import Tell
from scanner.limits import MIB, Limits
from scanner.work.isolation import isolate
from scanner.work.messages import Arrived, Failed, Received, Refused


def main(connection: Connection, copy: Callable[[Tell], object], limits: Limits, parent: int) -> None:
    """Run *copy*, tell of bytes a MiB at a time, and in the end what became of it."""
    isolate(replace(limits, layer_bytes=limits.image_bytes), parent)
    waiting = 0

    def tell(count: int) -> None:
        nonlocal waiting
        waiting += count
        if waiting >= MIB:
            connection.send(Arrived(waiting))
            waiting = 0

    with contextlib.suppress(EOFError, BrokenPipeError):  # the coordinator is gone: nobody left to tell
        outcome = _outcome(copy, tell)
        if waiting:
            connection.send(Arrived(waiting))
        connection.send(outcome)


def _outcome(copy: Callable[[Tell], object], tell: Tell) -> Received | Refused | Failed:
    try:
        return Received(copy(tell))
    except BrokenPipeError:
        raise
    except LeakscanError as error:
        return Refused(error.what, error.tip)
    except OSError as error:
        return Refused(os.strerror(error.errno or 0), "", error.errno)
    except MemoryError:
        return Failed("limit.memory", "it needs more memory than a worker may have")
    except Exception as error:  # a fault of ours must show no bytes
        return Failed("worker.failed", type(error).__name__)
