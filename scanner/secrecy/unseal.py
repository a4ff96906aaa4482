"""Finds sealed values in what an image says in clear, so that they can be taken out of it.

A value from a store is not known, but whoever built the image may have written it into a build step or a name as
well. There it stands in clear, and its marks tell that it is the one. Names of files that were kept without it get it
back: advice compares them with build steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import unquote_plus

from scanner.evidence import Secret
from scanner.places.locate import Place
from scanner.secrecy.seal import HEAD, Seal, SealedSecret
from scanner.work.called import Named


@dataclass(frozen=True, slots=True)
class Unsealed:
    """*places* with the values that were found, and *spellings* of values that are not known from how they stand."""

    places: list[Place]
    spellings: list[bytes] = field(default_factory=list)


def unsealed(places: Iterable[Place], texts: Iterable[str]) -> Unsealed:
    """Places whose sealed secrets are in one of *texts* get them back; all others stay as they are."""
    everything = list(places)
    wanted = [secret for place in everything for secret in (place.match.secret, place.spelled)
              if isinstance(secret, SealedSecret)]  # fmt: skip
    if not wanted:
        return Unsealed(everything)
    index = _Index(wanted)
    found: dict[str, Secret] = {}
    spellings = []
    spelled: dict[bytes, str] = {}
    for secret, text in index.occurrences(texts):
        spelled[secret.seal.spelling(text)] = text
        value = next((raw for raw in _values(text) if secret.is_value(raw)), None)
        if value is None:
            spellings.append(text.encode("utf-8", "surrogateescape"))
        else:
            found[secret.print] = Secret(value)
    return Unsealed([_opened(place, found, spelled) for place in everything] if spelled else everything, spellings)


def _opened(place: Place, found: dict[str, Secret], texts: dict[bytes, str]) -> Place:
    if isinstance(place.path, Named):
        place = replace(place, path=place.path.shown(texts))
    secret, spelled = place.match.secret, place.spelled
    if isinstance(secret, SealedSecret) and secret.print in found:
        place = replace(place, match=replace(place.match, secret=found[secret.print]))
    if isinstance(spelled, SealedSecret):
        place = replace(place, spelled=found.get(spelled.print, spelled))
    return place


def _values(text: str) -> Iterator[bytes]:
    """What a spelling may be of: itself, or text that was escaped for JSON, a URL or a shell."""
    yield text.encode("utf-8", "surrogateescape")
    yield unquote_plus(text).encode("utf-8", "surrogateescape")
    yield text.replace("'\\''", "'").replace("'\"'\"'", "'").encode("utf-8", "surrogateescape")
    try:
        yield json.loads(f'"{text}"', strict=False).encode("utf-8", "surrogatepass")
    except ValueError:
        return


class _Index:
    """Spellings by length and by the mark of their first characters."""

    def __init__(self, secrets: Iterable[SealedSecret]) -> None:
        self._lengths: dict[bytes, set[int]] = {}  # mark of the first characters → lengths
        self._short: set[int] = set()
        self._known: dict[bytes, SealedSecret] = {}
        self._seal: Seal | None = None
        for secret in secrets:
            self._seal = secret.seal
            for way in secret.spellings:
                self._known[way.mark] = secret
                if way.length >= HEAD:
                    self._lengths.setdefault(way.head, set()).add(way.length)
                else:
                    self._short.add(way.length)

    def occurrences(self, texts: Iterable[str]) -> Iterator[tuple[SealedSecret, str]]:
        """Every spelling that stands in a text, once."""
        heads: dict[str, set[int] | None] = {}
        windows: dict[str, None] = {}
        seal = self._seal
        assert seal is not None
        for text in dict.fromkeys(texts):
            for at in range(len(text)):
                for length in self._short:
                    if at + length <= len(text):
                        windows[text[at : at + length]] = None
                head = text[at : at + HEAD]
                if len(head) < HEAD:
                    continue
                if head not in heads:
                    heads[head] = self._lengths.get(seal.head(head))
                for length in heads[head] or ():
                    if at + length <= len(text):
                        windows[text[at : at + length]] = None
        for window in windows:
            if (secret := self._known.get(seal.spelling(window))) is not None:
                yield secret, window
