"""The blocks of a squashfs image: its superblock, what its compressors made, and tables that are cut into blocks.

Source: Documentation/filesystems/squashfs.rst of Linux, the headers of squashfs-tools 4.5. Numbers are little-endian.
"""

from __future__ import annotations

import contextlib
import lzma
import struct
import zlib
from collections import OrderedDict
from dataclasses import dataclass

from scanner.content.lz4frames import unlz4_block
from scanner.content.lzofiles import unlzo
from scanner.content.words import Broken, Room
from scanner.layer.compression import decode, salvage
from scanner.limits import KIB, MIB

MAGIC = b"hsqs"
_SUPER = struct.Struct("<4s4I6H8Q")
_BLOCKS = range(12, 21)  # logarithms of the block sizes that are allowed
_COMPRESSORS = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
_METADATA = 8 * KIB  # plain bytes of a block of a table
_KEPT = 512  # blocks of tables that are kept
_LZMA_MEMORY = 128 * MIB
_NONE = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Super:
    """A superblock. Tables begin at offsets from the start of the image.

    Attributes:
        base: where the image begins in the content.
        root: block and offset of the root directory's inode, as one number.
        size: bytes of the image.
    """

    base: int
    inodes: int
    block_size: int
    fragments: int
    compressor: str
    root: int
    size: int
    ids: int
    xattrs: int
    inode_table: int
    directory_table: int
    fragment_table: int
    exports: int

    def after(self, start: int) -> int:
        """Where what follows a table begins."""
        tables = (self.ids, self.xattrs, self.inode_table, self.directory_table, self.fragment_table, self.exports)
        return min((table for table in (*tables, self.size) if table > start), default=start)


def is_sound(head: bytes) -> bool:
    """Whether the first 32 bytes are a superblock of version 4: the block size must be what its logarithm says."""
    if len(head) < 32 or head[:4] != MAGIC:
        return False
    size, power, version = struct.unpack_from("<12xI6xH4xH", head)
    return version == 4 and power in _BLOCKS and size == 1 << power


def is_like(head: bytes) -> bool:
    """Whether the first 32 bytes are a superblock that is sound, or of version 4.0 and a known compressor."""
    if head[:4] != MAGIC:
        return False
    return is_sound(head) or (head[28:32] == b"\4\0\0\0" and int.from_bytes(head[20:22], "little") in _COMPRESSORS)


def read_super(data: memoryview, at: int) -> Super:
    """The superblock at *at*. Raises Broken if it is cut off or says what cannot be."""
    if at + _SUPER.size > len(data):
        raise Broken("nested.damaged", "the squashfs image ends within its superblock")
    (_, inodes, _, block_size, fragments, compressor, _, _, _, _, _, root, size, ids, xattrs, inode_table,
     directory_table, fragment_table, exports) = _SUPER.unpack_from(data, at)  # fmt: skip
    if not is_sound(bytes(data[at : at + 32])):
        raise Broken("nested.damaged", "the superblock of the squashfs image is damaged")
    name = _COMPRESSORS.get(compressor, f"method {compressor}")
    if name not in _DECODERS:
        raise Broken("nested.unknown", f"squashfs packed by {name} is not understood")
    return Super(at, inodes, block_size, fragments, name, root, size, ids, xattrs, inode_table, directory_table,
                 fragment_table, exports)  # fmt: skip


class Blocks:
    """Reads blocks of an image. All methods raise Broken for what is not there or damaged, and Stop at a limit."""

    def __init__(self, data: memoryview, head: Super, room: Room) -> None:
        self._data, self.head, self._room = data, head, room
        self._kept: OrderedDict[int, tuple[bytes, int]] = OrderedDict()
        #: where the blocks of tables lie that were read
        self.tables: set[tuple[int, int]] = set()

    def stored(self, start: int, size: int) -> memoryview:
        """Bytes of the image as they lie there."""
        start += self.head.base
        if start + size > len(self._data):
            raise Broken("nested.damaged", "a block of the squashfs image is not there")
        return self._data[start : start + size]

    def block(self, start: int, size: int, packed: bool, most: int) -> tuple[bytes, bool]:
        """What a block of *size* stored bytes holds, and whether that is sound and no more than *most*."""
        self._room.look()
        data = bytes(self.stored(start, size))
        return _DECODERS[self.head.compressor](data, most) if packed else (data[:most], size <= most)

    def metadata(self, start: int) -> tuple[bytes, int]:
        """The block of a table at *start*, and where the next one begins."""
        kept = self._kept.get(start)
        if kept is None:
            head = int.from_bytes(self.stored(start, 2), "little")
            size = head & 0x7FFF or 0x8000
            plain, sound = self.block(start + 2, size, not head & 0x8000, _METADATA)
            if not plain or not sound:
                raise Broken("nested.damaged", "a table of the squashfs image is damaged")
            self._room.take(len(plain))
            self.tables.add((start, start + 2 + size))
            kept = self._kept[start] = plain, start + 2 + size
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(start)
        return kept

    def pointer(self, table: int, number: int) -> int:
        """Where block *number* of a table begins that has a list of such places at *table*."""
        if table == _NONE:
            raise Broken("nested.damaged", "the squashfs image does not have a table that it needs")
        return int.from_bytes(self.stored(table + 8 * number, 8), "little")


class Cursor:
    """Reads a table from a place in it: a block, and an offset in what it holds."""

    def __init__(self, blocks: Blocks, block: int, offset: int) -> None:
        self._blocks, self._block, self._offset = blocks, block, offset

    def place(self) -> tuple[int, int]:
        """Where the next byte is; at the end of a block, in the next one. Raises Broken if its block is damaged."""
        plain, after = self._blocks.metadata(self._block)
        if self._offset >= len(plain):
            self._block, self._offset = after, self._offset - len(plain)
        return self._block, self._offset

    def take(self, count: int) -> bytes:
        """The next *count* bytes. Raises Broken or Stop."""
        plain, after = self._blocks.metadata(self._block)
        out = plain[self._offset : self._offset + count]
        self._offset += len(out)
        while len(out) < count:
            if not out and self._offset > len(plain):
                raise Broken("nested.damaged", "a table of the squashfs image leads behind one of its blocks")
            self._block, self._offset = after, 0
            plain, after = self._blocks.metadata(self._block)
            more = plain[: count - len(out)]
            self._offset, out = len(more), out + more
        return out

    def unpack(self, form: struct.Struct) -> tuple[int, ...]:
        """Numbers."""
        return form.unpack(self.take(form.size))

    def skip(self, count: int) -> None:
        """Pass *count* bytes, block by block."""
        while count:
            count -= len(self.take(min(count, _METADATA)))


class _Sink:
    """Keeps up to *most* bytes, and ends the decoding there."""

    def __init__(self, most: int) -> None:
        self.parts: list[bytes] = []
        self.size, self._most = 0, most

    def write(self, data: bytes, _used: int = 0) -> None:
        """Add bytes. Raises Broken if these are too many."""
        self.parts.append(data[: self._most - self.size])
        self.size += len(self.parts[-1])
        if len(data) > len(self.parts[-1]):
            raise Broken("nested.damaged", "more comes out of a block than it may hold")


def _zlib(data: bytes, most: int) -> tuple[bytes, bool]:
    decoder = zlib.decompressobj()
    try:
        plain = decoder.decompress(data, most + 1)
        return plain[:most], decoder.eof and len(plain) <= most
    except zlib.error:
        return _salvaged(data, most), False


def _salvaged(data: bytes, most: int) -> bytes:
    """What comes out in front of the damage: in one call, nothing does."""
    sink = _Sink(most)
    with contextlib.suppress(Broken):
        salvage(memoryview(data), 0, zlib.MAX_WBITS, sink, 0)
    return b"".join(sink.parts)


def _xz(data: bytes, most: int, form: int = lzma.FORMAT_XZ) -> tuple[bytes, bool]:
    decoder, plain = lzma.LZMADecompressor(format=form, memlimit=_LZMA_MEMORY), b""
    try:
        plain = decoder.decompress(data, most)
        more = b"" if decoder.eof else decoder.decompress(b"", 1)
        return plain, decoder.eof and not more
    except (lzma.LZMAError, EOFError):
        return plain, False


def _lzma(data: bytes, most: int) -> tuple[bytes, bool]:
    return _xz(data, most, lzma.FORMAT_ALONE)


def _zstd(data: bytes, most: int) -> tuple[bytes, bool]:
    sink = _Sink(most)
    try:
        reason, _ = decode(memoryview(data), "zstd", sink)
    except Broken as broken:
        reason = broken.reason
    return b"".join(sink.parts), not reason


def _lz4(data: bytes, most: int) -> tuple[bytes, bool]:
    plain = unlz4_block(data, most)
    return plain, bool(plain)


#: by the names of compressors: what a block holds, and whether that is all and no more than it may be
_DECODERS = {"gzip": _zlib, "lzma": _lzma, "lzo": unlzo, "xz": _xz, "lz4": _lz4, "zstd": _zstd}
