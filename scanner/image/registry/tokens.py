"""The token flow: a challenge to an Authorization header, tokens kept by scope and renewed in time.

Credentials go to the token server only if it is the registry's own: the realm comes from whoever answered, and a
hostile registry would name its own collector. Source: distribution's auth/token and auth/oauth pages.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from scanner.errors import RegistryFault
from scanner.image.reference import shown
from scanner.image.registry.challenge import Challenge
from scanner.image.registry.credentials import Login
from scanner.image.registry.names import HUB, Repository
from scanner.image.registry.settings import Settings

_HUB_REALM = "auth.docker.io"
_SECONDS, _LONGEST = 60.0, 3600.0  # a token lives a minute unless its server says so; none is kept for longer
_RENEW = 0.8  # of its life
_CLIENT = "leakscan"

#: (method, URL, headers, form) → the JSON document of the answer
Ask = Callable[[str, str, Mapping[str, str], Mapping[str, str] | None], Any]


class Tokens:
    """Tokens and credentials for one registry."""

    def __init__(self, registry: Repository, login: Login | None, settings: Settings) -> None:
        self._registry, self._login, self._settings = registry, login, settings
        self._basic = False
        self._kept: dict[str, tuple[str, float]] = {}  # scope → header, good until
        self._known: dict[str, Challenge] = {}  # scope → the challenge that was answered

    def __repr__(self) -> str:
        return "Tokens(***)"

    def header(self, scope: str) -> str:
        """The Authorization header for *scope* that is known to be good, empty if there is none."""
        if self._basic and self._login is not None:
            return _basic(self._login)
        header, until = self._kept.get(scope, ("", 0.0))
        return header if time.monotonic() < until else ""

    def forget(self, scope: str) -> None:
        """The header was refused."""
        self._kept.pop(scope, None)

    def renewable(self, scope: str) -> Challenge | None:
        """The challenge to answer again for a scope whose token has run out, without asking the registry for it."""
        return None if self._basic else self._known.get(scope)

    def answer(self, asked: Sequence[Challenge], scope: str, secure: bool, ask: Ask) -> str:
        """The header that answers one of the challenges.

        Args:
            scope: what is needed. Never what the challenge names: a registry could ask for more than that.
            secure: whether the registry was reached by TLS.
            ask: sends a request to the token server.

        Raises:
            RegistryFault: none can be answered, or the realm is refused.
        """
        for challenge in asked:
            if challenge.scheme == "bearer":
                self._kept[scope] = self._token(challenge, scope, secure, ask)
                self._known[scope] = challenge
                return self._kept[scope][0]
            if challenge.scheme == "basic" and self._login is not None and self._login.username:
                self._basic = True
                return _basic(self._login)
        raise denied(self._registry, self._login is not None)

    def _token(self, challenge: Challenge, scope: str, secure: bool, ask: Ask) -> tuple[str, float]:
        realm = self._realm(challenge.parameters.get("realm", ""), secure)
        service = challenge.parameters.get("service", "")
        fields = {"service": service, "scope": scope} if service else {"scope": scope}
        started = time.monotonic()
        if self._login is not None and self._login.identity:
            form = {"grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": self._login.identity}
            document = ask("POST", realm, {}, {**fields, **form})
        else:
            headers = {"Authorization": _basic(self._login)} if self._login is not None else {}
            mark = "&" if urlsplit(realm).query else "?"
            document = ask("GET", f"{realm}{mark}{urlencode(fields)}", headers, None)
        token = document.get("token") or document.get("access_token") if isinstance(document, dict) else None
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or " " in token:
            raise RegistryFault("registry.auth", f"the token server of {self._registry} gives no token", "Try again.")
        return f"Bearer {token}", started + _RENEW * _life(document.get("expires_in"))

    def _realm(self, realm: str, secure: bool) -> str:
        """The realm, if it may be asked. Raises RegistryFault."""
        try:
            parts = urlsplit(realm)
            host, _ = (parts.hostname or "").lower(), parts.port  # which complains of what is no number
        except ValueError:
            host, parts = "", urlsplit("")
        own = _hostname(self._registry.api)
        named = f"{shown(str(self._registry))} sends token requests to {shown(host or realm)}"
        if parts.scheme not in (("https",) if secure else ("https", "http")) or parts.username is not None or not host:
            raise RegistryFault("registry.auth-realm", f"{named}, not by TLS", "Do not use this registry.")
        trusted = {own, *self._settings.realms, *([_HUB_REALM] if self._registry.host == HUB else ())}
        if host not in trusted and not _above(host, own):
            tip = f"If that is its token server, set LEAKSCAN_REGISTRY_REALMS={shown(host)}."
            raise RegistryFault("registry.auth-realm", f"{named}, which is another host", tip)
        if parts.scheme == "http" and host != own:
            raise RegistryFault("registry.auth-realm", f"{named}, not by TLS", "Do not use this registry.")
        return realm.partition("#")[0]


def _life(told: object) -> float:
    """Seconds that a token may be kept, by what its server says."""
    if isinstance(told, int | float) and not isinstance(told, bool) and told > 0:
        return float(min(told, _LONGEST))
    return _SECONDS


def denied(registry: Repository, logged_in: bool) -> RegistryFault:
    """The registry does not let us read."""
    tip = "Check the spelling and what the account may read." if logged_in else "Log in with docker login."
    what = f"{registry.host} says no such repository, or no access to it"
    return RegistryFault("registry.denied", what, tip)


def _hostname(netloc: str) -> str:
    return (urlsplit(f"//{netloc}").hostname or "").lower()


def _above(host: str, own: str) -> bool:
    """Whether *host* is the domain that *own* lies in: whoever holds it can make any host below it."""
    return "." in host and own.endswith(f".{host}") and not host.replace(".", "").isdigit()


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
