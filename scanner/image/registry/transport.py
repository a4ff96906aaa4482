"""One exchange with a registry: authorized, redirected with care, tried again where that may help, bounded.

Sources: distribution-spec (error codes), RFC 9110 (redirects, Range, Retry-After).
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from scanner.errors import RegistryFault
from scanner.image.reference import shown
from scanner.image.registry.addresses import Reach
from scanner.image.registry.challenge import challenges
from scanner.image.registry.connect import Guard, Wire
from scanner.image.registry.credentials import Login
from scanner.image.registry.names import Repository
from scanner.image.registry.settings import Settings
from scanner.image.registry.tokens import Tokens, denied
from scanner.limits import KIB

_HOPS = 5
_ERROR_BYTES = 8 * KIB  # of an error's body
_TOKEN_BYTES = 256 * KIB
_CHUNK = 256 * KIB
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 429, 500, 502, 503, 504)
_BACKOFF = 0.5  # seconds, doubled with each try
T = TypeVar("T")


class Passing(Exception):
    """Something that may go away: *fault* if it does not, *wait* the seconds that the registry asked for."""

    def __init__(self, fault: RegistryFault, wait: float | None = None) -> None:
        super().__init__(fault.what)
        self.fault, self.wait = fault, wait


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body has not been read."""

    response: requests.Response

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status_code

    def header(self, name: str) -> str:
        """A header's value, empty if there is none."""
        return str(self.response.headers.get(name, ""))

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives. Raises Passing if it breaks off."""
        body = self.response.raw
        try:
            while chunk := body.read1(_CHUNK, decode_content=False):
                yield chunk
        except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
            raise Passing(_broken(error, self.response.url)) from None
        # a body that is shorter than its Content-Length ends without an error
        left = getattr(body, "length_remaining", None)
        if isinstance(left, int) and left > 0:
            raise Passing(_broken(EOFError(), self.response.url))

    def read(self, limit: int) -> bytes:
        """The whole body. Raises RegistryFault if it has more than *limit* bytes, Passing if it breaks off."""
        parts, size = [], 0
        for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size > limit:
                what = f"{_host(self.response.url)} sends more than {limit} bytes where less is allowed"
                raise RegistryFault("registry.size", what, "")
        return b"".join(parts)


class Transport:
    """Talks to one registry.

    Args:
        login: the user's credentials; they go to the registry and to its token server only.
        sleep: waits before another try.
    """

    def __init__(
        self,
        registry: Repository,
        settings: Settings,
        login: Login | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.registry, self.settings, self._login = registry, settings, login
        self._guard = Guard(settings, (urlsplit(f"//{registry.api}").hostname or "").lower())
        self._wire = Wire(settings, self._guard)
        self._tokens = Tokens(registry, login, settings)
        self._sleep = sleep
        self._scheme = "http" if registry.api.lower() in settings.plain_http else "https"
        self._decided = self._scheme == "http"

    def apart(self) -> Transport:
        """One with connections, tokens and deadlines of its own, for another thread; what is known of the registry
        it knows."""
        other = Transport(self.registry, self.settings, self._login, self._sleep)
        other._guard.level = self._guard.level
        other._scheme, other._decided = self._scheme, self._decided
        return other

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()

    def trying(self, action: Callable[[], T], seconds: float) -> T:
        """What *action* returns, done again while it raises Passing and tries and seconds are left.

        Raises RegistryFault.
        """
        self._guard.deadline = time.monotonic() + seconds
        for number in range(1, self.settings.tries + 1):
            try:
                return action()
            except Passing as error:
                wait = error.wait
                if wait is None:  # jitter: many that were turned away together should not come back together
                    wait = _BACKOFF * 2 ** (number - 1) * random.uniform(0.5, 1.5)
                left = self._guard.deadline - time.monotonic()
                if number == self.settings.tries or wait > min(left, self.settings.longest_wait):
                    raise error.fault from None
                self._sleep(wait)
        raise AssertionError("a try returns or raises")

    @contextlib.contextmanager
    def exchange(
        self, method: str, path: str, scope: str, headers: Mapping[str, str], absent: Collection[int] = (404,)
    ) -> Iterator[Answer]:
        """Send one request to the registry; the answer is good (2xx), or 416, or one that says that there is nothing.

        Args:
            path: from the root of the server, with its query.
            scope: what a token must be good for.
            absent: what says that there is nothing.

        Raises:
            RegistryFault: refused, or of no use.
            Passing: it may work another time.
        """
        response = self._authorized(method, path, scope, headers)
        try:
            encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
            if encoding not in ("", "identity"):
                what = f"{_host(response.url)} sends content in the encoding {shown(encoding)}, which was not asked for"
                raise RegistryFault("registry.encoding", what, "")
            if not (200 <= response.status_code < 300 or response.status_code in (416, *absent)):
                raise self._refused(response)
            yield Answer(response)
        finally:
            response.close()

    def _authorized(self, method: str, path: str, scope: str, headers: Mapping[str, str]) -> requests.Response:
        """The answer, with a token fetched or renewed once if it is needed."""
        header = self._tokens.header(scope)
        if not header and (known := self._tokens.renewable(scope)):
            header = self._tokens.answer([known], scope, self._scheme == "https", self._ask)
        response = self._followed(method, path, headers, header)
        if response.status_code != 401:
            return response
        asked = challenges(response.headers.get("WWW-Authenticate", ""))
        response.close()
        self._tokens.forget(scope)
        header = self._tokens.answer(asked, scope, self._scheme == "https", self._ask)
        return self._followed(method, path, headers, header)

    def _followed(self, method: str, path: str, headers: Mapping[str, str], authorization: str) -> requests.Response:
        """The answer after redirects; the Authorization header goes to the registry's own origin only."""
        url = urljoin(self._base(), path)
        for _ in range(_HOPS + 1):
            own = {"Authorization": authorization} if authorization and _origin(url) == _origin(self._base()) else {}
            response = self._send(method, url, {**headers, **own})
            url = response.url  # the first request may have turned out to go without TLS
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                return response
            location = response.headers["Location"]
            response.close()
            url = _checked(url, location)
        raise RegistryFault("registry.redirect", f"{_host(url)} redirects more than {_HOPS} times", "")

    def _base(self) -> str:
        return f"{self._scheme}://{self.registry.api}/"

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> requests.Response:
        """One request. A registry on loopback that does not speak TLS is asked without."""
        first = not self._decided and url.startswith(self._base())
        try:
            response = self._wired(method, url, headers)
        except Passing:
            if not (first and self._guard.level is Reach.LOOPBACK):
                raise
            self._scheme, self._decided = "http", True
            try:
                return self._wired(method, f"http{url.removeprefix('https')}", headers)
            except Passing:
                self._scheme, self._decided = "https", False
                raise
        self._decided = True
        return response

    def _wired(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> requests.Response:
        try:
            return self._wire.send(method, url, dict(headers), None if form is None else dict(form))
        except RegistryFault:
            raise
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, ValueError):
            raise RegistryFault("registry.redirect", "the registry leads to no valid URL", "") from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                tip = "Put its CA into certs.d (see docs/registry.md), or set SSL_CERT_FILE."
                raise RegistryFault("registry.tls", f"the certificate of {_host(url)} is not trusted", tip) from None
            raise Passing(_broken(error, url)) from None

    def _ask(self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> Any:
        """A JSON document from the token server. It may not redirect: the request carries the user's credentials."""
        with contextlib.closing(self._wired(method, url, headers, form)) as response:
            status = response.status_code
            if status in _REDIRECTS:
                raise RegistryFault("registry.auth-realm", f"{_host(url)} redirects token requests", "")
            if status in (401, 403):
                what = f"{_host(url)} refuses the credentials" if headers or form else f"{_host(url)} gives no token"
                raise RegistryFault("registry.denied", what, "Log in with docker login.")
            if status != 200:
                raise self._refused(response)
            try:
                return json.loads(Answer(response).read(_TOKEN_BYTES))
            except (ValueError, RecursionError):
                raise RegistryFault("registry.auth", f"{_host(url)} gives no token", "Try again.") from None

    def _refused(self, response: requests.Response) -> Exception:
        """What a bad status means."""
        status, host = response.status_code, _host(response.url)
        said = _said(response)
        if status == 429:
            what = f"{host} allows no more requests for now{said}"
            return Passing(RegistryFault("registry.too-many", what, "Log in, or try later."), _wait(response))
        if status in _PASSING:
            return Passing(RegistryFault("registry.failed", f"{host} answers {status}{said}", "Try again."),
                           _wait(response))  # fmt: skip
        if status in (401, 403):
            return denied(self.registry, bool(response.request.headers.get("Authorization")))
        return RegistryFault("registry.failed", f"{host} answers {status}{said}", "")


def _checked(url: str, location: str) -> str:
    """A redirect's target, if it may be followed. Raises RegistryFault."""
    target = ""
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    known = parts.scheme in ("http", "https") and host and parts.username is None and parts.password is None
    if not known or (parts.scheme == "http" and url.startswith("https:")):
        what = f"{_host(url)} redirects to {shown(parts.scheme or 'nothing')}://{shown(host or '')}"
        raise RegistryFault("registry.redirect", what, "")
    return target.partition("#")[0]


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _host(url: str) -> str:
    """What messages say of a URL: its host. Paths and queries may hold signatures."""
    try:
        parts = urlsplit(url)
        return shown(parts.netloc.rpartition("@")[2])
    except ValueError:
        return "the registry"


def _broken(error: BaseException, url: str) -> RegistryFault:
    """A connection that does not come about or breaks off."""
    host = _host(url)
    causes = " ".join(_kinds(error))
    if "Timeout" in causes:
        return RegistryFault("registry.timeout", f"{host} takes longer than the limit", "Try again.")
    if "NameResolution" in causes or "gaierror" in causes:
        tip = "Check the name of the registry, and the network."
        return RegistryFault("registry.unreachable", f"the registry cannot be reached: there is no host {host}", tip)
    if "NewConnection" in causes or "refused" in causes.lower():
        tip = "Check the name of the registry, and the network."
        return RegistryFault("registry.unreachable", f"the registry cannot be reached: {host} does not answer", tip)
    if "SSL" in causes:
        return RegistryFault("registry.tls", f"{host} does not speak TLS", "")
    return RegistryFault("registry.broken", f"the connection to {host} breaks off", "Try again.")


def _kinds(error: BaseException) -> Iterator[str]:
    """The names of an exception's types and of those within it."""
    todo, seen = [error], set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield type(each).__name__
        inner = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        todo += [one for one in inner if isinstance(one, BaseException)]


def _said(response: requests.Response) -> str:
    """The registry's own words for an error, as `: CODE`; never its message, which may repeat what was sent."""
    try:
        raw = Answer(response).read(_ERROR_BYTES)
        code = json.loads(raw)["errors"][0]["code"]
    except (RegistryFault, Passing, ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
    return f": {shown(code)[:60]}" if isinstance(code, str) else ""


def _wait(response: requests.Response) -> float | None:
    """The seconds of Retry-After, None if there is none that can be read."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return max(0.0, when.timestamp() - time.time())
