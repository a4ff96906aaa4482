"""Checks of private keys in armour: what is between BEGIN and END, however it is broken, quoted or indented."""

from __future__ import annotations

import hashlib
import re

from scanner.detect import checksums, privatekeys
from scanner.detect.outcome import Groups, Outcome, Verdict
from scanner.evidence import Severity

_ESCAPED_BREAK = re.compile(rb"\\+[nrt]|\\\r?\n|&#(?:1[03]|[xX]0?[aAdD]);")
#: what BuildKit writes in front of each line that a step prints
_BUILD_LOG = re.compile(rb"^#[0-9]{1,4} [0-9]{1,6}\.[0-9]{1,3} ", re.MULTILINE)
#: between the pieces of a text: a sign, and what a program calls the end of a line
_JOINT = re.compile(
    rb"[\"'`]\s*(?:[+.,&]\s*(?:[A-Za-z_][\w.]{2,40}(?:\(\))?\s*[+.,&]\s*)?(?:_\s)?)?\s*[\"'`]|[\"'`]"
)
_ARMOUR_HEADER = re.compile(rb"^[ \t]*[A-Za-z-]{3,20}: [^\n]*$", re.MULTILINE)
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
_LEAST_BODY = 64
_QUOTE = re.compile(rb"[\"'`]")
#: the longest mark that comments, differences and logs have in front of their lines
_LONGEST_MARK = 48


def pem(groups: Groups) -> Outcome:
    """A private key in armour: body long enough, base64, and of the structure its label promises."""
    label = groups.get("label", b"").decode("latin-1")
    inner, headers, text = _unwrapped(groups)
    if len(text) < _LEAST_BODY or len(set(text)) < 12 or b"..." in inner or b"xxxxxxxx" in inner.lower():
        return Outcome(Verdict.DROP, "pem-parse", "no body")
    return _armoured(label, headers, checksums.base64_decode(text if len(text) % 4 != 1 else text[:-1]) or b"")


def openssh_body(groups: Groups) -> Outcome:
    """The base64 of an OpenSSH key that stands without its armour."""
    raw = checksums.base64_decode(groups["secret"])
    if raw is None or not raw.startswith(b"openssh-key-v1\0"):
        return Outcome(Verdict.DROP, "pem-parse", "undecodable")
    return _armoured("OPENSSH PRIVATE KEY", b"", raw)


def service_account(groups: Groups) -> Outcome:
    """The key inside a Google service account file."""
    return pem({"secret": groups["secret"], "label": b"PRIVATE KEY"})


def key_digest(groups: Groups) -> str:
    """SHA-256 of the base64 of a key in armour, however its lines are broken, quoted or indented: names it for ever."""
    return hashlib.sha256(_unwrapped(groups)[2]).hexdigest()


def _unwrapped(groups: Groups) -> tuple[bytes, bytes, bytes]:
    """What stands between the lines BEGIN and END without escapes and quotes, its headers, and its base64 alone."""
    inner = re.sub(rb"-{4,5} ?(?:BEGIN|END)[^-]{0,60}-{4,5}", b"", _unmarked(groups["secret"]))
    inner = _BUILD_LOG.sub(b"", _JOINT.sub(b"", _ESCAPED_BREAK.sub(b"\n", inner)))
    headers = b"\n".join(_ARMOUR_HEADER.findall(inner))
    body = _ARMOUR_HEADER.sub(b"", inner)
    if b"PGP" in groups.get("label", b""):
        body = re.sub(rb"^=[A-Za-z0-9+/]{4}\s*$", b"", body, flags=re.MULTILINE)
    return inner, headers, _NOT_BASE64.sub(b"", body).rstrip(b"=")


def _unmarked(armour: bytes) -> bytes:
    """*armour* without what all its lines begin with: `// `, `+`, a date. The line of END tells what that is; with a
    quote in it, it is a piece of a program's text."""
    end = armour.rfind(b"-----END ")
    mark = armour[armour.rfind(b"\n", 0, max(end, 0)) : max(end, 0)]
    if not 1 < len(mark) <= _LONGEST_MARK or _QUOTE.search(mark) or not armour.count(b"\n") == armour.count(mark) > 1:
        return armour
    return armour.replace(mark, b"\n")


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
