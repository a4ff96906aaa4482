"""What lies inside one content: which format it has by its own bytes, and everything that format holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scanner.content import archives, documents, repositories, zips
from scanner.content.encoded import Clue, decode_runs, open_wide, wide_text
from scanner.content.streams import open_stream, stream_kind
from scanner.content.words import Content, Fault, Room

_HEAD = 128
#: first bytes that may be the start of something with an inside
_FIRST = frozenset(b"\x1f\x28\x50\x21\x42\x53\x25\x30\x37\x68\x73\x52\x5d\x78\x04\xd0\xed\xfd\xff\xfe\0")
#: of skippable frames of zstd, and of zlib streams with a window smaller than git's own
_FIRST |= frozenset(range(0x50, 0x60)) | frozenset(range(0x08, 0x78, 0x10))
#: where the checksum of a tar header stands, and how it may begin
_TAR_SUM, _SUM_FIRST = 148, b" 01234567\0\x80"
#: formats that are not understood, by magic: 7z, RAR, LZ4 frame, squashfs, cabinet
_UNKNOWN = (
    (b"7z\xbc\xaf\x27\x1c\0", "7z"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"hsqs", "squashfs"),
    (b"MSCF\0\0\0\0", "cabinet"),
)
_OLE, _ENCRYPTED_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "EncryptedPackage".encode("utf-16-le")
_OLE_SEARCHED = 1 << 22


def unfold(
    content: Content, clues: Sequence[Clue], room: Room, first: bool = True
) -> Iterator[Content | Fault]:
    """Everything that is directly inside *content*; what is inside that is for the next call.

    Never raises because of what the bytes are; a content that is given stays valid until the next one is asked for.

    Args:
        clues: where the first pass saw encoded text, as `signals` tells it.
        room: what may still be unpacked.
        first: False if the content was unfolded before and only the clues are new: then no format is looked for but
            zip, which is told by the end.
    """
    opened = None if content.closed else _opened(content, clues, room, first)
    if opened is None and not clues:
        return
    if content.depth >= room.budget.limits.nested_depth:
        text = f"nested deeper than {room.budget.limits.nested_depth}"
        yield Fault("nested.depth", content.inside, len(content.data), text)
        return
    if opened is not None:
        yield from opened
    yield from decode_runs(content, clues, room)


def is_covered(content: Content) -> bool:
    """Whether what `unfold` gives covers all its bytes as they are, so that it needs no search of its own."""
    return not content.verbatim and _is_tar(content.data)


def _opened(
    content: Content, clues: Sequence[Clue], room: Room, first: bool
) -> Iterator[Content | Fault] | None:
    """The opener of the content's format, None if nothing can be inside."""
    if len(content.data) < 8:
        return None
    if opened := _by_start(content, room):
        return opened if first else None
    if any(clue.kind == "zip" for clue in clues) and (end := zips.find_end(content.data)) is not None:
        return zips.open_zip(content, room, end)
    return None


def _by_start(content: Content, room: Room) -> Iterator[Content | Fault] | None:
    """The opener of a format that the first bytes tell."""
    data = content.data
    if data[0] in _FIRST:
        head = bytes(data[:_HEAD])
        if head[0] & 0x8F == 8 and repositories.is_loose(head):
            return repositories.open_loose(content, room)
        if kind := stream_kind(head):
            return open_stream(content, kind, room)
        if encoding := wide_text(data):
            return open_wide(content, encoding, room)
        if opener := _by_magic(content, head, room):
            return opener
    if _is_tar(data):
        return archives.open_tar(content, room)
    return None


def _by_magic(content: Content, head: bytes, room: Room) -> Iterator[Content | Fault] | None:
    data = content.data
    if head[:4] == b"PK\3\4" and zips.is_local(data):
        return zips.open_zip(content, room, zips.find_end(data))
    if head[:8] == b"!<arch>\n":
        return archives.open_ar(content, room)
    if head[:4] == b"\xed\xab\xee\xdb" and head[4:5] in b"\3\4":
        return archives.open_rpm(content, room)
    if head[:5] == b"07070" and archives.is_cpio(head):
        return archives.open_cpio(content, room)
    if head[:16] == b"SQLite format 3\0":
        return documents.open_sqlite(content, room)
    if head[:5] == b"%PDF-":
        return documents.open_pdf(content, room)
    if repositories.is_pack(head):
        return repositories.open_pack(content, room)
    return _closed(content, head)


def _closed(content: Content, head: bytes) -> Iterator[Fault] | None:
    """What has an inside that cannot be opened."""
    for magic, name in _UNKNOWN:
        if head.startswith(magic) and (name != "squashfs" or head[28:30] == b"\4\0"):
            return iter([Fault("nested.unknown", content.inside, len(content.data), f"{name} is not understood")])
    if head[:2] == b"\x1f\x9d" and not head[2] & 0x60 and 9 <= head[2] & 0x1F <= 16:
        return iter([Fault("nested.unknown", content.inside, len(content.data), "compress is not understood")])
    if head[:4] == b"\x04\x22\x4d\x18" and head[4] >> 6 == 1 and not head[4] & 2 and not head[5] & 0x8F:
        return iter([Fault("nested.unknown", content.inside, len(content.data), "LZ4 is not understood")])
    if head[:8] == _OLE and _ENCRYPTED_OFFICE in bytes(content.data[:_OLE_SEARCHED]):
        return iter([Fault("nested.encrypted", content.inside, len(content.data), "the document is encrypted")])
    return None


def _is_tar(data: memoryview) -> bool:
    """By the checksum: the oldest form of tar has no magic, and is read by all that read the others."""
    return len(data) >= 512 and data[_TAR_SUM] in _SUM_FIRST and archives.is_tar(data)
