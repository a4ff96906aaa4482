"""How registries may be talked to: what the user allows beyond the defaults, and how long anything may take."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scanner.directories import home_directory
from scanner.image.registry.addresses import Reach

#: where engines look for CA and client certificates of a registry, by host[:port] (dockerd, containers-certs.d(5))
_CERTIFICATES = ("/etc/containers/certs.d", "/etc/docker/certs.d")


@dataclass(frozen=True, slots=True)
class Settings:
    """What is allowed, and deadlines in seconds.

    Attributes:
        plain_http: hosts[:port] that may be talked to without TLS; loopback may be in any case.
        private: hosts that may have a private address although the registry itself has none.
        realms: hosts that may give tokens for registries of another name.
        certificates: folders of certs.d, the first that has a host counts.
        connect_seconds: until a connection stands.
        idle_seconds: without a byte.
        request_seconds: for a request with a small answer, all in all.
        tries: of a request that fails for a reason that may pass.
        longest_wait: of one Retry-After that is honoured; a registry that wants longer has refused.
        connections: at one time to one registry.
        nearest: the nearest to us that a registry itself may be; who lets others name registries sets it.
    """

    plain_http: frozenset[str] = frozenset()
    private: frozenset[str] = frozenset()
    realms: frozenset[str] = frozenset()
    certificates: tuple[str, ...] = _CERTIFICATES
    connect_seconds: float = 10.0
    idle_seconds: float = 30.0
    request_seconds: float = 60.0
    tries: int = 5
    longest_wait: float = 120.0
    connections: int = 4
    nearest: Reach = Reach.LOOPBACK


def from_environment(environment: Mapping[str, str]) -> Settings:
    """LEAKSCAN_REGISTRY_HTTP, _PRIVATE and _REALMS (hosts, separated by commas) and _CERTS (a folder like certs.d)."""

    def hosts(name: str) -> frozenset[str]:
        given = environment.get(f"LEAKSCAN_REGISTRY_{name}", "")
        return frozenset(host.strip().lower() for host in given.split(",") if host.strip())

    config = environment.get("XDG_CONFIG_HOME") or os.path.join(home_directory(environment), ".config")
    own = environment.get("LEAKSCAN_REGISTRY_CERTS")
    folders = (*([own] if own else ()), os.path.join(config, "containers", "certs.d"), *_CERTIFICATES)
    return Settings(hosts("HTTP"), hosts("PRIVATE"), hosts("REALMS"), folders)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files for TLS with one host: CAs, and a client certificate with its key."""

    authorities: tuple[Path, ...] = ()
    client: tuple[Path, Path] | None = None


def certificates(settings: Settings, host: str) -> Certificates:
    """What the first folder of certs.d has for a host[:port]: *.crt are CAs, *.cert with *.key a client's."""
    for folder in settings.certificates:
        place = Path(folder) / host
        try:
            files = sorted(place.iterdir())
        except OSError:
            continue
        pairs = [(file, file.with_suffix(".key")) for file in files if file.suffix == ".cert"]
        found = [pair for pair in pairs if pair[1] in files]
        return Certificates(tuple(file for file in files if file.suffix == ".crt"), found[0] if found else None)
    return Certificates()
