"""Keystores in binary files: PKCS#12, Java's own formats, Kerberos keytabs.

Only a store that holds a private or secret key is a finding; one that holds certificates alone is none. A store that
opens with a password nobody chose is as good as open, any other needs its password.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scanner.detect import privatekeys
from scanner.detect.base import Trigger
from scanner.evidence import Confidence, Evidence, Match, Secret, Severity

#: the longest store that is looked at
_LARGEST = 1 << 20
#: derivations of keys that are asked for more rounds than this are not tried
_MOST_ROUNDS = 2_000_000
_SHROUDED_BAG = bytes.fromhex("060b2a864886f70d010c0a0102")
_KEY_BAG = bytes.fromhex("060b2a864886f70d010c0a0101")
#: salt and rounds, as PKCS#5 and PKCS#12 write them one after the other
_ROUNDS = re.compile(rb"\x04[\x08-\x40][\x00-\xff]{8,64}?\x02([\x01-\x08])", re.DOTALL)
_DEBUG_PASSWORD = "android"  # noqa: S105  (of the debug keystore that every Android SDK makes)


@dataclass(frozen=True, slots=True)
class _Store:
    """A store that parsed: how long it is, how bad it is, and what was told of it."""

    size: int
    severity: Severity
    confidence: Confidence
    result: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Form:
    """A format: the bytes that follow where a store begins, and how to read one there."""

    rule: str
    title: str
    gains: str
    begins: re.Pattern[bytes]
    trigger: bytes
    read: Callable[[bytes], _Store | None]


class KeystoreDetector:
    """Stores of keys (`base.Detector`)."""

    @property
    def triggers(self) -> Sequence[Trigger]:
        """What each format has at its beginning."""
        return tuple(Trigger(form.trigger) for form in _FORMS)

    def confirm(self, data: memoryview, ends: Sequence[int], _path: str) -> Iterator[Match]:
        """The stores in *data*, each once (`base.Detector`)."""
        done = 0
        for end in ends:
            start = max(done, end - 40)
            window = bytes(data[start:end])
            for form in _FORMS:
                found = form.begins.search(window)
                if found is None or start + found.start() < done:
                    continue
                at = start + found.start()
                store = form.read(bytes(data[at : at + _LARGEST]))
                if store is not None:
                    done = at + store.size
                    yield _match(form, store, at, bytes(data[at:done]))
                    break


def _match(form: _Form, store: _Store, at: int, raw: bytes) -> Match:
    evidence = (Evidence("keystore", store.result, store.detail),)
    return Match(form.rule, "keystore", form.title, store.severity, store.confidence, at, at + len(raw), Secret(raw),
                 evidence, gains=form.gains)  # fmt: skip


def _opened(password: str | None, size: int, told: str) -> _Store:
    if password is None:
        return _Store(size, Severity.MEDIUM, Confidence.HIGH, "encrypted", f"{told}, needs its password")
    if password == _DEBUG_PASSWORD:
        return _Store(size, Severity.LOW, Confidence.LOW, "debug", f"{told}, the debug key of an Android SDK")
    return _Store(size, Severity.CRITICAL, Confidence.HIGH, "open", f"{told}, opens with a default password")


def _pkcs12(raw: bytes) -> _Store | None:
    """PFX of RFC 7292: a DER value that says its length."""
    count = raw[1] & 0x7F
    size = int.from_bytes(raw[2 : 2 + count], "big") + 2 + count if raw[1] & 0x80 else raw[1] + 2
    if size > len(raw):
        return None
    der = raw[:size]
    opened = privatekeys.Keystore(-1, None) if _too_many_rounds(der) else privatekeys.pkcs12(der)
    if opened.password is not None:
        return _opened(opened.password, size, "a private key") if opened.keys else None
    if _SHROUDED_BAG in der:
        return _opened(None, size, "a private key")
    if _KEY_BAG in der:
        return _Store(size, Severity.CRITICAL, Confidence.HIGH, "open", "a private key that is not encrypted")
    return _Store(size, Severity.MEDIUM, Confidence.LOW, "encrypted", "what it holds cannot be told")


def _too_many_rounds(der: bytes) -> bool:
    """Whether any count of rounds in the clear part would keep this process busy for minutes."""
    for found in _ROUNDS.finditer(der):
        length = found.group(1)[0]
        if int.from_bytes(der[found.end() : found.end() + length], "big") > _MOST_ROUNDS and length < 5:
            return True
    return False


def _java(raw: bytes) -> _Store | None:
    """JKS and JCEKS: numbered entries, then SHA-1 of the password and all before it."""
    version, entries = int.from_bytes(raw[4:8], "big"), int.from_bytes(raw[8:12], "big")
    at, keys = 12, 0
    if not 0 < entries < 10_000:
        return None
    for _ in range(entries):
        kind = int.from_bytes(raw[at : at + 4], "big")
        at = _after_name(raw, at + 4) + 8  # the alias and when it was made
        if kind == 1:
            at = _after_blob(raw, at)
            chain = int.from_bytes(raw[at : at + 4], "big")
            at += 4
            for _certificate in range(min(chain, 100)):
                at = _after_blob(raw, _after_name(raw, at) if version == 2 else at)
        elif kind == 2:
            at = _after_blob(raw, _after_name(raw, at) if version == 2 else at)
        elif kind == 3 and raw[:1] == b"\xce":  # a serialised object, whose length nobody writes down
            return _Store(min(at, len(raw)), Severity.MEDIUM, Confidence.MEDIUM, "encrypted", "a secret key")
        else:
            return None
        keys += kind == 1
    if not keys or at + 20 > len(raw):
        return None
    password = privatekeys.jks_password(raw[: at + 20])
    return _opened(password, at + 20, "a private key" if keys == 1 else f"{keys} private keys")


def _after_name(raw: bytes, at: int) -> int:
    return at + 2 + int.from_bytes(raw[at : at + 2], "big")


def _after_blob(raw: bytes, at: int) -> int:
    return at + 4 + int.from_bytes(raw[at : at + 4], "big")


def _keytab(raw: bytes) -> _Store | None:
    """MIT's keytab version 2: entries that say their length, negative for holes, to the end of the file."""
    at, names = 2, []
    while at + 4 <= len(raw):
        size = int.from_bytes(raw[at : at + 4], "big", signed=True)
        body = raw[at + 4 : at + 4 + abs(size)]
        at += 4 + abs(size)
        if size == 0:
            break
        if len(body) != abs(size) or len(body) > 4096:
            return None
        if size > 0:
            name = _principal(body)
            if name is None:
                return None
            names.append(name)
    if not names:
        return None
    told = f"{len(names)} keys, the first of {names[0][:80]}"
    return _Store(min(at, len(raw)), Severity.CRITICAL, Confidence.HIGH, "parsed", told)


def _principal(body: bytes) -> str | None:
    """The principal of one entry of a keytab, None if the entry is none."""
    count, at, parts = int.from_bytes(body[:2], "big"), 2, []
    if not 0 < count < 8:
        return None
    for _ in range(count + 1):
        end = _after_name(body, at)
        parts.append(body[at + 2 : end])
        at = end
    if at + 13 > len(body) or not all(part.isascii() and part.decode("ascii").isprintable() for part in parts):
        return None
    return "/".join(part.decode("ascii") for part in parts[1:]) + "@" + parts[0].decode("ascii")


_FORMS = (
    _Form("private-key.pkcs12", "PKCS#12 keystore with a private key",
          "Proves to be whoever holds the certificate in it.",
          re.compile(rb"\x30(?:\x82[\x00-\xff]{2}|\x81[\x00-\xff]|\x83[\x00-\xff]{3})\x02\x01\x03\x30", re.DOTALL),
          rb"\x02\x01\x03\x30[\x00-\xff]{1,5}\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07", _pkcs12),
    _Form("private-key.java-keystore", "Java keystore with a private key",
          "Proves to be whoever holds the certificate in it.",
          re.compile(rb"(?:\xfe\xed\xfe\xed|\xce\xce\xce\xce)\x00\x00\x00[\x01\x02]\x00\x00", re.DOTALL),
          rb"(?:\xfe\xed\xfe\xed|\xce\xce\xce\xce)\x00\x00\x00[\x01\x02]\x00\x00", _java),
    _Form("private-key.keytab", "Kerberos keytab", "Acts as the services whose keys it holds.",
          re.compile(rb"\A\x05\x02\x00\x00[\x00-\x0f][\x00-\xff]\x00[\x01-\x07]\x00", re.DOTALL),
          rb"^\x05\x02\x00\x00[\x00-\x0f][\x00-\xff]\x00[\x01-\x07]\x00", _keytab),
)  # fmt: skip
