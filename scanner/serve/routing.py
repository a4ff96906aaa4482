"""What an endpoint is: a door with a path, who may pass, and what may be brought (a home of `starlette`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from scanner.serve.refusal import Refused
from scanner.serve.service import Service
from scanner.serve.words import Scope

__all__ = [
    "PUBLIC", "Door", "Endpoint", "HTMLResponse", "JSONResponse", "PlainTextResponse", "Problem",
    "Refused", "Request", "Response", "Scope", "problem",
]  # fmt: skip


class Public(Enum):
    """Who may pass a door that is open to everybody."""

    PUBLIC = "public"


PUBLIC = Public.PUBLIC
Endpoint = Callable[[Request, Service], Awaitable[Response]]
#: (status, what went wrong) → the answer
Problem = Callable[[int, str], Response]

_TITLES = {
    400: "Bad request", 401: "Not authenticated", 403: "Not allowed", 404: "Not found", 405: "Method not allowed",
    408: "Too slow", 409: "Conflict", 413: "Too large", 415: "Unsupported media type", 422: "Not understood",
    429: "Too many requests", 500: "A fault of leakscan", 502: "The registry failed", 503: "Not available",
    504: "Took too long", 507: "No space left",
}  # fmt: skip


def problem(status: int, detail: str) -> Response:
    """A problem as JSON (RFC 9457)."""
    document: dict[str, Any] = {"title": _TITLES.get(status, "Problem"), "status": status, "detail": detail}
    return JSONResponse(document, status, media_type="application/problem+json")


@dataclass(frozen=True, slots=True)
class Door:
    """One endpoint. The application does all that is common to them: who may pass, limits, times, problems, numbers.

    An endpoint may raise `Refused`, errors of leakscan (`errors`) and of the store; each becomes a problem.

    Attributes:
        method: GET (HEAD comes with it), POST, ...
        path: as Starlette writes it; a part named `token` may hold the caller's token, for callers that can send no
            header.
        scope: who may pass; PUBLIC for everybody.
        body_limit: bytes of the body, None for the service's default.
        problem: how a problem is told, where callers want a form of their own.
        signature: the header in which the body is signed with the secret of hooks; who signs needs no token, and
            nobody passes who does not.
    """

    method: str
    path: str
    scope: Scope | Public
    endpoint: Endpoint
    body_limit: int | None = None
    problem: Problem = problem
    signature: str = ""
