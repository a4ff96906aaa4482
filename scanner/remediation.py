"""What to do about a finding: says how the credential came to be in the image, and how to build without it.

The kinds of leak and their cures follow Docker's pages on build secrets (docs.docker.com/build/building/secrets) and
what builders were seen to record; see docs/glossary.md for the words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from scanner.evidence import Remediation, Secret, State, Surface
from scanner.image.instruction import Step, parse_created_by
from scanner.redact import Redactor, spellings
from scanner.rewrite import Rewritten, rewrite

ROTATE = "Revoke or change the credential where it was issued, before anything else: whoever pulled the image has it."
DELETE = (
    "Delete every tag of the leaked image by digest, its attestations and cache tags too, then run the registry's "
    "garbage collection: until then the blob can still be pulled."
)
PURGE = (
    "Empty what the builders keep: docker builder prune -a, docker buildx history rm --all, docker image prune; "
    "then CI caches and mirrors."
)
BURIED = (
    "A later step cannot take bytes out of an earlier layer. Remove the file in the step that brings it in, or mount "
    "it there and never store it."
)
_ANY_MOUNT = (
    "RUN --mount=type=secret,id=token,env=TOKEN,required=true ... with docker build --secret id=token,env=TOKEN ."
)

#: A rewritten instruction moves no more secrets than these; the rest is masked in it.
_MOST_OTHERS = 100
_CACHE = re.compile(r"(?:^|/)(?:\.cache|\.npm/_(?:cacache|logs)|var/cache|var/log|go/pkg/mod/cache|\.m2/repository)/")
_LOG = re.compile(r"\.log(?:\.\d+)?$|(?:^|/)(?:\.\w+_history|\.wget-hsts|build-env[^/]*)$")
_SSH = re.compile(r"(?:^|/)\.ssh/|(?:^|/)id_(?:rsa|dsa|ecdsa|ed25519)[^/]*$")
_GIT = re.compile(r"(?:^|/)\.git(?:/|-credentials$)")
_DROPPED_IN = re.compile(r"(?:^|/)(?:\.git/|\.env[^/]*$|\.npmrc$|\.netrc$|\.aws/|\.docker/|[^/]*\.pem$)")
_GIT_CLONE = re.compile(r"\bgit\b[^;&|\n]{0,400}?\b(?:clone|fetch|pull|submodule|ls-remote)\b")
_CLASSIC_SOURCE = re.compile(r"(?:file|dir|multi):")


@dataclass(frozen=True, slots=True)
class Leak:
    """What `advise` must know of a finding; strings as they stand in the image, not redacted.

    Attributes:
        path: member path for layers, else the name or JSON path of the place.
        created_by: of the step that brought it in, None if unknown.
        others: further values found in the same step, so that a rewritten instruction holds none of them.
    """

    surface: Surface
    state: State
    path: str | None
    created_by: str | None
    secret: Secret
    others: tuple[Secret, ...] = ()


@dataclass(frozen=True, slots=True)
class _Advice:
    """How it leaked, and the steps between rotating the credential and cleaning up."""

    how: str
    fix: tuple[str, ...]
    dockerfile: str | None = None


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

    def holds(self, text: str) -> bool:
        return _stands_in(text, self.leak.secret)


def _stands_in(text: str, secret: Secret) -> bool:
    return bool(text) and any(spelling in text for spelling in spellings(secret.reveal()))


def advise(leak: Leak, redactor: Redactor) -> Remediation:
    """What to do about *leak*: summary, steps in their order, and the rewritten instruction if one can be given.

    None of the strings holds a secret; do not redact them again.
    """
    own = leak.secret.reveal()
    case = _Case(leak, parse_created_by(leak.created_by or ""), lambda text: redactor.text(text, own=own))
    advice = _choose(case)
    buried = (BURIED,) if leak.state in (State.DELETED, State.OVERWRITTEN, State.HIDDEN) else ()
    return Remediation(advice.how, (ROTATE, *advice.fix, *buried, DELETE, PURGE), advice.dockerfile)


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
    rewritten = rewrite(step, secrets, case.clean) or rewrite(step, secrets[:1], case.clean)
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
    fix = _mount_steps(rewritten)
    if leak.surface is Surface.LAYER:
        fix = (*fix, "The command also wrote it to a file of its layer: make sure that it does not.")
    if in_args:
        fix = ("Remove the ARG: docker build --build-arg must never carry a credential.", *fix)
    if _GIT_CLONE.search(step.command) and case.holds(step.command):
        fix = (*_GIT_FIX, *fix)
    return _Advice(how, fix, rewritten.dockerfile if rewritten else None)


_GIT_FIX = (
    (
        "Let the builder fetch the repository: ADD https://HOST/OWNER/REPO.git#REF /src with docker build --secret "
        "id=GIT_AUTH_TOKEN,env=GIT_AUTH_TOKEN ."
    ),
    "Or clone over ssh: RUN --mount=type=ssh git clone git@HOST:OWNER/REPO with docker build --ssh default .",
)


def _mount_steps(rewritten: Rewritten | None) -> tuple[str, ...]:
    if not rewritten:
        return (f"Mount it instead: {_ANY_MOUNT}",)
    given = " ".join(f"--secret id={id_},env={name}" for name, id_ in rewritten.names)
    name, id_ = rewritten.names[0]
    return (
        "Take it from a secret mount, as in the rewritten instruction (keep mounts that it has already).",
        f"Rebuild with the value in the environment: docker build {given} .",
        (
            f"A frontend older than 1.10 (BuildKit 0.16) has no env=; there the command reads the file: "
            f'RUN --mount=type=secret,id={id_} {name}="$(cat /run/secrets/{id_})" ...'
        ),
    )


def _written(case: _Case) -> _Advice:
    """A RUN left it in a file although its text does not hold it: from a mount, a network, an earlier file."""
    path = case.path
    if _SSH.search(path):
        return _ssh("A RUN left a private key in the layer.")
    if _GIT.search(path):
        how = f"git stored it in {path} when the RUN cloned or fetched with a credential in the URL."
        return _Advice(how, _GIT_FIX)
    if _CACHE.search(path) or _LOG.search(path):
        return _Advice(
            f"A tool of this RUN kept it in a cache, log or history file of its own, {path}.",
            (
                (
                    f"Keep such files out of the layer: RUN --mount=type=cache,target={_folder(path)} ... (a cache "
                    "mount stays on the builder), or delete them in the same RUN."
                ),
                "Give the tool its credential by environment from a secret mount rather than in a URL that it logs.",
            ),
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
        return _ssh(f"{kind} put a private key into the layer.")
    if _whole_folder(command) and _DROPPED_IN.search(path):
        name = ".git" if _GIT.search(path) else path.rpartition("/")[2]
        return _Advice(
            f"{kind} of a whole folder took {path} with it.",
            (
                f"List {name} in .dockerignore (and .git, .env*, *.pem, .npmrc, .netrc, .aws), or use COPY --exclude.",
                "Where a step needs the file, mount it: RUN --mount=type=secret,id=file,target=PATH,required=true ...",
            ),
        )
    return _mounted_file(case)


def _mounted_file(case: _Case) -> _Advice:
    target = _absolute(case.path)
    id_ = re.sub(r"[^a-z0-9]+", "", target.rpartition("/")[2].lower()) or "file"
    kind, words = case.step.kind, _operands(case.step.command)
    # Classic builders record a hash of the file instead of its name.
    source = case.clean(words[0]) if words and not _CLASSIC_SOURCE.match(words[0]) else "FILE"
    return _Advice(
        f"{kind} put the file into a layer, for everyone who can pull the image.",
        (
            (
                f"Delete the {kind} and mount the file in the RUN that needs it: RUN "
                f"--mount=type=secret,id={id_},target={target},required=true ..."
            ),
            f"Rebuild: docker build --secret id={id_},src={source} .",
            "If the program needs it when it runs, mount it into the container then, from the orchestrator's secrets.",
        ),
    )


def _add_url(case: _Case) -> _Advice:
    url = next((word for word in case.step.command.split() if "://" in word), "")
    try:
        host = case.clean(urlsplit(url).hostname or "HOST")
    except ValueError:
        host = "HOST"
    return _Advice(
        "It stands in the URL of an ADD; the image's history keeps the URL.",
        (
            (
                f"Take it out of the URL and give it to the builder (BuildKit 0.23): docker build --secret "
                f"id=HTTP_AUTH_TOKEN_{host},env=TOKEN ."
            ),
            "Or fetch in a RUN: RUN --mount=type=secret,id=netrc,target=/root/.netrc,required=true curl -fn ...",
        ),
    )


def _ssh(how: str) -> _Advice:
    agent = "RUN --mount=type=ssh ... with docker build --ssh default=$SSH_AUTH_SOCK ."
    return _Advice(how, (f"Use the agent instead of the key: {agent}",))


def _whole_folder(command: str) -> bool:
    words = _operands(command)
    return bool(words) and (words[0] in (".", "./", "/", "*") or words[0].startswith("dir:"))


def _operands(command: str) -> list[str]:
    return [word for word in command.split() if not word.startswith("--")]


def _folder(path: str) -> str:
    return _absolute(path).rpartition("/")[0] or "/"


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path.removeprefix('./')}"


# --- everything else -------------------------------------------------------------------------------------------------


def _declared(case: _Case) -> _Advice:
    kind = case.step.kind
    if kind == "ARG":
        name = case.clean(re.split(r"[=\s]", case.step.command, maxsplit=1)[0]) or "TOKEN"
        return _Advice(
            "It is the value of a build argument, which the image's history keeps.",
            (
                (
                    f"Delete ARG {name} and take it from a mount in the RUN that uses ${name}: RUN "
                    f"--mount=type=secret,id={name.lower()},env={name},required=true ..."
                ),
                f"Rebuild: docker build --secret id={name.lower()},env={name} .",
            ),
        )
    if kind == "LABEL":
        return _Advice("It is in a LABEL, which anyone reads without even pulling layers.", ("Delete the label.",))
    if kind == "ENV":
        return _Advice(
            "It is part of the image's config and history. An ENV cannot be taken back: a later ENV K= leaves the old "
            "entry in the history.",
            _RUN_TIME,
        )
    if kind:
        return _Advice(f"It stands in {kind}, which is part of the image's config and history.", _RUN_TIME)
    return _UNKNOWN


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
