"""Encoded runs within text to the bytes they stand for, with the way back to where those bytes are stored.

A run is decoded only where the first pass saw something in it that pays (see `signals`): decoding every run of an
image would cost more than the rest of the scan.
"""

from __future__ import annotations

import binascii
import html
import re
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scanner.content import letters
from scanner.content.words import Content, Fault, Room, Run, Stop
from scanner.limits import KIB, MIB

_PACKED = (b"\x1f\x8b\x08", b"PK\3\4", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh")
_LONGEST = 16 * MIB  # of one run; longer ones are cut there
_BEFORE, _AFTER = 4 * KIB, 16 * KIB  # of a line with escapes, around where one was seen
_SHORTEST = 8


@dataclass(frozen=True, slots=True)
class Clue:
    """Where the first pass saw encoded text of one kind.

    Attributes:
        kind: one of `_DECODERS`; or zip, for the end record, and
            packed, for what may begin amid a content.
        ends: offsets in the content just after each place, ascending.
        phase: at *ends*, how many characters of an unfinished group of the encoding came before; for packed and
            the text that begins with a magic, how many bytes were seen.
    """

    kind: str
    ends: Sequence[int]
    phase: int = 0


@dataclass(frozen=True, slots=True)
class _Run:
    """A decoded run. *back* maps a span of *plain* to a span of the run."""

    start: int
    end: int
    plain: bytes
    encoding: str
    back: Callable[[int, int], tuple[int, int]]


def decode_runs(content: Content, clues: Sequence[Clue], room: Room) -> Iterator[Content | Fault]:
    """A content for each encoded run that a clue points into."""
    done: set[tuple[str, int, int]] = set()
    readings = [(clue, decode) for clue in clues for decode in _DECODERS.get(clue.kind, ())]
    try:
        for clue, decode in readings:
            reached = 0
            for end in clue.ends:
                if end <= reached:
                    continue
                room.look()
                run = decode(content.data, end, clue)
                if run is None:
                    continue
                reached = run.end
                if len(run.plain) < _SHORTEST or (run.encoding, run.start, run.end) in done:
                    continue
                done.add((run.encoding, run.start, run.end))
                room.take(len(run.plain))
                yield _content(content, run)
    except Stop as stop:
        yield Fault(stop.reason, content.inside, None, stop.what)


def _content(content: Content, run: _Run) -> Content:
    return Content(
        data=memoryview(run.plain),
        name=content.name,
        stored=content.place(run.start, run.end),
        verbatim=False,
        inside=content.inside,
        encoding=(*content.encoding, run.encoding),
        depth=content.depth + 1,
        run=Run(content, run.start, content.data[run.start : run.end], run.back),
    )


# --- runs of one alphabet -----------------------------------------------------------------------------------------


def _alphabet(members: bytes) -> bytes:
    """A table for `bytes.translate`: members to 1, all others to 0."""
    return bytes(byte in members for byte in range(256))


_DIGITS = b"0123456789"
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE64 = _alphabet(_LETTERS + _DIGITS + b"+/-_")
_HEX = _alphabet(_DIGITS + b"ABCDEFabcdef")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WRAP = re.compile(rb"(?:\r?\n|\\r\\n|\\n)[ \t]{0,64}(?:#|//|\*)?[ \t]{0,8}")
_WRAP_BEFORE = re.compile(rb"(?:\r?\n|\\r\\n|\\n)[ \t]{0,64}(?:#|//|\*)?[ \t]{0,8}\Z")
_SHORTEST_LINE = 16
_MARGIN = 128


def _start_of_run(data: memoryview, at: int, table: bytes) -> int:
    """The start of the run of members that ends at *at*."""
    step = 4096
    floor = max(0, at - _LONGEST)
    while at > floor:
        low = max(floor, at - step)
        found = bytes(data[low:at]).translate(table).rfind(b"\0")
        if found >= 0:
            return low + found + 1
        at, step = low, min(8 * step, MIB)
    return at


def _end_of_run(data: memoryview, at: int, table: bytes) -> int:
    step, limit = 4096, min(len(data), at + _LONGEST)
    while at < limit:
        high = min(limit, at + step)
        found = bytes(data[at:high]).translate(table).find(b"\0")
        if found >= 0:
            return at + found
        at, step = high, min(8 * step, MIB)
    return at


def _wrapped(data: memoryview, start: int, end: int, table: bytes) -> tuple[int, int]:
    """The run [start, end) with the lines before and after it, if it is cut into lines.

    All lines but the last have one length. `\\n` of a JSON string ends a line, too; its `n` is no member then.
    """
    width = 0
    while start > 0 and end - start < _LONGEST:
        before = _WRAP_BEFORE.search(bytes(data[max(0, start - _MARGIN) : start]))
        if before is None:
            break
        last = start - (before.end() - before.start())
        first = _start_of_run(data, last, table)
        first += _escaped_letter(data, first)
        if last - first < _SHORTEST_LINE or (width and last - first != width):
            break
        width, start = last - first, first
    while end < len(data) and end - start < _LONGEST:
        after = _WRAP.match(bytes(data[end : end + _MARGIN]))
        if after is None:
            break
        first = end + after.end()
        last = _end_of_run(data, first, table)
        if last == first or (width and last - first > width):
            break
        end = last
    return start, end


def _escaped_letter(data: memoryview, at: int) -> int:
    """1 if the byte at *at* is the `n` of an escape `\\n`."""
    return int(0 < at < len(data) and data[at - 1] == 0x5C and data[at] == 0x6E)


def _base64(data: memoryview, end: int, clue: Clue) -> _Run | None:
    first = _start_of_run(data, end, _BASE64)
    first += _escaped_letter(data, first)
    last = _end_of_run(data, end, _BASE64)
    start, stop = _wrapped(data, first, last, _BASE64)
    raw = bytes(data[start:stop])
    before = len(_clean(bytes(data[start:end])))
    drop = (before - clue.phase) % 4
    if drop:  # what stands before belongs to something else: a path, a scheme
        start += drop
        raw = raw[drop:]
    plain = _unbase64(_clean(raw))
    if (packed := _packed(plain, (before - drop) * 3 // 4)) > 0:  # a path may be as long as it likes
        at = _places(raw)(packed // 3 * 4)
        start, raw, plain = start + at, raw[at:], plain[packed:]
    place = _places(raw)

    def back(low: int, high: int) -> tuple[int, int]:
        return place(low // 3 * 4), place((high + 2) // 3 * 4 - 1) + 1

    return _Run(start, stop, plain, "base64", back)


def _packed(plain: bytes, near: int) -> int:
    """Where a format that holds others begins at the start of a group just before *near*; -1 if none does."""
    return next((at for at in range(near // 3 * 3, max(0, near - 9), -3) if plain.startswith(_PACKED, at)), -1)


_ESCAPED_WRAP = re.compile(rb"(?:\\r\\n|\\n|\r?\n)[ \t]*(?:#|//|\*)?[ \t]*")


def _clean(raw: bytes) -> bytes:
    """The members alone."""
    return _ESCAPED_WRAP.sub(b"", raw) if b"\n" in raw or b"\\" in raw else raw


def _unbase64(members: bytes) -> bytes:
    text = members.translate(_URL_SAFE)
    text = text[: len(text) - (len(text) % 4 == 1)]
    try:
        return binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return b""


def _places(raw: bytes) -> Callable[[int], int]:
    """Where the member of a number lies in a run that may be cut into lines; it is asked for thousands of times."""
    last = max(0, len(raw) - 1)
    if b"\n" not in raw and b"\\" not in raw:
        return lambda number: min(number, last)
    numbers, starts = array("Q", [0]), array("Q", [0])  # of the first member of each line, and where it lies
    for wrap in _ESCAPED_WRAP.finditer(raw):
        numbers.append(numbers[-1] + wrap.start() - starts[-1])
        starts.append(wrap.end())

    def place(number: int) -> int:
        line = bisect_right(numbers, number) - 1
        return min(starts[line] + number - numbers[line], last)

    return place


def _hex(data: memoryview, end: int, _clue: Clue) -> _Run | None:
    first, last = _start_of_run(data, end, _HEX), _end_of_run(data, end, _HEX)
    start, stop = _wrapped(data, first, last, _HEX)
    members = _clean(bytes(data[start:end]))
    start += len(members) % 2
    raw = bytes(data[start:stop])
    digits = _clean(raw)
    plain = binascii.a2b_hex(digits[: len(digits) & ~1])
    place = _places(raw)

    def back(low: int, high: int) -> tuple[int, int]:
        return place(2 * low), place(2 * high - 1) + 1

    return _Run(start, stop, plain, "hex", back)


def _packed_text(
    encoding: str, members: bytes, decoded: Callable[[bytes], bytes]
) -> Callable[[memoryview, int, Clue], _Run | None]:
    """A decoder for text that begins with a magic, and so where the clue begins."""
    table = _alphabet(members)

    def decode(data: memoryview, end: int, clue: Clue) -> _Run | None:
        start = end - clue.phase
        stop = _end_of_run(data, start, table)
        plain = decoded(bytes(data[start:stop]))
        # letters and lines are not in step with the bytes, so the way back is to all of it
        return _Run(start, stop, plain, encoding, lambda _low, _high: (0, stop - start))

    return decode


# --- wide characters ----------------------------------------------------------------------------------------------


def _wide(encoding: str, width: int, little: bool) -> Callable[[memoryview, int, Clue], _Run | None]:
    """A decoder for text of *width* bytes for a character; the clue ends with one, without zeros behind it."""
    codec, own, other = _codec(encoding), _units_of(width, little), _units_of(width, not little)
    zeros = width - 1

    def decode(data: memoryview, end: int, _clue: Clue) -> _Run | None:
        start, stop = _wide_run(data, end + zeros if little else end, width, own)
        # read the other way round, the text is there too, but for a character at one end
        first, last = _wide_run(data, end if little else end + zeros, width, other)
        if stop <= start:
            return None
        if last - first > stop - start:  # nothing new, but nothing that another clue in it has to be read for
            return _Run(start, stop, b"", encoding, lambda low, high: (low, high))
        plain = bytes(data[start:stop]).decode(codec, "replace").encode()
        return _Run(start, stop, plain, encoding, lambda low, high: _units(plain, codec, low, high))

    return decode


def _units_of(width: int, little: bool) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Runs of the first 256 characters without controls: as they are, and with their bytes in reverse."""
    zeros, character = rb"\x00" * (width - 1), rb"[\t\r\n\x20-\xff]"
    forward = character + zeros if little else zeros + character
    backward = zeros + character if little else character + zeros
    return re.compile(rb"(?:%s)*" % forward), re.compile(rb"(?:%s)*" % backward)


def _wide_run(
    data: memoryview, at: int, width: int, patterns: tuple[re.Pattern[bytes], re.Pattern[bytes]]
) -> tuple[int, int]:
    """The run of characters around *at*, which is between two of them."""
    start = stop = at = min(at, len(data))
    forward, backward = patterns
    step = 4096
    while start > 0 and at - start < _LONGEST:
        chunk = bytes(data[max(0, start - step) : start])
        length = _matched(backward, chunk[::-1])
        start -= length
        if not length or length < len(chunk) - width:
            break
        step = min(4 * step, MIB)
    while stop < len(data) and stop - at < _LONGEST:
        chunk = bytes(data[stop : stop + MIB])
        length = _matched(forward, chunk)
        stop += length
        if not length or length < len(chunk) - width:
            break
    return start, stop


def _matched(pattern: re.Pattern[bytes], chunk: bytes) -> int:
    found = pattern.match(chunk)
    return found.end() if found is not None else 0


def _codec(encoding: str) -> str:
    return encoding.replace("le", "-le").replace("be", "-be")


def _units(plain: bytes, codec: str, low: int, high: int) -> tuple[int, int]:
    """A span of UTF-8 as a span of the encoding it came from."""
    first = len(plain[:low].decode("utf-8", "ignore").encode(codec, "replace"))
    return first, first + len(plain[low:high].decode("utf-8", "ignore").encode(codec, "replace"))


_BOMS = (
    (b"\xff\xfe\0\0", "utf-32le"),
    (b"\0\0\xfe\xff", "utf-32be"),
    (b"\xff\xfe", "utf-16le"),
    (b"\xfe\xff", "utf-16be"),
)
_WIDE_TESTED = 4096


def wide_text(data: memoryview) -> str:
    """The encoding that a byte order mark tells, if the first bytes decode to text without control characters."""
    head = bytes(data[:_WIDE_TESTED])
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            codec = _codec(encoding)
            text = head[len(mark) : len(head) & ~3].decode(codec, "ignore")
            odd = sum(char < " " and char not in "\t\r\n" for char in text)
            return encoding if text and odd * 50 <= len(text) else ""
    return ""


def open_wide(content: Content, encoding: str, room: Room) -> Iterator[Content | Fault]:
    """A whole file of wide characters, in windows."""
    codec = _codec(encoding)
    data = content.data
    try:
        for start in range(0, len(data), _LONGEST):
            stop = min(len(data), start + _LONGEST + 64 * KIB)
            plain = bytes(data[start:stop]).decode(codec, "replace").encode("utf-8", "replace")
            room.take(len(plain))
            yield _content(content, _Run(start, stop, plain, encoding, _unit_span(plain, codec)))
    except Stop as stop_:
        yield Fault(stop_.reason, content.inside, len(data), stop_.what)


def _unit_span(plain: bytes, codec: str) -> Callable[[int, int], tuple[int, int]]:
    return lambda low, high: _units(plain, codec, low, high)


# --- escapes ------------------------------------------------------------------------------------------------------

_STRING_ESCAPE = re.compile(
    rb"\\(?:u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2})|([0-3][0-7]{2}|[1-7][0-7]?)|(\r?\n)"
    rb"|([nrtbf0\"'\\/&<>$` ]))"
)
_URL_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")
_HTML_ESCAPE = re.compile(rb"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_LETTER = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"0": b"\0"}


def _string(found: re.Match[bytes]) -> bytes:
    wide, braced, byte, octal, joined, letter = found.groups()
    if wide or braced:
        return chr(min(int(wide or braced, 16), sys.maxunicode)).encode("utf-8", "surrogatepass")
    if byte or octal:
        return bytes([int(byte, 16) if byte else int(octal, 8)])
    return b"" if joined else _LETTER.get(letter, letter)


def _percent(found: re.Match[bytes]) -> bytes:
    return bytes([int(found.group(1), 16)])


def _entity(found: re.Match[bytes]) -> bytes:
    return html.unescape(found.group().decode("ascii")).encode("utf-8", "replace")


def _replaced(
    encoding: str, pattern: re.Pattern[bytes], decoded: Callable[[re.Match[bytes]], bytes]
) -> Callable[[memoryview, int, Clue], _Run | None]:
    """A decoder that replaces escapes in the line around a clue."""

    def decode(data: memoryview, end: int, _clue: Clue) -> _Run | None:
        low = max(0, end - _BEFORE)
        start = low + bytes(data[low : max(low, end - 1)]).rfind(b"\n") + 1
        line = bytes(data[end : end + _AFTER]).find(b"\n")
        stop = min(len(data), end + (_AFTER if line < 0 else line))
        raw = bytes(data[start:stop])
        plain = pattern.sub(decoded, raw)
        if plain == raw:
            return None
        return _Run(start, stop, plain, encoding, lambda first, last: _span(raw, pattern, decoded, first, last))

    return decode


def _span(
    raw: bytes, pattern: re.Pattern[bytes], decoded: Callable[[re.Match[bytes]], bytes], low: int, high: int
) -> tuple[int, int]:
    """The span of the escaped text that a span of the decoded text came from."""
    made = at = 0
    start = stop = -1
    for found in pattern.finditer(raw):
        plain, size = found.start() - at, len(decoded(found))
        if start < 0 and low < made + plain + size:
            start = at + low - made if low < made + plain else found.start()
        if high <= made + plain + size:
            stop = at + high - made if high <= made + plain else found.end()
            break
        made, at = made + plain + size, found.end()
    start = at + low - made if start < 0 else start
    return start, at + high - made if stop < 0 else stop


_QUOTED = re.compile(rb"=(?:([0-9A-Fa-f]{2})|(=)|\r[^\n]*\n|\n)")  # as `a2b_qp` takes it
_BODY = re.compile(rb"\n\r?\n")
_BOUNDARY = re.compile(rb"\n--[^ \r\n]")


def _unquoted(found: re.Match[bytes]) -> bytes:
    return bytes([int(found.group(1), 16)]) if found.group(1) else found.group(2) or b""


def _quoted_part(data: memoryview, end: int, _clue: Clue) -> _Run | None:
    """The part of a mail, or of a page saved as one, whose header says that it is quoted-printable (RFC 2045)."""
    body = _BODY.search(data, end, end + KIB)
    if body is None:
        return None
    start = body.end()
    boundary = _BOUNDARY.search(data, start, start + _LONGEST)
    stop = boundary.start() if boundary else min(len(data), start + _LONGEST)
    raw = bytes(data[start:stop])
    plain = binascii.a2b_qp(raw)
    if plain == raw:  # nothing new, but nothing that another header has to be looked at for
        return _Run(start, stop, b"", "quoted-printable", lambda low, high: (low, high))
    return _Run(start, stop, plain, "quoted-printable", lambda low, high: _span(raw, _QUOTED, _unquoted, low, high))


#: by the kind of a clue; text of wide characters may be read in either byte order
_DECODERS: dict[str, tuple[Callable[[memoryview, int, Clue], _Run | None], ...]] = {
    "base64": (_base64,),
    "hex": (_hex,),
    "utf-16": (_wide("utf-16le", 2, True), _wide("utf-16be", 2, False)),
    "utf-32": (_wide("utf-32le", 4, True), _wide("utf-32be", 4, False)),
    "escapes": (_replaced("json-string", _STRING_ESCAPE, _string),),
    "url": (_replaced("url", _URL_ESCAPE, _percent),),
    "quoted": (_quoted_part,),
    "html": (_replaced("html", _HTML_ESCAPE, _entity),),
    **{kind: (_packed_text(kind, *known),) for kind, known in letters.KINDS.items()},
}
