"""Lists all metrics. `docs/metrics.md` is made of this list."""

from __future__ import annotations

from typing import Final

from angarium.telemetry.registry import Across, Family, Kind

_FAMILIES: Final = (
    Family(
        "build_info",
        Kind.GAUGE,
        "Always 1. The labels tell which release runs, and in which role.",
        ("version", "role"),
        across=Across.MAX,
    ),
)
CATALOGUE: Final = {family.name: family for family in _FAMILIES}
