"""One value in every spelling that languages give it: raw, and escaped for JSON, URLs, HTML and shells.

Letters and digits stand for themselves in all of these; whatever else a value holds may be escaped, once or several
times over. So a value is looked for by its longest run of letters and digits, and the rest is matched around it by an
expression that takes every spelling of every other character. Text that escapes letters, too, is decoded before it is
searched (`content.encoded`).

Sources: RFC 8259 (JSON), RFC 3986 (percent-encoding), the HTML standard's character references, POSIX shell quoting.
"""

from __future__ import annotations

import html.entities
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from scanner.detect.dialect import compile_pattern

#: characters of one expression; longer values are matched piece by piece
_PIECE = 160
#: bytes that one character may take when it is escaped several times over
_WIDEST = 24
_LONGEST_CORE = 16
_RUN = re.compile(rb"[A-Za-z0-9]{3,}")
_ALNUM = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_KINDS = tuple(map(frozenset, (b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"0123456789")))
#: a backslash, itself escaped or not
_SLASH = r"(?:\\|%(?:25){0,3}5[cC]|&(?:amp;){0,4}#92;)"
_LETTERS = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_DOUBLED = "'\"$%{}"
#: what an escape may begin with, and end with
_BEFORE = frozenset(b"0123456789ABCDEFabcdef;'\"nrtbf+} ")
_AFTER = frozenset(b"\\%&'\"^$+{ ")


def variety(window: bytes) -> int:
    """How unlikely a run of bytes is to occur by chance: its distinct bytes, and its kinds of characters."""
    distinct = frozenset(window)
    return len(distinct) + 2 * sum(not distinct.isdisjoint(kind) for kind in _KINDS)


def telling(value: bytes, length: int) -> tuple[int, int]:
    """The span of *value*, of at most *length* bytes, that is the most unlikely to occur by chance."""
    if len(value) <= length:
        return 0, len(value)
    best = max(range(len(value) - length + 1), key=lambda at: variety(value[at : at + length]))
    return best, best + length


def core(value: bytes) -> tuple[int, int] | None:
    """The span of the most telling run of letters and digits, None if there is none of three."""
    spans = []
    for run in _RUN.finditer(value):
        first, last = telling(run.group(), _LONGEST_CORE)
        spans.append((run.start() + first, run.start() + last))
    return max(spans, key=lambda span: variety(value[slice(*span)]), default=None)


def exact(raw: bytes) -> bytes:
    """An expression for the very bytes, in the dialect of both engines."""
    return b"".join(b"\\x%02x" % byte for byte in raw)


def _pattern(raw: bytes) -> str:
    return exact(raw).decode("ascii")


def _percent(raw: bytes) -> str:
    return "".join(f"%(?:25){{0,3}}(?i:{byte:02x})" for byte in raw)


def _numbers(char: str) -> Iterator[str]:
    """Escapes by number: of JSON and its like, of C and shells, of HTML."""
    units = char.encode("utf-16-be", "surrogatepass")
    pairs = [units[at : at + 2].hex() for at in range(0, len(units), 2)]
    yield "".join(rf"{_SLASH}{{1,8}}u(?i:{pair})" for pair in pairs)
    yield rf"{_SLASH}{{1,8}}[uU]\{{?0{{0,6}}(?i:{ord(char):x})\}}?"
    raw = char.encode("utf-8", "surrogatepass")
    yield "".join(rf"{_SLASH}{{1,8}}x(?i:{byte:02x})" for byte in raw)
    yield "".join(rf"{_SLASH}{{1,8}}0?{byte:03o}" for byte in raw)
    yield rf"&(?:amp;){{0,4}}#(?:0{{0,4}}{ord(char)}|[xX]0{{0,4}}(?i:{ord(char):x}));"


@cache
def _names() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, char in html.entities.html5.items():
        if len(char) == 1 and name.endswith(";"):
            found.setdefault(char, []).append(name[:-1])
    return found


@cache
def _spellings(char: str) -> str:
    """An expression for every spelling of one character that is no letter and no digit."""
    raw = char.encode("utf-8", "surrogatepass")
    own = _pattern(raw)
    found = [_percent(raw), *_numbers(char)]
    if names := _names().get(char):
        found.append(rf"&(?:amp;){{0,4}}(?:{'|'.join(sorted(names))});")
    if char in _DOUBLED:
        found.append(own + own)
    if char == "'":
        found += [rf"'{_SLASH}{{1,8}}''", "'\"'\"'"]
    if char in _LETTERS:
        found.append(rf"{_SLASH}{{1,8}}{_LETTERS[char]}")
    if char == " ":
        found.append(r"\+")
    if char == "\t":
        found.append(" {1,8}")
    if char == "\n":  # indented, continued, as another system ends lines, or joined
        carriage = rf"(?:\r|{_SLASH}{{1,8}}r|%(?:25){{0,3}}0[dD]|&#(?:13|[xX][dD]);)?"
        return rf"(?:{carriage}{_SLASH}{{0,8}}(?:{own}| |{'|'.join(found)})[ \t]{{0,64}}|)"
    if char == "\\":
        return rf"(?:{_SLASH}{{1,16}}|{'|'.join(found)})"
    return rf"(?:\^|{_SLASH}){{0,8}}(?:{own}|{'|'.join(found)})"


def _characters(value: bytes) -> list[bytes]:
    """The characters of *value*, each as its bytes; bytes that are no UTF-8 by themselves."""
    text = value.decode("utf-8", "surrogateescape")
    return [char.encode("utf-8", "surrogateescape") for char in text]


def _expression(characters: list[bytes]) -> str:
    parts = []
    for raw in characters:
        if len(raw) == 1 and (raw[0] in _ALNUM or raw[0] >= 0x80):
            parts.append(rf"(?:{_percent(raw)}|{_pattern(raw)})" if raw[0] >= 0x80 else _pattern(raw))
        else:
            parts.append(_spellings(raw.decode()))
    return "".join(parts)


@dataclass(slots=True)
class Spelled:
    """Finds a value in all its spellings. Its expressions are compiled at the first use, in each process.

    Args:
        value: what is looked for; UTF-8 text or any bytes.

    Attributes:
        core: span of the run that every spelling has, None if there is none.
        reach: bytes before or after the core that any spelling can take.
    """

    value: bytes = field(repr=False)
    core: tuple[int, int] | None = field(init=False, repr=False)
    reach: int = field(init=False)
    _pieces: list[list[bytes]] = field(init=False, repr=False)
    _middle: int = field(init=False)
    _compiled: dict[tuple[int, bool], Any] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.core = core(self.value)
        characters = _characters(self.value)
        self._pieces = [characters[at : at + _PIECE] for at in range(0, len(characters), _PIECE)]
        plain = sum(len(raw) for raw in characters if raw[0] in _ALNUM)
        self.reach = plain + _WIDEST * (len(characters) - plain) + 64
        self._middle, before = 0, 0
        for number, piece in enumerate(self._pieces):
            size = sum(map(len, piece))
            if self.core is not None and before <= self.core[0] < before + size:
                self._middle = number
            before += size

    def trigger(self) -> bytes | None:
        """An expression of the first pass that fires in every spelling, None if there is no core."""
        if self.core is None:
            return None
        first, last = self.core
        before, after = self.value[first - 1 : first], self.value[last : last + 1]
        lead = _class(before, _BEFORE) if before and before[0] not in _ALNUM | {0x0A, 0x09} else b""
        tail = _class(after, _AFTER) if after and after[0] not in _ALNUM | {0x0A, 0x0D, 0x09} else b""
        return lead + exact(self.value[first:last]) + tail

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where *data* spells the value, in order."""
        for found in self._piece(self._middle, False).finditer(data):
            start, end = found.span()
            for number in range(self._middle - 1, -1, -1):
                before = data[max(0, start - _PIECE * _WIDEST) : start]
                piece = self._piece(number, True).search(before)
                if piece is None:
                    break
                start -= len(before) - piece.start()
            else:
                for number in range(self._middle + 1, len(self._pieces)):
                    piece = self._piece(number, False).match(data[end : end + _PIECE * _WIDEST])
                    if piece is None:
                        break
                    end += piece.end()
                else:
                    yield start, end

    def _piece(self, number: int, last: bool) -> Any:
        """The expression of one piece; *last* if it must end where the data ends."""
        if (number, last) not in self._compiled:
            expression = _expression(self._pieces[number])
            self._compiled[number, last] = compile_pattern(rf"(?:{expression})\z" if last else expression)
        return self._compiled[number, last]


def _class(own: bytes, others: frozenset[int]) -> bytes:
    """A class of the first pass: a character of the value, or what an escape of it has there."""
    return b"[" + exact(bytes(sorted(others | set(own)))) + b"]"


def style(spelled: bytes, value: bytes) -> tuple[str, ...]:
    """What was undone between *spelled* and *value*, as a report names it: nothing, or the kind of the escapes."""
    if spelled == value:
        return ()
    if b"%" in spelled and b"%" not in value:
        return ("url",)
    if b"&" in spelled and b"&" not in value:
        return ("html",)
    if re.search(rb'\\+[u"/nrt\\]', spelled):
        return ("json-string",)
    return ("shell",) if re.search(rb"[\\'\"]", spelled) else ("url",) if b"+" in spelled else ("text",)
