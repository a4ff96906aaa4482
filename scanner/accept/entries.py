"""Entries `[[ignore]]` and `[[accept]]` of the settings: which findings and gaps are accepted, why and until when."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

from scanner import userfile
from scanner.accept.policy import ACCEPTABLE, Acceptance, preferred
from scanner.errors import UnusableFile
from scanner.evidence import Finding, Gap, Secret

_IGNORE = ("rules", "paths", "fingerprints", "ids", "reason", "expires")
_ACCEPT = ("paths", "gaps", "reason", "expires")
_MOST = 10_000
_INSIDE = " > "


@dataclass(frozen=True, slots=True)
class Ignore:
    """One `[[ignore]]`: a finding is accepted if each kind of condition that is given fits it."""

    acceptance: Acceptance
    rules: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    def fits(self, finding: Finding) -> bool:
        """Whether it is about *finding*."""
        return (
            (not self.rules or any(fnmatch.fnmatchcase(finding.rule_id, rule) for rule in self.rules))
            and (not self.ids or finding.id in self.ids)
            and (not self.fingerprints or finding.secret.fingerprint in self.fingerprints)
            and (not self.paths or _under(self.paths, (finding.path or "", *finding.inside)))
        )


@dataclass(frozen=True, slots=True)
class Ignores:
    """All `[[ignore]]` entries of a file (`policy.Acceptor`)."""

    entries: tuple[Ignore, ...]

    def accepted(
        self, findings: Sequence[Finding], _values: Mapping[str, Secret], today: date
    ) -> Mapping[int, Acceptance]:
        """What they accept (`policy.Acceptor`)."""
        found: dict[int, Acceptance] = {}
        for at, finding in enumerate(findings):
            chosen = preferred([entry.acceptance for entry in self.entries if entry.fits(finding)], today)
            if chosen is not None:
                found[at] = chosen
        return found


@dataclass(frozen=True, slots=True)
class AcceptedPlace:
    """One `[[accept]]`: gaps inside files at some paths (`policy.GapAcceptor`)."""

    acceptance: Acceptance
    paths: tuple[str, ...]
    gaps: tuple[str, ...] = ()

    def accepted_gap(self, gap: Gap, _today: date) -> Acceptance | None:
        """Its acceptance, if it is about *gap* (`policy.GapAcceptor`)."""
        if self.gaps and not any(fnmatch.fnmatchcase(gap.reason, reason) for reason in self.gaps):
            return None
        return self.acceptance if _under(self.paths, gap.where.split(_INSIDE)) else None


def ignores(tables: Any, where: str) -> Ignores:
    """The entries of `ignore`. Raises UnusableFile naming the entry and the reason."""
    found = []
    for name, table in _tables(tables, f"{where}: [[ignore]]"):
        userfile.known_keys(table, _IGNORE, name)
        given = {key: userfile.texts(table[key], f"{name}: {key}") for key in _IGNORE[:4] if key in table}
        if not given:
            raise UnusableFile(f"{name} must say what: rules, paths, fingerprints or ids")
        if not given.keys() - {"paths", "rules"} and all(_everything(each) for part in given.values() for each in part):
            raise UnusableFile(f"{name} would ignore every finding", "Use --fail-on never to look without failing.")
        found.append(Ignore(_acceptance(table, name), **given))
    return Ignores(tuple(found))


def accepts(tables: Any, where: str) -> tuple[AcceptedPlace, ...]:
    """The entries of `accept`. Raises UnusableFile naming the entry and the reason."""
    found = []
    for name, table in _tables(tables, f"{where}: [[accept]]"):
        userfile.known_keys(table, _ACCEPT, name)
        if "paths" not in table:
            raise UnusableFile(f"{name} must say which paths")
        reasons = userfile.texts(table["gaps"], f"{name}: gaps") if "gaps" in table else ()
        for reason in reasons:
            if not reason.startswith(ACCEPTABLE):
                what = f"{name}: {userfile.shown(reason)} cannot be accepted"
                raise UnusableFile(what, "Only gaps inside files can be: reasons that begin with nested.")
        found.append(AcceptedPlace(_acceptance(table, name), userfile.texts(table["paths"], f"{name}: paths"), reasons))
    return tuple(found)


def day(value: Any, where: str) -> date:
    """A date of TOML, or a text YYYY-MM-DD. Raises UnusableFile."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise UnusableFile(f"{where} must be a date such as 2027-03-31")


def _tables(tables: Any, where: str) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(tables, list) or len(tables) > _MOST or not all(isinstance(table, dict) for table in tables):
        raise UnusableFile(f"{where} must be a list of tables")
    return [(f"{where} {number}", table) for number, table in enumerate(tables, 1)]


def _acceptance(table: Mapping[str, Any], name: str) -> Acceptance:
    reason = table.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise UnusableFile(f"{name} has no reason", 'Say why it is accepted: reason = "..."')
    expires = day(table["expires"], f"{name}: expires") if "expires" in table else None
    return Acceptance(name, " ".join(reason.split()), expires)


def _everything(pattern: str) -> bool:
    return not pattern.strip("*/")


# --- patterns of paths -----------------------------------------------------------------------------------------------


def _under(patterns: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a pattern fits a file, or the whole way to what is inside it."""
    whole = _INSIDE.join(parts)
    expressions = map(_expression, patterns)
    return any(each.fullmatch(parts[0]) or each.fullmatch(whole) for each in expressions)


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    """`*` stays within a directory, `**` does not; without `/` a name at any depth; `dir/` all that is under it."""
    text = pattern.removeprefix("/").removeprefix("./")
    anchored = "/" in text.rstrip("/") or pattern.startswith("/")
    if text.endswith("/"):
        text += "**"
    written = "" if anchored else "(?:.*/)?"
    for part in re.split(r"(\*\*/|\*\*|\*|\?)", text):
        written += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part)
    return re.compile(written, re.DOTALL)
