"""Imports only go down the floors of docs/architecture.md, and each third-party library has one home."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "scanner"
PAGE = PACKAGE.parent / "docs" / "architecture.md"
HOMES = {
    "click": ("cli",),
    "docker": ("image.engine", "image.registry.credentials"),
    "requests": ("image.registry", "image.engine"),  # docker lets errors of requests through
    "hyperscan": ("detect.firstpass",),
    "detect_secrets": ("detect.plugins.library",),
    "isal": ("layer.compression",),
    "zstandard": ("layer.compression",),
    "brotli": ("content.brotlifiles",),
    "lz4": ("content.lz4frames",),
    "rich": ("progress",),
    "cryptography": ("detect.privatekeys", "serve.logins"),
    "jinja2": ("report.markup",),
    "markupsafe": ("report.markup",),
    "sqlalchemy": ("store",),
    "alembic": ("store",),
    "procrastinate": ("audit.queue",),
    "starlette": ("serve.routing", "serve.app"),
    "uvicorn": ("serve.server",),
}


def floors() -> dict[str, int]:
    """The floor of each module as the architecture page lists them: the first table, top is 0."""
    found: dict[str, int] = {}
    floor = -1
    table = PAGE.read_text().partition("## Modules")[2].partition("## ")[0]
    for row in re.findall(r"^\|([^|]*)\|([^|]*)\|", table, re.MULTILINE)[2:]:
        floor += bool(row[0].strip())
        for name in re.findall(r"`([\w.]+)`", row[1]):
            found[name] = floor
    return found


def modules() -> dict[str, Path]:
    """Every module of the package by its name without `scanner.`; packages' own files and entry points left out."""
    paths = (path for path in PACKAGE.rglob("*.py") if not path.stem.startswith("__"))
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


def imports(path: Path) -> Iterator[str]:
    """What a module imports, as dotted names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_a_floor() -> None:
    """The page and the tree name the same modules."""
    assert sorted(modules()) == sorted(floors())


def test_the_page_names_each_module_and_each_library_once() -> None:
    """No row of the architecture page stands there twice."""
    modules, _, libraries = PAGE.read_text().partition("## Modules")[2].partition("## ")
    rows = re.findall(r"^\|[^|]*\|([^|]*)\|", modules, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]
    packages = [name for row in re.findall(r"^\| (?!package \|)([^|]+) \|", libraries, re.MULTILINE)
                for name in row.split(", ")]  # fmt: skip

    assert packages and names
    assert [name for name in {*names, *packages} if (names + packages).count(name) > 1] == []


def test_imports_go_down() -> None:
    """A module imports from its own floor or from floors nearer to the words, never upwards."""
    floor = floors()
    upward = [
        (name, target)
        for name, path in modules().items()
        for target in (dotted.removeprefix("scanner.") for dotted in imports(path))
        if target in floor and floor[target] > floor[name]
    ]
    assert upward == []


def test_no_module_imports_in_circles() -> None:
    """Within a floor, too, imports go one way."""
    known = modules()
    graph = {
        name: {t for t in (d.removeprefix("scanner.") for d in imports(path)) if t in known and t != name}
        for name, path in known.items()
    }
    while leaves := [name for name, needs in graph.items() if not needs]:
        for leaf in leaves:
            del graph[leaf]
        for needs in graph.values():
            needs.difference_update(leaves)
    assert graph == {}


def test_each_library_has_one_home() -> None:
    """Only its home knows each third-party library."""
    strangers = [
        (name, library)
        for name, path in modules().items()
        for library in {dotted.partition(".")[0] for dotted in imports(path)} & HOMES.keys()
        if not any(name == home or name.startswith(f"{home}.") for home in HOMES[library])
    ]
    assert strangers == []
