"""Private keys and keystores taken apart: what kind, how long, whether encrypted, and which public key belongs to it.

Nothing of a key leaves this module but what its public half would tell. `cryptography` is imported when the first key
is looked at: most scans see none.
"""

from __future__ import annotations

import base64
import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: what keystores are locked with when nobody chose a password
DEFAULT_PASSWORDS = ("", "changeit", "password", "changeme", "notasecret", "android", "secret", "123456")
#: a store larger than this is not opened: deriving keys takes time
_LARGEST_STORE = 256 << 10


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A private key that parsed.

    Attributes:
        kind: RSA, EC, Ed25519 ...
        bits: its size.
        public: SHA-256 of the public key as OpenSSH prints it, else of its SubjectPublicKeyInfo in hexadecimal.
    """

    kind: str
    bits: int
    public: str

    @property
    def told(self) -> str:
        """For evidence: kind, size and public fingerprint."""
        return f"{self.kind} {self.bits} bits, public key {self.public}"


@dataclass(frozen=True, slots=True)
class Keystore:
    """What is known of a keystore.

    Attributes:
        keys: how many private or secret keys it holds, -1 if that cannot be told without its password.
        password: the default password that opens it, None if none does.
    """

    keys: int
    password: str | None


def from_der(der: bytes) -> PrivateKey | None:
    """The key in PKCS#8, PKCS#1 or SEC1, None if it is none that is understood. Never raises."""
    from cryptography.hazmat.primitives import serialization

    return _parsed(lambda: serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True))


def from_openssh(raw: bytes) -> PrivateKey | None:
    """The key in an unencrypted openssh-key-v1 structure, None if it does not parse. Never raises."""
    from cryptography.hazmat.primitives import serialization

    text = base64.encodebytes(raw)
    armoured = b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + text + b"-----END OPENSSH PRIVATE KEY-----\n"
    return _parsed(lambda: serialization.load_ssh_private_key(armoured, None, unsafe_skip_rsa_key_validation=True))


def ed25519_public(seed: bytes) -> bytes:
    """The public key of a seed of 32 bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def ed25519_pair(raw: bytes) -> bool:
    """Whether the last 32 of 64 bytes are the public key of the first 32."""
    return len(raw) == 64 and ed25519_public(raw[:32]) == raw[32:]


def pkcs12(der: bytes, passwords: Sequence[str] = DEFAULT_PASSWORDS) -> Keystore:
    """What a PKCS#12 store holds, if one of *passwords* opens it. Never raises."""
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

    if len(der) > _LARGEST_STORE:
        return Keystore(-1, None)
    for password in passwords:
        try:
            with warnings.catch_warnings(action="ignore"):
                store = load_pkcs12(der, password.encode() or None)
        except Exception:  # noqa: S112  (the library raises many kinds; each means that this password did not open it)
            continue
        return Keystore(int(store.key is not None), password)
    return Keystore(-1, None)


#: what Java's own keystores sign with the password, Sun's joke
_SALT = b"Mighty Aphrodite"


def jks_password(raw: bytes, passwords: Sequence[str] = DEFAULT_PASSWORDS) -> str | None:
    """Which of *passwords* a JKS or JCEKS store was signed with: it ends with SHA-1 of password and content."""
    for password in passwords:
        digest = hashlib.sha1(password.encode("utf-16-be") + _SALT + raw[:-20])  # noqa: S324  (the format's own)
        if digest.digest() == raw[-20:]:
            return password
    return None


def _parsed(load: Any) -> PrivateKey | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            key = load()
        return PrivateKey(_kind(key), _bits(key), _public(key.public_key()))
    except Exception:
        # The library raises ValueError, TypeError, UnsupportedAlgorithm and more on bytes that anybody can write.
        return None


def _kind(key: Any) -> str:
    name = type(key).__name__.removesuffix("PrivateKey").removesuffix("_").lstrip("_")
    curve = getattr(getattr(key, "curve", None), "name", "")
    if "EllipticCurve" in name or curve:
        return f"EC {curve}".strip()
    return name


def _bits(key: Any) -> int:
    size = getattr(key, "key_size", None)
    return int(size) if size is not None else {"Ed448": 448, "X448": 448}.get(_kind(key), 256)


def _public(public: Any) -> str:
    from cryptography.hazmat.primitives import serialization

    try:
        line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        digest = hashlib.sha256(base64.b64decode(line.split(b" ")[1])).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
    except Exception:
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return "spki " + hashlib.sha256(spki).hexdigest()
