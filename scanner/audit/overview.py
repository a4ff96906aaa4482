"""What the images of a registry come to together: counts, repositories, layers that many images share, who must act.

Made of one image after another, of an audit or of the store, so that pages of both say the same; who must act is told
as in `audit.summary`, by `audit.holders`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from scanner.audit.columns import Column, day_of, periods
from scanner.audit.holders import Holders, rank
from scanner.audit.leaks import Image, Leak
from scanner.evidence import Severity
from scanner.store.ledger import State

_TITLES = 4
_MANY = 5000  # images kept to show the worst of


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository: its images, how many of them leak, and how many only what others must mend."""

    name: str
    images: int
    leaking: int
    inherited: int
    unread: int
    secrets: int
    worst: Severity | None


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that leaks into several images; *maker* is the repository of the oldest build that has it."""

    digest: str
    step: str
    titles: tuple[str, ...]
    images: int
    repositories: int
    secrets: int
    worst: Severity
    maker: str


@dataclass(frozen=True, slots=True)
class Actor:
    """A repository whose owner must act, since secrets entered the registry with its builds.

    Attributes:
        secrets: each secret has one owner.
        images: those of this repository that hold one of them.
        others: images of other repositories that inherited one, and are mended by a rebuild on the mended base.
        titles: of a few kinds of secrets.
    """

    repository: str
    secrets: int
    images: int
    others: int
    worst: Severity
    titles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """A whole registry, or several.

    Attributes:
        states: images by what came of them; together they are all that there are.
        leaking: how many of them leak.
        stale: how many have a verdict of an older rule set only.
        secrets: how many different ones leak.
        worst: the leaking images, worst first; *unread* those that were not or not wholly read. Both are cut.
    """

    images: int
    states: Mapping[State, int]
    waiting: int
    leaking: int
    stale: int
    secrets: int
    repositories: tuple[Repository, ...]
    layers: tuple[Layer, ...]
    actors: tuple[Actor, ...]
    built: tuple[Column, ...]
    worst: tuple[Image, ...] = ()
    unread: tuple[Image, ...] = ()


@dataclass(slots=True)
class _Repository:
    images: int = 0
    leaking: int = 0
    unread: int = 0
    worst: Severity | None = None
    held: list[frozenset[str]] = field(default_factory=list)


def overview(images: Iterable[Image], shown: int = 200) -> Overview:
    """Of one image after another. At most *shown* of each kind of row are kept, the worst."""
    gathered = _Gathered()
    for image in images:
        gathered.add(image)
    return gathered.overview(shown)


class _Gathered:
    """Images so far."""

    def __init__(self) -> None:
        self.images = self.waiting = self.leaking = self.stale = 0
        self.states: Counter[State] = Counter()
        self.repositories: defaultdict[str, _Repository] = defaultdict(_Repository)
        self.holders: Holders[Leak] = Holders()
        self.built: Counter[date] = Counter()
        self.built_leaking: Counter[date] = Counter()
        self.worst: list[Image] = []
        self.unread: list[Image] = []

    def add(self, image: Image) -> None:
        mine = self.repositories[image.repository]
        mine.images += 1
        self.images += 1
        self.stale += image.stale
        if image.state is None:
            self.waiting += 1
        else:
            self.states[image.state] += 1
        if image.state in (State.INCOMPLETE, State.FAILED):
            mine.unread += 1
            if len(self.unread) < _MANY:
                self.unread.append(image)
        day = day_of(image.created)
        if day is not None:
            self.built[day] += 1
        if not image.leaks:
            return
        if day is not None:
            self.built_leaking[day] += 1
        self.leaking += 1
        mine.leaking += 1
        self.worst.append(image)
        if len(self.worst) > 2 * _MANY:
            self.worst = sorted(self.worst, key=_badness)[:_MANY]
        self.holders.add(image, image.leaks)
        mine.worst = min(mine.worst, image.worst, key=rank)
        mine.held.append(frozenset(leak.secret for leak in image.leaks))

    def overview(self, shown: int) -> Overview:
        states = {state: self.states[state] for state in State}
        return Overview(
            images=self.images,
            states=states,
            waiting=self.waiting,
            leaking=self.leaking,
            stale=self.stale,
            secrets=len(self.holders.secrets),
            repositories=tuple(self._repositories())[:shown],
            layers=tuple(self._layers())[:shown],
            actors=tuple(self._actors())[:shown],
            built=periods(self.built, self.built_leaking),
            worst=tuple(sorted(self.worst, key=_badness)[:shown]),
            unread=tuple(self.unread[:shown]),
        )

    def _repositories(self) -> list[Repository]:
        secrets, number = self.holders.secrets, self.holders.secrets_in()
        found = []
        for name, each in self.repositories.items():
            inherited = sum(all(secrets[secret].repository != name for secret in held) for held in each.held)
            found.append(Repository(name, each.images, each.leaking, inherited, each.unread, number[name], each.worst))
        return sorted(found, key=lambda each: (-each.leaking, rank(each.worst), -each.unread, each.name))

    def _layers(self) -> list[Layer]:
        found = [
            Layer(digest, held.leak.step, tuple(held.titles)[:_TITLES], held.number, len(held.images),
                  len(held.secrets), held.worst, held.repository)
            for digest, held in self.holders.shared_layers()
        ]  # fmt: skip
        return sorted(found, key=lambda each: (-each.images, each.worst.rank, each.digest))

    def _actors(self) -> list[Actor]:
        found = []
        for each in self.holders.shares():
            titles = {title: None for held in each.held for title in held.titles}
            found.append(Actor(each.repository, len(each.held), each.own, each.others, each.worst,
                               tuple(titles)[:_TITLES]))  # fmt: skip
        return sorted(found, key=lambda each: (each.worst.rank, -each.images - each.others, each.repository))


def _badness(image: Image) -> tuple[int, int, str]:
    return rank(image.worst), -image.secrets, image.reference
