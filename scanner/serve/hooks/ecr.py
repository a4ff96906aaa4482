"""Amazon ECR's image actions, as EventBridge sends them to an API destination.

Source: docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-eventbridge.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from scanner.serve.hooks.push import Headers, NoNotification, Push, text

_ACCOUNT, _REGION = re.compile(r"[0-9]{12}"), re.compile(r"[a-z]{2,4}(?:-[a-z]{2,12}){1,3}-[0-9]")


def pushes(_headers: Headers, body: Mapping[str, Any]) -> Iterator[Push]:
    """The image of a push that succeeded; account and region name the registry."""
    if text(body, "source") != "aws.ecr":
        raise NoNotification("it is no event of aws.ecr")
    detail = body.get("detail")
    pushed = text(detail, "action-type") == "PUSH" and text(detail, "result") == "SUCCESS"
    if text(body, "detail-type") != "ECR Image Action" or not pushed:
        return
    account, region = text(body, "account"), text(body, "region")
    if not (_ACCOUNT.fullmatch(account) and _REGION.fullmatch(region)):
        raise NoNotification("account and region name no registry")
    host = f"{account}.dkr.ecr.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
    yield Push(host, text(detail, "repository-name"), text(detail, "image-tag"), text(detail, "image-digest"))
