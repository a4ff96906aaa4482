"""Replaces found values in every string of a report.

A secret can stand in a path, a link target, created_by or a command, as it is or in the spelling of the language
around it. Looking up thousands of values in thousands of strings takes one dictionary access for each character.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

#: Values of fewer characters are common words too often to be replaced everywhere: `admin` would erase paths.
EVERYWHERE = 8
#: Values of fewer characters are not even replaced inside words of the finding's own strings.
_INSIDE_WORDS = 4
#: Where a short value is most likely a value and no word: after `=` or `:`, with or without a quote.
_ASSIGNED = re.compile(r"[=:][\"'\\]{0,2}")
_HIDDEN = "***"
#: what neither JSON nor URLs (RFC 3986, 2.3) nor shells escape
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)
#: texts of which it is remembered where values stand in them
_REMEMBERED = 1024


def spellings(value: bytes) -> frozenset[str]:
    """Every way a string of a report may spell *value*.

    Plain, with undecodable bytes as `\\xNN` or surrogate-escaped, and as JSON, URLs and shells escape it; *value*
    may itself stand escaped in a JSON document, so its unescaped form counts as well.
    """
    plain = value.decode("utf-8", "backslashreplace")
    if _UNRESERVED.fullmatch(plain):  # most values: they are spelled one way everywhere
        return frozenset((plain,))
    found = {plain, value.decode("utf-8", "surrogateescape"), *_unescaped(plain)}
    for text in tuple(found):
        found.update(_escaped(text))
    return frozenset(spelling for spelling in found if spelling)


def _unescaped(text: str) -> Iterator[str]:
    if "\\" in text:
        try:
            yield json.loads(f'"{text}"', strict=False)
        except ValueError:
            return


def _escaped(text: str) -> Iterator[str]:
    raw = text.encode("utf-8", "surrogatepass")
    for ascii_only in (True, False):
        as_json = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield as_json
        # Go's encoder, which writes most configs, escapes these three as well (encoding/json, HTMLEscape).
        yield as_json.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    for quoted in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda hexed: hexed[0].lower(), quoted)
    yield text.replace("'", "'\\''")
    yield text.replace("'", "'\"'\"'")
    yield re.sub(r'([\\"$`])', r"\\\1", text)


class Redactor:
    """Knows all values found in one scan; `text()` replaces them by as many `*` as they have characters.

    Values of 8 characters and more are replaced everywhere. Shorter ones are replaced in the strings of their own
    finding, and elsewhere only directly after `=` or `:`.
    """

    __slots__ = ("_found", "_known", "_long", "_patterns", "_short")

    def __init__(self, secrets: Iterable[bytes]) -> None:
        # first characters → lengths, longest first → spellings: many values share a prefix, few differ in length.
        index: dict[str, dict[int, set[str]]] = {}
        short: set[str] = set()
        self._known = frozenset(secrets)
        self._patterns: dict[bytes, re.Pattern[str]] = {}
        self._found: dict[str, tuple[tuple[int, int], ...]] = {}
        for value in self._known:
            for spelling in spellings(value):
                if len(spelling) >= EVERYWHERE and len(value) >= EVERYWHERE:
                    index.setdefault(spelling[:EVERYWHERE], {}).setdefault(len(spelling), set()).add(spelling)
                elif len(value) >= _INSIDE_WORDS:
                    short.add(spelling)
        self._long = {start: sorted(lengths.items(), reverse=True) for start, lengths in index.items()}
        self._short = sorted({len(spelling) for spelling in short}, reverse=True), frozenset(short)

    def __repr__(self) -> str:
        return "Redactor(***)"

    def text(self, text: str, own: bytes | Iterable[bytes] = ()) -> str:
        """*text* with every value replaced.

        Args:
            text: any string that is to be reported.
            own: the value of the finding that the string belongs to, or all values found in that string; these are
                replaced however short they are.
        """
        spans = list(self._known_in(text))
        for value in (own,) if isinstance(own, bytes) else own:
            # long values that are known were looked for already
            if len(value) < EVERYWHERE or value not in self._known:
                spans.extend(self._own(text, value))
        return _masked(text, spans) if spans else text

    def _known_in(self, text: str) -> tuple[tuple[int, int], ...]:
        """Where values stand in *text*, whosever it is; remembered, as thousands of findings share their steps."""
        if text not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[text] = (*self._everywhere(text), *self._assigned(text))
        return self._found[text]

    def _everywhere(self, text: str) -> Iterator[tuple[int, int]]:
        for at in range(len(text) - EVERYWHERE + 1) if self._long else ():
            for length, known in self._long.get(text[at : at + EVERYWHERE], ()):
                if text[at : at + length] in known:
                    yield at, at + length
                    break

    def _assigned(self, text: str) -> Iterator[tuple[int, int]]:
        lengths, known = self._short
        for found in _ASSIGNED.finditer(text) if known else ():
            at = found.end()
            for length in lengths:
                end = at + length
                if end <= len(text) and text[at:end] in known and not text[end : end + 1].isalnum():
                    yield at, at + length
                    break

    def _own(self, text: str, value: bytes) -> Iterator[tuple[int, int]]:
        pattern = self._patterns.get(value)
        if pattern is None:
            ordered = sorted(spellings(value), key=lambda spelling: (-len(spelling), spelling))
            pattern = self._patterns[value] = re.compile("|".join(map(_alone, ordered)) or r"(?!)")
        return (found.span() for found in pattern.finditer(text))


def _alone(spelling: str) -> str:
    """A pattern for *spelling*; very short ones match only where they stand alone."""
    pattern = re.escape(spelling)
    return pattern if len(spelling) >= _INSIDE_WORDS else rf"(?<!\w){pattern}(?!\w)"


def _masked(text: str, spans: list[tuple[int, int]]) -> str:
    parts, done = [], 0
    for start, end in sorted(spans):
        start = max(start, done)
        if start < end:
            parts += [text[done:start], "*" * (end - start)]
            done = end
    return "".join(parts) + text[done:]


def preview(value: bytes, fixed_prefix: str) -> str:
    """What may be shown of *value*: the prefix that its rule's shape fixes, such as `AKIA`, and nothing else.

    First and last characters that are not fixed would help whoever guesses; with a short secret they are much of it.
    """
    fixed = fixed_prefix.encode()
    if fixed and value.startswith(fixed) and len(value) >= len(fixed) + EVERYWHERE:
        return f"{fixed_prefix}{_HIDDEN}"
    return _HIDDEN
