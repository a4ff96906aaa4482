"""The words of Harbor's scanner adapter API: MIME types, metadata, scan requests.

Source: goharbor/pluggable-scanner-spec, versions 1.0 to 1.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from scanner import __version__
from scanner.image.reference import is_name, is_tag
from scanner.image.registry.credentials import Login
from scanner.image.registry.names import is_host
from scanner.oci import is_digest
from scanner.serve.logins import basic_login
from scanner.serve.refusal import Refused, json_object

METADATA = "application/vnd.scanner.adapter.metadata+json; version=1.0"
RESPONSE = "application/vnd.scanner.adapter.scan.response+json; version=1.0"
ERROR = "application/vnd.scanner.adapter.error+json; version=1.0"
#: the report that is announced; Harbor asks for each one that is, and keeps as many
GENERIC = "application/vnd.security.vulnerability.report; version=1.1"
#: the same document under its older name
NATIVE = "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"
#: the findings as they are; Harbor shows it nowhere
RAW = "application/vnd.scanner.adapter.vuln.report.raw"
REPORTS = (GENERIC, NATIVE, RAW)
_IMAGES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_SCANNER = {"name": "leakscan", "vendor": "leakscan", "version": __version__}
_REQUESTS = ("application/vnd.scanner.adapter.scan.request+json", "application/json")
_LONGEST = 512


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What is to be scanned, and the login for that, which shows in no repr; *host* is host[:port] of the registry."""

    host: str
    repository: str
    digest: str
    login: Login | None = field(default=None, repr=False)

    @property
    def image(self) -> str:
        """The reference by digest."""
        return f"{self.host}/{self.repository}@{self.digest}"


def scanner() -> dict[str, str]:
    """The scanner's name, vendor and version."""
    return dict(_SCANNER)


def metadata(rules: str) -> dict[str, Any]:
    """What the adapter says of itself; *rules* names the rule set.

    Image indexes are not among what is consumed: Harbor then has their images scanned, and judges those.
    """
    return {
        "scanner": scanner(),
        "capabilities": [
            {"type": "vulnerability", "consumes_mime_types": list(_IMAGES), "produces_mime_types": [GENERIC]}
        ],
        "properties": {
            "harbor.scanner-adapter/scanner-type": "secret",
            # a password with which a new token can be had however long the scan takes, and not a token
            "harbor.scanner-adapter/registry-authorization-type": "Basic",
            "leakscan/rules": rules,
        },
    }


def report_type(accept: str) -> str | None:
    """The report that an Accept header asks for, None if it is none of ours; nothing asked for is the generic one.

    A type counts with its parameter: version 1.0 of the generic report is another document.
    """
    asked = [_folded(part) for part in accept.split(",") if part.strip()]
    if not asked or any(part.partition(";")[0] in ("*/*", "application/*") for part in asked):
        return GENERIC
    return next((mime for part in asked for mime in REPORTS if part == _folded(mime)), None)


def read_request(content_type: str, raw: bytes) -> ScanRequest:
    """A scan request. Raises Refused: 400 for what is no JSON of the right form, 422 for a wrong field."""
    if content_type.partition(";")[0].strip().lower() not in _REQUESTS:
        raise Refused(400, "the body must be application/vnd.scanner.adapter.scan.request+json; version=1.0")
    document = json_object(raw)
    registry, artifact = _part(document, "registry"), _part(document, "artifact")
    _asked(document.get("enabled_capabilities"))
    host = _host(_text(registry, "url"))
    repository, digest, tag = _text(artifact, "repository"), _text(artifact, "digest"), _text(artifact, "tag")
    if not is_name(repository):
        raise Refused(422, "artifact.repository is no name of a repository")
    if not is_digest(digest):
        raise Refused(422, "artifact.digest is no digest")
    if tag and not is_tag(tag):
        raise Refused(422, "artifact.tag is no tag")
    _text(artifact, "mime_type")
    login = _login(_text(registry, "authorization"))
    return ScanRequest(host, repository, digest, login)


def _folded(mime: str) -> str:
    """A media type as it is compared: no spaces, no case, no quality (RFC 9110, 8.3.1 and 12.5.1)."""
    parts = [part.strip().lower() for part in mime.split(";")]
    return ";".join(part for part in parts if not part.startswith("q="))


def _part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    if key not in document:
        raise Refused(422, f"{key} is missing")
    value = document[key]
    if not isinstance(value, dict):
        raise Refused(400, f"{key} is no JSON object")
    return value


def _text(part: Mapping[str, Any], key: str) -> str:
    value = part.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused(400, f"{key} is no string")
    if len(value) > _LONGEST and key != "authorization":
        raise Refused(422, f"{key} is too long")
    return value


def _asked(capabilities: Any) -> None:
    """Harbor 2.11 and later say what they want; nothing said is everything."""
    if capabilities is None:
        return
    if not isinstance(capabilities, list) or not all(isinstance(each, dict) for each in capabilities):
        raise Refused(400, "enabled_capabilities is no list of JSON objects")
    if capabilities and not any(each.get("type") == "vulnerability" for each in capabilities):
        raise Refused(422, "only the capability vulnerability is there")


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in ("https", "http") or not host or parts.username is not None or not host.isascii():
        raise Refused(422, "registry.url is no URL of a registry")
    shown = f"[{host}]" if ":" in host else host
    plain = parts.scheme == "http"
    number = port or (80 if plain else 443)
    # a reference without a port means 443, and a name without dot or port in it means none of a host
    return shown if number == 443 and not plain and is_host(shown) else f"{shown}:{number}"


def _login(header: str) -> Login | None:
    if not header:
        return None
    login = basic_login(header)
    if login is None:
        raise Refused(422, "registry.authorization is not of the scheme Basic, which the metadata ask for")
    return login
