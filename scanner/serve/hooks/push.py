"""What a registry says was pushed, and the JSON that says so, bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scanner.errors import MalformedImage
from scanner.image.documents import parse
from scanner.image.reference import is_name, is_tag
from scanner.limits import MIB, Limits
from scanner.oci import is_digest

#: Largest body: a registry may send a whole manifest with the news of it.
BODY_BYTES = 4 * MIB
_DEPTH = 64
_LIMITS = Limits(document_bytes=BODY_BYTES, document_depth=_DEPTH)

Headers = Mapping[str, str]
#: (headers by lower-case name, the body as JSON) → what was pushed
Parser = Callable[[Headers, Mapping[str, Any]], Iterable["Push"]]


class NoNotification(Exception):
    """The body is none that this product sends. The text holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Push:
    """One image that was pushed.

    Attributes:
        host: of the registry where the product says it; empty if it does not, or says what clients called it.
        tag: empty if it was pushed by its digest alone.
        digest: empty if the product does not say: then the tag tells.
    """

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def usable(self) -> bool:
        """Whether its parts are what distribution-spec lets them be, and tell which image it is."""
        named = is_name(self.repository) and len(self.repository) <= 255 and (not self.tag or is_tag(self.tag))
        return named and (is_digest(self.digest) if self.digest else bool(self.tag))


def document(body: bytes) -> Mapping[str, Any]:
    """A body as a JSON object. Raises NoNotification."""
    try:
        found = parse(body, "the body", _LIMITS)
    except MalformedImage as error:
        raise NoNotification(error.what) from None
    if not isinstance(found, dict):
        raise NoNotification("the body is no JSON object")
    return found


def text(value: Any, *path: str) -> str:
    """The string at a path of objects, empty if there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def objects(value: Any, *path: str) -> Iterator[Mapping[str, Any]]:
    """The objects of the list at a path of objects."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    yield from (each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()
