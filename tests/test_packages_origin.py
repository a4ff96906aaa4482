"""A finding says whose file it is in, and what a public package ships to everybody is no leak of this image."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scanner.evidence import Finding
from scanner.image.source import open_image
from scanner.limits import Limits
from scanner.request import Detection, Options
from scanner.scan import scan
from testimages.values import github_token, value_of
from tests.builders import BuiltImage, BuiltLayer, image_of, layer, private_key, tar_of, write

SITE = "opt/venv/lib/python3.11/site-packages"
PASSWORD = value_of("origin", "password", "password")
QUOTED = f'settings = {{"password": "{PASSWORD}"}}\n'.encode()
TOKEN = f"token: {github_token(random.Random('origin'))}\n".encode()


@pytest.fixture(scope="module")
def key() -> bytes:
    """A private key as a file."""
    return private_key("origin key")


def found(tmp_path: Path, rules: Detection, image: BuiltImage) -> list[Finding]:
    """All findings of an image."""
    opened = open_image(str(write(tmp_path / "image.tar", image.docker_archive())), limits=Limits(), platform=None)
    try:
        return list(scan(opened, rules, Options(Limits(), 1, b"k" * 32)).findings)
    finally:
        opened.close()


def at(findings: list[Finding], path: str, rule: str = "") -> list[Finding]:
    """Those of one path and family of rules."""
    return [finding for finding in findings if finding.path == path and finding.rule_id.startswith(rule)]


def dpkg(files: Mapping[str, bytes]) -> BuiltLayer:
    """A layer with a Debian package of these files."""
    sums = "".join(f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  {path}\n" for path, data in files.items())
    status = "Package: demo\nStatus: install ok installed\nVersion: 1.2-3\n"
    return layer({**files, "var/lib/dpkg/info/demo.md5sums": sums, "var/lib/dpkg/status": status})


def wheel(files: Mapping[str, bytes], more: Mapping[str, str] | None = None, **step: Any) -> BuiltLayer:
    """A layer with a Python distribution of these files."""
    rows = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in files.items()
    )
    content = {f"{SITE}/{path}": data for path, data in files.items()}
    described = {f"{SITE}/demo-1.0.dist-info/{name}": text for name, text in (more or {}).items()}
    return layer({**content, f"{SITE}/demo-1.0.dist-info/RECORD": rows, **described}, **step)


def test_a_key_in_an_intact_file_of_a_package_is_information(tmp_path: Path, rules: Detection, key: bytes) -> None:
    """dpkg's digest proves it; the finding names package and version."""
    findings = found(tmp_path, rules, image_of(dpkg({"usr/lib/libdemo.so": b"\x7fELF" + key})))

    [finding] = at(findings, "usr/lib/libdemo.so", "private-key.")
    described = {"manager": "dpkg", "name": "demo", "version": "1.2-3", "intact": True}
    assert finding.origin == {"kind": "package", "package": described}
    assert not any(finding.gated for finding in findings)
    assert [e.result for e in finding.evidence if e.check == "package-file"] == ["intact"]
    assert any("dpkg demo 1.2-3" in e.detail for e in finding.evidence)


def test_a_list_may_name_a_file_as_it_was_called_before_usr_was_merged(
    tmp_path: Path, rules: Detection, key: bytes
) -> None:
    """lib/x of the list is usr/lib/x of the image."""
    image = image_of(dpkg({"lib/libdemo.so": key}), layer({"usr/lib/libdemo.so": key}))

    findings = found(tmp_path, rules, image)

    assert [f.origin["kind"] for f in at(findings, "usr/lib/libdemo.so", "private-key.")] == ["package"]
    assert not any(finding.gated for finding in findings)


def test_a_file_that_somebody_changed_is_gated(tmp_path: Path, rules: Detection, key: bytes) -> None:
    """A later layer writes a key into a file of a package: its digest no longer holds."""
    image = image_of(dpkg({"etc/demo.pem": b"nothing\n"}), layer({"etc/demo.pem": key}))

    [finding] = at(found(tmp_path, rules, image), "etc/demo.pem", "private-key.")

    assert finding.gated
    assert finding.origin["package"]["intact"] is False  # type: ignore[index]


def test_an_older_version_that_an_upgrade_replaced_is_still_the_package_s(
    tmp_path: Path, rules: Detection, key: bytes
) -> None:
    """The record of the layer that brought it vouches for it, though a later one lists other bytes."""
    image = image_of(dpkg({"usr/lib/libdemo.so": key}), dpkg({"usr/lib/libdemo.so": b"new\n"}))

    findings = found(tmp_path, rules, image)

    assert at(findings, "usr/lib/libdemo.so", "private-key.")
    assert not any(finding.gated for finding in findings)


def test_a_provider_s_token_stays_gated_wherever_it_is(tmp_path: Path, rules: Detection) -> None:
    """Whoever published it, somebody can use it."""
    [finding] = at(found(tmp_path, rules, image_of(wheel({"demo/a.yml": TOKEN}))), f"{SITE}/demo/a.yml", "github.")

    assert finding.gated
    assert finding.origin["package"]["intact"] is True  # type: ignore[index]


def test_what_a_package_s_author_assigned_is_information(tmp_path: Path, rules: Detection) -> None:
    """The same line counts in the user's own file."""
    image = image_of(wheel({"demo/a.py": QUOTED}, {"INSTALLER": "uv\n"}), layer({"app/a.py": QUOTED}))

    findings = found(tmp_path, rules, image)

    assert {f.gated for f in at(findings, f"{SITE}/demo/a.py")} == {False}
    assert {f.origin["package"]["manager"] for f in at(findings, f"{SITE}/demo/a.py")} == {"uv"}  # type: ignore[index]
    assert any(f.gated for f in at(findings, "app/a.py"))
    assert {f.origin["kind"] for f in at(findings, "app/a.py")} == {"user"}


def test_a_compiled_file_counts_as_its_intact_source_does(tmp_path: Path, rules: Detection) -> None:
    """Only for values that the source has too."""
    compiled = layer({f"{SITE}/demo/__pycache__/a.cpython-311.pyc": b"\0\0" + QUOTED,
                      f"{SITE}/demo/__pycache__/b.cpython-311.pyc": b"\0\0" + QUOTED})  # fmt: skip
    image = image_of(wheel({"demo/a.py": QUOTED, "demo/b.py": b"pass\n"}), compiled)

    findings = found(tmp_path, rules, image)

    assert {f.gated for f in at(findings, f"{SITE}/demo/__pycache__/a.cpython-311.pyc")} == {False}
    assert any(f.gated for f in at(findings, f"{SITE}/demo/__pycache__/b.cpython-311.pyc"))


@pytest.mark.parametrize("case", ["installed", "changed", "later", "private"])
def test_a_compiled_file_of_the_step_that_installed_its_package_is_the_author_s(
    tmp_path: Path, rules: Detection, case: str
) -> None:
    """Only for values without a provider's shape, only beside a source that nobody changed, and only if the package is
    everybody's."""
    compiled = f"{SITE}/demo/__pycache__/a.cpython-311.pyc"
    more = {"direct_url.json": json.dumps({"url": "https://git.example.com/x"})} if case == "private" else {}
    package = wheel({"demo/a.py": b"pass\n"}, more)
    files = {compiled: b"\0\0" + QUOTED + TOKEN}
    if case == "changed":
        files[f"{SITE}/demo/a.py"] = QUOTED
    step = layer(raw=package.plain.rstrip(b"\0") + bytes(-len(package.plain.rstrip(b"\0")) % 512) + layer(files).plain)
    image = image_of(package, layer(files)) if case == "later" else image_of(step)

    findings = at(found(tmp_path, rules, image), compiled)

    assert any(f.gated for f in findings if f.rule_id.startswith("github."))
    assert any(f.gated for f in findings if not f.rule_id.startswith("github.")) is (case != "installed")


@pytest.mark.parametrize(("host", "gated"), [("deb.debian.org", False), ("apt.example.com", True)])
def test_apt_s_own_cache_is_as_public_as_the_archives_it_was_made_of(
    tmp_path: Path, rules: Detection, host: str, gated: bool
) -> None:
    """It holds names and digests of packages, which may look like anything."""
    lists = b"".join(b"/var/lib/apt/lists/%s_dists_x_InRelease\0" % name for name in (b"deb.debian.org", host.encode()))
    cache = b"\xdc\x76\xfe\x98" + bytes(60) + lists + QUOTED

    findings = at(found(tmp_path, rules, image_of(layer({"var/cache/apt/pkgcache.bin": cache}))),
                  "var/cache/apt/pkgcache.bin")  # fmt: skip

    assert findings
    assert any(finding.gated for finding in findings) is gated


@pytest.mark.parametrize("sign", ["direct_url", "setting", "environment", "step"])
def test_a_private_origin_lowers_nothing(tmp_path: Path, rules: Detection, key: bytes, sign: str) -> None:
    """A package that not everybody can have may hold its owner's keys."""
    url = "https://pip.example.com/simple"
    more = {"direct_url.json": json.dumps({"url": f"{url}/demo.whl"})} if sign == "direct_url" else {}
    step = f"RUN pip install -i {url} demo" if sign == "step" else "RUN pip install demo"
    layers = [wheel({"demo/key.pem": key}, more, created_by=step)]
    if sign == "setting":
        layers.insert(0, layer({"etc/pip.conf": f"[global]\nindex-url = {url}\n"}))
    config = {"config": {"Env": [f"PIP_INDEX_URL={url}"]}} if sign == "environment" else None

    [finding] = at(found(tmp_path, rules, image_of(*layers, config=config)), f"{SITE}/demo/key.pem", "private-key.")

    assert finding.gated
    assert finding.origin["package"]["intact"] is True  # type: ignore[index]


def npm(path: str, data: bytes, registry: str = "registry.npmjs.org") -> dict[str, bytes]:
    """An npm package with one file, and the hidden lock file that names it."""
    entry = {"version": "1.0.0", "resolved": f"https://{registry}/demo.tgz", "integrity": "sha512-x"}
    lock = json.dumps({"packages": {"node_modules/demo": entry}}).encode()
    return {f"app/node_modules/demo/{path}": data, "app/node_modules/.package-lock.json": lock}


def test_npm_packages_are_believed_a_little(tmp_path: Path, rules: Detection, key: bytes) -> None:
    """Nothing proves their files: assigned values are information, keys and files of a later layer are not."""
    image = image_of(layer(npm("a.js", QUOTED)), layer(npm("key.pem", key)),
                     layer({"app/node_modules/demo/late.js": QUOTED}))  # fmt: skip

    findings = found(tmp_path, rules, image)

    assert {f.gated for f in at(findings, "app/node_modules/demo/a.js")} == {False}
    assert any(f.gated for f in at(findings, "app/node_modules/demo/key.pem", "private-key."))
    assert any(f.gated for f in at(findings, "app/node_modules/demo/late.js"))
    assert all(f.origin["package"]["intact"] is False for f in findings if f.origin["kind"] == "package")  # type: ignore[index]


def test_npm_packages_of_another_registry_are_not(tmp_path: Path, rules: Detection) -> None:
    """Whoever runs a registry of their own puts their own things there."""
    findings = found(tmp_path, rules, image_of(layer(npm("a.js", QUOTED, "npm.example.com"))))

    assert any(f.gated for f in at(findings, "app/node_modules/demo/a.js"))


def test_keys_made_at_install_time_are_called_so(tmp_path: Path, rules: Detection, key: bytes) -> None:
    """They stay gated: everybody who runs the image shares them."""
    [finding] = at(found(tmp_path, rules, image_of(layer({"etc/ssh/ssh_host_ecdsa_key": key}))),
                   "etc/ssh/ssh_host_ecdsa_key", "private-key.")  # fmt: skip

    assert finding.gated
    assert "made while the image was built" in finding.title
    assert "generated-at-install" in [e.check for e in finding.evidence]


def deb(path: str, data: bytes) -> bytes:
    """A Debian package with one file."""
    parts = (("debian-binary", b"2.0\n"), ("control.tar.gz", gzip.compress(tar_of({"control": "Package: demo\n"}))),
             ("data.tar.gz", gzip.compress(tar_of({path: data}))))  # fmt: skip
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode() + part + b"\n" * (len(part) % 2)
        for name, part in parts
    )


def test_an_archive_counts_as_the_intact_files_that_came_out_of_it(
    tmp_path: Path, rules: Detection, key: bytes
) -> None:
    """apt keeps what it installed; the same value in the same file is published, any other is not."""
    image = image_of(
        dpkg({"usr/lib/libdemo.so": key}),
        layer({"var/cache/apt/archives/demo_1.deb": deb("./usr/lib/libdemo.so", key)}),
        layer({"tmp/own.deb": deb("./usr/lib/own.pem", key)}),
    )

    findings = found(tmp_path, rules, image)

    kept = at(findings, "var/cache/apt/archives/demo_1.deb", "private-key.")
    assert kept
    assert not any(finding.gated for finding in kept)
    assert {finding.origin["kind"] for finding in kept} == {"package"}
    assert any(finding.gated for finding in at(findings, "tmp/own.deb", "private-key."))


@pytest.mark.parametrize("host", ["registry.npmjs.org", "npm.example.com"])
def test_npm_s_cache_proves_what_was_installed(tmp_path: Path, rules: Detection, key: bytes, host: str) -> None:
    """It keeps the registry's tarball under its digest: the same value in the same file is as its author gave it."""
    tarball = gzip.compress(tar_of({"package/test/key.pem": key}), mtime=0)
    digest = hashlib.sha512(tarball)
    name = digest.hexdigest()
    entry = {"key": f"make-fetch-happen:request-cache:https://{host}/demo/-/demo-1.0.0.tgz",
             "integrity": f"sha512-{base64.b64encode(digest.digest()).decode()}"}  # fmt: skip
    cache: dict[str, bytes | str] = {
        "root/.npm/_cacache/index-v5/00/11/2233": f"\n{'0' * 40}\t{json.dumps(entry)}",
        f"root/.npm/_cacache/content-v2/sha512/{name[:2]}/{name[2:4]}/{name[4:]}": tarball,
    }

    findings = found(tmp_path, rules, image_of(layer({**npm("test/key.pem", key, host), **cache})))

    public = host == "registry.npmjs.org"
    for path in ("app/node_modules/demo/test/key.pem", [*cache][1]):
        [finding] = at(findings, path, "private-key.")
        assert finding.gated is not public
        assert finding.origin["package"]["name"] == "demo"  # type: ignore[index]


def test_a_list_of_packages_is_known_by_the_signed_index_beside_it(tmp_path: Path, rules: Detection) -> None:
    """What apt fetched from a public archive is no file of the user's."""
    name = "deb.debian.org_debian_dists_bookworm"
    release = f"Origin: Debian\nCodename: bookworm\nSHA256:\n {hashlib.sha256(QUOTED).hexdigest()} 9 main/Packages\n"
    lists: dict[str, bytes | str] = {
        f"var/lib/apt/lists/{name}_InRelease": release,
        f"var/lib/apt/lists/{name}_main_Packages": QUOTED,
    }

    findings = found(tmp_path, rules, image_of(layer(lists)))

    seen = at(findings, f"var/lib/apt/lists/{name}_main_Packages")
    assert {(f.gated, f.origin["package"]["name"]) for f in seen} == {(False, "Debian bookworm")}  # type: ignore[index]


def test_the_digest_of_a_file_is_no_secret(tmp_path: Path, rules: Detection) -> None:
    """Though the file's name looks like that of a password."""
    data = b"auth required\n"
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    line = f'default_password = "{digest}"\n'

    with_record = found(tmp_path, rules, image_of(dpkg({"etc/pam.d/demo": data}), layer({"app/a.py": line})))
    without = found(tmp_path, rules, image_of(layer({"app/a.py": line})))

    assert any(finding.gated for finding in at(without, "app/a.py"))
    assert not any(finding.gated for finding in at(with_record, "app/a.py"))


def test_the_digest_of_a_file_is_no_token_of_a_provider_either(tmp_path: Path, rules: Detection) -> None:
    """Lists of files and their digests may stand next to any name; what is a digest there is nothing else."""
    data = b"auth required\n"
    digest = hashlib.sha256(data).hexdigest()
    line = f"linode_token = '{digest}'\n"
    sums = wheel({"demo/auth.py": data})

    findings = at(found(tmp_path, rules, image_of(sums, layer({"app/list.conf": line}))), "app/list.conf")
    without = at(found(tmp_path, rules, image_of(layer({"app/list.conf": line}))), "app/list.conf")

    assert any(finding.gated for finding in without)
    assert not any(finding.gated for finding in findings)
