"""Lines of text for people: wrapping, colour, amounts. Everything that goes in is made safe to show first."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from enum import StrEnum
from typing import TypeVar

from scanner.evidence import Severity
from scanner.report import escape
from scanner.report.escape import text as visible

_SHELL_WORD = re.compile(r"(?:'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|[^\s'\"\\]|['\"\\])+")

_LONGEST_LABEL, _HANGING = 60, 11
_T = TypeVar("_T")


class Style(StrEnum):
    """What a word may look like: the parameters of SGR (ECMA-48, 8.3.117)."""

    BOLD = "1"
    RED = "1;31"
    YELLOW = "1;33"
    GREEN = "1;32"
    CYAN = "36"


#: how each severity looks, wherever one is named
SEVERITY = {
    Severity.CRITICAL: Style.RED,
    Severity.HIGH: Style.RED,
    Severity.MEDIUM: Style.YELLOW,
    Severity.LOW: Style.YELLOW,
}


class Page:
    """Collects the lines of a report.

    *width* counts characters; words that are longer are cut, save in commands, which must stay whole to be pasted.
    """

    def __init__(self, width: int, color: bool) -> None:
        self._width = max(width, 40)
        self._color = color
        self._lines: list[str] = []

    def blank(self) -> None:
        """One empty line, never two, and none at the top."""
        if self._lines and self._lines[-1]:
            self._lines.append("")

    def say(self, text: str, *, indent: int = 0, label: str = "", style: Style | None = None) -> None:
        """A wrapped paragraph, with *label* in front of its first line.

        The other lines hang below the text if the label is short. *style* colours the label, or the whole paragraph
        if there is none.
        """
        label = cut(visible(label), _LONGEST_LABEL)
        head = " " * indent + label
        wrapped = textwrap.wrap(
            " ".join(visible(text).split()),
            self._width,
            initial_indent=head,
            subsequent_indent=" " * (len(head) if len(label) <= _HANGING else indent + 2),
            break_on_hyphens=False,
        ) or [head.rstrip()]
        if style and label:
            wrapped[0] = " " * indent + self.paint(label, style) + wrapped[0][len(head) :]
        elif style:
            wrapped = [" " * indent + self.paint(line.strip(" "), style) for line in wrapped]
        self._lines += wrapped

    def line(self, head: str, text: str, *, indent: int) -> None:
        """*text* behind *head*, which may hold colour and is *indent* characters wide; further lines hang below."""
        room = max(self._width - indent, 20)
        wrapped = textwrap.wrap(" ".join(visible(text).split()), room, break_on_hyphens=False) or [""]
        self._lines.append(f"{head}{wrapped[0]}")
        self._lines += [f"{' ' * indent}{more}" for more in wrapped[1:]]

    def command(self, text: str, *, indent: int, label: str = "") -> None:
        """A shell command to paste: broken only between words, each line but the last ending in a backslash."""
        head = " " * indent + label
        lines: list[str] = []
        for word in _SHELL_WORD.findall(visible(text)):
            if lines and len(head) + len(lines[-1]) + len(word) + 5 <= self._width:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        for at, line in enumerate(lines):
            end = "" if at == len(lines) - 1 else " \\"
            start = head if at == 0 else " " * (len(head) + 2)
            self._lines.append(f"{start}{line}{end}")

    def verbatim(self, text: str, *, indent: int) -> None:
        """Lines of a file as they are, but for what does not print."""
        self._lines += [f"{' ' * indent}{visible(line)}".rstrip() for line in text.split("\n")]

    def paint(self, text: str, style: Style) -> str:
        """*text* in colour, if the page has any."""
        return f"\x1b[{style}m{text}\x1b[0m" if self._color else text

    def __str__(self) -> str:
        return "\n".join(map(escape.line, self._lines)) + "\n"


def amount(number: int) -> str:
    """A number of bytes for people: `999 bytes`, `1.2 MB`."""
    if number < 1000:
        return counted(number, "byte")
    value, units = number / 1000, ["TB", "GB", "MB", "kB"]
    while value >= 999.95 and len(units) > 1:
        value /= 1000
        units.pop()
    return f"{value:.1f} {units[-1]}"


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 gap`, `1,234 gaps`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def short(digest: str) -> str:
    """The first 12 hex digits of a digest, as engines show it."""
    return digest.partition(":")[2][:12] or digest[:12]


def cut(text: str, length: int) -> str:
    """*text*, or its beginning and `...`."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def unique(items: Iterable[_T]) -> list[_T]:
    """*items* in their order, each once."""
    return list(dict.fromkeys(items))
