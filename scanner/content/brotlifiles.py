"""Brotli: a stream without a magic and without a checksum, told by the name of its file alone.

Source: RFC 7932; the suffix is that of the reference implementation's command, which web servers look for too.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scanner.layer.compression import PlainSink, Region, note
from scanner.limits import KIB, MIB

if TYPE_CHECKING:
    from brotli import Decompressor

_IN, _OUT = 64 * KIB, 4 * MIB
_TEXT = 4 * KIB
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\f\r\x1b")


def is_named_brotli(name: str) -> bool:
    """Whether a file of that name says that it is brotli."""
    return name.endswith(".br")


def is_text(data: memoryview) -> bool:
    """Whether a file begins with text as it stands, which a brotli stream hardly ever does."""
    head = bytes(data[:_TEXT])
    if head.translate(None, _CONTROLS) != head:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def unbrotli(sink: PlainSink, data: memoryview, outside: list[Region]) -> tuple[bool, int]:
    """Decode the stream at the start of *data*: whether it ended as it should, and where it ends.

    *outside* gathers all of it but its first byte: between its blocks there may be others that hold anything (section
    9.2), and the library does not tell where. Whatever *sink* raises passes through.
    """
    whole, end = _decoded(sink, data)
    note(outside, Region(1, max(0, end - 1)))
    return whole, end


def _decoded(sink: PlainSink, data: memoryview) -> tuple[bool, int]:
    from brotli import Decompressor, error  # costs an import only where a file is brotli

    decoder, at = Decompressor(), 0
    while not decoder.is_finished() and at < len(data):
        before = sink.size
        try:
            for plain in _portion(decoder, bytes(data[at : at + _IN])):
                sink.write(plain, at)
        except error:
            return _again(sink, data, at, sink.size - before)
        at = min(at + _IN, len(data))
    return decoder.is_finished(), at


def _portion(decoder: Decompressor, data: bytes) -> Iterator[bytes]:
    """The plain bytes that come out with these stored ones, not many at a time. Raises brotli.error."""
    while plain := decoder.process(data, output_buffer_limit=_OUT):
        yield plain
        if decoder.is_finished():
            return
        data = b""  # some may still be held back, even if the decoder says that it wants more


def _again(sink: PlainSink, data: memoryview, last: int, written: int) -> tuple[bool, int]:
    """Decode once more, from *last* on byte by byte: the library keeps back what came out of a portion with something
    wrong in it, and calls it wrong if anything follows the stream. Of that portion *written* bytes are in the sink."""
    from brotli import Decompressor, error

    decoder, at = Decompressor(), 0
    try:
        for at in range(0, last, _IN):
            for _ in _portion(decoder, bytes(data[at : at + _IN])):
                sink.write(b"", at)  # time passes
        for at in range(last, min(last + _IN, len(data))):
            for plain in _portion(decoder, bytes(data[at : at + 1])):
                sink.write(plain[written:], at)
                written = max(0, written - len(plain))
            if decoder.is_finished():
                return True, at + 1
    except error:
        return False, at
    return False, at
