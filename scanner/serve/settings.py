"""What the operator sets of the service, with its limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from scanner.evidence import Severity
from scanner.limits import KIB, MIB


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How the service behaves. Times are in seconds.

    Attributes:
        registries: host[:port] of registries that may be read, wherever they are.
        any_registry: others may be read as well, if their addresses are public.
        public_url: where people reach the pages, without a slash at its end; empty if nowhere.
        fail_on: the least severity that makes an image leak; None for never.
        incomplete_seconds: after which an image that was not read whole is due for another scan.
        cache_seconds: how long a verdict is answered from memory.
        cache_weight: verdicts and findings in memory, at most.
        queue_limit: tickets that may wait, of one priority and those before it.
        scans: images that are scanned at a time.
        jobs: processes that work on one of them.
        in_flight: requests of one scope that are worked on at a time; more are refused at once.
        connections: that are open at a time.
        request_seconds: for one request, from its first byte to the last of its answer.
        resolve_seconds: for a registry to say what a tag points to.
        header_bytes: of one request's head.
        body_bytes: of a request's body, unless its door says otherwise.
        rate: requests a second of one client in the long run.
        burst: requests at once of one client.
        drain_seconds: between the first sign of the end and the last connection that is taken.
        lease_seconds: without a sign of life, and a scan goes to another process.
        keep_days: how long a ticket that ended is remembered.
        hook_secret: with which products sign the bodies of webhooks; empty for none.
        audit_seconds: between audits of all named registries, 0 for none.
    """

    registries: frozenset[str] = frozenset()
    any_registry: bool = False
    public_url: str = ""
    fail_on: Severity | None = Severity.LOW
    incomplete_seconds: float = 600.0
    cache_seconds: float = 2.0
    cache_weight: int = 100_000
    queue_limit: int = 10_000
    scans: int = 1
    jobs: int = 1
    in_flight: int = 64
    connections: int = 1000
    request_seconds: float = 9.0
    resolve_seconds: float = 2.0
    header_bytes: int = 16 * KIB
    body_bytes: int = MIB
    rate: float = 500.0
    burst: int = 1000
    drain_seconds: float = 5.0
    lease_seconds: float = 60.0
    keep_days: int = 7
    hook_secret: bytes = field(default=b"", repr=False)
    audit_seconds: float = 0.0
