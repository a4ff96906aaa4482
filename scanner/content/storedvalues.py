"""Values that stores keep packed one by one: dumps of Redis (LZF), sessions and bookmarks of Firefox (LZ4).

Sources: rdb.c of Redis (rdbSaveLzfStringObject, rdbLoadLenByRef), lzf_d.c of liblzf, lz4.js of Firefox.
"""

from __future__ import annotations

from collections.abc import Iterator

from scanner.content.lz4frames import MOST as LZ4_MOST
from scanner.content.lz4frames import unlz4_block
from scanner.content.words import Content, Fault, Room, Stop
from scanner.limits import KIB, MIB

_REDIS, _MOZILLA = b"REDIS00", b"mozLz40\0"
_PACKED = b"\xc3"  # in front of a string that is packed: its length packed, its length plain, the packed bytes
_SHORTEST, _SAVED = 21, 4  # bytes of a string that Redis packs, and that it must save by that
_LONGEST = 128 * MIB  # of a string that is unpacked; nobody keeps longer ones there
_LENGTHS = 18  # bytes that two lengths take at most
_STEP = MIB
_PORTION = 256 * KIB  # plain bytes that are searched together: most values are small
_CHECKED = 4096  # steps of the decoder between two looks at the clock


def is_redis(head: bytes) -> bool:
    """Whether the first bytes are those of a dump of Redis (RDB)."""
    return head.startswith(_REDIS) and head[7:9].isdigit()


def is_mozilla(head: bytes) -> bool:
    """Whether the first bytes are those of a file that Firefox packs."""
    return head.startswith(_MOZILLA)


def open_redis(content: Content, room: Room) -> Iterator[Content | Fault]:
    """The strings that a dump of Redis holds packed; all others stand in it as they are.

    What lies around them is not understood, as it differs by version and module: a string is one whose bytes unpack
    to just the length that stands in front of them. So a damaged one is not told.
    """
    data, size, first, reached = content.data, 0, 0, 0
    held: list[bytes] = []
    try:
        for at in _places(data):
            if at < reached:
                continue
            room.look()
            value, end = _string(data, at, room)
            if value is None:
                continue
            if held and (size >= _PORTION or at - first >= _PORTION):
                yield content.made(b"\n".join(held), first, reached, "", ("lzf",))
                held, size = [], 0
            first = first if held else at
            reached = end
            held.append(value)
            size += len(value)
            room.take(len(value))
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(data), stop.what)
    if held:
        yield content.made(b"\n".join(held), first, reached, "", ("lzf",))


def _places(data: memoryview) -> Iterator[int]:
    for start in range(0, len(data), _STEP):
        part = bytes(data[start : start + _STEP])
        at = part.find(_PACKED)
        while at >= 0:
            yield start + at
            at = part.find(_PACKED, at + 1)


def _string(data: memoryview, at: int, room: Room) -> tuple[bytes | None, int]:
    """The packed string at *at* and where it ends, None if none is there."""
    head = bytes(data[at + 1 : at + 1 + _LENGTHS])
    packed, used = _length(head, 0)
    plain, used = _length(head, used)
    start = at + 1 + used
    if not packed or plain < max(_SHORTEST, packed + _SAVED) or plain > _LONGEST or start + packed > len(data):
        return None, at
    return unlzf(data[start : start + packed], plain, room), start + packed


def _length(head: bytes, at: int) -> tuple[int, int]:
    """A length of 6, 14, 32 or 64 bits, 0 if none is there, and where it ends."""
    first = head[at] if at < len(head) else 0xFF
    if first >> 6 == 0:
        return first, at + 1
    if first >> 6 == 1:
        return int.from_bytes(head[at : at + 2], "big") & 0x3FFF, at + 2
    size = {0x80: 4, 0x81: 8}.get(first, 0)
    return int.from_bytes(head[at + 1 : at + 1 + size], "big"), at + 1 + size


def unlzf(data: memoryview, size: int, room: Room) -> bytes | None:
    """What LZF made of *size* bytes; None if it is not that. Raises Stop when it takes longer than the limit."""
    out, at, end, steps = bytearray(), 0, len(data), 0
    while at < end and len(out) <= size:
        steps += 1
        if steps % _CHECKED == 0:
            room.look()
        control = data[at]
        at += 1
        if control < 0x20:
            out += data[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7 and at < end:
            length += data[at]
            at += 1
        if at >= end:
            return None
        start = len(out) - 1 - ((control & 0x1F) << 8 | data[at])
        at += 1
        if start < 0:
            return None
        piece = bytes(out[start : start + length + 2])
        out += (piece * ((length + 1) // len(piece) + 1))[: length + 2]
    return bytes(out) if at == end and len(out) == size else None


def open_mozilla(content: Content, room: Room) -> Iterator[Content | Fault]:
    """The JSON that Firefox packs as one block of LZ4 behind its length."""
    data, lead = content.data, len(_MOZILLA)
    size, plain = int.from_bytes(data[lead : lead + 4], "little"), b""
    try:
        if size <= LZ4_MOST * len(data):  # else it is a claim: nothing is taken for it from what others may need
            room.take(size)
            plain = unlz4_block(bytes(data[lead + 4 :]), size)
        if plain:
            yield content.made(plain, 0, len(data), "", ("lz4",))
        if not plain or len(plain) != size:
            yield Fault("nested.damaged", content.inside, len(data), "the packed block is damaged or cut off")
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(data), stop.what)
