"""Docker Hub's webhook, which names a tag and no digest. Its `callback_url` is not called: it could lead anywhere.

Source: docs.docker.com/docker-hub/repos/manage/webhooks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scanner.image.registry.names import HUB
from scanner.serve.hooks.push import Headers, NoNotification, Push, text


def pushes(_headers: Headers, body: Mapping[str, Any]) -> Iterator[Push]:
    """The tag that was pushed."""
    if not isinstance(body.get("push_data"), dict):
        raise NoNotification("there is no push_data")
    yield Push(HUB, text(body, "repository", "repo_name"), text(body, "push_data", "tag"))
