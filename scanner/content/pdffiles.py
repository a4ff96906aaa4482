"""PDF: its streams, and the text that they show in pieces.

Source: ISO 32000-1 sections 7.3.4, 7.3.8 and 9.4.3 (strings, streams, showing text).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

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

#: strings, operators that begin a line, moves that may be as far as a blank; each begins with one fixed character, to
#: which `re` skips
_OTHERS = rb"<[0-9A-Fa-f\s]+>|T(?<!\wT)(?:[dDm]\b|\*)|'|\"|-\d{3,}(?:\.\d+)?"
_SHOWN = re.compile(rb"\((?:[^()\\]|\\.)*+(?P<end>\))?|" + _OTHERS, re.DOTALL)
_UNENDED = re.compile(_OTHERS)
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


def _tokens(stream: bytes) -> Iterator[bytes]:
    """What `_SHOWN` tells; of a string without an end what is in it, so that no byte is looked at a third time."""
    for token in _SHOWN.finditer(stream):
        text = token.group()
        if text[:1] == b"(" and token["end"] is None:
            yield from _UNENDED.findall(text)
        else:
            yield text


def _shown(stream: bytes) -> bytes:
    """The strings that a page's stream shows, joined as they are seen."""
    if b"BT" not in stream or b"T" not in stream:
        return b""
    found: list[bytes] = []
    for text in _tokens(stream):
        if text[:1] == b"(":
            found.append(_ESCAPE.sub(_unescaped, text[1:-1]))
        elif text[:1] == b"<":
            digits = bytes(text[1:-1]).translate(None, b" \t\r\n\f")
            found.append(bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode()))
        elif text[:1] != b"-":
            found.append(b"\n")
        elif float(text) < _WORD_GAP:
            found.append(b" ")
    return re.sub(rb"\n{2,}", b"\n", b"".join(found)).strip()


def _unescaped(found: re.Match[bytes]) -> bytes:
    text = found.group(1)
    if text[:1].isdigit() and text[0] < 0x38:
        return bytes([int(text, 8) & 0xFF])
    return b"" if text.endswith(b"\n") else _ESCAPES.get(text, text)
