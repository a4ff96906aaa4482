"""Checks of values that an issuer or a tool made by rule: checksums in tokens, ids that decode, keys that fit."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from scanner.detect import checksums, plausible, privatekeys
from scanner.detect.outcome import Groups, Outcome, Verdict


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
    raw = checksums.base64_decode(secret)
    if raw is None:
        return Outcome(Verdict.DOUBT, "marvin32", "undecodable")
    check = int.from_bytes(raw[-4:], "little")
    for signature, seeds in _AZURE_SEEDS.items():
        if signature in secret[-14:]:
            for seed in seeds:
                if checksums.marvin32(seed, raw[:-4]) == check:
                    return Outcome(Verdict.SURE, "marvin32", "valid", f"seed {seed.decode()}")
    return Outcome(Verdict.DOUBT, "marvin32", "mismatch")


def entra_secret(groups: Groups) -> Outcome:
    """Client secrets with `8Q~` end with three base-66 digits of Marvin32."""
    secret = groups["secret"]
    if secret[3:4] != b"8":
        return Outcome(Verdict.FITS, "marvin32", "none", "the older form has no checksum")
    digits = checksums.base66(checksums.marvin32(b"AadPwd00", secret[:-3]), 6)
    return _crc(digits[:3].encode() == secret[-3:], "marvin32")


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


def discord_id(groups: Groups) -> Outcome:
    """The first part of a Discord token is base64 of a decimal id made since 2015."""
    parts = groups["secret"].split(b".")
    raw = checksums.base64_decode(parts[0])
    if raw is not None and raw.isdigit() and 15 <= len(raw) <= 20:
        return Outcome(Verdict.SURE, "snowflake", "valid")
    mixed = all(re.search(kind, part) for part in (parts[0], parts[-1]) for kind in (rb"[a-z]", rb"[A-Z]", rb"[0-9]"))
    if not mixed or plausible.words(parts[-1], 0.3) is not None:
        return Outcome(Verdict.DROP, "snowflake", "no id")
    return Outcome(Verdict.DOUBT, "snowflake", "no id")


def ses_version(groups: Groups) -> Outcome:
    """SMTP passwords of AWS SES: 33 bytes, the first of which is the version of the algorithm."""
    raw = checksums.base64_decode(groups["secret"])
    right = raw is not None and len(raw) == 33 and raw[0] == 4
    return Outcome(Verdict.FITS, "ses-version", "valid") if right else Outcome(Verdict.DROP, "ses-version", "wrong")


_NGC = re.compile(rb"[a-z0-9]{26}:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def ngc_parts(groups: Groups) -> Outcome:
    """NVIDIA NGC: base64 of an id and a UUID."""
    if _NGC.fullmatch(checksums.base64_decode(groups["secret"]) or b"") is None:
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
    raw = checksums.base64_decode(groups["secret"])
    if raw is None or len(raw) != 32:
        return Outcome(Verdict.DROP, "key-length", "wrong")
    clamped = not raw[0] & 7 and not raw[31] & 0x80 and bool(raw[31] & 0x40)
    return Outcome(Verdict.SURE if clamped else Verdict.FITS, "key-length", "valid", "32 bytes")
