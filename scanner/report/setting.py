"""What a report may know besides the result: the paper it is printed on, and the job that prints it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and when a report is made. Most reports need nothing of it: equal results then give equal bytes.

    Attributes:
        width: characters of a line of text.
        color: whether text may be coloured.
        commit: the commit of the sources that the image was built of, empty if nobody said.
        finished: when the scan ended, seconds since 1970 (UTC).
        whole: the file that the complete JSON report goes to, empty if there is none.
    """

    width: int = 80
    color: bool = False
    commit: str = ""
    finished: float = 0.0
    whole: str = ""

    @property
    def complete(self) -> str:
        """Where a reader finds what a format with limits leaves out."""
        return f"the JSON report {self.whole} lists all" if self.whole else "--format json=FILE lists all"


#: what a report gets that nobody tells anything
PLAIN = Setting()
