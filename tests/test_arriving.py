"""Layers of an archive are read while later ones are still arriving, and nothing comes out of it but time."""

from __future__ import annotations

import errno
import io
import os
import random
import signal
import subprocess
import tarfile
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner import detection
from scanner.detect.firstpass import FirstPass
from scanner.errors import ImageUnavailable, LeakscanError
from scanner.evidence import Gap, Severity
from scanner.image.arriving import Carrier, Members, Tell
from scanner.image.blob import Blob, BlobFile, spool
from scanner.image.source import open_image
from scanner.image.tarball import open_tar
from scanner.limits import MIB, Limits
from scanner.report.json import document
from scanner.request import Options
from scanner.scan import pool_for, scan
from scanner.work.ahead import Ahead
from scanner.work.jobs import BlobJob
from scanner.work.pool import Pool
from tests import fuzzing
from tests.builders import BuiltImage, compress, file, image_of, layer, private_key, tar_of, write

LARGE = 64 * 1024
PLAIN = tar_of({"a": bytes(LARGE)})
KEY = private_key("arriving")


def _filled(*parts: bytes) -> tuple[BlobFile, list[Any]]:
    """A file that got these parts one after the other, and the members that were found on the way."""
    target = spool("archive")
    members = Members(target)
    found = []
    for part in parts:
        os.write(target.fileno(), part)
        found += members.more(len(part))
    return target, found


def _parts(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(ends)]


_NAMES = st.sampled_from(["blobs/sha256/ab", "x/layer.tar", "y" * 130, "z" * 120 + "/" + "w" * 90, "ü.tar"])
_DATA = st.sampled_from([b"", b"{}", PLAIN, compress(PLAIN, "gz") + bytes(LARGE), bytes(LARGE), PLAIN + b"x"])
_KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE])


@given(
    st.lists(st.tuples(_NAMES, _DATA, _KINDS), max_size=4),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT]),
    st.lists(st.integers(0, 1 << 20), max_size=5),
)
def test_members_are_those_of_the_whole_archive(
    content: list[tuple[str, bytes, bytes]], form: int, cuts: list[int]
) -> None:
    """However the bytes come, what is found early is a member of the whole archive, and no plain layer is missed."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as tar:
        for name, data, kind in content:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(data) if kind in (tarfile.REGTYPE, tarfile.AREGTYPE) else 0
            try:
                tar.addfile(info, io.BytesIO(data))
            except ValueError:  # ustar holds no name of that length
                return
    opened, found = _filled(*_parts(target.getvalue(), cuts))

    store = open_tar(opened, Limits())
    whole = [*store.files.values(), *store.shadowed]
    assert all(blob in whole for blob in found)
    assert len(found) == len({blob.offset for blob in found})
    plain = [blob for blob in whole if blob.size >= len(PLAIN) and len(blob.member or "") < 100
             and (blob.member or "").isascii() and blob.read(257, 5) == b"ustar"]  # fmt: skip
    assert all(blob in found for blob in plain)
    store.close()


@pytest.mark.parametrize(
    "archive",
    [
        b"no tar",
        compress(PLAIN, "gz"),
        tar_of(file("big", PLAIN, pax={"size": "9"})),
        tar_of(file("big", PLAIN, pax={"GNU.sparse.realsize": "9"})),
        PLAIN[:100] + b"\xff" + PLAIN[101:],
    ],
    ids=["text", "compressed", "size-elsewhere", "sparse", "checksum"],
)
def test_what_is_not_plain_is_left_until_it_is_whole(archive: bytes) -> None:
    """No member is found where only the whole archive tells what it is."""
    opened, found = _filled(archive)

    assert found == []
    opened.close()


@pytest.fixture(scope="module")
def rules() -> detection.Detection:
    """All rules."""
    return detection.load(os.environ)


@pytest.fixture
def image() -> BuiltImage:
    """Two layers of more bytes than are told of at once, the first of which leaks."""
    return image_of(layer({"app/id_rsa": KEY, "app/filler": bytes(2 * MIB)}), layer({"app/more": bytes(2 * MIB)}))


class Slow:
    """Standard input that gives all but the last bytes, and those when it is told. Another process writes to it: one of
    our own would hold the pipe open for every process that is forked."""

    def __init__(self, archive: Path) -> None:
        self.told = False
        script = 'head -c -1024 "$0"; read -r word; tail -c 1024 "$0"'
        words = ["sh", "-c", script, str(archive)]
        self._writer = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._writer.stdout is not None
        self.stream = self._writer.stdout

    def go_on(self) -> None:
        """Have the rest sent."""
        if not self.told:
            self.told = True
            assert self._writer.stdin is not None
            self._writer.stdin.write(b"on\n")
            self._writer.stdin.close()

    def close(self) -> None:
        """It ends."""
        self._writer.kill()
        self._writer.wait()
        self.go_on()
        self.stream.close()


def _scanned(archive: Path, rules: detection.Detection, advance: Callable[[Slow, int], None]) -> dict[str, Any]:
    """The report of a scan of what arrives slowly."""
    options = Options(Limits(), 2, bytes(32), Severity.LOW)
    slow = Slow(archive)
    ahead = Ahead(lambda: pool_for(rules, options, lambda count: advance(slow, count)), lambda _: None, lambda _: False)
    try:
        opened = open_image("-", limits=Limits(), stdin=slow.stream, carry=ahead)
        result = scan(opened, rules, options, pool=ahead.pool)
        opened.close()
        return document(result)
    finally:
        ahead.close()
        slow.close()


def _told(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key not in ("scan", "tool")}


@pytest.mark.parametrize("form", ["docker_archive", "oci_archive"])
def test_a_layer_is_matched_before_the_rest_has_arrived(
    form: str, image: BuiltImage, rules: detection.Detection, tmp_path: Path
) -> None:
    """The sender waits until a layer was matched; the report is that of an archive which was there from the start."""
    archive = write(tmp_path / "image.tar", getattr(image, form)())
    matched = []

    def advance(slow: Slow, count: int) -> None:
        matched.append((count, slow.told))
        slow.go_on()

    early = _scanned(archive, rules, advance)

    assert matched[0][0] and not matched[0][1]
    assert early["verdict"] == "leaked"
    with open(archive, "rb") as stream:
        opened = open_image("-", limits=Limits(), stdin=stream)
        later = document(scan(opened, rules, Options(Limits(), 2, bytes(32), Severity.LOW)))
        opened.close()
    assert _told(early) == _told(later)


@pytest.mark.parametrize("compression", ["gz", "xz"])
def test_a_compressed_archive_is_read_while_it_expands(
    compression: str, image: BuiltImage, rules: detection.Detection, tmp_path: Path
) -> None:
    """The layers of a compressed archive are begun with as they come out of it, and found once."""
    options, begun = Options(Limits(), 2, bytes(32), Severity.LOW), []

    def make() -> Pool:
        pool = pool_for(rules, options, lambda _: None)
        begin = pool.begin
        pool.begin = lambda spec: (begun.append(spec), begin(spec))[1]  # type: ignore[method-assign]
        return pool

    ahead = Ahead(make, lambda _: None, lambda _: False)
    path = write(tmp_path / "image.tar.z", compress(image.docker_archive(), compression))
    opened = open_image(str(path), limits=Limits(), carry=ahead)
    result = scan(opened, rules, options, pool=ahead.pool)
    opened.close()

    assert len(begun) == 2
    assert [finding.rule_id for finding in result.findings if finding.gated] == ["private-key.pkcs8"]
    assert result.coverage.complete


class Chunks(io.RawIOBase):
    """A stream that gives as many bytes at a time as chance will have it."""

    def __init__(self, data: bytes, chance: random.Random) -> None:
        super().__init__()
        self._rest, self._chance = data, chance

    def read(self, _size: int = -1) -> bytes:
        """The next bytes, nothing at the end."""
        count = self._chance.choice((1, 511, 512, 513, 5000, 1 << 20))
        given, self._rest = self._rest[:count], self._rest[count:]
        return given


def test_broken_archives_give_one_report_however_they_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with an archive, layers that were begun with early change no word of its report."""
    monkeypatch.setattr("scanner.image.arriving._LEAST", 100)
    monkeypatch.setattr("scanner.work.receiver.MIB", 1000)
    rules = detection.Detection(FirstPass(fuzzing.DETECTORS, fuzzing.DATABASE), "sha256:fuzz")
    options = Options(fuzzing.LIMITS, 2, bytes(32), show_secrets=True)

    def report(archive: bytes, carry: Carrier | None = None, pool: Pool | None = None) -> object:
        stream: Any = Chunks(archive, random.Random(len(archive)))
        try:
            opened = open_image("-", limits=fuzzing.LIMITS, stdin=stream, carry=carry)
        except LeakscanError as error:
            return error.what, error.tip
        try:
            return _told(document(scan(opened, rules, options, pool=pool)))
        finally:
            opened.close()

    def begun(archive: bytes) -> int:
        """How many blobs were begun with early, if that changes nothing."""
        pool, found = pool_for(rules, options, lambda _: None), []
        begin = pool.begin
        monkeypatch.setattr(pool, "begin", lambda spec: (found.append(spec), begin(spec)))
        ahead = Ahead(lambda: pool, lambda _: None, lambda _: False)
        assert report(archive, ahead, pool) == report(archive)
        pool.close()
        return len(found)

    number = 0
    for seed in range(60):
        chance = random.Random(seed)
        archive, _ = fuzzing.mutated_archive(chance, fuzzing.new_key(chance))
        number += begun(archive[: chance.randrange(len(archive))] if chance.random() < 0.2 else archive)

    assert number > 60


def test_what_nobody_asks_for_is_dropped(rules: detection.Detection, image: BuiltImage, tmp_path: Path) -> None:
    """A blob that was begun with and is none of the image's leaves nothing in the report."""
    options = Options(Limits(), 1, bytes(32), Severity.LOW)
    pool = pool_for(rules, options, lambda _: None)
    leak = tar_of({"b/id_rsa": private_key("stray")}, {"x": bytes(LARGE)})
    stray = BlobFile.open(write(tmp_path / "stray.tar", leak))
    spec = BlobJob(Blob("stray", stray, 0, stray.size()))
    path = write(tmp_path / "image.tar", image.docker_archive())
    opened = open_image(str(path), limits=Limits())

    def copy(tell: Tell) -> int:
        tell(1)
        return 7

    def arrived(_: int) -> None:
        pool.begin(spec)
        pool.begin(spec)

    assert pool.receive(copy, arrived) == 7
    result = scan(opened, rules, options, pool=pool)

    assert [finding.path for finding in result.findings if finding.gated] == ["app/id_rsa"]
    assert result.coverage.complete
    opened.close()
    stray.close()


@pytest.mark.parametrize(
    ("happens", "error", "words"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), ImageUnavailable, "died"),
        (lambda: 1 / 0, ImageUnavailable, "ZeroDivisionError"),
        (lambda: _refuse(), ImageUnavailable, "no more to be had"),
        (lambda: _full(), OSError, "No space left"),
        (lambda: _late(), TimeoutError, "timed out"),
        (lambda: _pipe(), BrokenPipeError, "somebody else's"),
        (lambda: threading.Lock(), ImageUnavailable, "TypeError"),
        (lambda: bytearray(8 << 30), ImageUnavailable, "more memory"),
    ],
    ids=["killed", "fault", "refused", "disk-full", "timeout", "pipe", "no-message", "memory"],
)
def test_what_becomes_of_copying_is_told(
    happens: Callable[[], object], error: type[Exception], words: str, rules: detection.Detection
) -> None:
    """Whatever ends the process that copies, the coordinator says so and goes on."""
    pool = pool_for(rules, Options(Limits(), 1, bytes(32)), lambda _: None)
    try:
        with pytest.raises(error, match=words):
            pool.receive(lambda _: happens(), lambda _: None)
    finally:
        pool.close()
        pool.close()


def _refuse() -> None:
    raise ImageUnavailable("there is no more to be had", "Ask later.")


def _full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _late() -> None:
    raise TimeoutError("timed out")


def _pipe() -> None:
    raise BrokenPipeError(errno.EPIPE, "somebody else's")


def bomb(image: BuiltImage) -> bytes:
    """An archive whose first layer grows to 64 MiB and is none of the image's."""
    large = compress(tar_of({"zeros": bytes(64 * MIB), "id_rsa": KEY}), "gz") + bytes(LARGE)
    return tar_of(file("blobs/sha256/" + "0" * 64, large), *image.oci_members())


@pytest.mark.parametrize("asked", [True, False], ids=["its-own", "another's"])
def test_early_layers_take_nothing_from_others(
    asked: bool, rules: detection.Detection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a layer grows to early counts for no other, and one that had too little room is read again."""
    small = image_of(layer({"app/id_rsa": KEY, "zeros": bytes(8 * MIB)}, compression="gz"))
    archive = small.oci_archive() if asked else bomb(small)
    limits = Limits(image_bytes=70 * MIB)
    options = Options(limits, 1, bytes(32), Severity.LOW)
    monkeypatch.setattr("scanner.image.arriving._LEAST", 1000)
    monkeypatch.setattr(Pool, "_early_room", lambda _: MIB if asked else 128 * MIB)
    monkeypatch.setattr("scanner.work.pool._GROWS", 0)
    ahead = Ahead(lambda: pool_for(rules, options, lambda _: None), lambda _: None, lambda _: False)
    with open(write(tmp_path / "image.tar", archive), "rb") as stream:
        opened = open_image("-", limits=limits, stdin=stream, carry=ahead)
    assert ahead.pool is not None
    assert len(ahead.pool._begun) == 1 + (not asked)
    opened = replace(opened, documents=())

    result = scan(opened, rules, options, pool=ahead.pool)

    assert [finding.path for finding in result.findings if finding.gated] == ["app/id_rsa"]
    assert result.coverage.complete
    opened.close()
    ahead.close()


def test_nothing_that_was_found_early_is_lost_when_time_is_over(
    rules: detection.Detection, image: BuiltImage, tmp_path: Path
) -> None:
    """A layer that a limit cut early is read again, and if there is no time for that it is told as it was seen."""
    limits = Limits(image_seconds=0)
    options = Options(limits, 1, bytes(32), Severity.LOW)
    ahead = Ahead(lambda: pool_for(rules, options, lambda _: None), lambda _: None, lambda _: False)
    with open(write(tmp_path / "image.tar", image.oci_archive()), "rb") as stream:
        opened = open_image("-", limits=limits, stdin=stream, carry=ahead)
    pool = ahead.pool
    assert pool is not None
    while any(not job.finished or job.out for job in pool._begun.values()):
        pool._assign()
        pool._listen()
    for job in pool._begun.values():
        job.outcome.gaps.append(Gap("", "", "limit.time", 1, "cut"))

    result = scan(opened, rules, options, pool=pool)

    assert [finding.path for finding in result.findings if finding.gated] == ["app/id_rsa"]
    assert {gap.reason for gap in result.coverage.gaps} == {"limit.time"}
    opened.close()


def test_early_layers_wait_where_room_is_scarce(rules: detection.Detection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is expanded early where the disk may be needed for what is still to come; plain layers take none."""
    pool = pool_for(rules, Options(Limits(), 2, bytes(32)), lambda _: None)
    monkeypatch.setattr(Pool, "_early_room", lambda _: 10 * LARGE)
    file = spool("archive")
    stored = compress(os.urandom(4 * LARGE), "gz")
    os.write(file.fileno(), stored + PLAIN)
    seen: list[list[str]] = []

    def arrived(_: int) -> None:
        pool.begin(BlobJob(Blob("packed", file, 0, len(stored))))
        pool.begin(BlobJob(Blob("plain", file, len(stored), len(PLAIN))))
        pool._assign()
        seen.append([job.spec.blob.name for job in pool._open])

    pool.receive(lambda tell: tell(1), arrived)
    pool.close()
    file.close()

    assert seen == [["plain"]]


def test_an_archive_beyond_the_limit_is_refused(rules: detection.Detection, tmp_path: Path) -> None:
    """The limit of what may arrive holds in the other process too."""
    limits = Limits(image_bytes=1000)
    options = Options(limits, 1, bytes(32))
    ahead = Ahead(lambda: pool_for(rules, options, lambda _: None), lambda _: None, lambda _: True)
    path = write(tmp_path / "large", bytes(2000))
    with open(path, "rb") as stream, pytest.raises(ImageUnavailable, match="more than 1000 bytes"):
        open_image("-", limits=limits, stdin=stream, carry=ahead)
    ahead.close()
