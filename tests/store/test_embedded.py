from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from angarium.core.errors import SettingsError
from angarium.store.embedded import EmbeddedPostgres
from tests.kit.process import runs

START_AND_DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from angarium.store.embedded import EmbeddedPostgres

async def main():
    postgres = await EmbeddedPostgres.start(Path(sys.argv[1]), durable=False)
    print(postgres.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def one(postgres: EmbeddedPostgres) -> object:
    connection = await asyncpg.connect(postgres.url())
    try:
        return await connection.fetchval("select 1")
    finally:
        await connection.close()


async def test_it_starts_in_an_empty_directory_keeps_its_data_and_stops(directory: Path) -> None:
    directory = directory / "new" / "data"
    postgres = await EmbeddedPostgres.start(directory, durable=False)
    connection = await asyncpg.connect(postgres.url())
    await connection.execute("create table kept (what text)")
    await connection.close()
    pid = postgres.pid
    await postgres.stop()
    assert not runs(pid)

    postgres = await EmbeddedPostgres.start(directory, durable=False)
    connection = await asyncpg.connect(postgres.url())
    assert await connection.fetchval("select count(*) from kept") == 0
    await connection.close()
    await postgres.stop()


async def test_a_second_start_on_the_directory_is_refused_and_names_the_first(directory: Path) -> None:
    postgres = await EmbeddedPostgres.start(directory, durable=False)
    try:
        with pytest.raises(SettingsError) as refused:
            await EmbeddedPostgres.start(directory, durable=False)
        expected = f"another Angarium (pid {os.getpid()}) already uses the data directory {directory}"
        assert refused.value.detail == expected
        assert await one(postgres) == 1
    finally:
        await postgres.stop()


async def test_what_a_killed_process_left_running_is_adopted_and_then_stopped(directory: Path) -> None:
    killed = subprocess.run(  # noqa: ASYNC221
        [sys.executable, "-c", START_AND_DIE, str(directory)], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = int(killed.stdout)
    assert runs(left)

    postgres = await EmbeddedPostgres.start(directory, durable=False)
    assert postgres.pid == left
    assert await one(postgres) == 1
    await postgres.stop()
    assert not runs(left)


async def test_a_pid_file_from_before_a_reboot_does_not_stop_it_from_starting(directory: Path) -> None:
    postgres = await EmbeddedPostgres.start(directory, durable=False)
    stale = (directory / "postgres" / "postmaster.pid").read_text().splitlines()
    await postgres.stop()
    # the pid now belongs to a process that is no PostgreSQL
    (directory / "postgres" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *stale[1:]]) + "\n")

    postgres = await EmbeddedPostgres.start(directory, durable=False)
    assert postgres.pid != os.getpid()
    assert await one(postgres) == 1
    await postgres.stop()


async def test_a_path_too_long_for_a_socket_works(directory: Path) -> None:
    postgres = await EmbeddedPostgres.start(directory / ("d" * 60) / ("e" * 60), durable=False)
    assert await one(postgres) == 1
    await postgres.stop()


async def test_commits_are_durable_unless_a_test_says_otherwise(directory: Path) -> None:
    postgres = await EmbeddedPostgres.start(directory)
    connection = await asyncpg.connect(postgres.url())
    for option, value in (("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")):
        assert await connection.fetchval(f"show {option}") == value
    assert int(await connection.fetchval("show max_connections")) >= 100
    await connection.close()
    await postgres.stop()
