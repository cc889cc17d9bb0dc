"""Describes to customers a fault on our side that holds up a delivery."""

from __future__ import annotations

from typing import Any

from angarium.api.field import wire_time
from angarium.clock import datetime_at
from angarium.core.failure import title_of
from angarium.core.overdue import Hold


def our_fault_out(hold: Hold | None) -> dict[str, Any] | None:
    """`OurFaultOut`, or None while there is no fault."""
    if hold is None:
        return None
    return {"code": hold.code, "title": title_of(hold.code), "since": wire_time(datetime_at(hold.since))}
