"""Every store with its real database: an event is handled once, and again after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from angarium.receiver import Claim, Key, Receiver, SqlAlchemyStore, SqliteStore, Store
from angarium.testing import sign
from tests.kit.patience import PATIENCE, wait_until
from tests.receiver import place

ROOT = Path(__file__).parents[2]
every = pytest.mark.parametrize("stored", ["memory", *place.SHARED], indirect=True)
shared = pytest.mark.parametrize("stored", place.ENOUGH, indirect=True)
KEY = Key("shop", "msg_1")


@every
def test_a_claim_is_taken_then_held_then_done_and_separate_from_others(store: Store) -> None:
    now = time.time()
    assert store.claim(KEY, "a", lease=60, now=now) is Claim.TAKEN
    assert store.claim(KEY, "b", lease=60, now=now) is Claim.HELD
    assert store.claim(Key("shop", "msg_2"), "b", lease=60, now=now) is Claim.TAKEN
    assert store.claim(Key("bank", "msg_1"), "b", lease=60, now=now) is Claim.TAKEN
    store.done(KEY, "a", ttl=60, now=now)
    assert store.claim(KEY, "b", lease=60, now=now) is Claim.DONE
    store.release(KEY, "a")  # no effect: it is done
    assert store.claim(KEY, "b", lease=60, now=now) is Claim.DONE


@every
def test_only_its_holder_can_release_a_claim(store: Store) -> None:
    now = time.time()
    assert store.claim(KEY, "a", lease=60, now=now) is Claim.TAKEN
    store.release(KEY, "b")
    assert store.claim(KEY, "b", lease=60, now=now) is Claim.HELD
    store.release(KEY, "a")
    assert store.claim(KEY, "b", lease=60, now=now) is Claim.TAKEN


@every
def test_leases_end_and_done_events_are_forgotten(store: Store) -> None:
    assert store.claim(KEY, "a", lease=0.05, now=time.time()) is Claim.TAKEN
    wait_until(lambda: store.claim(KEY, "b", lease=60, now=time.time()) is Claim.TAKEN)
    store.release(KEY, "a")  # no effect: another token holds the claim
    assert store.claim(KEY, "c", lease=60, now=time.time()) is Claim.HELD
    store.done(KEY, "a", ttl=0.05, now=time.time())  # ends the claim of any holder
    wait_until(lambda: store.claim(KEY, "c", lease=60, now=time.time()) is Claim.TAKEN)
    store.done(Key("shop", "never claimed"), "a", ttl=60, now=time.time())
    assert store.claim(Key("shop", "never claimed"), "c", lease=60, now=time.time()) is Claim.DONE


@every
def test_the_time_of_a_resource_only_advances(store: Store) -> None:
    now = 1_750_000_000.000001
    assert [store.advance(KEY, now + step, ttl=60, now=now) for step in (1, 3, 2, 3)] == [
        True,
        True,
        False,
        True,
    ]
    assert store.advance(Key("shop", "another"), now, ttl=60, now=now)
    assert not store.advance(KEY, now + 2.999999, ttl=60, now=now)


@every
async def test_a_store_works_in_an_event_loop(store: Store) -> None:
    now = time.time()
    claims = await asyncio.gather(*(store.aclaim(KEY, str(n), lease=60, now=now) for n in range(6)))
    assert Counter(claims) == {Claim.TAKEN: 1, Claim.HELD: 5}
    await store.arelease(KEY, str(claims.index(Claim.TAKEN)))
    assert await store.aclaim(KEY, "b", lease=60, now=now) is Claim.TAKEN
    await store.adone(KEY, "b", ttl=60, now=now)
    assert await store.aclaim(KEY, "c", lease=60, now=now) is Claim.DONE
    assert await store.aadvance(KEY, 5, ttl=60, now=now)
    assert not await store.aadvance(KEY, 4, ttl=60, now=now)


@every
def test_threads_with_the_same_events_handle_each_once(store: Store, stored: str) -> None:
    receiver, start = Receiver("standard", place.SECRET, store=store), threading.Barrier(6)
    ran: list[str] = []
    receiver.default(lambda event: ran.append(event.id))

    def work() -> None:
        start.wait()
        for number in range(8):
            place.post_until_done(receiver, f"msg_{number}")
        if stored.startswith("django"):
            from django.db import connections

            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == [f"msg_{number}" for number in range(8)]


@contextlib.contextmanager
def process(what: str, stored: str, file: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.receiver.place", what, stored, str(file)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def says(started: subprocess.Popen[str], line: str) -> None:
    assert started.stdout
    assert started.stdout.readline().strip() == line


@shared
def test_processes_with_the_same_events_handle_each_once(store: Store, stored: str, tmp_path: Path) -> None:
    events = [f"msg_{number}" for number in range(6)]
    with process("work", stored, tmp_path / "ran") as one, process("work", stored, tmp_path / "ran") as two:
        both = (one, two)
        for started in both:
            says(started, "ready")
        for started in both:
            assert started.stdin
            started.stdin.write("\n".join(events) + "\n")
            started.stdin.close()
        assert [started.wait(PATIENCE) for started in both] == [0, 0]
    assert sorted((tmp_path / "ran").read_text().split()) == sorted(events)


@shared
def test_an_event_whose_process_was_killed_in_the_handler_is_handled_again_after_the_lease(
    store: Store, stored: str, tmp_path: Path
) -> None:
    ran: list[str] = []
    ahead = [0.0]
    receiver = Receiver("standard", place.SECRET, store=store, clock=lambda: time.time() + ahead[0])
    receiver.default(lambda event: ran.append(event.id))
    headers = sign(b"{}", place.SECRET, id="msg_1")
    with process("hang", stored, tmp_path / "ran") as started:
        says(started, "ready")
        assert started.stdin
        started.stdin.write("msg_1\n")
        started.stdin.flush()
        says(started, "inside")
        started.kill()
        started.wait(PATIENCE)
        assert receiver.handle(b"{}", headers).status == 503
    ahead[0] = 61
    place.let_pass(stored, ahead[0])
    wait_until(lambda: receiver.handle(b"{}", headers).status == 200)
    assert receiver.handle(b"{}", headers).status == 200
    assert (ran, (tmp_path / "ran").read_text()) == (["msg_1"], "msg_1\n")


def test_several_threads_may_create_the_same_file_at_once(tmp_path: Path) -> None:
    start, failed = threading.Barrier(4), []

    def make(number: int) -> None:
        start.wait()
        try:
            SqliteStore(tmp_path / f"{number}.db")
        except sqlite3.Error as error:
            failed.append(error)

    for number in range(25):
        threads = [threading.Thread(target=make, args=[number]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed


@pytest.mark.parametrize("stored", ["sqlite", "django"], indirect=True)
def test_expired_rows_are_deleted(store: Store, stored: str) -> None:
    now = time.time()
    store.claim(KEY, "a", lease=10, now=now)
    store.done(KEY, "a", ttl=10, now=now)
    store.advance(KEY, now, ttl=10, now=now)
    for number in range(499):  # the last of them prunes
        store.claim(Key("shop", str(number)), "a", lease=100, now=now + 20)
    assert rows(stored) == (499, 0)


def rows(stored: str) -> tuple[int, ...]:
    names = ("angarium_claim", "angarium_mark")
    if stored.startswith("django"):
        from django.db import connection

        names = ("angarium_receiver_claim", "angarium_receiver_mark")
        with connection.cursor() as cursor:
            return tuple(cursor.execute(f"select count(*) from {name}").fetchone()[0] for name in names)
    with contextlib.ExitStack() as stack:
        opened = place.open_store(stored, stack)
        database = opened._database  # type: ignore[attr-defined]
        return tuple(database.rows(f"select count(*) from {name}")[0][0] for name in names)


def test_an_in_memory_sqlite_database_is_refused() -> None:
    with pytest.raises(ValueError, match="file"):
        SqliteStore(":memory:")


def test_an_asynchronous_engine_is_refused() -> None:
    from sqlalchemy import create_engine

    with pytest.raises(TypeError, match="synchronous"):
        SqlAlchemyStore(create_engine("postgresql+asyncpg://"))
