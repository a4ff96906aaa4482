"""Who holds what leaks: for each secret and each layer the images that have it, and the oldest build among them.

Whoever owns the repository of that build must act; the others inherited it. Of builds of one time the one with the
fewest layers counts as the oldest, since the others may be built on it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from scanner.evidence import Severity

_UNDATED = "9999"  # sorts behind every time


class Build(Protocol):
    """An image: what names it, ISO 8601 when it was built (empty if nothing tells), and how many layers it has."""

    @property
    def reference(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def repository(self) -> str: ...
    @property
    def created(self) -> str: ...
    @property
    def layers(self) -> int: ...


class Leak(Protocol):
    """A secret at a place: its fingerprint, a title of its kind, and the digest of the layer, empty outside layers."""

    @property
    def secret(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def layer(self) -> str: ...


L = TypeVar("L", bound=Leak)


@dataclass(slots=True)
class Held(Generic[L]):
    """A secret or a layer while images are added.

    Attributes:
        order, reference, repository, created: of the oldest build that has it.
        leak: the first one there.
        images: by repository, each as its reference and digest: a list may name one tag with two.
        secrets: different ones, of a layer.
        titles: of them, as they were met.
    """

    order: tuple[str, int, str]
    reference: str
    repository: str
    created: str
    leak: L
    worst: Severity
    images: defaultdict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    secrets: set[str] = field(default_factory=set)
    titles: dict[str, None] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Of images."""
        return sum(map(len, self.images.values()))


@dataclass(frozen=True, slots=True)
class Share(Generic[L]):
    """What one repository must mend.

    Attributes:
        held: the secrets that entered with its builds; each secret is in one share.
        own, others: images that hold one of them, of this repository and of those that are *affected*.
    """

    repository: str
    held: tuple[Held[L], ...]
    worst: Severity
    own: int
    others: int
    affected: frozenset[str]


class Holders(Generic[L]):
    """Images so far: what of each is needed, not the images."""

    def __init__(self) -> None:
        self.secrets: dict[str, Held[L]] = {}
        self.layers: dict[str, Held[L]] = {}

    def add(self, build: Build, leaks: Iterable[L]) -> None:
        """One more image, or one more platform of it."""
        entry = build.reference, build.digest
        order = build.created or _UNDATED, build.layers, build.reference
        for leak in leaks:
            self._hold(self.secrets, leak.secret, build, leak, order, entry)
            if leak.layer:
                self._hold(self.layers, leak.layer, build, leak, order, entry)

    @staticmethod
    def _hold(
        known: dict[str, Held[L]], key: str, build: Build, leak: L, order: tuple[str, int, str], entry: tuple[str, str]
    ) -> None:
        held = known.get(key)
        if held is None:
            held = known[key] = Held(order, build.reference, build.repository, build.created, leak, leak.severity)
        elif order < held.order:
            held.order, held.leak = order, leak
            held.reference, held.repository, held.created = build.reference, build.repository, build.created
        if leak.severity.rank < held.worst.rank:
            held.worst = leak.severity
        held.images[build.repository].add(entry)
        held.secrets.add(leak.secret)
        held.titles.setdefault(leak.title)

    def secrets_in(self) -> Counter[str]:
        """How many different secrets each repository has."""
        return Counter(repository for held in self.secrets.values() for repository in held.images)

    def shared_layers(self) -> Iterator[tuple[str, Held[L]]]:
        """The layers that leak into more than one image, by digest."""
        return ((digest, held) for digest, held in self.layers.items() if held.number > 1)

    def shares(self) -> Iterator[Share[L]]:
        """Who must act, for what."""
        owned: defaultdict[str, list[Held[L]]] = defaultdict(list)
        for held in self.secrets.values():
            owned[held.repository].append(held)
        for repository, mine in owned.items():
            holders = {image for held in mine for images in held.images.values() for image in images}
            own = {image for held in mine for image in held.images[repository]}
            affected = frozenset(other for held in mine for other in held.images) - {repository}
            yield Share(repository, tuple(mine), min((held.worst for held in mine), key=rank),
                        len(own), len(holders) - len(own), affected)  # fmt: skip


def rank(severity: Severity | None) -> int:
    """For sorting: the worst first, none last."""
    return len(Severity) if severity is None else severity.rank
