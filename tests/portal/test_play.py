"""Play: throw-away inboxes, seen from their pages and from outside."""

from __future__ import annotations

import asyncio
import html
import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from angarium.service import play
from angarium.service.play import BURST, KEPT_BODY, KEPT_REQUESTS, MAX_INBOXES, RATE, TURNS
from tests.api.serving import serving
from tests.kit.ended import end
from tests.kit.patience import PATIENCE, until
from tests.kit.stand import URL, Stand
from tests.portal.inbox import address, new_inbox, say, text
from tests.portal.visitor import Visitor, visiting

DAY = 86400.0


# -- pages


async def test_an_inbox_is_made_and_shows_what_comes(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    page = await visitor.get(place)
    assert "No requests yet" in page
    url = address(page)
    assert url.startswith(f"{URL}/play/in/play_")
    answer = await visitor.client.post(url, content=b'{"n":1}', headers={"x-hello": "there"})
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    page = await visitor.get(place)
    assert "Not checked" in page
    assert "No endpoint has the URL of this inbox" in page
    assert "x-hello" in page
    assert "there" in page
    assert "&#34;n&#34;: 1" in page, "pretty"
    assert "{&#34;n&#34;:1}" in await visitor.get(f"{place}?as=raw")
    assert url in await visitor.get("/play")


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


async def test_any_method_is_shown(visitor: Visitor) -> None:
    for method in METHODS:
        place = await new_inbox(visitor)
        await visitor.client.request(method, address(await visitor.get(place)))
        assert f"{method} now" in text(await visitor.get(place))


async def test_what_comes_in_is_shown_as_text_and_nothing_else(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    evil = "<script>alert(1)</script>"
    await visitor.client.post(url, content=evil.encode() + b"\xff\x00", headers={"x-evil": evil})
    page = await visitor.get(place)
    assert evil not in page
    assert html.escape(evil) in page
    assert "\\xff" in page


async def test_credentials_that_come_in_are_not_kept(stand: Stand, visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await stand.endpoint(url)
    ref = (await stand.native("GET", "/endpoint"))["data"][0]["id"]
    await stand.native("PUT", f"/endpoint/{ref}/headers", {"headers": {"X-Own": "hush-3"}})
    sent = {"cookie": "a=hush-1", "authorization": "Bearer hush-2", "x-own": "hush-3", "x-other": "told"}
    await visitor.client.post(url, headers=sent, content=b"{}")
    page = await visitor.get(place)
    assert "hush" not in page
    assert "told" in page
    assert page.count("(hidden)") == 3
    (row,) = await stand.world.fetch("select cast(headers as text) from play_request")
    assert "hush" not in row[0]


async def test_the_newest_request_is_shown_or_the_one_that_was_asked_for(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await visitor.client.post(url, content=b"first-one")
    await visitor.stand.clock.advance_to(visitor.stand.clock.now() + 60)
    await visitor.client.post(url, content=b"second-one")
    page = await visitor.get(place)
    assert "second-one" in page
    assert "first-one" not in page
    older = re.findall(r'href="[^"?]*\?request=(play_\w+)#request"', page)[1]
    page = await visitor.get(place, request=older)
    assert "first-one" in page
    assert "second-one" not in page


async def test_a_part_of_the_page_is_fetched_again_when_something_came(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    answer = await visitor.client.get(place, headers={"hx-request": "true"})
    assert "No requests yet" in answer.text
    assert "<html" not in answer.text


async def test_it_leads_to_a_new_endpoint_with_its_url(visitor: Visitor) -> None:
    answer = await visitor.post("/play", {"then": "endpoint"})
    place = urlsplit(answer.headers["location"])
    assert place.path == f"{visitor.base}/endpoints/new"
    (url,) = parse_qs(place.query)["url"]
    assert (await visitor.client.post(url)).status_code == 200
    page = await visitor.get(f"/play/{url.rpartition('/')[2]}")
    assert f'href="{visitor.base}/endpoints/new?url=' in page


async def test_an_inbox_is_emptied_and_deleted(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await visitor.client.post(url, content=b"to be gone")
    assert "No requests yet" in await visitor.follow(f"{place}/clear", {"confirmed": "yes"})
    assert "The inbox was deleted" in await visitor.follow(f"{place}/delete", {"confirmed": "yes"})
    await visitor.get(place, status=404)
    assert (await visitor.client.post(url)).status_code == 404


async def test_an_application_has_a_bounded_number_of_inboxes(visitor: Visitor) -> None:
    answers = await asyncio.gather(
        *(
            visitor.client.post(f"{visitor.base}/play", data={"csrf_token": visitor.csrf_token})
            for _ in range(30)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [303] * MAX_INBOXES + [409] * 10
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert f"Inbox limit reached ({MAX_INBOXES})" in refused.text
    assert "New inbox" not in await visitor.get("/play")


async def test_a_reader_sees_and_changes_nothing(stand: Stand, visitor: Visitor, reader: Visitor) -> None:
    place = await new_inbox(visitor)
    page = await reader.get(place)
    assert address(page)
    assert page.count("<form") == 1, "the one to leave"
    for path in ("/play", place, f"{place}/clear", f"{place}/delete"):
        await reader.post(path, {"status": "500"}, status=403)
    assert (await visitor.client.post(address(page))).status_code == 200


async def test_an_outsider_finds_no_inbox_of_another_application(stand: Stand, visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    ref = place.rpartition("/")[2]
    other = await stand.native("POST", "//app", {"name": "other"})
    async with visiting(stand, app_id=other["id"]) as outsider:
        await outsider.get(f"/play/{ref}", status=404)
        for path in (f"/play/{ref}", f"/play/{ref}/clear", f"/play/{ref}/delete"):
            await outsider.post(path, {"status": "500", "delay": "0", "failures": "0"}, status=404)
        assert ref not in await outsider.get("/play")
    assert (await visitor.client.post(address(await visitor.get(place)))).status_code == 200


async def test_without_an_address_of_its_own_it_says_what_is_missing(stand: Stand, visitor: Visitor) -> None:
    stand.services.play._urls = None
    page = await visitor.get("/play")
    assert "ANGARIUM_PUBLIC_URL" in page
    assert "New inbox" not in page
    answer = await visitor.post("/play", status=400)
    assert "ANGARIUM_PUBLIC_URL" in answer.text


# -- answers


SOME_STATUSES = [204, 302, 401, 410, 429, 503]


async def test_it_answers_with_the_status_that_was_chosen(visitor: Visitor) -> None:
    for status in SOME_STATUSES:
        place = await new_inbox(visitor)
        url = address(await visitor.get(place))
        await say(visitor, place, status=str(status))
        answer = await visitor.client.post(url, content=b"{}")
        assert answer.status_code == status
        assert f"Response: {status}" in text(await visitor.get(place))


async def test_some_requests_fail_at_random(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await say(visitor, place, failures="50")
    answers = [(await visitor.client.post(url)).status_code for _ in range(60)]
    assert set(answers) == {200, 500}
    await say(visitor, place, failures="100")
    assert (await visitor.client.post(url)).status_code == 500


async def test_it_answers_late(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await say(visitor, place, delay="0.3")
    started = asyncio.get_running_loop().time()
    async with serving(visitor.stand.app) as base, httpx.AsyncClient(timeout=60) as client:
        answer = await client.post(base + urlsplit(url).path)
    assert answer.status_code == 200
    assert asyncio.get_running_loop().time() - started >= 0.3


async def test_a_server_that_stops_lets_nobody_wait(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await visitor.stand.world.fetch("update play_inbox set delay_ms = 600000")
    async with serving(visitor.stand.app) as base, httpx.AsyncClient(timeout=60) as client:
        waiting = asyncio.create_task(client.post(base + urlsplit(url).path))
        await until(lambda: _came(visitor, place))
        visitor.stand.state.stopping.set()
        assert (await waiting).status_code == 200


async def _came(visitor: Visitor, place: str) -> bool:
    return "No requests yet" not in await visitor.get(place)


NONSENSE = [
    ({"status": "999"}, "The status must be one of 200, 201"),
    ({"status": "99999999999"}, "Choose a status from the list"),
    ({"status": "two"}, "Choose a status from the list"),
    ({"delay": "14.5"}, "The delay must be between 0 and 14 seconds"),
    ({"delay": "-1"}, "The delay must be"),
    ({"delay": "nan"}, "Enter a number of seconds"),
    ({"delay": "1e999"}, "Enter a number of seconds"),
    ({"failures": "101"}, "between 0 and 100 percent"),
    ({"failures": "1.5"}, "Enter a whole number"),
]


async def test_what_makes_no_sense_is_refused_at_its_field(visitor: Visitor) -> None:
    for form, words in NONSENSE:
        place = await new_inbox(visitor)
        asked = {"status": "404", "delay": "0", "failures": "0"} | form
        answer = await visitor.post(place, asked, status=422)
        assert words in html.unescape(answer.text)
        assert 'aria-invalid="true"' in answer.text
        assert "Response: 200 OK" in text(await visitor.get(place))


# -- bounds


async def test_only_the_newest_requests_are_kept(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    for number in range(KEPT_REQUESTS + 5):
        await visitor.stand.clock.advance_to(visitor.stand.clock.now() + 0.01)
        assert (await visitor.client.post(url, content=str(number).encode())).status_code == 200
    rows = await visitor.stand.world.fetch("select body from play_request order by id")
    assert [row["body"] for row in rows] == [str(n).encode() for n in range(5, KEPT_REQUESTS + 5)]


async def test_a_long_body_is_cut_off_and_said_to_be(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await visitor.client.post(url, content=b"a" * (KEPT_BODY + 1000))
    assert "Only the first 65.5 kB of 66.5 kB are stored" in text(await visitor.get(place))
    assert (await visitor.client.post(url, content=b"a" * (3 * 1024 * 1024))).status_code == 413


SWELLING = [
    b"[" * 60 + b"[]," * 20_000 + b"0" + b"]" * 60,
    b"[" * 30_000 + b"]" * 30_000,
    (b"[" * 100 + b"]" * 100 + b",") * 300,
    b"[" + b"0," * 32_000 + b"0]",
    b"\xff" * KEPT_BODY,
    b'"' * KEPT_BODY,
    b"<" * KEPT_BODY,
]


@pytest.mark.parametrize("body", SWELLING)
async def test_a_page_stays_small_whatever_comes_in(visitor: Visitor, body: bytes) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    headers = {f"x-{number}": '"' * 4000 for number in range(90)}
    for _ in range(3):
        await visitor.client.post(url, content=body, headers=headers)
    for query in ("", "?as=raw"):
        assert len(await visitor.get(place + query)) < 1024 * 1024


async def test_an_inbox_takes_so_many_requests_and_then_says_to_slow_down(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    answers = [(await visitor.client.post(url)).status_code for _ in range(int(BURST) + 3)]
    assert answers == [200] * int(BURST) + [429] * 3
    clock = visitor.stand.clock
    await clock.advance_to(clock.now() + 1)
    answers = [(await visitor.client.post(url)).status_code for _ in range(int(RATE) + 1)]
    assert answers == [200] * int(RATE) + [429]


async def test_an_inbox_that_is_used_lives_on_and_one_that_is_not_ends(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    clock, database = visitor.stand.clock, visitor.stand.world.database
    start = clock.now()

    await clock.advance_to(start + 6 * DAY)
    await end(database, clock)
    assert (await visitor.client.post(url)).status_code == 200
    await clock.advance_to(start + 12 * DAY)
    assert (await visitor.client.post(url)).status_code == 200
    await clock.advance_to(start + 20 * DAY)
    assert (await visitor.client.post(url)).status_code == 404
    await end(database, clock)
    (row,) = await visitor.stand.world.fetch("select count(*) from play_inbox")
    assert row[0] == 0


async def test_requests_are_forgotten_after_a_day(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    clock = visitor.stand.clock
    await visitor.client.post(url, content=b"old")
    await clock.advance_to(clock.now() + DAY + 1)
    async with visiting(visitor.stand) as later:
        assert "No requests yet" in await later.get(place)
    await end(visitor.stand.world.database, clock)
    assert await visitor.stand.world.fetch("select * from play_request") == []


async def test_the_inbox_of_a_deleted_application_takes_nothing(stand: Stand, visitor: Visitor) -> None:
    url = address(await visitor.get(await new_inbox(visitor)))
    await stand.native("DELETE", f"//app/{stand.app_id}")
    assert (await visitor.client.post(url)).status_code == 404


NO_INBOXES = ["x", "play_", "play_" + "0" * 27, "msg_" + "0" * 27, "play_%2e%2e"]


async def test_what_is_no_inbox_is_not_found(visitor: Visitor) -> None:
    for ref in NO_INBOXES:
        assert (await visitor.client.post(f"/play/in/{ref}")).status_code == 404
        await visitor.get(f"/play/{ref}", status=404)


async def test_a_rush_to_an_inbox_leaves_connections_to_the_database_for_others(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(play, "PATIENCE", PATIENCE)
    url = address(await visitor.get(await new_inbox(visitor)))
    world = visitor.stand.world

    async def waiting() -> int:
        (row,) = await world.fetch(
            "select count(*) from pg_stat_activity "
            "where datname = current_database() and wait_event_type = 'Lock'"
        )
        return int(row[0])

    async def all_turns_taken() -> bool:
        return await waiting() >= TURNS

    async with world.database.transaction() as holder:
        await holder.execute("select * from play_inbox for update")
        rush = [asyncio.create_task(visitor.client.post(url)) for _ in range(40)]
        await until(all_turns_taken)
        await visitor.get("/endpoints")  # others are answered meanwhile
        assert await waiting() == TURNS
    assert {(await task).status_code for task in rush} == {200}


async def test_who_goes_on_too_fast_is_still_let_in_at_the_rate(visitor: Visitor) -> None:
    url = address(await visitor.get(await new_inbox(visitor)))
    clock = visitor.stand.clock
    for _ in range(int(BURST)):
        await visitor.client.post(url)
    answers = []
    for _ in range(100):  # a thousand a second
        await clock.advance_to(clock.now() + 0.001)
        answers.append((await visitor.client.post(url)).status_code)
    assert answers.count(200) in (4, 5)
