"""Templates of pages: every string that goes in is made printable and escaped, whoever wrote the template.

Names and commands of an image are hostile text. Here nobody has to remember that: what a template prints passes
`escape.text` and is then escaped for HTML, unless it is markup of a template already.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from scanner.report.escape import text as visible

PAGES = "pages"


def page(template: str, *styles: str, **values: object) -> str:
    """A page of one file: *template* filled with *values*, holding its *styles* and a policy that allows nothing else.

    Template and styles are files of `report/pages`.
    """
    # styles are files of this package: they hold nothing of an image
    css = Markup(_css(styles))  # noqa: S704
    return _environment().get_template(template).render(policy=policy(*styles), css=css, **values) + "\n"


def policy(*styles: str) -> str:
    """The policy of a page (CSP level 3): it refuses scripts, images, frames, forms and every request.

    The styles are let in by their digest, so none that came from elsewhere counts.
    """
    digest = base64.b64encode(hashlib.sha256(_css(styles).encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _css(styles: tuple[str, ...]) -> str:
    pages = resources.files(__package__ or "").joinpath(PAGES)
    return "\n".join(pages.joinpath(style).read_text(encoding="utf-8").rstrip("\n") for style in styles) + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("scanner.report", PAGES),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["lines"] = _lines
    environment.filters["words"] = _words
    return environment


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _lines(text: str) -> Markup:
    """*text* with its line ends kept; each line is made safe like any other string."""
    return Markup("\n").join(_line(line) for line in text.split("\n"))


def _line(text: str) -> Markup:
    """A line, which no CI job that prints the page takes for a command: a word at its start (`::error::`) makes one."""
    shown = str(escape(visible(text)))
    command = shown.lstrip().startswith("::")
    return Markup(shown.replace("::", "&#58;:", 1) if command else shown)  # noqa: S704  (escaped the line before)


def _words(command: str) -> Markup:
    """*command* so that a line breaks between its words, never after a hyphen in one, unless a word is too long."""
    return Markup(" ").join(Markup('<span class="word">{}</span>').format(visible(word)) for word in command.split(" "))
