"""Combines the snapshots of several processes into one, by the rule of each metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.registry import Across, Family, Labels, MetricType, Snapshot

_RULES: Final = {Across.MAX: max, Across.MIN: min}


def combined(snapshots: Mapping[str, Snapshot], ended: Iterable[Snapshot] = ()) -> Snapshot:
    """One snapshot of processes by name, and of the counters of processes that have ended."""
    values: dict[str, dict[Labels, list[float]]] = {}
    for process, snapshot in snapshots.items():
        _add(values, snapshot, (process,))
    for snapshot in ended:
        _add(values, snapshot, None)
    return {name: list(series.items()) for name, series in values.items()}


def counters(snapshot: Snapshot) -> Snapshot:
    """What remains of a combined snapshot when its process ends: counters and histograms."""
    return {name: series for name, series in snapshot.items() if CATALOGUE[name].kind is not MetricType.GAUGE}


def _add(values: dict[str, dict[Labels, list[float]]], snapshot: Snapshot, process: Labels | None) -> None:
    for name, series in snapshot.items():
        family = CATALOGUE[name]
        into = values.setdefault(name, {})
        suffix = process or () if family.across is Across.EACH else ()
        for labels, value in series:
            key = (*labels, *suffix)
            before = into.get(key)
            into[key] = value if before is None else _both(family, before, value)


def _both(family: Family, one: list[float], other: list[float]) -> list[float]:
    rule = _RULES.get(family.across)
    if rule is not None:
        return [rule(one[0], other[0])]
    return [a + b for a, b in zip(one, other, strict=True)]
