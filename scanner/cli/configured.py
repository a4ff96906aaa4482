"""Commands whose options may be set in files and variables too (`settings`), and what those accept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scanner.cli.common import FileType, FormatType
from scanner.errors import UnusableFile

if TYPE_CHECKING:
    from scanner.accept.policy import Acceptor, Policy
    from scanner.detect.userrules import UserRules
    from scanner.settings import Keys, Settings, Value

#: what the context of a command keeps
_SETTINGS, _BASELINES, _RULES, _MORE = (f"leakscan.{name}" for name in ("settings", "baselines", "rules", "acceptors"))
#: options that say where settings are, or what to print, are none
_NONE = ("help", "config", "version")
_REFUSED = {"show-secrets": "Values show only when the command line says so: --show-secrets."}
#: what changes how a run goes, not what it finds
_SILENT = ("jobs", "quiet", "no-progress", "no-cache", "format")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
F = TypeVar("F", bound=Callable[..., Any])


class ConfiguredCommand(click.Command):
    """A command with --config: options that the command line does not give are taken from settings."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from scanner.settings import load

        if not set(args) & set(ctx.help_option_names):  # help must come whatever the settings are
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
            named = given.get("config")
            root = ctx.find_root().command
            settings = load(Path(named) if named else None, _here(), os.environ, lambda: _keys(root))
            ctx.meta[_SETTINGS] = settings
            ctx.default_map = {**(ctx.default_map or {}), **_defaults(self, ctx, settings)}
        return super().parse_args(ctx, args)


class OwnOption(click.Option):
    """An option of a configured command that settings do not give: what they call so is an option of the scan."""


def _here() -> Path | None:
    """The working directory; None if it was removed."""
    try:
        return Path.cwd()
    except OSError:
        return None


def config_option(command: F) -> F:
    """The option --config, which `ConfiguredCommand` reads by itself."""
    return click.option(
        "--config", metavar="FILE", type=FileType(), expose_value=False,
        help="Settings. [default: the nearest .leakscan.toml or pyproject.toml with [tool.leakscan], upwards]",
    )(command)  # fmt: skip


def baseline_option(command: F) -> F:
    """The option --baseline; `policy` reads its files."""

    def keep(ctx: click.Context, _param: click.Parameter, value: Sequence[Path]) -> None:
        ctx.meta[_BASELINES] = tuple(value)

    return click.option(
        "--baseline", metavar="FILE", type=FileType(), multiple=True, expose_value=False,
        callback=keep, help="Findings that are accepted: of `leakscan baseline`, or a .secrets.baseline; repeatable.",
    )(command)  # fmt: skip


def rules_option(command: F) -> F:
    """The option --rules; `own_rules` reads its files."""

    def keep(ctx: click.Context, _param: click.Parameter, value: Sequence[Path]) -> None:
        ctx.meta[_RULES] = tuple(value)

    return click.option(
        "--rules", metavar="FILE", type=FileType(), multiple=True, expose_value=False, callback=keep,
        help="Rules of your own: a pack of leakscan's form, Gitleaks TOML or a detect-secrets baseline; repeatable.",
    )(command)  # fmt: skip


def key_of(param: click.Parameter) -> str:
    """What settings call an option: its long name."""
    return max(param.opts, key=len).lstrip("-")


def keys(command: click.Command) -> tuple[str, ...]:
    """What may be set of one command."""
    return tuple(key for key in map(key_of, _options(command)) if key not in _NONE and key not in _REFUSED)


def _options(command: click.Command) -> Iterator[click.Option]:
    """The options that settings give."""
    for param in command.params:
        if isinstance(param, click.Option) and not isinstance(param, OwnOption):
            yield param


def _keys(root: click.Command) -> Keys:
    """What may be set of any command: one file serves all of them."""
    from scanner.settings import Keys

    every = {key: None for command in _configured(root) for key in keys(command)}
    return Keys(tuple(every), _REFUSED)


def _configured(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, ConfiguredCommand):
        yield command
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            if child is not None:
                yield from _configured(child)


def _defaults(command: click.Command, ctx: click.Context, settings: Settings) -> dict[str, Any]:
    """What the settings say about the options of *command*, by parameter. Raises UnusableFile."""
    found: dict[str, Any] = {}
    for param in _options(command):
        if param.name and (value := settings.values.get(key_of(param))):
            given = _given(param, value)
            try:
                param.type_cast_value(ctx, given)
            except click.BadParameter as error:
                raise UnusableFile(f"{value.source}: {value.key}: {error.message}") from None
            found[param.name] = given
    return found


def _given(param: click.Option, value: Value) -> Any:
    """A setting as the command line would have it."""
    given, where = value.value, f"{value.source}: {value.key}"
    text = isinstance(given, str) and value.folder is None
    if param.is_flag:
        if text:
            word = given.strip().lower()
            given = word in _TRUE if word in (*_TRUE, *_FALSE) else given
        if not isinstance(given, bool):
            raise UnusableFile(f"{where} must be true or false")
        return given
    if param.multiple:
        listed = param.type.split_envvar_value(given) if text else given if isinstance(given, list) else [given]
        return [_path(param, _word(each, where), value) for each in listed]
    return _path(param, _word(given, where), value)


def _word(given: Any, where: str) -> str:
    if isinstance(given, bool) or not isinstance(given, (str, int)) or given == "":
        raise UnusableFile(f"{where} must be a text or a number")
    return str(given)


def _path(param: click.Option, word: str, value: Value) -> str:
    """Files are named as seen from the settings file; reports are written as the command line would have it."""
    target = word.partition("=")[2] if isinstance(param.type, FormatType) else ""
    if value.found and target and not Path(os.path.realpath(target)).is_relative_to(os.path.realpath(".")):
        from scanner import userfile

        raise UnusableFile(
            f"{value.source}: {value.key}: {userfile.shown(target)} is outside of the working directory",
            "Whoever wrote the sources may not choose that: give --format, or name the settings with --config.",
        )
    if value.folder is None or not isinstance(param.type, click.Path):
        return word
    return os.path.join(value.folder, word)


# --- what the settings of a run are ----------------------------------------------------------------------------------


def settings() -> Settings:
    """The settings of the command that runs; empty ones if it takes none."""
    from scanner.settings import Settings

    found = click.get_current_context().meta.get(_SETTINGS)
    return found if isinstance(found, Settings) else Settings()


def environment() -> Mapping[str, str]:
    """The process's environment with the limits of the settings file."""
    return settings().environment(os.environ)


def own_rules() -> UserRules:
    """The rules of --rules of the command that runs. Raises UnusableFile."""
    from scanner.detect import userrules

    files = click.get_current_context().meta.get(_RULES, ())
    return userrules.load(files) if files else userrules.NONE


def accept_also(acceptor: Acceptor) -> None:
    """Ask *acceptor* too, after settings and baselines, in what the command that runs scans."""
    click.get_current_context().meta[_MORE] = acceptor


def rules_given() -> bool:
    """Whether the command that runs has any --rules; reading none would import all that reads rules."""
    return bool(click.get_current_context().meta.get(_RULES))


def policy(key: bytes, own: UserRules | None) -> Policy:
    """What the settings and baselines of the command that runs accept, and what is to be said of its files.

    *key* is the installation's, *own* the user's rules if there are any. Raises UnusableFile.
    """
    from scanner.accept.policy import Policy

    ctx, found = click.get_current_context(), settings()
    acceptors: list[Acceptor] = [found.ignores] if found.ignores.entries else []
    more: list[Acceptor] = [ctx.meta[_MORE]] if _MORE in ctx.meta else []
    notes = [*found.notices, *_used(ctx, found), *(own.remarks if own else ())]
    for path in ctx.meta.get(_BASELINES, ()):
        acceptor, remarks = read_baseline(path, key)
        acceptors.append(acceptor)
        notes += remarks
    return Policy((*acceptors, *more), found.accepts, notes=tuple(notes))


def _used(ctx: click.Context, found: Settings) -> Iterator[str]:
    """A note for the report on settings that change what it says."""
    used: dict[str, list[str]] = {}
    for param in ctx.command.params:
        value = found.values.get(key_of(param)) if param.name else None
        if value is None or value.key in _SILENT:
            continue
        if ctx.get_parameter_source(param.name or "") is click.core.ParameterSource.DEFAULT_MAP:
            used.setdefault(value.source, []).append(value.key)
    for source, names in used.items():
        yield f"settings of {source}: {', '.join(names)}" if source != source.upper() else f"settings of {source}"


def read_baseline(path: Path, key: bytes) -> tuple[Acceptor, tuple[str, ...]]:
    """A baseline of ours or of detect-secrets, and what is to be said about it. Raises UnusableFile."""
    from scanner import userfile
    from scanner.accept import baseline, secretsbaseline
    from scanner.secrecy.keys import key_id

    name = userfile.shown(path.name)
    document = userfile.parsed(userfile.read(path), name)
    if not baseline.is_baseline(document) and secretsbaseline.is_baseline(document):
        theirs = secretsbaseline.parsed(document, name)
        return theirs, theirs.remarks
    ours = baseline.parsed(document, name, key_id(key))
    if not ours.bound or ours.comparable:
        return ours, ()
    return ours, (
        f"{name}: {ours.bound} of its entries match only under the key of the installation that made the report; "
        "this one has another (LEAKSCAN_KEY sets it)",
    )
