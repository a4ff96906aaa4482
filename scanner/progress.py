"""Shows on standard error how far a scan is: layers, bytes, speed. Draws only when told something, never by itself."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from scanner.image.model import OpenedImage

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

#: Seconds between two drawings; more often only costs time.
_INTERVAL = 0.1


class Silent:
    """Takes what a scan tells while it runs, and shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was shown, so nothing is cleared."""

    def received(self, number: int) -> None:
        """*number* more bytes of the image have arrived; its size is not known yet."""

    def expect(self, opened: OpenedImage) -> None:
        """The image is open: its layers are to be read."""

    def advance(self, number: int) -> None:
        """*number* more bytes of its layers have been read."""


class Progress(Silent):
    """A bar on *stream*, gone without a trace when the context ends.

    There is no thread that redraws it: threads and forking worker processes do not go together.
    """

    def __init__(self, stream: TextIO) -> None:
        # rich takes a fifth of a second to import, which only those pay who see it.
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._bar: Bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(file=stream),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("opening", total=None)
        self._total: int | None = None
        self._done = 0
        self._drawn = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def received(self, number: int) -> None:
        """*number* more bytes of the image have arrived; its size is not known yet."""
        self._bar.update(self._task, description="receiving", advance=number)
        self._draw()

    def expect(self, opened: OpenedImage) -> None:
        """The image is open: its layers are to be read, a layer of several platforms once."""
        layers = {(id(layer.blob.file), layer.blob.offset): layer.blob.size
                  for image in opened.images for layer in image.layers if layer.blob}  # fmt: skip
        self._total = sum(layers.values())
        self._bar.reset(self._task, total=self._total, completed=self._done, description=f"{len(layers)} layers")
        self._draw()

    def advance(self, number: int) -> None:
        """*number* more bytes of its layers have been read, counted after expanding."""
        self._done += number
        if self._total is None:  # layers are read while later ones arrive: what arrives is shown
            return
        # Stored sizes are all that is known before; once compressed layers grew past them nobody knows the end.
        total = self._total if self._done <= self._total else None
        self._bar.update(self._task, completed=self._done)
        if total is None:
            self._bar.tasks[0].total = None
        self._draw()

    def _draw(self) -> None:
        now = time.monotonic()
        if now - self._drawn >= _INTERVAL:
            self._drawn = now
            self._bar.refresh()


def shown(wanted: bool, stream: TextIO | None = None) -> Silent:
    """A bar on *stream* (standard error if None) if one is *wanted* and it is a terminal, else its silent twin.

    Use it as a context manager.
    """
    stream = sys.stderr if stream is None else stream
    return Progress(stream) if wanted and stream.isatty() else Silent()
