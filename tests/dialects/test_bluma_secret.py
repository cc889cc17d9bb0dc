"""A secret is replaced in two phases, and the replacement can be seen."""

from __future__ import annotations

import hashlib
import hmac

from angarium.core import ids
from angarium.core.signature import Signer
from angarium.store.database import Database
from tests.dialects.bluma import Customer, Stand, bluma, standing
from tests.kit.clock import ManualClock
from tests.kit.receiver import Received, Receiver

DAY = 86400.0


def alone(request: Received) -> str | None:
    return request.header("X-Bluma-Signature")


def signed(request: Received, secret: str) -> str:
    return f"sha256={hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()}"


def beside(request: Received, *secrets: str) -> bool:
    """Whether the header with room for more is signed by exactly these."""
    stamp = int(request.header("webhook-timestamp") or "0")
    message_id = request.header("webhook-id") or ""
    expected = {Signer(secret).sign(message_id, stamp, request.body) for secret in secrets}
    return set((request.header("webhook-signature") or "").split(" ")) == expected


class Case:
    def __init__(self, stand: Stand, customer: Customer, receiver: Receiver) -> None:
        self.stand, self.customer, self.receiver = stand, customer, receiver

    async def sent(self) -> Received:
        """A message as the receiver gets it now."""
        count = self.receiver.count + 1
        await self.stand.emit(self.customer)
        return (await self.receiver.wait_for(count))[-1]


async def test_a_new_secret_waits_until_it_is_activated(database: Database) -> None:
    clock = ManualClock()
    async with standing(database, clock=clock) as stand, Receiver() as receiver:
        customer = await stand.customer()
        case = Case(stand, customer, receiver)
        made = await customer.webhook(receiver.url)
        one, old = f"/webhooks/{made['id']}", made["secret"]
        answer = await customer.call("POST", f"{one}/regenerate-secret")
        new = answer["secret"]
        assert list(answer) == ["id", "secret", "status", "active_at", "warning"]
        assert (answer["status"], new != old) == ("pending", True)
        seen = await customer.call("GET", one)
        assert seen["pending_secret_active_at"] == answer["active_at"]
        assert new not in str(seen)

        request = await case.sent()
        assert alone(request) == signed(request, old), "one signature only, by the key in force"
        assert beside(request, old, new)
        token = stand.services.token.for_organization(stand.org_id)
        endpoint = ids.parse("webhook_", made["id"])
        assert endpoint is not None
        path = f"/api/v1/app/first/endpoint/{ids.text('ep_', endpoint)}/secret"
        native = {"authorization": f"Bearer {token}"}
        assert (await stand.client.get(path, headers=native)).json() == {"key": old, "nextKey": new}

        await customer.call("POST", f"{one}/activate-secret")
        request = await case.sent()
        assert alone(request) == signed(request, new)
        assert beside(request, old, new), "the old one signs as long as it would have"
        assert (await stand.client.get(path, headers=native)).json() == {"key": new}
        seen = await customer.call("GET", one)
        assert "secret_regenerated_at" in seen
        assert "pending_secret_active_at" not in seen
        refused = await customer.call("POST", f"{one}/activate-secret", status=400)
        assert "no pending secret" in refused["error"]["detail"]

        await clock.advance_to(clock.now() + DAY)
        request = await case.sent()
        assert alone(request) == signed(request, new)
        assert beside(request, new)


async def test_without_activation_the_new_secret_takes_over_when_the_overlap_ends(
    database: Database,
) -> None:
    clock = ManualClock()
    async with standing(database, clock=clock) as stand, Receiver() as receiver:
        customer = await stand.customer()
        case = Case(stand, customer, receiver)
        made = await customer.webhook(receiver.url)
        old = made["secret"]
        answer = await customer.call("POST", f"/webhooks/{made['id']}/regenerate-secret")
        await clock.advance_to(clock.now() + DAY - 1)
        request = await case.sent()
        assert alone(request) == signed(request, old)
        await clock.advance_to(clock.now() + 1)
        request = await case.sent()
        assert alone(request) == signed(request, answer["secret"])
        assert beside(request, answer["secret"])


async def test_a_secret_can_be_replaced_at_once(database: Database) -> None:
    async with standing(database) as stand, Receiver() as receiver:
        customer = await stand.customer()
        case = Case(stand, customer, receiver)
        made = await customer.webhook(receiver.url)
        path = f"/webhooks/{made['id']}/regenerate-secret"
        answer = await customer.call("POST", path, {"immediate": True})
        assert answer["status"] == "active"
        request = await case.sent()
        assert alone(request) == signed(request, answer["secret"])
        assert beside(request, answer["secret"])
        await customer.call("POST", path, {"immediate": "yes"}, status=400)


async def test_a_second_new_secret_takes_the_place_of_the_pending_one(database: Database) -> None:
    async with standing(database) as stand, Receiver() as receiver:
        customer = await stand.customer()
        case = Case(stand, customer, receiver)
        made = await customer.webhook(receiver.url)
        path = f"/webhooks/{made['id']}/regenerate-secret"
        await customer.call("POST", path)
        second = await customer.call("POST", path)
        request = await case.sent()
        assert alone(request) == signed(request, made["secret"])
        assert beside(request, made["secret"], second["secret"])
        third = await customer.call("POST", path, {"immediate": True})
        request = await case.sent()
        assert alone(request) == signed(request, third["secret"])
        assert beside(request, third["secret"])


async def test_the_native_api_rotates_in_two_phases_too(database: Database) -> None:
    async with standing(database, product=bluma()) as stand, Receiver() as receiver:
        customer = await stand.customer()
        case = Case(stand, customer, receiver)
        made = await customer.webhook(receiver.url)
        endpoint = ids.parse("webhook_", made["id"])
        assert endpoint is not None
        path = f"/api/v1/app/first/endpoint/{ids.text('ep_', endpoint)}/secret"
        native = {"authorization": f"Bearer {stand.services.token.for_organization(stand.org_id)}"}

        async def rotated(body: dict[str, int]) -> dict[str, str]:
            """What the API shows after a rotation."""
            answer = await stand.client.post(f"{path}/rotate", json=body, headers=native)
            assert (answer.status_code, answer.content) == (204, b"")
            shown: dict[str, str] = (await stand.client.get(path, headers=native)).json()
            return shown

        shown = await rotated({})
        assert shown["key"] == made["secret"]
        new = shown["nextKey"]
        request = await case.sent()
        assert alone(request) == signed(request, made["secret"])
        assert beside(request, made["secret"], new)
        shown = await rotated({"gracePeriodSeconds": 0})
        request = await case.sent()
        assert shown.keys() == {"key"}
        assert alone(request) == signed(request, shown["key"])
