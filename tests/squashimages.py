"""Squashfs images built in memory, sound ones and such as no writer makes."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import lz4.block
import zstandard

from tests.test_lzofiles import lzo

_NONE = 0xFFFFFFFFFFFFFFFF
_TABLE = 8192


def _lz4(data: bytes) -> bytes:
    return lz4.block.compress(data, mode="high_compression", store_size=False)


COMPRESSORS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "gzip": (1, zlib.compress),
    "lzma": (2, lambda data: lzma.compress(data, lzma.FORMAT_ALONE)),
    "lzo": (3, lzo),
    "xz": (4, lambda data: lzma.compress(data, check=lzma.CHECK_CRC32)),
    "lz4": (5, _lz4),
    "zstd": (6, zstandard.ZstdCompressor().compress),
}


@dataclass(frozen=True)
class Odd:
    """An inode as it is given: of a link, a device, or such as cannot be."""

    raw: bytes


def link(target: bytes, extended: bool = False) -> Odd:
    """A symbolic link."""
    raw = _head(10 if extended else 3) + struct.pack("<II", 1, len(target)) + target
    return Odd(raw + (b"\xff" * 4 if extended else b""))


def device(kind: int) -> Odd:
    """A device, pipe or socket, of one of the kinds 4 to 7 or 11 to 14."""
    plain = kind - 7 if kind > 7 else kind
    return Odd(_head(kind) + bytes(8 if plain < 6 else 4) + (b"\xff" * 4 if kind > 7 else b""))


def _head(kind: int) -> bytes:
    return struct.pack("<HHHHII", kind, 0o644, 0, 0, 0, 1)


Entries = Mapping[str, "bytes | Odd | Mapping[str, bytes | Odd]"]


@dataclass
class Image:
    """Builds an image of *entries*: a file as its bytes, a directory as its entries.

    Attributes:
        packed: data, fragments and tables are compressed; tables only while they are small.
        ends: the ends of files go into fragments.
        extended: files and directories have the longer inodes.
        attributes: names and values as their table has them.
        loose: files that no directory names.
        fields: of the superblock, by their offset, to be set to other bytes.
    """

    entries: Entries
    compressor: str = "gzip"
    packed: bool = True
    ends: bool = True
    extended: bool = False
    block_size: int = 4096
    attributes: bytes = b""
    loose: tuple[bytes, ...] = ()
    fields: Mapping[int, bytes] = field(default_factory=dict)
    _data: bytearray = field(default_factory=bytearray)
    _end: bytearray = field(default_factory=bytearray)
    _inodes: bytearray = field(default_factory=bytearray)
    _listings: bytearray = field(default_factory=bytearray)
    _fragments: list[tuple[int, int]] = field(default_factory=list)
    _count: int = 0

    def build(self) -> bytes:
        """The image."""
        self._data = bytearray(96)
        for data in self.loose:
            self._file(data)
        root = self._directory(self.entries)
        self._flush()
        out = self._data
        inode_table = len(out)
        out += self._table(bytes(self._inodes))
        directory_table = len(out)
        out += self._table(bytes(self._listings))
        listed = self._listed(b"".join(struct.pack("<QII", start, size, 0) for start, size in self._fragments))
        ids = self._listed(bytes(4))
        attributes = self._attributes()
        number, _ = COMPRESSORS[self.compressor]
        root_at = self._place(root)
        head = struct.pack(
            "<4s4I6H8Q", b"hsqs", self._count, 0, self.block_size, len(self._fragments), number,
            self.block_size.bit_length() - 1, 0, 1, 4, 0, root_at[0] << 16 | root_at[1], len(out), ids, attributes,
            inode_table, directory_table, listed, _NONE,
        )  # fmt: skip
        out[:96] = head
        for at, raw in self.fields.items():
            out[at : at + len(raw)] = raw
        return bytes(out) + bytes(-len(out) % 512)

    def _block(self, data: bytes, stored: int) -> tuple[bytes, int]:
        """A block as it is stored, and its size with the bit *stored* if it is not packed."""
        made = COMPRESSORS[self.compressor][1](data) if self.packed else data
        return (made, len(made)) if self.packed and len(made) < len(data) else (data, len(data) | stored)

    def _file(self, data: bytes) -> int:
        start, sizes = len(self._data), b""
        whole = len(data) - len(data) % self.block_size if self.ends else len(data)
        for at in range(0, whole, self.block_size):
            piece = data[at : at + self.block_size]
            if not any(piece):
                sizes += bytes(4)
                continue
            made, size = self._block(piece, 1 << 24)
            self._data += made
            sizes += struct.pack("<I", size)
        fragment, offset, rest = 0xFFFFFFFF, 0, data[whole:]
        if rest:
            if len(self._end) + len(rest) > self.block_size:
                self._flush()
            fragment, offset = len(self._fragments), len(self._end)
            self._end += rest
        if self.extended:
            body = struct.pack("<QQQIIII", start, len(data), 0, 1, fragment, offset, 0xFFFFFFFF)
            return self._inode(_head(9) + body + sizes)
        return self._inode(_head(2) + struct.pack("<IIII", start, fragment, offset, len(data)) + sizes)

    def _flush(self) -> None:
        if self._end:
            made, size = self._block(bytes(self._end), 1 << 24)
            self._fragments.append((len(self._data), size))
            self._data += made
            self._end.clear()

    def _inode(self, raw: bytes) -> int:
        self._inodes += raw
        self._count += 1
        return len(self._inodes) - len(raw)

    def _directory(self, entries: Entries) -> int:
        children = []
        for name, entry in sorted(entries.items()):
            if isinstance(entry, Odd):
                children.append((name, self._inode(entry.raw)))
            else:
                children.append((name, self._file(entry) if isinstance(entry, bytes) else self._directory(entry)))
        start, listing = len(self._listings), b""
        for name, at in children:  # a header for each, as if all were in blocks of their own
            block, offset = self._place(at)
            listing += struct.pack("<III", 0, block, 1) + struct.pack("<HhHH", offset, 0, 2, len(name.encode()) - 1)
            listing += name.encode()
        self._listings += listing
        block, offset = self._place(start)
        if self.extended:
            index = struct.pack("<III", 0, 0, 2) + b"abc"
            body = struct.pack("<IIIIHHI", 2, len(listing) + 3, block, 1, 1, offset, 0xFFFFFFFF)
            return self._inode(_head(8) + body + index)
        return self._inode(_head(1) + struct.pack("<IIHHI", block, 2, len(listing) + 3, offset, 1))

    def _place(self, at: int) -> tuple[int, int]:
        """Block and offset of a byte of a table; only tables of one block are packed."""
        return at // _TABLE * (_TABLE + 2), at % _TABLE

    def _table(self, data: bytes) -> bytes:
        out = b""
        for at in range(0, len(data), _TABLE):
            piece = data[at : at + _TABLE]
            made = COMPRESSORS[self.compressor][1](piece)
            packed = self.packed and len(data) <= _TABLE and len(made) < len(piece)
            out += struct.pack("<H", len(made)) + made if packed else struct.pack("<H", len(piece) | 0x8000) + piece
        return out

    def _listed(self, data: bytes) -> int:
        """Append a table, and where its blocks begin; returns where that list lies."""
        start = len(self._data)
        self._data += self._table(data)
        where = [start + at * (_TABLE + 2) for at in range(-(-len(data) // _TABLE))]
        at = len(self._data)
        self._data += b"".join(struct.pack("<Q", each) for each in where)
        return at

    def _attributes(self) -> int:
        if not self.attributes:
            return _NONE
        values = len(self._data)
        self._data += self._table(self.attributes)
        ids = len(self._data)
        self._data += self._table(struct.pack("<QII", 0, 1, len(self.attributes)))
        at = len(self._data)
        self._data += struct.pack("<QIIQ", values, 1, 0, ids)
        return at
