"""Whether the service lives, whether it can do its work, and its numbers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

from scanner import __version__
from scanner.serve.counters import sample
from scanner.serve.routing import PUBLIC, Door, JSONResponse, PlainTextResponse, Request, Response
from scanner.serve.service import Service
from scanner.serve.words import Priority, Scope, TicketState
from scanner.store.database import DatabaseError, file_of, text

_FREE_BYTES = 64 << 20  # less, and what is written next may fail


async def live(_request: Request, _service: Service) -> Response:
    """The process answers: nothing that goes away by itself should have it killed."""
    return PlainTextResponse("live\n")


async def ready(_request: Request, service: Service) -> Response:
    """Whether requests should come here: the store answers, there is room, and it is not about to end."""
    troubles = await service.looked_up(lambda: list(_troubles(service)))
    return JSONResponse({"ready": not troubles, "troubles": troubles}, 503 if troubles else 200)


def _troubles(service: Service) -> Iterator[str]:
    if service.draining.is_set():
        yield "draining"
    try:
        with service.store.connect() as connection:
            connection.execute(text("select 1 from results limit 1")).first()
    except DatabaseError:
        yield "store"
    path = file_of(service.store)
    if path is not None and os.path.isdir(path.parent) and shutil.disk_usage(path.parent).free < _FREE_BYTES:
        yield "disk"


async def metrics(_request: Request, service: Service) -> Response:
    """Numbers for Prometheus."""
    lines = await service.looked_up(lambda: [*service.counters.lines(), *_queue(service)])
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _queue(service: Service) -> Iterator[str]:
    yield "# TYPE leakscan_info gauge"
    yield sample("leakscan_info", {"version": __version__}, 1)
    try:
        depth = service.queue.depth()
    except DatabaseError:
        return
    yield "# TYPE leakscan_queue gauge"
    for priority in Priority:
        for state in (TicketState.QUEUED, TicketState.RUNNING):
            number, _ = depth.get((priority, state.value), (0, ""))
            yield sample("leakscan_queue", {"priority": priority.name.lower(), "state": state.value}, number)
    yield "# TYPE leakscan_queue_oldest_seconds gauge"
    oldest = min((since for (_, state), (_, since) in depth.items() if state == TicketState.QUEUED), default="")
    age = (datetime.now(UTC) - datetime.fromisoformat(oldest)).total_seconds() if oldest else 0.0
    yield sample("leakscan_queue_oldest_seconds", {}, max(age, 0.0))


DOORS = (
    Door("GET", "/livez", PUBLIC, live),
    Door("GET", "/readyz", PUBLIC, ready),
    Door("GET", "/metrics", Scope.READ, metrics),
)
