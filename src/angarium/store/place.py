"""Places: which delivery comes next at a first-in-first-out endpoint.

- A delivery to such an endpoint takes the place of its message in the order of acceptance. Deliveries to
  other endpoints have none, and a place that one has there means nothing.
- When an endpoint becomes first-in-first-out, all that is queued gets the place before all others. Deliveries
  of the same place go in order of message id.
- A message that is being accepted at that moment may be committed after it, without a place. Whoever finds it
  has it put at the place before all others, too, before the lane takes anything more (dispatch/placement.py).
"""

from __future__ import annotations

from uuid import UUID

from angarium.store.connection import Connection
from angarium.store.shard import shard_of
from angarium.store.sql import queries
from angarium.store.target import hold_target


async def place(connection: Connection, app_id: UUID, endpoint_id: UUID, *, anew: bool = False) -> int:
    """Place what is queued for an endpoint without a place, if its order is first in, first out; `anew`: all
    that is queued. In a transaction; gives how many were placed."""
    target = await hold_target(connection, app_id, endpoint_id)
    if target is None or not target.fifo:
        return 0
    lane = {"app_id": app_id, "endpoint_id": endpoint_id, "all": anew}
    first: int = await queries.place_first(connection, shard=shard_of(endpoint_id), **lane)
    again: int = await queries.place_retry(connection, **lane)
    return first + again
