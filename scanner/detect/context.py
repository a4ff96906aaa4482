"""What the name of a content tells about how values stand in it."""

from __future__ import annotations

import posixpath
import re
from enum import Enum, auto
from functools import lru_cache


class Context(Enum):
    """Kinds of content, by what an assignment looks like in them."""

    BUILD = auto()  #: build steps and image configs: commands and NAME=value, values need no quotes
    SETTINGS = auto()  #: environment files, ini, YAML, JSON, properties, shell: values need no quotes
    SOURCE = auto()  #: programs: only a quoted text is a value
    PROSE = auto()  #: documentation, pages, translations: values are mostly examples
    OTHER = auto()  #: names that tell nothing


_SOURCE = frozenset(
    "py pyi pyx pyc js jsx ts tsx mjs cjs java kt kts go rb php phtml c h cc cpp cxx hpp rs cs vb fs swift "
    "scala pl pm t lua m mm r jl vue svelte dart ex exs erl hs clj groovy gradle css scss sass less sql map "
    "ipynb asm s el vim tcl awk cmake proto thrift wasm so a o class jar d node f90 ml zig nim v d.ts astro "
    "coffee qml".split()
)
_PROSE = frozenset(
    "md markdown rst adoc asciidoc html htm xhtml tex texi info 1 2 3 4 5 6 7 8 po pot mo xlf xliff arb rdoc "
    "pod textile erb ejs hbs mustache jinja jinja2 j2 jsp aspx cshtml tmpl tpl template svg css resx strings "
    "xsd dtd wsdl rng".split()
)
_SETTINGS = frozenset(
    "env ini cfg conf cnf config properties props yaml yml toml json json5 jsonc xml plist sh bash zsh fish "
    "ksh profile rc tfvars tf tfstate hcl service timer netrc npmrc pypirc envrc ps1 psm1 bat cmd ovpn cred "
    "credentials auth list sources settings secret secrets password passwd token key local prod production dev "
    "development staging bak old orig rsp reg inf cnf hosts inventory".split()
)
_PROSE_NAMES = frozenset("readme changelog changes news license copying authors metadata pkg-info".split())
#: image configs go by their digest, in whatever form an archive writes it
_DOCUMENT = re.compile(r"(?:^|[/:])[0-9a-f]{64}(?:\.json)?\Z|^config of |^sha(?:256|512):")
_BUILD_NAMES = ("dockerfile", "containerfile")


@lru_cache(maxsize=16)  # every detector asks for the content at hand
def context_of(path: str) -> Context:
    """The kind of the content called *path*: a member path, or the name of a document such as an image's config."""
    name = posixpath.basename(path).lower()
    if name.startswith(_BUILD_NAMES) or name.endswith(_BUILD_NAMES) or _DOCUMENT.search(path) is not None:
        return Context.BUILD
    if ".env" in name or name.startswith(("env.", "docker-compose", "compose.")):
        return Context.SETTINGS
    stem, dot, extension = name.rpartition(".")
    if dot and not stem:  # .netrc, .npmrc, .bash_history: files of settings and commands
        return Context.SETTINGS
    if extension in _SOURCE and dot:
        return Context.SOURCE
    if (extension in _PROSE and dot) or name.partition(".")[0] in _PROSE_NAMES:
        return Context.PROSE
    if extension in _SETTINGS:
        return Context.SETTINGS
    return Context.OTHER
