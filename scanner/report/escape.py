"""Makes bytes and strings of an image safe to show: one function for each sink.

Names, commands and labels of an image are chosen by whoever built it. Printed as they are they could move the cursor,
reverse the reading order or forge lines of the report.
"""

from __future__ import annotations

import html
import re
from urllib.parse import quote

# GitHub takes `::name` at the start of a line, and `##[name]` anywhere, for commands; others take `##vso[` and the like
_COMMAND = re.compile(r"^((?:\s|\x1b\[[0-9;]*m)*):(?=:)")
_MARK = re.compile(r"##(\w*)\[")
_FORMULA = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20|%")
# what Markdown, its tables, autolinks and mentions are made of
_MARKUP = re.compile(r"[&<>`*{}\[\]#!|~@^$%\\]|:(?=//)|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|(?<=www)\.", re.IGNORECASE)
_REFERENCE = re.compile(r"(&#(?:33|35|36|37|38|94|126);)(?=\w)")
#: what would make it a mention or an address for mail; code is no mention, but addresses are linked there too
_ADDRESS = re.compile(r"(&#64;)(?=[\w.-])")


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


def xml(words: str) -> str:
    """*words* as character data or an attribute's value of an XML 1.0 document, on one line."""
    return html.escape(text(words), quote=True)


def csv(cell: str) -> str:
    """A quoted cell of a CSV file (RFC 4180) that no spreadsheet takes for a formula.

    One that begins like a formula gets an apostrophe in front, as spreadsheets mark text themselves (OWASP, CSV
    injection); they know the full-width forms of the signs as well.
    """
    shown = text(cell)
    if shown.lstrip(" ")[:1] in _FORMULA:
        shown = f"'{shown}"
    doubled = shown.replace('"', '""')
    return f'"{doubled}"'


def workflow(message: str) -> str:
    """The message of a workflow command of GitHub Actions; line breaks of our own may stand in it.

    The characters are those that actions/toolkit escapes (packages/core/src/command.ts, escapeData).
    """
    lines = [text(part).replace("%", "%25") for part in message.split("\n")]
    return "%0A".join(lines)


def workflow_property(value: str) -> str:
    """A property of such a command, as `title=`, in which colons and commas mean something too (escapeProperty)."""
    return text(value).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")


def markdown(words: str) -> str:
    """*words* as a sentence of Markdown (GitHub, GitLab): nothing in it is markup, HTML, a link or a reference.

    Mentions (`@name`, `#1`, `!1`, `~label`) are looked for in what is shown, after entities; a comment parts them.
    """
    return _REFERENCE.sub(r"\1<!-- -->", _unaddressed(words))


def code(words: str) -> str:
    """*words* as code within a line or a table cell of Markdown; nothing within code is a mention."""
    return f"<code>{_unaddressed(words)}</code>"


def _unaddressed(words: str) -> str:
    return _ADDRESS.sub(r"\1<!-- -->", _unmarked(words))


def _unmarked(words: str) -> str:
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", text(words))


def fenced(block: str, language: str = "") -> str:
    """Lines of a file as a code block of Markdown, whose fence is longer than any run of its characters in them."""
    lines = [line(text(each)) for each in block.split("\n")]
    longest = max((len(run) for each in lines for run in re.findall("`+", each)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join((f"{fence}{language}", *lines, fence))


def uri(path: str) -> str:
    """A path of an image as a relative reference (RFC 3986): whatever is not unreserved is percent-encoded.

    It has no scheme, no authority and no segment that leads upwards, whatever the path is.
    """
    # dots that are percent-encoded are dots all the same (6.2.2.2), so a segment `..` gets a space
    raw = path.encode("utf-8", "surrogatepass")
    segments = [part for part in quote(raw, safe="/").split("/") if part not in ("", ".")]
    return "/".join("%2E%2E%20" if part == ".." else part for part in segments) or "."


def message(words: str) -> str:
    """A plain text message of SARIF: no placeholder (2.1.0, 3.11.5) and no link (3.11.6) can stand in it."""
    return text(words).replace("{", "{{").replace("}", "}}").replace("](", "]\\(")


def _visible(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
