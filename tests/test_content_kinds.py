"""Every kind of content, with the real rules: a generated token is put into it, and a scan of an image finds it.

test_content_formats.py and test_content_encodings.py tell how each kind is opened; here all of it works together.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import html
import json
import lzma
import marshal
import os
import pickle
import random
import shutil
import sqlite3
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import brotli
import lz4.frame
import pytest
import zstandard

from scanner import detection
from scanner.evidence import Finding
from scanner.image.source import open_image
from scanner.limits import Limits
from scanner.request import Options
from scanner.scan import scan
from testimages.values import github_token, password
from tests.builders import file, image_of, layer, tar_of, write
from tests.sevenzips import Block, seven
from tests.squashimages import Image
from tests.test_avrofiles import avro
from tests.test_cabinets import cabinet
from tests.test_content_formats import ar, cpio, rpm, zipped
from tests.test_journalfiles import field, journal
from tests.test_journalfiles import packed as packed_field
from tests.test_levelfiles import table
from tests.test_lzofiles import lzop
from tests.test_lzwfiles import compressed
from tests.test_orcfiles import chunk, orc
from tests.test_parquetfiles import Table
from tests.test_phars import phar
from tests.test_postgresfiles import chunked, chunks, dump, heap, packed
from tests.test_snappyfiles import framed
from tests.test_wiredtiger import packed as packed_page
from tests.test_wiredtiger import wired

Pack = Callable[[bytes], bytes]


def _wide(codec: str, mark: bool = True) -> Pack:
    return lambda text: (("\ufeff" if mark else "") + text.decode()).encode(codec)


def _sqlite(text: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        connection = sqlite3.connect(path)
        connection.execute("create table settings (name, value)")
        filler = "".join(random.Random(1).choices("abcdefgh", k=4000))  # so that the value crosses a page
        connection.execute("insert into settings values (?, ?)", ("token", filler + "\n" + text.decode()))
        connection.commit()
        connection.close()
        return path.read_bytes()


def _pdf(text: bytes) -> bytes:
    page = zlib.compress(b"BT /F1 12 Tf 72 720 Td (" + text.strip() + b") Tj ET")
    return b"%%PDF-1.7\n4 0 obj\n<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(page) + page + b"\nendstream"


def _class(text: bytes) -> bytes:
    return b"\xca\xfe\xba\xbe\0\0\0\x34\0\x02\x01" + struct.pack(">H", len(text)) + text + b"\0\x21\0\1"


def _elf(text: bytes) -> bytes:
    return b"\x7fELF\2\1\1" + bytes(57) + b"/lib64/ld-linux-x86-64.so.2\0" + text.strip() + b"\0" + bytes(64)


def _notebook(text: bytes) -> bytes:
    output = {"name": "stdout", "output_type": "stream", "text": ["ok\n", text.decode()]}
    return json.dumps({"cells": [{"cell_type": "code", "outputs": [output], "source": []}], "nbformat": 4}).encode()


def _deb(text: bytes) -> bytes:
    return ar(("debian-binary", b"2.0\n"), ("data.tar.xz", lzma.compress(tar_of({"./etc/app.conf": text}))))


def _escapes(template: bytes) -> Pack:
    return lambda text: b'"' + b"".join(template % byte for byte in text) + b'"\n'


def split(text: bytes) -> bytes:
    """The text behind a copy of it in pieces, so that LZ4, which only refers back, has no byte of it as it is."""
    return b"".join(text[at : at + 7] + b"\n" for at in range(0, len(text), 7)) + text


KINDS: dict[str, Pack] = {
    "plain text": bytes,
    "base64": base64.b64encode,
    "base64 in base64": lambda text: base64.b64encode(base64.b64encode(text)),
    "base64 three deep": lambda text: base64.b64encode(base64.b64encode(base64.b64encode(text))),
    "base64 of gzip": lambda text: base64.b64encode(gzip.compress(text, mtime=0)),
    "hex": lambda text: text.hex().encode(),
    "URL escapes": lambda text: quote(text).encode().replace(b"_", b"%5F"),
    "HTML escapes": lambda text: b"".join(b"&#%d;" % byte for byte in text),
    "HTML names": lambda text: html.escape('<a title="' + text.decode().replace("=", "&equals;")).encode(),
    "JSON string": _escapes(b"\\u%04x"),
    "YAML string": lambda text: b"token: " + _escapes(b"\\x%02x")(text),
    "shell string": lambda text: b"export TOKEN=$'" + b"".join(b"\\x%02x" % byte for byte in text) + b"'\n",
    "UTF-16 LE": _wide("utf-16-le"),
    "UTF-16 BE": _wide("utf-16-be"),
    "UTF-32 LE": _wide("utf-32-le"),
    "UTF-32 BE": _wide("utf-32-be"),
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "compress": compressed,
    "lzop": lambda text: lzop(split(text)),
    "LZ4": lambda text: lz4.frame.compress(split(text), compression_level=9),
    "brotli.br": brotli.compress,
    "zip": lambda text: zipped(("a/settings", text)),
    "jar": lambda text: zipped(("META-INF/MANIFEST.MF", b"Main-Class: x\n"), ("app.properties", text)),
    "whl": lambda text: zipped(("x/config.py", text), ("x-1.dist-info/RECORD", b"")),
    "apk": lambda text: zipped(("assets/keys.json", text), ("classes.dex", b"dex\n035\0")),
    "docx": lambda text: zipped(("word/document.xml", b"<w:t>" + text.strip() + b"</w:t>")),
    "tar": lambda text: tar_of({"a/settings": text}),
    "tar in gzip": lambda text: gzip.compress(tar_of({"a/settings": text})),
    "deb": _deb,
    "rpm": lambda text: rpm(gzip.compress(cpio(("./etc/app.conf", text)))),
    "ar": lambda text: ar(("settings.o", text)),
    "cpio": lambda text: cpio(("etc/app.conf", text)),
    "7z": lambda text: seven(Block([("a/settings", text)]), times=1),
    "snappy": framed,
    "parquet": lambda text: Table(pages=[[text], [text]]).build(),
    "avro": lambda text: avro([text], [text]),
    "orc": lambda text: orc(chunk(text, 1)),
    "leveldb": lambda text: table([text, text]),
    "journal by LZ4": lambda text: journal([field(packed_field(split(text)), 2), field(b"_PID=1")]),
    "journal by zstd": lambda text: journal([field(zstandard.compress(split(text)), 4), field(b"_PID=1")]),
    "table of MongoDB": lambda text: wired(packed_page(split(text))),
    "dump of PostgreSQL": lambda text: dump(chunks(zlib.compress(text), 20)),
    "table of PostgreSQL": lambda text: heap(*chunked(packed(split(text) * 90))),
    "phar": lambda text: phar(("a/settings", text, 0x1000)),
    "cabinet": lambda text: cabinet({"etc\\settings": text}),
    "squashfs": lambda text: Image({"etc": {"settings": text}}).build(),
    "SQLite": _sqlite,
    "pickle": lambda text: pickle.dumps({"headers": {"Authorization": text.decode()}}, protocol=4),
    "pyc": lambda text: bytes(16) + marshal.dumps(compile(f"TOKEN = {text.decode()!r}", "a.py", "exec")),
    "PDF": _pdf,
    "ELF": _elf,
    "class file": _class,
    "Jupyter output": _notebook,
    "zip in tar in gzip in zip": lambda text: zipped(
        ("a.tar.gz", gzip.compress(tar_of({"b.zip": zipped(("c.txt", text))})))
    ),
    "base64 in JSON in zip": lambda text: zipped(
        ("a.json", json.dumps({"data": base64.b64encode(text).decode()}).encode())
    ),
}


def token_of(kind: str) -> bytes:
    """The token that is put into that kind."""
    return github_token(random.Random(f"content {kind}")).encode()


def scanned(rules: detection.Detection, files: dict[str, bytes], folder: Path) -> list[Finding]:
    """The findings of a scan, with values."""
    image = image_of(layer(*(file(path, data) for path, data in files.items())))
    opened = open_image(str(write(folder / "image.tar", image.docker_archive())), limits=Limits(), platform=None)
    try:
        return list(scan(opened, rules, Options(Limits(), 1, b"k" * 32, show_secrets=True)).findings)
    finally:
        opened.close()


@pytest.fixture(scope="module")
def findings(rules: detection.Detection, tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """What is found in an image that has a file of each kind."""
    files = {f"srv/{kind}": pack(b"GH = " + token_of(kind) + b"\n") for kind, pack in KINDS.items()}
    return scanned(rules, files, tmp_path_factory.mktemp("kinds"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_is_found_in_content_of_every_kind(kind: str, findings: list[Finding]) -> None:
    """By the rule of its issuer, as itself, gated."""
    seen = [finding for finding in findings if finding.path == f"srv/{kind}" and finding.gated]

    assert token_of(kind).decode() in {finding.secret.value for finding in seen}


@pytest.mark.parametrize(
    "template",
    [
        "data=%7B%22db_password%22%3A%22{}%22%7D\n",
        "postgres%3A%2F%2Fadmin%3A{}%40db.internal.corp%2Fapp\n",
        "<v>db_password=&quot;{}&quot;</v>\n",
        '{{"cfg": "db_password\\u003d\\u0022{}\\u0022"}}',
    ],
    ids=["URL escapes", "an escaped URL", "HTML", "JSON"],
)
def test_a_value_is_found_where_only_what_tells_it_is_encoded(
    template: str, rules: detection.Detection, tmp_path: Path
) -> None:
    """It stands there as it is, and nothing around it that a rule goes by does."""
    value = password(random.Random(template))

    found = scanned(rules, {"srv/settings": template.format(value).encode()}, tmp_path)

    assert value in {finding.secret.value for finding in found if finding.gated}


def test_a_token_amid_escapes_is_one_finding(rules: detection.Detection, tmp_path: Path) -> None:
    """As it stands there, whatever is decoded around it."""
    token = token_of("amid escapes")
    data = b"data=%7B%22token%22%3A%22" + token + b"%22%7D\n"

    found = scanned(rules, {"srv/settings": data}, tmp_path)

    assert [(finding.secret.value, finding.encoding) for finding in found] == [(token.decode(), ())]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with a token in a file that was changed, in a commit that was thrown away, and in a message."""
    if shutil.which("git") is None:
        pytest.skip("no git to make a repository with")
    root = tmp_path_factory.mktemp("repository")

    def commit(message: str) -> None:
        git(root, "add", ".")
        git(root, "commit", "-qm", message)

    git(root, "init", "-q", "-b", "main", ".")
    (root / "conf").mkdir()
    long = "".join(f"line {number}: {random.Random(number).random()}\n" for number in range(300))
    for text in (long, long + "GH = " + token_of("changed").decode() + "\n", long + "it is gone\n"):
        (root / "conf" / "app.env").write_text(text)
        commit("a step")
    (root / "conf" / "lost.env").write_text(long + "GH = " + token_of("thrown away").decode() + "\n")
    commit("set " + token_of("reflog").decode())
    git(root, "reset", "-q", "--hard", "HEAD~1")
    return root


def git(root: Path, *words: str) -> None:
    """Run git without anybody's settings."""
    alone = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": os.environ["PATH"]}
    who = {f"GIT_{role}_{what}": "somebody" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(["git", *words], cwd=root, env={**alone, **who}, check=True, capture_output=True)


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_a_token_is_found_in_all_that_git_keeps(
    packed: bool, repository: Path, rules: detection.Detection, tmp_path: Path
) -> None:
    """Older versions, resolved from deltas; commits that no branch has any more; reflogs."""
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    if packed:
        git(copy, "repack", "-q", "-a", "-d", "-f", "--keep-unreachable", "--depth=50", "--window=50")
        git(copy, "prune-packed")
    kept = [path for path in (copy / ".git").rglob("*") if path.is_file()]
    files = {f"app/{path.relative_to(copy)}": path.read_bytes() for path in kept}

    findings = [finding for finding in scanned(rules, files, tmp_path) if finding.gated]

    found = {finding.secret.value: finding for finding in findings}
    assert {token_of(name).decode() for name in ("changed", "thrown away", "reflog")} <= set(found)
    paths = {finding.path or "" for finding in findings}
    assert any(path.startswith("app/.git/logs/") for path in paths)
    assert any(path.endswith(".pack") for path in paths) is packed
    titles = {name: found[token_of(name).decode()].inside[0] for name in ("changed", "thrown away")}
    assert titles["changed"].endswith(":conf/app.env")
    assert titles["thrown away"].endswith(":conf/lost.env")
    assert all(title.startswith("commit ") for title in titles.values())
