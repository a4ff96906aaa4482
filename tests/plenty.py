"""A registry's worth of images: repositories with several tags on few bases, with leaks planted in known ones.

Layers are shared about as Docker Hub's are (Zhao et al., CLUSTER'19): eight to an image in the median, nine of ten in
one image only, and somewhat less than twice the bytes if nothing were shared. Sizes are lognormal, and small: what is
measured here is how images are handled, not how fast bytes are matched.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from testimages.values import github_token
from tests.builders import BuiltImage, BuiltLayer, image_of, layer, whiteout

_TAGS, _BASES, _STACKS = 2, 6, 12
_WORDS = ("import", "return", "value", "self", "config", "def", "class", "for", "if", "print", "name", "path", "open")
_MEDIAN_BYTES, _SPREAD, _MOST_BYTES = 12_000, 1.3, 600_000


@dataclass(frozen=True)
class Planted:
    """One image, and the tokens that leak from it."""

    name: str
    tag: str
    image: BuiltImage
    tokens: frozenset[str]


def plenty(number: int, seed: int = 1) -> Iterator[Planted]:
    """*number* images, always the same ones for a seed."""
    source = random.Random(f"plenty {seed}")
    bases = [[_layer(source) for _ in range(3)] for _ in range(_BASES)]
    leaking = github_token(source)
    bases[0][1] = layer({"etc/base.env": f"GITHUB_TOKEN={leaking}\n", "usr/lib/x": _text(source)}, compression="gz")
    stacks = [[_layer(source) for _ in range(2)] for _ in range(_STACKS)]
    for repository in range(-(-number // _TAGS)):
        base = repository % _BASES
        common = [*bases[base], *(stacks[repository % _STACKS] if repository % 4 else ()), _layer(source)]
        tokens = {leaking} if base == 0 else set()
        for tag in range(min(_TAGS, number - repository * _TAGS)):
            own, more = _own(source, repository, tag)
            image = image_of(*common, *own)
            yield Planted(f"team{repository % 9}/app{repository}", f"v{tag}", image, frozenset(tokens | more))


def _own(source: random.Random, repository: int, tag: int) -> tuple[list[BuiltLayer], set[str]]:
    """The layers of one tag alone, and what leaks from them: a file of every seventh repository's last tag, which half
    of them delete again."""
    layers = [_layer(source) for _ in range(source.choice((2, 3, 3, 4)))]
    if repository % 7 != 3 or tag == 0:  # the leak came with a later build
        return layers, set()
    token = github_token(random.Random(f"own {repository}"))
    layers.append(layer({"app/.env": f"GITHUB_TOKEN={token}\n"}, created_by="COPY . /app # buildkit"))
    if repository % 2:
        layers.append(layer(whiteout("app/.env"), created_by="RUN rm /app/.env # buildkit"))
    return layers, {token}


def _layer(source: random.Random) -> BuiltLayer:
    files = {f"usr/lib/m{source.randrange(10**6)}/{each}.py": _text(source) for each in range(source.choice((1, 2, 4)))}
    return layer(files, compression="gz")


def _text(source: random.Random) -> str:
    """Something like a program, of a random length."""
    size = min(int(source.lognormvariate(0, _SPREAD) * _MEDIAN_BYTES), _MOST_BYTES)
    line = " ".join(source.choices(_WORDS, k=9))
    lines = [f"{line[number % 23:]} {source.randrange(1 << 30)}\n" for number in range(size // 50 + 1)]
    return "".join(lines)
