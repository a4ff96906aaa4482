"""The HTTP server: sockets, TLS, heads that are late or too large, and how it ends (the only home of `uvicorn`)."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from scanner.errors import UnusableFile
from scanner.serve.app import Application
from scanner.serve.service import Service
from scanner.userfile import read, shown

LOG = logging.getLogger("leakscan.serve")
_IDLE_SECONDS = 60  # of a connection between two requests
_SWITCH_SECONDS = 0.001  # a thread that looks something up waits no longer for its turn, dozens of times
_AHEAD = 16  # requests that a client may send before it has the answer to the first
_GRACE_SECONDS = 10  # for answers that are on their way when connections are no longer taken


def tls(certificate: Path, key: Path, authorities: Path | None, required: bool) -> ssl.SSLContext:
    """TLS 1.2 or newer with a certificate, and with client certificates if *authorities* are to vouch for any.

    Raises UnusableFile.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        what = f"the certificate {shown(certificate)}, or its key {shown(key)},"
        raise _unusable(error, what, certificate, key) from None
    if authorities is not None:
        try:
            context.load_verify_locations(authorities)
        except (OSError, ssl.SSLError) as error:
            what = f"the authorities of client certificates, {shown(authorities)},"
            raise _unusable(error, what, authorities) from None
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def _unusable(error: OSError, what: str, *files: Path) -> UnusableFile:
    """What is wrong with files, by their names, which OpenSSL does not tell."""
    for file in files if not isinstance(error, ssl.SSLError) else ():
        try:
            read(file)
        except UnusableFile as known:
            return known
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return UnusableFile(f"{what} cannot be used: {reason or 'it is none'}")


def serve(
    application: Application, service: Service, host: str, port: int, context: ssl.SSLContext | None,
    started: Callable[[str, int], None], now_and_then: Callable[[], None] | None = None,
) -> None:  # fmt: skip
    """Serve until SIGTERM or SIGINT: then say that it is not ready, go on for a while, finish what is at hand, end.

    A second signal ends it at once. *started* is told where it listens; *now_and_then* is called some times a second,
    in the thread that serves.

    Raises:
        OSError: the address cannot be had.
    """
    gc.collect()
    gc.freeze()  # what is there now stays: looking through it for garbage would hold answers up
    sys.setswitchinterval(_SWITCH_SECONDS)
    with listening(host, port) as sock:
        started(*sock.getsockname()[:2])
        Server(application, service, context, now_and_then).run(sockets=[sock])


def listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections at an address; port 0 for any. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


class Server(uvicorn.Server):
    """uvicorn, held to the service's limits; it ends in two steps."""

    def __init__(
        self, application: Application, service: Service, context: ssl.SSLContext | None = None,
        now_and_then: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        settings = service.settings
        config = uvicorn.Config(
            application, http=_protocol(settings.request_seconds, settings.header_bytes), ws="none", lifespan="off",
            loop="asyncio", log_config=None, access_log=False, proxy_headers=False,
            server_header=False, limit_concurrency=settings.connections, timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )  # fmt: skip
        config.load()
        config.ssl = context
        super().__init__(config)
        self._service, self._now_and_then = service, now_and_then

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        if self._now_and_then is not None:
            self._now_and_then()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (uvicorn's)
        """A signal: the first one drains, the second ends."""
        if self._service.draining.is_set():
            self.should_exit = self.force_exit = True
            return
        self._service.draining.set()
        LOG.warning("ending: %s", signal.Signals(sig).name)
        wait = self._service.settings.drain_seconds
        asyncio.get_running_loop().call_later(wait, self._end)

    def _end(self) -> None:
        self.should_exit = True


class _HeadTooLarge(Exception):
    """The head of a request outgrows its limit, or too many requests are sent ahead."""


def _protocol(seconds: float, largest: int) -> type[asyncio.Protocol]:
    """HTTP/1.1 whose heads must come within *seconds* and in *largest* bytes, which httptools asks of nobody, and that
    tells whom the peer's certificate names."""

    class Protocol(HttpToolsProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._late: asyncio.TimerHandle | None = None
            self._in_head, self._head, self._messages = True, 0, 0
            plain = transport.get_extra_info("socket")
            if plain is not None:  # else every answer, a head and a body, waits 40 ms for the peer's acknowledgement
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secure = transport.get_extra_info("ssl_object")
            name = _peer(secure.getpeercert()) if secure is not None else ""
            if name:
                self.app_state = {**self.app_state, "peer": name}
            self._await_head()

        def data_received(self, data: bytes) -> None:
            before = self._messages
            super().data_received(data)
            if not self._in_head or self.transport.is_closing():
                return
            # what follows another message in the same piece is not told apart: it is one piece at most
            self._head = self._head + len(data) if self._messages == before else 1
            if self._head > largest:
                self.send_400_response("The head of the request is too large.")
            elif self._late is None and (self.cycle is None or self.cycle.response_complete):
                self._await_head()

        def on_headers_complete(self) -> None:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > largest or len(self.pipeline) >= _AHEAD:
                raise _HeadTooLarge
            self._in_head, self._head = False, 0
            self._head_came()
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self._in_head = True
            self._messages += 1

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._in_head and self._head and self._late is None and not self.transport.is_closing():
                self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_came()
            super().connection_lost(exc)

        def _await_head(self) -> None:
            self._late = self.loop.call_later(seconds, self._close)

        def _head_came(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _close(self) -> None:
            self._late = None
            self.transport.abort()

    return Protocol


def _peer(certificate: Any) -> str:
    """The common name of a certificate, or its first alternative name."""
    if not certificate:
        return ""
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    return next((str(value) for _, value in certificate.get("subjectAltName", ())), "unnamed")
