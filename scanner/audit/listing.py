"""What a registry has: repositories and tags, page by page, and what each tag points to, by HEAD."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Self, TypeVar

from scanner.audit.targets import Filters, Target, by_repository
from scanner.errors import RegistryFault
from scanner.image.registry.client import Client

T = TypeVar("T")

#: repositories that are listed ahead of the one that is wanted, and tags that are asked for meanwhile
_AHEAD, _WAITING = 8, 256
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
    with _Asking(client) as asking:
        begun: deque[_Begun] = deque()
        for each in _begun(asking, target, filters):
            begun.append(each)
            while len(begun) > _AHEAD or sum(one.known for one in begun) > _WAITING:
                yield begun.popleft().done(tell)
        while begun:
            yield begun.popleft().done(tell)


class _Asking:
    """Asks a registry in a few threads: an answer takes its way there and back, and little else.

    Each thread has a client of its own. Use it as a context manager. Nothing waits for a thread when something went
    wrong, or the user has had enough: an answer may be a minute away.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._wanted: SimpleQueue[tuple[Future[Any], Callable[[Client], Any]] | None] = SimpleQueue()
        self._threads = [Thread(target=self._answer, daemon=True) for _ in range(client.connections)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        with contextlib.suppress(Empty):
            while kind is not None:
                self._wanted.get_nowait()
        for _ in self._threads:
            self._wanted.put(None)
        for thread in self._threads if kind is None else ():
            thread.join()

    def ask(self, question: Callable[[Client], T]) -> Future[T]:
        """The answer to a question, which may ask others, as soon as it is known."""
        future: Future[T] = Future()
        self._wanted.put((future, question))
        return future

    def _answer(self) -> None:
        with contextlib.closing(self.client.apart()) as client:
            while (wanted := self._wanted.get()) is not None:
                future, question = wanted
                try:
                    future.set_result(question(client))
                except Exception as error:
                    future.set_exception(error)


@dataclass(frozen=True, slots=True)
class _Tags:
    """The tags of a repository, and which of them point to what is asked."""

    items: list[Item | Future[Item]]
    present: set[str]
    whole: bool


@dataclass(frozen=True, slots=True)
class _Begun:
    """A repository whose tags are asked for, and images of it that are named by their digests."""

    repository: str
    pinned: list[Item]
    tags: Future[_Tags]

    @property
    def known(self) -> int:
        """Tags that wait for an answer, or have one."""
        return len(self.tags.result().items) if self.tags.done() else 0

    def done(self, tell: Callable[[int], None]) -> Listed:
        found = self.tags.result()
        tell(len(found.items))
        items = [item if isinstance(item, Item) else item.result() for item in found.items]
        return Listed(self.repository, [*self.pinned, *items], found.present, found.whole)


def _begun(asking: _Asking, target: Target, filters: Filters) -> Iterator[_Begun]:
    if target.references is not None:
        for name, references in by_repository(target.references):
            tags = [reference.tag for reference in references if not reference.digest]
            pinned = [Item(name, reference.tag, reference.digest) for reference in references if reference.digest]
            yield _Begun(name, pinned, _tags(asking, name, filters, None if "" in tags else tags))
        return
    seen = set()
    try:
        if target.prefix and filters.repository(target.prefix):  # it may be a repository, and the list be refused
            own = _Begun(target.prefix, [], _tags(asking, target.prefix, filters, None))
            found = own.tags.result()
            if found.items or found.present:
                seen.add(target.prefix)
                yield own
        for name in asking.client.catalog():
            if name not in seen and target.below(name) and filters.repository(name):
                seen.add(name)
                yield _Begun(name, [], _tags(asking, name, filters, None))
    except RegistryFault as error:
        if not target.prefix or target.prefix not in seen:
            yield _Begun("", [], _known(_Tags([Item("", "", "", error.what)], set(), False)))


def _known(answer: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(answer)
    return future


def _tags(asking: _Asking, name: str, filters: Filters, tags: list[str] | None) -> Future[_Tags]:
    """What tags of a repository point to: of all, or of the *tags* given."""

    def told(found: Iterable[str], whole: bool) -> _Tags:
        items: list[Item | Future[Item]] = []
        present: set[str] = set()
        try:
            for tag in found:
                present.add(tag)
                if filters.tag(tag):
                    items.append(asking.ask(partial(_item, name=name, tag=tag)))
        except RegistryFault as error:
            return _Tags([*items, Item(name, "", "", error.what)], present, False)
        return _Tags(items, present, whole)

    if tags is not None:
        return _known(told(tags, False))
    return asking.ask(lambda client: told(client.of(name).tags(), True))


def _item(client: Client, name: str, tag: str) -> Item:
    client = client.of(name)
    try:
        found = client.pointer(tag)
        digest = found.digest if found is not None else ""
        if found is not None and not digest:  # an old registry that does not say
            manifest = client.manifest(tag)
            digest = manifest.digest if manifest is not None else ""
    except RegistryFault as error:
        return Item(name, tag, "", error.what)
    return Item(name, tag, digest, "" if digest else "it went away while it was looked at")
