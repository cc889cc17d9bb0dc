"""Passes what was read from the database to the lanes: configurations, due deliveries, and next due times."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from uuid import UUID

import structlog

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.hand import Held
from angarium.core.keyring import Keyring, SealError
from angarium.core.product import STANDARD, Product
from angarium.core.read_position import FIRST, LAST
from angarium.dispatch.posts import HORIZON, Posts
from angarium.dispatch.target import open_target
from angarium.store.load import Config, LaneRef, Loaded, Wanted

log = structlog.get_logger(__name__)

HANDFUL: Final = 100  # lanes


class LoadHandler:
    """Called by the loader and the lookout with what they read."""

    def __init__(self, posts: Posts, clock: Clock, products: Mapping[str, Product], keyring: Keyring) -> None:
        self._posts = posts
        self._clock = clock
        self._products = products
        self._keyring = keyring
        self._inactive: dict[UUID, UUID] = {}  # endpoint id -> application id

    def configured(self, lanes: list[tuple[UUID, UUID]], configs: list[Config]) -> None:
        """How the endpoints of these lanes are configured; of those missing, nothing is sent."""
        now = self._clock.now()
        found = {config.endpoint_id: config for config in configs}
        for _, endpoint_id in lanes:
            post = self._posts.get(endpoint_id)
            if post is None:
                continue
            config = found.get(endpoint_id)
            if config is None or not config.active:
                self._posts.forget(post)
                self._inactive[endpoint_id] = post.app_id
                continue
            try:
                product = self._products[config.profile or STANDARD]
            except KeyError:
                log.error("profile.unknown", profile=config.profile, organization=config.org_id)
                self._posts.forget(post)
                continue
            try:
                target = open_target(config, product, self._keyring)
            except SealError as error:
                log.error("endpoint.sealed", endpoint=ids.text(ids.ENDPOINT, endpoint_id), error=error.detail)
                self._posts.forget(post)
                continue
            post.reconfigure(config, target, self._posts.limits(config.rate_limit, config.fifo), now)
            self._posts.mark(post)

    def take_inactive(self) -> list[tuple[UUID, UUID]]:
        """Lanes, as (application id, endpoint id), that had something to send though their endpoints get
        nothing; each is given once."""
        lanes = [(app_id, endpoint_id) for endpoint_id, app_id in self._inactive.items()]
        self._inactive.clear()
        return lanes

    def loaded(self, wanted: list[Wanted], rows: list[Loaded], next_due: dict[UUID, float]) -> None:
        """What was due on the lanes that asked, and when (seconds since the epoch) the rest of each is."""
        by_lane: dict[UUID, list[Held]] = {want.endpoint_id: [] for want in wanted}
        for row in rows:
            by_lane[row.endpoint_id].append(
                Held(
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
                )
            )
        for want in wanted:
            post = self._posts.get(want.endpoint_id)
            # a lane that was forgotten and opened again did not ask
            if post is not None and post.lane.loading:
                post.lane.loaded(by_lane[want.endpoint_id], next_due.get(want.endpoint_id), want.room)
                self._posts.mark(post)

    def not_loaded(self, wanted: list[Wanted]) -> None:
        """The question failed; the lanes may ask again."""
        for want in wanted:
            post = self._posts.get(want.endpoint_id)
            if post is not None and post.lane.loading:
                post.lane.load_failed()
                self._posts.mark(post)

    async def seen(self, lanes: list[LaneRef]) -> None:
        """What the table owes: whatever a lost hint would have told. Idle lanes are forgotten meanwhile.
        Others have their turns after a few lanes, however many there are."""
        now = self._clock.now()
        for place, lane in enumerate(lanes, 1):
            if place % HANDFUL == 0:
                await asyncio.sleep(0)
            soon = lane.due_at < now + HORIZON or self._posts.get(lane.endpoint_id) is not None
            if soon and self._posts.ours(lane.endpoint_id):
                post = self._posts.open(lane.app_id, lane.endpoint_id)
                if lane.unplaced:
                    post.unplaced()
                # In a free lane, what is before it is done, and an old snapshot may keep much of that. Which
                # comes first in the order of acceptance, only reading from the beginning can say.
                since = LAST if lane.first is None else post.lane.place(lane.first, FIRST)
                self._posts.news(post, lane.due_at, since=since)
        self._posts.forget_idle()
