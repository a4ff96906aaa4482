"""LZ4: frames, skippable frames and legacy frames, one after the other.

Sources: the LZ4 frame format (1.6.4, "General structure of LZ4 frame format", "Skippable frames", "Legacy frame"), the
xxHash fast digest algorithm (section XXH32).
"""

from __future__ import annotations

from contextlib import suppress

from scanner.layer.compression import PlainSink, Region, is_skippable, note
from scanner.limits import MIB

_FRAME, _LEGACY = b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"
_OUT = 4 * MIB  # the largest block of a frame
_STORED = 1 << 31  # set in the size of a block that is not compressed
_LEGACY_BLOCK = 8 * MIB
MOST = 255  # bytes that one byte of a block makes
_LEGACY_STORED = _LEGACY_BLOCK + _LEGACY_BLOCK // 255 + 16  # what that may take when nothing in it repeats
_HEADER = 19  # bytes of the longest header


def is_lz4(head: bytes) -> bool:
    """Whether the first 24 bytes are surely the start of a frame or of a legacy frame."""
    if head[:4] == _FRAME:
        end = _header_end(head)
        return end > 0 and int.from_bytes(head[end : end + 4], "little") & ~_STORED <= 1 << 8 + 2 * (head[5] >> 4)
    # a block of a size that may be, whose first sequence has literals: there is nothing to repeat yet
    size = int.from_bytes(head[4:8], "little")
    return head[:4] == _LEGACY and 0 < size <= _LEGACY_STORED and len(head) > 8 and head[8] >> 4 > 0


def is_behind_skippable(data: memoryview) -> bool:
    """Whether the first frame that is not skippable is one of LZ4; zstd has skippable frames of the same kind."""
    at = 0
    while (size := _skippable(data, at)) is not None:
        at += size
    return at > 0 and is_lz4(bytes(data[at : at + 24]))


def unlz4(sink: PlainSink, data: memoryview, outside: list[Region]) -> tuple[bool, int]:
    """Decode the frames at the start of *data*: whether all ended as they should, and where the last one ends.

    *outside* gathers skippable frames, which may hold anything. Whatever *sink* raises passes through.
    """
    at, whole = 0, True
    while whole and at < len(data):
        magic = bytes(data[at : at + 4])
        if (size := _skippable(data, at)) is not None:
            if at + size > len(data):
                return False, at
            note(outside, Region(at, size))
            at += size
        elif magic == _FRAME:
            whole, at = _frame(sink, data, at)
        elif magic == _LEGACY:
            whole, at = _legacy(sink, data, at)
        else:
            break
    return whole, at


def _skippable(data: memoryview, at: int) -> int | None:
    """The size of the skippable frame at *at*, None if none is there."""
    head = bytes(data[at : at + 8])
    return 8 + int.from_bytes(head[4:], "little") if len(head) == 8 and is_skippable(head) else None


def _header_end(head: bytes) -> int:
    """Where the header of a frame ends, its own checksum right; 0 if it is none."""
    if len(head) < 7:
        return 0
    flags, sizes = head[4], head[5]
    if flags >> 6 != 1 or flags & 2 or sizes & 0x8F or sizes >> 4 < 4:
        return 0
    end = 6 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
    return end + 1 if head[end : end + 1] == bytes([_xxh32(head[4:end]) >> 8 & 0xFF]) else 0


def _frame(sink: PlainSink, data: memoryview, start: int) -> tuple[bool, int]:
    """A frame, block by block, so that damage costs the block it is in and those behind it."""
    from lz4.frame import create_decompression_context, decompress_chunk  # costs an import only where a file is LZ4

    size = _header_end(bytes(data[start : start + _HEADER]))
    if not size:
        return False, start
    context, at, end = create_decompression_context(), start, start + size
    checksum = 4 if data[start + 4] & 0x10 else 0  # behind each block
    try:
        while True:
            plain, used, ended = decompress_chunk(context, data[at:end], max_length=_OUT)
            at += used
            sink.write(plain, at)
            if ended:
                return True, at
            if at == end and len(plain) < _OUT:  # it wants more
                if end >= len(data):
                    return False, at
                block = int.from_bytes(data[end : end + 4], "little")
                # zero ends the blocks; a checksum of everything may follow it
                end += 4 + (min(block & ~_STORED, _OUT) + checksum if block else 4)
                end = min(end, len(data))
            elif not (plain or used):
                return False, at
    except RuntimeError:
        return False, at


def _legacy(sink: PlainSink, data: memoryview, start: int) -> tuple[bool, int]:
    """A legacy frame: blocks of which only the last may be short, without an end of its own."""
    from lz4.block import LZ4BlockError, decompress

    at, full = start + 4, True
    while at + 4 < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        if not 0 < size <= _LEGACY_STORED:  # another magic, or what Linux writes behind its own: the plain size
            break
        end, plain = at + 4 + size, b""
        if end > len(data):
            return False, at
        with suppress(LZ4BlockError):
            plain = decompress(data[at + 4 : end], uncompressed_size=_LEGACY_BLOCK)
        if not plain:
            return not full, at  # only the last block is short: this is none
        at, full = end, len(plain) == _LEGACY_BLOCK
        sink.write(plain, at)
    return at > start + 4, at


def unlz4_block(data: bytes, most: int) -> bytes:
    """What a block without a frame holds; nothing if it is damaged or holds more than *most* bytes."""
    from lz4.block import LZ4BlockError, decompress

    plain = b""
    with suppress(LZ4BlockError, ValueError, MemoryError):
        plain = decompress(data, uncompressed_size=most)
    return plain


def _xxh32(data: bytes) -> int:
    """XXH32 of less than 16 bytes with seed 0."""
    first, second, third, fourth, fifth = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1
    mask = 0xFFFFFFFF
    value, at = (fifth + len(data)) & mask, 0
    while at + 4 <= len(data):
        value = (value + int.from_bytes(data[at : at + 4], "little") * third) & mask
        value = (value << 17 | value >> 15) & mask
        value, at = value * fourth & mask, at + 4
    for byte in data[at:]:
        value = (value + byte * fifth) & mask
        value = (value << 11 | value >> 21) & mask
        value = value * first & mask
    value ^= value >> 15
    value = value * second & mask
    value ^= value >> 13
    value = value * third & mask
    return value ^ value >> 16
