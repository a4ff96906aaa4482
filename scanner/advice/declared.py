"""Advice for ARG, ENV and whatever else an image's config declares."""

from __future__ import annotations

import re
from dataclasses import replace

from scanner.advice.case import ANY_MOUNT, OWN, Advice, Case, Change
from scanner.advice.runs import from_mounts
from scanner.chain import uses
from scanner.redact import spellings

_SET = re.compile(r"(?<!\S)([A-Za-z_]\w*)=")
_NAME = re.compile(r"[A-Za-z_]\w*")
_RUN_TIME = (
    "If the program needs it when it runs, give it then: docker run --env-file, or the orchestrator's secrets.",
    f"If only the build needs it: {ANY_MOUNT}",
)
IN_CONFIG = Advice("It is part of the image's config, which every container and everyone who pulls sees.", _RUN_TIME)
UNKNOWN = Advice(
    "Which build step brought it in is not recorded: the layer was imported, squashed or made by another tool.",
    (
        (
            "Find the image this layer comes from by its digest; if it is a base image, tell its owners and build on a "
            "fixed one."
        ),
        f"If it is your own, keep the credential out: {ANY_MOUNT}",
    ),
)


def declared(case: Case) -> Advice:
    """For a leak in an instruction that makes no layer."""
    kind = case.step.kind
    if kind in ("ARG", "ENV"):
        return _variable(case, kind)
    if kind == "LABEL":
        return Advice("It is in a LABEL, which anyone reads without even pulling layers.", ("Delete the label.",))
    if kind:
        return Advice(f"It stands in {kind}, which is part of the image's config and history.", _RUN_TIME)
    return UNKNOWN


def _variable(case: Case, kind: str) -> Advice:
    """A value that ARG or ENV gives a name; the RUN that uses the name can take it from a mount instead."""
    name = _name_of(case)
    runs = ((at, step) for at, step in enumerate(case.leak.following) if step.kind == "RUN")
    at, user = next(((at, step) for at, step in runs if uses(step.command, name)), (OWN, None))
    fix: tuple[str, ...]
    if kind == "ARG":
        how, fix = "It is the value of a build argument, which the image's history keeps.", (f"Delete ARG {name}.",)
    else:
        how = (
            "It is part of the image's config and history. An ENV cannot be taken back: a later ENV K= leaves the old "
            "entry in the history."
        )
        fix = _RUN_TIME[:1]
        if user is None:
            return Advice(how, _RUN_TIME)
    if user is not None:
        value = case.leak.secret.reveal().decode("utf-8", "replace")
        given = replace(user, args=((name, value),))
        advice = from_mounts(case, how, fix, given, (case.leak.secret,), at=at)
        alone = kind == "ARG" or len(_SET.findall(case.step.command)) == 1
        if advice.change is None or not alone:
            return replace(advice, change=None)
        return replace(advice, change=Change({**advice.change.steps, OWN: None}))
    mount = f"--mount=type=secret,id={name.lower()},env={name},required=true"
    option = f"--secret id={name.lower()},env={name}"
    fix = (*fix, f"Take it from a mount in the RUN that uses ${name}: RUN {mount} ...")
    return Advice(how, (*fix, f"Rebuild: {case.build([option])}"))


def _name_of(case: Case) -> str:
    """The name whose value holds the secret: one ENV may set several."""
    command = case.step.command
    at = max((command.find(spelling) for spelling in spellings(case.leak.secret.reveal())), default=-1)
    names = _SET.findall(command[: at + 1] if at > 0 else command)
    found = names[-1 if at > 0 else 0] if names else re.split(r"[=\s]", command, maxsplit=1)[0]
    name = case.clean(found)
    return name if _NAME.fullmatch(name) else "TOKEN"

