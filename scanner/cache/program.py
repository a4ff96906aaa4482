"""Names the program that makes results: its own code and rule data, and the libraries that read and detect for it.

The rule set's digest of a report (`detection.load`) takes the loaded detectors; this takes a few milliseconds.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import scanner

_OURS = (".py", ".toml", ".json", ".txt")
#: what else decides what is found in which bytes
_LIBRARIES = ("detect_secrets", "hyperscan", "google_re2", "cryptography", "isal", "zstandard", "lz4", "brotli")
_METADATA = (".dist-info", ".egg-info")


@functools.cache  # of the program that runs, whatever becomes of its files
def digest() -> str:
    """Of everything that what a scan finds depends on, but for the user's own rules. Raises OSError."""
    root = Path(scanner.__file__).parent
    found = hashlib.sha256()
    for name, path in sorted(_files(root, "")):
        with open(path, "rb", buffering=0) as file:
            content = file.read()
        found.update(f"{name} {len(content)}\n".encode() + content)
    found.update("\n".join((sys.version, *_borrowed())).encode())
    return found.hexdigest()


def _borrowed() -> Iterator[str]:
    """Each library with its version, as the directory of its metadata is called; reading that would take longer."""
    for folder in dict.fromkeys(sys.path):
        with contextlib.suppress(OSError):
            yield from sorted(name for name in os.listdir(folder or ".")
                              if name.endswith(_METADATA) and name.partition("-")[0].lower() in _LIBRARIES)  # fmt: skip


def _files(folder: Path | str, prefix: str) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{prefix}{entry.name}/")
            elif entry.name.endswith(_OURS):
                yield prefix + entry.name, entry.path
