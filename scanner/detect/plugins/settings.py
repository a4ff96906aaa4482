"""Which plugins of detect-secrets run, and what they leave out, as its own files say (`.secrets.baseline`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import re2

from scanner import userfile
from scanner.detect.base import Detector, Trigger
from scanner.detect.foreign import compiled, line_of
from scanner.detect.plugins.catalogue import KINDS
from scanner.detect.plugins.tally import Tally
from scanner.errors import UnusableFile
from scanner.evidence import Match

ENTROPY = ("Base64HighEntropyString", "HexHighEntropyString")
KEYWORD = "KeywordDetector"
NAMES = (*(kind.name for kind in KINDS), *ENTROPY, KEYWORD)
_DEFAULT_LIMITS = {"Base64HighEntropyString": 4.5, "HexHighEntropyString": 3.0}
_MOST_BITS = 8.0
#: what runs here as it is, or means nothing in an image
_SAME = ("detect_secrets.filters.heuristic.", "detect_secrets.filters.common.")
_EXCLUDE = "detect_secrets.filters.regex.should_exclude_"


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """What differs from detect-secrets' defaults.

    Attributes:
        off: plugin classes that do not run.
        limits: entropy limits by plugin class, bits for each character.
        files, lines, secrets: expressions of RE2; what one of them is found in is left out.
    """

    off: frozenset[str] = frozenset()
    limits: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    files: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()

    def runs(self, name: str) -> bool:
        """Whether a plugin class runs."""
        return name not in self.off

    def limit(self, name: str) -> float | None:
        """The entropy limit of a plugin class, None for its default; one that is off has one that nothing exceeds."""
        return self.limits.get(name) if self.runs(name) else _MOST_BITS

    @property
    def excludes(self) -> bool:
        """Whether anything is left out by expression."""
        return bool(self.files or self.lines or self.secrets)


DEFAULTS = PluginSettings()


def read(document: Mapping[str, Any], name: str) -> tuple[PluginSettings, tuple[str, ...]]:
    """The settings of a document with `plugins_used` and `filters_used`, and what of it is not done.

    Raises UnusableFile naming the file and the reason.
    """
    remarks: list[str] = []
    used, limits = _plugins(_tables(document, "plugins_used", name), name, remarks)
    off = frozenset(NAMES) - used if "plugins_used" in document else frozenset()
    if off:
        remarks.append(f"plugins of detect-secrets that do not run, as {name} says: {', '.join(sorted(off))}")
    excluded: dict[str, tuple[str, ...]] = {}
    for table in _tables(document, "filters_used", name):
        path = str(table.get("path", ""))
        kind = path.removeprefix(_EXCLUDE)
        if path.startswith(_EXCLUDE) and kind in ("file", "line", "secret"):
            excluded[kind] = _expressions(table.get("pattern", []), name, remarks)
        elif path == "detect_secrets.filters.allowlist.is_line_allowlisted":
            remarks.append("comments that allow a secret in its line (pragma: allowlist secret) are not honoured")
        elif not path.startswith(_SAME):
            remarks.append(f"filter {userfile.shown(path)}: not run")
    settings = PluginSettings(
        off, MappingProxyType(limits), excluded.get("file", ()), excluded.get("line", ()), excluded.get("secret", ())
    )
    return settings, tuple(remarks)


def _plugins(
    tables: Sequence[Mapping[str, Any]], name: str, remarks: list[str]
) -> tuple[frozenset[str], dict[str, float]]:
    used: set[str] = set()
    limits: dict[str, float] = {}
    for table in tables:
        plugin = str(table.get("name", ""))
        if plugin not in NAMES:
            why = "code of the user's own is not run" if table.get("path") else "not known"
            remarks.append(f"plugin {userfile.shown(plugin)}: {why}")
            continue
        used.add(plugin)
        limit = table.get("limit")
        if plugin in ENTROPY and limit is not None:
            if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 <= limit <= _MOST_BITS:
                raise UnusableFile(f"{name}: the limit of {plugin} must be a number from 0 to 8")
            if limit < _DEFAULT_LIMITS[plugin]:
                remarks.append(f"plugin {plugin}: a limit below {_DEFAULT_LIMITS[plugin]} is taken for that")
            limits[plugin] = max(float(limit), _DEFAULT_LIMITS[plugin])
        if table.get("keyword_exclude"):
            remarks.append(f"plugin {plugin}: keyword_exclude is not done")
    return frozenset(used), limits


def _tables(document: Mapping[str, Any], key: str, name: str) -> list[Mapping[str, Any]]:
    given = document.get(key, [])
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise UnusableFile(f"{name}: {key} must be a list of objects")
    return given


def _expressions(given: Any, name: str, remarks: list[str]) -> tuple[str, ...]:
    listed = given if isinstance(given, list) else [given]
    if not all(isinstance(item, str) for item in listed):
        raise UnusableFile(f"{name}: the pattern of a filter must be a text")
    kept = []
    for expression in listed:
        try:
            compiled(expression)
            kept.append(expression)
        except (re2.error, UnicodeEncodeError):
            remarks.append(f"filter expression {userfile.shown(expression)}: not run, as RE2 cannot read it")
    return tuple(kept)


class Excluding:
    """A plugin's detector without what expressions leave out (`base.Detector`); what they do is counted."""

    def __init__(self, inner: Detector, settings: PluginSettings, tally: Tally) -> None:
        self._inner, self._settings, self._tally = inner, settings, tally
        self._ready: tuple[tuple[Any, ...], ...] | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return Excluding, (self._inner, self._settings, self._tally)

    @property
    def triggers(self) -> Sequence[Trigger]:
        """Those of the plugin."""
        return self._inner.triggers

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """The matches of the plugin that nothing leaves out (`base.Detector`)."""
        if self._ready is None:
            each = self._settings
            self._ready = tuple(tuple(map(compiled, part)) for part in (each.files, each.lines, each.secrets))
        files, lines, secrets = self._ready
        left_out = any(expression.search(path.encode("utf-8", "surrogateescape")) for expression in files)
        for match in self._inner.confirm(data, ends, path):
            line = line_of(data, match.start, match.end) if lines else b""
            value = match.secret.reveal() if secrets else b""
            if left_out or any(e.search(line) for e in lines) or any(e.search(value) for e in secrets):
                self._tally.add(match.rule_id, "excluded")
            else:
                yield match
