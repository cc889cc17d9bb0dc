"""What the benchmark of counting leaves out of the hot statements."""

from __future__ import annotations

import pytest

from angarium.store.sql import queries
from bench.counting import uncounted


@pytest.mark.parametrize("name", ["accept", "complete"])
def test_exactly_the_part_that_counts_is_left_out(name: str) -> None:
    sql = getattr(queries, name).sql
    short, times = uncounted(sql)
    assert times == 1
    assert sql.count("usage_entry") == 1
    assert "usage_entry" not in short
    assert sql.count("insert into") == short.count("insert into") + 1
