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


#: how many numbers the public part of an OpenPGP key has by algorithm (RFC 4880 5.5.2)
_PGP_NUMBERS = {1: 2, 2: 2, 3: 2, 16: 3, 17: 4}
_PGP_CURVES = {18: "ECDH", 19: "ECDSA", 22: "EdDSA"}
_PGP_FIXED = {25: 32, 26: 56, 27: 32, 28: 57}
_PGP_NAMES = {
    1: "RSA", 2: "RSA", 3: "RSA", 16: "Elgamal", 17: "DSA", 25: "X25519", 26: "X448", 27: "Ed25519", 28: "Ed448",
}  # fmt: skip
_GNU_DUMMY = 101


def openpgp(raw: bytes) -> str | None:
    """What the first secret key packet says: "open", "encrypted" or "elsewhere" (on a card, or offline), with its
    algorithm behind it; None if *raw* does not begin with such a packet. Never raises."""
    try:
        return _openpgp(raw)
    except IndexError:
        return None


def _openpgp(raw: bytes) -> str | None:
    new = bool(raw[0] & 0x40)
    if not raw[0] & 0x80 or (raw[0] & 63 if new else raw[0] >> 2 & 15) not in (5, 7):
        return None
    at = 1 + ((1 if raw[1] < 192 else 2 if raw[1] < 224 else 5) if new else (1, 2, 4, 0)[raw[0] & 3])
    version, algorithm = raw[at], raw[at + 5]
    at += 6 + (4 if version == 6 else 0)
    name = _PGP_NAMES.get(algorithm) or _PGP_CURVES.get(algorithm)
    if version not in (4, 5, 6) or name is None:
        return None
    if algorithm in _PGP_FIXED:
        at += _PGP_FIXED[algorithm]
    if algorithm in _PGP_CURVES:
        at += 1 + raw[at]
    for _ in range(1 if algorithm in _PGP_CURVES else _PGP_NUMBERS.get(algorithm, 0)):
        at += 2 + (int.from_bytes(raw[at : at + 2], "big") + 7) // 8
    if algorithm == 18:
        at += 1 + raw[at]
    usage = raw[at]
    if usage == 0:
        return f"open {name}"
    return f"elsewhere {name}" if usage >= 253 and raw[at + 2] == _GNU_DUMMY else f"encrypted {name}"


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
