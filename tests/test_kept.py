"""What a store keeps of a layer gives the same findings in every image, and holds no value that anybody could find."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zlib
from pathlib import Path

import pytest

from scanner.request import Detection
from testimages.values import value_of
from tests.builders import image_of, layer, whiteout
from tests.keeping import Memory, reported

TOKEN = value_of("kept", "token", "github-token")
KEY_ID = value_of("kept", "id", "aws-key-id")
KEY_SECRET = value_of("kept", "secret", "aws-secret-key")
PASSWORD = value_of("kept", "password", "password")
SHORT = "hunter2"
VALUES = (TOKEN, KEY_SECRET, PASSWORD, SHORT)

SUMS = hashlib.md5(f"password = {PASSWORD}\n".encode(), usedforsecurity=False).hexdigest()
CONFIGURATION = f"login: admin\npassword: {SHORT}\n"
_HALVES = KEY_SECRET[:20].replace("/", "A"), KEY_SECRET[20:39].replace("/", "A")


def cut_in_two() -> bytes:
    """A tar whose only member has a secret in its name, half of which stands in another field of the header."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo(f"{'x' * 60} aws_secret_access_key={'/'.join(_HALVES)}"))
    return written.getvalue()


LAYERS = {
    "deleted": (
        layer({"app/.env": f"GITHUB_TOKEN={TOKEN}\n", "app/b": "x"}),
        layer(whiteout("app/.env"), created_by="RUN rm app/.env"),
    ),
    "in a name, overwritten": (
        layer({f"srv/{TOKEN}/{TOKEN}.txt": f"token: {TOKEN}\n"}, compression="gz"),
        layer({f"srv/{TOKEN}/{TOKEN}.txt": "gone"}, created_by=f"RUN curl -H 'Authorization: {TOKEN}' x"),
        layer(whiteout(f"srv/{TOKEN}")),
    ),
    "a pair": (layer({"root/.aws/credentials": f"aws_access_key_id={KEY_ID}\naws_secret_access_key={KEY_SECRET}\n"}),),
    "packed": (layer({"a.gz": gzip.compress(f"GITHUB_TOKEN={TOKEN}\n".encode()),
                      "b": base64.b64encode(f"machine x login y password {PASSWORD}\n".encode())}),),
    "a package's": (layer({
        "usr/share/demo/conf": f"password = {PASSWORD}\n", "usr/share/demo/more": f"password = {PASSWORD}\n",
        "var/lib/dpkg/info/demo.md5sums": f"{SUMS}  usr/share/demo/conf\n",
        "var/lib/dpkg/status": "Package: demo\nStatus: install ok installed\nVersion: 1.2-3\n",
    }),),
    "short": (layer({f"etc/{SHORT}.yml": CONFIGURATION, f"etc/{SHORT}/.netrc": f"machine a login b password {SHORT}\n"},
                    created_by=f"RUN deploy --password={SHORT}"),),
    "in names that differ in nothing else": (
        layer({f"srv/{TOKEN}.txt": f"{TOKEN} {PASSWORD}\npassword: {PASSWORD}\n",
               f"srv/{PASSWORD}.txt": f"token: {TOKEN}\npassword: {PASSWORD}\n"}),
        layer(whiteout(f"srv/{TOKEN}.txt")),
    ),
    "in a name that is cut in two": (layer(raw=cut_in_two()),),
    "damaged": (layer(raw=layer({"a/.env": f"GITHUB_TOKEN={TOKEN}\n"}).plain[:-900] + b"junk" * 200),),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYERS)
def test_kept_layers_give_the_same_report(kind: str, rules: Detection, tmp_path: Path) -> None:
    """Byte for byte: without a store, with an empty one, and with one that knows every layer."""
    image, memory = image_of(*LAYERS[kind]), Memory()

    plain = reported(image, rules, tmp_path)

    assert reported(image, rules, tmp_path, memory) == plain
    assert memory.given == 0
    assert reported(image, rules, tmp_path, memory) == plain
    assert memory.given == len({each.digest for each in image.layers}) == len(memory.rows)
    assert '"findings": []' not in plain


@pytest.mark.parametrize("kind", LAYERS)
def test_no_value_is_kept(kind: str, rules: Detection, tmp_path: Path) -> None:
    """Not as it is, not encoded, and no hash of it that needs no key."""
    memory = Memory()
    reported(image_of(*LAYERS[kind]), rules, tmp_path, memory)

    text = b"\n".join(zlib.decompress(raw) for raw in memory.rows.values())
    for value in map(str.encode, VALUES):
        hashes = [hashlib.new(name, value).digest() for name in ("md5", "sha1", "sha256")]
        for known in (value, *hashes):
            shifted = [base64.b64encode(b"\0" * lead + known)[4:-4] for lead in range(3)]
            assert not any(way in text for way in (known, known.hex().encode(), *shifted) if len(way) > 6)


def test_a_layer_means_another_thing_in_another_image(rules: Detection, tmp_path: Path) -> None:
    """States and steps are the image's: a kept layer that a second image deletes from is reported so."""
    shared = layer({"app/.env": f"GITHUB_TOKEN={TOKEN}\n"})
    first, second = image_of(shared), image_of(shared, layer(whiteout("app/.env")), tag="example:2")
    memory = Memory()

    live = reported(first, rules, tmp_path, memory)
    deleted = reported(second, rules, tmp_path, memory)

    assert '"state": "live"' in live and '"state": "deleted"' in deleted
    assert deleted == reported(second, rules, tmp_path)
    assert memory.given == 1


def test_a_value_that_only_another_layer_tells(rules: Detection, tmp_path: Path) -> None:
    """A kept value that stands in a build step where no rule sees it is taken out of the step all the same."""
    leak = layer({".env": f"GITHUB_TOKEN={TOKEN}\n"})
    image = image_of(leak, layer({"x": "y"}, created_by=f"RUN echo {TOKEN[4:]}; echo \"{TOKEN}\""))
    memory = Memory()
    reported(image_of(leak), rules, tmp_path, memory)

    report = reported(image, rules, tmp_path, memory)

    assert memory.given == 1
    assert TOKEN not in report
    assert report == reported(image, rules, tmp_path)


def test_values_are_shown_from_the_image_only(rules: Detection, tmp_path: Path) -> None:
    """--show-secrets reads the layers again, as no store knows values."""
    image, memory = image_of(*LAYERS["deleted"]), Memory()
    reported(image, rules, tmp_path, memory)

    assert TOKEN in reported(image, rules, tmp_path, memory, show=True)
    assert memory.given == 0


def test_what_is_damaged_is_not_used(rules: Detection, tmp_path: Path) -> None:
    """Bytes that were changed, cut or are of another blob are nothing, and the layer is read again."""
    image, memory = image_of(*LAYERS["packed"]), Memory()
    plain = reported(image, rules, tmp_path, memory)
    [(key, raw)] = memory.rows.items()
    for broken in (b"", b"x", raw[:-20], zlib.compress(b"{}"), zlib.compress(b"[]"), zlib.compress(b"[" * 100_000)):
        memory.rows[key] = broken

        assert reported(image, rules, tmp_path, memory) == plain
        assert memory.given == 0
