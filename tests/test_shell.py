"""Commands as a shell reads them, and commands with variables in place of secrets, which must do the same as before."""

from __future__ import annotations

import os
import random
import re
import subprocess
import time
from pathlib import Path

import pytest

from scanner.advice.chain import without_care
from scanner.advice.rewrite import rewrite
from scanner.advice.shell import Kind, parts, read
from scanner.evidence import Secret
from scanner.image.instruction import Step

FIRST, SECOND = "one-fake-value", "two-fake-value"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("a 'b' \"c\" \\' d", [("'b'", Kind.SINGLE), ('"c"', Kind.DOUBLE)]),
        ("\"a $(b 'c' \"d\")\"", [
            ("\"a $(b 'c' \"d\")\"", Kind.DOUBLE), ("$(b 'c' \"d\")", Kind.COMMAND), ("'c'", Kind.SINGLE),
            ('"d"', Kind.DOUBLE)]),
        ("a `b \"c\"` 'd'", [("`b \"c\"`", Kind.BACKQUOTES), ('"c"', Kind.DOUBLE), ("'d'", Kind.SINGLE)]),
        ("$(a (b) 'c') 'd'", [("$(a (b) 'c')", Kind.COMMAND), ("'c'", Kind.SINGLE), ("'d'", Kind.SINGLE)]),
        ("a#b $# '#' # don't\n'c'", [("'#'", Kind.SINGLE), ("# don't", Kind.COMMENT), ("'c'", Kind.SINGLE)]),
        ("a <<A <<-'B' 'c'\nit's\nA\n\t'\n\tB\n'd'", [
            ("'c'", Kind.SINGLE), ("it's\nA\n\t'\n\tB\n", Kind.DOCUMENT), ("'d'", Kind.SINGLE)]),
        ("a <<< 'b'\n'c'", [("'b'", Kind.SINGLE), ("'c'", Kind.SINGLE)]),
        ("a 'b", [("'b", Kind.SINGLE)]),
        ("a \"$(b", [('"$(b', Kind.DOUBLE), ("$(b", Kind.COMMAND)]),
    ],
)  # fmt: skip
def test_parts_of_a_command(command: str, expected: list[tuple[str, Kind]]) -> None:
    """Quotes begin anew within a substitution; in comments, here-documents and behind a backslash they are none."""
    found = [(command[part.start : part.end], part.kind) for part in parts(command)]

    assert found == expected


@pytest.mark.parametrize(
    ("command", "lists"),
    [
        ("a 'b c' && d|e;", [[(["a", "b c"], "&&"), (["d"], "|"), (["e"], ";"), ([], "")]]),
        ("if a; then\nb; fi\n\nc", [[(["if", "a"], ";"), (["then", "b"], ";"), (["fi"], "\n"), (["c"], "")]]),
        ("(a) 2>&1 > 'f' && b \\\nc\\ d", [[([], "("), (["a"], ")"), ([], "&&"), (["b", "c d"], "")]]),
        ("a \"x$(b; c)\" `d`", [[(["a", "x$(b; c)", "`d`"], "")], [(["b"], ";"), (["c"], "")], [(["d"], "")]]),
        ("a <<E # b\nc; d\nE\ne${f:-g h}", [[(["a"], "\n"), (["e${f:-g h}"], "")]]),
        ("a \"b \\\" \\$c \\d\"", [[(["a", 'b " $c \\d'], "")]]),
    ],
)
def test_simple_commands(command: str, lists: list[list[tuple[list[str], str]]]) -> None:
    """Each has its words without quotes, and the operator that ends it; those of a substitution are a list apart."""
    found = [
        [([word.text for word in one.words], one.behind.text if one.behind else "") for one in each]
        for each in read(command).lists
    ]

    assert found == lists


@pytest.mark.parametrize("hostile", ['"$(', "`", "(", "$(a;", '"`', "<<a ", "\\", "${", "1 "])
def test_reading_takes_time_that_grows_with_the_length(hostile: str) -> None:
    """However deep substitutions and quotes lie within each other."""
    started = time.process_time()

    read(hostile * (16_384 // len(hostile)))

    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        ("show \"$(TOK={} make)\"", 'show "$(make)"'),
        ("v=$(export TOK={}; curl $TOK)", "v=$(curl $TOK)"),
        ("v=`TOK={} make`; show $v", "v=`make`; show $v"),
    ],
)
def test_assignments_in_substitutions(command: str, rest: str) -> None:
    """They go as others do: what stays of an export without names would print every variable."""
    found = rewrite(Step("RUN", command.format(FIRST), shell=True), [Secret(FIRST.encode())], str)

    assert found is not None and commands_of(found.dockerfile) == rest and found.names == ("TOK",)


class Author(random.Random):
    """Writes commands that print their words; TOK and KEY have one value each."""

    def word(self, depth: int) -> str:
        """A word, mostly with a secret."""
        secret = self.choice((FIRST, FIRST, SECOND))
        plain = ["a", "x=y", "'it is'", '"#"', "\\'", f"--token={secret}", f"'h: {secret}'", f'"h: {secret}"', secret,
                 f"'{secret}'\"{secret}\"", f"a{secret}b", f'"a \\" {secret}"', f'"{secret}"']  # fmt: skip
        within = [f'"$({self.command(depth + 1)})"', f"$({self.command(depth + 1)})"] if depth < 2 else []
        return self.choice(plain + 2 * within)

    def command(self, depth: int = 0) -> str:
        """A command, or an assignment and one."""
        before = self.choice(("", "", f"TOK={FIRST} ", f"export TOK='{FIRST}' && ", f'A=1 TOK="{FIRST}" ',
                              f"export TOK={FIRST} KEY={SECOND}; ", f"KEY={SECOND}; "))  # fmt: skip
        return f"{before}show {' '.join(self.word(depth) for _ in range(self.randrange(1, 4)))}"

    def chain(self) -> str:
        """A few of them, as they stand in a RUN."""
        text = self.command()
        for _ in range(self.randrange(3)):
            text += self.choice((" && ", "; ", " || true; ", " | cat; ", "\n", "    && ")) + self.command()
        shape = self.choice(("{}", "{}", "({})", "if true; then {}; fi", "{{ {}; }}", "# don't\n{}",
                             "{} # it's " + FIRST, f"cat <<E\nit is\nE\n{{}} {SECOND}"))  # fmt: skip
        return shape.format(text)


@pytest.mark.parametrize("seed", range(150))
def test_what_is_rewritten_does_the_same(seed: int, tmp_path: Path) -> None:
    """Run by a shell, with the variables set, a command prints what it did before, and nothing else."""
    show = tmp_path / "show"
    show.write_text('#!/bin/sh\nfor each in "$@"; do printf "[%s]" "$each"; done\n')
    show.chmod(0o755)
    command = Author(seed).chain()
    values = [value for value in (FIRST, SECOND) if value in command]

    found = rewrite(Step("RUN", command, shell=True), [Secret(value.encode()) for value in values], str)

    if not values:
        assert found is None
        return
    assert found is not None and not any(value in found.dockerfile for value in values)
    variables = {name: secret.reveal().decode() for name, secret in zip(found.names, found.secrets, strict=True)}
    assert ran(tmp_path, commands_of(found.dockerfile), variables) == ran(tmp_path, command, {}), found.dockerfile


FILE = "/root/.npmrc"
TENDING = ("rm -f", "shred", "chmod 600", "chmod -v u+r", "chown app:app", "chgrp app")


def tending(chance: random.Random) -> str:
    """A command that looks after the file, and perhaps others, as people write it."""
    own = chance.choice((FILE, f"'{FILE}'", f'"{FILE}"', "$HOME/.npmrc", '"${HOME}/.npmrc"', "/root/.npm'rc'"))
    operands = chance.choice(([own], [own], [own, "/a"], ["'/a'", own, own], ["/a"], ["'/a b'", own]))
    return f"{chance.choice(TENDING)} {' '.join(operands)}"


@pytest.mark.parametrize("seed", range(100))
def test_without_the_care_for_a_file_a_command_does_the_same(seed: int, tmp_path: Path) -> None:
    """Run by a shell, what is left of a chain calls the same programs with the same words, but for the file's."""
    chance = random.Random(seed)
    for name in ("show", *{each.split()[0] for each in TENDING}):
        stub = tmp_path / name
        stub.write_text('#!/bin/sh\nprintf "%s" "${0##*/}"; for each in "$@"; do printf "[%s]" "$each"; done; echo\n')
        stub.chmod(0o755)
    others = ("show 'a;b' \"&& c\"", "show a", "(show b; rm x)", "show \"$(show c && rm d)\"", f"show '; rm {FILE} ;'")
    parts = [chance.choice((tending(chance), chance.choice(others))) for _ in range(chance.randrange(1, 6))]
    separators = [chance.choice((" && ", ";", " ;  ", " || ", " | cat; ")) for _ in parts[1:]]
    command = "".join([parts[0], *(f"{sign}{part}" for sign, part in zip(separators, parts[1:], strict=True))])

    left = without_care(command, FILE)

    before, after = (called(tmp_path, each) for each in (command, left or ":"))
    assert after == before, left


def called(folder: Path, command: str) -> list[str]:
    """What a command calls, without the operand that is the file and without calls that have no other operand."""
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": "/root"}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, timeout=20, check=True)
    assert not done.stderr
    lines = [line.replace(f"[{FILE}]", "") for line in done.stdout.decode().splitlines()]
    nothing = re.compile(r"(?:rm|shred|ch\w+)(?:\[(?:-\w+|600|u\+r|app:app|app)\])*")
    return [line for line in lines if not nothing.fullmatch(line)]


def commands_of(instruction: str) -> str:
    """What the shell is given of a RUN with mounts."""
    text = re.sub(r"^RUN (?:--mount=\S+(?: \\\n)?\s*)*", "", instruction)
    document = re.match(r"<<(EOT+)\n(.*)\n\1\Z", text, re.DOTALL)
    return document[2] if document else text


def ran(folder: Path, command: str, variables: dict[str, str]) -> tuple[int, bytes]:
    """The exit code and what a command prints."""
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", **variables}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, timeout=20, check=False)
    return done.returncode, done.stdout + done.stderr
