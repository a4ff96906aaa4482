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
from scanner.image.registry.client import NO_LIST, Client

T = TypeVar("T")

#: repositories that are listed ahead of the one that is wanted, and tags that are asked for meanwhile
_AHEAD, _WAITING = 8, 256
#: why a registry lists no repositories that can be named all the same: it refuses that, or has no catalogue
_REFUSALS = ("registry.denied", NO_LIST)
_NOTHING = "no image was listed: check names and filters, and what this account may read"
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
    """One repository, with every tag that it has if *whole*; without a name it is what is to be said of the registry.

    Attributes:
        note: a sentence that every report must have.
    """

    repository: str
    items: list[Item]
    present: set[str]
    whole: bool
    note: str = ""


def listed(client: Client, target: Target, filters: Filters, tell: Callable[[int], None]) -> Iterator[Listed]:
    """Every repository of the target that counts. What cannot be listed becomes an item with a reason; so does it that
    there is no item at all, unless the registry says that it is empty.

    Args:
        client: of the registry.
        tell: told of images as they are found.
    """
    items, empty = 0, False
    for found in _answered(client, target, filters, tell):
        items += len(found.items)
        empty = empty or bool(found.note and not target.prefix)
        yield found
    if not items and not empty:
        yield Listed("", [Item("", "", "", _NOTHING)], set(), False)


def _answered(client: Client, target: Target, filters: Filters, tell: Callable[[int], None]) -> Iterator[Listed]:
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
    """The tags of a repository, and which of them point to what is asked.

    Attributes:
        none: the registry says that there is no tag.
    """

    items: list[Item | Future[Item]]
    present: set[str]
    whole: bool
    none: bool = False


@dataclass(frozen=True, slots=True)
class _Begun:
    """A repository whose tags are asked for, and images of it that are named by their digests."""

    repository: str
    pinned: list[Item]
    tags: Future[_Tags]
    note: str = ""

    @property
    def known(self) -> int:
        """Tags that wait for an answer, or have one."""
        return len(self.tags.result().items) if self.tags.done() else 0

    def done(self, tell: Callable[[int], None]) -> Listed:
        found = self.tags.result()
        tell(len(self.pinned) + len(found.items))
        items = [item if isinstance(item, Item) else item.result() for item in found.items]
        return Listed(self.repository, [*self.pinned, *items], found.present, found.whole, self.note)


def _begun(asking: _Asking, target: Target, filters: Filters) -> Iterator[_Begun]:
    if target.references is None:
        yield from _catalogued(asking, target, filters)
        return
    for name, references in by_repository(target.references):
        tags = [reference.tag for reference in references if not reference.digest]
        pinned = [Item(name, reference.tag, reference.digest) for reference in references if reference.digest]
        yield _Begun(name, pinned, _tags(asking, name, filters, None if "" in tags else tags, named=True))


def _catalogued(asking: _Asking, target: Target, filters: Filters) -> Iterator[_Begun]:
    """The repositories of the catalogue, and the one that the target may name: not every registry has a catalogue."""
    own: _Begun | None = None
    if target.prefix and filters.repository(target.prefix):
        own = _Begun(target.prefix, [], _tags(asking, target.prefix, filters, None, named=True))
    there = own is not None and not own.tags.result().none
    if own is not None and there:
        yield own
    seen, fault = set[str](), None
    try:
        for name in asking.client.catalog():
            known = name in seen or (there and name == target.prefix)
            seen.add(name)
            if not known and target.below(name) and filters.repository(name):
                yield _Begun(name, [], _tags(asking, name, filters, None))
    except RegistryFault as error:
        fault = error
    if own is not None and not there and not any(map(target.below, seen)):  # else it is no repository, but holds some
        yield own
    if fault is not None:
        yield _uncatalogued(asking.client.repository.host, target, fault, own is not None and not seen)
    elif not seen and not target.prefix:
        yield _said(note=f"{asking.client.repository.host} lists no repository that this account may see")


def _uncatalogued(host: str, target: Target, fault: RegistryFault, refusable: bool) -> _Begun:
    """What is said where the catalogue cannot be read: that something failed, or if a refusal is *refusable*, as the
    repository that was named is read without a catalogue, a note."""
    reason = _reason(fault)
    if target.prefix:
        reason = f"what lies below {host}/{target.prefix} could not be listed: {reason}"
    if refusable and fault.reason in _REFUSALS:
        return _said(note=reason)
    return _said(Item("", "", "", reason))


def _said(*items: Item, note: str = "") -> _Begun:
    """Something of the registry itself."""
    return _Begun("", [], _known(_Tags([*items], set(), False)), note)


def _reason(fault: RegistryFault) -> str:
    """What failed, and what to try."""
    return f"{fault.what}. {fault.tip}" if fault.tip else fault.what


def _known(answer: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(answer)
    return future


def _tags(
    asking: _Asking, name: str, filters: Filters, tags: list[str] | None, named: bool = False
) -> Future[_Tags]:
    """What tags of a repository point to: of all, or of the *tags* given.

    That there is no tag is as it should be after tags were deleted, but not of a repository that the user *named*.
    """

    def told(found: Iterable[str], whole: bool) -> _Tags:
        items: list[Item | Future[Item]] = []
        present: set[str] = set()
        try:
            for tag in found:
                present.add(tag)
                if filters.tag(tag):
                    items.append(asking.ask(partial(_item, name=name, tag=tag)))
        except RegistryFault as error:
            if error.reason == NO_LIST:
                return none(_reason(error), not named)
            return _Tags([*items, Item(name, "", "", _reason(error))], present, False)
        return _Tags(items, present, whole) if present or not whole else none("it has no tag", True)

    def none(reason: str, whole: bool) -> _Tags:
        return _Tags([Item(name, "", "", reason)] if named else [], set(), whole, none=True)

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
    return Item(name, tag, digest, "" if digest else "the registry has no such tag now")
