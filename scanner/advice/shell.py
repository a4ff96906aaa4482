"""Where quotes, comments, here-documents and substitutions lie in the text of a shell's command.

Source: POSIX.1-2017, "Shell Command Language": 2.2 (quoting), 2.3 (comments), 2.6.3 (command substitution), 2.7.4
(here-documents).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a part of a command is."""

    SINGLE = "single quotes, in which nothing is expanded"
    DOUBLE = "double quotes"
    COMMENT = "a comment"
    DOCUMENT = "the body of a here-document"
    COMMAND = "$(...), in which quotes begin anew"
    BACKQUOTES = "`...`"


@dataclass(frozen=True, slots=True)
class Part:
    """From its first mark up to behind its last one; what is never closed goes on to the end."""

    start: int
    end: int
    kind: Kind


_QUOTED = re.compile(r'\\.|["`]|\$\(', re.DOTALL)
_BARE = re.compile(
    r"""\\. | ['"`()\n] | \$\( | (?<![^\s;&|()`])\# |
    <<< | <<(?P<tabs>-?)[ \t]*(?P<word>'[^'\n]*'|"[^"\n]*"|[^\s;&|<>()'"`]+)""",
    re.VERBOSE | re.DOTALL,
)
_OPENS = {'"': Kind.DOUBLE, "$(": Kind.COMMAND, "(": None}


def parts(command: str) -> list[Part]:
    """The parts of *command* that are not bare words, in the order of their starts: what lies within another one comes
    after it. Takes time that grows with its length."""
    found: list[Part] = []
    opened: list[tuple[Kind | None, int]] = []  # None is a group in parentheses, which is no part
    backquotes: int | None = None  # how many are open around them
    awaited: list[tuple[str, bool]] = []  # the ends of here-documents that begin with the next line

    def close(depth: int, end: int) -> None:
        while len(opened) > depth:
            kind, start = opened.pop()
            if kind is not None:
                found.append(Part(start, end, kind))

    at = 0
    while token := (_QUOTED if opened and opened[-1][0] is Kind.DOUBLE else _BARE).search(command, at):
        mark, start, at = token[0], token.start(), token.end()
        inner = opened[-1][0] if opened else None
        if mark == "'":
            at = command.find("'", at) + 1 or len(command)
            found.append(Part(start, at, Kind.SINGLE))
        elif mark == "#":
            at = command.find("\n", at)
            at = len(command) if at < 0 else at
            found.append(Part(start, at, Kind.COMMENT))
        elif mark == "\n":
            end = _behind(command, at, awaited)
            if end > at:
                found.append(Part(at, end, Kind.DOCUMENT))
            awaited, at = [], end
        elif token.lastgroup == "word":
            awaited.append((re.sub(r"[\\'\"]", "", token["word"]), bool(token["tabs"])))
        elif mark == "`" and backquotes is not None:
            close(backquotes, at)
            backquotes = None
        elif mark == "`":
            backquotes = len(opened)
            opened.append((Kind.BACKQUOTES, start))
        elif (mark == '"' and inner is Kind.DOUBLE) or (mark == ")" and opened and inner in (Kind.COMMAND, None)):
            close(len(opened) - 1, at)
        elif mark in _OPENS:
            opened.append((_OPENS[mark], start))
        if backquotes is not None and len(opened) <= backquotes:
            backquotes = None
    close(0, len(command))
    return sorted(found, key=lambda part: part.start)


def _behind(command: str, at: int, ends: Sequence[tuple[str, bool]]) -> int:
    """Where the here-documents that begin at *at* end, one after the other."""
    for word, tabs in ends:
        line = None
        while line != word and at < len(command):
            stop = command.find("\n", at)
            stop = len(command) if stop < 0 else stop
            line = command[at:stop].lstrip("\t") if tabs else command[at:stop]
            at = min(stop + 1, len(command))
    return at


def around(found: Sequence[Part], at: int) -> Iterator[Part]:
    """The parts that the character at *at* belongs to, from the outermost to the innermost."""
    return (part for part in found if part.start <= at < part.end)
