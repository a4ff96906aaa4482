"""Baselines: findings that were there when a project began to look, accepted until they are rotated.

An entry is a place and a value: the value as scrypt under the file's salt, so that the file may lie in a repository, a
rotated secret in the same place is new, and so is the same secret in another place. An entry made from a report without
values has the fingerprint instead, which means something only under the key that made the report.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple, Self

from scanner import userfile
from scanner.accept.entries import day
from scanner.accept.policy import Acceptance, preferred
from scanner.errors import UnusableFile
from scanner.evidence import Finding, Secret

FORMAT = "leakscan_baseline"
VERSION = 1
_KEYS = (FORMAT, "created", "key_id", "scrypt", "findings")
_ENTRY = ("id", "rule_id", "title", "surface", "path", "inside", "value", "fingerprint", "since", "reason", "expires")
_MOST_ENTRIES = 1_000_000
_MOST_MEMORY = 64 << 20
_HEX = re.compile(r"(?:[0-9a-f]{2}){8,64}")
#: what a rebuild changes in the place of a finding: digests in names, and which entry of a list a string is
_DIGEST = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
_NUMBER = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Work:
    """The salt and parameters of scrypt (RFC 7914): a guess costs 16 MiB and about 30 ms."""

    salt: bytes
    n: int = 1 << 14
    r: int = 8
    p: int = 1

    def of(self, value: bytes) -> str:
        """What stands for *value*, in hex."""
        room = 128 * self.r * (self.n + self.p + 2) + (1 << 20)
        return hashlib.scrypt(value, salt=self.salt, n=self.n, r=self.r, p=self.p, maxmem=room, dklen=32).hex()


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a baseline needs to know of a finding, whether of a scan or of its report. *value*: None if not known."""

    id: str
    rule_id: str
    title: str
    surface: str
    path: str
    inside: tuple[str, ...]
    fingerprint: str
    value: Secret | None = None

    @property
    def place(self) -> tuple[str, ...]:
        """What a rebuild keeps of where it is."""
        path = _DIGEST.sub("#", self.path)
        return self.surface, path if self.surface == "layer" else _NUMBER.sub("[]", path), *self.inside


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted finding. Either *value*, or *fingerprint*, or both are not empty."""

    sighting: Sighting
    value: str
    fingerprint: str
    since: date
    reason: str
    expires: date | None = None

    def holds(self, today: date) -> bool:
        """Whether it has not expired (`policy.Expiring`)."""
        return self.expires is None or today <= self.expires

    @property
    def identity(self) -> tuple[object, ...]:
        """What no other entry of a baseline has."""
        return self.sighting.place, self.value or self.fingerprint


class Changes(NamedTuple):
    """How many entries an update added, made anew because they had expired, and dropped."""

    new: int
    renewed: int
    gone: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline file (`policy.Acceptor`).

    Attributes:
        name: of the file, for reports.
        key_id: of the key of its fingerprints (`secrecy.keys.key_id`).
        own_key_id: of this installation's key: fingerprints are compared only if they are the same.
    """

    work: Work
    entries: tuple[Entry, ...]
    created: date
    key_id: str = ""
    name: str = "baseline"
    own_key_id: str = ""

    @classmethod
    def fresh(cls, today: date, key_id: str) -> Self:
        """An empty one with a salt of its own."""
        return cls(Work(secrets.token_bytes(16)), (), today, key_id, own_key_id=key_id)

    def accepted(
        self, findings: Sequence[Finding], values: Mapping[str, Secret], today: date
    ) -> Mapping[int, Acceptance]:
        """The findings that are in it (`policy.Acceptor`)."""
        sightings = [sighting(finding, values.get(finding.secret.fingerprint)) for finding in findings]
        known = self.known(sightings, today)
        return {at: Acceptance(self.name, entry.reason, entry.expires) for at, entry in known.items()}

    def known(self, sightings: Sequence[Sighting], today: date) -> dict[int, Entry]:
        """The entry of each of *sightings* that has one, by position; a scrypt for each value in a known place."""
        places: dict[tuple[str, ...], list[Entry]] = {}
        for entry in self.entries:
            places.setdefault(entry.sighting.place, []).append(entry)
        candidates = {at: places[each.place] for at, each in enumerate(sightings) if each.place in places}
        hashes = self._hashes(sightings[at] for at, entries in candidates.items() if any(e.value for e in entries))
        found: dict[int, Entry] = {}
        for at, entries in candidates.items():
            seen = sightings[at]
            fitting = [
                entry
                for entry in entries
                if (entry.value and entry.value == hashes.get(seen.fingerprint))
                or (entry.fingerprint and self.comparable and entry.fingerprint == seen.fingerprint)
            ]
            if (chosen := preferred(fitting, today)) is not None:
                found[at] = chosen
        return found

    @property
    def comparable(self) -> bool:
        """Whether its fingerprints mean anything here."""
        return bool(self.key_id) and self.key_id == self.own_key_id

    @property
    def bound(self) -> int:
        """How many entries only the key that made them can match."""
        return sum(not entry.value for entry in self.entries)

    def _hashes(self, sightings: Iterable[Sighting]) -> dict[str, str]:
        """What stands for each value, by fingerprint; each value once, on all processors."""
        distinct = {each.fingerprint: each.value for each in sightings if each.value is not None}
        with ThreadPoolExecutor(max_workers=4) as pool:
            made = pool.map(self.work.of, [secret.reveal() for secret in distinct.values()])
            return dict(zip(distinct, made, strict=True))

    def updated(
        self, sightings: Sequence[Sighting], today: date, reason: str, expires: date | None, complete: bool = True
    ) -> tuple[Baseline, Changes]:
        """With exactly *sightings*: known entries stay as they are, and those that have expired are made anew.

        Unless all was read (*complete*) no entry is gone because it was not seen.
        """
        known = self.known(sightings, today)
        keep = [at for at, entry in known.items() if entry.holds(today)]
        hashes = self._hashes(each for at, each in enumerate(sightings) if at not in keep)
        entries: dict[tuple[object, ...], Entry] = {}
        new = renewed = 0
        for at, seen in enumerate(sightings):
            if at in keep:
                entry = replace(known[at], sighting=replace(seen, value=None))
            else:
                value = hashes.get(seen.fingerprint, "")
                mark = "" if value else seen.fingerprint
                entry = Entry(replace(seen, value=None), value, mark, today, reason, expires)
            if entry.identity not in entries:
                entries[entry.identity] = entry
                new += at not in known
                renewed += at in known and at not in keep
        kept = {id(entry) for entry in known.values()}
        if not complete:
            # fingerprints of another key would be compared with those of this one: they cannot stay
            unseen = [each for each in self.entries
                      if id(each) not in kept and (each.value or self.comparable)]  # fmt: skip
            kept |= {id(entry) for entry in unseen}
            for entry in unseen:
                entries.setdefault(entry.identity, entry)
        made = replace(self, entries=tuple(entries.values()), key_id=self.own_key_id)
        return made, Changes(new, renewed, len(self.entries) - len(kept))

    def text(self) -> str:
        """The file: JSON, one finding a line, so that a change shows as such in a review."""
        head = {
            FORMAT: VERSION,
            "created": self.created.isoformat(),
            "key_id": self.key_id if any(entry.fingerprint for entry in self.entries) else "",
            "scrypt": {"salt": self.work.salt.hex(), "n": self.work.n, "r": self.work.r, "p": self.work.p},
        }
        lines = sorted(json.dumps(_written(entry), sort_keys=True) for entry in self.entries)
        body = "[" + ",".join(f"\n  {line}" for line in lines) + ("\n ]" if lines else "]")
        inner = json.dumps(head, indent=1)[:-2]
        return f'{inner},\n "findings": {body}\n}}\n'


def sighting(finding: Finding, value: Secret | None) -> Sighting:
    """What a baseline needs of a finding of a scan."""
    return Sighting(finding.id, finding.rule_id, finding.title, finding.surface.value, finding.path or "",
                    finding.inside, finding.secret.fingerprint, value)  # fmt: skip


@dataclass(slots=True)
class Recorder:
    """Accepts nothing, and notes what counts; the last acceptor of a policy (`policy.Acceptor`)."""

    seen: list[Sighting]

    def accepted(
        self, findings: Sequence[Finding], values: Mapping[str, Secret], _today: date
    ) -> Mapping[int, Acceptance]:
        """Nothing (`policy.Acceptor`)."""
        self.seen += [sighting(each, values.get(each.secret.fingerprint)) for each in findings if each.gated]
        return {}


def reported(document: Any, name: str) -> tuple[list[Sighting], str, bool]:
    """The gated findings of a JSON report, the id of its key, and whether all was read. Raises UnusableFile."""
    if not isinstance(document, dict) or not isinstance(document.get("findings"), list):
        raise UnusableFile(f"{name} is no report of leakscan", "Make one with --format json=FILE.")
    tool = document.get("tool")
    key = tool.get("key_id", "") if isinstance(tool, dict) else ""
    coverage = document.get("coverage")
    complete = isinstance(coverage, dict) and coverage.get("complete") is True
    try:
        gated = [each for each in document["findings"] if each["gated"]]
        return [_reported(each) for each in gated], str(key), complete
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UnusableFile(f"{name} is no report of leakscan: a finding lacks what every finding has") from None


def _reported(finding: Mapping[str, Any]) -> Sighting:
    secret = finding["secret"]
    value = secret.get("value")
    # bytes that are no UTF-8 stand as \xNN in a report: such a value cannot be told from one that is written so
    exact = isinstance(value, str) and len(value.encode()) == secret["length"]
    id, rule, title, surface = (finding[key] for key in ("id", "rule_id", "title", "surface"))
    path, inside = finding["path"] or "", tuple(finding["inside"])
    if not all(isinstance(text, str) for text in (id, rule, title, surface, path, *inside, secret["fingerprint"])):
        raise TypeError
    held = Secret(value.encode()) if exact else None
    return Sighting(id, rule, title, surface, path, inside, secret["fingerprint"], held)


# --- the file --------------------------------------------------------------------------------------------------------


def _written(entry: Entry) -> dict[str, object]:
    seen = entry.sighting
    return {
        "id": seen.id,
        "rule_id": seen.rule_id,
        "title": seen.title,
        "surface": seen.surface,
        "path": seen.path,
        "inside": list(seen.inside),
        "value": entry.value,
        "fingerprint": entry.fingerprint,
        "since": entry.since.isoformat(),
        "reason": entry.reason,
        "expires": None if entry.expires is None else entry.expires.isoformat(),
    }


def is_baseline(document: Any) -> bool:
    """Whether a JSON document says that it is a baseline of ours."""
    return isinstance(document, dict) and FORMAT in document


def parsed(document: Any, name: str, own_key_id: str) -> Baseline:
    """A baseline of a JSON document. Raises UnusableFile naming what is wrong."""
    if not is_baseline(document):
        raise UnusableFile(f"{name} is no baseline", "Make one with `leakscan baseline create IMAGE -o FILE`.")
    if document[FORMAT] != VERSION:
        raise UnusableFile(f"{name} is a baseline of version {userfile.shown(str(document[FORMAT]))}",
                           "This leakscan reads version 1.")  # fmt: skip
    userfile.known_keys(document, _KEYS, name)
    entries = document.get("findings")
    if not isinstance(entries, list) or len(entries) > _MOST_ENTRIES:
        raise UnusableFile(f"{name}: findings must be a list")
    key = document.get("key_id", "")
    if not isinstance(key, str):
        raise UnusableFile(f"{name}: key_id must be a text")
    work = _work(document.get("scrypt"), name)
    created = day(document.get("created"), f"{name}: created")
    read = tuple(_entry(table, f"{name}: finding {number}") for number, table in enumerate(entries, 1))
    return Baseline(work, read, created, key, name, own_key_id)


def _work(table: Any, name: str) -> Work:
    if not isinstance(table, dict) or set(table) != {"salt", "n", "r", "p"}:
        raise UnusableFile(f"{name}: scrypt needs salt, n, r and p")
    salt, n, r, p = (table[key] for key in ("salt", "n", "r", "p"))
    numbers = all(isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in (n, r, p))
    if not isinstance(salt, str) or not _HEX.fullmatch(salt) or not numbers:
        raise UnusableFile(f"{name}: scrypt has no parameters that can be")
    # a hostile file must not cost the memory of the machine
    if n & (n - 1) or n < 2 or n > 1 << 20 or r > 64 or p > 16 or 128 * n * r * p > _MOST_MEMORY:
        raise UnusableFile(f"{name}: scrypt would need more than {_MOST_MEMORY >> 20} MiB")
    return Work(bytes.fromhex(salt), n, r, p)


def _entry(table: Any, name: str) -> Entry:
    if not isinstance(table, dict):
        raise UnusableFile(f"{name} is no object")
    userfile.known_keys(table, _ENTRY, name)
    inside = table.get("inside", [])
    texts = {key: table.get(key, "") for key in (*_ENTRY[:5], "value", "fingerprint", "reason")}
    if not isinstance(inside, list) or not all(isinstance(each, str) for each in (*texts.values(), *inside)):
        raise UnusableFile(f"{name} holds something that is no text")
    if not (texts["value"] or texts["fingerprint"]) or not texts["surface"]:
        raise UnusableFile(f"{name} has no value and no fingerprint")
    if not texts["reason"].strip():
        raise UnusableFile(f"{name} has no reason")
    seen = Sighting(texts["id"], texts["rule_id"], texts["title"], texts["surface"], texts["path"], tuple(inside), "")
    expires = table.get("expires")
    return Entry(
        seen, texts["value"], texts["fingerprint"], day(table.get("since"), f"{name}: since"), texts["reason"],
        None if expires is None else day(expires, f"{name}: expires"),
    )  # fmt: skip
