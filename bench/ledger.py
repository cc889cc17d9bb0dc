"""Measures the work of a load in the database: statements, commits, bytes of WAL, and rows written.

Commits are the transaction ids that were used, so each is one that wrote something. Rows are PostgreSQL's own
counts by table. PostgreSQL logs each statement to count them. That is expensive, so it has a pass of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import angarium
from angarium.store.connection import Connection
from angarium.store.section import FIRST
from bench.child import until
from bench.service import Installation

REPORTED: Final = 11.0  # seconds after which even idle backends have told what they counted
KEY: Final = 600  # characters that tell a statement from the others
# those of partitions count as of their table
_ROWS: Final = """
select coalesce(i.inhparent, s.relid)::regclass::text as relname,
       sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint as written,
       sum(n_tup_upd)::bigint as n_tup_upd, sum(n_tup_hot_upd)::bigint as n_tup_hot_upd
from pg_stat_user_tables s
left join pg_inherits i on i.inhrelid = s.relid
group by 1
"""
_SUM: Final = "select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint from pg_stat_user_tables"
_POSITION: Final = """
select pg_current_wal_insert_lsn() - '0/0' as wal,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint as xid
"""
_BEGUN: Final = re.compile(r"LOG:  (?:execute [^:]*|statement): (.*)")
_OWN: Final = ("alter system", "select pg_reload_conf", "select exists (select from delivery")
_VALUE: Final = re.compile(r"\$\d+|(?<!:):[a-z]\w*")


@dataclass
class Entry:
    """What was counted."""

    wal_bytes: int = 0
    commits: int = 0
    written: Counter[str] = field(default_factory=Counter)  # rows, by table
    updated: int = 0  # deliveries that are retried, and of these
    hot: int = 0  # without touching an index
    statements: Counter[str] = field(default_factory=Counter)  # by name


@asynccontextmanager
async def counted(place: Installation) -> AsyncIterator[Entry]:
    """Count rows, WAL and commits of what happens inside."""
    entry = Entry()
    async with place.connection() as connection:
        await _reported(connection)
        rows = {row["relname"]: row for row in await connection.fetch(_ROWS)}
        start = await connection.fetchrow(_POSITION)
        yield entry
        end = await connection.fetchrow(_POSITION)
        entry.wal_bytes = int(end["wal"] - start["wal"])
        entry.commits = end["xid"] - start["xid"]
        await _reported(connection)
        for row in await connection.fetch(_ROWS):
            name, before = row["relname"], rows[row["relname"]]
            entry.written[name] = row["written"] - before["written"]
            if name == "retry":
                entry.updated = row["n_tup_upd"] - before["n_tup_upd"]
                entry.hot = row["n_tup_hot_upd"] - before["n_tup_hot_upd"]


async def _reported(connection: Connection) -> None:
    """Until the counts by table are complete."""
    await asyncio.sleep(REPORTED)
    last = None

    async def unchanged() -> bool:
        nonlocal last
        before, last = last, await connection.fetchval(_SUM)
        return bool(before == last)

    await until(unchanged, "PostgreSQL's counts are complete")


@asynccontextmanager
async def listed(place: Installation) -> AsyncIterator[Entry]:
    """Count the statements of what happens inside, by the names of the store's queries."""
    entry = Entry()
    logs = place.postgres.directory / "postgres/logs"
    async with place.connection() as connection:
        await connection.execute("alter system set log_parameter_max_length = 0")
        await connection.execute("alter system set log_statement = 'all'")
        await connection.execute("select pg_reload_conf()")
        await asyncio.sleep(0.5)
        before = {path: path.stat().st_size for path in logs.glob("*.log")}
        yield entry
        await connection.execute("alter system reset log_statement")
        await connection.execute("select pg_reload_conf()")
    named = names()
    for path in logs.glob("*.log"):
        with path.open(errors="replace") as file:
            file.seek(before.get(path, 0))
            for statement in statements(file):
                short = key(statement)
                if not short.startswith(_OWN):
                    entry.statements[named.get(short, short[:40])] += 1


def statements(lines: Iterable[str]) -> Iterator[str]:
    """The statements in a log of PostgreSQL; what continues one begins with a tab."""
    begun: list[str] = []
    for line in lines:
        if begun and line.startswith("\t"):
            begun.append(line)
            continue
        if begun:
            yield "".join(begun).strip()
        found = _BEGUN.search(line)
        begun = [found[1], "\n"] if found else []
    if begun:
        yield "".join(begun).strip()


def key(statement: str) -> str:
    """A statement without comments, values and line breaks, cut off where it is surely known."""
    lines = (line for line in statement.splitlines() if not line.lstrip().startswith("--"))
    return _VALUE.sub("?", " ".join(" ".join(lines).split()))[:KEY].rstrip("; ")


def names() -> dict[str, str]:
    """The store's queries by their keys."""
    found = {}
    for path in (Path(angarium.__file__).parent / "store/queries").glob("*.sql"):
        for part in FIRST.named(path.read_text()).split("-- name: ")[1:]:
            name, _, text = part.partition("\n")
            found[key(text)] = name.strip("!$^<* ")
    return found
