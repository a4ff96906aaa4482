"""Which found values stand in the text of which build step, so that no report of the step shows any of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from scanner.evidence import Secret, Surface
from scanner.places.locate import Place
from scanner.report.escape import plain
from scanner.secrecy.redact import Redactor
from scanner.work.called import mark


class Steps:
    """The values in each step's text, and files in which a step left one of them.

    Args:
        places: all that a report tells.
    """

    def __init__(self, places: Iterable[Place]) -> None:
        self._secrets: dict[str, dict[Secret, str]] = {}  # with what each of them is
        self._spelled: dict[str, list[Secret]] = {}
        self._files: dict[str, dict[tuple[Secret, str], str]] = {}
        in_files = []
        for place in places:
            if place.instruction is None:
                continue
            created_by, secret = place.instruction.created_by, place.match.secret
            if place.surface is Surface.LAYER and place.path is not None:
                in_files.append((place.image, place.content, created_by, secret, place.path))
            if place.surface in (Surface.HISTORY, Surface.CONFIG):
                self._secrets.setdefault(created_by, {}).setdefault(secret, place.match.title)
                if place.spelled is not None:
                    self._spelled.setdefault(created_by, []).append(place.spelled)

        # as they lie in the layer: values may have been taken out of the names
        for _, _, created_by, secret, path in sorted(in_files, key=lambda each: each[:2]):
            self._files.setdefault(created_by, {})[secret, mark(path)] = path

    def secrets(self, created_by: str | None) -> tuple[Secret, ...]:
        """The values in a step's text; none for an unknown step."""
        return tuple(self._secrets.get(created_by or "", ()))

    def titles(self, created_by: str | None) -> Mapping[Secret, str]:
        """What the values in a step's text are, for people."""
        return self._secrets.get(created_by or "", {})

    def files(self, created_by: str | None) -> tuple[str, ...]:
        """Paths of files in which a step left a value that stands in its text as well, 100 at most."""
        inside = set(self.secrets(created_by))
        files = self._files.get(created_by or "", {}) if inside else {}
        found = {name: path for (secret, name), path in islice(files.items(), 10_000) if secret in inside}
        return tuple(found.values())[:100]

    def redacted(self, created_by: str, redactor: Redactor, *own: Secret) -> str:
        """A step's text without any of its values, however it spells them, nor those of *own*."""
        values = [secret.reveal() for secret in (*own, *self.secrets(created_by), *self._spelled.get(created_by, ()))]
        return plain(redactor.text(created_by, own=values))
