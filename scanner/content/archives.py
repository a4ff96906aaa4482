"""Archives that are entries one after the other: tar, ar (and so deb), cpio, rpm.

Sources: the formats of `layer.walk` for tar; ar(5), deb(5); cpio(5); the RPM file format (lead, signature, header,
payload).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from scanner.content.buffer import Buffer, occupied
from scanner.content.streams import fill_from, stream_kind
from scanner.content.words import Content, Fault, Room, Stop
from scanner.layer.tree import clean
from scanner.layer.walk import Walk, checksum_holds, number

_TAR_HEADER = 512
_AR, _AR_HEADER = b"!<arch>\n", 60
_OLD_CPIO = {b"\xc7\x71": "<13H", b"\x71\xc7": ">13H"}
_FILE_KINDS = (1, 2, 4, 6, 8, 10, 12)  # of stat(2): pipe, device, directory, device, file, link, socket
_RPM_LEAD, _RPM_HEADER = 96, b"\x8e\xad\xe8\x01"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def is_tar(data: memoryview) -> bool:
    """Whether a tar header is at the start, its checksum right and not 0, which is where nothing is."""
    header = bytes(data[:_TAR_HEADER])
    return len(header) == _TAR_HEADER and bool(number(header[148:156])) and checksum_holds(header)


def open_tar(content: Content, room: Room) -> Iterator[Content | Fault]:
    """The members of a tar, and what lies between them (headers, padding, what follows) under the archive's name."""
    walk = Walk(content.data, room.budget.limits, room.deadline)
    try:
        for batch in walk.batches():
            for piece in batch:
                if piece.header < piece.data:
                    yield content.part(piece.header, piece.data, "", closed=True)
                if piece.start != piece.data or piece.start == piece.end:
                    continue  # a further window of a member that is taken whole, or no data
                room.entry()
                name, start, end = "", piece.data, piece.data + piece.size
                if piece.member is not None:
                    name = _text(clean(piece.member))
                elif end - start == len(content.data):  # it has no members: no archive lies in itself
                    yield content.part(0, _TAR_HEADER, "", closed=True)
                    start = _TAR_HEADER
                yield content.part(start, end, name)
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(content.data), stop.what)
    for stopped in walk.ledger.stops:
        if stopped.reason == "tar.unknown-type":  # no engine makes files of it here; its bytes are an entry like others
            continue
        inside = content.inside if stopped.member is None else (*content.inside, _text(clean(stopped.member)))
        reason = stopped.reason if stopped.reason == "limit.time" else "nested.damaged"
        yield Fault(reason, inside, stopped.length, f"{stopped.detail} ({stopped.reason})")


def open_ar(content: Content, room: Room) -> Iterator[Content | Fault]:
    """The members of an ar archive. They lie in it as they are, so they need no search of their own."""
    data, at, names = content.data, len(_AR), b""
    try:
        for name, start, end in _ar_entries(data):
            at = end + end % 2
            if name == b"//":
                names = bytes(data[start:end])
            elif name not in (b"/", b"/SYM64/") and end > start:
                lead, text = _ar_name(name, names, data[start:end])
                room.entry()
                yield content.part(start + lead, min(end, len(data)), text, searched=True)
            if end > len(data):
                yield Fault("nested.damaged", content.inside, end - len(data), "the ar archive ends within a member")
        if bytes(data[at : at + _AR_HEADER]).strip(b"\0\n"):
            yield Fault("nested.damaged", content.inside, len(data) - at, "these bytes are no ar header")
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(data), stop.what)


def ar_members(data: memoryview) -> Iterator[tuple[int, int]]:
    """Where the contents of the members of an ar archive start and end."""
    for name, start, end in _ar_entries(data):
        yield start + _ar_name(name, b"", data[start:end])[0], min(end, len(data))


def _ar_entries(data: memoryview) -> Iterator[tuple[bytes, int, int]]:
    """The name of each member as its header has it, and where its data starts and ends; to where no header is."""
    at = len(_AR)
    while (header := bytes(data[at : at + _AR_HEADER]))[58:] == b"`\n" and header[48:58].strip().isdigit():
        start = at + _AR_HEADER
        end = start + int(header[48:58])
        yield header[:16].rstrip(), start, end
        at = end + end % 2


def _ar_name(name: bytes, names: bytes, data: memoryview) -> tuple[int, str]:
    """A member's name, and how many bytes of its data the name takes (BSD)."""
    if name.startswith(b"#1/") and name[3:].isdigit():
        length = int(name[3:])
        return length, _text(bytes(data[:length]).rstrip(b"\0"))
    if name.startswith(b"/") and name[1:].isdigit() and names:  # GNU: an offset into the member `//`
        return 0, _text(names[int(name[1:]) :].partition(b"\n")[0].rstrip(b"/"))
    return 0, _text(name.rstrip(b"/"))


def is_cpio(head: bytes) -> bool:
    """Whether the first 110 bytes are a cpio header in one of the two ASCII forms, or in the binary one."""
    if head[:6] in (b"070701", b"070702"):
        return len(head) >= 110 and _hex(head[6:110]) is not None
    if head[:2] in _OLD_CPIO:
        return _binary_header(head) is not None
    return head[:6] == b"070707" and len(head) >= 76 and head[6:76].isdigit()


def _binary_header(head: bytes) -> tuple[int, int, int, int] | None:
    """The same as `_cpio_header` for the oldest form: 13 numbers of 16 bits in the order of the machine, where long
    ones have their upper half first. Two bytes of magic are few, so all that can be wrong must be right."""
    numbers = struct.unpack(_OLD_CPIO[head[:2]], head[:26]) if len(head) >= 26 else ()
    if not numbers:
        return None
    mode, links, length, size = numbers[3], numbers[6], numbers[10], numbers[11] << 16 | numbers[12]
    name = head[26 : 26 + length]
    if mode >> 12 not in _FILE_KINDS and not (mode == 0 and name[:10] == b"TRAILER!!!"):
        return None
    if not 2 <= length <= 1024 or b"\0" in name[:-1] or (len(name) == length and name[-1:] != b"\0") or links > 4096:
        return None
    return 26, length, size, 2


def _hex(digits: bytes) -> int | None:
    try:
        return int(digits, 16) if digits.isalnum() else None
    except ValueError:
        return None


def open_cpio(content: Content, room: Room) -> Iterator[Content | Fault]:
    """The members of a cpio archive, and what follows its end: an initramfs is several archives in a row."""
    data, at = content.data, 0
    try:
        while True:
            header = _cpio_header(bytes(data[at : at + 110]))
            if header is None:
                yield Fault("nested.damaged", content.inside, len(data) - at, "these bytes are no cpio header")
                return
            lead, names, size, align = header
            start = at + lead + names
            name = bytes(data[at + lead : start]).rstrip(b"\0")
            start += -start % align
            end = start + size
            at = end + -end % align
            if end > len(data):
                yield Fault("nested.damaged", content.inside, end - len(data), "the cpio archive ends within a member")
            if name == b"TRAILER!!!" or end > len(data):
                break
            if size:
                room.entry()
                yield content.part(start, end, _text(clean(name)))
        rest = occupied(data, at)
        if rest < len(data):
            yield content.part(rest, len(data), "")
    except Stop as stop:
        yield Fault(stop.reason, content.inside, len(data), stop.what)


def _cpio_header(head: bytes) -> tuple[int, int, int, int] | None:
    """Size of the header, of the name and of the data, and what they are aligned to."""
    if not is_cpio(head):
        return None
    if head[:2] in _OLD_CPIO:
        return _binary_header(head)
    if head[:6] == b"070707":
        if any(byte > 0x37 for byte in head[59:76]):
            return None
        return 76, int(head[59:65], 8), int(head[65:76], 8), 1
    return 110, int(head[94:102], 16), int(head[54:62], 16), 4


def open_rpm(content: Content, room: Room) -> Iterator[Content | Fault]:
    """The payload of an rpm package, behind its lead, its signature (padded to 8 bytes) and its header."""
    data, at = content.data, _RPM_LEAD
    for padded in (8, 1):
        if bytes(data[at : at + 4]) != _RPM_HEADER:
            yield Fault("nested.damaged", content.inside, len(data) - at, "the rpm package has no sound header")
            return
        count, size = (int.from_bytes(data[at + place : at + place + 4], "big") for place in (8, 12))
        at += 16 + 16 * count + size
        at += -at % padded
    if at >= len(data):
        yield Fault("nested.damaged", content.inside, None, "the rpm package ends within its header")
        return
    kind = stream_kind(bytes(data[at : at + 24]))
    if not kind:
        yield content.part(at, len(data), "")
        if not is_cpio(bytes(data[at : at + 110])):
            yield Fault("nested.unknown", content.inside, len(data) - at, "the rpm package's payload is not understood")
        return
    buffer = Buffer(room)
    try:
        fault, used = fill_from(buffer, data[at:], kind)
        if buffer.size:
            end = len(data) if fault else at + used
            yield content.made(buffer.view(), at, len(data), "", (kind,), covers=((at, end),))
        if fault:
            yield Fault(fault[0], content.inside, len(data) - at, fault[1])
    finally:
        buffer.close()
