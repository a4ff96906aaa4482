"""The coders of 7z: what comes out of a folder, piece by piece.

Source: Methods.txt of the LZMA SDK, and that of the builds with zstd and LZ4. Each coder reads pieces and gives pieces,
so that nothing is kept but what it needs itself.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scanner.content import bcj2
from scanner.content.buffer import Buffer
from scanner.content.sevenheader import Coder, Folder
from scanner.content.streams import fill_from
from scanner.content.words import Broken, Room
from scanner.limits import KIB, MIB

_IN, _OUT, _STEP = MIB, 4 * MIB, 64 * KIB
_MEMORY = 256 * MIB  # of a dictionary: liblzma takes it at once
_SMALLEST = _FEW = 4 * KIB
_DAMAGED = "nested.damaged", "the entry is damaged or cut off"

_NAMES = {
    b"\0": "copy", b"\3": "delta", b"\4": "bcj", b"\5": "ppc", b"\6": "ia64", b"\7": "arm", b"\x08": "armt",
    b"\x09": "sparc", b"\x0a": "ARM64", b"\x0b": "RISCV", b"\x21": "lzma2", b"\3\1\1": "lzma", b"\3\3\1\3": "bcj",
    b"\3\3\1\x1b": "bcj2", b"\3\3\2\5": "ppc", b"\3\3\4\1": "ia64", b"\3\3\5\1": "arm", b"\3\3\7\1": "armt",
    b"\3\3\x08\5": "sparc", b"\2\3\2": "Swap2", b"\2\3\4": "Swap4", b"\3\4\1": "PPMd", b"\4\1\x08": "deflate",
    b"\4\1\x09": "Deflate64", b"\4\2\2": "bzip2", b"\4\xf7\x11\1": "zstd", b"\4\xf7\x11\2": "Brotli",
    b"\4\xf7\x11\4": "lz4", b"\4\xf7\x11\5": "LZ5", b"\4\xf7\x11\6": "Lizard", b"\6\xf1\7\1": "AES",
    b"\6\xf0\1\x81": "AES",
}  # fmt: skip
_BRANCHES = {
    "bcj": lzma.FILTER_X86, "ppc": lzma.FILTER_POWERPC, "ia64": lzma.FILTER_IA64, "arm": lzma.FILTER_ARM,
    "armt": lzma.FILTER_ARMTHUMB, "sparc": lzma.FILTER_SPARC,
}  # fmt: skip
#: they change the targets of jumps in programs and leave text as it is
_HARMLESS = ("ARM64", "RISCV")


@dataclass(frozen=True, slots=True)
class Unpacking:
    """How a folder is unpacked.

    Attributes:
        steps: what is undone, in that order, for `encoding`.
        pieces: what comes out; raises Broken where that ends early, Stop at a limit.
        left: a filter that is not undone though it should be, '' for none.
    """

    steps: tuple[str, ...]
    pieces: Iterator[bytes]
    left: str = ""


def method_name(coder: Coder) -> str:
    """What a coder is called; that of an unknown one is its identifier in hex."""
    return _NAMES.get(coder.method, f"method {coder.method.hex() or 'of no name'}")


def is_stored(folder: Folder) -> bool:
    """Whether its packed stream is what was packed."""
    return all(coder.method == b"\0" and coder.inputs == 1 for coder in folder.coders)


def unpack(folder: Folder, packs: Sequence[memoryview], room: Room) -> Unpacking:
    """How *folder* is unpacked, of its packed streams. Raises Broken if nobody here can.

    What it does takes little before `pieces` are asked for.
    """
    last = folder.last
    names = [method_name(coder) for coder in folder.coders]
    if "AES" in names:
        raise Broken("nested.encrypted", "the entry is encrypted")
    left = names[last] if names[last] in _HARMLESS else ""
    for name in names:
        if name not in _UNDO and name not in ("copy", "bcj2") and not (name == left and left):
            raise Broken("nested.unknown", f"packed by {name}, which is not understood")
    steps: list[str] = []
    pieces = _output(folder, last, packs, room, steps)
    return Unpacking(tuple(dict.fromkeys(steps)), pieces, left)


def _output(
    folder: Folder, number: int, packs: Sequence[memoryview], room: Room, steps: list[str]
) -> Iterator[bytes]:
    """What coder *number* writes. *steps* gathers what is undone on the way."""
    coder = folder.coders[number]
    first = sum(each.inputs for each in folder.coders[:number])
    sources = []
    for at in range(first, first + coder.inputs):
        if at in folder.bonds:
            sources.append(_output(folder, folder.bonds[at], packs, room, steps))
        elif folder.packed[at] < len(packs):
            sources.append(_pieces(packs[folder.packed[at]]))
        else:
            raise Broken("nested.damaged", "it is packed in a stream that is not there")
    name, size = method_name(coder), folder.sizes[number]
    if name == "bcj2":
        if len(sources) != 4:
            raise Broken("nested.damaged", "BCJ2 does not have its four streams")
        made = bcj2.join(sources[0], sources[1], sources[2], sources[3], size)
    elif len(sources) != 1:
        raise Broken("nested.damaged", f"{name} does not have one stream")
    elif name in ("copy", *_HARMLESS):
        return _timed(sources[0], room)
    else:
        made = _UNDO[name](sources[0], coder.properties, size, room)
    steps.append(name)
    return _timed(made, room)


def _pieces(data: memoryview) -> Iterator[bytes]:
    """Small at first: most of what is packed is."""
    at, step = 0, _STEP
    while at < len(data):
        yield bytes(data[at : at + step])
        at, step = at + step, min(2 * step, _IN)


def _timed(pieces: Iterator[bytes], room: Room) -> Iterator[bytes]:
    """The same pieces; time counts though nothing comes out in the end. Sizes that a header tells end nothing here."""
    for piece in pieces:
        room.look()
        yield piece


def _refuse_rest(unused: bytes, pieces: Iterator[bytes]) -> None:
    """Raises Broken if something follows a stream that has ended: nobody unpacks that."""
    if unused or next(pieces, b""):
        raise Broken("nested.damaged", "bytes that nothing tells of follow the packed entry")


def _lzma(pieces: Iterator[bytes], properties: bytes, size: int, _room: Room) -> Iterator[bytes]:
    if len(properties) < 5:
        raise Broken(*_DAMAGED)
    pb, rest = divmod(properties[0], 45)
    lp, lc = divmod(rest, 9)
    if pb > 4:
        raise Broken(*_DAMAGED)
    if lc + lp > 4:
        raise Broken("nested.unknown", "lzma with properties of this kind is not understood")
    dictionary = _dictionary(int.from_bytes(properties[1:5], "little"), size)
    chain = {"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}
    return _liblzma(pieces, chain, size)


def _lzma2(pieces: Iterator[bytes], properties: bytes, size: int, _room: Room) -> Iterator[bytes]:
    bits = properties[0] if properties else 41
    if bits > 40:
        raise Broken(*_DAMAGED)
    dictionary = 0xFFFFFFFF if bits == 40 else (2 | bits & 1) << bits // 2 + 11
    return _liblzma(pieces, {"id": lzma.FILTER_LZMA2, "dict_size": _dictionary(dictionary, size)}, size)


def _dictionary(size: int, plain: int) -> int:
    """A dictionary need not be larger than what comes out, and may not be larger than the memory for it."""
    return max(_SMALLEST, min(size, plain, _MEMORY))


def _slices(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes, a few at a time: a decoder that meets damage gives nothing of what it was called for."""
    for piece in pieces:
        for at in range(0, len(piece), _FEW):
            yield piece[at : at + _FEW]


def _liblzma(pieces: Iterator[bytes], chain: dict[str, int], size: int) -> Iterator[bytes]:
    """What LZMA gives. It is asked for all of *size* but a byte, then for that byte, behind which it may look for a
    mark of its end, and then for what follows, which may be damage: see `_slices`."""
    pieces = _slices(pieces)
    try:
        decoder = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=[chain])
        for piece in pieces:
            while True:
                plain = decoder.decompress(piece, min(_OUT, max(1, size - 1)) if size else _OUT)
                size, piece = max(0, size - len(plain)), b""
                yield plain
                if decoder.eof or decoder.needs_input:
                    break
            if decoder.eof:
                _refuse_rest(decoder.unused_data, pieces)
    except (lzma.LZMAError, ValueError, EOFError, MemoryError):
        if chain["dict_size"] == _MEMORY:
            text = f"damaged, or packed with a dictionary of more than {_MEMORY >> 20} MiB, which is not kept"
            raise Broken("nested.damaged", text) from None
        raise Broken(*_DAMAGED) from None


def _branches(kind: int) -> Callable[[Iterator[bytes], bytes, int, Room], Iterator[bytes]]:
    def run(pieces: Iterator[bytes], _properties: bytes, _size: int, _room: Room) -> Iterator[bytes]:
        return _filtered(pieces, {"id": kind})

    return run


def _delta(pieces: Iterator[bytes], properties: bytes, _size: int, _room: Room) -> Iterator[bytes]:
    return _filtered(pieces, {"id": lzma.FILTER_DELTA, "dist": 1 + (properties[0] if properties else 0)})


def _filtered(pieces: Iterator[bytes], chain: dict[str, int]) -> Iterator[bytes]:
    """A filter by itself, for which liblzma has no decoder: behind LZMA2 whose chunks hold what they give. The filter
    keeps a few bytes until it is told that no more follow, which a stream of LZMA without an end does not tell."""
    control = 1  # a chunk that is not packed, and the dictionary is new; 2: and it is not
    try:
        around = {"id": lzma.FILTER_LZMA2, "dict_size": _STEP}
        decoder = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=[chain, around])
        for piece in pieces:
            for at in range(0, len(piece), _STEP):
                part = piece[at : at + _STEP]
                yield decoder.decompress(bytes([control]) + (len(part) - 1).to_bytes(2, "big") + part)
                control = 2
        yield decoder.decompress(b"\0")
    except (lzma.LZMAError, ValueError, EOFError, MemoryError):
        raise Broken(*_DAMAGED) from None


def _deflate(pieces: Iterator[bytes], _properties: bytes, _size: int, _room: Room) -> Iterator[bytes]:
    decoder, pieces = zlib.decompressobj(-zlib.MAX_WBITS), _slices(pieces)
    try:
        for piece in pieces:
            yield decoder.decompress(piece, _OUT)
            while decoder.unconsumed_tail and not decoder.eof:
                yield decoder.decompress(decoder.unconsumed_tail, _OUT)
            if decoder.eof:
                _refuse_rest(decoder.unused_data, pieces)
                return
        yield decoder.flush()
    except zlib.error:
        raise Broken(*_DAMAGED) from None


def _bzip2(pieces: Iterator[bytes], _properties: bytes, _size: int, _room: Room) -> Iterator[bytes]:
    decoder = bz2.BZ2Decompressor()
    try:
        for piece in pieces:
            while piece:  # streams may follow each other
                if decoder.eof:
                    decoder = bz2.BZ2Decompressor()
                yield decoder.decompress(piece, _OUT)
                while not decoder.eof and not decoder.needs_input:
                    yield decoder.decompress(b"", _OUT)
                piece = decoder.unused_data
    except (OSError, ValueError, EOFError):
        raise Broken(*_DAMAGED) from None


def _whole(kind: str) -> Callable[[Iterator[bytes], bytes, int, Room], Iterator[bytes]]:
    """A coder whose frames are decoded as those of a file are."""

    def run(pieces: Iterator[bytes], _properties: bytes, _size: int, room: Room) -> Iterator[bytes]:
        packed, plain = Buffer(room), Buffer(room)
        try:
            for piece in pieces:
                packed.write(piece)
            fault, _ = fill_from(plain, packed.view(), kind)
            yield from _pieces(plain.view())
            if fault:
                raise Broken(*(fault if fault[0] != "nested.damaged" else _DAMAGED))
        finally:
            packed.close()
            plain.close()

    return run


_UNDO: dict[str, Callable[[Iterator[bytes], bytes, int, Room], Iterator[bytes]]] = {
    "lzma": _lzma,
    "lzma2": _lzma2,
    "delta": _delta,
    "deflate": _deflate,
    "bzip2": _bzip2,
    "zstd": _whole("zstd"),
    "lz4": _whole("lz4"),
    **{name: _branches(kind) for name, kind in _BRANCHES.items()},
}
