"""What an engine says of images that it has."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from scanner.image.engine.connection import connected, failed, talk
from scanner.image.reference import Form, Reference, is_image_id, matches, parse_platform
from scanner.oci import Platform

if TYPE_CHECKING:
    from docker.api import APIClient

_ASK_SECONDS = 60
#: drivers that keep images whole, by the digest of their config; those that containerd has by the same name left out
_GRAPH_DRIVERS = ("overlay2", "overlay", "vfs", "fuse-overlayfs", "aufs", "devicemapper")


@dataclass(frozen=True, slots=True)
class Known:
    """What an engine says of an image without exporting it.

    Attributes:
        source: docker or podman.
        name: what to give to its `save`.
        id: the engine's id of the image.
        layers: diffIDs.
        rest: what else the bytes of an export depend on: the engine's version, how it stores images.
    """

    source: str
    name: str
    id: str
    layers: tuple[str, ...]
    rest: str


def known(reference: Reference, form: Form, platform: str | None) -> Known | None:
    """What the engine says of an image that it has; None if it has it not, or does not tell.

    Raises ImageUnavailable if no engine can be asked.
    """
    from docker.errors import DockerException

    source, api = connected(form)
    try:
        name = present(api, reference, platform)
        if name is None:
            return None
        found, version = talk(api.inspect_image, name), talk(api.version)
        layers = tuple(str(layer) for layer in found["RootFS"]["Layers"])
        driver, parts = (found.get("GraphDriver") or {}).get("Name"), parts_here(api, name)
        if parts is None and driver not in _GRAPH_DRIVERS:
            return None  # of a manifest or index more or less may be here tomorrow
        about = [version.get("Version"), version.get("ApiVersion"), driver, found.get("Descriptor"), found.get("Os"),
                 found.get("Architecture"), found.get("Variant"), parts]  # fmt: skip
        return Known(source, name, str(found["Id"]), layers, json.dumps(about, sort_keys=True))
    except (DockerException, LookupError, TypeError, AttributeError):
        return None
    finally:
        api.close()


def platform_of(found: Mapping[str, Any]) -> Platform:
    """The platform of an image that was inspected."""
    return Platform(found.get("Os") or "", found.get("Architecture") or "", found.get("Variant") or "")


def address_of(api: APIClient, name: str, what: str) -> str:
    """Where the engine's API has *what* of an image."""
    return f"{api.base_url}/v{api.api_version}/images/{quote(name, safe='/:@')}/{what}"


def parts_here(api: APIClient, name: str) -> list[tuple[str, bool, int]] | None:
    """Of each manifest that an image of containerd's store leads to: its digest, whether all it needs is here, and
    bytes of its blobs that are. None if the engine does not tell, which those before 28 do not."""
    response = talk(api.get, address_of(api, name, "json"), params={"manifests": "1"}, timeout=_ASK_SECONDS)
    found = response.json().get("Manifests") if response.ok else None
    if not isinstance(found, list):
        return None
    return sorted((str(each["Descriptor"]["digest"]), bool(each["Available"]), int(each["Size"]["Content"]))
                  for each in found)  # fmt: skip


def present(api: APIClient, reference: Reference, platform: str | None) -> str | None:
    """What the engine calls the image, None if it lacks it or has it for another platform only."""
    from docker.errors import APIError, ImageNotFound, NotFound

    text = str(reference)
    name = text if is_image_id(text) else reference.exact
    for candidate in dict.fromkeys((name, reference.repository if name.endswith(":latest") else name)):
        try:
            found = talk(api.inspect_image, candidate)
        except (ImageNotFound, NotFound):
            continue
        except APIError as error:
            raise failed("look the image up", error) from None
        asked = parse_platform(platform) if platform else None
        has = platform_of(found)
        # an engine may not know the architecture of an image that was imported
        if asked is None or matches(asked, has) or not has.architecture:
            return candidate
    return None


def tags(form: Form = Form.ANY) -> tuple[str, ...]:
    """The names of the images that the engine of a form has; none if it cannot be asked without delay."""
    if form is not Form.PODMAN and not os.environ.get("DOCKER_HOST", "unix://").startswith("unix://"):
        return ()
    try:
        _, api = connected(form)
        try:
            return tuple(str(tag) for each in talk(api.images) for tag in each.get("RepoTags") or ())
        finally:
            api.close()
    except Exception:  # a suggestion is not worth an error
        return ()
