"""Alerts to people, from the commit that causes them to a real mail server, in virtual time."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from angarium.alert.channel import Channels
from angarium.alert.hook import HookForm, Webhook
from angarium.alert.mail import Mail
from angarium.alert.smtp import MailServer, SendResult, Smtp
from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.alert import ALL_KINDS, FAILING_FOR, GATHER, AlertKind, Audience, Notice
from angarium.core.contact import Contact, ContactDraft, ContactStatus
from angarium.core.health import Health
from angarium.core.inbox import ANYWHERE
from angarium.core.nouns import Application
from angarium.core.product import STANDARD
from angarium.core.quota import QuotaLimits, month_of, next_month
from angarium.dispatch.alert_sender import GIVEN_UP, LEASE, PAUSES, AlertSender
from angarium.dispatch.url_check_transport import UrlCheckTransport
from angarium.service.contact import Contacts
from angarium.service.product import Products
from angarium.service.usage import UsageFolder
from angarium.store import alert, complete
from angarium.store import contact as contact_store
from angarium.store.database import Database
from angarium.store.guard import Guard
from angarium.store.installation import RestoreHold
from tests.kit import mail as kit
from tests.kit.clock import ManualClock
from tests.kit.patience import until
from tests.kit.receiver import Receiver, Reply
from tests.kit.world import World, product

BASE = "https://hooks.example.com"
OPERATOR = "operator@acme.example"
TEN_MINUTES, HOUR = 600.0, 3600.0


@dataclass
class Desk:
    """An application with a confirmed contact, and what sends it mails."""

    world: World
    clock: ManualClock
    server: kit.MailServer
    channels: Channels
    app: Application
    contacts: Contacts
    endpoints: int = 0
    leads: bool = True
    products: dict[str, Any] = field(default_factory=lambda: {STANDARD: product()})

    def sender(self, channels: Channels | None = None) -> AlertSender:
        return AlertSender(
            self.world.database,
            self.clock,
            os.urandom,
            lambda: self.leads,
            self.world.keyring,
            self.products,
            channels or self.channels,
        )

    async def add_contact(
        self,
        email: str = "dev@example.com",
        kinds: Sequence[AlertKind] = ALL_KINDS,
        app: Application | None = None,
    ) -> Contact:
        """A contact that has confirmed."""
        owner = app or self.app
        made = await self.contacts.add(owner, ContactDraft(email, tuple(kinds)))
        async with self.world.database.transaction() as connection:
            active = replace(made, status=ContactStatus.ACTIVE, nonce=None)
            await contact_store.update(connection, active, datetime_at(self.clock.now()))
            await connection.execute("update mail set due_at = null")
        return active

    async def note(
        self,
        kind: AlertKind = AlertKind.EXHAUSTED,
        *,
        endpoint_id: UUID | None = None,
        count: int = 1,
        code: str | None = "connect_refused",
        app: Application | None = None,
    ) -> UUID:
        """Something happens at an endpoint, a new one unless it is named."""
        if endpoint_id is None:
            self.endpoints += 1
            made = await self.world.endpoint(
                app or self.app, f"http://127.0.0.1:9/{self.endpoints}?key=sesame"
            )
            endpoint_id = made.id
        notice = Notice((app or self.app).id, endpoint_id, kind, count, code)
        async with self.world.database.transaction() as connection:
            await alert.add(connection, [notice], self.channels.audience, self.clock.now())
        return endpoint_id

    async def after(self, seconds: float, sender: AlertSender | None = None) -> list[str]:
        """The texts of the mails that are sent once this time has passed."""
        await self.clock.advance_to(self.clock.now() + seconds)
        before = len(self.server.mails)
        await (sender or self.sender()).step()
        return [kit.plain(one) for one in self.server.mails[before:]]

    async def rows(self, table: str) -> int:
        ((count,),) = await self.world.fetch(f"select count(*) from {table}")
        return int(count)

    async def status(self) -> tuple[str, str | None]:
        ((status, bounce),) = await self.world.fetch("select status, bounce from contact")
        return status, bounce


@asynccontextmanager
async def at_desk(database: Database, **channels: Any) -> AsyncIterator[Desk]:
    clock = ManualClock()
    world = World(database, clock=clock)
    async with kit.MailServer() as server:
        smtp = Smtp(MailServer.of(f"smtp://127.0.0.1:{server.port}"))
        usual = Channels(mail=smtp, sender="alerts@acme.example", base=BASE)
        made = replace(usual, **channels)
        yield Desk(
            world,
            clock,
            server,
            made,
            await world.application(name="Acme"),
            Contacts(database, clock, os.urandom, world.keyring),
        )


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with at_desk(database) as made:
        await made.add_contact()
        yield made


# gathering


async def test_the_first_notices_are_gathered_for_a_minute_and_become_one_mail(desk: Desk) -> None:
    first = await desk.note(count=2)
    assert await desk.after(0) == []
    await desk.note(endpoint_id=first)
    await desk.note()
    (text,) = await desk.after(GATHER)
    assert "2 endpoints with undelivered messages" in text
    assert f"127.0.0.1 ({ids.text(ids.ENDPOINT, first)})\n  3 messages" in text
    assert "sesame" not in text
    assert desk.server.recipients == [["dev@example.com"]]
    assert await desk.rows("notice") == 0
    assert await desk.after(0) == []


async def test_later_notices_wait_ten_minutes_and_then_an_hour(desk: Desk) -> None:
    sent = []
    for minute in range(60 * 4):
        await desk.note(endpoint_id=UUID(int=minute % 7))
        if await desk.after(60):
            sent.append(minute)
    # gathered from minute 0; then after ten minutes, and then each hour while it lasts
    assert sent == [1, 11, 71, 131, 191]


async def test_after_a_quiet_time_a_notice_is_a_first_one_again(desk: Desk) -> None:
    await desk.note()
    await desk.after(0)
    assert len(await desk.after(GATHER)) == 1
    assert await desk.after(TEN_MINUTES + HOUR) == []
    await desk.note()
    assert await desk.after(0) == []  # gathers
    assert len(await desk.after(GATHER)) == 1
    await desk.note()
    assert await desk.after(TEN_MINUTES - 1) == []
    assert len(await desk.after(1)) == 1


async def test_ten_thousand_failing_endpoints_of_an_application_are_one_mail(desk: Desk) -> None:
    async with desk.world.database.transaction() as connection:
        await connection.execute(
            "insert into endpoint (app_id, id, org_id, url, keys, shard, created_at, updated_at)"
            " select $1, gen_random_uuid(), 'o', 'http://h' || n || '.example/', '', 1, $2, $2"
            " from generate_series(1, 10000) n",
            desk.app.id, datetime_at(desk.clock.now()),
        )  # fmt: skip
        await connection.execute(
            "insert into endpoint_health (app_id, endpoint_id, failing_since, failures)"
            " select app_id, id, $1, 3 from endpoint",
            datetime_at(desk.clock.now()),
        )
    assert await desk.after(FAILING_FOR) == []
    (text,) = await desk.after(GATHER)
    assert "10,000 failing endpoints" in text
    assert "and 9,990 more endpoints" in text
    assert len(text) < 4000
    for _ in range(4):
        assert await desk.after(HOUR) == []


# what is noted


async def failing(desk: Desk, since: float, **changes: Any) -> UUID:
    """An endpoint that has failed since a time."""
    made = await desk.world.endpoint(desk.app, "http://127.0.0.1:9/", name="orders", **changes)
    health = complete.HealthRecord(desk.app.id, made.id, Health(failing_since=since, failures=3))
    async with desk.world.database.connection() as connection:
        await complete.complete(connection, [], [health])
    return made.id


async def test_an_endpoint_is_reported_as_failing_once_after_a_quarter_of_an_hour(desk: Desk) -> None:
    now = desk.clock.now()
    endpoint_id = await failing(desk, now)
    async with desk.world.database.connection() as connection:
        await connection.execute(
            "insert into attempt_hour values ($1, $2, $3, 0, 3, '{}', $3, 'tls_expired')",
            desk.app.id, endpoint_id, datetime_at(now),
        )  # fmt: skip
    assert await desk.after(FAILING_FOR - 1) == []
    assert await desk.rows("notice") == 0
    await desk.after(1)
    assert await desk.rows("notice") == 1
    (text,) = await desk.after(GATHER)
    assert "orders (ep_" in text
    assert "Certificate expired. Renew the certificate and reload the server." in text
    assert await desk.after(TEN_MINUTES) == []
    # it works, and fails again: another failure
    for health in (Health(), Health(failing_since=desk.clock.now(), failures=1)):
        async with desk.world.database.connection() as connection:
            await complete.complete(connection, [], [complete.HealthRecord(desk.app.id, endpoint_id, health)])
    assert len(await desk.after(FAILING_FOR)) == 1


async def test_disabled_endpoints_and_former_failures_are_not_reported_as_failing(desk: Desk) -> None:
    await failing(desk, desk.clock.now(), disabled_at=datetime_at(desk.clock.now()))
    changed = await failing(desk, desk.clock.now())
    async with desk.world.database.connection() as connection:
        await connection.execute("update endpoint set health_generation = 1 where id = $1", changed)
    await desk.after(FAILING_FOR)
    assert await desk.rows("notice") == 0


async def test_a_contact_gets_the_kinds_that_it_chose_of_its_own_application(desk: Desk) -> None:
    other = await desk.world.application(name="Other")
    await desk.add_contact("other@example.com", app=other)
    await desk.add_contact("some@example.com", [AlertKind.DISABLED])
    await desk.note()
    await desk.after(0)
    await desk.after(GATHER)
    assert desk.server.recipients == [["dev@example.com"]]
    await desk.note(AlertKind.DISABLED, code="gone")
    await desk.after(GATHER)
    await desk.after(TEN_MINUTES)
    assert sorted(desk.server.recipients) == [["dev@example.com"], ["dev@example.com"], ["some@example.com"]]


async def test_a_contact_that_is_not_active_gets_nothing(desk: Desk) -> None:
    await desk.note()
    await desk.after(0)
    for status in ("pending", "unsubscribed", "bouncing"):
        async with desk.world.database.connection() as connection:
            await connection.execute("update contact set status = $1", status)
        await desk.note()
        assert await desk.after(HOUR) == []


async def test_exhausted_deliveries_and_disabled_endpoints_are_noted_with_the_commit(
    database: Database,
) -> None:
    """A real receiver, a real dispatcher: what it writes is what is mailed."""
    async with at_desk(database) as desk:
        await desk.add_contact()
        world = World(database)
        async with (
            Receiver(Reply(500)) as receiver,
            Receiver(Reply(410)) as gone,
            world.dispatching(product(""), channels=desk.channels) as dispatcher,
            world.intake(dispatcher.hand_over) as intake,
        ):
            await world.endpoint(desk.app, receiver.url)
            await world.endpoint(desk.app, gone.url)
            for _ in range(3):
                await intake.accept(world.draft(desk.app))

            async def noted() -> bool:
                rows = await world.fetch("select kind, sum(count)::int from notice group by 1 order by 1")
                found = {row[0]: row[1] for row in rows}
                return found.get("message.exhausted", 0) >= 3 and found.get("endpoint.disabled") == 1

            await until(noted)
        rows = await world.fetch("select kind, code from notice order by 1, 2")
        assert ("endpoint.disabled", "gone") in [tuple(row) for row in rows]
        assert ("message.exhausted", "http_500") in [tuple(row) for row in rows]


async def test_alerts_wait_while_a_restored_database_is_held(world: World) -> None:
    guard = Guard()
    async with world.dispatching(guard=guard) as dispatcher:
        await until(lambda: dispatcher.sends_alerts)
        now = datetime_at(world.clock.now())
        guard.hold = RestoreHold(since=now, restored_to=now, accepting=False)
        assert not dispatcher.sends_alerts
        guard.hold = None
        assert dispatcher.sends_alerts


async def test_without_channels_nothing_is_noted(world: World) -> None:
    app = await world.application()
    async with (
        Receiver(Reply(500)) as receiver,
        world.dispatching(product("")) as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        await world.endpoint(app, receiver.url)
        await intake.accept(world.draft(app))
        await world.until_states({2: 1})
    assert await world.fetch("select from notice") == []


# sending


async def test_a_crash_between_sending_and_marking_sends_the_same_mail_again(desk: Desk) -> None:
    class Crashing:
        async def send(self, mails: Sequence[Mail]) -> list[SendResult]:
            assert desk.channels.mail is not None
            await desk.channels.mail.send(mails)
            raise asyncio.CancelledError  # the process dies before it writes what the server said

    await desk.note()
    await desk.after(0)
    await desk.clock.advance_to(desk.clock.now() + GATHER)
    with pytest.raises(asyncio.CancelledError):
        await desk.sender(replace(desk.channels, mail=Crashing())).step()
    assert len(desk.server.mails) == 1
    assert await desk.after(LEASE - 1) == []  # the other process cannot know
    assert len(await desk.after(1)) == 1
    first, again = desk.server.mails
    assert first["Message-ID"] == again["Message-ID"]
    assert first["Date"] == again["Date"]
    assert await desk.after(LEASE) == []


async def test_two_processes_do_not_send_the_same_mail(desk: Desk) -> None:
    for number in range(5):
        app = await desk.world.application()
        await desk.add_contact(f"dev{number}@example.com", app=app)
        await desk.note(app=app)
    await desk.sender().step()
    await desk.clock.advance_to(desk.clock.now() + GATHER)
    await asyncio.gather(*(desk.sender().step() for _ in range(4)))
    assert sorted(desk.server.recipients) == [[f"dev{number}@example.com"] for number in range(5)]


async def test_a_mail_server_that_is_away_loses_no_alert_and_piles_up_no_mails(desk: Desk) -> None:
    away = replace(desk.channels, mail=Smtp(MailServer.of("smtp://127.0.0.1:9")))
    await desk.note()
    await desk.after(0, desk.sender(away))
    for _ in range(10):
        await desk.note()
        assert await desk.after(TEN_MINUTES, desk.sender(away)) == []
    assert await desk.rows("mail where due_at is not null") == 1
    first = await desk.after(PAUSES[-1])
    assert len(first) == 1
    assert await desk.after(0) == []  # the others are gathered
    (later,) = await desk.after(GATHER)
    counts = [re.findall(r"(\d+) endpoints? with", text)[0] for text in (first[0], later)]
    assert sum(map(int, counts)) == 11


async def test_a_mail_that_cannot_be_sent_for_a_day_is_dropped(desk: Desk) -> None:
    away = desk.sender(replace(desk.channels, mail=Smtp(MailServer.of("smtp://127.0.0.1:9"))))
    await desk.note()
    await desk.after(0, away)
    await desk.after(GATHER, away)
    await desk.after(GIVEN_UP, away)
    assert await desk.rows("mail where due_at is not null or content is not null") == 0
    assert await desk.after(HOUR) == []


async def test_a_refused_recipient_is_marked_and_gets_no_more(desk: Desk) -> None:
    desk.server.answers["dev@example.com"] = "550 No such user"
    await desk.note()
    await desk.after(0)
    await desk.after(GATHER)
    assert await desk.status() == ("bouncing", "550 No such user")
    desk.server.answers.clear()
    await desk.note()
    for _ in range(3):
        assert await desk.after(HOUR) == []
    ((action, actor),) = await desk.world.fetch(
        "select action, actor from audit where action = 'contact.bounced'"
    )
    assert (action, actor) == ("contact.bounced", "system")


async def test_a_full_mailbox_is_tried_again(desk: Desk) -> None:
    desk.server.answers["dev@example.com"] = "452 Mailbox full"
    await desk.note()
    await desk.after(0)
    assert await desk.after(GATHER) == []
    desk.server.answers.clear()
    assert await desk.after(PAUSES[0] - 1) == []
    assert len(await desk.after(1)) == 1
    assert await desk.status() == ("active", None)


async def test_a_contact_that_unsubscribes_gets_not_even_what_waits(desk: Desk) -> None:
    desk.server.answers["dev@example.com"] = "452 Mailbox full"
    await desk.note()
    await desk.after(0)
    await desk.after(GATHER)
    desk.server.answers.clear()
    async with desk.world.database.transaction() as connection:
        (found,) = await contact_store.contacts(connection, desk.app.id)
        stopped = replace(found, status=ContactStatus.UNSUBSCRIBED)
        await contact_store.update(connection, stopped, datetime_at(desk.clock.now()))
    assert await desk.after(HOUR) == []


async def test_only_the_leader_sends(desk: Desk) -> None:
    await desk.note()
    desk.leads = False
    running = asyncio.create_task(desk.sender().run())
    for _ in range(5):
        await desk.clock.advance_to(desk.clock.now() + GATHER)
    assert desk.server.mails == []
    desk.leads = True

    async def sent() -> bool:
        await desk.clock.advance_to(desk.clock.now() + 10)
        return bool(desk.server.mails)

    await until(sent)
    running.cancel()


# the operator


async def test_the_operator_gets_one_mail_of_all_applications(database: Database) -> None:
    async with at_desk(database, operator=(OPERATOR,)) as desk:
        other = await desk.world.application(name="Other")
        await desk.note()
        await desk.note(app=other)
        await desk.after(0)
        (text,) = await desk.after(GATHER)
    assert desk.server.recipients == [[OPERATOR]]
    assert "Acme: 127.0.0.1 (ep_" in text
    assert "Other: 127.0.0.1 (ep_" in text
    assert f"{BASE}/admin" in text
    assert desk.server.mails[0]["List-Unsubscribe"] is None


async def test_limits_are_mailed_once_a_month_to_the_operator_and_to_contacts_who_chose_them(
    database: Database,
) -> None:
    async with at_desk(database, operator=(OPERATOR,)) as desk:
        other = await desk.world.application(name="Other")
        await desk.add_contact("all@example.com")
        await desk.add_contact("hard@example.com", [AlertKind.QUOTA_HARD])
        await desk.add_contact("failures@example.com", [AlertKind.EXHAUSTED, AlertKind.DISABLED])
        await desk.add_contact("other@example.com", app=other)
        folder = UsageFolder(
            database,
            desk.clock,
            os.urandom,
            Products(database, desk.clock, desk.products),
            quota=QuotaLimits(messages_soft=2, messages_hard=4),
            audience=desk.channels.audience,
        )

        async def sent(messages: int) -> list[str]:
            """Who gets a mail of it, within a day."""
            async with desk.world.intake(events=folder) as intake:
                await intake.accept_many([desk.world.draft(desk.app) for _ in range(messages)])
            await folder.fold()
            before = len(desk.server.recipients)
            for wait in (0.0, GATHER, HOUR, 2 * HOUR):
                await desk.after(wait)
            return sorted(one for (one,) in desk.server.recipients[before:])

        month = month_of(datetime_at(desk.clock.now()))
        await desk.clock.advance_to(next_month(month).timestamp())
        assert await sent(1) == []
        assert await sent(1) == ["all@example.com", OPERATOR]
        assert "A soft limit was reached · Acme" in str(desk.server.mails[-1]["Subject"])
        assert await sent(1) == []
        assert await sent(1) == ["all@example.com", "hard@example.com", OPERATOR]
        assert "A hard limit was reached · Acme" in str(desk.server.mails[-1]["Subject"])
        assert await sent(1) == []
        await desk.clock.advance_to(next_month(next_month(month)).timestamp())
        assert await sent(2) == ["all@example.com", OPERATOR], "once in each month"


async def test_the_operators_webhook_is_called_and_tried_again(database: Database) -> None:
    transport = UrlCheckTransport(policy=ANYWHERE, response_limit=100)
    async with Receiver() as receiver:
        receiver.plan(Reply(503))
        webhook = Webhook(receiver.url, HookForm.SLACK)
        async with at_desk(database, mail=None, webhook=webhook, post=transport.post) as desk:
            await desk.note()
            await desk.after(0)
            await desk.after(GATHER)
            await desk.after(PAUSES[0])
            await desk.after(HOUR)
        await transport.close()
        refused, taken = receiver.requests
    assert refused.body == taken.body
    assert "1 message was not delivered" in json.loads(taken.body)["text"]
    assert desk.server.mails == []


def test_contacts_get_nothing_without_the_url_of_links() -> None:
    smtp = Smtp(MailServer.of("smtp://127.0.0.1:9"))
    assert not Channels(mail=smtp).audience
    assert Channels(mail=smtp, base=BASE).audience == Audience(contacts=True)
    assert not Channels().audience
    assert timedelta(seconds=LEASE) > timedelta(minutes=5)
