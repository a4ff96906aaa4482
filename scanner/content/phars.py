"""Archives of PHP programs (phar): a program that begins them, what they hold, and the files one after the other.

Source: PHP manual, "Phar File Format" (manifest, entries, flags); phar.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scanner.content.buffer import Buffer
from scanner.content.streams import fill_from
from scanner.content.words import Content, Fault, Room, Stop
from scanner.layer.compression import crc32
from scanner.limits import MIB

_HALT = b"__HALT_COMPILER();"
_CLOSED = re.compile(rb"[ \n]\?>\r?\n?")  # what may stand behind that; without it nothing but the manifest does
_BEGINNINGS, _END, _NAME = (b"<?php", b"<?=", b"#!"), b"GBMB", ".phar"
_FIRST = frozenset(each[0] for each in _BEGINNINGS)
_LONGEST = 4 * MIB  # of a program in front of an archive
_HEAD, _FIELDS = 14, 24  # bytes of a manifest in front of the alias, of an entry behind its name
_METHODS = {0: "", 0x1000: "deflate", 0x2000: "bzip2"}
_PACKED = 0xF000  # of an entry's flags, which also are its mode
_DAMAGED = "nested.damaged"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file as the manifest tells of it."""

    name: str
    size: int
    packed: int
    crc: int
    flags: int


@dataclass(frozen=True, slots=True)
class _Reader:
    """Numbers and texts of a manifest. Raises IndexError past its end."""

    data: memoryview

    def number(self, at: int) -> int:
        if at + 4 > len(self.data):
            raise IndexError
        return int.from_bytes(self.data[at : at + 4], "little")

    def text(self, at: int) -> tuple[bytes, int]:
        """Bytes behind their length, and where they end."""
        end = at + 4 + self.number(at)
        if end > len(self.data):
            raise IndexError
        return bytes(self.data[at + 4 : end]), end


def may_be_phar(content: Content) -> bool:
    """Whether it ends as an archive does, has the name of one or begins as a program: a search is worth it then. What
    begins an archive may be anything."""
    data = content.data
    if data[0] in _FIRST and bytes(data[:5]).lower().startswith(_BEGINNINGS):
        return True
    return data[-4:] == _END or _NAME in content.name


def find_phar(content: Content, room: Room) -> Iterator[Content | Fault] | None:
    """Everything in an archive, None if it is none: what ends a program may be followed by anything, or stand in a
    text. As PHP has it, the first such end counts."""
    data = content.data
    at = bytes(data[:_LONGEST]).find(_HALT)
    if at < 0:
        if len(data) <= _LONGEST or data[-4:] != _END:
            return None
        text = f"the program in front of the archive is longer than {_LONGEST} bytes"
        return iter([Fault("nested.unknown", content.inside, len(data), text)])
    at += len(_HALT)
    if closed := _CLOSED.match(data, at):
        at = closed.end()
    size, count = (int.from_bytes(data[at + lead : at + lead + 4], "little") for lead in (0, 4))
    if 0 < count <= size // _FIELDS and size >= _HEAD and at + _HEAD <= len(data) and data[at + 8] >> 4 == 1:
        return _open(content, at, room)
    return None


def _open(content: Content, start: int, room: Room) -> Iterator[Content | Fault]:
    """The files, those that are packed and those that lie there as they are."""
    data = content.data
    at = start + 4 + int.from_bytes(data[start : start + 4], "little")
    try:
        for entry in _entries(data[start + 4 : at], room):
            yield from _opened(content, entry, at, room)
            at += entry.packed
    except IndexError:
        yield Fault(_DAMAGED, content.inside, len(data) - start, "the manifest of the archive is damaged or cut off")
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(data), stop.what)


def _entries(manifest: memoryview, room: Room) -> Iterator[_Entry]:
    """What the manifest tells. Raises IndexError, Stop."""
    read = _Reader(manifest)
    count = read.number(0)
    _, at = read.text(_HEAD - 4)  # the alias
    _, at = read.text(at)  # what the author says of it
    for _ in range(count):
        room.entry()
        name, at = read.text(at)
        size, _, packed, crc, flags = (read.number(at + lead) for lead in range(0, 20, 4))
        _, at = read.text(at + 20)
        yield _Entry(name.decode("utf-8", "surrogateescape"), size, packed, crc, flags)


def _opened(content: Content, entry: _Entry, start: int, room: Room) -> Iterator[Content | Fault]:
    data, inside = content.data, (*content.inside, entry.name)
    end, kind = min(len(data), start + entry.packed), _METHODS.get(entry.flags & _PACKED)
    if start + entry.packed > len(data):
        yield Fault(_DAMAGED, inside, entry.packed, "the archive ends within the file")
    if kind is None:
        yield Fault("nested.unknown", inside, entry.packed, "packed in a way that is not understood")
    elif not kind and end > start:
        yield content.part(start, end, entry.name)
    elif end > start:
        buffer = Buffer(room)
        try:
            fault, _ = fill_from(buffer, data[start:end], kind)
            plain = buffer.view()
            if buffer.size:
                yield content.made(plain, start, end, entry.name, (kind,))
            if fault is None and (buffer.size != entry.size or crc32(plain) != entry.crc):
                fault = _DAMAGED, "the file does not have the checksum that the archive tells"
            if fault:
                yield Fault(fault[0], inside, entry.packed, fault[1])
        finally:
            buffer.close()
