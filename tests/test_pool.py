"""Whatever happens to a worker, the scan goes on, and what nobody looked at is said."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scanner.detect.base import Trigger
from scanner.detect.firstpass import FirstPass, compile_database, triggers_of
from scanner.evidence import Confidence, Match, Secret, Severity
from scanner.image.blob import Blob, BlobFile
from scanner.limits import Limits
from scanner.work import pool as pooling
from scanner.work import reader
from scanner.work.jobs import BlobJob, BlobOutcome, TextJob
from scanner.work.messages import Form, ReadLayer
from scanner.work.pool import Pool
from scanner.work.shelf import Shelf
from tests.builders import compress, file, tar_of, write


class Marks:
    """Finds `mark-NN`; does to its process what other marks say."""

    triggers = (Trigger(rb"mark-\d\d"), Trigger(rb"(?:die|hang|crash|grow)-now"))

    def confirm(self, data: memoryview, ends: Sequence[int], path: str) -> Iterator[Match]:
        """Act, or match."""
        for end in ends:
            word = bytes(data[end - 7 : end])
            if word == b"die-now":
                os.kill(os.getpid(), signal.SIGKILL)
            elif word.endswith(b"ng-now"):
                time.sleep(3600)
            elif word.endswith(b"sh-now"):
                raise ValueError("the message holds bytes of the image")
            elif word.endswith(b"ow-now"):
                bytearray(8 << 30)
            else:
                yield Match("mark", "pattern", "a mark", Severity.LOW, Confidence.HIGH, end - 7, end, Secret(word))


def run(
    tmp_path: Path,
    *layers: bytes,
    texts: Sequence[tuple[int, str, bytes]] = (),
    limits: Limits = Limits(),  # noqa: B008
    jobs: int = 2,
) -> tuple[list[BlobOutcome], Pool]:
    """Read and match layers that lie one after the other in a file."""
    path = write(tmp_path / "blobs", b"".join(layers))
    opened = BlobFile.open(path)
    blobs, at = [], 0
    for number, stored in enumerate(layers):
        blobs.append(BlobJob(Blob(f"blob-{number}", opened, at, len(stored))))
        at += len(stored)
    kept = BlobFile.open(write(tmp_path / "texts", b"".join(data for _, _, data in texts)))
    jobs_of_texts, at = [], 0
    for key, name, data in texts:
        jobs_of_texts.append(TextJob(key, name, Blob(name, kept, at, len(data))))
        at += len(data)
    detectors = (Marks(),)
    pool = Pool(FirstPass(detectors, compile_database(triggers_of(detectors))), limits, jobs)
    try:
        return pool.run(blobs, jobs_of_texts), pool
    finally:
        opened.close()
        kept.close()


def seen(outcome: BlobOutcome) -> list[tuple[bytes | None, bytes]]:
    """(member, mark) of every sighting."""
    return sorted((s.member, s.match.secret.reveal()) for s in outcome.sightings)


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz", "zst"])
def test_every_layer_is_read_and_matched(tmp_path: Path, compression: str) -> None:
    """Members, names and link targets of several layers are matched, compressed or not."""
    first = compress(tar_of({"a": "x\nmark-01", "dir/mark-02": ""}), compression)
    second = compress(tar_of({f"f{n}": f"mark-{n:02}" for n in range(50)}), compression)

    outcomes, _ = run(tmp_path, first, second)

    assert seen(outcomes[0]) == [(b"a", b"mark-01"), (b"dir/mark-02", b"mark-02")]
    assert len(seen(outcomes[1])) == 50
    assert all(o.read is not None and o.matched == o.read.size and not o.gaps for o in outcomes)
    assert [s.line for s in outcomes[0].sightings] == [2, None]


@pytest.mark.parametrize(("word", "reason"), [("die-now", "worker.died"), ("crash-now", "worker.failed"),
                                              ("grow-now", "limit.memory")])  # fmt: skip
def test_a_poisonous_member_costs_only_itself(tmp_path: Path, word: str, reason: str) -> None:
    """The pieces around it are tried again; it alone becomes a gap, without its bytes in any message."""
    layer = tar_of(*(file(f"f{n:02}", f"mark-{n:02}" if n != 7 else word) for n in range(20)))

    outcomes, _ = run(tmp_path, layer)

    assert len(seen(outcomes[0])) == 19
    assert [(gap.reason, gap.where) for gap in outcomes[0].gaps] == [(reason, f"bytes 6663-{7680 + len(word)}")]
    assert "bytes of the image" not in str(outcomes[0].gaps)


def test_a_worker_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is limited for every task."""
    monkeypatch.setattr(pooling, "_MATCH_SECONDS", 0.3)

    outcomes, _ = run(tmp_path, tar_of({"a": "mark-01", "b": "hang-now"}))

    assert seen(outcomes[0]) == [(b"a", b"mark-01")]
    assert [gap.reason for gap in outcomes[0].gaps] == ["limit.time"]


def test_the_image_s_time_ends_everything(tmp_path: Path) -> None:
    """When the time for the image is over, all that was not looked at is a gap."""
    outcomes, _ = run(tmp_path, tar_of({"b": "hang-now"}), limits=Limits(image_seconds=0.5))

    assert "limit.time" in [gap.reason for gap in outcomes[0].gaps]


def test_texts_come_back_with_their_keys(tmp_path: Path) -> None:
    """A text that kills its worker is a gap with its name; the others are matched."""
    texts = [(1, "one", b"mark-01"), (2, "two", b"die-now"), (3, "three", b"\nmark-03")]

    _, pool = run(tmp_path, texts=texts)

    assert sorted((s.text, s.line) for s in pool.text_sightings) == [(1, 1), (3, 2)]
    assert [(gap.blob, gap.reason) for gap in pool.text_gaps] == [("two", "worker.died")]


def test_a_mark_across_a_window_is_found_once(tmp_path: Path) -> None:
    """Windows overlap, so nothing is cut in two, and nothing is counted twice."""
    window = pooling.WINDOW
    data = bytearray(b"." * (2 * window + 100))
    for at in (window - 3, 2 * window - 7, 2 * window):
        data[at : at + 7] = b"mark-77"

    outcomes, _ = run(tmp_path, tar_of({"big": bytes(data)}))

    assert sorted(s.start - s.base for s in outcomes[0].sightings) == [window - 3, 2 * window - 7, 2 * window]
    assert outcomes[0].read is not None and outcomes[0].matched == outcomes[0].read.size


def test_nothing_is_left_in_the_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spools have no names."""
    spools = tmp_path / "tmp"
    spools.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spools))

    run(tmp_path, compress(tar_of({"a": "mark-01"}), "gz"))

    assert list(spools.iterdir()) == []


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


def test_what_a_reader_waits_to_be_heard_is_not_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer whose pieces are matched slowly is read to its end, however long that takes."""
    clock, heard = Clock(), []

    class Busy:
        def send(self, message: object) -> None:
            clock.now += 100
            heard.append(message)

    monkeypatch.setattr("scanner.work.reader.time", clock)
    monkeypatch.setattr("scanner.layer.walk.time", clock)
    data = tar_of({f"file-{number}": "x" for number in range(3000)})
    task = ReadLayer(1, "layer", 0, len(data), Form.LAYER, Limits(layer_seconds=10))

    walk = reader._pieces(Busy(), task, memoryview(data))  # type: ignore[arg-type]

    assert len(heard) > 5
    assert (walk.ledger.members, walk.ledger.stops) == (3000, [])


def test_what_finds_no_room_on_the_disk_is_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, full, write = Shelf(), [False], BlobFile.write

    def writing(file: BlobFile, data: bytes) -> None:
        if full[0]:
            write(file, data[:2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, data)

    monkeypatch.setattr(BlobFile, "write", writing)
    first = shelf.put(b"first")
    full[0] = True
    second = shelf.put(b"second")
    full[0] = False
    held = [first, second, shelf.put(b""), shelf.put(b"third")]
    assert [shelf.take(each) for each in held] == [b"first", b"second", b"", b"third"]
    assert isinstance(second, bytes) and not isinstance(first, bytes)
    shelf.close()
