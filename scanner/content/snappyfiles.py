"""Snappy: blocks as databases and tables have them, and the frames of its files.

Sources: format_description.txt and framing_format.txt of google/snappy; RFC 3720 section B.4 for the checksum.
"""

from __future__ import annotations

from functools import cache

from scanner.content.numbers import unsigned
from scanner.layer.compression import PlainSink
from scanner.limits import KIB, MIB

MAGIC = b"\xff\x06\0\0sNaPpY"
_PACKED, _PLAIN, _SKIPPED = 0x00, 0x01, 0x80  # kinds of chunks; from _SKIPPED on they may be passed over
_CHUNK = 64 * KIB  # plain bytes of a chunk
_LENGTH = 5  # bytes at the most of what a block says of its size
_LONGEST = 64 * MIB  # plain bytes of a block: more than any writer makes


def plain_size(data: bytes) -> tuple[int, int]:
    """How many bytes a block says that it holds, and where its elements begin; -1 if it does not say."""
    try:
        return unsigned(data[:_LENGTH], 0)
    except IndexError:
        return -1, 0


def unsnappy(data: bytes, most: int = _LONGEST) -> tuple[bytes, bool]:
    """What a block holds, and whether that is all, sound and no more than *most* bytes. Of a damaged one, what is in
    front of the damage."""
    size, at = plain_size(data)
    out = bytearray()
    if size < 0 or size > most:
        return b"", False
    end = len(data)
    try:
        while at < end and len(out) <= size:
            tag = data[at]
            kind = tag & 3
            length = (tag >> 2) + 1
            if not kind:
                at += 1
                if length > 60:
                    more = length - 60
                    length = int.from_bytes(data[at : at + more], "little") + 1
                    at += more
                out += data[at : at + length]
                at += length
                continue
            if kind == 1:
                length, distance = (tag >> 2 & 7) + 4, (tag & 0xE0) << 3 | data[at + 1]
                at += 2
            elif kind == 2:
                distance = data[at + 1] | data[at + 2] << 8
                at += 3
            else:
                distance = int.from_bytes(data[at + 1 : at + 5], "little")
                at += 5
            start = len(out) - distance
            if start < 0 or not distance:
                return bytes(out), False
            if distance >= length:
                out += out[start : start + length]
            else:
                out += (bytes(out[start:]) * (length // distance + 1))[:length]
    except IndexError:
        return bytes(out), False
    whole = at == end and len(out) == size
    del out[size:]
    return bytes(out), whole


def unsnap(sink: PlainSink, data: memoryview) -> tuple[bool, int]:
    """Decode the chunks at the start of *data*: whether they are sound, and where the last one ends. Whatever *sink*
    raises passes through."""
    at, sound = 0, True
    while at < len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "little")
        start, end = at + 4, at + 4 + size
        if _PLAIN < kind < _SKIPPED or (kind == 0xFF and bytes(data[at : at + 10]) != MAGIC):
            return False, at
        body = bytes(data[start:end])
        if len(data) < end:
            sound = False
        if kind <= _PLAIN:
            plain, whole = unsnappy(body[4:], _CHUNK) if kind == _PACKED else (body[4:], len(body) >= 4)
            sound = sound and whole and int.from_bytes(body[:4], "little") == masked(crc32c(plain))
            sink.write(plain, at)
        at = min(end, len(data))
    return sound, at


def masked(checksum: int) -> int:
    """A checksum as it is kept beside what it is of."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    values = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        values.append(value)
    return tuple(values)


def crc32c(data: bytes) -> int:
    """The checksum of Castagnoli's polynomial."""
    table, value = _table(), 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF
