"""Formats that hold something packed and are not understood, told by their first bytes.

Sources: the RAR 5.0 archive format and unrar's notes on the older one, the
squashfs superblocks of Linux before 2.6.29 and of big machines, WIM and xar, ARJ's
technical notes, header levels of LHA, ACE's technical notes, the ZPAQ specification, and the headers that lrzip, bzip3,
COMPRESS.EXE of DOS and UPX (its PackHeader) write; "structure" of Subversion's FSFS and notes on svndiff; "Storage
Versions and Format" of DuckDB; erofs_fs.h of Linux.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

_BLOCKS = range(9, 21)  # logarithms of the block sizes that squashfs allows
_SHORTEST = 16


@dataclass(frozen=True, slots=True)
class _Format:
    """A format that is not understood.

    Attributes:
        magic: what it begins with.
        sound: whether a header behind that magic is what it should be; asked where the magic may be there by chance,
            amid a file.
        at: where the magic stands.
    """

    magic: bytes
    name: str
    sound: Callable[[bytes], bool]
    at: int = 0


def _rar(head: bytes) -> bool:
    if head[6:7] == b"\0":  # the main header: checksum, type 0x73, flags, size
        size = int.from_bytes(head[12:14], "little")
        return 13 <= size <= 64 and zlib.crc32(head[9 : 7 + size]) & 0xFFFF == int.from_bytes(head[7:9], "little")
    size = head[12]  # of what the checksum covers, behind the byte that says so
    return 2 <= size < 100 and zlib.crc32(head[12 : 13 + size]) == int.from_bytes(head[8:12], "little")


def _squashfs(head: bytes) -> bool:
    order = "little" if head[:1] == b"h" else "big"
    version = int.from_bytes(head[28:30], order)  # type: ignore[arg-type]
    if version == 4 and order == "big":
        power, size = int.from_bytes(head[22:24], "big"), int.from_bytes(head[12:16], "big")
        return power in _BLOCKS and size == 1 << power
    minor, power = (int.from_bytes(head[at : at + 2], order) for at in (30, 34))  # type: ignore[arg-type]
    return version in (1, 2, 3) and minor <= 1 and power in _BLOCKS


def _arj(head: bytes) -> bool:
    end = 4 + int.from_bytes(head[2:4], "little")  # of the main header, which has a checksum
    if end + 4 <= len(head):
        return end > 34 and zlib.crc32(head[4:end]).to_bytes(4, "little") == head[end : end + 4]
    return end <= 2604 and 30 <= head[4] <= 64 and head[10] == 2  # it is of an archive, and goes on with a comment


def _lha(head: bytes) -> bool:
    return head[3:5] in (b"lh", b"lz", b"pm") and head[6] == 0x2D and head[20] <= 3


def _upx(head: bytes) -> bool:
    return len(head) >= 32 and any(head[16:20]) and sum(head[4:31]) % 251 == head[31]


def _duckdb(head: bytes) -> bool:
    return head[12] > 0 and not any(head[14:20])  # the version of the format, in 8 bytes


def _erofs(head: bytes) -> bool:
    """Whether the image says that it has compressed files; those of others lie there as they are."""
    return len(head) > 1104 and 9 <= head[1036] <= 16 and bool(head[1104] & 3)


def _always(head: bytes) -> bool:
    return len(head) >= _SHORTEST


_FORMATS = (
    _Format(b"Rar!\x1a\x07\0", "RAR", _rar),
    _Format(b"Rar!\x1a\x07\1\0", "RAR", _rar),
    _Format(b"hsqs", "squashfs of an old version", _squashfs),
    _Format(b"sqsh", "squashfs of an old version or another order", _squashfs),
    _Format(b"MSWIM\0\0\0", "WIM", _always),
    _Format(b"xar!\0\x1c\0\1", "xar", _always),
    _Format(b"\x60\xea", "ARJ", _arj),
    _Format(b"-", "LHA", _lha, at=2),
    _Format(b"**ACE**", "ACE", _always, at=7),
    _Format(b"7kSt\xa0\x31\x83\xd3\x8c\xb2\x28\xb0\xd3zPQ", "ZPAQ", _always),
    _Format(b"LRZI\0", "lrzip", _always),
    _Format(b"BZ3v1", "bzip3", _always),
    _Format(b"SZDD\x88\xf0\x27\x33", "COMPRESS.EXE", _always),
    _Format(b"UPX!", "UPX", _upx),
    _Format(b"\nSVN\2", "Subversion's LZ4", _always),  # behind a line that says what it is the difference to
    _Format(b"DUCK", "packing of DuckDB", _duckdb, at=8),
    _Format(b"\xe2\xe1\xf5\xe0", "compressed EROFS", _erofs, at=1024),
)
#: a magic that is no word and no code of any machine: at the start of a file it tells enough
_SURE = ("RAR", "WIM", "xar")


def unread(head: bytes, start: bool) -> str:
    """The name of the format that *head*, its first 128 bytes or more, is surely the beginning of; '' if none.

    *start*: it stands at the start of a file, where its magic means more than amid one.
    """
    for each in _FORMATS if len(head) >= _SHORTEST else ():
        if head.startswith(each.magic, each.at) and ((start and each.name in _SURE) or each.sound(head)):
            return each.name
    return ""
