"""An image out of a Docker or Podman engine: found or pulled by the engine, exported into a nameless file.

The only home of `docker`, which is imported when an engine is needed: it costs more time than the rest of leakscan.
Every error of an engine becomes one that a user can act on.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from scanner.errors import ImageUnavailable, LeakscanError
from scanner.image.blob import BlobFile
from scanner.image.reference import Form, Reference, is_image_id, matches, parse_platform, shown
from scanner.image.storage import Place
from scanner.limits import MIB
from scanner.oci import Platform

if TYPE_CHECKING:
    from docker.api import APIClient

_CONNECT_SECONDS = 60
_EXPORT_SECONDS = 600  # an engine may write the whole image to disk before it sends the first byte
_USERINFO = re.compile(r"//[^/@\s]*@")
_START = "Start it (systemctl start docker), or set DOCKER_HOST to where it listens, or give an archive instead."
_PODMAN_START = "Start it with systemctl --user start podman.socket, or give an archive: podman save -o FILE IMAGE."


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
    progress: Callable[[int], None],
    instead: Callable[[Place, str, str, str], bool] = lambda *_: False,
) -> Export | None:
    """Write the archive of an image to *target*; docker and podman pull the image first if the engine lacks it.

    Args:
        instead: (where the engine's storage is, id of the image, `name:tag` or empty, its name) → whether the image
            was had from there, so that it need not be exported.
        form: docker or podman for that engine, any for whichever runs here if it has the image.
        platform: os/architecture[/variant] for the pull; None leaves it to the engine.
        progress: told of bytes as they arrive.

    Returns:
        what was exported; None if *form* is any and the engine lacks the image.

    Raises:
        ImageUnavailable: no engine, no permission, no such image, no way to pull it.
        OSError: *target* cannot be written.
    """
    source, api = _connected(form)
    try:
        name = _present(api, reference, platform)
        if name is None:
            if form is Form.ANY and not is_image_id(str(reference)):
                return None
            _pull(api, reference, platform)
            name = _present(api, reference, None) or reference.exact
        if not _local(api, name, instead):
            _receive(api, name, target, progress)
    finally:
        api.close()
    return Export(source, name)


def _local(api: APIClient, name: str, instead: Callable[[Place, str, str, str], bool]) -> bool:
    """Whether the image was had from the engine's storage."""
    from docker.errors import DockerException

    try:
        about, found = _talk(api.info), _talk(api.inspect_image, name)
        place = Place(Path(about["DockerRootDir"]), str(about["Driver"]), str(about["ServerVersion"]))
        id, tags = str(found["Id"]), [str(tag) for tag in found["RepoTags"] or ()]
    except (DockerException, LeakscanError, LookupError, TypeError):
        return False
    if is_image_id(name):  # exported by its id an image has no name
        return instead(place, id, "", name)
    familiar = re.sub(r"^(?:(?:index\.)?docker\.io/)(?:library/)?", "", name)
    return familiar in tags and instead(place, id, familiar, name)


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

    source, api = _connected(form)
    try:
        name = _present(api, reference, platform)
        if name is None:
            return None
        found, version = _talk(api.inspect_image, name), _talk(api.version)
        layers = tuple(str(layer) for layer in found["RootFS"]["Layers"])
        about = [version.get("Version"), version.get("ApiVersion"), (found.get("GraphDriver") or {}).get("Name"),
                 found.get("Descriptor"), found.get("Os"), found.get("Architecture"), found.get("Variant")]  # fmt: skip
        return Known(source, name, str(found["Id"]), layers, json.dumps(about, sort_keys=True))
    except (DockerException, LookupError, TypeError, AttributeError):
        return None
    finally:
        api.close()


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

    source, api = _connected(Form.ANY)
    try:
        usage = _talk(api.df)
        images = _talk(api.images, all=True)
        named = {image["Id"] for image in images if _is_named(image)}
        grounds = {image.get("ParentId") for image in images}
        leaves = sorted(image["Id"] for image in images if image["Id"] not in named | grounds)
        shipped = {diff_id for id in named for diff_id in _layers(api, id)}
    except DockerException as error:
        raise _failed("tell what it keeps", error) from None
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
        found = _talk(api.inspect_image, id)
    except (ImageNotFound, NotFound):
        return []
    return list((found.get("RootFS") or {}).get("Layers") or ())


def _connected(form: Form) -> tuple[str, APIClient]:
    """The engine that a form means, with the connection tried."""
    podman = _podman_socket()
    if form is Form.PODMAN:
        if podman is None:
            raise ImageUnavailable("Podman's socket is not there", _PODMAN_START)
        return "podman", _client(podman)
    try:
        return "docker", _client(None)
    except ImageUnavailable:
        if form is not Form.ANY or podman is None or os.environ.get("DOCKER_HOST"):
            raise
        return "podman", _client(podman)


def _podman_socket() -> str | None:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    own = [os.path.join(runtime, "podman/podman.sock")] if runtime else []
    for path in [*own, "/run/podman/podman.sock"]:
        if os.path.exists(path):
            return f"unix://{path}"
    return None


def _client(base_url: str | None) -> APIClient:
    import docker
    from docker.errors import DockerException

    try:
        _probe(base_url or os.environ.get("DOCKER_HOST", ""))
        if base_url is None:
            # follows DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and, since 7.2, the current context
            client = docker.from_env(version="auto", timeout=_CONNECT_SECONDS, use_ssh_client=True)
        else:
            client = docker.DockerClient(base_url=base_url, version="auto", timeout=_CONNECT_SECONDS)
    except (DockerException, OSError, ValueError) as error:
        raise _not_connected(error, base_url or os.environ.get("DOCKER_HOST", "")) from None
    return client.api


def _probe(host: str) -> None:
    """Connect to a unix socket once, for a clear error and because docker-py leaves open what it cannot connect."""
    if not host.startswith("unix://"):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        probe.connect(host.removeprefix("unix://"))


def _not_connected(error: BaseException, host: str) -> ImageUnavailable:
    where = f"at {shown(_USERINFO.sub('//***@', host))}" if host else "at its default address"
    causes = list(_causes(error))
    codes = {cause.errno for cause in causes if isinstance(cause, OSError)}
    if codes & {errno.EACCES, errno.EPERM}:
        tip = "Add your user to the group docker, use sudo, or give an archive instead."
        return ImageUnavailable(f"no permission to talk to the engine {where}", tip)
    if errno.ENOENT in codes:
        return ImageUnavailable(f"no engine listens {where}: the socket is not there", _START)
    if codes & {errno.ECONNREFUSED, errno.ENOTSOCK}:
        return ImageUnavailable(f"the engine {where} refuses the connection: it is not running", _START)
    if "TLS" in type(error).__name__ or any("SSL" in type(cause).__name__ for cause in causes):
        tip = "Check DOCKER_TLS_VERIFY and DOCKER_CERT_PATH."
        return ImageUnavailable(f"no TLS connection to the engine {where}", tip)
    detail = next((f": {os.strerror(code)}" for code in errno.errorcode if code in codes), "")
    tip = "Check DOCKER_HOST and the current docker context (docker context show). " + _START
    return ImageUnavailable(f"no connection to the engine {where}{detail}", tip)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that it was made of: causes, contexts, exceptions among its arguments."""
    todo: list[BaseException] = [error]
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        linked = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        todo += [inner for inner in linked if isinstance(inner, BaseException)]


def _present(api: APIClient, reference: Reference, platform: str | None) -> str | None:
    """What the engine calls the image, None if it lacks it or has it for another platform only."""
    from docker.errors import APIError, ImageNotFound, NotFound

    text = str(reference)
    name = text if is_image_id(text) else reference.exact
    for candidate in dict.fromkeys((name, reference.repository if name.endswith(":latest") else name)):
        try:
            found = _talk(api.inspect_image, candidate)
        except (ImageNotFound, NotFound):
            continue
        except APIError as error:
            raise _failed("look the image up", error) from None
        asked = parse_platform(platform) if platform else None
        has = Platform(found.get("Os") or "", found.get("Architecture") or "", found.get("Variant") or "")
        # an engine may not know the architecture of an image that was imported
        if asked is None or matches(asked, has) or not has.architecture:
            return candidate
    return None


def _talk(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call the engine. Its own errors pass; whatever the connection throws becomes ImageUnavailable."""
    import requests

    try:
        return call(*args, **options)
    except requests.exceptions.HTTPError:
        raise
    except (requests.exceptions.RequestException, http.client.HTTPException) as error:
        raise ImageUnavailable(f"the connection to the engine broke ({type(error).__name__})", "Try again.") from None


def _failed(doing: str, error: Exception, tip: str = "") -> ImageUnavailable:
    text = getattr(error, "explanation", None) or str(error)
    return ImageUnavailable(f"the engine cannot {doing}: {_USERINFO.sub('//***@', shown(str(text)))}", tip)


def _pull(api: APIClient, reference: Reference, platform: str | None) -> None:
    """Let the engine pull the image with the user's credentials. Raises ImageUnavailable."""
    from docker.errors import APIError, DockerException

    if is_image_id(str(reference)):
        raise ImageUnavailable(f"the engine has no image {reference}", "List those it has: docker images --all")
    options: dict[str, Any] = {"tag": reference.version, "stream": True, "decode": True}
    if platform:
        options["platform"] = platform
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # docker-py warns of a helper that is missing, and then raises
            events = _talk(api.pull, reference.repository, **options)
        for event in events:
            if isinstance(event, dict) and "error" in event:
                raise _not_pulled(reference, str(event["error"]))
    except APIError as error:
        raise _not_pulled(reference, str(error.explanation or error)) from None
    except DockerException as error:
        raise _credentials(error) from None


def _credentials(error: Exception) -> ImageUnavailable:
    text = str(error)
    if "redentials store" in text or "credential" in text.lower():
        tip = "Install the helper that ~/.docker/config.json names (credsStore, credHelpers), or set DOCKER_CONFIG."
        return ImageUnavailable("the credential helper of the Docker configuration does not work", tip)
    return _failed("pull the image", error)


def _not_pulled(reference: Reference, reason: str) -> ImageUnavailable:
    """Why a pull failed, in words for the usual reasons; engines pass the registry's words on."""
    low = reason.lower()
    tried = "the engine does not have it and could not pull it"
    if any(word in low for word in ("no such host", "refused", "timeout", "deadline", "network", "dial tcp")):
        why, tip = "the registry cannot be reached", "Check the name of the registry and the engine's network."
    elif any(word in low for word in ("denied", "unauthorized", "authentication", "forbidden")):
        why = "the registry says no such repository, or no access to it"
        tip = "Check the spelling; log in with docker login if it is private."
    elif any(word in low for word in ("not found", "manifest unknown", "no matching manifest", "does not match")):
        why, tip = "the registry has no such image", "Check repository, tag and platform."
    else:
        why, tip = "the pull failed", "Try docker pull to see more."
    detail = _USERINFO.sub("//***@", shown(reason))
    return ImageUnavailable(f"{reference}: {tried}: {why} ({detail})", tip)


def _receive(api: APIClient, name: str, target: BlobFile, progress: Callable[[int], None]) -> None:
    """Stream the engine's export into *target*.

    `APIClient.get_image` gives chunks of 32 KiB at most and spends more time on them than the engine does; so the body
    is read from the connection beneath it, a MiB at a time.
    """
    url = f"{api.base_url}/v{api.api_version}/images/{quote(name, safe='/:@')}/get"
    response = _talk(api.get, url, stream=True, timeout=_EXPORT_SECONDS)
    try:
        if response.status_code != http.HTTPStatus.OK:
            raise ImageUnavailable(f"the engine cannot export {shown(name)}: {_message(response.content)}", "")
        buffer = memoryview(bytearray(MIB))
        body: Any = getattr(response.raw, "_fp", None)
        source: Any = body if hasattr(body, "readinto") else response.raw
        while count := _talk(source.readinto, buffer):
            rest = buffer[:count]
            while rest:
                rest = rest[os.write(target.fileno(), rest) :]
            progress(count)
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


def tags() -> tuple[str, ...]:
    """The names of the images that the engine of this machine has; none if it cannot be asked without delay."""
    if not os.environ.get("DOCKER_HOST", "unix://").startswith("unix://"):
        return ()
    try:
        _, api = _connected(Form.ANY)
        try:
            return tuple(str(tag) for each in _talk(api.images) for tag in each.get("RepoTags") or ())
        finally:
            api.close()
    except Exception:  # a suggestion is not worth an error
        return ()
