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


def page(template: str, style: str, **values: object) -> str:
    """A page of one file: *template* filled with *values*, holding its *style* and a policy that allows nothing else.

    Template and style are files of `report/pages`. The policy (CSP level 3) refuses scripts, images, frames, forms and
    every request; the style is let in by its digest, so no style that came from elsewhere counts either.
    """
    css = resources.files(__package__ or "").joinpath(PAGES, style).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    # the style is a file of this package: it holds nothing of an image
    return _environment().get_template(template).render(policy=policy, css=Markup(css), **values) + "\n"  # noqa: S704


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
    return Markup("\n").join(escape(visible(line)) for line in text.split("\n"))


def _words(command: str) -> Markup:
    """*command* so that a line breaks between its words, never after a hyphen in one, unless a word is too long."""
    return Markup(" ").join(Markup('<span class="word">{}</span>').format(visible(word)) for word in command.split(" "))
