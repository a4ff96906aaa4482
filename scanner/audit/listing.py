"""What a registry has: repositories and tags, page by page, and what each tag points to, by HEAD."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scanner.audit.targets import Filters, Target, by_repository
from scanner.errors import RegistryFault
from scanner.image.registry.client import Client

#: tags by which what refers to a manifest is found: surfaces of that image, no images (distribution-spec; cosign)
_REFERS = re.compile(r"(sha256)-([0-9a-f]{64})(?:\.[a-z]+)?")


def refers(tag: str) -> str:
    """The digest of the manifest that something with this tag refers to, empty for tags of images."""
    found = _REFERS.fullmatch(tag)
    return f"{found[1]}:{found[2]}" if found else ""


@dataclass(frozen=True, slots=True)
class Item:
    """An image that an audit is to look at, or something that could not be listed.

    Attributes:
        repository: within the registry; empty if the registry could not be listed.
        tag: empty if it is named by its digest alone, or the repository could not be listed.
        digest: what it points to; empty with a *reason*.
        reason: why it is not known what is there.
    """

    repository: str
    tag: str
    digest: str
    reason: str = ""

    def reference(self, host: str) -> str:
        """As a person names it."""
        name = f"{host}/{self.repository}" if self.repository else host
        return f"{name}:{self.tag}" if self.tag else f"{name}@{self.digest}" if self.digest else name

    @property
    def subject(self) -> str:
        """The digest of the manifest that this refers to by its tag, empty for images."""
        return refers(self.tag)


@dataclass(frozen=True, slots=True)
class Listed:
    """One repository, with every tag that it has if *whole*."""

    repository: str
    items: list[Item]
    present: set[str]
    whole: bool


def listed(client: Client, target: Target, filters: Filters, tell: Callable[[int], None]) -> Iterator[Listed]:
    """Every repository of the target that counts. What cannot be listed becomes an item with a reason.

    Args:
        client: of the registry.
        tell: told of images as they are found.
    """
    if target.references is not None:
        for name, references in by_repository(target.references):
            tags = [reference.tag for reference in references if not reference.digest]
            pinned = [Item(name, reference.tag, reference.digest) for reference in references if reference.digest]
            found = _repository(client, name, filters, tags if "" not in tags else None, tell) if tags else None
            yield Listed(name, [*pinned, *(found.items if found else ())], found.present if found else set(),
                         found.whole if found else False)  # fmt: skip
        return
    seen = set()
    try:
        if target.prefix and filters.repository(target.prefix):  # it may be a repository, and the list be refused
            own = _repository(client, target.prefix, filters, None, tell)
            if own.items or own.present:
                seen.add(target.prefix)
                yield own
        for name in client.catalog():
            if name not in seen and target.below(name) and filters.repository(name):
                seen.add(name)
                yield _repository(client, name, filters, None, tell)
    except RegistryFault as error:
        if not target.prefix or target.prefix not in seen:
            yield Listed("", [Item("", "", "", error.what)], set(), False)


def _repository(
    client: Client, name: str, filters: Filters, tags: list[str] | None, tell: Callable[[int], None]
) -> Listed:
    """One repository: every tag, or the *tags* given."""
    own, items, present = client.of(name), [], set()
    try:
        for tag in own.tags() if tags is None else tags:
            present.add(tag)
            if filters.tag(tag):
                items.append(_item(own, name, tag))
                tell(1)
    except RegistryFault as error:
        return Listed(name, [*items, Item(name, "", "", error.what)], present, False)
    return Listed(name, items, present, tags is None)


def _item(client: Client, name: str, tag: str) -> Item:
    try:
        found = client.pointer(tag)
        digest = found.digest if found is not None else ""
        if found is not None and not digest:  # an old registry that does not say
            manifest = client.manifest(tag)
            digest = manifest.digest if manifest is not None else ""
    except RegistryFault as error:
        return Item(name, tag, "", error.what)
    return Item(name, tag, digest, "" if digest else "it went away while it was looked at")
