"""Whose file a finding lies in: the user's own, or content of an installed package, and what follows from that.

docs/provenance.md tells the reasoning. A file counts as intact only by a digest in a package manager's own record of
the same image; a record of any layer will do, since equal digests mean equal bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from scanner.evidence import Confidence, Evidence, Secret, Surface
from scanner.image.documents import strings
from scanner.image.model import Image
from scanner.layer.tree import path_hash
from scanner.limits import MIB
from scanner.packages.model import FileList, Installer, Package, PrivateOrigin, Record, Versions
from scanner.packages.registries import is_public, of_environment, of_step
from scanner.places.locate import Place
from scanner.secrecy.seal import Seal, SealedSecret, digest_of
from scanner.work.called import Called, Entry, called, entry, key_of, mark
from scanner.work.jobs import BlobOutcome
from scanner.work.kept import seal_of
from scanner.work.keyed import keyed_digest, keyed_record

#: rules for values that no provider's shape tells: what the author of a public package wrote into such a place
#: is known to everybody. All other rules are of providers, and lower nothing.
_ANYBODYS = (
    "assigned.", "command.", "context.", "file.settings", "login.", "url.", "web.",
    "detect-secrets.basic-auth-credentials", "detect-secrets.base64-high-entropy-string",
    "detect-secrets.hex-high-entropy-string", "detect-secrets.json-web-token", "detect-secrets.secret-keyword",
)  # fmt: skip
#: the same, but only where the digest proves that it is the author's: a user's own file could be such a thing
_PROVABLY_ANYBODYS = (*_ANYBODYS, "file.", "kubernetes.secret-manifest", "private-key.", "detect-secrets.private-key")
_NOTHING: tuple[str, ...] = ()
_PRIVATE_KEYS = ("private-key.", "detect-secrets.private-key")

_SYSTEM = ("dpkg", "apk", "rpm")
_EVERYWHERE = -1
_LARGEST_CONFIG = 4 * MIB


#: (index of the layer, where its data begins in the uncompressed layer)
File = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Source:
    """The package that a file belongs to.

    Attributes:
        label: the package and why it may not be public, for people.
        private: whether anything says that it may not be public.
        registry: the host it came from, where that is recorded.
        same_layer: the record lies in the file's own layer.
        root: the hash of the package's directory, 0 if its files are listed one by one.
        digested: the record has a digest of the file.
        compiled: this is no file of the record, but compiled from one that it has a digest of.
    """

    label: str
    package: Package
    intact: bool
    private: bool
    registry: str
    same_layer: bool
    root: int
    digested: bool = False
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class _Sign:
    """A `PrivateOrigin` with the layer from which on it counts (*here*: the only one)."""

    origin: PrivateOrigin
    layer: int
    here: bool = False


class _Records:
    """All that the package managers' records of one image say.

    Args:
        files: those that will be asked for.
        seal: of what was kept, None if nothing was: with it, all hashes and digests are keyed.
    """

    def __init__(
        self, image: Image, outcomes: Sequence[BlobOutcome | None], files: Iterable[Called], seal: Seal | None
    ) -> None:
        self._versions: dict[str, dict[int, dict[str, str]]] = defaultdict(dict)
        self._installers: dict[bytes | int, str] = {}
        self._signs = list(_signs(image))
        self._digests: list[tuple[FileList, bytes]] = []
        self._by_path: dict[int, list[tuple[int, FileList]]] = defaultdict(list)
        self._by_root: dict[int, list[tuple[int, FileList]]] = defaultdict(list)
        self._seal = seal
        wanted = {name for file in files for each in (file, file.source) if each is not None for name in each.listed}
        for layer, outcome in enumerate(outcomes):
            for record in outcome.records if outcome is not None else ():
                self._add(layer, record if seal is None else keyed_record(record, seal), wanted)

    def _add(self, layer: int, record: Record, wanted: set[int]) -> None:
        if isinstance(record, Versions):
            self._versions[record.manager].setdefault(layer, {}).update(record.versions)
        elif isinstance(record, Installer):
            self._installers[record.home] = record.name
        elif isinstance(record, PrivateOrigin):
            self._signs.append(_Sign(record, layer))
        else:
            for path in wanted.intersection(record.paths()):
                self._by_path[path].append((layer, record))
            self._digests.append((record, record.digests))
            if record.root:
                self._by_root[_root(record)].append((layer, record))

    def listed(self, secret: Secret) -> Package | None:
        """The package of which the secret, as text, is the digest of a file."""
        if isinstance(secret, SealedSecret):
            raw = secret.digest
        elif (raw := digest_of(secret.reveal())) and self._seal is not None:
            raw = self._seal.digest(raw)
        return next((files.package for files, digests in self._digests if raw in digests), None) if raw else None

    def source(self, called: Called, layer: int, digests: Mapping[str, bytes]) -> _Source | None:
        """The package of a file, the best vouched for first; None if no record names the file.

        Args:
            layer: where the file lies.
            digests: of the file, by algorithm; empty if unknown.
        """
        found = []
        for name in called.listed:
            for at, files in self._by_path.get(name, ()):
                listed, own = files.digest(name), digests.get(files.algorithm)
                if own is not None and self._seal is not None:
                    own = keyed_digest(own, self._seal)
                intact = bool(listed) and own == listed
                found.append(replace(self._source(at, files, intact, layer), digested=bool(listed)))
        if not found:
            nearest = next((self._by_root[root] for root in called.above if root in self._by_root), [])
            found = [self._source(at, files, False, layer) for at, files in nearest]
        return min(found, key=_rank, default=None)

    def _source(self, at: int, files: FileList, intact: bool, layer: int) -> _Source:
        package = files.package
        reasons = [s.origin.reason for s in self._signs if s.origin.manager == package.manager and _about(s, files, at)]
        if files.registry and not is_public(package.manager, files.registry):
            reasons.append("it came from a registry that is not known to be public")
        if package.manager in self._versions and not package.version:
            package = replace(package, version=self._version(package.manager, package.name, at))
        if files.home in self._installers:
            package = replace(package, manager=self._installers[files.home])
        label = "; ".join((str(package), *reasons[:1]))
        return _Source(label, package, intact, bool(reasons), files.registry, at == layer, _root(files))

    def _version(self, manager: str, name: str, layer: int) -> str:
        """As the nearest list of versions has it: that of the same layer, else the next one below, else any."""
        known = self._versions[manager]
        for at in sorted(known, key=lambda other: (other > layer, abs(other - layer))):
            if name in known[at]:
                return known[at][name]
        return ""


def _root(files: FileList) -> int:
    return files.root if isinstance(files.root, int) else path_hash(files.root) if files.root else 0


def _about(sign: _Sign, files: FileList, layer: int) -> bool:
    """Whether a sign is about the package whose list lies in that layer."""
    if sign.origin.home:
        return sign.origin.home == files.home
    return sign.layer == layer if sign.here else sign.layer <= layer


def _rank(source: _Source) -> tuple[object, ...]:
    system = source.package.manager in _SYSTEM
    return not source.intact, source.private, not source.same_layer, not system, source.label


def _signs(image: Image) -> Iterator[_Sign]:
    """What the image's environment and history say about where packages came from."""
    yield from (_Sign(origin, _EVERYWHERE) for origin in of_environment(_environment(image)))
    if image.config is None:
        return
    layers = {layer.instruction.history_index: layer.index for layer in image.layers if layer.instruction}
    for index, recorded in enumerate(image.config.history):
        layer = layers.get(index, _EVERYWHERE)  # ENV and ARG make no layer, but count in steps that do
        for step in of_step(recorded.created_by):
            yield _Sign(step.sign, layer, step.here and layer != _EVERYWHERE)


def _environment(image: Image) -> Iterator[str]:
    """The variables that the config sets, as NAME=value."""
    for document in image.documents:
        if document.surface == Surface.CONFIG and document.is_json and document.blob.size <= _LARGEST_CONFIG:
            found = strings(document.blob.read())
            yield from (string.value for string in found if string.path.startswith("config.Env["))


def attributed(image: Image, outcomes: Sequence[BlobOutcome | None], places: Iterable[Place]) -> list[Place]:
    """The places of one image, each with its file's origin, and with less confidence where that origin tells that the
    value is published.

    Args:
        outcomes: one for each layer, None where there are no bytes.
        places: of sightings in the layers.
    """
    everything = list(places)
    files = [_file(place) for place in everything]
    seal = seal_of(outcomes)
    key = key_of(seal)
    names = {file: place.path or "" for place, file in zip(everything, files, strict=True) if file is not None}
    paths = {file: called(name, key) for file, name in names.items()}
    inside = {mark(name): name for place in everything for name in place.inside}
    entries = {known: entry(name, key) for known, name in inside.items()}
    records = _Records(image, outcomes, paths.values(), seal)
    sources = _sources(records, outcomes, paths)
    named = _values_of(seal)
    published: dict[tuple[object, object], _Source] = {}
    for place, file in zip(everything, files, strict=True):
        source = sources[file] if file is not None else None
        if file is not None and source is not None and source.intact:
            published[paths[file].path, named(place.match.secret)] = source
            if place.inside:
                below = entries[mark(place.inside[0])].below
                published[_in_tarball(source, below), named(place.match.secret)] = source
    found = []
    for place, file in zip(everything, files, strict=True):
        if file is None:
            found.append(place)
            continue
        copies = _copies_of(paths[file], [entries[mark(name)] for name in place.inside], sources[file])
        vouching = (published.get((name, named(place.match.secret))) for name in copies)
        derived = next(filter(None, vouching), None)
        found.append(_without_digest(_with_origin(place, paths[file], sources[file], derived), records))
    return found


def _values_of(seal: Seal | None) -> Callable[[Secret], object]:
    """What stands for a value: of layers that were kept they are sealed, of others not."""

    def named(secret: Secret) -> object:
        if isinstance(secret, SealedSecret):
            return secret.print
        return secret if seal is None else seal.fingerprint(secret.reveal())

    return named


def _without_digest(place: Place, records: _Records) -> Place:
    """A place whose value is a digest in a record is no secret at all: it stands next to a file's name there."""
    match = place.match
    if match.confidence is Confidence.LOW:
        return place
    package = records.listed(match.secret)
    if package is None:
        return place
    evidence = Evidence("package-digest", "listed", f"the value is the digest of a file of {package}")
    return replace(place, match=replace(match, evidence=(*match.evidence, evidence), confidence=Confidence.LOW))


def _in_tarball(source: _Source, below: int) -> tuple[Package, int]:
    """What a file of a package is called whichever way it came: npm's tarballs have one directory on top."""
    return source.package, below


def _copies_of(called: Called, inside: Sequence[Entry], source: _Source | None) -> Iterator[object]:
    """The names of files that a place's content was made or copied from: a compiled file's source, what an archive
    installs, and the tarball that a package was unpacked from."""
    if called.source is not None:
        yield called.source.path
    for name in inside:
        yield name.path
        yield name.in_usr
    for root, below in zip(called.above, called.below, strict=False):
        if source is not None and root == source.root:
            yield _in_tarball(source, below)


def intact(image: Image, outcomes: Sequence[BlobOutcome | None], files: Mapping[File, str]) -> set[File]:
    """Those of *files*, given with their paths, that are untouched content of a package, public or not; only files that
    were digested."""
    seal = seal_of(outcomes)
    paths = {file: called(path, key_of(seal)) for file, path in files.items()}
    sources = _sources(_Records(image, outcomes, paths.values(), seal), outcomes, paths)
    return {file for file, source in sources.items() if source is not None and source.intact}


def _file(place: Place) -> File | None:
    """The file that a place lies in; None for all that is no file's content."""
    if place.surface is not Surface.LAYER or place.layer is None or place.member is None or place.member_offset is None:
        return None
    return place.layer.index, place.member_offset


def _sources(
    records: _Records, outcomes: Sequence[BlobOutcome | None], files: Mapping[File, Called]
) -> dict[File, _Source | None]:
    """The package of each file."""
    digests = [{d.start: d.digests for d in outcome.digests} if outcome is not None else {} for outcome in outcomes]
    found = {}
    changed = set()
    for file, name in files.items():
        layer, start = file
        source = found[file] = records.source(name, layer, digests[layer].get(start, {}))
        if source is not None and not source.intact:
            changed.add(name.path)
    for file in [file for file, source in found.items() if source is None]:
        compiled_from = files[file].source
        source = records.source(compiled_from, file[0], {}) if compiled_from is not None else None
        if source is not None and compiled_from is not None:
            found[file] = replace(source, compiled=source.digested and compiled_from.path not in changed)
    return found


def _with_origin(place: Place, called: Called, source: _Source | None, derived: _Source | None) -> Place:
    rule = place.match.rule_id
    if source is None and derived is not None:
        source = replace(derived, intact=False, registry="")
    if source is None:
        return _generated(place) if called.generated and rule.startswith(_PRIVATE_KEYS) else place
    result, lowers = "listed", _NOTHING
    if source.intact:
        result, lowers = "intact", _PROVABLY_ANYBODYS
    elif derived is not None:
        result, lowers = "derived", _PROVABLY_ANYBODYS
    elif source.registry and source.same_layer:
        result, lowers = "as-installed", _ANYBODYS
    elif source.compiled and source.same_layer:
        result, lowers = "compiled", _ANYBODYS
    vouching = derived if result == "derived" and derived is not None else source
    lowered = not vouching.private and rule.startswith(lowers)
    evidence = _evidence(vouching.label, result, lowered)
    confidence = Confidence.LOW if lowered else place.match.confidence
    match = replace(place.match, evidence=(*place.match.evidence, evidence), confidence=confidence)
    return replace(place, origin=_origin(source.package, source.intact), match=match)


# a package may have thousands of places, of which each holds the same
@lru_cache(maxsize=4096)
def _evidence(label: str, result: str, lowered: bool) -> Evidence:
    return Evidence("package-file", result, f"{label}; {_WHY[result]}" if lowered else label)


@lru_cache(maxsize=4096)
def _origin(package: Package, intact: bool) -> Mapping[str, object]:
    described = {"manager": package.manager, "name": package.name, "version": package.version, "intact": intact}
    return {"kind": "package", "package": described}


_WHY = {
    "intact": "its author gives this value to everybody",
    "derived": "the intact file that this is a copy of holds the same value, which its author gives to everybody",
    "compiled": "compiled, where its package was installed, from a source that the package's record has a digest of",
    "as-installed": "fetched from a public registry in the same layer, as the package's author wrote it",
}


def _generated(place: Place) -> Place:
    """A private key that was made when a package was installed."""
    evidence = Evidence("generated-at-install", "shared", "everybody who runs the image has the same key")
    title = f"{place.match.title}, made while the image was built"
    match = replace(place.match, title=title, evidence=(*place.match.evidence, evidence))
    return replace(place, match=match)
