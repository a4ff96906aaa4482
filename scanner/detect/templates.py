"""Examples of rules as templates, so that no secret-shaped text stands in the source.

`{secret}` becomes a random text that the rule's group `secret` allows, `{alnum:36}` random characters of a class,
`{hex:32..40}` a random number of them, `{github:ghp_,30}` a token whose checksum is right (see `_MAKERS`), and `{{`
a brace. Everything random comes from the generator given, so that a test that fails fails again.
"""

from __future__ import annotations

import base64
import random
import re
import string
from collections.abc import Callable, Mapping

from scanner.detect import checksums, privatekeys

_B64URL = string.ascii_letters + string.digits + "-_"
#: the classes of templates, named as docs/rules.md names them
CLASSES: Mapping[str, str] = {
    "digit": string.digits,
    "hex": string.digits + "abcdef",
    "HEX": string.digits + "ABCDEF",
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "letter": string.ascii_letters,
    "loweralnum": string.ascii_lowercase + string.digits,
    "upperalnum": string.ascii_uppercase + string.digits,
    "alnum": string.ascii_letters + string.digits,
    "word": string.ascii_letters + string.digits + "_",
    "b64": string.ascii_letters + string.digits + "+/",
    "b64url": _B64URL,
    "b32": string.ascii_uppercase + "234567",
    "lowerb32": string.ascii_lowercase + "234567",
    "b58": "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
}
#: a template makes no longer runs than this
_LONGEST = 1 << 16
_HOLE = re.compile(r"\{\{|\}\}|\{([a-zA-Z0-9-]+)(?::([^{}]*))?\}")


class TemplateError(ValueError):
    """The template names a class or a maker that does not exist."""


def render(template: str, rng: random.Random, secret: Callable[[], str]) -> str:
    """*template* with its holes filled; *secret* makes a text that the rule's secret allows. Raises TemplateError."""

    def fill(hole: re.Match[str]) -> str:
        name, argument = hole.group(1), hole.group(2) or ""
        if name is None:
            return hole.group()[0]
        if name == "secret":
            return secret()
        if name in CLASSES:
            return _characters(name, argument or "1", rng)
        if name in _MAKERS:
            return _MAKERS[name](argument, rng)
        raise TemplateError(f"{{{name}}} is neither a class nor a maker")

    return _HOLE.sub(fill, template)


def _characters(name: str, count: str, rng: random.Random) -> str:
    low, _, high = count.partition("..")
    if not low.isdigit() or not (high.isdigit() or high == ""):
        raise TemplateError(f"{{{name}:{count}}} needs a number")
    if max(int(low), int(high or low)) > _LONGEST or int(low) > int(high or low):
        raise TemplateError(f"{{{name}:{count}}} must be a number up to {_LONGEST}")
    return "".join(rng.choices(CLASSES[name], k=rng.randint(int(low), int(high or low))))


def _github(argument: str, rng: random.Random) -> str:
    """`{github:PREFIX,LENGTH}`: a body with CRC32 in base62 behind it."""
    prefix, _, length = argument.rpartition(",")
    body = _characters("alnum", length, rng)
    return prefix + body + checksums.crc32_base62(body.encode())


def _deno(argument: str, rng: random.Random) -> str:
    body = argument + _characters("alnum", "30", rng)
    return body + checksums.crc32_base62(body.encode())


def _apify(argument: str, rng: random.Random) -> str:
    body = argument + _characters("alnum", "30", rng)
    return body + checksums.crc32_base62(body.encode(), checksums.BASE62_LOWER_FIRST)


def _crchex(argument: str, rng: random.Random) -> str:
    """`{crchex:PREFIX,CLASS,LENGTH,SEPARATOR}`: CRC32 of the body in hexadecimal."""
    prefix, name, length, separator = argument.split(",")
    body = _characters(name, length, rng)
    return f"{prefix}{body}{separator}{checksums.crc32(body.encode()):08x}"


def _grafana(_argument: str, rng: random.Random) -> str:
    body = "glsa_" + _characters("alnum", "32", rng)
    return f"{body}_{checksums.crc32(body.encode()).to_bytes(4, 'little').hex()}"


def _confluent(_argument: str, rng: random.Random) -> str:
    body = _characters("alnum", "54", rng)
    return "cflt" + body + base64.b64encode(checksums.crc32(body.encode()).to_bytes(4, "little")).decode()[:6]


def _atlassian(argument: str, rng: random.Random) -> str:
    body = argument + _characters("b64url", "170", rng) + "="
    return f"{body}{checksums.crc32(body.encode()):08X}"


def _gitlab(argument: str, rng: random.Random) -> str:
    """`{gitlab:glpat-}`: a routable token, versioned layout."""
    payload = _characters("b64url", "27..40", rng)
    body = f"{argument}{payload}.01.{checksums.base36(len(payload), 2)}"
    return body + checksums.base36(checksums.crc32(body.encode()), 7)


def _azure(argument: str, rng: random.Random) -> str:
    """`{azure:SIGNATURE,BYTES,SEED}`: an identifiable key, its Marvin checksum in the last four bytes."""
    signature, length, seed = argument.split(",")
    text = _characters("alnum", str((int(length) - 4) * 8 // 6 - len(signature)), rng)
    encoded = (text + signature + "AAAAAAAAAAAA").encode()
    body = base64.b64decode(encoded[: len(encoded) // 4 * 4])[: int(length) - 4]
    return base64.b64encode(body + checksums.marvin32(seed.encode(), body).to_bytes(4, "little")).decode()


def _jwt(argument: str, rng: random.Random) -> str:
    """`{jwt:CLAIMS}`: CLAIMS are `name=value` with commas between; numbers stay numbers."""
    claims = [pair.partition("=") for pair in argument.split(",") if pair]
    body = ",".join(f'"{name}":{value if value.isdigit() else chr(34) + value + chr(34)}' for name, _, value in claims)
    parts = ['{"alg":"HS256","typ":"JWT"}', "{" + body + "}"]
    encoded = [base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, _characters("b64url", "43", rng)])


def _base64_of(argument: str, rng: random.Random) -> str:
    """`{base64:TEXT}`: TEXT in base64, its `~CLASS~N~` holes filled first."""
    text = re.sub(r"~(\w+)~([\d.]+)~", lambda hole: _characters(hole.group(1), hole.group(2), rng), argument)
    return base64.b64encode(text.encode()).decode()


def _pem_body(argument: str, rng: random.Random) -> str:
    """`{pem:LINES}`: base64 of something that is built like DER, 64 characters a line; `{pem:LINES,\\\\n}` escaped."""
    lines, _, joint = argument.partition(",")
    size = int(lines) * 48
    der = b"\x30\x82" + (size - 4).to_bytes(2, "big") + b"\x02\x01\x00" + rng.randbytes(size - 7)
    text = base64.b64encode(der).decode()
    return (joint or "\n").join(text[at : at + 64] for at in range(0, len(text), 64))


def _openssh(argument: str, rng: random.Random) -> str:
    lines, comma, joint = argument.partition(",")
    name = b"\0\0\0\4none"
    raw = b"openssh-key-v1\0" + name + name + bytes(4) + b"\0\0\0\1" + rng.randbytes(int(lines) * 48 - 39)
    text = base64.b64encode(raw).decode()
    return (joint if comma else "\n").join(text[at : at + 64] for at in range(0, len(text), 64))


def _macaroon(_argument: str, rng: random.Random) -> str:
    """A version 2 macaroon with a location, an identifier, a caveat and a signature, in base64url."""
    identifier = rng.randbytes(24)
    raw = b"\x02\x01\x07shop.io\x02\x18" + identifier + b"\0\x02\x06ip = 1\0\0\x06\x20" + rng.randbytes(32)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _macaroon_v1(_argument: str, rng: random.Random) -> str:
    """A version 1 macaroon: packets of a hexadecimal length, a name and a value."""
    identifier, signature = rng.randbytes(12).hex().encode(), rng.randbytes(32)
    packets = [b"location shop.io\n", b"identifier " + identifier + b"\n", b"signature " + signature + b"\n"]
    raw = b"".join(f"{len(packet) + 4:04x}".encode() + packet for packet in packets)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bip38(_argument: str, rng: random.Random) -> str:
    return checksums.base58check_encode(b"\x01\x42\xc0" + rng.randbytes(36))


def _ses_password(_argument: str, rng: random.Random) -> str:
    return base64.b64encode(b"\x04" + rng.randbytes(32)).decode()


def _devops(_argument: str, rng: random.Random) -> str:
    """A legacy token of Azure DevOps: CRC32 of 28 of its bytes in the other four."""
    raw = bytearray(rng.randbytes(32))
    crc = checksums.crc32(bytes(raw[:2] + raw[3:7] + raw[9:22] + raw[23:])) ^ 0xE0B9692D
    raw[22], raw[8], raw[7], raw[2] = crc.to_bytes(4, "little")
    return base64.b32encode(raw).decode().lower().rstrip("=")


def _ngc(_argument: str, rng: random.Random) -> str:
    text = f"{_characters('loweralnum', '26', rng)}:{_uuid('', rng)}"
    return base64.b64encode(text.encode()).decode()


def _solana(_argument: str, rng: random.Random) -> str:
    """A seed and its Ed25519 public key in base58."""
    seed = rng.randbytes(32)
    return checksums.base58_encode(seed + privatekeys.ed25519_public(seed))


def _age(_argument: str, rng: random.Random) -> str:
    return checksums.bech32_encode("age-secret-key-", rng.randbytes(32)).upper()


def _wif(_argument: str, rng: random.Random) -> str:
    return checksums.base58check_encode(b"\x80" + rng.randbytes(32) + b"\x01")


def _xprv(_argument: str, rng: random.Random) -> str:
    return checksums.base58check_encode(bytes.fromhex("0488ADE4") + rng.randbytes(41) + b"\0" + rng.randbytes(32))


def _nsec(_argument: str, rng: random.Random) -> str:
    return checksums.bech32_encode("nsec", rng.randbytes(32))


def _seed(argument: str, rng: random.Random) -> str:
    """`{seed:HEX}`: the bytes HEX and 32 random ones with CRC16, in base32, as Stellar and NATS write seeds."""
    raw = bytes.fromhex(argument) + rng.randbytes(32)
    return base64.b32encode(raw + checksums.crc16_xmodem(raw).to_bytes(2, "little")).decode().rstrip("=")


def _uuid(_argument: str, rng: random.Random) -> str:
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


_MAKERS: Mapping[str, Callable[[str, random.Random], str]] = {
    "github": _github,
    "deno": _deno,
    "apify": _apify,
    "crchex": _crchex,
    "grafana": _grafana,
    "confluent": _confluent,
    "atlassian": _atlassian,
    "gitlab": _gitlab,
    "azure": _azure,
    "jwt": _jwt,
    "base64": _base64_of,
    "pem": _pem_body,
    "openssh": _openssh,
    "age": _age,
    "devops": _devops,
    "ngc": _ngc,
    "sessmtp": _ses_password,
    "solana": _solana,
    "bip38": _bip38,
    "macaroon": _macaroon,
    "macaroonv1": _macaroon_v1,
    "wif": _wif,
    "nsec": _nsec,
    "seed": _seed,
    "xprv": _xprv,
    "uuid": _uuid,
}
