"""Stores faults on our side and the lanes that wait for them, so that every process can show them.

A process writes its own faults, and repeats that while they last. A fault that was not repeated for `STALE`
seconds belongs to a process that has ended, and is ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.store.connection import Connection
from angarium.store.sql import queries

STALE: Final = 30.0
SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class FaultRow:
    """A fault of one process: its kind, its start (epoch seconds), and how many lanes wait for it."""

    process: str
    code: str
    since: float
    lanes: int


@dataclass(frozen=True, slots=True)
class HeldLane:
    """A lane that waits for a fault to end, since a time (epoch seconds)."""

    endpoint_id: UUID
    code: str
    since: float


async def note(connection: Connection, process: str, faults: Collection[FaultRow], now: float) -> None:
    """Write the current faults of a process. Its other faults are over and are deleted."""
    await queries.fault_end(connection, process=process, codes=[fault.code for fault in faults])
    if faults:
        await queries.fault_note(
            connection, process=process, now=datetime_at(now), codes=[fault.code for fault in faults],
            since=[datetime_at(fault.since) for fault in faults], lanes=[fault.lanes for fault in faults],
        )  # fmt: skip


async def hold(connection: Connection, process: str, lanes: Collection[HeldLane]) -> None:
    """Write lanes that wait for faults of the process. The faults must have been written before."""
    await queries.fault_hold(
        connection, process=process, endpoint_ids=[lane.endpoint_id for lane in lanes],
        codes=[lane.code for lane in lanes], since=[datetime_at(lane.since) for lane in lanes],
    )  # fmt: skip


async def release(connection: Connection, process: str, endpoint_ids: Iterable[UUID]) -> None:
    """Delete lanes that no longer wait."""
    await queries.fault_release(connection, process=process, endpoint_ids=list(endpoint_ids))


async def under_way(connection: Connection, now: float) -> list[FaultRow]:
    """The faults of all processes, the oldest first, at most `SHOWN`."""
    rows = queries.fault_list(connection, noted_since=noted_since(now), limit=SHOWN)
    return [
        FaultRow(row["process"], row["code"], row["since"].timestamp(), row["lanes"]) async for row in rows
    ]


def noted_since(now: float) -> datetime:
    """The time since which a fault must have been written to count."""
    return datetime_at(now - STALE)
