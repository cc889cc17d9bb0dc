"""The native API: Svix's paths and bodies, and what Angarium adds to them."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

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

PREFIX: Final = "/api/v1"
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
# built once: FastAPI prepares the routes of a router again for each application that includes it
router: Final = APIRouter(prefix=PREFIX)
for _module in MODULES:
    router.include_router(_module.router)
