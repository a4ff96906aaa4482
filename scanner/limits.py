"""The limits that hostile input runs into. Every hit is a named gap in the report, never silence."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from scanner.errors import UnusableFile

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

PREFIX = "LEAKSCAN_LIMIT_"
_SIZE = re.compile(r"([0-9]{1,18})(?:([KMGT])(?:i?B)?)?", re.IGNORECASE)
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smh]?)", re.IGNORECASE)
_NO_RESULT = ("fetch_seconds",)  # a download that took too long is tried again
_COUNT = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read of one image. Bytes unless the name says otherwise."""

    #: expanded bytes of one layer
    layer_bytes: int = 32 * GIB
    #: expanded bytes of all layers of one scan
    image_bytes: int = 64 * GIB
    #: members of one layer
    members: int = 5_000_000
    #: one extended tar header (PAX or GNU long name), as Go's archive/tar bounds it
    extended_header_bytes: int = MIB
    #: extended headers in front of one member
    extended_header_chain: int = 20
    #: one JSON document: manifest, index or config
    document_bytes: int = 4 * MIB
    #: all JSON documents of one source together
    documents_bytes: int = 64 * MIB
    #: nesting of one JSON document
    document_depth: int = 200
    #: indexes inside indexes
    index_depth: int = 4
    #: descriptors of one index
    index_manifests: int = 500
    #: seconds of work on one layer
    layer_seconds: float = 600.0
    #: seconds of work on one image
    image_seconds: float = 3600.0
    #: seconds to download one blob from a registry, all tries together
    fetch_seconds: float = 1800.0
    #: data segment (heap) of one worker process; its maps of layers do not count
    worker_bytes: int = 1 * GIB
    #: archives, compressions and encodings in one another, inside files
    nested_depth: int = 8
    #: bytes that come out of archives and compressed files of one layer
    nested_bytes: int = 4 * GIB
    #: entries of archives inside the files of one layer
    nested_entries: int = 200_000
    #: how many times its stored size may come out of one file, past 64 MiB
    nested_ratio: int = 200
    #: seconds of work on what is inside one file
    nested_seconds: float = 120.0

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all limits."""
        return tuple(field.name for field in fields(cls))

    @property
    def mark(self) -> str:
        """A name for how these differ from the defaults in what decides a result; empty if they do not."""
        changed = {name: value for name, value in self.changed().items() if name not in _NO_RESULT}
        # exact, and the same for 20 and 20.0
        other = [f"{name}={str(value).removesuffix('.0')}" for name, value in changed.items()]
        return hashlib.sha256(" ".join(other).encode()).hexdigest()[:12] if other else ""

    def changed(self) -> dict[str, int | float]:
        """The limits that are not as they are by default, by name."""
        return {field.name: own for field in fields(self) if (own := getattr(self, field.name)) != field.default}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The limits that LEAKSCAN_LIMIT_<FIELD> set, such as LEAKSCAN_LIMIT_LAYER_BYTES=8G or
        LEAKSCAN_LIMIT_LAYER_SECONDS=20m; all others as they are by default.

        Bytes take K, M, G or T (powers of 1024), seconds take s, m or h. Raises UnusableFile naming the variable.
        """
        known = {PREFIX + field.name.upper(): field.name for field in fields(cls)}
        given: dict[str, int | float] = {}
        for variable in sorted(name for name in environment if name.startswith(PREFIX)):
            if variable not in known:
                raise UnusableFile(f"{variable} is no limit", f"Limits are {', '.join(sorted(known))}.")
            value = _value(known[variable], environment[variable].strip())
            if not value:
                raise UnusableFile(f"{variable} is no {_unit(known[variable])} above zero", "Write 8G, 20m or 5000.")
            given[known[variable]] = value
        return cls(**given)  # type: ignore[arg-type]  # each value is of its field's type


def _unit(name: str) -> str:
    return "size" if name.endswith("_bytes") else "time" if name.endswith("_seconds") else "number"


def _value(name: str, text: str) -> int | float | None:
    """The value of a limit, None if the text is none."""
    if _unit(name) == "size":
        found = _SIZE.fullmatch(text)
        return int(found[1]) << (10 * " KMGT".index((found[2] or " ").upper())) if found else None
    if _unit(name) == "time":
        found = _SECONDS.fullmatch(text)
        return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2].lower()] if found else None
    return int(text) if _COUNT.fullmatch(text) else None
