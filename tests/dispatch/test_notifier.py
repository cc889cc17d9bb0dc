"""Hints about new messages for other processes: for each lane the first message, and the first place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from angarium.core.read_position import FIRST
from angarium.dispatch.notifier import Notifier
from angarium.store.accept import NewDelivery
from angarium.store.hint import LaneWork, Work, read
from tests.kit.patience import until
from tests.kit.world import World

APP, ENDPOINT = UUID(int=1), UUID(int=2)


def new_deliveries(message: int, seq: int, endpoint_id: UUID = ENDPOINT) -> NewDelivery:
    return NewDelivery(APP, endpoint_id, UUID(int=message), 0, seq > FIRST, 0, 0.0, "a.b", None, 0.0, seq=seq)


@pytest.mark.parametrize(
    ("accepted", "first"),
    [
        ([(5, FIRST)], (5, FIRST)),
        ([(5, FIRST), (3, FIRST), (4, FIRST)], (3, FIRST)),
        ([(5, 12)], (5, 12)),
        ([(5, 12), (6, 10), (7, 11)], (5, 10)),
        ([(5, 12), (6, FIRST)], (5, FIRST)),  # one of them was accepted while the endpoint was free
    ],
)
async def test_a_hint_names_the_first_message_of_a_lane(
    world: World, monkeypatch: pytest.MonkeyPatch, accepted: list[tuple[int, int]], first: tuple[int, int]
) -> None:
    told: list[LaneWork] = []

    async def hint(_: Any, hints: Sequence[str], *, alone: bool) -> None:
        for text in hints:
            work = read(text)
            assert isinstance(work, Work)
            told.extend(work.lanes)

    monkeypatch.setattr("angarium.dispatch.notifier.send", hint)
    notifier = Notifier(world.database)
    notifier.tell(new_deliveries(*one) for one in accepted)
    notifier.tell([new_deliveries(9, 9, UUID(int=3))])
    await notifier.start()
    await until(lambda: told)
    await notifier.stop()
    assert told == [
        LaneWork(APP, ENDPOINT, UUID(int=first[0]), first[1]),
        LaneWork(APP, UUID(int=3), UUID(int=9), 9),
    ]
