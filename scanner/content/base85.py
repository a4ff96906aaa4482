"""Text in 85 letters for bytes: five letters stand for four bytes.

Sources: ISO 32000-1 section 7.4.3 (ASCII85), RFC 1924 as Python and git use it (base85), ZeroMQ RFC 32 (Z85).
"""

from __future__ import annotations

import re
import struct

_ASCII85 = bytes(range(0x21, 0x76))
_BASE85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
#: by name of the encoding, its letters in order
ALPHABETS = {"ascii85": _ASCII85, "base85": _BASE85, "z85": _Z85}
_BLANKS = re.compile(rb"\s+")


def ascii85(text: bytes) -> bytes:
    """What ASCII85 stands for, up to `~>`; what is none ends it."""
    start = text.find(b"<~")
    text = _BLANKS.sub(b"", text[start + 2 :] if 0 <= start < 8 else text).partition(b"~")[0]
    return decoded(text.replace(b"z", b"!!!!!").replace(b"y", b"+<VdL"), _ASCII85)


def decoded(text: bytes, alphabet: bytes) -> bytes:
    """What *text* in the letters of *alphabet* stands for, up to the first that is none of them."""
    values = text.translate(bytes(alphabet.find(byte) % 256 for byte in range(256)))
    foreign = values.find(b"\xff")
    values = values if foreign < 0 else values[:foreign]
    missing = -len(values) % 5
    values += bytes([84]) * missing
    numbers = [
        (((first * 85 + second) * 85 + third) * 85 + fourth) * 85 + fifth
        for first, second, third, fourth, fifth in zip(*(values[place::5] for place in range(5)), strict=True)
    ]
    plain = struct.pack(f">{len(numbers)}I", *(number & 0xFFFFFFFF for number in numbers))
    return plain[: len(plain) - missing]
