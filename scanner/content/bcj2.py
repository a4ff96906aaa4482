"""BCJ2: programs for x86 with the targets of their calls and jumps in streams of their own.

Source: Bcj2.c of the LZMA SDK. A range coder tells for each opcode whether its target was taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scanner.content.words import Broken

_OPCODE = re.compile(rb"[\xe8\xe9]|\x0f[\x80-\x8f]", re.DOTALL)
_TOP, _BITS, _HALF, _MOVE = 1 << 24, 11, 1 << 10, 5
_CALL, _JUMP = 0xE8, 0xE9
_MASK = 0xFFFFFFFF


class _Bytes:
    """Bytes one after the other out of pieces of any size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece, self._at = pieces, b"", 0

    def take(self, count: int) -> bytes:
        """The next *count*. Raises Broken if there are fewer."""
        while len(self._piece) - self._at < count:
            piece = next(self._pieces, None)
            if piece is None:
                raise Broken("nested.damaged", "a stream of BCJ2 ends too early")
            self._piece, self._at = self._piece[self._at :] + piece, 0
        self._at += count
        return self._piece[self._at - count : self._at]


class _Choices:
    """The range decoder: adaptive bits, one model for each kind of opcode, for calls also by the byte in front."""

    def __init__(self, source: _Bytes) -> None:
        self._source, self._range = source, _MASK
        self._code = int.from_bytes(source.take(5), "big") & _MASK
        self._models = [_HALF] * 258

    def taken(self, before: int, opcode: int) -> bool:
        """Whether the target of the next opcode is in a stream of its own."""
        place = before if opcode == _CALL else 256 if opcode == _JUMP else 257
        model = self._models[place]
        bound = (self._range >> _BITS) * model
        if bit := self._code >= bound:
            self._range -= bound
            self._code -= bound
            self._models[place] = model - (model >> _MOVE)
        else:
            self._range = bound
            self._models[place] = model + ((1 << _BITS) - model >> _MOVE)
        if self._range < _TOP:
            self._range = self._range << 8 & _MASK
            self._code = (self._code << 8 | self._source.take(1)[0]) & _MASK
        return bit


def join(
    main: Iterator[bytes], calls: Iterator[bytes], jumps: Iterator[bytes], choices: Iterator[bytes], size: int
) -> Iterator[bytes]:
    """The program, of *size* bytes, in pieces; what goes on behind it as it is. Raises Broken where a stream ends too
    early."""
    targets = {_CALL: _Bytes(calls)}
    other = _Bytes(jumps)
    decoder = _Choices(_Bytes(choices))
    done, before = 0, 0
    for piece in main:
        out = bytearray()
        at = 0
        while at < len(piece):
            # the first byte of an opcode may be the last one that was written
            if before == 0x0F and piece[at] & 0xF0 == 0x80:
                end = at + 1
            else:
                found = _OPCODE.search(piece, at)
                end = found.end() if found else len(piece)
                if not found:
                    out += piece[at:]
                    before, at = piece[-1], end
                    break
            out += piece[at:end]
            before = out[-2] if len(out) > 1 else before
            opcode, at = out[-1], end
            if done + len(out) >= size or not decoder.taken(before, opcode):
                before = opcode
                continue
            place = int.from_bytes(targets.get(opcode, other).take(4), "big")
            target = place - (done + len(out) + 4) & _MASK
            out += target.to_bytes(4, "little")
            before = target >> 24
        done += len(out)
        yield bytes(out)
