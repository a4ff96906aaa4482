"""Which hosts give packages to everybody, and where an image shows that packages came from elsewhere.

What is not known to be public counts as private: then nothing is lowered, which is the safe side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scanner.packages.model import PrivateOrigin, Record

#: hosts, with all below them, that serve the public without asking who it is
_PUBLIC = {
    "pip": ("pypi.org", "pythonhosted.org", "pypi.python.org", "piwheels.org", "pypi.nvidia.com", "pypi.ngc.nvidia.com",
            "download.pytorch.org", "download-r2.pytorch.org", "pypi.tuna.tsinghua.edu.cn", "mirrors.aliyun.com",
            "pypi.mirrors.ustc.edu.cn", "pypi.doubanio.com"),
    "npm": ("registry.npmjs.org", "registry.npmjs.com", "registry.yarnpkg.com", "registry.npmmirror.com",
            "registry.npm.taobao.org", "nodejs.org"),
    "dpkg": ("debian.org", "ubuntu.com", "launchpad.net", "launchpadcontent.net", "raspbian.org", "kali.org",
             "linuxmint.com", "download.docker.com", "deb.nodesource.com", "apt.postgresql.org", "nginx.org",
             "packages.microsoft.com", "dl.google.com", "packages.cloud.google.com", "apt.llvm.org", "pkgs.k8s.io",
             "apt.releases.hashicorp.com", "cli.github.com", "dl.yarnpkg.com", "repo.mysql.com", "packages.grafana.com",
             "apt.grafana.com", "developer.download.nvidia.com", "repos.influxdata.com", "mirrors.aliyun.com",
             "mirrors.tuna.tsinghua.edu.cn", "mirrors.ustc.edu.cn", "mirror.azure.cn", "azure.archive.ubuntu.com"),
    "apk": ("alpinelinux.org", "mirrors.aliyun.com", "mirrors.tuna.tsinghua.edu.cn", "mirrors.ustc.edu.cn",
            "packages.wolfi.dev", "packages.cgr.dev", "apk.cgr.dev"),
    "rpm": ("fedoraproject.org", "centos.org", "almalinux.org", "rockylinux.org", "redhat.com", "opensuse.org",
            "suse.com", "oracle.com", "amazonlinux.com", "microsoft.com", "download.docker.com",
            "rpm.nodesource.com", "nginx.org", "dl.google.com", "rpm.releases.hashicorp.com",
            "download.postgresql.org", "developer.download.nvidia.com"),
}  # fmt: skip

_HOST = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^\s@/'\"]*@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]|[^\s/'\",;]*)")
_COMMENT = re.compile(r"^[ \t]*[#;].*$", re.MULTILINE)
#: by kind of settings: the lines that name a place that packages come from
_SETTINGS = {
    "pip": re.compile(r"^.*//.*$|^[ \t]*find-links.*$", re.M),
    "requirements": re.compile(r"^[ \t]*(?:-[if]|--(?:extra-)?index-url|--find-links).*$", re.M),
    "npm": re.compile(r"^.*//.*$", re.M),
    "dpkg": re.compile(r"^.*[a-z]:/.*$", re.M),
    "apk": re.compile(r"^.*/.*$", re.M),
    "rpm": re.compile(r"^[ \t]*(?:baseurl|mirrorlist|metalink)[ \t]*=.*$", re.M),
}

_COMMANDS = re.compile(r"[&;|\n]+")
_VALUE = r"[ =]+['\"]?([^\s'\"]+)"
#: in a build step: (manager, what the command must hold besides, what names a place that packages come from)
_STEP_SOURCES = tuple(
    (manager, re.compile(besides), re.compile(pattern))
    for manager, besides, pattern in (
        ("pip", "", rf"--(?:(?:extra-|default-)?index(?:-url)?|find-links){_VALUE}"),
        ("pip", r"\bpip", r"\s-[if][ =]*(\S*[/:]\S*)"),
        ("pip", "", rf"\b(?:PIP_(?:(?:EXTRA_)?INDEX_URL|FIND_LINKS)|UV_(?:(?:EXTRA_|DEFAULT_)?INDEX(?:_URL)?|"
                    rf"FIND_LINKS)){_VALUE}"),
        ("pip", r"\bconfig\b", rf"\b(?:index-url|find-links){_VALUE}"),
        ("npm", "", rf"--registry{_VALUE}"),
        ("npm", "", rf"\b(?:NPM_CONFIG_REGISTRY|npm_config_registry|YARN_REGISTRY|YARN_NPM_REGISTRY_SERVER){_VALUE}"),
        ("npm", r"\bconfig\b", rf"\b(?:registry|npmRegistryServer){_VALUE}"),
        ("dpkg", "", r"\bdeb(?:-src)?\s{1,9}(?:\[[^\][]{0,300}\]\s{0,9})?([a-z+]{2,9}:/\S+)"),
        ("dpkg", r"\badd-apt-repository\b", r"\b(https?://\S+)"),
        ("apk", r"\bapk\b", rf"(?:\s-X|--repository){_VALUE}"),
        ("rpm", "", rf"--(?:add-repo|repofrompath){_VALUE}"),
    )
)  # fmt: skip
#: in a build step: (manager, what installs a package file that somebody brought along: all of it, what is said of it)
_STEP_FILES = tuple(
    (manager, tuple(map(re.compile, patterns)), reason)
    for manager, patterns, reason in (
        ("dpkg", (r"\bdpkg\b", r"\s(?:-i|--install|--unpack|-R)\b"), "dpkg -i installed a file"),
        ("dpkg", (r"\bapt", r"\binstall\b", r"\.deb\b"), "apt installed a file"),
        ("apk", (r"\bapk\b", r"--allow-untrusted"), "apk installed an untrusted package"),
        ("rpm", (r"\brpm\b", r"\s(?:-[a-z]{0,9}[iUF]|--install\b|--upgrade\b)"), "rpm -i installed a file"),
    )
)


@dataclass(frozen=True, slots=True)
class StepOrigin:
    """What a build step tells. *here*: only about packages that this very step installed."""

    sign: PrivateOrigin
    here: bool


def is_public(manager: str, host: str) -> bool:
    """Whether *host* serves packages of that manager to everybody."""
    name = host.lower().rstrip(".")
    hosts = _PUBLIC.get("dpkg" if manager == "apt" else manager, ())
    return any(name == known or name.endswith("." + known) for known in hosts)


def _private(manager: str, value: str) -> str | None:
    """The host that a setting's *value* names if it is not known to be public; a path is the user's own."""
    hosts = _HOST.findall(value)
    if not hosts:
        return "a local path or a variable"
    return next((host or "a variable" for host in hosts if not is_public(manager, host)), None)


def _named(host: str) -> str:
    """What a report calls the host; what is none could be anything."""
    return host if re.fullmatch(r"[A-Za-z0-9.-]+", host) else "another place"


def settings(kind: str, data: bytes) -> Iterator[Record]:
    """What a file of settings tells about where packages come from. *kind*: a manager, or `requirements` of pip."""
    text = _COMMENT.sub("", data.decode("utf-8", "replace"))
    manager = "pip" if kind == "requirements" else kind
    for line in _SETTINGS[kind].findall(text):
        host = _private(manager, line)
        if host is not None:
            yield PrivateOrigin(manager, f"the image's {manager} settings name {_named(host)}")
            return


def of_step(created_by: str) -> Iterator[StepOrigin]:
    """What a build step, or an environment variable written NAME=value, tells about where packages come from."""
    for command in _COMMANDS.split(created_by):
        for manager, besides, pattern in _STEP_SOURCES:
            for value in pattern.findall(command):
                host = _private(manager, value) if besides.search(command) else None
                if host is not None:
                    yield StepOrigin(PrivateOrigin(manager, f"a build step or variable names {_named(host)}"), False)
        for manager, patterns, reason in _STEP_FILES:
            if all(pattern.search(command) for pattern in patterns):
                yield StepOrigin(PrivateOrigin(manager, reason), True)


def of_environment(variables: Iterable[str]) -> Iterator[PrivateOrigin]:
    """What a config's environment tells."""
    for variable in variables:
        yield from (origin.sign for origin in of_step(variable))
