"""The receiver process: copies what arrives into a file of the coordinator's, and tells how far it is.

Meanwhile the coordinator has the first layers read: it could not, were it waiting for a stream itself. This process
talks to an engine, and never looks into what comes but to expand it.
"""

from __future__ import annotations

import os
import pickle
import sys
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
    isolate(replace(limits, layer_bytes=sys.maxsize), parent)  # an archive is no layer; who copies knows its limit
    waiting = 0

    def send(message: Arrived | Received | Refused | Failed) -> None:
        try:
            connection.send(message)
        except OSError:  # the coordinator is gone: nobody left to tell
            os._exit(1)

    def tell(count: int) -> None:
        nonlocal waiting
        waiting += count
        if waiting >= MIB:
            send(Arrived(waiting))
            waiting = 0

    outcome = _outcome(copy, tell)
    if waiting:
        send(Arrived(waiting))
    send(outcome)


def _outcome(copy: Callable[[Tell], object], tell: Tell) -> Received | Refused | Failed:
    try:
        outcome = Received(copy(tell))
        pickle.dumps(outcome)
    except (LeakscanError, OSError) as error:
        return Refused(error)
    except MemoryError:
        return Failed("limit.memory", "it needs more memory than a worker may have")
    except Exception as error:  # a fault of ours must show no bytes
        return Failed("worker.failed", type(error).__name__)
    return outcome
