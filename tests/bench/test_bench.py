from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import delay, growth, ledger, payload, plan, report, stage, target
from bench.ceiling import ceiling
from bench.fixed_rate import FixedRate, Kept
from bench.growth import Growth, Shape
from bench.program import NoProgramError, ensure
from bench.rate import CASES, CEILINGS, SINGLE, Rate, same_kind, table
from bench.table import Table, ratio
from bench.usage import cpu_seconds, family, megabytes, wakes


def rate(per_second: float) -> Rate:
    return Rate(SINGLE, 1000, per_second, per_second, 0.1, (5.0, 9.0), 1.0)


async def test_a_load_at_a_fixed_rate_arrives_completely_and_is_timed(directory: Path) -> None:
    async with (
        delay.stopwatch(directory) as receiver,
        ceiling(directory, receiver) as url,
        aiohttp.ClientSession() as session,
    ):
        sent = await delay.kept(FixedRate(url, "/msg", "none", rate=200, seconds=0.5))
        found = await delay.delays(session, receiver, 100)
    assert (sent.accepted, sent.refused, len(found)) == (100, 0, 100)
    assert found == sorted(found)
    assert 0 < found[0] < 60_000


async def test_the_ceiling_forwards_each_message_of_a_batch_to_each_target(directory: Path) -> None:
    async with (
        delay.stopwatch(directory) as receiver,
        ceiling(directory, receiver, fan_out=2) as url,
        aiohttp.ClientSession() as session,
    ):
        body = {"messages": [{"eventType": "a", "payload": {"t": "0"}} for _ in range(3)]}
        async with session.post(f"{url}/msg/batch", data=json.dumps(body, separators=(",", ":"))) as answer:
            assert answer.status == 202
        assert len(await delay.delays(session, receiver, 6)) == 6


async def test_a_load_that_is_refused_ends_the_measure(directory: Path) -> None:
    async with delay.stopwatch(directory) as receiver:
        with pytest.raises(RuntimeError, match="refused"):
            await delay.kept(FixedRate(receiver, "/?no=202", "none", rate=10, seconds=0.2))


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.program.find", lambda _: None)
    with pytest.raises(NoProgramError, match="nginx-light"):
        ensure("nginx")


def test_ratios_come_first_and_are_to_a_ceiling_of_the_same_kind() -> None:
    made = table([rate(600)], [rate(1000)], rate(50), 60)
    assert made.rows[0][:4] == ("single", "0.60", "12.0", "600")
    assert [row[0] for row in made.rows[1:]] == ["ceiling: single", "FastAPI + Celery + Redis + requests"]
    assert [sum(same_kind(one, case) for one in CEILINGS) for case in CASES] == [
        1,
        1,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
    ]


def test_a_target_is_compared_with_the_displayed_value() -> None:
    made = target.table({target.ROWS: 4.004, target.SINGLE_RATE: 5_999.2, target.P50: 4.99})
    assert made.rows == [
        (target.SINGLE_RATE, "≥ 6,000", "5,999", "no"),
        (target.P50, "≤ 5 ms", "4.99 ms", "yes"),
        (target.ROWS, "≤ 4", "4.00", "yes"),
    ]


def test_growth_is_compared_with_what_was_measured_before_and_after() -> None:
    from bench.cost import POSTGRES, SERVER, Cost

    def cost(server: float) -> Cost:
        return Cost(rate(1), {SERVER: server, POSTGRES: 50.0})

    found = Growth(Shape("many"), [cost(80), cost(120)], Shape("one"), [cost(60), cost(40)])
    assert found.times == 1.5
    (row,) = growth.table([found]).rows
    assert row[:3] == ("many", "1.50", "150")
    assert row[-1] == "one: 100 µs"


def test_tables_become_markdown_with_numbers_to_the_right() -> None:
    made = Table("Sizes", ("what", "MB"), note="All of it.")
    made.add("a | b", "1")
    assert made.markdown() == "### Sizes\n\n| what | MB |\n|---|---:|\n| a \\| b | 1 |\n\nAll of it.\n"
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        made.add("alone")


def test_a_run_replaces_the_tables_of_both_pages_and_nothing_else(tmp_path: Path) -> None:
    for name in ("performance.md", "planning.md"):
        (tmp_path / name).write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    results, plans = Table("Results", ("what",)), Table("Plans", ("what",))
    written = tmp_path / "run.md"
    written.write_text(report.text("A machine.\n", [results], [plans]))
    report.main(written, tmp_path)
    for name, title in (("performance.md", "Results"), ("planning.md", "Plans")):
        text = (tmp_path / name).read_text()
        assert text.startswith("before\n") and text.endswith("after\n")  # noqa: PT018
        assert ("old" in text, "A machine." in text) == (False, True)
        assert [line for line in text.splitlines() if line.startswith("###")] == [f"### {title}"]


@pytest.mark.parametrize("page", ["performance.md", "planning.md"])
def test_the_pages_have_a_place_for_tables(page: str) -> None:
    assert "here" in report.pasted((report.DOCS / page).read_text(), "here")
    with pytest.raises(ValueError, match="lacks"):
        report.pasted("no marks", "here")


def test_a_sample_belongs_to_the_innermost_frame_with_a_stage() -> None:
    uvicorn = "run_asgi (uvicorn/protocols/http/httptools_impl.py:416)"
    accept = "accept (angarium/store/accept.py:80)"
    sign = "sign (angarium/core/signature.py:30)"
    send = "attempt (angarium/dispatch/request_builder.py:50)"
    assert stage.stage_of([uvicorn, accept]) == "database"
    assert stage.stage_of([uvicorn, sign]) == "intake"
    assert stage.stage_of([uvicorn, send, sign]) == "send"
    assert stage.stage_of(["run (asyncio/runners.py:190)"]) == stage.STAGES[-1]
    found = stage.shares(f"{uvicorn};{accept} 3\n{send} 1\n")
    assert (found["database"], found["send"], sum(found.values())) == (0.75, 0.25, 1.0)


def test_statements_of_the_log_have_the_names_of_the_queries() -> None:
    log = [
        "2026-11-21 LOG:  execute __asyncpg_stmt_3__: with item as materialized (\n",
        "\t    select *\n",
        "2026-11-21 LOG:  statement: BEGIN;\n",
        "2026-11-21 LOG:  checkpoint starting\n",
    ]
    assert list(ledger.statements(log)) == ["with item as materialized (\n\t    select *", "BEGIN;"]
    assert ledger.key("select a\n-- why\nfrom b where c = $1::text[];") == ledger.key(
        "select a from b where c = :c::text[]"
    )
    assert {"accept", "complete", "load_free", "load_fifo"} <= set(ledger.names().values())


def test_what_a_rate_needs_follows_from_what_a_delivery_costs() -> None:
    found = plan.need(100_000, plan.Unit(server=150, postgres=60, wal=3000, disk=1000, commits=2), days=10)
    assert found.processes == pytest.approx(25)
    assert found.postgres_cores == pytest.approx(10)
    assert found.wal_megabytes == pytest.approx(300)
    assert found.terabytes == pytest.approx(86.4)
    assert found.hours_to_freeze == pytest.approx(27.8, abs=0.1)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_quantile_is_the_smallest_value_with_that_share_at_or_below(
    values: list[float], share: float
) -> None:
    ordered = sorted(values)
    found = delay.quantile(ordered, share)
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9


@given(st.integers(60, 30_000))
def test_payloads_are_json_of_the_requested_size(size: int) -> None:
    made = f'{{"n":123456789,"lines":[{payload.lines(size)}]}}'
    assert isinstance(json.loads(made)["lines"], list)
    assert abs(len(made) - size) <= 2


def test_a_process_has_used_time_and_memory_and_has_waited() -> None:
    import os

    here = family(os.getpid())
    assert here[0] == os.getpid()
    assert cpu_seconds(here) > 0
    assert megabytes(here) > 1
    assert wakes(here) >= 0


def test_a_ratio_shows_significant_digits() -> None:
    assert [ratio(1, 3), ratio(30, 2.5), ratio(1, 0)] == ["0.33", "12.0", ""]
    assert Kept(accepted=1) == Kept(1, 0, 0)
