"""Offline checks by name: pure functions from the groups of a match to an outcome.

Checksums of issuers, structures that decode, keys that parse. Nothing here reads a clock, a file or the network.
An outcome's *detail* never holds the secret.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import json
import re
from collections.abc import Mapping

from scanner.detect import checksums, plausible, privatekeys
from scanner.detect.outcome import Check, Groups, Outcome, Verdict
from scanner.evidence import Severity


def _crc(right: bool, what: str = "crc32") -> Outcome:
    # A token of this length without its checksum was never issued; text that was altered is still worth a look.
    return Outcome(Verdict.SURE, what, "valid") if right else Outcome(Verdict.DOUBT, what, "mismatch")


def _text(groups: Groups) -> str:
    return groups["secret"].decode("latin-1")


def github_crc32(groups: Groups) -> Outcome:
    """Last six digits: CRC32 of what stands between them and the last `_`, in base62 (GitHub, npm, Vercel ...)."""
    body = _text(groups).rpartition("_")[2]
    return _crc(checksums.crc32_base62(body[:-6].encode("latin-1")) == body[-6:])


def deno_crc32(groups: Groups) -> Outcome:
    """As GitHub's, over the prefix too."""
    text = _text(groups)
    return _crc(checksums.crc32_base62(text[:-6].encode("latin-1")) == text[-6:])


def apify_crc32(groups: Groups) -> Outcome:
    """As Deno's, with the lower-case digits first."""
    text = _text(groups)
    return _crc(checksums.crc32_base62(text[:-6].encode("latin-1"), checksums.BASE62_LOWER_FIRST) == text[-6:])


def body_crc32_hex(groups: Groups) -> Outcome:
    """Last eight digits: CRC32 of the body before them in hexadecimal, prefix and separator left out."""
    text = _text(groups)
    body = text[:-8].rstrip("_").rpartition("_")[2]
    return _crc(f"{checksums.crc32(body.encode('latin-1')):08x}" == text[-8:].lower())


def grafana_crc32(groups: Groups) -> Outcome:
    """CRC32 over prefix and body, its bytes little-endian, in hexadecimal."""
    body, _, check = groups["secret"].rpartition(b"_")
    return _crc(checksums.crc32(body).to_bytes(4, "little").hex().encode() == check)


def confluent_crc32(groups: Groups) -> Outcome:
    """CRC32 over the 54 characters after `cflt`, little-endian, in base64."""
    secret = groups["secret"]
    check = base64.b64encode(checksums.crc32(secret[4:58]).to_bytes(4, "little"))[:6]
    return _crc(check == secret[58:64])


def atlassian_crc32(groups: Groups) -> Outcome:
    """Last eight digits: CRC32 over everything before them, in upper-case hexadecimal."""
    secret = groups["secret"]
    return _crc(f"{checksums.crc32(secret[:-8]):08X}".encode() == secret[-8:])


def gitlab_crc32(groups: Groups) -> Outcome:
    """Routable tokens: the last seven characters are CRC32 over all before, two before them the payload's length."""
    text = _text(groups)
    payload = text.split(".")[0].partition("-")[2]
    payload = payload[3:] if text.startswith("glrt-t") and payload[2:3] == "_" else payload
    right = checksums.base36(checksums.crc32(text[:-7].encode("latin-1")), 7) == text[-7:]
    return _crc(right and text[-9:-7] == checksums.base36(len(payload), 2)) if right else _crc(False)


#: accounts whose keys are planted to see who tries them
_TRIPWIRES = frozenset(
    "044858866125 052310077262 171436882533 251535659677 266735846894 344043088457 351906852752 390477818340"
    " 426127672474 427150556519 439872796651 445142720921 465867158099 534261010715 595918472158 637958123769"
    " 693412236332 717712589309 730335385048 732624840810 735421457923 819147034852 893192397702 959235150393"
    " 982842642351 992382622183".split()
)


def aws_account(groups: Groups) -> Outcome:
    """The account that an access key id names, for ids issued since about 2019."""
    key_id = groups.get("id") or groups["secret"]
    try:
        number = int.from_bytes(base64.b32decode(key_id[4:20])[:6], "big")
    except (binascii.Error, ValueError):
        return Outcome(Verdict.DOUBT, "base32-account", "undecodable")
    if key_id[4:5] < b"Q":
        return Outcome(Verdict.FITS, "base32-account", "unknown", "an id from before accounts were encoded")
    account = f"{(number & 0x7FFFFFFFFF80) >> 7:012d}"
    told = f"account {account}" + (", of a vendor of tripwires" if account in _TRIPWIRES else "")
    return Outcome(Verdict.FITS, "base32-account", "decoded", told)


def aws_secret(groups: Groups) -> Outcome:
    """40 characters of base64 that are neither a hash, a path nor words."""
    secret = groups["secret"]
    classes = sum(bool(re.search(kind, secret)) for kind in (rb"[a-z]", rb"[A-Z]", rb"[0-9]"))
    if re.fullmatch(rb"[0-9a-f]{40}|[0-9A-F]{40}", secret) or classes < 3:
        return Outcome(Verdict.DROP, "key-shape", "no base64")
    if secret.count(b"/") > 6 or len(set(secret)) < 18:
        return Outcome(Verdict.DROP, "key-shape", "not random")
    return Outcome(Verdict.FITS, "key-shape", "valid")


_AZURE_SEEDS: Mapping[bytes, tuple[bytes, ...]] = {
    b"+ASt": (b"Default0",),
    b"ACDb": (b"SysAll00", b"Resour00", b"MastRO00", b"SystRO00", b"Encryp00", b"MastRW00", b"SystRW00"),
    b"+ABa": (b"AbAcct00",),
    b"+AMC": (b"Classic0",),
    b"APIM": (b"Tenant00", b"IoTHub00", b"Gatewy00", b"GitKey00"),
    b"+ASb": (b"Send0000", b"Manage00", b"Listen00", b"System00", b"Unknown0"),
    b"+AEh": (b"Send0000", b"Manage00", b"Listen00", b"System00", b"Unknown0"),
    b"+ARm": (b"Send0000", b"Manage00", b"Listen00", b"System00", b"Unknown0"),
    b"AIoT": (b"IoTHub00", b"DpsKey00", b"Device00"),
    b"AzCa": (b"Access00",),
    b"AzFu": (b"Master00", b"System00", b"Functi00"),
    b"AzSe": (b"Query000", b"PAdmin00"),
    b"+ACR": (b"ACRDflt0",),
}


def azure_marvin(groups: Groups) -> Outcome:
    """Microsoft's identifiable keys: the last four bytes are Marvin32 of the rest under the service's seed."""
    secret = groups["secret"].replace(b"-", b"+").replace(b"_", b"/")
    raw = _decoded(secret)
    if raw is None:
        return Outcome(Verdict.DOUBT, "marvin32", "undecodable")
    check = int.from_bytes(raw[-4:], "little")
    for signature, seeds in _AZURE_SEEDS.items():
        if signature in secret[-14:]:
            for seed in seeds:
                if checksums.marvin32(seed, raw[:-4]) == check:
                    return Outcome(Verdict.SURE, "marvin32", "valid", f"seed {seed.decode()}")
    return Outcome(Verdict.DOUBT, "marvin32", "mismatch")


def base64_bytes(groups: Groups) -> Outcome:
    """The value is base64 of 32 or 64 bytes, as symmetric keys of Azure are."""
    raw = _decoded(groups["secret"])
    if raw is None or len(raw) not in (32, 64):
        return Outcome(Verdict.DROP, "key-length", "wrong")
    return Outcome(Verdict.FITS, "key-length", "valid", f"{len(raw)} bytes")


def entra_secret(groups: Groups) -> Outcome:
    """Client secrets with `8Q~` end with three base-66 digits of Marvin32."""
    secret = groups["secret"]
    if secret[3:4] != b"8":
        return Outcome(Verdict.FITS, "marvin32", "none", "the older form has no checksum")
    digits = checksums.base66(checksums.marvin32(b"AadPwd00", secret[:-3]), 6)
    return _crc(digits[:3].encode() == secret[-3:], "marvin32")


def _decoded(text: bytes) -> bytes | None:
    """*text* from either base64, padded or not; None if it is none."""
    text = text.replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


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
    header, claims = _json_object(_decoded(parts[0])), _json_object(_decoded(parts[1]))
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


def _fields(check: str, wanted: tuple[str, ...], prefix: bytes = b"", until: bytes = b"") -> Check:
    """A check that a token is *prefix* and base64 of a JSON object with the *wanted* fields."""

    def run(groups: Groups) -> Outcome:
        text = groups["secret"].removeprefix(prefix)
        text = text.rpartition(until)[0] if until else text
        value = _json_object(_decoded(text))
        if value is None:
            return Outcome(Verdict.DOUBT, check, "undecodable")
        if any(name not in value for name in wanted):
            return Outcome(Verdict.DOUBT, check, "fields missing")
        return Outcome(Verdict.SURE, check, "valid", "fields " + ", ".join(wanted))

    run.__doc__ = f"Base64 of a JSON object with the fields {', '.join(wanted)}."
    return run


def basic_auth(groups: Groups) -> Outcome:
    """Base64 of `user:password`, as HTTP basic authentication, Docker and npm write it."""
    raw = _decoded(groups["secret"])
    user, colon, password = (raw or b"").partition(b":")
    if not raw or not colon or not password or not raw.isascii() or not raw.decode("ascii").isprintable():
        return Outcome(Verdict.DROP, "basic-auth", "undecodable")
    if plausible.password(password) is not None:
        return Outcome(Verdict.DROP, "basic-auth", "placeholder")
    return Outcome(Verdict.SURE, "basic-auth", "decoded", f"user {user.decode('ascii')[:80]}")


def bech32(groups: Groups) -> Outcome:
    """age and nostr: the checksum of BIP 173."""
    # The prefix and the alphabet tell so much that a text whose checksum fails is a key that was altered.
    return _crc(checksums.bech32_valid(_text(groups)), "bech32")


def base58check(groups: Groups) -> Outcome:
    """Bitcoin's keys: base58 with a double SHA-256."""
    right = checksums.base58check_decode(_text(groups)) is not None
    return Outcome(Verdict.SURE, "base58check", "valid") if right else Outcome(Verdict.DROP, "base58check", "mismatch")


def crc16_base32(groups: Groups) -> Outcome:
    """Stellar and NATS seeds: base32 whose last two bytes are CRC16 of the rest."""
    text = groups["secret"]
    try:
        raw = base64.b32decode(text + b"=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        return Outcome(Verdict.DROP, "crc16", "undecodable")
    right = int.from_bytes(raw[-2:], "little") == checksums.crc16_xmodem(raw[:-2])
    return Outcome(Verdict.SURE, "crc16", "valid") if right else Outcome(Verdict.DROP, "crc16", "mismatch")


def sanctum_crc32(groups: Groups) -> Outcome:
    """Laravel Sanctum: the last eight digits are CRC32 of the forty characters before them."""
    text = _text(groups)
    right = f"{checksums.crc32(text[-48:-8].encode('latin-1')):08x}" == text[-8:]
    return Outcome(Verdict.SURE, "crc32", "valid") if right else Outcome(Verdict.DROP, "crc32", "mismatch")


def devops_crc32(groups: Groups) -> Outcome:
    """Legacy tokens of Azure DevOps: four of 32 bytes are CRC32 of the others, xored with one of two seeds."""
    try:
        raw = base64.b32decode(groups["secret"].upper() + b"=" * (-len(groups["secret"]) % 8))
    except (binascii.Error, ValueError):
        return Outcome(Verdict.DROP, "crc32", "undecodable")
    if len(raw) != 32:
        return Outcome(Verdict.DROP, "crc32", "undecodable")
    crc = checksums.crc32(raw[:2] + raw[3:7] + raw[9:22] + raw[23:])
    told = int.from_bytes(bytes((raw[22], raw[8], raw[7], raw[2])), "little")
    return _crc(crc ^ told in (0xE0B9692D, 0x1019F92E))


def discord_id(groups: Groups) -> Outcome:
    """The first part of a Discord token is base64 of a decimal id made since 2015."""
    parts = groups["secret"].split(b".")
    raw = _decoded(parts[0])
    if raw is not None and raw.isdigit() and 15 <= len(raw) <= 20:
        return Outcome(Verdict.SURE, "snowflake", "valid")
    mixed = all(re.search(kind, part) for part in (parts[0], parts[-1]) for kind in (rb"[a-z]", rb"[A-Z]", rb"[0-9]"))
    if not mixed or plausible.words(parts[-1], 0.3) is not None:
        return Outcome(Verdict.DROP, "snowflake", "no id")
    return Outcome(Verdict.DOUBT, "snowflake", "no id")


def macaroon(groups: Groups) -> Outcome:
    """A version 2 macaroon after the prefix: version byte, location, identifier."""
    raw = _decoded(groups["secret"].partition(b"-")[2] or groups["secret"])
    if raw is None or not raw.startswith(b"\x02\x01") or len(raw) < 40:
        return Outcome(Verdict.DOUBT, "macaroon", "malformed")
    return Outcome(Verdict.FITS, "macaroon", "parsed")


def macaroon_parsed(groups: Groups) -> Outcome:
    """A whole macaroon, version 1 or 2: sections of fields and a signature of 32 bytes at its end."""
    raw = _decoded(groups["secret"])
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


def jwe(groups: Groups) -> Outcome:
    """The header of an encrypted token names how it is encrypted."""
    header = _json_object(_decoded(groups["secret"].split(b".")[0]))
    if header is None or not isinstance(header.get("enc"), str):
        return Outcome(Verdict.DROP, "jwe", "no header")
    return Outcome(Verdict.FITS, "jwe", "decoded", f"enc {str(header['enc'])[:20]}")


_ESCAPED_BREAK = re.compile(rb"\\+[nrt]|\\\r?\n")
#: what BuildKit writes in front of each line that a step prints
_BUILD_LOG = re.compile(rb"^#[0-9]{1,4} [0-9]{1,6}\.[0-9]{1,3} ", re.MULTILINE)
_JOINT = re.compile(rb"[\"'`]\s*[+.,]?\s*[\"'`]|[\"'`]")
_ARMOUR_HEADER = re.compile(rb"^[ \t]*[A-Za-z-]{3,20}: [^\n]*$", re.MULTILINE)
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
_LEAST_BODY = 64


def pem(groups: Groups) -> Outcome:
    """A private key in armour: body long enough, base64, and of the structure its label promises."""
    label = groups.get("label", b"").decode("latin-1")
    inner, headers, text = _unwrapped(groups)
    if len(text) < _LEAST_BODY or len(set(text)) < 12 or b"..." in inner or b"xxxxxxxx" in inner.lower():
        return Outcome(Verdict.DROP, "pem-parse", "no body")
    return _armoured(label, headers, _decoded(text if len(text) % 4 != 1 else text[:-1]) or b"")


def openssh_body(groups: Groups) -> Outcome:
    """The base64 of an OpenSSH key that stands without its armour."""
    raw = _decoded(groups["secret"])
    if raw is None or not raw.startswith(b"openssh-key-v1\0"):
        return Outcome(Verdict.DROP, "pem-parse", "undecodable")
    return _armoured("OPENSSH PRIVATE KEY", b"", raw)


def _unwrapped(groups: Groups) -> tuple[bytes, bytes, bytes]:
    """What stands between the lines BEGIN and END without escapes and quotes, its headers, and its base64 alone."""
    inner = re.sub(rb"-{4,5} ?(?:BEGIN|END)[^-]{0,60}-{4,5}", b"", groups["secret"])
    inner = _BUILD_LOG.sub(b"", _JOINT.sub(b"", _ESCAPED_BREAK.sub(b"\n", inner)))
    headers = b"\n".join(_ARMOUR_HEADER.findall(inner))
    body = _ARMOUR_HEADER.sub(b"", inner)
    if b"PGP" in groups.get("label", b""):
        body = re.sub(rb"^=[A-Za-z0-9+/]{4}\s*$", b"", body, flags=re.MULTILINE)
    return inner, headers, _NOT_BASE64.sub(b"", body).rstrip(b"=")


def key_digest(groups: Groups) -> str:
    """SHA-256 of the base64 of a key in armour, however its lines are broken, quoted or indented: names it for ever."""
    return hashlib.sha256(_unwrapped(groups)[2]).hexdigest()


_PUBLIC_NAME = re.compile(rb"site|public|client", re.IGNORECASE)


def not_public_name(groups: Groups) -> Outcome:
    """A key whose public and secret half look alike: the name it is set to tells which it is."""
    if _PUBLIC_NAME.search(groups.get("name", b"")):
        return Outcome(Verdict.PUBLIC, "name", "public", "named as the public half")
    return Outcome(Verdict.FITS, "name", "not public")


def test_mode(_groups: Groups) -> Outcome:  # noqa: PT019  (no test: a check named in rules)
    """The rule's shape is that of an issuer's sandbox: a secret, with little behind it."""
    return Outcome(Verdict.FITS, "mode", "test", "opens the issuer's sandbox only", Severity.LOW)


def _armoured(label: str, headers: bytes, raw: bytes) -> Outcome:
    if b"ENCRYPTED" in headers or "ENCRYPTED" in label:
        return Outcome(Verdict.FITS, "pem-parse", "encrypted", "needs a passphrase", Severity.MEDIUM)
    if raw.startswith(b"openssh-key-v1\0"):
        return _openssh(raw)
    if raw[:1] == b"\x30":
        whole = raw[: _der_length(raw)]
        if (key := privatekeys.from_der(whole)) is not None:
            return Outcome(Verdict.SURE, "pem-parse", "valid", f"{key.told}, not encrypted")
        if abs(_der_length(raw) - len(raw)) <= 3:
            return Outcome(Verdict.FITS, "pem-parse", "structure", "DER of the right length, of no kind that is known")
        return Outcome(Verdict.FITS, "pem-parse", "cut", "DER of which a part is missing or altered")
    if "PGP" in label and (told := privatekeys.openpgp(raw)) is not None:
        return _pgp(*told.split(" "))
    if "PGP" not in label and "SSH2" not in label:
        # OpenSSH's format and DER both say at once what they are: this is neither.
        return Outcome(Verdict.PUBLIC, "pem-parse", "malformed", "the body is neither DER nor openssh-key-v1")
    return Outcome(Verdict.FITS, "pem-parse", "unparsed", "the body is base64 of unknown structure")


def _pgp(state: str, algorithm: str) -> Outcome:
    if state == "open":
        return Outcome(Verdict.SURE, "pem-parse", "valid", f"OpenPGP {algorithm}, not encrypted")
    if state == "encrypted":
        told = f"OpenPGP {algorithm}, needs a passphrase"
        return Outcome(Verdict.FITS, "pem-parse", "encrypted", told, Severity.MEDIUM)
    return Outcome(Verdict.PUBLIC, "pem-parse", "elsewhere", "the secret part is on a card or kept offline")


def _openssh(raw: bytes) -> Outcome:
    cipher = raw[19 : 19 + min(int.from_bytes(raw[15:19], "big"), 32)]
    if cipher != b"none":
        return Outcome(Verdict.FITS, "pem-parse", "encrypted", "needs a passphrase", Severity.MEDIUM)
    if (key := privatekeys.from_openssh(raw)) is not None:
        return Outcome(Verdict.SURE, "pem-parse", "valid", f"{key.told}, not encrypted")
    if b"sk-ssh-" in raw[:200] or b"sk-ecdsa-" in raw[:200]:
        return Outcome(Verdict.FITS, "pem-parse", "hardware", "a handle of a key in hardware", Severity.LOW)
    return Outcome(Verdict.FITS, "pem-parse", "structure", "openssh-key-v1, not encrypted, of no kind that is known")


def _der_length(raw: bytes) -> int:
    """How many bytes the outermost DER value of *raw* says it takes; 0 if it does not say."""
    if len(raw) < 4:
        return 0
    count = raw[1] & 0x7F if raw[1] & 0x80 else 0
    if count > 4:
        return 0
    return int.from_bytes(raw[2 : 2 + count], "big") + 2 + count if count else raw[1] + 2


def service_account(groups: Groups) -> Outcome:
    """The key inside a Google service account file."""
    return pem({"secret": groups["secret"], "label": b"PRIVATE KEY"})


def ses_version(groups: Groups) -> Outcome:
    """SMTP passwords of AWS SES: 33 bytes, the first of which is the version of the algorithm."""
    raw = _decoded(groups["secret"])
    right = raw is not None and len(raw) == 33 and raw[0] == 4
    return Outcome(Verdict.FITS, "ses-version", "valid") if right else Outcome(Verdict.DROP, "ses-version", "wrong")


_NGC = re.compile(rb"[a-z0-9]{26}:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def ngc_parts(groups: Groups) -> Outcome:
    """NVIDIA NGC: base64 of an id and a UUID."""
    if _NGC.fullmatch(_decoded(groups["secret"]) or b"") is None:
        return Outcome(Verdict.DROP, "base64-parts", "undecodable")
    return Outcome(Verdict.SURE, "base64-parts", "valid")


def solana_pair(groups: Groups) -> Outcome:
    """64 bytes in base58: a seed, and the Ed25519 public key that belongs to it."""
    raw = checksums.base58_decode(_text(groups))
    if raw is None or not privatekeys.ed25519_pair(raw):
        return Outcome(Verdict.DROP, "key-pair", "mismatch")
    return Outcome(Verdict.SURE, "key-pair", "valid", "the public half belongs to it")


def wireguard(groups: Groups) -> Outcome:
    """32 bytes; keys that tools make have three bits cleared and one set."""
    raw = _decoded(groups["secret"])
    if raw is None or len(raw) != 32:
        return Outcome(Verdict.DROP, "key-length", "wrong")
    clamped = not raw[0] & 7 and not raw[31] & 0x80 and bool(raw[31] & 0x40)
    return Outcome(Verdict.SURE if clamped else Verdict.FITS, "key-length", "valid", "32 bytes")


def mixed_classes(groups: Groups) -> Outcome:
    """A value of random characters has letters and digits, or both cases; a word in front tells nothing."""
    secret = re.sub(rb"^[A-Za-z]{2,12}[-_.:]", b"", groups["secret"])
    classes = sum(bool(re.search(kind, secret)) for kind in (rb"[a-z]", rb"[A-Z]", rb"[0-9]"))
    if classes < 2:
        return Outcome(Verdict.DROP, "classes", "one class")
    return Outcome(Verdict.FITS, "classes", "mixed")


def no_words(groups: Groups) -> Outcome:
    """A value of random characters does not read like a name."""
    if plausible.words(groups["secret"], 0.3) is not None:
        return Outcome(Verdict.DROP, "randomness", "words")
    return Outcome(Verdict.FITS, "randomness", "random")


CHECKS: Mapping[str, Check] = {
    "apify-crc32": apify_crc32,
    "atlassian-crc32": atlassian_crc32,
    "aws-account": aws_account,
    "aws-secret": aws_secret,
    "azure-marvin": azure_marvin,
    "base58check": base58check,
    "base64-bytes": base64_bytes,
    "basic-auth": basic_auth,
    "bech32": bech32,
    "body-crc32-hex": body_crc32_hex,
    "cloudflare-tunnel": _fields("base64-json", ("a", "t", "s")),
    "confluent-crc32": confluent_crc32,
    "crc16-base32": crc16_base32,
    "deno-crc32": deno_crc32,
    "devops-crc32": devops_crc32,
    "discord-id": discord_id,
    "entra-secret": entra_secret,
    "github-crc32": github_crc32,
    "gitlab-crc32": gitlab_crc32,
    "grafana-cloud-json": _fields("base64-json", ("o", "n", "k"), b"glc_"),
    "grafana-crc32": grafana_crc32,
    "grafana-json": _fields("base64-json", ("k", "n", "id")),
    "jwe": jwe,
    "jwt": jwt,
    "macaroon": macaroon,
    "macaroon-parsed": macaroon_parsed,
    "mixed-classes": mixed_classes,
    "ngc-parts": ngc_parts,
    "no-words": no_words,
    "not-public-name": not_public_name,
    "onepassword-json": _fields("base64-json", ("email", "signInAddress"), b"ops_"),
    "openssh-body": openssh_body,
    "pem": pem,
    "sanctum-crc32": sanctum_crc32,
    "sentry-json": _fields("base64-json", ("iat", "url"), b"sntrys_", b"_"),
    "service-account": service_account,
    "ses-version": ses_version,
    "solana-pair": solana_pair,
    "test-mode": test_mode,
    "wireguard": wireguard,
}
