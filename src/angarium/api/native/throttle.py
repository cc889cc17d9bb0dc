"""Reads a rate limit by its two names: `throttleRate` and the older `rateLimit`."""

from __future__ import annotations

from pydantic import Field

from angarium.api.body import Wire
from angarium.api.field import OLD, Rate


class ThrottledWire(Wire):
    """A body with a rate limit. Of two names the newer wins."""

    throttle_rate: Rate | None = None
    """Deliveries per second to one endpoint. An endpoint without a limit uses that of its application."""
    rate_limit: Rate | None = Field(None, json_schema_extra=OLD)
    """The older name of `throttleRate`."""

    @property
    def throttle_given(self) -> bool:
        return self.given("throttle_rate") or self.given("rate_limit")

    @property
    def throttle(self) -> int | None:
        return self.throttle_rate if self.given("throttle_rate") else self.rate_limit
