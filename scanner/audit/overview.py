"""What the images of a registry come to together: counts, repositories, layers that many images share, who must act.

Made of one image after another, so that its size is that of what it says and not of the registry.

**Who must act.** What brought a secret in is a layer, or a step of the history. Where several images have it, the
repository that made it is that of the image which ends soonest after it, provided the stacks of the others begin with
that image's: they were built on it. Where no image here is such a base, the layer comes from elsewhere, and each image
that has it must act.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from scanner.evidence import Severity
from scanner.image.instruction import parse_created_by
from scanner.report.lines import cut
from scanner.store.ledger import Span, State

#: Columns of a chart that an eye can take in.
COLUMNS = 18
_STEP, _TITLES, _FAR = 240, 4, 1 << 30
_MANY = 5000  # images kept to show the worst of
_KEPT = 50  # stacks of images that are kept for each layer, to tell who made it


@dataclass(frozen=True, slots=True)
class Leak:
    """One secret at one place of an image.

    Attributes:
        secret: its fingerprint.
        origin: what brought it in: the digest of a layer, or a name for a step of the history.
        layer: the digest, empty if no layer has it.
        depth: how many layers the image has up to the step that brought it in, that one included.
    """

    secret: str
    title: str
    severity: Severity
    origin: str
    layer: str
    step: str
    depth: int


@dataclass(frozen=True, slots=True)
class Image:
    """A tag, or what else names an image, and what is known of it.

    Attributes:
        repository: host/name.
        state: None if nothing was scanned yet.
        created: when it was made, ISO 8601; empty if nothing tells.
        stack: digests of its layers, the base first; empty if they are not known.
        stale: the verdict is by an older rule set.
    """

    reference: str
    repository: str
    digest: str
    state: State | None
    reason: str = ""
    created: str = ""
    leaks: tuple[Leak, ...] = ()
    stack: tuple[str, ...] = ()
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
    """One repository: its images, how many of them leak, and how many only by what they were built on."""

    name: str
    images: int
    leaking: int
    inherited: int
    unread: int
    secrets: int
    worst: Severity | None


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer, or a step without one, that leaks into several images.

    Attributes:
        digest: empty for a step that made no layer.
        maker: the repository that made it, empty if none here did.
    """

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
    """A repository whose owner must act, since what it made leaks.

    Attributes:
        images: those of this repository that leak what it made.
        others: images of other repositories that leak it too, and are mended by a rebuild after it.
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


def leaks_of(documents: Sequence[Mapping[str, Any]]) -> Iterator[Leak]:
    """The gated findings of an image's platforms, as a stored result has them."""
    for document in documents:
        layers = document.get("layers", ())
        for finding in document["findings"]:
            if finding["gated"]:
                yield _leak(finding, layers)


def _leak(finding: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> Leak:
    layer, step, secret = finding["layer"], finding["instruction"], finding["secret"]["fingerprint"] or finding["id"]
    digest = (layer and (layer["digest"] or layer["diff_id"])) or ""
    created_by = step["created_by"] if step else ""
    text = cut(parse_created_by(created_by).line, _STEP) if created_by else ""
    if layer:
        depth = layer["index"] + 1
    elif step:  # as many layers as were made by then
        at = step["history_index"]
        depth = sum(each["history_index"] is not None and each["history_index"] <= at for each in layers)
    else:
        depth = len(layers)
    origin = digest or f"{step['history_index'] if step else finding['surface']} {created_by} {secret}"
    return Leak(secret, finding["title"], Severity(finding["severity"]), origin, digest, text, depth)


def stack_of(documents: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The layers of the platform that leaks, else of the first one."""
    chosen = next((each for each in documents if any(f["gated"] for f in each["findings"])), None)
    chosen = chosen or (documents[0] if documents else {})
    return tuple(layer["digest"] or layer["diff_id"] or "" for layer in chosen.get("layers", ()))


@dataclass(slots=True)
class _Origin:
    """What is gathered of a layer or step that leaks."""

    leak: Leak
    images: Counter[str] = field(default_factory=Counter)
    secrets: set[str] = field(default_factory=set)
    titles: dict[str, None] = field(default_factory=dict)
    above: int = _FAR
    nearest: tuple[str, tuple[str, ...]] = ("", ())
    stacks: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def add(self, leak: Leak) -> None:
        self.secrets.add(leak.secret)
        self.titles.setdefault(leak.title)
        if leak.severity.rank < self.leak.severity.rank:
            self.leak = leak

    def seen_in(self, image: Image, depth: int) -> None:
        self.images[image.repository] += 1
        above = len(image.stack) - depth if image.stack else _FAR
        if (above, image.repository) < (self.above, self.nearest[0]):
            self.above, self.nearest = above, (image.repository, image.stack)
        if len(self.stacks) < _KEPT:
            self.stacks.append((image.repository, image.stack))

    @property
    def maker(self) -> str:
        """The repository that made it, empty if that is none of those here."""
        name, stack = self.nearest
        if len(self.images) == 1:
            return next(iter(self.images))
        built_on = [theirs[: len(stack)] == stack for other, theirs in self.stacks if other != name]
        return name if stack and all(built_on) else ""


@dataclass(slots=True)
class _Repository:
    images: int = 0
    leaking: int = 0
    unread: int = 0
    secrets: set[str] = field(default_factory=set)
    worst: Severity | None = None
    origins: list[frozenset[str]] = field(default_factory=list)


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
        self.origins: dict[str, _Origin] = {}
        self.built: Counter[date] = Counter()
        self.built_leaking: Counter[date] = Counter()
        self.secrets: set[str] = set()
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
        depths: dict[str, int] = {}
        for leak in image.leaks:
            depths.setdefault(leak.origin, leak.depth)
            self.secrets.add(leak.secret)
            mine.secrets.add(leak.secret)
            if mine.worst is None or leak.severity.rank < mine.worst.rank:
                mine.worst = leak.severity
            if leak.origin not in self.origins:
                self.origins[leak.origin] = _Origin(leak)
            self.origins[leak.origin].add(leak)
        for origin, depth in depths.items():
            self.origins[origin].seen_in(image, depth)
        mine.origins.append(frozenset(depths))

    def overview(self, shown: int) -> Overview:
        makers = {name: origin.maker for name, origin in self.origins.items()}
        states = {state: self.states[state] for state in State}
        return Overview(
            images=self.images,
            states=states,
            waiting=self.waiting,
            leaking=self.leaking,
            stale=self.stale,
            secrets=len(self.secrets),
            repositories=tuple(self._repositories(makers))[:shown],
            layers=tuple(self._layers(makers))[:shown],
            actors=tuple(self._actors(makers))[:shown],
            built=periods(self.built, self.built_leaking),
            worst=tuple(sorted(self.worst, key=_badness)[:shown]),
            unread=tuple(self.unread[:shown]),
        )

    def _repositories(self, makers: Mapping[str, str]) -> list[Repository]:
        found = []
        for name, each in self.repositories.items():
            inherited = sum(
                all(makers[origin] not in ("", name) for origin in origins) for origins in each.origins
            )  # fmt: skip
            found.append(Repository(name, each.images, each.leaking, inherited, each.unread, len(each.secrets),
                                    each.worst))  # fmt: skip
        return sorted(found, key=lambda each: (-each.leaking, _rank(each.worst), -each.unread, each.name))

    def _layers(self, makers: Mapping[str, str]) -> list[Layer]:
        found = [
            Layer(
                digest=origin.leak.layer,
                step=origin.leak.step,
                titles=tuple(origin.titles)[:_TITLES],
                images=origin.images.total(),
                repositories=len(origin.images),
                secrets=len(origin.secrets),
                worst=origin.leak.severity,
                maker=makers[name],
            )
            for name, origin in self.origins.items()
            if origin.images.total() > 1
        ]
        return sorted(found, key=lambda each: (-each.images, each.worst.rank, each.digest, each.step))

    def _actors(self, makers: Mapping[str, str]) -> list[Actor]:
        mine: defaultdict[str, list[_Origin]] = defaultdict(list)
        for name, origin in self.origins.items():
            for repository in [makers[name]] if makers[name] else origin.images:
                mine[repository].append(origin)
        found = []
        for repository, origins in mine.items():
            titles = {title: None for origin in origins for title in origin.titles}
            made = [origin for origin in origins if makers[origin.leak.origin] == repository]
            found.append(Actor(
                repository=repository,
                secrets=len({secret for origin in origins for secret in origin.secrets}),
                images=self._images_with(repository, {origin.leak.origin for origin in origins}),
                others=sum(origin.images.total() - origin.images[repository] for origin in made),
                worst=min((origin.leak.severity for origin in origins), key=lambda severity: severity.rank),
                titles=tuple(titles)[:_TITLES],
            ))  # fmt: skip
        return sorted(found, key=lambda each: (-each.images - each.others, each.worst.rank, each.repository))

    def _images_with(self, repository: str, origins: set[str]) -> int:
        return sum(not found.isdisjoint(origins) for found in self.repositories[repository].origins)


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
