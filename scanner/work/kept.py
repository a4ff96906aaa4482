"""What reading and matching a blob gave, as bytes for a store: no value, no path of a value, nothing to guess with.

What happens within a layer depends only on its bytes and the rules, so this is all that any image with that layer
needs. Values become marks (`secrecy.seal`); they are taken out of every name around them, and what is asked of such a
name is kept instead (`called`); hashes of paths and digests of files, which could be tested against guesses, are keyed;
the key of proofs is left out, and the proofs are kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, replace
from typing import Any

from scanner.content.repositories import LooseObject
from scanner.evidence import Confidence, Evidence, Gap, Match, Severity
from scanner.image.blob import Blob
from scanner.layer.tree import clean as clean_path
from scanner.layer.walk import Ledger
from scanner.limits import MIB
from scanner.packages.model import FileDigests, Installer, Package, PrivateOrigin, Record, Versions
from scanner.secrecy.redact import Redactor
from scanner.secrecy.seal import Seal, SealedSecret, Spelling, sealed
from scanner.work.called import Called, Entry, Named, called, entry, hidden, in_repository, key_of, named
from scanner.work.jobs import BlobOutcome
from scanner.work.keyed import KeyedDigest, KeyedFiles, KeyedTree, keyed_digest, keyed_record, keyed_tree
from scanner.work.messages import LayerRead, NestedGap, Sighting

#: changes with the form and the meaning of what is kept
VERSION = 4
#: gaps that another run may not have
_PASSING = ("limit.", "spool.", "worker.", "file.", "registry.", "blob.")
_LARGEST = 512 * MIB  # of one outcome, unpacked


def keepable(outcome: BlobOutcome, named: bool = True) -> bool:
    """Whether an outcome is whole, would be the same in another run and, if *named*, is of the blob that its name says.

    What is kept by the digest that was computed needs no such name.
    """
    read = outcome.read
    if read is None or outcome.gaps or outcome.matched < read.size or outcome.partial:
        return False
    if read.digest != outcome.blob.name and (named or outcome.blob.name.startswith("sha512:")):
        return False
    gaps = (*read.gaps, *(nested.gap for nested in outcome.nested))
    return not any(is_passing(gap) for gap in gaps)


def is_passing(gap: Gap) -> bool:
    """Whether another run may not have a gap."""
    return gap.reason.startswith(_PASSING)


def seal_of(outcomes: Iterable[BlobOutcome | None]) -> Seal | None:
    """The seal of those that were kept; None if none was."""
    trees = (outcome.read.tree for outcome in outcomes if outcome is not None and outcome.read is not None)
    return next((tree.seal for tree in trees if isinstance(tree, KeyedTree)), None)


def packed(outcome: BlobOutcome, seal: Seal) -> bytes:
    """An outcome, which must be `keepable`, as bytes for a store."""
    read = outcome.read
    assert read is not None
    clean, tree = _Cleaner(outcome, seal), keyed_tree(read.tree, seal)
    document = {
        "version": VERSION,
        "size": outcome.blob.size,
        "read": {
            "compression": read.compression, "size": read.size, "digest": read.digest, "diff_id": read.diff_id,
            "members": read.ledger.members,
        },
        "tree": [_text(zlib.compress(tree.kinds, 1)), *map(_text, (tree.hashes, tree.directories, tree.links))],
        "gaps": [_gap(gap, clean) for gap in read.gaps],
        "sightings": [_sighting(each, outcome, outcome.proofs, seal, clean) for each in outcome.sightings],
        "stored": [_sighting(each, outcome, outcome.stored_proofs, seal, clean) for each in outcome.stored_sightings],
        "nested": [[clean.member(nested.member), nested.base, _gap(nested.gap, clean)] for nested in outcome.nested],
        "digests": [[each.start, {name: _text(keyed_digest(raw, seal)) for name, raw in each.digests.items()}]
                    for each in outcome.digests],
        "records": [_record(keyed_record(record, seal), clean) for record in outcome.records],
        "objects": [_object(each, seal, clean) for each in outcome.objects],
        "names": clean.rows,
        "matched": outcome.matched,
    }  # fmt: skip
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 6)


def unpacked(raw: bytes, blob: Blob, seal: Seal, digest: str = "") -> BlobOutcome | None:
    """The outcome for *blob*; None if the bytes are of another version, of another blob or none of ours.

    *digest* is that of the blob's bytes, if its name may be another.
    """
    try:
        inflate = zlib.decompressobj()
        text = inflate.decompress(raw, _LARGEST)
        document = json.loads(text) if inflate.eof else {}
        if document.get("version") != VERSION or document["read"]["digest"] != (digest or blob.name):
            return None
        return _outcome(document, blob, seal)
    except (zlib.error, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None


# -- to bytes ----------------------------------------------------------------------------------------------------------


class _Cleaner:
    """Takes all values of one blob out of its strings; ids of pairs stay, they are no secrets.

    Attributes:
        rows: each member's name once.
    """

    def __init__(self, outcome: BlobOutcome, seal: Seal) -> None:
        found = [*outcome.sightings, *outcome.stored_sightings]
        known = {item.detail for each in found for item in each.match.evidence
                 if item.check == "companion" and item.result == "id"}  # fmt: skip
        ids = {detail.encode("utf-8", "surrogateescape") for detail in known}
        values = {each.match.secret.reveal() for each in found} - ids
        spelled = {each.spelled.reveal() for each in found if each.spelled is not None} - ids
        self._redactor = Redactor(values | spelled)
        self._seal, self._key = seal, key_of(seal)
        self.rows: list[Any] = []
        self._numbers: dict[tuple[bytes, bytes], int] = {}
        members = {(each.member, each.match.secret.reveal()) for each in found if each.member is not None}
        members |= {(nested.member, b"") for nested in outcome.nested if nested.member is not None}
        entries = {(name, each.match.secret.reveal()) for each in found for name in each.inside}
        # a short value is taken out of its own finding's names only, but all of one file's findings must say so
        self._holding: set[str | bytes] = {member for member, own in members
                                           if any(self.text(name, own) != name for name in _both(member))}  # fmt: skip
        self._holding |= {name for name, own in entries if self.text(name, own) != name}

    def text(self, text: str, own: bytes = b"") -> str:
        """A string without any value."""
        return self._redactor.text(text, own=own)

    def member(self, member: bytes | None, own: bytes = b"") -> int | None:
        """A member's name as the number of its row; one that holds a value is kept without it."""
        if member is None:
            return None
        key = member, own
        if key not in self._numbers:
            stored, path = _both(member)
            row: list[Any] = [_text(self.text(stored, own).encode("utf-8", "surrogateescape"))]
            if member in self._holding:
                row += self._held(path, own, called(member, self._key))
            self._numbers[key] = len(self.rows)
            self.rows.append(row)
        return self._numbers[key]

    def entry(self, name: str, own: bytes) -> Any:
        """The name of an archive's entry; one that holds a value is kept without it."""
        return self._held(name, own, entry(name, self._key)) if name in self._holding else name

    def _held(self, name: str, own: bytes, about: Called | Entry) -> list[Any]:
        clear = self.text(name, own)
        return [clear, [_text(mark) for mark in hidden(name, clear, self._seal)], astuple(about)]


def _both(member: bytes) -> tuple[str, str]:
    """A member's name as stored, and its path as in the report."""
    return member.decode("utf-8", "surrogateescape"), clean_path(member).decode("utf-8", "surrogateescape") or "/"


def _sighting(
    each: Sighting, outcome: BlobOutcome, proofs: Mapping[tuple[int, int], str], seal: Seal, clean: _Cleaner
) -> Any:
    match, read = each.match, outcome.read
    own = match.secret.reveal()
    assert read is not None
    mac = each.mac or (proofs.get(each.stored, "") if each.apart else
                       hmac.new(read.proof_key, own, hashlib.sha256).hexdigest())  # fmt: skip
    secret = sealed(match.secret, seal, match.fixed)
    spelled = sealed(each.spelled, seal, 0) if each.spelled is not None else None
    evidence = [[item.check, item.result, clean.text(item.detail, own)] for item in match.evidence]
    return [
        [match.rule_id, match.detector, match.title, match.severity.value, match.confidence.value, match.start,
         match.end, evidence, match.fixed, match.gains],
        _secret(secret), None if spelled is None else _secret(spelled),
        clean.member(each.member, own), each.number, each.part, each.base, each.start, each.line,
        [clean.entry(name, own) for name in each.inside], list(each.encoding), list(each.stored), each.within, mac,
    ]  # fmt: skip


def _secret(secret: SealedSecret) -> Any:
    spellings = [[each.length, _text(each.head), _text(each.mark)] for each in secret.spellings]
    return [secret.print, secret.length, secret.preview, spellings, secret.is_hex, _text(secret.digest)]


def _gap(gap: Gap, clean: _Cleaner) -> Any:
    return [clean.text(gap.where), gap.reason, gap.bytes, clean.text(gap.detail)]


def _record(record: Record, clean: _Cleaner) -> Any:
    if isinstance(record, Versions):
        return ["versions", record.manager, [[clean.text(name), version] for name, version in record.versions]]
    if isinstance(record, Installer):
        return ["installer", record.home, record.name]
    if isinstance(record, PrivateOrigin):
        return ["private", record.manager, clean.text(record.reason), record.home]
    package = record.package
    about = [package.manager, clean.text(package.name), clean.text(package.version)]
    raw = map(_text, (record.hashes, record.digests, record.bare))
    return ["files", about, record.algorithm, *raw, record.root, record.registry, record.home]


def _object(each: LooseObject, seal: Seal, clean: _Cleaner) -> Any:
    """A commit or tree of git; values are taken out of its text."""
    data = clean.text(each.data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return [in_repository(each, key_of(seal)), each.kind, _text(each.digest), _text(data)]


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


# -- from bytes --------------------------------------------------------------------------------------------------------


def _outcome(document: Mapping[str, Any], blob: Blob, seal: Seal) -> BlobOutcome:
    kinds, hashes, directories, links = map(_raw, document["tree"])
    tree = KeyedTree(zlib.decompressobj().decompress(kinds, _LARGEST), hashes, directories, links, seal)
    about = document["read"]
    ledger = Ledger(data=about["size"], members=about["members"])
    gaps = tuple(_gap_of(each, blob.name) for each in document["gaps"])
    read = LayerRead(0, about["compression"], about["size"], about["digest"], about["diff_id"], b"", ledger, tree, gaps)
    names = [_name_of(row, seal) for row in document["names"]]
    outcome = BlobOutcome(blob, read, matched=document["matched"])
    outcome.sightings = [_sighting_of(each, seal, names) for each in document["sightings"]]
    outcome.stored_sightings = [_sighting_of(each, seal, names) for each in document["stored"]]
    for member, base, gap in document["nested"]:
        stored, path = (None, None) if member is None else names[member]
        outcome.nested.append(NestedGap(stored, base, _gap_of(gap, blob.name), path))
    for start, digests in document["digests"]:
        outcome.digests.append(FileDigests(start, {name: KeyedDigest(_raw(raw)) for name, raw in digests.items()}))
    outcome.records = [_record_of(each) for each in document["records"]]
    outcome.objects = [LooseObject(repository, kind, _raw(digest), _raw(data))
                       for repository, kind, digest, data in document["objects"]]  # fmt: skip
    return outcome


def _name_of(row: Any, seal: Seal) -> tuple[bytes, Named | None]:
    stored, *held = row
    return _raw(stored), _named_of(held, seal, _called_of) if held else None


def _entry_of(row: Any, seal: Seal) -> str:
    return row if isinstance(row, str) else _named_of(row, seal, lambda about: Entry(*about))


def _named_of(row: Any, seal: Seal, about: Callable[[Any], Called | Entry]) -> Named:
    text, marks, asked = row
    return named(text, about(asked), seal, tuple(map(_raw, marks)))


def _called_of(row: Any) -> Called:
    is_file, path, above, below, listed, generated, repository, source = row
    return Called(is_file, path, tuple(above), tuple(below), tuple(listed), generated, repository,
                  None if source is None else _called_of(source))  # fmt: skip


def _sighting_of(row: Any, seal: Seal, names: list[tuple[bytes, Named | None]]) -> Sighting:
    about, secret, spelled, member, number, part, base, start, line, inside, encoding, stored, within, mac = row
    rule, detector, title, severity, confidence, first, last, evidence, fixed, gains = about
    match = Match(
        rule, detector, title, Severity(severity), Confidence(confidence), first, last, _secret_of(secret, seal),
        tuple(Evidence(*item) for item in evidence), fixed, gains,
    )  # fmt: skip
    name, path = (None, None) if member is None else names[member]
    entries = tuple(_entry_of(each, seal) for each in inside)
    return Sighting(
        name, number, part, base, start, line, match, 0, entries, tuple(encoding), (stored[0], stored[1]), within,
        None if spelled is None else _secret_of(spelled, seal), mac, path,
    )  # fmt: skip


def _secret_of(row: Any, seal: Seal) -> SealedSecret:
    print_, length, preview, spellings, is_hex, digest = row
    ways = tuple(Spelling(size, _raw(head), _raw(mark)) for size, head, mark in spellings)
    return SealedSecret(seal, print_, length, preview, ways, is_hex, _raw(digest))


def _gap_of(row: Any, blob: str) -> Gap:
    where, reason, size, detail = row
    return Gap(blob, where, reason, size, detail)


def _record_of(row: Any) -> Record:
    kind, *rest = row
    if kind == "versions":
        return Versions(rest[0], tuple((name, version) for name, version in rest[1]))
    if kind == "installer":
        return Installer(rest[0], rest[1])
    if kind == "private":
        return PrivateOrigin(rest[0], rest[1], rest[2])
    package, algorithm, hashes, digests, bare, root, registry, home = rest
    return KeyedFiles(Package(*package), algorithm, _raw(hashes), _raw(digests), _raw(bare), root, registry, home)


def _raw(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def sealed_outcome(outcome: BlobOutcome, seal: Seal) -> tuple[BlobOutcome, bytes]:
    """A fresh outcome, which must be `keepable`, as it would come out of a store, and the bytes for that."""
    raw = packed(outcome, seal)
    found = unpacked(raw, outcome.blob, seal)
    assert found is not None
    assert outcome.read is not None and found.read is not None
    return replace(found, read=replace(found.read, ledger=outcome.read.ledger)), raw
