"""Secrets that the user gave, taken apart: what else of a value is a secret by itself, and what proves nothing.

A file that a build mounts is seldom found whole: a tool copies the password out of it. So the parts of what is given
are secrets of their own: user, password and host of a URL, values of dotenv, INI, netrc, npmrc and JSON files (the
credentials of a Docker config among them), the lines of any other file.

Sources: RFC 3986 (URLs), curl's and GNU's pages on .netrc, npm's npmrc(5), pip's configuration page, Docker's
config.json.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import unquote_to_bytes

from scanner.detect.known.search import LONGEST, KnownDetector, Name
from scanner.detect.known.spelled import variety
from scanner.evidence import Secret

#: of fewer bytes, or fewer different ones, a value occurs by chance
SHORTEST, _DIFFERENT = 8, 4
#: digits alone are dates, sizes and versions until there are so many
_DIGITS = 16
#: so many parts of one secret are looked for
_MOST_PARTS = 400
#: words that stand in images whether or not a secret leaked; values of settings, users and hosts that everybody has
_COMMON = frozenset(
    """
    administrator anonymous application authorization bitbucket.org buildkit cache.nixos.org changeme changeit container
    credential credentials crates.io data:image default defaults deb.debian.org development disabled docker.io
    dockerfile example.com files.pythonhosted.org gcr.io ghcr.io git@github.com github.com gitlab-ci-token gitlab.com
    http://localhost https://github.com https://pypi.org https://pypi.org/simple index.docker.io
    https://index.docker.io/v1/ https://registry.npmjs.org https://registry.npmjs.org/ information localhost
    localhost:8080 maven.google.com mcr.microsoft.com operator passw0rd password password1 password123 placeholder
    postgres postgresql private_key privileged production proxy.golang.org public.ecr.aws pypi.org pypi.python.org
    quay.io redacted registry registry-1.docker.io registry.hub.docker.com registry.npmjs.org registry.yarnpkg.com
    registry.k8s.io repo.maven.apache.org repo1.maven.org rubygems.org security.debian.org service_account sha256sum
    superuser true,false undefined username utf-8,utf8 x-access-token x-oauth-basic x-token-auth __token__ 00000000
    12345678 123456789 1234567890 abcdefgh abcdefghijklmnopqrstuvwxyz 127.0.0.1 0.0.0.0
    """.split()
)
_SECRETISH = re.compile(r"(?i)pass|pwd|secret|token|key|auth|cred|private|session|cookie|salt|signature|dsn|webhook")
_URL = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{1,20}://([^\s/@:\"'<>]*)(?::([^\s/@\"'<>]*))?@([^\s/:?#\"'<>\[\]]+)")
_HOST = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{1,20}://(?:[^\s/@\"'<>]*@)?([^\s/:?#@\"'<>\[\]]+)")
_SETTING = re.compile(
    r"\s*(?:export\s+|set\s+)?(//[^=\s]{1,200}|[A-Za-z_@][\w./:@${}%-]{0,200}?)\s*[=:](?!//)\s*(.*?)\s*"
)
_MARKER = re.compile(rb"-----(?:BEGIN|END) [A-Z0-9 ]+-----|---- (?:BEGIN|END) [\w ]+ ----")
_NETRC = re.compile(rb"\s*(?:#.*|machine\s|default\s|login\s|password\s|macdef\s)")
_DEEPEST, _LEAVES = 20, 2000


@dataclass(frozen=True, slots=True)
class Part:
    """A value to be searched for.

    Attributes:
        name: which part of a secret it is, '' for all of it.
        telling: whether who has it has a secret; a user or host alone is no secret.
    """

    name: str
    value: Secret
    telling: bool = True


@dataclass(frozen=True, slots=True)
class Known:
    """A secret that the user gave.

    Attributes:
        id: as the user calls it.
        parts: the whole value first; empty if nothing of it can prove anything.
        refused: why not, or '' ; *skipped* names the parts that are not searched for, each with the reason.
    """

    id: str
    parts: tuple[Part, ...]
    refused: str = ""
    skipped: tuple[tuple[str, str], ...] = ()


def known(id: str, value: bytes) -> Known:
    """The secret *id* with its parts. A line end behind the value is no part of it: shells drop it."""
    value = _text(value).strip()
    reason = proves_nothing(value)
    parts: dict[bytes, Part] = {} if reason else {value: Part("", Secret(value))}
    skipped: list[tuple[str, str]] = []
    for part in _parts(value):
        raw = part.value.reveal().strip()
        if raw in parts or raw == value:
            continue
        if why := proves_nothing(raw):
            skipped.append((part.name, why))
        elif len(parts) < _MOST_PARTS:
            parts[raw] = Part(part.name, Secret(raw), part.telling)
        else:
            skipped.append((part.name, f"more than {_MOST_PARTS} parts"))
    return Known(id, tuple(parts.values()), reason, tuple(skipped))


def _text(value: bytes) -> bytes:
    """What a file that an editor saved with a byte order mark says."""
    for mark, codec in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if value.startswith(mark):
            return value[len(mark) :].decode(codec, "replace").encode()
    return value


def proves_nothing(value: bytes) -> str:
    """Why finding or not finding *value* would mean nothing; '' if it means something."""
    if len(value) < SHORTEST:
        return f"it has {len(value)} bytes; fewer than {SHORTEST} occur by chance"
    if len(set(value)) < _DIFFERENT:
        return f"it has fewer than {_DIFFERENT} different characters"
    if value.isdigit() and len(value) < _DIGITS:
        return f"it is a number of fewer than {_DIGITS} digits"
    if value.lower().decode("latin-1") in _COMMON:
        return "it is a word that stands in many images anyway"
    steps = {second - first for first, second in pairwise(value)}
    return "its characters follow one another in order" if len(steps) == 1 else ""


def detectors_of(given: Iterable[Known]) -> tuple[KnownDetector, ...]:
    """A detector for each value, however many secrets and parts have it."""
    names: dict[bytes, list[Name]] = {}
    telling: dict[bytes, bool] = {}
    for secret in given:
        for part in secret.parts:
            value = part.value.reveal()[:LONGEST]
            names.setdefault(value, []).append(Name(secret.id, part.name))
            telling[value] = telling.get(value, False) or part.telling
    return tuple(KnownDetector(value, called, telling[value]) for value, called in names.items())


# --- what is in a value -------------------------------------------------------------------------------------------


def _parts(value: bytes) -> Iterator[Part]:
    yield from _of_urls(value, "")
    document = _json(value)
    if isinstance(document, dict | list):
        yield from _of_json(document)
        return
    lines = value.splitlines()
    if any(_NETRC.match(line) for line in lines) and b"machine" in value + b"default":
        found = list(_of_netrc(value))
        if found:
            yield from found
            return
    settings = list(_of_settings(lines))
    yield from settings
    if not settings and len(lines) > 1:
        yield from _of_lines(lines)


def _of_urls(value: bytes, name: str) -> Iterator[Part]:
    """User, password and host of every URL that has a user; a user without a password is a token."""
    prefix = f"{name}: " if name else ""
    for found in _URL.finditer(value):
        user, password, host = found.groups()
        raw = {"user": user, "password": password or b""}
        for part, text in raw.items():
            telling = part == "password" or not password
            yield Part(f"{prefix}{part}", Secret(text), telling)
            if b"%" in text:
                yield Part(f"{prefix}{part}, decoded", Secret(unquote_to_bytes(text)), telling)
        if user and password:
            yield Part(f"{prefix}user and password", Secret(unquote_to_bytes(user) + b":" + unquote_to_bytes(password)))
        yield Part(f"{prefix}host", Secret(host), False)


def _json(value: bytes) -> Any:
    if value[:1] not in b"{[":
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _of_json(document: Any) -> Iterator[Part]:
    """The strings of a document by their keys; of a Docker config the credentials that `auth` packs."""
    todo: list[tuple[str, str, Any, int]] = [("", "", document, 0)]
    seen = 0
    while todo and seen < _LEAVES:
        path, key, item, depth = todo.pop()
        seen += 1
        if isinstance(item, Mapping) and depth < _DEEPEST:
            todo += [(f"{path}.{name}".lstrip("."), str(name), each, depth + 1) for name, each in item.items()]
        elif isinstance(item, list) and depth < _DEEPEST:
            todo += [(f"{path}[{place}]", key, each, depth + 1) for place, each in enumerate(item)]
        elif isinstance(item, str):
            yield from _of_value(path, key, item.encode("utf-8", "surrogatepass"))


def _of_value(name: str, key: str, value: bytes) -> Iterator[Part]:
    """A value under a key: a secret by the key's name or by its own looks, else only something that belongs to one."""
    lines = value.strip().splitlines()
    telling = _SECRETISH.search(key) is not None or _looks_random(value)
    urls = list(_of_urls(value, name))
    plain_url = not urls and _HOST.match(value) is not None
    yield Part(name, Secret(value), telling and not plain_url)
    yield from urls
    if key.lower().strip("_").endswith("auth"):
        yield from _of_basic(name, value)
    if len(lines) > 1:
        yield from _of_lines(lines, f"{name}: ")


def _of_basic(name: str, value: bytes) -> Iterator[Part]:
    """What `user:password` in base64 holds."""
    try:
        plain = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return
    user, colon, password = plain.partition(b":")
    if colon:
        yield Part(f"{name}: user and password", Secret(plain))
        yield Part(f"{name}: user", Secret(user), False)
        yield Part(f"{name}: password", Secret(password))


def _of_netrc(value: bytes) -> Iterator[Part]:
    words = re.sub(rb"(?m)^\s*#.*$", b"", value).split()
    for word, following in pairwise(words):
        if word in (b"machine", b"login", b"account"):
            yield Part(word.decode(), Secret(following), False)
        elif word == b"password":
            yield Part("password", Secret(following.strip(b"\"'")))


def _of_settings(lines: Sequence[bytes]) -> Iterator[Part]:
    """The values of `NAME=value` and `name: value`, if all lines are such, sections, comments or empty."""
    found: list[tuple[str, str]] = []
    for raw in lines:
        line = raw.decode("utf-8", "surrogateescape")
        stripped = line.strip()
        if not stripped or stripped[0] in "#;" or (stripped[0] == "[" and stripped[-1] == "]"):
            continue
        setting = _SETTING.fullmatch(line)
        if setting is None or "://" in setting.group(1):
            if found and line[:1].isspace():  # a value that goes on
                found.append((found[-1][0], stripped))
                continue
            return
        found.append((setting.group(1), setting.group(2)))
    for name, text in found:
        value = _unquoted(text).encode("utf-8", "surrogateescape")
        key = name.rpartition(":")[2] if name.startswith("//") else name
        yield from _of_value(key, key, value)


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        inner = text[1:-1]
        return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t", "r": "\r"}.get(m[1], m[1]), inner) \
            if text[0] == '"' else inner  # fmt: skip
    return re.sub(r"\s+#.*", "", text)


def _of_lines(lines: Sequence[bytes], prefix: str = "") -> Iterator[Part]:
    """Lines; of a key those within its markers but the first, which all keys of a kind share."""
    marked = any(_MARKER.search(line) for line in lines)
    shared = False
    for number, line in enumerate(lines, 1):
        if _MARKER.search(line):
            shared = True
            continue
        if shared or (marked and b":" in line):
            shared = False
            continue
        yield Part(f"{prefix}line {number}", Secret(line.strip()), marked or _looks_random(line))


def _looks_random(value: bytes) -> bool:
    """Whether a value is no word and no name: several kinds of characters, and much variety."""
    text = value.strip()
    return len(text) >= 10 and variety(text) >= 14 and any(0x30 <= byte <= 0x39 for byte in text) and b" " not in text
