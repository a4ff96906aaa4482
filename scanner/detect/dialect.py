"""The pattern dialect of rules: how long a match can be, what is spelled out in it, what one looks like.

The dialect is the part of RE2's syntax that Hyperscan reads too, over bytes. A pattern is parsed here only to learn
about it; RE2 does the matching. Source: https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import re2

_ALL = (1 << 256) - 1


def _mask(chars: Iterable[int]) -> int:
    return reduce(lambda bits, char: bits | 1 << char, chars, 0)


_NEWLINE = _mask(b"\n")
_DIGIT = _mask(string.digits.encode())
_CAPITALS = _mask(string.ascii_uppercase.encode())
_LETTER = _mask(string.ascii_letters.encode())
_WORD = _DIGIT | _LETTER | _mask(b"_")
_SPACE = _mask(b"\t\n\f\r ")
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE, "D": _ALL ^ _DIGIT, "W": _ALL ^ _WORD, "S": _ALL ^ _SPACE}
_POSIX = {
    "alnum": _DIGIT | _LETTER,
    "alpha": _LETTER,
    "digit": _DIGIT,
    "lower": _mask(string.ascii_lowercase.encode()),
    "upper": _mask(string.ascii_uppercase.encode()),
    "punct": _mask(string.punctuation.encode()),
    "space": _SPACE | _mask(b"\v"),
    "word": _WORD,
    "xdigit": _mask(string.hexdigits.encode()),
    "print": _mask(range(0x20, 0x7F)),
    "graph": _mask(range(0x21, 0x7F)),
}
_CONTROLS = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11, "a": 7}


class DialectError(ValueError):
    """The pattern is outside the dialect; the message says what is not understood and where."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One byte out of a set: bit n of *mask* stands for byte n."""

    mask: int


@dataclass(frozen=True, slots=True)
class Seq:
    """Parts one after the other; none of them: the empty string, or an assertion."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """One of several."""

    choices: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """*part* from *low* to *high* times; *high* None: without bound."""

    part: Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """A named group."""

    name: str
    part: Node


Node = Chars | Seq | Alt | Repeat | Group
_EMPTY = Seq(())
#: the alphabets of tokens have up to so many members: base64 and a few signs
_LARGEST_ALPHABET = 72


class _Parser:
    """A recursive descent over one pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.caseless = False
        self.dot_all = False

    def fail(self, why: str) -> DialectError:
        return DialectError(f"{why} at character {self.at}")

    def peek(self, length: int = 1) -> str:
        return self.text[self.at : self.at + length]

    def eat(self, expected: str) -> bool:
        if self.text.startswith(expected, self.at):
            self.at += len(expected)
            return True
        return False

    def take(self) -> str:
        char = self.peek()
        if not char:
            raise self.fail("pattern ends early")
        self.at += 1
        return char

    def alternatives(self) -> Node:
        flags = self.caseless, self.dot_all
        choices = [self.sequence()]
        while self.eat("|"):
            choices.append(self.sequence())
        self.caseless, self.dot_all = flags
        return choices[0] if len(choices) == 1 else Alt(tuple(choices))

    def sequence(self) -> Node:
        parts: list[Node] = []
        while (char := self.peek()) and char not in "|)":
            parts.append(self.quantified(self.atom()))
        return parts[0] if len(parts) == 1 else Seq(tuple(part for part in parts if part != _EMPTY))

    def quantified(self, part: Node) -> Node:
        while True:
            char = self.peek()
            if char and char in "?*+":
                self.at += 1
                low, high = {"?": (0, 1), "*": (0, None), "+": (1, None)}[char]
            elif char == "{" and (bounds := self.bounds()):
                low, high = bounds
            else:
                return part
            self.eat("?")
            part = Repeat(part, low, high) if part != _EMPTY else part

    def bounds(self) -> tuple[int, int | None] | None:
        close = self.text.find("}", self.at)
        low, comma, high = self.text[self.at + 1 : close].partition(",")
        if close < 0 or not low.isdigit() or not (high.isdigit() or high == ""):
            return None
        self.at = close + 1
        if not comma:
            return int(low), int(low)
        return int(low), int(high) if high else None

    def atom(self) -> Node:
        char = self.take()
        if char == "(":
            return self.group()
        if char == "[":
            return Chars(self.char_class())
        if char == ".":
            return Chars(_ALL if self.dot_all else _ALL ^ _NEWLINE)
        if char in "^$":
            return _EMPTY
        if char == "\\":
            if self.peek() and self.peek() in "bBAz":
                self.at += 1
                return _EMPTY
            return Chars(self.folded(self.escape()))
        return Chars(self.folded(self.one_byte(char)))

    def one_byte(self, char: str) -> int:
        if ord(char) > 127:
            raise self.fail("only ASCII may stand in a pattern, write \\x.. for other bytes")
        return 1 << ord(char)

    def folded(self, mask: int) -> int:
        if not self.caseless:
            return mask
        return mask | (mask & _CAPITALS) << 32 | (mask & _CAPITALS << 32) >> 32

    def escape(self) -> int:
        char = self.take()
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _CONTROLS:
            return 1 << _CONTROLS[char]
        if char == "x":
            digits = self.take() + self.take()
            try:
                return 1 << int(digits, 16)
            except ValueError:
                raise self.fail("\\x needs two hexadecimal digits") from None
        if char.isalnum():
            raise self.fail(f"\\{char} is not part of the dialect")
        return self.one_byte(char)

    def char_class(self) -> int:
        negated = self.eat("^")
        mask, first = 0, True
        while first or self.peek() != "]":
            first = False
            if self.eat("[:"):
                close = self.text.find(":]", self.at)
                name = self.text[self.at : close]
                if close < 0 or name not in _POSIX:
                    raise self.fail("unknown character class")
                self.at = close + 2
                mask |= _POSIX[name]
                continue
            mask |= self.class_item()
        self.at += 1
        mask = self.folded(mask)
        return _ALL ^ mask if negated else mask

    def class_item(self) -> int:
        low = self.class_byte()
        if self.peek() != "-" or self.peek(2) == "-]":
            return low
        self.at += 1
        high = self.class_byte()
        if low.bit_count() != 1 or high.bit_count() != 1 or high < low:
            raise self.fail("a range needs two bytes in order")
        return (high << 1) - low

    def class_byte(self) -> int:
        char = self.take()
        return self.escape() if char == "\\" else self.one_byte(char)

    def group(self) -> Node:
        name = ""
        flags = self.caseless, self.dot_all
        if self.eat("?"):
            if self.eat("P<") or (self.peek() == "<" and self.peek(2) not in ("<=", "<!") and self.eat("<")):
                close = self.text.find(">", self.at)
                name = self.text[self.at : close]
                self.at = close + 1
            elif self.flags():
                return _EMPTY
        part = self.alternatives()
        if not self.eat(")"):
            raise self.fail("a group is not closed")
        self.caseless, self.dot_all = flags
        return Group(name, part) if name else part

    def flags(self) -> bool:
        """Read `i)`, `s:` and their like; whether the group was only flags, which then hold to its parent's end."""
        value = True
        while (char := self.take()) not in ":)":
            if char == "-":
                value = False
            elif char == "i":
                self.caseless = value
            elif char == "s":
                self.dot_all = value
            elif char != "m":
                raise self.fail(f"(?{char} is not part of the dialect (look-around and back-references are not)")
        return char == ")"


def parse(pattern: str) -> Node:
    """The structure of *pattern*. Raises DialectError."""
    parser = _Parser(pattern)
    try:
        node = parser.alternatives()
    except RecursionError:
        raise DialectError("groups are nested too deep") from None
    if parser.at < len(pattern):
        raise parser.fail("unmatched )")
    return node


def compile_pattern(pattern: str) -> Any:
    """*pattern* in RE2, bytes as they are: without Latin-1 RE2 takes a text for UTF-8 and skips what is none.

    Raises DialectError.
    """
    try:
        return compile_bytes(pattern.encode("ascii"))
    except (re2.error, UnicodeEncodeError) as error:
        raise DialectError(f"RE2 refuses it: {refusal(error)}") from None


def refusal(error: Exception) -> str:
    """Why RE2 refuses an expression; its own errors say so in bytes."""
    why = error.args[0] if error.args else ""
    return why.decode("utf-8", "replace") if isinstance(why, bytes) else str(error)


def compile_set(patterns: Iterable[str]) -> Callable[[bytes], list[int]]:
    """Tells the numbers of those of *patterns* that are found in a text, in one search. Raises DialectError."""
    found = re2.Set.SearchSet(_options())
    try:
        for pattern in patterns:
            found.Add(pattern.encode("ascii"))
        found.Compile()
    except (re2.error, UnicodeEncodeError) as error:
        raise DialectError(f"RE2 refuses it: {refusal(error)}") from None
    return lambda text: sorted(found.Match(text) or ())


def compile_bytes(expression: bytes) -> Any:
    """An expression of RE2 for bytes as they are. Raises re2.error."""
    return re2.compile(expression, _options())


def _options() -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    return options


def find_group(node: Node, name: str) -> Node | None:
    """What stands in the named group, the first one if there are several."""
    if isinstance(node, Group):
        return node.part if node.name == name else find_group(node.part, name)
    if isinstance(node, Repeat):
        return find_group(node.part, name)
    for part in _parts(node):
        if (found := find_group(part, name)) is not None:
            return found
    return None


def _parts(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Seq):
        return node.parts
    return node.choices if isinstance(node, Alt) else ()


def max_width(node: Node) -> int | None:
    """The most bytes a match can have, None without bound."""
    if isinstance(node, Chars):
        return 1
    if isinstance(node, Group):
        return max_width(node.part)
    if isinstance(node, Repeat):
        width = max_width(node.part)
        return None if width is None or node.high is None else width * node.high
    total = 0
    for part in _parts(node):
        width = max_width(part)
        if width is None:
            return None
        total = max(total, width) if isinstance(node, Alt) else total + width
    return total


def min_width(node: Node) -> int:
    """The fewest bytes a match can have."""
    if isinstance(node, Chars):
        return 1
    if isinstance(node, Group):
        return min_width(node.part)
    if isinstance(node, Repeat):
        return min_width(node.part) * node.low
    widths = [min_width(part) for part in _parts(node)]
    return min(widths) if isinstance(node, Alt) else sum(widths)


def last_bytes(node: Node) -> int:
    """The set of bytes a match can end with, as a mask."""
    if isinstance(node, Chars):
        return node.mask
    if isinstance(node, (Group, Repeat)):
        return last_bytes(node.part)
    if isinstance(node, Alt):
        return reduce(int.__or__, map(last_bytes, node.choices), 0)
    mask = 0
    for part in reversed(node.parts):
        mask |= last_bytes(part)
        if min_width(part) > 0:
            break
    return mask


def fixed_prefix(node: Node, value: bytes) -> int:
    """How many leading bytes of *value*, which *node* matched, the pattern spells out: 4 of `AKIA[A-Z2-7]{16}`."""
    return _spelled(node, value, 0)[1]


#: a byte that tells so much is a letter, in one case or both
LITERAL_BITS = 5.0


def bits_of(mask: int) -> float:
    """How much one byte of the set tells, in bits, if text is 64 letters of equal weight."""
    size = mask.bit_count()
    return 6.0 if size == 1 else 5.0 if size == 2 else 4.0 if size <= 4 else 2.0 if size <= 17 else 0.0


#: a class this small, before more that is spelled out, is a choice of prefixes: `[sr]k_live_`
_FEW_BYTES = 4


def _spelled(node: Node, value: bytes, at: int) -> tuple[frozenset[int], int]:
    """Where *node* may end in *value* if it is spelled out and begins at *at*, and how far letters are spelled out."""
    if isinstance(node, Chars):
        if at >= len(value) or not node.mask >> value[at] & 1 or node.mask.bit_count() > _FEW_BYTES:
            return frozenset(), at
        return frozenset({at + 1}), at + 1 if bits_of(node.mask) >= LITERAL_BITS else at
    if isinstance(node, Group):
        return _spelled(node.part, value, at)
    if isinstance(node, Alt):
        tried = [_spelled(choice, value, at) for choice in node.choices]
        return frozenset[int]().union(*(ends for ends, _ in tried)), max(far for _, far in tried)
    if isinstance(node, Repeat):
        optional = frozenset({at}) if node.low == 0 else frozenset[int]()
        ends, far = _spelled_in_turn([node.part] * min(node.high or 1, 16), value, at)
        return ends | optional, far
    return _spelled_in_turn(node.parts, value, at)


def _spelled_in_turn(parts: Sequence[Node], value: bytes, at: int) -> tuple[frozenset[int], int]:
    ends, far = frozenset({at}), at
    for part in parts:
        tried = [_spelled(part, value, end) for end in ends]
        ends = frozenset[int]().union(*(found for found, _ in tried))
        far = max([far, *(reached for _, reached in tried)])
    return ends, far


def sample(node: Node, rng: random.Random) -> str:
    """A random text that *node* matches, short where the length is free; printable ASCII where it can be.

    Of an alphabet for tokens every sign occurs, of a class of all but a few bytes letters and digits only.
    """
    if isinstance(node, Chars):
        choices = [chr(byte) for byte in range(256) if node.mask >> byte & 1]
        if len(choices) <= _LARGEST_ALPHABET:
            return rng.choice(choices)
        for kind in (string.ascii_letters + string.digits, string.punctuation, " \t\n"):
            if fitting := [char for char in choices if char in kind]:
                return rng.choice(fitting)
        return rng.choice(choices)
    if isinstance(node, Group):
        return sample(node.part, rng)
    if isinstance(node, Repeat):
        high = node.low + 8 if node.high is None else min(node.high, node.low + 8)
        return "".join(sample(node.part, rng) for _ in range(rng.randint(node.low, high)))
    if isinstance(node, Alt):
        return sample(rng.choice(node.choices), rng)
    return "".join(sample(part, rng) for part in node.parts)
