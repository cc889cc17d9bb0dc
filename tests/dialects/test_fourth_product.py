"""A fourth product is a file alone: delivered to a real receiver, verified here with nothing but hmac."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import re
from base64 import b64decode
from pathlib import Path

from angarium import profiles
from angarium.core import ids
from angarium.store.database import Database
from tests.kit.receiver import Received, Receiver, Reply
from tests.kit.stand import product, standing

FILE = Path(__file__).parent / "fourth.toml"


def proof(request: Received, secret: str) -> bool:
    """What the product's customers would write."""
    found = re.fullmatch(r"at=(\d+);proof=(.+)", request.header("x-parcel-proof") or "")
    assert found is not None
    signed = f"{found[1]}/{request.header('x-parcel-note')}/".encode() + request.body
    made = hmac.new(secret.encode(), signed, hashlib.sha512).digest()
    return hmac.compare_digest(made, b64decode(found[2], validate=True))


async def test_its_requests_are_as_the_file_says(database: Database) -> None:
    async with Receiver() as receiver, standing(database, product(profiles.load(str(FILE)))) as stand:
        endpoint = await stand.endpoint(receiver.url, eventTypes=["parcel.sent"])
        secret = (await stand.native("GET", f"/endpoint/{endpoint}/secret"))["key"]
        message = await stand.send("parcel.sent", {"parcel": "p_1", "weight": 3})
        await stand.send("parcel.arrived")
        (request,) = await receiver.wait_for(1)
        body = json.loads(request.body)
        assert list(body) == ["kind", "note", "happened", "parcel"]
        note = ids.text("note_", ids.parse("msg_", message["id"]) or stand.world.new_id())
        assert body["kind"] == "parcel.sent"
        assert body["note"] == note == request.header("x-parcel-note")
        assert body["parcel"] == {"parcel": "p_1", "weight": 3}
        assert body["happened"] == "2027-01-15T08:00:00Z"
        assert request.header("x-parcel-kind") == "parcel.sent"
        assert request.header("user-agent") == "Parcel/4"
        assert not [name for name, _ in request.headers if name.lower().startswith(("svix-", "webhook-"))]
        assert proof(request, secret)
        assert not proof(request, secret + "x")


async def test_its_schedule_and_its_rule_for_disabling_are_its_own(database: Database) -> None:
    async with Receiver() as receiver, standing(database, product(profiles.load(str(FILE)))) as stand:
        receiver.default = Reply(500)
        endpoint = await stand.endpoint(receiver.url)
        await stand.send("parcel.sent")
        times = await stand.schedule()
        assert [round(b - a, 3) for a, b in itertools.pairwise(times)] == [7, 70, 700]
        assert (await stand.native("GET", f"/endpoint/{endpoint}"))["disabled"] is False
        await stand.send("parcel.sent")
        times = await stand.schedule()
        assert [round(b - a, 3) for a, b in itertools.pairwise(times)] == [7]
        assert (await stand.native("GET", f"/endpoint/{endpoint}"))["disabled"] is True, "six in a row"


async def test_410_disables_nothing_where_the_file_says_so(database: Database) -> None:
    async with Receiver() as receiver, standing(database, product(profiles.load(str(FILE)))) as stand:
        receiver.default = Reply(410)
        endpoint = await stand.endpoint(receiver.url)
        await stand.send("parcel.sent")
        await stand.until_attempts(1)
        assert (await stand.native("GET", f"/endpoint/{endpoint}"))["disabled"] is False


async def test_five_failures_and_a_success_and_the_count_begins_anew(database: Database) -> None:
    async with Receiver() as receiver, standing(database, product(profiles.load(str(FILE)))) as stand:
        receiver.plan(*[Reply(500)] * 5, Reply(200), *[Reply(500)] * 4)
        endpoint = await stand.endpoint(receiver.url)
        for _ in range(3):
            await stand.send("parcel.sent")
            await stand.schedule()
        assert len(receiver.requests) == 10
        assert (await stand.native("GET", f"/endpoint/{endpoint}"))["disabled"] is False


async def test_its_catalogue_is_there_and_its_keys_are_none(database: Database) -> None:
    async with standing(database, product(profiles.load(str(FILE)))) as stand:
        listed = await stand.native("GET", "//event-type")
        assert {one["name"] for one in listed["data"]} == {"parcel.sent", "parcel.arrived"}
        assert stand.keys == {}
