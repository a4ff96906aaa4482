"""What to do about a finding: says how the credential came to be in the image, and how to build without it.

The kinds of leak and their cures follow Docker's pages on build secrets (docs.docker.com/build/building/secrets) and
what builders were seen to record; see docs/glossary.md for the words. This is the whole of it; `advice` has each kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from scanner.advice.case import Advice, Case, Change, Leak
from scanner.advice.declared import declared, in_config, unknown
from scanner.advice.files import copied
from scanner.advice.runs import run
from scanner.evidence import Remediation, State, Surface
from scanner.image.instruction import parse_created_by
from scanner.image.maker import Builder
from scanner.secrecy.redact import Redactor

ROTATE = "Revoke or change the credential where it was issued, before anything else: whoever pulled the image has it."
_DELETE = (
    "Delete the leaked image from its registry by digest, with all its tags{}, attestations and cache tags, then run "
    "the registry's garbage collection: until then the blob can still be pulled."
)
DELETE = _DELETE.format("")
_WORD = r"[^\s;|&$`]{1,256}"
_NAMES = rf"(?:, here {_WORD}(?: (?:and|at) {_WORD}){{0,3}}(?: \(the index of {_WORD}\))?)?"
_WITH_NAMES = re.compile(re.escape(_DELETE).replace(r"\{\}", _NAMES))
PURGE = (
    "Empty the builders' caches (docker builder prune -a, docker buildx history rm --all, docker image prune), then "
    "those of CI and mirrors."
)
BURIED = (
    "A later step cannot take bytes out of an earlier layer. Remove the file in the very step that brings it in, or "
    "mount it there, so that it is never stored."
)
KANIKO = "kaniko has no secret mounts: build this image with BuildKit or buildah, which have them."
WINDOWS = (
    "Containers of Windows have no secret mounts: do what needs the secret before the build and COPY what comes of it, "
    "or do it in a stage of its own, from which the image copies no more than that. The stage's layers stay on the "
    "builder, in its cache."
)
#: What only makes sense where there are mounts.
_OF_MOUNTS = re.compile(r"mount|--secret |--ssh |/run/secrets|the rewritten|^The tool also kept| stands for: ")
#: The name of a build argument in provenance.
_ARGUMENT = re.compile(r"build-arg:([A-Za-z_]\w{0,99})")
#: Surfaces that no step explains.
_BY_SURFACE = {
    Surface.ANNOTATION: Advice(
        "It is in an annotation, which anyone reads without even pulling layers.",
        ("Build without that annotation; check what fills it, such as a git remote URL with a password.",),
    ),
    Surface.CACHE: Advice(
        "An exported build cache holds it. Mode max exports the layers of all stages, of those too that are not in the "
        "image.",
        (
            "Give it to the build by a secret mount: values of mounts are in no cache.",
            "Delete the cache tag or folder, and export with mode=min where a stage handles secrets.",
        ),
    ),
    Surface.BUILDER: Advice(
        "This machine's builder keeps it: the image does not hold it, but the build cache or an intermediate image "
        "does.",
        ("Give it to the build by a secret mount: values of mounts are in no cache.",),
    ),
}


def advise(
    leak: Leak, redactor: Redactor, written: Callable[[Change], tuple[str | None, str | None]] = lambda _: (None, None)
) -> Remediation:
    """What to do about *leak*: summary, steps in their order, and the rewritten instruction if one can be given.

    None of the strings holds a secret; do not redact them again.

    Args:
        written: a change as a diff against the user's Dockerfile, redacted, and as a command if values are masked in
            the diff; None for what there is none of.
    """
    own = leak.secret.reveal()
    step = replace(parse_created_by(leak.created_by or ""), user=leak.user)
    case = Case(leak, step, lambda text: redactor.text(text, own=own))
    advice = _choose(case)
    if not leak.mounts and _mounts(advice):
        fix = (step for step in advice.fix if not _OF_MOUNTS.search(step))
        advice = Advice(advice.how, (WINDOWS, *fix))
    buried = (BURIED,) if leak.state is not State.LIVE else ()
    kaniko = (KANIKO,) if leak.builder is Builder.KANIKO and _mounts(advice) else ()
    delete = _DELETE.format(f", here {case.clean(leak.image)}") if leak.image else DELETE
    steps = (ROTATE, *kaniko, *advice.fix, *buried, delete, PURGE)
    diff, script = written(advice.change) if advice.change else (None, None)
    return Remediation(advice.how, steps, advice.dockerfile, diff, script)


def _mounts(advice: Advice) -> bool:
    """Whether the advice needs a builder that has mounts."""
    return bool(advice.dockerfile) or any("--mount=" in step for step in advice.fix)


def unnamed(step: str) -> str:
    """A step of advice without the image's names, which are others in each source."""
    return DELETE if _WITH_NAMES.fullmatch(step) else step


def _choose(case: Case) -> Advice:
    if case.leak.surface is Surface.ATTESTATION:
        return _attested(case)
    fixed = _BY_SURFACE.get(case.leak.surface)
    if fixed:
        return fixed
    if case.leak.created_by is None:
        return in_config(case) if case.leak.surface is Surface.CONFIG else unknown(case)
    by_kind = {"RUN": run, "COPY": copied, "ADD": copied}
    return by_kind.get(case.step.kind, declared)(case)


def _attested(case: Case) -> Advice:
    """For provenance, which names the build argument that held it."""
    named = _ARGUMENT.search(case.leak.path or "")
    name = named[1] if named and case.clean(named[1]) == named[1] else "TOKEN"
    return Advice(
        "The build's provenance holds it. Provenance of mode=max stores build arguments and the environment of every "
        "stage, of those too that are not in the image.",
        (
            f"Replace the build argument by a secret mount: {case.mount(name)}",
            "Until then build with --provenance=mode=min or --provenance=false.",
        ),
    )
