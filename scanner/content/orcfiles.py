"""Files of ORC whose columns are packed.

The chunks of a stripe follow each other, those of one stream and of the next one, so that streams need not be told
apart. Values go on from chunk to chunk.

Source: the ORC specification, version 1, sections "Postscript", "Footer" and "Compression".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from scanner.content.blocks import unpacked
from scanner.content.buffer import Buffer
from scanner.content.numbers import unsigned
from scanner.content.words import Broken, Content, Ended, Fault, Room
from scanner.limits import KIB, MIB

_MAGIC = b"ORC"
_DAMAGED = "nested.damaged"
_CODECS = {1: "deflate", 2: "snappy", 3: "lzo", 4: "lz4", 5: "zstd", 6: "brotli"}
_USUAL, _LARGEST = 256 * KIB, 8 * MIB  # plain bytes of a chunk; a length in front of it has 23 bits
_STRIPES = 3  # field of a footer
_HEAD = 3  # bytes in front of a chunk: its length and whether it is packed at all


def is_orc(data: memoryview) -> bool:
    """Whether a content is a file of packed chunks: by its first bytes, which are letters, and by its last ones."""
    if data[:3] != _MAGIC or data[-4:-1] != _MAGIC:
        return False
    codec, end, _ = _postscript(data)
    return bool(codec) or end < len(_MAGIC)


def open_orc(content: Content, room: Room) -> Iterator[Content | Fault]:
    """What packed chunks hold."""
    data, buffer = content.data, Buffer(room)
    damaged, size, fault, covers = 0, len(content.data), None, list[tuple[int, int]]()
    try:
        number, end, most = _postscript(data)
        codec = _CODECS.get(number, "")
        if not codec and end >= len(_MAGIC):
            raise Broken("nested.unknown", "how its columns are packed is not understood")
        try:
            for start, stop, packed in _chunks(data, codec, end, most, room):
                raw = bytes(data[start:stop])
                plain, sound = unpacked(codec, raw, most) if packed else (raw, True)
                damaged += not sound
                covers.append((start, stop))
                buffer.write(plain)
        except Ended as ended:
            fault = Fault(ended.reason, content.inside, size, ended.what)
        if not covers:
            raise Broken(_DAMAGED, "the file has no chunks where it says")
        buffer.settle()
        if buffer.size:
            yield content.made(buffer.view(), covers[0][0], covers[-1][1], "", (codec,), covers=tuple(covers))
    except Ended as ended:
        fault = Fault(ended.reason, content.inside, size, ended.what)
    finally:
        buffer.close()
    if damaged:
        yield Fault(_DAMAGED, content.inside, size, f"{damaged} chunks of the file are damaged")
    if fault is not None:
        yield fault


def _postscript(data: memoryview) -> tuple[int, int, int]:
    """The number of how chunks are packed, where the last one ends, and how much one may hold."""
    end = len(data) - 1 - data[-1]
    about = dict(_fields(bytes(data[max(0, end) : len(data) - 1])))
    codec, most = about.get(2, 0), about.get(3, _USUAL)
    return codec if isinstance(codec, int) else 0, end, min(most, _LARGEST) if isinstance(most, int) else _USUAL


def _chunks(data: memoryview, codec: str, end: int, most: int, room: Room) -> Iterator[tuple[int, int, bool]]:
    """Where each chunk begins and ends, and whether it is packed: those of the stripes, and what lies behind the last
    of them, which is the footer. Raises Broken or Stop."""
    reached = len(_MAGIC)
    for start, stop in _stripes(data, codec, end, most, room):
        yield from _row(data, start, min(stop, end), room)
        reached = max(reached, min(stop, end))
    yield from _row(data, reached, end, room)


def _row(data: memoryview, at: int, end: int, room: Room) -> Iterator[tuple[int, int, bool]]:
    """The chunks of a range. Raises Broken or Stop."""
    while at < end:
        room.look()
        head = int.from_bytes(data[at : at + _HEAD], "little")
        start, at = at + _HEAD, at + _HEAD + (head >> 1)
        yield min(start, end), min(at, end), not head & 1
        if at > end:
            raise Broken(_DAMAGED, "a chunk of the file is longer than what it is in")


def _stripes(data: memoryview, codec: str, end: int, most: int, room: Room) -> Iterator[tuple[int, int]]:
    """Where the stripes begin and end, by the footer; none if it does not say so. Raises Stop."""
    length = dict(_fields(bytes(data[max(0, end) : len(data) - 1]))).get(1, 0)
    start, footer = end - length if isinstance(length, int) else end, b""
    with suppress(Broken):
        for first, last, packed in _row(data, max(len(_MAGIC), start), end, room):
            raw = bytes(data[first:last])
            plain = unpacked(codec, raw, most)[0] if packed else raw
            room.take(len(plain))
            footer += plain
    for number, stripe in _fields(footer):
        if number == _STRIPES and isinstance(stripe, bytes):
            about = dict(_fields(stripe))
            offset, *lengths = (value if isinstance(value := about.get(each, 0), int) else 0 for each in (1, 2, 3, 4))
            yield max(len(_MAGIC), offset), offset + sum(lengths)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message of Protocol Buffers, numbers and bytes, up to something odd."""
    at = 0
    with suppress(IndexError):
        while at < len(message):
            tag, at = unsigned(message, at)
            value, at = unsigned(message, at)
            if tag & 7 == 0:
                yield tag >> 3, value
            elif tag & 7 == 2:
                yield tag >> 3, message[at : at + value]
                at += value
            else:
                return
