"""Describes whether operators' lists are read from the replica or the primary."""

from __future__ import annotations

from typing import Final

from angarium.core.replica import ReplicaTrouble
from angarium.portal.words import duration
from angarium.store.replica import ReplicaState

_WORDS: Final = {
    ReplicaTrouble.STARTING: "was not checked yet",
    ReplicaTrouble.UNREACHABLE: "does not answer",
    ReplicaTrouble.LAGGING: "is behind",
    ReplicaTrouble.PROMOTED: "is not a standby",
    ReplicaTrouble.DIVERGED: "belongs to another database or timeline",
    ReplicaTrouble.CONFLICT: "canceled a query that conflicted with replay",
    ReplicaTrouble.TOO_SLOW: "took too long",
    ReplicaTrouble.REFUSED: "refused a query",
}


def replica_sentence(state: ReplicaState) -> str:
    """One sentence."""
    lag = None if state.lag_seconds is None else duration(state.lag_seconds * 1000)
    if state.trouble is None:
        return "Lists are read from the replica" + (f", which is {lag} behind." if lag else ".")
    why = _WORDS[state.trouble]
    if state.trouble is ReplicaTrouble.LAGGING and lag:
        why = f"is {lag} behind"
    return f"Lists are read from the primary, because the replica {why}."
