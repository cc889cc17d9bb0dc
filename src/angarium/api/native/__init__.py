"""The native API: Svix's paths and bodies, and what Angarium adds to them."""

from __future__ import annotations

from typing import Final

from starlette.routing import BaseRoute

from angarium.api.native import (
    application,
    attempt,
    audit,
    auth,
    contact,
    delivery,
    endpoint,
    endpoint_secret,
    erasure,
    event_type,
    export,
    health,
    listener,
    log,
    message,
    organization,
    play,
    quota,
    replay,
)

MODULES: Final = (
    message,
    attempt,
    delivery,
    replay,
    erasure,
    export,
    application,
    endpoint,
    endpoint_secret,
    contact,
    quota,
    event_type,
    listener,
    play,
    log,
    auth,
    audit,
    organization,
    health,
)
ROUTES: Final[list[BaseRoute]] = [route for module in MODULES for route in module.router.routes]
