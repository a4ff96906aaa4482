"""Advice for COPY and ADD: files that came along, files that were wanted, and URLs with a credential."""

from __future__ import annotations

import re
from dataclasses import replace

from scanner.advice.case import OWN, Advice, Case, Change, absolute
from scanner.evidence import Surface
from scanner.instead import User, download, moved_by, removals, user_of, user_of_key

_IN_GIT = re.compile(r"(?:^|/)\.git/")
_CLASSIC_SOURCE = re.compile(r"(?:file|dir|multi):")
#: Paths of keys that ssh uses.
SSH = re.compile(r"(?:^|/)\.ssh/|(?:^|/)id_(?:rsa|dsa|ecdsa|ed25519)[^/]*$")


def copied(case: Case) -> Advice:
    """For a leak that COPY or ADD brought in."""
    kind, command, path = case.step.kind, case.step.command, case.path
    if case.leak.surface is not Surface.LAYER:
        if kind == "ADD" and "://" in command and case.holds(command):
            return _add_url(case)
        how = f"It stands in the words of {kind}, or in a name that it copied; both are stored as they are."
        return Advice(how, ("Copy from and to names that do not hold the value.",))
    if SSH.search(path):
        return ssh(case, f"{kind} put a private key into the layer.")
    return _mounted_file(case) if _copied_from(case)[1] else _dropped_in(case)


def _dropped_in(case: Case) -> Advice:
    """A COPY of a folder, or of several files, that took a file with it."""
    path, pattern, target = case.path, _pattern(case), absolute(case.path)
    source = case.clean(_copied_from(case)[0])
    option = f"--secret id={id_of(target)},src={source or 'FILE'}"
    user = user_of(case.leak.following, target, file_mount(target), option, case.clean, named=True)
    change = _moved(case, user, delete=False)
    fix = [f"List {pattern} in .dockerignore (and .git, .env*, *.pem, .npmrc, .netrc, .aws), or use COPY --exclude."]
    if user:
        fix.append("Mount it in the RUN that needs it, as in the rewritten one.")
        fix.append(f"Rebuild: {case.build(user.rewritten.options)}")
    else:
        fix.append(f"Where a step needs the file, mount it: RUN {file_mount(target)} ...")
        fix += _not_moved(case, target)
    return Advice(
        f"{case.step.kind} of a whole folder took {path} with it.",
        tuple(fix),
        user.rewritten.dockerfile if user else None,
        replace(change, ignored=pattern) if change else None,
    )


def _pattern(case: Case) -> str:
    """What .dockerignore must list so that the file stays out of the build context."""
    source = case.clean(_copied_from(case)[0])
    if _IN_GIT.search(case.path):
        return f"{source.partition('.git/')[0]}.git" if source else "**/.git"
    return source or f"**/{case.path.rpartition('/')[2]}"


def id_of(target: str) -> str:
    """A name for a secret that is a file."""
    return re.sub(r"[^a-z0-9]+", "", target.rpartition("/")[2].lower()) or "file"


def file_mount(target: str) -> str:
    """The flag of a RUN that has a file mounted at *target*."""
    return f"--mount=type=secret,id={id_of(target)},target={target},required=true"


def _mounted_file(case: Case) -> Advice:
    target = absolute(case.path)
    mount = file_mount(target)
    option = f"--secret id={id_of(target)},src={case.clean(_copied_from(case)[0]) or 'FILE'}"
    user = user_of(case.leak.following, target, mount, option, case.clean)
    kind = case.step.kind
    how = f"{kind} put the file into a layer, for everyone who can pull the image."
    run_time = (
        "If the program needs it when it runs, mount it into the container then, from the orchestrator's secrets."
    )
    if not user:
        delete = f"Delete the {kind} and mount the file in the RUN that needs it: RUN {mount} ..."
        return Advice(how, (delete, *_not_moved(case, target), f"Rebuild: {case.build([option])}", run_time))
    fix = (
        f"Delete the {kind} of the file and mount it in the RUN that needs it, which seems to be the rewritten one.",
        f"Rebuild: {case.build(user.rewritten.options)}",
        run_time,
    )
    return Advice(how, fix, user.rewritten.dockerfile, _moved(case, user, delete=True))


def _not_moved(case: Case, target: str) -> list[str]:
    """What to do about a later step that copies or moves the file: a mount there would leak it again, or fail."""
    step = moved_by(case.leak.following, target)
    if not step:
        return []
    line = case.line(step)
    return [
        f"A later step puts it into a layer once more: {line}. Leave that out, and mount the file where the step that "
        "really uses it looks for it (target=)."
    ]


def _moved(case: Case, user: User | None, delete: bool) -> Change | None:
    """The change that leaves a file out of the image: where it is copied, removed and needed."""
    target = absolute(case.leak.path or "")
    steps: dict[int, str | None] = {OWN: None} if delete else {}
    for at, rest in removals(case.leak.following, target).items():
        if rest and case.clean(rest) != rest:
            return None
        steps[at] = f"RUN {rest}" if rest else None
    if user:
        steps[user.at] = user.rewritten.dockerfile
    return Change(steps)


def _copied_from(case: Case) -> tuple[str, bool]:
    """The file in the build context that a COPY took, empty if that is not known, and whether it took nothing else."""
    written = case.leak.written
    words = _operands(case.step.command if not written or "$" in written or written.startswith("[") else written)
    path = absolute(case.leak.path or "")
    name = path.rpartition("/")[2]
    if words and _CLASSIC_SOURCE.match(words[0]):  # classic builders record a hash instead of the name
        return "", words[0].startswith("file:")
    if len(words) != 2:
        return next((word for word in words[:-1] if word.rpartition("/")[2] == name), ""), len(words) < 2
    source, target = words[0], words[1].rstrip("/")
    if source.rpartition("/")[2] == name or path == target:
        return source, True
    if not target.startswith("/") and target not in ("", "."):
        _, found, inner = path.partition(f"/{target.removeprefix('./')}/")
    else:
        found, inner = ("/", path.removeprefix(f"{target}/")) if path.startswith(f"{target}/") else ("", "")
    return (inner if source in (".", "./", "/") else f"{source.rstrip('/')}/{inner}") if found else "", False


def _add_url(case: Case) -> Advice:
    rewritten = download(case.step, case.clean)
    netrc = "Or fetch in a RUN: RUN --mount=type=secret,id=netrc,target=/root/.netrc,required=true curl -fn ..."
    how = "It stands in the URL of an ADD; the image's history keeps the URL."
    if not rewritten:
        return Advice(how, ("Take it out of the URL.", netrc))
    given = "HTTP_AUTH_HEADER" in rewritten.options[0]
    value = (
        "the value is the header, Basic BASE64-OF-USER:PASSWORD or Bearer TOKEN (BuildKit 0.23)"
        if given
        else "the value is the token (ADD of a repository: Dockerfile 1.5)"
    )
    fix = (
        f"Take it out of the URL and give it to the builder: {case.build(rewritten.options)}",
        f"There {value}.",
        netrc,
    )
    return Advice(how, fix, rewritten.dockerfile, Change({OWN: rewritten.dockerfile}))


def ssh(case: Case, how: str) -> Advice:
    """For a key of ssh in a layer: the agent instead of the key."""
    option = "--ssh default=$SSH_AUTH_SOCK"
    target, in_run = absolute(case.path), case.step.kind == "RUN"
    alone = in_run or _copied_from(case)[1]
    user = user_of_key(case.leak.following, target, option, case.clean)
    ignored = "" if alone else _pattern(case)
    fix = (
        *([f"List {ignored} in .dockerignore, or use COPY --exclude."] if ignored else []),
        "Use the agent instead of the key: RUN --mount=type=ssh ..., in the step that logs in with it; no layer keeps "
        "that.",
        *_not_moved_key(case, target),
        f"Rebuild with an agent that has the key: {case.build([option])}",
    )
    # what a RUN did to make the key is not known, so there is no saying what to leave of it
    change = _moved(case, user, delete=alone) if user and not in_run else None
    return Advice(
        how, fix, user.rewritten.dockerfile if user else None, replace(change, ignored=ignored) if change else None
    )


def _not_moved_key(case: Case, target: str) -> list[str]:
    """What to do about a later step that copies or moves a key: an agent provides no file."""
    step = moved_by(case.leak.following, target)
    line = case.line(step) if step else ""
    return [f"An agent provides no file: what puts the key in its place goes too, here {line}."] if step else []


def _operands(command: str) -> list[str]:
    return [word for word in command.split() if not word.startswith("--")]
