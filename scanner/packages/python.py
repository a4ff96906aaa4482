"""Reads what Python's installers leave in `*.dist-info`: RECORD, INSTALLER and direct_url.json.

Formats: the packaging specifications "Recording installed projects" (PEP 376, PEP 627) and "Direct URL" (PEP 610).
"""

from __future__ import annotations

import binascii
import csv
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from scanner.layer.tree import clean
from scanner.packages.model import FileList, Installer, Package, PrivateOrigin, Record, json_object, packed
from scanner.packages.registries import is_public

_ROW = re.compile(rb'^([^",\r\n]+),(?:sha256=([A-Za-z0-9_-]{43})=?)?,[0-9]*\r?$', re.MULTILINE)
_QUOTED = re.compile(rb'^".*$', re.MULTILINE)
_STANDARD = bytes.maketrans(b"-_", b"+/")
_INSTALLER = re.compile(rb"[a-z][a-z0-9-]{1,15}")


def record(path: bytes, data: bytes) -> Iterator[Record]:
    """The files of one distribution. Compiled files, which have no digest, are known by their sources."""
    home = path.rpartition(b"/")[0]
    base, _, directory = home.rpartition(b"/")
    name, _, version = directory.removesuffix(b".dist-info").decode("utf-8", "replace").partition("-")
    rows = [*_ROW.findall(data), *(_quoted_rows(data) if b'"' in data else ())]
    hashed = [(_from(base, file), digest) for file, digest in rows if digest]
    yield FileList(
        Package("pip", name, version),
        "sha256",
        packed(file for file, _ in hashed),
        b"".join(binascii.a2b_base64(digest.translate(_STANDARD) + b"=") for _, digest in hashed),
        packed(_from(base, file) for file, digest in rows if not digest and not file.endswith(b".pyc")),
        home=home,
    )


def _quoted_rows(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Rows whose path holds a comma or a quotation mark; what is no row names no file."""
    for line in _QUOTED.findall(data):
        try:
            row = next(csv.reader([line.decode("utf-8", "surrogateescape")]), [])
        except csv.Error:
            continue
        if len(row) > 1:
            digest = row[1].removeprefix("sha256=").encode("utf-8", "surrogateescape")
            known = row[1].startswith("sha256=") and re.fullmatch(rb"[A-Za-z0-9_-]{43}", digest)
            yield row[0].encode("utf-8", "surrogateescape"), digest if known else b""


def _from(base: bytes, file: bytes) -> bytes:
    """A path of RECORD as a path from the root: relative to the directory that holds the .dist-info."""
    if file.startswith(b"/"):
        return clean(file)
    joined = base + b"/" + file if base else file
    return clean(joined) if b"/." in joined or joined.startswith(b".") or b"//" in joined else joined


def installer(path: bytes, data: bytes) -> Iterator[Record]:
    """Which program installed the distribution."""
    name = data.strip()
    if _INSTALLER.fullmatch(name):
        yield Installer(path.rpartition(b"/")[0], name.decode("ascii"))


def direct_url(path: bytes, data: bytes) -> Iterator[Record]:
    """A distribution that came from an address instead of an index: the user's own, unless PyPI serves it."""
    home = path.rpartition(b"/")[0]
    try:
        host = urlsplit(str(json_object(data)["url"])).hostname or "a local path"
    except (ValueError, KeyError):
        host = "somewhere"
    if not is_public("pip", host):
        yield PrivateOrigin("pip", f"direct_url.json says that it came from {host}", home)
