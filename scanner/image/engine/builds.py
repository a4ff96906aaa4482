"""What an engine keeps of builds and never ships."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scanner.errors import ImageUnavailable
from scanner.image.engine.connection import connected, failed, talk
from scanner.image.reference import Form

if TYPE_CHECKING:
    from docker.api import APIClient



@dataclass(frozen=True, slots=True)
class Kept:
    """What an engine keeps of builds and never ships.

    Attributes:
        source: docker or podman.
        records: of the build cache, as the engine's API gives them (GET /system/df, BuildCache).
        images: ids of images without a name that nothing was built on: stages, and what a rebuild left behind.
        shipped: diffIDs of the layers of images that have a name.
    """

    source: str
    records: tuple[Mapping[str, Any], ...]
    images: tuple[str, ...]
    shipped: frozenset[str]


def kept() -> Kept:
    """What the engine that runs here keeps. Raises ImageUnavailable if there is none, or it does not tell."""
    from docker.errors import DockerException

    source, api = connected(Form.ANY)
    try:
        usage = talk(api.df)
        images = talk(api.images, all=True)
        named = {image["Id"] for image in images if _is_named(image)}
        grounds = {image.get("ParentId") for image in images}
        leaves = sorted(image["Id"] for image in images if image["Id"] not in named | grounds)
        shipped = {diff_id for id in named for diff_id in _layers(api, id)}
    except DockerException as error:
        raise failed("tell what it keeps", error) from None
    except (LookupError, TypeError) as error:
        raise ImageUnavailable(f"the engine's answer is not understood ({type(error).__name__})", "") from None
    finally:
        api.close()
    records = tuple(record for record in usage.get("BuildCache") or () if isinstance(record, dict))
    return Kept(source, records, tuple(leaves), frozenset(shipped))


def _is_named(image: Mapping[str, Any]) -> bool:
    """Whether an image has a tag or a digest of a repository."""
    names = [*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())]
    return any(not str(name).startswith("<none>") for name in names)


def _layers(api: APIClient, id: str) -> list[str]:
    """The diffIDs of an image; none if it was removed meanwhile."""
    from docker.errors import ImageNotFound, NotFound

    try:
        found = talk(api.inspect_image, id)
    except (ImageNotFound, NotFound):
        return []
    return list((found.get("RootFS") or {}).get("Layers") or ())
