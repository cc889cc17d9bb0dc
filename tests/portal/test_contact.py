"""The page of contacts, and the pages of the links in mails: real mails, and a visitor without scripts."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest

from angarium.alert.channel import Channels
from angarium.alert.smtp import MailServer, Smtp
from angarium.core import ids
from angarium.core.alert import GATHER, AlertKind, Notice
from angarium.core.contact import CONFIRMATIONS_OF_ADDRESS, LINK_LIFETIME
from angarium.dispatch.alert_sender import AlertSender
from angarium.store import alert
from tests.kit import mail as kit
from tests.kit.clock import ManualClock
from tests.kit.stand import URL, Stand
from tests.portal.visitor import Visitor

HOUR, DAY = 3600.0, 86400.0
EMAIL = "dev@example.com"


@dataclass
class Post:
    """What mails of a stand go through, and who opens their links."""

    stand: Stand
    server: kit.MailServer
    reader: httpx.AsyncClient = field(repr=False)  # no session, no cookies

    async def mails(self, after: float = 0.0) -> list[str]:
        """The texts of the mails that are sent once this time has passed."""
        clock = self.stand.world.clock
        assert isinstance(clock, ManualClock)
        await clock.advance_to(clock.now() + after)
        before = len(self.server.mails)
        smtp = Smtp(MailServer.of(f"smtp://127.0.0.1:{self.server.port}"))
        world = self.stand.world
        channels = Channels(mail=smtp, sender="alerts@acme.example", base=URL)
        products = {"standard": self.stand.product, self.stand.product.name: self.stand.product}
        sender = AlertSender(
            world.database, clock, os.urandom, lambda: True, world.keyring, products, channels
        )
        await sender.step()
        return [kit.plain(one) for one in self.server.mails[before:]]

    async def link(self) -> str:
        """The path of the link in the only new mail."""
        (text,) = await self.mails()
        return path_in(text)

    async def fail(self) -> None:
        """A message is exhausted."""
        app_id = ids.parse(ids.APPLICATION, self.stand.app_id)
        endpoint_id = ids.parse(ids.ENDPOINT, await self.stand.endpoint("http://127.0.0.1:9/hook"))
        assert app_id is not None
        assert endpoint_id is not None
        notice = Notice(app_id, endpoint_id, AlertKind.EXHAUSTED, 1, "http_500")
        async with self.stand.world.database.transaction() as connection:
            told = Channels(mail=Smtp(MailServer.of("smtp://127.0.0.1:9")), base=URL).audience
            await alert.add(connection, [notice], told, self.stand.world.clock.now())

    async def contacts(self) -> list[dict[str, object]]:
        return list((await self.stand.native("GET", "/contact"))["contacts"])


def path_in(text: str) -> str:
    (path,) = re.findall(rf"{URL}(/alerts/\S+)", text)
    return str(path)


@pytest.fixture
async def post(stand: Stand) -> AsyncIterator[Post]:
    transport = httpx.ASGITransport(stand.app, raise_app_exceptions=False)
    async with (
        kit.MailServer() as server,
        httpx.AsyncClient(transport=transport, base_url=URL) as reader,
    ):
        yield Post(stand, server, reader)


async def added(visitor: Visitor, email: str = EMAIL) -> str:
    """Add a contact on the page."""
    return await visitor.follow("/alerts", {"email": email, "kind": [one.value for one in AlertKind]})


async def test_an_address_gets_alerts_once_its_owner_has_confirmed(visitor: Visitor, post: Post) -> None:
    page = await added(visitor)
    assert "Not confirmed" in page
    path = await post.link()
    assert post.server.recipients == [[EMAIL]]
    await post.fail()
    assert await post.mails() == await post.mails(GATHER) == []
    # a program that scans mails opens the link, and changes nothing
    answer = await post.reader.get(path)
    assert answer.status_code == 200
    assert f"{EMAIL} will receive an email when webhooks of Customer" in answer.text
    assert (await post.contacts())[0]["status"] == "pending"
    assert (await post.reader.post(path)).status_code == 200
    assert "Active" in await visitor.get("/alerts")
    # the link is valid once
    assert (await post.reader.post(path)).status_code == 404
    assert (await post.reader.get(path)).status_code == 404
    await post.fail()
    await post.mails()
    (text,) = await post.mails(GATHER)
    assert "1 endpoint with undelivered messages" in text
    assert f"{URL}/portal/{post.stand.app_id}" in text


async def confirmed(visitor: Visitor, post: Post) -> str:
    """A contact that has confirmed and got an alert; gives the path to unsubscribe."""
    await added(visitor)
    await post.reader.post(await post.link())
    await post.fail()
    await post.mails()
    (text,) = await post.mails(GATHER)
    header = str(post.server.mails[-1]["List-Unsubscribe"])
    path = header.removeprefix(f"<{URL}").removesuffix(">")
    assert path in text
    return path


async def test_a_mail_program_unsubscribes_with_one_post(visitor: Visitor, post: Post) -> None:
    path = await confirmed(visitor, post)
    assert "Unsubscribe" in (await post.reader.get(path)).text
    assert (await post.contacts())[0]["status"] == "active"
    # as RFC 8058 has it: from a server, without cookies and without a page before
    for _ in range(2):
        answer = await post.reader.post(path, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
    assert (await post.contacts())[0]["status"] == "unsubscribed"
    await post.fail()
    assert await post.mails() == await post.mails(2 * HOUR) == []
    page = await visitor.get("/alerts")
    assert "Unsubscribed" in page
    # saving does not subscribe it again; another confirmation does
    assert "Unsubscribed" in await added(visitor)
    assert await post.mails() == []
    ref = str((await post.contacts())[0]["id"])
    await visitor.post(f"/alerts/{ref}/ask")
    await post.reader.post(await post.link())
    assert (await post.contacts())[0]["status"] == "active"
    actions = await visitor.get("/audit", what="contact")
    for words in ("Alert address added", "Alert address confirmed", "Alert address unsubscribed"):
        assert words in actions
    assert EMAIL not in actions
    assert "d…@example.com" in actions


async def test_a_link_that_is_not_ours_does_nothing(visitor: Visitor, post: Post) -> None:
    unsubscribe = await confirmed(visitor, post)
    token = unsubscribe.rpartition("/")[2]
    wrong = [
        f"/alerts/confirm/{token}",  # for another purpose
        f"/alerts/unsubscribe/{token[:-1]}{'A' if token[-1] != 'A' else 'B'}",
        f"/alerts/unsubscribe/{token}=",
        "/alerts/unsubscribe/x",
        "/alerts/confirm/%C3%A9",
    ]
    for path in wrong:
        assert (await post.reader.get(path)).status_code == 404, path
        assert (await post.reader.post(path)).status_code == 404, path
    assert (await post.contacts())[0]["status"] == "active"


async def test_a_confirmation_expires_and_a_newer_one_replaces_it(visitor: Visitor, post: Post) -> None:
    await added(visitor)
    old = await post.link()
    ref = str((await post.contacts())[0]["id"])
    await visitor.post(f"/alerts/{ref}/ask")
    path = await post.link()
    assert (await post.reader.post(old)).status_code == 404
    clock = post.stand.world.clock
    assert isinstance(clock, ManualClock)
    await clock.advance_to(clock.now() + LINK_LIFETIME)
    answer = await post.reader.post(path)
    assert answer.status_code == 404
    assert "Link not valid" in answer.text


async def test_a_removed_address_gets_nothing_and_its_link_still_works(visitor: Visitor, post: Post) -> None:
    path = await confirmed(visitor, post)
    ref = str((await post.contacts())[0]["id"])
    asked = await visitor.post(f"/alerts/{ref}/remove", status=200)
    assert f"Remove {EMAIL}?" in asked.text
    assert "No address yet" in await visitor.follow(f"/alerts/{ref}/remove", {"confirmed": "yes"})
    await post.fail()
    assert await post.mails(DAY) == []
    assert "Unsubscribed" in (await post.reader.get(path)).text
    assert (await post.reader.post(path)).status_code == 200


async def test_an_address_whose_mail_is_refused_is_shown(visitor: Visitor, post: Post) -> None:
    post.server.answers[EMAIL] = "550 No such <user>"
    await added(visitor)
    assert await post.mails() == []
    page = await visitor.get("/alerts")
    assert "Mail refused" in page
    assert "550 No such &lt;user&gt;" in page
    (contact,) = await post.contacts()
    assert (contact["status"], contact["bounce"]) == ("bouncing", "550 No such <user>")


async def test_confirmations_to_an_address_are_limited_over_all_applications(
    visitor: Visitor, post: Post
) -> None:
    for number in range(CONFIRMATIONS_OF_ADDRESS):
        other = (await post.stand.native("POST", "//app", {"name": f"Other {number}"}))["id"]
        await post.stand.native("PUT", f"//app/{other}/contact", {"contacts": [{"email": EMAIL.upper()}]})
    answer = await visitor.post("/alerts", {"email": EMAIL, "kind": "endpoint.disabled"}, status=429)
    assert "Too many confirmations were mailed today" in answer.text
    assert await post.contacts() == []
    await post.mails(DAY)
    await post.stand.native("PUT", "/contact", {"contacts": [{"email": EMAIL}]})


@pytest.mark.parametrize("email", ["", "dev", "dev@example.com\r\nBcc: all@example.com", "a@b@example.com"])
async def test_what_is_no_address_is_refused_with_the_form(visitor: Visitor, post: Post, email: str) -> None:
    answer = await visitor.post("/alerts", {"email": email, "kind": "endpoint.disabled"}, status=422)
    assert "Must be an email address" in answer.text
    assert await post.contacts() == []
    assert await post.mails() == []


async def test_a_reader_sees_contacts_and_changes_none(visitor: Visitor, reader: Visitor) -> None:
    await added(visitor)
    page = await reader.get("/alerts")
    assert EMAIL in page
    assert 'action="' + reader.base + "/alerts" not in page
    await reader.post("/alerts", {"email": "other@example.com", "kind": "endpoint.disabled"}, status=403)


async def test_without_mail_the_page_says_so_and_is_not_in_the_menu(visitor: Visitor, stand: Stand) -> None:
    assert 'href="' + visitor.base + '/alerts"' in await visitor.get()
    stand.services.contact.available = False
    assert 'href="' + visitor.base + '/alerts"' not in await visitor.get()
    assert "Alerts by email are not available" in await visitor.get("/alerts")
    await visitor.post("/alerts", {"email": EMAIL, "kind": "endpoint.disabled"}, status=400)


async def test_deleting_an_application_deletes_its_contacts(visitor: Visitor, post: Post) -> None:
    await added(visitor)
    await post.stand.native("DELETE", "")
    assert await post.mails() == []
    assert await post.stand.world.fetch("select from contact") == []
