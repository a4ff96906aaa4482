"""Reads a case: its folder, its planted.toml, and the build context that both make.

planted.toml:

    why = "one sentence"
    base = "busybox"                    # or "pipenv"; what the Dockerfile's FROM names
    builders = ["buildkit", "classic"]
    index = "password"                  # optional: a private package index runs during the build, this value opens it

    [values]                            # name = kind, made at run time (values.py)
    [build_args]                        # NAME = text
    [secrets]                           # mount id = text

    clean = true                        # nothing gated in the image
    [[must]]                            # a finding that must be there
    [[must_not]]                        # findings that must not be there: a value, narrowed by the same keys
    [stage.NAME]                        # the same three keys for a stage that is not the final image

A text, a context file, its name and the Dockerfile may hold `{{name}}` for a value and `{{index}}` for the index's
host:port. Keys of an expectation: value (a name of [values]), and optionally surface, path (a glob), state,
step and removed_by (part of created_by), rule (the beginning of rule_id), builder (where it holds).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testimages.values import PUBLIC_KINDS, value_of

HOME = Path(__file__).parent
KEYS = frozenset(("value", "surface", "path", "state", "step", "removed_by", "rule", "builder"))


@dataclass(frozen=True, slots=True)
class Expected:
    """What must and what must not be found in one image."""

    must: tuple[Mapping[str, str], ...]
    must_not: tuple[Mapping[str, str], ...]
    clean: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One folder of testimages.

    *stages* are the images beside the final one that are looked at too; *hidden* are the texts of those values that no
    report may show unasked.
    """

    name: str
    folder: Path
    why: str
    base: str
    builders: tuple[str, ...]
    index: str | None
    values: Mapping[str, str]
    hidden: frozenset[str]
    build_args: Mapping[str, str]
    secrets: Mapping[str, str]
    final: Expected
    stages: Mapping[str, Expected]

    def fill(self, text: str, index: str = "") -> str:
        """*text* with its placeholders replaced. Raises KeyError for a name that the case has not."""
        known = {**self.values, "index": index}
        return re.sub(r"\{\{([a-z_]+)\}\}", lambda found: known[found[1]], text)

    def write_context(self, target: Path, index: str = "") -> None:
        """Write the Dockerfile and the context's files into the empty folder *target*."""
        recipe = (self.folder / "Dockerfile").read_text(encoding="utf-8")
        (target / "Dockerfile").write_text(self.fill(recipe, index), encoding="utf-8")
        context = self.folder / "context"
        for source in sorted(context.rglob("*")):
            if source.is_file():
                copy = target / self.fill(source.relative_to(context).as_posix(), index)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(self.fill(source.read_text(encoding="utf-8"), index), encoding="utf-8")


def load_case(name: str) -> Case:
    """The case in folder *name*. Raises OSError, tomllib.TOMLDecodeError, KeyError or ValueError for a wrong one."""
    folder = HOME / name
    data = tomllib.loads((folder / "planted.toml").read_text(encoding="utf-8"))
    values = {key: value_of(name, key, kind) for key, kind in data.get("values", {}).items()}
    public = {values[key] for key, kind in data.get("values", {}).items() if kind in PUBLIC_KINDS}
    return Case(
        name=name,
        folder=folder,
        why=data["why"],
        base=data["base"],
        builders=tuple(data["builders"]),
        index=data.get("index"),
        values=values,
        hidden=frozenset(values.values()) - public,
        build_args=data.get("build_args", {}),
        secrets=data.get("secrets", {}),
        final=expected(name, data, values),
        stages={stage: expected(name, table, values) for stage, table in data.get("stage", {}).items()},
    )


def expected(name: str, table: Mapping[str, object], values: Mapping[str, str]) -> Expected:
    """The expectations of one image. Raises ValueError for a key or a value name that does not exist."""
    must, must_not = rows(table.get("must", ())), rows(table.get("must_not", ()))
    for row in (*must, *must_not):
        if row.keys() - KEYS or row["value"] not in values:
            raise ValueError(f"{name}/planted.toml: wrong expectation {dict(row)}")
    clean = table.get("clean") is True
    if clean == bool(must):
        raise ValueError(f"{name}/planted.toml: an image is either clean or has something that must be found")
    return Expected(must, must_not, clean)


def rows(tables: object) -> tuple[Mapping[str, str], ...]:
    """The tables of a TOML array of tables."""
    assert isinstance(tables, list | tuple)
    return tuple({str(key): str(text) for key, text in table.items()} for table in tables)


def case_names() -> list[str]:
    """The names of all cases, in order."""
    return sorted(path.parent.name for path in HOME.glob("*/planted.toml"))
