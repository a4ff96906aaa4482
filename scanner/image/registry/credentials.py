"""The user's credentials for a registry, as Docker and Podman keep them (a home of `docker`: its `auth`)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scanner.directories import home_directory
from scanner.image.registry.names import Repository

_TOKEN_USER = "<token>"  # noqa: S105  (Docker's word for an identity token in a user's place)


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """A user and a password, or an identity token for the token server. Shows in no repr."""

    username: str = ""
    password: str = ""
    identity: str = ""

    def __repr__(self) -> str:
        return "Login(***)"


@dataclass(frozen=True, slots=True)
class Found:
    """The credentials for a repository, None for none, and what went wrong on the way."""

    login: Login | None
    notes: tuple[str, ...] = ()


def login(repository: Repository, environment: Mapping[str, str]) -> Found:
    """Look in Docker's config.json, then in Podman's auth.json; helpers are asked.

    A helper that does not work, or a file that is none, leaves the next place, and is noted.
    """
    import docker.auth
    from docker.errors import DockerException

    notes = []
    for path in _files(environment):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a helper that is missing, which is noted below
                config = docker.auth.load_config(config_path=path)
                found = _resolved(config, repository)
        except (DockerException, OSError, ValueError, TypeError, KeyError, AttributeError):
            notes.append(f"credentials: {path} or the helper that it names does not work; it was passed over")
            continue
        if found is not None:
            return Found(found, tuple(notes))
    return Found(None, tuple(notes))


def _files(environment: Mapping[str, str]) -> Iterator[str]:
    home, runtime = home_directory(environment), environment.get("XDG_RUNTIME_DIR", "")
    config = environment.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    folder = environment.get("DOCKER_CONFIG") or os.path.join(home, ".docker")
    paths = [os.path.join(folder, "config.json")]
    if given := environment.get("REGISTRY_AUTH_FILE"):
        paths.append(given)
    else:
        paths += [os.path.join(runtime, "containers/auth.json")] if runtime else []
        paths.append(os.path.join(config, "containers/auth.json"))
    yield from (path for path in paths if os.path.isfile(path))


def _resolved(config: Any, repository: Repository) -> Login | None:
    """Credentials of the repository, of a namespace above it (Podman keeps such), or of the registry."""
    parts = repository.name.split("/") if repository.name else []
    for length in range(len(parts), 0, -1):
        if found := _login(config.auths.get("/".join([repository.host, *parts[:length]]))):
            return found
    return _login(config.resolve_authconfig(repository.host))


def _login(entry: Mapping[str, Any] | None) -> Login | None:
    """An entry as a login; keys differ between config files and helpers."""
    values = {key.lower(): value for key, value in (entry or {}).items() if isinstance(value, str)}
    username, password = values.get("username", ""), values.get("password", "")
    if identity := values.get("identitytoken") or (password if username == _TOKEN_USER else ""):
        return Login(identity=identity)
    return Login(username, password) if username else None
