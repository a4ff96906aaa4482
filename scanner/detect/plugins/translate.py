"""Turns a compiled expression of Python's `re` into one for RE2 that finds the same spans in linear time.

RE2 knows no look-around and no back-references. Those that detect-secrets uses can be written without them: a look at
one neighbouring character becomes a character beside the match, a reference to a quote one branch for each quote. An
expression that needs more is found by a wider one, and each place it finds is checked by the original.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from scanner.detect.dialect import compile_bytes
from scanner.detect.plugins.alphabet import REPRESENTATIVES, byte_set

_ALL = frozenset(range(len(REPRESENTATIVES)))
_CATEGORIES = {
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
}
#: RE2 refuses larger counts
_MOST_REPEATS = 1000
_Nodes = Sequence[tuple[Any, Any]]


class Untranslatable(ValueError):
    """An expression uses what cannot be said without look-around or back-references. Names the construct."""


class Span(NamedTuple):
    """Where an expression matched: the value, and the whole match that holds it. Characters of the text."""

    start: int
    end: int
    whole_start: int
    whole_end: int


@dataclass(frozen=True, slots=True)
class Linear:
    """An expression as RE2 runs it over text in the alphabet of `alphabet`.

    Attributes:
        expression: compiled, group 1 is the whole match.
        values: the RE2 groups, one of which holds the value.
        leads: whether a character before the match is consumed.
        original: the expression as Python has it.
        group: the value's group in *original*.
        exact: whether *expression* alone decides.
        width: the most characters that a match can have, or a very large number.
    """

    expression: Any
    values: tuple[int, ...]
    leads: bool
    original: re.Pattern[str]
    group: int
    exact: bool
    width: int

    def spans(self, projected: bytes, text: str) -> Iterator[Span]:
        """The spans that `finditer` of the original yields on *text*, whose projection is *projected*."""
        position = 0
        while True:
            found = self.expression.search(projected, max(0, position - self.leads))
            if found is not None and found.start(1) < position:
                # only at the very start of a text, where nothing leads, can a match be found again
                found = self.expression.search(projected, position)
            if found is None:
                return
            start, end = found.span(1)
            if self.exact:
                value = next((span for group in self.values if (span := found.span(group))[0] >= 0), (start, start))
                yield Span(value[0], value[1], start, end)
                position = max(end, position + 1)
                continue
            confirmed = self.original.match(text, start)
            if confirmed is not None:
                yield Span(*confirmed.span(self.group), *confirmed.span())
                end = confirmed.end()
            position = end if confirmed is not None else start + 1


def translate(original: re.Pattern[str], group: int) -> Linear:
    """*original* for RE2, with *group* as the value (0: the whole match). Raises Untranslatable."""
    parser = importlib.import_module("re._parser")
    tree = parser.parse(original.pattern, original.flags & ~re.UNICODE)
    writer = _Writer(group, original.flags & (re.IGNORECASE | re.DOTALL))
    lead, nodes = writer.lead(list(tree))
    nodes, trail = writer.trail(nodes)
    text = lead + b"(" + writer.sequence(nodes) + b")" + trail
    values, width = tuple(writer.values) if group else (1,), int(tree.getwidth()[1])
    return Linear(compile_bytes(text), values, bool(lead), original, group, writer.exact, width)


def _name(node: tuple[Any, Any]) -> str:
    return str(node[0])


def _nullable(nodes: _Nodes) -> bool:
    """Whether *nodes* can match nothing at all."""
    return all(_nullable_node(node) for node in nodes)


def _nullable_node(node: tuple[Any, Any]) -> bool:
    name, argument = _name(node), node[1]
    if name == "BRANCH":
        return any(_nullable(list(choice)) for choice in argument[1])
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        return argument[0] == 0 or _nullable(list(argument[2]))
    return _nullable(list(argument[3])) if name == "SUBPATTERN" else False


def _class(members: frozenset[int]) -> bytes:
    """A bracket expression of *members*; all of the alphabet if need be, never empty."""
    if not members:
        raise Untranslatable("a character class that nothing is in")
    return b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(members)) + b"]"


class _Writer:
    """Writes one expression. What it learns on the way stays in its fields."""

    def __init__(self, group: int, flags: int) -> None:
        self._group = group
        self._flags = flags
        self._groups = 1
        self.values: list[int] = []
        self.exact = True

    # one character -------------------------------------------------------------------------------------------------

    def _members(self, node: tuple[Any, Any]) -> frozenset[int] | None:
        """The bytes that a node for a single character matches, None for other nodes."""
        name, argument = _name(node), node[1]
        if name == "LITERAL":
            return byte_set(re.escape(_known(argument)), self._flags)
        if name == "NOT_LITERAL":
            return byte_set(f"[^{re.escape(_known(argument))}]", self._flags)
        if name == "ANY":
            return byte_set(".", self._flags)
        if name == "IN":
            inner = "".join(map(_member, argument))
            return byte_set(f"[{inner}]", self._flags)
        return None

    def _only_members(self, nodes: _Nodes) -> frozenset[int] | None:
        return self._members(nodes[0]) if len(nodes) == 1 else None

    # look-around at the edges --------------------------------------------------------------------------------------

    def lead(self, nodes: list[tuple[Any, Any]]) -> tuple[bytes, list[tuple[Any, Any]]]:
        """What must stand before the match, as an expression that consumes it, and the nodes without it."""
        before = self._behind(nodes[0])
        if before is None:
            return b"", nodes
        members, at_start = before
        return b"(?:" + (rb"\A|" if at_start else b"") + _class(members) + b")", nodes[1:]

    def _behind(self, node: tuple[Any, Any]) -> tuple[frozenset[int], bool] | None:
        name, argument = _name(node), node[1]
        if name == "BRANCH":
            choices = [self._behind(choice[0]) if len(choice) == 1 else None for choice in argument[1]]
            known = [choice for choice in choices if choice is not None]
            if len(known) < len(choices):
                return None
            return frozenset().union(*(members for members, _ in known)), any(start for _, start in known)
        if name not in ("ASSERT", "ASSERT_NOT") or argument[0] != -1:
            return None
        nodes = list(argument[1])
        if name == "ASSERT" and [_name(inner) for inner in nodes] == ["AT"] and "BEGINNING" in str(nodes[0][1]):
            return frozenset(), True
        members = self._only_members(nodes)
        if members is None:
            raise Untranslatable("a look behind at more than one character")
        return (members, False) if name == "ASSERT" else (_ALL - members, True)

    def trail(self, nodes: list[tuple[Any, Any]]) -> tuple[list[tuple[Any, Any]], bytes]:
        """The nodes up to a last look ahead, and what must follow as an expression that consumes it."""
        nodes = _hoisted(nodes)
        for place, node in enumerate(nodes):
            if _name(node) != "ASSERT_NOT" or node[1][0] != 1 or not _nullable(nodes[place + 1 :]):
                continue
            members = self._only_members(list(node[1][1]))
            if members is not None:
                return nodes[:place], rb"(?:\z|" + _class(_ALL - members) + b")"
        return nodes, b""

    # sequences -----------------------------------------------------------------------------------------------------

    def sequence(self, nodes: _Nodes) -> bytes:
        """*nodes* one after the other."""
        written = b""
        for place, node in enumerate(nodes):
            name, argument = _name(node), node[1]
            if name == "ASSERT" and argument[0] == 1:
                if _nullable(list(argument[1])):
                    continue
                return written + self._restricted(nodes[place + 1 :], self._first(list(argument[1])))
            if name == "SUBPATTERN":
                reference = _reference(nodes, place, argument[0])
                if reference is not None:
                    inner = nodes[place + 1 : reference]
                    choices = (b + self.sequence(inner) + b for b in map(_escaped, _choices(list(argument[3]))))
                    return written + b"(?:" + b"|".join(choices) + b")" + self.sequence(nodes[reference + 1 :])
            written += self._node(node)
        return written

    def _first(self, nodes: _Nodes) -> frozenset[int]:
        """The one character that a look ahead asks for."""
        if len(nodes) == 1 and _name(nodes[0]) == "MAX_REPEAT" and nodes[0][1][0] >= 1:
            nodes = list(nodes[0][1][2])
        members = self._only_members(nodes)
        if members is None:
            raise Untranslatable("a look ahead at more than one character")
        return members

    def _restricted(self, nodes: _Nodes, first: frozenset[int]) -> bytes:
        """*nodes*, whose first character must also be one of *first*."""
        if not nodes:
            raise Untranslatable("a look ahead with nothing after it")
        members = self._members(nodes[0])
        if members is not None:
            return _class(members & first) + self.sequence(nodes[1:])
        if _name(nodes[0]) != "MAX_REPEAT":
            raise Untranslatable(f"a look ahead before {_name(nodes[0])}")
        least, most, inner = nodes[0][1]
        members = self._only_members(list(inner))
        if members is None:
            raise Untranslatable("a look ahead before a repeated group")
        endless = int(most) > _MOST_REPEATS
        rest = _class(members) + (b"*" if endless else b"{%d,%d}" % (max(least - 1, 0), most - 1))
        some = _class(members & first) + rest + self.sequence(nodes[1:])
        return some if least else b"(?:" + some + b"|" + self._restricted(nodes[1:], first) + b")"

    def _node(self, node: tuple[Any, Any]) -> bytes:
        members = self._members(node)
        if members is not None:
            return _class(members)
        name, argument = _name(node), node[1]
        if name == "BRANCH":
            return b"(?:" + b"|".join(self.sequence(list(choice)) for choice in argument[1]) + b")"
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            inner = b"(?:" + self.sequence(list(argument[2])) + b")"
            return _repeated(inner, argument[0], int(argument[1]), b"?" if name == "MIN_REPEAT" else b"")
        if name == "SUBPATTERN":
            return self._subpattern(argument[0], list(argument[3]))
        if name == "AT":
            return rb"\A" if "BEGINNING" in str(argument) else rb"\z"
        if name == "ASSERT_NOT":
            self.exact = False
            return b""
        raise Untranslatable(name)

    def _subpattern(self, number: int | None, nodes: _Nodes) -> bytes:
        if number is None or number != self._group:
            return b"(?:" + self.sequence(nodes) + b")"
        self._groups += 1
        self.values.append(self._groups)
        return b"(" + self.sequence(nodes) + b")"


def _repeated(inner: bytes, least: int, most: int, lazy: bytes) -> bytes:
    """*inner* from *least* to *most* times, in pieces that RE2 accepts. All counts past its limit are endless."""
    if most > 1 << 20:
        return inner + b"{%d,}" % least + lazy
    if most <= _MOST_REPEATS:
        return inner + b"{%d,%d}" % (least, most) + lazy
    if least > _MOST_REPEATS or most > 2 * _MOST_REPEATS:
        raise Untranslatable("a repeat of thousands")
    return inner + b"{%d,%d}" % (least, _MOST_REPEATS) + lazy + inner + b"{0,%d}" % (most - _MOST_REPEATS) + lazy


def _hoisted(nodes: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """*nodes* with a look ahead that ends a group moved behind the group, which means the same."""
    moved: list[tuple[Any, Any]] = []
    for operator, argument in nodes:
        inner = list(argument[3]) if str(operator) == "SUBPATTERN" else []
        if inner and _name(inner[-1]) == "ASSERT_NOT" and inner[-1][1][0] == 1:
            moved += [(operator, (*argument[:3], inner[:-1])), inner[-1]]
        else:
            moved.append((operator, argument))
    return moved


def _reference(nodes: _Nodes, place: int, number: int | None) -> int | None:
    """Where after *place* the text of group *number* must come again, None if nowhere."""
    for later in range(place + 1, len(nodes)):
        node = nodes[later]
        inner = list(node[1][3]) if _name(node) == "SUBPATTERN" else [node]
        if number is not None and [(_name(one), one[1]) for one in inner] == [("GROUPREF", number)]:
            return later
    return None


def _choices(nodes: _Nodes) -> list[str]:
    """The texts that a group can match, in the order it prefers them; at most a character each."""
    if len(nodes) != 1:
        raise Untranslatable("a reference to a group of several parts")
    name, argument = _name(nodes[0]), nodes[0][1]
    if name == "LITERAL":
        return [chr(argument)]
    if name == "IN" and all(str(kind) == "LITERAL" for kind, _ in argument):
        return [chr(point) for _, point in argument]
    if name == "MAX_REPEAT" and tuple(argument[:2]) == (0, 1):
        return [*_choices(list(argument[2])), ""]
    raise Untranslatable("a reference to a group of many texts")


def _escaped(text: str) -> bytes:
    return b"".join(b"\\x%02x" % ord(_known(ord(character))) for character in text)


def _known(point: int) -> str:
    """The character of *point*, which must be one that the alphabet tells apart."""
    if chr(point) not in REPRESENTATIVES:
        raise Untranslatable("a character outside the alphabet")
    return chr(point)


def _member(part: tuple[Any, Any]) -> str:
    """One part of a bracket expression as text."""
    name, argument = _name(part), part[1]
    if name == "NEGATE":
        return "^"
    if name == "LITERAL":
        return re.escape(_known(argument))
    if name == "RANGE":
        if argument[1] > 127:
            raise Untranslatable("a range beyond ASCII")
        return f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}"
    if name == "CATEGORY" and str(argument) in _CATEGORIES:
        return _CATEGORIES[str(argument)]
    raise Untranslatable(f"{name} in a character class")
