"""Help and wrong usage as a person meets them."""

from __future__ import annotations

from scanner.cli.main import COMMANDS
from tests.conftest import Leakscan


def test_help_fits_80_columns(leakscan: Leakscan) -> None:
    """The program's help and that of each command."""
    for command in ((), *((name,) for name in COMMANDS)):
        shown = leakscan(*command, "--help", env={"COLUMNS": "80"}).stdout
        assert shown and max(map(len, shown.splitlines())) <= 80, command


def test_a_misspelt_format_is_told(leakscan: Leakscan) -> None:
    """Wrong usage, and the word that is right."""
    done = leakscan("--format", "srif", "image.tar")

    assert done.returncode == 2 and "Did you mean sarif?" in done.stderr
