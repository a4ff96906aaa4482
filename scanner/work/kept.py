"""What reading and matching a blob gave, as bytes for a store: no value, no path of a value, nothing to guess with.

What happens within a layer depends only on its bytes and the rules, so this is all that any image with that layer
needs. Values become marks (`seal`); they are taken out of every name around them; hashes of paths and digests of
files, which could be tested against guesses, are keyed; the key of proofs is left out, and the proofs are kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scanner.content.repositories import LooseObject
from scanner.evidence import Confidence, Evidence, Gap, Match, Severity
from scanner.image.blob import Blob
from scanner.layer.tree import Trail, Tree, path_hash, trail_of
from scanner.layer.tree import clean as clean_path
from scanner.layer.walk import Ledger
from scanner.limits import MIB
from scanner.packages.model import FileDigests, FileList, Installer, Package, PrivateOrigin, Record, Versions
from scanner.redact import EVERYWHERE, Redactor
from scanner.seal import Seal, SealedSecret, Spelling, sealed
from scanner.work.messages import LayerRead, NestedGap, Sighting
from scanner.work.pool import BlobOutcome

#: changes with the form and the meaning of what is kept
VERSION = 1
#: gaps that another run may not have
_PASSING = ("limit.", "spool.", "worker.", "file.", "registry.", "blob.")
_LARGEST = 512 * MIB  # of one outcome, unpacked
_KEYED = 1 << 64  # tells keyed path hashes from plain ones


@dataclass(frozen=True)
class KeyedTree(Tree):
    """A tree whose hashes are keyed; it is asked with plain hashes, or with keyed ones of a `Trail`."""

    seal: Seal = None  # type: ignore[assignment]  # always given; a base class has defaults

    def has_hash(self, kind: int, wanted: int) -> bool:
        return super().has_hash(kind, _keyed(self.seal, wanted))

    def superseded_hash(self, index: int, wanted: int) -> bool:
        return super().superseded_hash(index, _keyed(self.seal, wanted))


class _KeyedDigest(bytes):
    """The mark of a digest; equal to the digest."""

    seal: Seal

    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes) and self.seal.digest(other) == bytes(self)

    __hash__ = bytes.__hash__


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


def packed_exactly(outcome: BlobOutcome, seal: Seal) -> bytes | None:
    """An outcome, which must be `keepable`, as bytes for a store; None if a name of a file holds a value, so that whose
    file it is could not be told again exactly as by the name."""
    raw, clean = _packed(outcome, seal)
    return None if clean.renamed else raw


def _packed(outcome: BlobOutcome, seal: Seal) -> tuple[bytes, _Cleaner]:
    read = outcome.read
    assert read is not None
    both = (*outcome.sightings, *outcome.stored_sightings)
    clean = _Cleaner(both, outcome.records)
    members = _Table()
    document = {
        "version": VERSION,
        "size": outcome.blob.size,
        "read": {
            "compression": read.compression, "size": read.size, "digest": read.digest, "diff_id": read.diff_id,
            "members": read.ledger.members,
        },
        "tree": [_text(zlib.compress(read.tree.kinds, 1)), _text(_keyed_hashes(seal, read.tree.hashes))],
        "gaps": [_gap(gap, clean) for gap in read.gaps],
        "sightings": [_sighting(each, outcome, seal, clean, members) for each in outcome.sightings],
        "stored": [_sighting(each, outcome, seal, clean, members) for each in outcome.stored_sightings],
        "nested": [[_name(nested.member, clean, seal, members), nested.base, _gap(nested.gap, clean)]
                   for nested in outcome.nested],
        "digests": [[each.start, {name: _text(seal.digest(raw)) for name, raw in each.digests.items()}]
                    for each in outcome.digests],
        "records": [_record(record) for record in outcome.records],
        "objects": [_object(each, clean) for each in outcome.objects],
        "names": members.rows,
        "matched": outcome.matched,
    }  # fmt: skip
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 6), clean


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

    A short value in the name of a file that a package manager lists is a word of that package: such names stay whole,
    as records are looked up by them.

    Attributes:
        renamed: the name of a file was changed.
    """

    def __init__(self, sightings: Iterable[Sighting], records: Iterable[Record]) -> None:
        found = list(sightings)
        known = {item.detail for each in found for item in each.match.evidence
                 if item.check == "companion" and item.result == "id"}  # fmt: skip
        ids = {detail.encode("utf-8", "surrogateescape") for detail in known}
        values = {each.match.secret.reveal() for each in found} - ids
        spelled = {each.spelled.reveal() for each in found if each.spelled is not None} - ids
        self._redactor = Redactor(values | spelled)
        self._long = Redactor(value for value in values | spelled if len(value) >= EVERYWHERE)
        self.renamed = False
        self._listed = {path for record in records if isinstance(record, FileList) for path in record.paths()}

    def text(self, text: str, own: bytes = b"") -> str:
        """A string without any value."""
        return self._redactor.text(text, own=own)

    def name(self, text: str, own: bytes) -> str:
        """The name of a file without any value."""
        path = clean_path(text.encode("utf-8", "surrogateescape"))
        if {path_hash(path), path_hash(b"usr/" + path)}.isdisjoint(self._listed):
            clear = self.text(text, own)
        else:
            clear = self._long.text(text, own=own if len(own) >= EVERYWHERE else b"")
        self.renamed = self.renamed or clear != text
        return clear


class _Table:
    """Each member's name once, by number."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self._known: dict[tuple[bytes, bytes], int] = {}

    def row(self, member: bytes, own: bytes, make: Any) -> int:
        key = member, own
        if key not in self._known:
            self._known[key] = len(self.rows)
            self.rows.append(make())
        return self._known[key]


def _name(member: bytes | None, clean: _Cleaner, seal: Seal, table: _Table, own: bytes = b"") -> int | None:
    """A member's name as its number; one that holds a value is kept without it, and with its trail."""
    if member is None:
        return None

    def make() -> Any:
        before = member.decode("utf-8", "surrogateescape")
        after = clean.name(before, own)
        if after == before:
            return [_text(member)]
        trail = trail_of(member)
        hashes = array("Q", (_keyed(seal, each) % _KEYED for each in (trail.path, *trail.above))).tobytes()
        return [_text(after.encode("utf-8", "surrogateescape")), trail.is_file, _text(hashes)]

    return table.row(member, own, make)


def _sighting(each: Sighting, outcome: BlobOutcome, seal: Seal, clean: _Cleaner, table: _Table) -> Any:
    match, read = each.match, outcome.read
    own = match.secret.reveal()
    assert read is not None
    mac = each.mac or (outcome.proofs.get(each.stored, "") if each.part == "inside" else
                       hmac.new(read.proof_key, own, hashlib.sha256).hexdigest())  # fmt: skip
    secret = sealed(match.secret, seal, match.fixed)
    spelled = sealed(each.spelled, seal, 0) if each.spelled is not None else None
    evidence = [[item.check, item.result, clean.text(item.detail, own)] for item in match.evidence]
    return [
        [match.rule_id, match.detector, match.title, match.severity.value, match.confidence.value, match.start,
         match.end, evidence, match.fixed, match.gains],
        _secret(secret), None if spelled is None else _secret(spelled),
        _name(each.member, clean, seal, table, own), each.number, each.part, each.base, each.start, each.line,
        [clean.name(name, own) for name in each.inside], list(each.encoding), list(each.stored), each.within, mac,
    ]  # fmt: skip


def _secret(secret: SealedSecret) -> Any:
    spellings = [[each.length, _text(each.head), _text(each.mark)] for each in secret.spellings]
    return [secret.print, secret.length, secret.preview, spellings, secret.is_hex, _text(secret.digest)]


def _gap(gap: Gap, clean: _Cleaner) -> Any:
    return [clean.text(gap.where), gap.reason, gap.bytes, clean.text(gap.detail)]


def _record(record: Record) -> Any:
    if isinstance(record, Versions):
        return ["versions", record.manager, [list(pair) for pair in record.versions]]
    if isinstance(record, Installer):
        return ["installer", _text(record.home), record.name]
    if isinstance(record, PrivateOrigin):
        return ["private", record.manager, record.reason, _text(record.home)]
    package = record.package
    raw = (record.hashes, record.digests, record.bare, record.root, record.home)
    about = [package.manager, package.name, package.version]
    return ["files", about, record.algorithm, record.registry, *map(_text, raw)]


def _object(each: LooseObject, clean: _Cleaner) -> Any:
    """A commit or tree of git; values are taken out of its text."""
    data = clean.text(each.data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    repository = clean.text(each.repository.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return [_text(repository), each.kind, _text(each.digest), _text(data)]


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _keyed(seal: Seal, wanted: int) -> int:
    """A path's hash keyed; one that is keyed already as it is."""
    if wanted >= _KEYED:
        return wanted - _KEYED
    return int.from_bytes(seal.mark(b"path", wanted.to_bytes(8, "little"), 8), "little")


def _keyed_hashes(seal: Seal, hashes: bytes) -> bytes:
    values = array("Q")
    values.frombytes(hashes)
    return array("Q", (_keyed(seal, value) for value in values)).tobytes()


# -- from bytes --------------------------------------------------------------------------------------------------------


def _outcome(document: Mapping[str, Any], blob: Blob, seal: Seal) -> BlobOutcome:
    kinds, hashes = document["tree"]
    inflate = zlib.decompressobj()
    tree = KeyedTree(inflate.decompress(_raw(kinds), _LARGEST), _raw(hashes), seal)
    about = document["read"]
    ledger = Ledger(data=about["size"], members=about["members"])
    gaps = tuple(_gap_of(each, blob.name) for each in document["gaps"])
    read = LayerRead(0, about["compression"], about["size"], about["digest"], about["diff_id"], b"", ledger, tree, gaps)
    names = [_name_of(row) for row in document["names"]]
    outcome = BlobOutcome(blob, read, matched=document["matched"])
    outcome.sightings = [_sighting_of(each, seal, names) for each in document["sightings"]]
    outcome.stored_sightings = [_sighting_of(each, seal, names) for each in document["stored"]]
    outcome.nested = [NestedGap(None if member is None else names[member][0], base, _gap_of(gap, blob.name))
                      for member, base, gap in document["nested"]]  # fmt: skip
    for start, digests in document["digests"]:
        outcome.digests.append(FileDigests(start, {name: _digest(raw, seal) for name, raw in digests.items()}))
    outcome.records = [_record_of(each) for each in document["records"]]
    outcome.objects = [LooseObject(_raw(repository), kind, _raw(digest), _raw(data))
                       for repository, kind, digest, data in document["objects"]]  # fmt: skip
    return outcome


def _name_of(row: Any) -> tuple[bytes, Trail | None]:
    if len(row) == 1:
        return _raw(row[0]), None
    hashes = [value + _KEYED for value in memoryview(_raw(row[2])).cast("Q")]
    return _raw(row[0]), Trail(bool(row[1]), hashes[0], tuple(hashes[1:]))


def _sighting_of(row: Any, seal: Seal, names: list[tuple[bytes, Trail | None]]) -> Sighting:
    about, secret, spelled, member, number, part, base, start, line, inside, encoding, stored, within, mac = row
    rule, detector, title, severity, confidence, first, last, evidence, fixed, gains = about
    match = Match(
        rule, detector, title, Severity(severity), Confidence(confidence), first, last, _secret_of(secret, seal),
        tuple(Evidence(*item) for item in evidence), fixed, gains,
    )  # fmt: skip
    name, trail = (None, None) if member is None else names[member]
    return Sighting(
        name, number, part, base, start, line, match, 0, tuple(inside), tuple(encoding), (stored[0], stored[1]), within,
        None if spelled is None else _secret_of(spelled, seal), mac, trail,
    )  # fmt: skip


def _secret_of(row: Any, seal: Seal) -> SealedSecret:
    print_, length, preview, spellings, is_hex, digest = row
    ways = tuple(Spelling(size, _raw(head), _raw(mark)) for size, head, mark in spellings)
    return SealedSecret(seal, print_, length, preview, ways, is_hex, _raw(digest))


def _gap_of(row: Any, blob: str) -> Gap:
    where, reason, size, detail = row
    return Gap(blob, where, reason, size, detail)


def _digest(text: str, seal: Seal) -> bytes:
    mark = _KeyedDigest(_raw(text))
    mark.seal = seal
    return mark


def _record_of(row: Any) -> Record:
    kind, *rest = row
    if kind == "versions":
        return Versions(rest[0], tuple((name, version) for name, version in rest[1]))
    if kind == "installer":
        return Installer(_raw(rest[0]), rest[1])
    if kind == "private":
        return PrivateOrigin(rest[0], rest[1], _raw(rest[2]))
    package, algorithm, registry, *raw = rest
    hashes, digests, bare, root, home = map(_raw, raw)
    return FileList(Package(*package), algorithm, hashes, digests, bare, root, registry, home)


def _raw(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def sealed_outcome(outcome: BlobOutcome, seal: Seal) -> tuple[BlobOutcome, bytes] | None:
    """A fresh outcome as it would come out of a store, and the bytes for that; None as `packed_exactly` has it."""
    raw = packed_exactly(outcome, seal)
    if raw is None:
        return None
    found = unpacked(raw, outcome.blob, seal)
    assert found is not None
    assert outcome.read is not None and found.read is not None
    return replace(found, read=replace(found.read, ledger=outcome.read.ledger)), raw
