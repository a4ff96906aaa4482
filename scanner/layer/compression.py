"""Compressed streams, decoded piece by piece into a sink, keeping whatever a damaged stream still gave.

Compression is told by its magic alone. All members of a gzip file, all frames of a zstd file and all streams of
bzip2 and xz files are read, since the engine reads them all too. Stored bytes that carry no plain bytes (gzip header
fields, skippable zstd frames, whatever follows the stream) are named as regions, to be scanned as they are.

Sources: RFC 1952 (gzip), RFC 8878 (zstd).
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from scanner.errors import LeakscanError
from scanner.limits import KIB, MIB

if TYPE_CHECKING:
    from zstandard import ZstdDecompressor

_OUT = 4 * MIB  # plain bytes asked for at once: bounds what a bomb can make of one input chunk
_XZ_MEMORY = 128 * MIB  # xz -9 needs 65 MiB
_ZSTD_WINDOW = 128 * MIB
_REGIONS = 1000
_LITTLE = 64  # bytes that are decoded at once up to damage
_UNBOUNDED = 512  # the same in front of it, of a decoder that gives all at once: 128 blocks of zstd, 16 MiB

_MAGICS = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x5d\0\0", "lzma"),
)


def sniff(head: bytes) -> str:
    """The compression that the first bytes (6 suffice) tell: gzip, zstd, bzip2, xz, lz4, lzma, or '' for none known."""
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    return "zstd" if is_skippable(head) else ""


def is_skippable(head: bytes) -> bool:
    """Whether these bytes, 4 or more, begin a skippable frame (RFC 8878 section 3.1.2), which LZ4 has like zstd."""
    return head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5


@dataclass(frozen=True, slots=True)
class Region:
    """Stored bytes [offset, offset + length) of a blob that the plain bytes do not contain.

    *trailing* if they follow the compressed stream, where no tool expects any; *mixed* if streams lie between, whose
    plain bytes are looked at by themselves.
    """

    offset: int
    length: int
    trailing: bool = False
    mixed: bool = False


class PlainSink(Protocol):
    """Takes plain bytes as they come out of a stream; it may raise to end the decoding."""

    @property
    def size(self) -> int: ...

    def write(self, data: bytes, used: int, /) -> None: ...


class Stop(LeakscanError):
    """Expanding ended early; carries the gap's reason and how far the stored bytes were used."""

    def __init__(self, reason: str, used: int, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.used = used


def decode(
    view: memoryview, compression: str, sink: PlainSink, between: list[Region] | None = None
) -> tuple[str, int]:
    """Decode compressed bytes that `sniff` names into *sink*, without digests: for what lies inside files.

    *between* gathers header fields and frames that hold no stream.

    Returns the reason why decoding ended early (compression.damaged, compression.truncated), '' if it did not, and
    where the last stream ends. Whatever *sink* raises passes through.
    """
    outside: list[Region] = [] if between is None else between
    try:
        EXPANDERS[compression](view, sink, outside)
    except Stop as stop:
        return stop.reason, stop.used
    rest = next((region.offset for region in outside if region.offset + region.length == len(view)), len(view))
    return "", rest


class _Decoder(Protocol):
    """The interface that bz2, lzma and isal's igzip share."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _member(
    view: memoryview, sink: PlainSink, start: int, new: Callable[[], _Decoder], errors: tuple[type[Exception], ...]
) -> int:
    """Decode one member that starts at *start*; returns where it ends. The input grows as the member goes on, so that
    a million tiny members do not copy a large buffer each."""
    decoder, at, step, before = new(), start, 512, sink.size
    while not decoder.eof:
        data = b""
        if decoder.needs_input:
            data = bytes(view[at : at + step])
            if not data:
                raise Stop("compression.truncated", at, "the compressed stream is cut off")
            at += len(data)
            step = min(step * 2, MIB)
        try:
            plain = decoder.decompress(data, _OUT)
        except errors:
            if view[start] == 0x1F:
                # without the header and the checksum, about which decoders disagree
                body = start + 10 + next((region.length for region in _gzip_fields(view, start)), 0)
                salvage(view, body, -zlib.MAX_WBITS, sink, sink.size - before)
            else:
                again(view, start, at, new, errors, sink, sink.size - before)
            raise Stop("compression.damaged", at, "the compressed stream is damaged") from None
        sink.write(plain, at)
    return at - len(decoder.unused_data)


def salvage(
    view: memoryview, start: int, wbits: int, sink: PlainSink, written: int, history: bytes = b""
) -> int:
    """Decode a damaged deflate stream again, up to the very damage, since a decoder that meets it gives nothing of what
    it was called for. The first *written* plain bytes are in *sink* already. Returns where the damage is."""
    decoder, at, seen, step, most = zlib.decompressobj(wbits, zdict=history), start, 0, 4 * KIB, MIB
    while step and at < len(view) and not decoder.eof:
        attempt, chunk = decoder.copy(), view[at : at + step]
        try:
            plain = attempt.decompress(chunk, _OUT)
        except zlib.error:
            step = most = min(step, len(chunk)) // 2
            continue
        step = min(step * 2, most)
        decoder, at = attempt, at + len(chunk) - len(attempt.unconsumed_tail) - len(attempt.unused_data)
        sink.write(plain[max(0, written - seen) :], at)
        seen += len(plain)
    return at


def again(
    view: memoryview, start: int, end: int, new: Callable[[], _Decoder], errors: tuple[type[Exception], ...],
    sink: PlainSink, written: int,
) -> None:  # fmt: skip
    """Decode view[start:end] again, a little at a time, up to the damage in it, as `salvage` does for decoders that
    cannot be copied."""
    at, seen = start, 0
    try:
        decoder = new()
        while at < end and not decoder.eof:
            step = 4 * KIB if seen < written else _LITTLE
            data = bytes(view[at : min(end, at + step)]) if decoder.needs_input else b""
            at += len(data)
            plain = decoder.decompress(data, _OUT)
            sink.write(plain[max(0, written - seen) :], at)
            seen += len(plain)
    except errors:
        return


def _zeros(view: memoryview, start: int) -> bool:
    """Whether only zero bytes follow *start*: lawful padding of a gzip or xz file on tape."""
    return not any(bytes(view[at : at + MIB]).strip(b"\0") for at in range(start, len(view), MIB))


def _streams(
    magic: bytes, new: Callable[[], _Decoder], errors: tuple[type[Exception], ...]
) -> Callable[[memoryview, PlainSink, list[Region]], None]:
    """An expander for formats that are members one after the other."""

    def run(view: memoryview, sink: PlainSink, outside: list[Region]) -> None:
        at = 0
        while at < len(view):
            if bytes(view[at : at + len(magic)]) != magic:
                padding = next((i for i in range(at, min(at + 512, len(view))) if view[i]), None)
                if magic == b"\xfd7zXZ\0" and padding is not None and bytes(view[padding : padding + 6]) == magic:
                    at = padding  # stream padding between xz streams (xz-file-format section 2.2)
                    continue
                if not _zeros(view, at):
                    outside.append(Region(at, len(view) - at, trailing=True))
                return
            if magic == b"\x1f\x8b":
                note(outside, *_gzip_fields(view, at))
            at = _member(view, sink, at, new, errors)

    return run


def note(outside: list[Region], *regions: Region) -> None:
    """Add regions. What touches the last one joins it; behind very many so does whatever lies between, which then is
    looked at as it is stored, so that millions of empty members cost no memory."""
    for region in regions:
        last = outside[-1] if outside else None
        touches = last is not None and last.offset + last.length == region.offset
        if last is not None and (touches or len(outside) >= _REGIONS):
            length = region.offset + region.length - last.offset
            outside[-1] = Region(last.offset, length, mixed=last.mixed or not touches)
        else:
            outside.append(region)


def _gzip_fields(view: memoryview, start: int) -> Iterator[Region]:
    """The optional header fields of a gzip member (RFC 1952 section 2.3.1): extra, name, comment, checksum."""
    flags = view[start + 3] if len(view) > start + 3 else 0
    at = start + 10
    if flags & 4 and len(view) >= at + 2:
        at += 2 + int.from_bytes(view[at : at + 2], "little")
    for bit in (8, 16):
        if flags & bit:
            at = _past_nul(view, at)
    at = min(at + (flags & 2), len(view))
    if at > start + 10:
        yield Region(start + 10, at - start - 10)


def _past_nul(view: memoryview, start: int) -> int:
    for at in range(start, len(view), 64 * KIB):
        found = bytes(view[at : at + 64 * KIB]).find(b"\0")
        if found >= 0:
            return at + found + 1
    return len(view)


def crc32(data: bytes | memoryview, before: int = 0) -> int:
    """The checksum of gzip and zip, at five times zlib's speed. *before*: that of what comes before."""
    from isal import isal_zlib

    return isal_zlib.crc32(data, before)


def _gzip() -> _Decoder:
    from isal import igzip_lib  # costs an import only when a layer is gzip

    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _gzip_errors() -> tuple[type[Exception], ...]:
    from isal import igzip_lib

    damaged: type[Exception] = igzip_lib.error  # type: ignore[assignment]  # the stub names an instance
    return (damaged, EOFError, ValueError, OverflowError)


def _expand_gzip(view: memoryview, sink: PlainSink, outside: list[Region]) -> None:
    _streams(b"\x1f\x8b", _gzip, _gzip_errors())(view, sink, outside)


def _frames(view: memoryview) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of each zstd frame by its block headers (RFC 8878 sections 3.1.1 and 3.1.2), undecoded.

    kind is frame or skippable, cut or cut-skippable if the end is missing, or other (the rest, which is no frame).
    """
    at, size = 0, len(view)
    while at < size:
        if is_skippable(bytes(view[at : at + 4])):
            kind, end = "skippable", at + 8 + int.from_bytes(view[at + 4 : at + 8], "little")
            if end > size:
                kind, end = "cut-skippable", size
        elif bytes(view[at : at + 4]) == b"\x28\xb5\x2f\xfd":
            whole = _frame_end(view, at)
            kind, end = ("cut", size) if whole is None else ("frame", whole)
        else:
            kind, end = "other", size
        yield kind, at, end
        at = end


def frame_header(descriptor: int) -> int:
    """How long the header of a zstd frame is, by its fifth byte."""
    single = descriptor >> 5 & 1
    return 5 + (not single) + (0, 1, 2, 4)[descriptor & 3] + (1 if single else 0, 2, 4, 8)[descriptor >> 6]


def _frame_end(view: memoryview, start: int) -> int | None:
    """Where the frame that starts at *start* ends, None if that is past the end of the view."""
    size = len(view)
    if start + 5 > size:
        return None
    descriptor, at = view[start + 4], start + frame_header(view[start + 4])
    while at + 3 <= size:
        head = int.from_bytes(view[at : at + 3], "little")
        at += 3 + (1 if head >> 1 & 3 == 1 else head >> 3)
        if head & 1:
            end = at + 4 * (descriptor >> 2 & 1)
            return end if end <= size else None
    return None


def _expand_zstd(view: memoryview, sink: PlainSink, outside: list[Region]) -> None:
    import zstandard

    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    for kind, start, end in _frames(view):
        if kind == "skippable":
            note(outside, Region(start, end - start))
            continue
        if kind == "cut-skippable":
            raise Stop("compression.truncated", start, "a skippable zstd frame is cut off")
        if kind == "other":
            if not _zeros(view, start):
                outside.append(Region(start, end - start, trailing=True))
            continue
        before = sink.size
        try:
            with reader.stream_reader(view[start:end], read_size=MIB) as stream:
                while plain := stream.read(_OUT):
                    sink.write(plain, start)
        except zstandard.ZstdError:
            _frame_again(view[start:end], reader, sink, start, sink.size - before)
            text = "the zstd frame is damaged or needs too large a window"
            raise Stop("compression.damaged", start, text) from None
        if kind == "cut":
            raise Stop("compression.truncated", start, "the zstd frame is cut off")


def _frame_again(frame: memoryview, reader: ZstdDecompressor, sink: PlainSink, used: int, written: int) -> None:
    """Decode a damaged frame again as `again` does, with a decoder whose output has no bound but that of its input."""
    from zstandard import ZstdError

    decoder, at, seen = reader.decompressobj(write_size=_OUT), 0, 0
    while at < len(frame):
        step = _UNBOUNDED if seen < written else _LITTLE
        try:
            plain = decoder.decompress(frame[at : at + step])
        except ZstdError:
            return
        at += step
        sink.write(plain[max(0, written - seen) :], used)
        seen += len(plain)


def _xz() -> _Decoder:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


#: by the names that `sniff` gives: (stored bytes, sink, regions so far); they raise Stop
EXPANDERS: dict[str, Callable[[memoryview, PlainSink, list[Region]], None]] = {
    "gzip": _expand_gzip,
    "zstd": _expand_zstd,
    "bzip2": _streams(b"BZh", bz2.BZ2Decompressor, (OSError, ValueError, EOFError)),
    "xz": _streams(b"\xfd7zXZ\0", _xz, (lzma.LZMAError, ValueError, EOFError)),
}
