"""GitHub's `registry_package` and `package` events of containers in GHCR.

Source: docs.github.com/webhooks/webhook-events-and-payloads#registry_package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scanner.oci import is_digest
from scanner.serve.hooks.push import Headers, NoNotification, Push, text

HOST = "ghcr.io"


def pushes(headers: Headers, body: Mapping[str, Any]) -> Iterator[Push]:
    """The container that was published. GitHub's `ping` pushes nothing."""
    event = headers.get("x-github-event", "")
    if event == "ping":
        return
    package = body.get("registry_package", body.get("package"))
    if not isinstance(package, dict):
        raise NoNotification("there is no package")
    kind = text(package, "package_type") or text(package, "ecosystem")
    version = package.get("package_version")
    if kind.lower() not in ("container", "docker") or text(body, "action") not in ("published", "updated"):
        return
    metadata = version.get("container_metadata") if isinstance(version, dict) else None
    digest = text(metadata, "tag", "digest") or text(version, "version") or text(version, "name")
    yield Push(HOST, _repository(package, version), text(metadata, "tag", "name"), digest if is_digest(digest) else "")


def _repository(package: Mapping[str, Any], version: Any) -> str:
    """As the URL of the package has it, else owner and name, which images have in lower case."""
    host, _, rest = text(version, "package_url").partition("/")
    if host.lower() == HOST and rest:
        return rest.partition("@")[0].partition(":")[0].lower()
    owner = text(package, "namespace") or text(package, "owner", "login")
    return f"{owner}/{text(package, 'name')}".lower()
