"""Doors for the API server of Kubernetes: admission of whatever runs images, and tags replaced by digests."""

from __future__ import annotations

from scanner.image.reference import parse_reference
from scanner.limits import MIB
from scanner.serve import review as reviews
from scanner.serve.admission import decided
from scanner.serve.images import looked_up, pins
from scanner.serve.podspec import KINDS, Unreadable, Use, is_pod, uses
from scanner.serve.review import Answer, Review
from scanner.serve.routing import Door, JSONResponse, Refused, Request, Response, Scope
from scanner.serve.service import Service
from scanner.serve.words import Effect, Standing

#: the API server sends objects of 3 MiB at most, two of them for an update, and what it adds
_BODY = 8 * MIB
#: before the service's own limit and the API server's default of ten seconds: a late answer is none
_SECONDS = 6.0
_RUNS = ("CREATE", "UPDATE")


async def validate(request: Request, service: Service) -> Response:
    """POST a review: whether the object may be."""
    review = await _review(request)
    answer = await _judged(review, service)
    decision = "allowed" if answer.allowed else "denied"
    service.counters.add("leakscan_admissions_total", decision=decision, warned=str(bool(answer.warnings)).lower())
    return JSONResponse(reviews.document(review.uid, answer))


async def pin(request: Request, service: Service) -> Response:
    """POST a review: the pod with the digest of each tag, so that what was judged is what is run.

    What cannot be found out stays as it is: whether it may run is for the other door to say.
    """
    review = await _review(request)
    answer = Answer(True)
    if review.operation in _RUNS and is_pod(review.group, review.kind):
        try:
            found = _new(review)
        except Unreadable:
            found = ()
        digests = await pins((use.reference for use in found), service, _SECONDS)
        patch = [{"op": "replace", "path": use.pointer, "value": _pinned(use.reference, digests[use.reference])}
                 for use in found if use.reference in digests]  # fmt: skip
        answer = Answer(True, patch=patch)
    return JSONResponse(reviews.document(review.uid, answer))


async def _review(request: Request) -> Review:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "an AdmissionReview is application/json")
    return reviews.parse(await request.body())


async def _judged(review: Review, service: Service) -> Answer:
    if review.operation not in _RUNS:  # nothing comes to run by it
        return Answer(True)
    if (review.group, review.kind) not in KINDS:
        kind = f"{review.kind}.{review.group}".rstrip(".")
        return Answer(True, warnings=(f"leakscan: a rule of its webhook sends it {kind}, which it cannot judge",))
    runs = is_pod(review.group, review.kind)
    try:
        found = _new(review)
    except Unreadable as error:
        said = f"leakscan: {review.kind} cannot be read: {error}"
        denied = runs and service.policy.effect(Standing.UNKNOWN) is Effect.DENY
        return Answer(not denied, said if denied else "", () if denied else (said,))
    images = await looked_up((use.reference for use in found), service, "kubernetes", not review.dry_run, _SECONDS)
    return decided(found, images, service.policy, runs, service.settings.public_url)


def _new(review: Review) -> tuple[Use, ...]:
    """The images that an object brings in. Raises Unreadable.

    Of a pod that is there already those that it had are left out: they run, and a refusal would only keep whoever
    wants to label the pod or end it from doing so.
    """
    found = uses(review.group, review.kind, review.object)
    if review.operation != "UPDATE" or not is_pod(review.group, review.kind):
        return found
    before = {use.reference for use in uses(review.group, review.kind, review.old)}
    return tuple(use for use in found if use.reference not in before)


def _pinned(reference: str, digest: str) -> str:
    """A reference with a digest; its tag stays, for people."""
    parsed = parse_reference(reference)
    return f"{parsed.repository}:{parsed.tag or 'latest'}@{digest}"


DOORS = tuple(
    # the API server sends no header of ours, so a token may stand in the path; a client certificate needs none
    Door("POST", f"/kubernetes/{name}{end}", Scope.ADMISSION, endpoint, _BODY)
    for name, endpoint in (("validate", validate), ("pin", pin))
    for end in ("", "/{token}")
)
