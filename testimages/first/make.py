"""Makes image.tar.xz, the image of README's first command: `python testimages/first/make.py` (`make first`).

Builds the Dockerfile beside this file with BuildKit, saves the image as `docker save` writes it and compresses that.
"""

from __future__ import annotations

import lzma
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))  # a folder name of the cases is no package: this file runs as a script

from testimages.bases import write_atomically  # noqa: E402
from testimages.build import build_case  # noqa: E402
from testimages.cases import load_case  # noqa: E402
from tests.engine import own_engine  # noqa: E402

NAME = "leakdemo:1.0"


def main() -> None:
    """Write the archive beside this file."""
    with own_engine() as docker, tempfile.TemporaryDirectory() as work:
        built = build_case(docker, load_case(HERE.name), "buildkit")
        docker.run("tag", built.reference, NAME)
        saved = Path(work) / "image.tar"
        docker.run("save", "--output", str(saved), NAME)
        write_atomically(HERE / "image.tar.xz", lzma.compress(saved.read_bytes(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()
