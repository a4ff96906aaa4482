"""Keys and keystores taken apart: kind, size and public half told, nothing raised, nothing private shown."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st

from scanner.detect import armour, privatekeys
from scanner.detect.outcome import Verdict

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
X25519 = x25519.X25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("key", "layout", "kind", "bits"),
    [
        (RSA, PrivateFormat.PKCS8, "RSA", 2048),
        (RSA, PrivateFormat.TraditionalOpenSSL, "RSA", 2048),
        (EC, PrivateFormat.TraditionalOpenSSL, "EC secp256r1", 256),
        (ED25519, PrivateFormat.PKCS8, "Ed25519", 256),
        (X25519, PrivateFormat.PKCS8, "X25519", 256),
    ],
)
def test_der_tells_kind_and_size(key: rsa.RSAPrivateKey, layout: PrivateFormat, kind: str, bits: int) -> None:
    """Each structure that tools write is understood."""
    parsed = privatekeys.from_der(key.private_bytes(Encoding.DER, layout, NoEncryption()))
    assert parsed is not None
    assert (parsed.kind, parsed.bits) == (kind, bits)


def laid_out(lines: list[str]) -> dict[str, str]:
    """A key in armour as files of many kinds hold it."""
    return {
        "comment": "".join(f"// {line}\n" for line in lines),
        "difference": "".join(f"+{line}\n" for line in lines),
        "removed": "".join(f"-{line}\n" for line in lines),
        "log": "".join(f"2024-01-01 INFO {line}\n" for line in lines),
        "entities": "<k>" + "&#xD;&#10;".join(lines) + "</k>",
        "basic": "k = " + " & vbLf & _\n  ".join(f'"{line}"' for line in lines),
        "java": "k = " + " + System.lineSeparator()\n  + ".join(f'"{line}"' for line in lines),
        "program": "k = " + " +\n    ".join(f'"{line}\\n"' for line in lines),
    }


@pytest.mark.parametrize("layout", sorted(laid_out([])))
def test_key_is_whole_however_its_lines_are_marked(layout: str) -> None:
    """What stands in front of each line or between them is no part of the key."""
    for key in (RSA, EC):
        lines = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().splitlines()
        text = laid_out(lines)[layout].encode()
        secret = text[text.index(b"-----BEGIN") : text.index(b"KEY-----", text.index(b"END")) + 8]
        outcome = armour.pem({"secret": secret, "label": b"PRIVATE KEY"})
        assert (outcome.verdict, outcome.result) == (Verdict.SURE, "valid")


def test_fingerprint_is_the_one_of_ssh_keygen() -> None:
    """The public half is named as `ssh-keygen -l` names it, whichever file the private half stood in."""
    wire = ED25519.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1]
    digest = hashlib.sha256(base64.b64decode(wire)).digest()
    expected = "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
    armoured = ED25519.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    from_ssh = privatekeys.from_openssh(base64.b64decode(b"".join(armoured.splitlines()[1:-1])))
    from_der = privatekeys.from_der(ED25519.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))

    assert from_ssh is not None and from_der is not None
    assert from_ssh.public == from_der.public == expected


def test_what_is_told_holds_nothing_private() -> None:
    """Evidence speaks of the public half alone."""
    parsed = privatekeys.from_der(ED25519.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    assert parsed is not None
    seed = ED25519.private_bytes_raw()
    for form in (seed.hex(), base64.b64encode(seed).decode()):
        assert form[:12] not in parsed.told


def packet(usage: bytes, algorithm: int = 1) -> bytes:
    """An OpenPGP secret key packet, version 4, old header with a length of two bytes."""
    numbers = (2048).to_bytes(2, "big") + b"\xc1" * 256 + (17).to_bytes(2, "big") + b"\1\0\1"
    curve = b"\x09\x2b\6\1\4\1\xda\x47\x0f\1" + (263).to_bytes(2, "big") + b"\x40" * 33
    body = b"\4" + bytes(4) + bytes([algorithm]) + (numbers if algorithm == 1 else curve) + usage + b"\7" * 40
    return b"\x95" + len(body).to_bytes(2, "big") + body


@pytest.mark.parametrize(
    ("usage", "algorithm", "expected"),
    [
        (b"\0", 1, "open RSA"),
        (b"\0", 22, "open EdDSA"),
        (b"\xfe\x07\x03", 1, "encrypted RSA"),
        (b"\xff\x00\x65", 1, "elsewhere RSA"),
    ],
)
def test_openpgp_packet_tells_whether_it_is_open(usage: bytes, algorithm: int, expected: str) -> None:
    """The octet behind the public part says whether a passphrase protects the secret one, or none is there."""
    assert privatekeys.openpgp(packet(usage, algorithm)) == expected
    assert privatekeys.openpgp(packet(usage, algorithm)[:20]) is None


@given(st.binary(max_size=300))
def test_bytes_of_anybody_raise_nothing(raw: bytes) -> None:
    """Whatever stands where a key should, the answer is None."""
    assert privatekeys.from_der(b"\x30" + raw) is None
    assert privatekeys.from_openssh(b"openssh-key-v1\0" + raw) is None
    assert privatekeys.pkcs12(b"\x30" + raw).password is None
    privatekeys.openpgp(b"\x95" + raw)


@pytest.mark.parametrize(("password", "expected"), [(b"changeit", "changeit"), (b"Zx81-nobody-guesses", None)])
def test_store_is_opened_with_what_nobody_chose(password: bytes, expected: str | None) -> None:
    """A PKCS#12 store under a default password is as good as open."""
    store = pkcs12.serialize_key_and_certificates(b"me", EC, None, None, BestAvailableEncryption(password))
    opened = privatekeys.pkcs12(store)
    assert opened.password == expected
    assert opened.keys == (1 if expected else -1)


def test_java_store_tells_whether_a_default_password_signed_it() -> None:
    """The digest at the end of a JKS file covers password and content."""
    content = b"\xfe\xed\xfe\xed" + bytes(4) + b"entries"
    signed = content + hashlib.sha1("changeit".encode("utf-16-be") + b"Mighty Aphrodite" + content).digest()  # noqa: S324
    assert privatekeys.jks_password(signed) == "changeit"
    assert privatekeys.jks_password(signed[:-1] + b"?") is None
