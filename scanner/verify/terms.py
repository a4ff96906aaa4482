"""Under which terms a report is repeated, and when two values of it are the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scanner.report.escape import plain
from scanner.verify.document import Json

_MASK = re.compile(r"\*+")


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms a report was repeated.

    Attributes:
        same_source: the image came from the same kind of source with the same manifest, so its documents are the same.
        same_name: it was read under the very reference that the report has.
        secrets: every known secret of the report was given again.
        dockerfile: the Dockerfile was given again, if there was one.
        caches: as many build caches were given.
    """

    same_source: bool
    same_name: bool
    secrets: bool = True
    dockerfile: bool = True
    caches: bool = True


def same(said: Any, now: Any) -> bool:
    """Whether two values are written the same way: to Python 4, 4.0 and, for 1, true are equal."""
    return json.dumps(said, sort_keys=True) == json.dumps(now, sort_keys=True)


def alike(said: Any, now: Any, terms: Terms) -> bool:
    """Whether two values are the same; where not all secrets were given again, but for what the report masks."""
    if terms.secrets or same(said, now):
        return same(said, now)
    if isinstance(said, str) and isinstance(now, str):
        pattern = ".*".join(map(re.escape, _MASK.split(said)))
        return "*" in said and re.fullmatch(pattern, now, re.DOTALL) is not None
    if isinstance(said, list) and isinstance(now, list):
        return len(said) == len(now) and all(alike(*pair, terms) for pair in zip(said, now, strict=True))
    if isinstance(said, Mapping) and isinstance(now, Mapping):
        return set(said) == set(now) and all(alike(said[key], now[key], terms) for key in said)
    return False


def differing(said: Json, now: Json, but: Sequence[str], terms: Terms) -> list[str]:
    """Fields that differ."""
    keys = sorted({*said, *now} - {*but})
    return [plain(key) for key in keys if key not in said or not alike(said[key], now.get(key), terms)]
