"""The story of docs/proof.md: a build that installs from a private index, done in four ways, and where the password is.

pipenv itself installs from an index that wants the password; the password is given to leakscan as the secret it is.
What an engine's image, its build cache, provenance and cache exports then hold is what real builds were seen to leave.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testimages.bases import ensure_base
from testimages.build import build_options, package_index
from testimages.cases import Case, load_case
from tests.conftest import Builder, Leakscan
from tests.engine import CommandFailed, Docker
from tests.modern import Modern, own_modern_engine
from tests.starting import or_skip

#: a tool's own settings in the builder stage, so that a layer that the image lacks holds the password
SETTINGS = (
    "RUN mkdir -p /root/.config/pip && "
    "printf '[global]\\nindex-url = http://ci:{{password}}@{{index}}/simple\\n' > /root/.config/pip/pip.conf\n"
)
#: the way, and where the secret is: in the image that an engine has; in what the engine keeps of its build; in an
#: export with provenance and cache of mode=max
WAYS = {
    "pipenv-inline": ({"history"}, True, {"history", "attestation"}),
    "pipenv-multi-stage": (set(), True, {"attestation", "cache"}),
    "pipenv-secret-mount": (set(), False, set()),
    "pipenv-cache-mount": ({"history"}, True, {"history", "attestation"}),
}
Told = dict[str, Any]
_TRIES = 5


def scanned(leakscan: Leakscan, case: Case, *arguments: str | Path, host: str = "") -> tuple[str, set[str], list[Told]]:
    """The verdict on the secret, the surfaces of its sightings, and these."""
    secret = f"http://ci:{case.values['password']}@mirror.example/simple"
    env = {"MIRROR": secret, **({"DOCKER_HOST": host} if host else {})}
    ran = leakscan(*arguments, "--secret", "id=mirror,env=MIRROR", "--format", "json", "--no-progress", env=env)
    assert case.values["password"] not in ran.stdout + ran.stderr
    report: Told = json.loads(ran.stdout)
    entry = next(each for each in report["known_secrets"] if each["id"] == "mirror")
    seen = [finding for finding in report["findings"] if finding["id"] in entry["sightings"]]
    assert report["coverage"]["complete"], report["coverage"]["gaps"]
    assert ran.returncode == (1 if seen else 0) or "builder" in arguments, ran.stderr  # which keeps other builds, too
    return entry["verdict"], {finding["surface"] for finding in seen}, seen


@pytest.mark.parametrize(("name", "builder"), [(name, each) for name in WAYS for each in load_case(name).builders])
def test_an_image_and_what_its_builder_keeps(
    name: str, builder: str, engine: Docker, built: Builder, leakscan: Leakscan
) -> None:
    """In the image by the first and fourth way only; in the builder by each way but the secret mount."""
    case, (surfaces, kept, _) = load_case(name), WAYS[name]
    image = built(name, builder)

    verdict, seen, _ = scanned(leakscan, case, f"docker:{image.reference}", host=engine.host)
    assert (verdict, seen & {"history", "layer", "config"}) == ("present" if surfaces else "absent", surfaces)
    verdict, seen, _ = scanned(leakscan, case, "builder", host=engine.host)

    if builder == "buildkit":
        assert (verdict, seen) == (("present", {"builder"}) if kept else ("absent", set()))
    elif name == "pipenv-multi-stage":  # the stage's image is left without a name; a final image's steps are its own
        assert (verdict, seen) == ("present", {"builder"})


@pytest.fixture(scope="module")
def modern() -> Iterator[Modern]:
    """A newer engine that exports what BuildKit makes. Skips with the reason where none can be started."""
    with or_skip(own_modern_engine(containerd=True)) as started:
        ensure_base(started.docker, "pipenv")
        yield started


def exported(modern: Modern, case: Case, mode: str) -> tuple[Path, Path]:
    """Build a case anew; its OCI archive with provenance, and its cache, both of *mode*."""
    work = modern.folder / f"{case.name}-{mode}"
    shutil.rmtree(work, ignore_errors=True)
    context, mounts = work / "context", work / "mounts"
    context.mkdir(parents=True)
    mounts.mkdir()
    with package_index(case) as index:
        assert index is not None
        case.write_context(context, index.address)
        recipe = (context / "Dockerfile").read_text()
        if "AS builder" in recipe:
            recipe = recipe.replace("COPY Pipfile .\n", f"COPY Pipfile .\n{case.fill(SETTINGS, index.address)}", 1)
            (context / "Dockerfile").write_text(recipe)
        options = [option.replace(str(modern.folder), "/w")
                   for option in build_options(case, "buildkit", mounts, index.address)]  # fmt: skip
        there = f"/w/{work.name}"
        options = ["build", *options, "--allow", "network.host", "--attest", f"type=provenance,mode={mode}"]
        steps = (
            ["--no-cache", "--output", f"type=oci,dest={there}/image.tar"],
            ["--cache-to", f"type=local,dest={there}/cache,mode={mode}"],
        )
        for step in steps:  # one after the other: both at once lock each other out of the engine's store
            _run(modern, [*options, *step, f"{there}/context"])
        assert index.allowed, "the build never came to the private index with the password"
    return work / "image.tar", work / "cache"


def _run(modern: Modern, command: list[str]) -> None:
    """Build, a few times if this engine's store stands in its own way."""
    for left in range(_TRIES)[::-1]:
        try:
            modern.own.run("buildx", *command)
        except CommandFailed as error:
            if not left or "failed to open writer: ref" not in str(error):
                raise
            print(f"try again: {str(error)[-200:]}")
        else:
            return


@pytest.mark.parametrize("name", WAYS)
def test_provenance_and_cache_exports(name: str, modern: Modern, leakscan: Leakscan) -> None:
    """Of mode=max, provenance tells the command lines of every stage, and a cache has the files of every stage."""
    case, (_, kept, surfaces) = load_case(name), WAYS[name]
    image, cache = exported(modern, case, "max")

    verdict, seen, sightings = scanned(leakscan, case, image, "--cache-from", f"type=local,src={cache}")

    assert (verdict, seen) == ("present" if surfaces else "absent", surfaces)
    if "cache" in surfaces:
        [told] = [each["path"] for each in sightings if each["surface"] == "cache"]
        assert told.startswith("cache only, layer sha256:") and told.endswith(": root/.config/pip/pip.conf")
    verdict, seen, _ = scanned(leakscan, case, "builder", host=modern.docker.host)
    assert (verdict, seen) == (("present", {"builder"}) if kept else ("absent", set()))


def test_the_least_provenance_and_cache(modern: Modern, leakscan: Leakscan) -> None:
    """mode=min tells of the final stage only: by the second way nothing of the secret leaves the builder."""
    case = load_case("pipenv-multi-stage")
    image, cache = exported(modern, case, "min")

    verdict, seen, _ = scanned(leakscan, case, image, "--cache-from", f"type=local,src={cache}")

    assert (verdict, seen) == ("absent", set())
