"""What package managers write down about files is read as they wrote it, and hostile records do no harm."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scanner.layer.tree import path_hash
from scanner.packages import records, registries
from scanner.packages.model import FileList, Installer, Package, PrivateOrigin, Record, Versions

DATA = b"content of a file\n"
MD5, SHA1, SHA256 = (hashlib.new(name, DATA).digest() for name in ("md5", "sha1", "sha256"))


def read(path: str, data: bytes | str) -> list[Record]:
    """The records of one member."""
    return records.read(path.encode(), memoryview(data.encode() if isinstance(data, str) else data))


def only(path: str, data: bytes | str) -> FileList:
    """The one list of files in a member."""
    [found] = [record for record in read(path, data) if isinstance(record, FileList)]
    return found


def digest(files: FileList, path: str) -> bytes | None:
    """What a list says of a path."""
    return files.digest(path_hash(path.encode()))


def urlsafe(value: bytes) -> str:
    """A digest as RECORD writes it."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@pytest.mark.parametrize("path", ["var/lib/dpkg/info/demo:amd64.md5sums", "./var/lib/dpkg/status.d/demo.md5sums"])
def test_dpkg_names_files_with_md5(path: str) -> None:
    """In ordinary and in distroless images; names may hold blanks."""
    files = only(path, f"{MD5.hex()}  usr/bin/demo\n{'0' * 32}  usr/share/a file\nno line of such a list\n")

    assert files.package == Package("dpkg", "demo")
    assert (files.algorithm, digest(files, "usr/bin/demo")) == ("md5", MD5)
    assert digest(files, "usr/share/a file") == bytes(16)
    assert digest(files, "usr/bin/other") is None


@pytest.mark.parametrize("path", ["var/lib/dpkg/status", "var/lib/dpkg/status.d/demo"])
def test_dpkg_status_tells_versions_and_configuration_files(path: str) -> None:
    """Configuration files are not in md5sums."""
    text = f"Package: demo\nStatus: install ok installed\nVersion: 1:2-3\nConffiles:\n /etc/demo {MD5.hex()}\nX: y\n\n"

    found = read(path, text + "Package: other\nVersion: 4\n")

    assert Versions("dpkg", (("demo", "1:2-3"), ("other", "4"))) in found
    [files] = [record for record in found if isinstance(record, FileList)]
    assert (files.package, digest(files, "etc/demo")) == (Package("dpkg", "demo", "1:2-3"), MD5)


def test_apk_names_files_with_sha1() -> None:
    """One file holds all packages; a file may have no digest."""
    text = f"P:demo\nV:1-r0\nF:usr/bin\nR:demo\na:0:0:755\nZ:Q1{base64.b64encode(SHA1).decode()}\nR:link\n\nP:b\nV:2\n"

    first, second = (record for record in read("lib/apk/db/installed", text) if isinstance(record, FileList))

    assert first.package == Package("apk", "demo", "1-r0")
    assert (digest(first, "usr/bin/demo"), digest(first, "usr/bin/link")) == (SHA1, b"")
    assert second.package == Package("apk", "b", "2")


def test_pip_names_files_with_sha256_relative_to_its_directory() -> None:
    """Scripts lie outside; a name with a comma is quoted; compiled files are left to their sources."""
    rows = [f"demo/a.py,sha256={urlsafe(SHA256)},18", f"../../../bin/demo,sha256={urlsafe(SHA256)},18",
            f'"demo/a,b.py",sha256={urlsafe(SHA256)},18', "demo-1.0.dist-info/RECORD,,",
            "demo/__pycache__/a.cpython-311.pyc,,"]  # fmt: skip

    files = only("opt/venv/lib/python3.11/site-packages/demo-1.0.dist-info/RECORD", "\r\n".join(rows) + "\r\n")

    base = "opt/venv/lib/python3.11/site-packages"
    assert files.package == Package("pip", "demo", "1.0")
    for path in (f"{base}/demo/a.py", "opt/venv/bin/demo", f"{base}/demo/a,b.py"):
        assert digest(files, path) == SHA256
    assert digest(files, f"{base}/demo-1.0.dist-info/RECORD") == b""
    assert digest(files, f"{base}/demo/__pycache__/a.cpython-311.pyc") is None


def test_pip_tells_installer_and_address() -> None:
    """What did not come from an index is the user's own, unless PyPI's own files serve it."""
    home = "site-packages/demo-1.0.dist-info"

    assert read(f"{home}/INSTALLER", "uv\n") == [Installer(home.encode(), "uv")]
    assert read(f"{home}/INSTALLER", "no installer's name\n") == []
    for url in ("file:///src/demo", "https://git.example.com/demo.git"):
        [sign] = read(f"{home}/direct_url.json", json.dumps({"url": url, "dir_info": {}}))
        assert isinstance(sign, PrivateOrigin)
        assert sign.home == home.encode()
    assert read(f"{home}/direct_url.json", json.dumps({"url": "https://files.pythonhosted.org/demo.whl"})) == []
    assert len(read(f"{home}/direct_url.json", "{no json")) == 1


def test_npm_names_directories_and_registries() -> None:
    """Without an integrity, or from elsewhere, there is no registry; what is bundled belongs to who bundles it."""
    packages = {
        "node_modules/demo": {"version": "1.0.0", "resolved": "https://registry.npmjs.org/d", "integrity": "sha512-x"},
        "node_modules/@a/b": {"version": "2.0.0", "resolved": "git+ssh://git@example.com/b.git"},
        "node_modules/demo/node_modules/c": {"version": "3.0.0", "inBundle": True},
        "../here": {"link": True},
    }

    found = read("app/node_modules/.package-lock.json", json.dumps({"packages": packages}))

    assert found == [
        FileList(Package("npm", "demo", "1.0.0"), root=b"app/node_modules/demo", registry="registry.npmjs.org"),
        FileList(Package("npm", "@a/b", "2.0.0"), root=b"app/node_modules/@a/b"),
    ]


def test_npm_packages_for_all_users_are_known_by_their_own_name() -> None:
    """Node.js brings npm; of others nobody knows where they came from."""
    [npm] = read("usr/local/lib/node_modules/npm/package.json", '{"name": "npm", "version": "10.1.0"}')
    [own] = read("usr/local/lib/node_modules/@a/b/package.json", '{"name": "@a/b", "version": "1"}')

    assert (npm.root, npm.registry) == (b"usr/local/lib/node_modules/npm", "nodejs.org")  # type: ignore[union-attr]
    assert (own.root, own.registry) == (b"usr/local/lib/node_modules/@a/b", "")  # type: ignore[union-attr]
    assert read("usr/local/lib/node_modules/npm/package.json", '{"name": "mine"}') == []
    assert read("usr/local/lib/node_modules/npm/lib/package.json", '{"name": "lib"}') == []


def test_vendored_libraries() -> None:
    """Crates have digests, Go modules and gems only directories."""
    crate = json.dumps({"files": {"src/lib.rs": SHA256.hex()}, "package": SHA256.hex()})

    files = only("src/vendor/demo-1.2.3/.cargo-checksum.json", crate)
    [module] = read("src/vendor/modules.txt", "# example.com/a/b v1.2.3\n## explicit\nexample.com/a/b/c\n")
    [gem] = read("usr/lib/ruby/gems/3.1.0/specifications/demo-gem-0.1.gemspec", "")

    assert files.package == Package("cargo", "demo", "1.2.3")
    assert digest(files, "src/vendor/demo-1.2.3/src/lib.rs") == SHA256
    assert module == FileList(Package("go", "example.com/a/b", "v1.2.3"), root=b"src/vendor/example.com/a/b")
    assert gem == FileList(Package("gem", "demo-gem", "0.1"), root=b"usr/lib/ruby/gems/3.1.0/gems/demo-gem-0.1")
    own = read("vendor/mine/.cargo-checksum.json", json.dumps({"files": {}, "package": None}))
    assert [type(record) for record in own] == [FileList, PrivateOrigin]


def rpm_header(entries: Sequence[tuple[int, int, bytes, int]]) -> bytes:
    """A header of (tag, type, data, count)."""
    index, store = b"", b""
    for tag, kind, data, count in entries:
        store += bytes(-len(store) % 4)
        index += struct.pack(">iIII", tag, kind, len(store), count)
        store += data
    return struct.pack(">II", len(entries), len(store)) + index + store


def rpm_package(name: str, *, signed: bool = True) -> bytes:
    """A header with the file /usr/share/demo/a and a link beside it."""
    entries = [
        (1000, 6, name.encode() + b"\0", 1), (1001, 6, b"1.2\0", 1), (1002, 6, b"3\0", 1),
        (1035, 8, SHA256.hex().encode() + b"\0\0", 2), (1116, 4, struct.pack(">II", 0, 0), 2),
        (1117, 8, b"a\0b\0", 2), (1118, 8, b"/usr/share/demo/\0", 1), (5011, 4, struct.pack(">I", 8), 1),
    ]  # fmt: skip
    return rpm_header([*entries, (268, 7, b"signature", 9)] if signed else entries)


def rpm_database(*blobs: bytes, schema: str = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)") -> bytes:
    """A database as rpm leaves it, in the mode with a write-ahead log."""
    connection = sqlite3.connect(":memory:")
    connection.execute(schema)
    for blob in blobs:
        connection.execute("INSERT INTO Packages (blob) VALUES (?)", (blob,))
    connection.commit()
    data = connection.serialize()
    connection.close()
    return data[:18] + b"\2\2" + data[20:]


def test_rpm_names_files_with_their_digests() -> None:
    """From the headers in its SQLite database; what nobody signed comes from nobody known."""
    data = rpm_database(rpm_package("demo"), rpm_package("mine", signed=False), b"short", b"\xff" * 64)

    found = read("var/lib/rpm/rpmdb.sqlite", data)

    demo, mine, sign = found
    assert isinstance(demo, FileList)
    assert isinstance(mine, FileList)
    assert (demo.package, demo.algorithm) == (Package("rpm", "demo", "1.2-3"), "sha256")
    assert (digest(demo, "usr/share/demo/a"), digest(demo, "usr/share/demo/b")) == (SHA256, b"")
    assert sign == PrivateOrigin("rpm", "the package carries no signature", mine.home)


def test_an_rpm_database_that_never_ends_gives_nothing() -> None:
    """A view could count for ever; only a table is asked."""
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS blob FROM n"

    assert read("var/lib/rpm/rpmdb.sqlite", rpm_database(schema=f"CREATE VIEW Packages AS {endless}")) == []


@given(st.binary(max_size=300), st.integers(0, 6000))
@example(b"\0\0\0\x80", 4017)
def test_a_damaged_rpm_database_does_no_harm(noise: bytes, at: int) -> None:
    """Whatever bytes are in it."""
    data = rpm_database(rpm_package("demo"))

    read("var/lib/rpm/rpmdb.sqlite", data[:at] + noise + data[at + len(noise) :])
    read("var/lib/rpm/rpmdb.sqlite", rpm_database(noise, rpm_package("demo")[: at % 200] + noise))


@pytest.mark.parametrize("path", [
    "var/lib/dpkg/info/a.md5sums", "var/lib/dpkg/status", "lib/apk/db/installed", "x/a-1.dist-info/RECORD",
    "x/a-1.dist-info/direct_url.json", "node_modules/.package-lock.json", "v/.cargo-checksum.json",
    "vendor/modules.txt", "etc/pip.conf", "etc/apt/sources.list", "lib/node_modules/a/package.json",
])  # fmt: skip
@given(data=st.one_of(st.binary(max_size=200), st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["packages", "files", "url", "name", "node_modules/a"]), inner, max_size=3),
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
@example(data=b'"b\r",c\rd,e\n')
@example(data=b'"' + b"b" * 140_000 + b'",,\n')
def test_hostile_records_do_no_harm(path: str, data: bytes) -> None:
    """Whatever is in them, values come back or nothing."""
    for record in read(path, data):
        assert isinstance(record, FileList | Versions | Installer | PrivateOrigin)
        if isinstance(record, FileList):
            assert len(record.hashes) % 8 == 0
            assert all(record.digest(path) is not None for path in record.paths())


def test_other_files_are_no_records(tmp_path: Path) -> None:
    """Names alone do not make a record, nor do settings that a library ships as an example."""
    for path in ("app/RECORD", "app/installed", "status", "app/package.json", "a.md5sums", str(tmp_path)):
        assert read(path, "x") == []
    assert read("app/node_modules/x/.npmrc", "registry=https://npm.example.com/") == []


@pytest.mark.parametrize(("path", "text", "private"), [
    ("etc/pip.conf", "[global]\nindex-url = https://pypi.org/simple\n", False),
    ("etc/pip.conf", "[global]\n# index-url = https://pip.example.com\n", False),
    ("root/.pip/pip.conf", "[global]\nextra-index-url =\n  https://user@pip.example.com/simple\n", True),
    ("root/.config/pip/pip.conf", "[install]\nfind-links = /wheels\n", True),
    ("app/requirements.txt", "--extra-index-url https://pip.example.com/simple\ndemo==1\n", True),
    ("app/requirements.txt", "demo==1\n", False),
    ("root/.npmrc", "//registry.npmjs.org/:_authToken=${T}\nregistry=https://registry.npmjs.org/\n", False),
    ("root/.npmrc", "@a:registry=https://npm.example.com/\n", True),
    ("etc/apt/sources.list", "deb [signed-by=/k.gpg] http://deb.debian.org/debian bookworm main\n", False),
    ("etc/apt/sources.list.d/debian.sources", "URIs: http://deb.debian.org/debian\nSigned-By: /usr/k.gpg\n", False),
    ("etc/apt/sources.list.d/own.list", "deb https://apt.example.com/ ./\n", True),
    ("etc/apt/sources.list.d/own.list", "deb file:/repo ./\n", True),
    ("etc/apk/repositories", "https://dl-cdn.alpinelinux.org/alpine/v3.19/main\n", False),
    ("etc/apk/repositories", "https://dl-cdn.alpinelinux.org/alpine/v3.19/main\n/home/builder/packages\n", True),
    ("etc/yum.repos.d/own.repo", "[own]\nbaseurl=https://rpm.example.com/$basearch\ngpgkey=file:///k\n", True),
    ("etc/yum.repos.d/fedora.repo", "metalink=https://mirrors.fedoraproject.org/m\ngpgkey=file:///k\n", False),
])  # fmt: skip
def test_settings_tell_of_private_sources(path: str, text: str, private: bool) -> None:
    """Hosts that are not known to serve everybody count as private; none of a URL but its host is told."""
    found = read(path, text)

    assert bool(found) == private
    assert all(isinstance(sign, PrivateOrigin) and "user" not in sign.reason for sign in found)


@pytest.mark.parametrize(("step", "managers"), [
    ("RUN pip install --index-url https://pypi.org/simple demo", []),
    ("RUN pip install -i https://pip.example.com/simple demo", ["pip"]),
    ("|1 PIP_EXTRA_INDEX_URL=https://pip.example.com /bin/sh -c pip install demo", ["pip"]),
    ("RUN pip install --no-index --find-links=/wheels demo", ["pip"]),
    ("ENV UV_DEFAULT_INDEX=https://pip.example.com/simple", ["pip"]),
    ("RUN pip config set global.index-url https://pip.example.com", ["pip"]),
    ("RUN pip install -r requirements.txt && ssh -i /key host", []),
    ("RUN npm install --registry https://npm.example.com", ["npm"]),
    ("RUN npm config set @a:registry=https://npm.example.com", ["npm"]),
    ("ENV NPM_CONFIG_REGISTRY=$MIRROR", ["npm"]),
    ("RUN apt-get update && apt-get install -y curl", []),
    ("RUN echo 'deb https://apt.example.com/ ./' > /etc/apt/sources.list.d/own.list", ["dpkg"]),
    ("RUN dpkg --force-all -i /tmp/own.deb", ["dpkg"]),
    ("RUN apt-get install -y ./own.deb", ["dpkg"]),
    ("RUN dpkg --print-architecture; sed -i s/a/b/ file", []),
    ("RUN apk add --allow-untrusted own.apk", ["apk"]),
    ("RUN rpm -Uvh own.rpm", ["rpm"]),
])  # fmt: skip
def test_build_steps_tell_of_private_sources(step: str, managers: list[str]) -> None:
    """Indexes and registries, and package files that somebody brought along."""
    assert [origin.sign.manager for origin in registries.of_step(step)] == managers


@pytest.mark.parametrize(
    ("path", "text", "manager", "named"),
    [
        ("app/requirements.txt", "-i https://pypi.internal.test/simple\n", "pip", "pypi.internal.test"),
        ("etc/pip.conf", "[global]\nindex-url = https://$PASSWORD_OF_MINE@x/simple\n", "pip", "x"),
        ("etc/pip.conf", "[global]\nindex-url = https://$PASSWORD_OF_MINE/simple\n", "pip", "another place"),
        ("root/.npmrc", "registry=https://npm.internal.test/\n", "npm", "npm.internal.test"),
    ],
)  # fmt: skip
def test_settings_name_the_manager_and_a_host(path: str, text: str, manager: str, named: str) -> None:
    """What stands where a host should, and is none, may be anything: reports do not say it."""
    [sign] = read(path, text)

    assert sign == PrivateOrigin(manager, f"the image's {manager} settings name {named}")
