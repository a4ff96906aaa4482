"""What a registry holds: manifests, blobs, tags, repositories, referrers (OCI distribution-spec 1.1)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urljoin, urlsplit

from scanner.errors import RegistryFault
from scanner.image.blob import BlobFile
from scanner.image.reference import is_name, is_tag, shown
from scanner.image.registry import credentials
from scanner.image.registry.names import Repository
from scanner.image.registry.settings import Settings
from scanner.image.registry.transport import Answer, Passing, Transport
from scanner.limits import MIB, Limits
from scanner.oci import is_digest

_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.5",
        "application/vnd.docker.distribution.manifest.v1+json;q=0.5",
    )
)
_REFERRERS = "application/vnd.oci.image.index.v1+json"
_PAGE = 1000  # entries asked for at a time; servers give fewer if they like
_PAGE_BYTES = 16 * MIB
_PAGES = 100_000
#: the reason of a fault: there is no such list, where other faults say that it could not be had
NO_LIST = "registry.no-list"
#: how a registry says that it has no catalogue: it does not know the path, the method for it, or the whole thing
_NO_CATALOGUE = (404, 405, 501)
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:\d{1,18}|\*)")


@dataclass(frozen=True, slots=True)
class RawManifest:
    """A manifest's bytes as served. *digest* is of these bytes."""

    raw: bytes
    media_type: str
    digest: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a tag points to, as the registry says; *digest* is empty if it does not say."""

    digest: str
    media_type: str


class Client:
    """One registry, or one repository of it.

    Every method raises RegistryFault, and nothing else for whatever the registry does.
    """

    def __init__(self, transport: Transport, repository: Repository, limits: Limits) -> None:
        self._transport, self.repository, self._limits = transport, repository, limits
        self.notes: tuple[str, ...] = ()

    @classmethod
    def connect(
        cls,
        repository: Repository,
        settings: Settings,
        limits: Limits,
        environment: Mapping[str, str],
        sleep: Callable[[float], None] = time.sleep,
        login: credentials.Login | None = None,
    ) -> Client:
        """A client with *login*, by default the user's credentials. Nothing is sent yet."""
        found = credentials.Found(login) if login is not None else credentials.login(repository, environment)
        client = cls(Transport(repository, settings, found.login, sleep), repository, limits)
        client.notes = found.notes
        return client

    def of(self, name: str) -> Client:
        """The same registry's client for another repository."""
        return Client(self._transport, Repository(self.repository.host, name), self._limits)

    def apart(self) -> Client:
        """The same registry's client for another thread, which two must not share. Close it."""
        return Client(self._transport.apart(), self.repository, self._limits)

    @property
    def connections(self) -> int:
        """How many processes or threads may ask at a time."""
        return self._transport.settings.connections

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    # -- manifests -------------------------------------------------------------------------------------------------

    def manifest(self, version: str) -> RawManifest | None:
        """The manifest of a tag or digest, None if there is none.

        What is served for a digest must have it: else two readers could be given two images.
        """
        limit = self._limits.document_bytes

        def once() -> RawManifest | None:
            with self._exchange("GET", f"manifests/{version}", {"Accept": _MANIFESTS}) as answer:
                if answer.status == 404:
                    return None
                raw = answer.read(limit)
                claimed = answer.header("Docker-Content-Digest")
                media_type = answer.header("Content-Type").partition(";")[0].strip()
            wanted = version if is_digest(version) else claimed
            digest = digest_of(raw, wanted)
            if is_digest(wanted) and digest != wanted:
                digest = digest_of(_unsigned(raw), wanted)
            if is_digest(wanted) and digest != wanted:
                what = f"{self.repository} gives a manifest for {wanted} that has the digest {digest}"
                raise RegistryFault("registry.digest", what, "Do not use this image.")
            return RawManifest(raw, media_type, digest)

        return self._transport.trying(once, self._transport.settings.request_seconds)

    def pointer(self, version: str) -> Pointer | None:
        """What a tag points to, without reading it; None if there is no such tag."""

        def once() -> Pointer | None:
            with self._exchange("HEAD", f"manifests/{version}", {"Accept": _MANIFESTS}) as answer:
                if answer.status == 404:
                    return None
                digest = answer.header("Docker-Content-Digest")
                media_type = answer.header("Content-Type").partition(";")[0].strip()
                return Pointer(digest if is_digest(digest) else "", media_type)

        return self._transport.trying(once, self._transport.settings.request_seconds)

    def referrers(self, digest: str, tags: Collection[str] | None = None) -> bytes | None:
        """The index of what refers to a manifest, or that of its fallback tag; None if the registry has neither.

        *tags* are those of the repository, if they are known.

        Source: distribution-spec, "Listing Referrers" and "Referrers Tag Schema".
        """

        def once() -> bytes | None:
            with self._exchange("GET", f"referrers/{digest}", {"Accept": _REFERRERS}) as answer:
                served = answer.status == 200 and answer.header("Content-Type").partition(";")[0].strip() == _REFERRERS
                return answer.read(self._limits.document_bytes) if served else None

        raw = self._transport.trying(once, self._transport.settings.request_seconds)
        if raw is not None:
            return raw
        tag = digest.replace(":", "-")[:128]
        there = self.pointer(tag) is not None if tags is None else tag in tags  # a HEAD: registries count what is read
        if not there:
            return None
        fallback = self.manifest(tag)
        return None if fallback is None else fallback.raw

    # -- blobs -----------------------------------------------------------------------------------------------------

    def blob_size(self, digest: str) -> int | None:
        """The bytes of a blob as the registry tells them, None if it has no such blob or does not tell."""

        def once() -> int | None:
            with self._exchange("HEAD", f"blobs/{digest}", {}) as answer:
                length = answer.header("Content-Length")
                told = length.isascii() and length.isdigit() and len(length) < 19
                return int(length) if answer.status == 200 and told else None

        return self._transport.trying(once, self._transport.settings.request_seconds)

    def blob(self, digest: str, size: int, target: BlobFile) -> bool:
        """Write a blob to *target*, from its start; False if the registry has no such blob.

        A download that breaks off goes on where it stopped. What comes is hashed from the first byte to the last: if
        the digest is wrong, the bytes are fetched once more, and kept as they are if they are wrong again, to be
        looked at. *size* bytes at most are taken, and no fewer.

        Raises RegistryFault; OSError if *target* cannot be written.
        """
        download = _Download(digest, size, target)

        def once() -> bool:
            headers = {"Range": f"bytes={download.done}-"} if download.done else {}
            with self._exchange("GET", f"blobs/{digest}", headers) as answer:
                if answer.status == 404:
                    return False
                download.take(answer, str(self.repository))
            return True

        found = self._transport.trying(once, self._limits.fetch_seconds)
        if found and not download.right():
            download.restart()
            found = self._transport.trying(once, self._limits.fetch_seconds)
        return found

    # -- lists -----------------------------------------------------------------------------------------------------

    def tags(self) -> Iterator[str]:
        """The tags of the repository, page by page as they are asked for.

        If there is no such repository the reason of the fault is NO_LIST. Some registries say so of one whose tags
        were all deleted.
        """
        tip = "Check the spelling and what the account may read."
        missing = RegistryFault(NO_LIST, f"{self.repository.host} has no repository {self.repository.name}", tip)
        pages = self._pages(f"{self._root()}tags/list", "tags", self._scope(), missing)
        yield from (tag for tag in pages if is_tag(tag))

    def catalog(self) -> Iterator[str]:
        """The repositories of the registry. Not in the distribution-spec; many registries refuse it, or have none: the
        reason of the fault is then NO_LIST."""
        host, tip = self.repository.host, f"Name repositories: {self.repository.host}/NAME, or --repos-file FILE."
        missing = RegistryFault(NO_LIST, f"{host} has no catalogue of its repositories", tip)
        try:
            pages = self._pages("/v2/_catalog", "repositories", "registry:catalog:*", missing, _NO_CATALOGUE)
            yield from filter(is_name, pages)
        except RegistryFault as error:
            if error.reason != "registry.denied":
                raise
            what = f"{host} does not let this account read its catalogue of repositories"
            raise RegistryFault(error.reason, what, f"{error.tip} {tip}".strip()) from None

    def _pages(
        self, path: str, key: str, scope: str, missing: RegistryFault, absent: Collection[int] = (404,)
    ) -> Iterator[str]:
        """The entries of a list. *missing* is raised if there is none: that is not the same as an empty one."""
        here: str | None = f"{path}?n={_PAGE}"
        seen = set()
        for _ in range(_PAGES):
            if here is None:
                return
            seen.add(here)
            page = self._page(here, scope, absent)
            if page is None and len(seen) > 1:
                raise RegistryFault("registry.paging", f"{self.repository} has not all pages of its list", "Try again.")
            if page is None:
                raise missing
            document, link = page
            # null is what programs in Go make of an empty list
            values = document.get(key, missing) if isinstance(document, dict) else missing
            if values is not None and not isinstance(values, list):
                raise RegistryFault("registry.malformed", f"{self.repository} lists {key} in no list", "")
            yield from (value for value in values or () if isinstance(value, str))
            here = self._next(here, link)
            if here in seen:
                raise RegistryFault("registry.paging", f"the pages of {self.repository} lead back to each other", "")
        raise RegistryFault("registry.paging", f"{self.repository} has no end of pages", "")

    def _page(self, path: str, scope: str, absent: Collection[int]) -> tuple[Any, str] | None:
        """A page and where it says the next one is, None if it is not there."""

        def once() -> tuple[Any, str] | None:
            with self._transport.exchange("GET", path, scope, {"Accept": "application/json"}, absent) as answer:
                if answer.status in absent:
                    return None
                try:
                    return json.loads(answer.read(_PAGE_BYTES)), answer.header("Link")
                except (ValueError, RecursionError):
                    raise RegistryFault("registry.malformed", f"{self.repository} sends a list that is no JSON", "") \
                        from None  # fmt: skip

        return self._transport.trying(once, self._transport.settings.request_seconds)

    def _next(self, here: str, link: str) -> str | None:
        """The path of the next page (RFC 8288), wherever it stands. It must be the same list of the same server."""
        found = re.search(r'<([^<>]{1,4096})>\s*;[^,<]*\brel="?next\b', link)
        if found is None:
            return None
        base = f"https://{self.repository.api}"
        try:
            parts = urlsplit(urljoin(base + here, found[1]))
            own = parts.netloc.lower() == self.repository.api.lower() and parts.path == urlsplit(here).path
        except ValueError:
            own = False
        if not own:
            raise RegistryFault("registry.paging", f"a page of {self.repository} leads elsewhere", "")
        fields = [(name, value) for name, values in parse_qs(parts.query).items() for value in values[:1]]
        query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in fields)
        return f"{parts.path}?{query}"

    # -- paths -----------------------------------------------------------------------------------------------------

    def _exchange(self, method: str, path: str, headers: Mapping[str, str]) -> Any:
        return self._transport.exchange(method, self._root() + path, self._scope(), headers)

    def _root(self) -> str:
        return f"/v2/{self.repository.name}/"

    def _scope(self) -> str:
        return f"repository:{self.repository.name}:pull"


def digest_of(raw: bytes, like: str) -> str:
    """The digest of bytes, by the algorithm of another one; SHA-256 if that is none."""
    algorithm = like.partition(":")[0] if is_digest(like) else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, raw).hexdigest()}"


def _unsigned(raw: bytes) -> bytes:
    """What the digest of a signed schema 1 manifest is of: the document without its signatures.

    Source: distribution's manifest-v2-1 page, "Signed Manifests".
    """
    try:
        protected = json.loads(raw)["signatures"][0]["protected"]
        header = json.loads(base64.urlsafe_b64decode(protected + "=="))
        length, tail = header["formatLength"], header["formatTail"]
        return raw[:length] + base64.urlsafe_b64decode(tail + "==")
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return raw


class _Download:
    """The bytes of one blob so far."""

    def __init__(self, digest: str, size: int, target: BlobFile) -> None:
        self._digest, self._size, self._target = digest, size, target
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self.done = 0
        self._hash = hashlib.new(self._digest.partition(":")[0])
        os.ftruncate(self._target.fileno(), 0)

    def right(self) -> bool:
        """Whether the bytes have the digest."""
        return f"{self._digest.partition(':')[0]}:{self._hash.hexdigest()}" == self._digest

    def take(self, answer: Answer, name: str) -> None:
        """Write what an answer brings. Raises Passing if that is not all, RegistryFault if it is too much."""
        if answer.status == 416:
            self.restart()
            raise Passing(RegistryFault("registry.size", f"{name} has no more bytes of {self._digest}", ""))
        if answer.status == 206:
            found = _RANGE.fullmatch(answer.header("Content-Range").strip())
            if found is None or int(found[1]) != self.done:
                self.restart()
                raise Passing(RegistryFault("registry.range", f"{name} gives another range than was asked for", ""))
        elif self.done:  # the server knows no ranges: it starts again, and so do we
            self.restart()
        for chunk in answer.chunks():
            if self.done + len(chunk) > self._size:
                what = f"{name} sends more than the {self._size} bytes of {shown(self._digest)}"
                raise RegistryFault("registry.size", what, "Do not use this image.")
            self._write(chunk)
        if self.done < self._size:
            what = f"{name} sends {self.done} of the {self._size} bytes of {shown(self._digest)}"
            raise Passing(RegistryFault("registry.size", what, "Try again."))

    def _write(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            count = os.pwrite(self._target.fileno(), view, self.done)
            self._hash.update(view[:count])
            self.done += count
            view = view[count:]
