"""Gives places to the queued deliveries of a first-in-first-out endpoint.

- A delivery to such an endpoint has the place of its message in the order of acceptance. Deliveries to other
  endpoints have no place, or one that is ignored.
- When an endpoint becomes first-in-first-out, all its queued deliveries get the place before all others.
  Deliveries with the same place are sent in order of message id.
- A message that is being accepted at that moment may commit later, without a place. When a dispatcher finds
  one, the delivery is also put at the place before all others, and the lane waits for that
  (dispatch/placement.py).
"""

from __future__ import annotations

from uuid import UUID

from angarium.store.connection import Connection
from angarium.store.shard import shard_of
from angarium.store.sql import queries
from angarium.store.target import hold_target


async def place(connection: Connection, app_id: UUID, endpoint_id: UUID, *, anew: bool = False) -> int:
    """Give a place to queued deliveries that have none, if the endpoint is first-in-first-out. `anew`: to all
    queued deliveries. Call it in a transaction. Returns how many were placed."""
    target = await hold_target(connection, app_id, endpoint_id)
    if target is None or not target.fifo:
        return 0
    lane = {"app_id": app_id, "endpoint_id": endpoint_id, "all": anew}
    first: int = await queries.place_first(connection, shard=shard_of(endpoint_id), **lane)
    again: int = await queries.place_retry(connection, **lane)
    return first + again
