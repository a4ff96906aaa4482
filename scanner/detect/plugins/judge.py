"""Whether what a detector saw is worth reporting, judged by the value and its line alone; each no has a reason.

Reasons: the filters of detect-secrets by our names (sequence, uuid, template, variable, no-letters, identifier,
reference), for guesses digest, checksum, name, path, bulk, wrapped (a line of base64 text), alphabet and expression,
for addresses reserved and version.
"""

from __future__ import annotations

import ipaddress
import re
from itertools import pairwise

from scanner.detect import plausible
from scanner.detect.plugins.library import Library
from scanner.detect.plugins.lines import Line

#: hexadecimal lengths of MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512
DIGEST_LENGTHS = frozenset((32, 40, 56, 64, 96, 128))
_HEX = re.compile(r"[0-9a-fA-F]+")
_CHECKSUM = re.compile(r"(?:sha|md)-?\d{1,3}[-_=:]", re.IGNORECASE)
_SECRET_WORDS = re.compile(rb"secret|passw|pwd|token|api_?key|credential|priv|auth")
#: the words that a name is made of; single letters and digits in between are what random strings have more of
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_EXPRESSION = re.compile(r"[(){}\[\]<>*]|\$|%[sdr(]|\\[nrt]|=>|&&|\|\||::")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:(?:\.|->|::)[A-Za-z_]\w*)+")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_PLACEHOLDER = re.compile(
    r"changeme|example|dummy|sample|placeholder|redacted|your[-_ ]|xxxx|\*\*\*|\.\.\.|foobar|hunter2|s3cr3t"
    r"|passw(?:or)?d|^pass\d{0,4}$|secret\d{0,4}$|test|^\d{4}-\d\d-\d\d",
    re.IGNORECASE,
)
_VERSION = re.compile(r"ver(?:sion|\.)?\W{0,4}$|(?:[<>=~^]=?|\bv|release|\d:)\W{0,3}$", re.IGNORECASE)
#: what follows in a line is not looked at for the filters that look at lines, as detect-secrets does for one of them
_CONTEXT = 1000
#: a quoted string longer than this is data
BULK = 4096


class Judge:
    """Judges values. Shares the library's expressions."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def filtered(self, value: str, names: tuple[str, ...] = ()) -> str | None:
        """The reason of the first value filter that sets *value* aside; only those in *names* if any are given."""
        for name, applies in self._library.value_filters:
            if (not names or name in names) and applies(value):
                return name
        return None

    def line_filtered(self, line: Line, start: int) -> str | None:
        """The reason why the line around a guess at character *start* sets it aside."""
        before = line.projected[max(0, start - _CONTEXT) : start]
        if self._library.identifier_name.expression.search(before) is not None:
            return "identifier"
        if len(line.projected) <= _CONTEXT:
            found = self._library.indirect_reference.expression.search(line.projected)
            return "reference" if found is not None else None
        return None

    @staticmethod
    def string_reason(value: str, before: str) -> str | None:
        """Why a high-entropy string is no secret by itself and the few characters *before* it, None if it might be."""
        if len(value) > BULK:
            return "bulk"
        if _CHECKSUM.match(value) or _CHECKSUM.search(before[-12:]):
            return "checksum"
        named = names_secret(before.encode("utf-8", "surrogateescape"))
        if len(value) in DIGEST_LENGTHS and _HEX.fullmatch(value) and not named:
            return "digest"
        if is_name(value):
            return "path" if "/" in value else "name"
        if value.endswith("\\n") and 60 <= len(value) - 2 <= 76:
            return "wrapped"
        return "alphabet" if ascends(value) else None

    @staticmethod
    def address_reason(value: str, text: str, place: int) -> str | None:
        """Why four numbers are no public address: a reserved range, or the version of something."""
        try:
            if not ipaddress.IPv4Address(value.partition(":")[0]).is_global:
                return "reserved"
        except ValueError:
            return None
        before, after = text[max(0, place - 24) : place], text[place + len(value) : place + len(value) + 1]
        if "://" in before:
            return None
        versioned = after in ("-", "+", "~", "_") or before.endswith(("-", "~", "_")) or _VERSION.search(before)
        return "version" if versioned else None

    def keyword_reason(self, value: str, line: Line, start: int) -> str | None:
        """Why an assigned value is no secret, None if it might be one."""
        return self.filtered(value) or self.line_filtered(line, start) or _not_literal(value)

    @staticmethod
    def telling(value: str) -> bool:
        """Whether a value looks made by a machine: long, of mixed characters, neither words nor an expression."""
        kinds = sum((any(map(str.islower, value)), any(map(str.isupper, value)), any(map(str.isdigit, value))))
        if len(value) < 12 or kinds < 2 or not any(map(str.isdigit, value)) or len(set(value)) < 9:
            return False
        if any(map(str.isspace, value)) or _not_literal(value) or is_name(value) or placeholder(value):
            return False
        return not made_up(value)


def names_secret(before: bytes) -> bool:
    """Whether the text in front of a value speaks of a secret."""
    return _SECRET_WORDS.search(before.lower()) is not None


def is_name(value: str) -> bool:
    """Whether a string is made of words, as names and paths are: three letters each or more, and few digits."""
    words = _WORDS.findall(value)
    letters = sum(map(len, words))
    digits = sum(map(str.isdigit, value))
    return bool(words) and letters >= 3.2 * len(words) and digits * 8 <= letters


def placeholder(value: str) -> bool:
    """Whether a value says itself that it stands for another."""
    return _PLACEHOLDER.search(value) is not None


def made_up(value: str) -> bool:
    """Whether a value is no secret by its own look: repeated, a sequence, an address, for a sandbox, or malformed."""
    data = value.encode("utf-8", "surrogateescape")
    reasons = (plausible.password, plausible.expression, plausible.test_mode, plausible.broken)
    return any(reason(data) is not None for reason in reasons)


def _not_literal(value: str) -> str | None:
    """Why a value is code or prose rather than a literal."""
    if _EXPRESSION.search(value):
        return "expression"
    if _DOTTED.fullmatch(value):
        return "reference"
    if _WORD.fullmatch(value) or value.count(" ") > 1:
        return "name"
    return "path" if value.count("/") > 1 and "://" not in value else None


def ascends(value: str) -> bool:
    """Whether ten characters in a row come each right after the other, as in tables of an alphabet."""
    run = 0
    for left, right in pairwise(value):
        run = run + 1 if ord(right) == ord(left) + 1 else 0
        if run >= 9:
            return True
    return False
