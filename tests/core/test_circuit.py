"""The circuit's pauses: none before ten failures in a row, then longer and longer, up to a limit."""

from __future__ import annotations

from angarium.core.circuit import FIRST, LONGEST, THRESHOLD, Circuit, Phase

NOW = 1_800_000_000.0


def opened(circuit: Circuit, now: float = NOW) -> Circuit:
    for _ in range(THRESHOLD):
        circuit.failed(now)
    return circuit


def test_fewer_failures_than_the_threshold_leave_it_closed() -> None:
    circuit = Circuit()
    for _ in range(THRESHOLD - 1):
        circuit.failed(NOW)
    assert circuit.phase(NOW) is Phase.CLOSED
    assert circuit.free_at() == 0.0


def test_it_opens_at_the_threshold_and_allows_a_probe_when_the_pause_is_over() -> None:
    circuit = opened(Circuit())
    assert circuit.free_at() == NOW + FIRST
    assert circuit.phase(NOW + FIRST / 2) is Phase.OPEN
    assert circuit.phase(NOW + FIRST) is Phase.HALF_OPEN


def test_each_failed_probe_doubles_the_pause_up_to_the_longest() -> None:
    circuit, now, pauses = opened(Circuit()), NOW, []
    for _ in range(40):
        pauses.append(circuit.free_at() - now)
        now = circuit.free_at()
        circuit.failed(now)
    assert pauses[:6] == [FIRST * 2.0**n for n in range(6)]
    assert set(pauses[6:]) == {LONGEST}


def test_failures_of_requests_that_were_under_way_when_it_opened_do_not_prolong_the_pause() -> None:
    circuit = opened(Circuit())
    for _ in range(5):
        circuit.failed(NOW + FIRST / 2)
    assert circuit.free_at() == NOW + FIRST
    circuit.failed(NOW + FIRST)
    assert circuit.free_at() == NOW + FIRST + 2 * FIRST


def test_a_success_closes_it_and_the_next_pause_is_short_again() -> None:
    circuit = opened(Circuit())
    for _ in range(6):
        circuit.failed(circuit.free_at())
    circuit.succeeded()
    assert circuit.phase(NOW) is Phase.CLOSED
    later = NOW + 3600
    assert opened(circuit, later).free_at() == later + FIRST
