"""What a sighting is in this image: which surface, path, state and build step it belongs to."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from scanner.evidence import Evidence, Instruction, Match, Secret, State, Surface
from scanner.image.blob import Blob
from scanner.image.documents import JsonString, strings
from scanner.image.instruction import parse_created_by
from scanner.image.model import Document, Image, Layer
from scanner.layer.expand import PROOF_SUFFIX
from scanner.layer.tree import clean
from scanner.places.states import Fate, fate
from scanner.work.called import Called, Named
from scanner.work.jobs import BlobOutcome
from scanner.work.keyed import KeyedTree, keyed_tree
from scanner.work.messages import Sighting

#: Settings of a config, with the instruction that sets each.
SETTINGS = {
    "Env": "ENV",
    "Labels": "LABEL",
    "Cmd": "CMD",
    "Entrypoint": "ENTRYPOINT",
    "Healthcheck": "HEALTHCHECK",
    "OnBuild": "ONBUILD",
    "User": "USER",
    "WorkingDir": "WORKDIR",
    "Volumes": "VOLUME",
    "ExposedPorts": "EXPOSE",
    "StopSignal": "STOPSIGNAL",
    "Shell": "SHELL",
}


_LINKED = Evidence("hard-link", "live", "it is in the final filesystem under another name, a hard link to this file")


@dataclass(frozen=True, slots=True)
class Place:
    """A match and all that is known about where it lies. Strings are as in the image, not redacted.

    Attributes:
        blob: the blob whose bytes prove it; *compression* tells how those are stored.
        proof_key: see `layer.expand.Digests`.
        stored: offset and length of the secret's bytes in the uncompressed blob.
        member_offset: of the member's data in the uncompressed blob, None outside members.
        offset: of the secret in the innermost decoded content.
        content: where that content starts in the uncompressed blob; members of one path are told apart by it.
        removed_by: index of the layer that deleted, overwrote or hid it.
        inside: path through nested archives.
        order: which of the blob's sightings it is, as they lie there.
        mac: HMAC of the stored bytes, in hex, where those are not the secret itself; empty if it was not taken.
        spelled: how the text of a document spells the secret, None if it stands there as it is.
        origin: whose file it is in, as in the report; see `places.origin.attributed`.
        image: which image of the reference; *platform* is its platform, set only if there are several.
    """

    match: Match
    surface: Surface
    blob: Blob
    compression: str
    proof_key: bytes
    stored: tuple[int, int]
    offset: int
    path: str | None = None
    member: bytes | None = None
    member_offset: int | None = None
    layer: Layer | None = None
    line: int | None = None
    encoding: tuple[str, ...] = ()
    state: State = State.LIVE
    removed_by: int | None = None
    instruction: Instruction | None = None
    image: int = 0
    platform: str | None = None
    content: int = 0
    inside: tuple[str, ...] = ()
    order: int = 0
    mac: str = ""
    spelled: Secret | None = None
    origin: Mapping[str, object] = field(default_factory=lambda: {"kind": "user"})


def text_of(raw: bytes) -> str:
    """A name from an image as a string; undecodable bytes are surrogate-escaped until a report shows them."""
    return raw.decode("utf-8", "surrogateescape")


def path_of(member: bytes, named: Named | None) -> str:
    """The path of a member, of its name as stored or without the values that stood in that."""
    return text_of(clean(member)) or "/" if named is None else named


def _asked(member: bytes, named: Named | None) -> bytes | Called:
    return named.about if named is not None and isinstance(named.about, Called) else member


def layer_places(
    image: Image, outcomes: Sequence[BlobOutcome | None], number: int, platform: str | None
) -> Iterator[Place]:
    """The places of all sightings in the layers of *image*.

    Args:
        outcomes: one for each layer, None where there are no bytes.
        number, platform: see `Place.image`.
    """
    trees = [outcome.read.tree if outcome and outcome.read else None for outcome in outcomes]
    seals = [each.named.seal for outcome in outcomes if outcome for each in outcome.sightings if each.named is not None]
    seals += [tree.seal for outcome, tree in zip(outcomes, trees, strict=True)
              if isinstance(tree, KeyedTree) and tree.links and outcome and outcome.sightings]  # fmt: skip
    if seals:  # names that are masked, and those of hard links, have keyed hashes only
        trees = [None if tree is None else keyed_tree(tree, seals[0]) for tree in trees]

    @cache
    def fate_of(index: int, member: bytes | Called, place: int, data: bool) -> Fate:
        return fate(trees, index, member, place, data)

    for layer, outcome in zip(image.layers, outcomes, strict=True):
        if outcome is not None and layer.blob is not None:
            for order, sighting in enumerate(sorted(outcome.sightings, key=_lies)):
                yield replace(_in_layer(layer, outcome, sighting, fate_of, number, platform), order=order)
            for sighting in outcome.stored_sightings:
                yield replace(_stored(layer, outcome, sighting), image=number, platform=platform)


def _lies(sighting: Sighting) -> tuple[object, ...]:
    """Where a sighting lies in its blob. They come from many workers, but those within one content from one."""
    return sighting.base, sighting.within, sighting.stored, sighting.start


def _in_layer(
    layer: Layer, outcome: BlobOutcome, sighting: Sighting, fate_of: Callable[[int, bytes | Called, int, bool], Fate],
    number: int, platform: str | None,
) -> Place:  # fmt: skip
    match, state, removed_by = sighting.match, State.HIDDEN, None  # bytes of no member never reach the filesystem
    if sighting.member is not None:
        end = fate_of(layer.index, _asked(sighting.member, sighting.named), sighting.number, _in_data(sighting))
        state, removed_by = end.state, end.layer
        match = replace(match, evidence=(*match.evidence, _LINKED)) if end.linked else match
    return replace(
        _in_blob(Surface.LAYER, outcome, sighting, stored=False),
        match=match,
        path=None if sighting.member is None else path_of(sighting.member, sighting.named),
        layer=layer,
        state=state,
        removed_by=removed_by,
        instruction=layer.instruction,
        image=number,
        platform=platform,
    )


def _stored(layer: Layer, outcome: BlobOutcome, sighting: Sighting) -> Place:
    """A sighting in compressed bytes' own fields: gzip header, skippable zstd frame, what follows the stream."""
    place = _in_blob(Surface.LAYER, outcome, sighting, stored=True)
    return replace(place, layer=layer, instruction=layer.instruction)


def blob_places(document: Document, outcome: BlobOutcome) -> Iterator[Place]:
    """The places of sightings in a blob that is no layer and no JSON: unreferenced layers, leftovers."""
    surface, plain = Surface(document.surface), len(outcome.sightings)
    for order, sighting in enumerate((*sorted(outcome.sightings, key=_lies), *outcome.stored_sightings)):
        inner = document.where
        if sighting.member:
            inner = f"{document.where}: {sighting.named or text_of(clean(sighting.member))}"
            inner = sighting.named.again(inner, f"{document.where}: {sighting.named.mark}") if sighting.named else inner
        state = State.HIDDEN if sighting.member else State.LIVE
        place = _in_blob(surface, outcome, sighting, stored=order >= plain)
        yield replace(place, path=inner, state=state, order=order)


def _in_blob(surface: Surface, outcome: BlobOutcome, sighting: Sighting, *, stored: bool) -> Place:
    """What the bytes of a blob tell of a sighting in them, in the *stored* ones or in the plain ones."""
    match, read = sighting.match, outcome.read
    header = sighting.part in ("structure", "name")
    proofs = outcome.stored_proofs if stored else outcome.proofs
    base = 0 if stored else sighting.base
    return Place(
        match=match,
        surface=surface,
        blob=outcome.blob,
        compression="stored" if stored else read.compression if read else "",
        proof_key=read.proof_key if read else b"",
        stored=sighting.stored if sighting.apart else (sighting.start, match.end - match.start),
        offset=sighting.start if sighting.apart else sighting.start - base,
        member=sighting.member,
        member_offset=sighting.base if _in_data(sighting) and sighting.member is not None else None,
        line=sighting.line,
        encoding=(*(("tar-header",) if header else sighting.encoding), *match.encoding),
        state=State.HIDDEN,
        content=sighting.within if sighting.part == "inside" else base,
        inside=sighting.inside,
        mac=sighting.mac or (proofs.get(sighting.stored, "") if sighting.apart else ""),
        spelled=match.stored,
    )


def _in_data(sighting: Sighting) -> bool:
    return sighting.part in ("data", "inside")


@dataclass(frozen=True, slots=True)
class Text:
    """A small document that is matched whole, with the image it belongs to if it belongs to one."""

    document: Document
    image: Image | None = None
    number: int = 0
    platform: str | None = None


def text_places(text: Text, sightings: Sequence[Sighting]) -> Iterator[Place]:
    """The places of all sightings in a document: JSON paths, and for history entries the build step.

    The document is read again, as keeping the strings of all of them takes much memory. Raises OSError.
    """
    raw = text.document.blob.read()
    key = hashlib.sha256(raw + PROOF_SUFFIX).digest()
    places = strings(raw) if text.document.is_json else iter(())
    string = next(places, None)
    for sighting in sorted(sightings, key=_in_text):
        while string is not None and string.end < _in_text(sighting):
            string = next(places, None)
        inside = string is not None and string.start <= _in_text(sighting)
        if inside and string is not None and _cut_by_escape(raw, string, sighting):
            continue
        yield _text_place(text, sighting, string if inside else None, key)


def _cut_by_escape(raw: bytes, string: JsonString, sighting: Sighting) -> bool:
    """Whether an escape of JSON (`\\u003c`) touches or cuts a sighting in a document as it lies there.

    Then the value is not what stands in the string; the decoded string is looked at as well and has it whole.
    """
    if sighting.part != "text" or not string.escaped:
        return False
    end = sighting.start + sighting.match.end - sighting.match.start
    return b"\\" in raw[max(string.start, sighting.start - 6) : end + 1]


def _in_text(sighting: Sighting) -> int:
    if sighting.part == "inside":
        return sighting.stored[0]
    return sighting.base if sighting.part == "string" else sighting.start


def _text_place(text: Text, sighting: Sighting, string: JsonString | None, key: bytes) -> Place:
    match, document = sighting.match, text.document
    encoding = sighting.encoding
    stored = sighting.stored if sighting.part == "inside" else (sighting.start, match.end - match.start)
    if sighting.part == "string" and string is not None:
        stored, encoding = (string.start, string.end - string.start), ("json-string",)
    encoding = (*encoding, *match.encoding)
    surface, path = Surface(document.surface), string.path if string else document.where
    step = _history_step(text, path) if surface is Surface.CONFIG else None
    if step is not None:
        surface = Surface.HISTORY
    return Place(
        match=match,
        surface=surface,
        blob=document.blob,
        compression="",
        proof_key=key,
        stored=stored,
        offset=sighting.start,
        path=path if surface in (Surface.CONFIG, Surface.HISTORY) else f"{document.where}: {path}" if string else path,
        line=None if string else sighting.line,
        encoding=encoding,
        instruction=step or _setting_step(text, path, match),
        image=text.number,
        platform=text.platform,
        content=sighting.within if sighting.part == "inside" else sighting.base,
        inside=sighting.inside,
        mac=_mac(text.document, stored, key) if encoding else "",
        spelled=sighting.spelled or match.stored,
    )


def _mac(document: Document, stored: tuple[int, int], key: bytes) -> str:
    """The HMAC of a document's bytes, in hex. Raises OSError."""
    return hmac.new(key, document.blob.read(*stored), hashlib.sha256).hexdigest()


def _history_step(text: Text, path: str) -> Instruction | None:
    if text.image is None or text.image.config is None or not path.startswith("history["):
        return None
    history = text.image.config.history
    number = int(path[8 : path.index("]")])
    if "v1Compatibility" in path:  # schema 1 lists the newest first
        number = len(history) - 1 - number
    return Instruction(number, history[number].created_by) if 0 <= number < len(history) else None


def _setting_step(text: Text, path: str, match: Match) -> Instruction | None:
    """The step that set a config value: the last history entry of the setting's kind that holds the very bytes, else
    the last one of any kind; builders record what they set."""
    if text.image is None or text.image.config is None or not path.startswith(("config.", "container_config.")):
        return None
    value = text_of(match.secret.reveal())
    kind = SETTINGS.get(path.split(".")[1].partition("[")[0], "")
    holding = [
        Instruction(number, entry.created_by)
        for number, entry in enumerate(text.image.config.history)
        if value in entry.created_by
    ]
    own = [step for step in holding if parse_created_by(step.created_by).kind == kind]
    return next(iter(reversed(own or holding)), None)
