"""`docker leakscan IMAGE`: the program as a plugin of the docker client.

The client asks every plugin for its metadata whenever it prints its help, so that answer imports nothing else.
https://github.com/docker/cli/blob/master/cli-plugins (metadata, environment and arguments of plugins)
"""

from __future__ import annotations

import json
import os
import sys

_METADATA = "docker-cli-plugin-metadata"
_NAME = "leakscan"
#: options of the client that may stand before the name of a plugin, and what they mean to other programs
_VALUES = {
    "-c": "DOCKER_CONTEXT", "--context": "DOCKER_CONTEXT",
    "-H": "DOCKER_HOST", "--host": "DOCKER_HOST",
    "--config": "DOCKER_CONFIG",
    "-l": "", "--log-level": "", "--tlscacert": "", "--tlscert": "", "--tlskey": "",
}  # fmt: skip


def main() -> None:
    """Answer the client, or run the program with what follows the plugin's name."""
    words = sys.argv[1:]
    if words[:1] == [_METADATA]:
        print(json.dumps(_metadata()))
        return
    from scanner.__main__ import main as run

    sys.argv[1:] = _own(words)
    run("docker leakscan")


def _metadata() -> dict[str, str]:
    from scanner import __version__

    return {
        "SchemaVersion": "0.1.0",
        "Vendor": "leakscan",
        "Version": __version__,
        "ShortDescription": "Prove whether credentials leaked into an image",
    }


def _own(words: list[str]) -> list[str]:
    """The words after the plugin's name; what the client was told of its engine goes to the environment."""
    rest = list(words)
    while rest and rest[0] != _NAME:
        option, equals, value = rest.pop(0).partition("=")
        if option not in _VALUES:
            continue  # a switch such as --debug or --tls
        if not equals and rest:
            value = rest.pop(0)
        if variable := _VALUES[option]:
            os.environ[variable] = value
            if variable == "DOCKER_HOST":
                os.environ.pop("DOCKER_CONTEXT", None)
    return rest[1:] if rest else words
