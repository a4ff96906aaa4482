"""`leakscan serve`: answers for images over HTTP, and has scanned what it does not know."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.cli.common import SEVERITIES, FileType, tell_away
from scanner.cli.options import store_option
from scanner.errors import InvalidReference, LeakscanError, UnusableFile

if TYPE_CHECKING:
    import ssl

_EFFECTS = ("deny", "warn", "allow")
_SCOPES = ("admission", "harbor", "hooks", "read", "scan", "admin")
_SECRET_BYTES = 16
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def _hosts(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """Registries as images name them: one that no image names would stay unread without a word."""
    for word in words:
        if not _HOST.fullmatch(word):
            raise click.BadParameter(f"{word!r} is no HOST[:PORT]", ctx, param)
    return words


def _address_of_pages(ctx: click.Context, param: click.Parameter, url: str) -> str:
    if url and not url.startswith(("https://", "http://")):
        raise click.BadParameter(f"{url!r} is no address that begins with https:// or http://", ctx, param)
    return url.rstrip("/")


@click.command()
@click.option("--listen", metavar="[HOST]:PORT", default="127.0.0.1:8080", show_default=True,
              help="Where to answer. Anything but loopback needs --tls-cert.")
@click.option("--tls-cert", type=FileType(), metavar="FILE", help="The certificate, with its chain.")
@click.option("--tls-key", type=FileType(), metavar="FILE", help="The certificate's key.")
@click.option("--client-ca", type=FileType(), metavar="FILE",
              help="Authorities of client certificates, which pass without a token, as far as --client-scope says.")
@click.option("--client-scope", "client_scopes", type=click.Choice(_SCOPES), multiple=True, default=("admission",),
              show_default=True, help="What a client certificate allows; repeatable.")
@click.option("--require-client-cert", is_flag=True, help="Take no connection without a client certificate.")
@click.option("--tokens", type=FileType(), metavar="FILE",
              help="Bearer tokens as hashes, with scopes and expiry, of --issue-token; read again when it changes.")
@click.option("--issue-token", metavar="NAME:SCOPE[,SCOPE][:AGE]",
              help="Add a token to --tokens, print it once, and end. AGE: 12h, 30d, 8w. [default: 90d]")
@click.option("--registry", "registries", metavar="HOST[:PORT]", multiple=True, callback=_hosts,
              help="A registry that may be read, wherever it is; repeatable. No other one is.")
@click.option("--any-registry", is_flag=True, help="Read other registries too, at public addresses only.")
@click.option("--hook-secret", type=FileType(), metavar="FILE",
              help="What GHCR and Artifactory sign their webhooks with; for /hooks/.../signed.")
@click.option("--audit-every", metavar="AGE|never", default="24h", show_default=True,
              help="How often every named registry is listed, and scanned what no webhook told of.")
@click.option("--public-url", default="", metavar="URL", callback=_address_of_pages,
              help="Where people reach the pages; links in reports lead there.")
@click.option("--on-leaked", type=click.Choice(_EFFECTS), default="deny", show_default=True,
              help="What becomes of an image that leaks.")
@click.option("--on-incomplete", type=click.Choice(_EFFECTS), default="deny", show_default=True,
              help="What becomes of an image that could not be read whole.")
@click.option("--on-unknown", type=click.Choice(_EFFECTS), default="deny", show_default=True,
              help="What becomes of an image that was not scanned yet; it is put into the queue.")
@click.option("--audit-mode", is_flag=True, help="Deny nothing: warn instead.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), default="low", show_default=True,
              help="The least severity that makes an image leak.")
@click.option("--scans", type=click.IntRange(1, 64), default=1, show_default=True, metavar="N",
              help="Images that are scanned at a time.")
@click.option("--jobs", type=click.IntRange(1, 256), default=lambda: os.cpu_count() or 1, metavar="N",
              help="Processes that work on one of them. [default: one for each processor]")
@click.option("--queue-limit", type=click.IntRange(1), default=10_000, show_default=True, metavar="N",
              help="Scans that may wait.")
@click.option("--rate", type=click.IntRange(1), default=500, show_default=True, metavar="N",
              help="Requests a second that one client may make.")
@click.option("--drain-seconds", type=click.IntRange(0, 300), default=5, show_default=True, metavar="N",
              help="How long SIGTERM leaves it answering, not ready any more.")
@store_option
def serve(
    listen: str, tls_cert: Path | None, tls_key: Path | None, client_ca: Path | None, client_scopes: tuple[str, ...],
    require_client_cert: bool, tokens: Path | None, issue_token: str | None, registries: tuple[str, ...],
    any_registry: bool, hook_secret: Path | None, audit_every: str, public_url: str,
    on_leaked: str, on_incomplete: str, on_unknown: str, audit_mode: bool,
    fail_on: str, scans: int, jobs: int, queue_limit: int, rate: int, drain_seconds: int, store: str | None,
) -> None:
    """Answer for images over HTTP: to Harbor, Kubernetes and people.

    Every answer is a look-up in the store; an image that is not known there is put into a queue, and scanned in
    processes of its own. Without other options it denies whatever is not known to be clean.

    Exit codes: 0 it was told to end and did, 2 wrong usage, 3 it cannot serve.
    """  # fmt: skip
    if issue_token is not None:
        _issue(tokens, issue_token)
        return
    if not all(importlib.util.find_spec(name) for name in ("starlette", "uvicorn", "httptools")):
        raise LeakscanError("serving needs the extra `server`", "Install it: pip install 'image-leakscan[server]'.")
    from scanner.evidence import Severity
    from scanner.serve.app import Application
    from scanner.serve.assembly import assembled
    from scanner.serve.doors import DOORS
    from scanner.serve.renewal import Renewal
    from scanner.serve.server import serve as run
    from scanner.serve.settings import ServeSettings
    from scanner.serve.tokens import Tokens
    from scanner.serve.words import Effect, Policy, Scope
    from scanner.store.database import default_url

    host, port = _address(listen)
    context = _tls(host, tls_cert, tls_key, client_ca, require_client_cert)
    if not registries and not any_registry:
        raise click.UsageError("name the registries that may be read: --registry HOST[:PORT]")
    if tokens is None and client_ca is None:
        raise click.UsageError("nobody could pass: give --tokens or --client-ca")
    least = None if fail_on == "never" else Severity(fail_on)
    settings = ServeSettings(
        frozenset(registries), any_registry, public_url, least, queue_limit=queue_limit, scans=scans,
        jobs=jobs, rate=float(rate), burst=2 * rate, drain_seconds=float(drain_seconds),
        hook_secret=_secret(hook_secret), audit_seconds=_seconds(audit_every),
    )  # fmt: skip
    policy = Policy(Effect(on_leaked), Effect(on_incomplete), Effect(on_unknown), audit_mode)
    _log()
    known = Tokens(tokens)
    scopes = frozenset(Scope(word) for word in client_scopes) if client_ca is not None else frozenset()
    with assembled(store or default_url(os.environ), settings, policy, tell_away) as both:
        application = Application(both.service, DOORS, known, scopes)
        scheme = "http" if context is None else "https"
        renewal = Renewal(context, tls_cert, tls_key) if context and tls_cert and tls_key else None

        def started(at: str, on: int) -> None:
            click.echo(f"leakscan: serving on {scheme}://{f'[{at}]' if ':' in at else at}:{on}", err=True)

        try:
            run(application, both.service, host, port, context, started, renewal)
        except OSError as error:
            raise LeakscanError(f"{listen} cannot be listened on: {error.strerror}", "Give another --listen.") from None


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise click.UsageError(f"{listen!r} is no [HOST]:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  (that is what `:8080` means)


def _secret(path: Path | None) -> bytes:
    """What a file of a secret holds, without the line end that editors leave. Raises UnusableFile."""
    from scanner import userfile

    if path is None:
        return b""
    found = userfile.read(path).rstrip(b"\r\n")
    if len(found) < _SECRET_BYTES:
        raise click.UsageError(f"--hook-secret: give at least {_SECRET_BYTES} characters")
    return found


def _seconds(every: str) -> float:
    from scanner.audit.targets import parse_age

    try:
        return 0.0 if every == "never" else 3600.0 * parse_age(every)
    except InvalidReference as error:
        raise click.UsageError(f"--audit-every: {error.what}. {error.tip.removesuffix('.')}, or never.") from None


def _tls(
    host: str, certificate: Path | None, key: Path | None, authorities: Path | None, required: bool
) -> ssl.SSLContext | None:
    from scanner.serve.server import tls

    if (certificate is None) != (key is None):
        raise click.UsageError("give both --tls-cert and --tls-key")
    if certificate is None or key is None:
        if authorities is not None or required:
            raise click.UsageError("client certificates need --tls-cert and --tls-key")
        if host not in _LOOPBACK:
            raise click.UsageError("tokens would be in clear: give --tls-cert and --tls-key, or listen on 127.0.0.1")
        return None
    if required and authorities is None:
        raise click.UsageError("--require-client-cert needs --client-ca")
    return tls(certificate, key, authorities, required)


def _issue(path: Path | None, words: str) -> None:
    """Print a new token. Raises UnusableFile."""
    from scanner.audit.targets import parse_age
    from scanner.serve.tokens import issue, parse_scopes

    if path is None:
        raise click.UsageError("--issue-token needs --tokens FILE")
    name, _, rest = words.partition(":")
    scopes, _, age = rest.partition(":")
    try:
        token = issue(path, name, parse_scopes(scopes.split(","), "--issue-token"), parse_age(age or "90d"))
    except (InvalidReference, UnusableFile) as error:
        raise click.UsageError(f"{error.what}. {error.tip}".strip()) from None
    click.echo(token)


def _log() -> None:
    """What happens, a line each, on standard error; never what a request held."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    # uvicorn warns of every request that is wrong
    for name, level in (("leakscan", logging.WARNING), ("uvicorn", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
