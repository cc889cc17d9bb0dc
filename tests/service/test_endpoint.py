"""The login of an endpoint's URL: sealed in the database, sent with each attempt, never shown."""

from __future__ import annotations

from typing import Any

import pytest

from angarium.core.url import with_login
from angarium.service.rewrap import Rewrap
from angarium.store.database import Database
from tests.kit.receiver import Receiver
from tests.kit.stand import ORG, Stand, product, standing
from tests.portal.visitor import visiting

SECRET = "hunter2-the-login"
BASIC = "Basic bWU6aHVudGVyMi10aGUtbG9naW4="  # me:hunter2-the-login


def with_user(url: str, login: str = f"me:{SECRET}") -> str:
    return url.replace("://", f"://{login}@")


async def refused(stand: Stand, method: str, path: str, body: Any) -> str:
    """The words of a refusal."""
    answer = await stand.client.request(
        method,
        f"/api/v1/app/{stand.app_id}{path}",
        json=body,
        headers={"authorization": f"Bearer {stand.services.token.for_organization(ORG)}"},
    )
    assert answer.status_code == 422, answer.text
    return answer.text


async def test_a_login_is_sent_and_sealed_and_never_shown(database: Database) -> None:
    async with standing(database, product("standard")) as stand, Receiver() as receiver:
        made = await stand.native("POST", "/endpoint", {"url": with_user(receiver.url)})
        assert made["url"] == with_user(receiver.url, "me:***")
        await stand.send("a.b")
        (request,) = await receiver.wait_for(1)
        assert request.header("authorization") == BASIC
        await stand.until_attempts(1)
        seen = [
            await stand.native("GET", path)
            for path in ("/endpoint", f"/endpoint/{made['id']}", f"/endpoint/{made['id']}/headers", "/log")
        ]
        seen.append(await stand.native("GET", "//audit"))
        async with visiting(stand) as visitor:
            below = ("", "/settings", "/secret", "/code", "/test", "/recover")
            pages = [f"/endpoints/{made['id']}{page}" for page in below]
            pages += ["/endpoints", "/messages", "/audit"]
            seen += [await visitor.get(page) for page in pages]
        assert SECRET not in str(seen)
        assert "hunter2" not in str(seen)
        for table in ("endpoint", "attempt", "audit", "delivery"):
            rows = await stand.world.fetch(f"select * from {table}")
            assert SECRET not in str([dict(row) for row in rows]), table


async def test_a_url_that_was_read_can_be_written_back(database: Database) -> None:
    """As the SDKs of Svix do: get, change one thing, put."""
    async with standing(database, product("standard")) as stand, Receiver() as receiver:
        made = await stand.native("POST", "/endpoint", {"url": with_user(receiver.url)})
        path = f"/endpoint/{made['id']}"
        read = await stand.native("GET", path)
        await stand.native("PUT", path, {"url": read["url"], "description": "Put"})
        await stand.native("PATCH", path, {"url": read["url"] + "?more=1"})
        async with visiting(stand) as visitor:
            form = {"url": read["url"] + "?by=form", "every": "all", "description": "Posted"}
            await visitor.post(f"{path.replace('endpoint', 'endpoints')}/settings", form)
        assert (await stand.native("GET", path))["url"] == read["url"] + "?by=form"
        await stand.send("a.b")
        (request,) = await receiver.wait_for(1)
        assert request.header("authorization") == BASIC
        await stand.native("PATCH", path, {"url": receiver.url})
        await stand.send("a.b")
        request = (await receiver.wait_for(2))[1]
        assert request.header("authorization") is None


async def test_a_login_is_not_sent_to_another_host(database: Database) -> None:
    """Who may change an endpoint and not see its password must not have it sent to a host of their own."""
    async with standing(database, product("standard")) as stand, Receiver() as theirs, Receiver() as evil:
        made = await stand.native("POST", "/endpoint", {"url": with_user(theirs.url)})
        path, url = f"/endpoint/{made['id']}", with_user(evil.url, "me:***")
        for method, body in (("PUT", {"url": url}), ("PATCH", {"url": url})):
            assert "has another host" in await refused(stand, method, path, body)
        for other in ("you:***", "***"):
            words = await refused(stand, "PATCH", path, {"url": with_user(theirs.url, other)})
            assert "enter the password" in words
        assert "enter the password" in await refused(stand, "POST", "/endpoint", {"url": url})
        async with visiting(stand) as visitor:
            form = {"url": url, "every": "all", "endpoint": made["id"]}
            page = await visitor.post("/endpoints/try", form, status=200)
            assert "another host" in page.text
            own = form | {"url": with_user(theirs.url, "me:***")}
            await visitor.post("/endpoints/try", own, status=200)
        assert evil.count == 0
        assert theirs.requests[0].header("authorization") == BASIC


@pytest.mark.parametrize(
    ("login", "shown", "sent"),
    [
        ("sk_live_key", "***", "Basic c2tfbGl2ZV9rZXk6"),
        ("sk_live_key:", "***", "Basic c2tfbGl2ZV9rZXk6"),
        (":only-a-password", "***", "Basic Om9ubHktYS1wYXNzd29yZA=="),
        ("a%40b:c%2Fd", "a%40b:***", "Basic YUBiOmMvZA=="),
    ],
)
async def test_a_key_in_place_of_a_user_name_is_hidden_too(
    database: Database, login: str, shown: str, sent: str
) -> None:
    async with standing(database, product("standard")) as stand, Receiver() as receiver:
        made = await stand.native("POST", "/endpoint", {"url": with_user(receiver.url, login)})
        assert made["url"] == with_user(receiver.url, shown)
        await stand.send("a.b")
        (request,) = await receiver.wait_for(1)
        assert request.header("authorization") == sent


async def test_a_changed_password_is_audited_without_its_value(database: Database) -> None:
    async with standing(database, product("standard")) as stand:
        url = "http://127.0.0.1:9/hook"
        made = await stand.native("POST", "/endpoint", {"url": with_user(url)})
        await stand.native("PATCH", f"/endpoint/{made['id']}", {"url": with_user(url, "me:another-one")})
        (audit_event,) = (await stand.native("GET", "//audit", action="endpoint.updated"))["data"]
        assert audit_event["before"]["url"] != audit_event["after"]["url"]
        assert "another-one" not in str(audit_event)


async def test_an_unsealed_login_is_not_shown_and_rekey_seals_it(
    database: Database,
) -> None:
    async with standing(database, product("standard")) as stand, Receiver() as receiver:
        made = await stand.native("POST", "/endpoint", {"url": receiver.url, "headers": {"X-A": "b"}})
        clear = with_login(receiver.url, f"me:{SECRET}")
        await stand.world.fetch(f"update endpoint set url = '{clear}', revision = revision + 1")
        read = await stand.native("GET", f"/endpoint/{made['id']}")
        assert read["url"] == with_user(receiver.url, "me:***")
        rewrap = Rewrap(database, lambda count: b"n" * count, stand.world.keyring)
        assert (await rewrap.check()).old == 1
        assert (await rewrap.rewrap()).old == 0
        assert SECRET not in str([dict(row) for row in await stand.world.fetch("select * from endpoint")])
        assert (await stand.native("GET", f"/endpoint/{made['id']}"))["url"] == read["url"]
        assert (await stand.native("GET", f"/endpoint/{made['id']}/headers"))["headers"] == {"X-A": "b"}
        await stand.native("PATCH", f"/endpoint/{made['id']}", {"url": read["url"] + "?x=1"})
        await stand.send("a.b")
        (request,) = await receiver.wait_for(1)
        assert request.header("authorization") == BASIC
        assert request.header("x-a") == "b"
