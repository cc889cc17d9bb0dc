"""The operator's own pages: coming and going, what is seen, and what can be set right."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from angarium.core import ids
from angarium.core.replica import ReplicaTrouble
from angarium.portal.operator.visit import replica_sentence
from angarium.store.replica import ReplicaState
from tests.kit.access import Crowd
from tests.kit.receiver import Receiver, Reply
from tests.kit.stand import ORG, URL, Stand
from tests.portal.visitor import Visitor


@dataclass
class Operator:
    """A visitor with the organization's token, in a browser without scripts."""

    stand: Stand
    client: httpx.AsyncClient
    csrf_token: str = ""

    async def enter(self, token: str, status: int = 303) -> httpx.Response:
        answer = await self.client.post("/admin/login", data={"token": token})
        assert answer.status_code == status, answer.text
        if status == 303:
            page = (await self.client.get("/admin")).text
            self.csrf_token = re.findall(r'name="csrf_token" value="([0-9a-f]+)"', page)[0]
        return answer

    async def get(self, path: str = "", *, status: int = 200, **query: Any) -> str:
        answer = await self.client.get(f"/admin{path}", params=query or None)
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[:1000]}"
        return answer.text

    async def post(self, path: str, data: Any = None, *, status: int = 303) -> httpx.Response:
        answer = await self.client.post(f"/admin{path}", data={"csrf_token": self.csrf_token, **(data or {})})
        assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[:1000]}"
        return answer


@pytest.fixture
async def operator(stand: Stand) -> AsyncIterator[Operator]:
    async with httpx.AsyncClient(transport=Crowd(stand.app), base_url=URL) as client:
        made = Operator(stand, client)
        await made.enter(stand.services.token.for_organization(ORG))
        yield made


async def test_a_token_is_pasted_into_a_form_and_becomes_a_session(stand: Stand) -> None:
    async with httpx.AsyncClient(transport=Crowd(stand.app), base_url=URL) as client:
        operator = Operator(stand, client)
        assert 'type="password"' in await operator.get(status=401)
        token = stand.services.token
        app_id = ids.parse(ids.APPLICATION, stand.app_id)
        assert app_id is not None
        link = await stand.services.portal_link.open(stand.services.portal_link.make(ORG, app_id).key)
        for wrong in (
            "", "nonsense", token.for_organization(ORG, lifetime=-120), link.token,
            token.for_application(ORG, app_id),
        ):  # fmt: skip
            assert "Not a valid organization token" in (await operator.enter(wrong, 401)).text
        good = token.for_organization(ORG)
        answer = await operator.enter(good)
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert good not in cookie
        page = await operator.get()
        assert "frame-ancestors 'none'" in (await client.get("/admin")).headers["content-security-policy"]
        assert ORG in page
        await operator.post("/logout", status=200)
        # the browser may still have kept it
        name, _, value = cookie.partition(";")[0].partition("=")
        client.cookies.set(name, value)
        await operator.get(status=401)
        client.cookies.clear()
        assert (await operator.enter(good)).status_code == 303


async def test_the_session_is_good_for_nothing_else(operator: Operator) -> None:
    session = operator.client.cookies["angarium-operator"]
    answer = await operator.client.get("/api/v1/app", headers={"authorization": f"Bearer {session}"})
    assert answer.status_code == 401
    answer = await operator.client.post("/admin/login", data={"token": session})
    assert answer.status_code == 401
    app = operator.stand.app_id
    answer = await operator.client.get(f"/portal/{app}", headers={"cookie": f"angarium-{app}={session}"})
    assert answer.status_code == 401


async def test_applications_are_listed_and_found(operator: Operator) -> None:
    stand = operator.stand
    await stand.native("POST", "//app", {"name": "Ünder%score_ & Söhne", "uid": "the-second"})
    page = await operator.get()
    assert "Customer" in page
    assert "Ünder%score_ &amp; Söhne" in page
    assert "Customer" in await operator.get(q=stand.app_id)
    for text in ("the-second", "SECOND", "söhne", "%score_"):
        found = await operator.get(q=text)
        assert "Söhne" in found, text
        assert "Customer" not in found, text
    assert "No application" in await operator.get(q="' or 1=1 --")


async def test_pages_of_applications_lead_on_and_back(operator: Operator) -> None:
    for number in range(60):
        await operator.stand.clock.advance_to(operator.stand.clock.now() + 0.01)
        await operator.stand.native("POST", "//app", {"name": f"Number {number:03}"})
    first = await operator.get()
    older = re.findall(r'href="/admin([^"]*before=[^"]*)"', first)[0]
    second = await operator.get(older)
    assert "Customer" in second
    assert "Number 059" not in second
    newer = re.findall(r'href="/admin([^"]*after=[^"]*)"', second)[0]
    assert "Number 059" in await operator.get(newer)


async def test_what_is_undelivered_is_sent_again_in_bulk(operator: Operator) -> None:
    stand = operator.stand
    async with Receiver() as receiver:
        receiver.default = Reply(500)
        await stand.native("POST", "//event-type", {"name": "a.b", "description": ""})
        endpoint = await stand.endpoint(receiver.url)
        sent = await stand.send("a.b")
        await stand.schedule()
        # sessions do not last as long as retries do
        await operator.enter(stand.services.token.for_organization(ORG))
        page = await operator.get("/dead-letters")
        assert receiver.url in page
        box = re.findall(r'name="endpoint" value="([^"]+)"', page)[0]
        assert box.endswith(endpoint)
        assert sent["id"] in await operator.get("/messages", id=sent["id"])
        failing = await operator.get("/endpoints")
        assert receiver.url in failing
        receiver.default, made = Reply(200), receiver.count
        answer = await operator.post("/dead-letters", {"endpoint": box, "confirmed": "yes"})
        assert answer.headers["location"] == "/admin/tasks?done=started"
        assert re.search("Running|Finished", await operator.get("/tasks"))
        await stand.run_tasks()
        assert "Finished" in await operator.get("/tasks")
        await stand.world.fetch("update background_task set status = 'failed', error = 'endpoint_deleted'")
        assert "The endpoint was deleted." in await operator.get("/tasks")
        await receiver.wait_for(made + 1)
        await operator.post("/dead-letters", status=400)
        nobodys = ids.text(ids.APPLICATION, ids.new(1.0, b"12345678"))
        await operator.post("/dead-letters", {"endpoint": f"{nobodys}.{endpoint}"}, status=404)


async def test_a_look_into_a_portal_shows_and_changes_nothing(operator: Operator) -> None:
    stand = operator.stand
    endpoint = await stand.endpoint("http://127.0.0.1:9/hook")
    answer = await operator.post("/view", {"application": stand.app_id, "next": f"/endpoints/{endpoint}"})
    place = answer.headers["location"]
    assert place == f"/portal/{stand.app_id}/endpoints/{endpoint}"
    page = await operator.client.get(place)
    assert page.status_code == 200
    assert "Operator view" in page.text
    looker = Visitor(stand, operator.client, stand.app_id)
    looker.csrf_token = re.findall(r'name="csrf_token" value="([0-9a-f]+)"', page.text)[0]
    await looker.post(f"/endpoints/{endpoint}/disable", status=403)
    # customers see that there was a look
    assert "Operator view opened" in await looker.get("/audit")
    # leaving the operator's pages ends it
    await operator.post("/logout", status=200)
    assert (await operator.client.get(place)).status_code == 401


async def test_what_an_operator_does_is_in_the_log_by_session(operator: Operator) -> None:
    await operator.post("/view", {"application": operator.stand.app_id})
    page = await operator.get("/audit")
    assert "Operator session" in page
    assert "Operator view opened" in page
    assert "Operator view opened" not in (await operator.get("/audit", what="endpoint"))
    assert "No activity found" in await operator.get("/audit", application="nobody")


async def test_another_organization_is_not_there(operator: Operator) -> None:
    stand = operator.stand
    await stand.endpoint("http://127.0.0.1:9/hook")
    async with httpx.AsyncClient(transport=Crowd(stand.app), base_url=URL) as client:
        stranger = Operator(stand, client)
        await stranger.enter(stand.services.token.for_organization("org_stranger"))
        for path in ("", "/endpoints?health=healthy", "/dead-letters", "/tasks"):
            page = await stranger.get(path)
            assert stand.app_id not in page
            assert "127.0.0.1:9" not in page
        assert "No activity found" in await stranger.get("/audit", application=stand.app_id)
        assert stand.app_id not in (await stranger.get(q="Customer"))
        await stranger.post("/view", {"application": stand.app_id}, status=404)


@pytest.mark.parametrize(
    "query", ["cursor=nonsense", "cursor=1.ep_x&health=disabled", "cursor=%00", "health=x"]
)
async def test_a_wrong_query_is_no_fault_of_ours(operator: Operator, query: str) -> None:
    for path in ("", "/endpoints", "/dead-letters", "/messages", "/audit", "/tasks"):
        for more in (query, f"{query}&q=%00", "id=%00", "application=%00", "before=x&after=y"):
            answer = await operator.client.get(f"/admin{path}?{more}")
            assert answer.status_code < 500, (path, more)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ((None, 0.012, 0), "Lists are read from the replica, which is 12 ms behind."),
        ((ReplicaTrouble.LAGGING, 7.25, 900), "because the replica is 7.2 s behind."),
        ((ReplicaTrouble.UNREACHABLE, None, None), "because the replica does not respond."),
    ],
)
async def test_every_page_says_where_its_lists_are_read_from(
    operator: Operator, state: tuple[ReplicaTrouble | None, float | None, int | None], words: str
) -> None:
    assert "Lists are read from" not in await operator.get()
    trouble, seconds, count = state
    there: Any = SimpleNamespace(state=ReplicaState(trouble, 0.0, seconds, count))
    operator.stand.services.replica = there
    for page in ("", "/endpoints", "/dead-letters", "/messages", "/audit"):
        assert words in await operator.get(page)


def test_there_are_words_for_all_that_keeps_a_replica_from_answering() -> None:
    said = {replica_sentence(ReplicaState(trouble, 0.0, None, None)) for trouble in ReplicaTrouble}
    assert len(said) == len(ReplicaTrouble)
