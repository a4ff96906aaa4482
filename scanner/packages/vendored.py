"""Reads the records of libraries that lie beside a program's source: crates, Go modules, gems.

Formats: cargo's `.cargo-checksum.json` (a SHA-256 for each file), go's `vendor/modules.txt` and RubyGems'
`specifications/NAME-VERSION.gemspec`; the last two have no digests of files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scanner.layer.tree import clean
from scanner.packages.model import FileList, Package, PrivateOrigin, Record, json_object, packed

_MODULE = re.compile(rb"^# (\S+) (v\S+)(?: => .*)?\r?$", re.MULTILINE)
_VERSIONED = re.compile(r"(.+?)-(\d[\w.+-]*)")
_HEX = re.compile(r"[0-9a-f]{64}")


def _split(directory: bytes) -> tuple[str, str]:
    """`name-1.2` as name and version."""
    text = directory.decode("utf-8", "replace")
    found = _VERSIONED.fullmatch(text)
    return (found[1], found[2]) if found else (text, "")


def cargo_checksum(path: bytes, data: bytes) -> Iterator[Record]:
    """The files of one crate. A crate that came from no registry has no digest of its own."""
    root = path.rpartition(b"/")[0]
    document = json_object(data)
    files = document.get("files")
    if not isinstance(files, dict):
        return
    known = {
        clean(root + b"/" + name.encode("utf-8", "surrogatepass")): digest
        for name, digest in files.items()
        if isinstance(digest, str) and _HEX.fullmatch(digest)
    }
    package = Package("cargo", *_split(root.rpartition(b"/")[2]))
    yield FileList(package, "sha256", packed(known), bytes.fromhex("".join(known.values())), root=root, home=root)
    if not document.get("package"):
        yield PrivateOrigin("cargo", "the crate came from no registry", root)


def go_modules(path: bytes, data: bytes) -> Iterator[Record]:
    """The directory of every module."""
    base = path.rpartition(b"/")[0]
    for module, version in _MODULE.findall(data):
        package = Package("go", module.decode("utf-8", "replace"), version.decode("utf-8", "replace"))
        yield FileList(package, root=clean(base + b"/" + module))


def gemspec(path: bytes, _data: bytes) -> Iterator[Record]:
    """The directory of one gem."""
    home, _, file = path.rpartition(b"/")
    base, _, _ = home.removesuffix(b"/default").rpartition(b"/")
    full = file.removesuffix(b".gemspec")
    yield FileList(Package("gem", *_split(full)), root=clean(base + b"/gems/" + full))
