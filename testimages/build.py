"""Builds cases with a real engine: `python -m testimages.build [CASE...]`.

With no engine of one's own at hand, `--own-engine --save DIR` starts one, builds, saves the images and stops it.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testimages.bases import ensure_base
from testimages.cases import Case, case_names, load_case
from tests.engine import CommandFailed, Docker, Unavailable, client_program, own_engine
from tests.package_index import WHEEL, PackageIndex, own_package_index

BUILDERS = ("buildkit", "classic")
INDEX_USER = "ci"


@dataclass(frozen=True, slots=True)
class Built:
    """The images of a case.

    Attributes:
        reference: name of the final image.
        stages: stage name to a name or an id that the engine knows.
    """

    case: Case
    builder: str
    reference: str
    stages: Mapping[str, str]


def build_case(docker: Docker, case: Case, builder: str) -> Built:
    """Build one case. Raises CommandFailed with the build's output, Unavailable if the base cannot be made."""
    ensure_base(docker, case.base)
    reference = f"leakscan-case/{case.name}:{builder}"
    with package_index(case) as index, tempfile.TemporaryDirectory(prefix="leakscan-case-") as work:
        address = index.address if index else ""
        context, mounts = Path(work, "context"), Path(work, "mounts")
        context.mkdir()
        mounts.mkdir()
        case.write_context(context, address)
        options = build_options(case, builder, mounts, address)

        def build(tag: str, *more: str) -> str:
            environment = {"DOCKER_BUILDKIT": "1" if builder == "buildkit" else "0"}
            return docker.run("build", *options, *more, "--tag", tag, str(context), env=environment)

        output = build(reference)
        if index and f"/files/{WHEEL}" not in index.allowed:
            raise CommandFailed(f"{case.name}: the build never fetched from the private index\n{output}")
        if builder == "classic":
            return Built(case, builder, reference, {stage: stage_id(output, stage) for stage in case.stages})
        stages = {stage: f"{reference}-{stage}" for stage in case.stages}
        for stage, tag in stages.items():
            build(tag, "--target", stage)
        return Built(case, builder, reference, stages)


def build_options(case: Case, builder: str, mounts: Path, index: str) -> list[str]:
    """The options of `docker build` for one case; secret files are written into *mounts*."""
    options = ["--network", "host"]
    if builder == "buildkit":
        options += ["--progress", "plain"]
    for name, text in case.build_args.items():
        options += ["--build-arg", f"{name}={case.fill(text, index)}"]
    for name, text in case.secrets.items():
        (mounts / name).write_text(case.fill(text, index), encoding="utf-8")
        options += ["--secret", f"id={name},src={mounts / name}"]
    return options


@contextlib.contextmanager
def package_index(case: Case) -> Iterator[PackageIndex | None]:
    """The private index of a case, if it has one."""
    if case.index is None:
        yield None
        return
    with own_package_index(INDEX_USER, case.values[case.index]) as index:
        yield index


def stage_id(output: str, stage: str) -> str:
    """The id of a stage's last image, read from what the classic builder prints."""
    current, image = "", ""
    for line in output.splitlines():
        if start := re.match(r"Step \d+/\d+ : FROM \S+(?: AS (\S+))?", line, re.IGNORECASE):
            current = start[1] or ""
        elif (made := re.match(r" ---> ([0-9a-f]{12,})$", line)) and current == stage:
            image = made[1]
    if not image:
        raise CommandFailed(f"the builder printed no image of stage {stage}\n{output}")
    return image


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what the command line names and print the names of the images."""
    parser = argparse.ArgumentParser(prog="python -m testimages.build", description="Builds images with leaks.")
    parser.add_argument("case", nargs="*", help="folders of testimages (default: all)")
    parser.add_argument("--builder", choices=BUILDERS, help="default: each that can build the case")
    parser.add_argument("--save", type=Path, metavar="DIR", help="also write docker-archives into DIR")
    parser.add_argument("--own-engine", action="store_true", help="start an engine for this run (as root)")
    options = parser.parse_args(arguments)
    if options.own_engine and not options.save:
        parser.error("--own-engine needs --save: its images go when it stops")
    try:
        with own_engine() if options.own_engine else contextlib.nullcontext(Docker(client_program(), "")) as docker:
            for name in options.case or case_names():
                case = load_case(name)
                for builder in case.builders:
                    if options.builder in (None, builder):
                        show(docker, build_case(docker, case, builder), options.save)
    except (CommandFailed, Unavailable) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def show(docker: Docker, built: Built, folder: Path | None) -> None:
    """Print the names of the images, and save them if a folder is given."""
    for label, reference in (("", built.reference), *built.stages.items()):
        print(reference, f"(stage {label})" if label else "", flush=True)
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            name = "-".join(filter(None, (built.case.name, built.builder, label)))
            docker.run("save", "--output", str(folder / f"{name}.tar"), reference)


if __name__ == "__main__":
    sys.exit(main())
