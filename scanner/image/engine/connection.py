"""A connection to a Docker or Podman engine, and its errors as ones that a user can act on.

With the other modules of this package the only home of `docker`, which is imported when an engine is needed: it costs
more time than the rest of leakscan.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from scanner.errors import ImageUnavailable
from scanner.image.reference import Form, shown

if TYPE_CHECKING:
    from docker.api import APIClient

_CONNECT_SECONDS = 60
#: user and password in a URL, for masking
USERINFO = re.compile(r"//[^/@\s]*@")
_START = "Start it (systemctl start docker), or set DOCKER_HOST to where it listens, or give an archive instead."
_PODMAN_START = "Start it with systemctl --user start podman.socket, or give an archive: podman save -o FILE IMAGE."


def connected(form: Form) -> tuple[str, APIClient]:
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
    where = f"at {shown(USERINFO.sub('//***@', host))}" if host else "at its default address"
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


def talk(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call the engine. Its own errors pass; whatever the connection throws becomes ImageUnavailable."""
    import requests

    try:
        return call(*args, **options)
    except requests.exceptions.HTTPError:
        raise
    except (requests.exceptions.RequestException, http.client.HTTPException) as error:
        raise ImageUnavailable(f"the connection to the engine broke ({type(error).__name__})", "Try again.") from None


def failed(doing: str, error: Exception, tip: str = "") -> ImageUnavailable:
    text = getattr(error, "explanation", None) or str(error)
    return ImageUnavailable(f"the engine cannot {doing}: {USERINFO.sub('//***@', shown(str(text)))}", tip)
