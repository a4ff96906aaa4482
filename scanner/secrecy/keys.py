"""The installation's own key: makes fingerprints equal for equal secrets, and useless to whoever lacks the key."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from scanner import keptfile
from scanner.directories import state_directory
from scanner.errors import LeakscanError


def installation_key(environment: Mapping[str, str]) -> bytes:
    """LEAKSCAN_KEY, else the key in the state directory, made on first use.

    A state directory that cannot be written gives a key for this run only: fingerprints are then equal within one
    report, not across runs. Raises LeakscanError if the key file is there but cannot be read.
    """
    if given := environment.get("LEAKSCAN_KEY"):
        return hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
    path = state_directory(environment) / "key"
    try:
        return _kept(path)
    except FileNotFoundError:
        fresh = secrets.token_bytes(32)
    with contextlib.suppress(OSError):
        keptfile.add(path, fresh)
        return _kept(path)
    return fresh


def lasts(environment: Mapping[str, str]) -> bool:
    """Whether the next run will have the same key."""
    return bool(environment.get("LEAKSCAN_KEY")) or os.path.exists(state_directory(environment) / "key")


def _kept(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LeakscanError(
            f"the key file {path} cannot be read: {error.strerror}", "Make it readable, or set LEAKSCAN_KEY."
        ) from error
    if len(key) != 32:
        raise LeakscanError(f"the key file {path} is damaged", "Remove it; a new one is made on the next run.")
    return key


def key_id(key: bytes) -> str:
    """Names a key without giving it away, 16 hex digits: fingerprints under different keys are not compared."""
    return hmac.new(key, b"leakscan key id", hashlib.sha256).hexdigest()[:16]


def fingerprint(key: bytes, secret: bytes) -> str:
    """HMAC-SHA-256 of a secret under the installation's key, the first 32 hex digits."""
    return hmac.new(key, secret, hashlib.sha256).hexdigest()[:32]
