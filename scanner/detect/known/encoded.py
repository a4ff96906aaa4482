"""Base64, hex and UTF-16 around a place where a few characters of an encoded value were seen.

Other than `content.encoded`, which decodes runs wherever something in them is promising, this is for values that are
known to be there: lines may be wrapped anywhere and in any way, and the alphabet itself may be escaped.
"""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

#: ways to read a text with breaks in it: none, lines, lines with something in front as comments and patches have
_NONE = r"(?!)"
_LINES = r"(?:\\{1,8}[nrt]|%0[aAdD]|&#(?:10|13|[xX][aAdD]);|\\{0,8}[\r\n])[ \t]{0,64}|\\{1,8}(?=[\r\n])"
_CONTINUED = rf"(?:(?:{_LINES})(?:#|//|--|[*+>|;])?[ \t]{{0,8}}|[\"'] ?[+.,&\\]?[ \t\r\n]{{0,64}}[\"'])"
_BREAKS = (_NONE, _LINES, _CONTINUED)
#: members of the alphabet that languages escape
_ESCAPED = {
    "+": r"\\{1,8}u002[bB]|%(?:25){0,3}2[bB]|&#(?:43|[xX]2[bB]);|&plus;",
    "/": r"\\{1,8}/|\\{1,8}u002[fF]|%(?:25){0,3}2[fF]|&#(?:47|[xX]2[fF]);|&sol;",
}
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_HEX_BREAKS = (_NONE, rf"(?:{_LINES}|[ :]|, ?)(?:\\?[0\\]x)?", rf"{_CONTINUED}")


def _tokens(breaks: str, members: str, escaped: dict[str, str]) -> re.Pattern[bytes]:
    own = "".join(f"|(?P<e{ord(char)}>{spelled})" for char, spelled in escaped.items())
    return re.compile(rf"(?P<break>{breaks}){own}|(?P<run>{members}+)".encode())


_BASE64 = tuple(_tokens(breaks, "[A-Za-z0-9+/_-]", _ESCAPED) for breaks in _BREAKS)
_HEX = tuple(_tokens(breaks, "[0-9A-Fa-f]", {}) for breaks in _HEX_BREAKS)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Decoded bytes. *back* maps a span of them to a span of what they were decoded from."""

    plain: bytes = field(repr=False)
    encoding: str
    back: Callable[[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Members:
    """The members of one run of encoded text, with the way back: *starts* in the text, one for each of *places*."""

    text: bytes
    places: Sequence[int]
    starts: Sequence[int]
    at: int

    def start(self, number: int) -> int:
        """Where the member of that number stands."""
        part = max(0, bisect_right(self.places, number) - 1)
        return self.starts[part] + number - self.places[part]


def _members(data: bytes, at: int, tokens: re.Pattern[bytes]) -> _Members:
    """The run around *at*: tokens that follow one another without anything else between them."""
    text: list[bytes] = []
    places: list[int] = []
    starts: list[int] = []
    size, reached, place = 0, 0, 0
    for token in tokens.finditer(data):
        if token.start() > reached and reached < at:
            text, places, starts, size, place = [], [], [], 0, 0
        elif token.start() > reached:
            break
        reached = token.end()
        kind = token.lastgroup or ""
        if kind == "break":
            continue
        places.append(size)
        starts.append(token.start())
        part = token.group() if kind == "run" else bytes([int(kind[1:])])
        text.append(part)
        if token.start() < at:
            place = size + min(len(part), at - token.start())
        size += len(part)
    return _Members(b"".join(text), places, starts, place)


def base64_around(data: bytes, at: int, phase: int) -> Iterator[Decoded]:
    """What base64 around *at* stands for, in each way of reading the breaks in it.

    Args:
        phase: how many characters of an unfinished group come before *at*.
    """
    last = b""
    for tokens in _BASE64:
        found = _members(data, at, tokens)
        drop = (found.at - phase) % 4
        text = found.text[drop:].translate(_URL_SAFE)
        if text == last:
            continue
        last = text
        text = text[: len(text) - (len(text) % 4 == 1)]
        try:
            plain = binascii.a2b_base64(text + b"=" * (-len(text) % 4))
        except binascii.Error:
            continue

        def back(low: int, high: int, found: _Members = found, drop: int = drop) -> tuple[int, int]:
            end = min(drop + -(-high * 4 // 3), len(found.text))
            return found.start(drop + low * 4 // 3), found.start(end - 1) + 1

        yield Decoded(plain, "base64", back)


def hex_around(data: bytes, at: int) -> Iterator[Decoded]:
    """What hex digits around *at*, between two bytes, stand for, in each way of reading the breaks in them."""
    last = b""
    for tokens in _HEX:
        found = _members(data, at, tokens)
        drop = found.at % 2
        text = found.text[drop:]
        if text == last:
            continue
        last = text

        def back(low: int, high: int, found: _Members = found, drop: int = drop) -> tuple[int, int]:
            return found.start(drop + 2 * low), found.start(drop + 2 * high - 1) + 1

        yield Decoded(binascii.a2b_hex(text[: len(text) & ~1]), "hex", back)


def wide_around(data: bytes, at: int, codec: str) -> Decoded:
    """UTF-16 around *at*, between two characters, as UTF-8. *codec*: utf-16-le or utf-16-be."""
    first = at % 2
    plain = data[first:].decode(codec, "replace").encode("utf-8", "replace")

    def back(low: int, high: int) -> tuple[int, int]:
        start = first + len(plain[:low].decode("utf-8", "ignore").encode(codec, "replace"))
        return start, start + len(plain[low:high].decode("utf-8", "ignore").encode(codec, "replace"))

    return Decoded(plain, codec.replace("-le", "le").replace("-be", "be"), back)


def aligned(word: bytes) -> Iterator[tuple[bytes, int]]:
    """The base64 characters that depend on *word* alone, for each way it can lie in groups of three bytes, and how
    many characters of a group of four come before them."""
    for [form], before in all_aligned([word]):
        yield form, before


def all_aligned(words: Collection[bytes]) -> Iterator[tuple[list[bytes], int]]:
    """The same for many words: those of one length are encoded together, as thousands are for every scan."""
    for size, equal in groupby(sorted(words, key=len), len):
        same = list(equal)
        for lead in range(3):
            filled = bytes(-(lead + size) % 3 + lead)  # what ends one's last group and leads the next one
            encoded = base64.b64encode(bytes(lead) + filled.join(same) + filled)
            step = (lead + size + 2) // 3 * 4 or 1  # an empty word has none
            first, last = -(-8 * lead // 6), 8 * (lead + size) // 6
            yield [encoded[at + first : at + last] for at in range(0, step * len(same), step)], first


def widened(word: bytes, little: bool) -> bytes:
    """ASCII as UTF-16."""
    return word.decode("utf-8", "replace").encode("utf-16-le" if little else "utf-16-be")
