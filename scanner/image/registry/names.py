"""Which host and which repository a reference means.

Source: distribution's reference grammar and Docker's rules for short names: the first part of a name is a host if it
has a dot, a colon or a capital letter, or is `localhost`; other names are of Docker Hub, short ones of `library/`.
"""

from __future__ import annotations

from dataclasses import dataclass

from scanner.errors import InvalidReference
from scanner.image.reference import Reference, shown

HUB = "docker.io"
_HUB_API = "registry-1.docker.io"
_HUB_NAMES = (HUB, "index.docker.io", _HUB_API)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of a registry.

    Attributes:
        host: host[:port] as people name the registry; credentials are kept under it.
        name: the repository's name within it; empty for the registry as a whole.
    """

    host: str
    name: str = ""

    @property
    def api(self) -> str:
        """The host[:port] that answers the API."""
        return _HUB_API if self.host == HUB else self.host

    def __str__(self) -> str:
        return f"{self.host}/{self.name}" if self.name else self.host


def is_host(part: str) -> bool:
    """Whether the first part of a name is a host."""
    return "." in part or ":" in part or part == "localhost" or part != part.lower()


def registry_of(host: str) -> Repository:
    """The registry of a host[:port], without a repository."""
    return Repository(HUB if host in _HUB_NAMES else host)


def repository_of(reference: Reference) -> Repository:
    """The repository that a reference means. Raises InvalidReference if it names a host alone."""
    first, slash, rest = reference.repository.partition("/")
    if not slash or not is_host(first):
        first, rest = HUB, reference.repository
    if not rest:
        raise InvalidReference(f"{shown(reference.repository)} names no repository", "Give HOST/NAME[:TAG][@DIGEST].")
    host = registry_of(first).host
    return Repository(host, f"library/{rest}" if host == HUB and "/" not in rest else rest)
