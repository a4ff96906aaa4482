"""Files of Avro: blocks of rows whose compression has no mark of its own. Others are told by their magics anywhere.

Source: the Apache Avro specification, section "Object Container Files".
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress

from scanner.content.buffer import Block, Portions
from scanner.content.numbers import signed
from scanner.content.snappyfiles import unsnappy
from scanner.content.streams import inflate
from scanner.content.words import Broken, Content, Ended, Fault, Room
from scanner.limits import MIB

_MAGIC = b"Obj\1"
_DAMAGED = "nested.damaged"
_MARK = 16  # bytes behind every block, the same of all in a file
_FOUND_ELSEWHERE = (b"", b"null", b"bzip2", b"xz", b"zstandard")
_LARGEST = 64 * MIB  # of a block, unpacked
_STEP = 4 * MIB
_SUM = 4  # bytes of zlib's checksum, some of which writers leave behind its stream


def is_avro(head: bytes) -> bool:
    """Whether the first bytes are those of such a file."""
    return head[:4] == _MAGIC


def open_avro(content: Content, room: Room) -> Iterator[Content | Fault]:
    """What packed blocks of rows hold."""
    held, damaged, size = Portions(content, room), 0, len(content.data)
    try:
        codec, at = _header(content.data, room)
        if codec in _FOUND_ELSEWHERE:
            return
        if codec not in (b"deflate", b"snappy"):
            text = f"its rows are packed by {codec[:40].decode('ascii', 'replace')}, which is not understood"
            raise Broken("nested.unknown", text)
        for start, end, whole in _blocks(content.data, at, room):
            plain, sound = _unpacked(codec, content.data[start:end])
            damaged += not (whole and sound)
            yield from held.add(plain, start, end, codec.decode())
    except Ended as ended:
        yield Fault(ended.reason, content.inside, size, ended.what)
    yield from held.rest()
    if damaged:
        text = f"{damaged} blocks of the file are damaged, cut off or larger than 64 MiB"
        yield Fault(_DAMAGED, content.inside, size, text)


def _header(data: memoryview, room: Room) -> tuple[bytes, int]:
    """How rows are packed, and where the mark stands. Raises Broken or Stop."""
    codec, at = b"", len(_MAGIC)
    while True:
        count, at = _number(data, at)
        if not count:
            return codec, at
        if count < 0:
            count, (_, at) = -count, _number(data, at)
        for _ in range(count):
            room.look()
            size, at = _number(data, at)
            key, at = bytes(data[at : at + min(size, 64)]), at + max(0, size)
            size, at = _number(data, at)
            if key == b"avro.codec":
                codec = bytes(data[at : at + max(0, size)])
            at += max(0, size)


def _blocks(data: memoryview, at: int, room: Room) -> Iterator[tuple[int, int, bool]]:
    """Where the rows of each block begin and end, and whether that is just what its mark says; one that is not ends at
    the next mark. Raises Broken or Stop."""
    mark = bytes(data[at : at + _MARK])
    at += _MARK
    while at < len(data):
        room.look()
        begin = at
        try:
            _, start = _number(data, at)
            size, start = _number(data, start)
        except Broken:
            start, size = at, -1
        end = start + size
        if size >= 0 and data[end : end + _MARK] == mark:
            yield start, end, True
            at = end + _MARK
            continue
        end = _find(data, mark, max(begin, start), room)
        yield start, end, False
        at = end + _MARK


def _find(data: memoryview, mark: bytes, start: int, room: Room) -> int:
    """Where the mark stands next, the end of the file if nowhere. Raises Stop."""
    for at in range(start, len(data), _STEP):
        room.look()
        found = bytes(data[at : at + _STEP + _MARK - 1]).find(mark)
        if found >= 0:
            return at + found
    return len(data)


def _unpacked(codec: bytes, raw: memoryview) -> tuple[bytes, bool]:
    """What a block holds, and whether that is all of it, sound."""
    if codec == b"snappy":
        plain, sound = unsnappy(bytes(raw[:-4]), _LARGEST)
        return plain, sound and zlib.crc32(plain).to_bytes(4, "big") == raw[-4:]
    block, used, ended = Block(_LARGEST), 0, False
    with suppress(Broken):
        used, ended = inflate(block, raw, -zlib.MAX_WBITS)
    return bytes(block.data), ended and len(raw) - used <= _SUM


def _number(data: memoryview, at: int) -> tuple[int, int]:
    """A number and where it ends. Raises Broken."""
    try:
        return signed(data, at)
    except IndexError:
        raise Broken(_DAMAGED, "the file is damaged or cut off in its header") from None
