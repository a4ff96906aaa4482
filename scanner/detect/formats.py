"""Readers of the formats that settings and credentials are kept in: bytes to fields, each with its span in the bytes.

They take what no strict parser would: templates, comments in JSON, files that are cut off. None of them raises because
of what the bytes are, and each takes time in proportion to them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

from scanner.image.documents import decode_string

#: fields deeper than this are not told apart any more
_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a file.

    Attributes:
        keys: the names that lead to it, the outermost first; items of lists have none of their own.
        value: as a program would read it, without quotes and escapes.
        start, end: span of what stands in the file for it, quotes left out.
        group: number of the section, object or element that it is a direct part of.
    """

    keys: tuple[bytes, ...]
    value: bytes
    start: int
    end: int
    group: int

    @property
    def key(self) -> bytes:
        """Its own name; empty if it has none."""
        return self.keys[-1] if self.keys else b""


@dataclass(frozen=True, slots=True)
class Fields:
    """All fields of a file, in order.

    Attributes:
        parents: the group around each group, by number; group 0 is the file.
    """

    fields: tuple[Field, ...]
    parents: tuple[int, ...] = (0,)


Reader = Callable[[bytes], Fields]

_INI_SECTION = re.compile(rb"[ \t]*\[{1,2}(?P<name>[^\r\n]*?)\]{1,2}[ \t]*(?:[#;].*)?")
_INI_BLOCK = re.compile(rb"[ \t]*(?P<name>[A-Za-z_]\w*(?:[ \t]+\"[^\"\r\n]*\")*)[ \t]*(?:=[ \t]*)?\{[ \t]*")
_INI_FIELD = re.compile(
    rb"[ \t]*(?:(?:export|set|SET|ENV)[ \t]+)?(?P<key>[^\s=:#;\[{][^=\r\n]*?)(?:=|(?<=[\w.]):(?=[ \t]))[ \t]*"
)
_COMMENT = re.compile(rb"[ \t][#;]")


def read_ini(data: bytes) -> Fields:
    """INI, TOML, properties, environment files, HCL: `key = value` in sections; a key without a value goes on in
    indented lines."""
    fields: list[Field] = []
    parents = [0]
    section: tuple[bytes, ...] = ()
    group, at = 0, 0
    waiting: tuple[bytes, int] | None = None
    for line in data.splitlines(keepends=True):
        start, at = at, at + len(line)
        text = line.rstrip(b"\r\n")
        body = text.lstrip(b" \t")
        if not body or body[:1] in b"#;":
            continue
        opened = _INI_SECTION.fullmatch(text) or _INI_BLOCK.fullmatch(text)
        if opened is not None:
            section, waiting = (opened.group("name").replace(b'"', b""),), None
            parents.append(0)
            group = len(parents) - 1
            continue
        if body[:1] == b"}":
            section, group = (), 0
            continue
        indent = len(text) - len(body)
        found = _INI_FIELD.match(text)
        if waiting is not None and indent > waiting[1] and (found is None or b"://" in body.partition(b"=")[0]):
            fields.append(_plain((*section, waiting[0]), text, indent, start, group))
            continue
        waiting = None
        if found is None:
            continue
        key = found.group("key").strip(b"\"' \t")
        if found.end() == len(text):
            waiting = key, indent
        else:
            fields.append(_plain((*section, key), text, found.end(), start, group))
    return Fields(tuple(fields), tuple(parents))


def _plain(keys: tuple[bytes, ...], line: bytes, begin: int, base: int, group: int) -> Field:
    """A field whose value is the rest of a line, or what stands in quotes there."""
    quote = line[begin : begin + 1]
    if quote and quote in b"\"'`":
        close = line.find(quote, begin + 1)
        while close > 0 and line[close - 1 : close] == b"\\" and quote != b"'":
            close = line.find(quote, close + 1)
        if close > begin:
            stored = line[begin + 1 : close]
            value = re.sub(rb"\\([\"'\\$`])", rb"\1", stored) if quote != b"'" else stored
            return Field(keys, value, base + begin + 1, base + close, group)
    comment = _COMMENT.search(line, begin)
    stored = line[begin : comment.start() if comment else len(line)].rstrip(b" \t,")
    return Field(keys, stored, base + begin, base + begin + len(stored), group)


_JSON_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*+)(?:"|\Z)|//[^\n]*|/\*(?:.*?\*/|.*)|[\[\]{}:,]', re.DOTALL)


@dataclass(slots=True)
class _Open:
    """An object or list that is being read."""

    group: int
    keys: tuple[bytes, ...]
    is_object: bool
    key: bytes = b""
    at_key: bool = True


def read_json(data: bytes) -> Fields:
    """The strings of JSON, with comments or without."""
    fields: list[Field] = []
    parents = [0]
    stack = [_Open(0, (), False)]
    buried = 0
    for token in _JSON_TOKEN.finditer(data):
        top = stack[-1]
        start, end = token.span(1)
        mark = token.group()[:1]
        if start >= 0:
            value = decode_string(data[start:end]).encode("utf-8", "surrogatepass")
            if top.is_object and top.at_key:
                top.key = value
            else:
                keys = (*top.keys, top.key) if top.is_object else top.keys
                fields.append(Field(keys, value, start, end, top.group))
        elif mark in (b"{", b"["):
            if len(stack) >= _DEPTH:
                buried += 1
                continue
            parents.append(top.group)
            keys = (*top.keys, top.key) if top.is_object else top.keys
            stack.append(_Open(len(parents) - 1, keys, mark == b"{"))
        elif mark in (b"}", b"]"):
            if buried:
                buried -= 1
            elif len(stack) > 1:
                stack.pop()
        elif mark == b":":
            top.at_key = False
        elif mark == b",":
            top.at_key = True
    return Fields(_with_pairs(fields, parents), tuple(parents))


_YAML_LINE = re.compile(
    rb"(?P<indent>[ \t]*)(?P<dashes>(?:-[ \t]+)*)"
    rb"(?:(?P<key>\"[^\"\r\n]+\"|'[^'\r\n]+'|:?[^\s#:\"'\[{&*!|>%@`-][^\r\n]*?):(?=[ \t]|\Z)[ \t]*)?"
)
_YAML_BLOCK = re.compile(rb"[|>][-+0-9]*[ \t]*(?:#.*)?")


@dataclass(slots=True)
class _Level:
    """A mapping or list item that is being read, by how far it is indented."""

    indent: int
    group: int
    keys: tuple[bytes, ...]


def read_yaml(data: bytes) -> Fields:
    """The scalars of YAML in block style, by indentation."""
    fields: list[Field] = []
    parents = [0]
    stack = [_Level(-1, 0, ())]
    pending: tuple[int, tuple[bytes, ...]] | None = None  # a key without a value: what is deeper is its mapping
    block: tuple[int, tuple[bytes, ...], int, int] | None = None  # indent, keys, group, start of a block scalar
    at = 0
    for line in [*data.splitlines(keepends=True), b"---"]:
        start, at = at, at + len(line)
        text = line.rstrip(b"\r\n")
        body = text.lstrip(b" \t")
        indent = len(text) - len(body)
        if block is not None:
            if not body or indent > block[0]:
                continue
            fields += _block(block, data, start)
            block = None
        if not body or body[:1] == b"#":
            continue
        if body[:3] == b"---":
            stack, pending = [_Level(-1, 0, ())], None
            continue
        found = _YAML_LINE.match(text)
        assert found is not None  # every part of it may be empty
        dashes = len(found.group("dashes"))
        column = indent + dashes
        while len(stack) > 1 and (stack[-1].indent > column or (dashes and stack[-1].indent > indent)):
            stack.pop()
        keys = stack[-1].keys
        if pending is not None:
            if indent > pending[0] or (dashes and indent == pending[0]):
                keys = pending[1]
            pending = None
        if dashes or stack[-1].indent < column:
            parents.append(stack[-1].group)
            stack = [*stack[:_DEPTH], _Level(column, len(parents) - 1, keys)]
        level = stack[-1]
        key = (found.group("key") or b"").strip(b"\"' \t")
        inner = (*level.keys, key) if found.group("key") else level.keys
        rest = text[found.end() :]
        if _YAML_BLOCK.fullmatch(rest):
            block = indent, inner, level.group, at
        elif rest and rest[:1] not in b"#&*{[":
            fields.append(_plain(inner, text, found.end(), start, level.group))
        elif found.group("key"):
            pending = column, inner
    return Fields(_with_pairs(fields, parents), tuple(parents))


def _block(block: tuple[int, tuple[bytes, ...], int, int], data: bytes, end: int) -> Iterator[Field]:
    _, keys, group, start = block
    stored = data[start:end]
    lead = len(stored) - len(stored.lstrip())
    stored = stored.strip()
    if stored:
        value = b"\n".join(line.strip() for line in stored.splitlines())
        yield Field(keys, value, start + lead, start + lead + len(stored), group)


_XML_TOKEN = re.compile(
    rb"<!--(?:.*?-->|.*)|<!\[CDATA\[(?:(?P<cdata>.*?)\]\]>|.*)|<[?!][^<>]*>|</(?P<close>[\w.:-]+)[^<>]*>"
    rb"|<(?P<open>[\w.:-]+)(?P<attributes>(?:\s+[\w.:-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*(?P<single>/?)>",
    re.DOTALL,
)
_XML_ATTRIBUTE = re.compile(rb"([\w.:-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_NAMES = (b"name", b"key", b"id")


@dataclass(slots=True)
class _Element:
    """An element that is being read."""

    name: bytes
    keys: tuple[bytes, ...]
    group: int
    outer: int
    start: int
    called: bytes = b""
    empty: bool = True


def read_xml(data: bytes) -> Fields:
    """Attributes, and the text of elements that hold nothing else. An element that is called by its attribute `name`
    or `key` has its text under that name too."""
    fields: list[Field] = []
    parents = [0]
    stack = [_Element(b"", (), 0, 0, 0)]
    for token in _XML_TOKEN.finditer(data):
        top = stack[-1]
        if token.group("open"):
            top.empty = False
            name = token.group("open")
            parents.append(top.group)
            element = _Element(name, (*top.keys, name), len(parents) - 1, top.group, token.end())
            for attribute in _XML_ATTRIBUTE.finditer(data, token.start("attributes"), token.end("attributes")):
                part = 2 if attribute.group(2) is not None else 3
                key, stored = attribute.group(1), attribute.group(part)
                fields.append(
                    Field((*element.keys, key), _unescaped(stored), *attribute.span(part), group=element.group)
                )
                element.called = element.called or (stored if key.lower() in _NAMES else b"")
            if not token.group("single") and len(stack) < _DEPTH:
                stack.append(element)
        elif token.group("close"):
            if len(stack) > 1 and top.name == token.group("close"):
                stack.pop()
                fields += _text(top, data, token.start())
        elif token.group("cdata") is not None:
            top.empty = False
            fields.append(Field(top.keys, token.group("cdata"), *token.span("cdata"), group=top.outer))
    return Fields(_with_pairs(fields, parents), tuple(parents))


def _text(element: _Element, data: bytes, end: int) -> Iterator[Field]:
    stored = data[element.start : end]
    text = stored.strip()
    if element.empty and text:
        start = element.start + len(stored) - len(stored.lstrip())
        keys = (*element.keys, element.called) if element.called else element.keys
        yield Field(keys, _unescaped(text), start, start + len(text), element.outer)


def _unescaped(text: bytes) -> bytes:
    return (
        html.unescape(text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if b"&" in text
        else text
    )


def _with_pairs(fields: list[Field], parents: Sequence[int]) -> tuple[Field, ...]:
    """Fields, and for each object that is a name with a value, the value under that name beside those objects."""
    names: dict[int, bytes] = {}
    for field in fields:
        if field.key.lower() in (b"name", b"key"):
            names.setdefault(field.group, field.value)
    called = [
        Field((*field.keys[:-1], names[field.group]), field.value, field.start, field.end, parents[field.group])
        for field in fields
        if field.group in names and field.key.lower() == b"value"
    ]
    return (*fields, *called)


def rows(pattern: bytes, section: bytes | None = None) -> Reader:
    """A reader of files that are lines or groups of lines: every match of *pattern* is a group, its named groups are
    the fields; `name2` is another place for `name`. The pattern must take linear time. With *section* only what stands
    between the first line `[section]` and the next is read. The pattern is compiled at first use: a scan meets few
    kinds of files."""
    compiled = cache(partial(re.compile, pattern, re.MULTILINE))

    def read(data: bytes) -> Fields:
        fields: list[Field] = []
        parents = [0]
        begin, end = (0, len(data)) if section is None else _section(data, section)
        for found in compiled().finditer(data, begin, end):
            parents.append(0)
            for name, value in found.groupdict().items():
                if value is not None:
                    key = name.rstrip("0123456789").encode()
                    fields.append(Field((key,), value, *found.span(name), group=len(parents) - 1))
        return Fields(tuple(fields), tuple(parents))

    return read


_SECTION = re.compile(rb"^[ \t]*\[([^\]\n]*)\]", re.MULTILINE)


def _section(data: bytes, name: bytes) -> tuple[int, int]:
    """Where the lines of the section begin and end."""
    headings = _SECTION.finditer(data)
    begin = next((found.end() for found in headings if found[1] == name), len(data))
    return begin, next((found.start() for found in headings), len(data))


_DELIMITERS = b",;\t|"
#: a password's column; a file without one is not read further
_SECRET_COLUMN = re.compile(
    rb"(?:pass(?:w(?:or)?[dt])?|passphrase|pwd|kennwort|contrase(?:\xc3\xb1|n)a|mot de passe|senha)[0-9]?\Z",
    re.IGNORECASE,
)


def read_table(data: bytes) -> Fields:
    """Lines of values with one sign between them (CSV), named by the first line, if a column is called a password."""
    heading = data[: data.find(b"\n") + 1].rstrip().removeprefix(b"\xef\xbb\xbf")
    sign = max(_DELIMITERS, key=heading.count)
    names = [name.strip(b" \"'") for name in heading.split(bytes([sign]))]
    if len(names) < 2 or not any(_SECRET_COLUMN.search(name) for name in names):
        return Fields(())
    end = re.escape(bytes([sign]))
    # nothing that was taken is given back, which would take the square of a line's length or more
    cell = re.compile(rb"[ ]*+(?:\"((?:[^\"]|\"\")*+)\"|([^%s\r\n]*+))[ ]*+(%s|\r?\n|\Z)" % (end, end))
    fields: list[Field] = []
    parents, column, at = [0, 0], 0, data.find(b"\n") + 1
    while at < len(data) and (found := cell.match(data, at)) is not None:
        which = 2 if found[1] is None else 1
        if column < len(names):
            value = found[which].replace(b'""', b'"') if which == 1 else found[which].rstrip()
            key = b"password" if _SECRET_COLUMN.search(names[column]) else names[column]
            fields.append(Field((key,), value, found.start(which), found.start(which) + len(found[which].rstrip()),
                                group=len(parents) - 1))  # fmt: skip
        at, column = found.end(), column + 1
        if found[3] != bytes([sign]):
            column = 0
            parents.append(0)
    return Fields(tuple(fields), tuple(parents))
