"""Advice for ARG, ENV and whatever else an image's config declares."""

from __future__ import annotations

import re
from dataclasses import replace

from scanner.advice.case import OWN, Advice, Case, Change
from scanner.advice.chain import uses
from scanner.advice.runs import from_mounts
from scanner.evidence import Surface
from scanner.places.locate import SETTINGS
from scanner.secrecy.redact import spellings

_SET = re.compile(r"(?<!\S)([A-Za-z_]\w*)=")
_NAME = re.compile(r"[A-Za-z_]\w*")
_IN_PATH = re.compile(r"(?:^|[ :])(?:container_)?config\.(\w+)")
_GIVEN = "If the program needs it when it runs, give it then: docker run --env-file, or the orchestrator's secrets."
_READS = "Have {} a variable or a file instead, and give that to the container: docker run --env-file, or {}."
_ORCHESTRATOR = "the orchestrator's secrets"
#: What to do about instructions that only a container, or another build, carries out: a mount of this build helps none.
_LATER = {
    "CMD": _READS.format("the program read", _ORCHESTRATOR),
    "ENTRYPOINT": _READS.format("the program read", _ORCHESTRATOR),
    "HEALTHCHECK": _READS.format("the check read", f"{_ORCHESTRATOR}; CMD-SHELL expands $NAME when it runs"),
    "LABEL": "Delete the label.",
    "MAINTAINER": "Delete it.",
}


def declared(case: Case) -> Advice:
    """For a leak in an instruction that makes no layer."""
    kind = case.step.kind
    if kind in ("ARG", "ENV"):
        return _variable(case, kind)
    if kind == "LABEL":
        return Advice("It is in a LABEL, which anyone reads without even pulling layers.", (_LATER[kind],))
    if kind:
        how = f"It stands in {kind}, which is part of the image's config and history."
        return Advice(how, _on_build(case) if kind == "ONBUILD" else _later(kind))
    return in_config(case) if _setting(case) else unknown(case)


def in_config(case: Case) -> Advice:
    """For a leak in the config that no step is known to have set."""
    setting = _setting(case)
    kind = SETTINGS.get(setting, "")
    how = "It is part of the image's config{}, which every container and everyone who pulls sees."
    if kind == "ONBUILD":
        fix = _on_build(case)
    elif kind in ("", "ENV"):
        fix = (_GIVEN, f"If only the build needs it: {case.mount()}")
    else:
        fix = _later(kind)
    return Advice(how.format(f" ({setting})" if setting else ""), fix)


def unknown(case: Case) -> Advice:
    """For a leak of which nobody can tell how it came in."""
    if _setting(case):
        return in_config(case)
    return Advice(
        "Which build step brought it in is not recorded: the layer was imported, squashed or made by another tool.",
        (
            "Find the image this layer comes from by its digest; if it is a base image, tell its owners and build on a "
            "fixed one.",
            f"If it is your own, keep the credential out: {case.mount()}",
        ),
    )


def _setting(case: Case) -> str:
    """Which of the config's settings holds it, as the config calls it; empty if it is in none."""
    found = _IN_PATH.search(case.leak.path or "") if case.leak.surface in (Surface.CONFIG, Surface.METADATA) else None
    return found[1] if found and found[1] in SETTINGS else ""


def _later(kind: str) -> tuple[str, ...]:
    return (_LATER.get(kind, f"Give {kind} a name that does not hold the value."),)


def _on_build(case: Case) -> tuple[str, ...]:
    """What ONBUILD says is carried out by builds of images that are based on this one."""
    rest = case.step.command if case.step.kind == "ONBUILD" else ""
    name = _name_in(case, rest.partition(" ")[2]) if rest.startswith(("ENV ", "ARG ")) else "TOKEN"
    return (
        "Take it out of ONBUILD, which is carried out when another image is built on this one.",
        f"Where that build needs it, it takes it from a mount of its own: ONBUILD {case.mount(name)}",
    )


def _variable(case: Case, kind: str) -> Advice:
    """A value that ARG or ENV gives a name; the RUN that uses the name can take it from a mount instead."""
    name = _name_in(case, case.step.command)
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
        fix = (_GIVEN,)
        if user is None:
            return Advice(how, (_GIVEN, f"If only the build needs it: {case.mount(name)}"))
    if user is not None:
        value = case.leak.secret.reveal().decode("utf-8", "replace")
        given = replace(user, args=((name, value),))
        advice = from_mounts(case, how, fix, given, (case.leak.secret,), at=at)
        return replace(advice, change=advice.change and Change({**advice.change.steps, OWN: None}))
    return Advice(how, (*fix, f"Take it from a mount in the RUN that uses ${name}: {case.mount(name)}"))


def _name_in(case: Case, command: str) -> str:
    """The name whose value holds the secret: one ENV may set several."""
    at = max((command.find(spelling) for spelling in spellings(case.leak.secret.reveal())), default=-1)
    names = _SET.findall(command[: at + 1] if at > 0 else command)
    found = names[-1 if at > 0 else 0] if names else re.split(r"[=\s]", command, maxsplit=1)[0]
    name = case.clean(found)
    return name if _NAME.fullmatch(name) else "TOKEN"

