"""Places in a content: where matches may begin, what is only part of a longer run, what was judged to be no secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scanner.detect import plausible

#: a letter before a match that ends no word: an escape, or the length byte of a string among binary data
_ESCAPE_BEFORE = re.compile(
    rb"(?:\\[nrtbf0]|%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\x1b\[[0-9;]{0,8}m"
    rb"|[\x00-\x08\x0e-\x1f\x80-\xff].)\Z",
    re.DOTALL,
)
#: an address behind `<img src=`, `![...](` or `image::`, of a picture or a badge
_PICTURE = re.compile(
    rb"(?:<img\s[^<>]{0,200}?src=[\"']?|!\[[^\]\n]{0,120}\]\(|image::? ?)https?://[^\s\"'<>)]{0,200}"
    rb"(?:\.(?:svg|png)\?|badge|shield|status)[^\s\"'<>)]{0,200}\Z",
    re.IGNORECASE,
)
#: an address behind `[![...](`: a picture that is a link, which nothing but a badge is
_LINKED_PICTURE = re.compile(rb"\[!\[[^\]\n]{0,120}\]\(https?://[^\s\"'<>()]{1,400}\Z")
_PICTURE_BEFORE = 600
_SAMPLE = 4096  # bytes that are looked at for a zero
#: bytes around a place without the end of a line or of a string, in a table of strings
_TABLE = 100
_ENDS = re.compile(rb"[\0\n]")
_SYMBOL_BEFORE = 1024
_SYMBOL = re.compile(rb"(?:\A|[^\w$.])_{1,3}[ZR][\w$.]{1,1024}\Z")
_LONGEST_ESCAPE = 12
_BASE64_BEFORE = 16
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+")
_IN_WORD = re.compile(rb"[A-Za-z0-9_-]+")


class Suppressed(NamedTuple):
    """A place with the shape of a secret that was judged to be none; *reason* as in `plausible`."""

    rule_id: str
    start: int
    end: int
    reason: str


def ranges(ends: Sequence[int], lead: int) -> Iterator[tuple[int, int]]:
    """Merged ranges in which a match can begin, for triggers that ended at *ends*, ascending."""
    low = high = -1
    for end in ends:
        begin = max(0, end - lead)
        if begin > high:
            if high >= 0:
                yield low, high
            low = begin
        high = end
    if high >= 0:
        yield low, high


def amid_zeros(data: memoryview, start: int, end: int) -> bool:
    """Whether what lies around data[start:end], or at the beginning, is no text: there is a zero byte in it."""
    return any(b"\0" in bytes(data[at : at + _SAMPLE]) for at in (max(0, start - _SAMPLE), end, 0))


def in_table(data: memoryview, start: int, end: int) -> bool:
    """Whether data[start:end] is in a table of strings of a program, one behind the other without anything between
    them: what follows a word there is the next string."""
    around = bytes(data[max(0, start - _TABLE) : end + _TABLE])
    return _ENDS.search(around) is None and amid_zeros(data, start, end)


def in_symbol(data: memoryview, at: int) -> bool:
    """Whether data[at] is in the name of a function or a type, as compilers of C++ and Rust write them: all types of
    its arguments are in one word."""
    return _SYMBOL.search(bytes(data[max(0, at - _SYMBOL_BEFORE) : at])) is not None


def in_picture(data: memoryview, at: int, prose: bool) -> bool:
    """Whether data[at] belongs to the address of a picture that a page shows, as badges of build services are: what
    stands there is for all readers. Where there is no *prose*, a text may quote a page: JSON does, of packages."""
    before = bytes(data[max(0, at - _PICTURE_BEFORE) : at])
    return _LINKED_PICTURE.search(before) is not None or (prose and _PICTURE.search(before) is not None)


def inside_base64(window: bytes, at: int) -> bool:
    """Whether what stands before window[at] is a long piece of base64, so that nothing begins there."""
    before = window[max(0, at - _BASE64_BEFORE) : at]
    return len(before) == _BASE64_BEFORE and _BASE64.fullmatch(before) is not None and plausible.disorder(before) > 0.35


def escape_before(window: bytes, at: int) -> bool:
    """Whether the letters before window[at] belong to an escape, so that a word may begin there."""
    return _ESCAPE_BEFORE.search(window[max(0, at - _LONGEST_ESCAPE) : at]) is not None


def past_word(window: bytes, at: int) -> int:
    """Where a word may begin behind window[at], which stands within one: behind that word, unless so near to its start
    that an escape may end there."""
    before = window[max(0, at - _LONGEST_ESCAPE) : at]
    if len(before) < _LONGEST_ESCAPE or _IN_WORD.fullmatch(before) is None:
        return at + 1
    word = _IN_WORD.match(window, at)
    return max(at + 1, word.end()) if word is not None else at + 1
