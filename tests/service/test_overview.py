"""Charts and health: attempts that were really made are counted, added up and forgotten in time."""

from __future__ import annotations

import os
from datetime import timedelta

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.hourly_stats import HOUR, HourlyStats, Span
from angarium.service.overview import Overview
from angarium.store import hourly_stats
from angarium.store.retention import Retention
from tests.kit.clock import ManualClock
from tests.kit.ended import end
from tests.kit.receiver import Receiver, Reply
from tests.kit.world import World

NOW = 1_800_000_000.0


async def test_a_dispatcher_counts_what_it_completed(world: World) -> None:
    app = await world.application()
    async with Receiver() as fine, Receiver(default=Reply(500)) as broken:
        good, bad = await world.endpoint(app, fine.url), await world.endpoint(app, broken.url)
        async with world.dispatching() as dispatcher, world.intake(dispatcher.hand_over) as intake:
            await intake.accept(world.draft(app))
            await world.until_states({0: 1, 2: 1})
    overview = Overview(world.database, world.clock)
    whole = (await overview.series(app.id, Span.DAY)).total
    assert (whole.delivered, whole.failed, whole.error_rate) == (1, 3, 0.75)
    assert whole.p50_ms is not None
    mine = await overview.series(app.id, Span.DAY, bad.id)
    assert (mine.total.delivered, mine.total.failed) == (0, 3)
    assert sum(point.failed for point in mine.points[-2:]) == 3, "now, or before the hour was full"
    health = await overview.health(app.id, [good.id, bad.id])
    assert (health[good.id].error_rate, health[good.id].last_failed_at) == (0.0, None)
    assert (health[bad.id].error_rate, health[bad.id].last_error_code) == (1.0, "http_500")
    assert health[bad.id].failing_since is not None
    assert health[bad.id].failures == 3


async def test_counts_of_several_processes_add_up(world: World) -> None:
    app, endpoint = (await world.application()).id, world.new_id()
    async with world.database.connection() as connection:
        for error, at in (("timeout", NOW + 2), ("dns", NOW + 1), (None, NOW + 3)):
            one = HourlyStats()
            one.note(app, endpoint, at, 100, error)
            await hourly_stats.add(connection, one.take())
        (found,) = await hourly_stats.hours(connection, app, endpoint, datetime_at(NOW - HOUR))
        (whole,) = await hourly_stats.hours(connection, app, None, datetime_at(NOW - HOUR))
        for counted in (found, whole):
            assert (counted.delivered, counted.failed, sum(counted.latency)) == (1, 2, 3)
        row = (await world.fetch("select * from attempt_hour where endpoint_id = $1", endpoint))[0]
    assert (row["failed_at"], row["error_code"]) == (datetime_at(NOW + 2), "timeout")


async def test_a_chart_has_a_point_for_every_step(world: World) -> None:
    app, endpoint = (await world.application()).id, world.new_id()
    one = HourlyStats()
    for hours in (0, 1, 5, 30, 100, 600, 700):
        one.note(app, endpoint, NOW - hours * HOUR, 50, None)
    async with world.database.connection() as connection:
        await hourly_stats.add(connection, one.take())
    overview = Overview(world.database, ManualClock(NOW))
    for span, points, total in ((Span.DAY, 24, 3), (Span.WEEK, 28, 5), (Span.MONTH, 28, 6)):
        series = await overview.series(app, span, endpoint)
        assert (len(series.points), series.total.delivered) == (points, total)
        assert sum(point.delivered for point in series.points) == total
        steps = {point.start.timestamp() - series.points[0].start.timestamp() for point in series.points}
        assert steps == {n * span.step * HOUR for n in range(points)}
        assert series.points[-1].delivered >= 1
    assert (await overview.series(world.new_id(), Span.DAY)).total.attempts == 0


async def test_health_is_of_the_application_s_own_endpoints(world: World) -> None:
    mine, other = await world.application(), await world.application()
    endpoint = await world.endpoint(other, "http://127.0.0.1:9/", disabled_reason="gone")
    nobody = ids.new(NOW, os.urandom(8))
    overview = Overview(world.database, world.clock)
    assert (await overview.health(other.id, [endpoint.id]))[endpoint.id].disabled_reason == "gone"
    found = await overview.health(mine.id, [endpoint.id, nobody])
    assert [one.disabled_reason for one in found.values()] == [None, None]


async def test_old_hours_are_deleted(world: World) -> None:
    app, endpoint = (await world.application()).id, world.new_id()
    one = HourlyStats()
    for day in range(5):
        one.note(app, endpoint, NOW - day * 86400, 50, None)
    async with world.database.connection() as connection:
        await hourly_stats.add(connection, one.take())
    await end(world.database, ManualClock(NOW), Retention(statistics=timedelta(days=2.5)))
    async with world.database.connection() as connection:
        assert len(await hourly_stats.hours(connection, app, endpoint, datetime_at(0))) == 3
