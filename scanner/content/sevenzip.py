"""7z archives: every file of every block, and the header, which may be packed itself.

Sources: 7zFormat.txt of the LZMA SDK, and those of `sevenheader` and `sevencoders`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scanner.content.buffer import Buffer
from scanner.content.sevencoders import is_stored, unpack
from scanner.content.sevenheader import Folder, Header, Streams, has_bit, read_header
from scanner.content.words import Broken, Content, Ended, Fault, Room, Stop

MAGIC = b"7z\xbc\xaf\x27\x1c"
_SIGNATURE = 32
_FLUSHED = 64  # plain bytes: eight bits, of which a sure zero takes a fiftieth at least
_NAME = 4096  # letters of the longest name that is told
_DAMAGED = "nested.damaged"


@dataclass(frozen=True, slots=True)
class _Block:
    """A folder of an archive that begins at *at* of a content.

    Attributes:
        spans: where its packed streams lie in that content.
        parts: size and CRC of each of its files.
        names: theirs, '' where none is kept.
    """

    folder: Folder
    spans: Sequence[tuple[int, int]]
    parts: Sequence[tuple[int, int | None]]
    names: Sequence[str]

    @property
    def span(self) -> tuple[int, int]:
        """From the first to the last byte of what is packed."""
        if not self.spans:
            return 0, 0
        return min(start for start, _ in self.spans), max(end for _, end in self.spans)


def is_sound(head: bytes) -> bool:
    """Whether the first 32 bytes are a signature header whose checksum is right."""
    right = zlib.crc32(head[12:_SIGNATURE]).to_bytes(4, "little") == head[8:12]
    return len(head) >= _SIGNATURE and head[:6] == MAGIC and head[6] == 0 and right


def open_seven(content: Content, at: int, room: Room) -> Iterator[Content | Fault]:
    """Everything in the archive that begins at *at*."""
    data = content.data
    head = bytes(data[at : at + _SIGNATURE])
    start, size = (int.from_bytes(head[place : place + 8], "little") for place in (12, 20))
    start += at + _SIGNATURE
    end = start + size
    if not is_sound(head):
        yield Fault(_DAMAGED, content.inside, len(data) - at, "the first header of the 7z archive is damaged")
    if len(head) < _SIGNATURE or end > len(data):
        if size:
            yield Fault(_DAMAGED, content.inside, len(data) - at, "the 7z archive ends before its header")
        return
    if not size:
        return
    if zlib.crc32(data[start:end]).to_bytes(4, "little") != head[28:32]:
        yield Fault(_DAMAGED, content.inside, size, "the checksum of the header of the 7z archive is wrong")
    try:
        yield from _headers(content, room, at, start, end)
    except Ended as ended:
        yield Fault(ended.reason, content.inside, len(data) - at, ended.what)


def _headers(content: Content, room: Room, at: int, start: int, end: int) -> Iterator[Content | Fault]:
    """The header in data[start:end], and those that are packed in each other, as deep as archives may be nested; then
    what the innermost tells of. Raises Broken or Stop."""
    entries = room.budget.limits.nested_entries
    held: Buffer | None = None
    packed: tuple[tuple[str, ...], tuple[int, int]] = (), (start, end)
    try:
        raw = content.data[start:end]
        for _ in range(room.budget.limits.nested_depth):
            header = read_header(raw, entries)
            if not header.encoded:
                break
            # the buffer before this one holds the bytes that this header was read from: nothing refers to them
            buffer = Buffer(room)
            held, before = buffer, held
            if before is not None:
                before.close()
            steps, span, faults = _unpacked_header(content, header.streams[0], room, at, buffer)
            for reason, text in faults:
                yield Fault(reason, content.inside, span[1] - span[0], text)
            raw, packed = buffer.view(), ((*packed[0], *steps), span)
            yield content.made(raw, *span, "", packed[0])._replace(closed=True)
        else:
            raise Broken("nested.depth", "the headers of the 7z archive are packed in each other too deeply")
        names = header.names.decode("utf-16-le", "replace")
        if names:
            room.take(len(names))
            lines = names.replace("\0", "\n").encode("utf-8", "replace")
            yield content.made(lines, *packed[1], "", (*packed[0], "utf-16-le"))._replace(closed=True)
        if header.fault is not None:
            yield Fault(header.fault.reason, content.inside, len(raw), header.fault.what)
    finally:
        if held is not None:
            held.close()
    for block in _blocks(header, names.split("\0", entries), len(content.data), at + _SIGNATURE):
        room.entry()
        yield from _open_block(content, block, room)


def _unpacked_header(
    content: Content, streams: Streams, room: Room, at: int, buffer: Buffer
) -> tuple[tuple[str, ...], tuple[int, int], list[tuple[str, str]]]:
    """Unpack the header that *streams* tell of: what was undone, where it is packed, and what is wrong with it. Raises
    Broken if nothing comes out."""
    block = next(_blocks(Header(True, (streams,)), (), len(content.data), at + _SIGNATURE), None)
    if block is None or not block.spans:
        raise Broken(_DAMAGED, "the header of the 7z archive is packed nowhere")
    faults: list[tuple[str, str]] = []
    if len(streams.folders) > 1:
        faults.append((_DAMAGED, "the header of the 7z archive is packed in several parts"))
    try:
        unpacking = unpack(block.folder, [content.data[start:end] for start, end in block.spans], room)
        size = block.folder.sizes[block.folder.last]
        for piece in unpacking.pieces:
            buffer.write(piece[: size - buffer.size])
            if buffer.size >= size:
                break
    except Broken as broken:
        encrypted = broken.reason == "nested.encrypted"
        text = "the header of the 7z archive is encrypted" if encrypted else f"the header: {broken.what}"
        if not buffer.size:
            raise Broken(broken.reason, text) from None
        faults.append((broken.reason, text))
    buffer.settle()
    if not faults and block.folder.crc not in (None, zlib.crc32(buffer.view())):
        faults.append((_DAMAGED, "the checksum of the packed header of the 7z archive is wrong"))
    return unpacking.steps, block.span, faults


def _blocks(header: Header, names: Sequence[str], size: int, base: int) -> Iterator[_Block]:
    """The folders, with what of their packed streams lies within a content of *size* bytes."""
    at = 0
    for number, streams in enumerate(header.streams):
        named = number + 1 == len(header.streams)  # streams in front of the main ones are parts of headers
        for folder, parts in zip(streams.folders, streams.parts, strict=False):
            spans = [
                (min(size, base + start), min(size, base + end))
                for start, end in streams.packs[folder.first : folder.first + len(folder.packed)]
            ]
            called: list[str] = []
            for _ in parts if named else ():
                while has_bit(header.empty, at):
                    at += 1
                called.append(names[at][:_NAME] if at < len(names) else "")
                at += 1
            yield _Block(folder, spans, parts, called or [""] * len(parts))


def _open_block(content: Content, block: _Block, room: Room) -> Iterator[Content | Fault]:
    """The files of a block. Raises Stop."""
    start, end = block.span
    inside = (*content.inside, block.names[0]) if len(block.names) == 1 and block.names[0] else content.inside
    try:
        if len(block.spans) < len(block.folder.packed):
            raise Broken(_DAMAGED, "it is packed in a stream that is not there")
        if is_stored(block.folder):
            yield from _stored(content, block, room)
            return
        unpacking = unpack(block.folder, [content.data[low:high] for low, high in block.spans], room)
    except Broken as broken:
        yield Fault(broken.reason, inside, end - start, _of(block, broken.what))
        return
    if unpacking.left:
        text = f"packed by {unpacking.left}, which is not undone; what is no program is searched"
        yield Fault("nested.unknown", inside, end - start, text)
    yield from _files(content, block, unpacking.pieces, unpacking.steps, room, check=not unpacking.left)


def _of(block: _Block, text: str) -> str:
    """What is said of a block of several files, whose names are known and whose contents are not."""
    return text if len(block.parts) == 1 else f"{text} (a block of {len(block.parts)} files)"


def _stored(content: Content, block: _Block, room: Room) -> Iterator[Content | Fault]:
    """Files that lie in the archive as they are. Raises Stop."""
    at, end = block.spans[0]
    for number, ((size, crc), name) in enumerate(zip(block.parts, block.names, strict=True)):
        room.entry()
        room.take(min(size, end - at))  # blocks may overlap
        if size > end - at:
            rest = len(block.parts) - number - 1
            yield Fault(_DAMAGED, _inside(content, name), size - (end - at), _cut(rest))
        elif crc not in (None, zlib.crc32(content.data[at : at + size])):
            yield Fault(_DAMAGED, _inside(content, name), size, "the checksum of the entry is wrong")
        if size and at < end:
            yield content.part(at, min(end, at + size), name)
        if size > end - at:
            return
        at += size


def _inside(content: Content, name: str) -> tuple[str, ...]:
    return (*content.inside, name) if name else content.inside


def _cut(rest: int) -> str:
    text = "the entry is damaged or cut off"
    return f"{text}, and so are {rest} behind it" if rest else text


def _files(
    content: Content, block: _Block, pieces: Iterator[bytes], steps: tuple[str, ...], room: Room, check: bool
) -> Iterator[Content | Fault]:
    """The files that follow each other in what comes out of a block, and what comes out behind the last of them. Raises
    Stop; what came out before is given first."""
    start, end = block.span
    covers = tuple(block.spans)
    source, rest = _Source(pieces), len(block.parts)
    for (size, crc), name in zip(block.parts, block.names, strict=True):
        rest -= 1
        room.entry()
        buffer, checksum = Buffer(room), 0
        ended: Ended | None = None
        try:
            try:
                while buffer.size < size:
                    piece = source.take(size - buffer.size)
                    checksum = zlib.crc32(piece, checksum)
                    buffer.write(piece)
            except Ended as error:
                ended = error
            buffer.settle()
            if buffer.size:
                yield content.made(buffer.view(), start, end, name, steps, covers=covers)
        finally:
            buffer.close()
        if isinstance(ended, Stop):
            raise ended
        if ended is not None:
            text = _cut(rest) if ended.reason == _DAMAGED else ended.what
            yield Fault(ended.reason, _inside(content, name), end - start, text)
            return
        if check and crc not in (None, checksum):
            yield Fault(_DAMAGED, _inside(content, name), size, "the checksum of the entry is wrong")
    yield from _behind(content, block, source, steps, room)


def _behind(
    content: Content, block: _Block, source: _Source, steps: tuple[str, ...], room: Room
) -> Iterator[Content | Fault]:
    """What comes out of a block behind its last file: that is damage. Raises Stop."""
    (start, end), buffer = block.span, Buffer(room)
    try:
        text = ""
        try:
            while piece := source.more():
                buffer.write(piece)
        except Broken as broken:
            text = broken.what
        buffer.settle()
        if not text and _is_flush(buffer, steps):
            return
        if buffer.size:
            yield content.made(buffer.view(), start, end, "", steps, covers=tuple(block.spans))
        text = text or "more comes out of a block of the 7z archive than its files take"
        yield Fault(_DAMAGED, content.inside, end - start, text)
    finally:
        buffer.close()


def _is_flush(buffer: Buffer, steps: tuple[str, ...]) -> bool:
    """Whether that is nothing, or what LZMA reads out of the last bits of its stream, whose end it is not told: a few
    literals of nothing but zero bits, which a filter may make others of."""
    if not buffer.size or "lzma" not in steps:
        return not buffer.size
    return buffer.size <= _FLUSHED and (steps[-1] != "lzma" or not any(bytes(buffer.view())))


class _Source:
    """Pieces that are taken in other sizes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece = pieces, memoryview(b"")

    def take(self, most: int) -> bytes:
        """Up to *most* bytes, one at least. Raises Broken if there are none, or whatever the pieces raise."""
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                raise Broken(_DAMAGED, "the entry is cut off")
            self._piece = memoryview(piece)
        taken, self._piece = bytes(self._piece[:most]), self._piece[most:]
        return taken

    def more(self) -> bytes:
        """What is left of a piece, or the next one that is not empty; empty at the end."""
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._piece = memoryview(piece)
        taken, self._piece = bytes(self._piece), memoryview(b"")
        return taken
