"""Names the program that makes results: its own code and rule data, and the library whose detectors it borrows.

The rule set's digest of a report (`detection.load`) takes the loaded detectors; this takes a few milliseconds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import scanner

_OURS = (".py", ".toml", ".json", ".txt")


def digest() -> str:
    """Of everything that what a scan finds depends on, but for the user's own rules. Raises OSError."""
    root = Path(scanner.__file__).parent
    found = hashlib.sha256()
    for name, path in sorted(_files(root, "")):
        with open(path, "rb", buffering=0) as file:
            content = file.read()
        found.update(f"{name} {len(content)}\n".encode() + content)
    found.update(_borrowed())
    return found.hexdigest()


def _borrowed() -> bytes:
    """The file in which detect-secrets names its version; reading it is much cheaper than its metadata."""
    spec = importlib.util.find_spec("detect_secrets")
    if spec is None or spec.origin is None:
        return b""
    with open(os.path.join(os.path.dirname(spec.origin), "__version__.py"), "rb") as file:
        return file.read()


def _files(folder: Path | str, prefix: str) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{prefix}{entry.name}/")
            elif entry.name.endswith(_OURS):
                yield prefix + entry.name, entry.path
