"""The door for Gatekeeper: an external data provider that tells of many images at once.

Source: open-policy-agent/frameworks, externaldata request.go and response.go; version v1beta1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scanner.limits import MIB
from scanner.serve.admission import sentence
from scanner.serve.images import Image, looked_up
from scanner.serve.refusal import json_object
from scanner.serve.routing import Door, Refused, Request, Response, Scope
from scanner.serve.service import Service
from scanner.serve.words import Policy

_VERSIONS = ("externaldata.gatekeeper.sh/v1beta1", "externaldata.gatekeeper.sh/v1alpha1")
_BODY = 4 * MIB
_SECONDS = 2.5  # Gatekeeper waits three seconds at most, within the time of its own webhook
_KEY = 1024


async def provide(request: Request, service: Service) -> Response:
    """POST a ProviderRequest whose keys are references of images.

    Each has a value: `action` (deny, warn, allow), `verdict`, `digest`, `message`. What is no reference is not known,
    and the policy says what becomes of that. Gatekeeper does not tell a dry run or an audit from the rest, so scans are
    asked for always.
    """
    version, keys = _keys(await request.body())
    images = await looked_up(keys, service, "gatekeeper", True, _SECONDS)
    items = [_item(images[key], service.policy, service.settings.public_url) for key in dict.fromkeys(keys)]
    answer = {
        "apiVersion": version,
        "kind": "ProviderResponse",
        "response": {"idempotent": True, "items": items},
    }
    # keys go back as they came, whatever they hold: in ASCII every string can be written
    return Response(json.dumps(answer), media_type="application/json")


def _keys(raw: bytes) -> tuple[str, list[str]]:
    """The version and the keys of a request. Raises Refused."""
    document = json_object(raw)
    if document.get("kind") != "ProviderRequest":
        raise Refused(400, "the body is no ProviderRequest")
    version, request = document.get("apiVersion"), document.get("request")
    if version not in _VERSIONS:
        raise Refused(400, f"only {_VERSIONS[0]} is understood")
    keys = request.get("keys") if isinstance(request, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, str) and len(key) <= _KEY for key in keys):
        raise Refused(400, "request.keys is no list of references")
    return str(version), keys


def _item(image: Image, policy: Policy, public_url: str) -> Mapping[str, Any]:
    return {
        "key": image.reference,
        "value": {
            "action": policy.of(image.verdict).value,
            "verdict": image.standing.value,
            "digest": image.digest,
            "message": f"leakscan: {sentence(image, public_url)}",
        },
    }


DOORS = tuple(Door("POST", f"/gatekeeper{end}", Scope.ADMISSION, provide, _BODY) for end in ("", "/{token}"))
