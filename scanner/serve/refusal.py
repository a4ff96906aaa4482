"""What is not done for a caller, and bodies that are held to being JSON objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """An answer that is a problem. *detail* is for people and holds no secret."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}


def json_object(raw: bytes) -> dict[str, Any]:
    """A body as a JSON object. Raises Refused."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is no JSON document") from None
    if not isinstance(document, dict):
        raise Refused(400, "the body is no JSON object")
    return document
