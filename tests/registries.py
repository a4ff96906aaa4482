"""Registries for tests: Debian's docker-registry in every dress, and one in memory that does whatever a test wants.

The one in memory notes each request as it came over the wire, so tests can say which host saw which header.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from tests.builders import OCI_INDEX, OCI_MANIFEST, BuiltImage, image_index, sha256
from tests.engine import Unavailable, free_port, home_of, listens, needed, started, wait_until

# -- in memory ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """One request as it came; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


Fault = Callable[["Handler", Request], bool]


class Handler(BaseHTTPRequestHandler):
    """Answers one connection of a `MemoryRegistry`."""

    protocol_version = "HTTP/1.1"
    server: MemoryServer

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.rfile.read(length))
        self.server.registry.seen.append(request)
        with contextlib.suppress(ConnectionError):
            if not self.server.registry.fault(self, request):
                self.server.registry.answer(self, request)

    do_GET = do_HEAD = do_POST = do_CONNECT = _serve  # noqa: N815

    def give(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer; underscores in names of headers stand for dashes."""
        self.send_response(status)
        self.send_header("Content-Length", headers.pop("Content_Length", str(len(body))))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class MemoryServer(ThreadingHTTPServer):
    """The server of a `MemoryRegistry`."""

    daemon_threads = True
    registry: MemoryRegistry

    def handle_error(self, *_: Any) -> None:
        """Clients that go away are what is tested."""


@dataclass
class MemoryRegistry:
    """Serves images from memory at *address*.

    Attributes:
        seen: every request.
        fault: called first; True if it has answered.
        manifests: by (repository, tag or digest); blobs by digest.
    """

    address: str = ""
    seen: list[Request] = field(default_factory=list)
    fault: Fault = lambda _handler, _request: False
    manifests: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    referrers: dict[str, bytes] = field(default_factory=dict)

    def put(self, name: str, tag: str, *images: BuiltImage) -> str:
        """Add an image, or an index of several; returns its reference."""
        for image in images:
            self.blobs |= image.blobs()
            raw = image.manifest()
            self.manifests[name, sha256(raw)] = raw, OCI_MANIFEST
        top = (images[0].manifest(), OCI_MANIFEST) if len(images) == 1 else (image_index(*images), OCI_INDEX)
        self.manifests[name, tag] = self.manifests[name, sha256(top[0])] = top
        return f"registry:{self.address}/{name}:{tag}"

    def paths(self, part: str) -> list[str]:
        """The paths of the requests seen that hold *part*, HEAD left out."""
        return [request.path for request in self.seen if part in request.path and request.method != "HEAD"]

    def answer(self, handler: Handler, request: Request) -> None:
        """What a good registry answers."""
        parts = urlsplit(request.path)
        _, _, rest = parts.path.partition("/v2/")
        if rest == "_catalog":
            names = sorted({name for name, _ in self.manifests})
            self._page(handler, parts.path, parts.query, "repositories", names)
            return
        for kind in ("/manifests/", "/blobs/", "/tags/", "/referrers/"):
            name, found, item = rest.rpartition(kind)
            if found:
                break
        else:
            handler.give(200 if rest == "" else 404, b"{}")
            return
        if kind == "/tags/":
            tags = sorted(tag for each, tag in self.manifests if each == name and not tag.startswith("sha256:"))
            self._page(handler, parts.path, parts.query, "tags", tags)
        elif kind == "/manifests/" and (name, item) in self.manifests:
            raw, media_type = self.manifests[name, item]
            handler.give(200, raw, Content_Type=media_type, Docker_Content_Digest=sha256(raw))
        elif kind == "/blobs/" and item in self.blobs:
            self._blob(handler, request, self.blobs[item])
        elif kind == "/referrers/" and item in self.referrers:
            handler.give(200, self.referrers[item], Content_Type=OCI_INDEX)
        else:
            handler.give(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')

    @staticmethod
    def _blob(handler: Handler, request: Request, data: bytes) -> None:
        asked = request.headers.get("range", "")
        if not asked:
            handler.give(200, data)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        handler.give(206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")

    @staticmethod
    def _page(handler: Handler, path: str, query: str, key: str, values: list[str]) -> None:
        """Two entries a page, to see to it that pages are followed."""
        last = parse_qs(query).get("last", [""])[0]
        left = [value for value in values if value > last]
        more = {"Link": f'<{path}?n=2>; rel="first", <{path}?n=2&last={left[1]}>; rel="next"'} if len(left) > 2 else {}
        handler.give(200, json.dumps({"name": "x", key: left[:2]}).encode(), **more)


@contextlib.contextmanager
def memory_registry(host: str = "127.0.0.1", home: Path | None = None) -> Iterator[MemoryRegistry]:
    """A registry in memory, on loopback, without TLS; or with it, by a CA that `certs` in *home* has for it."""
    server = MemoryServer((host, 0), Handler)
    server.registry = MemoryRegistry(f"{host}:{server.server_address[1]}")
    if home is not None:
        certificates(home / "certs", server.registry.address, home)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(f"{home}/server.pem", f"{home}/server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# -- Debian's docker-registry ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RealRegistry:
    """A docker-registry on loopback.

    Attributes:
        environment: what leakscan needs to talk to it: DOCKER_CONFIG, LEAKSCAN_REGISTRY_CERTS.
        push_options: what skopeo needs.
    """

    address: str
    environment: Mapping[str, str]
    push_options: tuple[str, ...]

    def push(self, source: str, name: str) -> str:
        """Copy an image here with skopeo; returns its reference. *source* is as skopeo names it."""
        skopeo = needed("skopeo", "skopeo")
        command = [skopeo, "copy", "--quiet", "--all", *self.push_options, source, f"docker://{self.address}/{name}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise Unavailable(f"skopeo copy {source}: {done.stderr}")
        return f"registry:{self.address}/{name}"

    def upload(self, name: str, tag: str, media_type: str, manifest: bytes, blobs: Iterable[bytes]) -> str:
        """Put a manifest and blobs here by the distribution-spec, for what skopeo takes for no image; returns its
        reference. Only where nobody has to log in."""
        root = f"http://{self.address}/v2/{name}"
        for blob in blobs:
            place = _request("POST", f"{root}/blobs/uploads/").headers["Location"]
            _request("PUT", f"{place}&digest={sha256(blob)}", blob, "application/octet-stream")
        _request("PUT", f"{root}/manifests/{tag}", manifest, media_type)
        return f"{self.address}/{name}:{tag}"


def _request(method: str, url: str, body: bytes = b"", media_type: str = "text/plain") -> requests.Response:
    answer = requests.request(method, url, data=body, headers={"Content-Type": media_type}, timeout=60)
    if not answer.ok:
        raise Unavailable(f"{method} {url}: {answer.status_code} {answer.text}")
    return answer


@contextlib.contextmanager
def docker_registry(
    *, user: str = "", password: str = "", token: bool = False, tls: bool = False,
    notify: Mapping[str, Any] | None = None,
) -> Iterator[RealRegistry]:  # fmt: skip
    """Debian's docker-registry.

    Args:
        notify: an endpoint of its notifications, as its settings have them.
        user, password: asked for; by a password file, or by a token server if *token*.
        tls: with certificates of its own CA, and asking for a client's.
    """
    program = needed("docker-registry", "docker-registry")
    address = f"127.0.0.1:{free_port()}"
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(home_of("registry"))
        settings: dict[str, Any] = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": f"{home}/storage"}},
            "http": {"addr": address},
            **({"notifications": {"endpoints": [dict(notify)]}} if notify else {}),
        }
        environment = {"DOCKER_CONFIG": str(docker_config(home / "config", address, user, password))}
        options: tuple[str, ...] = ("--dest-tls-verify=false",)
        if tls:
            folder = certificates(home / "certs", address, home)
            environment["LEAKSCAN_REGISTRY_CERTS"] = str(home / "certs")
            settings["http"]["tls"] = {
                "certificate": f"{home}/server.pem", "key": f"{home}/server.key", "clientcas": [f"{folder}/ca.crt"],
            }  # fmt: skip
            options = ("--dest-cert-dir", str(folder))
        if token:
            realm = stack.enter_context(token_server(home, user, password, tls and folder))
            settings["auth"] = {"token": {"realm": realm, "service": "tests", "issuer": "tests",
                                          "rootcertbundle": f"{home}/signer.pem"}}  # fmt: skip
        elif user:
            htpasswd = needed("htpasswd", "apache2-utils")
            hashed = subprocess.run([htpasswd, "-niB", user], input=password.encode(), stdout=subprocess.PIPE)
            (home / "htpasswd").write_bytes(hashed.stdout)
            settings["auth"] = {"htpasswd": {"realm": "tests", "path": f"{home}/htpasswd"}}
        if user:
            options += ("--dest-authfile", f"{environment['DOCKER_CONFIG']}/config.json")
        (home / "config.yml").write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        process = stack.enter_context(started([program, "serve", str(home / "config.yml")], home))
        wait_until(lambda: listens(address), process, home)
        yield RealRegistry(address, environment, options)


def docker_config(folder: Path, address: str, user: str, password: str) -> Path:
    """A DOCKER_CONFIG folder with one registry's credentials, if there are any."""
    folder.mkdir(parents=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {address: {"auth": auth}} if user else {}}))
    return folder


def _openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(
        [needed("openssl", "openssl"), *arguments], input=stdin, check=True, capture_output=True
    ).stdout


def certificates(root: Path, host: str, home: Path) -> Path:
    """A folder of certs.d for *host*: a CA, and a client's certificate by it. The server's is put into *home*."""
    folder = root / host
    folder.mkdir(parents=True)
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    _openssl(*new, "-subj", "/CN=tests", "-keyout", f"{home}/ca.key", "-out", f"{folder}/ca.crt",
             "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    for place, suffix, usage in ((home / "server", "pem", "serverAuth"), (folder / "client", "cert", "clientAuth")):
        _openssl(*new, "-subj", f"/CN={place.name}", "-keyout", f"{place}.key", "-out", f"{place}.{suffix}",
                 "-CA", f"{folder}/ca.crt", "-CAkey", f"{home}/ca.key", "-addext", "basicConstraints=CA:FALSE",
                 "-addext", f"extendedKeyUsage={usage}", "-addext", "subjectAltName=IP:127.0.0.1")  # fmt: skip
    return folder


@contextlib.contextmanager
def token_server(home: Path, user: str, password: str, folder: Path | bool) -> Iterator[str]:
    """A token server as distribution describes it; gives its realm. Its tokens live for a second."""
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=signer",
             "-keyout", f"{home}/signer.key", "-out", f"{home}/signer.pem")  # fmt: skip
    leaf = base64.b64encode(ssl.PEM_cert_to_DER_cert((home / "signer.pem").read_text())).decode()
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def token(scopes: list[str]) -> str:
        kinds = [scope.split(":") for scope in scopes]
        access = [{"type": kind[0], "name": ":".join(kind[1:-1]), "actions": kind[-1].split(",")} for kind in kinds]
        now = int(time.time())
        claims = {"iss": "tests", "sub": user, "aud": "tests", "nbf": now - 60, "iat": now, "exp": now + 300,
                  "jti": str(time.monotonic_ns()), "access": access}  # fmt: skip
        parts = [{"typ": "JWT", "alg": "RS256", "x5c": [leaf]}, claims]
        text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
        signature = _openssl("dgst", "-sha256", "-sign", f"{home}/signer.key", stdin=text)
        return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()

    class Tokens(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            granted = self.headers.get("Authorization") == wanted
            scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
            body = json.dumps({"token": token(scopes), "expires_in": 1} if granted else {"details": "no"}).encode()
            self.send_response(200 if granted else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
    if isinstance(folder, Path):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(f"{home}/server.pem", f"{home}/server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        own = folder.parent / f"127.0.0.1:{server.server_address[1]}"
        os.symlink(folder, own)  # its CA is to be known under its own address, too
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http{'s' if folder else ''}://127.0.0.1:{server.server_address[1]}/token"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def unused_address() -> str:
    """host:port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def digest_tag(raw: bytes) -> str:
    """The fallback tag for what refers to a manifest (distribution-spec, "Referrers Tag Schema")."""
    return f"sha256-{hashlib.sha256(raw).hexdigest()}"
