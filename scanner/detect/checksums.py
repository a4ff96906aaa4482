"""The checksums that issuers build into their tokens, as pure functions.

CRC32 is zlib's everywhere. Marvin32 is the keyed hash of .NET's runtime that Microsoft's identifiable keys end with;
bech32 is BIP 173's, base58check Bitcoin's. What the checksums are over is decoded here too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE62_LOWER_FIRST = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE66 = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ1234567890.-_~"


def crc32(data: bytes) -> int:
    """CRC32 as zlib has it, unsigned."""
    return zlib.crc32(data)


def _digits(number: int, alphabet: str, width: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, len(alphabet))
        text = alphabet[digit] + text
    return text.rjust(width, alphabet[0])


def crc32_base62(body: bytes, alphabet: str = BASE62) -> str:
    """CRC32 of *body* in base62, six digits."""
    return _digits(crc32(body), alphabet, 6)


def base36(number: int, width: int) -> str:
    """*number* in base 36, lower case, zeros in front up to *width*."""
    return _digits(number, _BASE36, width)


def base66(number: int, width: int) -> str:
    """*number* in base 66 as Entra's client secrets use it."""
    return _digits(number, _BASE66, width)


def marvin32(seed: bytes, data: bytes) -> int:
    """Marvin32 of *data*: the two halves of its state xored. *seed*: 8 bytes, read big-endian."""
    high, low = int.from_bytes(seed[:4], "big"), int.from_bytes(seed[4:], "big")
    padded = data + b"\x80" + bytes(3 - len(data) % 4)
    words = [int.from_bytes(padded[at : at + 4], "little") for at in range(0, len(padded), 4)]
    for word in [*words, 0]:
        low = (low + word) & 0xFFFFFFFF
        low, high = _marvin_block(low, high)
    return low ^ high


def _marvin_block(low: int, high: int) -> tuple[int, int]:
    for first, second in ((20, 9), (27, 19)):
        high ^= low
        low = (_rotate(low, first) + high) & 0xFFFFFFFF
        high = _rotate(high, second)
    return low, high


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) & 0xFFFFFFFF


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check


def _expand(human: str) -> list[int]:
    return [ord(char) >> 5 for char in human] + [0] + [ord(char) & 31 for char in human]


def bech32_valid(text: str) -> bool:
    """Whether the checksum of a bech32 text is right; either case, not mixed."""
    if text.lower() != text and text.upper() != text:
        return False
    human, one, data = text.lower().rpartition("1")
    if not one or any(char not in _BECH32 for char in data):
        return False
    return _polymod(_expand(human) + [_BECH32.index(char) for char in data]) == 1


def bech32_encode(human: str, data: bytes) -> str:
    """*data* in bech32 under *human*, lower case."""
    bits = int.from_bytes(data, "big")
    size = len(data) * 8
    padding = -size % 5
    values = [(bits << padding) >> (size + padding - 5 * (at + 1)) & 31 for at in range((size + padding) // 5)]
    check = _polymod(_expand(human) + values + [0] * 6) ^ 1
    values += [check >> 5 * (5 - at) & 31 for at in range(6)]
    return f"{human}1" + "".join(_BECH32[value] for value in values)


def base64_decode(text: bytes) -> bytes | None:
    """*text* from either base64, padded or not; None if it is none."""
    text = text.replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def base58_decode(text: str) -> bytes | None:
    """The bytes of a base58 text in Bitcoin's alphabet, None if another character stands in it."""
    number = 0
    for char in text:
        digit = _BASE58.find(char)
        if digit < 0:
            return None
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip(_BASE58[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def base58_encode(raw: bytes) -> str:
    """*raw* in base58."""
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return _BASE58[0] * zeros + _digits(int.from_bytes(raw, "big"), _BASE58, 1)


def base58check_decode(text: str) -> bytes | None:
    """The payload of a base58check text, None if it is malformed or its checksum is wrong."""
    raw = base58_decode(text)
    if raw is None or len(raw) < 5 or _double_sha256(raw[:-4])[:4] != raw[-4:]:
        return None
    return raw[:-4]


def base58check_encode(payload: bytes) -> str:
    """*payload* with its checksum in base58."""
    return base58_encode(payload + _double_sha256(payload)[:4])


def _double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def crc16_xmodem(data: bytes) -> int:
    """CRC16 with polynomial 0x1021 from 0, as Stellar and NATS use it."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc
