"""The attempts of an organization, gone through one after another in virtual time."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from tests.kit.clock import ManualClock
from tests.kit.patience import until
from tests.kit.world import ORG, World


@dataclass(kw_only=True)
class Attempts:
    """What is recorded, and how far a test has gone through it.

    A first attempt is made as soon as its message is accepted, perhaps before the test looks: going to the
    next attempt therefore counts from the last one seen, not from what is recorded by then.
    """

    world: World
    org_id: str = ORG
    only: UUID | None = None  # the application whose attempts alone are counted
    seen: int = 0

    @property
    def clock(self) -> ManualClock:
        assert isinstance(self.world.clock, ManualClock)
        return self.world.clock

    async def attempts(self) -> int:
        """How many are recorded."""
        return (await self._recorded_and_due())[0]

    async def until_attempts(self, count: int) -> None:
        """Wait until as many are recorded; they count as seen."""

        async def recorded() -> bool:
            return await self.attempts() >= count

        await until(recorded)
        self.seen = max(self.seen, count)

    async def to_next_attempt(self) -> float | None:
        """Go to the next attempt and wait until it is recorded. Returns its time, or None if none is
        pending."""
        recorded, due = await self._recorded_and_due()
        if recorded == self.seen:
            if due is None:
                return None
            if due > self.clock.now():
                await self.clock.advance_to(due - 0.001)
                assert await self.attempts() == self.seen, "an attempt came early"
                await self.clock.advance_to(due)
        await self.until_attempts(self.seen + 1)
        return self.clock.now()

    async def schedule(self) -> list[float]:
        """Go through time until nothing is pending any more. Returns the times of the attempts."""
        times = []
        while (at := await self.to_next_attempt()) is not None:
            times.append(at)
        return times

    async def _recorded_and_due(self) -> tuple[int, float | None]:
        """How many attempts there are, and when the next is due; both of one moment."""
        ((recorded, due),) = await self.world.fetch(
            "with ours as (select id from application where org_id = $1 and id = coalesce($2, id))"
            " select (select count(*) from attempt where status is not null"
            " and app_id in (select id from ours)),"
            " (select min(due_at) from delivery where app_id in (select id from ours))",
            self.org_id,
            self.only,
        )
        return recorded, due and due.timestamp()
