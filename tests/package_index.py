"""A private package index on loopback: the simple index of PEP 503 behind HTTP Basic authentication."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROJECT = "leakdemo"
VERSION = "1.0"
WHEEL = f"{PROJECT}-{VERSION}-py3-none-any.whl"


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """An index that runs. *address* is host:port; `allowed` and `refused` count requests.

    The counters are lists of paths so that a test can see that a client really came with the password.
    """

    address: str
    allowed: list[str]
    refused: list[str]


def wheel() -> bytes:
    """The bytes of a wheel that installs one module (PEP 427)."""
    info = f"{PROJECT}-{VERSION}.dist-info"
    files = {
        f"{PROJECT}.py": f'"""A package of a private index."""\n\n__version__ = "{VERSION}"\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {VERSION}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},{record_hash(text)},{len(text)}\n" for name, text in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(2020, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()


def record_hash(text: str) -> str:
    """A file's hash as RECORD spells it."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


@contextlib.contextmanager
def own_package_index(user: str, password: str) -> Iterator[PackageIndex]:
    """An index that serves one wheel to whoever has the password."""
    content = wheel()
    link = f'<a href="/files/{WHEEL}#sha256={hashlib.sha256(content).hexdigest()}">{WHEEL}</a>'
    pages = {
        "/simple/": ("text/html", f'<!doctype html><a href="/simple/{PROJECT}/">{PROJECT}</a>'.encode()),
        f"/simple/{PROJECT}/": ("text/html", f"<!doctype html>{link}".encode()),
        f"/files/{WHEEL}": ("application/octet-stream", content),
    }
    allowed: list[str] = []
    refused: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(pages, basic(user, password), allowed, refused))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield PackageIndex(f"127.0.0.1:{server.server_address[1]}", allowed, refused)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def basic(user: str, password: str) -> str:
    """The Authorization header of a user (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def handler(
    pages: dict[str, tuple[str, bytes]], authorization: str, allowed: list[str], refused: list[str]
) -> type[BaseHTTPRequestHandler]:
    """The request handler of one index."""

    class Handler(BaseHTTPRequestHandler):
        """Answers GET: 401 without the password, 404 for what the index has not."""

        def do_GET(self) -> None:
            """Answer one request."""
            if not hmac.compare_digest(self.headers.get("Authorization", ""), authorization):
                refused.append(self.path)
                self.answer(401, "text/plain", b"password needed", {"WWW-Authenticate": 'Basic realm="packages"'})
            elif self.path in pages:
                allowed.append(self.path)
                self.answer(200, *pages[self.path], {})
            else:
                self.answer(404, "text/plain", b"not here", {})

        def answer(self, status: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
            """Send one whole answer."""
            self.send_response(status)
            for name, value in ({"Content-Type": kind, "Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep stderr quiet; the counters tell what came."""

    return Handler
