"""WiredTiger, in which MongoDB keeps its data: pages of tables and records of logs that Snappy packed, behind their
sizes and without a magic. Those of zstd and zlib have one, and plain ones stand in the file as they are.

Sources: btmem.h (WT_PAGE_HEADER), block.h (WT_BLOCK_DESC, WT_BLOCK_HEADER), log.h and log_private.h (WT_LOG_RECORD,
WT_LOG_DESC) and snappy_compress.c of WiredTiger.
"""

from __future__ import annotations

from collections.abc import Iterator

from scanner.content.buffer import Portions, occupied
from scanner.content.snappyfiles import crc32c, unsnappy
from scanner.content.words import Broken, Content, Ended, Fault, Room
from scanner.limits import MIB

_TABLE = b"\x41\xd8\x01\0"  # the magic of a table; that of a log stands behind the header of its first record
_UNIT, _LEAST = 4096, 512  # pages begin at multiples of the one, and have multiples of the other
_HEADERS, _PLAIN_HEAD = 40, 64  # bytes of a page in front of what it holds; of all that are never packed
_RECORD, _ALIGNED = 16, 128  # bytes in front of a record; records begin at multiples of the other
_PREFIX = 8  # bytes of the size that stands in front of what Snappy packed
_PACKED, _ENCRYPTED, _ENCRYPTED_RECORD, _WHOLE_CHECKED = 1, 8, 2, 1  # flags of pages, of records, of blocks
_KINDS = range(1, 8)  # of pages
_MOST = 64 * MIB  # of a page or a record, unpacked
_ZSTD, _ZLIB = b"\x28\xb5\x2f\xfd", b"x"


def open_wired(content: Content, room: Room) -> Iterator[Content | Fault]:
    """What packed pages or records hold."""
    data, held = content.data, Portions(content, room)
    pages = bytes(data[: len(_TABLE)]) == _TABLE
    try:
        for start, end, plain in (_pages if pages else _records)(data, room):
            yield from held.add(plain, start, end, "snappy")
    except Ended as ended:
        yield Fault(ended.reason, content.inside, len(data), ended.what)
    yield from held.rest()


def _pages(data: memoryview, room: Room) -> Iterator[tuple[int, int, bytes]]:
    """Where pages that are packed begin and end, and what they hold. Pages that are free again may still be whole, or
    written over in part: of those that do not unpack, one whose checksum holds is packed otherwise."""
    refused = ""
    for at in range(_UNIT, len(data), _UNIT):  # in a free page that still unpacks another one may lie
        size, flags = _number(data, at + 28), data[at + 25] if at + _PLAIN_HEAD < len(data) else 0
        if not flags & (_PACKED | _ENCRYPTED) or not _is_page(bytes(data[at : at + _PLAIN_HEAD])):
            continue
        room.look()
        packed = data[at + _PLAIN_HEAD : at + size]
        plain = b"" if flags & _ENCRYPTED else _unpacked(packed, _number(data, at + 16) - _PLAIN_HEAD)
        if plain:
            yield at, at + size, bytes(data[at + _HEADERS : at + _PLAIN_HEAD]) + plain
        elif at + size > len(data):
            refused = "nested.damaged"
        elif not _is_told(packed) and _is_sound(bytes(data[at : at + size])):
            refused = "nested.encrypted" if flags & _ENCRYPTED else "nested.unknown"
    if refused:
        raise Broken(refused, "pages of the table are cut off, encrypted or packed in a way that is not understood")


def _is_page(head: bytes) -> bool:
    """Whether the header of a page, and that of the block which the page is, say nothing that they never do."""
    size = int.from_bytes(head[28:32], "little")
    return head[24] in _KINDS and not any((head[26], *head[37:40])) and _LEAST <= size <= _MOST and not size % _LEAST


def _records(data: memoryview, room: Room) -> Iterator[tuple[int, int, bytes]]:
    """The same of records, and behind the zeros that make room for more."""
    at, refused = 0, ""
    while at + _RECORD <= len(data):
        room.look()
        if not any(data[at : at + _RECORD]):
            at = occupied(data, at)
            if at == len(data):
                break
            at -= at % _ALIGNED
        size = _number(data, at)
        if size < _RECORD:
            refused = "nested.damaged"
            break
        flags, packed = data[at + 8], data[at + _RECORD : at + size]
        if flags & (_PACKED | _ENCRYPTED_RECORD):
            plain = _unpacked(packed, _number(data, at + 12) - _RECORD)
            if plain:
                yield at, at + size, plain
            elif not _is_told(packed):
                refused = "nested.damaged"
        at += size + -size % _ALIGNED
    if refused or at > len(data) + _ALIGNED:
        raise Broken("nested.damaged", "records of the log are damaged, cut off or packed in another way")


def _unpacked(packed: memoryview, size: int) -> bytes:
    """What Snappy packed behind the size that it takes, nothing if that is not *size* bytes."""
    end = _PREFIX + _number(packed, 0, _PREFIX)
    if not 0 < size <= _MOST or end > len(packed):
        return b""
    plain, sound = unsnappy(bytes(packed[_PREFIX:end]), size)
    return plain if sound and len(plain) == size else b""


def _is_told(packed: memoryview) -> bool:
    """Whether a magic tells what packed it, so that it is found where it lies."""
    is_zlib = packed[:1] == _ZLIB and not int.from_bytes(packed[:2], "big") % 31
    return is_zlib or bytes(packed[_PREFIX : _PREFIX + 4]) == _ZSTD


def _is_sound(page: bytes) -> bool:
    """Whether the checksum of a page holds, which covers all of it or only what is never packed."""
    covered = page[:32] + bytes(4) + page[36 : len(page) if page[36] & _WHOLE_CHECKED else _PLAIN_HEAD]
    return crc32c(covered) == _number(memoryview(page), 32)


def _number(data: memoryview, at: int, size: int = 4) -> int:
    return int.from_bytes(data[at : at + size], "little")
