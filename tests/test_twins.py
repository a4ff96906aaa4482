"""Contents that hold nothing are remembered by their bytes and names, and by nothing less."""

from __future__ import annotations

import json
import random
from pathlib import Path

from scanner.layer.walk import WINDOW
from scanner.work.twins import Twins, tail
from tests.builders import image_of, layer, tar_of, write
from tests.conftest import Leakscan

NOTHING = random.Random(7).randbytes(5000)


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
