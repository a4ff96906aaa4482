"""Every door of the service."""

from __future__ import annotations

from scanner.serve import api, health
from scanner.serve.routing import Door

DOORS: tuple[Door, ...] = (*health.DOORS, *api.DOORS)
