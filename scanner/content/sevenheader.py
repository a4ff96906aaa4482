"""The headers of a 7z archive: what is packed where, with which coders, and how the files are called.

Nothing of a header is believed: what it counts takes bytes of it or is counted against a limit, and what it refers to
is looked at by those who follow it. Source: 7zFormat.txt of the LZMA SDK.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scanner.content.words import Broken, Stop

_END, _HEADER, _PROPERTIES, _ADDITIONAL, _MAIN, _FILES = range(6)
_PACK, _FOLDERS, _SUBSTREAMS, _SIZE, _CRC, _FOLDER, _UNPACKED, _COUNT, _EMPTY = range(6, 15)
_NAMES, _ENCODED = 0x11, 0x17
_MOST_CODERS = 32  # of a folder; writers use four at most
_ITEMS = 10  # folders, coders, inputs, packed streams and files, and CRCs: as many of each as archives may have entries
_HEAVY = 3  # what a folder counts for: it takes some hundreds of bytes


@dataclass(frozen=True, slots=True)
class Coder:
    """One step of unpacking.

    Attributes:
        method: its identifier.
        inputs: how many streams it reads; it writes one.
    """

    method: bytes
    inputs: int
    properties: bytes


@dataclass(frozen=True, slots=True)
class Folder:
    """What is packed together: coders, and how they are joined.

    Attributes:
        bonds: number of an input, counted through all coders → number of the coder whose output it reads.
        packed: number of an input → which of the folder's packed streams it reads.
        sizes: bytes that each coder writes.
        crc: of what comes out of the last one, None if it is not kept.
        first: the number of the first of its packed streams in the archive.
    """

    coders: tuple[Coder, ...]
    bonds: dict[int, int]
    packed: dict[int, int]
    sizes: tuple[int, ...]
    crc: int | None
    first: int

    @property
    def last(self) -> int:
        """The coder whose output is what was packed: the only one that no other reads. What it reads in the end are
        packed streams, since no coder is read twice; others may be joined in a circle, which leads to nothing."""
        read = set(self.bonds.values())
        return next(number for number in range(len(self.coders)) if number not in read)


@dataclass(frozen=True, slots=True)
class Streams:
    """Packed streams, and what comes out of them.

    Attributes:
        packs: where each begins and ends, counted from the end of the signature header; these may lie anywhere.
        parts: for each folder, the size of each of its files and its CRC, None if that is not kept.
    """

    packs: Sequence[tuple[int, int]] = ()
    folders: Sequence[Folder] = ()
    parts: Sequence[Sequence[tuple[int, int | None]]] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """A header that was read.

    Attributes:
        encoded: it only says how the true header is packed.
        streams: of the archive, or of the true header.
        names: of all files, in UTF-16, each with a zero behind it.
        empty: a bit for each file, the highest first, set if nothing of it is packed.
        fault: what could not be read of it.
    """

    encoded: bool
    streams: Sequence[Streams]
    names: bytes = b""
    empty: bytes = b""
    fault: Broken | None = None


class _Reader:
    """Reads a header from its start to its end. Raises Broken where it ends too early, Stop for too many items."""

    def __init__(self, data: memoryview, entries: int) -> None:
        self._data, self._at, self._entries = data, 0, entries
        self._left = _ITEMS * entries

    def take(self, count: int) -> memoryview:
        if count > len(self._data) - self._at:
            raise Broken("nested.damaged", "the header of the 7z archive ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """A number of 1 to 9 bytes: the bits set at the top of the first one count those that follow."""
        first, mask, value = self.byte(), 0x80, 0
        for place in range(8):
            if not first & mask:
                return value | (first & (mask - 1)) << 8 * place
            value |= self.byte() << 8 * place
            mask >>= 1
        return value

    def items(self, count: int) -> range:
        """So many numbers. Raises Stop if that is more than the archive may hold."""
        self._left -= count
        if self._left < 0:
            text = f"the header of the 7z archive counts more items than {self._entries} entries can have"
            raise Stop("nested.entries", text)
        return range(count)

    def numbers(self, count: int) -> list[int]:
        return [self.number() for _ in range(count)]

    def digests(self, count: int) -> list[int | None]:
        """CRCs of *count* things, None for those without."""
        self.items(count)
        bits = b"\xff" * (-(-count // 8)) if self.byte() else bytes(self.take(-(-count // 8)))
        return [int.from_bytes(self.take(4), "little") if has_bit(bits, at) else None for at in range(count)]

    def embedded(self) -> None:
        """Whether what follows is kept elsewhere. Raises Broken if it is: no writer does that."""
        if self.byte():
            raise Broken("nested.unknown", "a header of 7z with parts that are kept elsewhere is not understood")


def has_bit(bits: bytes, at: int) -> bool:
    """Whether bit *at* is set, the highest of the first byte being the first; those that are not there are not."""
    return at >> 3 < len(bits) and bool(bits[at >> 3] & 0x80 >> (at & 7))


def read_header(data: memoryview, entries: int) -> Header:
    """The header that *data* is.

    Args:
        entries: how many files an archive may have.

    Raises:
        Broken: it is no header.
        Stop: it counts more than that.
    """
    reader = _Reader(data, entries)
    kind = reader.number()
    if kind == _ENCODED:
        return Header(True, (_streams(reader),))
    if kind != _HEADER:
        raise Broken("nested.damaged", "the header of the 7z archive is none")
    streams: list[Streams] = []
    names = empty = b""
    try:
        while (kind := reader.number()) != _END:
            if kind == _PROPERTIES:
                while reader.number():
                    reader.items(1)
                    reader.take(reader.number())
            elif kind in (_ADDITIONAL, _MAIN):
                streams.append(_streams(reader))
            elif kind == _FILES:
                names, empty = _files(reader)
            else:
                raise Broken("nested.damaged", "the header of the 7z archive has a part that nobody knows")
    except Broken as broken:
        return Header(False, streams, names, empty, broken)
    return Header(False, streams, names, empty)


def _streams(reader: _Reader) -> Streams:
    packs: list[tuple[int, int]] = []
    folders: list[Folder] = []
    parts: list[list[tuple[int, int | None]]] | None = None
    while (kind := reader.number()) != _END:
        reader.items(1)
        if kind == _PACK:
            packs = _packs(reader)
        elif kind == _FOLDERS:
            folders = _folders(reader)
        elif kind == _SUBSTREAMS:
            parts = _parts(reader, folders)
        else:
            raise Broken("nested.damaged", "the header of the 7z archive has streams of a kind that nobody knows")
    if parts is None:
        parts = [[(folder.sizes[folder.last], folder.crc)] for folder in folders]
    return Streams(packs, folders, parts)


def _packs(reader: _Reader) -> list[tuple[int, int]]:
    at, count = reader.number(), reader.number()
    reader.items(count)
    packs: list[tuple[int, int]] = []
    while (kind := reader.number()) != _END:
        if kind == _SIZE and not packs:
            for size in reader.numbers(count):
                packs.append((at, at + size))
                at += size
        elif kind == _CRC:
            reader.digests(count)
        else:
            raise Broken("nested.damaged", "the header of the 7z archive says too little of its packed streams")
    return packs


def _folders(reader: _Reader) -> list[Folder]:
    if reader.number() != _FOLDER:
        raise Broken("nested.damaged", "the header of the 7z archive has no folders where they should be")
    count = reader.number()
    reader.items(_HEAVY * count)
    reader.embedded()
    joined, first = [], 0
    for _ in range(count):
        joined.append((*_joined(reader), first))
        first += len(joined[-1][2])
    if reader.number() != _UNPACKED:
        raise Broken("nested.damaged", "the header of the 7z archive says no sizes of its folders")
    sizes = [tuple(reader.numbers(len(coders))) for coders, *_ in joined]
    crcs: list[int | None] = [None] * len(joined)
    while (kind := reader.number()) != _END:
        if kind != _CRC:
            raise Broken("nested.damaged", "the header of the 7z archive says of its folders what nobody knows")
        crcs = reader.digests(len(joined))
    return [
        Folder(coders, bonds, packed, size, crc, first)
        for (coders, bonds, packed, first), size, crc in zip(joined, sizes, crcs, strict=True)
    ]


def _joined(reader: _Reader) -> tuple[tuple[Coder, ...], dict[int, int], dict[int, int]]:
    """The coders of a folder, which input reads which coder, and which input reads which packed stream."""
    count = reader.number()
    if not 0 < count <= _MOST_CODERS:
        raise Broken("nested.damaged", f"a folder of the 7z archive has {count} coders")
    coders = tuple(_coder(reader) for _ in reader.items(count))
    inputs = len(reader.items(sum(coder.inputs for coder in coders)))
    bonds = {reader.number(): reader.number() for _ in range(count - 1)}
    free = [number for number in range(inputs) if number not in bonds]
    if len(bonds) != count - 1 or len(set(bonds.values())) != count - 1 or len(free) != inputs - count + 1 or not free:
        raise Broken("nested.damaged", "a folder of the 7z archive has coders that are not joined as they should be")
    if max(bonds.values(), default=0) >= count:
        raise Broken("nested.damaged", "a folder of the 7z archive reads a coder that it does not have")
    order = free if len(free) == 1 else reader.numbers(len(free))
    if sorted(order) != free:
        raise Broken("nested.damaged", "a folder of the 7z archive reads packed streams that it does not have")
    return coders, bonds, {number: place for place, number in enumerate(order)}


def _coder(reader: _Reader) -> Coder:
    flags = reader.byte()
    method = bytes(reader.take(flags & 0xF))
    inputs = outputs = 1
    if flags & 0x10:
        inputs, outputs = reader.number(), reader.number()
    if flags & 0xC0 or outputs != 1 or not 0 < inputs <= _MOST_CODERS:
        raise Broken("nested.unknown", "a coder of 7z with other than one output is not understood")
    return Coder(method, inputs, bytes(reader.take(reader.number())) if flags & 0x20 else b"")


def _parts(reader: _Reader, folders: Sequence[Folder]) -> list[list[tuple[int, int | None]]]:
    """The files of each folder: all but the last have a size, all have a CRC that is not the folder's own."""
    counts, kind = [1] * len(folders), reader.number()
    if kind == _COUNT:
        counts = reader.numbers(len(folders))
        kind = reader.number()
    reader.items(sum(counts))
    sizes: list[list[int]] = []
    for folder, count in zip(folders, counts, strict=True):
        before = reader.numbers(count - 1) if kind == _SIZE and count else []
        rest = folder.sizes[folder.last] - sum(before)
        if rest < 0 or len(before) != max(0, count - 1):
            raise Broken("nested.damaged", "the files of a folder of the 7z archive are larger than it")
        sizes.append([*before, rest] if count else [])
    if kind == _SIZE:
        kind = reader.number()
    own = [count == 1 and folder.crc is not None for folder, count in zip(folders, counts, strict=True)]
    crcs: list[int | None] = []
    while kind != _END:
        if kind != _CRC:
            raise Broken("nested.damaged", "the header of the 7z archive says of its files what nobody knows")
        crcs = reader.digests(sum(count for count, has in zip(counts, own, strict=True) if not has))
        kind = reader.number()
    waiting = iter(crcs)
    return [
        [(size, folder.crc if has else next(waiting, None)) for size in each]
        for folder, has, each in zip(folders, own, sizes, strict=True)
    ]


def _files(reader: _Reader) -> tuple[bytes, bytes]:
    """The names of all files, and which of them are empty."""
    reader.number()
    names = empty = b""
    while (kind := reader.number()) != _END:
        reader.items(1)
        body = reader.take(reader.number())
        if kind == _NAMES:
            if not len(body) or body[0]:
                raise Broken("nested.unknown", "a header of 7z with names that are kept elsewhere is not understood")
            names = bytes(body[1:])
        elif kind == _EMPTY:
            empty = bytes(body)
    return names, empty
