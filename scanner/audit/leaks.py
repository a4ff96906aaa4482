"""An image and what leaks from it, as little of a stored result as many images of them can be held of at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scanner.audit.rows import layers_known
from scanner.evidence import Severity
from scanner.image.instruction import parse_created_by
from scanner.report.lines import cut
from scanner.store.ledger import State

_STEP = 240  # characters of a build step


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
