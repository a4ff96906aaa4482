"""Puts the doors together, and does for all of them who may pass, limits, times, problems and numbers."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from scanner.errors import InvalidReference, LeakscanError, RegistryFault
from scanner.serve.hooks.signed import is_signed
from scanner.serve.queue import QueueFull
from scanner.serve.rates import Rates
from scanner.serve.registries import RegistryRefused
from scanner.serve.routing import PUBLIC, Door, Public, Refused, Request, Response, problem
from scanner.serve.service import Service
from scanner.serve.tokens import Caller, TokenExpired, Tokens, presented
from scanner.serve.words import Scope
from scanner.store.database import DatabaseError, reason_of

LOG = logging.getLogger("leakscan.serve")
_Message = MutableMapping[str, Any]
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="leakscan", Basic realm="leakscan"'}
_SAFE = ("GET", "HEAD")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class OpenDoor(Exception):
    """A door says nothing of who may pass it, or where it stands, or stands where another does."""


class _TooLarge(Exception):
    """The body is larger than its door takes."""


class Application:
    """The ASGI application.

    Args:
        doors: of every part of the service.
        tokens: who may pass by token.
        certified: scopes of whoever comes with a client certificate that the server took.

    Raises:
        OpenDoor: a door has no scope, or no place of its own.
    """

    def __init__(
        self,
        service: Service,
        doors: Iterable[Door],
        tokens: Tokens,
        certified: frozenset[Scope] = frozenset(),
    ) -> None:
        self.doors = tuple(doors)
        self._service, self._tokens, self._certified = service, tokens, certified
        self._rates = Rates(service.settings.rate, service.settings.burst)
        self._in_flight: Counter[tuple[Scope | Public, str]] = Counter()
        seen = set()
        for door in self.doors:
            if not (door.scope is PUBLIC or isinstance(door.scope, Scope)):
                raise OpenDoor(f"{door.method} {door.path} has no scope")
            if "{" in _first(door.path):  # doors are told apart by it
                raise OpenDoor(f"{door.method} {door.path} begins with a part that is not known")
            if (door.method, door.path) in seen:
                raise OpenDoor(f"{door.method} {door.path} is there twice")
            seen.add((door.method, door.path))
        routes: dict[str, list[Route]] = {}
        for door in self.doors:
            route = Route(door.path, self._endpoint(door), methods=[door.method])
            routes.setdefault(_first(door.path), []).append(route)
        # by the first part of a path: Starlette tries one route after the other
        self._apps = {first: _app(found) for first, found in routes.items()}
        self._nothing = _app([])

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        """One request."""
        if scope["type"] == "http":
            await self._apps.get(_first(scope["path"]), self._nothing)(scope, receive, send)

    def _endpoint(self, door: Door) -> Callable[[Request], Awaitable[Response]]:
        """What Starlette calls for a door."""

        async def handle(request: Request) -> Response:
            service = self._service
            begun = service.clock()
            answer = await self._answer(door, request)
            for name, value in _HEADERS.items():
                answer.headers.setdefault(name, value)
            status = str(answer.status_code)
            service.counters.add("leakscan_requests_total", method=door.method, door=door.path, status=status)
            service.counters.took("leakscan_request_seconds", service.clock() - begun, door=door.path)
            return answer

        return handle

    async def _answer(self, door: Door, request: Request) -> Response:
        def told(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
            answer = door.problem(status, detail)
            answer.headers.update(headers or {})
            return answer

        # by scope: whoever waits for a registry must not hold up who asks for a verdict; and apart where who it is
        # shows in the body only: nobody who was let through waits for strangers who send theirs slowly
        kind = (door.scope, door.signature)
        if self._in_flight[kind] >= self._service.settings.in_flight:
            return told(429, "too many requests are worked on", {"Retry-After": "1"})
        self._in_flight[kind] += 1
        try:
            async with asyncio.timeout(self._service.settings.request_seconds):
                limit = self._service.settings.body_bytes if door.body_limit is None else door.body_limit
                bounded = _bounded(request, limit)
                if door.signature:
                    await self._signed(door, bounded)
                else:
                    self._pass(door, request)
                return await door.endpoint(bounded, self._service)
        except Refused as refused:
            return told(refused.status, refused.detail, refused.headers)
        except TimeoutError:
            return told(503, "it took too long", {"Retry-After": "1"})
        except (_TooLarge, ClientDisconnect):
            return told(413, "the body is larger than is taken here", {"Connection": "close"})
        except QueueFull as error:
            return told(429, error.what, {"Retry-After": "30"})
        except RegistryRefused as error:
            return told(403, error.what)
        except InvalidReference as error:
            return told(422, error.what)
        except RegistryFault as error:
            return told(502, error.what)
        except LeakscanError as error:
            return told(500, error.what)
        except DatabaseError as error:
            self._service.counters.add("leakscan_store_errors_total")
            LOG.error("the store failed: %s", reason_of(error))
            return told(503, "the store cannot be used now", {"Retry-After": "5"})
        except OSError as error:
            full = error.errno == errno.ENOSPC
            LOG.error("%s %s: %s", door.method, door.path, type(error).__name__)
            return told(507 if full else 500, "there is no space left" if full else "something cannot be read")
        except Exception as error:  # its text could hold anything
            LOG.error("%s %s: a fault of leakscan (%s)", door.method, door.path, _place(error))
            return told(500, f"a fault of leakscan itself ({type(error).__name__})")
        finally:
            self._in_flight[kind] -= 1

    def _pass(self, door: Door, request: Request) -> None:
        """Let a request through a door. Raises Refused."""
        headers = request.headers
        if "content-length" in headers and "transfer-encoding" in headers:
            raise Refused(400, "a length and a transfer encoding contradict each other", {"Connection": "close"})
        address = request.client.host if request.client else ""
        if door.scope is PUBLIC:
            self._meter(f"address {address}")
            return
        caller = self._caller(request, address)
        self._meter(f"caller {caller.name} {address}")
        if door.scope not in caller.scopes:
            raise Refused(403, f"{caller.name} has no scope {door.scope.value}")
        if request.method not in _SAFE:
            _same_site(request)

    async def _signed(self, door: Door, request: Request) -> None:
        """Let through whoever signed the body. Raises Refused."""
        address = request.client.host if request.client else ""
        self._meter(f"address {address}")
        secret = self._service.settings.hook_secret
        if not secret or not is_signed(await request.body(), request.headers.get(door.signature, ""), secret):
            self._meter(f"address {address}", 20.0)
            raise Refused(401, f"the body is not signed in {door.signature}")

    def _caller(self, request: Request, address: str) -> Caller:
        token = presented(request.headers, str(request.path_params.get("token", "")))
        try:
            found = self._tokens.caller(token) if token else None
        except TokenExpired:
            self._meter(f"address {address}")
            raise Refused(401, "the token has expired", _CHALLENGE) from None
        if found is not None:
            return found
        if token:  # guessing is slow
            self._meter(f"address {address}", 20.0)
            raise Refused(401, "the token is not known", _CHALLENGE)
        name = request.scope.get("state", {}).get("peer", "")
        if name and self._certified:
            return Caller(f"certificate {name}", self._certified)
        self._meter(f"address {address}")
        raise Refused(401, "give a token", _CHALLENGE)

    def _meter(self, client: str, cost: float = 1.0) -> None:
        wait = self._rates.wait(client, cost)
        if wait:
            raise Refused(429, "too many requests of one client", {"Retry-After": str(wait)})


def _first(path: str) -> str:
    """The first part of a path."""
    return path[1:].partition("/")[0]


def _app(routes: list[Route]) -> Starlette:
    app = Starlette(routes=routes, exception_handlers={HTTPException: _plain, Exception: _fault})
    # else a slash too many is answered, to anybody, with a redirect to whatever host the request named
    app.router.redirect_slashes = False
    return app


def _same_site(request: Request) -> None:
    """Refuse what a page of another site makes a browser send with the password that it keeps. Raises Refused."""
    origin = request.headers.get("origin")
    foreign = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    if foreign or (origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")):
        raise Refused(403, "that comes from another site")


def _bounded(request: Request, limit: int) -> Request:
    """The request, whose body cannot be longer than *limit*. Raises _TooLarge at once if it says that it is."""
    length = request.headers.get("content-length", "")
    if length and (not length.isdecimal() or len(length) > 15 or int(length) > limit):
        raise _TooLarge
    size = 0

    async def receive() -> _Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _TooLarge
        return message

    return Request(request.scope, receive)


def _place(error: Exception) -> str:
    """Which line of ours, never what it held."""
    trace, found = error.__traceback__, ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/scanner/" in name:
            found = f"{name.rpartition('/scanner/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {found}"


async def _plain(_request: Request, error: Exception) -> Response:
    """No door is there, or not for that method."""
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing of that name", 405: "that method is not for this"}
    answer = problem(error.status_code, words.get(error.status_code, ""))
    answer.headers.update({**_HEADERS, **(error.headers or {})})
    return answer


async def _fault(_request: Request, error: Exception) -> Response:
    return problem(500, f"a fault of leakscan itself ({type(error).__name__})")
