"""Places to findings: merges what several detectors saw, decides the gate, writes ids, proofs and advice, redacts.

From here on no string holds a found value, except where the user asked for it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice

from scanner.advice.case import Change, Earlier, Leak
from scanner.advice.patch import command, diff
from scanner.advice.remediation import advise
from scanner.evidence import (
    KNOWN_SECRET,
    DockerfilePlace,
    Evidence,
    Finding,
    Instruction,
    LayerPlace,
    Match,
    Proof,
    Remediation,
    RemovedBy,
    Secret,
    SecretSummary,
    Severity,
    State,
    Surface,
    is_gated,
)
from scanner.firstseen import FirstSeen
from scanner.image.instruction import Step, parse_created_by
from scanner.image.maker import Builder
from scanner.image.model import Layer
from scanner.image.recipe import Recipe
from scanner.keys import fingerprint
from scanner.locate import Place, text_of
from scanner.redact import Redactor, preview
from scanner.report.escape import plain
from scanner.seal import SealedSecret
from scanner.work.called import mark

#: what a rebuild changes in names and in the classic builder's COPY
_DIGEST = re.compile(r"(?:sha256:)?[0-9a-f]{64}|(?<=file:)[0-9a-f]+|(?<=dir:)[0-9a-f]+|(?<=multi:)[0-9a-f]+")
#: rules about names, and not about what one issuer makes
_GENERAL = ("assigned.", "login.", "url.", "context.", "command.", "web.")
#: evidence whose details are words of ours or of the user's: a value `password` found elsewhere must not mask them
_OWN_WORDS = (KNOWN_SECRET, "also-seen-by")
_ADDRESSES = "detect-secrets.public-ip-ipv4"


@dataclass(frozen=True, slots=True)
class Settings:
    """What turns a match into a gated finding, and what may be shown.

    Attributes:
        fail_on: the least severity that gates, None for never.
        key: the installation's key, for fingerprints.
        command: (place, redact) → the command that shows its bytes with standard tools, names redacted.
        builders: who made each image.
        users: who each entry of each image's history was run as.
        names: each image's names and digest for people.
        recipes: each image's history beside the Dockerfile that the user gave; empty if none was given.
    """

    fail_on: Severity | None
    show_secrets: bool
    key: bytes
    command: Callable[[Place, Callable[[str], str]], str]
    builders: Sequence[Builder] = ()
    users: Sequence[Sequence[str]] = ()
    names: Sequence[str] = ()
    recipes: Sequence[Recipe] = ()

    def builder(self, image: int) -> Builder:
        """Who made image number *image*."""
        return self.builders[image] if image < len(self.builders) else Builder.UNKNOWN

    def user(self, image: int, step: Instruction) -> str:
        """Who a step of image number *image* was run as, empty for root."""
        users = self.users[image] if image < len(self.users) else ()
        return users[step.history_index] if step.history_index < len(users) else ""

    def recipe(self, image: int) -> Recipe | None:
        """The Dockerfile beside image number *image*, if there is one."""
        return self.recipes[image] if image < len(self.recipes) else None


def merged(places: Iterable[Place]) -> list[Place]:
    """One place for each secret, surface, layer and path.

    Of overlapping matches the surest stays; what else was seen there, and how often the same value occurs in the same
    place, becomes evidence.
    """
    found: list[Place] = []
    for _, same in groupby(sorted(_innermost(places), key=_whereabouts), key=lambda place: _whereabouts(place)[:-2]):
        kept = [place for _, content in groupby(same, key=_content) for place in _strongest(list(content))]
        found += _distinct(_without_companions(kept))
    return found


def _innermost(places: Iterable[Place]) -> list[Place]:
    """Places but for those in an archive where the entry that lies there as it is was looked at by itself too."""
    everything = list(places)
    entries: dict[tuple[object, ...], set[tuple[str, ...]]] = {}
    for place in everything:
        if place.inside:
            entries.setdefault(_spot(place), set()).add(tuple(map(mark, place.inside)))
    return [
        place
        for place in everything
        if not any(
            len(inside) > len(place.inside) and inside[: len(place.inside)] == tuple(map(mark, place.inside))
            for inside in entries.get(_spot(place), ())
        )
    ] if entries else everything  # fmt: skip


def _spot(place: Place) -> tuple[object, ...]:
    layer = -1 if place.layer is None else place.layer.index
    return place.image, layer, id(place.blob), place.encoding, place.stored, place.match.secret


def _without_companions(places: Sequence[Place]) -> list[Place]:
    """Places but for the ids of pairs, which the pair's evidence names. A user or host of a pair stays what it is: a
    token may stand in a user's place."""
    known = {
        item.detail.encode("utf-8", "surrogateescape")
        for place in places
        for item in place.match.evidence
        if item.check == "companion" and item.result == "id"
    }
    return [place for place in places if not place.match.secret.among(known)]


def _whereabouts(place: Place) -> tuple[object, ...]:
    layer = -1 if place.layer is None else place.layer.index
    in_header = "tar-header" in place.encoding
    names = mark(place.path or ""), tuple(map(mark, place.inside))
    return place.image, place.surface.value, layer, *names, place.blob.name, in_header, *_content(place)


def _content(place: Place) -> tuple[tuple[str, ...], int]:
    """What offsets count from: several members may have one path, and all of them are in the layer."""
    return place.encoding, place.content


def _quality(place: Place) -> tuple[object, ...]:
    match = place.match
    return (
        match.rule_id != KNOWN_SECRET,
        match.confidence.rank,
        match.severity.rank,
        _family(match),
        -(match.end - match.start),
        place.stored,
        match.rule_id,
    )


def _family(match: Match) -> int:
    """Who is believed where matches are as sure and as bad: rules of one issuer, then what a file's own format says,
    then names and the like, then detect-secrets."""
    if match.detector == "file":
        return 1
    if match.detector != "pattern":
        return 3
    return 2 if match.rule_id.startswith(_GENERAL) else 0


def _strongest(places: Sequence[Place]) -> list[Place]:
    """Of matches that overlap, the best; the others are named in its evidence."""
    kept: list[Place] = []
    spans: list[tuple[int, int, int]] = []  # start, end and number of those kept, in order: they never overlap
    also: dict[int, set[str]] = {}
    beside: dict[int, dict[Evidence, None]] = {}
    for place in sorted(places, key=_quality):
        start, end = place.offset, place.offset + place.match.end - place.match.start
        at = bisect_left(spans, (end, 0, 0))
        over = min((number for _, last, number in spans[max(0, at - 2) : at] if start < last), default=None)
        if over is None:
            spans.insert(at, (start, end, len(kept)))
            kept.append(place)
        else:
            if place.match.rule_id != kept[over].match.rule_id:
                also.setdefault(over, set()).add(place.match.rule_id)
            elif place.match.rule_id == KNOWN_SECRET:  # another secret, or a part of one, within the same bytes
                kept[over] = _with(kept[over], *(e for e in place.match.evidence if e not in kept[over].match.evidence))
            if place.match.detector == "file" and place.match.secret == kept[over].match.secret:
                companions = (item for item in place.match.evidence if item.check == "companion")
                beside.setdefault(over, {}).update(dict.fromkeys(companions))
    for number, named in beside.items():  # the rule that is believed need not know whom the secret is for
        known = {item.detail for item in kept[number].match.evidence if item.check == "companion"}
        for item in named:
            kept[number] = kept[number] if item.detail in known else _with(kept[number], item)
    for number, rules in also.items():
        kept[number] = _with(kept[number], Evidence("also-seen-by", "match", ", ".join(sorted(rules))))
    return kept


def _with(place: Place, *evidence: Evidence) -> Place:
    return replace(place, match=replace(place.match, evidence=(*place.match.evidence, *evidence)))


def _distinct(places: Iterable[Place]) -> list[Place]:
    """One place for each value; the first one, with the number of the others as evidence."""
    found = []
    ordered = sorted(places, key=lambda p: (_sort_of(p), p.match.confidence.rank, p.match.severity.rank, p.offset))
    for _, same in groupby(ordered, key=_sort_of):
        seen = list(same)
        # a document is looked at as it lies there and with its escapes decoded: that is one sighting, not two
        least = min(len(place.encoding) for place in seen)
        first, *others = [place for place in seen if len(place.encoding) == least]
        if others:
            first = _with(first, Evidence("occurrences", str(1 + len(others)), "sightings in the same place"))
        found.append(first)
    return found


def _sort_of(place: Place) -> bytes:
    """What makes two places in one content one finding: the value. Addresses are no secrets: a file's are one."""
    match = place.match
    return _ADDRESSES.encode() if match.rule_id == _ADDRESSES else match.secret.order


class Steps:
    """Which values stand in the text of which build step, so that no report of the step shows any of them."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._secrets: dict[str, dict[Secret, str]] = {}  # with what each of them is
        self._spelled: dict[str, list[Secret]] = {}
        self._files: dict[str, dict[tuple[Secret, str], str]] = {}
        in_files = []
        for place in places:
            if place.instruction is None:
                continue
            created_by, secret = place.instruction.created_by, place.match.secret
            if place.surface is Surface.LAYER and place.path is not None:
                in_files.append((place.image, place.content, created_by, secret, place.path))
            if place.surface in (Surface.HISTORY, Surface.CONFIG):
                self._secrets.setdefault(created_by, {}).setdefault(secret, place.match.title)
                if place.spelled is not None:
                    self._spelled.setdefault(created_by, []).append(place.spelled)

        # as they lie in the layer: values may have been taken out of the names
        for _, _, created_by, secret, path in sorted(in_files, key=lambda each: each[:2]):
            self._files.setdefault(created_by, {})[secret, mark(path)] = path

    def secrets(self, created_by: str | None) -> tuple[Secret, ...]:
        """The values in a step's text; none for an unknown step."""
        return tuple(self._secrets.get(created_by or "", ()))

    def titles(self, created_by: str | None) -> Mapping[Secret, str]:
        """What the values in a step's text are, for people."""
        return self._secrets.get(created_by or "", {})

    def files(self, created_by: str | None) -> tuple[str, ...]:
        """Paths of files in which a step left a value that stands in its text as well, 100 at most."""
        inside = set(self.secrets(created_by))
        files = self._files.get(created_by or "", {}) if inside else {}
        found = {name: path for (secret, name), path in islice(files.items(), 10_000) if secret in inside}
        return tuple(found.values())[:100]

    def redacted(self, created_by: str, redactor: Redactor, *own: Secret) -> str:
        """A step's text without any of its values, however it spells them, nor those of *own*."""
        values = [secret.reveal() for secret in (*own, *self.secrets(created_by), *self._spelled.get(created_by, ()))]
        return plain(redactor.text(created_by, own=values))


@dataclass(frozen=True, slots=True)
class _Image:
    """What findings of one scan share."""

    settings: Settings
    redactor: Redactor
    steps: Steps
    layers: Sequence[Sequence[Layer]]
    first: FirstSeen
    seen: dict[str, int]
    read: dict[str, Step]

    def redacted(self, place: Place, text: str) -> str:
        """A string of a place without any value, as reports show it."""
        return plain(self.redactor.text(text, own=place.match.secret.reveal()))

    def parsed(self, step: Instruction) -> Step:
        """A build step, read once for all findings."""
        found = self.read.get(step.created_by)
        if found is None:
            found = self.read[step.created_by] = parse_created_by(step.created_by)
        return found


def findings(
    places: Sequence[Place],
    settings: Settings,
    redactor: Redactor,
    steps: Steps,
    layers: Sequence[Sequence[Layer]],
) -> list[Finding]:
    """Findings in a stable order, every string redacted.

    Args:
        places: as `merged` gives them.
        redactor, steps: made of the same places.
        layers: the layers of each image, for naming the step that removed a file.
    """
    shared = _Image(settings, redactor, steps, layers, FirstSeen(places, settings.key), {}, {})
    paths = [None if place.path is None else shared.redacted(place, place.path) for place in places]
    # by paths as they are shown: names that hold values may have been taken out before
    ordered = sorted(zip(places, paths, strict=True), key=lambda each: _order(*each))
    return [_finding(place, path, shared) for place, path in ordered]


def _order(place: Place, path: str | None) -> tuple[object, ...]:
    layer = -1 if place.layer is None else place.layer.index
    return place.image, layer, path or "", place.content, place.offset, place.match.rule_id, place.order


def _finding(place: Place, path: str | None, image: _Image) -> Finding:
    match = place.match

    def redacted(text: str) -> str:
        return image.redacted(place, text)

    step = place.instruction
    if step is not None:
        step = replace(step, created_by=image.steps.redacted(step.created_by, image.redactor, match.secret))
    layer = None if place.layer is None else LayerPlace(place.layer.index, place.layer.digest, place.layer.diff_id)
    return Finding(
        id=_identity(place, path, step, image.seen),
        rule_id=match.rule_id,
        detector=match.detector,
        title=match.title,
        severity=match.severity,
        confidence=match.confidence,
        gated=is_gated(match.severity, match.confidence, image.settings.fail_on),
        secret=_summary(place, image.settings),
        surface=place.surface,
        layer=layer,
        path=path,
        inside=tuple(redacted(name) for name in place.inside),
        line=place.line,
        offset=place.offset,
        encoding=place.encoding,
        state=place.state,
        removed_by=_removed_by(place, image),
        instruction=step,
        evidence=tuple(item if item.check in _OWN_WORDS else replace(item, detail=redacted(item.detail))
                       for item in match.evidence),
        proof=_proof(place, image.settings, redacted),
        remediation=_advice(place, image),
        origin=_origin(place, redacted),
        platform=place.platform,
        gains=match.gains,
        dockerfile=_written_at(place, image),
    )  # fmt: skip


def _origin(place: Place, redacted: Callable[[str], str]) -> dict[str, object]:
    """Whose file it is in; the names of a package come from the image like all others."""
    package = place.origin.get("package")
    if not isinstance(package, Mapping):
        return dict(place.origin)
    clear = {key: redacted(value) if isinstance(value, str) else value for key, value in package.items()}
    return {**place.origin, "package": clear}


def _advice(place: Place, image: _Image) -> Remediation:
    created_by = None if place.instruction is None else place.instruction.created_by
    secret = place.match.secret
    others = tuple(other for other in image.steps.secrets(created_by) if other != secret)
    following = list(_following(place, image))
    recipe = image.settings.recipe(place.image)
    made = recipe.made.get(place.instruction.history_index) if recipe and place.instruction else None
    leak = Leak(
        surface=place.surface,
        state=place.state,
        path=place.path,
        created_by=created_by,
        secret=secret,
        others=others,
        builder=image.settings.builder(place.image),
        user=image.settings.user(place.image, place.instruction) if place.instruction else "",
        following=tuple(
            replace(image.parsed(step), user=image.settings.user(place.image, step)) for step in following
        ),
        files=image.steps.files(created_by),
        variables=recipe.dockerfile.sets_variables if recipe else None,
        written=made.text if made else "",
        flags=made.flags if made else None,
        image=image.settings.names[place.image] if place.image < len(image.settings.names) else "",
        earlier=_earlier(place, image.first),
        titles={**image.steps.titles(created_by), secret: place.match.title},
    )

    def changed(change: Change) -> tuple[str | None, str | None]:
        if recipe is None or place.instruction is None:
            return None, None
        steps = [*following, place.instruction]  # the last is OWN
        edits = {steps[at].history_index: text for at, text in change.steps.items()}
        asked = recipe, edits, change.arguments, change.ignored
        found = diff(*asked)
        if found is None or image.settings.show_secrets:
            return None if found is None else plain(found), None
        clear = image.steps.redacted(found, image.redactor, secret, *others)
        script = command(*asked) if clear != plain(found) else None
        if script is not None and image.steps.redacted(script, image.redactor, secret, *others) != script:
            script = None  # another secret stays in the instruction: masked, it would be written into the file
        return clear, script

    return advise(leak, image.redactor, changed)


def _earlier(place: Place, seen: FirstSeen) -> Earlier | None:
    before = seen.before(place)
    if before is None or before.layer is None or before.path is None:
        return None
    found, step = Earlier(before.path, before.layer.index, seen.again(place)), before.instruction
    if step is None or step.range is not None:
        return found
    return replace(found, step=step.history_index, created_by=step.created_by)


def _following(place: Place, image: _Image) -> Iterator[Instruction]:
    """The steps after the one that brought a secret in, as far as it stays in sight."""
    layers = image.layers[place.image] if place.image < len(image.layers) else ()
    if place.instruction is None:
        return
    for layer in layers:
        step = layer.instruction
        if step is None or step.history_index <= place.instruction.history_index:
            continue
        yield step
        if layer.index == place.removed_by:
            return


def _written_at(place: Place, image: _Image) -> DockerfilePlace | None:
    recipe = image.settings.recipe(place.image)
    made = recipe.made.get(place.instruction.history_index) if recipe and place.instruction else None
    return DockerfilePlace(plain(recipe.dockerfile.path), made.line, made.end_line) if recipe and made else None


def _removed_by(place: Place, image: _Image) -> RemovedBy | None:
    if place.removed_by is None or place.state is State.LIVE or place.surface is not Surface.LAYER:
        return None
    layers = image.layers[place.image] if place.image < len(image.layers) else ()
    step = layers[place.removed_by].instruction if place.removed_by < len(layers) else None
    if step is None:
        return RemovedBy(place.removed_by, None)
    return RemovedBy(place.removed_by, image.steps.redacted(step.created_by, image.redactor, place.match.secret))


def _summary(place: Place, settings: Settings) -> SecretSummary:
    secret = place.match.secret
    if isinstance(secret, SealedSecret):
        return SecretSummary(secret.preview, secret.length, secret.print)
    value = secret.reveal()
    shown = plain(text_of(value)) if settings.show_secrets else None
    return SecretSummary(
        preview(value, value[: place.match.fixed].decode("ascii", "replace")),
        len(value),
        fingerprint(settings.key, value),
        shown,
    )


def _proof(place: Place, settings: Settings, redacted: Callable[[str], str]) -> Proof:
    offset, length = place.stored
    mac = place.mac
    if not mac and place.proof_key:  # the secret stands there as it is
        stored = place.match.stored or place.match.secret
        mac = hmac.new(place.proof_key, stored.reveal(), hashlib.sha256).hexdigest()
    return Proof(
        blob=place.blob.name,
        member=None if place.member is None else redacted(text_of(place.member)),
        member_offset=place.member_offset,
        offset=offset,
        length=length,
        hmac=mac,
        command=settings.command(place, redacted),
    )


def _identity(place: Place, path: str | None, instruction: Instruction | None, seen: dict[str, int]) -> str:
    """An id that a rebuild keeps: of the rule, the place and the step, never of the secret or of digests. The same
    rule in the same place again is told apart by its number in order of appearance."""
    created_by = instruction.created_by if instruction else None
    base = identity(place.match.rule_id, place.surface.value, path, place.encoding, created_by)
    seen[base] = seen.get(base, 0) + 1
    return base if seen[base] == 1 else f"{base}-{seen[base]}"


def identity(rule_id: str, surface: str, path: str | None, encoding: Sequence[str], created_by: str | None) -> str:
    """The id of the first finding of a rule in a place, of the strings that a report shows."""
    parts = [
        rule_id,
        surface,
        _DIGEST.sub("#", path or ""),
        list(encoding),
        _DIGEST.sub("#", created_by) if created_by is not None else None,
    ]
    return f"lk-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"
