"""The options that give secrets, the same for every command that looks for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.common import FileType

if TYPE_CHECKING:
    from scanner.detect.known.parts import Known


def secret_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --secret and --secrets-from to a command, as `secrets` and `secrets_from`."""
    words = click.option(
        "--secret", "secrets", multiple=True, metavar="id=NAME,src=FILE|env=VAR",
        help="A secret of the build, in the words of docker build: prove that it is not in the image; repeatable.",
    )  # fmt: skip
    files = click.option(
        "--secrets-from", "secrets_from", multiple=True, metavar="FILE", type=FileType(None),
        help="Secrets from a dotenv file, one for each variable; repeatable.",
    )  # fmt: skip
    return words(files(command))


def read_secrets(words: Sequence[str], files: Sequence[str], quiet: bool = False) -> tuple[Known, ...]:
    """The secrets of the options; says on standard error what of them is not searched for.

    Raises click.UsageError if one cannot be read or proves nothing.
    """
    if not words and not files:
        return ()
    from scanner.known import UnusableSecret, given_secrets, refusals

    try:
        found = given_secrets(words, files, os.environ)
    except UnusableSecret as error:
        raise click.UsageError(f"{error.what}. {error.tip}".strip()) from None
    for text in () if quiet else refusals(found):
        click.echo(f"leakscan: {text}", err=True)
    return found
