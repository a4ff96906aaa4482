"""What an audit is to look at: the words of the user as a registry, repositories and filters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from scanner.errors import InvalidReference
from scanner.image.reference import Reference, is_name, parse_reference, shown
from scanner.image.registry.names import Repository, is_host, registry_of, repository_of

_AGE = re.compile(r"([0-9]{1,6})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}


@dataclass(frozen=True, slots=True)
class Filters:
    """Which images of a registry count.

    Attributes:
        repositories, tags: patterns as shells have them, of which one must fit; none for all.
        newer_than: hours since an image was made, None for any age.
    """

    repositories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    newer_than: int | None = None

    def repository(self, name: str) -> bool:
        """Whether a repository counts."""
        return not self.repositories or any(fnmatchcase(name, pattern) for pattern in self.repositories)

    def tag(self, name: str) -> bool:
        """Whether a tag counts."""
        return not self.tags or any(fnmatchcase(name, pattern) for pattern in self.tags)

    def is_older(self, created: str) -> bool:
        """Whether an image made then (ISO 8601) is too old to count; one of unknown age counts."""
        if self.newer_than is None or not created:
            return False
        try:
            made = datetime.fromisoformat(created)
        except ValueError:
            return False
        made = made if made.tzinfo else made.replace(tzinfo=UTC)
        return made < datetime.now(UTC) - timedelta(hours=self.newer_than)


@dataclass(frozen=True, slots=True)
class Target:
    """One registry.

    Attributes:
        registry: without a repository's name.
        prefix: repositories of that name and below it; empty for all.
        references: these only, by name; None for what the registry lists.
    """

    registry: Repository
    prefix: str = ""
    references: tuple[Reference, ...] | None = None

    def below(self, name: str) -> bool:
        """Whether a repository's name is the prefix or lies below it."""
        return not self.prefix or name == self.prefix or name.startswith(f"{self.prefix}/")


def parse_target(text: str) -> Target:
    """HOST[/prefix], with `registry:` or `docker://` in front or not. Raises InvalidReference."""
    rest = text.removeprefix("registry:").removeprefix("docker://").rstrip("/")
    host, _, prefix = rest.partition("/")
    if not is_host(host) or (prefix and not is_name(prefix)):
        raise InvalidReference(f"{shown(text)} names no registry", "Give HOST[:PORT][/PREFIX], or --repos-file FILE.")
    parse_reference(f"{host}/x")  # a host that can be one
    return Target(registry_of(host), prefix)


def parse_list(lines: Iterable[str]) -> list[Target]:
    """References, one a line, as one target for each registry; those without tag and digest mean every tag.

    Empty lines and what follows a # do not count. Raises InvalidReference naming the line.
    """
    found: dict[Repository, list[Reference]] = {}
    for number, line in enumerate(lines, 1):
        text = line.removeprefix("\ufeff").partition("#")[0].strip().removeprefix("registry:").removeprefix("docker://")
        if not text:
            continue
        try:
            reference = parse_reference(text)
            repository = repository_of(reference)
        except InvalidReference as error:
            raise InvalidReference(f"line {number}: {error.what}", error.tip) from None
        own = Reference(repository.name, reference.tag, reference.digest)
        found.setdefault(registry_of(repository.host), []).append(own)
    if not found:
        raise InvalidReference("the list names no repository", "Give HOST/NAME[:TAG][@DIGEST], one a line.")
    return [Target(registry, "", tuple(dict.fromkeys(references))) for registry, references in found.items()]


def parse_age(text: str) -> int:
    """Hours, of 12h, 30d or 8w. Raises InvalidReference."""
    found = _AGE.fullmatch(text)
    tip = "Give hours, days or weeks: 12h, 30d, 8w."
    if found is None:
        raise InvalidReference(f"{shown(text)} is no age", tip)
    if not int(found[1]):  # no image is younger, and no token would ever be valid
        raise InvalidReference(f"{shown(text)} is an age of nothing", tip)
    return int(found[1]) * _HOURS[found[2]]


def by_repository(references: Iterable[Reference]) -> Iterator[tuple[str, list[Reference]]]:
    """References by the repository they are of, in order."""
    grouped: dict[str, list[Reference]] = {}
    for reference in references:
        grouped.setdefault(reference.repository, []).append(reference)
    yield from grouped.items()
