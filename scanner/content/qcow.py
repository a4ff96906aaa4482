"""Disk images of QEMU (qcow2) with compressed clusters, as cloud images are and disks that KubeVirt keeps in images.

An image without any lies in its file cluster by cluster and is searched as it is. File systems are not read: what a
disk holds is searched as one row of bytes, and what is packed in it is found as amid any file.

Source: docs/interop/qcow2.rst of QEMU.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from scanner.content.buffer import Buffer
from scanner.content.words import Broken, Content, Ended, Fault, Room
from scanner.layer.compression import decode
from scanner.limits import MIB

_MAGIC = b"QFI\xfb"
_BITS = range(9, 22)  # logarithms of the sizes of clusters
_EXTERNAL, _OTHER_PACKING, _EXTENDED = 1 << 2, 1 << 3, 1 << 4  # incompatible features
_COMPRESSED, _OFFSET = 1 << 62, (1 << 56) - (1 << 9)
_ENTRY = (1 << 63) - 1  # without the mark of a cluster that nobody shares
_L1_BYTES = 32 * MIB
_SNAPSHOTS = 65536
_SNAPSHOT = 40  # bytes of the fixed part of one
_SECTOR = 512
_DAMAGED = "nested.damaged", "a part of the disk image is damaged or missing"


@dataclass(frozen=True, slots=True)
class _Header:
    bits: int
    encrypted: bool
    features: int
    zstd: bool
    tables: tuple[tuple[int, int], ...]  # offset and entries of each first-level table: of the disk, of its snapshots


def is_qcow(head: bytes) -> bool:
    """Whether the first 128 bytes are the header of a disk image that can be read."""
    return head[:4] == _MAGIC and head[4:8] in (b"\0\0\0\2", b"\0\0\0\3") and _number(head, 20, 4) in _BITS


def open_qcow(content: Content, room: Room) -> Iterator[Content | Fault]:
    """The disk, if any of its clusters is compressed: all clusters that have data, in their order."""
    data, size = content.data, len(content.data)
    faults: set[tuple[str, str]] = set()
    buffer = Buffer(room)
    try:
        header = _read(data, faults)
        if header.encrypted:
            faults.add(("nested.encrypted", "the disk image is encrypted"))
        elif header.features & _EXTERNAL:
            faults.add(("nested.unknown", "the data of the disk image lies in another file"))
        elif any(entry & _COMPRESSED for entry in _entries(data, header, room, set())):
            for entry in _entries(data, header, room, faults):
                buffer.write(_cluster(data, header, entry, faults))
        buffer.settle()
    except Ended as ended:
        faults.add((ended.reason, ended.what))
    try:
        if buffer.size:
            yield content.made(buffer.view(), 0, size, "", ("qcow2",))
    finally:
        buffer.close()
    for reason, detail in sorted(faults):
        yield Fault(reason, content.inside, size, detail)


def _number(data: bytes | memoryview, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _read(data: memoryview, faults: set[tuple[str, str]]) -> _Header:
    """The header, and where the tables of snapshots are. Raises Broken."""
    extended = _number(data, 4, 4) > 2
    features = _number(data, 72, 8) if extended else 0
    packing = data[104] if features & _OTHER_PACKING and len(data) > 104 else 0
    if packing > 1:
        raise Broken("nested.unknown", f"the disk image is packed by method {packing}, which is not understood")
    tables = [(_number(data, 40, 8), _number(data, 36, 4))]
    at = _number(data, 64, 8)
    for _ in range(min(_number(data, 60, 4), _SNAPSHOTS)):
        if at + _SNAPSHOT > len(data):
            faults.add(_DAMAGED)
            break
        tables.append((_number(data, at, 8), _number(data, at + 8, 4)))
        at += _SNAPSHOT + _number(data, at + 36, 4) + _number(data, at + 12, 2) + _number(data, at + 14, 2)
        at += -at % 8
    return _Header(_number(data, 20, 4), _number(data, 32, 4) != 0, features, packing == 1, tuple(tables))


def _entries(data: memoryview, header: _Header, room: Room, faults: set[tuple[str, str]]) -> Iterator[int]:
    """The entry of each cluster that has data, once. Raises Stop at the limit of time."""
    width = 16 if header.features & _EXTENDED else 8
    seen: set[int] = set()
    for start, count in header.tables:
        end = start + min(8 * count, _L1_BYTES)
        if end > len(data) or 8 * count > _L1_BYTES:
            faults.add(_DAMAGED)
        for at in range(start, min(end, len(data) - 7), 8):
            table = _number(data, at, 8) & _OFFSET
            if not table or table in seen:
                continue
            seen.add(table)
            room.look()
            if table + (1 << header.bits) > len(data):
                faults.add(_DAMAGED)
            for place in range(table, min(table + (1 << header.bits), len(data) - 7), width):
                entry = _number(data, place, 8) & _ENTRY
                if entry & (_COMPRESSED | _OFFSET) and entry not in seen:
                    seen.add(entry)
                    yield entry


def _cluster(data: memoryview, header: _Header, entry: int, faults: set[tuple[str, str]]) -> bytes:
    """The bytes of a cluster, what there is of them; what is missing is noted."""
    size = 1 << header.bits
    if not entry & _COMPRESSED:
        plain = bytes(data[entry & _OFFSET : (entry & _OFFSET) + size])
    else:
        split = 62 - (header.bits - 8)
        at, sectors = entry & ((1 << split) - 1), (entry & (_COMPRESSED - 1)) >> split
        packed = data[at : at + (sectors + 1) * _SECTOR - at % _SECTOR]
        plain = (_unzstd if header.zstd else _inflate)(packed, size)
    if not plain or (entry & _COMPRESSED and len(plain) < size):  # the last cluster may end with the file
        faults.add(_DAMAGED)
    return plain


def _inflate(packed: memoryview, size: int) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size)
    except zlib.error:
        return b""


class _Whole(Exception):
    """A cluster has all of its bytes."""


@dataclass(slots=True)
class _Cluster:
    """Where the bytes of one cluster go; behind them the frame of another one may begin."""

    most: int
    plain: bytearray = field(default_factory=bytearray)

    @property
    def size(self) -> int:
        return len(self.plain)

    def write(self, data: bytes, _used: int) -> None:
        self.plain += data[: self.most - self.size]
        if self.size == self.most:
            raise _Whole


def _unzstd(packed: memoryview, size: int) -> bytes:
    cluster = _Cluster(size)
    with contextlib.suppress(_Whole):
        decode(packed, "zstd", cluster)
    return bytes(cluster.plain)
