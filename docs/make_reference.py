"""Writes docs/options.md and docs/leakscan.1 from the commands' own help: `make docs`.

A test holds both to what the program says, so nobody edits them by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from scanner import __version__
from scanner.cli.main import cli

FOLDER = Path(__file__).parent
EXIT_CODES = (
    ("0", "every byte accounted for, and nothing gated found"),
    ("1", "gated findings; the report still lists every gap"),
    ("2", "wrong usage"),
    ("3", "the scan could not be done or is incomplete, and nothing gated was found; --allow-incomplete makes an "
          "incomplete scan 0"),
)  # fmt: skip
ENVIRONMENT = (
    ("LEAKSCAN_KEY", "the key of fingerprints; without it one is made and kept in the state directory"),
    ("LEAKSCAN_LIMIT_NAME", "a limit of coverage.md, such as LEAKSCAN_LIMIT_LAYER_BYTES=8G"),
    ("DOCKER_HOST, DOCKER_CONTEXT, DOCKER_CONFIG", "the engine to ask, as for the docker client"),
    ("TMPDIR", "where layers are expanded to, in files without a name"),
    ("XDG_STATE_HOME, XDG_CACHE_HOME", "where the key and the compiled rules are kept"),
    ("NO_COLOR", "no colour if it is set and not empty; nor is there any where `TERM` is `dumb`"),
    ("GITHUB_ACTIONS, GITHUB_STEP_SUMMARY", "set by GitHub Actions: annotations and a step summary are written"),
    ("CI_COMMIT_SHA, GITHUB_SHA, GIT_COMMIT, BUILD_SOURCEVERSION, CIRCLE_SHA1", "the commit for GitLab's report"),
)


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command by name, the program itself first; commands of commands follow theirs."""
    yield from _below(cli, click.Context(cli, info_name="leakscan", **cli.context_settings))


def _below(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _below(inner, click.Context(inner, info_name=name, parent=context))


def paragraphs(command: click.Command) -> list[tuple[bool, str]]:
    """A command's help: (whether its lines stand as they are, text)."""
    text = re.sub(r"\n[ \t]+", "\n", (command.help or "").strip())
    found = []
    for part in re.split(r"\n\s*\n", text):
        kept = part.startswith("\b")
        found.append((kept, part.lstrip("\b\n") if kept else " ".join(part.split())))
    return found


def options(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    """Each option as --help prints it, on one line."""
    params = [param for param in command.get_params(context) if isinstance(param, click.Option)]
    records = [param.get_help_record(context) for param in params]
    return [(names, " ".join(text.split())) for names, text in filter(None, records)]


def markdown() -> str:
    """docs/options.md."""
    lines = ["# Commands and options", "", "Made from `--help` by `make docs`; a test holds it to that.", ""]
    for path, command, context in commands():
        lines += [f"## {path}", "", f"    {_usage(context)}", ""]
        for kept, text in paragraphs(command):
            lines += [f"    {line}" for line in text.splitlines()] if kept else [text]
            lines.append("")
        lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| `{_cell(names)}` | {_cell(text)} |" for names, text in options(command, context)]
        lines.append("")
    lines += ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {text} |" for code, text in EXIT_CODES]
    lines += ["", "## Environment", "", "| variable | meaning |", "|---|---|"]
    lines += [f"| {', '.join(f'`{name}`' for name in names.split(', '))} | {text} |" for names, text in ENVIRONMENT]
    return "\n".join(lines) + "\n"


def _usage(context: click.Context) -> str:
    return " ".join(context.command.get_usage(context).removeprefix("Usage: ").split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def man() -> str:
    """docs/leakscan.1, in the man(7) macros."""
    head = paragraphs(cli)[0][1]
    lines = [
        f'.TH LEAKSCAN 1 "" "leakscan {__version__}" "User Commands"',
        ".SH NAME", f"leakscan \\- {_roff(head[0].lower() + head[1:].rstrip('.'))}",
        ".SH SYNOPSIS",
    ]  # fmt: skip
    for path, command, context in commands():
        if not isinstance(command, click.Group):
            name, _, rest = _usage(context).partition(path)
            lines += [f".B {_roff(name + path)}", _roff(rest.strip()), ".br"]
    lines += [".SH DESCRIPTION", *_text(cli)]
    for path, command, context in commands():
        title = ".SH OPTIONS" if command is cli else f'.SS "{_roff(path)}"'
        lines += [title, *([] if command is cli else _text(command))]
        for names, text in options(command, context):
            lines += [".TP", f".B {_roff(names)}", _roff(text)]
        if command is cli:
            lines.append(".SH COMMANDS")
    lines.append(".SH EXIT STATUS")
    lines += [part for code, text in EXIT_CODES for part in (".TP", f".B {code}", _roff(text))]
    lines.append(".SH ENVIRONMENT")
    lines += [part for names, text in ENVIRONMENT for part in (".TP", f".B {_roff(names)}", _roff(text))]
    return "\n".join(lines) + "\n"


def _text(command: click.Command) -> list[str]:
    lines: list[str] = []
    for kept, text in paragraphs(command):
        lines += [".PP", *([".nf", *map(_roff, text.splitlines()), ".fi"] if kept else [_roff(text)])]
    return lines


def _roff(text: str) -> str:
    """*text* as a line of roff: no escapes, no request at its start, hyphens that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def main() -> None:
    """Write both files."""
    (FOLDER / "options.md").write_text(markdown(), encoding="utf-8")
    (FOLDER / "leakscan.1").write_text(man(), encoding="utf-8")


if __name__ == "__main__":
    main()
