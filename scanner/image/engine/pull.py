"""Has an engine pull an image, and says why if it cannot."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from scanner.errors import ImageUnavailable
from scanner.image.engine.connection import USERINFO, failed, talk
from scanner.image.reference import Reference, is_image_id, shown

if TYPE_CHECKING:
    from docker.api import APIClient



def pull(api: APIClient, reference: Reference, platform: str | None) -> None:
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
            events = talk(api.pull, reference.repository, **options)
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
    return failed("pull the image", error)


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
    detail = USERINFO.sub("//***@", shown(reason))
    return ImageUnavailable(f"{reference}: {tried}: {why} ({detail})", tip)
