"""Files of compress (`.Z`): LZW with codes that grow from 9 bits to as many as the header allows.

Source: compress(1) of 4.2BSD and ncompress, whose codes come in groups of eight: where they grow or the table is
emptied, the rest of the group is skipped. The format has neither an end nor a checksum.
"""

from __future__ import annotations

from collections.abc import Iterator

from scanner.layer.compression import PlainSink
from scanner.limits import KIB

_LEAST, _MOST = 9, 16
_CLEAR = 256
_BLOCKS, _RESERVED = 0x80, 0x60  # flags: code 256 empties the table; no writer sets the others
_TAIL = KIB  # bytes of an entry that are kept with it: a file of zeros has entries of tens of thousands of bytes
_OUT = 256 * KIB
_FIRST, _GROUPS = 4, 512  # groups that are read at once: few where the table may be emptied again


def is_compress(head: bytes) -> bool:
    """Whether the first bytes are the header of such a file."""
    return head[:2] == b"\x1f\x9d" and not head[2] & _RESERVED and _LEAST <= head[2] & 0x1F <= _MOST


def unlzw(sink: PlainSink, data: memoryview) -> tuple[bool, int]:
    """Decode *data*: whether all its codes are sound, and how far that goes. Whatever *sink* raises passes through."""
    most = data[2] & 0x1F
    clears = bool(data[2] & _BLOCKS)
    at, ended = 3, False
    while not ended:
        sound, at, ended = _until_clear(sink, data, at, most, clears)
        if not sound:
            return False, at
    return True, at


def _until_clear(
    sink: PlainSink, data: memoryview, at: int, most: int, clears: bool
) -> tuple[bool, int, bool]:
    """Decode codes from *at* until the table is emptied: whether they are sound, where that is, and whether the file
    ends there.

    An entry of the table is what comes before it, as the number of another entry or -1 for nothing, and up to `_TAIL`
    bytes behind that.
    """
    bases = [-1] * _CLEAR
    tails = [bytes([byte]) for byte in range(256)]
    firsts = list(tails)
    if clears:
        bases.append(-1)
        tails.append(b"")
        firsts.append(b"")
    free, width, before = len(tails), _LEAST, -1
    parts: list[bytes] = []
    held = 0
    while True:
        grows = (1 << width) - free if width < max(most, _LEAST + 1) else -1  # codes until they do; the first adds none
        grows += before < 0 <= grows
        for codes, start, end in _groups(data, at, width, grows):
            at = end
            if cleared := clears and _CLEAR in codes:
                codes = codes[: codes.index(_CLEAR)]
                at = start + (len(codes) // 8 + 1) * width
            for code in codes:
                if before >= 0 and free < 1 << most:
                    first = firsts[before] if code == free else firsts[code] if code < free else b""
                    tail = tails[before]
                    if len(tail) < _TAIL:
                        bases.append(bases[before])
                        tails.append(tail + first)
                    else:
                        bases.append(before)
                        tails.append(first)
                    firsts.append(firsts[before])
                    free += 1
                if code >= free or (before < 0 and code >= _CLEAR):
                    sink.write(b"".join(parts), at)
                    return False, at, True
                before = code
                plain = tails[code]
                if (base := bases[code]) >= 0:
                    plain = _joined(bases, tails, base) + plain
                parts.append(plain)
                held += len(plain)
                if held >= _OUT:
                    sink.write(b"".join(parts), at)
                    parts, held = [], 0
            if cleared:
                sink.write(b"".join(parts), at)
                return True, at, at >= len(data)
        if grows < 0 or free < 1 << width:
            sink.write(b"".join(parts), at)
            return True, len(data), True
        width += 1


def _joined(bases: list[int], tails: list[bytes], code: int) -> bytes:
    """A whole entry."""
    pieces = []
    while code >= 0:
        pieces.append(tails[code])
        code = bases[code]
    return b"".join(reversed(pieces))


def _groups(data: memoryview, at: int, width: int, count: int) -> Iterator[tuple[list[int], int, int]]:
    """Up to *count* codes from *at*, all if it is negative, some groups of eight at a time, and where these lie."""
    mask, groups = (1 << width) - 1, _FIRST
    while count and at < len(data):
        step = (min(groups, -(-count // 8)) if count > 0 else groups) * width
        groups = min(2 * groups, _GROUPS)
        chunk = bytes(data[at : at + step])
        codes: list[int] = []
        for start in range(0, len(chunk), width):
            group = chunk[start : start + width]
            bits = int.from_bytes(group, "little")
            codes += [bits >> shift & mask for shift in range(0, 8 * len(group) - width + 1, width)]
        if count >= 0:
            codes = codes[:count]
            count -= len(codes)
        yield codes, at, at + len(chunk)
        at += len(chunk)
        if len(chunk) < step:
            return
