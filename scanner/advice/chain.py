"""What the commands of a RUN do with a file that an earlier step brought in.

Read by their first words and operands alone, which is enough to tell a step that needs a file from one that only keeps
it: moves it, copies it, links it, packs it or changes whose it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import chain

from scanner.image.instruction import Step

#: Longer commands, or parts of a chain, are left alone; nobody wrote them by hand.
LONGEST, LONGEST_PART = 16384, 2000
_SEPARATOR = re.compile(r"(&&|;)")
_COMMANDS = re.compile(r"&&|\|\||[;&|()\n`]|\$\(")
_PIPELINES = re.compile(r"&&|\|\||[;()\n]")
_OPERANDS = r"((?:\s+[^\s;&|<>(){}$`'\"*?\\#]+)+)"
_FLAGS = r"(?:\s+-[\w-]+)*"  # a word in one way only, or hostile ones would be tried in all
_MODE = r"(?:0?[0-7]{3,4}|[ugoa]*[-+=][rwxXst]*(?:,[ugoa]*[-+=][rwxXst]*){0,4})"
_OWNER = r"(?:[\w.-]+(?::[\w.-]*)?|:[\w.-]+)"
#: Commands that only look after a file: remove it, change its mode or whose it is. A mount needs and allows neither.
_TENDS = re.compile(
    rf"(?:(?:rm|shred){_FLAGS}|chmod{_FLAGS}\s+{_MODE}|(?:chown|chgrp){_FLAGS}\s+{_OWNER})(?=\s){_OPERANDS}"
)
_TENDERS = frozenset(["rm", "rmdir", "shred", "chmod", "chown", "chgrp"])
_TRANSFERS = frozenset(["cp", "mv", "ln", "install", "link", "rename"])
_PACKERS = frozenset(["tar", "zip", "cpio", "rsync", "scp", "dd", "tee"])
_READERS = frozenset(["cat", "head", "tail", "sed", "awk", "grep", "cut", "tr", "base64", "envsubst",
                      "gzip", "openssl"])
#: Commands that put files in their places and need none of them.
_ARRANGES = _TRANSFERS | _TENDERS | {"mkdir", "touch", "cd", "set", "true", ":", "echo", "printf", "ls", "test", "["}
#: After these words a command still follows.
_PREFIXES = frozenset(["sudo", "env", "exec", "time", "nice", "busybox", "command", "then", "do", "else", "if", "while",
                       "!", "{", "sh", "bash", "/bin/sh", "xargs"])  # fmt: skip
#: Tools that look for settings in files of these names without being told of them; scripts may run them as well.
_SCRIPTS = r"make|\w+\.(?:sh|py)|sh"
_TOOLS = {
    name: f"{tools}|{_SCRIPTS}"
    for name, tools in {
        ".npmrc": "npm|npx|yarn|pnpm|node|corepack|bun",
        ".yarnrc": "yarn",
        ".yarnrc.yml": "yarn",
        ".netrc": r"curl|wget|git|pip[\d.]*|python[\d.]*|pipenv|poetry|uv|go|bazel|fetch",
        "pip.conf": r"pip[\d.]*|python[\d.]*|pipenv|poetry|uv",
        ".pypirc": r"twine|python[\d.]*|poetry|flit|hatch",
        ".git-credentials": r"git|go|npm|yarn|pip[\d.]*|composer|cargo|bundle",
        "settings.xml": "mvnw?|maven",
        "auth.json": "composer|php",
        ".gemrc": "gem|bundle",
        "NuGet.Config": "dotnet|nuget",
        "nuget.config": "dotnet|nuget",
    }.items()
}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_WRITTEN_TO = re.compile(r">{1,2}\s{0,9}([^\s;&|<>]+)")
_OVER_SSH = re.compile(r"\bgit@|\bssh://|(?<![\w./-])(?:ssh|scp|sftp|rsync)\s")
_OWN_KEY = re.compile(r"(?<![\w./-])ssh-(?:add|keygen)\b")


def plain(step: Step) -> bool:
    """Whether a step is a chain of commands in one line."""
    return step.kind == "RUN" and step.shell and "\n" not in step.command and len(step.command) <= LONGEST


def named(command: str, path: str) -> bool:
    """Whether a command names the file *path*, by its last part."""
    name = path.rpartition("/")[2]
    return name in command and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", command) is not None


def uses(command: str, variable: str) -> bool:
    """Whether the text of a command names a variable."""
    return re.search(rf"\$(?:{variable}(?!\w)|\{{#?{variable}\b)", command) is not None


def reads(command: str, path: str) -> bool:
    """Whether a command runs a tool that finds the file *path* by its usual name; any may where no tool is known."""
    tools = _TOOLS.get(path.rpartition("/")[2])
    return tools is None or re.search(rf"(?<![\w.-])(?:{tools})(?![\w-])", command) is not None


def over_ssh(command: str) -> bool:
    """Whether a command talks ssh and would do so with the keys of an agent."""
    return _OVER_SSH.search(command) is not None and _OWN_KEY.search(command) is None


@dataclass(frozen=True, slots=True)
class _Commands:
    """A chain of commands, taken apart.

    Attributes:
        pipelines: the words of each simple command, by the pipe that they are in.
        written: what is redirected into.
    """

    pipelines: tuple[tuple[tuple[str, ...], ...], ...] = field(repr=False)
    written: tuple[str, ...] = field(repr=False)

    @property
    def simple(self) -> Iterator[tuple[str, ...]]:
        """The words of each simple command, the program first."""
        return chain.from_iterable(self.pipelines)


@lru_cache(maxsize=512)  # every finding of a layer asks about the same steps after it
def _parsed(command: str) -> _Commands:
    pipelines = (tuple(_simple(pipeline)) for pipeline in _PIPELINES.split(command))
    return _Commands(tuple(filter(None, pipelines)), tuple(map(_bare, _WRITTEN_TO.findall(command))))


def arranges(command: str) -> bool:
    """Whether a command does no more than put files in their places, or say something."""
    return all(words[0].rpartition("/")[2] in _ARRANGES for words in _parsed(command).simple)


def keeps(command: str, path: str) -> bool:
    """Whether a command would put the file *path*, or what is in it, into its layer again, or wants to write to it."""
    parsed = _parsed(command)
    return (
        any(_keeps(words, path) for words in parsed.simple)
        or any(_same(target, path) for target in parsed.written)
        or any(_piped(pipeline, path) for pipeline in parsed.pipelines if len(pipeline) > 1)
    )


def tends(command: str, path: str) -> bool:
    """Whether a command removes the file *path*, or changes its mode or whose it is."""
    name = path.rpartition("/")[2]
    simple = (words for words in _parsed(command).simple if words[0].rpartition("/")[2] in _TENDERS)
    operands = chain.from_iterable(words[1:] for words in simple)
    return any(_holds(word, path) if word.startswith("/") else _is(word, name) for word in operands)


def _keeps(words: Sequence[str], path: str) -> bool:
    program, operands = words[0].rpartition("/")[2], [word for word in words[1:] if not word.startswith("-")]
    if program in _TRANSFERS:  # the last operand is the place to put it, where it is no option's
        sources = operands if any(word.startswith(("-t", "--target-directory")) for word in words) else operands[:-1]
        return any(_holds(word, path) for word in sources) or any(_same(word, path) for word in operands)
    if program in _PACKERS:
        packs = program != "tar" or any("c" in word for word in words[1:2])  # else it unpacks, into a folder
        return any(_same(word.partition("=")[2] or word, path) or (packs and _holds(word, path)) for word in operands)
    if program in _READERS:
        in_place = program == "sed" and any(word.startswith(("-i", "--in-place")) for word in words)
        return (in_place or _redirected(words)) and any(_same(word, path) for word in operands)
    return False


def _piped(pipeline: Sequence[Sequence[str]], path: str) -> bool:
    """Whether what is in the file *path* runs through a pipe, unchanged or nearly so, into another one."""
    flows = False
    for words in pipeline:
        reads = words[0].rpartition("/")[2] in _READERS
        if flows and (words[0] == "tee" or (reads and _redirected(words))):
            return True
        flows = reads and (flows or any(_same(word, path) for word in words[1:]))
    return False


def _redirected(words: Sequence[str]) -> bool:
    """Whether what a command prints goes into a file of the layer."""
    return any(not target.startswith(("/dev/", "&")) for target in _WRITTEN_TO.findall(" ".join(words)))


def _simple(command: str) -> Iterator[tuple[str, ...]]:
    """The words of each simple command, from the program on; quotes are dropped, wherever they stand."""
    for part in _COMMANDS.split(command):
        words = [word for word in map(_bare, part.split()) if word]
        while words and (words[0] in _PREFIXES or _ASSIGNMENT.match(words[0]) or words[0].startswith("-")):
            words = words[1:]
        if words:
            yield tuple(words)


def _bare(word: str) -> str:
    return word.strip("'\"")


def _same(word: str, path: str) -> bool:
    """Whether a word may be the very file *path*, also by a pattern or from a folder that is not known."""
    if word.startswith("/"):
        return fnmatchcase(path, word)
    return fnmatchcase(path.rpartition("/")[2], word.rpartition("/")[2] or word)


def _holds(word: str, path: str) -> bool:
    """Whether a word may be the file *path* or a folder that it lies in."""
    folder = word.rstrip("/").removesuffix("/.")
    if not folder.startswith("/"):
        return folder in ("", ".", "*") or _same(word, path) or f"/{folder.removeprefix('./')}/" in path
    return _same(word, path) or path.startswith(f"{folder}/") or fnmatchcase(path, f"{folder}/*")


def without_care(command: str, path: str) -> str:
    """*command* without the parts of its chain that only remove *path*, or change its mode or whose it is."""
    name = path.rpartition("/")[2]
    if name not in command:
        return command.strip()
    parts = _SEPARATOR.split(command)
    kept: list[str] = []
    quotes = [0, 0]
    for at in range(0, len(parts), 2):
        part, quoted = parts[at], any(count % 2 for count in quotes)
        quotes = [count + part.count(quote) for count, quote in zip(quotes, "'\"", strict=True)]
        found = _TENDS.fullmatch(part.strip()) if len(part) <= LONGEST_PART and not quoted else None
        if found:
            operands = found[1].split()
            others = [word for word in operands if word.strip("/") != path.strip("/") and not _is(word, name)]
            if not others:
                continue
            if len(others) < len(operands):
                part = part.replace(found[1], f" {' '.join(others)}")
        kept += [parts[at - 1], part] if kept else [part]
    return "".join(kept).strip()


def _is(word: str, name: str) -> bool:
    """Whether a word that is no absolute path may be the file of that name."""
    return not word.startswith("/") and word.rpartition("/")[2] == name
