"""What is taken from detect-secrets: expressions, functions of one value, kinds of file. Its only home.

Nothing of its engine runs: no settings, no file reading, no verification. The package is imported when the first
candidate turns up, and without the HTTP client that it verifies with, which costs more time than all else here.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

from scanner.detect.plugins.alphabet import Projection
from scanner.detect.plugins.translate import Linear, translate

#: endings of names whose kind is remembered
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class EntropyPlugin:
    """An entropy detector: *quoted* finds candidates in bytes, *entropy* is in bits for each character."""

    characters: bytes
    limit: float
    quoted: re.Pattern[bytes]
    entropy: Callable[[str], float]


def preload() -> None:
    """Import detect-secrets now, for a process that forks others again and again: each would import it anew."""
    for module in ("filters.heuristic", "plugins.high_entropy_strings", "plugins.keyword", "util.filetype"):
        _module(module)


class Library:
    """Lends the parts of detect-secrets, each made ready once.

    *limit* gives the entropy limit of a plugin class, None for its own.
    """

    def __init__(self, limit: Callable[[str], float | None] = lambda _: None) -> None:
        self._limit = limit
        self.project = Projection()
        self._expressions: dict[tuple[str, str], tuple[Linear, ...]] = {}
        self._kinds: dict[str, str] = {}
        self._keyword: dict[str, tuple[Linear, ...]] = {}

    def expressions(self, module: str, name: str, whole: bool) -> tuple[Linear, ...]:
        """The denylist of plugin class *name*; *whole* takes all of a match as value, else its first group if any."""
        key = (module, name)
        if key not in self._expressions:
            denylist: list[re.Pattern[str]] = list(_plugin(module, name).denylist)
            self._expressions[key] = tuple(
                translate(pattern, 0 if whole or not pattern.groups else 1) for pattern in denylist
            )
        return self._expressions[key]

    def keyword(self, path: str) -> tuple[Linear, ...]:
        """The expressions of the keyword detector for the kind of file that *path* names."""
        module = _module("plugins.keyword")
        kind = self.kind(path)
        if kind not in self._keyword:
            chosen: dict[re.Pattern[str], int] = next(
                (groups for known, groups in module.REGEX_BY_FILETYPE.items() if known.name == kind),
                module.QUOTES_REQUIRED_DENYLIST_REGEX_TO_GROUP,
            )
            self._keyword[kind] = tuple(translate(pattern, group) for pattern, group in chosen.items())
        return self._keyword[kind]

    def kind(self, path: str) -> str:
        """The kind of file, such as YAML, GO or OTHER, by the end of its name."""
        ending = os.path.splitext(path)[1]
        if ending not in self._kinds:
            module = _module("util.filetype")
            if len(self._kinds) >= _REMEMBERED:
                self._kinds.clear()
            self._kinds[ending] = str(module.determine_file_type(path).name)
        return self._kinds[ending]

    @cached_property
    def entropies(self) -> dict[str, EntropyPlugin]:
        """The entropy detectors by class name."""
        return {name: _entropy(name, self._limit(name)) for name in ("Base64HighEntropyString", "HexHighEntropyString")}

    @cached_property
    def is_jwt(self) -> Callable[[str], bool]:
        """Whether a token's header and claims are JSON."""
        judge: Callable[[str], bool] = _plugin("jwt", "JwtTokenDetector").is_formally_valid
        return judge

    @cached_property
    def value_filters(self) -> tuple[tuple[str, Callable[[str], bool]], ...]:
        """The default filters that look at the value alone, with our name of the reason."""
        module = _module("filters.heuristic")
        return (
            ("sequence", module.is_sequential_string),
            ("uuid", module.is_potential_uuid),
            ("template", module.is_templated_secret),
            ("variable", module.is_prefixed_with_dollar_sign),
            ("no-letters", module.is_not_alphanumeric_string),
        )

    @cached_property
    def indirect_reference(self) -> Linear:
        """Finds an assignment from a call or a subscript; the original takes cubic time on hostile lines."""
        module = _module("filters.heuristic")
        return translate(module._get_indirect_reference_regex(), 0)

    @cached_property
    def identifier_name(self) -> Linear:
        """Finds the name of an identifier (`id`, `user_id` ...) in front of a value."""
        module = _module("filters.heuristic")
        return translate(module._get_id_detector_regex(), 0)


def _module(name: str) -> Any:
    """A module of detect-secrets. What it imports as `requests` loads when something of that is asked for: never,
    unless a module speaks of it in its annotations."""
    if "requests" in sys.modules:
        return importlib.import_module(f"detect_secrets.{name}")
    later = ModuleType("requests")

    def real() -> ModuleType:
        if sys.modules.get("requests") is later:
            del sys.modules["requests"]
        return importlib.import_module("requests")

    later.__getattr__ = lambda wanted: getattr(real(), wanted)  # type: ignore[method-assign]
    sys.modules["requests"] = later
    try:
        return importlib.import_module(f"detect_secrets.{name}")
    finally:
        if sys.modules.get("requests") is later:
            del sys.modules["requests"]


def _plugin(module: str, name: str) -> Any:
    return getattr(_module(f"plugins.{module}"), name)


def _entropy(name: str, limit: float | None) -> EntropyPlugin:
    plugin = _plugin("high_entropy_strings", name)()
    return EntropyPlugin(
        plugin.charset.encode("ascii"),
        plugin.entropy_limit if limit is None else limit,
        re.compile(plugin.regex.pattern.encode("ascii")),
        plugin.calculate_shannon_entropy,
    )
