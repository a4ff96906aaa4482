"""Who a caller is: bearer tokens, kept as hashes in a file of the operator's, and what a request brings of them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scanner import userfile
from scanner.errors import UnusableFile
from scanner.serve.words import Scope

#: what a token of ours begins with, so that it is known where it leaks
PREFIX = "leakscan_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")
_KEYS = frozenset(("name", "sha256", "scopes", "expires"))
_LOOK_SECONDS = 2.0  # between looks at whether the file changed


class TokenExpired(Exception):
    """The token was good once."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever passed with a token or a certificate."""

    name: str
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True)
class _Token:
    caller: Caller
    sha256: str
    expires: datetime


class Tokens:
    """The tokens of a file, read again when it changes: whoever is struck out is out within seconds.

    Raises:
        UnusableFile: it cannot be read at the start, or is wrong; later on, the tokens that were known go on to count
            until it is right again.
    """

    def __init__(self, path: Path | None, clock: Callable[[], datetime] | None = None) -> None:
        self._path, self._clock = path, clock or (lambda: datetime.now(UTC))
        self._stamp = self._stamped()
        self._tokens = _read(path) if path is not None else {}
        self._looked = time.monotonic()

    def caller(self, presented: str) -> Caller | None:
        """Who has this token, None for nobody. Raises TokenExpired."""
        self._look()
        digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).hexdigest()
        found = self._tokens.get(digest)
        # 256 random bits are not guessed by how long a look-up takes; the comparison is for whoever wonders
        if found is None or not hmac.compare_digest(found.sha256, digest):
            return None
        if self._clock() >= found.expires:
            raise TokenExpired
        return found.caller

    def _look(self) -> None:
        if self._path is None or time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        stamp = self._stamped()
        if stamp != self._stamp:
            try:
                self._tokens = _read(self._path)
                self._stamp = stamp
            except UnusableFile:  # half written, maybe
                return

    def _stamped(self) -> tuple[int, int, int]:
        try:
            found = os.stat(self._path) if self._path is not None else None
        except OSError:
            found = None
        return (0, 0, 0) if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)


def _read(path: Path) -> dict[str, _Token]:
    name = userfile.shown(path)
    document = userfile.toml(userfile.read(path), name)
    if unknown := document.keys() - {"token"}:
        raise UnusableFile(f"{name}: {sorted(unknown)[0]} is not known there")
    entries = document.get("token", [])
    if not isinstance(entries, list):
        raise UnusableFile(f"{name}: tokens stand in [[token]]")
    found: dict[str, _Token] = {}
    for number, entry in enumerate(entries, 1):
        token = _token(entry, f"{name}: token {number}")
        if token.sha256 in found:
            raise UnusableFile(f"{name}: token {number} is there twice")
        found[token.sha256] = token
    return found


def _token(entry: Any, where: str) -> _Token:
    if not isinstance(entry, dict) or entry.keys() != _KEYS:
        raise UnusableFile(f"{where} needs {', '.join(sorted(_KEYS))}, and nothing else")
    name, digest, scopes, expires = entry["name"], entry["sha256"], entry["scopes"], entry["expires"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UnusableFile(f"{where}: name must be letters, digits, dots, dashes")
    if not isinstance(digest, str) or not _HASH.fullmatch(digest):
        raise UnusableFile(f"{where}: sha256 must be 64 hexadecimal digits")
    if not isinstance(expires, datetime):
        raise UnusableFile(f"{where}: expires must be a date with a time, such as 2030-01-31T00:00:00Z")
    ends = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
    return _Token(Caller(name, parse_scopes(scopes, where)), digest, ends)


def parse_scopes(words: Any, where: str) -> frozenset[Scope]:
    """Scopes by name. Raises UnusableFile."""
    known = [scope.value for scope in Scope]
    if not isinstance(words, list) or not words or not all(word in known for word in words):
        raise UnusableFile(f"{where}: scopes must be some of {', '.join(known)}")
    return frozenset(Scope(word) for word in words)


def issue(path: Path, name: str, scopes: frozenset[Scope], hours: int) -> str:
    """Make a token, add its hash to a file (made if it is not there), and return it: it is kept nowhere.

    Raises UnusableFile.
    """
    if not _NAME.fullmatch(name):
        raise UnusableFile(f"{userfile.shown(name)} cannot be the name of a token: letters, digits, dots, dashes")
    token = PREFIX + secrets.token_urlsafe(32)
    expires = (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="seconds").replace("+00:00", "Z")
    words = ", ".join(f'"{scope.value}"' for scope in sorted(scopes))
    entry = (f'[[token]]\nname = "{name}"\nsha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n'
             f"scopes = [{words}]\nexpires = {expires}\n\n")  # fmt: skip
    if os.path.exists(path):
        _read(path)  # nothing is added to what is wrong
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "a") as file:
            file.write(entry)
    except OSError as error:
        raise UnusableFile(f"{userfile.shown(path)} cannot be written: {error.strerror}") from None
    return token


def presented(headers: Mapping[str, str], in_path: str) -> str:
    """The token that a request brings: as bearer, as the password of Basic, as Harbor's API key, in its path."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return headers.get("x-scanneradapter-api-key", "") or in_path
