"""Builds leakscan's own image with a real engine, from Debian packages and wheels: `python -m testimages.own_image`.

Nothing is pulled, and the build itself has no network: whatever it needs is in its context.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from testimages.bases import PREFIX, ensure_base
from tests.engine import CommandFailed, Docker, Unavailable, client_program

ROOT = Path(__file__).parent.parent
CONTEXT = ("pyproject.toml", "README.md", "LICENSE", "docs/leakscan.1", "deploy/image", "scanner")
REFERENCE = "leakscan:own"


def build_own_image(docker: Docker, reference: str = REFERENCE) -> str:
    """Build the image and return its name.

    Raises:
        Unavailable: the base or the wheels cannot be made here.
        CommandFailed: the build failed; the text holds its output.
    """
    ensure_base(docker, "python")
    with tempfile.TemporaryDirectory(prefix="leakscan-own-") as work:
        context = Path(work)
        for name in CONTEXT:
            copy(ROOT / name, context / name)
        wheels(context / "build" / "wheels")
        docker.run(
            "build", "--network", "none", "--progress", "plain",
            "--file", str(context / "deploy/image/Dockerfile"),
            "--build-arg", f"BASE={PREFIX}:python",
            "--build-arg", "PIP_OPTIONS=--no-index --find-links /src/build/wheels",
            "--tag", reference, str(context),
            env={"DOCKER_BUILDKIT": "1"},
        )  # fmt: skip
    return reference


def copy(source: Path, target: Path) -> None:
    """Copy a file, or a folder without what Python compiled."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def wheels(folder: Path) -> None:
    """Put the wheels of all that leakscan depends on, and of what builds it, into a folder. Raises Unavailable."""
    options = ["--quiet", "--wheel-dir", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", *options, f"{ROOT}[server,cluster]", "setuptools>=77"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Unavailable(f"pip cannot fetch the wheels: {done.stdout[-2000:]}")


if __name__ == "__main__":
    try:
        print(build_own_image(Docker(client_program(), ""), *sys.argv[1:2]))
    except (CommandFailed, Unavailable) as error:
        sys.exit(str(error))
