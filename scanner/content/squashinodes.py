"""What a squashfs image says of its files: inodes, directories, and where the ends of small files lie.

Source: that of `squashblocks`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.content.squashblocks import Blocks, Cursor
from scanner.content.words import Broken

DIRECTORY, FILE, LINK = 1, 2, 3
_EXTENDED = 7  # kinds above it are the others once more, with more fields
_HEAD = struct.Struct("<H14x")
_DIRECTORIES = struct.Struct("<IIHHI"), struct.Struct("<IIIIHHI")
_FILES = struct.Struct("<IIII"), struct.Struct("<QQQIIII")
_LINK, _SIZE = struct.Struct("<II"), struct.Struct("<I")
_OTHER = {4: 8, 5: 8, 6: 4, 7: 4}  # bytes of devices, pipes and sockets behind the head
_LISTING, _ENTRY, _INDEX = struct.Struct("<III"), struct.Struct("<HhHH"), struct.Struct("<III")
_FRAGMENT, _FRAGMENTS = struct.Struct("<QII"), 512  # so many in a block of their table
_NO_FRAGMENT = 0xFFFFFFFF
_LONGEST = 1 << 16  # bytes of a target or a name

#: a block of a table and an offset in it
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Inode:
    """A file, a directory or a link; others have no more than a kind.

    Attributes:
        size: of a file; of a directory, of its listing.
        start: where the blocks of a file begin; of a directory, the block of its listing.
        offset: of a file, in its fragment; of a directory, in that block.
        fragment: the number of the fragment that holds the end of a file, None if none does.
        lengths: where the sizes of a file's blocks are listed.
        count: how many blocks it has.
        target: of a link.
    """

    kind: int
    size: int = 0
    start: int = 0
    offset: int = 0
    fragment: int | None = None
    lengths: Place = (0, 0)
    count: int = 0
    target: bytes = b""


def read_inode(cursor: Cursor, block_size: int) -> Inode:
    """The inode at *cursor*, which then is behind it. Raises Broken or Stop."""
    (kind,) = cursor.unpack(_HEAD)
    more, kind = kind > _EXTENDED, kind - _EXTENDED if kind > _EXTENDED else kind
    if kind == DIRECTORY:
        return _directory(cursor, more)
    if kind == FILE:
        return _file(cursor, more, block_size)
    if kind == LINK:
        _, size = cursor.unpack(_LINK)
        if size > _LONGEST:
            raise Broken("nested.damaged", "a link of the squashfs image is longer than any path")
        target = cursor.take(size)
        cursor.skip(4 * more)
        return Inode(LINK, target=target)
    if kind not in _OTHER:
        raise Broken("nested.damaged", "the squashfs image has an inode of a kind that nobody knows")
    cursor.skip(_OTHER[kind] + 4 * more)
    return Inode(kind)


def _directory(cursor: Cursor, more: bool) -> Inode:
    fields = cursor.unpack(_DIRECTORIES[more])
    if not more:
        start, _, size, offset, _ = fields
        return Inode(DIRECTORY, size, start, offset)
    _, size, start, _, indexes, offset, _ = fields
    for _ in range(indexes):
        _, _, length = cursor.unpack(_INDEX)
        cursor.skip(min(length, _LONGEST) + 1)
    return Inode(DIRECTORY, size, start, offset)


def _file(cursor: Cursor, more: bool, block_size: int) -> Inode:
    if more:
        start, size, _, _, fragment, offset, _ = cursor.unpack(_FILES[1])
    else:
        start, fragment, offset, size = cursor.unpack(_FILES[0])
    alone = fragment == _NO_FRAGMENT
    count = -(-size // block_size) if alone else size // block_size
    lengths = cursor.place() if count else (0, 0)
    cursor.skip(4 * count)
    return Inode(FILE, size, start, offset, None if alone else fragment, lengths, count)


def lengths_of(blocks: Blocks, inode: Inode) -> Iterator[tuple[int, bool]]:
    """Stored size of each block of a file, and whether it is packed. Raises Broken or Stop."""
    cursor = Cursor(blocks, *inode.lengths)
    for _ in range(inode.count):
        yield length(*cursor.unpack(_SIZE))


def length(field: int) -> tuple[int, bool]:
    """A size as images keep it, and whether that block is packed."""
    return field & 0xFFFFFF, not field & 0x1000000


def fragment_of(blocks: Blocks, number: int) -> tuple[int, int, bool]:
    """Where fragment *number* begins, its stored size, and whether it is packed. Raises Broken or Stop."""
    if number >= blocks.head.fragments:
        raise Broken("nested.damaged", "the end of the file is in a fragment that is not there")
    start = blocks.pointer(blocks.head.fragment_table, number // _FRAGMENTS)
    at, field, _ = Cursor(blocks, start, number % _FRAGMENTS * _FRAGMENT.size).unpack(_FRAGMENT)
    return at, *length(field)


def entries_of(blocks: Blocks, inode: Inode) -> Iterator[tuple[bytes, Place]]:
    """Name of each entry of a directory, and the place of its inode. Raises Broken or Stop."""
    head = blocks.head
    left = inode.size - 3  # what is said of `.` and `..`
    cursor = Cursor(blocks, head.directory_table + inode.start, inode.offset)
    while left > 0:
        count, start, _ = cursor.unpack(_LISTING)
        left -= _LISTING.size
        if count > 255:
            raise Broken("nested.damaged", "a directory of the squashfs image is damaged")
        for _ in range(count + 1):
            offset, _, _, size = cursor.unpack(_ENTRY)
            name = cursor.take(size + 1)
            left -= _ENTRY.size + size + 1
            yield name, (head.inode_table + start, offset)
