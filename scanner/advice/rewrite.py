"""Rewrites a RUN that holds credentials so that they come from secret mounts instead.

The result is a proposal in the words of the author's own step: assignments leave the command, literals become
variables, and a mount sets both. `--mount=type=secret,env=` sets variables by itself (Dockerfile 1.10, BuildKit 0.16);
for older frontends and other builders the command reads them from the mounted files first.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from scanner.advice.shell import LONGEST, OPENERS, Edit, Kind, Part, Simple, Word, around, edited, parts, read
from scanner.evidence import Secret
from scanner.image.instruction import Step
from scanner.secrecy.redact import spellings

#: Shorter secrets cannot be told from ordinary letters of a command.
_SHORTEST = 4
_MOST_OCCURRENCES = 200
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_LITERAL = re.compile(r"'[^']*'|[^$`]*")
_INDENTED = re.compile(r"(?<=[^ \t])(?: {3,}| {0,9}\t[ \t]*)(?=[^ \t])")
_LABEL_BEFORE = re.compile(
    r"""(?: --?([A-Za-z][\w-]{2,39})[= ] | ([A-Za-z_][\w.-]{2,39})= | ([A-Za-z][\w-]{2,39}):[ ] )["']?$""", re.VERBOSE
)
_SCHEME_BEFORE = re.compile(r"(?<![\w-])(?:bearer|basic|token) [\"']?$", re.IGNORECASE)
_URL_BEFORE = re.compile(r"://[^\s/@]{0,200}$")
#: Words that end the list of a compound command.
_CLOSERS = frozenset(["fi", "done", "else", "elif", "}", "esac"])
#: After these words a command, or another assignment, still follows.
_PREFIXES = OPENERS | {"export", "env", "!", "time"}


@dataclass(frozen=True, slots=True)
class Rewritten:
    """An instruction without its credentials.

    Attributes:
        dockerfile: the instruction, possibly of several lines.
        options: what the build command must be given for it.
        names: of the variables that its mounts set.
        secrets: what each of the variables holds, a value or what is around one.
        uncommented: whether a comment went that held one.
    """

    dockerfile: str
    options: tuple[str, ...]
    names: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    uncommented: bool = False


def rewrite(
    step: Step,
    secrets: Sequence[Secret],
    clean: Callable[[str], str],
    *,
    variables: bool = True,
    mounts: tuple[str, ...] = (),
) -> Rewritten | None:
    """*step* with every one of *secrets* moved into a mount; None if that cannot be done safely by rule.

    That is: no RUN, no secret in it, one in the body of a nested heredoc, or too long. The order of *secrets* does not
    matter: names are given in the order of the text, so that all findings of a step have one and the same instruction.
    A comment that holds one is dropped.

    Args:
        clean: redacts what is left of the author's words.
        variables: mounts can set variables; else the command reads them from files, which takes a shell.
        mounts: further flags of the RUN.
    """
    held = sorted((secret for secret in secrets if len(secret) >= _SHORTEST), key=partial(_where, step))
    spelled = [_spellings(secret) for secret in held]
    if step.kind != "RUN" or not spelled or len(step.command) > LONGEST:
        return None
    every = frozenset().union(*spelled)
    if sum(step.command.count(spelling) for spelling in every) > _MOST_OCCURRENCES:
        return None
    if _holds(step.command, every) and not (step.shell and _is_replaceable(step.command, every)):
        return None
    text = edited(step.command, _drop_comments(step.command, every)) if step.shell else step.command
    names = {name: value for name, value in step.args if _holds(value, every)}
    edits = _drop_assignments(text, every, names)
    edits += _use_variables(text, spelled, edits, names)
    command, uncommented = edited(text, edits).strip(), text != step.command
    if not command or not (names or uncommented):
        return None
    if _holds(command, every) or any(clean(name) != name for name in names):
        return None
    if not variables and not step.shell:
        return None
    flags = [secret_mount(name, step.user, variables) for name in names] + [*mounts, *map(clean, step.flags)]
    reading = [] if variables else [f'export {name}="$(cat /run/secrets/{name.lower()})"' for name in names]
    options = tuple(f"--secret id={name.lower()},env={name}" for name in names)
    of = tuple(next(secret for secret, ways in zip(held, spelled, strict=True) if _holds(value, ways))
               for value in names.values())  # fmt: skip
    return Rewritten(run(flags, clean(command), reading), options, tuple(names), of, uncommented)


def _where(step: Step, secret: Secret) -> tuple[int, int, bytes]:
    """Where a secret stands first in a step, in the command or else in the build arguments; of two, the longer one."""
    text = "\n".join([step.command, *(value for _, value in step.args)])
    places = [at for at in map(text.find, _spellings(secret)) if at >= 0]
    return min(places, default=len(text)), -len(secret), secret.order


def secret_mount(name: str, user: str, variables: bool) -> str:
    """The flag of a RUN, run as *user*, that sets a variable, or mounts the file that its command reads."""
    how = f",env={name}" if variables else readable(user)
    return f"--mount=type=secret,id={name.lower()}{how},required=true"


def readable(user: str) -> str:
    """What lets *user* read a mounted file, which is root's own unless the flag says otherwise; empty for root.

    Whose number is not known is given the file with everybody else: nobody else is in that container.
    """
    number = user.partition(":")[0]
    return f",uid={number}" if re.fullmatch(r"[0-9]{1,10}", number) else ",mode=0444" if user else ""


def _spellings(secret: Secret) -> frozenset[str]:
    return frozenset(spelling for spelling in spellings(secret.reveal()) if len(spelling) >= _SHORTEST)


def holds(text: str, secrets: Sequence[Secret]) -> bool:
    """Whether one of *secrets*, in any spelling, stands in *text*."""
    return any(_holds(text, _spellings(secret)) for secret in secrets)


def _holds(text: str, spelled: frozenset[str]) -> bool:
    return any(spelling in text for spelling in spelled)


def _is_replaceable(command: str, spelled: frozenset[str]) -> bool:
    """Whether quotes mean something wherever a secret stands: not so in the body of a heredoc, and shells disagree on
    those between backquotes within double quotes."""
    found = parts(command)
    places = (place.start() for spelling in spelled for place in re.finditer(re.escape(spelling), command))
    kinds = ({part.kind for part in around(found, at)} for at in places)
    return not any(Kind.DOCUMENT in each or {Kind.DOUBLE, Kind.BACKQUOTES} <= each for each in kinds)


def _drop_comments(command: str, spelled: frozenset[str]) -> list[Edit]:
    """Remove the shell's comments that hold a secret, with the blanks before them: no command misses them."""
    comments = (part for part in parts(command) if part.kind is Kind.COMMENT)
    return [
        Edit(len(command[: part.start].rstrip(" \t")), part.end, "")
        for part in comments
        if _holds(command[part.start : part.end], spelled)
    ]


def _drop_assignments(command: str, spelled: frozenset[str], names: dict[str, str]) -> list[Edit]:
    """Remove `NAME=secret` where a command may begin; *names* gains what was removed, with its value."""
    edits: list[Edit] = []
    lists = read(command).lists
    values = _values(command)
    for one, following in (pair for each in lists for pair in zip(each, [*each[1:], None], strict=True)):
        assigned = ((word, name, value) for word, name, value in _assigned(one.words) if _holds(value, spelled))
        held = {
            word: (name, value)
            for word, name, value in assigned
            # a variable of another value elsewhere cannot have one from a mount, nor one that a shell makes
            if values[name] == {value} and names.get(name, value) == value
            and _LITERAL.fullmatch(word.written[len(name) + 1 :])
        }
        if not held:
            continue
        if not one.redirections and all(word in held or word.written in _PREFIXES for word in one.words):
            whole = _without(command, one, following)
            if whole is None:
                continue
            edits.append(whole)
        else:
            edits += [Edit(word.start, _past_blanks(command, word.end), "") for word in held]
        names.update(held.values())
    return edits


def _values(command: str) -> dict[str, set[str]]:
    """The variables that a command assigns, each with its values."""
    found: dict[str, set[str]] = {}
    for one in itertools.chain.from_iterable(read(command).lists):
        for _, name, value in _assigned(one.words):
            found.setdefault(name, set()).add(value)
    return found


def _assigned(words: Sequence[Word]) -> Iterator[tuple[Word, str, str]]:
    """The assignments that a simple command begins with: the word, its name and its value."""
    for word in words:
        found = _ASSIGNMENT.match(word.written)
        if found is None and word.written not in _PREFIXES:
            return
        if found is not None:
            yield word, found[1], word.text[found.end() :]


def _without(command: str, one: Simple, following: Simple | None) -> Edit | None:
    """The edit that removes a whole command, with the operator before or behind it; None if what is left would be no
    command, or would run in other cases."""
    own = [word for word in one.words if word.written not in OPENERS]
    start, end = own[0].start, own[-1].end
    opens = len(own) < len(one.words)
    before = "" if one.before is None or opens else one.before.text
    behind = "" if one.behind is None else one.behind.text
    if before not in ("", "&&", ";", "\n", "(", "&") or behind not in ("", "&&", ";", "\n"):
        return None
    ends_line = before == ";" and behind in ("", "\n")  # behind which a here-document may begin
    if one.before is not None and (ends_line or (before == "&&" and behind != "&&")):
        return Edit(len(command[: one.before.start].rstrip()), end, "")
    within = opens or before == "("
    if within and (following is None or not following.words or following.words[0].written in _CLOSERS):
        return None
    return Edit(start, _past_blanks(command, end if one.behind is None else one.behind.end), "")


def _past_blanks(command: str, at: int) -> int:
    return at + len(command[at:]) - len(command[at:].lstrip(" \t"))


def _use_variables(
    command: str, spelled: Sequence[frozenset[str]], done: Sequence[Edit], names: dict[str, str]
) -> list[Edit]:
    """Replace secrets that stand elsewhere in the command by variables; *names* gains the variables."""
    quotes = parts(command)
    taken = [(edit.start, edit.end) for edit in done]
    assigned = _values(command).keys() - names.keys()
    edits = []
    for of_one in spelled:
        variable = next((name for name, value in names.items() if value in of_one), "")
        for spelling in sorted(of_one, key=len, reverse=True):
            for found in re.finditer(re.escape(spelling), command):
                start, end = found.span()
                if any(start < stop and begin < end for begin, stop in taken):
                    continue
                if not variable:
                    variable = _variable(command[:start], names.keys() | assigned)
                    names[variable] = spelling
                taken.append((start, end))
                edits.append(_reference(start, end, quotes, variable))
    return edits


def _variable(before: str, known: Collection[str]) -> str:
    """A variable that is not *known*, named after what stands before the secret."""
    label = _LABEL_BEFORE.search(before[-60:])
    if _URL_BEFORE.search(before[-220:]):
        wanted = "URL_PASSWORD"
    elif _SCHEME_BEFORE.search(before[-20:]):
        wanted = "AUTH_TOKEN"
    elif label:
        wanted = re.sub(r"[^A-Z0-9]+", "_", (label[1] or label[2] or label[3]).upper()).strip("_")
    else:
        wanted = "BUILD_SECRET"
    name, number = wanted, 1
    while name in known:
        number += 1
        name = f"{wanted}_{number}"
    return name


def _reference(start: int, end: int, quotes: Sequence[Part], variable: str) -> Edit:
    """The edit that puts *variable* in place of a secret, so that the shell expands it whatever the quotes around."""
    *_, quote = None, *around(quotes, start)
    if quote is not None and quote.kind is Kind.DOUBLE:
        return Edit(start, end, f"${{{variable}}}")
    if quote is None or quote.kind is not Kind.SINGLE:
        return Edit(start, end, f'"${variable}"')
    # Single quotes expand nothing: leave them before the variable and enter them again after it.
    opens, closes = quote.start + 1 == start, quote.end - 1 == end
    text = f'"${variable}"' if opens else f'\'"${variable}"'
    return Edit(start - opens, end + closes, text if closes else f"{text}'")


def run(flags: Sequence[str], command: str, before: Sequence[str] = ()) -> str:
    """A RUN as a person would write it: a flag a line, commands that go *before*, a heredoc for several lines."""
    if "\n" not in command:
        return "RUN " + " \\\n    ".join([*flags, *(f"{line} &&" for line in before), *_lines(command)])
    head = " ".join(["RUN", *([" \\\n    ".join(flags)] if flags else [])])
    end = "EOT"
    while end in command.split("\n"):
        end += "T"
    return "\n".join([f"{head} <<{end}", *before, command.rstrip("\n"), end])


def _lines(command: str) -> list[str]:
    """A command's lines as its author broke them: where a line went on, history has the blanks that indented it."""
    kept = [part for part in parts(command) if part.kind not in (Kind.COMMAND, Kind.BACKQUOTES)]
    lines, done = [], 0
    for blanks in _INDENTED.finditer(command):
        if not any(around(kept, blanks.start())):
            lines.append(command[done : blanks.start()])
            done = blanks.end()
    return [*lines, command[done:]]
