"""Makes bytes and strings of an image safe to show: one function for each sink.

Names, commands and labels of an image are chosen by whoever built it. Printed as they are they could move the cursor,
reverse the reading order or forge lines of the report.
"""

from __future__ import annotations

import re

# GitHub takes `::name` at the start of a line, and `##[name]` anywhere, for commands; others take `##vso[` and the like
_COMMAND = re.compile(r"^((?:\s|\x1b\[[0-9;]*m)*):(?=:)")
_MARK = re.compile(r"##(\w*)\[")


def decode(raw: bytes) -> str:
    """Bytes of an image as a string of a report: UTF-8, and whatever is not UTF-8 as `\\xNN`."""
    return raw.decode("utf-8", "backslashreplace")


def plain(text: str) -> str:
    """*text* without lone surrogates: those for undecodable bytes (PEP 383) become `\\xNN`, others `\\uNNNN`.

    The sink is JSON, where everything else that is not ASCII is escaped by the writer.
    """
    if text.isascii():
        return text
    return "".join(_visible(char) if "\ud800" <= char <= "\udfff" else char for char in text)


def text(text: str) -> str:
    """*text* as one line for a terminal: everything that does not print visibly is spelled out.

    That is every control character, line and paragraph separators, bidirectional and zero-width controls, spaces
    other than U+0020, lone surrogates and code points that this Python knows no character for. Calling it again
    changes nothing.
    """
    if not text.isprintable():
        text = "".join(char if char.isprintable() else _visible(char) for char in text)
    return _MARK.sub(r"##\1\\x5b", text) if "##" in text else text


def line(line: str) -> str:
    """A whole line of a text report: no word at its start is taken for a command by a CI job that prints it."""
    return _COMMAND.sub(r"\1\\x3a", line)


def json(document: str) -> str:
    """A rendered JSON document of the same meaning, without words that a CI job would take for commands."""
    return _MARK.sub(r"##\1\\u005b", document) if "##" in document else document


def _visible(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
