"""Progress on standard error."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from scanner.image.blob import Blob, BlobFile
from scanner.image.model import Image, Layer, OpenedImage
from scanner.oci import Platform
from scanner.progress import Progress, shown


class Terminal(io.StringIO):
    """A terminal that remembers what was drawn."""

    def isatty(self):
        return True


def opened(*sizes: int) -> OpenedImage:
    """An image with layers of these sizes."""
    file = BlobFile.open(Path("/dev/null"))
    layers = tuple(Layer(n, None, None, size, "", Blob(f"layer {n}", file, n, size)) for n, size in enumerate(sizes))
    return OpenedImage("shop:1.4", "docker-archive", (Image(Platform(), None, None, None, layers),), files=(file,))


def test_silent_unless_a_terminal():
    """No bar is shown where the stream is no terminal or none is wanted; telling it something does no harm."""
    for silent in (shown(True, io.StringIO()), shown(False, Terminal())):
        assert not isinstance(silent, Progress)
        with silent as display:
            display.received(10)
            display.expect(opened(10))
            display.advance(10)


def test_shows_layers_and_bytes():
    """A bar shows how many layers there are, how many bytes they have and how many are read."""
    stream = Terminal()
    with shown(True, stream) as display:
        display.expect(opened(1_000_000, 1_000_000))
        display.advance(1_500_000)

    assert "2 layers" in stream.getvalue()
    assert "1.5/2.0 MB" in stream.getvalue()


def test_compressed_layers_grow_past_their_size():
    """Where expanded bytes are more than the stored ones the bar goes on counting without an end."""
    stream = Terminal()
    with shown(True, stream) as display:
        display.expect(opened(1_000_000))
        display.advance(3_500_000)

    assert "3.5/?" in stream.getvalue()


def test_no_thread_draws():
    """A bar starts no thread, so that worker processes can be forked while it is shown."""
    code = (
        "import io, threading; from scanner.progress import Progress\n"
        "with Progress(io.StringIO()) as bar: bar.received(5); print(threading.active_count())"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_rich_is_not_imported_for_nothing():
    """Whoever sees no bar does not pay for importing the library that draws it."""
    code = (
        "import io, sys; from scanner.progress import shown; shown(True, io.StringIO()); print('rich' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
