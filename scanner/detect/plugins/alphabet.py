"""Text as one byte for each character, so that a linear engine on bytes sees what Python's `re` sees on text.

ASCII stands for itself. Beyond it, expressions over ASCII words can tell apart only a few kinds of character: word,
digit, space, and the few that equal an ASCII letter when case is ignored. Each kind has one byte from 0x80 on.
"""

from __future__ import annotations

import re

#: the characters beyond ASCII that an expression may name, or that ignoring case makes equal to an ASCII letter
NAMED = "\u0130\u0131\u017f\u212a\u00f1\u00d1"
_OTHER, _WORD, _SPACE, _DIGIT, _FIRST_NAMED = 0x80, 0x81, 0x82, 0x83, 0x84
#: one character for each byte of the alphabet, in order: ASCII, then bullet, letter, no-break space, Arabic zero
REPRESENTATIVES = "".join(map(chr, range(128))) + "\u2022\u00e0\u00a0\u0660" + NAMED
_BYTE_OF = {character: byte for byte, character in enumerate(REPRESENTATIVES)}
#: characters whose kind is remembered; hostile text could name a million
_REMEMBERED = 4096


def byte_set(one_character: str, flags: int) -> frozenset[int]:
    """The bytes of all kinds that *one_character*, an expression for a single character, matches under *flags*."""
    return frozenset(_BYTE_OF[found] for found in re.findall(one_character, REPRESENTATIVES, flags))


class Projection(dict[int, int]):
    """A table for `str.translate` that turns every character into its byte's character."""

    def __init__(self) -> None:
        super().__init__({ord(character): _FIRST_NAMED + place for place, character in enumerate(NAMED)})

    def __missing__(self, point: int) -> int:
        kind = point if point < 128 else _kind(chr(point))
        if len(self) < _REMEMBERED:
            self[point] = kind
        return kind

    def __call__(self, text: str) -> bytes:
        """*text* in the alphabet: as many bytes as it has characters."""
        if text.isascii():
            return text.encode("ascii")
        return text.translate(self).encode("latin-1")


def _kind(character: str) -> int:
    """The byte of an unnamed character beyond ASCII, by the same properties that `re` asks for."""
    if character.isdecimal():
        return _DIGIT
    if character.isalnum():
        return _WORD
    return _SPACE if character.isspace() else _OTHER
