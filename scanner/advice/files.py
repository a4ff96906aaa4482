"""Advice for COPY and ADD: files that came along, files that were wanted, and URLs with a credential."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

from scanner.advice.case import OWN, Advice, Case, Change, absolute
from scanner.advice.instead import NETRC, User, download, moved_by, needing, removals, user_of, user_of_key
from scanner.advice.rewrite import readable
from scanner.evidence import Surface

_IN_GIT = re.compile(r"(?:^|/)\.git/")
#: Programs and parts of them: source, what is made of it, and what has no suffix where programs lie.
_PROGRAM = re.compile(
    r"\.(?:jar|war|ear|class|whl|egg|pyc?|[cm]?jsx?|tsx?|vue|svelte|rb|php|pl|go|rs|java|kt|scala|groovy|swift|cs|cc?|cpp"
    r"|lua|wasm|dll|exe|so(?:\.[\d.]+)?|node|[ao]|js\.map)$|(?:^|/)s?bin/[^/.]+$"
)
_BUNDLE = re.compile(r"\.(?:min|bundle|chunk)\.js$|\.js\.map$|/(?:static|public|dist|html)/(?:.*/)?[^/]+\.js$")
#: What makes an operand more than the name of a file.
_NO_NAME = re.compile(r"[*?\[\]$\"'<]")
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
    if _heredoc(case):
        return _here_document(case)
    if is_program(path):
        return program(f"{kind} brought in a program that holds the value.", path)
    return _mounted_file(case) if _copied_from(case)[1] else _dropped_in(case)


def is_program(path: str) -> bool:
    """Whether a file is a program or a part of one, by its name."""
    return _PROGRAM.search(path) is not None


def program(how: str, path: str) -> Advice:
    """For a value within a program: no mount and no .dockerignore helps as long as the program itself holds it."""
    browsers = ("What a page loads, every visitor has: browsers must not be given the value at all.",)
    return Advice(
        how,
        (
            "Take the value out of the program's source and build the program anew; a secret mount or .dockerignore "
            "only moves the program.",
            "Give it to the program when it runs: docker run --env-file, or the orchestrator's secrets.",
            *(browsers if _BUNDLE.search(path) else ()),
        ),
    )


def _here_document(case: Case) -> Advice:
    """For a file whose text stands in the Dockerfile itself: there is no file that could be mounted instead."""
    kind, target = case.step.kind, absolute(case.path)
    option = f"--secret id={id_of(target)},src=FILE"
    return Advice(
        f"It stands in a here-document of {kind}, in the Dockerfile itself, which became a file of the layer.",
        (
            f"Take the value out of the here-document: the file that {kind} writes names a variable or a file instead. "
            "Where the Dockerfile is under version control, the value stays in its history.",
            "If the program needs it when it runs, give it then: docker run --env-file, or a file from the "
            "orchestrator's secrets.",
            "If only the build needs it: keep it in a file outside the context and mount that in the RUN that needs "
            f"it: RUN {file_mount(target, case.user)} ... with {case.build([option])}",
        ),
    )


def _heredoc(case: Case) -> bool:
    """Whether the file is the body of a here-document of COPY or ADD. Of several sources its name tells."""
    *sources, _ = ["", *_words(case)]
    documents = [re.sub(r"^<<-?|['\"]", "", word) for word in sources if word.startswith("<<")]
    name = case.path.rpartition("/")[2]
    return bool(documents) and (len(documents) == len([word for word in sources if word]) or name in documents)


def _dropped_in(case: Case) -> Advice:
    """A COPY of a folder, or of several files, that took a file with it."""
    kind, pattern, target = case.step.kind, _pattern(case), absolute(case.path)
    stage = _from_stage(case)
    how = f"{kind} of a whole folder, or of several files, took it along."
    if stage:
        return Advice(how, (_in_stage(stage), *_not_moved(case, target)))
    source = case.clean(_copied_from(case)[0])
    without = _without(case, source)
    fix = [f"List {pattern} in .dockerignore (and .git, .env*, *.pem, .npmrc, .netrc, .aws), or use COPY --exclude."]
    if without:  # .dockerignore would leave it to name a file that is not there
        fix = [f"Leave {source} out: {without}"]
    if stage is None:
        fix.append(_in_stage(""))
    if _IN_GIT.search(case.path):  # no step needs an object of git, and what was committed stays in the repository
        fix.append("Whatever was committed stays in every clone of the repository: there, too, only revoking helps.")
        return Advice(how, tuple(fix), None, Change({}, ignored=pattern))
    option = f"--secret id={id_of(target)},src={source or 'FILE'}"
    user = user_of(case.leak.following, target, partial(file_mount, target), option, case.clean, named=True)
    change = _moved(case, user, delete=False)
    if change and without:
        change = replace(change, steps={**change.steps, OWN: without})
    elif change:
        change = replace(change, ignored=pattern)
    if user:
        fix.append("Mount it in the RUN that needs it, as in the rewritten one.")
        fix.append(f"Rebuild: {case.build(user.rewritten.options)}")
    else:
        fix.append(f"Where a step needs the file, mount it: RUN {file_mount(target, case.user)} ...")
        fix += _not_moved(case, target)
    return Advice(how, tuple(fix), user.rewritten.dockerfile if user else None, change)


def _without(case: Case, source: str) -> str:
    """A COPY or ADD of several files without *source*, if it names that; else empty."""
    words = _words(case)
    others = [word for word in words[:-1] if word != source]
    if not source or not others or source not in words[:-1] or _NO_NAME.search(" ".join(words)):
        return ""
    text = " ".join([case.step.kind, *(case.leak.flags or case.step.flags), *others, words[-1]])
    return text if case.clean(text) == text else ""


def _from_stage(case: Case) -> str | None:
    """The stage or image that a COPY took its files from, empty if that is the build context; None if neither is sure,
    for history keeps no --from."""
    if case.step.kind != "COPY":
        return ""
    flags = case.leak.flags if case.leak.flags is not None else [w for w in case.step.command.split() if w[:2] == "--"]
    stage = next((flag.partition("=")[2] for flag in flags if flag.startswith("--from=")), "")
    if stage or case.leak.flags is not None:
        return case.clean(stage)
    return "" if _words(case)[:1] in ([".",], ["./"]) else None


def _in_stage(stage: str) -> str:
    """What to do about a file of another stage or image."""
    if stage:
        start = f"It came from {stage} (COPY --from={stage}), which .dockerignore does not reach"
    else:
        start = "If it came from another stage or image (history does not keep --from), .dockerignore does not reach it"
    return f"{start}: do not make it there, or copy only what is needed instead of its folder."


def _pattern(case: Case) -> str:
    """What .dockerignore must list so that the file stays out of the build context."""
    source = case.clean(_copied_from(case)[0])
    if _IN_GIT.search(case.path):
        return f"{source.partition('.git/')[0]}.git" if source else "**/.git"
    return source.lstrip("/") or f"**/{case.path.rpartition('/')[2]}"


def id_of(target: str) -> str:
    """A name for a secret that is a file."""
    return re.sub(r"[^a-z0-9]+", "", target.rpartition("/")[2].lower()) or "file"


def file_mount(target: str, user: str) -> str:
    """The flag of a RUN, run as *user*, that has a file mounted at *target*."""
    return f"--mount=type=secret,id={id_of(target)},target={target}{readable(user)},required=true"


def _mounted_file(case: Case) -> Advice:
    target = absolute(case.path)
    source = case.clean(_copied_from(case)[0])
    in_context = bool(source) and not source.startswith("/")
    option = f"--secret id={id_of(target)},src={source if in_context and not _from_stage(case) else 'FILE'}"
    user = user_of(case.leak.following, target, partial(file_mount, target), option, case.clean)
    kind, stage = case.step.kind, _from_stage(case)
    made = (_made_in_stage(stage),) if stage or (stage is None and source.startswith("/")) else ()
    how = f"{kind} put the file into a layer, for everyone who can pull the image."
    run_time = (
        "If the program needs it when it runs, mount it into the container then, from the orchestrator's secrets."
    )
    if not user:
        mount = file_mount(target, case.user)
        delete = f"Delete the {kind} and mount the file in the RUN that needs it: RUN {mount} ..."
        return Advice(how, (delete, *made, *_not_moved(case, target), f"Rebuild: {case.build([option])}", run_time))
    fix = (
        f"Delete the {kind} of the file and mount it in the RUN that needs it, which seems to be the rewritten one.",
        *made,
        f"Rebuild: {case.build(user.rewritten.options)}",
        run_time,
    )
    return Advice(how, fix, user.rewritten.dockerfile, _moved(case, user, delete=True))


def _made_in_stage(stage: str | None) -> str:
    """What to do about a stage that made the file."""
    if stage:
        return f"The step of {stage} that makes the file can go, too."
    return "If it came from another stage (history does not keep --from), the step there that makes it can go, too."


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
    """The change that leaves a file out of the image: where it is copied, removed and needed. None where a step moves
    or copies it, or needs it and cannot have it mounted: it would fail without the file."""
    target = absolute(case.leak.path or "")
    mounted = {user.at: user.rewritten.dockerfile, **user.others} if user else {}
    if moved_by(case.leak.following, target) or needing(case.leak.following, target) - mounted.keys():
        return None
    steps: dict[int, str | None] = {OWN: None} if delete else {}
    for at, rest in removals(case.leak.following, target).items():
        if rest and case.clean(rest) != rest:
            return None
        steps[at] = f"RUN {rest}" if rest else None
    return Change({**steps, **mounted})


def _copied_from(case: Case) -> tuple[str, bool]:
    """The file in the build context that a COPY took, empty if that is not known, and whether it took nothing else."""
    words = _words(case)
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


def _words(case: Case) -> list[str]:
    """The operands of a COPY or ADD, from the user's Dockerfile if that says more than the history."""
    written = case.leak.written.partition("\n")[0]  # the bodies of here-documents follow
    return _operands(case.step.command if not written or "$" in written or written.startswith("[") else written)


def _add_url(case: Case) -> Advice:
    rewritten = download(case.step, case.clean)
    netrc = f"Another way is to fetch in a RUN: RUN {NETRC} curl -fn ..."
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
    return [f"An agent provides no file: remove what puts the key in its place, too, here {line}."] if step else []


def _operands(command: str) -> list[str]:
    return [word for word in command.split() if not word.startswith("--")]
