"""Every door of the service."""

from __future__ import annotations

from scanner.serve import api, gatekeeper, harbor, health, kubernetes, pages
from scanner.serve.hooks import doors as hooks
from scanner.serve.routing import Door

DOORS: tuple[Door, ...] = (
    *health.DOORS, *api.DOORS, *harbor.DOORS, *kubernetes.DOORS, *gatekeeper.DOORS, *hooks.DOORS, *pages.DOORS,
)  # fmt: skip
