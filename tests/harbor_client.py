"""What Harbor does to a scanner adapter, in its order and with its limits.

Read from goharbor/harbor (src/pkg/scan/rest/v1/client.go, models.go; src/pkg/scan/job.go; src/pkg/scan/vuln):
each call ends after five seconds, redirects are not followed and a 302 means "not ready", `Refresh-After` is parsed as
a signed byte, a report is asked for by each MIME type that the scanner said it produces, and any other status fails
the scan for good.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

METADATA = "application/vnd.scanner.adapter.metadata+json; version=1.0"
REQUEST = "application/vnd.scanner.adapter.scan.request+json; version=1.0"
NATIVE = "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"
GENERIC = "application/vnd.security.vulnerability.report; version=1.1"
RAW = "application/vnd.scanner.adapter.vuln.report.raw"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
SECONDS = 5.0
FIRST_POLL, DEFAULT_POLL = 2.0, 5.0
#: Harbor's order; a severity that is none of these words becomes Unknown
SCORES = {"Unknown": 0, "None": 0, "Negligible": 0, "Low": 1, "Medium": 4, "High": 5, "Critical": 6}


class Refused(Exception):
    """Harbor would mark the scan failed, or not register the scanner."""


@dataclass
class HarborClient:
    """Talks to the adapter at *url* as Harbor does.

    *sleep* is called instead of waiting, with the seconds that Harbor would wait.
    """

    url: str
    authorization: str
    verify: Any = True
    sleep: Callable[[float], None] = time.sleep
    waits: list[float] = field(default_factory=list)

    def metadata(self) -> dict[str, Any]:
        """Register the scanner: ask for its metadata and check them as Harbor does (`Validate`)."""
        answer = self._call("GET", "/metadata", {"Accept": METADATA})
        if answer.status_code != 200:
            raise Refused(f"metadata: unexpected status code {answer.status_code}")
        found: dict[str, Any] = answer.json()
        scanner = found.get("scanner") or {}
        if not all(scanner.get(key) for key in ("name", "vendor", "version")):
            raise Refused("scanner name, vendor and version are required")
        if not found.get("capabilities"):
            raise Refused("no capability")
        for capability in found["capabilities"]:
            if DOCKER_MANIFEST not in capability.get("consumes_mime_types", []):
                raise Refused("missing required consumes_mime_type")
            if not {NATIVE, GENERIC} & set(capability.get("produces_mime_types", [])):
                raise Refused("missing required produces_mime_type")
        return found

    def submit(self, registry: str, authorization: str, repository: str, digest: str, **artifact: Any) -> str:
        """Ask for a scan; its id."""
        request = {
            "registry": {"url": registry, "authorization": authorization, "insecure": False},
            "artifact": {"repository": repository, "digest": digest, "mime_type": DOCKER_MANIFEST, **artifact},
            "enabled_capabilities": [{"type": "vulnerability", "produces_mime_types": [GENERIC], "parameters": None}],
        }
        answer = self._call("POST", "/scan", {"Content-Type": REQUEST}, json.dumps(request).encode())
        if answer.status_code != 202:
            raise Refused(f"scan: unexpected status code {answer.status_code}: {answer.text}")
        found: str = answer.json()["id"]
        return found

    def report(self, identity: str, mime: str = GENERIC, polls: int = 1000) -> dict[str, Any]:
        """Poll until there is a report. Raises Refused as Harbor's job would fail."""
        wait = FIRST_POLL
        for _ in range(polls):
            self.waits.append(wait)
            self.sleep(wait)
            answer = self._call("GET", f"/scan/{identity}/report", {"Accept": mime})
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                return found
            if answer.status_code != 302:
                raise Refused(f"report: unexpected status code {answer.status_code}: {answer.text}")
            wait = refresh_after(answer.headers.get("Refresh-After", ""))
        raise Refused("the report is never ready")

    def _call(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> requests.Response:
        # Go's client waits five seconds for the whole exchange; requests between two bytes, which is less strict
        return requests.request(
            method, f"{self.url.rstrip('/')}/api/v1{path}", data=body, timeout=SECONDS, allow_redirects=False,
            headers={**headers, "Authorization": self.authorization}, verify=self.verify,
        )  # fmt: skip


def refresh_after(value: str) -> float:
    """strconv.ParseInt(value, 10, 8): what does not fit is an error, and then the default counts."""
    try:
        seconds = int(value)
    except ValueError:
        return DEFAULT_POLL
    return float(seconds) if -128 <= seconds <= 127 else DEFAULT_POLL


def blocked(report: Mapping[str, Any], threshold: str, exempt: Sequence[str] = ()) -> list[str]:
    """The ids for which a project that prevents vulnerable images from *threshold* on refuses a pull."""
    return [
        each["id"]
        for each in report["vulnerabilities"]
        if each["id"] not in exempt and SCORES.get(each["severity"], 0) >= SCORES[threshold]
    ]
