"""What to write in place of an instruction that brought a file with a credential, or a URL with one, into an image.

The counterpart of `rewrite`, which moves values out of a command: here files come from mounts, and repositories and
downloads from the builder. All results are proposals in the words of the author's own steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from scanner.advice import chain
from scanner.advice.rewrite import Rewritten, holds, rewrite, run
from scanner.advice.shell import LONGEST, Kind, parts
from scanner.evidence import Secret
from scanner.image.instruction import Step

Clean = Callable[[str], str]

#: A URL with a user in front of its host, as far as the host.
_WITH_USER = re.compile(r"(?P<scheme>https?://)[^\s/@'\"]{1,2000}@")
#: A command of git that fetches a repository, with its operands.
GIT_FETCH = re.compile(r"\bgit\b[^;&|\n]{0,400}?\b(?:clone|fetch|pull|submodule|ls-remote)\b[^;&|\n]*")
_LONE_CLONE = re.compile(
    r"""git\ clone
    (?:\ (?:-q|--quiet|--single-branch|--no-tags|--depth[= ]\d+|(?:-b\ |--branch[= ])(?P<ref>[\w./-]+)))*
    \ (?P<quote>["']?)(?P<url>https?://[^\s'"]+?)(?:\.git)?/?(?P=quote)
    (?:\ (?P<folder>[\w./-]+))?""",
    re.VERBOSE,
)
#: a .netrc for tools that look into one, and how a build is given it
NETRC = "--mount=type=secret,id=netrc,target=/root/.netrc,required=true"
_NETRC_OPTION = "--secret id=netrc,src=$HOME/.netrc"
#: how a build is given the token that ADD of a repository takes (BuildKit knows it by its name)
GIT_OPTION = "--secret id=GIT_AUTH_TOKEN,env=GIT_AUTH_TOKEN"
#: Folders that tools keep for themselves between runs, the longest first; others are not what a cache mount is for.
_CACHES = re.compile(
    r"/(?:[^/]+/){0,3}(?:\.cache/[^/]+|\.npm|\.m2/repository|\.gradle/caches|\.cargo/registry|go/pkg/mod)(?=/)"
    r"|/var/cache/[^/]+(?=/)"
)
_SCRATCH = re.compile(r"/(?:var/log|var/tmp|tmp)(?=/)")
#: So many steps after the one that leaked are searched for the one that needs its file.
_FOLLOWING = 30


def repository(
    step: Step, secrets: Sequence[Secret], clean: Clean, *, variables: bool
) -> tuple[Rewritten | None, Rewritten | None]:
    """A RUN of git without the credential in its URL: the builder fetches (ADD), or git reads a mounted .netrc.

    git writes the URL that it clones into `.git/config`, so a variable in the URL would leak the same again.
    """
    if step.kind != "RUN" or not step.shell or len(step.command) > LONGEST:
        return None, None
    command = GIT_FETCH.sub(lambda words: _WITH_USER.sub(r"\g<scheme>", words[0]), step.command)
    if command == step.command:
        return None, None
    bare = replace(step, command=command, args=())
    left = [secret for secret in secrets if holds(command, [secret])]
    if left:
        return None, rewrite(bare, left, clean, variables=variables, mounts=(NETRC,))
    if clean(command) != command:
        return None, None
    mounted = Rewritten(run([NETRC, *map(clean, step.flags)], command), (_NETRC_OPTION,))
    return _added(command), mounted


def _added(command: str) -> Rewritten | None:
    """The ADD in place of a RUN that does nothing but clone; ADD of a repository is of Dockerfile 1.5."""
    clone = _LONE_CLONE.fullmatch(command.strip())
    if not clone:
        return None
    url = clone["url"]
    folder = clone["folder"] or url.rpartition("/")[2]
    ref = f"#{clone['ref']}" if clone["ref"] else ""
    return Rewritten(f"ADD {url}.git{ref} {folder}", (GIT_OPTION,))


def download(step: Step, clean: Clean) -> Rewritten | None:
    """An ADD without the credential in its URL, which the builder is given instead (BuildKit 0.23; git: 0.9)."""
    words = step.command.split()
    urls = [word for word in words if _WITH_USER.match(word)]
    if step.kind != "ADD" or len(urls) != 1:
        return None
    url = _WITH_USER.sub(r"\g<scheme>", urls[0])
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return None
    text = " ".join(["ADD", *step.flags, *(url if word == urls[0] else word for word in words)])
    if not host or clean(text) != text:
        return None
    if url.partition("#")[0].endswith(".git"):
        return Rewritten(text, (GIT_OPTION,))
    return Rewritten(text, (f"--secret id=HTTP_AUTH_HEADER_{host},env=HTTP_AUTH_HEADER",))


def unkept(step: Step, path: str, clean: Clean) -> Rewritten | None:
    """A RUN whose tool kept the credential in a file of its own, *path*: with a mount over it, or rid of it at once."""
    if step.kind != "RUN" or not step.shell or len(step.command) > LONGEST or clean(step.command) != step.command:
        return None
    flags = [clean(flag) for flag in step.flags]
    mount = mount_over(step.command, path)
    if mount:
        return Rewritten(run([mount, *flags], step.command), ())
    if _CACHES.match(path) or _SCRATCH.match(path):
        return None
    before = step.command.rstrip("; ")
    ends_otherwise = "\n" in before or before.endswith("&") or any(part.kind is Kind.COMMENT for part in parts(before))
    if not re.fullmatch(r"[\w./-]+", path) or ends_otherwise:
        return None
    return Rewritten(run(flags, f"{before} && rm -f {path}"), ())


def mount_over(command: str, path: str) -> str:
    """The mount that keeps what a tool leaves in a cache or scratch folder out of the layer; empty if none can."""
    cache, scratch = _CACHES.match(path), _SCRATCH.match(path)
    place = (cache or scratch or [""])[0]
    if not place or re.search(rf"\b(?:rm|rmdir|mv)\b[^;&|\n]{{0,400}}?{re.escape(place)}(?![\w.-])", command):
        return ""  # a mount point cannot be removed
    if scratch:
        return f"--mount=type=tmpfs,target={place}"
    shared = ",sharing=locked" if place.startswith("/var/cache/apt") else ""
    return f"--mount=type=cache,target={place}{shared}"


@dataclass(frozen=True, slots=True)
class User:
    """The RUN that needs a file that an earlier step copied.

    *at* is its number among the steps that were given. The *others* name the file as well: their instructions with the
    mount, by their numbers, of those that can be rewritten.
    """

    at: int
    rewritten: Rewritten
    others: Mapping[int, str] = field(default_factory=dict)


def user_of(
    following: Sequence[Step], path: str, mount: Callable[[str], str], option: str, clean: Clean, *, named: bool = False
) -> User | None:
    """The RUN that needs the file *path*, with *mount* for its user in place of what an earlier step copied.

    That is the first of the *following* RUNs that names the file, else, unless it must be *named*, the first that runs
    a tool which looks for such a file; where no tool is known, that does anything but put files in their places.
    Commands that remove the file, change its mode or whose it is go: a mount has no use for the one and refuses the
    others; where one stands in a way that it cannot be told what would be left, there is no such RUN. Nor is there one
    where a step moves or copies the file: what is mounted there would be in a layer again, and a mount cannot be moved.
    """
    if moved_by(following, path):
        return None
    chains = [(at, step) for at, step in enumerate(following[:_FOLLOWING]) if chain.plain(step)]
    likely = [(at, step) for at, step in chains if chain.named(step.command, path)]
    for number, (at, step) in enumerate(likely if named else [*likely, *chains]):
        rest = chain.without_care(step.command, path)
        if not (chain.named(rest, path) if number < len(likely) else chain.reads(rest, path)):
            continue
        if not chain.arranges(rest) and clean(step.command) == step.command:
            if chain.tends(rest, path):
                return None
            others = _naming([each for each in likely if each[0] != at], path, mount, clean)
            return User(at, Rewritten(run([mount(step.user), *map(clean, step.flags)], rest), (option,)), others)
    return None


def _naming(
    steps: Sequence[tuple[int, Step]], path: str, mount: Callable[[str], str], clean: Clean
) -> dict[int, str]:
    """Those of numbered *steps* that need the file *path* and can be rewritten, with *mount*."""
    found = {}
    for at, step in steps:
        rest = chain.without_care(step.command, path)
        if chain.named(rest, path) and not (chain.arranges(rest) or chain.tends(rest, path)) and clean(rest) == rest:
            found[at] = run([mount(step.user), *map(clean, step.flags)], rest)
    return found


def user_of_key(following: Sequence[Step], path: str, option: str, clean: Clean) -> User | None:
    """The RUN that logs in with the private key *path*, with an agent in place of the key.

    An agent answers for a key, it provides no file: the RUN must talk ssh, or look after the file in other parts of
    its chain than those that do the work.
    """
    if moved_by(following, path):
        return None
    for at, step in enumerate(following[:_FOLLOWING]):
        if not chain.plain(step) or clean(step.command) != step.command:
            continue
        rest = chain.without_care(step.command, path)
        if chain.tends(rest, path):  # which needs the file
            return None
        tended = chain.named(step.command, path) and not chain.named(rest, path) and not chain.arranges(rest)
        if tended or chain.over_ssh(rest):
            return User(at, Rewritten(run(["--mount=type=ssh", *map(clean, step.flags)], rest), (option,)))
    return None


def moved_by(following: Sequence[Step], path: str) -> Step | None:
    """The first of the RUNs that puts the file *path* into its own layer again, by copying or moving it."""
    runs = (step for step in following[:_FOLLOWING] if step.kind == "RUN" and len(step.command) <= LONGEST)
    return next((step for step in runs if chain.keeps(step.command, path)), None)


def needing(following: Sequence[Step], path: str) -> set[int]:
    """The numbers of the RUNs that name the file *path* and do not only look after it."""
    runs = ((at, step) for at, step in enumerate(following[:_FOLLOWING]) if step.kind == "RUN")
    rests = ((at, chain.without_care(step.command, path) if chain.plain(step) else step.command) for at, step in runs)
    return {at for at, rest in rests if chain.named(rest, path)}


def removals(following: Sequence[Step], path: str) -> dict[int, str]:
    """The steps that remove the file *path*, or change its mode or whose it is, by their number, each with what is
    left of it.

    Without the file they would fail; nothing is left of those that do no more than that.
    """
    found = {}
    for at, step in enumerate(following[:_FOLLOWING]):
        if chain.plain(step):
            rest = chain.without_care(step.command, path)
            if rest != step.command.strip():
                found[at] = rest
    return found
