"""`leakscan config show`: what is set, to what, and where."""

from __future__ import annotations

import fnmatch
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from scanner.cli.common import EXIT_CLEAN
from scanner.cli.configured import ConfiguredCommand, OwnOption, config_option, key_of, keys, settings


@click.group()
def config() -> None:
    """What is set in files and variables."""


@config.command("show", cls=ConfiguredCommand, short_help="Show every setting and where it comes from.")
@config_option
@click.option("--format", "form", cls=OwnOption, type=click.Choice(("text", "json")), default="text", show_default=True,
              help="How it is written.")
def show(form: str) -> None:
    """Show every setting of a scan, its value and where that comes from; then what is ignored and accepted.

    Settings come from the nearest .leakscan.toml or pyproject.toml with a table [tool.leakscan], upward from the
    working directory, or the file of --config; LEAKSCAN_* variables win over the file, the command line over both.
    """  # fmt: skip
    strangers = list(_strangers())
    rows = [{"key": key, "value": value, "source": source} for key, value, source in _rows()]
    found = settings()
    entries = [
        *({"entry": each.acceptance.by, **_entry(each)} for each in found.ignores.entries),
        *({"entry": each.acceptance.by, **_entry(each)} for each in found.accepts),
    ]
    if form == "json":
        document = {"file": str(found.file) if found.file else None, "settings": rows, "entries": entries,
                    "notices": [*found.notices, *strangers]}  # fmt: skip
        click.echo(json.dumps(document, indent=1, sort_keys=True))
    else:
        _print(rows, entries, strangers)
    sys.exit(EXIT_CLEAN)


def _rows() -> Iterator[tuple[str, Any, str]]:
    """(key, value, source) of each option of a scan, then of the limits that are set."""
    from scanner.cli.scan import scan

    found = settings()
    known = keys(scan)
    for param in scan.params:
        if not isinstance(param, click.Option) or key_of(param) not in known:
            continue
        value = found.values.get(key_of(param))
        if value is not None:
            yield value.key, value.value, value.source
        else:
            default = param.default() if callable(param.default) else param.default
            plain = default if isinstance(default, (str, int)) else False if param.is_flag else None
            yield key_of(param), [] if param.multiple else plain, "default"
    name = found.file.name if found.file else ""
    for variable, text in sorted(found.limits.items()):
        yield f"limits.{variable.removeprefix('LEAKSCAN_LIMIT_').lower().replace('_', '-')}", text, name


def _entry(each: Any) -> dict[str, Any]:
    parts = {key: list(getattr(each, key)) for key in ("rules", "paths", "fingerprints", "ids", "gaps")
             if getattr(each, key, ())}  # fmt: skip
    said = each.acceptance.shown
    expired = each.acceptance.expires is not None and not each.acceptance.holds(_today())
    return {**parts, "reason": said["reason"], "expires": said["expires"], "expired": expired}


def _today() -> Any:
    from scanner.accept.policy import this_day

    return this_day()


def _strangers() -> Iterator[str]:
    """Rules that entries name and nobody has: an entry that is misspelt accepts nothing."""
    named = [(each.acceptance.by, rule) for each in settings().ignores.entries for rule in each.rules]
    if not named:
        return
    from scanner.detect import userrules
    from scanner.detect.entries import entries
    from scanner.userfile import suggestion

    known = [entry.id for entry in entries(userrules.load(_rule_files()))]
    for by, rule in named:
        if not fnmatch.filter(known, rule):
            near = suggestion(rule, known)
            yield f"{by}: no rule fits {rule}{f'. {near}' if near.startswith('Did') else ''}"


def _rule_files() -> list[Path]:
    value = settings().values.get("rules")
    if value is None:
        return []
    listed = value.value if isinstance(value.value, list) else str(value.value).split(os.pathsep)
    return [Path(value.folder or ".") / str(name) for name in listed]


def _print(rows: list[dict[str, Any]], entries: list[dict[str, Any]], strangers: list[str]) -> None:
    from scanner.report.escape import text

    found = settings()
    click.echo(f"settings file: {text(str(found.file))}" if found.file else "settings file: none")
    for notice in (*found.notices, *strangers):
        click.echo(f"  {text(notice)}")
    pad = max(len(row["key"]) for row in rows)
    shown = [_shown(row["value"]) for row in rows]
    wide = min(max(map(len, shown)), 40)
    for row, value in zip(rows, shown, strict=True):
        click.echo(f"  {row['key']:<{pad}}  {text(value):<{wide}}  {text(row['source'])}")
    for entry in entries:
        what = "; ".join(f"{key} {', '.join(entry[key])}" for key in ("rules", "paths", "fingerprints", "ids", "gaps")
                         if key in entry)  # fmt: skip
        until = f", until {entry['expires']}" if entry["expires"] else ""
        click.echo(f"{text(entry['entry'])}: {text(what)}")
        click.echo(f"  {text(entry['reason'])}{until}{' (EXPIRED: it accepts nothing)' if entry['expired'] else ''}")


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
