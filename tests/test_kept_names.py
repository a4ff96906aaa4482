"""A layer in which names of files hold values is kept without them, and every image's report is as if it were read."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path

import pytest

from scanner.image.source import open_image
from scanner.layer.tree import parents, path_hash
from scanner.limits import Limits
from scanner.request import Detection
from scanner.work.called import called, key_of
from scanner.work.jobs import BlobOutcome
from scanner.work.messages import Form
from testimages.values import value_of
from tests.builders import (
    BuiltLayer,
    directory,
    image_of,
    layer,
    layout_members,
    opaque,
    private_key,
    tar_of,
    whiteout,
    write_all,
)
from tests.keeping import Memory, report_of, reported

FIRST, SECOND = (value_of("kept names", name, "github-token") for name in ("first", "second"))
PAIR = FIRST, SECOND
PASSWORD = value_of("kept names", "password", "password")
SHORT = "hunter2"
#: in every file below, so that each name that holds one of them does so beside a finding of its file
TOKENS = f"GITHUB_TOKEN={FIRST}\nGITHUB_TOKEN={SECOND}\n"
QUOTED = f'settings = {{"password": "{PASSWORD}"}}\n# {TOKENS}'.encode()
SITE = "opt/venv/lib/python3.11/site-packages"


def dpkg(files: Mapping[str, bytes]) -> BuiltLayer:
    """A layer with the records of a Debian package of these files."""
    sums = "".join(f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  {path}\n" for path, data in files.items())
    status = "Package: demo\nStatus: install ok installed\nVersion: 1.2-3\n"
    return layer({"var/lib/dpkg/info/demo.md5sums": sums, "var/lib/dpkg/status": status})


def wheel(files: Mapping[str, bytes]) -> BuiltLayer:
    """A layer with the records of a Python distribution of these files."""
    rows = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in files.items()
    )
    about = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
    return layer({f"{SITE}/demo-1.0.dist-info/RECORD": rows, f"{SITE}/demo-1.0.dist-info/METADATA": about})


def npm(root: str, tarball: bytes) -> BuiltLayer:
    """A layer with npm's records of a package, and the tarball in its cache."""
    digest = hashlib.sha512(tarball)
    name, integrity = digest.hexdigest(), f"sha512-{base64.b64encode(digest.digest()).decode()}"
    resolved = "https://registry.npmjs.org/demo/-/demo-1.0.0.tgz"
    entry = {"key": f"make-fetch-happen:request-cache:{resolved}", "integrity": integrity}
    listed = {"node_modules/demo": {"version": "1.0.0", "resolved": resolved, "integrity": integrity}}
    return layer({
        f"{root}/node_modules/.package-lock.json": json.dumps({"packages": listed}),
        "root/.npm/_cacache/index-v5/00/11/2233": f"\n{'0' * 40}\t{json.dumps(entry)}",
        f"root/.npm/_cacache/content-v2/sha512/{name[:2]}/{name[2:4]}/{name[4:]}": tarball,
    })  # fmt: skip


def zip_of(files: Mapping[str, bytes | str]) -> bytes:
    """A zip archive."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(zipfile.ZipInfo(name), data)
    return raw.getvalue()


def pack_of(*blobs: bytes) -> bytes:
    """A pack of git with these blobs, none longer than 2047 bytes."""
    raw = b"PACK" + struct.pack(">II", 2, len(blobs))
    for blob in blobs:
        raw += bytes((0xB0 | len(blob) & 15, len(blob) >> 4)) + zlib.compress(blob)
    return raw + hashlib.sha1(raw, usedforsecurity=False).digest()


def git(root: str, files: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Loose objects of a repository with one commit: blobs, and what names them."""

    def loose(kind: str, data: bytes) -> tuple[bytes, dict[str, bytes]]:
        raw = f"{kind} {len(data)}\0".encode() + data
        digest = hashlib.sha1(raw, usedforsecurity=False).digest()
        return digest, {f"{root}/.git/objects/{digest.hex()[:2]}/{digest.hex()[2:]}": zlib.compress(raw)}

    tree, blobs = b"", {}
    for name, data in sorted(files.items()):
        digest, found = loose("blob", data)
        tree += f"100644 {name}\0".encode() + digest
        blobs |= found
    at, trees = loose("tree", tree)
    return blobs, trees | loose("commit", f"tree {at.hex()}\nauthor a <a> 1 +0000\n\nmessage\n".encode())[1]


TARBALL = gzip.compress(tar_of({f"package/{FIRST}/a.js": QUOTED, f"package/{SECOND}/a.js": QUOTED}), mtime=0)
BLOBS, NAMING = git(f"srv/{FIRST}", {f"{FIRST}.env": TOKENS.encode(), f"{SECOND}.env": TOKENS.encode() + b"\n"})
PACKED = {f"srv/{FIRST}/.git/objects/pack/pack-x.pack": pack_of(TOKENS.encode(), TOKENS.encode() + b"\n")}
BROKEN = gzip.compress(QUOTED)[:-20]
LAYERS = {
    "two files whose names differ only in the value": (
        layer({f"srv/{FIRST}.txt": QUOTED, f"srv/{SECOND}.txt": QUOTED}),
        layer(whiteout(f"srv/{FIRST}.txt")),
        layer({f"srv/{FIRST}.txt": QUOTED}),
    ),
    "files in the other order": (layer({f"srv/{SECOND}.txt": TOKENS, f"srv/{FIRST}.txt": TOKENS}),),
    "folders": (
        layer({f"srv/{FIRST}/.env": QUOTED, f"srv/{SECOND}/.env": QUOTED, f"opt/{FIRST}/x": TOKENS}),
        layer(opaque(f"srv/{SECOND}"), whiteout(f"opt/{FIRST}")),
        layer(directory(f"srv/{FIRST}/.env"), {f"srv/{SECOND}": "a file"}),
    ),
    "twice in one layer": (
        layer({f"srv/{FIRST}.txt": QUOTED}, {f"./srv/{FIRST}.txt": QUOTED}, {f"srv/.wh.{FIRST}": TOKENS}),
    ),
    "dpkg's list elsewhere": (
        layer({f"usr/share/demo/{FIRST}.conf": QUOTED, f"usr/share/demo/{SECOND}.conf": QUOTED}),
        dpkg({f"usr/share/demo/{FIRST}.conf": QUOTED, f"usr/share/demo/{SECOND}.conf": b"changed"}),
    ),
    "a list before /usr was merged": (
        layer({f"usr/lib/demo/{FIRST}.conf": QUOTED}),
        dpkg({f"lib/demo/{FIRST}.conf": QUOTED}),
    ),
    "compiled": (
        layer({f"{SITE}/{FIRST}/__pycache__/{SECOND}.cpython-311.pyc": b"\0\0" + QUOTED}),
        wheel({f"{FIRST}/{SECOND}.py": QUOTED}),
        layer({f"{SITE}/{FIRST}/{SECOND}.py": QUOTED}),
    ),
    "compiled, of a source that was changed": (
        layer({f"{SITE}/{FIRST}/__pycache__/{SECOND}.cpython-311.pyc": b"\0\0" + QUOTED}),
        wheel({f"{FIRST}/{SECOND}.py": b"other"}),
        layer({f"{SITE}/{FIRST}/{SECOND}.py": QUOTED}),
    ),
    "in a package's directory": (
        layer({f"srv/{FIRST}/node_modules/demo/{SECOND}/a.js": QUOTED,
               f"srv/{SECOND}/node_modules/demo/{FIRST}/a.js": QUOTED}),
        npm(f"srv/{FIRST}", TARBALL),
    ),
    "in archives": (
        layer({f"{FIRST}.zip": zip_of({f"a/{FIRST}.txt": QUOTED, f"a/{SECOND}.txt": QUOTED, "b": TOKENS,
                                       f"{SECOND}.zip": zip_of({f"{FIRST}/x": QUOTED, f"{SECOND}/x": QUOTED})})}),
    ),
    "in one compressed stream": (
        layer({f"{FIRST}.tgz": gzip.compress(tar_of({f"{name}/{n}": TOKENS for n in range(4) for name in PAIR}))}),
    ),
    "in an archive of intact files": (
        layer({f"tmp/{FIRST}.tar": tar_of({f"./usr/share/{FIRST}/a": QUOTED, f"share/{SECOND}/a": QUOTED})}),
        layer({f"usr/share/{FIRST}/a": QUOTED, f"usr/share/{SECOND}/a": QUOTED}),
        dpkg({f"usr/share/{FIRST}/a": QUOTED, f"usr/share/{SECOND}/a": QUOTED}),
    ),
    "in a repository": (layer(BLOBS), layer(NAMING)),
    "in a repository of one layer": (layer({**BLOBS, **NAMING}),),
    "in a pack of a repository": (layer(PACKED), layer(NAMING)),
    "a key made at install": (layer({f"etc/ssh/ssh_host_{FIRST}_key": private_key("kept names") + TOKENS.encode()}),),
    "short": (
        layer({f"etc/{SHORT}.yml": f"login: admin\npassword: {SHORT}\n{TOKENS}",
               f"etc/{SHORT}/{FIRST}.yml": f"login: admin\npassword: {SHORT}\n{TOKENS}"}),
        dpkg({f"etc/{SHORT}.yml": b"changed"}),
    ),
    "broken": (
        layer({f"usr/share/{FIRST}.gz": BROKEN, f"usr/share/{SECOND}.gz": BROKEN}),
        dpkg({f"usr/share/{FIRST}.gz": BROKEN}),
    ),
    "one of two in a build step": (
        layer({f"srv/{SECOND}/{FIRST}.txt": TOKENS}, created_by=f"COPY {FIRST}.txt /srv/x/ # buildkit"),
    ),
    "in build steps": (
        layer({f"srv/{FIRST}.txt": TOKENS}, created_by=f"COPY {FIRST}.txt /srv/{FIRST}.txt # buildkit"),
        layer(created_by=f"RUN /bin/sh -c deploy --key /srv/{FIRST}.txt # buildkit"),
        layer(whiteout(f"srv/{FIRST}.txt"), created_by=f"RUN /bin/sh -c rm /srv/{FIRST}.txt # buildkit"),
        layer({f"root/{SECOND}/.netrc": TOKENS, **{f"root/{FIRST}/{each}": TOKENS for each in range(6)}},
              created_by=f"RUN /bin/sh -c curl -u x:{SECOND} https://example.com > /root/{SECOND}/.netrc # buildkit"),
    ),
}  # fmt: skip


#: what the report says of the files of a kind, so that their names are asked for what the kind is there for
SAID = {
    "folders": '"overwritten"', "twice in one layer": '"overwritten"', "dpkg's list elsewhere": '"intact": true',
    "a list before /usr was merged": '"intact": true', "compiled": '"derived"',
    "compiled, of a source that was changed": '"listed"', "in a package's directory": '"derived"',
    "in an archive of intact files": '"derived"', "in a repository": '"commit ', "broken": '"nested.damaged"',
    "in a repository of one layer": '"commit ', "in a pack of a repository": '"commit ',
    "a key made at install": '"generated-at-install"',
    "one of two in a build step": "Delete the COPY and mount the file",
    "short": f"etc/{'*' * len(SHORT)}.yml", "in build steps": "also wrote it to",
}  # fmt: skip


class Partly(Memory):
    """Gives what is kept of some layers; all others are read, and their outcomes used as they are."""

    def put(self, outcome: BlobOutcome, form: Form) -> BlobOutcome:
        """Keeps nothing."""
        return outcome

    def only(self, *digests: str) -> Partly:
        """The same with some layers only."""
        less = Partly()
        less.rows = {key: raw for key, raw in self.rows.items() if key[0] in digests}
        return less


@pytest.mark.parametrize("kind", LAYERS)
def test_the_report_is_the_same(kind: str, rules: Detection, tmp_path: Path) -> None:
    """Byte for byte: without a store, while it is filled, from it, and with any of the layers read anew."""
    image, memory = image_of(*LAYERS[kind]), Memory()
    digests = list(dict.fromkeys(each.digest for each in image.layers))
    plain = reported(image, rules, tmp_path)

    assert json.loads(plain)["findings"]
    assert SAID.get(kind, "") in plain
    assert not any(value in plain for value in (FIRST, SECOND, PASSWORD))
    assert reported(image, rules, tmp_path, memory) == plain
    assert reported(image, rules, tmp_path, memory) == plain
    assert memory.given == len(digests) == len(memory.rows)
    partly = Partly()
    partly.rows = memory.rows
    for digest in digests:
        less = partly.only(digest)
        assert reported(image, rules, tmp_path, less) == plain
        assert less.given == 1
        assert reported(image, rules, tmp_path, partly.only(*(each for each in digests if each != digest))) == plain


def test_a_blob_that_no_manifest_names(rules: Detection, tmp_path: Path) -> None:
    """It is walked if it looks like a layer, and its files are as distinct."""
    left = layer({f"srv/{FIRST}.txt": QUOTED, f"srv/{SECOND}.txt": QUOTED}).plain
    members = layout_members(image_of(layer({"a": "b"})), blobs=[left])
    path, memory = write_all(tmp_path / "layout", members), Memory()
    plain = report_of(path, rules)

    assert plain.count(f"srv/{'*' * len(FIRST)}.txt") > 2
    assert report_of(path, rules, memory) == plain
    assert report_of(path, rules, memory) == plain
    assert memory.given == 2


def stored(memory: Memory) -> bytes:
    """All that is kept, inflated."""
    return b"\n".join(zlib.decompress(raw) for raw in memory.rows.values())


def spelled(raw: bytes) -> list[bytes]:
    """How bytes may stand in what is kept: as they are, in hex, in base64 wherever they begin, as a number."""
    ways = [raw, raw.hex().encode()]
    for lead in range(3):
        whole = base64.b64encode(b"\0" * lead + raw)
        ways.append(whole[(0, 2, 3)[lead] : len(whole) - (0, 3, 2)[(lead + len(raw)) % 3]])
    if len(raw) == 8:
        ways += [str(int.from_bytes(raw, "little")).encode(), str(int.from_bytes(raw, "big")).encode()]
    return ways


def hashes(about: object) -> list[int]:
    """All hashes in what is asked of a name."""
    if isinstance(about, tuple | list):
        return [each for part in about for each in hashes(part)]
    return [about] if isinstance(about, int) and not isinstance(about, bool) else []


def names_of(tar: bytes) -> list[bytes]:
    """The names of members that hold a value."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        found = [member.name.encode() for member in opened]
    return [name for name in found if FIRST.encode() in name or SECOND.encode() in name]


@pytest.mark.parametrize("kind", LAYERS)
def test_nothing_to_guess_with_is_kept(kind: str, rules: Detection, tmp_path: Path) -> None:
    """No value, no hash of one, of a name that holds one or of a part of it, nor of the file, that needs no key."""
    memory = Memory()
    reported(image_of(*LAYERS[kind]), rules, tmp_path, memory)
    names = [name for each in LAYERS[kind] for name in names_of(each.plain)]
    values = [value.encode() for value in (FIRST, SECOND, PASSWORD)]
    pieces = {piece for name in names for piece in (name, *name.split(b"/"), *parents(name))} | {*values, QUOTED}
    known = {number for name in names for number in hashes(astuple(called(name, key_of(None))))}
    known |= {path_hash(piece) for piece in pieces}
    digests = [number.to_bytes(8, "little") for number in known - {path_hash(b"")}]  # the root is no secret
    for kind_of in ("md5", "sha1", "sha256", "sha512", "blake2b", "blake2s"):
        digests += [hashlib.new(kind_of, piece).digest() for piece in pieces if piece]

    kept = stored(memory)

    assert names
    assert not any(way in kept for each in (*values, *digests) for way in spelled(each))


def test_what_is_looked_for_would_be_found() -> None:
    """The test above knows every way in which bytes lie in what is kept."""
    raw = hashlib.blake2b(b"srv", digest_size=8).digest()

    for lead in range(7):
        assert any(way in base64.b64encode(b"x" * lead + raw + b"y" * 9) for way in spelled(raw)), lead
    assert str(path_hash(b"srv")).encode() in spelled(raw)


def test_a_short_value_is_not_in_the_name_of_its_own_file(rules: Detection, tmp_path: Path) -> None:
    """Though a package manager lists that file."""
    memory = Memory()
    records = {"var/lib/dpkg/status": "Package: demo\nStatus: install ok installed\nVersion: 1.2-3\n",
               "var/lib/dpkg/info/demo.md5sums": f"{'0' * 32}  etc/{SHORT}.yml\n"}  # fmt: skip
    image = image_of(layer({f"etc/{SHORT}.yml": f"login: admin\npassword: {SHORT}\n", **records}))
    plain = reported(image, rules, tmp_path)

    assert reported(image, rules, tmp_path, memory) == plain
    assert reported(image, rules, tmp_path, memory) == plain
    assert memory.given == 1
    assert '"manager": "dpkg"' in plain
    assert not any(way in stored(memory) for way in spelled(f"{SHORT}.yml".encode()))


def test_all_findings_of_a_file_are_of_one_file(rules: Detection, tmp_path: Path) -> None:
    """Whichever of them takes a short value out of its name."""
    memory, named = Memory(), {}
    image = image_of(LAYERS["short"][0])
    reported(image, rules, tmp_path, memory)
    opened = open_image(str(tmp_path / "image.tar"), limits=Limits())
    blob = opened.images[0].layers[0].blob
    assert blob is not None
    kept = memory.get(blob, Form.LAYER)
    opened.close()

    assert kept is not None
    for each in kept.sightings:
        assert each.named is not None
        named.setdefault(each.number, set()).add((each.named.mark, str(each.named)))
    assert [len({mark for mark, _ in each}) for each in named.values()] == [1, 1]
    assert [len({text for _, text in each}) for each in named.values()] == [2, 2]


def test_what_an_older_program_kept_is_read_again(rules: Detection, tmp_path: Path) -> None:
    """Its form is not known any more; the row is replaced."""
    image, memory = image_of(*LAYERS["folders"]), Memory()
    plain = reported(image, rules, tmp_path, memory)
    rows = dict(memory.rows)
    for key, raw in rows.items():
        memory.rows[key] = zlib.compress(json.dumps(json.loads(zlib.decompress(raw)) | {"version": 1}).encode())

    assert reported(image, rules, tmp_path, memory) == plain
    assert memory.given == 0
    assert {key: zlib.decompress(raw) for key, raw in memory.rows.items()} == {
        key: zlib.decompress(raw) for key, raw in rows.items()}  # fmt: skip
