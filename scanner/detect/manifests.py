"""Kubernetes Secret manifests: what stands under `data` and `stringData` is secret whatever its name and form.

The manifest is read as the text it is, indentation by indentation: an image holds templates and fragments that no
YAML parser takes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scanner.detect import plausible
from scanner.detect.base import Explaining, Trigger
from scanner.detect.spans import Suppressed
from scanner.evidence import Confidence, Evidence, Match, Secret, Severity

RULE = "kubernetes.secret-manifest"
#: a manifest reaches at most so far to either side of its kind
_REACH = 64 << 10
_KIND = re.compile(rb"(?im)^[ \t]*(?:- )?[\"']?kind[\"']?[ \t]*:[ \t]*[\"']?secret[\"']?[ \t]*,?[ \t]*\r?$")
_BORDER = re.compile(rb"(?m)^---[ \t]*\r?$")
_FIELD = re.compile(rb"(?im)^(?P<indent>[ \t]*)[\"']?(?P<kind>data|stringData)[\"']?[ \t]*:[ \t]*\{?[ \t]*\r?$")
_ENTRY = re.compile(
    rb"^(?P<indent>[ \t]+)[\"']?(?P<name>[A-Za-z0-9._-]{1,120})[\"']?[ \t]*:[ \t]*"
    rb"(?P<value>[^\r\n]*?)[ \t]*,?[ \t]*\r?$"
)
_BLOCK = re.compile(rb"[|>][-+0-9]*\Z")
_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]{4,}={0,2}")
#: entries of Secrets that are not secret
_PUBLIC_ENTRY = re.compile(
    rb"(?:ca|tls|client)?\.?(?:crt|cert)\Z|^(?:ca\.pem|username|user|host|port|namespace|type|url)\Z", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of `data` or `stringData`: its name, and the span of its value."""

    name: bytes
    value: bytes
    start: int
    encoded: bool


class ManifestDetector(Explaining):
    """Values of Kubernetes Secrets (`base.Detector`)."""

    @property
    def triggers(self) -> Sequence[Trigger]:
        """The line that says that it is a Secret."""
        return (Trigger(rb"kind[\"']?[ \t]{0,4}:[ \t]{0,4}[\"']?secret[\"', \t\r]{0,3}\n", caseless=True),)

    def explain(self, data: memoryview, ends: Sequence[int], _path: str) -> Iterator[Match | Suppressed]:
        """As `confirm`, with what was judged to be no secret, and why."""
        seen = 0
        for end in ends:
            low, high = max(seen, end - _REACH), min(len(data), end + _REACH)
            window = bytes(data[low:high])
            begin = max((border.end() for border in _BORDER.finditer(window, 0, end - low)), default=0)
            border = _BORDER.search(window, end - low)
            stop = border.start() if border else len(window)
            if low + stop <= seen or _KIND.search(window, begin, stop) is None:
                continue
            seen = low + stop
            for entry in _entries(window, begin, stop):
                yield _judged(entry, low)


def _entries(window: bytes, begin: int, stop: int) -> Iterator[_Entry]:
    for field in _FIELD.finditer(window, begin, stop):
        depth = len(field.group("indent"))
        encoded = field.group("kind").lower() == b"data"
        at = field.end() + 1
        while at < stop:
            line_end = window.find(b"\n", at, stop)
            line_end = stop if line_end < 0 else line_end
            line = window[at:line_end]
            entry = _ENTRY.match(line)
            if line.strip() and not line.lstrip().startswith(b"#"):
                if len(line) - len(line.lstrip(b" \t")) <= depth:
                    break
                if entry is not None:
                    yield from _entry(entry, window, at, stop, encoded)
            at = line_end + 1


def _entry(entry: re.Match[bytes], window: bytes, at: int, stop: int, encoded: bool) -> Iterator[_Entry]:
    value, start = entry.group("value"), at + entry.start("value")
    if _BLOCK.match(value) is not None:
        depth = len(entry.group("indent"))
        deeper = re.compile(rb"(?:[ \t]{%d,}[^\n]*(?:\n|\Z)|[ \t]*\r?\n)+" % (depth + 1))
        block = deeper.match(window, at + entry.end() + 1, stop)
        if block is None:
            return
        text = block.group().rstrip()
        start = block.start() + len(text) - len(text.lstrip())
        value = text.strip()
    elif value[:1] in (b"'", b'"') and value[-1:] == value[:1]:
        value, start = value[1:-1], start + 1
    if value:
        yield _Entry(entry.group("name"), value, start, encoded)


def _judged(entry: _Entry, base: int) -> Match | Suppressed:
    start, end = base + entry.start, base + entry.start + len(entry.value)
    plain = _decoded(entry.value) if entry.encoded else entry.value
    reason = "undecodable" if plain is None else plausible.reference(entry.value) or _no_secret(entry.name, plain)
    if reason is not None:
        return Suppressed(RULE, start, end, reason)
    name = entry.name.decode("ascii")
    return Match(
        RULE,
        "pattern",
        "Value of a Kubernetes Secret",
        Severity.HIGH,
        Confidence.MEDIUM,
        start,
        end,
        Secret(entry.value),
        (Evidence("companion", "name", name), Evidence("base64", "decoded" if entry.encoded else "plain")),
        gains="Whatever workloads use it for.",
    )


def _decoded(value: bytes) -> bytes | None:
    if _BASE64.fullmatch(value) is None:
        return None
    try:
        return base64.b64decode(b"".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def _no_secret(name: bytes, plain: bytes) -> str | None:
    if _PUBLIC_ENTRY.search(name) is not None and b"PRIVATE KEY" not in plain:
        return "name-of-no-secret"
    if b"-----BEGIN CERT" in plain[:64] or b"-----BEGIN PUBLIC" in plain[:64]:
        return "public"
    if len(plain.strip()) < 5:
        return "short"
    return plausible.password(plain) if len(plain) < 64 and plausible.no_text(plain) is None else None
