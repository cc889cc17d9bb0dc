"""Every committed row becomes one message, also if the forwarder is killed, and no other row does."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine, func, select, update
from sqlalchemy.pool import NullPool

from angarium.client import Angarium, Unreachable
from angarium.outbox.sqlalchemy import OutboxTable
from tests.kit.patience import PATIENCE
from tests.outbox.conftest import Served, forward

SPAN = f"00-{'1' * 32}-{'2' * 16}-01"
REPOSITORY = Path(__file__).parent.parent.parent


class Table:
    """An outbox in a database of SQLAlchemy."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_engine(url, poolclass=NullPool)
        metadata = MetaData()
        self.outbox = OutboxTable(metadata)
        metadata.create_all(self.engine)

    def add(self, count: int, application: str = "customer-1") -> None:
        for number in range(count):
            with self.engine.begin() as connection:
                connection.execute(self.outbox.insert(application, "order.filled", {"n": number}, tags=["t"]))

    def rows(self, column: str = "id") -> list[Any]:
        with self.engine.begin() as connection:
            return list(connection.scalars(select(self.outbox.table.c[column])))

    def expire_claims(self) -> None:
        """End all claims."""
        with self.engine.begin() as connection:
            connection.execute(update(self.outbox.table).values(claimed_until=0.0))


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(f"sqlite:///{tmp_path / 'business.db'}")


async def run_killed(kind: str, database: str, served: Served, kill_after: int) -> int:
    values = [kind, database, served.url, served.api.token, str(kill_after)]
    command = [sys.executable, "-m", "tests.outbox.forwarding", *values]
    done = await asyncio.to_thread(subprocess.run, command, cwd=REPOSITORY, timeout=PATIENCE, check=False)
    return done.returncode


async def test_committed_rows_are_sent_once_and_others_are_not(served: Served, table: Table) -> None:
    table.add(3)
    with table.engine.connect() as connection:
        connection.execute(table.outbox.insert("customer-1", "order.filled", {"n": 9}))
        connection.rollback()
    ids = set(table.rows())
    await asyncio.to_thread(forward, served.client, table.outbox.on(table.engine))
    assert set(await served.messages()) == ids
    assert len(ids) == 3
    assert table.rows() == []


@pytest.mark.parametrize("kill_after", [1, 7])
async def test_a_forwarder_killed_after_sending_sends_nothing_twice(
    served: Served, table: Table, kill_after: int
) -> None:
    table.add(12)
    ids = set(table.rows())
    assert await run_killed("sqlalchemy", table.url, served, kill_after) == -9
    assert len(await served.messages()) == kill_after
    assert len(table.rows()) == 12 - kill_after + 1, "the last one was sent and not noted"
    table.expire_claims()
    await asyncio.to_thread(forward, served.client, table.outbox.on(table.engine))
    sent = await served.messages()
    assert sorted(map(str, sent)) == sorted(ids)
    assert table.rows() == []


async def test_an_outbox_in_django_is_sent_once_despite_a_kill(served: Served, tmp_path: Path) -> None:
    path = str(tmp_path / "django.db")
    fill = (
        "import sys; from tests.outbox.django_site import configure; configure(sys.argv[1])\n"
        "from django.core.management import call_command; from django.db import transaction\n"
        "call_command('makemigrations', '--check', verbosity=0)\n"
        "call_command('migrate', verbosity=0)\n"
        "from angarium.outbox import django as outbox\n"
        "from angarium.outbox.django.models import DjangoOutbox\n"
        "with transaction.atomic():\n"
        "    for n in range(5): outbox.add('customer-1', 'order.filled', {'n': n}, tags=['t'])\n"
        "try:\n"
        "    with transaction.atomic():\n"
        f"        outbox.add('customer-1', 'order.filled', {{}}, traceparent='{SPAN}')\n"
        f"        assert [one.traceparent for one in DjangoOutbox().claim(9, 1)] == [None] * 5 + ['{SPAN}']\n"
        "        raise KeyError\n"
        "except KeyError: pass\n"
    )
    command = [sys.executable, "-c", fill, path]
    done = await asyncio.to_thread(subprocess.run, command, cwd=REPOSITORY, timeout=PATIENCE, check=False)
    assert done.returncode == 0
    assert await run_killed("django", path, served, 3) == -9
    with sqlite3.connect(path) as connection:  # as if the time of the claim had passed
        connection.execute("update angarium_outbox_outboxmessage set claimed_until = 0")
    connection.close()
    assert await run_killed("django", path, served, 0) == 0
    sent = await served.messages()
    assert len(sent) == len(set(sent)) == 5


async def test_two_forwarders_on_one_postgresql_share_the_work(
    served: Served, empty_database_url: str
) -> None:
    shared = Table(empty_database_url.replace("postgresql://", "postgresql+psycopg://", 1))
    shared.add(40)
    ids = set(shared.rows())
    both = [asyncio.to_thread(forward, served.client, shared.outbox.on(shared.engine)) for _ in range(2)]
    await asyncio.gather(*both)
    await asyncio.to_thread(forward, served.client, shared.outbox.on(shared.engine))
    sent = await served.messages()
    assert sorted(map(str, sent)) == sorted(ids)


async def test_a_refused_message_is_set_aside_with_the_reason(served: Served, table: Table) -> None:
    table.add(1, application="nobody")
    table.add(1)
    await asyncio.to_thread(forward, served.client, table.outbox.on(table.engine))
    assert len(await served.messages()) == 1
    (error,) = table.rows("error")
    assert "404" in error


async def test_no_row_is_lost_while_the_server_is_unavailable(table: Table) -> None:
    table.add(2)
    client = Angarium("http://127.0.0.1:1", "token", tries=1)
    with pytest.raises(Unreachable):
        await asyncio.to_thread(forward, client, table.outbox.on(table.engine))
    assert len(table.rows()) == 2
    assert table.rows("claimed_until") == [0.0, 0.0], "they are free again at once"


def test_a_payload_that_is_not_json_fails_in_the_transaction(table: Table) -> None:
    for payload in (b"{", object(), float("nan")):
        with pytest.raises((ValueError, TypeError)):
            table.outbox.insert("customer-1", "order.filled", payload)
    with table.engine.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(table.outbox.table)) == 0


DJANGO = """
import io, sys
from tests.outbox.django_site import configure

configure("django.db")
from django.conf import settings
from django.core.management import call_command
from django.db import transaction

call_command("migrate", verbosity=0)
from angarium.client import Angarium
from angarium.outbox import django as outbox

with transaction.atomic():
    for application in ("customer-2", "customer-1"):
        outbox.add(application, "order.filled", {"n": 1})
settings.ANGARIUM_MAX_BODY = 100
for payload in ({"n": "x" * 100}, b'{"n":NaN}'):
    try:
        outbox.add("customer-1", "order.filled", payload)
    except ValueError:
        continue
    sys.exit("it was taken")
call_command("forward_outbox", "--once")
said = io.StringIO()
call_command("forward_outbox", "--refused", stdout=said)
assert "customer-2  order.filled" in said.getvalue() and "404" in said.getvalue(), said.getvalue()
Angarium().call("POST", "/app", {"name": "Second", "uid": "customer-2"})
call_command("forward_outbox", "--once", "--restore", stdout=said)
assert "1 restored" in said.getvalue(), said.getvalue()
said = io.StringIO()
call_command("forward_outbox", "--refused", stdout=said)
assert said.getvalue() == "", said.getvalue()
"""


async def test_the_command_of_django_lists_and_restores_refused_messages(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGARIUM_URL", served.url)
    monkeypatch.setenv("ANGARIUM_TOKEN", served.api.token)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    command = [sys.executable, "-c", DJANGO]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=tmp_path, timeout=PATIENCE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(await served.messages()) == 1
    listed = (await served.api.get("/app/customer-2/msg"))["data"]
    assert len(listed) == 1
