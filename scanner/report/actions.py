"""What a job of GitHub Actions is given without being asked for: annotations in its log, and a summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scanner.errors import LeakscanError
from scanner.evidence import ScanResult
from scanner.report.output import Target, render
from scanner.report.setting import Setting


def under_actions(environment: Mapping[str, str]) -> bool:
    """Whether this is a job of GitHub Actions, or of a service that speaks its words."""
    return environment.get("GITHUB_ACTIONS") == "true"


def annotate(result: ScanResult, targets: Sequence[Target], setting: Setting) -> str:
    """The annotations, empty if they are among the reports asked for."""
    if any(target.format == "github" for target in targets):
        return ""
    return render(result, "github", setting)


def append_summary(result: ScanResult, environment: Mapping[str, str], setting: Setting) -> None:
    """Add the result to the step's summary, if the job has one. Raises LeakscanError if that cannot be written.

    A summary has 1 MiB at most (docs.github.com, workflow commands); the Markdown report keeps far below that.
    """
    path = environment.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    page = render(result, "markdown", setting)
    try:
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{page}\n")
    except OSError as error:
        what = f"the step's summary cannot be written to {path}: {error.strerror}"
        raise LeakscanError(what, "GITHUB_STEP_SUMMARY names the file.") from None
