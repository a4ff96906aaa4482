"""Credentials that a caller hands over for one scan, sealed while the scan waits.

A scan outlives the process that was asked for it, so its credentials must be kept; the key that opens them is the
installation's, which is not in the store. They are opened for the one image that they were handed over for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os

from scanner.errors import LeakscanError
from scanner.image.registry.credentials import Login

_NONCE = 12
_LONGEST = 16_384


class NotOpened(LeakscanError):
    """What was kept is damaged, or was sealed for another image or under another key."""


def basic_login(header: str) -> Login | None:
    """The user and password of an Authorization header of the scheme Basic (RFC 7617), None if it is none.

    The password is all that follows the first colon.
    """
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic" or len(encoded) > _LONGEST:
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    username, colon, password = decoded.partition(":")
    return Login(username, password) if colon and username else None


class Safe:
    """Seals logins under the installation's key. Shows nothing in its repr."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2b(key, digest_size=32, person=b"leakscan-logins").digest()

    def __repr__(self) -> str:
        return "Safe(***)"

    def seal(self, login: Login, image: str) -> bytes:
        """A login for *image* (host/name@digest) as bytes for a store (AES-256-GCM)."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE)
        plain = json.dumps([login.username, login.password, login.identity]).encode()
        return nonce + AESGCM(self._key).encrypt(nonce, plain, image.encode())

    def open(self, sealed: bytes, image: str) -> Login:
        """The login that was sealed for *image*. Raises NotOpened."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            plain = AESGCM(self._key).decrypt(sealed[:_NONCE], sealed[_NONCE:], image.encode())
        except (InvalidTag, ValueError):
            what = "the login that was handed over for it cannot be opened with this installation's key"
            raise NotOpened(what, "Ask for the scan again.") from None
        return Login(*json.loads(plain))
