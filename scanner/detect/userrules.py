"""Rule files of the user's own: tells packs of our form, Gitleaks' form and detect-secrets' files apart, reads each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scanner import userfile
from scanner.detect import dialect, rulepack
from scanner.detect.contextual import Issuer
from scanner.detect.firstpass import compiles
from scanner.detect.foreign import ForeignRule
from scanner.detect.plugins import settings as plugin_settings
from scanner.detect.plugins.settings import DEFAULTS, PluginSettings
from scanner.detect.rulepack import Rule
from scanner.errors import RulePackError, UnusableFile

LARGEST = 16 << 20
_SHORTEST_WORD, _SHORTEST_VALUE = 3, 8
_OURS = {"rule", "known", "providers"}


@dataclass(frozen=True, slots=True)
class UserRules:
    """What rule files add.

    Attributes:
        packs: files of our form as (name, content), checked.
        foreign: rules in the form of Gitleaks.
        plugins: how detect-secrets' plugins run.
        remarks: what of the files is not done, each with the file's name in front.
        digest: names exactly this; empty if there are no files.
    """

    packs: tuple[tuple[str, bytes], ...] = ()
    foreign: tuple[ForeignRule, ...] = ()
    plugins: PluginSettings = DEFAULTS
    remarks: tuple[str, ...] = ()
    digest: str = ""


NONE = UserRules()


def load(paths: Iterable[Path]) -> UserRules:
    """The rules of *paths*, in an order of their own: what is kept of them does not depend on how they were given.
    Raises UnusableFile naming the file, the rule and the reason."""
    read = [_read(path) for path in paths]
    foreign: dict[str, ForeignRule] = {}
    for each in read:
        for rule in each.foreign:
            if rule.id in foreign:
                raise UnusableFile(f"rule {rule.id} stands in two rule files", "Rename one of them.")
            foreign[rule.id] = rule
    packs = tuple(sorted((pack for each in read for pack in each.packs), key=lambda pack: _canonical(*pack)))
    if packs:
        _sound(packs)
    chosen = [each.plugins for each in read if each.plugins != DEFAULTS]
    if len(chosen) > 1:
        raise UnusableFile("two rule files say how detect-secrets' plugins run", "Give one of them.")
    plugins = chosen[0] if chosen else DEFAULTS
    rules = tuple(foreign[name] for name in sorted(foreign))
    return replace(
        NONE, packs=packs, foreign=rules, plugins=plugins,
        remarks=tuple(remark for each in read for remark in each.remarks), digest=_digest(packs, rules, plugins),
    )  # fmt: skip


def _read(path: Path) -> UserRules:
    name, content = userfile.shown(path.name or str(path)), userfile.read(path, LARGEST)
    if content.lstrip()[:1] == b"{":
        return _detect_secrets(userfile.parsed(content, name), name)
    document = userfile.toml(content, name)
    if not document:
        raise UnusableFile(f"{name} holds no rules", "See docs/own-rules.md for the forms that are read.")
    if document.keys() & _OURS:
        return UserRules(packs=((name, content),))
    if document.keys() & {"rules", "extend", "allowlist", "allowlists"}:
        from scanner.detect import gitleaks  # costs an import only when there is such a file

        reading = gitleaks.read(document, name, path.parent, compiles)
        return UserRules(foreign=reading.rules, remarks=tuple(f"{name}: {_without(r, name)}" for r in reading.remarks))
    what = f"{name} is no rule file: it has neither [[rule]] nor [[rules]]"
    raise UnusableFile(what, userfile.suggestion(next(iter(document)), (*_OURS, "rules")))


def _detect_secrets(document: Any, name: str) -> UserRules:
    if not isinstance(document, dict) or not document.keys() & {"plugins_used", "filters_used"}:
        raise UnusableFile(f"{name} is no file of detect-secrets: it has no plugins_used")
    settings, remarks = plugin_settings.read(document, name)
    if document.get("results"):
        remarks = (*remarks, "its results are rules of nothing: give it with --baseline too")
    return UserRules(plugins=settings, remarks=tuple(f"{name}: {remark}" for remark in remarks))


def _sound(packs: Sequence[tuple[str, bytes]]) -> None:
    """Hold packs to the schema, together with the built-in one, and their patterns to what can run."""
    try:
        own = rulepack.pack_of(packs)
        rulepack.load(packs)
        for rule in own.rules:
            hold(rule)
        for issuer in own.issuers:
            _known_by(issuer)
    except RulePackError as error:
        raise UnusableFile(error.what, "`leakscan rules check FILE` tests a pack.") from None


def hold(rule: Rule) -> None:
    """Hold a rule to all that it needs to run. Raises RulePackError."""
    rulepack.verify(rule)
    if not compiles(rule.first_pass):
        raise RulePackError(f"rule {rule.id}: the first pass cannot run its trigger")


def _known_by(issuer: Issuer) -> None:
    """Hold a row of providers to what can run."""
    where = f"provider {userfile.shown(issuer.name)}"
    if not issuer.words or not all(word.isascii() and len(word) >= _SHORTEST_WORD for word in issuer.words):
        raise RulePackError(f"{where}: its words must be ASCII, of {_SHORTEST_WORD} letters at least")
    for shape in issuer.shapes:
        try:
            dialect.compile_pattern(f"(?i){shape}")
            short = dialect.min_width(dialect.parse(shape)) < _SHORTEST_VALUE
        except dialect.DialectError as error:
            raise RulePackError(f"{where}: {error}") from None
        if short:
            raise RulePackError(f"{where}: values of fewer than {_SHORTEST_VALUE} characters are no secrets")


def _canonical(name: str, content: bytes) -> str:
    """A pack without its comments, whatever the order of its keys."""
    return json.dumps(userfile.toml(content, name), sort_keys=True, default=str)


def _digest(packs: Sequence[tuple[str, bytes]], foreign: Sequence[ForeignRule], plugins: PluginSettings) -> str:
    """Of all that detection depends on, the order of rules included."""
    parts: list[object] = [[_canonical(*pack) for pack in packs], [repr(rule) for rule in foreign]]
    parts.append([sorted(plugins.off), sorted(plugins.limits.items()), plugins.files, plugins.lines, plugins.secrets])
    if not packs and not foreign and plugins == DEFAULTS:
        return ""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _without(remark: str, name: str) -> str:
    return remark.removeprefix(f"{name}: ")
