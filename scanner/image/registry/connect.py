"""Connections to a registry and to where it leads: every address judged, every byte timed, no cookies, no netrc.

`requests` follows no redirect here and adds no credentials; that is the transport's to decide.
"""

from __future__ import annotations

import math
import os
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from scanner import __version__
from scanner.errors import RegistryFault
from scanner.image.reference import shown
from scanner.image.registry.addresses import Reach, reach
from scanner.image.registry.settings import Settings, certificates


class Guard:
    """Judges addresses as they are connected to, and ends what takes longer than `deadline` (monotonic seconds).

    How near to us the registry itself is, is known from the first connection to it; a name that leads nearer later on
    is refused like any other.
    """

    def __init__(self, settings: Settings, own: str) -> None:
        self._settings, self._own = settings, own
        self.level: Reach | None = None
        self.deadline = math.inf

    def admit(self, host: str, address: str) -> None:
        """Raises RegistryFault if *host* may not have that numeric *address*."""
        found = reach(address)
        own = host.lower() == self._own
        if own and self.level is None and found <= self._settings.nearest:
            self.level = found
        allowed = self.level or Reach.PUBLIC
        if found is Reach.NEVER or (found > allowed and host.lower() not in self._settings.private):
            what = f"{shown(host)} has the address {address}, where {shown(self._own)} may not lead"
            raise RegistryFault("registry.address", what, "If that is meant, name it in LEAKSCAN_REGISTRY_PRIVATE.")

    def timeout(self, longest: float) -> float:
        """Seconds that the next step may take. Raises TimeoutError when the request's time is over."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request takes longer than the limit")
        return min(left, longest)

    def before_read(self, sock: socket.socket) -> None:
        """Give the next read of *sock* no more than what is left. Raises TimeoutError."""
        sock.settimeout(self.timeout(self._settings.idle_seconds))

    def timed(self, sock: socket.socket) -> socket.socket:
        """The same connection, whose reads end at the request's deadline."""
        timeout = sock.gettimeout()
        own = _Socket(fileno=sock.detach())
        own.guard = self
        own.settimeout(timeout)
        return own

    def dial(self, connection: HTTPConnection) -> socket.socket:
        """A connected socket to an address that was judged. Raises RegistryFault, urllib3's errors."""
        host, port = connection._dns_host, connection.port
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            known = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(connection.host, connection, known) from None
        for *_, address in found:
            self.admit(connection.host, str(address[0]))
        last: OSError = OSError("no address")
        for family, kind, protocol, _, address in found:
            sock = _Socket(family, kind, protocol)
            sock.guard = self
            try:
                sock.settimeout(self.timeout(self._settings.connect_seconds))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
                return sock
            except OSError as error:
                sock.close()
                last = error
        if isinstance(last, TimeoutError):
            raise ConnectTimeoutError(connection, "connecting takes longer than the limit")
        raise NewConnectionError(connection, last.strerror or "no connection")


class _Socket(socket.socket):
    """A socket whose reads end at the request's deadline, however slowly bytes trickle in."""

    guard: Guard | None = None

    def recv_into(self, *args: Any, **options: Any) -> int:
        if self.guard is not None:
            self.guard.before_read(self)
        return super().recv_into(*args, **options)


class _TlsSocket(ssl.SSLSocket):
    """The same for TLS."""

    guard: Guard | None = None

    def recv_into(self, *args: Any, **options: Any) -> int:
        if self.guard is not None:
            self.guard.before_read(self)
        return super().recv_into(*args, **options)

    def recv(self, *args: Any, **options: Any) -> bytes:
        """As TLS within the TLS of a proxy reads."""
        if self.guard is not None:
            self.guard.before_read(self)
        return super().recv(*args, **options)


def _watched(sock: Any, guard: Guard) -> None:
    """Have reads of a TLS connection end at the request's deadline."""
    if isinstance(sock, _TlsSocket):
        sock.guard = guard


def _pools(guard: Guard) -> dict[str, type[HTTPConnectionPool]]:
    """Connection pools whose connections ask *guard*."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return guard.dial(self)

    class Tls(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return guard.dial(self)

        def connect(self) -> None:
            super().connect()
            _watched(self.sock, guard)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    return {"http": PlainPool, "https": TlsPool}


def _proxied(guard: Guard, pools: dict[str, type[HTTPConnectionPool]]) -> dict[str, type[HTTPConnectionPool]]:
    """Pools of a proxy whose connections read in *guard*'s time. How to reach the proxy, whatever its address, is the
    user's word, and stays with them."""
    return {scheme: _proxied_pool(guard, pool) for scheme, pool in pools.items()}


def _proxied_pool(guard: Guard, pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    base: Any = pool.ConnectionCls

    class Connection(base):  # type: ignore[misc]  # which of urllib3's it is depends on the proxy
        def _new_conn(self) -> socket.socket:
            return guard.timed(super()._new_conn())

        def _connect_tls_proxy(self, *args: Any) -> Any:
            sock = super()._connect_tls_proxy(*args)
            _watched(sock, guard)
            return sock

        def connect(self) -> None:
            super().connect()
            _watched(self.sock, guard)

    class Pool(pool):  # type: ignore[misc, valid-type]
        ConnectionCls = Connection

    return Pool


class _Adapter(HTTPAdapter):
    """Connects through a guard, with TLS contexts of its own, by host and made when they are needed."""

    def __init__(self, guard: Guard, host: str, context: Callable[[str], ssl.SSLContext]) -> None:
        self._guard, self._host, self._context = guard, host, context
        super().__init__(pool_connections=2, pool_maxsize=2, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._guard)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """As `HTTPAdapter.proxy_manager_for`, with reads that end in time."""
        if proxy in self.proxy_manager:
            return self.proxy_manager[proxy]
        if proxy.lower().startswith("https:"):
            context = self._context(urlsplit(proxy).netloc.rpartition("@")[2])
            options |= {"proxy_ssl_context": context, "ssl_context": context}
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _proxied(self._guard, manager.pool_classes_by_scheme)
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._context(self._host)} if host["scheme"] == "https" else {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context verifies."""


def _context(settings: Settings, host: str) -> ssl.SSLContext:
    """TLS with the system's CAs, and what certs.d has for *host*. Raises RegistryFault."""
    context = ssl.create_default_context()
    context.sslsocket_class = _TlsSocket
    if not os.environ.get("SSL_CERT_FILE"):
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    own = certificates(settings, host)
    try:
        for authority in own.authorities:
            context.load_verify_locations(authority)
        if own.client is not None:
            context.load_cert_chain(*own.client, password=lambda: "")
    except (OSError, ValueError) as error:
        what = f"the certificates for {shown(host)} cannot be used ({type(error).__name__})"
        raise RegistryFault("registry.tls", what, "Check the files of its folder in certs.d.") from None
    return context


@dataclass(slots=True)
class _Sessions:
    """The sessions of one process, by host[:port]."""

    pid: int
    by_host: dict[str, requests.Session]


class Wire:
    """Sends single requests. A process that was forked gets connections of its own, but shares the TLS contexts: to
    read the system's CAs for one takes longer than a small layer."""

    def __init__(self, settings: Settings, guard: Guard) -> None:
        self._settings, self.guard = settings, guard
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._sessions = _Sessions(os.getpid(), {})

    def send(self, method: str, url: str, headers: dict[str, str], body: dict[str, str] | None = None
             ) -> requests.Response:  # fmt: skip
        """Send one request; the body of the answer is not read yet. Raises requests' errors, RegistryFault."""
        parts = urlsplit(url)
        proxies = get_environ_proxies(url)
        if proxies.get(parts.scheme) or proxies.get("all"):
            self._literal(parts.hostname or "")
        session = self._session(parts.netloc)
        timeout = self.guard.timeout(self._settings.connect_seconds), self._settings.idle_seconds
        request = session.prepare_request(requests.Request(method, url, headers=headers, data=body))
        # not by the session, which reads the whole body of a redirect even if it is not to follow it
        return session.get_adapter(url).send(request, stream=True, timeout=timeout, verify=True, proxies=proxies)

    def _literal(self, host: str) -> None:
        """Behind a proxy only an address in the URL itself can be judged."""
        try:
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        except OSError:
            return
        self.guard.admit(host, host)

    def _session(self, host: str) -> requests.Session:
        if self._sessions.pid != os.getpid():
            self._sessions = _Sessions(os.getpid(), {})  # two processes must not share a connection
        if host not in self._sessions.by_host:
            session = requests.Session()
            session.trust_env = False  # netrc would hand out passwords by host alone
            session.cookies.set_policy(_NoCookies())
            session.headers.clear()
            session.headers.update({"User-Agent": f"leakscan/{__version__}", "Accept-Encoding": "identity"})
            adapter = _Adapter(self.guard, host, self._context)
            session.mount("https://", adapter)
            session.mount("http://", adapter)
            self._sessions.by_host[host] = session
        return self._sessions.by_host[host]

    def _context(self, host: str) -> ssl.SSLContext:
        if host not in self._contexts:
            self._contexts[host] = _context(self._settings, host)
        return self._contexts[host]

    def close(self) -> None:
        """Close the connections of this process."""
        if self._sessions.pid == os.getpid():
            for session in self._sessions.by_host.values():
                session.close()
        self._sessions.by_host.clear()


class _NoCookies(requests.cookies.cookielib.DefaultCookiePolicy):  # type: ignore[name-defined,misc]
    """Takes no cookie and gives none."""

    def set_ok(self, cookie: Any, request: Any) -> bool:  # noqa: ARG002
        return False

    def return_ok(self, cookie: Any, request: Any) -> bool:  # noqa: ARG002
        return False
