"""The exception tree. Each error names what failed, on what and why, and says what to try.

LeakscanError
  InvalidReference     the words given are no image reference and no source form
  ImageUnavailable     engine or file cannot give the image
    RegistryFault      a registry cannot, or gives what is refused; names the reason of a gap
  MalformedImage       a manifest, config or layout breaks its specification
  RulePackError        a rule of the pack is wrong
  UnusableFile         a file that the user named beside the image cannot be used: wrong usage
  StoreError           the store of audits cannot be used
"""

from __future__ import annotations


class LeakscanError(Exception):
    """Base of all errors that a user is meant to read.

    Attributes:
        what: one sentence: the thing and the reason. Never holds bytes found in an image.
        tip: what to try next, or an empty string.
    """

    def __init__(self, what: str, tip: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.tip = tip


class InvalidReference(LeakscanError):
    """The words given are neither an image reference nor a source form that is known."""


class ImageUnavailable(LeakscanError):
    """The engine or the file cannot give the image."""


class RegistryFault(ImageUnavailable):
    """A registry does not give what was asked for, or what it gives is refused.

    Attributes:
        reason: the code of the gap that this leaves (docs/coverage.md).
    """

    def __init__(self, reason: str, what: str, tip: str = "") -> None:
        super().__init__(what, tip)
        self.reason = reason


class MalformedImage(LeakscanError):
    """A manifest, config or layout breaks its specification."""


class RulePackError(LeakscanError):
    """A rule of the pack is wrong; the message names file, rule id and reason."""


class UnusableFile(LeakscanError):
    """A file or a setting of the user's own cannot be used; names it and the reason."""


class StoreError(LeakscanError):
    """The store of audits cannot be opened, read or written."""
