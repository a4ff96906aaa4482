"""What is asked of names in an image, as hashes: all that is left of a name that holds a value.

Who keeps such a name and who looks names up both ask here, so a name that is not there any more answers as it would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice

from scanner.content.repositories import LooseObject, repository_of
from scanner.layer.tree import FILE, Trail, clean, effect, parent_hashes, parents, path_hash
from scanner.packages.node import CONTENT
from scanner.secrecy.seal import Seal
from scanner.work.keyed import keyed

#: private keys that installing a package makes, so that all who run the image share them
_GENERATED = re.compile(
    r"etc/(?:ssh/ssh_host_\w+_key|dropbear/dropbear_\w+_host_key|ssl/private/ssl-cert-snakeoil\.key|unbound/unbound_\w+\.key"
    r"|pki/tls/private/localhost\.key|bind/rndc\.key|ipsec\.d/private/[^/]+)"
)
_COMPILED = re.compile(rb"(?P<directory>(?:.*/)?)__pycache__/(?P<stem>[^/.]+)\.[a-z]+-?[0-9][^/]*\.pyc")
_MERGED = (b"usr/bin/", b"usr/sbin/", b"usr/lib")  # lists may name what merged-/usr moved as it was called before
_MASK = re.compile(r"\*+")

#: from the hash of a path to the one that is compared
Key = Callable[[int], int]
_DEEPEST = 64  # directories that a package's may be above its file


@dataclass(frozen=True, slots=True)
class Called(Trail):
    """The name of a file.

    Attributes:
        below: the rest of its path under each of the nearest directories above.
        listed: what package managers' records may call it.
        generated: it is where installing a package makes a private key.
        repository: the git repository that it is a part of, if it can be one.
        source: the Python source (PEP 3147) that it was compiled from, if it is compiled.
    """

    below: tuple[int, ...]
    listed: tuple[int, ...]
    generated: bool
    repository: int | None
    source: Called | None


@dataclass(frozen=True, slots=True)
class Entry:
    """The name of an entry of an archive: as stored, its path, that path in /usr, and below its first directory."""

    name: int
    path: int
    in_usr: int
    below: int


class Named(str):
    """A name without the values that stood in it; two that differ in nothing else have other marks.

    Attributes:
        mark: tells the name from all others.
        about: what is asked of it, keyed with *seal*.
        hidden: for each run of `*`, the mark of the text that stood there (`Seal.spelling`).
    """

    __slots__ = ("about", "hidden", "mark", "seal")

    mark: str
    about: Called | Entry
    seal: Seal
    hidden: tuple[bytes, ...]

    def again(self, text: str, mark: str = "") -> Named:
        """The same name as another text."""
        return _named(text, mark or self.mark, self.about, self.seal, self.hidden)

    def shown(self, known: Mapping[bytes, str]) -> Named:
        """The name with those parts of what stood in it that are *known* by their marks."""
        if known.keys().isdisjoint(self.hidden) or len(_MASK.findall(self)) != len(self.hidden):
            return self
        marks = iter(self.hidden)
        return self.again(_MASK.sub(lambda run: known.get(next(marks), run[0]), self))


def _named(text: str, mark: str, about: Called | Entry, seal: Seal, hidden: tuple[bytes, ...]) -> Named:
    name = Named(text)
    name.mark, name.about, name.seal, name.hidden = mark, about, seal, hidden
    return name


def named(text: str, about: Called | Entry, seal: Seal, hidden: tuple[bytes, ...]) -> Named:
    """A name that holds no value any more."""
    return _named(text, f"\0{about.path if isinstance(about, Called) else about.name:x}", about, seal, hidden)


def hidden(before: str, after: str, seal: Seal) -> Iterator[bytes]:
    """`Named.hidden` of a name that was *before*."""
    return (seal.spelling(before[run.start() : run.end()]) for run in _MASK.finditer(after))


def mark(name: str) -> str:
    """What names are told apart by."""
    return name.mark if isinstance(name, Named) else name


def key_of(seal: Seal | None) -> Key:
    """Hashes as trees and records have them, or keyed."""
    return _plain if seal is None else partial(keyed, seal)


def _plain(hashed: int) -> int:
    return hashed


def called(name: str | bytes, key: Key) -> Called:
    """What is asked of the name of a file."""
    if isinstance(name, Named) and isinstance(name.about, Called):
        return name.about
    path = clean(name if isinstance(name, bytes) else _raw(name))
    above = islice(parents(path), _DEEPEST)
    repository, source = repository_of(path), _compiled_from(path)
    return Called(
        effect(path)[0] == FILE,
        key(path_hash(path)),
        tuple(map(key, parent_hashes(path))),
        tuple(key(path_hash(path[len(directory) + 1 if directory else 0 :])) for directory in above),
        tuple(key(path_hash(name)) for name in _listed(path)),
        _GENERATED.fullmatch(path.decode("utf-8", "surrogateescape")) is not None,
        None if repository is None else key(path_hash(repository)),
        None if source is None else called(source, key),
    )


def entry(name: str, key: Key) -> Entry:
    """What is asked of the name of an archive's entry."""
    if isinstance(name, Named) and isinstance(name.about, Entry):
        return name.about
    raw = _raw(name)
    path = clean(raw)
    asked = raw, path, b"usr/" + path, raw.partition(b"/")[2]
    return Entry(*(key(path_hash(each)) for each in asked))


def repository(name: str, key: Key) -> int | None:
    """`Called.repository` of the name of a file."""
    if isinstance(name, Named) and isinstance(name.about, Called):
        return name.about.repository
    path = repository_of(_raw(name))
    return None if path is None else key(path_hash(path))


def in_repository(item: LooseObject, key: Key) -> int:
    """Which repository an object is in, to compare with `Called.repository`."""
    return item.repository if isinstance(item.repository, int) else key(path_hash(item.repository))


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _listed(path: bytes) -> Iterator[bytes]:
    yield path
    if path.startswith(_MERGED):
        yield path[len(b"usr/") :]
    elif CONTENT in path:
        yield path[path.index(CONTENT) :]


def _compiled_from(path: bytes) -> bytes | None:
    found = _COMPILED.fullmatch(path)
    return found["directory"] + found["stem"] + b".py" if found else None
