"""Bytes in letters, where those begin with something packed: base85 in its three alphabets, base32, uuencode.

What stands in them as text is told by nothing; what is packed in them begins with a magic, which always has the same
letters. Sources: ISO 32000-1 section 7.4.3 (ASCII85), RFC 1924 as Python has it (base85), ZeroMQ RFC 32 (Z85),
RFC 4648 section 6 (base32), POSIX.1-2017 uuencode.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Iterator

_ASCII85 = bytes(range(0x21, 0x76))
_BASE85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz234567"
_UU = bytes(range(0x20, 0x61))
_BLANKS = b" \t\r\n\f\0"
#: the first four bytes of gzip without and with a name, xz, zstd, zip, bzip2
_MAGICS = (b"\x1f\x8b\x08\0", b"\x1f\x8b\x08\x08", b"\xfd7zX", b"\x28\xb5\x2f\xfd", b"PK\3\4", b"BZh9")
_FIXED32 = 6  # letters of base32 that four bytes alone decide


def ascii85(text: bytes) -> bytes:
    """What ASCII85 stands for, up to `~>`; what is none ends it."""
    start = text.find(b"<~", 0, 8)
    text = text[start + 2 :] if start >= 0 else text
    text = text.partition(b"~")[0].translate(None, _BLANKS)
    return _of_85(text.replace(b"z", b"!!!!!").replace(b"y", b"+<VdL"), _ASCII85)


def _base32(text: bytes) -> bytes:
    members = text.translate(None, _BLANKS).upper()
    members = members[: len(members) - (len(members) % 8 in (1, 3, 6))]
    try:
        return base64.b32decode(members + b"=" * (-len(members) % 8))
    except binascii.Error:
        return b""


def _uuencode(text: bytes) -> bytes:
    """Lines as they stand behind `begin 644 name`."""
    plain: list[bytes] = []
    for line in text.split(b"\n"):
        try:
            part = binascii.a2b_uu(line.rstrip(b"\r")) if line else b""
        except binascii.Error:
            break
        if not part:
            break
        plain.append(part)
    return b"".join(plain)


def _of_85(text: bytes, alphabet: bytes) -> bytes:
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


#: for each kind the characters that its text is made of, line ends among them, and what it stands for
KINDS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "ascii85": (_ASCII85 + b"yz" + _BLANKS, ascii85),
    "base85": (_BASE85 + b"\r\n", lambda text: _of_85(text.translate(None, _BLANKS), _BASE85)),
    "z85": (_Z85 + b"\r\n", lambda text: _of_85(text.translate(None, _BLANKS), _Z85)),
    "base32": (_BASE32 + b"\r\n", _base32),
    "uuencode": (_UU + b"\r\n", _uuencode),
}


def beginnings() -> Iterator[tuple[str, int, tuple[bytes, ...]]]:
    """For each kind what tells it, as expressions, and how many bytes of that belong to the text."""
    for kind, alphabet in (("ascii85", _ASCII85), ("base85", _BASE85), ("z85", _Z85)):
        yield kind, 5, tuple(_exact(_in_85(magic, alphabet)) for magic in _MAGICS)
    yield "ascii85", 5, (rb"<~[!-uz]{5}",)
    encoded = {base64.b32encode(magic)[:_FIXED32] for magic in _MAGICS}
    yield "base32", _FIXED32, tuple(_exact(form) for form in sorted(encoded | {form.lower() for form in encoded}))
    yield "uuencode", 0, (rb"begin [0-7]{3,4} [\x21-\x7e]{1,64}\r?\n",)


def _in_85(four: bytes, alphabet: bytes) -> bytes:
    number, found = int.from_bytes(four, "big"), b""
    for _ in range(5):
        number, digit = divmod(number, 85)
        found = alphabet[digit : digit + 1] + found
    return found


def _exact(raw: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in raw)
