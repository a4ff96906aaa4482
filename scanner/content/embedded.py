"""What is packed amid a content and not at its start: behind the script of a self-extracting archive, in the fields of
a header, between the members of an archive, in a program.

The first pass tells where the magics stand. A magic alone is no archive: what does not unpack is nothing.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence

from scanner.content import zips
from scanner.content.buffer import Buffer
from scanner.content.streams import fill_from, plain_name, stream_kind
from scanner.content.unread import unread
from scanner.content.words import Content, Fault, Room, Stop
from scanner.layer.compression import frame_header
from scanner.limits import KIB, MIB

#: by length, the magics of what can be packed amid a file, as expressions of the first pass; zlib's is followed by a
#: block that is packed or by an empty one: what its stored blocks hold stands in the file as it is
MAGICS: dict[int, tuple[bytes, ...]] = {
    3: (
        rb"\x1f\x8b\x08",
        rb"x[\x01\x5e\x9c\xda][%s]" % b"".join(b"\\x%02x" % byte for byte in range(256) if byte & 6 in (2, 4)),
    ),
    4: (rb"\x28\xb5\x2f\xfd", rb"PK\x03\x04", rb"UPX!"),
    5: (rb"\x04\x22\x4d\x18[\x40-\x7f]", rb"LZIP\x01", rb"\nSVN\x02"),
    6: (rb"\xfd7zXZ\x00", rb"7z\xbc\xaf\x27\x1c"),
    7: (rb"Rar!\x1a\x07[\x00\x01]", rb"x[\x01\x5e\x9c\xda]\x00\x00\x00\xff\xff"),
    8: (rb"\x82SNAPPY\x00", rb"MSCF\x00\x00\x00\x00", rb"\x02\x21\x4c\x18..[\x00-\x80]\x00"),
    9: (rb"LZ4Block[\x10-\x2f]",),
    10: (rb"BZh[1-9]1AY&SY",),
    30: (rb"hsqs.{24}\x04\x00", rb"sqsh.{24}\x00\x04"),
}
#: each by itself begins with letters, which are looked for three times faster than all of them as one expression
_EACH = tuple(re.compile(expression, re.DOTALL) for each in MAGICS.values() for expression in each)
_LONGEST = max(MAGICS)
_HEAD = 128
_TELLING = 24  # bytes that tell a compressed stream
_STEP = 4 * MIB
#: plain bytes that more come out of than by chance: of 80,000 random beginnings of gzip none gave 600; what gives less
#: and breaks off is searched if there are some, and no gap
_CHANCE, _SOME = 4 * KIB, 128
_COPIED = MIB  # the same of a zstd frame that begins with a block of up to 128 KiB as they are, or of one byte
_SURE = ("xz", "bzip2", "lzip")  # long magics
_PIXELS = (b"IDAT", b"fdAT")  # of PNG, in front of zlib: no text


def uncovered(covered: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """The ranges of [0, *size*) that are in none of *covered*."""
    reached = 0
    for start, end in [*sorted(covered), (size, size)]:
        if start > reached:
            yield reached, start
        reached = max(reached, end)


def starts_in(data: memoryview, ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Where magics stand that begin in one of the *ranges*."""
    for start, end in ranges:
        for at in range(start, end, _STEP):
            stop = min(end, at + _STEP)
            portion = bytes(data[at : min(len(data), stop + _LONGEST)])
            found = {at + each.start() for expression in _EACH for each in expression.finditer(portion)}
            yield from sorted(start for start in found if start < stop)


def among(starts: Sequence[int], ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Those of *starts*, ascending, that are in one of the *ranges*, ascending."""
    waiting = iter(ranges)
    low, high = next(waiting, (0, 0))
    for start in starts:
        while start >= high and high:
            low, high = next(waiting, (0, 0))
        if low <= start < high:
            yield start


def open_packed(content: Content, starts: Sequence[int], room: Room) -> Iterator[Content | Fault]:
    """What is packed at *starts*, ascending; what begins within something else that was opened is part of that."""
    reached, left = 0, set(starts)
    try:
        for at in starts:
            if at < reached or at not in left:
                continue
            head = bytes(content.data[at : at + _HEAD])
            seen = content.stands(at, _TELLING)  # it was looked at there, so here it counts only if it is whole
            if head[:4] == b"PK\3\4":
                reached = yield from zips.open_entry(content, at, room, whole=seen)
            elif (kind := stream_kind(head)) and not (kind == "zlib" and content.data[max(0, at - 4) : at] in _PIXELS):
                reached = yield from _open_stream(content, at, kind, room, whole=seen)
            elif not seen and head[:2] in (b"7z", b"hs", b"MS") and (opened := _open_archive(content, at, head, room)):
                covered = yield from _covering(opened)
                left.intersection_update(among(starts, uncovered(covered, len(content.data))))
            elif not seen and (name := unread(head, start=False)):
                text = f"{name} is not understood"
                yield Fault("nested.unknown", content.inside, len(content.data) - at, text)
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(content.data), stop.what)


def _covering(opened: Iterator[Content | Fault]) -> Generator[Content | Fault, None, list[tuple[int, int]]]:
    """All of *opened*; returns what that was made of. What lies between may be anything, whatever a header says."""
    covered: list[tuple[int, int]] = []
    for inner in opened:
        if isinstance(inner, Content):
            covered += inner.covers
        yield inner
    return covered


def _open_archive(content: Content, at: int, head: bytes, room: Room) -> Iterator[Content | Fault] | None:
    """A 7z archive, a squashfs image or a cabinet at *at*, None if the header is not sound: their readers cost an
    import."""
    from scanner.content import cabinets, sevenzip, squashblocks, squashfs

    if sevenzip.is_sound(head):
        return sevenzip.open_seven(content, at, room)
    if cabinets.is_sound(head):
        return cabinets.open_cabinet(content, at, room)
    return squashfs.open_squash(content, at, room) if squashblocks.is_sound(head) else None


def _open_stream(
    content: Content, at: int, kind: str, room: Room, whole: bool
) -> Generator[Content | Fault, None, int]:
    """A compressed stream at *at*, of those that break off nothing if *whole*; returns where it ends."""
    data, buffer = content.data[at:], Buffer(room)
    try:
        fault, used = fill_from(buffer, data, kind)
        end = at + used
        if whole and fault and fault[0] == "nested.damaged":
            return at
        if buffer.size and (not fault or buffer.size >= _SOME or kind in _SURE):
            yield content.made(buffer.view(), at, end, "", (kind,), plain_name(content.name))
        if fault and (fault[0] != "nested.damaged" or _is_telling(buffer.size, bytes(data[:KIB]), kind)):
            yield Fault(fault[0], content.inside, len(data), fault[1])
        return end if not fault or buffer.size >= _CHANCE else at
    finally:
        buffer.close()


def _is_first_packed(head: bytes) -> bool:
    """Whether the first block of a zstd frame is packed, and is no copy of what stands there."""
    block = frame_header(head[4])
    return head[block : block + 1] != b"" and head[block] >> 1 & 3 == 2


def _is_telling(size: int, head: bytes, kind: str) -> bool:
    """Whether a stream that broke off after *size* plain bytes is one beyond doubt, by that or by what its header says.

    zlib never is: its magic is two bytes, and some formats cut it into pieces with headers of their own between them.
    """
    if kind == "zstd" and not _is_first_packed(head):
        return size >= _COPIED
    if kind != "zlib" and size >= _CHANCE:
        return True
    if kind == "xz" and len(head) > 12:  # the header of the first block has a checksum (xz-file-format section 3.1)
        size = 4 * head[12]
        return bool(size) and zlib.crc32(head[12 : 12 + size]).to_bytes(4, "little") == head[12 + size : 16 + size]
    return False
