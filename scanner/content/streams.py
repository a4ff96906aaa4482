"""Compressed streams inside files: plain bytes within the limits, and what was damaged."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator

from scanner.content.buffer import Buffer
from scanner.content.words import Content, Fault, Room, Stop
from scanner.layer.expand import decode
from scanner.limits import MIB

_IN, _OUT = MIB, 4 * MIB
_LZMA_MEMORY = 256 * MIB
_BZIP2_BLOCK = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")  # a block, or the end of an empty stream
_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".lzma", ".z", ".tgz", ".tbz2", ".txz", ".tzst")


def stream_kind(head: bytes) -> str:
    """The compression that the first 24 bytes are surely the start of, '' for none.

    Stricter than `expand.sniff`: here most files are something else, and a wrong guess would be called damage.
    Sources: RFC 1952 section 2.3, xz-file-format section 2.1.1, RFC 8878 section 3.1.1.1, lzma-file-format section 1.
    """
    if head[:3] == b"\x1f\x8b\x08" and len(head) >= 18 and not head[3] & 0xE0:
        return "gzip" if head[8] in (0, 2, 4) or _inflates(head) else ""
    if head[:3] == b"BZh" and head[3:4] in b"123456789" and head[4:10] in _BZIP2_BLOCK:
        return "bzip2"
    if head[:6] == b"\xfd7zXZ\0" and zlib.crc32(head[6:8]).to_bytes(4, "little") == head[8:12]:
        return "xz"
    if head[:4] == b"\x28\xb5\x2f\xfd" and len(head) >= 9 and not head[4] & 8:
        return "zstd"
    if head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:  # skippable frames may come first (RFC 8878 section 3.1.2)
        return "zstd"
    if head[:1] == b"\x5d" and head[1:3] == b"\0\0" and _is_lzma(head):
        return "lzma"
    return "zlib" if _is_zlib(head) else ""


def _inflates(head: bytes) -> bool:
    """Whether the start of a gzip file inflates: decompressors do not look at its level, which may be anything."""
    try:
        zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(head)
    except zlib.error:
        return False
    return True


def _is_lzma(head: bytes) -> bool:
    """The legacy format has no magic: properties as encoders write them, a dictionary of 2^n or 2^n + 2^(n-1), a
    size that is unknown or below 256 GiB, and a first coded byte of 0."""
    dictionary, size = int.from_bytes(head[1:5], "little"), head[5:13]
    power = dictionary and (dictionary & (dictionary - 1) == 0 or dictionary.bit_count() == 2)
    return bool(power) and (size == b"\xff" * 8 or size[5:] == b"\0\0\0") and head[13:14] == b"\0"


def _is_zlib(head: bytes) -> bool:
    """A zlib header (RFC 1950 section 2.2) and bytes that inflate."""
    if len(head) < 8 or head[0] != 0x78 or (head[0] << 8 | head[1]) % 31 or head[1] & 0x20:
        return False
    try:
        zlib.decompressobj().decompress(head)
    except zlib.error:
        return False
    return True


def open_stream(content: Content, kind: str, room: Room) -> Iterator[Content | Fault]:
    """The plain bytes of a compressed content, and what follows the stream is searched with the content itself."""
    buffer = Buffer(room)
    try:
        fault = fill(buffer, content.data, kind)
        if buffer.size or not fault:
            name = plain_name(content.name)
            yield content.made(buffer.view(), 0, len(content.data), "", encoding=(kind,), rename=name)
        if fault and (buffer.size or kind != "zlib"):
            yield Fault(fault[0], content.inside, len(content.data), fault[1])
    finally:
        buffer.close()


def plain_name(name: str) -> str:
    """The name of what a compressed file holds: without the suffix of its compression."""
    suffix = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")
    if not suffix:
        return name
    return name[: -len(suffix)] + (".tar" if suffix.startswith(".t") else "")


def fill(buffer: Buffer, data: memoryview, kind: str) -> tuple[str, str] | None:
    """Decode *data* into *buffer*; the reason and a sentence if that ended early, what came out before is kept."""
    try:
        if kind in ("zlib", "deflate"):
            _, ended = inflate(buffer, data, zlib.MAX_WBITS if kind == "zlib" else -zlib.MAX_WBITS)
            return None if ended else ("nested.damaged", "the compressed stream is damaged or cut off")
        if kind in ("lzma", "lzma-raw"):
            return _unlzma(buffer, data, kind)
        reason, _ = decode(data, kind, buffer)
    except Stop as stop:
        return stop.reason, stop.what
    except OSError as error:
        return "nested.bytes", f"no temporary file can hold what is packed in it: {error.strerror}"
    return ("nested.damaged", "the compressed stream is damaged or cut off") if reason else None


def inflate(buffer: Buffer, data: memoryview, wbits: int) -> tuple[int, bool]:
    """Decode one deflate stream at the start of *data*: where it ends, and whether it ended as it should.

    Raises Stop or OSError, as the buffer does.
    """
    decoder, at, step = zlib.decompressobj(wbits), 0, 4096
    try:
        while not decoder.eof:
            if decoder.unconsumed_tail:
                plain = decoder.decompress(decoder.unconsumed_tail, _OUT)
            else:
                if at >= len(data):
                    buffer.write(decoder.flush())
                    return at, decoder.eof
                chunk = data[at : at + step]
                at, step = at + len(chunk), min(2 * step, _IN)
                plain = decoder.decompress(chunk, _OUT)
            buffer.write(plain)
    except zlib.error:
        return at, False
    return at - len(decoder.unused_data), True


def _unlzma(buffer: Buffer, data: memoryview, kind: str) -> tuple[str, str] | None:
    """The legacy format, as a file of its own or, in zip (method 14), with a short header of its own."""
    at = 0
    try:
        if kind == "lzma":
            decoder = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY)
        else:  # APPNOTE.TXT section 5.8.8: version, size of properties, properties
            length = int.from_bytes(data[2:4], "little")
            at = 4 + length
            decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_filter(bytes(data[4:at]))])
        while not decoder.eof and (at < len(data) or not decoder.needs_input):
            chunk = bytes(data[at : at + _IN]) if decoder.needs_input else b""
            at += len(chunk)
            buffer.write(decoder.decompress(chunk, _OUT))
    except (lzma.LZMAError, ValueError, EOFError, IndexError):
        return "nested.damaged", "the compressed stream is damaged"
    ended = decoder.eof or kind == "lzma-raw"  # a raw stream need not mark its end
    return None if ended else ("nested.damaged", "the compressed stream is cut off")


def _filter(properties: bytes) -> dict[str, int]:
    """An LZMA1 filter from its five bytes of properties. Raises ValueError, IndexError."""
    pb, rest = divmod(properties[0], 45)
    lp, lc = divmod(rest, 9)
    dictionary = min(int.from_bytes(properties[1:5], "little"), _LZMA_MEMORY)
    return {"id": lzma.FILTER_LZMA1, "dict_size": max(4096, dictionary), "lc": lc, "lp": lp, "pb": pb}
