"""Checks of tokens that are structures: JSON web tokens, base64 of JSON, basic authentication, macaroons."""

from __future__ import annotations

import datetime
import json
import re

from scanner.detect import checksums, plausible
from scanner.detect.outcome import Check, Groups, Outcome, Verdict


def _json_object(raw: bytes | None) -> dict[str, object] | None:
    if raw is None or len(raw) > 64 << 10:
        return None
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


#: what tokens in use carry at least one of: RFC 7519 section 4.1, and the names that issuers share
_CLAIMS = frozenset(
    "iss sub aud exp nbf iat jti scope scp role roles client_id clientId uid user user_id userId email name azp sid"
    " account_id".split()
)


def jwt(groups: Groups) -> Outcome:
    """Header and claims of a JSON web token: algorithm, issuer, expiry."""
    parts = groups["secret"].split(b".")
    header, claims = _json_object(checksums.base64_decode(parts[0])), _json_object(checksums.base64_decode(parts[1]))
    algorithm = header.get("alg") if header is not None else None
    if not isinstance(algorithm, str):
        return Outcome(Verdict.DROP, "jwt-exp", "no header")
    if claims is None:
        return Outcome(Verdict.FITS, "jwt-exp", "opaque", "claims do not decode")
    if claims.get("sub") == "1234567890" or claims.get("iss") in ("joe", "supabase-demo"):
        return Outcome(Verdict.DROP, "jwt-exp", "public example")
    if claims.get("role") == "anon":
        return Outcome(Verdict.PUBLIC, "jwt-exp", "public", "role anon")
    if algorithm == "none":
        return Outcome(Verdict.DOUBT, "jwt-exp", "unsigned")
    if not _CLAIMS & set(claims):
        return Outcome(Verdict.DOUBT, "jwt-exp", "decoded", "no registered claim")
    issuer = claims.get("iss")
    told = f"alg {algorithm[:16]}" + (f", issuer {issuer[:80]}" if isinstance(issuer, str) else "")
    return Outcome(Verdict.FITS, "jwt-exp", "decoded", told + _expiry(claims.get("exp")))


def _expiry(seconds: object) -> str:
    if not isinstance(seconds, (int, float)) or not 0 < seconds < 1 << 36:
        return ", no expiry"
    return f", expires {datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d}"


def fields(check: str, wanted: tuple[str, ...], prefix: bytes = b"", until: bytes = b"") -> Check:
    """A check that a token is *prefix* and base64 of a JSON object with the *wanted* fields."""

    def run(groups: Groups) -> Outcome:
        text = groups["secret"].removeprefix(prefix)
        text = text.rpartition(until)[0] if until else text
        value = _json_object(checksums.base64_decode(text))
        if value is None:
            return Outcome(Verdict.DOUBT, check, "undecodable")
        if any(name not in value for name in wanted):
            return Outcome(Verdict.DOUBT, check, "fields missing")
        return Outcome(Verdict.SURE, check, "valid", "fields " + ", ".join(wanted))

    run.__doc__ = f"Base64 of a JSON object with the fields {', '.join(wanted)}."
    return run


def jwe(groups: Groups) -> Outcome:
    """The header of an encrypted token names how it is encrypted."""
    header = _json_object(checksums.base64_decode(groups["secret"].split(b".")[0]))
    if header is None or not isinstance(header.get("enc"), str):
        return Outcome(Verdict.DROP, "jwe", "no header")
    return Outcome(Verdict.FITS, "jwe", "decoded", f"enc {str(header['enc'])[:20]}")


def basic_auth(groups: Groups) -> Outcome:
    """Base64 of `user:password`, as HTTP basic authentication, Docker and npm write it."""
    raw = checksums.base64_decode(groups["secret"])
    user, colon, password = (raw or b"").partition(b":")
    if not raw or not colon or not password or not raw.isascii() or not raw.decode("ascii").isprintable():
        return Outcome(Verdict.DROP, "basic-auth", "undecodable")
    if plausible.password(password) is not None:
        return Outcome(Verdict.DROP, "basic-auth", "placeholder")
    return Outcome(Verdict.SURE, "basic-auth", "decoded", f"user {user.decode('ascii')[:80]}")


def macaroon(groups: Groups) -> Outcome:
    """A version 2 macaroon after the prefix: version byte, location, identifier."""
    raw = checksums.base64_decode(groups["secret"].partition(b"-")[2] or groups["secret"])
    if raw is None or not raw.startswith(b"\x02\x01") or len(raw) < 40:
        return Outcome(Verdict.DOUBT, "macaroon", "malformed")
    return Outcome(Verdict.FITS, "macaroon", "parsed")


def macaroon_parsed(groups: Groups) -> Outcome:
    """A whole macaroon, version 1 or 2: sections of fields and a signature of 32 bytes at its end."""
    raw = checksums.base64_decode(groups["secret"])
    if raw is None or not (_packets_end_well(raw) if raw[:1] == b"0" else _sections_end_well(raw)):
        return Outcome(Verdict.DROP, "macaroon", "malformed")
    return Outcome(Verdict.SURE, "macaroon", "parsed")


def _packets_end_well(raw: bytes) -> bool:
    """Version 1: packets of four hexadecimal digits that count themselves, a name, a space, a value, a newline."""
    at, name = 0, b""
    while at < len(raw):
        digits = raw[at : at + 4]
        if not re.fullmatch(rb"[0-9a-f]{4}", digits) or not 6 <= int(digits, 16) <= len(raw) - at:
            return False
        name = raw[at + 4 : at + int(digits, 16)].partition(b" ")[0]
        at += int(digits, 16)
    return name == b"signature"


def _sections_end_well(raw: bytes) -> bool:
    """Version 2: a version byte, then fields of type, length and data; sections end in 0, the signature is last."""
    at = 1
    while at < len(raw) - 34:
        kind, length, shift = raw[at], 0, 0
        at += 1
        if kind == 0:
            continue
        if kind not in (1, 2, 4):
            return False
        while at < len(raw) and shift < 28:
            byte = raw[at]
            length, shift, at = length | (byte & 0x7F) << shift, shift + 7, at + 1
            if not byte & 0x80:
                break
        at += length
    return raw[:1] == b"\x02" and at == len(raw) - 34 and raw[-34:-32] == b"\x06\x20"
