"""Made-up secrets planted in images: every encoding, nesting and surface, drawn by a seed.

A planting is a value and where it went; an image holds many. Values, encoders and wrappers are chosen by the numbers of
a generator, so a seed and a number name the same planting on every machine.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import random
import shlex
import string
import tarfile
import urllib.parse
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import zstandard

from tests.builders import BuiltImage, BuiltLayer, Member, file, image_of, layer, symlink, tar_of, whiteout

Encoder = Callable[[bytes, random.Random], bytes]
Wrapper = Callable[[bytes, random.Random], bytes]

_WORDS = "the quick brown build reads its settings from here and writes them there again in the end".split()


def value(rng: random.Random) -> bytes:
    """A secret: a token, a password with all kinds of characters, a URL, lines of a key, text beyond ASCII."""
    letters = string.ascii_letters + string.digits
    kind = rng.randrange(6)
    if kind == 0:
        return "".join(rng.choices(letters, k=rng.randrange(12, 64))).encode()
    if kind == 1:
        marks = "!@#$%^&*()-_=+[]{}|;:'\",.<>/?~` \\"
        return "".join(rng.choices(letters + marks, k=rng.randrange(14, 40))).strip().encode()
    if kind == 2:
        user, password = ("".join(rng.choices(letters, k=10)) for _ in range(2))
        return f"https://{user}:{password}@host-{rng.randrange(999)}.example/a?b=c&d".encode()
    if kind == 3:
        lines = ["".join(rng.choices(letters + "+/", k=64)) for _ in range(rng.randrange(2, 12))]
        return "\n".join(lines).encode()
    if kind == 4:
        return ("pä√" + "".join(rng.choices(letters + "éß€", k=20)) + "x9").encode()
    return "-".join("".join(rng.choices("0123456789abcdef", k=n)) for n in (8, 4, 4, 4, 12)).encode()


def noise(rng: random.Random, words: int = 6) -> bytes:
    """Words that hold no secret."""
    return " ".join(rng.choices(_WORDS, k=rng.randrange(words))).encode()


def wrapped(text: bytes, width: int, end: bytes) -> bytes:
    """*text* in lines."""
    return end.join(text[at : at + width] for at in range(0, len(text), width))


def _base64(secret: bytes, rng: random.Random) -> bytes:
    """Base64 of the secret among other bytes, so that it lies at any place in a group of three."""
    around = "".join(rng.choices(string.ascii_letters, k=rng.randrange(7))).encode()
    return base64.b64encode(around + secret + noise(rng))


def _shell(secret: bytes, rng: random.Random) -> bytes:
    text = secret.decode()
    if rng.randrange(2):
        return shlex.quote(text).encode()
    return b'"' + "".join("\\" + c if c in '"\\$`' else c for c in text).encode() + b'"'


def _html(secret: bytes, rng: random.Random) -> bytes:
    text = html.escape(secret.decode(), quote=bool(rng.randrange(2)))
    return text.encode("ascii", "xmlcharrefreplace") if rng.randrange(2) else text.encode()


def _json(secret: bytes, rng: random.Random) -> bytes:
    text = json.dumps({"value": secret.decode()}, ensure_ascii=bool(rng.randrange(2)))
    if rng.randrange(2):
        text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return (json.dumps(text) if rng.randrange(3) == 0 else text).encode()


def _url(secret: bytes, rng: random.Random) -> bytes:
    quote = rng.choice([urllib.parse.quote, urllib.parse.quote_plus])
    text = quote(secret, safe=rng.choice(["", "/", "@:"]))
    return (text if rng.randrange(2) else text.lower() if text.islower() else text).encode()


#: encodings that give printable ASCII or UTF-8
TEXT_ENCODERS: Mapping[str, Encoder] = {
    "raw": lambda secret, _: secret,
    "base64": _base64,
    "base64url": lambda secret, rng: _base64(secret, rng).translate(bytes.maketrans(b"+/", b"-_")).rstrip(b"="),
    "base64 twice": lambda secret, rng: base64.b64encode(b"k: " + _base64(secret, rng)),
    "base64 of json": lambda secret, rng: base64.b64encode(_json(secret, rng)),
    "base64 of gzip": lambda secret, rng: base64.b64encode(gzip.compress(noise(rng) + secret, mtime=rng.randrange(99))),
    "base64 of utf-16": lambda secret, _: base64.b64encode(secret.decode().encode("utf-16-le")),
    "hex": lambda secret, rng: secret.hex().encode() if rng.randrange(2) else secret.hex().upper().encode(),
    "hex of base64": lambda secret, rng: _base64(secret, rng).hex().encode(),
    "url": _url,
    "json": _json,
    "shell": _shell,
    "html": _html,
}
ENCODERS: Mapping[str, Encoder] = {
    **TEXT_ENCODERS,
    "base64 in lines": lambda secret, rng: wrapped(
        _base64(secret, rng), rng.choice([16, 19, 60, 64, 76]), rng.choice([b"\n", b"\r\n", b"\n  ", b"\\n"])
    ),
    "hex in lines": lambda secret, rng: wrapped(secret.hex().encode(), rng.choice([16, 32, 60]), b"\n"),
    "utf-16le": lambda secret, rng: (noise(rng) + secret).decode().encode("utf-16-le"),
    "utf-16be": lambda secret, rng: (noise(rng) + secret).decode().encode("utf-16-be"),
    "utf-16 with a mark": lambda secret, rng: (noise(rng) + secret).decode().encode("utf-16"),
}


def _zip(data: bytes, rng: random.Random) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        archive.writestr("conf/first.txt", noise(rng))
        archive.writestr("conf/inner.dat", data)
    return target.getvalue()


def _tar(data: bytes, rng: random.Random) -> bytes:
    return tar_of({"a/first.txt": noise(rng), "a/inner.dat": data})


#: what a file may be packed in; names tell the outermost last
WRAPPERS: Mapping[str, Wrapper] = {
    "plain": lambda data, _: data,
    "gzip": lambda data, _: gzip.compress(data),
    "zip": _zip,
    "tar": _tar,
    "tar, gzip": lambda data, rng: gzip.compress(_tar(data, rng)),
    "gzip, zip": lambda data, rng: _zip(gzip.compress(data), rng),
    "zip, tar, xz": lambda data, rng: lzma.compress(_tar(_zip(data, rng), rng)),
    "bzip2": lambda data, _: bz2.compress(data),
    "zstd": lambda data, _: zstandard.ZstdCompressor().compress(data),
}
FILE_SURFACES = ("file", "deleted file", "large file")
TEXT_SURFACES = ("env", "label", "history", "annotation", "link target", "name", "pax header")


@dataclass(frozen=True)
class Planting:
    """One value and where it went."""

    id: str
    value: bytes
    encoding: str
    nesting: str
    surface: str

    def __str__(self) -> str:
        return f"{self.id}: {self.encoding} / {self.nesting} / {self.surface}"


def plantings(seed: int, count: int) -> list[tuple[Planting, bytes]]:
    """Plantings with the bytes that go to their surface; every pair of encoding and nesting and surface in turn."""
    kinds = [(encoding, nesting, surface) for encoding in ENCODERS for nesting in WRAPPERS for surface in FILE_SURFACES]
    kinds += [(encoding, "plain", surface) for encoding in TEXT_ENCODERS for surface in TEXT_SURFACES]
    random.Random(seed).shuffle(kinds)
    found = []
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        encoding, nesting, surface = kinds[number % len(kinds)]
        secret = value(rng)
        encoded = ENCODERS[encoding](secret, rng)
        if surface in ("name", "link target", "pax header"):
            encoded = encoded.replace(b"/", b"~") if encoding == "raw" and b"/" not in secret else encoded
        edge = b"\n" if "16" not in encoding else b""
        data = encoded if "mark" in encoding else noise(rng) + edge * 2 + encoded + edge
        found.append((Planting(f"s{seed}-{number}", secret, encoding, nesting, surface), WRAPPERS[nesting](data, rng)
                      if surface in FILE_SURFACES else encoded))  # fmt: skip
    return found


def planted(chosen: list[tuple[Planting, bytes]], large: int = 0) -> BuiltImage:
    """An image that holds all of them.

    Args:
        large: bytes before the planting in a large file, so that it lies on the edge of what is read at a time.
    """
    first: list[Member] = []
    last: list[Member] = []
    env: list[str] = []
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    history: list[dict[str, object]] = []
    for planting, data in chosen:
        path = f"srv/{planting.id}.dat"
        text = data.decode("utf-8", "surrogateescape")
        if planting.surface == "large file" and large and planting.nesting == "plain":
            even = large - len(data) // 2 & ~1  # wide characters lie on even places
            filler = random.Random(planting.id).randbytes(1 << 20) * (even // (1 << 20) + 1)
            first.append(file(path, filler[:even] + data + b"\n" * 64))
        elif planting.surface in FILE_SURFACES:
            first.append(file(path, data))
            if planting.surface == "deleted file":
                last.append(whiteout(path))
        elif planting.surface == "env":
            env.append(f"V{len(env)}={text}")
        elif planting.surface == "label":
            labels[f"label.{planting.id}"] = text
        elif planting.surface == "history":
            history.append({"created_by": f"RUN /bin/sh -c use {text} # buildkit", "empty_layer": True})
        elif planting.surface == "annotation":
            annotations[f"note.{planting.id}"] = text
        elif planting.surface == "link target":
            first.append(symlink(path, f"/t/{text}"))
        elif planting.surface == "pax header":
            first.append(Member(path, b"x", tarfile.REGTYPE, pax={"comment": text}))
        else:
            first.append(file(f"srv/{planting.id}/{text}", b"x"))
    layers: tuple[BuiltLayer, ...] = (layer(*first, compression="gz"), layer(*last))
    steps = [{"created_by": f"{step} # buildkit"} for step in ("COPY . /srv", "RUN rm -f")]
    config = {"config": {"Env": env, "Labels": labels}}
    return image_of(*layers, config=config, history=[*steps, *history], annotations=annotations)
