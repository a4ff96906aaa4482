"""What the first pass looks for: the rarest run of bytes that everything a pattern matches has in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scanner.detect.dialect import LITERAL_BITS, Alt, Chars, Group, Node, Repeat, Seq, bits_of

#: a trigger stops growing when it is this rare (bits), and must be at least that rare
_ENOUGH_BITS = 40.0
_NEEDED_BITS = 17.0
_MOST_PIECES = 24


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of the trigger.

    Attributes:
        bits: how much it tells.
        literal: how much of that comes from single letters; runs of a class alone are no trigger, whatever they tell.
        last: nothing may follow it.
    """

    expression: str
    bits: float
    literal: float
    last: bool = False


_STOP = _Piece("", 0.0, 0.0, last=True)


def trigger_of(node: Node) -> bytes | None:
    """A Hyperscan expression that fires inside everything *node* matches, None if nothing in it is rare enough."""
    best: tuple[float, float, str] = (0.0, 0.0, "")
    pieces = list(_pieces(node))
    for first, head in enumerate(pieces):
        if head.literal and (first == 0 or not pieces[first - 1].literal or pieces[first - 1].last):
            text, bits, literal = _run(pieces[first : first + _MOST_PIECES])
            best = max(best, (min(literal, _ENOUGH_BITS), bits, text))
    return best[2].encode("ascii") if best[0] >= _NEEDED_BITS else None


def _run(pieces: Sequence[_Piece]) -> tuple[str, float, float]:
    text, bits, literal = "", 0.0, 0.0
    for piece in pieces:
        if bits >= _ENOUGH_BITS and not piece.literal:
            break
        text += piece.expression
        bits += piece.bits
        literal += piece.literal
        if piece.last:
            break
    return text, bits, literal


def _pieces(node: Node) -> Iterable[_Piece]:
    if isinstance(node, Chars):
        bits = bits_of(node.mask)
        yield _Piece(_class_text(node.mask), bits, bits if bits >= LITERAL_BITS else 0.0)
    elif isinstance(node, Group):
        yield from _pieces(node.part)
    elif isinstance(node, Seq):
        for part in node.parts:
            yield from _pieces(part)
    elif isinstance(node, Alt):
        yield _alternatives_piece(node.choices)
    else:
        yield from _repeat_pieces(node)


def _repeat_pieces(node: Repeat) -> Iterable[_Piece]:
    if node.low == 0:
        yield _STOP
    elif isinstance(node.part, Chars):
        count = min(node.low, 16)
        text = _class_text(node.part.mask) + (f"{{{count}}}" if count > 1 else "")
        yield _Piece(text, bits_of(node.part.mask) * count, 0.0, last=count != node.high)
    else:
        for _ in range(min(node.low, 4)):
            yield from _pieces(node.part)
        if node.high != min(node.low, 4):
            yield _STOP


def _alternatives_piece(choices: Sequence[Node]) -> _Piece:
    """Heads of the choices; nothing may follow them unless every head is its whole choice."""
    heads, weakest, weakest_literal, last = [], _ENOUGH_BITS, _ENOUGH_BITS, False
    for choice in choices:
        pieces = list(_pieces(choice))
        text, bits, literal = _run(pieces)
        last = last or text != "".join(piece.expression for piece in pieces) or any(piece.last for piece in pieces)
        heads.append(text)
        weakest, weakest_literal = min(weakest, bits), min(weakest_literal, literal)
    if not all(heads):
        return _STOP
    return _Piece(f"(?:{'|'.join(dict.fromkeys(heads))})", weakest, weakest_literal, last)


def _class_text(mask: int) -> str:
    size = mask.bit_count()
    if size == 256:
        return r"[\x00-\xff]"
    negated = size > 200
    members = [byte for byte in range(256) if bool(mask >> byte & 1) != negated]
    if size == 1:
        return _byte_text(members[0])
    ranges: list[list[int]] = []
    for byte in members:
        if ranges and byte == ranges[-1][1] + 1:
            ranges[-1][1] = byte
        else:
            ranges.append([byte, byte])
    body = "".join(
        _byte_text(low) if low == high else f"{_byte_text(low)}-{_byte_text(high)}" for low, high in ranges
    )
    return f"[{'^' if negated else ''}{body}]"


def _byte_text(byte: int) -> str:
    char = chr(byte)
    return char if char.isascii() and char.isalnum() else f"\\x{byte:02x}"
