"""Opens stores and inboxes by kind and address, in tests and in the processes that they start.

    python -m tests.receiver.place work|hang <kind address> <file>

reads ids from standard input, one per line, and sends each to a Receiver as a signed request until the
response is 200. The handler writes the id to the file and, for `hang`, never returns.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from angarium.receiver import (
    DbApiInbox,
    DbApiStore,
    Event,
    Inbox,
    MemoryStore,
    Receiver,
    RedisStore,
    SqlAlchemyInbox,
    SqlAlchemyStore,
    SqliteInbox,
    SqliteStore,
    Store,
)
from angarium.testing import sign
from tests.kit.patience import wait_until

if TYPE_CHECKING:
    import sqlalchemy

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SHARED = ["sqlite", "psycopg", "sqlalchemy-sqlite", "sqlalchemy-psycopg", "redis", "django"]
"""Kinds that several processes can share."""
ENOUGH = ["sqlite", "psycopg", "sqlalchemy-psycopg", "redis", "django"]
"""Kinds that differ in how processes share them."""
INBOXES = ["sqlite", "psycopg", "sqlalchemy-sqlite"]


def create(place: str, stack: contextlib.ExitStack) -> None:
    """Create the tables unless opening does, and empty a database that tests share."""
    if place.startswith("redis"):
        import redis

        with contextlib.closing(redis.Redis.from_url(place.partition(" ")[2])) as client:
            client.flushall()
    if place.startswith("django"):
        from tests.receiver.django_project import migrate

        migrate(place.partition(" ")[2])
        return
    for made in (
        open_store(place, stack),
        *([] if "redis" in place or "memory" in place else [open_inbox(place, stack)]),
    ):
        if isinstance(made, DbApiStore | DbApiInbox):
            made.create()


def open_store(place: str, stack: contextlib.ExitStack) -> Store:
    kind, _, address = place.partition(" ")
    if kind == "sqlite":
        return SqliteStore(address)
    if kind == "psycopg":
        import psycopg

        return DbApiStore(psycopg, lambda: psycopg.connect(address))
    if kind.startswith("sqlalchemy"):
        return SqlAlchemyStore(_engine(kind, address, stack))
    if kind == "redis":
        import redis

        client = stack.enter_context(contextlib.closing(redis.Redis.from_url(address)))
        return RedisStore(client)
    if kind == "django":
        from tests.receiver.django_project import use

        use(address, stack)
        from angarium.receiver.django.store import DjangoStore

        return DjangoStore()
    return MemoryStore()


def open_inbox(place: str, stack: contextlib.ExitStack) -> Inbox:
    kind, _, address = place.partition(" ")
    if kind == "sqlite":
        return SqliteInbox(address)
    if kind == "psycopg":
        import psycopg

        return DbApiInbox(psycopg, lambda: psycopg.connect(address))
    return SqlAlchemyInbox(_engine(kind, address, stack))


def _engine(kind: str, address: str, stack: contextlib.ExitStack) -> sqlalchemy.Engine:
    import sqlalchemy

    if kind.endswith("sqlite"):
        engine = sqlalchemy.create_engine(f"sqlite:///{address}", connect_args={"timeout": 10})
    else:
        import psycopg

        engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(address))
    stack.callback(engine.dispose)
    return engine


def let_pass(place: str, seconds: float) -> None:
    """Shorten the lifetime of Redis's keys: tests cannot change its clock."""
    if place.startswith("redis"):
        import redis

        client: Any = redis.Redis.from_url(place.partition(" ")[2])
        with contextlib.closing(client):
            for key in client.scan_iter():
                if (left := client.pttl(key)) > 0:
                    client.pexpire(key, max(1, left - round(seconds * 1000)))


def main(what: str, place: str, file: str) -> None:
    with contextlib.ExitStack() as stack:
        receiver = Receiver("standard", SECRET, store=open_store(place, stack))

        @receiver.default
        def handler(event: Event[dict[str, str]]) -> None:
            note(file, event.id)
            if what == "hang":
                sys.stdout.write("inside\n")
                sys.stdout.flush()
                time.sleep(600)

        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for line in sys.stdin:
            post_until_done(receiver, line.strip())


def post_until_done(receiver: Receiver, event_id: str) -> None:
    headers = sign(b"{}", SECRET, id=event_id)
    wait_until(lambda: receiver.handle(b"{}", headers).status == 200)


def note(file: str | Path, text: str) -> None:
    """Append a line in one write, so that lines of several processes do not mix."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{text}\n".encode())
    os.close(handle)


if __name__ == "__main__":
    main(*sys.argv[1:])
