"""`leakscan cache`: what is kept of earlier scans, and how to be rid of it."""

from __future__ import annotations

import json
import os

import click

#: compiled rules, one file for each set of them, and what else is prepared of them
_COMPILED, _PREPARED = "first-pass-*.hsdb", "first-pass-*.json"


@click.group()
def cache() -> None:
    """Results of earlier scans, kept so that nothing is read twice."""


@cache.command("info", short_help="Say what is kept, and where.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True,
              help="How it is written.")
def info(form: str) -> None:
    """Say what is kept, where, and how much room it takes.

    Layers and files are results of layers and digests of files that have not changed since; results are whole reports.
    None of them holds a value that was found.
    """  # fmt: skip
    from scanner.cache.entries import LARGEST, entries_directory, usage
    from scanner.directories import cache_directory
    from scanner.errors import LeakscanError
    from scanner.report.escape import text

    found, where = usage(entries_directory(os.environ)), str(entries_directory(os.environ))
    try:
        compiled, prepared = ([path.stat().st_size for path in cache_directory(os.environ).glob(pattern)]
                              for pattern in (_COMPILED, _PREPARED))  # fmt: skip
    except OSError as error:
        raise LeakscanError(f"the cache cannot be looked at: {error.strerror}", "Check who owns it.") from None
    if form == "json":
        kinds = {kind: {"entries": number, "bytes": size} for kind, (number, size) in found.kinds.items()}
        compiled_part = {"entries": len(compiled), "bytes": sum(compiled + prepared)}
        document = {"directory": where, "bytes": found.bytes, "largest": LARGEST, "kinds": kinds,
                    "compiled_rules": compiled_part}  # fmt: skip
        click.echo(json.dumps(document, sort_keys=True))
        return
    click.echo(text(where))
    for kind, (number, size) in found.kinds.items():
        click.echo(f"  {kind + 's':<12}{number:>7}  {_size(size):>10}")
    click.echo(f"  {'together':<12}{'':>7}  {_size(found.bytes):>10} of {_size(LARGEST)} at most")
    click.echo(f"  compiled rules beside it: {len(compiled)}, {_size(sum(compiled + prepared))}")


@cache.command("clear", short_help="Remove all of it.")
def clear() -> None:
    """Remove results of earlier scans and compiled rules. The next scan makes them again."""
    from scanner.cache import entries
    from scanner.directories import cache_directory
    from scanner.errors import LeakscanError

    try:
        freed = entries.clear(entries.entries_directory(os.environ))
        for pattern in (_COMPILED, _PREPARED):
            for path in cache_directory(os.environ).glob(pattern):
                freed += path.stat().st_size
                path.unlink(missing_ok=True)
    except OSError as error:
        raise LeakscanError(f"the cache cannot be cleared: {error.strerror}", "Check who owns it.") from None
    click.echo(f"removed {_size(freed)}")


def _size(number: int) -> str:
    return f"{number / (1 << 20):,.1f} MiB"
