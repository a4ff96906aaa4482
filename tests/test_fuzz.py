"""A key that is planted in the bytes of an image is found, or the scan says what it did not look at.

Mutants come from a fixed seed: the same ones on every run. `make fuzz` goes on with others for as long as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import filefuzz, fuzzing

SEED = 20_240_601
TARS, STREAMS, FILES, DOCUMENTS, ARCHIVES = 6000, 3000, 3000, 20_000, 240


def test_a_mutated_layer_hides_no_key() -> None:
    """Whatever is done to headers: no worker fails, every byte is covered, and the key is found or there is a gap."""
    lost = fuzzing.lost_in_tars(range(SEED, SEED + TARS))

    assert lost == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_mutant_that_was_lost_once_is_found(jobs: int) -> None:
    """Its key lies in a sparse member that is read as a whole and run by run, among the mutants it was lost with."""
    lost = fuzzing.lost_in_tars(range(20_243_101, 20_243_601), jobs)

    assert lost == []


def test_a_mutated_stream_hides_no_key() -> None:
    """Whatever is done to gzip, zstd, bzip2 and xz streams: what any decoder gets out of them is found or a gap."""
    lost = fuzzing.lost_in_streams(range(SEED, SEED + STREAMS))

    assert lost == []


def test_a_mutated_file_hides_no_key() -> None:
    """Whatever is done to what is packed in a file, and packed in that again: what any library gets out of it is found
    or a gap."""
    lost = filefuzz.lost_in_files(range(SEED, SEED + FILES))

    assert lost == []


def test_a_mutated_document_raises_nothing_else() -> None:
    """A document is parsed or refused, and strings that a strict reader sees are given with their values."""
    lost = fuzzing.lost_in_documents(range(SEED, SEED + DOCUMENTS))

    assert lost == []


def test_a_mutated_archive_hides_no_key(tmp_path: Path) -> None:
    """Whatever is done to a whole archive: the scan finds the key, is incomplete, or refuses in words."""
    lost = fuzzing.lost_in_archives(range(SEED, SEED + ARCHIVES), tmp_path)

    assert lost == []
