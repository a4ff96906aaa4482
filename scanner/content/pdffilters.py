"""What the filters of a PDF's streams hide, undone one after the other.

Source: ISO 32000-1 section 7.4 (filters) and 7.3.5 (names with escapes). Filters of pictures are left: what they leave
is no text.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from scanner.content.buffer import Buffer
from scanner.content.letters import KINDS, ascii85
from scanner.content.streams import inflate
from scanner.limits import MIB

_FILTERS = re.compile(rb"/F(?:ilter)?\s*(\[[^\]]{0,1024}\]|/[^\s/<>\[\]()]{1,64})")
#: named in another object, or in a form that is not read here
_ELSEWHERE = re.compile(rb"/Filter\s*(?:\d{1,10}\s+\d{1,5}\s+R\b|%|\[(?:[^\]]{1024}|[^\]]{0,1024}%))")
_NAME = re.compile(rb"/([^\s/<>\[\]()]{1,64})|\d{1,10}\s+\d{1,5}\s+R\b")
_ESCAPE = re.compile(rb"#(3\d|[46][1-9A-Fa-f]|[57][\dAa])")  # of a letter or a digit: no other hides a name we know
_SHORT = {
    b"Fl": b"FlateDecode", b"A85": b"ASCII85Decode", b"AHx": b"ASCIIHexDecode", b"LZW": b"LZWDecode",
    b"RL": b"RunLengthDecode",
}  # fmt: skip
_PICTURES = frozenset((b"DCTDecode", b"DCT", b"JPXDecode", b"CCITTFaxDecode", b"CCF", b"JBIG2Decode"))
_MOST = 8  # filters of one stream
_LARGEST = 64 * MIB  # stored bytes that are decoded at once
_END = re.compile(rb"\r?\n?endstream")
_EMPTY = re.compile(rb"\s*endstream")
_FLUSHED = b"\0\0\xff\xff"  # where some writers leave a stream of Flate, without its end and its checksum
_NO_HEX = re.compile(rb"[^0-9A-Fa-f]+")
_BLANKS = b" \t\r\n\f\0"
_CLEAR, _OVER = 256, 257

Fault = tuple[str, str]
_DAMAGED: Fault = ("nested.damaged", "a stream is damaged or cut off")
_UNKNOWN: Fault = ("nested.unknown", "a stream's filters are not understood")
_ENCRYPTED: Fault = ("nested.encrypted", "a stream is encrypted")
_TOO_MANY: Fault = ("nested.depth", f"a stream has more than {_MOST} filters")
_TOO_LARGE: Fault = ("nested.bytes", f"a stream is longer than {_LARGEST} bytes, or what a filter makes of it is")


def undo(data: memoryview, dictionary: bytes, buffer: Buffer) -> tuple[int, tuple[str, ...], Fault | None]:
    """Undo the filters that *dictionary* names for the stream at the start of *data*, into *buffer*.

    Returns how many bytes it takes, what was undone, and reason and sentence if something could not be: what came out
    before is there all the same. Raises Stop, as the buffer does.
    """
    dictionary = _ESCAPE.sub(lambda code: bytes([int(code[1], 16)]), dictionary)
    names = _names(dictionary)
    untold = not names and bool(_ELSEWHERE.search(dictionary))
    if (not names and not untold) or (names and set(names) <= _PICTURES) or _EMPTY.match(data[:32]):
        return 0, (), None
    if untold or names[0] == b"FlateDecode":
        used, ended = _inflated(data, buffer)
        fault = None if ended else _UNKNOWN if untold else _DAMAGED
        done, more = _rest(names[1:], ("flate",), buffer)
        return used, done, fault or more
    end = _END.search(data[:_LARGEST])
    raw = bytes(data[: end.start() if end else _LARGEST])
    fault = None if end else _TOO_LARGE if len(data) > _LARGEST else _DAMAGED
    done, more = _rest(names, (), buffer, raw)
    return len(raw), done, fault or more


def _inflated(data: memoryview, buffer: Buffer) -> tuple[int, bool]:
    """Undo Flate at the start of *data*: where it ends, and whether it ended as it should."""
    used, ended = inflate(buffer, data, zlib.MAX_WBITS)
    if ended:
        return used, True
    end = _END.search(data[: used + 16])  # what has no end of its own goes on in the word behind it
    if end is not None:
        data = data[: end.start()]
        buffer.clear()
        used, _ = inflate(buffer, data, zlib.MAX_WBITS)
    return used, used == len(data) and bytes(data[-len(_FLUSHED) :]) == _FLUSHED


def _rest(
    names: list[bytes], done: tuple[str, ...], buffer: Buffer, raw: bytes = b""
) -> tuple[tuple[str, ...], Fault | None]:
    """Undo the filters that are left, of *raw* or of what is in *buffer*; a picture at the end stays packed. Returns
    what was undone if something came out, and the first fault."""
    fault: Fault | None = None
    for name in names:
        if name in _PICTURES:
            break
        ended = _reason(name, len(done))
        if ended is not None:
            fault = fault or ended
            break
        encoding, decoder = _DECODERS[name]
        if done:
            fault = fault or (_TOO_LARGE if buffer.size > _LARGEST else None)
            raw = bytes(buffer.view()[:_LARGEST])
        buffer.clear()
        found = decoder(raw, buffer)
        fault, done = fault or found, (*done, encoding)
    return done if buffer.size else (), fault


def _reason(name: bytes, count: int) -> Fault | None:
    """Why filter *name* is not undone behind *count* others; None if it is."""
    if name == b"Crypt":
        return _ENCRYPTED
    if name not in _DECODERS:
        return _UNKNOWN
    return _TOO_MANY if count >= _MOST else None


def _names(dictionary: bytes) -> list[bytes]:
    """The filters that a stream's dictionary, without escapes, names, the outermost first; '' for one that is named in
    another object."""
    found = _FILTERS.search(dictionary)
    if found is None:
        return []
    return [_SHORT.get(name, name) for name in _NAME.findall(found[1])]


# Each writes what it makes of its bytes and returns why that is not all, if so. Behind the mark of its end nothing may
# follow: a mark that damage made would cut off the rest.


def _flate(raw: bytes, buffer: Buffer) -> Fault | None:
    return None if _inflated(memoryview(raw), buffer)[1] else _DAMAGED


def _ascii85(raw: bytes, buffer: Buffer) -> Fault | None:
    start = raw.find(b"<~", 0, 8)
    text, _, rest = raw[start + 2 if start >= 0 else 0 :].partition(b"~")
    buffer.write(ascii85(text))
    foreign = text.translate(None, KINDS["ascii85"][0])
    return _DAMAGED if foreign or rest.lstrip(_BLANKS).removeprefix(b">").strip(_BLANKS) else None


def _hex(raw: bytes, buffer: Buffer) -> Fault | None:
    text, _, rest = raw.partition(b">")
    digits = _NO_HEX.sub(b"", text)
    buffer.write(bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode()))
    foreign = len(text.translate(None, _BLANKS)) > len(digits)
    return _DAMAGED if foreign or rest.strip(_BLANKS) else None


def _run_length(raw: bytes, buffer: Buffer) -> Fault | None:
    out, at, size = [], 0, 0
    while at < len(raw) and raw[at] != 128 and size < _LARGEST:
        length = raw[at]
        part = raw[at + 1 : at + 2 + length] if length < 128 else raw[at + 1 : at + 2] * (257 - length)
        at += 2 + length if length < 128 else 2
        out.append(part)
        size += len(part)
    buffer.write(b"".join(out))
    if at < len(raw) and raw[at] != 128:
        return _TOO_LARGE
    return _DAMAGED if at >= len(raw) or raw[at + 1 :].strip(_BLANKS) else None


def _lzw(raw: bytes, buffer: Buffer) -> Fault | None:
    """LZW with codes of 9 to 12 bits, each width taken one code early (section 7.4.4.2)."""
    table = [bytes([byte]) for byte in range(256)] + [b"", b""]
    out: list[bytes] = []
    width, held, bits, last, size = 9, 0, 0, b"", 0
    fault: Fault | None = _DAMAGED  # but for the mark of the end
    for at, byte in enumerate(raw):
        held, bits = (held << 8 | byte) & 0xFFFFFF, bits + 8
        if bits < width:
            continue
        bits -= width
        code = held >> bits & ((1 << width) - 1)
        if code == _OVER:
            fault = _DAMAGED if raw[at + 1 :].strip(_BLANKS) else None
            break
        if size > _LARGEST:
            fault = _TOO_LARGE
            break
        if code == _CLEAR:
            del table[258:]
            width, last = 9, b""
            continue
        if code > len(table) or (code == len(table) and not last):
            break
        made = table[code] if code < len(table) else last + last[:1]
        out.append(made)
        size += len(made)
        if last and len(table) < 4096:
            table.append(last + made[:1])
        last = made
        width = min(12, max(9, (len(table) + 1).bit_length()))
    buffer.write(b"".join(out))
    return fault


_DECODERS: dict[bytes, tuple[str, Callable[[bytes, Buffer], Fault | None]]] = {
    b"FlateDecode": ("flate", _flate),
    b"ASCII85Decode": ("ascii85", _ascii85),
    b"ASCIIHexDecode": ("hex", _hex),
    b"RunLengthDecode": ("run-length", _run_length),
    b"LZWDecode": ("lzw", _lzw),
}
