"""Bodies signed with a secret that both sides know, as GitHub and Artifactory sign them."""

from __future__ import annotations

import hashlib
import hmac

#: by the header of each product
HEADERS = ("x-hub-signature-256", "x-jfrog-event-auth")


def is_signed(body: bytes, signature: str, secret: bytes) -> bool:
    """Whether *signature* is the HMAC-SHA-256 of *body* in hexadecimal, with `sha256=` in front or not."""
    expected = hmac.new(secret, body, hashlib.sha256).hexdigest()
    given = signature.strip().removeprefix("sha256=").lower()
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))
