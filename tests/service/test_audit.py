"""Who did it: every way in has a name of its own in the audit log."""

from __future__ import annotations

import asyncio

import httpx
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from angarium.core import ids
from angarium.store.database import Database
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver, Reply
from tests.kit.server import angarium
from tests.kit.stand import ORG, Stand, product, standing
from tests.portal.visitor import visiting


async def actors(stand: Stand, action: str) -> list[str]:
    rows = await stand.world.fetch(f"select actor from all_audit where action = '{action}' order by id desc")
    return [row["actor"].partition(":")[0] for row in rows]


async def test_each_kind_of_credential_is_a_kind_of_actor(database: Database) -> None:
    async with standing(database, product("bluma")) as stand:
        key = stand.keys["webhooks:manage"]
        answer = await stand.client.post(
            "/api/v1/webhooks",
            json={"url": "http://127.0.0.1:9/a", "events": ["video.completed"]},
            headers={"authorization": f"Bearer {key}"},
        )
        assert answer.is_success, answer.text
        assert await actors(stand, "endpoint.created") == ["api-key"]
        (row,) = await stand.world.fetch(
            "select actor, address from all_audit where action = 'endpoint.created'"
        )
        (known,) = await stand.services.api_key.keys(ORG)
        assert row["actor"] == f"api-key:{ids.text('key_', known.id)}"
        assert row["address"] == "127.0.0.1"
        app_id = ids.parse(ids.APPLICATION, stand.app_id)
        assert app_id is not None
        await stand.clock.advance_to(stand.clock.now() + 1)
        token = stand.services.token.for_application(ORG, app_id)
        answer = await stand.client.post(
            f"/api/v1/app/{stand.app_id}/endpoint",
            json={"url": "http://127.0.0.1:9/b"},
            headers={"authorization": f"Bearer {token}"},
        )
        assert answer.is_success, answer.text
        endpoint = answer.json()["id"]
        assert (await actors(stand, "endpoint.created"))[0] == "application-token"
        await stand.native("PATCH", f"/endpoint/{endpoint}", {"description": "x"})
        assert await actors(stand, "endpoint.updated") == ["organization-token"]
        async with visiting(stand) as visitor:
            ref = ids.text(stand.product.profile.ids.endpoint, ids.parse(ids.ENDPOINT, endpoint) or app_id)
            await visitor.post(f"/endpoints/{ref}/disable", {"confirmed": "yes"})
        assert await actors(stand, "endpoint.disabled") == ["portal-session"]
        assert await actors(stand, "session.begun") == ["portal-session"]


async def test_changes_by_the_server_have_the_system_actor(database: Database) -> None:
    async with standing(database, product("standard")) as stand, Receiver() as receiver:
        receiver.default = Reply(410)
        await stand.endpoint(receiver.url)
        await stand.send("a.b")
        await stand.until_attempts(1)

        async def disabled() -> bool:
            return bool(await actors(stand, "endpoint.disabled"))

        await until(disabled)
        (row,) = await stand.world.fetch("select * from all_audit where action = 'endpoint.disabled'")
        assert row["actor"] == "system"
        assert row["address"] is None
        assert row["org_id"] == ORG
        assert row["after"] == {"disabled": True, "reason": "gone"}


async def test_the_command_line_records_the_user(database: Database, database_url: str) -> None:
    async with standing(database, product("bluma")) as stand:
        (known,) = await stand.services.api_key.keys(ORG)
        command = await angarium(
            "apikey", "revoke", ids.text("key_", known.id), "--org", ORG,
            ANGARIUM_DATABASE_URL=database_url, ANGARIUM_PROFILES="bluma",
        )  # fmt: skip
        _, faults = await asyncio.wait_for(command.communicate(), PATIENCE)
        assert command.returncode == 0, faults.decode()
        assert await actors(stand, "api_key.revoked") == ["command-line"]


async def test_only_a_trusted_proxy_is_believed(database: Database) -> None:
    """uvicorn does it; this verifies that it is configured whom to trust, and trusts no other address."""
    async with standing(database, product("standard")) as stand:
        token = stand.services.token.for_organization(ORG)
        for trusted, shown, expected in (
            (["10.0.0.0/8"], "198.51.100.7, 203.0.113.5, 10.0.0.9", "203.0.113.5"),
            (["192.0.2.0/24"], "198.51.100.7", "10.1.1.1"),
            (["10.0.0.0/8"], "nonsense\x1b[31m", None),
        ):
            await stand.clock.advance_to(stand.clock.now() + 1)
            app = ProxyHeadersMiddleware(stand.app, trusted)  # type: ignore[arg-type]
            transport = httpx.ASGITransport(app, client=("10.1.1.1", 1))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://angarium.test") as client:
                answer = await client.post(
                    "/api/v1/app",
                    json={"name": "x"},
                    headers={"authorization": f"Bearer {token}", "x-forwarded-for": shown},
                )
                assert answer.is_success
            (row,) = await stand.world.fetch("select address from all_audit order by id desc limit 1")
            assert row["address"] == expected
