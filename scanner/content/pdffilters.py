"""What the filters of a PDF's streams hide, undone one after the other.

Source: ISO 32000-1 section 7.4 (filters) and 7.3.5 (names with escapes). Filters of pictures are left: what they leave
is no text.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from scanner.content.buffer import Buffer
from scanner.content.letters import ascii85
from scanner.content.streams import inflate
from scanner.limits import MIB

_FILTERS = re.compile(rb"/F(?:ilter)?\s*(\[[^\]]{0,1024}\]|/[^\s/<>\[\]()]{1,64})")
_ELSEWHERE = re.compile(rb"/Filter\s*\d{1,10}\s+\d{1,5}\s+R\b")
_NAME = re.compile(rb"/([^\s/<>\[\]()]{1,64})")
_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")
_SHORT = {
    b"Fl": b"FlateDecode", b"A85": b"ASCII85Decode", b"AHx": b"ASCIIHexDecode", b"LZW": b"LZWDecode",
    b"RL": b"RunLengthDecode",
}  # fmt: skip
_PICTURES = frozenset((b"DCTDecode", b"DCT", b"JPXDecode", b"CCITTFaxDecode", b"CCF", b"JBIG2Decode"))
_MOST = 8  # filters of one stream
_LARGEST = 64 * MIB  # stored bytes that are decoded at once
_END = re.compile(rb"\r?\n?endstream")
_NO_HEX = re.compile(rb"[^0-9A-Fa-f]+")
_CLEAR, _OVER = 256, 257

Fault = tuple[str, str]


def undo(data: memoryview, dictionary: bytes, buffer: Buffer) -> tuple[int, tuple[str, ...], Fault | None]:
    """Undo the filters that *dictionary* names for the stream at the start of *data*, into *buffer*.

    Returns how many bytes it takes, what was undone, and reason and sentence if something could not be. Raises Stop or
    OSError, as the buffer does.
    """
    names = _names(dictionary)
    if names[:1] == [b"FlateDecode"] or (not names and _ELSEWHERE.search(dictionary)):
        used, ended = inflate(buffer, data, zlib.MAX_WBITS)
        if names[1:]:
            return _rest(bytes(buffer.view()), names[1:], ("flate",), used, buffer)
        return used, ("flate",) if buffer.size else (), None if ended or names else _UNKNOWN
    if not names or set(names) <= _PICTURES:
        return 0, (), None
    end = _END.search(data[:_LARGEST])
    raw = bytes(data[: end.start()]) if end else bytes(data[:_LARGEST])
    return _rest(raw, names, (), len(raw), buffer)


_UNKNOWN: Fault = ("nested.unknown", "a stream's filters are not understood")


def _rest(
    raw: bytes, names: list[bytes], done: tuple[str, ...], used: int, buffer: Buffer
) -> tuple[int, tuple[str, ...], Fault | None]:
    """Undo the filters that are left; a picture at the end of the chain stays packed."""
    fault: Fault | None = None
    for name in names[:_MOST]:
        if name in _PICTURES:
            break
        if name == b"Crypt":
            fault = ("nested.encrypted", "a stream is encrypted")
            break
        if name not in _DECODERS:
            fault = _UNKNOWN
            break
        encoding, decoder = _DECODERS[name]
        raw, done = decoder(raw), (*done, encoding)
    buffer.clear()
    buffer.write(raw if done else b"")
    return used, done if raw else (), fault


def _names(dictionary: bytes) -> list[bytes]:
    """The filters that a stream's dictionary names, the outermost first."""
    found = _FILTERS.search(dictionary)
    if found is None:
        return []
    names = (_ESCAPE.sub(lambda code: bytes([int(code[1], 16)]), name) for name in _NAME.findall(found[1]))
    return [_SHORT.get(name, name) for name in names]


def _flate(raw: bytes) -> bytes:
    decoder = zlib.decompressobj()
    try:
        return decoder.decompress(raw, _LARGEST)
    except zlib.error:
        return b""


def _hex(raw: bytes) -> bytes:
    digits = _NO_HEX.sub(b"", raw.partition(b">")[0])
    return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode())


def _run_length(raw: bytes) -> bytes:
    out, at, size = [], 0, 0
    while at < len(raw) and raw[at] != 128 and size < _LARGEST:
        length = raw[at]
        part = raw[at + 1 : at + 2 + length] if length < 128 else raw[at + 1 : at + 2] * (257 - length)
        at += 2 + length if length < 128 else 2
        out.append(part)
        size += len(part)
    return b"".join(out)


def _lzw(raw: bytes) -> bytes:
    """LZW with codes of 9 to 12 bits, each width taken one code early (section 7.4.4.2)."""
    table = [bytes([byte]) for byte in range(256)] + [b"", b""]
    out: list[bytes] = []
    width, held, bits, last, size = 9, 0, 0, b"", 0
    for byte in raw:
        held, bits = (held << 8 | byte) & 0xFFFFFF, bits + 8
        if bits < width:
            continue
        bits -= width
        code = held >> bits & ((1 << width) - 1)
        if code == _OVER or size > _LARGEST:
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
    return b"".join(out)


_DECODERS: dict[bytes, tuple[str, Callable[[bytes], bytes]]] = {
    b"FlateDecode": ("flate", _flate),
    b"ASCII85Decode": ("ascii85", ascii85),
    b"ASCIIHexDecode": ("hex", _hex),
    b"RunLengthDecode": ("run-length", _run_length),
    b"LZWDecode": ("lzw", _lzw),
}
