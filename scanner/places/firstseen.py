"""Where a value that lies in the files of several layers came into the image first.

A layer holds whole files: a later step that only changes a file's mode, or moves it, stores all that is in it again.
The step to mend is the one that brought the value in.
"""

from __future__ import annotations

from collections.abc import Iterable

from scanner.evidence import Secret, Surface
from scanner.places.locate import Place
from scanner.secrecy.keys import fingerprint
from scanner.secrecy.seal import SealedSecret
from scanner.work.called import mark

#: Of the files of one layer that hold a value so many are remembered.
_MOST = 100


class FirstSeen:
    """The lowest layer of an image that has a value in a file, for each value. *key* is that of fingerprints: some
    values are sealed and others are not."""

    def __init__(self, places: Iterable[Place], key: bytes) -> None:
        self._key = key
        self._found: dict[tuple[int, str], list[Place]] = {}
        self._paths: dict[tuple[int, str, str], int] = {}  # image, value and path → the lowest layer that has it there
        for place in places:
            if place.surface is not Surface.LAYER or place.layer is None or place.path is None:
                continue
            value, path = self._print(place.match.secret), mark(place.path)
            at = self._paths.get((place.image, value, path), place.layer.index)
            self._paths[place.image, value, path] = min(at, place.layer.index)
            known = self._found.setdefault((place.image, value), [])
            if known and known[0].layer is not None and place.layer.index < known[0].layer.index:
                known.clear()
            if not known or (known[0].layer == place.layer and len(known) < _MOST):
                known.append(place)

    def before(self, place: Place) -> Place | None:
        """Where the value of *place* lies in the lowest layer, if that is below its own: in the same path if it lies
        there too, else in the first one."""
        if place.surface is not Surface.LAYER or place.layer is None:
            return None
        lowest = self._found.get((place.image, self._print(place.match.secret)), [])
        if not lowest or lowest[0].layer is None or lowest[0].layer.index >= place.layer.index:
            return None
        ordered = sorted(lowest, key=lambda each: each.content)  # as they lie in the layer
        return next((each for each in ordered if mark(each.path or "") == mark(place.path or "")), ordered[0])

    def again(self, place: Place) -> bool:
        """Whether a layer below has the value of *place* at the very path."""
        if place.layer is None or place.path is None:
            return False
        at = self._paths.get((place.image, self._print(place.match.secret), mark(place.path)), place.layer.index)
        return at < place.layer.index

    def _print(self, secret: Secret) -> str:
        return secret.print if isinstance(secret, SealedSecret) else fingerprint(self._key, secret.reveal())
