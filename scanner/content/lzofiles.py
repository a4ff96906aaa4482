"""LZO: blocks as squashfs has them, and the files of lzop.

Sources: Documentation/staging/lzo.rst of Linux for the stream; lzop 1.04 for its files, whose numbers are big-endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from scanner.layer.compression import PlainSink
from scanner.limits import MIB

_MAGIC = b"\x89LZO\0\r\n\x1a\n"
_PLAIN_SUM, _PLAIN_CRC, _PACKED_SUM, _PACKED_CRC = 0x1, 0x100, 0x2, 0x200
_EXTRA, _FILTER = 0x40, 0x800
_NEW = 0x940  # the version since which headers have all fields
_BLOCK = 64 * MIB  # lzop refuses larger ones
_LONG = 4  # the state behind a run of literals that has an instruction of its own
_END = 1 << 14  # the distance that ends a stream


def is_lzop(head: bytes) -> bool:
    """Whether the first bytes are those of a file of lzop."""
    return head[:9] == _MAGIC


def unlzo(data: bytes, most: int) -> tuple[bytes, bool]:
    """What a block holds, and whether that is all, sound and no more than *most* bytes."""
    out = bytearray()
    try:
        sound = _decode(data, out, most)
    except IndexError:
        sound = False
    return bytes(out[:most]), sound and len(out) <= most


def _decode(data: bytes, out: bytearray, most: int) -> bool:
    """Whether the stream ends as it should. Raises IndexError where it ends too early."""
    at = state = 0
    if data[0] > 17:
        count, at = data[0] - 17, 1
        out += data[1 : 1 + count]
        at, state = 1 + count, min(count, _LONG)
    while len(out) <= most:
        code = data[at]
        at += 1
        if code < 16 and not state:
            count = code
            if not count:
                count, at = _longer(data, at, 15)
            out += data[at : at + count + 3]
            at += count + 3
            state = _LONG
            continue
        if code >= 64:
            length = 3 + (code >> 5 & 1) if code < 128 else 5 + (code >> 5 & 3)
            distance, state = (data[at] << 3) + (code >> 2 & 7) + 1, code & 3
            at += 1
        elif code < 16:
            length, extra = (3, 2049) if state == _LONG else (2, 1)
            distance, state = (data[at] << 2) + (code >> 2) + extra, code & 3
            at += 1
        else:
            mask = 31 if code >= 32 else 7
            length = code & mask
            if not length:
                length, at = _longer(data, at, mask)
            length += 2
            pair = data[at] | data[at + 1] << 8
            at += 2
            distance, state = (pair >> 2) + (1 if code >= 32 else _END + ((code & 8) << 11)), pair & 3
            if code < 32 and distance == _END:
                return at == len(data)
        if distance > len(out):
            return False
        start = len(out) - distance
        if distance >= length:
            out += out[start : start + length]
        else:
            out += (bytes(out[start:]) * (min(length, most) // distance + 1))[:length]
        if state:
            out += data[at : at + state]
            at += state
    return False


def _longer(data: bytes, at: int, base: int) -> tuple[int, int]:
    """A length that does not fit its instruction, and where what follows it begins."""
    start = at
    while not data[at]:
        at += 1
    return base + 255 * (at - start) + data[at], at + 1


@dataclass(frozen=True, slots=True)
class _Head:
    """What the header of a member says: where its blocks begin, and which checksums they have."""

    end: int
    flags: int


def _head(data: memoryview, at: int) -> _Head | None:
    """The header at *at*; None if none is there or it says what is not understood."""
    try:
        (version,) = struct.unpack_from(">H", data, at + 9)
        place = at + 9 + (6 if version >= _NEW else 4)
        method = data[place]
        place += 2 if version >= _NEW else 1
        (flags,) = struct.unpack_from(">I", data, place)
        place += 4 + 4 + 4 + (4 if version >= _NEW else 0)  # and mode and time
        place += 1 + data[place] + 4  # name and checksum
        if flags & _EXTRA:
            place += 8 + int(struct.unpack_from(">I", data, place)[0])
    except (struct.error, IndexError):
        return None
    return _Head(place, flags) if method in (1, 2, 3) and not flags & _FILTER else None


def unlzop(sink: PlainSink, data: memoryview) -> tuple[bool, int]:
    """Decode the members at the start of *data*: whether they are sound, and where the last one ends. Whatever *sink*
    raises passes through."""
    at, sound = 0, True
    while bytes(data[at : at + 9]) == _MAGIC:
        head = _head(data, at)
        if head is None:
            return False, at
        at = head.end
        while True:
            if at + 4 > len(data):
                return False, at
            size = int.from_bytes(data[at : at + 4], "big")
            at += 4
            if not size:
                break
            plain, whole, at = _block(data, at, size, head.flags)
            sink.write(plain, at)
            sound = sound and whole
            if size > _BLOCK or at > len(data):
                return False, min(at, len(data))
    return sound, at


def _block(data: memoryview, at: int, size: int, flags: int) -> tuple[bytes, bool, int]:
    """What a block of *size* plain bytes holds, whether that is sound, and where it ends."""
    stored = int.from_bytes(data[at : at + 4], "big")
    at += 4
    sums = []
    for flag, checksum in ((_PLAIN_SUM, zlib.adler32), (_PLAIN_CRC, zlib.crc32)):
        if flags & flag:
            sums.append((checksum, int.from_bytes(data[at : at + 4], "big")))
            at += 4
    if stored < size:
        at += 4 * bool(flags & _PACKED_SUM) + 4 * bool(flags & _PACKED_CRC)
    body = bytes(data[at : at + stored])
    plain, sound = (body[:size], True) if stored >= size else unlzo(body, min(size, _BLOCK))
    sound = sound and len(plain) == size and all(checksum(plain) == told for checksum, told in sums)
    return plain, sound, at + stored
