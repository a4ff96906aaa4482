"""Cabinets, in which Windows, its updates and installers keep files: folders of blocks, and the files in them.

Source: Microsoft Cabinet Format and MSZIP Compression and Decompression Data Format ([MS-MCI]).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from scanner.content.buffer import Block, Buffer
from scanner.content.words import Broken, Content, Ended, Fault, Room, Stop
from scanner.layer.compression import salvage
from scanner.limits import KIB

_DAMAGED = "nested.damaged"
_HEADER, _FOLDER, _FILE, _BLOCK = struct.Struct("<16xI6xHHH4x"), struct.Struct("<IHH"), struct.Struct("<IIH4xH"), 8
_PREVIOUS, _NEXT, _RESERVED = 1, 2, 4  # flags of a header
_FROM_PREVIOUS, _TO_NEXT, _BOTH = 0xFFFD, 0xFFFE, 0xFFFF  # in place of a file's folder
_NAME = 1024  # bytes; the format allows 256
_UTF8 = 0x80
_STORED, _MSZIP = 0, 1
_METHODS = {2: "Quantum", 3: "LZX"}
_HISTORY, _LARGEST = 32 * KIB, 64 * KIB


@dataclass(frozen=True, slots=True)
class _File:
    """A file: where it lies in what comes out of its folder."""

    name: str
    start: int
    end: int
    folder: int


@dataclass(frozen=True, slots=True)
class _Folder:
    """Where its first block lies, how many there are, and how they are packed."""

    start: int
    blocks: int
    method: int


@dataclass(slots=True)
class _Plain:
    """What came out of a folder.

    Attributes:
        end: where its last block ends in the content.
        single: where its only block lies, if that is stored as it is.
        damage: what is wrong with it.
    """

    buffer: Buffer
    end: int
    single: int | None = None
    damage: str = ""


def is_sound(head: bytes) -> bool:
    """Whether these first bytes are the header of a cabinet beyond doubt: what is reserved is zero, the version is one
    that there was."""
    reserved = head[4:8] == head[12:16] == head[20:24] == bytes(4)
    return len(head) >= _HEADER.size and head[:4] == b"MSCF" and reserved and head[24:26] in (b"\3\1", b"\2\1", b"\4\1")


def open_cabinet(content: Content, at: int, room: Room) -> Iterator[Content | Fault]:
    """Every file of the cabinet that begins at *at*, and what of its folders is in no file."""
    left = len(content.data) - at
    try:
        folders, files, more, reserved = _read_header(content.data, at, room)
        if more:
            yield Fault("nested.unknown", content.inside, left, "the cabinet goes on in other files")
        if any(file.folder >= len(folders) for file in files):
            yield Fault(_DAMAGED, content.inside, left, "files of the cabinet lie in folders that are not there")
        own: dict[int, list[_File]] = {}
        for file in sorted(files, key=lambda file: file.start):
            own.setdefault(file.folder, []).append(file)
        for number, folder in enumerate(folders):
            yield from _open_folder(content, folder, own.get(number, []), reserved, room)
    except Ended as ended:
        yield Fault(ended.reason, content.inside, left, ended.what)


def _read_header(data: memoryview, at: int, room: Room) -> tuple[list[_Folder], list[_File], bool, int]:
    """Folders and files, whether the cabinet goes on elsewhere, and how many bytes are reserved in each block. Raises
    Broken or Stop."""
    try:
        first, folders, files, flags = _HEADER.unpack_from(data, at)
        place, in_folder, in_block = at + _HEADER.size, 0, 0
        if flags & _RESERVED:
            in_header, in_folder, in_block = struct.unpack_from("<HBB", data, place)
            place += 4 + in_header
        for _ in range(2 * bool(flags & _PREVIOUS) + 2 * bool(flags & _NEXT)):
            place += len(_text(data, place)) + 1
        found = []
        for _ in range(folders):
            start, blocks, kind = _FOLDER.unpack_from(data, place)
            found.append(_Folder(at + start, blocks, kind & 15))
            place += _FOLDER.size + in_folder
        place, named = at + first, []
        for _ in range(files):
            room.entry()
            size, start, folder, attributes = _FILE.unpack_from(data, place)
            name = _text(data, place + _FILE.size)
            place += _FILE.size + len(name) + 1
            folder = {_FROM_PREVIOUS: 0, _BOTH: 0, _TO_NEXT: folders - 1}.get(folder, folder)
            path = name.decode("utf-8" if attributes & _UTF8 else "cp1252", "surrogateescape").replace("\\", "/")
            named.append(_File(path, start, start + size, folder))
    except struct.error:
        raise Broken(_DAMAGED, "the cabinet is cut off in its header") from None
    return found, named, bool(flags & (_PREVIOUS | _NEXT)), in_block


def _text(data: memoryview, at: int) -> bytes:
    """A string that ends with a zero byte. Raises Broken."""
    text, end, _ = bytes(data[at : at + _NAME]).partition(b"\0")
    if not end:
        raise Broken(_DAMAGED, "a name in the cabinet does not end")
    return text


def _open_folder(
    content: Content, folder: _Folder, files: list[_File], reserved: int, room: Room
) -> Iterator[Content | Fault]:
    """The files of a folder. Raises Stop; what came out before is given first."""
    plain, stopped = _Plain(Buffer(room), min(folder.start, len(content.data))), None
    start = plain.end
    if folder.method not in (_STORED, _MSZIP):
        text = f"packed by {_METHODS.get(folder.method, 'an unknown method')} ({len(files)} files of a cabinet)"
        inside = (*content.inside, files[0].name) if len(files) == 1 else content.inside
        yield Fault("nested.unknown", inside, None, f"{text}, which is not understood")
        return
    try:
        try:
            _unpack(content.data, folder, reserved, plain)
        except Stop as stop:
            stopped = stop
        plain.buffer.settle()
        yield from _files(content, files, plain, start, "mszip" if folder.method == _MSZIP else "cabinet", room)
    finally:
        plain.buffer.close()
    if stopped is not None:
        raise stopped
    if plain.damage:
        yield Fault(_DAMAGED, content.inside, plain.end - start, plain.damage)


def _files(
    content: Content, files: list[_File], plain: _Plain, start: int, undone: str, room: Room
) -> Iterator[Content]:
    """The files of a folder that was unpacked, and all of it where they are not just what it holds. Raises Stop."""
    view, reached, fits = plain.buffer.view(), 0, True
    for file in files:
        room.take(0 if file.start == reached else len(view[file.start : file.end]))  # files may overlap
        fits, reached = fits and file.start == reached, file.end
        if not view[file.start : file.end]:
            continue
        if plain.single is not None:
            yield content.part(plain.single + file.start, min(plain.end, plain.single + file.end), file.name)
        else:
            yield content.made(view[file.start : file.end], start, plain.end, file.name, (undone,))
    if not fits or reached != len(view):
        plain.damage = plain.damage or "the files of a cabinet are not what its blocks hold"
        yield content.made(view, start, plain.end, "", (undone,))


def _unpack(data: memoryview, folder: _Folder, reserved: int, plain: _Plain) -> None:
    """All blocks of a folder, one after the other. A damaged one is as long as it says, so that those behind it are
    read. Raises Stop, as the buffer does."""
    history, at = b"", folder.start
    for _ in range(folder.blocks):
        head = bytes(data[at : at + _BLOCK])
        begin = at + _BLOCK + reserved
        packed, size = int.from_bytes(head[4:6], "little"), int.from_bytes(head[6:8], "little")
        raw = bytes(data[begin : begin + packed])
        if len(head) < _BLOCK or len(raw) < packed:
            plain.damage = "a block of the cabinet is cut off"
        told = int.from_bytes(head[:4], "little")
        if told and told != _checksum(bytes(data[at + 4 : begin]), _checksum(raw)):
            plain.damage = plain.damage or "the checksum of a block of the cabinet is wrong"
        piece = raw if folder.method == _STORED else _inflated(raw, history, plain)
        if len(piece) != size:
            plain.damage = plain.damage or "a block of the cabinet is damaged, or goes on in another file"
            piece = piece[:size] + bytes(max(0, size - len(piece)))
        plain.buffer.write(piece)
        history = (history + piece)[-_HISTORY:]
        at = plain.end = min(len(data), begin + packed)
        if at == len(data):
            break
    if folder.blocks == 1 and folder.method == _STORED and len(piece) == packed:
        plain.single = begin


def _inflated(raw: bytes, history: bytes, plain: _Plain) -> bytes:
    """What a block of MSZIP holds, up to damage."""
    out, decoder = Block(_LARGEST), zlib.decompressobj(-zlib.MAX_WBITS, zdict=history)
    try:
        out.write(decoder.decompress(raw[2:], _LARGEST))
        if raw[:2] == b"CK" and decoder.eof:
            return bytes(out.data)
    except zlib.error:
        with suppress(Broken):
            salvage(memoryview(raw), 2, -zlib.MAX_WBITS, out, 0, history)
    plain.damage = plain.damage or "a block of the cabinet is damaged"
    return bytes(out.data)


def _checksum(data: bytes, seed: int = 0) -> int:
    """The words of a block, each of four bytes, added without carry; of the last ones the highest byte comes first."""
    whole = len(data) & ~3
    tail = int.from_bytes(data[whole:], "big")
    value, words = int.from_bytes(data[:whole], "little"), whole // 4
    while words > 1:
        half = (words + 1) // 2
        value = (value & ((1 << 32 * half) - 1)) ^ (value >> 32 * half)
        words = half
    return value ^ tail ^ seed
