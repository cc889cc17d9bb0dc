"""What our headings make of a file of queries."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from angarium.store.sql import expanded, parts_of, queries, walk

FILE = """\
-- What the file is for.

-- part: wanted
-- some of them
and size > 1
and name = :name

-- part: listed
from thing where org_id = :org_id
  -- include: wanted

-- walk: thing_page
select id, description
-- include: listed
order by size desc, id desc limit :limit;

-- name: thing_count$
select count(*) from (
    -- include: listed
) wanted;
"""


def test_parts_are_included_and_a_walk_has_two_directions() -> None:
    page = """\
select id, description
from thing where org_id = :org_id
  -- some of them
  and size > 1
  and name = :name
"""
    down = f"-- name: thing_page_down\n{page}order by size desc, id desc limit :limit;\n\n"
    up = f"-- name: thing_page_up\n{page}order by size, id limit :limit;\n\n"
    count = """\
-- name: thing_count$
select count(*) from (
    from thing where org_id = :org_id
      -- some of them
      and size > 1
      and name = :name
) wanted;
"""
    assert expanded(FILE) == down + up + count


def test_shared_parts_are_found_and_own_parts_come_first() -> None:
    shared = parts_of("-- part: mine\nname = :name\n\n-- part: whose\nwhere\n  -- include: mine\n")
    assert shared == {"mine": "name = :name", "whose": "where\n  name = :name"}
    query = "-- name: thing$\nselect count(*) from thing\n-- include: whose\n-- include: mine\n"
    assert expanded(query, shared).endswith("from thing\nwhere\n  name = :name\nname = :name\n")
    assert expanded(f"-- part: mine\nsize > 1\n\n{query}", shared).endswith("name = :name\nsize > 1\n")


def test_an_include_may_give_values_for_names_in_the_part() -> None:
    text = (
        "-- part: oldest\nselect 1 from {table} where {rows} limit 1;\n\n"
        "-- name: oldest_thing\n-- include: oldest table=section.thing rows=size <= :size and name = :name\n"
    )
    assert expanded(text) == (
        "-- name: oldest_thing\nselect 1 from section.thing where size <= :size and name = :name limit 1;\n"
    )


def test_an_unknown_part_is_an_error() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        expanded("-- name: broken\nselect 1\n-- include: nowhere\n")


def test_every_walk_has_two_directions_and_all_includes_are_replaced() -> None:
    ways = [name.removesuffix("_up") for name in queries.available_queries if name.endswith("_up")]
    assert ways
    for name in ways:
        assert walk(name, upwards=True).sql != walk(name, upwards=False).sql
    for name in queries.available_queries:
        assert "-- include" not in getattr(queries, name).sql


def test_each_advisory_lock_has_a_key_of_its_own() -> None:
    """Two purposes with one key wait for each other."""
    folder = Path(str(files("angarium.store"))) / "queries"
    text = "".join(one.read_text() for one in sorted(folder.glob("*.sql")))
    taken = re.findall(r"pg_(?:try_)?advisory_(?:xact_)?lock(?:_shared)?\(([^)]*)\)", text)
    assert len(taken) == len(set(taken)) >= 4
