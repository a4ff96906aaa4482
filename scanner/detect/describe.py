"""A rule's pattern in plain words: `ghp_`, then 36 letters or digits."""

from __future__ import annotations

import string
from collections.abc import Iterator

from scanner.detect import dialect
from scanner.detect.dialect import Alt, Chars, Group, Node, Repeat, Seq

#: longer descriptions say less than the pattern
_MOST_PARTS = 12
_LIST = 8


def _mask(text: str) -> int:
    return sum(1 << ord(char) for char in set(text))


_LOWER, _UPPER, _DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
_LETTERS = _LOWER + _UPPER
_SIGNS = {" ": "space", "\n": "line break", "\t": "tab", "\r": "carriage return", "`": "backtick"}
_NAMES = {
    _mask(_DIGITS): "digits",
    _mask(_LOWER): "lower-case letters",
    _mask(_UPPER): "upper-case letters",
    _mask(_LETTERS): "letters",
    _mask(_DIGITS + "abcdef"): "hexadecimal digits",
    _mask(_DIGITS + "ABCDEF"): "upper-case hexadecimal digits",
    _mask(_DIGITS + "abcdefABCDEF"): "hexadecimal digits of either case",
    _mask(_UPPER + "234567"): "base32 characters",
    _mask(_LOWER + "234567"): "lower-case base32 characters",
    _mask("\t\n\f\r "): "white space",
}
#: what a larger class is made of, with the words for it
_PARTS = ((_LETTERS, "letters"), (_LOWER, "lower-case letters"), (_UPPER, "upper-case letters"), (_DIGITS, "digits"))


def words(pattern: str) -> str:
    """What the group `secret` of *pattern*, or all of it, looks like; empty if that takes too many words."""
    try:
        node = dialect.parse(pattern)
    except dialect.DialectError:
        return ""
    parts = list(_merged(_parts(dialect.find_group(node, "secret") or node)))
    return ", then ".join(parts) if 0 < len(parts) <= _MOST_PARTS else ""


def _merged(parts: Iterator[tuple[bool, str]]) -> Iterator[str]:
    """Letters that follow each other as one word."""
    word = ""
    for literal, text in parts:
        if literal:
            word += text
            continue
        if word:
            yield f"`{word}`"
            word = ""
        yield text
    if word:
        yield f"`{word}`"


def _parts(node: Node) -> Iterator[tuple[bool, str]]:
    """(whether it is a letter by itself, the letter or words)."""
    if isinstance(node, Chars):
        only = _only(node.mask)
        yield (True, only) if only else (False, f"one of {_class(node.mask)}")
    elif isinstance(node, Group):
        yield from _parts(node.part)
    elif isinstance(node, Seq):
        for part in node.parts:
            yield from _parts(part)
    elif isinstance(node, Alt):
        yield False, _choice(node)
    elif isinstance(node, Repeat):
        yield from _repeat(node)


def _repeat(node: Repeat) -> Iterator[tuple[bool, str]]:
    if isinstance(node.part, Chars) and (only := _only(node.part.mask)) and node.low == node.high:
        yield True, only * node.low
    elif isinstance(node.part, Chars):
        yield False, f"{_count(node)} {_class(node.part.mask)}"
    elif (node.low, node.high) == (0, 1):
        yield False, f"perhaps {' '.join(_merged(_parts(node.part)))}"
    else:
        yield False, f"{_count(node)} times ({', then '.join(_merged(_parts(node.part)))})"


def _count(node: Repeat) -> str:
    if node.low == node.high:
        return str(node.low)
    return f"{node.low} or more" if node.high is None else f"{node.low} to {node.high}"


def _choice(node: Alt) -> str:
    choices = [" ".join(_merged(_parts(choice))) or "nothing" for choice in node.choices]
    shown = choices[:_LIST]
    more = f" or one of {len(choices) - _LIST} more" if len(choices) > _LIST else ""
    return f"either {' or '.join(shown)}{more}"


def _only(mask: int) -> str:
    """The one printable character of a class, a letter in both cases as its lower one."""
    members = [chr(byte) for byte in range(256) if mask >> byte & 1]
    if len(members) == 2 and members[0].lower() == members[1]:
        return members[1]
    return members[0] if len(members) == 1 and members[0].isprintable() and members[0].isascii() else ""


def _class(mask: int) -> str:
    if mask in _NAMES:
        return _NAMES[mask]
    if mask.bit_count() > 200:
        left = [_sign(chr(byte)) for byte in range(128) if not mask >> byte & 1]
        return f"characters but {' '.join(left[:_LIST])}" if left else "bytes of any kind"
    rest, said = mask, []
    for text, name in _PARTS:
        if rest & _mask(text) == _mask(text):
            said.append(name)
            rest &= ~_mask(text)
    signs = [_sign(chr(byte)) for byte in range(256) if rest >> byte & 1]
    if len(signs) > 16:
        return "printable characters" if mask.bit_count() > 60 else "characters of a class"
    said += [" ".join(signs)] if signs else []
    return f"{', '.join(said[:-1])} or {said[-1]}" if len(said) > 1 else said[0]


def _sign(char: str) -> str:
    return _SIGNS.get(char) or (char if char.isprintable() and char.isascii() else f"\\x{ord(char):02x}")
