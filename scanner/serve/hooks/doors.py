"""The doors of webhooks: answered at once, as what comes of them only goes into the queue.

A token comes as bearer, as the password of Basic, or in the path for products that send no header of the operator's.
Products that sign the body need none: their door is the one that ends in `/signed`.
"""

from __future__ import annotations

from collections.abc import Mapping

from scanner.image.registry.names import is_host
from scanner.serve.hooks import artifactory, distribution, dockerhub, ecr, ghcr, harbor, quay, signed, zot
from scanner.serve.hooks.push import BODY_BYTES, NoNotification, Parser, document
from scanner.serve.hooks.taken import take
from scanner.serve.routing import Door, Endpoint, JSONResponse, Refused, Request, Response, Scope
from scanner.serve.service import Service

PARSERS: Mapping[str, Parser] = {
    "distribution": distribution.pushes,
    "harbor": harbor.pushes,
    "zot": zot.pushes,
    "quay": quay.pushes,
    "dockerhub": dockerhub.pushes,
    "ecr": ecr.pushes,
    "ghcr": ghcr.pushes,
    "artifactory": artifactory.pushes,
}
_SIGNED = {"ghcr": signed.HEADERS[0], "artifactory": signed.HEADERS[1]}


def _endpoint(kind: str, parser: Parser) -> Endpoint:
    async def hook(request: Request, service: Service) -> Response:
        """POST /hooks/{kind}."""
        host = _host(request, service)
        try:
            pushed = list(parser(request.headers, document(await request.body())))
        except NoNotification as error:
            service.counters.add("leakscan_hooks_total", kind=kind, result="malformed")
            raise Refused(422, str(error)) from None
        if any(not push.host for push in pushed) and not host:
            raise Refused(422, "which registry? Give it in the URL: ?registry=HOST[:PORT]")
        taken = await service.written(take, service, pushed, host, f"hook {kind}")
        for result in ("queued", "known", "refused", "left"):
            if number := getattr(taken, result):
                service.counters.add("leakscan_hooks_total", number, kind=kind, result=result)
        answer = {"queued": taken.queued, "known": taken.known, "refused": taken.refused, "left": taken.left}
        return JSONResponse(answer, 202)

    return hook


def _host(request: Request, service: Service) -> str:
    """The registry that a hook's URL names, else the only one that the service reads, else none. Raises Refused."""
    given = request.query_params.get("registry", "")
    if given:
        if not is_host(given):
            raise Refused(422, "registry must be HOST[:PORT]")
        return given
    named = service.settings.registries
    return next(iter(named)) if len(named) == 1 else ""


def _doors(kind: str, parser: Parser) -> list[Door]:
    endpoint = _endpoint(kind, parser)
    doors = [
        Door("POST", f"/hooks/{kind}", Scope.HOOKS, endpoint, BODY_BYTES),
        Door("POST", f"/hooks/{kind}/token/{{token}}", Scope.HOOKS, endpoint, BODY_BYTES),
    ]
    if kind in _SIGNED:
        doors.append(Door("POST", f"/hooks/{kind}/signed", Scope.HOOKS, endpoint, BODY_BYTES, signature=_SIGNED[kind]))
    return doors


DOORS: tuple[Door, ...] = tuple(door for kind, parser in PARSERS.items() for door in _doors(kind, parser))
