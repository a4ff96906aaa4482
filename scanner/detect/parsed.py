"""Credentials in files of known kinds: the file is parsed, its secret fields become matches with exact spans, and the
user, host or profile that a secret is for becomes evidence.

The path decides what a file is (`filekinds`), so no trigger has to fire in it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from scanner.detect import plausible
from scanner.detect.base import Explaining, Trigger
from scanner.detect.filekinds import SECRET, FileKind, FileKinds, Holds
from scanner.detect.formats import Field, Fields
from scanner.detect.spans import Suppressed
from scanner.evidence import Confidence, Evidence, Match, Secret, Severity
from scanner.limits import MIB

#: larger files are no credential files, and a parser written in Python would take seconds for one
_LARGEST = 2 * MIB
_LONGEST = 16_384
_NAMED_BYTES = 120
_LONGEST_NAME = 600
#: of more fields in one object, so many to either side of a secret are looked at for its partners
_NEAR = 40
#: of more secrets in one file, whom they are for is not told any more: looking for it takes time for each
_MOST = 200
#: a secret's own name without what tells that it is one: what stands before is what its user's name begins with
_SECRET_WORD = re.compile(
    rb"(?:(?:secret[-_]?)?(?:access[-_]?)?(?:passw(?:or)?d|passwd|passphrase|password2|pass|pwd|psk|secret(?:_key)?|token"
    rb"|(?:secret|access|api)[-_]?key|key|auth(?:token)?)[0-9]?)\Z",
    re.IGNORECASE,
)
#: names of what people make up
_CHOSEN = re.compile(rb"pass(?:word|phrase|wd)?[0-9]?\Z|pwd\Z", re.IGNORECASE)
#: names of what somebody issues, and no person makes up
_ISSUED = re.compile(rb"(?:token|(?<!secret[-_])key)[0-9]?\Z", re.IGNORECASE)
_SHORTEST_KEY = 12
_PARTNERS = tuple(
    (role, re.compile(rb"(?:" + words + rb")\Z", re.IGNORECASE))
    for role, words in (
        ("user", rb"user(?:[-_.]?(?:name|id))?|login|usr|e?mail|client[-_]?id|access[-_]?key(?:[-_]?id)?|uid"),
        ("host", rb"host(?:name)?|server|address|registry|repository|machine|endpoint|jdbc-?url|url|service"),
        ("name", rb"(?:\A|[._:-])(?:ssid|id|name|profile)"),
    )
)
_KEY_HOST = re.compile(
    rb"\A(?://([^\s/:]{1,120}(?::[0-9]+)?)|([a-z0-9-]{1,60}(?:\.[a-z0-9-]{1,60}){1,5}(?::[0-9]+)?)\Z)"
)
#: names around a secret that tell nothing
_NO_NAME = re.compile(
    rb"(?:auths?|users?|servers?|resources|instances|attributes|credentials?|default|global|client|user|settings"
    rb"|configuration|project|component|add|value|env(?:ironment|s)?|data|options|spec|services)\Z",
    re.IGNORECASE,
)
#: what stands where a token stands in addresses that have none
_NO_TOKEN = re.compile(
    rb"(?:git|hg|svn|anonymous|ssh|root|admin|user(?:name)?|oauth2(?:accesstoken)?|token|x-access-token|[\w.+-]+@[\w.-]+)\Z",
    re.IGNORECASE,
)
_HASHES = (
    (b"$1$", "MD5-crypt"), (b"$apr1$", "Apache's MD5-crypt"), (b"$2", "bcrypt"), (b"$5$", "SHA-256-crypt"),
    (b"$6$", "SHA-512-crypt"), (b"$y$", "yescrypt"), (b"$gy$", "gost-yescrypt"), (b"$7$101$", "PBKDF2"),
    (b"$7$", "scrypt"), (b"md5", "PostgreSQL's MD5"), (b"SCRAM-SHA-256$", "PBKDF2"),
    (b"$argon2", "Argon2"), (b"$P$", "phpass"), (b"$H$", "phpass"), (b"{SHA}", "SHA-1 without salt"),
    (b"{SSHA", "salted SHA"), (b"{PBKDF2", "PBKDF2"), (b"_", "extended DES-crypt"),
)  # fmt: skip
_ENCRYPTED = re.compile(rb"\{[A-Za-z0-9+/=\s]{20,}\}|[A-Za-z0-9+/]{40,}={0,2}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\s-]{4,}={0,2}")


class ParsedFileDetector(Explaining):
    """Secret fields of credential files (`base.Detector`, `base.PathDetector`).

    Args:
        known: SHA-256 of a published value, in hexadecimal → where it is published.
    """

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self._kinds = FileKinds()
        self._known = dict(known or {})

    @property
    def triggers(self) -> Sequence[Trigger]:
        """None: the path decides."""
        return ()

    def claims(self, path: str) -> bool:
        """Whether *path* may name a credential file."""
        return self._kinds.claims(path)

    def explain(self, data: memoryview, _ends: Sequence[int], path: str) -> Iterator[Match | Suppressed]:
        """As `confirm`, with what was judged to be no secret, and why."""
        if len(data) > _LARGEST:
            return
        kinds = self._kinds.of(path)
        content = bytes(data) if kinds else b""
        seen: set[tuple[int, int]] = set()
        parsed: dict[object, _Around] = {}
        for kind in kinds:
            if kind.reader not in parsed:
                parsed[kind.reader] = _Around(kind.reader(content))
            around = parsed[kind.reader]
            for field in around.fields:
                if (field.start, field.end) in seen or not kind.least <= len(field.value) <= _LONGEST:
                    continue
                if not kind.names_secret(b"/".join(field.keys)[-_LONGEST_NAME:]):
                    continue
                seen.add((field.start, field.end))
                partners = list(around.partners(field)) if len(seen) <= _MOST else []
                found = _judged(kind, field, partners, content)
                source = self._known.get(hashlib.sha256(field.value).hexdigest()) if self._known else None
                if source is not None:
                    found = Suppressed(kind.rule, found.start, found.end, f"public-example: {source}")
                yield found


class _Around:
    """The fields of a file, and what stands beside each."""

    def __init__(self, read: Fields) -> None:
        self.fields = read.fields
        self._parents = read.parents
        self._groups: dict[int, list[Field]] = {}
        for field in read.fields:
            self._groups.setdefault(field.group, []).append(field)

    def partners(self, secret: Field) -> Iterator[Evidence]:
        """Whom or what a secret is for, as far as the file says."""
        found = {"": secret.value}
        for role, pattern in _PARTNERS:
            value = self._partner(secret, pattern)
            if value and value not in found.values():
                found[role] = value
                yield _companion(role, value)
        host = _KEY_HOST.match(secret.key)
        if host is not None and (host.group(1) or _SECRET_WORD.search(secret.key) is None):
            yield _companion("host", host.group(1) or host.group(2))
        elif "name" not in found and (name := _enclosing(secret)):
            yield _companion("name", name)

    def _partner(self, secret: Field, pattern: re.Pattern[bytes]) -> bytes | None:
        """The value that goes with the secret: of a name that begins as the secret's does, else the only one that
        there is; in the object itself, else in those around it."""
        group = secret.group
        own = _SECRET_WORD.sub(b"", secret.key[-_LONGEST_NAME:]).rstrip(b"._-").lower()
        while True:
            named = [(f, m) for f in self._near(secret, group) if (m := pattern.search(f.key[-_LONGEST_NAME:]))]
            for field, word in named:
                if field.key[: word.start()].rstrip(b"._-").lower() == own:
                    return field.value
            if len(named) == 1:
                return named[0][0].value
            group = self._parents[group]
            if group == 0 or named:
                return None

    def _near(self, secret: Field, group: int) -> Iterator[Field]:
        """The fields of a group, of a large one those near the secret."""
        fields = self._groups.get(group, [])
        at = bisect_left(fields, secret.start, key=lambda field: field.start) if len(fields) > 2 * _NEAR else 0
        for field in fields[max(0, at - _NEAR) : at + 2 * _NEAR]:
            if field.start != secret.start and field.value:
                yield field


def _enclosing(secret: Field) -> bytes | None:
    return next((key for key in reversed(secret.keys[:-1]) if not _NO_NAME.match(key)), None)


def _companion(role: str, value: bytes) -> Evidence:
    return Evidence("companion", role, value[:_NAMED_BYTES].decode("utf-8", "backslashreplace"))


def _judged(kind: FileKind, field: Field, partners: list[Evidence], content: bytes) -> Match | Suppressed:
    value, confidence, evidence = field.value, Confidence.HIGH, []
    reason = None if kind.holds is Holds.HASH else plausible.reference(value)
    if kind.holds in (Holds.BASIC, Holds.PAIR) and reason is None:
        plain = value if kind.holds is Holds.PAIR else _decoded(value)
        user, colon, value = (plain or b"").partition(b":")
        reason = None if colon and value else "undecodable"
        if reason is None:
            partners = [_companion("user", user), *(e for e in partners if e.result != "user")]
            evidence.append(Evidence("basic-auth", "decoded", "a user and a password"))
    elif kind.holds in (Holds.BASE64, Holds.MAYBE_BASE64) and reason is None:
        plain = _decoded(value)
        if plain is None and kind.holds is Holds.BASE64:
            reason = "undecodable"
        elif plain is not None and (kind.holds is Holds.BASE64 or plausible.no_text(plain) is None):
            value = plain
            evidence.append(Evidence("base64", "decoded"))
    start, end = field.start, field.end
    if kind.holds is Holds.PAIR and reason is None:  # the secret is the second half as it stands there
        start = end - len(value) if content[start:end].endswith(value) else start
    severity = kind.severity
    if reason is None:
        confidence, severity, reason, said = _weighed(kind, field.key, value, partners)
        evidence += said
    if reason is not None:
        return Suppressed(kind.rule, start, end, reason)
    return Match(
        kind.rule, "file", kind.title, severity, confidence, start, end, Secret(content[start:end]),
        (*partners, *evidence), gains=kind.gains,
    )  # fmt: skip


def _weighed(
    kind: FileKind, name: bytes, value: bytes, partners: Sequence[Evidence]
) -> tuple[Confidence, Severity, str | None, list[Evidence]]:
    """How sure, how bad, why it is no secret, and what can be said about it."""
    severity = kind.severity
    if kind.holds is Holds.HASH:
        hashed = next((form for start, form in _HASHES if value.startswith(start)), "DES-crypt")
        return Confidence.LOW, severity, None, [Evidence("password-hash", "hash", hashed)]
    if kind.holds is Holds.ENCRYPTED and _ENCRYPTED.fullmatch(value):
        text = "encrypted; whoever has secrets/master.key and hudson.util.Secret can read it"
        return Confidence.LOW, severity, None, [Evidence("encrypted", "jenkins", text)]
    if kind.holds is Holds.BASE64 and b"PRIVATE KEY-----" in value:
        return Confidence.HIGH, severity, None, [Evidence("pem-parse", "label", "a private key")]
    has_user = any(item.result == "user" for item in partners)
    if kind.holds is Holds.TOKEN:
        reason = plausible.password(value) if len(value) < 64 else plausible.long_text(value)
        if reason is None and kind.keys == SECRET and not has_user:
            reason = _no_token(value)  # of an address, where a user's name may stand in its place
        elif reason is None and not has_user and len(value) < 64 and _CHOSEN.search(name) is None:
            reason = plausible.orderly(value)
        return (Confidence.HIGH if len(value) < 64 and has_user else Confidence.MEDIUM), severity, reason, []
    if kind.holds is Holds.SETTING:
        reason = plausible.password(value) or plausible.expression(value)
        if reason is None and b" " in value and not has_user:
            reason = "words"
        if reason is None and _ISSUED.search(name[-_LONGEST_NAME:]) is not None:
            reason = "short" if len(value) < _SHORTEST_KEY else plausible.orderly(value)
        plain = plausible.words(value, 0.1) is not None and not re.search(rb"[0-9]", value)
        return (Confidence.LOW if plain and not has_user else Confidence.MEDIUM), severity, reason, []
    reason = plausible.password(value)
    return Confidence.HIGH, severity, reason, []


def _no_token(value: bytes) -> str | None:
    if _NO_TOKEN.match(value):
        return "user-name"
    return "words" if len(value) < 16 or plausible.words(value, 0.15) else None


def _decoded(value: bytes) -> bytes | None:
    if _BASE64.fullmatch(value) is None:
        return None
    packed = b"".join(value.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
