"""Bounded JSON: documents from hostile images as values, and every string of a document with its place.

Two readers, for two needs. `parse` is strict: what it lets through means the same to every other reader, so a second
value under a repeated key cannot hide behind the first. `strings` is lenient: it gives whatever looks like a string of
any document, parseable or not, so that a document which `parse` refuses is searched all the same.

Sources: RFC 8259 (JSON), image-spec considerations.md#json, encoding/json of Go for what engines accept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

from scanner.errors import MalformedImage
from scanner.limits import Limits

MAX_INTEGER_DIGITS = 20
_PATH_LENGTH, _KEY_LENGTH, _PATH_DEPTH = 1024, 256, 1000
# possessive, so that no input makes the matcher go back or keep a stack
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_TOKEN = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:"|\\?\Z)|[\[\]{},:]', re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_NUMBER_LENGTH = 400  # characters of a number with fraction or exponent; the largest double has 309 digits


class JsonString(NamedTuple):
    """One string of a document.

    Attributes:
        path: the place of the value, such as `config.Env[3]` or `config.Labels["a.b"]`; a key has the path of its
            value. Holds text of the document: redact it.
        value: with escapes decoded; bytes that are no UTF-8 are surrogate-escaped.
        start, end: byte span in the document, inside the quotes.
        is_key: it names a member of an object.
        escaped: the stored bytes differ from the value.
    """

    path: str
    value: str
    start: int
    end: int
    is_key: bool
    escaped: bool


def parse(raw: bytes, name: str, limits: Limits) -> Any:
    """The value of a JSON document: dicts, lists, str, int, float, bool, None.

    Args:
        name: what messages call the document.

    Raises:
        MalformedImage: larger, deeper or with longer numbers than the limits, no JSON, or a repeated key.
    """
    if len(raw) > limits.document_bytes:
        raise refusal(name, f"has {len(raw)} bytes, more than {limits.document_bytes}")
    if _deeper_than(raw, limits.document_depth):
        raise refusal(name, f"is nested deeper than {limits.document_depth}")
    try:
        return json.loads(
            raw.decode("utf-8", "surrogateescape"),
            object_pairs_hook=_members,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except _RefusedError as refused:
        reason = str(refused)
    except (ValueError, RecursionError):
        # the decoder's own message may quote the document
        reason = "is not valid JSON"
    raise refusal(name, reason)


def refusal(name: str, reason: str) -> MalformedImage:
    """The error that a document is refused with; *reason* holds no text of the document."""
    return MalformedImage(f"{name} {reason}", "Export the image again with the tool that made it.")


class _RefusedError(ValueError):
    """JSON that is valid and yet refused."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("repeats a key in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise _RefusedError(f"holds an integer of more than {MAX_INTEGER_DIGITS} digits")
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > _NUMBER_LENGTH:
        raise _RefusedError("holds a number that is too long")
    return float(digits)


def _constant(name: str) -> NoReturn:
    raise _RefusedError(f"holds {name}, which is no JSON")


def _deeper_than(raw: bytes, limit: int) -> bool:
    """Whether brackets outside strings nest deeper than *limit*; says so without recursion."""
    if raw.count(b"[") + raw.count(b"{") <= limit:
        return False
    depth = 0
    for byte in _STRING.sub(b"", raw).translate(None, _NO_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > limit:
            return True
    return False


class _Frame:
    """An open object or array while walking: where it is, and where in it we are."""

    __slots__ = ("expects_key", "index", "is_object", "key", "prefix")

    def __init__(self, is_object: bool, prefix: str) -> None:
        self.is_object = is_object
        self.prefix = prefix
        self.index = 0
        self.key = ""
        self.expects_key = is_object

    def place(self) -> str:
        """The path of the value that comes next; paths are cut where they get too long to be of use."""
        if len(self.prefix) > _PATH_LENGTH:
            return self.prefix if self.prefix.endswith("…") else self.prefix + "…"
        if not self.is_object:
            return f"{self.prefix}[{self.index}]"
        return self.prefix + self.key if self.prefix else self.key.removeprefix(".")


def _step(key: str) -> str:
    """How a path names a member: `.Env`, or quoted if the key is no identifier."""
    if _IDENTIFIER.fullmatch(key):
        return "." + key
    short = key if len(key) <= _KEY_LENGTH else key[:_KEY_LENGTH] + "…"
    return f"[{json.dumps(short, ensure_ascii=False)}]"


def decode_string(stored: bytes) -> str:
    """The value of the bytes between two quotes; what is no valid escape stays as it is stored."""
    text = stored.decode("utf-8", "surrogateescape")
    if "\\" not in text:
        return text
    try:
        value = json.loads(f'"{text}"', strict=False)
    except ValueError:
        return text
    return value if isinstance(value, str) else text


def strings(raw: bytes) -> Iterator[JsonString]:
    """Every string of a JSON document in document order, keys included.

    Takes time and memory in proportion to the document whatever it holds, and never raises: where the document is no
    JSON, places are a best guess, but every run of bytes in quotes is given.
    """
    stack = [_Frame(False, "")]
    buried = 0  # open brackets deeper than paths are told
    for token in _TOKEN.finditer(raw):
        frame = stack[-1]
        start, end = token.span(1)
        if start >= 0:
            value = decode_string(raw[start:end])
            is_key = frame.expects_key
            if is_key:
                frame.key = _step(value)
            yield JsonString(_place(stack), value, start, end, is_key, b"\\" in token[1])
            continue
        mark = token[0]
        if mark in b"[{":
            if len(stack) < _PATH_DEPTH:
                stack.append(_Frame(mark == b"{", _place(stack)))
            else:
                buried += 1
        elif mark in b"]}":
            if buried:
                buried -= 1
            elif len(stack) > 1:
                stack.pop()
        elif mark == b":":
            frame.expects_key = False
        elif len(stack) > 1:
            frame.index += 1
            frame.expects_key = frame.is_object


def _place(stack: list[_Frame]) -> str:
    return stack[-1].place() if len(stack) > 1 else ""


def folded_keys(document: Mapping[str, object], known: frozenset[str], name: str) -> None:
    """Refuse keys that differ from a known one by case only, which engines (Go) take for it and strict readers ignore.

    Raises:
        MalformedImage: there is one.
    """
    folded = {key.casefold(): key for key in known}
    for key in document:
        if key not in known and key.casefold() in folded:
            raise refusal(name, f"has a second spelling of the key {folded[key.casefold()]}")
