"""What the images of a registry come to together: counts, repositories, layers that many images share, who must act.

Made of one image after another, of an audit or of the store, so that pages of both say the same. Who must act is told
as in `audit.summary`: a secret is its owner's in whose repository the oldest build that holds it is; of builds of one
time the one with the fewest layers, which the others may be built on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from scanner.audit.rows import layers_known
from scanner.evidence import Severity
from scanner.image.instruction import parse_created_by
from scanner.report.lines import cut
from scanner.store.ledger import Span, State

#: Columns of a chart that an eye can take in.
COLUMNS = 18
_STEP, _TITLES, _FAR = 240, 4, 1 << 30
_MANY = 5000  # images kept to show the worst of


@dataclass(frozen=True, slots=True)
class Leak:
    """One secret at one place of an image.

    Attributes:
        secret: its fingerprint.
        layer: the digest, empty if no layer has it.
        step: the build step that brought it in; empty if nothing tells.
    """

    secret: str
    title: str
    severity: Severity
    layer: str
    step: str


@dataclass(frozen=True, slots=True)
class Image:
    """A tag, or what else names an image, and what is known of it.

    Attributes:
        repository: host/name.
        state: None if nothing was scanned yet.
        created: when it was made, ISO 8601; empty if nothing tells.
        layers: how many it has, 0 if that is not known.
        stale: the verdict is by an older rule set.
    """

    reference: str
    repository: str
    digest: str
    state: State | None
    reason: str = ""
    created: str = ""
    leaks: tuple[Leak, ...] = ()
    layers: int = 0
    stale: bool = False

    @property
    def secrets(self) -> int:
        """How many different ones."""
        return len({leak.secret for leak in self.leaks})

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst leak."""
        return min((leak.severity for leak in self.leaks), key=lambda severity: severity.rank, default=None)


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
class Period:
    """A column of a chart: *leaking* of *images* in the time that *label* names; *short* fits below a column."""

    label: str
    short: str
    images: int
    leaking: int


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
    built: tuple[Period, ...]
    worst: tuple[Image, ...] = ()
    unread: tuple[Image, ...] = ()


def leaks_of(findings: Iterable[Mapping[str, Any]]) -> Iterator[Leak]:
    """Those findings, as a stored result has them, that are gated."""
    for finding in (each for each in findings if each["gated"]):
        layer, step = finding["layer"], finding["instruction"]
        text = cut(parse_created_by(step["created_by"]).line, _STEP) if step and step["created_by"] else ""
        yield Leak(finding["secret"]["fingerprint"] or finding["id"], finding["title"], Severity(finding["severity"]),
                   (layer and layer["digest"]) or "", text)  # fmt: skip


def layers_of(documents: Sequence[Mapping[str, Any]]) -> int:
    """How many layers an image has; of several platforms the fewest."""
    return min((layers_known(document) for document in documents), default=0)


@dataclass(slots=True)
class _Held:
    """What is gathered of a secret or a layer. *images* are references by repository."""

    order: tuple[str, int, str]
    repository: str
    step: str
    worst: Severity
    images: defaultdict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    secrets: set[str] = field(default_factory=set)
    titles: dict[str, None] = field(default_factory=dict)

    def add(self, order: tuple[str, int, str], image: Image, leak: Leak) -> None:
        if order < self.order:
            self.order, self.repository, self.step = order, image.repository, leak.step
        if leak.severity.rank < self.worst.rank:
            self.worst = leak.severity
        self.images[image.repository].add((image.reference, image.digest))
        self.secrets.add(leak.secret)
        self.titles.setdefault(leak.title)

    @property
    def number(self) -> int:
        """Of images."""
        return sum(map(len, self.images.values()))


@dataclass(slots=True)
class _Repository:
    images: int = 0
    leaking: int = 0
    unread: int = 0
    secrets: set[str] = field(default_factory=set)
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
        self.secrets: dict[str, _Held] = {}
        self.layers: dict[str, _Held] = {}
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
        day = _day(image.created)
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
        self._leaks(image, mine)

    def _leaks(self, image: Image, mine: _Repository) -> None:
        order = (image.created or "9999", image.layers, image.reference)
        for leak in image.leaks:
            if mine.worst is None or leak.severity.rank < mine.worst.rank:
                mine.worst = leak.severity
            for held, key in ((self.secrets, leak.secret), (self.layers, leak.layer)):
                if key:
                    if key not in held:
                        held[key] = _Held(order, image.repository, leak.step, leak.severity)
                    held[key].add(order, image, leak)
        held_here = frozenset(leak.secret for leak in image.leaks)
        mine.secrets |= held_here
        mine.held.append(held_here)

    def overview(self, shown: int) -> Overview:
        states = {state: self.states[state] for state in State}
        return Overview(
            images=self.images,
            states=states,
            waiting=self.waiting,
            leaking=self.leaking,
            stale=self.stale,
            secrets=len(self.secrets),
            repositories=tuple(self._repositories())[:shown],
            layers=tuple(self._layers())[:shown],
            actors=tuple(self._actors())[:shown],
            built=periods(self.built, self.built_leaking),
            worst=tuple(sorted(self.worst, key=_badness)[:shown]),
            unread=tuple(self.unread[:shown]),
        )

    def _repositories(self) -> list[Repository]:
        found = []
        for name, each in self.repositories.items():
            inherited = sum(all(self.secrets[secret].repository != name for secret in held) for held in each.held)
            found.append(Repository(name, each.images, each.leaking, inherited, each.unread, len(each.secrets),
                                    each.worst))  # fmt: skip
        return sorted(found, key=lambda each: (-each.leaking, _rank(each.worst), -each.unread, each.name))

    def _layers(self) -> list[Layer]:
        found = [
            Layer(digest, held.step, tuple(held.titles)[:_TITLES], held.number, len(held.images), len(held.secrets),
                  held.worst, held.repository)
            for digest, held in self.layers.items()
            if held.number > 1
        ]  # fmt: skip
        return sorted(found, key=lambda each: (-each.images, each.worst.rank, each.digest))

    def _actors(self) -> list[Actor]:
        owned: defaultdict[str, list[_Held]] = defaultdict(list)
        for held in self.secrets.values():
            owned[held.repository].append(held)
        found = []
        for repository, secrets in owned.items():
            holders = {image for held in secrets for images in held.images.values() for image in images}
            own = {image for held in secrets for image in held.images[repository]}
            titles = {title: None for held in secrets for title in held.titles}
            worst = min((held.worst for held in secrets), key=lambda severity: severity.rank)
            found.append(Actor(repository, len(secrets), len(own), len(holders) - len(own), worst,
                               tuple(titles)[:_TITLES]))  # fmt: skip
        return sorted(found, key=lambda each: (each.worst.rank, -each.images - each.others, each.repository))


def _rank(severity: Severity | None) -> int:
    return _FAR if severity is None else severity.rank


def _badness(image: Image) -> tuple[int, int, str]:
    return _rank(image.worst), -image.secrets, image.reference


def _day(time: str) -> date | None:
    """The day of an ISO 8601 time; None for what is none, or the zero time that reproducible builds write."""
    try:
        found = date.fromisoformat(time[:10])
    except ValueError:
        return None
    return found if found.year >= 2000 else None


def history(spans: Iterable[Span], today: date) -> tuple[Period, ...]:
    """How many images there were, and how many of them leak by what is known now, at the end of each period."""
    kept = list(spans)
    days = {day for span in kept if (day := _day(span.first)) is not None}
    if not days:
        return ()
    ends = _ends(min(days), today)
    found = []
    for start, end, label, short in ends:
        there = [span for span in kept if (_day(span.first) or start) <= end
                 and (span.current or (_day(span.last) or start) >= end)]  # fmt: skip
        found.append(Period(label, short, sum(span.images for span in there),
                            sum(span.images for span in there if span.leaking)))  # fmt: skip
    return tuple(found)


def periods(images: Mapping[date, int], leaking: Mapping[date, int]) -> tuple[Period, ...]:
    """Images by the time they were made, in as many columns as are good to look at; the first holds all before it."""
    if not images:
        return ()
    found = []
    ends = _ends(min(images), max(images))
    for at, (start, end, label, short) in enumerate(ends):
        days = [day for day in images if (start <= day or at == 0) and day <= end]
        found.append(Period(f"until {label}" if at == 0 and min(images) < start else label, short,
                            sum(images[day] for day in days), sum(leaking.get(day, 0) for day in days)))  # fmt: skip
    return tuple(found)


def _ends(first: date, last: date) -> list[tuple[date, date, str, str]]:
    """Days, weeks, months, quarters or years up to *last*, COLUMNS at most: first day, last day, label, short label."""
    days = (last - first).days + 1
    if days <= COLUMNS:
        return [(day, day, day.isoformat(), str(day.day)) for day in (first + timedelta(n) for n in range(days))]
    if days <= 7 * COLUMNS:
        start = first - timedelta(first.weekday())
        weeks = [start + timedelta(7 * n) for n in range((last - start).days // 7 + 1)][-COLUMNS:]
        return [(day, day + timedelta(6), f"week of {day.isoformat()}", f"{day.day}.{day.month}.") for day in weeks]
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    if months <= COLUMNS:
        each = [(first.year + (first.month - 1 + n) // 12, (first.month - 1 + n) % 12 + 1) for n in range(months)]
        return [(date(year, month, 1), _month_end(year, month), f"{year}-{month:02}", f"{month}/{year % 100:02}")
                for year, month in each]  # fmt: skip
    if months <= 3 * (COLUMNS - 1):
        each = [divmod(n, 4) for n in range(first.year * 4 + (first.month - 1) // 3,
                                            last.year * 4 + (last.month - 1) // 3 + 1)]  # fmt: skip
        return [(date(year, 3 * quarter + 1, 1), _month_end(year, 3 * quarter + 3), f"{year}, quarter {quarter + 1}",
                 f"Q{quarter + 1}/{year % 100:02}") for year, quarter in each]  # fmt: skip
    years = range(max(first.year, last.year - COLUMNS + 1), last.year + 1)
    return [(date(year, 1, 1), date(year, 12, 31), str(year), str(year)) for year in years]


def _month_end(year: int, month: int) -> date:
    following = date(year + month // 12, month % 12 + 1, 1)
    return following - timedelta(1)
