"""Keystores in binary files: found where keys are in them, silent on certificates, told whether they are open."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence

import hyperscan
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.detect.keystores import KeystoreDetector
from scanner.evidence import Match

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
CERTIFICATE = (
    x509.CertificateBuilder()
    .subject_name(NAME).issuer_name(NAME).public_key(KEY.public_key()).serial_number(1)
    .not_valid_before(DAY).not_valid_after(DAY + datetime.timedelta(days=9))
    .sign(KEY, hashes.SHA256())
)  # fmt: skip


def found_in(data: bytes) -> list[Match]:
    """What the detector makes of *data* where its triggers fire."""
    detector = KeystoreDetector()
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    expressions = [trigger.expression for trigger in detector.triggers]
    database.compile(expressions=expressions, ids=[0, 1, 2], elements=3, flags=[hyperscan.HS_FLAG_DOTALL] * 3)
    ends: set[int] = set()
    database.scan(data, match_event_handler=lambda _id, _start, end, _flags, _context: ends.add(end))
    return list(detector.confirm(memoryview(data), sorted(ends), "srv/store"))


def name(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


def blob(raw: bytes) -> bytes:
    return len(raw).to_bytes(4, "big") + raw


def java_store(kinds: Sequence[int], password: str) -> bytes:
    """A JKS file, version 2, with an entry of each of *kinds*: 1 a key, 2 a certificate."""
    certificate = name("X.509") + blob(CERTIFICATE.public_bytes(Encoding.DER))
    content = b"\xfe\xed\xfe\xed" + (2).to_bytes(4, "big") + len(kinds).to_bytes(4, "big")
    for number, kind in enumerate(kinds):
        content += kind.to_bytes(4, "big") + name(f"entry{number}") + bytes(8)
        content += blob(b"\x30" * 90) + (1).to_bytes(4, "big") + certificate if kind == 1 else certificate
    return content + hashlib.sha1(password.encode("utf-16-be") + b"Mighty Aphrodite" + content).digest()  # noqa: S324


def keytab(*principals: tuple[str, ...]) -> bytes:
    """A keytab with a key of each principal; its realm comes first."""
    raw = b"\x05\x02"
    for parts in principals:
        entry = (len(parts) - 1).to_bytes(2, "big") + b"".join(map(name, parts))
        entry += bytes(4) + bytes(4) + b"\x02" + (18).to_bytes(2, "big") + name("k" * 32)
        raw += blob(entry)
    return raw


@pytest.mark.parametrize(
    ("password", "severity", "result"),
    [(b"changeit", "critical", "open"), (b"Zx81-nobody-guesses", "medium", "encrypted")],
)
def test_pkcs12_with_a_key_is_found(password: bytes, severity: str, result: str) -> None:
    """Its severity says whether anybody can open it; its span is the store, whatever stands around it."""
    store = pkcs12.serialize_key_and_certificates(b"me", KEY, CERTIFICATE, None, BestAvailableEncryption(password))

    [match] = found_in(b"some bytes before" + store + b"and behind")

    assert (match.rule_id, match.severity) == ("private-key.pkcs12", severity)
    assert match.evidence[0].result == result
    assert match.secret.reveal() == store
    assert password.decode() not in match.evidence[0].detail


def test_pkcs12_of_certificates_is_none() -> None:
    """A trust store under the password of all trust stores holds nothing secret."""
    store = pkcs12.serialize_java_truststore(
        [pkcs12.PKCS12Certificate(CERTIFICATE, b"ca")], BestAvailableEncryption(b"changeit")
    )
    assert found_in(store) == []


@pytest.mark.parametrize(
    ("kinds", "password", "expected"),
    [
        ((1,), "changeit", "open"),
        ((2, 1, 2), "Zx81-nobody-guesses", "encrypted"),
        ((1,), "android", "debug"),
        ((2, 2), "changeit", None),
    ],
)
def test_java_store_is_walked(kinds: Sequence[int], password: str, expected: str | None) -> None:
    """Entries are counted: keys make it a finding, certificates do not."""
    store = java_store(kinds, password)
    matches = found_in(b"\0" * 7 + store + b"\0" * 9)
    assert [match.evidence[0].result for match in matches] == ([expected] if expected else [])
    assert all(match.secret.reveal() == store for match in matches)


def test_keytab_names_its_principal() -> None:
    """A keytab is read to its end, holes and all; a file that only begins like one is none."""
    whole = keytab(("SHOP.IO", "HTTP", "www.shop.io"), ("SHOP.IO", "backup"))

    [match] = found_in(whole)

    assert match.rule_id == "private-key.keytab"
    assert match.evidence[0].detail == "2 keys, the first of HTTP/www.shop.io@SHOP.IO"
    assert found_in(whole[:-3]) == []
    assert found_in(b"x" + whole) == []


def test_endless_derivation_is_not_begun() -> None:
    """A store that asks for two thousand million rounds is said to need its password, at once."""
    store = pkcs12.serialize_key_and_certificates(b"me", KEY, CERTIFICATE, None, BestAvailableEncryption(b"changeit"))
    rounds = store.rindex(b"\x02\x02\x4e\x20") if b"\x02\x02\x4e\x20" in store else -1
    assert rounds > 0
    hostile = store[:rounds] + b"\x02\x04\x7f\xff\xff\xff" + store[rounds + 4 :]
    hostile = hostile[:2] + (len(hostile) - 4).to_bytes(2, "big") + hostile[4:]

    [match] = found_in(hostile)

    assert match.evidence[0].result == "encrypted"


@settings(max_examples=200)
@given(
    st.sampled_from([b"\xfe\xed\xfe\xed\0\0\0\2\0\0", b"\xce\xce\xce\xce\0\0\0\2\0\0", b"\x05\x02\0\0\0"]),
    st.binary(max_size=200),
)
def test_bytes_of_anybody_raise_nothing(head: bytes, tail: bytes) -> None:
    """Whatever follows the first bytes of a store, there is a match or none."""
    for match in found_in(head + tail):
        assert match.end <= len(head + tail)
