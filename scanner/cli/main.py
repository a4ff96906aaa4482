"""The program: finds the command, turns whatever it raises into a message and an exit code.

What a command needs is imported when it runs: `leakscan --version` should not wait for engines and rule packs.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

from scanner import __version__
from scanner.cli.common import EXIT_INCOMPLETE, EXIT_USAGE, complain
from scanner.errors import LeakscanError, UnusableFile

#: each command is the object of its own name in a module of its own name
COMMANDS = (
    "scan", "verify", "audit", "worker", "serve", "builder", "rules", "baseline", "config", "cache", "completion",
)  # fmt: skip


class _ReaderGone(Exception):
    """Whoever read standard output has closed it."""


@contextlib.contextmanager
def _as_our_own() -> Iterator[None]:
    """Keep a closed pipe from click, which makes exit code 1 of it: that of a leak."""
    try:
        yield
    except BrokenPipeError:
        raise _ReaderGone from None


class _Commands(click.Group):
    """Commands that are imported when asked for; scan is the default: `leakscan IMAGE` is `leakscan scan IMAGE`."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"scanner.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands, and what may follow `scan`, as its name may be left out."""
        scan = self.get_command(ctx, "scan")
        assert scan is not None
        image = [item for option in scan.params if isinstance(option, click.Argument)
                 for item in option.shell_complete(ctx, incomplete)]  # fmt: skip
        # paths first: bash forgets what came before them, and offers them where nothing else fits
        found = [*image, *super().shell_complete(ctx, incomplete), *scan.shell_complete(ctx, incomplete)]
        return list({(item.value, item.type): item for item in found}.values())

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        with _as_our_own():  # help and version are printed while options are read
            return super().make_context(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        with _as_our_own():
            return super().invoke(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = _asked(args)
        if args and args[0] not in COMMANDS and args[0] not in ("--help", "-h", "--version"):
            args = self._led(ctx, args)
        return super().parse_args(ctx, args)

    def _led(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Words that begin with no command, with the command that they mean in front.

        That is scan, unless what scan would take for its image is a command's name: `leakscan --quiet builder` is
        `leakscan builder --quiet`, as `leakscan builder` is no image either.
        """
        scan = self.get_command(ctx, "scan")
        assert scan is not None
        with contextlib.suppress(click.UsageError):  # which scan says better
            given, _, _ = scan.make_parser(ctx).parse_args(list(args))
            word = given.get("image")
            if word in COMMANDS and args.count(word) == 1 and "--" not in args and not os.path.exists(word):
                return [word, *(each for each in args if each != word)]
        return ["scan", *args]


def _asked(args: list[str]) -> list[str]:
    """Options for `version` and `help [COMMAND]`, which other programs have as commands; whatever else follows either,
    or a path of that name, it is an image."""
    match args:
        case ["version" as word] if not os.path.exists(word):
            return ["--version"]
        case ["help" as word, *command] if (not command or command[0] in COMMANDS) and not os.path.exists(word):
            return [*command, "--help"]
    return args


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="leakscan")
def cli() -> None:
    """Prove whether credentials leaked into a container image.

    `leakscan IMAGE` is short for `leakscan scan IMAGE`.
    """


def main(name: str = "leakscan") -> None:
    """Run the program; nothing but exit codes and messages comes out. *name* is what its help calls it."""
    try:
        _open_streams()
        cli.main(prog_name=name, complete_var="_LEAKSCAN_COMPLETE", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        _suggest()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("leakscan: stopped", err=True)
        sys.exit(130)
    except UnusableFile as error:
        complain(error)
        sys.exit(EXIT_USAGE)
    except LeakscanError as error:
        complain(error)
        sys.exit(EXIT_INCOMPLETE)
    except _ReaderGone:
        # a second error while closing would only be noise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_INCOMPLETE)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            _crash(error)
        # reports and spools have messages of their own; what is left is a list on a standard output that is full
        complain(LeakscanError("there is no space left to write to", "Free some space."))
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_INCOMPLETE)
    except Exception as error:
        _crash(error)


def _suggest() -> None:
    """A misspelt command is taken for an image, and so is one behind options that scan does not have: say so where the
    words make no sense then."""
    from scanner.cli.suggest import command

    words = sys.argv[1:]
    if words and words[0].startswith("-") and (late := next((word for word in words if word in COMMANDS), "")):
        click.echo(f"Options stand behind the command that they belong to: leakscan {late} ...", err=True)
    if words and not words[0].startswith("-") and words[0] not in COMMANDS and (near := command(words[0], COMMANDS)):
        click.echo(f"Did you mean the command `leakscan {near}`?", err=True)


def _open_streams() -> None:
    """Standard streams that were closed lead nowhere; else the first files opened would take their places."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w"))
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    told = io.BufferedWriter(_Heedless(sys.stderr.fileno(), "w", closefd=False))
    sys.stderr = io.TextIOWrapper(told, sys.stderr.encoding, "backslashreplace", line_buffering=True)


class _Heedless(io.FileIO):
    """Standard error: that a message cannot be told can be told to nobody, and must change no exit code."""

    def write(self, data: Any, /) -> Any:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _crash(error: Exception) -> None:
    """A fault of ours: say where, never what, as the text of an exception could hold bytes of the image."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"
    click.echo(f"leakscan: a fault of leakscan itself, {type(error).__name__} at {place}; please report it", err=True)
    sys.exit(EXIT_INCOMPLETE)
