"""What a registry asks for with `WWW-Authenticate` (RFC 9110, 11.6.1): schemes with their parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_SCHEME = re.compile(rf"\s*,*\s*({_WORD})(?:\s+|$)")
_PARAMETER = re.compile(rf'\s*,?\s*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_LENGTH = 8192


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme, in lower case, with its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def challenges(header: str) -> list[Challenge]:
    """All challenges of a header, in order; what does not parse ends the list."""
    found: list[Challenge] = []
    at, text = 0, header[:_LENGTH]
    while scheme := _SCHEME.match(text, at):
        at = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(text, at):
            at = parameter.end()
            quoted, bare = parameter[2], parameter[3]
            parameters[parameter[1].lower()] = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        found.append(Challenge(scheme[1].lower(), parameters))
    return found
