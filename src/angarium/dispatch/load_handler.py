"""Passes what was read from the database to the lanes: configurations, due deliveries, next due times."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

import structlog

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.keyring import Keyring, SealError
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.product import STANDARD, Product
from angarium.core.read_position import FIRST, LAST
from angarium.dispatch.lane_registry import LaneRegistry
from angarium.dispatch.target import open_target
from angarium.store.load import Config, LaneRef, Loaded, Wanted

log = structlog.get_logger(__name__)

HANDFUL: Final = 100  # lanes


class LoadHandler:
    """Called by the loader and the backlog poller with what they read."""

    def __init__(
        self,
        registry: LaneRegistry,
        clock: Clock,
        products: Mapping[str, Product],
        keyring: Keyring,
        parked: Collection[tuple[UUID, UUID]] = frozenset(),
    ) -> None:
        """`parked`: deliveries, as (endpoint id, message id), that must not be sent again."""
        self._registry = registry
        self._clock = clock
        self._products = products
        self._keyring = keyring
        self._parked = parked
        self._inactive: dict[UUID, UUID] = {}  # endpoint id -> application id

    def configured(self, lanes: list[tuple[UUID, UUID]], configs: list[Config]) -> None:
        """Configure these lanes. Lanes whose endpoint is missing or inactive are closed."""
        now = self._clock.now()
        found = {config.endpoint_id: config for config in configs}
        for _, endpoint_id in lanes:
            active = self._registry.get(endpoint_id)
            if active is None:
                continue
            config = found.get(endpoint_id)
            if config is None or not config.active:
                self._registry.forget(active)
                self._inactive[endpoint_id] = active.app_id
                continue
            try:
                product = self._products[config.profile or STANDARD]
            except KeyError:
                log.error("profile.unknown", profile=config.profile, organization=config.org_id)
                self._registry.forget(active)
                continue
            try:
                target = open_target(config, product, self._keyring)
            except SealError as error:
                log.error("endpoint.sealed", endpoint=ids.text(ids.ENDPOINT, endpoint_id), error=error.detail)
                self._registry.forget(active)
                continue
            active.reconfigure(config, target, self._registry.limits(config.rate_limit, config.fifo), now)
            self._registry.mark(active)

    def take_inactive(self) -> list[tuple[UUID, UUID]]:
        """Lanes, as (application id, endpoint id), that had deliveries although their endpoints are inactive.
        Each is returned once."""
        lanes = [(app_id, endpoint_id) for endpoint_id, app_id in self._inactive.items()]
        self._inactive.clear()
        return lanes

    def loaded(self, wanted: list[Wanted], rows: list[Loaded], next_due: dict[UUID, float]) -> None:
        """Take due deliveries for the lanes that asked, and when (epoch seconds) each lane's next one is
        due."""
        by_lane: dict[UUID, list[QueuedDelivery]] = {want.endpoint_id: [] for want in wanted}
        left_out: Counter[UUID] = Counter()
        for row in rows:
            if (row.endpoint_id, row.message_id) in self._parked:
                left_out[row.endpoint_id] += 1
                continue
            by_lane[row.endpoint_id].append(
                QueuedDelivery(
                    row.message_id,
                    row.due_at,
                    row.state,
                    row.failures,
                    row.manual_at,
                    row.payload,
                    row.event_type,
                    row.attempts,
                    row.test,
                    row.content_type,
                    row.pending,
                    row.expires_at,
                    row.seq,
                    row.trace,
                )
            )
        for want in wanted:
            active = self._registry.get(want.endpoint_id)
            # a lane that was closed and opened again did not ask
            if active is not None and active.lane.loading:
                # fewer rows than asked for mean that there are no more; if all are left out, nothing says so
                asked = max(1, want.room - left_out[want.endpoint_id])
                active.lane.loaded(by_lane[want.endpoint_id], next_due.get(want.endpoint_id), asked)
                self._registry.mark(active)

    def not_loaded(self, wanted: list[Wanted]) -> None:
        """The query failed. The lanes may ask again."""
        for want in wanted:
            active = self._registry.get(want.endpoint_id)
            if active is not None and active.lane.loading:
                active.lane.load_failed()
                self._registry.mark(active)

    async def seen(self, lanes: list[LaneRef], horizon: float) -> None:
        """Take the lanes that have deliveries due within `horizon` seconds, in case a hint was lost. Closes
        idle lanes, too. Yields to other tasks after each `HANDFUL` lanes."""
        now = self._clock.now()
        for place, lane in enumerate(lanes, 1):
            if place % HANDFUL == 0:
                await asyncio.sleep(0)
            soon = lane.due_at < now + horizon or self._registry.get(lane.endpoint_id) is not None
            if soon and self._registry.ours(lane.endpoint_id):
                active = self._registry.open(lane.app_id, lane.endpoint_id)
                if lane.unplaced:
                    active.unplaced()
                # In a free lane all before it is done, and an old snapshot may keep much of that. In a
                # first-in-first-out lane only reading from the start shows which comes first.
                since = LAST if lane.first is None else active.lane.place(lane.first, FIRST)
                self._registry.news(active, lane.due_at, since=since)
        self._registry.forget_idle(horizon)
