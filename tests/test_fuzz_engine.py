"""What an engine puts into a container's file system is found, whatever was done to the layer's headers."""

from __future__ import annotations

import io
import random
import subprocess
import tarfile
from pathlib import Path

from tests import fuzzing
from tests.builders import image_of, layer, write
from tests.engine import CommandFailed, Docker
from tests.fuzzing import KEY, mutated_tar, new_key, seed_layer

SEED, MUTANTS = 77_000, 160


def exported(docker: Docker, archive: Path, tag: str) -> bytes | None:
    """The file system of a container of the archive's image as a tar, None if the engine refuses the archive."""
    try:
        docker.run("load", "--input", str(archive))
        container = docker.run("create", tag, "/x").strip().splitlines()[-1]
    except CommandFailed:
        return None
    try:
        done = subprocess.run([docker.program, "export", container], env=docker.environment(), capture_output=True)
        return done.stdout if done.returncode == 0 else None
    finally:
        docker.run("rm", container)
        docker.run("rmi", "--force", tag)


def shown(filesystem: bytes) -> set[bytes]:
    """Every key that stands in a name, a link target or the data of a file."""
    found: set[bytes] = set()
    with tarfile.open(fileobj=io.BytesIO(filesystem)) as tar:
        for member in tar:
            names = f"{member.name}\n{member.linkname}\n".encode("utf-8", "surrogateescape")
            content = tar.extractfile(member) if member.isfile() else None
            data = content.read(1 << 20) if content else b""
            found.update(match[0] for match in KEY.finditer(names + data))
    return found


def test_what_an_engine_shows_is_found(engine: Docker, tmp_path: Path) -> None:
    """A container of a mutated image has no key in its files that the scan of the same layer misses."""
    loaded, missed = 0, []
    for seed in range(SEED, SEED + MUTANTS):
        chance = random.Random(seed)
        key = new_key(chance)
        mutant = mutated_tar(chance, seed_layer(chance, key))
        tag = f"leakscan-fuzz:{seed}"
        archive = write(tmp_path / "image.tar", image_of(layer(raw=mutant), tag=tag).docker_archive())
        filesystem = exported(engine, archive, tag)
        if filesystem is None:
            continue
        loaded += 1
        [seen] = fuzzing.scan_layers([mutant])
        if not shown(filesystem) <= seen.keys:
            missed.append(seed)

    assert missed == []
    assert loaded >= MUTANTS // 8  # else this proves little
