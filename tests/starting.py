"""Real parts that tests start, where this machine can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import pytest

from tests.engine import Unavailable

T = TypeVar("T")


@contextmanager
def or_skip(part: AbstractContextManager[T]) -> Iterator[T]:
    """What *part* starts, gone afterwards; skips with the reason where it cannot be started."""
    try:
        started = part.__enter__()
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        yield started
    finally:
        part.__exit__(None, None, None)
