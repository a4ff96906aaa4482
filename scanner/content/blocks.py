"""Blocks that databases pack one by one, by the compressor that the file names."""

from __future__ import annotations

import zlib
from contextlib import suppress

from scanner.content.brotlifiles import unbrotli
from scanner.content.buffer import Block
from scanner.content.lz4frames import unlz4_block
from scanner.content.lzofiles import unlzo
from scanner.content.snappyfiles import unsnappy
from scanner.content.streams import inflate
from scanner.content.words import Broken
from scanner.layer.compression import decode

_LZ4_OF_NOTHING = b"\0"


def unpacked(codec: str, raw: bytes, most: int) -> tuple[bytes, bool]:
    """What a block holds, up to *most* bytes, and whether that is all of it, sound."""
    if codec == "snappy":
        return unsnappy(raw, most)
    if codec == "lzo":
        return unlzo(raw, most)
    if codec == "lz4":
        plain = unlz4_block(raw, most)
        return plain, bool(plain) or raw == _LZ4_OF_NOTHING
    block, ended, used = Block(most), False, len(raw)
    with suppress(Broken):
        if codec == "brotli":
            ended, used = unbrotli(block, memoryview(raw), [])
        elif codec == "zstd":
            reason, used = decode(memoryview(raw), "zstd", block)
            ended = not reason
        else:
            used, ended = inflate(block, memoryview(raw), -zlib.MAX_WBITS)
    return bytes(block.data), ended and used == len(raw)
