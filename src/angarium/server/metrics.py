"""The page `/metrics` of the listener for operators' tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from angarium.server.ops import OpsPage, OpsRequest, OpsRoute
from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.exposition import exposition
from angarium.telemetry.registry import Snapshot


def metrics_route(snapshot: Callable[[], Awaitable[Snapshot]]) -> OpsRoute:
    """Shows snapshots as Prometheus reads them."""

    async def page(request: OpsRequest) -> OpsPage:
        body, content_type = exposition(CATALOGUE, await snapshot(), request.headers.get("accept", ""))
        return OpsPage(200, body, content_type)

    return page
