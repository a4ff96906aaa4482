"""Advice for RUN: values in its text or its build arguments, and files that its command left behind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from scanner.advice.case import OWN, Advice, Case, Change, Earlier, absolute, stands_in
from scanner.advice.chain import arranges, keeps, uses
from scanner.advice.files import SSH, file_mount, id_of, is_program, program, ssh
from scanner.advice.instead import GIT_FETCH, GIT_OPTION, mount_over, repository, unkept
from scanner.advice.rewrite import Rewritten, rewrite
from scanner.evidence import Secret, Surface
from scanner.image.instruction import Step, parse_created_by
from scanner.image.maker import Builder

#: A rewritten instruction moves no more secrets than these; the rest is masked in it.
_MOST_OTHERS = 100
_CACHE = re.compile(r"(?:^|/)(?:\.cache|\.npm/_(?:cacache|logs)|var/cache|var/log|go/pkg/mod/cache|\.m2/repository)/")
_LOG = re.compile(r"\.log(?:\.\d+)?$|(?:^|/)(?:\.\w+_history|\.wget-hsts|build-env[^/]*)$")
_GIT = re.compile(r"(?:^|/)\.git(?:/|-credentials$)")
_CHANGES = re.compile(r"(?<![\w./-])(?:chmod|chown|chgrp)\s")
_NAMED = Advice(
    "It stands in the name, link target or header of a file that this RUN made; layers store those as they are.",
    ("Build file names and link targets without the value.",),
)


def _over_ssh(case: Case) -> str:
    command = "RUN --mount=type=ssh git clone git@HOST:OWNER/REPO"
    return f"Another way is to clone over ssh: {command} with {case.build(['--ssh default'])}"


def _fetched(case: Case) -> tuple[str, str]:
    """Ways to a repository that need no credential in its URL."""
    added = f"ADD https://HOST/OWNER/REPO.git#REF /src with {case.build([GIT_OPTION])}"
    return f"Let the builder fetch the repository: {added}", _over_ssh(case)


def run(case: Case) -> Advice:
    """For a leak that a RUN brought in."""
    in_args = any(case.holds(value) for _, value in case.step.args)
    if in_args or case.holds(case.step.command):
        return _inline(case, in_args)
    if case.leak.surface is Surface.METADATA:
        return _NAMED
    return _written(case)


def _inline(case: Case, in_args: bool) -> Advice:
    leak, step = case.leak, case.step
    secrets = (
        leak.secret,
        *(other for other in leak.others[:_MOST_OTHERS] if stands_in(leak.created_by or "", other)),
    )
    if in_args:
        how = (
            "It was given as a build argument. Builders record build arguments with every RUN that can see them, in "
            "the image's history, for everyone who can pull the image."
        )
    else:
        how = (
            "It stands in the text of a RUN. That text is stored in the image's history, for everyone who can pull "
            "the image."
        )
    fix: tuple[str, ...] = (
        ("Remove the ARG: docker build --build-arg must never carry a credential.",) if in_args else ()
    )
    if in_args and not case.holds(step.command) and _unused(case):
        return Advice(how, (*fix, "This RUN does not use it. One that does can take it from a secret mount."))
    added, mounted = repository(step, secrets, case.clean, variables=leak.sets_variables)
    if added or mounted:
        return _cloned(case, how, fix, added, mounted)
    if GIT_FETCH.search(step.command) and case.holds(step.command):
        fix = (*_fetched(case), *fix)
    over = {path: mount_over(step.command, absolute(path)) for path in leak.files}
    advice = from_mounts(case, how, fix, step, secrets, tuple(dict.fromkeys(filter(None, over.values()))))
    kept = [case.clean(path) for path, mount in over.items() if mount]
    left = [case.clean(path) for path, mount in over.items() if not mount]
    notes = [f"The tool also kept it in {', '.join(kept[:3])}, which a mount keeps out of the layer."] if kept else []
    if left:
        notes.append(f"The command also wrote it to {', '.join(left[:3])}: make sure that it does not.")
    return replace(advice, fix=(*advice.fix, *notes))


def from_mounts(
    case: Case,
    how: str,
    fix: tuple[str, ...],
    step: Step,
    secrets: Sequence[Secret],
    mounts: tuple[str, ...] = (),
    at: int = OWN,
) -> Advice:
    """The advice to take all *secrets* of a RUN from mounts, with the RUN rewritten if that can be done.

    *at* is its number in a `Change`.
    """

    def written(variables: bool) -> Rewritten | None:
        tries = (secrets, secrets[:1])
        found = (rewrite(step, some, case.clean, variables=variables, mounts=mounts) for some in tries)
        return next(filter(None, found), None)

    variables = case.leak.sets_variables
    rewritten = written(variables)
    if not rewritten:
        variables, rewritten = True, written(True)
    if not rewritten:
        return Advice(how, (*fix, f"Mount it instead: {case.mount()}"))
    if rewritten.uncommented:
        fix = (*fix, "Delete the comment: a shell skips it, the history keeps it.")
    given = {name: value for name, value in step.args if name in rewritten.names}
    change = Change({at: rewritten.dockerfile}, frozenset(given))
    if not rewritten.names:
        return Advice(how, (*fix, f"Rebuild: {case.build(rewritten.options)}"), rewritten.dockerfile, change)
    others = _other_users(case, given, secrets, at, variables=variables)
    change = replace(change, steps={**change.steps, **others})
    older = written(False) if variables else None
    values = "values" if len(rewritten.names) > 1 else "value"
    fix = (
        *fix,
        "Take it from a secret mount, as in the rewritten instruction (keep mounts that it has already).",
        f"Rebuild with the {values} in the environment: {case.build(rewritten.options)}",
        *_meanings(case, rewritten),
        *(["Later steps that use the variable need the same mount."] if others else []),
    )
    if older:
        shown = "" if "<<" in older.dockerfile else _one_line(older)
        text = "A frontend older than 1.10 (BuildKit 0.16) has no env=; there the command reads the file"
        fix = (*fix, f"{text}: {shown}" if shown else f'{text}: NAME="$(cat /run/secrets/ID)".')
    return Advice(how, fix, rewritten.dockerfile, change)


def _other_users(
    case: Case, given: Mapping[str, str], secrets: Sequence[Secret], at: int, *, variables: bool
) -> dict[int, str]:
    """The RUNs behind number *at* that use variables which mounts are to set now, each rewritten as far as it can be;
    *given* are the variables with their values."""
    found = {}
    for number, step in enumerate(case.leak.following):
        used = tuple((name, value) for name, value in given.items() if uses(step.command, name))
        if number > at and step.kind == "RUN" and used:
            rewritten = rewrite(replace(step, args=used), secrets, case.clean, variables=variables)
            if rewritten:
                found[number] = rewritten.dockerfile
    return found


def _meanings(case: Case, rewritten: Rewritten) -> list[str]:
    """What each variable of several is for."""
    if len(rewritten.names) < 2:
        return []
    meant = zip(rewritten.names, rewritten.secrets, strict=True)
    told = (f"{name} stands for: {case.leak.titles.get(secret, 'a value of this step')}" for name, secret in meant)
    return ["; ".join(told) + "."]


def _unused(case: Case) -> bool:
    """Whether a RUN only puts files in their places and names no build argument that holds the secret."""
    names = [name for name, value in case.step.args if case.holds(value)]
    return arranges(case.step.command) and not any(uses(case.step.command, name) for name in names)


def _cloned(
    case: Case, how: str, fix: tuple[str, ...], added: Rewritten | None, mounted: Rewritten | None
) -> Advice:
    """The advice for a credential in the URL of a repository."""
    arguments = frozenset(name for name, value in case.step.args if case.holds(value))
    if added and case.leak.builder in (Builder.BUILDKIT, Builder.UNKNOWN):
        host = urlsplit(added.dockerfile.split()[1]).hostname or "HOST"
        fix = (
            *fix,
            "Let the builder fetch the repository, as in the rewritten instruction: its token never enters a layer.",
            f"Rebuild with the token in the environment: {case.build(added.options)}",
            (
                f"Where the server wants another user than x-access-token, give the whole header: --secret "
                f"id=GIT_AUTH_HEADER.{host},env=GIT_AUTH_HEADER with the value basic BASE64-OF-USER:TOKEN."
            ),
            *([f"Another way is to let git read a mounted .netrc: {_one_line(mounted)}"] if mounted else []),
            _over_ssh(case),
        )
        return Advice(how, fix, added.dockerfile, Change({OWN: added.dockerfile}, arguments))
    assert mounted is not None
    fix = (
        *fix,
        "Keep the credential out of the URL, which git stores, and let git read a mounted .netrc (machine HOST login "
        "USER password TOKEN), as in the rewritten instruction.",
        f"Rebuild: {case.build(mounted.options)}",
        _over_ssh(case),
    )
    return Advice(how, fix, mounted.dockerfile, Change({OWN: mounted.dockerfile}, arguments))


def _one_line(rewritten: Rewritten) -> str:
    return " ".join(rewritten.dockerfile.replace(" \\\n", " ").split())


def _written(case: Case) -> Advice:
    """A RUN left it in a file although its text does not hold it: from a mount, a network, an earlier file."""
    path = case.path
    kept = _CACHE.search(path) or _LOG.search(path)
    earlier = case.leak.earlier
    if earlier and not kept and (earlier.same or keeps(case.step.command, absolute(earlier.path))):
        return _stored_again(case, earlier)
    if SSH.search(path):
        return ssh(case, "A RUN left a private key in the layer.")
    if _GIT.search(path):
        how = f"git stored it in {path} when the RUN cloned or fetched with a credential in the URL."
        added, mounted = repository(case.step, (), case.clean, variables=case.leak.sets_variables)
        return _cloned(case, how, (), added, mounted) if mounted else Advice(how, _fetched(case))
    if kept:
        rewritten = unkept(case.step, absolute(path), case.clean)
        return Advice(
            f"A tool of this RUN kept it in a cache, log or history file of its own, {path}.",
            (
                (
                    f"Keep such files out of the layer: RUN --mount=type=cache,target={_folder(path)} ... (a cache "
                    "mount stays on the builder), or delete them in the same RUN."
                ),
                "Give the tool its credential by environment from a secret mount rather than in a URL that it logs.",
            ),
            rewritten.dockerfile if rewritten else None,
            Change({OWN: rewritten.dockerfile}) if rewritten else None,
        )
    if is_program(path):
        return program("A program that this RUN made or fetched holds the value.", path)
    found = (f"{_keep_out(case, earlier)}, where a tool of this RUN may have found it.",) if earlier else ()
    return Advice(
        "A tool of this RUN wrote it to a file, which became part of the layer. A secret mount does not help if the "
        "command stores what it reads.",
        (
            *found,
            (
                "Do not run config set, login, or env > file in a build: pass the value by environment (PIP_INDEX_URL, "
                "NPM_TOKEN, NETRC, GIT_CONFIG_COUNT ...) in the one RUN that needs it."
            ),
            (
                f"A file that a command needs is mounted whole: RUN {file_mount(absolute(path), case.user)} ... with "
                f"{case.build([f'--secret id={id_of(absolute(path))},src=FILE'])}"
            ),
        ),
    )


def _stored_again(case: Case, earlier: Earlier) -> Advice:
    """A RUN that changed or moved a file of an earlier layer; the earlier step is the one to mend."""
    how = (
        "The file was in an earlier layer already. This RUN changed it, moved it or copied it, be it only its mode or "
        "owner, and a layer stores whole files."
    )
    fix = [f"{_keep_out(case, earlier)}, then this RUN has nothing of it to store."]
    kind = parse_created_by(earlier.created_by).kind
    if kind in ("COPY", "ADD") and _CHANGES.search(case.step.command):
        fix.append(f"Files that may stay are given mode and owner as they are copied: {kind} --chmod=... --chown=...")
    elif kind in ("COPY", "ADD"):
        fix.append(f"Files that may stay are better copied to their place by the {kind} than moved there by a RUN.")
    return Advice(how, tuple(fix))


def _keep_out(case: Case, earlier: Earlier) -> str:
    """The beginning of a sentence that sends its reader to the step that brought the secret in."""
    before, step = case.clean(earlier.path), parse_created_by(earlier.created_by)
    what = "it" if absolute(before) == absolute(case.path) else before
    where = f"step {earlier.step}" if earlier.step is not None else f"layer {earlier.layer}"
    return f"Keep {what} out at {where}{f', {case.line(step)}' if step.line else ''}"


def _folder(path: str) -> str:
    return absolute(path).rpartition("/")[0] or "/"
