"""7z archives built in memory, sound ones and such as no writer makes."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import lz4.frame
import zstandard

Files = Sequence[tuple[str, bytes]]
_LZMA1 = {"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 16}
_LZMA2 = {"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}
_LZMA1_CODER = b"\3\1\1", b"\x5d" + struct.pack("<I", 1 << 16)
_LZMA2_CODER = b"\x21", b"\x08"


def number(value: int) -> bytes:
    """A number as the headers of 7z have it."""
    for more in range(8):
        if value < 1 << 7 * (more + 1):
            top = (0xFF00 >> more) & 0xFF
            return bytes([top | value >> 8 * more]) + (value & (1 << 8 * more) - 1).to_bytes(more, "little")
    return b"\xff" + struct.pack("<Q", value)


def _raw(*chain: dict[str, int]) -> Callable[[bytes], bytes]:
    return lambda data: lzma.compress(data, lzma.FORMAT_RAW, filters=list(chain))


def _deflated(data: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


@dataclass(frozen=True)
class Packing:
    """Coders, that which gives the plain bytes first, and how to pack for them."""

    coders: tuple[tuple[bytes, bytes], ...]
    pack: Callable[[bytes], bytes]


PACKINGS = {
    "copy": Packing(((b"\0", b""),), bytes),
    "lzma": Packing((_LZMA1_CODER,), _raw(_LZMA1)),
    "lzma2": Packing((_LZMA2_CODER,), _raw(_LZMA2)),
    "deflate": Packing(((b"\4\1\x08", b""),), _deflated),
    "bzip2": Packing(((b"\4\2\2", b""),), bz2.compress),
    "zstd": Packing(((b"\4\xf7\x11\1", b"\1\5\3\0\0"),), zstandard.ZstdCompressor().compress),
    "lz4": Packing(((b"\4\xf7\x11\4", b"\1\x09\3"),), lz4.frame.compress),
    "delta": Packing(
        ((b"\3", b"\3"), _LZMA1_CODER), _raw({"id": lzma.FILTER_DELTA, "dist": 4}, _LZMA1)
    ),
    "bcj": Packing(((b"\3\3\1\3", b""), _LZMA1_CODER), _raw({"id": lzma.FILTER_X86}, _LZMA1)),
    "bcj of lzma2": Packing(((b"\4", b""), _LZMA2_CODER), _raw({"id": lzma.FILTER_X86}, _LZMA2)),
    "arm": Packing(((b"\3\3\5\1", b""), _LZMA2_CODER), _raw({"id": lzma.FILTER_ARM}, _LZMA2)),
    "deflate of deflate": Packing(((b"\4\1\x08", b""),) * 2, lambda data: _deflated(_deflated(data))),
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """Files that are packed together; *sizes* and *crcs* may lie."""

    files: Files
    packing: Packing = field(default_factory=lambda: PACKINGS["lzma2"])
    sizes: Sequence[int] | None = None
    crcs: Sequence[int] | None = None

    @property
    def plain(self) -> bytes:
        """All files."""
        return b"".join(data for _, data in self.files)


def folder(coders: Sequence[tuple[bytes, bytes]], bonds: Sequence[tuple[int, int]] | None = None) -> bytes:
    """A folder of coders with one input each."""
    out = number(len(coders))
    for method, properties in coders:
        out += bytes([len(method) | (0x20 if properties else 0)]) + method
        out += number(len(properties)) + properties if properties else b""
    for reads, read in [(at, at + 1) for at in range(len(coders) - 1)] if bonds is None else bonds:
        out += number(reads) + number(read)
    return out


def streams(start: int, packed: Sequence[bytes], blocks: Sequence[Block]) -> bytes:
    """Where *packed* begin, and what comes out of them."""
    out = b"\6" + number(start) + number(len(packed)) + b"\x09" + b"".join(number(len(each)) for each in packed) + b"\0"
    out += b"\7\x0b" + number(len(blocks)) + b"\0" + b"".join(folder(block.packing.coders) for block in blocks)
    out += b"\x0c" + b"".join(number(_size(block)) for block in blocks for _ in block.packing.coders) + b"\0"
    out += b"\x08\x0d" + b"".join(number(len(block.files)) for block in blocks)
    sizes = [size for block in blocks for size in _sizes(block)[:-1]]
    out += b"\x09" + b"".join(map(number, sizes)) if sizes else b""
    crcs = [crc for block in blocks for crc in block.crcs or [zlib.crc32(data) for _, data in block.files]]
    return out + b"\x0a\1" + b"".join(struct.pack("<I", crc) for crc in crcs) + b"\0\0"


def _sizes(block: Block) -> Sequence[int]:
    return block.sizes or [len(data) for _, data in block.files]


def _size(block: Block) -> int:
    return sum(_sizes(block))


def names(called: Sequence[str], empty: Sequence[bool] = ()) -> bytes:
    """What is said of files."""
    text = b"\0" + b"".join(name.encode("utf-16-le") + b"\0\0" for name in called)
    out = b"\5" + number(len(called))
    if any(empty):
        bits = "".join("01"[each] for each in empty).ljust(-(-len(empty) // 8) * 8, "0")
        body = int(bits, 2).to_bytes(len(bits) // 8, "big")
        out += b"\x0e" + number(len(body)) + body
    return out + b"\x11" + number(len(text)) + text + b"\0"


def archive(packed: bytes, header: bytes) -> bytes:
    """An archive of bytes that are packed, and a header behind them."""
    start = struct.pack("<QQI", len(packed), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(start)) + start + packed + header


def encoded(packed: bytes, header: bytes, times: int = 1) -> bytes:
    """The same with the header packed, again and again."""
    for _ in range(times):
        block = Block([("", header)], PACKINGS["lzma"])
        body = block.packing.pack(header)
        packed, header = packed + body, b"\x17" + _plain_streams(len(packed), body, header)
    return archive(packed, header)


def _plain_streams(start: int, body: bytes, plain: bytes) -> bytes:
    out = b"\6" + number(start) + b"\1\x09" + number(len(body)) + b"\0\7\x0b\1\0" + folder((_LZMA1_CODER,))
    return out + b"\x0c" + number(len(plain)) + b"\x0a\1" + struct.pack("<I", zlib.crc32(plain)) + b"\0\0"


def seven(*blocks: Block, empty: Sequence[str] = (), times: int = 0) -> bytes:
    """An archive of blocks; *empty* files come first; *times* says how often its header is packed."""
    packed = [block.packing.pack(block.plain) for block in blocks]
    called = [*empty, *(name for block in blocks for name, _ in block.files)]
    told = names(called, [at < len(empty) for at in range(len(called))])
    header = b"\1\4" + streams(0, packed, blocks) + told + b"\0"
    return encoded(b"".join(packed), header, times)
