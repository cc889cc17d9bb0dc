"""A new secret key, while messages go out and customers add endpoints: nothing stops, nothing is lost."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from standardwebhooks import Webhook

from angarium.api.app import create_app
from angarium.clock import SystemClock
from angarium.core.keyring import Keyring
from angarium.core.product import STANDARD
from angarium.service.intake import Intake
from angarium.service.product import Products
from angarium.store.database import Database
from tests.kit.at_work import services_of
from tests.kit.receiver import Receiver
from tests.kit.server import angarium
from tests.kit.world import World
from tests.kit.world import product as standard_product

OLD, NEW = b"o" * 32, b"n" * 32
ORG = "org_rekey"


@asynccontextmanager
async def running(database: Database, *keys: bytes) -> AsyncIterator[httpx.AsyncClient]:
    """A server under these keys, and a client with the organization's token."""
    world = World(database, clock=SystemClock(), keyring=Keyring(keys))
    known = Products(database, world.clock, {STANDARD: standard_product()})
    async with world.dispatching() as dispatcher:
        intake = Intake(database, world.clock, os.urandom, dispatcher.hand_over, dispatcher.fan_out, known)
        services = services_of(world, known, intake)
        await intake.start()
        token = services.token.for_organization(ORG)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(services)),
            base_url="http://angarium.test/api/v1",
            headers={"authorization": f"Bearer {token}"},
        ) as client:
            yield client
        await intake.stop()


class Customers:
    """Endpoints that a receiver stands for, each at a path of its own, and what they were sent."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.secrets: dict[str, list[str]] = {}
        self.sent = 0

    async def add(self, client: httpx.AsyncClient, app: str) -> str:
        path = f"/hook/{len(self.secrets)}"
        url = self.receiver.url.removesuffix("/hook") + path
        made = await _good(client.post(f"/app/{app}/endpoint", json={"url": url, "headers": {"X-Own": path}}))
        shown = await _good(client.get(f"/app/{app}/endpoint/{made['id']}/secret"))
        self.secrets[path] = [shown["key"]]
        return str(made["id"])

    async def rotate(self, client: httpx.AsyncClient, app: str, endpoint: str, path: str) -> None:
        secret = "whsec_" + base64.b64encode(os.urandom(24)).decode()
        self.secrets[path].insert(0, secret)  # either may sign what is under way
        await _good(client.post(f"/app/{app}/endpoint/{endpoint}/secret/rotate", json={"key": secret}))

    async def send(self, client: httpx.AsyncClient, app: str) -> None:
        # in the order of the endpoints that there are, all of which want everything
        self.sent += len(self.secrets)
        await _good(client.post(f"/app/{app}/msg", json={"eventType": "a.b", "payload": {"n": self.sent}}))

    def verified(self) -> int:
        """How many arrived with a signature that is right and the header that is theirs."""
        for one in self.receiver.requests:
            headers = {name.lower(): value for name, value in one.headers}
            assert headers["x-own"] == one.path
            faults = []
            for secret in self.secrets[one.path]:
                try:
                    Webhook(secret).verify(one.body, headers)
                    break
                except Exception as error:
                    faults.append(error)
            else:
                raise AssertionError(f"{one.path}: {faults}")
        return len(self.receiver.requests)


async def _good(asked: Any) -> Any:
    answer = await asked
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def _ring(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


async def test_rekey_while_messages_go_out_loses_nothing(database: Database, database_url: str) -> None:
    async with Receiver() as receiver:
        customers = Customers(receiver)
        async with running(database, OLD) as client:
            app = (await _good(client.post("/app", json={"name": "One"})))["id"]
            endpoints = [await customers.add(client, app) for _ in range(20)]
            await customers.send(client, app)
            await receiver.wait_for(customers.sent)
        unasked = await angarium(
            "key", "rewrap", ANGARIUM_DATABASE_URL=database_url, ANGARIUM_SECRET_KEY=_ring(NEW, OLD)
        )
        _, words = await unasked.communicate()
        assert unasked.returncode == 2
        assert "20 secrets will be encrypted again" in " ".join(words.decode().split())
        async with running(database, NEW, OLD) as client:
            rekey = await angarium(
                "key",
                "rewrap",
                "--yes",
                ANGARIUM_DATABASE_URL=database_url,
                ANGARIUM_SECRET_KEY=_ring(NEW, OLD),
            )
            ended = asyncio.create_task(rekey.communicate())
            for number in itertools.count():
                await customers.send(client, app)
                if number % 5 == 0:
                    turn = number // 5 % 20
                    await customers.rotate(client, app, endpoints[turn], f"/hook/{turn}")
                if number % 10 == 9:
                    await customers.add(client, app)
                await asyncio.wait({ended}, timeout=0.05)
                if ended.done() and number >= 20:
                    break
            said, faults = await ended
            assert rekey.returncode == 0, faults.decode()
            assert "under an older key:  0" in said.decode()
            await receiver.wait_for(customers.sent)
        async with running(database, NEW) as client:
            await customers.send(client, app)
            await receiver.wait_for(customers.sent)
            for endpoint in endpoints:
                await _good(client.get(f"/app/{app}/endpoint/{endpoint}/secret"))
        assert customers.verified() == customers.sent
