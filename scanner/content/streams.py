"""Compressed streams inside files: plain bytes within the limits, and what was damaged."""

from __future__ import annotations

import lzma
import math
import zlib
from collections.abc import Iterator, Sequence

from scanner.content.brotlifiles import is_text, unbrotli
from scanner.content.buffer import Buffer
from scanner.content.javastreams import java_kind, unlz4_java, unsnappy_java
from scanner.content.lz4frames import is_behind_skippable, is_lz4, unlz4
from scanner.content.lzofiles import unlzop
from scanner.content.lzwfiles import unlzw
from scanner.content.snappyfiles import MAGIC as SNAPPY
from scanner.content.snappyfiles import unsnap
from scanner.content.words import Content, Fault, Room, Stop
from scanner.layer.compression import PlainSink, Region, again, crc32, decode, is_skippable, salvage
from scanner.limits import MIB

_IN, _OUT = MIB, 4 * MIB
_LZMA_MEMORY = 256 * MIB
_BEHIND = 4096  # plain bytes that a decoder may make of what is behind a stream that does not mark its end
_ERRORS = lzma.LZMAError, ValueError, EOFError, IndexError
_UNTOLD = (1 << 64) - 1  # in place of the size of lzma's plain bytes
_BZIP2_BLOCK = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")  # a block, or the end of an empty stream
_LZIP = b"LZIP\1"
_WINDOWS = tuple(bytes([byte]) for byte in range(0x08, 0x78, 0x10))  # first bytes of zlib streams
_TRIED = 128  # bytes of a file that begins oddly
_EVEN = 0x7FFFFC00  # below it, the first bit that a range coder gives out is 0
_TELLING = 4096  # plain bytes that come out of no such file by chance
_DAMAGED = "nested.damaged", "the compressed stream is damaged or cut off"
_DECODERS = {
    "compress": unlzw, "lzo": unlzop, "snappy": unsnap, "snappy-java": unsnappy_java, "lz4-java": unlz4_java,
}  # fmt: skip
_SUFFIXES = (
    ".gz", ".bz2", ".xz", ".zst", ".br", ".lzma", ".lz", ".lz4", ".lzo", ".sz", ".z", ".tgz", ".tbz2", ".txz", ".tzst",
    ".tlz",
)  # fmt: skip


def stream_kind(head: bytes) -> str:
    """The compression that the first 24 bytes are surely the start of, '' for none.

    Stricter than `expand.sniff`: here most files are something else, and a wrong guess would be called damage.
    Sources: RFC 1952 section 2.3, xz-file-format section 2.1.1, RFC 8878 section 3.1.1.1, lzma-file-format section 1,
    and those of `lz4frames`.
    """
    if head[:3] == b"\x1f\x8b\x08" and len(head) >= 18:
        return "gzip" if (head[3] < 0x20 and head[8] in (0, 2, 4)) or _inflates(head) else ""
    if head[:3] == b"BZh" and head[3:4] in b"123456789" and head[4:10] in _BZIP2_BLOCK:
        return "bzip2"
    if head[:6] == b"\xfd7zXZ\0" and zlib.crc32(head[6:8]).to_bytes(4, "little") == head[8:12]:
        return "xz"
    if head[:4] == b"\x28\xb5\x2f\xfd" and len(head) >= 9 and not head[4] & 8:
        return "zstd"
    if is_skippable(head):
        return "zstd"
    if is_lz4(head):
        return "lz4"
    if head[:5] == _LZIP and len(head) > 5 and 12 <= head[5] & 0x1F <= 29:
        return "lzip"
    if head[:10] == SNAPPY:
        return "snappy"
    if head[:1] in (b"\x82", b"L") and (kind := java_kind(head)):
        return kind
    if _is_usual_lzma(head):
        return "lzma"
    return "zlib" if head[:1] == b"x" and _is_zlib(head) else ""


def odd_kind(head: bytes) -> str:
    """The compression of a file that begins as no usual tool writes it, by its first 128 bytes; '' for none.

    zlib with a window smaller than the largest, and lzma with other properties. The first 128 bytes must unpack, and
    even so other files do by chance: ask for this last.
    """
    if head[:1] in _WINDOWS and _is_zlib(head):
        return "zlib"
    return "lzma" if len(head) > 18 and not head[13] and not _is_usual_lzma(head) and _is_odd_lzma(head) else ""


def _is_odd_lzma(head: bytes) -> bool:
    size = head[5:13]
    pb, rest = divmod(head[0], 45)
    if pb > 4 or sum(divmod(rest, 9)) > 4 or not (size == b"\xff" * 8 or (size[5:] == bytes(3) and any(size[:5]))):
        return False
    try:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_filter(head[:1] + b"\0\0\1\0")])
        plain = decoder.decompress(head[13:], _TRIED)
    except (lzma.LZMAError, ValueError, EOFError):
        return False
    return len(plain) >= 16 and len(set(plain)) > 4


def is_refused_lzma(head: bytes) -> bool:
    """Whether the first 128 bytes are surely the start of lzma with properties that liblzma refuses: more than four
    bits of context for a literal. With a sound header, its first symbol is a literal, as it must be, and what follows
    looks like noise."""
    if len(head) < _TRIED or not _is_lzma(head) or head[0] >= 5 * 45 or sum(divmod(head[0] % 45, 9)) <= 4:
        return False
    return int.from_bytes(head[14:18], "big") < _EVEN and len(set(head[18:82])) > 32


def _inflates(head: bytes) -> bool:
    """Whether the start of a gzip file inflates, as far as it goes. Decompressors do not look at its level, which may
    be anything; Go's and Python's do not look at reserved flags, and Python's not at the header's checksum."""
    at = 10
    if head[3] & 4:
        at += 2 + int.from_bytes(head[10:12], "little")
        if head[3] > 0x1F and int.from_bytes(head[14:16], "little") + 14 > at - 2:  # a part is larger than the whole
            return False
    for _ in range((head[3] >> 3 & 1) + (head[3] >> 4 & 1)):
        end = head.find(b"\0", at)
        at = end + 1 if end >= 0 else len(head)
    try:
        zlib.decompressobj(-zlib.MAX_WBITS).decompress(head[at + (head[3] & 2) :])
    except zlib.error:
        return False
    return True


def _is_usual_lzma(head: bytes) -> bool:
    return head[:3] == b"\x5d\0\0" and _is_lzma(head)


def _is_lzma(head: bytes) -> bool:
    """The legacy format has no magic: properties as encoders write them, a dictionary of 2^n or 2^n + 2^(n-1), a
    size that is unknown or below 256 GiB, and a first coded byte of 0."""
    dictionary, size = int.from_bytes(head[1:5], "little"), head[5:13]
    power = dictionary and (dictionary & (dictionary - 1) == 0 or dictionary.bit_count() == 2)
    return bool(power) and (size == b"\xff" * 8 or size[5:] == b"\0\0\0") and head[13:14] == b"\0"


def _is_zlib(head: bytes) -> bool:
    """A zlib header (RFC 1950 section 2.2) and bytes that inflate."""
    if len(head) < 8 or (head[0] << 8 | head[1]) % 31 or head[1] & 0x20:
        return False
    try:
        zlib.decompressobj().decompress(head)
    except zlib.error:
        return False
    return True


def open_stream(content: Content, kind: str, room: Room) -> Iterator[Content | Fault]:
    """The plain bytes of a compressed content, and what follows the stream is searched with the content itself."""
    kind = "lz4" if kind == "zstd" and is_behind_skippable(content.data) else kind
    buffer, size = Buffer(room), len(content.data)
    outside: list[Region] = []
    try:
        fault, used = fill_from(buffer, content.data, kind, outside)
        if buffer.size or not fault:
            name, covers = plain_name(content.name), tuple(_between(outside, size if fault else used))
            yield content.made(buffer.view(), 0, size, "", (kind,), name, covers)
        if fault and (fault != _DAMAGED or _is_sure(content.data, kind, buffer.size)):
            yield Fault(fault[0], content.inside, size, fault[1])
    finally:
        buffer.close()


def _is_sure(data: memoryview, kind: str, size: int) -> bool:
    """Whether a file whose stream broke off after *size* plain bytes is one, and not something else that looks so."""
    if kind == "brotli":
        return not is_text(data)
    if kind == odd_kind(bytes(data[:_TRIED])):
        return size >= _TELLING
    return bool(size) or kind != "zlib"


def _between(outside: Sequence[Region], end: int) -> Iterator[tuple[int, int]]:
    """The ranges of [0, *end*) that hold the stream itself: header fields and skippable frames may hold anything."""
    at = 0
    for region in outside:
        yield at, region.offset
        at = region.offset + region.length
    yield at, max(at, end)


def plain_name(name: str) -> str:
    """The name of what a compressed file holds: without the suffix of its compression."""
    suffix = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")
    if not suffix:
        return name
    return name[: -len(suffix)] + (".tar" if suffix.startswith(".t") else "")


def fill_from(
    buffer: Buffer, data: memoryview, kind: str, outside: list[Region] | None = None
) -> tuple[tuple[str, str] | None, int]:
    """Decode *data* into *buffer*: the reason and a sentence if that ended early, what came out before is kept; and
    where the stream ends. *outside* gathers what `layer.expand.decode` finds between its parts."""
    fault, used = _filled(buffer, data, kind, outside)
    try:
        buffer.settle()
    except Stop as stop:
        return (stop.reason, stop.what), len(data)
    return fault, used


def _filled(
    buffer: Buffer, data: memoryview, kind: str, outside: list[Region] | None
) -> tuple[tuple[str, str] | None, int]:
    try:
        if kind in ("zlib", "deflate"):
            used, ended = inflate(buffer, data, zlib.MAX_WBITS if kind == "zlib" else -zlib.MAX_WBITS)
            return (None if ended else _DAMAGED), used
        if kind in ("lzma", "lzma-raw", "lzip"):
            return _unlzma(buffer, data, kind)
        if kind in _DECODERS:
            sound, used = _DECODERS[kind](buffer, data)
            return (None if sound else _DAMAGED), used
        if kind in ("lz4", "brotli"):
            outside = [] if outside is None else outside
            ended, used = (unlz4 if kind == "lz4" else unbrotli)(buffer, data, outside)
            return (None if ended else _DAMAGED), used
        reason, used = decode(data, kind, buffer, outside)
    except Stop as stop:
        return (stop.reason, stop.what), len(data)
    return (_DAMAGED if reason else None), used


def inflate(buffer: PlainSink, data: memoryview, wbits: int) -> tuple[int, bool]:
    """Decode one deflate stream at the start of *data*: where it ends, and whether it ended as it should. Whatever came
    out in front of damage is kept.

    Raises Stop, as the buffer does.
    """
    decoder, at, step, before = zlib.decompressobj(wbits), 0, 4096, buffer.size
    try:
        while not decoder.eof:
            if decoder.unconsumed_tail:
                plain = decoder.decompress(decoder.unconsumed_tail, _OUT)
            else:
                if at >= len(data):
                    buffer.write(decoder.flush(), at)
                    return at, decoder.eof
                chunk = data[at : at + step]
                at, step = at + len(chunk), min(2 * step, _IN)
                plain = decoder.decompress(chunk, _OUT)
            buffer.write(plain, at)
    except zlib.error:
        return salvage(data, 0, wbits, buffer, buffer.size - before), False
    return at - len(decoder.unused_data), True


def _unlzma(buffer: Buffer, data: memoryview, kind: str) -> tuple[tuple[str, str] | None, int]:
    """The legacy format, as a file of its own, in zip (method 14) or in lzip, which have short headers of their own."""
    at = end = begin = made = head = 0
    told: float = math.inf
    try:
        while True:
            head = at
            decoder, at, told = _lzma_decoder(data, head, kind)
            begin, made, checksum = at, 0, 0
            while not decoder.eof and made <= told + _BEHIND and (at < len(data) or not decoder.needs_input):
                chunk = bytes(data[at : at + _IN]) if decoder.needs_input else b""
                at += len(chunk)
                plain = decoder.decompress(chunk, _OUT)
                made += len(plain)
                checksum = crc32(plain, checksum) if kind == "lzip" else 0
                buffer.write(plain)
            # a stream of a told size need not mark its end: whatever is behind its header may follow it
            end = at - len(decoder.unused_data) if decoder.eof or made < told else begin
            if kind == "lzip" and decoder.eof and checksum.to_bytes(4, "little") != data[end : end + 4]:
                return _DAMAGED, min(len(data), end + 20)
            if kind != "lzip" or not decoder.eof or bytes(data[end + 20 : end + 24]) != _LZIP[:4]:
                break
            at = end + 20  # lzip's trailer, and another member
    except _ERRORS:
        if made < told:
            again(data, begin, at, lambda: _lzma_decoder(data, head, kind)[0], _ERRORS, buffer, made)
        return (_DAMAGED, at) if made < told else (None, begin)
    ended = decoder.eof or told <= made <= told + _BEHIND or kind == "lzma-raw"  # a raw stream need not mark its end
    return (None if ended else _DAMAGED), min(len(data), end + 20) if kind == "lzip" else end


def _lzma_decoder(data: memoryview, at: int, kind: str) -> tuple[lzma.LZMADecompressor, int, float]:
    """A decoder for a stream whose header is at *at*, where what it takes begins, and how many bytes come out if it is
    told and not held to by the decoder. Raises ValueError, IndexError."""
    if kind == "lzip":  # "Lzip file format": magic, version, a power of two and how many sixteenths of it to take off
        power, off = data[at + 5] & 0x1F, data[at + 5] >> 5
        size = (1 << power) - off * (1 << power >> 4)
        lzip = _lzma1(3, 0, 2, min(size, _LZMA_MEMORY))
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[lzip]), at + 6, math.inf
    if kind == "lzma" and _is_lzma(bytes(data[:24])) and int.from_bytes(data[1:5], "little") < _LZMA_MEMORY - MIB:
        return lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY), at, math.inf
    # a dictionary of a size that liblzma refuses and others write, or that is larger than all that it may have to hold;
    # or, in zip, APPNOTE.TXT section 5.8.8: version, size of properties, properties
    start, length = (0, 5) if kind == "lzma" else (4, int.from_bytes(data[2:4], "little"))
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_filter(bytes(data[start : start + length]))])
    if kind != "lzma":
        return decoder, start + length, math.inf
    size = int.from_bytes(data[5:13], "little")
    return decoder, 13, math.inf if size == _UNTOLD else size


def _filter(properties: bytes) -> dict[str, int]:
    """An LZMA1 filter from its five bytes of properties. Raises ValueError, IndexError."""
    pb, rest = divmod(properties[0], 45)
    lp, lc = divmod(rest, 9)
    return _lzma1(lc, lp, pb, min(int.from_bytes(properties[1:5], "little"), _LZMA_MEMORY))


def _lzma1(lc: int, lp: int, pb: int, dictionary: int) -> dict[str, int]:
    return {"id": lzma.FILTER_LZMA1, "dict_size": max(4096, dictionary), "lc": lc, "lp": lp, "pb": pb}
