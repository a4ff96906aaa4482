"""Whole results in the user's cache directory: an image that has not changed is not opened again.

What is kept is what a report may show, every string redacted already. It is asked for by the identity of a file or
directory (`image.identity`), or by what an engine says of an image.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from scanner.cache.entries import Entries
from scanner.cache.values import dumped, loaded
from scanner.errors import LeakscanError
from scanner.evidence import ScanResult, Severity, is_gated
from scanner.image import identity
from scanner.image.reference import Form, parse_reference, path_and_tag, split_form

if TYPE_CHECKING:
    from scanner.image.engine.images import Known

_RESULT = "result"
#: changes with the meaning of what is kept
_VERSION = "1"
#: gaps that the next run may not have
_PASSING = ("limit.", "spool.", "worker.", "file.", "registry.", "image.")


class CachedResults:
    """Results of earlier scans.

    Args:
        about: all that a result depends on besides the image: program, rules, limits, what the user asked for.
    """

    def __init__(self, entries: Entries, about: tuple[str, ...]) -> None:
        self._entries, self._about = entries, (_VERSION, *about)

    def get(self, image: str, fail_on: Severity | None) -> ScanResult | None:
        """The result of an earlier scan of *image*, an identity; findings gated as *fail_on* has it."""
        raw = self._entries.get(_RESULT, (*self._about, image))
        if raw is None:
            return None
        try:
            found = loaded(ScanResult, raw)
        except ValueError:
            return None
        gated = tuple(replace(each, gated=is_gated(each.severity, each.confidence, fail_on)) for each in found.findings)
        settings = {**found.settings, "fail_on": fail_on.value if fail_on else "never"}
        return replace(found, findings=gated, settings=settings)

    def put(self, image: str, result: ScanResult) -> None:
        """Keep a result, if the next scan would come to the same."""
        coverage = result.coverage
        if coverage.total == coverage.accounted and not any(gap.reason.startswith(_PASSING) for gap in coverage.gaps):
            self._entries.put(_RESULT, (*self._about, image), dumped(replace(result, seconds=0.0)))


def identity_of(reference: str, platform: str | None) -> tuple[str, str]:
    """The identity of what a reference leads to, and a note on whom it is taken from; empty if it has none.

    A registry is asked for its manifest each time, so what it has needs none. Raises nothing.
    """
    form, rest = split_form(reference)
    path, _ = path_and_tag(rest)
    if form is Form.FILE or (form is Form.ANY and rest and os.path.exists(rest)):
        found = identity.of_path(path)
        return (f"file {found}", "") if found else ("", "")
    if form not in (Form.ANY, Form.DOCKER, Form.PODMAN) or not rest:
        return "", ""
    try:
        known = _engine(rest, form, platform)
    except LeakscanError:  # whoever opens the image says why
        return "", ""
    if known is None:
        return "", ""
    parts = (known.source, known.name, known.id, *known.layers, known.rest)
    note = f"an earlier scan read these layers; that {known.name} is still the same image is taken from the engine"
    return f"engine {parts!r}", note


def _engine(name: str, form: Form, platform: str | None) -> Known | None:
    from scanner.image.engine.images import known  # docker costs time to import, and files do not need it

    return known(parse_reference(name), form, None if platform in (None, "all") else platform)
