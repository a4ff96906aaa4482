"""What to do about a finding: says how the credential came to be in the image, and how to build without it.

The kinds of leak and their cures follow Docker's pages on build secrets (docs.docker.com/build/building/secrets) and
what builders were seen to record; see docs/glossary.md for the words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from scanner.evidence import Remediation, Secret, State, Surface
from scanner.image.instruction import Step, parse_created_by
from scanner.image.maker import Builder
from scanner.instead import User, download, mount_over, removals, repository, unkept, user_of
from scanner.redact import Redactor, spellings
from scanner.rewrite import Rewritten, rewrite

ROTATE = "Revoke or change the credential where it was issued, before anything else: whoever pulled the image has it."
_DELETE = (
    "Delete every tag of the leaked image by digest{}, its attestations and cache tags too, then run the registry's "
    "garbage collection: until then the blob can still be pulled."
)
DELETE = _DELETE.format("")
_WORD = r"[^\s;|&$`]{1,256}"
_WITH_NAMES = re.compile(re.escape(_DELETE).replace(r"\{\}", rf"(?:, here {_WORD}(?: (?:and|at) {_WORD}){{0,3}})?"))
PURGE = (
    "Empty what the builders keep: docker builder prune -a, docker buildx history rm --all, docker image prune; "
    "then CI caches and mirrors."
)
BURIED = (
    "A later step cannot take bytes out of an earlier layer. Remove the file in the step that brings it in, or mount "
    "it there and never store it."
)
KANIKO = "kaniko has no secret mounts: build this image with BuildKit or buildah, which have."
_ANY_MOUNT = (
    "RUN --mount=type=secret,id=token,env=TOKEN,required=true ... with docker build --secret id=token,env=TOKEN ."
)

#: A rewritten instruction moves no more secrets than these; the rest is masked in it.
_MOST_OTHERS = 100
_CACHE = re.compile(r"(?:^|/)(?:\.cache|\.npm/_(?:cacache|logs)|var/cache|var/log|go/pkg/mod/cache|\.m2/repository)/")
_LOG = re.compile(r"\.log(?:\.\d+)?$|(?:^|/)(?:\.\w+_history|\.wget-hsts|build-env[^/]*)$")
_SSH = re.compile(r"(?:^|/)\.ssh/|(?:^|/)id_(?:rsa|dsa|ecdsa|ed25519)[^/]*$")
_GIT = re.compile(r"(?:^|/)\.git(?:/|-credentials$)")
_IN_GIT = re.compile(r"(?:^|/)\.git/")
_GIT_CLONE = re.compile(r"\bgit\b[^;&|\n]{0,400}?\b(?:clone|fetch|pull|submodule|ls-remote)\b")
_SET = re.compile(r"(?<!\S)([A-Za-z_]\w*)=")
_NAME = re.compile(r"[A-Za-z_]\w*")
_CLASSIC_SOURCE = re.compile(r"(?:file|dir|multi):")


@dataclass(frozen=True, slots=True)
class Leak:
    """What `advise` must know of a finding; strings as they stand in the image, not redacted.

    Attributes:
        path: member path for layers, else the name or JSON path of the place.
        created_by: of the step that brought it in, None if unknown.
        others: further values found in the same step, so that a rewritten instruction holds none of them.
        builder: who made the image.
        files: paths of files of its layer in which the step left a value that stands in its text too.
        image: its names and digest, empty if it has none.
        written: the operands of the step in the user's Dockerfile, empty if they are not known.
        variables: whether the frontend that the Dockerfile names has `env=`, None if that is not known.
        following: the steps after it that made layers, up to the one that removed the file.
    """

    surface: Surface
    state: State
    path: str | None
    created_by: str | None
    secret: Secret
    others: tuple[Secret, ...] = ()
    builder: Builder = Builder.BUILDKIT
    following: tuple[Step, ...] = ()
    files: tuple[str, ...] = ()
    variables: bool | None = None
    written: str = ""
    image: str = ""

    @property
    def sets_variables(self) -> bool:
        """Whether mounts can set variables where this image is built."""
        return self.builder.sets_variables if self.variables is None else self.variables


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the Dockerfile.

    Attributes:
        steps: number among the following steps, OWN for the one that leaked → its new text, None to delete it.
        arguments: names of build arguments whose ARG goes.
        ignored: a pattern that .dockerignore gains, if any.
    """

    steps: Mapping[int, str | None]
    arguments: frozenset[str] = frozenset()
    ignored: str = ""


#: The step that brought the secret in, in `Change.steps`.
OWN = -1


@dataclass(frozen=True, slots=True)
class _Advice:
    """How it leaked, and the steps between rotating the credential and cleaning up."""

    how: str
    fix: tuple[str, ...]
    dockerfile: str | None = None
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """A leak with its step. *clean* redacts; only words of the image go through it, for a mask in our own words would
    tell which common word the secret is."""

    leak: Leak
    step: Step
    clean: Callable[[str], str]

    @property
    def path(self) -> str:
        return self.clean(self.leak.path or "")

    def build(self, options: Iterable[str]) -> str:
        """The command that goes with a rewritten instruction."""
        return self.leak.builder.build(*options)

    def holds(self, text: str) -> bool:
        return _stands_in(text, self.leak.secret)


def _stands_in(text: str, secret: Secret) -> bool:
    return bool(text) and any(spelling in text for spelling in spellings(secret.reveal()))


def advise(
    leak: Leak, redactor: Redactor, written: Callable[[Change], tuple[str | None, str | None]] = lambda _: (None, None)
) -> Remediation:
    """What to do about *leak*: summary, steps in their order, and the rewritten instruction if one can be given.

    None of the strings holds a secret; do not redact them again.

    Args:
        written: a change as a diff against the user's Dockerfile, redacted, and as a command if values are masked in
            the diff; None for what there is none of.
    """
    own = leak.secret.reveal()
    case = _Case(leak, parse_created_by(leak.created_by or ""), lambda text: redactor.text(text, own=own))
    advice = _choose(case)
    buried = (BURIED,) if leak.state in (State.DELETED, State.OVERWRITTEN, State.HIDDEN) else ()
    kaniko = (KANIKO,) if leak.builder is Builder.KANIKO and advice.dockerfile else ()
    delete = _DELETE.format(f", here {case.clean(leak.image)}") if leak.image else DELETE
    steps = (ROTATE, *kaniko, *advice.fix, *buried, delete, PURGE)
    diff, script = written(advice.change) if advice.change else (None, None)
    return Remediation(advice.how, steps, advice.dockerfile, diff, script)


def unnamed(step: str) -> str:
    """A step of advice without the image's names, which are others in each source."""
    return DELETE if _WITH_NAMES.fullmatch(step) else step


def _choose(case: _Case) -> _Advice:
    fixed = {
        Surface.ATTESTATION: _ATTESTATION,
        Surface.ANNOTATION: _ANNOTATION,
        Surface.CACHE: _CACHE_EXPORT,
        Surface.BUILDER: _BUILDER,
    }.get(case.leak.surface)
    if fixed:
        return fixed
    if case.leak.created_by is None:
        return _IN_CONFIG if case.leak.surface is Surface.CONFIG else _UNKNOWN
    by_kind = {"RUN": _run, "COPY": _copied, "ADD": _copied}
    return by_kind.get(case.step.kind, _declared)(case)


# --- RUN -------------------------------------------------------------------------------------------------------------


def _run(case: _Case) -> _Advice:
    in_args = any(case.holds(value) for _, value in case.step.args)
    if in_args or case.holds(case.step.command):
        return _inline(case, in_args)
    if case.leak.surface is Surface.METADATA:
        return _NAMED
    return _written(case)


def _inline(case: _Case, in_args: bool) -> _Advice:
    leak, step = case.leak, case.step
    secrets = (
        leak.secret,
        *(other for other in leak.others[:_MOST_OTHERS] if _stands_in(leak.created_by or "", other)),
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
    added, mounted = repository(step, secrets, case.clean, variables=leak.sets_variables)
    if added or mounted:
        return _cloned(case, how, fix, added, mounted)
    if _GIT_CLONE.search(step.command) and case.holds(step.command):
        fix = (*_GIT_FIX, *fix)
    over = {path: mount_over(step.command, _absolute(path)) for path in leak.files}
    advice = _mounted(case, how, fix, step, secrets, tuple(dict.fromkeys(filter(None, over.values()))))
    kept = [case.clean(path) for path, mount in over.items() if mount]
    left = [case.clean(path) for path, mount in over.items() if not mount]
    notes = [f"The tool also kept it in {', '.join(kept[:3])}, which a mount keeps out of the layer."] if kept else []
    if left:
        notes.append(f"The command also wrote it to {', '.join(left[:3])}: make sure that it does not.")
    return replace(advice, fix=(*advice.fix, *notes))


def _mounted(
    case: _Case,
    how: str,
    fix: tuple[str, ...],
    step: Step,
    secrets: Sequence[Secret],
    mounts: tuple[str, ...] = (),
    at: int = OWN,
) -> _Advice:
    """The advice to take all *secrets* of a RUN from mounts, with the RUN rewritten if that can be done.

    *at* is its number in a `Change`.
    """

    def written(variables: bool) -> Rewritten | None:
        tries = (secrets, secrets[:1])
        found = (rewrite(step, some, case.clean, variables=variables, mounts=mounts) for some in tries)
        return next(filter(None, found), None)

    variables = case.leak.sets_variables
    rewritten = written(variables) or written(True)
    if not rewritten:
        return _Advice(how, (*fix, f"Mount it instead: {_ANY_MOUNT}"))
    older = written(False) if variables else None
    fix = (
        *fix,
        "Take it from a secret mount, as in the rewritten instruction (keep mounts that it has already).",
        f"Rebuild with the value in the environment: {case.build(rewritten.options)}",
    )
    given = {name for name, _ in step.args}
    change = Change({at: rewritten.dockerfile}, frozenset(name for name in rewritten.names if name in given))
    if older:
        shown = "" if "<<" in older.dockerfile else _one_line(older)
        text = "A frontend older than 1.10 (BuildKit 0.16) has no env=; there the command reads the file"
        fix = (*fix, f"{text}: {shown}" if shown else f'{text}: NAME="$(cat /run/secrets/ID)".')
    return _Advice(how, fix, rewritten.dockerfile, change)


def _cloned(
    case: _Case, how: str, fix: tuple[str, ...], added: Rewritten | None, mounted: Rewritten | None
) -> _Advice:
    """The advice for a credential in the URL of a repository."""
    arguments = frozenset(name for name, value in case.step.args if case.holds(value))
    if added and case.leak.builder in (Builder.BUILDKIT, Builder.UNKNOWN):
        host = (urlsplit(added.dockerfile.split()[1]).hostname or "HOST") if added else "HOST"
        fix = (
            *fix,
            "Let the builder fetch the repository, as in the rewritten instruction: its token never enters a layer.",
            f"Rebuild with the token in the environment: {case.build(added.options)}",
            (
                f"Where the server wants another user than x-access-token, give the whole header: --secret "
                f"id=GIT_AUTH_HEADER.{host},env=GIT_AUTH_HEADER with the value basic BASE64-OF-USER:TOKEN."
            ),
            *([f"Or let git read a mounted .netrc: {_one_line(mounted)}"] if mounted else []),
            _OVER_SSH,
        )
        return _Advice(how, fix, added.dockerfile, Change({OWN: added.dockerfile}, arguments))
    assert mounted is not None
    fix = (
        *fix,
        "Keep the credential out of the URL, which git stores, and let git read a mounted .netrc (machine HOST login "
        "USER password TOKEN), as in the rewritten instruction.",
        f"Rebuild: {case.build(mounted.options)}",
        _OVER_SSH,
    )
    return _Advice(how, fix, mounted.dockerfile, Change({OWN: mounted.dockerfile}, arguments))


def _one_line(rewritten: Rewritten) -> str:
    return " ".join(rewritten.dockerfile.replace(" \\\n", " ").split())


_OVER_SSH = "Or clone over ssh: RUN --mount=type=ssh git clone git@HOST:OWNER/REPO with docker build --ssh default ."
_GIT_FIX = (
    (
        "Let the builder fetch the repository: ADD https://HOST/OWNER/REPO.git#REF /src with docker build --secret "
        "id=GIT_AUTH_TOKEN,env=GIT_AUTH_TOKEN ."
    ),
    _OVER_SSH,
)


def _written(case: _Case) -> _Advice:
    """A RUN left it in a file although its text does not hold it: from a mount, a network, an earlier file."""
    path = case.path
    if _SSH.search(path):
        return _ssh(case, "A RUN left a private key in the layer.")
    if _GIT.search(path):
        how = f"git stored it in {path} when the RUN cloned or fetched with a credential in the URL."
        added, mounted = repository(case.step, (), case.clean, variables=case.leak.sets_variables)
        return _cloned(case, how, (), added, mounted) if mounted else _Advice(how, _GIT_FIX)
    if _CACHE.search(path) or _LOG.search(path):
        kept = unkept(case.step, _absolute(path), case.clean)
        return _Advice(
            f"A tool of this RUN kept it in a cache, log or history file of its own, {path}.",
            (
                (
                    f"Keep such files out of the layer: RUN --mount=type=cache,target={_folder(path)} ... (a cache "
                    "mount stays on the builder), or delete them in the same RUN."
                ),
                "Give the tool its credential by environment from a secret mount rather than in a URL that it logs.",
            ),
            kept.dockerfile if kept else None,
            Change({OWN: kept.dockerfile}) if kept else None,
        )
    return _Advice(
        f"A tool of this RUN wrote it to {path}, which became part of the layer. A secret mount does not help if the "
        "command stores what it reads.",
        (
            (
                "Do not run config set, login, or env > file in a build: pass the value by environment (PIP_INDEX_URL, "
                "NPM_TOKEN, NETRC, GIT_CONFIG_COUNT ...) in the one RUN that needs it."
            ),
            (
                f"Or mount the whole file: RUN --mount=type=secret,id=config,target={_absolute(path)},required=true "
                "... with docker build --secret id=config,src=FILE ."
            ),
        ),
    )


# --- COPY, ADD -------------------------------------------------------------------------------------------------------


def _copied(case: _Case) -> _Advice:
    kind, command, path = case.step.kind, case.step.command, case.path
    if case.leak.surface is not Surface.LAYER:
        if kind == "ADD" and "://" in command and case.holds(command):
            return _add_url(case)
        how = f"It stands in the words of {kind}, or in a name that it copied; both are stored as they are."
        return _Advice(how, ("Copy from and to names that do not hold the value.",))
    if _SSH.search(path):
        return _ssh(case, f"{kind} put a private key into the layer.")
    return _mounted_file(case) if _copied_from(case)[1] else _dropped_in(case)


def _dropped_in(case: _Case) -> _Advice:
    """A COPY of a folder, or of several files, that took a file with it."""
    path, source = case.path, case.clean(_copied_from(case)[0])
    name = path.rpartition("/")[2]
    pattern = source or f"**/{name}"
    if _IN_GIT.search(path):
        pattern = f"{source.partition('.git/')[0]}.git" if source else "**/.git"
    target = _absolute(path)
    option = f"--secret id={_id_of(target)},src={source or 'FILE'}"
    user = user_of(case.leak.following, target, _file_mount(target), option, case.clean, named=True)
    change = _moved(case, user, delete=False)
    fix = [f"List {pattern} in .dockerignore (and .git, .env*, *.pem, .npmrc, .netrc, .aws), or use COPY --exclude."]
    if user:
        fix.append("Mount it in the RUN that needs it, as in the rewritten one.")
        fix.append(f"Rebuild: {case.build(user.rewritten.options)}")
    else:
        fix.append(f"Where a step needs the file, mount it: RUN {_file_mount(target)} ...")
    return _Advice(
        f"{case.step.kind} of a whole folder took {path} with it.",
        tuple(fix),
        user.rewritten.dockerfile if user else None,
        replace(change, ignored=pattern) if change else None,
    )


def _id_of(target: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", target.rpartition("/")[2].lower()) or "file"


def _file_mount(target: str) -> str:
    return f"--mount=type=secret,id={_id_of(target)},target={target},required=true"


def _mounted_file(case: _Case) -> _Advice:
    target = _absolute(case.path)
    mount = _file_mount(target)
    option = f"--secret id={_id_of(target)},src={case.clean(_copied_from(case)[0]) or 'FILE'}"
    user = user_of(case.leak.following, target, mount, option, case.clean)
    kind = case.step.kind
    how = f"{kind} put the file into a layer, for everyone who can pull the image."
    run_time = (
        "If the program needs it when it runs, mount it into the container then, from the orchestrator's secrets."
    )
    if not user:
        delete = f"Delete the {kind} and mount the file in the RUN that needs it: RUN {mount} ..."
        return _Advice(how, (delete, f"Rebuild: {case.build([option])}", run_time))
    fix = (
        f"Delete the {kind} of the file and mount it in the RUN that needs it, which seems to be the rewritten one.",
        f"Rebuild: {case.build(user.rewritten.options)}",
        run_time,
    )
    return _Advice(how, fix, user.rewritten.dockerfile, _moved(case, user, delete=True))


def _moved(case: _Case, user: User | None, delete: bool) -> Change | None:
    """The change that leaves a file out of the image: where it is copied, removed and needed."""
    target = _absolute(case.leak.path or "")
    steps: dict[int, str | None] = {OWN: None} if delete else {}
    for at, rest in removals(case.leak.following, target).items():
        if rest and case.clean(rest) != rest:
            return None
        steps[at] = f"RUN {rest}" if rest else None
    if user:
        steps[user.at] = user.rewritten.dockerfile
    return Change(steps)


def _copied_from(case: _Case) -> tuple[str, bool]:
    """The file in the build context that a COPY took, empty if that is not known, and whether it took nothing else."""
    written = case.leak.written
    words = _operands(case.step.command if not written or "$" in written or written.startswith("[") else written)
    path = _absolute(case.leak.path or "")
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


def _add_url(case: _Case) -> _Advice:
    rewritten = download(case.step, case.clean)
    netrc = "Or fetch in a RUN: RUN --mount=type=secret,id=netrc,target=/root/.netrc,required=true curl -fn ..."
    how = "It stands in the URL of an ADD; the image's history keeps the URL."
    if not rewritten:
        return _Advice(how, ("Take it out of the URL.", netrc))
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
    return _Advice(how, fix, rewritten.dockerfile, Change({OWN: rewritten.dockerfile}))


def _ssh(case: _Case, how: str) -> _Advice:
    option = "--ssh default=$SSH_AUTH_SOCK"
    user = user_of(case.leak.following, _absolute(case.path), "--mount=type=ssh", option, case.clean)
    fix = (
        "Use the agent instead of the key: RUN --mount=type=ssh ..., which no layer keeps.",
        f"Rebuild with an agent that has the key: {case.build([option])}",
    )
    change = _moved(case, user, delete=case.step.kind != "RUN") if user else None
    return _Advice(how, fix, user.rewritten.dockerfile if user else None, change)


def _operands(command: str) -> list[str]:
    return [word for word in command.split() if not word.startswith("--")]


def _folder(path: str) -> str:
    return _absolute(path).rpartition("/")[0] or "/"


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path.removeprefix('./')}"


# --- everything else -------------------------------------------------------------------------------------------------


def _declared(case: _Case) -> _Advice:
    kind = case.step.kind
    if kind in ("ARG", "ENV"):
        return _variable(case, kind)
    if kind == "LABEL":
        return _Advice("It is in a LABEL, which anyone reads without even pulling layers.", ("Delete the label.",))
    if kind:
        return _Advice(f"It stands in {kind}, which is part of the image's config and history.", _RUN_TIME)
    return _UNKNOWN


def _variable(case: _Case, kind: str) -> _Advice:
    """A value that ARG or ENV gives a name; the RUN that uses the name can take it from a mount instead."""
    name = _name_of(case)
    at, user = next(((at, step) for at, step in enumerate(case.leak.following) if _uses(step, name)), (OWN, None))
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
            return _Advice(how, _RUN_TIME)
    if user is not None:
        value = case.leak.secret.reveal().decode("utf-8", "replace")
        given = replace(user, args=((name, value),))
        advice = _mounted(case, how, fix, given, (case.leak.secret,), at=at)
        alone = kind == "ARG" or len(_SET.findall(case.step.command)) == 1
        if advice.change is None or not alone:
            return replace(advice, change=None)
        return replace(advice, change=Change({**advice.change.steps, OWN: None}))
    mount = f"--mount=type=secret,id={name.lower()},env={name},required=true"
    option = f"--secret id={name.lower()},env={name}"
    fix = (*fix, f"Take it from a mount in the RUN that uses ${name}: RUN {mount} ...")
    return _Advice(how, (*fix, f"Rebuild: {case.build([option])}"))


def _name_of(case: _Case) -> str:
    """The name whose value holds the secret: one ENV may set several."""
    command = case.step.command
    at = max((command.find(spelling) for spelling in spellings(case.leak.secret.reveal())), default=-1)
    names = _SET.findall(command[: at + 1] if at > 0 else command)
    found = names[-1 if at > 0 else 0] if names else re.split(r"[=\s]", command, maxsplit=1)[0]
    name = case.clean(found)
    return name if _NAME.fullmatch(name) else "TOKEN"


def _uses(step: Step, name: str) -> bool:
    """Whether the text of a RUN names a variable."""
    named = rf"\$(?:{name}(?!\w)|\{{#?{name}\b)"
    return step.kind == "RUN" and re.search(named, step.command) is not None


_RUN_TIME = (
    "If the program needs it when it runs, give it then: docker run --env-file, or the orchestrator's secrets.",
    f"If only the build needs it: {_ANY_MOUNT}",
)
_IN_CONFIG = _Advice("It is part of the image's config, which every container and everyone who pulls sees.", _RUN_TIME)
_NAMED = _Advice(
    "It stands in the name, link target or header of a file that this RUN made; layers store them as they are.",
    ("Build file names and link targets without the value.",),
)
_UNKNOWN = _Advice(
    "Which build step brought it in is not recorded: the layer was imported, squashed or made by another tool.",
    (
        (
            "Find the image this layer comes from by its digest; if it is a base image, tell its owners and build on a "
            "fixed one."
        ),
        f"If it is your own, keep the credential out: {_ANY_MOUNT}",
    ),
)
_ATTESTATION = _Advice(
    "The build's provenance holds it. Provenance of mode=max stores build arguments and the environment of every "
    "stage, of those too that are not in the image.",
    (
        f"Replace the build argument by a secret mount: {_ANY_MOUNT}",
        "Until then build with --provenance=mode=min or --provenance=false.",
    ),
)
_ANNOTATION = _Advice(
    "It is in an annotation, which anyone reads without even pulling layers.",
    ("Build without that annotation; check what fills it, such as a git remote URL with a password.",),
)
_CACHE_EXPORT = _Advice(
    "An exported build cache holds it. Mode max exports the layers of all stages, of those too that are not in the "
    "image.",
    (
        "Give it to the build by a secret mount: values of mounts are in no cache.",
        "Delete the cache tag or folder, and export with mode=min where a stage handles secrets.",
    ),
)
_BUILDER = _Advice(
    "This machine's builder keeps it: the image does not hold it, but the build cache or an intermediate image does.",
    ("Give it to the build by a secret mount: values of mounts are in no cache.",),
)
