"""Documents with text in streams or in pieces: PDF and SQLite.

Sources: ISO 32000-1 sections 7.3.4, 7.3.8 and 9.4.3 (strings, streams, showing text); "Database File Format" of SQLite
sections 1.3 and 1.6 (pages, cells, overflow), 3 and 4.1 (rollback journal, write-ahead log).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scanner.content import pdffilters
from scanner.content.buffer import Buffer
from scanner.content.words import Content, Fault, Room, Stop
from scanner.limits import KIB

_STREAM = re.compile(rb"stream\r?\n")
_OBJECT = re.compile(rb"(\d{1,10})\s+\d{1,5}\s+obj\b")
_DICTIONARY = 4096  # bytes before a stream in which its dictionary is looked for
_LONG = 64 * KIB  # of a dictionary that does not begin there
#: a key of a trailer, its letters perhaps escaped, with what it refers to
_ENCRYPT = re.compile(
    b"/" + b"".join(b"(?:%c|#(?i:%02x))" % (letter, letter) for letter in b"Encrypt")
    + rb"\s*(?:\d{1,10}\s+\d{1,5}\s+R\b|<<)"
)  # fmt: skip
_IDLE = 50  # places where it says nothing
_BOUNDS = re.compile(rb"\bobj\b|\btrailer\b|\b(?:end)?stream\b")
_NUMBERS = 40  # bytes before `obj` that hold an object's number and generation
_STEP = 1 << 22

_SHOWN = re.compile(rb"\((?:[^()\\]|\\.)*\)|<[0-9A-Fa-f\s]+>|\bT(?:[JjdDm]\b|\*)|['\"]|-?\d+(?:\.\d+)?", re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|\r?\n|.)", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_WORD_GAP = -200.0  # thousandths of an em: a move this far to the right looks like a blank


def open_pdf(content: Content, room: Room) -> Iterator[Content | Fault]:
    """Streams as their filters leave them, and the text that page streams show; strings are often cut there."""
    data, start = content.data, 0
    encrypted = _is_encrypted(data)
    while (place := _next_stream(data, start)) is not None:
        name, dictionary = _dictionary(data, place)
        start = place
        buffer = Buffer(room)
        try:
            room.entry()
            used, done, fault = pdffilters.undo(data[place:], dictionary, buffer)
            start = place + max(1, used)
            if done:
                plain = buffer.view()
                yield content.made(plain, place, start, name, done)
                if shown := _shown(bytes(plain[:_STEP])):
                    yield content.made(shown, place, start, name, (*done, "pdf-text"))
            if fault and not (encrypted and fault[0] == "nested.damaged"):  # what is encrypted looks like damage
                yield Fault(fault[0], (*content.inside, name), None, fault[1])
        except Stop as stop:
            yield Fault(stop.reason, (*content.inside, name), None, stop.what)
            return
        except OSError as error:
            text = f"no temporary file can hold what is packed in it: {error.strerror}"
            yield Fault("nested.bytes", (*content.inside, name), None, text)
            return
        finally:
            buffer.close()
    if encrypted:
        yield Fault("nested.encrypted", content.inside, len(data), "the PDF is encrypted")


def _is_encrypted(data: memoryview) -> bool:
    """Whether a trailer names what the document is encrypted by. It stands anywhere: at the end, at the start of a file
    made for the web, in the dictionary of a stream. The same words in a comment, or in a stream that is not packed,
    say nothing, unless they stand there more often than is looked at."""
    for number, found in enumerate(_ENCRYPT.finditer(data)):
        before = bytes(data[max(0, found.start() - _LONG) : found.start()])
        line = before[max(before.rfind(b"\n"), before.rfind(b"\r")) + 1 :]
        bounds = _BOUNDS.findall(before)
        idle = line.lstrip().startswith(b"%") or bounds[-1:] == [b"stream"]
        if not idle or number > _IDLE:
            return True
    return False


def _dictionary(data: memoryview, place: int) -> tuple[str, bytes]:
    """What the object of the stream that begins at *place* is called, and what stands between its start and there."""
    for length in (_DICTIONARY, _LONG):
        head = bytes(data[max(0, place - length) : place])
        start = max(head.rfind(b"obj"), head.rfind(b"endstream"))
        if start >= 0:
            break
    numbers = _OBJECT.findall(head[max(0, start - _NUMBERS) : start + 3]) if start >= 0 else []
    return f"object {numbers[-1].decode()}" if numbers else "object", head[start + 1 :]


def _next_stream(data: memoryview, start: int) -> int | None:
    for at in range(start, len(data), _STEP):
        if found := _STREAM.search(data[at : at + _STEP + 8]):
            return at + found.end()
    return None


def _shown(stream: bytes) -> bytes:
    """The strings that a page's stream shows, joined as they are seen."""
    if b"BT" not in stream or b"T" not in stream:
        return b""
    found: list[bytes] = []
    for token in _SHOWN.finditer(stream):
        text = token.group()
        if text[:1] == b"(":
            found.append(_ESCAPE.sub(_unescaped, text[1:-1]))
        elif text[:1] == b"<":
            digits = bytes(text[1:-1]).translate(None, b" \t\r\n\f")
            found.append(bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode()))
        elif text in (b"Td", b"TD", b"Tm", b"T*", b"'", b'"'):
            found.append(b"\n")
        elif text[:1] == b"-" and float(text) < _WORD_GAP:
            found.append(b" ")
    return re.sub(rb"\n{2,}", b"\n", b"".join(found)).strip()


def _unescaped(found: re.Match[bytes]) -> bytes:
    text = found.group(1)
    if text[:1].isdigit() and text[0] < 0x38:
        return bytes([int(text, 8) & 0xFF])
    return b"" if text.endswith(b"\n") else _ESCAPES.get(text, text)


# --- SQLite -------------------------------------------------------------------------------------------------------

_TABLE_LEAF, _INDEX_LEAF, _INDEX_INNER = 0x0D, 0x0A, 0x02
_LARGEST_VALUE, _FILE_HEADER = 64 << 20, 100
_DATABASE, _JOURNAL, _LOG = b"SQLite format 3\0", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", b"\x37\x7f\x06"
_LOG_HEADER, _LOG_FRAME, _JOURNAL_FRAME = 32, 24, 8


def is_sqlite(head: bytes) -> bool:
    """Whether the first bytes are those of a database, or of a log or journal beside one."""
    return head[:16] == _DATABASE or head[:8] == _JOURNAL or (head[:3] == _LOG and head[3:4] in b"\x82\x83")


@dataclass(frozen=True, slots=True)
class _Pages:
    """Where the pages of a file lie.

    Attributes:
        size, usable: bytes of a page, and of those that rows may take.
        first, step: where the first page starts, and how far from it the next one does.
        numbered: how far in front of a page its number stands, 0 if it follows from its place.
        versions: where each page starts in a file with numbers, which may have it several times.
    """

    data: memoryview
    size: int
    usable: int
    first: int = 0
    step: int = 0
    numbered: int = 0
    versions: Mapping[int, Sequence[int]] = field(default_factory=dict)

    def starts(self) -> range:
        """Where pages start."""
        return range(self.first, len(self.data), self.step or self.size)

    def number(self, start: int) -> int:
        """Which page starts there."""
        if not self.numbered:
            return start // self.size + 1
        return int.from_bytes(self.data[start - self.numbered : start - self.numbered + 4], "big")

    def find(self, number: int, near: int) -> int | None:
        """Where the version of a page starts that is the nearest, as one transaction writes its pages in a row."""
        if not self.numbered:
            return (number - 1) * self.size if number * self.size <= len(self.data) else None
        starts = self.versions.get(number, ())
        at = bisect_left(starts, near)
        return min(starts[max(0, at - 1) : at + 1], key=lambda start: abs(start - near), default=None)


def _pages(data: memoryview) -> _Pages | None:
    """The pages of a database, of a log or of a journal; None if its header says nothing sound."""
    if len(data) < _FILE_HEADER:
        return None
    if data[:3] == _LOG:
        size = int.from_bytes(data[8:12], "big")
        pages = _Pages(data, size, size, _LOG_HEADER + _LOG_FRAME, _LOG_FRAME + size, _LOG_FRAME)
    elif data[:8] == _JOURNAL:
        sector, size = int.from_bytes(data[20:24], "big"), int.from_bytes(data[24:28], "big")
        pages = _Pages(data, size, size, min(sector, len(data)) + 4, _JOURNAL_FRAME + size, 4)
    else:
        size = int.from_bytes(data[16:18], "big")
        size = 65536 if size == 1 else size
        pages = _Pages(data, size, size - data[20])
    if not 512 <= size <= 65536 or size & (size - 1):
        return None
    versions = defaultdict(list)
    for start in pages.starts() if pages.numbered else ():
        versions[pages.number(start)].append(start)
    return replace(pages, versions=versions)


def open_sqlite(content: Content, room: Room) -> Iterator[Content | Fault]:
    """Rows that are cut in pieces over several pages, joined; all others were searched as they lie there."""
    data = content.data
    pages = _pages(data)
    if pages is None:
        return
    try:
        for page in pages.starts():
            header = page + (_FILE_HEADER if pages.number(page) == 1 else 0)
            if header + 12 > len(data) or data[header] not in (_TABLE_LEAF, _INDEX_LEAF, _INDEX_INNER):
                continue
            for cell in _cells(data, page, header, pages.size):
                row, covers = _spread_row(pages, page + cell, data[header], room)
                if row:
                    room.entry()
                    end = min(page + pages.size, len(data))
                    yield content.made(row, page + cell, end, "", ("sqlite-overflow",), covers=covers)
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(data), stop.what)


def _cells(data: memoryview, page: int, header: int, size: int) -> Iterator[int]:
    count = int.from_bytes(data[header + 3 : header + 5], "big")
    first = header + (12 if data[header] == _INDEX_INNER else 8)
    for at in range(first, min(first + 2 * count, page + size), 2):
        cell = int.from_bytes(data[at : at + 2], "big")
        if 8 <= cell < size - 4:
            yield cell


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A variable-length number and where it ends."""
    value = 0
    for step, byte in enumerate(bytes(data[at : at + 9])):
        if step == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at + step + 1
    return 0, at


def _spread_row(
    pages: _Pages, cell: int, kind: int, room: Room
) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """The payload of a cell with overflow pages and the ranges it lies in, empty if it has none."""
    data, usable = pages.data, pages.usable
    at = cell + 4 if kind == _INDEX_INNER else cell
    length, at = _varint(data, at)
    most = usable - 35 if kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
    if kind == _TABLE_LEAF:
        _, at = _varint(data, at)
    if not most < length <= min(_LARGEST_VALUE, len(data)):
        return b"", ()
    least = (usable - 12) * 32 // 255 - 23
    local = least + (length - least) % (usable - 4)
    local = least if local > most else local
    parts, rest = [bytes(data[at : at + local])], length - local
    covers = [(at, at + local)]
    following, start = int.from_bytes(data[at + local : at + local + 4], "big"), cell
    while following and rest > 0:
        found = pages.find(following, start)
        if found is None or found + 4 >= len(data):
            break
        start = found
        part = bytes(data[start + 4 : start + 4 + min(rest, usable - 4)])
        following = int.from_bytes(data[start : start + 4], "big")
        parts.append(part)
        covers.append((start, start + 4 + len(part)))
        rest -= len(part)
        room.take(len(part))
    return b"".join(parts), tuple(covers)
