"""Found values without the values: what a store may keep, and enough to tell equal ones and to find them in a text.

All marks are keyed with the installation's key: whoever has the store and not the key can test no guess with them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass

from scanner.evidence import Secret
from scanner.secrecy.keys import fingerprint
from scanner.secrecy.redact import preview, spellings

#: how many characters a spelling is looked up by, and of how few bytes their mark is: too few to guess from
HEAD, _HEAD_MARK = 8, 2
_SHORTEST = 4  # spellings of fewer characters are replaced in no string
_MARK = 16
_HEX = re.compile(rb"[0-9a-f]{12,128}")
#: a digest as package managers' records write it
_DIGEST = re.compile(rb"(?:[a-z0-9]{2,6}=)?(?:((?:[0-9a-f]{2}){16,64})|([A-Za-z0-9_+/-]{27}|[A-Za-z0-9_+/-]{43})=?)")


class Seal:
    """Makes marks under one key. *identity* names the key without telling it."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._own = hashlib.blake2b(key, digest_size=32, person=b"leakscan-seal").digest()
        self.identity = self.mark(b"identity", b"").hex()

    def __repr__(self) -> str:
        return f"Seal({self.identity})"

    def mark(self, kind: bytes, data: bytes, size: int = _MARK) -> bytes:
        """The mark of *data*; those of different kinds have nothing in common."""
        return hashlib.blake2b(data, key=self._own, digest_size=size, person=kind).digest()

    def fingerprint(self, value: bytes) -> str:
        """The fingerprint of a value, as in reports."""
        return fingerprint(self._key, value)

    def head(self, text: str) -> bytes:
        """The mark that spellings are looked up by: of their first characters."""
        return self.mark(b"head", _raw(text[:HEAD]), _HEAD_MARK)

    def spelling(self, text: str) -> bytes:
        """The mark of a whole spelling."""
        return self.mark(b"spelling", _raw(text))

    def digest(self, raw: bytes) -> bytes:
        """The mark of a file's digest."""
        return self.mark(b"digest", raw)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Spelling:
    """One way in which a string may spell the value: characters, mark of the first of them, mark of all."""

    length: int
    head: bytes
    mark: bytes


class SealedSecret(Secret):
    """A value that is not here. Equal values have equal fingerprints; nothing can be revealed.

    Attributes:
        print: the fingerprint.
        length: bytes of the value.
        preview: what may be shown of it.
        spellings: see `Spelling`.
        is_hex: it is nothing but lower-case hexadecimal digits, as an image's own names are.
        digest: if it can be a file's digest, the mark of that; else empty.
    """

    __slots__ = ("digest", "is_hex", "length", "preview", "print", "seal", "spellings")

    def __init__(
        self, seal: Seal, print: str, length: int, preview: str, spellings: tuple[Spelling, ...], is_hex: bool,
        digest: bytes,
    ) -> None:  # fmt: skip
        super().__init__(b"")
        self.seal, self.print, self.length, self.preview = seal, print, length, preview
        self.spellings, self.is_hex, self.digest = spellings, is_hex, digest

    def __len__(self) -> int:
        return self.length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SealedSecret) and self.print == other.print

    def __hash__(self) -> int:
        return hash(self.print)

    @property
    def order(self) -> bytes:
        return self.print.encode()

    def is_value(self, value: bytes) -> bool:
        """Whether this is *value*."""
        return len(value) == self.length and self.seal.fingerprint(value) == self.print

    def among(self, values: Collection[bytes]) -> bool:
        return any(self.is_value(value) for value in values)


def sealed(secret: Secret, seal: Seal, fixed: int) -> SealedSecret:
    """A secret without its value; *fixed* is `Match.fixed`."""
    value = secret.reveal()
    ways = sorted(spelling for spelling in spellings(value) if len(spelling) >= _SHORTEST and len(value) >= _SHORTEST)
    raw = digest_of(value)
    return SealedSecret(
        seal,
        seal.fingerprint(value),
        len(value),
        preview(value, value[:fixed].decode("ascii", "replace")),
        tuple(Spelling(len(way), seal.head(way), seal.spelling(way)) for way in ways),
        _HEX.fullmatch(value) is not None,
        seal.digest(raw) if raw else b"",
    )


def digest_of(value: bytes) -> bytes:
    """The digest that *value* spells as package managers' records do, empty if it is none."""
    found = _DIGEST.fullmatch(value)
    if found is None:
        return b""
    if found[1]:
        return bytes.fromhex(found[1].decode())
    try:
        return base64.b64decode(found[2].replace(b"-", b"+").replace(b"_", b"/") + b"=", validate=True)
    except binascii.Error:
        return b""
