"""Squashfs images, as snaps and AppImages are: every file, whether a directory names it or not.

Source: that of `squashblocks`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.content.buffer import Buffer
from scanner.content.squashblocks import Blocks, Cursor, Super, read_super
from scanner.content.squashinodes import (
    DIRECTORY,
    FILE,
    LINK,
    Inode,
    Place,
    entries_of,
    fragment_of,
    lengths_of,
    read_inode,
)
from scanner.content.words import Broken, Content, Ended, Fault, Room, Stop
from scanner.limits import MIB

_DAMAGED = "nested.damaged"
_ENTRIES = 2  # names for each inode: most have one
_DEEP = 256  # names of the longest path that is told
_HOLE = 16 * MIB  # zeros that a longer hole is given as
_ENDS = 8  # fragments that are kept
_NONE = 0xFFFFFFFFFFFFFFFF


@dataclass(slots=True)
class _Tree:
    """What an image has, by the place of the inode.

    Attributes:
        parents: the directory that names it first, None for one that nothing names, and that name.
        names: lines: the targets of links, and all paths.
        faults: what could not be read, and which directory it is about, None for none.
    """

    inodes: dict[Place, Inode]
    parents: dict[Place, tuple[Place | None, bytes]]
    names: Buffer
    faults: list[tuple[Broken, Place | None]]

    def path(self, place: Place | None) -> bytes:
        """The path of an inode, of what is very deep the last names; empty if nothing names it."""
        names: list[bytes] = []
        while place is not None and len(names) < _DEEP:
            place, name = self.parents.get(place, (None, b""))
            names.append(name)
        return b"/".join(reversed(names)).lstrip(b"/")

    def add(self, place: Place, inode: Inode) -> None:
        """Keep an inode. Raises Stop."""
        self.inodes[place] = inode
        if inode.kind == LINK:
            self.names.write(inode.target + b"\n")


def open_squash(content: Content, at: int, room: Room) -> Iterator[Content | Fault]:
    """Everything in the image that begins at *at*."""
    size = len(content.data)
    try:
        head = read_super(content.data, at)
    except Broken as broken:
        yield Fault(broken.reason, content.inside, size - at, broken.what)
        return
    if at + head.size > size:
        yield Fault(_DAMAGED, content.inside, at + head.size - size, "the squashfs image is cut off")
    try:
        yield from _everything(content, Blocks(content.data, head, room), room)
    except Stop as stop:
        yield Fault(stop.reason, content.inside, size - at, stop.what)


def _everything(content: Content, blocks: Blocks, room: Room) -> Iterator[Content | Fault]:
    """Names, attributes and files. Raises Stop."""
    head = blocks.head
    tree = _Tree({}, {}, Buffer(room), [])
    stopped: Stop | None = None
    try:
        try:
            _read_table(blocks, tree, room)
            _read_directories(blocks, tree, room)
        except Stop as stop:  # what is known by then is looked at
            stopped = stop
        for broken, directory in tree.faults:
            yield Fault(broken.reason, _inside(content, tree.path(directory)), None, broken.what)
        tree.names.settle()
        if tree.names.size:
            place = _range(content, head, head.directory_table, head.after(head.directory_table))
            tables = tuple(_range(content, head, *each) for each in sorted(blocks.tables))
            made = content.made(tree.names.view(), *place, "", (head.compressor,), covers=tables)
            yield made._replace(closed=True)
    finally:
        tree.names.close()
    yield from _attributes(content, blocks, room)
    ends = _Ends(blocks)
    for place, inode in tree.inodes.items():
        if inode.kind == FILE and inode.size:
            yield from _file(content, blocks, ends, inode, tree.path(place), room)
    if stopped is not None:
        raise stopped


def _range(content: Content, head: Super, start: int, end: int) -> tuple[int, int]:
    """The same range of the image as one of the content, within it."""
    first = min(len(content.data), head.base + start)
    return first, max(first, min(len(content.data), head.base + end))


def _inside(content: Content, path: bytes) -> tuple[str, ...]:
    return (*content.inside, _text(path)) if path else content.inside


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _read_table(blocks: Blocks, tree: _Tree, room: Room) -> None:
    """All inodes, one after the other: what no directory names is read too. Raises Stop."""
    head = blocks.head
    end, cursor = head.after(head.inode_table), Cursor(blocks, head.inode_table, 0)
    try:
        while (place := cursor.place())[0] < end:
            room.entry()
            tree.add(place, read_inode(cursor, head.block_size))
        if len(tree.inodes) < head.inodes:
            raise Broken(_DAMAGED, "the squashfs image has fewer inodes than it says")
    except Broken as broken:
        tree.faults.append((broken, None))


def _read_directories(blocks: Blocks, tree: _Tree, room: Room) -> None:
    """The names of all, from the root on, and then in those directories that nothing names. Raises Stop."""
    head = blocks.head
    root = head.inode_table + (head.root >> 16), head.root & 0xFFFF
    left = _ENTRIES * room.budget.limits.nested_entries
    seen: set[Place] = set()
    for start in (root, *[place for place, inode in tree.inodes.items() if inode.kind == DIRECTORY]):
        tree.parents.setdefault(start, (None, b""))  # so that no directory is in itself
        waiting = deque([start])
        while waiting:
            place = waiting.popleft()
            if place in seen:
                continue
            seen.add(place)
            room.look()
            try:
                if place not in tree.inodes:
                    room.entry()
                    tree.add(place, read_inode(Cursor(blocks, *place), head.block_size))
                inode = tree.inodes[place]
                if inode.kind != DIRECTORY:
                    continue
                path = tree.path(place)
                for name, child in entries_of(blocks, inode):
                    left -= 1
                    if left < 0:
                        raise Stop("nested.entries", "the squashfs image has more names than archives have entries")
                    tree.names.write((path + b"/" + name if path else name) + b"\n")
                    tree.parents.setdefault(child, (place, name))
                    waiting.append(child)
            except Broken as broken:
                tree.faults.append((broken, place))


def _attributes(content: Content, blocks: Blocks, room: Room) -> Iterator[Content | Fault]:
    """Names and values of extended attributes, as they lie in their table. Raises Stop."""
    head, buffer = blocks.head, Buffer(room)
    if head.xattrs == _NONE:
        return
    fault = None
    start = end = head.xattrs
    try:
        try:
            start = blocks.pointer(head.xattrs, 0)
            end = blocks.pointer(head.xattrs, 2)  # where what follows the values begins
            at = start
            while at < min(end, head.xattrs):
                plain, at = blocks.metadata(at)
                buffer.write(plain)
        except Broken as broken:
            fault = broken
        buffer.settle()
        if buffer.size:
            tables = tuple(_range(content, head, *each) for each in sorted(blocks.tables))
            place = _range(content, head, start, end)
            yield content.made(buffer.view(), *place, "", (head.compressor,), covers=tables)._replace(closed=True)
        if fault is not None:
            yield Fault(fault.reason, content.inside, None, "the attributes of the squashfs image are damaged")
    finally:
        buffer.close()


class _Ends:
    """Fragments, which hold the ends of many files each; the last few are kept."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._kept: OrderedDict[int, tuple[int, int, bool, bytes, bool]] = OrderedDict()

    def fragment(self, number: int) -> tuple[int, int, bool, bytes, bool]:
        """Where it begins, its stored size, whether it is packed, what it holds, and whether that is sound. Raises
        Broken or Stop."""
        kept = self._kept.get(number)
        if kept is None:
            start, size, packed = fragment_of(self._blocks, number)
            kept = start, size, packed, *self._blocks.block(start, size, packed, self._blocks.head.block_size)
            self._kept[number] = kept
            if len(self._kept) > _ENDS:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(number)
        return kept


@dataclass(slots=True)
class _Parts:
    """Where a file lies in the image.

    Attributes:
        ranges: of the image, those that go on where the last one ends joined.
        plain: nothing of it is packed.
    """

    ranges: list[tuple[int, int]]
    plain: bool = True

    def add(self, start: int, end: int, packed: bool) -> None:
        """Count a range in."""
        self.plain = self.plain and not packed
        if self.ranges and self.ranges[-1][1] == start:
            start = self.ranges.pop()[0]
        self.ranges.append((start, end))


def _file(
    content: Content, blocks: Blocks, ends: _Ends, inode: Inode, path: bytes, room: Room
) -> Iterator[Content | Fault]:
    """One file. Raises Stop; what came out before is given first."""
    buffer, parts = Buffer(room), _Parts([])
    ended: Ended | None = None
    try:
        try:
            for piece in _pieces(blocks, ends, inode, parts):
                buffer.write(piece)
        except Ended as error:
            ended = error
        buffer.settle()
        if buffer.size:
            yield _made(content, blocks.head, buffer, parts, _text(path))
    finally:
        buffer.close()
    if isinstance(ended, Stop):
        raise ended
    if ended is not None:
        size = sum(end - start for start, end in parts.ranges)
        yield Fault(ended.reason, _inside(content, path), size, ended.what)


def _made(content: Content, head: Super, buffer: Buffer, parts: _Parts, name: str) -> Content:
    ranges = [_range(content, head, *each) for each in parts.ranges] or [_range(content, head, 0, 0)]
    start, end = min(ranges)[0], max(end for _, end in ranges)
    if parts.plain and len(ranges) == 1 and end - start == buffer.size:
        return content.part(start, end, name)
    return content.made(buffer.view(), start, end, name, (head.compressor,), covers=tuple(ranges))


def _pieces(blocks: Blocks, ends: _Ends, inode: Inode, parts: _Parts) -> Iterator[bytes]:
    """What a file holds, block by block; of those that are not sound, what they give. Raises Broken behind it all, or
    where a block cannot be told, or Stop."""
    block_size, at, left, hole = blocks.head.block_size, inode.start, inode.size, 0
    damage = ""
    for size, packed in lengths_of(blocks, inode):
        due = min(left, block_size)
        left -= due
        if not size:
            hole += due
            if hole <= _HOLE:
                yield bytes(due)
            continue
        hole = 0
        plain, sound = blocks.block(at, size, packed, block_size)
        parts.add(at, at + size, packed)
        at += size
        yield plain
        if not sound or len(plain) != due:
            damage = "a block of the file is damaged"
    if inode.fragment is not None and left:
        start, size, packed, plain, sound = ends.fragment(inode.fragment)
        piece = plain[inode.offset : inode.offset + left]
        if packed:
            parts.add(start, start + size, packed)
        else:
            parts.add(start + inode.offset, start + inode.offset + len(piece), packed)
        yield piece
        if not sound or len(piece) != left:
            damage = "the end of the file is in a block that is damaged"
    if damage:
        raise Broken(_DAMAGED, damage)
