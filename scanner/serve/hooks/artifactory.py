"""Artifactory's `docker` domain events.

Source: jfrog.com/help, JFrog Platform webhooks, event types of domain docker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scanner.serve.hooks.push import Headers, NoNotification, Push, text


def pushes(_headers: Headers, body: Mapping[str, Any]) -> Iterator[Push]:
    """The tag that was pushed. Repositories are named by their key and the image, as with Artifactory's path method."""
    if text(body, "domain") != "docker":
        raise NoNotification("it is no event of the domain docker")
    if text(body, "event_type") != "pushed":
        return
    data = body.get("data")
    sha256 = text(data, "sha256").removeprefix("sha256:")
    yield Push("", f"{text(data, 'repo_key')}/{text(data, 'image_name')}", text(data, "tag"),
               f"sha256:{sha256}" if sha256 else "")  # fmt: skip
