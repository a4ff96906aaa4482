"""A leak as advice sees it: the finding, the step that brought it in, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from scanner.advice.rewrite import secret_mount
from scanner.evidence import Secret, State, Surface
from scanner.image.instruction import Step
from scanner.image.maker import Builder
from scanner.secrecy.redact import spellings

#: Of a step that is told in a sentence the first letters are enough.
_LONGEST_LINE = 120


@dataclass(frozen=True, slots=True)
class Earlier:
    """The file of an earlier layer that held the secret already, and the step that brought it in.

    Attributes:
        same: whether a layer below has it at the path where it lies now, too.
        step: its history index, None if the step is not known.
    """

    path: str
    layer: int
    same: bool
    step: int | None = None
    created_by: str = ""


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
        flags: those that it has there, None if they are not known: history does not keep them.
        variables: whether the frontend that the Dockerfile names has `env=`, None if that is not known.
        following: the steps after it that made layers, up to the one that removed the file.
        earlier: where it lay before, None if it came in here.
        titles: what the secret and the others are, for people.
        user: who the step was run as, empty for root.
        mounts: whether the containers that its RUNs run in can have secret mounts: those of Windows cannot.
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
    flags: tuple[str, ...] | None = None
    image: str = ""
    earlier: Earlier | None = None
    titles: Mapping[Secret, str] = field(default_factory=dict)
    user: str = ""
    mounts: bool = True

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
class Advice:
    """How it leaked, and the steps between rotating the credential and cleaning up."""

    how: str
    fix: tuple[str, ...]
    dockerfile: str | None = None
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A leak with its step. *clean* redacts; only words of the image go through it, for a mask in our own words would
    tell which common word the secret is."""

    leak: Leak
    step: Step
    clean: Callable[[str], str]

    @property
    def user(self) -> str:
        """Who runs the commands that need the secret, empty for root."""
        runs = (step.user for step in self.leak.following if step.kind == "RUN")
        return self.step.user if self.step.kind == "RUN" else next(runs, self.step.user)

    @property
    def path(self) -> str:
        """Of the leak, redacted."""
        return self.clean(self.leak.path or "")

    def build(self, options: Iterable[str]) -> str:
        """The command that goes with a rewritten instruction."""
        return self.leak.builder.build(*options)

    def mount(self, name: str = "TOKEN") -> str:
        """A RUN with the variable *name* from a secret mount, as this image's builder can, and how to build it."""
        id, variables = name.lower(), self.leak.sets_variables
        flag = secret_mount(name, self.user, variables)
        reading = "" if variables else f'export {name}="$(cat /run/secrets/{id})" && '
        return f"RUN {flag} {reading}... with {self.build([f'--secret id={id},env={name}'])}"

    def line(self, step: Step) -> str:
        """A step as it is told in a sentence, redacted and not longer than that bears."""
        # before lines are joined, or a value of several lines would not be recognized
        line = replace(step, command=self.clean(step.command), flags=tuple(map(self.clean, step.flags))).line
        return f"`{line}`" if len(line) <= _LONGEST_LINE else f"`{line[:_LONGEST_LINE]}...`"

    def holds(self, text: str) -> bool:
        """Whether *text* holds the secret."""
        return stands_in(text, self.leak.secret)


def stands_in(text: str, secret: Secret) -> bool:
    """Whether *text* holds a secret in one of its spellings."""
    return bool(text) and any(spelling in text for spelling in spellings(secret.reveal()))


def absolute(path: str) -> str:
    """A member path of a layer as a container sees it."""
    return path if path.startswith("/") else f"/{path.removeprefix('./')}"
