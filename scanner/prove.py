"""Places to findings: decides the gate, writes ids, proofs and advice, redacts.

From here on no string holds a found value, except where the user asked for it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from scanner.advice.case import Change, Earlier, Leak
from scanner.advice.patch import command, diff
from scanner.advice.remediation import advise
from scanner.evidence import (
    KNOWN_SECRET,
    DockerfilePlace,
    Finding,
    Instruction,
    LayerPlace,
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
from scanner.image import dockerfile
from scanner.image.instruction import Step, parse_created_by
from scanner.image.maker import Builder
from scanner.image.model import Layer
from scanner.image.recipe import Recipe
from scanner.places.firstseen import FirstSeen
from scanner.places.locate import Place, text_of
from scanner.report.escape import plain
from scanner.secrecy.keys import fingerprint
from scanner.secrecy.redact import Redactor, preview
from scanner.secrecy.seal import SealedSecret
from scanner.secrecy.steps import Steps

#: what a rebuild changes in names and in the classic builder's COPY
_DIGEST = re.compile(r"(?:sha256:)?[0-9a-f]{64}|(?<=file:)[0-9a-f]+|(?<=dir:)[0-9a-f]+|(?<=multi:)[0-9a-f]+")
#: evidence whose details are words of ours or of the user's: a value `password` found elsewhere must not mask them
_OWN_WORDS = (KNOWN_SECRET, "also-seen-by")


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
        systems: what each image runs on, as its config calls it: linux, windows.
    """

    fail_on: Severity | None
    show_secrets: bool
    key: bytes
    command: Callable[[Place, Callable[[str], str]], str]
    builders: Sequence[Builder] = ()
    users: Sequence[Sequence[str]] = ()
    names: Sequence[str] = ()
    recipes: Sequence[Recipe] = ()
    systems: Sequence[str] = ()

    def builder(self, image: int) -> Builder:
        """Who made image number *image*."""
        return self.builders[image] if image < len(self.builders) else Builder.UNKNOWN

    def user(self, image: int, step: Instruction) -> str:
        """Who a step of image number *image* was run as, empty for root."""
        users = self.users[image] if image < len(self.users) else ()
        return users[step.history_index] if step.history_index < len(users) else ""

    def mounts(self, image: int) -> bool:
        """Whether builds of image number *image* can mount secrets."""
        return image >= len(self.systems) or self.systems[image] != "windows"

    def recipe(self, image: int) -> Recipe | None:
        """The Dockerfile beside image number *image*, if there is one."""
        return self.recipes[image] if image < len(self.recipes) else None


@dataclass(frozen=True, slots=True)
class _Built:
    """The build step that made a layer, as it is recorded and as its author may have written it."""

    layer: int
    instruction: Instruction
    step: Step


@dataclass(frozen=True, slots=True)
class _Scan:
    """What all findings of a scan share.

    Attributes:
        built: the steps that made layers, of each image, the base first.
    """

    settings: Settings
    redactor: Redactor
    steps: Steps
    built: Sequence[Sequence[_Built]]
    first: FirstSeen

    def redacted(self, place: Place, text: str) -> str:
        """A string of a place without any value, as reports show it."""
        return plain(self.redactor.text(text, own=place.match.secret.reveal()))

    def step_text(self, created_by: str, *own: Secret) -> str:
        """The text of a build step without any value, nor those of *own*."""
        return self.steps.redacted(created_by, self.redactor, *own)

    def made(self, place: Place) -> dockerfile.Instruction | None:
        """The instruction of the user's Dockerfile that brought a secret in, if that is known."""
        recipe = self.settings.recipe(place.image)
        return recipe.made.get(place.instruction.history_index) if recipe and place.instruction else None

    def built_in(self, image: int) -> Sequence[_Built]:
        """The steps that made layers of image number *image*."""
        return self.built[image] if image < len(self.built) else ()


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
    built = [tuple(_built(image, number, settings)) for number, image in enumerate(layers)]
    scan = _Scan(settings, redactor, steps, built, FirstSeen(places, settings.key))
    paths = [None if place.path is None else scan.redacted(place, place.path) for place in places]
    # by paths as they are shown: names that hold values may have been taken out before
    ordered = sorted(zip(places, paths, strict=True), key=lambda each: _order(*each))
    return _numbered([_finding(place, path, scan) for place, path in ordered])


def _built(layers: Sequence[Layer], image: int, settings: Settings) -> Iterator[_Built]:
    for layer in layers:
        if layer.instruction is not None:
            step = parse_created_by(layer.instruction.created_by)
            yield _Built(layer.index, layer.instruction, replace(step, user=settings.user(image, layer.instruction)))


def _numbered(found: Sequence[Finding]) -> list[Finding]:
    """Findings whose ids differ: the same rule in the same place again is told apart by its number."""
    seen: Counter[str] = Counter()
    numbered = []
    for finding in found:
        seen[finding.id] += 1
        again = seen[finding.id]
        numbered.append(finding if again == 1 else replace(finding, id=f"{finding.id}-{again}"))
    return numbered


def _order(place: Place, path: str | None) -> tuple[object, ...]:
    layer = -1 if place.layer is None else place.layer.index
    return place.image, layer, path or "", place.content, place.offset, place.match.rule_id, place.order


def _finding(place: Place, path: str | None, scan: _Scan) -> Finding:
    match = place.match

    def redacted(text: str) -> str:
        return scan.redacted(place, text)

    step = place.instruction
    if step is not None:
        step = replace(step, created_by=scan.step_text(step.created_by, match.secret))
    layer = None if place.layer is None else LayerPlace(place.layer.index, place.layer.digest, place.layer.diff_id)
    return Finding(
        id=identity(match.rule_id, place.surface.value, path, place.encoding, step.created_by if step else None),
        rule_id=match.rule_id,
        detector=match.detector,
        title=match.title,
        severity=match.severity,
        confidence=match.confidence,
        gated=is_gated(match.severity, match.confidence, scan.settings.fail_on),
        secret=_summary(place, scan.settings),
        surface=place.surface,
        layer=layer,
        path=path,
        inside=tuple(redacted(name) for name in place.inside),
        line=place.line,
        offset=place.offset,
        encoding=place.encoding,
        state=place.state,
        removed_by=_removed_by(place, scan),
        instruction=step,
        evidence=tuple(item if item.check in _OWN_WORDS else replace(item, detail=redacted(item.detail))
                       for item in match.evidence),
        proof=_proof(place, scan.settings, redacted),
        remediation=_advice(place, scan),
        origin=_origin(place, redacted),
        platform=place.platform,
        gains=match.gains,
        dockerfile=_written_at(place, scan),
    )  # fmt: skip


def _origin(place: Place, redacted: Callable[[str], str]) -> dict[str, object]:
    """Whose file it is in; the names of a package come from the image like all others."""
    package = place.origin.get("package")
    if not isinstance(package, Mapping):
        return dict(place.origin)
    clear = {key: redacted(value) if isinstance(value, str) else value for key, value in package.items()}
    return {**place.origin, "package": clear}


def _advice(place: Place, scan: _Scan) -> Remediation:
    created_by = None if place.instruction is None else place.instruction.created_by
    secret = place.match.secret
    others = tuple(other for other in scan.steps.secrets(created_by) if other != secret)
    following = _following(place, scan)
    recipe, made = scan.settings.recipe(place.image), scan.made(place)
    leak = Leak(
        surface=place.surface,
        state=place.state,
        path=place.path,
        created_by=created_by,
        secret=secret,
        others=others,
        builder=scan.settings.builder(place.image),
        user=scan.settings.user(place.image, place.instruction) if place.instruction else "",
        following=tuple(built.step for built in following),
        files=scan.steps.files(created_by),
        variables=recipe.dockerfile.sets_variables if recipe else None,
        written=made.text if made else "",
        flags=made.flags if made else None,
        image=scan.settings.names[place.image] if place.image < len(scan.settings.names) else "",
        earlier=_earlier(place, scan.first),
        titles={**scan.steps.titles(created_by), secret: place.match.title},
        mounts=scan.settings.mounts(place.image),
    )

    def changed(change: Change) -> tuple[str | None, str | None]:
        if recipe is None or place.instruction is None:
            return None, None
        steps = [*(built.instruction for built in following), place.instruction]  # the last is OWN
        edits = {steps[at].history_index: text for at, text in change.steps.items()}
        asked = recipe, edits, change.arguments, change.ignored
        found = diff(*asked)
        if found is None or scan.settings.show_secrets:
            return None if found is None else plain(found), None
        clear = scan.step_text(found, secret, *others)
        script = command(*asked) if clear != plain(found) else None
        if script is not None and scan.step_text(script, secret, *others) != script:
            script = None  # another secret stays in the instruction: masked, it would be written into the file
        return clear, script

    return advise(leak, scan.redactor, changed)


def _earlier(place: Place, seen: FirstSeen) -> Earlier | None:
    before = seen.before(place)
    if before is None or before.layer is None or before.path is None:
        return None
    found, step = Earlier(before.path, before.layer.index, seen.again(place)), before.instruction
    if step is None or step.range is not None:
        return found
    return replace(found, step=step.history_index, created_by=step.created_by)


def _following(place: Place, scan: _Scan) -> Sequence[_Built]:
    """The steps after the one that brought a secret in, as far as it stays in sight."""
    if place.instruction is None:
        return ()
    own, found = place.instruction.history_index, []
    for built in scan.built_in(place.image):
        if built.instruction.history_index > own:
            found.append(built)
            if built.layer == place.removed_by:
                break
    return found


def _written_at(place: Place, scan: _Scan) -> DockerfilePlace | None:
    recipe, made = scan.settings.recipe(place.image), scan.made(place)
    return DockerfilePlace(plain(recipe.dockerfile.path), made.line, made.end_line) if recipe and made else None


def _removed_by(place: Place, scan: _Scan) -> RemovedBy | None:
    if place.removed_by is None or place.state is State.LIVE or place.surface is not Surface.LAYER:
        return None
    removing = (each for each in scan.built_in(place.image) if each.layer == place.removed_by)
    by = next(removing, None)
    return RemovedBy(place.removed_by, scan.step_text(by.instruction.created_by, place.match.secret) if by else None)


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


@lru_cache(maxsize=256)  # thousands of findings share their steps; no text of a report holds a value
def _without_digests(text: str) -> str:
    return _DIGEST.sub("#", text)


def identity(rule_id: str, surface: str, path: str | None, encoding: Sequence[str], created_by: str | None) -> str:
    """The id of the first finding of a rule in a place, of the strings that a report shows: one that a rebuild keeps,
    of the rule, the place and the step, never of the secret or of digests."""
    parts = [
        rule_id,
        surface,
        _without_digests(path or ""),
        list(encoding),
        _without_digests(created_by) if created_by is not None else None,
    ]
    return f"lk-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"
