"""The image-spec's words as frozen values: digests, descriptors, platforms, configs, history. No I/O.

Source: https://github.com/opencontainers/image-spec (descriptor.md, manifest.md, config.md) and, for
Docker's older forms, the distribution project's manifest-v2-2 and schema 1 pages.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def is_digest(text: object) -> bool:
    """Whether *text* is a digest of a registered algorithm in its one lawful spelling (descriptor.md#digests)."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The chainID of each layer, which stands for it and all below it (config.md#layer-chainid)."""
    found = list(diff_ids[:1])
    for diff_id in diff_ids[1:]:
        found.append(f"sha256:{hashlib.sha256(f'{found[-1]} {diff_id}'.encode()).hexdigest()}")
    return found


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on: os/architecture[/variant] (image-index.md, property `platform`)."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os or "unknown", self.architecture or "unknown", self.variant) if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to a blob by its digest (descriptor.md). *digest* is of the stored bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    platform: Platform | None = None
    artifact_type: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One entry of a config's history (config.md, property `history`); entries are counted from 0, base first."""

    created_by: str = ""
    comment: str = ""
    author: str = ""
    created: str = ""
    empty_layer: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """An image config (config.md).

    Attributes:
        diff_ids: digests of the uncompressed layers, base first; empty where the format has none (schema 1).
        history: base first.
    """

    platform: Platform
    diff_ids: tuple[str, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
