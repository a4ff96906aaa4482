"""Options that mean the same in every command that has them."""

from __future__ import annotations

import os

import click

from scanner.cli.common import SEVERITIES

jobs_option = click.option(
    "--jobs", type=click.IntRange(1, 256), default=lambda: os.cpu_count() or 1, metavar="N",
    help="Processes that work at a time. [default: one for each processor]",
)  # fmt: skip
fail_on_option = click.option(
    "--fail-on", type=click.Choice(SEVERITIES), default="low", show_default=True,
    help="The least severity that makes the exit code 1.",
)  # fmt: skip
allow_incomplete_option = click.option(
    "--allow-incomplete", is_flag=True, help="Exit 0, not 3, if nothing was found but not all was read."
)
store_option = click.option(
    "--store", metavar="URL",
    help="Where results are kept (SQLAlchemy). [default: LEAKSCAN_STORE, else a SQLite file in the state directory]",
)  # fmt: skip
show_secrets_option = click.option(
    "--show-secrets", is_flag=True, help="Show the values that were found. Mind where the report goes."
)
quiet_option = click.option("--quiet", is_flag=True, help="No progress and no notices on standard error.")
no_progress_option = click.option("--no-progress", is_flag=True, help="No progress on standard error.")
