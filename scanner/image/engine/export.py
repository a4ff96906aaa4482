"""An image out of an engine: found or pulled by the engine, exported into a nameless file."""

from __future__ import annotations

import errno
import http.client
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanner.errors import ImageUnavailable, LeakscanError
from scanner.image.arriving import Carrier, Tell
from scanner.image.blob import BlobFile
from scanner.image.engine.connection import connected, talk
from scanner.image.engine.images import address_of, parts_here, platform_of, present
from scanner.image.engine.pull import pull
from scanner.image.reference import Form, Reference, is_image_id, shown
from scanner.image.storage import Kept, Place
from scanner.limits import MIB

if TYPE_CHECKING:
    from docker.api import APIClient

_SNAPSHOTTER = "io.containerd.snapshotter.v1"
_EXPORT_SECONDS = 600  # an engine may write the whole image to disk before it sends the first byte


@dataclass(frozen=True, slots=True)
class Export:
    """What was exported: source is docker or podman, *name* what to give to its `save` for the same archive."""

    source: str
    name: str


def export(
    reference: Reference,
    form: Form,
    target: BlobFile,
    *,
    platform: str | None,
    carry: Carrier,
    instead: Callable[[Place, Kept, str], bool] = lambda *_: False,
) -> Export | None:
    """Write the archive of an image to *target*; docker and podman pull the image first if the engine lacks it.

    Args:
        instead: (where the engine's storage is, what the engine says of the image, its name) → whether the image was
            had from there, so that it need not be exported.
        form: docker or podman for that engine, any for whichever runs here if it has the image.
        platform: os/architecture[/variant] for the pull; None leaves it to the engine.
        carry: has the bytes written.

    Returns:
        what was exported; None if *form* is any and the engine lacks the image.

    Raises:
        ImageUnavailable: no engine, no permission, no such image, no way to pull it.
        OSError: *target* cannot be written.
    """
    source, api = connected(form)
    try:
        name = present(api, reference, platform)
        if name is None:
            if form is Form.ANY and not is_image_id(str(reference)):
                return None
            pull(api, reference, platform)
            name = present(api, reference, None) or reference.exact
        if not _local(api, name, instead):
            _receive(api, name, target, carry)
    finally:
        api.close()
    return Export(source, name)


def _local(api: APIClient, name: str, instead: Callable[[Place, Kept, str], bool]) -> bool:
    """Whether the image was had from the engine's storage."""
    from docker.errors import DockerException

    try:
        about, found = talk(api.info), talk(api.inspect_image, name)
        containerd = ["driver-type", _SNAPSHOTTER] in (about.get("DriverStatus") or ())
        place = Place(Path(about["DockerRootDir"]), str(about["Driver"]), str(about["ServerVersion"]), containerd)
        tags = [str(tag) for tag in found["RepoTags"] or ()]
        descriptor = found.get("Descriptor")
        annotations = dict(descriptor.get("annotations") or {}) if descriptor else None
        parts = parts_here(api, name) if containerd else None
        whole = None if parts is None else frozenset(digest for digest, available, _ in parts if available)
        image = Kept(str(found["Id"]), "", platform_of(found), annotations, whole)
    except (DockerException, LeakscanError, LookupError, TypeError, ValueError, AttributeError):
        return False
    if is_image_id(name):  # exported by its id an image has no name
        return instead(place, image, name)
    familiar = re.sub(r"^(?:(?:index\.)?docker\.io/)(?:library/)?", "", name)
    return familiar in tags and instead(place, replace(image, tag=familiar), name)


def _receive(api: APIClient, name: str, target: BlobFile, carry: Carrier) -> None:
    """Stream the engine's export into *target*.

    `APIClient.get_image` gives chunks of 32 KiB at most and spends more time on them than the engine does; so the body
    is read from the connection beneath it, a MiB at a time.
    """
    response = talk(api.get, address_of(api, name, "get"), stream=True, timeout=_EXPORT_SECONDS)

    def copy(tell: Tell) -> None:
        buffer = memoryview(bytearray(MIB))
        body: Any = getattr(response.raw, "_fp", None)
        source: Any = body if hasattr(body, "readinto") else response.raw
        while count := talk(source.readinto, buffer):
            target.write(buffer[:count])
            tell(count)

    try:
        if response.status_code != http.HTTPStatus.OK:
            raise ImageUnavailable(f"the engine cannot export {shown(name)}: {_message(response.content)}", "")
        carry(target, copy)
    except LeakscanError:
        raise
    except (OSError, http.client.HTTPException) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        tip = "Look at the engine's log; try again."
        raise ImageUnavailable("the engine stopped while it sent the image", tip) from None
    finally:
        response.close()


def _message(body: bytes) -> str:
    try:
        return shown(str(json.loads(body[:4096])["message"]))
    except (ValueError, KeyError, TypeError):
        return "it gives no reason"
