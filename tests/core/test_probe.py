"""What the probes answer, from facts about a process."""

from __future__ import annotations

import msgspec
import pytest

from angarium.core.probe import (
    ADVICE,
    BEAT_LIMIT,
    BROKEN_LIMIT,
    PURPOSE,
    STUCK_LIMIT,
    Facts,
    Link,
    Probe,
    ProbeAnswer,
    StartStep,
    answer,
    answer_of_all,
)

WELL = Facts(done=frozenset(StartStep), serving=True, links=tuple(Link))


def facts(**changes: object) -> Facts:
    return msgspec.structs.replace(WELL, **changes)


def failing(found: ProbeAnswer) -> list[str]:
    return [check.name for check in found.checks if not check.ok]


@pytest.mark.parametrize("probe", Probe)
def test_a_process_that_works_passes_every_probe(probe: Probe) -> None:
    found = answer(probe, WELL)
    assert (found.ok, found.status, failing(found)) == (True, 200, [])
    assert len(found.checks) > 3


@pytest.mark.parametrize(
    ("probe", "changes", "expected"),
    [
        (Probe.STARTUP, {"done": frozenset()}, ["settings", "secrets", "schema", "connection"]),
        (Probe.STARTUP, {"done": frozenset(StartStep) - {StartStep.CONNECTION}}, ["connection"]),
        (Probe.STARTUP, {"serving": False, "links": ()}, []),
        (Probe.STARTUP, {"draining": True, "misfit": "old", "beat_age": 1e9}, []),
        (Probe.LIVENESS, {"beat_age": BEAT_LIMIT}, ["event-loop"]),
        (Probe.LIVENESS, {"beat_age": BEAT_LIMIT - 0.1}, []),
        (Probe.LIVENESS, {"ended": ("Loader",)}, ["parts"]),
        (Probe.LIVENESS, {"stuck": {Link.LOCKS: STUCK_LIMIT}}, ["locks"]),
        (Probe.LIVENESS, {"stuck": {Link.POOL: STUCK_LIMIT, Link.ENGINE: 1.0}}, ["pool"]),
        (Probe.LIVENESS, {"stuck": dict.fromkeys(Link, STUCK_LIMIT - 0.1)}, []),
        (Probe.LIVENESS, {"draining": True, "misfit": "old", "serving": False, "done": frozenset()}, []),
        (Probe.READINESS, {"serving": False}, ["started"]),
        (Probe.READINESS, {"draining": True}, ["draining"]),
        (Probe.READINESS, {"misfit": "the schema is old"}, ["schema"]),
        (Probe.READINESS, {"restore": "Held."}, []),
        (Probe.READINESS, {"stuck": {Link.POOL: BROKEN_LIMIT}}, ["pool"]),
        (Probe.READINESS, {"stuck": {Link.ENGINE: BROKEN_LIMIT}}, ["engine-pool"]),
        (Probe.READINESS, {"stuck": {Link.POOL: BROKEN_LIMIT - 0.1}}, []),
        (Probe.READINESS, {"stuck": {Link.LOCKS: 1e9}, "ended": ("Loader",), "beat_age": 1e9}, []),
    ],
)
def test_a_probe_fails_for_its_own_reasons_only(
    probe: Probe, changes: dict[str, object], expected: list[str]
) -> None:
    found = answer(probe, facts(**changes))
    assert failing(found) == expected
    assert found.status == (503 if expected else 200)


def test_connections_that_a_process_does_not_use_are_not_checked() -> None:
    found = answer(Probe.LIVENESS, facts(links=(Link.ENGINE, Link.LOCKS)))
    assert [check.name for check in found.checks] == ["event-loop", "parts", "engine-pool", "locks"]


def test_a_reason_says_for_how_long_a_connection_is_stuck() -> None:
    found = answer(Probe.READINESS, facts(stuck={Link.POOL: 61.4}))
    (reason,) = [check.reason for check in found.checks if not check.ok]
    assert reason == (
        "The pool of API requests has made no progress for 1 minute 1 second, "
        "though a fresh connection works."
    )


def test_a_supervisor_lives_while_each_of_its_children_does() -> None:
    found = answer_of_all(Probe.LIVENESS, WELL, [WELL, facts(beat_age=12.0)])
    assert [(check.name, check.process) for check in found.checks if not check.ok] == [("event-loop", 1)]
    assert not found.ok
    assert answer_of_all(Probe.LIVENESS, WELL, [WELL, WELL]).ok
    assert not answer_of_all(Probe.LIVENESS, facts(beat_age=12.0), [WELL]).ok


def test_a_supervisor_is_ready_while_one_of_its_children_is() -> None:
    found = answer_of_all(Probe.READINESS, WELL, [WELL, facts(serving=False)])
    assert found.ok
    assert found.checks[-1].reason == (
        "1 of 2 processes are ready. Process 1: The process has not started yet."
    )
    none = answer_of_all(Probe.READINESS, WELL, [facts(serving=False), facts(misfit="it is old")])
    assert failing(none) == ["processes"]
    assert failing(answer_of_all(Probe.READINESS, facts(draining=True), [WELL])) == ["draining"]


def test_readiness_says_that_a_restored_database_is_held_of_one_process_and_of_all() -> None:
    def reason(found: ProbeAnswer) -> str:
        return next(check.reason for check in found.checks if check.name == "restore")

    assert reason(answer(Probe.READINESS, WELL)) == "The database is not held after a restore."
    held = facts(restore="Nothing is sent.")
    assert reason(answer(Probe.READINESS, held)) == "Nothing is sent."
    assert reason(answer_of_all(Probe.READINESS, WELL, [WELL, held])) == "Nothing is sent."
    assert reason(answer_of_all(Probe.READINESS, held, [WELL])) == "The database is not held after a restore."


def test_a_supervisor_has_started_when_a_child_has_connected() -> None:
    own = Facts(done=frozenset(StartStep) - {StartStep.CONNECTION})
    assert failing(answer_of_all(Probe.STARTUP, own, [Facts(), Facts()])) == ["connection"]
    assert answer_of_all(Probe.STARTUP, own, [Facts(), WELL]).ok
    assert failing(answer_of_all(Probe.STARTUP, Facts(), [WELL])) == ["settings", "secrets", "schema"]


def test_every_check_has_advice_and_every_probe_a_purpose() -> None:
    names = {check.name for probe in Probe for check in answer(probe, WELL).checks}
    names |= {check.name for probe in Probe for check in answer_of_all(probe, WELL, [WELL]).checks}
    assert names == set(ADVICE)
    assert set(PURPOSE) == set(Probe)


def test_facts_survive_the_way_to_the_supervisor() -> None:
    sent = facts(stuck={Link.POOL: 3.0}, ended=("Loader",), misfit="it is old", restore="Held.")
    assert msgspec.json.decode(msgspec.json.encode(sent), type=Facts) == sent
