"""One secret through the audits: which images hold it, since when, and whether it is gone."""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from scanner.errors import StoreError
from scanner.known import UnusableSecret, given_secrets
from scanner.report import escape
from scanner.report.json import plain_document
from scanner.report.lines import counted
from scanner.secrecy.keys import fingerprint
from scanner.secrecy.seal import Seal
from scanner.store.database import Store
from scanner.store.layers import other_keys
from scanner.store.ledger import Appearance, appearances, audited

_FINGERPRINT = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Trail:
    """Where a secret was seen, the earliest first.

    Attributes:
        fingerprint: keyed.
    """

    fingerprint: str
    seen: tuple[Appearance, ...]

    @property
    def current(self) -> tuple[Appearance, ...]:
        """The references that hold it now."""
        return tuple(each for each in self.seen if each.current)

    @property
    def oldest(self) -> Appearance | None:
        """The oldest build that holds it, or held it; by when it was seen, where nothing tells of the build."""
        return min(self.seen, key=lambda each: (each.built or each.since, each.reference), default=None)


def trails(engine: Store, words: str, key: bytes, environment: Mapping[str, str]) -> list[Trail]:
    """What is known of a secret. Reads the store only.

    Args:
        words: a fingerprint, or a secret in the words of docker build (id=NAME,src=FILE or id=NAME,env=VAR): then one
            trail for it and each of its parts that was seen.
        key: the installation's.

    Raises:
        UnusableSecret: it cannot be read, or *words* are no fingerprint.
        StoreError: it is in no image that the store tells of, and the store does not tell of all.
        DatabaseError: the store cannot be read.
    """
    if "=" not in words:
        if not _FINGERPRINT.fullmatch(words):
            tip = "Give the 32 hexadecimal digits that a report names, or id=NAME,env=VAR."
            raise UnusableSecret("--where names no fingerprint", tip)  # it may be the secret itself: it is not told
        found = [Trail(words, tuple(appearances(engine, words)))]
        return found if found[0].seen else _sure(engine, found, None)
    prints = [fingerprint(key, part.value.reveal())
              for each in given_secrets([words], [], environment) for part in each.parts]  # fmt: skip
    found = [Trail(each, tuple(appearances(engine, each))) for each in dict.fromkeys(prints)]
    return [each for each in found if each.seen] or _sure(engine, found[:1], Seal(key).identity)


def _sure(engine: Store, found: list[Trail], key: str | None) -> list[Trail]:
    """Trails on which nothing was seen, if that says something. Raises StoreError.

    *key* is the mark of the one that the fingerprints were made with; None if they were taken from a report.
    """
    if not audited(engine):
        tip = "Name the one that audits write: --store, LEAKSCAN_STORE."
        raise StoreError("nothing was audited into that store", tip)
    if key is not None and other_keys(engine, key):
        what = "it is in no image that was audited under this key, and the store has results of another one"
        raise StoreError(what, "Set LEAKSCAN_KEY as audits do, or give the fingerprint that a report names.")
    return found


def text(trail: Trail) -> str:
    """For people: one line that answers, then every reference."""
    oldest, now = trail.oldest, trail.current
    if oldest is None:
        return f"{trail.fingerprint}: no image that was audited holds it.\n"
    gone = [each for each in trail.seen if not each.current]
    held = f"in {counted(len(now), 'image')} now"
    state = held if now else f"gone: seen last on {max(each.until for each in gone)[:10]}"
    when = f"built {oldest.built[:10]}" if oldest.built else f"seen {oldest.since[:10]}"
    lines = [f"{trail.fingerprint}: {state}; first in {escape.text(oldest.reference)}, {when}."]
    lines += [f"  {escape.text(each.reference)}  {each.digest[:19]}  since {each.since[:10]}  is there" for each in now]
    lines += [f"  {escape.text(each.reference)}  {each.digest[:19]}  since {each.since[:10]}  gone, "
              f"seen last on {each.until[:10]}" for each in gone]  # fmt: skip
    return "".join(f"{escape.line(line)}\n" for line in lines)


def json(found: Sequence[Trail]) -> str:
    """The same as a document."""
    secrets = [
        {
            "fingerprint": each.fingerprint,
            "current": len(each.current),
            "oldest": each.oldest.reference if each.oldest else None,
            "appearances": [plain_document(asdict(seen)) for seen in each.seen],
        }
        for each in found
    ]
    return escape.json(jsonlib.dumps({"schema_version": "1", "secrets": secrets}, indent=1, sort_keys=True)) + "\n"
