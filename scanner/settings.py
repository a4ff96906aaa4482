"""Settings: `.leakscan.toml`, [tool.leakscan] of pyproject.toml and LEAKSCAN_* variables, and where each came from.

What a command line says wins over variables, these over the file, the file over defaults. One file is read: the one
that is named, else the nearest one from the working directory upward.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scanner import userfile
from scanner.accept.entries import AcceptedPlace, Ignores, accepts, ignores
from scanner.errors import UnusableFile
from scanner.limits import PREFIX as LIMIT_PREFIX
from scanner.limits import Limits

FILE, PROJECT, TABLE = ".leakscan.toml", "pyproject.toml", "tool.leakscan"
PREFIX = "LEAKSCAN_"
_LARGEST = 4 << 20
_TABLES = ("ignore", "accept", "limits")
#: variables that are no options: the key, the file, what tests and limits use
_OTHER = ("KEY", "CONFIG", "REQUIRE_ALL")
#: a variable so much like an option is a misspelt one
_ALIKE = 0.85


@dataclass(frozen=True, slots=True)
class Value:
    """One setting. *source*: what a person would look at to change it."""

    key: str
    value: Any
    source: str
    #: what relative paths start from, None for the working directory
    folder: Path | None = None
    #: of a file that nobody named: it may have come with the sources, from anybody
    found: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """All that files and variables set.

    Attributes:
        file: the file that was read, None if there is none.
        values: by key, as options are named, without dashes in front.
        ignores, accepts: the entries of the file.
        limits: variables as `Limits.from_environment` takes them, from the table `limits`.
        notices: what a person should know of how they were found.
    """

    file: Path | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    ignores: Ignores = field(default_factory=lambda: Ignores(()))
    accepts: tuple[AcceptedPlace, ...] = ()
    limits: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """*environment* with the limits of the file, where it does not set them itself."""
        return {**self.limits, **environment}


@dataclass(frozen=True, slots=True)
class Keys:
    """What may be set.

    Attributes:
        options: keys of options.
        refused: keys of options that only a command line may set, with the reason.
    """

    options: tuple[str, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


def load(
    named: Path | None, start: Path | None, environment: Mapping[str, str], keys: Callable[[], Keys]
) -> Settings:
    """The settings that hold in directory *start*; no file is looked for if there is none.

    Args:
        named: the file of --config, None to look for one.
        keys: tells what may be set; asked only if something is, as it takes all commands to tell.

    Raises UnusableFile naming the file or variable, the key and the reason.
    """
    if named is None and (given := environment.get(f"{PREFIX}CONFIG")):
        named = Path(given)
    notices: list[str] = []
    file = named if named is not None or start is None else _found(start, notices)
    if file is None and not any(each.startswith(PREFIX) and not _known(each) for each in environment):
        return Settings(notices=tuple(notices))
    allowed = keys()
    values: dict[str, Value] = {}
    found = Settings()
    if file is not None:
        table, name = _table(file, named is not None)
        found = _read(file, named is None, table, name, allowed, notices)
        values |= found.values
    values |= _variables(environment, allowed)
    return Settings(file, values, found.ignores, found.accepts, found.limits, tuple(notices))


def _found(start: Path, notices: list[str]) -> Path | None:
    """The nearest file from *start* upward, not beyond the root of its repository."""
    for folder in (start, *start.parents):
        for name in (FILE, PROJECT):
            path = folder / name
            if name == FILE and os.path.lexists(path) and not os.path.isfile(path):
                notices.append(f"{userfile.shown(path)} is not read: it is no file, or a link to none")
            if not os.path.isfile(path) or (name == PROJECT and not _project_table(path)):
                continue
            if folder != start and _anybodys(folder, path):
                notices.append(f"{userfile.shown(path)} is not read: anybody can write to its directory")
                continue
            return path
        if os.path.exists(folder / ".git"):
            return None
    return None


def _anybodys(folder: Path, path: Path) -> bool:
    """Whether another user can have laid *path* into a directory above: such as /tmp."""
    try:
        return bool(folder.stat().st_mode & stat.S_IWOTH) and path.stat().st_uid not in (os.geteuid(), 0)
    except OSError:
        return True


def _project_table(path: Path) -> bool:
    """Whether a pyproject.toml has our table; one that cannot be read is somebody else's business."""
    try:
        tool = userfile.toml(userfile.read(path, _LARGEST), path.name).get("tool")
    except UnusableFile:
        return False
    return isinstance(tool, dict) and "leakscan" in tool


def _table(path: Path, named: bool) -> tuple[Mapping[str, Any], str]:
    """The settings of a file, and what messages call it."""
    name = userfile.shown(path if named else path.name)
    document = userfile.toml(userfile.read(path, _LARGEST), name)
    if path.name != PROJECT:
        return document, name
    tool = document.get("tool")
    table = tool.get("leakscan", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UnusableFile(f"{name}: {TABLE} must be a table")
    return table, f"{name} [{TABLE}]"


def _read(
    path: Path, looked_for: bool, table: Mapping[str, Any], name: str, keys: Keys, notices: list[str]
) -> Settings:
    values: dict[str, Value] = {}
    for key, value in table.items():
        if key in _TABLES:
            continue
        if key in keys.refused:
            raise UnusableFile(f"{name}: {key} cannot be set in a file", keys.refused[key])
        if key not in keys.options:
            known = (*keys.options, *_TABLES)
            raise UnusableFile(f"{name}: {userfile.shown(key)} is not known", userfile.suggestion(key, known))
        if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value)):
            raise UnusableFile(f"{name}: {key} must be a value or a list of values")
        values[key] = Value(key, value, name, path.absolute().parent, looked_for)
    if path.name == FILE and _project_table(path.with_name(PROJECT)):
        notices.append(f"[{TABLE}] of {PROJECT} is not read, as {FILE} stands beside it")
    return Settings(
        path, values, ignores(table.get("ignore", []), name), accepts(table.get("accept", []), name),
        _limits(table.get("limits", {}), name),
    )  # fmt: skip


def _limits(table: Any, name: str) -> dict[str, str]:
    """The table `limits` as the variables that set limits."""
    if not isinstance(table, dict):
        raise UnusableFile(f"{name}: limits must be a table")
    known = {key.replace("_", "-") for key in Limits.names()}
    userfile.known_keys(table, known, f"{name}: [limits]")
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise UnusableFile(f"{name}: [limits] {key} must be a number or a text such as 8G or 20m")
        found[LIMIT_PREFIX + key.replace("-", "_").upper()] = str(value)
    return found


def _variables(environment: Mapping[str, str], keys: Keys) -> dict[str, Value]:
    """What LEAKSCAN_* variables set; one that is nearly the name of an option is an error, others are not ours."""
    names = {PREFIX + key.replace("-", "_").upper(): key for key in keys.options}
    found: dict[str, Value] = {}
    for variable in sorted(environment):
        if variable in names:
            if environment[variable]:
                found[names[variable]] = Value(names[variable], environment[variable], variable)
        elif variable.startswith(PREFIX) and not _known(variable):
            near = _near(variable, names)
            if near:
                raise UnusableFile(f"the variable {userfile.shown(variable)} is not known", f"Did you mean {near}?")
    refused = {PREFIX + key.replace("-", "_").upper(): tip for key, tip in keys.refused.items()}
    for variable in refused.keys() & environment.keys():
        raise UnusableFile(f"{variable} cannot be set by a variable", refused[variable])
    return found


def _known(variable: str) -> bool:
    return variable.startswith(LIMIT_PREFIX) or variable.removeprefix(PREFIX) in _OTHER


def _near(variable: str, names: Iterable[str]) -> str:
    close: Sequence[str] = difflib.get_close_matches(variable, list(names), 1, _ALIKE)
    return close[0] if close else ""
