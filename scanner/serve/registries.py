"""Which registries may be read, with whose credentials, and what a tag points to.

Whoever asks chooses the image, so the service could be sent anywhere: only hosts that the operator named are read, or
such as have public addresses (judged when they are connected to).
"""

from __future__ import annotations

import os
from dataclasses import replace

from scanner.errors import LeakscanError, RegistryFault
from scanner.image.reference import Reference, parse_reference, shown
from scanner.image.registry.addresses import Reach
from scanner.image.registry.client import Client
from scanner.image.registry.names import Repository, registry_of, repository_of
from scanner.image.registry.settings import from_environment
from scanner.limits import Limits
from scanner.serve.settings import ServeSettings


class RegistryRefused(LeakscanError):
    """The operator does not let this registry be read."""


class Registries:
    """What may be read."""

    def __init__(self, settings: ServeSettings, limits: Limits) -> None:
        self._settings, self._limits = settings, limits
        self._named = frozenset(registry_of(host.lower()).host for host in settings.registries)

    def repository(self, reference: str) -> tuple[Repository, Reference]:
        """Where a reference leads. Raises InvalidReference, RegistryRefused."""
        parsed = parse_reference(reference)
        found = repository_of(parsed)
        if not self._settings.any_registry and found.host.lower() not in self._named:
            raise RegistryRefused(f"{shown(found.host)} is not among the registries that this service reads",
                                  "Name it with --registry.")  # fmt: skip
        return found, parsed

    def public_only(self, host: str) -> bool:
        """Whether a registry is read only at public addresses, as nobody vouches for it."""
        return host.lower() not in self._named

    def resolve(self, reference: str) -> tuple[str, str]:
        """(HOST/NAME@DIGEST, digest) of a reference: asks the registry if it has no digest.

        Raises:
            InvalidReference: it is none.
            RegistryRefused: the registry may not be read.
            RegistryFault: the registry does not say.
        """
        repository, parsed = self.repository(reference)
        digest = parsed.digest
        if not digest:
            digest = self._pointer(repository, parsed)
        return f"{repository}@{digest}", digest

    def _pointer(self, repository: Repository, parsed: Reference) -> str:
        seconds = self._settings.resolve_seconds
        settings = replace(from_environment(os.environ), connect_seconds=seconds, idle_seconds=seconds,
                           request_seconds=seconds, tries=1)  # fmt: skip
        if self.public_only(repository.host):
            settings = replace(settings, nearest=Reach.PUBLIC)
        client = Client.connect(repository, settings, self._limits, os.environ)
        try:
            found = client.pointer(parsed.version)
            if found is not None and not found.digest:  # an old registry that does not say
                manifest = client.manifest(parsed.version)
                if manifest is not None:
                    return manifest.digest
        finally:
            client.close()
        if found is None or not found.digest:
            raise RegistryFault("registry.missing", f"{repository} has no tag {shown(parsed.version)}", "")
        return found.digest
