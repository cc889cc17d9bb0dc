"""Placement: a first-in-first-out lane has its deliveries placed before it takes anything more.

A delivery without a place comes about when its message is accepted at the moment at which its endpoint
becomes first-in-first-out (store/place.py). Whoever hands it over, tells of it or finds it in the table marks
the post, and the lane waits until it is placed. Then it loads anew, for what was placed comes first.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.errors import StoreUnavailable
from angarium.dispatch.post import Placing, Post
from angarium.dispatch.posts import Posts
from angarium.store import place as store
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault

log = structlog.get_logger(__name__)

_PAUSE: Final = 0.5  # seconds after a fault


class Placement:
    """One lane at a time: they are few."""

    def __init__(self, database: Database, clock: Clock, posts: Posts) -> None:
        self._database = database
        self._clock = clock
        self._posts = posts
        self._wanted: set[Post] = set()
        self._wake = asyncio.Event()
        self._never = asyncio.Event()

    def want(self, post: Post) -> None:
        """Have the deliveries of a lane placed; it gets a turn when they are."""
        if post.placing is Placing.WANTED:
            self._wanted.add(post)
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._wanted:
                await self._place(self._wanted.pop())

    async def _place(self, post: Post) -> None:
        if post.closed or post.placing is not Placing.WANTED:
            return
        post.placing = Placing.UNDER_WAY
        try:
            async with self._database.transaction() as connection:
                placed = await store.place(connection, post.app_id, post.endpoint_id)
        except Exception as error:
            # whatever it is, the lane waits for it
            known = isinstance(error, StoreUnavailable | DatabaseFault)
            endpoint = ids.text(ids.ENDPOINT, post.endpoint_id)
            log.warning("placement.failed", endpoint=endpoint, error=str(error), exc_info=not known)
            post.lane.reorder()  # it may have been committed all the same
            await self._clock.wait(self._never, self._clock.now() + _PAUSE)
            post.placing = Placing.WANTED
        else:
            # what was committed without a place meanwhile has marked it again
            if post.placing is Placing.UNDER_WAY:
                post.placing = Placing.DONE
            if placed:
                post.lane.reorder()
        self._posts.mark(post)
