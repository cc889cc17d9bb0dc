from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import asyncpg
import pytest

from angarium.core.errors import SettingsError
from angarium.store import postmaster
from angarium.store.embedded import EmbeddedPostgres
from angarium.store.postmaster import Account, Postmaster
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


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def owner(path: Path) -> int:
    return path.stat().st_uid


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


async def test_a_postgresql_left_by_a_killed_process_is_used_and_then_stopped(directory: Path) -> None:
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


async def test_a_path_too_long_for_a_socket_gets_a_private_directory_for_it(directory: Path) -> None:
    postgres = await EmbeddedPostgres.start(directory / ("d" * 60) / ("e" * 60), durable=False)
    place = Path(unquote(postgres.url().partition("host=")[2]))
    assert not place.is_relative_to(directory)
    assert mode(place) == 0o700
    assert owner(place) == owner(Path(f"/proc/{postgres.pid}"))
    assert await one(postgres) == 1
    await postgres.stop()
    assert not await asyncio.to_thread(place.exists)


async def test_the_mode_of_no_other_directory_is_changed(directory: Path) -> None:
    data = directory / "closed" / "home" / "data"
    for closed in (data.parent.parent, data.parent):
        await asyncio.to_thread(closed.mkdir, mode=0o700)
    before = {path: (mode(path), owner(path)) for path in data.parents}
    for _ in range(2):  # a new cluster, and one that is there
        postgres = await EmbeddedPostgres.start(data, durable=False)
        assert await one(postgres) == 1
        assert mode(data / "postgres") == 0o700
        assert {path: (mode(path), owner(path)) for path in before} == before
        await postgres.stop()
    assert {path: (mode(path), owner(path)) for path in before} == before


def test_programs_in_a_closed_directory_are_copied_for_the_user_that_runs_them(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = directory / "closed" / "pginstall18"
    for name, kind in (("bin/postgres", 0o700), ("bin/initdb", 0o700), ("share/postgres.bki", 0o600)):
        file = install / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
        file.chmod(kind)
    install.parent.chmod(0o700)
    monkeypatch.setattr(postmaster, "_installed", lambda _: install / "bin")
    monkeypatch.setattr(postmaster, "_account", lambda: Account(os.geteuid() + 1, os.getegid() + 1))
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setattr(postmaster, "COPIES", directory / "copies")
    for _ in range(2):
        programs = Postmaster.of(directory / "postgres").programs
        assert programs.is_relative_to(directory / "copies")
        assert [mode(programs / name) for name in ("postgres", "initdb")] == [0o755, 0o755]
        assert mode(programs.parent / "share" / "postgres.bki") == 0o644
        assert [mode(place) for place in (programs, *programs.parents[:3])] == [0o755] * 4
        assert [one.name for one in programs.parent.parent.iterdir()] == ["pginstall18"]
    assert mode(install.parent) == 0o700


def test_without_a_user_to_run_as_the_error_says_what_to_do(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(postmaster, "USER", "nobody-has-this-name")
    monkeypatch.setenv("PATH", str(directory))
    with pytest.raises(SettingsError, match="useradd --system nobody-has-this-name") as refused:
        Postmaster.of(directory / "postgres")
    assert "ANGARIUM_DATABASE_URL" in refused.value.detail
    assert not (directory / "postgres").exists()


async def test_commits_are_durable_unless_a_test_says_otherwise(directory: Path) -> None:
    postgres = await EmbeddedPostgres.start(directory)
    connection = await asyncpg.connect(postgres.url())
    for option, value in (("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")):
        assert await connection.fetchval(f"show {option}") == value
    assert int(await connection.fetchval("show max_connections")) >= 100
    await connection.close()
    await postgres.stop()
