"""Assignments of configuration files as quoted ones, for expressions that ask for quotes.

detect-secrets rewrites files that parse as INI or YAML to lines of the form `key = "value"` before its detectors see
them. The same is done here for single lines, with the way back to the bytes, and without parsing whole files: what is
taken for such a file is wider (values of a file that breaks off later are seen, too).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.detect.plugins.alphabet import Projection
from scanner.detect.plugins.lines import WHOLE, Line, line_end, line_start, make_line

#: how much of a content decides whether it reads as INI
_HEAD = 8 << 10
#: a longer line is no assignment of a configuration file
LONGEST = 16 << 10
#: how long a line beside an assignment may be, and how many of them may stand between a key and its value's line
_REACH, _LINES_ABOVE = 8 << 10, 8
#: a line that no INI file has: neither blank, comment, section nor indented, and without a delimiter or a name; with
#: the newline before it, to which `re` skips
_FOREIGN = re.compile(rb"\n(?:[^\s#;\[=:][^\n=:]*(?=\n|\Z)|[=:])")
_FIRST_WORD = re.compile(rb"(?:[ \t]*+(?:[#;][^\r\n]*+)?[\r\n])*+[ \t]*+([^ \t\r\n])")
_YAML_COMMENT = re.compile(r"\s#")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A line as `key = "value"`.

    Attributes:
        line: the rewritten text; its offsets are those of the text, not of the content.
        source: the line of the content.
        start: where the value starts in the source's text.
        shift: where it starts in the rewritten text.
    """

    line: Line
    source: Line
    start: int
    shift: int

    def offset(self, place: int) -> int | None:
        """The offset in the content of a character of the rewritten text, None before the value."""
        if place < self.shift:
            return None
        escapes = self.line.text.count('\\"', self.shift, place)
        return self.source.offset(self.start + place - self.shift - escapes)


def reads_as_assignments(data: memoryview, kind: str) -> bool:
    """Whether detect-secrets might rewrite a content of this kind of file."""
    if kind == "YAML":
        return True
    head = bytes(data[:_HEAD])
    if len(data) > _HEAD:
        head = head[: max(head.rfind(b"\n"), head.rfind(b"\r"), 0)]
    if b"\0" in head or _FOREIGN.search(b"\n" + head.replace(b"\r", b"\n")):
        return False
    first = _FIRST_WORD.match(head)
    return first is not None and (kind == "OTHER" or first[1] == b"[")


class Assignments:
    """The lines of one content as assignments. Lines are asked for in their order."""

    def __init__(self, data: memoryview, kind: str, project: Projection) -> None:
        self._data = data
        self._yaml = kind == "YAML"
        self._project = project
        self._covered = 0

    def views(self, line: Line) -> Iterator[Rewritten]:
        """*line* as an assignment, and the lines that go on with its value; each such line once."""
        if line.cut or len(line.text) > LONGEST:
            return
        parts = _parts(line.text, self._yaml)
        if parts is not None and parts[2]:
            yield self._rewrite(line, *parts)
        if line.text[:1].isspace() and line.start >= self._covered and (parts is None or not self._yaml):
            key = self._key_above(line)
            if key is not None:
                for further in (line, *self._lines_below(line, _depth(line) - 1)):
                    yield from self._further(further, key)
        if parts is not None and (not self._yaml or not parts[2] or parts[2][0] in "|>"):
            for further in self._lines_below(line, _depth(line)):
                yield from self._further(further, parts[0])

    def _rewrite(self, line: Line, key: str, start: int, value: str) -> Rewritten:
        prefix = f'{key}: "' if self._yaml else f'{key} = "'
        escaped = value.replace('"', '\\"')
        text = f'{prefix}{escaped}"'
        return Rewritten(Line(line.start, text, self._project(text)), line, start, len(prefix))

    def _further(self, line: Line, key: str) -> Iterator[Rewritten]:
        """A further line of the value of *key*."""
        value = line.text.strip()
        if value and value[0] not in "#;":
            yield self._rewrite(line, key, len(line.text) - len(line.text.lstrip()), value)

    def _key_above(self, line: Line) -> str | None:
        """The key whose value goes on in *line*: of the nearest line above that is indented less."""
        depth, at = _depth(line), line.start - 1
        for _ in range(_LINES_ABOVE):
            if at <= 0:
                return None
            start, whole = line_start(self._data, at, _REACH)
            if not whole:
                return None
            above = make_line(self._data, start, at, self._project)
            if above.text and _depth(above) < depth:
                parts = _parts(above.text, self._yaml)
                return parts[0] if parts else None
            at = start - 1
        return None

    def _lines_below(self, line: Line, depth: int) -> Iterator[Line]:
        """The lines after *line* that are indented more than *depth* and were not given yet."""
        at, ended = line_end(self._data, line.start, WHOLE)
        while ended and at < len(self._data):
            start = at + (2 if bytes(self._data[at : at + 2]) == b"\r\n" else 1)
            at, ended = line_end(self._data, start, _REACH)
            if start < self._covered or not ended or start >= len(self._data):
                return
            below = make_line(self._data, start, at, self._project)
            if below.text and _depth(below) <= depth:
                return
            self._covered = at
            yield below


def _depth(line: Line) -> int:
    """How far a line is indented."""
    return len(line.text) - len(line.text.lstrip())


def _parts(text: str, yaml: bool) -> tuple[str, int, str] | None:
    """Key, place of the value and value of an assignment; quotes around the value are not part of it."""
    body = text.lstrip()
    while yaml and body.startswith("- "):
        body = body[2:].lstrip()
    if not body or body[0] in "#;[=:":
        return None
    places = [place for delimiter in (": " if yaml else ":", "=") if (place := body.find(delimiter)) > 0]
    if yaml:
        places = [body.find(": ")] if ": " in body else [len(body) - 1] if body.endswith(":") else []
    if not places or min(places) <= 0:
        return None
    place = min(places)
    value = body[place + 1 :].lstrip()
    comment = _YAML_COMMENT.search(value) if yaml and value[:1] not in ("'", '"') else None
    start = len(text) - len(value)
    if comment:
        value = value[: comment.start()].rstrip()
    if len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]:
        return body[:place].strip().strip("\"'"), start + 1, value[1:-1]
    return body[:place].strip().strip("\"'"), start, value
