"""ANGARIUM_HISTORY: no payload is kept longer than messages are, whichever request created it."""

from __future__ import annotations

import ast
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import pytest

import angarium
from angarium import build, keys
from angarium.settings import load
from tests.kit.world import ORG

SOURCE: Final = Path(angarium.__file__).parent
HISTORY: Final = timedelta(days=7)
ONE: Final[dict[str, Any]] = {"eventType": "a.b", "payload": {}}
REQUESTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "no period": ("/msg", ONE),
    "days": ("/msg", ONE | {"payloadRetentionPeriod": 90}),
    "hours": ("/msg", ONE | {"payloadRetentionHours": 2160}),
    "a batch": ("/msg/batch", {"messages": [ONE, ONE | {"payloadRetentionPeriod": 90}]}),
    "an example": ("/endpoint/{endpoint}/send-example", {"eventType": "svix.ping"}),
}


@pytest.mark.parametrize("request_name", REQUESTS)
async def test_no_payload_outlives_its_message(database_url: str, request_name: str) -> None:
    settings = load(
        overrides={
            "secret_key": base64.b64encode(bytes(32)).decode(),
            "jwt_secret": "s" * 32,
            "database_url": database_url,
            "history": "7d",
            "https_only": False,
            "allowed_subnets": "127.0.0.0/8",
        }
    )
    async with (
        build.running(settings, database_url, role="api") as app,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://angarium/api/v1",
            headers={"authorization": f"Bearer {keys.tokens(settings).for_organization(ORG)}"},
        ) as client,
    ):

        async def made(path: str, body: dict[str, Any]) -> Any:
            answer = await client.post(path, json=body)
            assert answer.is_success, answer.text
            return answer.json()

        application = (await made("/app", {"name": "a"}))["id"]
        endpoint = (await made(f"/app/{application}/endpoint", {"url": "http://127.0.0.1:9/"}))["id"]
        path, body = REQUESTS[request_name]
        await made(f"/app/{application}" + path.format(endpoint=endpoint), body)
    connection = await asyncpg.connect(database_url)
    expiries = [row[0] for row in await connection.fetch("select expires_at from angarium_1.message")]
    await connection.close()
    assert len(expiries) == (2 if request_name == "a batch" else 1)
    now = datetime.now(UTC)
    earliest = now + HISTORY - timedelta(minutes=10)
    assert all(earliest < at < now + HISTORY + timedelta(hours=1) for at in expiries)


def test_every_way_to_create_a_message_uses_one_rule() -> None:
    makers = []
    for file in SOURCE.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("Item", "store.Item", "accept.Item"):
                (expiry,) = [one.value for one in call.keywords if one.arg == "expires_at"]
                assert isinstance(expiry, ast.Call), file
                assert ast.unparse(expiry.func) == "expiry", file
                makers.append(file.name)
    assert sorted(makers) == ["alert.py", "intake.py", "usage.py"]
