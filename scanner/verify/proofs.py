"""Proofs of findings: the fields beside the bytes, and commands by their shape."""

from __future__ import annotations

import re
import shlex

from scanner.commands import EXPAND
from scanner.verify.document import Json
from scanner.verify.terms import Terms, alike, differing

_EXPAND = tuple(tuple(command.split()) for command in EXPAND.values())


def proof(said: Json, now: Json, terms: Terms) -> list[str]:
    """Fields of a proof, but for its offset, length and HMAC, which are held to the bytes."""
    but = ["command"] if terms.same_source else ["command", "blob"]
    wrong = differing(said, now, but, terms)
    if terms.same_source and terms.same_name:
        same = alike(said.get("command"), now["command"], terms)
    else:
        mine, own = _shape(str(said.get("command"))), _shape(now["command"])
        same = mine is not None and mine[-1] == now["length"]
        same = same and (mine == own if terms.same_source else mine is not None and int(str(mine[-2])) > now["offset"])
    return [f"proof.{key}" for key in [*wrong, *([] if same else ["command"])]]


def _shape(command: str) -> tuple[object, ...] | None:
    """A command as `commands.show` writes it, without the name of the archive; None if it is none of those.

    The last two are the place at which the bytes begin, from 1, and their number.
    """
    stages = []
    for text in command.split(" | "):
        try:
            words = shlex.split(text)
        except ValueError:
            return None
        if shlex.join(words) != text:  # so there is nothing in it that a shell would understand
            return None
        stages.append(tuple(words))
    if len(stages) < 3 or stages[-2][:2] != ("tail", "-c") or stages[-1][:2] != ("head", "-c"):
        return None
    first, *between, tail, head = stages
    start, count = tail[2:], head[2:]
    if len(start) != 1 or len(count) != 1 or not re.fullmatch(r"\+[0-9]{1,18}", start[0]) or not count[0].isdecimal():
        return None
    if any(not _unpacks(stage) for stage in between):
        return None
    source = _source(first)
    return None if source is None else (source, *between, start[0][1:], int(count[0]))


def _unpacks(stage: tuple[str, ...]) -> bool:
    return stage in _EXPAND or (len(stage) == 5 and stage[:4] == ("tar", "-xO", "-f", "-"))


def _source(stage: tuple[str, ...]) -> tuple[str, ...] | None:
    """What prints a blob, without the name of what it is read from; None if it is anything else."""
    *words, last = stage or ("",)
    match words:
        case ["crane", "blob" | "manifest"] if "@" in last and not last.startswith("-"):
            return (*words, last.rpartition("@")[2])
        case ["docker" | "podman", "save"] | ["cat"] if last[:1] != "-":
            return tuple(words)
        case _ if tuple(words) in _EXPAND and last[:1] != "-":
            return tuple(words)
        case ["tar", "-xOf", archive] if not archive.startswith("-"):
            return ("tar", "-xOf", last)
    return None
