"""Images built in memory, with real bytes, in every form that leakscan reads.

image = image_of(
    layer({"app/.env": "A=1", "bin/run": b"..."}, created_by="COPY . /app"),
    layer(whiteout("app/.env"), created_by="RUN rm /app/.env", compression="gz"),
)
write(tmp_path / "image.tar", image.docker_archive())
image.oci_dir(tmp_path / "layout")
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import json
import lzma
import random
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
_SUFFIX = {"": "", "gz": "+gzip", "zst": "+zstd", "bz2": "+bzip2", "xz": "+xz"}


def sha256(data: bytes) -> str:
    """The digest of *data*: sha256:hex."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def dumps(document: object) -> bytes:
    """A document as compact JSON; bytes are taken as they are."""
    return document if isinstance(document, bytes) else json.dumps(document, separators=(",", ":")).encode()


def compress(data: bytes, compression: str) -> bytes:
    """*data* packed as gz, bz2, xz or zst; '' leaves it plain."""
    if compression == "gz":
        return gzip.compress(data, 1, mtime=0)
    if compression == "bz2":
        return bz2.compress(data)
    if compression == "xz":
        return lzma.compress(data)
    if compression == "zst":
        return zstandard.ZstdCompressor().compress(data)
    return data


@dataclass(frozen=True)
class Member:
    """One member of a tar; *kind* is a tarfile type such as tarfile.SYMTYPE."""

    name: str
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    linkname: str = ""
    mode: int = 0o644
    pax: Mapping[str, str] = field(default_factory=dict)


def file(name: str, data: bytes | str = b"", **more: Any) -> Member:
    """A regular file; more: mode, pax."""
    return Member(name, data.encode() if isinstance(data, str) else data, **more)


def directory(name: str) -> Member:
    """A directory."""
    return Member(name, kind=tarfile.DIRTYPE, mode=0o755)


def symlink(name: str, target: str) -> Member:
    """A symbolic link."""
    return Member(name, kind=tarfile.SYMTYPE, linkname=target)


def hardlink(name: str, target: str) -> Member:
    """A hard link."""
    return Member(name, kind=tarfile.LNKTYPE, linkname=target)


def whiteout(path: str) -> Member:
    """The mark that a layer removes *path* (image-spec layer.md#whiteouts)."""
    parent, slash, base = path.rpartition("/")
    return Member(f"{parent}{slash}.wh.{base}")


def opaque(path: str) -> Member:
    """The mark that a layer hides what lower layers have in directory *path*."""
    return Member(f"{path}/.wh..wh..opq")


Content = Mapping[str, bytes | str] | Member


def members(*content: Content) -> list[Member]:
    """Members in order; a mapping gives one regular file for each path, and duplicates are kept."""
    found: list[Member] = []
    for part in content:
        found += [part] if isinstance(part, Member) else [file(name, data) for name, data in part.items()]
    return found


def tar_of(*content: Content) -> bytes:
    """A tar of members, in order, with end marker."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members(*content):
            info = tarfile.TarInfo(member.name)
            info.type, info.linkname, info.mode = member.kind, member.linkname, member.mode
            info.size, info.pax_headers = len(member.data), dict(member.pax)
            tar.addfile(info, io.BytesIO(member.data))
    return target.getvalue()


@dataclass(frozen=True)
class BuiltLayer:
    """A layer's plain and stored bytes, and what documents say about it."""

    plain: bytes
    stored: bytes
    media_type: str
    diff_id: str
    created_by: str
    descriptor: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of the stored bytes."""
        return sha256(self.stored)

    def described(self) -> dict[str, Any]:
        """The layer's descriptor in a manifest, with overrides."""
        own = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.stored)}
        return {**own, **self.descriptor}


def layer(
    *content: Content,
    compression: str = "",
    created_by: str = "COPY . / # buildkit",
    raw: bytes | None = None,
    media_type: str = "",
    diff_id: str = "",
    descriptor: Mapping[str, Any] | None = None,
) -> BuiltLayer:
    """A layer of files (mappings of path to content) and members, in order.

    Args:
        compression: gz, bz2, xz, zst or none.
        raw: the plain bytes themselves instead of a tar of *content*.
        media_type, diff_id: lies; by default the truth.
        descriptor: overrides for the descriptor, such as size, digest, annotations or urls.
    """
    plain = tar_of(*content) if raw is None else raw
    return BuiltLayer(
        plain,
        compress(plain, compression),
        media_type or OCI_LAYER + _SUFFIX[compression],
        diff_id or sha256(plain),
        created_by,
        descriptor or {},
    )


@dataclass(frozen=True)
class BuiltImage:
    """An image in memory; its methods give it in the forms that tools write."""

    layers: tuple[BuiltLayer, ...]
    config: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)
    tag: str = "example:1"
    platform: Mapping[str, str] | None = None

    @property
    def config_digest(self) -> str:
        """Of the config's bytes."""
        return sha256(self.config)

    def manifest(self, **overrides: Any) -> bytes:
        """The OCI manifest."""
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": self.config_digest, "size": len(self.config)},
            "layers": [each.described() for each in self.layers],
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return dumps({**document, **overrides})

    def blobs(self) -> dict[str, bytes]:
        """Config and layers by digest; not the manifest."""
        return {self.config_digest: self.config, **{each.digest: each.stored for each in self.layers}}

    def docker_members(self, *, manifest: object = None) -> list[Member]:
        """The members of a docker-archive as Docker before 25 saves it; change the list to build broken ones."""
        names = [f"{index:03d}{each.diff_id[7:40]}/layer.tar" for index, each in enumerate(self.layers)]
        config_name = f"{self.config_digest[7:]}.json"
        entry = [{"Config": config_name, "RepoTags": [self.tag], "Layers": names}]
        found = []
        for name, each in zip(names, self.layers, strict=True):
            parent = name.partition("/")[0]
            found += [directory(parent), file(f"{parent}/VERSION", "1.0")]
            found += [file(f"{parent}/json", dumps({"id": parent})), file(name, each.stored)]
        repository, _, tag = self.tag.partition(":")
        return [
            *found,
            file(config_name, self.config),
            file("manifest.json", dumps(entry if manifest is None else manifest)),
            file("repositories", dumps({repository: {tag: names[-1].partition("/")[0] if names else ""}})),
        ]

    def docker_archive(self) -> bytes:
        """What `docker save` before Docker 25 writes."""
        return tar_of(*self.docker_members())

    def oci_members(self) -> list[Member]:
        """The members of an OCI layout's tar."""
        return layout_members(self)

    def oci_archive(self) -> bytes:
        """An OCI layout in a tar."""
        return tar_of(*self.oci_members())

    def oci_dir(self, path: Path) -> Path:
        """An OCI layout as a directory, written to *path*."""
        return write_all(path, self.oci_members())

    def docker25_members(self) -> list[Member]:
        """The members of what `docker save` writes since Docker 25: an OCI layout and manifest.json in one tar."""
        names = [blob_path(each.digest) for each in self.layers]
        entry = [{"Config": blob_path(self.config_digest), "RepoTags": [self.tag], "Layers": names}]
        return [*self.oci_members(), file("manifest.json", dumps(entry))]

    def docker25_archive(self) -> bytes:
        """What `docker save` writes since Docker 25."""
        return tar_of(*self.docker25_members())

    def skopeo_dir(self, path: Path) -> Path:
        """What skopeo's `dir:` writes, at *path*."""
        blobs = [file(digest[7:], data) for digest, data in self.blobs().items()]
        version = file("version", "Directory Transport Version: 1.1\n")
        return write_all(path, [file("manifest.json", self.manifest()), version, *blobs])


def image_of(
    *layers: BuiltLayer,
    config: Mapping[str, Any] | bytes | None = None,
    history: Iterable[Mapping[str, Any]] | None = None,
    annotations: Mapping[str, str] | None = None,
    tag: str = "example:1",
    platform: str = "linux/amd64",
) -> BuiltImage:
    """An image of layers, base first.

    Args:
        config: keys that replace those of the image config (such as {"config": {"Env": [...]}}), or its raw bytes.
        history: the config's history; by default one entry for each layer.
        platform: os/architecture[/variant] for the config and for descriptors in an index.
    """
    os_name, architecture, *variant = platform.split("/")
    described = {"os": os_name, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
    default_history = [{"created": "2024-01-01T00:00:00Z", "created_by": each.created_by} for each in layers]
    document: dict[str, Any] = {
        **described,
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
        "history": default_history if history is None else list(history),
    }
    raw = config if isinstance(config, bytes) else dumps({**document, **(config or {})})
    return BuiltImage(layers, raw, annotations or {}, tag, described)


def blob_path(digest: str) -> str:
    """Where an OCI layout keeps a blob."""
    return f"blobs/{digest.replace(':', '/')}"


def descriptor_of(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """A descriptor of *data*."""
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}


def image_index(*images: BuiltImage, **overrides: Any) -> bytes:
    """An index of images, each with its platform."""
    entries = [descriptor_of(each.manifest(), OCI_MANIFEST, platform=dict(each.platform or {})) for each in images]
    return dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **overrides})


def layout_members(
    *images: BuiltImage, index: bytes | None = None, blobs: Iterable[bytes] = (), tag: str = ""
) -> list[Member]:
    """The members of an OCI layout with several images, one for each platform.

    Args:
        index: bytes of index.json instead of the default one.
        blobs: further blobs, stored under their digests.
        tag: written as ref name to each descriptor of the default index; by default that of each image.
    """
    store: dict[str, bytes] = {}
    entries = []
    for image in images:
        store |= {**image.blobs(), sha256(image.manifest()): image.manifest()}
        name = {"org.opencontainers.image.ref.name": tag or image.tag.partition(":")[2]}
        more = {"platform": dict(image.platform)} if image.platform and len(images) > 1 else {}
        entries.append(descriptor_of(image.manifest(), OCI_MANIFEST, annotations=name, **more))
    store |= {sha256(data): data for data in blobs}
    default = dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
    return [
        file("oci-layout", dumps({"imageLayoutVersion": "1.0.0"})),
        file("index.json", default if index is None else index),
        *(file(blob_path(digest), data) for digest, data in sorted(store.items())),
    ]


def write(path: Path, data: bytes) -> Path:
    """Write a file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_all(path: Path, content: Iterable[Member]) -> Path:
    """Write members as files and links of directory *path*."""
    path.mkdir(parents=True, exist_ok=True)
    for member in content:
        target = path / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if member.kind == tarfile.DIRTYPE:
            target.mkdir(exist_ok=True)
        elif member.kind == tarfile.SYMTYPE:
            target.symlink_to(member.linkname)
        else:
            target.write_bytes(member.data)
    return path


def private_key(seed: str) -> bytes:
    """A private key as a file: RFC 5915's ECPrivateKey on P-256 in PKCS#8."""
    number = b"\x11" + random.Random(seed).randbytes(31)
    inner = bytes.fromhex("30250201010420") + number
    algorithm = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    content = bytes.fromhex("020100") + algorithm + b"\x04" + bytes([len(inner)]) + inner
    body = base64.encodebytes(b"\x30" + bytes([len(content)]) + content)
    return b"\n".join((b"-----BEGIN " + b"PRIVATE KEY-----", body.strip(), b"-----END " + b"PRIVATE KEY-----", b""))
