"""The exception tree. Each error names what failed, on what and why, and says what to try.

LeakscanError
  InvalidReference     the words given are no image reference and no source form
  ImageUnavailable     engine or file cannot give the image
  MalformedImage       a manifest, config or layout breaks its specification
  RulePackError        a rule of the pack is wrong
  UnusableFile         a settings, rule or baseline file that the user named cannot be used: wrong usage
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


class MalformedImage(LeakscanError):
    """A manifest, config or layout breaks its specification."""


class RulePackError(LeakscanError):
    """A rule of the pack is wrong; the message names file, rule id and reason."""


class UnusableFile(LeakscanError):
    """A file or a setting of the user's own (settings, rules, baseline) cannot be used; names it and the reason."""
