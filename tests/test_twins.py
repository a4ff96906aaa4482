"""Contents that hold nothing are remembered by their bytes and names, and by nothing less."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scanner.detect.base import Trigger
from scanner.detect.firstpass import FirstPass, compile_database, triggers_of
from scanner.evidence import Confidence, Match, Secret, Severity
from scanner.image.blob import Blob, BlobFile
from scanner.layer.walk import WINDOW
from scanner.limits import Limits
from scanner.work.jobs import BlobJob
from scanner.work.pool import Pool
from scanner.work.twins import Twins, tail
from tests.builders import Member, compress, file, image_of, layer, tar_of, write
from tests.conftest import Leakscan

NOTHING = random.Random(7).randbytes(5000)


class Diary:
    """Writes down which contents with a `note` in them it was asked about; a `find` in them it finds."""

    triggers = (Trigger(rb"\bnote\b|\bfind\b"),)

    def __init__(self, pages: Path) -> None:
        self.pages = pages

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """Write, or match."""
        for end in ends:
            word = bytes(data[end - 4 : end])
            if word == b"find":
                yield Match("find", "pattern", "a find", Severity.LOW, Confidence.HIGH, end - 4, end, Secret(word))
            else:
                with self.pages.open("a") as pages:
                    pages.write(f"{path}\n")


def searched(tmp_path: Path, *layers: bytes, found: int = 0) -> list[str]:
    """The contents that were searched of layers that lie in one file; *found* matches were in them."""
    pages = write(tmp_path / "pages", b"")
    path = write(tmp_path / "layers", b"".join(layers))
    detectors = (Diary(pages),)
    opened, at, jobs = BlobFile.open(path), 0, []
    for number, stored in enumerate(layers):
        jobs.append(BlobJob(Blob(f"layer-{number}", opened, at, len(stored))))
        at += len(stored)
    pool = Pool(FirstPass(detectors, compile_database(triggers_of(detectors))), Limits(), 1)
    outcomes = pool.run(jobs, [])
    for outcome, stored in zip(outcomes, layers, strict=True):
        assert outcome.gaps == []
        assert stored.startswith(b"\x1f\x8b") or outcome.matched == len(stored)
    assert sum(len(outcome.sightings) for outcome in outcomes) == found
    return pages.read_text().split()


def copied(name: str, data: bytes) -> Member:
    """A file whose mode a later step changed."""
    return file(name, data, mode=0o600)


def test_a_file_that_only_changed_its_mode_is_searched_once(tmp_path: Path) -> None:
    """`RUN chmod -R` copies every file into a layer of its own."""
    text = b"a note and words\n" * 100

    assert searched(tmp_path, tar_of(file("srv/a.txt", text)), tar_of(copied("srv/a.txt", text))) == ["srv/a.txt"] * 100


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("srv/b.txt", b"a note and words\n" * 100),
        ("opt/a.txt", b"a note and words\n" * 100),
        ("srv/a.txt", b"a note and words\n" * 99 + b"a note and worse\n"),
        ("srv/a.txt", b"a note and words\n" * 101),
    ],
)
def test_another_file_is_searched(tmp_path: Path, name: str, data: bytes) -> None:
    """Another name, folder, byte or length."""
    text = b"a note and words\n" * 100

    asked = searched(tmp_path, tar_of(file("srv/a.txt", text)), tar_of(file(name, data)))

    assert len(asked) == 100 + data.count(b"note")


def test_a_copy_of_what_holds_something_is_searched_again(tmp_path: Path) -> None:
    """Each of them is a finding."""
    text = b"a note and a find\n" * 100

    asked = searched(tmp_path, tar_of(file("srv/a.txt", text)), tar_of(copied("srv/a.txt", text)), found=200)

    assert len(asked) == 200


def test_a_large_copy_is_searched_where_it_differs_and_all_around(tmp_path: Path) -> None:
    """Windows of a content that is not all the same are not taken for known, whatever they hold themselves. The second
    note lies where windows overlap: two of them see it."""
    large = bytes(100) + b" note " + bytes(2 * WINDOW) + b" note "
    other = large + b"."

    assert len(searched(tmp_path, tar_of(file("x/large", large)), tar_of(copied("x/large", large)))) == 3
    assert len(searched(tmp_path, tar_of(file("x/large", large)), tar_of(file("x/large", other)))) == 6


def test_a_copy_in_a_compressed_layer_is_known(tmp_path: Path) -> None:
    """From a plain one, whose bytes stay where they are until the scan is over."""
    text = b"a note and words\n" * 100
    plain, packed = tar_of(file("srv/a.txt", text)), compress(tar_of(copied("srv/a.txt", text)), "gzip")

    assert len(searched(tmp_path, plain + bytes(1 << 20), packed)) == 100


def test_a_copy_under_the_same_name_is_known_to_every_worker() -> None:
    """What one worker noted, another one finds."""
    extents = {3: memoryview(b"...." + NOTHING)}
    twins = Twins(2)
    first, second = twins.part(0, extents), twins.part(1, extents)

    first.note("usr/share/x/blob.bin", 3, 4, len(NOTHING))

    assert second.holds("./srv/x/blob.bin", memoryview(NOTHING))
    assert first.holds("x/blob.bin", memoryview(NOTHING))


def test_other_bytes_or_names_are_not_known() -> None:
    """One byte more, less or changed, another name or folder, an extent that is closed: all are searched."""
    extents = {3: memoryview(NOTHING)}
    known = Twins(1).part(0, extents)
    known.note("x/blob.bin", 3, 0, len(NOTHING))
    changed = NOTHING[:-1] + bytes([NOTHING[-1] ^ 1])

    assert not known.holds("x/blob.bin", memoryview(changed))
    assert not known.holds("x/blob.bin", memoryview(NOTHING[:-1]))
    assert not known.holds("x/blob.bin", memoryview(NOTHING + b"\0"))
    assert not known.holds("x/other.bin", memoryview(NOTHING))
    assert not known.holds("y/blob.bin", memoryview(NOTHING))
    del extents[3]
    assert not known.holds("x/blob.bin", memoryview(NOTHING))


def test_a_large_content_is_known_when_all_of_its_windows_are() -> None:
    """Each worker notes the windows that it searched; those of two contents do not make one."""
    data = memoryview(bytes(2 * WINDOW + 5))
    other = memoryview(bytes(WINDOW) + b"x" + bytes(WINDOW + 4))
    extents = {1: data, 2: other}
    twins = Twins(2)
    first, second = twins.part(0, extents), twins.part(1, extents)

    first.note("x/large", 1, 0, len(data))
    second.note("x/large", 1, 0, len(data), WINDOW)
    assert not first.holds("x/large", data)
    second.note("x/large", 2, 0, len(data), 2 * WINDOW)
    assert not first.holds("x/large", data)
    first.note("x/large", 1, 0, len(data), 2 * WINDOW)

    assert first.holds("x/large", data)
    assert second.holds("x/large", memoryview(bytes(len(data))))
    assert not first.holds("x/large", other)


def test_contents_that_are_nearly_alike_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever number of windows they have: a database that is stored three times with a change at its end."""
    size = 8 * WINDOW
    extents = {number: memoryview(bytes(size - 1) + bytes([number])) for number in (1, 2, 3)}
    known = Twins(1).part(0, extents)
    compared = []
    monkeypatch.setattr("scanner.work.twins._equal", lambda one, other: compared.append(1) or one == other)
    for start in range(0, size, WINDOW):
        known.note("x/db", 1, 0, size, start)
        known.note("x/db", 2, 0, size, start)

    assert not any(known.repeats("x/db", 3, 0, size, start) for start in range(0, size, WINDOW))
    assert len(compared) == 2


def test_a_window_of_a_copy_is_known_by_itself() -> None:
    """And only if the whole contents are equal, which each worker finds out once."""
    data = bytes(WINDOW) + b"x" + bytes(WINDOW)
    other = data[:-1] + b"y"
    known = Twins(1).part(0, {1: memoryview(data), 2: memoryview(data), 3: memoryview(other)})

    known.note("x/large", 1, 0, len(data), WINDOW)

    assert known.repeats("x/large", 2, 0, len(data), WINDOW)
    assert not known.repeats("x/large", 3, 0, len(data), WINDOW)
    assert known.repeats("x/large", 2, 0, len(data), WINDOW)
    assert not known.repeats("x/large", 2, 0, len(data), 0)
    assert not known.repeats("x/large", 2, 0, len(data), 2 * WINDOW)


def test_a_full_table_forgets_nothing_and_claims_nothing() -> None:
    """More contents than there is room for are searched, not confused."""
    data = memoryview(NOTHING)
    known = Twins(1).part(0, {1: data})
    for number in range(60_000):
        known.note(f"x/{number}", 1, number % 100, 2000)

    assert known.holds("x/5", data[5:2005])
    assert not known.holds("x/5", data[6:2006])
    assert not known.holds("x/59999", data[99:2099]) or 59_999 % 100 == 99


def test_a_tail_is_the_name_and_its_folder() -> None:
    """However deep the path, and whatever an archive puts before it."""
    assert tail("./usr/share/doc/copyright") == "doc/copyright" == tail("doc/copyright")
    assert tail("name") == "name"


def test_a_key_in_a_copy_is_found_in_both(tmp_path: Path, leakscan: Leakscan) -> None:
    """A file with a key, and the archive it came from: what is not clean is never taken for known."""
    key = "".join(("AK", "IA", *random.Random(1).choices("ABCDEFGHIJKLMNOP234567", k=16)))
    value = "".join(random.Random(2).choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=40))
    env = f"# {'settings ' * 200}\nAWS_ACCESS_KEY_ID={key}\nAWS_SECRET_ACCESS_KEY={value}\n".encode()
    clean = b"nothing to see here\n" * 100
    archive = tar_of({"./app/.env": env, "./app/readme": clean})
    image = image_of(layer({"app/.env": env, "app/readme": clean, "zz/package.tar": archive}))

    path = write(tmp_path / "image.tar", image.docker_archive())
    report = json.loads(leakscan("--format", "json", "--jobs", "1", path).stdout)

    gated = [(finding["path"], finding["inside"]) for finding in report["findings"] if finding["gated"]]
    assert sorted(gated) == [("app/.env", []), ("zz/package.tar", ["app/.env"])]
    assert report["coverage"]["complete"]


def test_a_rule_that_goes_by_the_whole_path_sees_every_copy(tmp_path: Path, leakscan: Leakscan) -> None:
    """What an allowlist of the user lets pass in one folder is searched in another one, however alike their ends."""
    text = b"plain words and nothing else\n" * 50 + b"see ZZTOP-Q7w9Xk2Lm4Np8Rt5\n"
    rules = write(tmp_path / "rules.toml", b"""[[rules]]
id = "mine"
description = "A pass of our own"
regex = '''ZZTOP-[A-Za-z0-9]{16}'''
keywords = ["zztop"]
[[rules.allowlists]]
paths = ["^vendor/"]
""")
    image = image_of(layer({"vendor/x/y/k.txt": text, "zz/b.tar": tar_of({"live/x/y/k.txt": text})}))

    path = write(tmp_path / "image.tar", image.docker_archive())
    ran = leakscan("--format", "json", "--jobs", "1", "--rules", str(rules), path)

    found = [(finding["path"], finding["inside"]) for finding in json.loads(ran.stdout)["findings"]]
    assert found == [("zz/b.tar", ["live/x/y/k.txt"])]
