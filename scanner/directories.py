"""Directories of the user who runs leakscan: home, state and cache (XDG base directory specification)."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path


def home_directory(environment: Mapping[str, str]) -> str:
    """HOME, else what the system's users have, as services run without the variable."""
    if home := environment.get("HOME"):
        return home
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:  # a user without a name, as in many containers
        return "/"


def state_directory(environment: Mapping[str, str]) -> Path:
    """Where leakscan keeps what must outlive a run."""
    base = environment.get("XDG_STATE_HOME") or os.path.join(home_directory(environment), ".local", "state")
    return Path(base) / "leakscan"


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Where leakscan keeps what it can make again."""
    base = environment.get("XDG_CACHE_HOME") or os.path.join(home_directory(environment), ".cache")
    return Path(base) / "leakscan"
