"""Reads npm's account of what it installed: `node_modules/.package-lock.json`, and packages installed for all.

Format: npm's package-lock.json page, "Hidden Lockfiles". It names a directory, a version, the tarball's address and
the tarball's digest for each package, but no file: it cannot prove a file untouched. Of packages in a prefix's
`lib/node_modules` npm keeps no account; those that come with Node.js itself are known by their names.

npm's cache (cacache's index-v5 and content-v2) tells the address and the digest of each tarball that it keeps under
that digest. So it proves tarballs.
"""

from __future__ import annotations

import binascii
import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from scanner.layer.tree import clean
from scanner.packages.model import FileList, Package, Record, json_object, packed

#: where npm's cache keeps what it fetched; records name it from here on, wherever the cache is
CONTENT = b"_cacache/content-v2/"
#: what Node.js brings along
_WITH_NODE = ("npm", "corepack")


def installed_for_all(path: bytes, data: bytes) -> Iterator[Record]:
    """The directory of one package of a prefix."""
    root = path.rpartition(b"/")[0]
    name = root.rpartition(b"node_modules/")[2].decode("utf-8", "replace")
    document = json_object(data)
    if document.get("name") == name:
        registry = "nodejs.org" if name in _WITH_NODE and not document.get("private") else ""
        yield FileList(Package("npm", name, str(document.get("version") or "")), root=root, registry=registry)


def cache_index(_path: bytes, data: bytes) -> Iterator[Record]:
    """The tarballs and documents that one bucket of the cache's index names: each line has a digest of its own text
    and, behind a tab, a JSON object."""
    for line in data.split(b"\n"):
        entry = json_object(line.partition(b"\t")[2])
        with contextlib.suppress(ValueError):  # neither an address nor a digest need be one
            yield from _cached(str(entry.get("key", "")), str(entry.get("integrity", "")))


def _cached(key: str, integrity: str) -> Iterator[Record]:
    kind, colon, digest = integrity.partition("-")
    address = urlsplit(key[key.find("https://") :]) if "https://" in key else None
    if kind != "sha512" or not colon or address is None:
        return
    raw = binascii.a2b_base64(digest)
    if len(raw) != hashlib.sha512().digest_size:
        return
    name, _, file = address.path.strip("/").partition("/-/")
    version = file.removesuffix(".tgz").removeprefix(name.rpartition("/")[2] + "-")
    where = raw.hex().encode()
    path = b"/".join((CONTENT + b"sha512", where[:2], where[2:4], where[4:]))
    package = Package("npm", unquote(name), version)
    yield FileList(package, "sha512", packed([path]), raw, registry=address.hostname or "")


def hidden_lockfile(path: bytes, data: bytes) -> Iterator[Record]:
    """The directory of every package, with the registry it came from."""
    base = path.rpartition(b"/node_modules/")[0] if b"/node_modules/" in path else b""
    packages = json_object(data).get("packages")
    for key, entry in packages.items() if isinstance(packages, dict) else ():
        # what a package bundles lies in its own directory, and is the package's
        if isinstance(entry, dict) and "node_modules/" in key and not entry.get("inBundle") and not entry.get("link"):
            yield _package(base, key, entry)


def _package(base: bytes, key: str, entry: Mapping[str, Any]) -> FileList:
    root = clean(base + b"/" + key.encode("utf-8", "surrogatepass"))
    name = str(entry.get("name") or key.rpartition("node_modules/")[2])
    resolved = entry.get("resolved")
    registry = ""
    if isinstance(resolved, str) and resolved.startswith("https://") and isinstance(entry.get("integrity"), str):
        try:
            registry = urlsplit(resolved).hostname or ""
        except ValueError:
            registry = ""
    return FileList(Package("npm", name, str(entry.get("version") or "")), root=root, registry=registry)
