"""Live updates of open pages: prompt, bounded, and ended when they must be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from angarium.portal.kit import live
from angarium.portal.kit.live import Viewers
from tests.api.serving import serving
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver
from tests.kit.server import dev
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor, visiting


@dataclass
class Watching:
    """One browser that watches, without a socket."""

    visitor: Visitor
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "GET"
    status: int = 0
    text: str = ""
    over: bool = False
    reads: bool = True

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()
        self._gone = asyncio.Event()

    def leave(self) -> None:
        self._gone.set()

    async def until(self, words: str, count: int = 1) -> None:
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: self.text.count(words) >= count)

    async def until_over(self) -> None:
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: self.over)

    async def run(self) -> None:
        place, _, query = self.path.partition("?")
        cookie = "; ".join(f"{name}={value}" for name, value in self.visitor.client.cookies.items())
        headers = {"host": "angarium.test", "cookie": cookie, **self.headers}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": f"{self.visitor.base}{place}",
            "raw_path": f"{self.visitor.base}{place}".encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("angarium.test", 80),
        }
        begun = False

        async def receive() -> dict[str, Any]:
            nonlocal begun
            if not begun:
                begun = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self._gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            async with self._changed:
                if message["type"] == "http.response.start":
                    self.status = message["status"]
                else:
                    if not self.reads:
                        await asyncio.Event().wait()
                    self.text += message.get("body", b"").decode()
                    self.over = not message.get("more_body", False)
                self._changed.notify_all()

        await self.visitor.stand.app(scope, receive, send)


@contextlib.asynccontextmanager
async def watching(visitor: Visitor, path: str = "/messages/live", **options: Any) -> AsyncIterator[Watching]:
    """Watch meanwhile; afterwards the answer has ended."""
    browser = Watching(visitor, path, **options)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        group.create_task(browser.run())
        yield browser
        browser.leave()


def viewers(stand: Stand) -> Viewers:
    found: Viewers = stand.state.viewers
    return found


async def time_passes(stand: Stand) -> None:
    """None while a browser's stream looks: a look that takes long is followed by a long pause."""
    if stand.clock.awaited(stand.state.stopping):
        await stand.clock.advance_to(stand.clock.now() + live.EVERY)
    await asyncio.sleep(0.01)


async def later(stand: Stand, browser: Watching, words: str) -> None:
    """Let time pass until a browser was notified."""
    async with asyncio.timeout(PATIENCE):
        while words not in browser.text and not browser.over:
            await time_passes(stand)
    assert words in browser.text


async def until_over(stand: Stand, browser: Watching) -> None:
    """Let time pass until the answer has ended."""
    async with asyncio.timeout(PATIENCE):
        while not browser.over:
            await time_passes(stand)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def test_a_message_is_news_to_whoever_watches_the_log(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    await stand.endpoint(receiver.url)
    async with watching(visitor) as browser:
        await browser.until("id: ")
        assert "data: news" not in browser.text
        await stand.send("order.filled")
        await stand.until_attempts(1)
        await later(stand, browser, "data: news")
    assert browser.status == 200


async def test_what_the_filter_leaves_out_is_no_news(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    await stand.endpoint(receiver.url)
    async with watching(visitor, "/messages/live?type=stock.*") as browser:
        await browser.until("id: ")
        await stand.send("order.filled")
        await stand.until_attempts(1)
        await later(stand, browser, "\n:\n")
        assert "data: news" not in browser.text


async def test_what_happened_between_the_page_and_its_stream_is_news(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    await stand.endpoint(receiver.url)
    page = await visitor.get("/messages")
    path = page.partition('data-live="')[2].partition('"')[0].removeprefix(visitor.base)
    async with watching(visitor, path) as browser:
        await browser.until("retry: ")
        await later(stand, browser, "\n:\n")
        assert "data: news" not in browser.text  # it is what the page shows
    await stand.send("order.filled")
    async with watching(visitor, path) as browser:
        await browser.until("data: news")
    last = browser.text.partition("id: ")[2].partition("\n")[0]
    await stand.send("order.filled")
    async with watching(visitor, path, headers={"last-event-id": last}) as browser:
        await browser.until("data: news")


async def test_an_attempt_is_news_to_whoever_watches_its_message(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    endpoint = await stand.endpoint(receiver.url)
    sent = await stand.send("order.filled")
    await stand.until_attempts(1)
    async with watching(visitor, f"/messages/{sent['id']}/live") as browser:
        await browser.until("id: ")
        await stand.native("POST", f"/msg/{sent['id']}/endpoint/{endpoint}/resend")
        await stand.until_attempts(2)
        await later(stand, browser, "data: news")


async def test_it_ends_after_some_minutes_and_the_place_is_free(stand: Stand, visitor: Visitor) -> None:
    async with watching(visitor) as browser:
        await browser.until("id: ")
        assert viewers(stand).count == 1
        began = stand.clock.now()
        await until_over(stand, browser)
        assert stand.clock.now() - began >= live.LIFETIME - live.EVERY
    assert viewers(stand).count == 0


async def test_it_ends_with_the_session(stand: Stand, visitor: Visitor) -> None:
    async with watching(visitor) as browser:
        await browser.until("id: ")
        await stand.native("POST", f"//auth/app/{stand.app_id}/expire-all", {})
        began = stand.clock.now()
        await until_over(stand, browser)
        assert stand.clock.now() - began < live.LIFETIME
    assert viewers(stand).count == 0


async def test_no_news_is_told_once_the_session_has_ended(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    await stand.endpoint(receiver.url)
    async with watching(visitor) as browser:
        await browser.until("id: ")
        await stand.native("POST", f"//auth/app/{stand.app_id}/expire-all", {})
        await stand.send("order.filled")
        await until_over(stand, browser)
    assert "data: news" not in browser.text


async def test_a_browser_that_goes_leaves_no_place_and_no_connection_taken(
    stand: Stand, visitor: Visitor
) -> None:
    for _ in range(3):
        async with watching(visitor) as browser:
            await browser.until("retry: ")
    assert viewers(stand).count == 0
    pool = stand.world.database._pool
    await until(lambda: pool.get_idle_size() == pool.get_size())  # others use one at times


async def test_a_browser_that_does_not_read_is_given_up(
    stand: Stand, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PATIENCE", 0.05)
    browser = Watching(visitor, "/messages/live", reads=False)
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(TimeoutError):
            await browser.run()
    assert viewers(stand).count == 0


async def test_one_viewer_too_many_is_refused_and_let_in_when_another_leaves(
    stand: Stand, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_OF_APPLICATION", 1)
    async with watching(visitor) as first:
        await first.until("id: ")
        async with watching(visitor) as second:
            await second.until_over()
        assert second.status == 503
        other = (await stand.native("POST", "//app", {"name": "Other"}))["id"]
        async with visiting(stand, app_id=other) as neighbour, watching(neighbour) as third:
            await third.until("id: ")
            assert third.status == 200
    async with watching(visitor) as again:
        await again.until("id: ")
    assert again.status == 200


def test_a_process_has_places_for_so_many() -> None:
    everybody, stack = Viewers(), contextlib.ExitStack()
    ids = [UUID(int=number) for number in range(live.MAX_VIEWERS + 1)]
    with stack:
        admitted = [stack.enter_context(everybody.joined(app_id)) for app_id in ids]
    assert admitted == [True] * live.MAX_VIEWERS + [False]
    assert everybody.count == 0


async def test_a_wrong_filter_and_a_head_are_answered_at_once(visitor: Visitor) -> None:
    await visitor.get("/messages/live?http=9", status=404)
    async with watching(visitor, method="HEAD") as browser:
        await browser.until_over()
    assert browser.status == 200


async def test_a_server_that_stops_does_not_wait_for_those_who_watch(stand: Stand, visitor: Visitor) -> None:
    async with asyncio.timeout(PATIENCE), serving(stand.app) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        cookie = "; ".join(f"{name}={value}" for name, value in visitor.client.cookies.items())
        writer.write(
            f"GET {visitor.base}/messages/live HTTP/1.1\r\nhost: x\r\ncookie: {cookie}\r\n\r\n".encode()
        )
        assert await reader.readuntil(b"id: ")
        stand.state.stopping.set()
        assert await reader.readuntil(b"\r\n0\r\n\r\n")  # an end in good order
        writer.close()


async def test_a_process_that_is_told_to_stop_ends_what_is_watched_in_good_order(
    directory: Path, database_url: str
) -> None:
    async with dev(directory, ANGARIUM_DATABASE_URL=database_url) as server:
        async with httpx.AsyncClient(timeout=60, base_url=server.url) as client:
            operator = {"authorization": f"Bearer {server.token}"}
            app = await client.post("/api/v1/app", json={"name": "Customer"}, headers=operator)
            app_id = app.json()["id"]
            access = await client.post(f"/api/v1/auth/app-portal-access/{app_id}", json={}, headers=operator)
            key = access.json()["url"].partition("#key=")[2]
            await client.post("/login/session", json={"key": key})
            async with client.stream("GET", f"/portal/{app_id}/messages/live") as answer:
                text = answer.aiter_text()
                assert (await anext(text)).startswith("retry: ")
                server.process.terminate()
                async with asyncio.timeout(PATIENCE):
                    rest = [part async for part in text]  # raises unless it ends as it should
        assert "data: news" not in "".join(rest)
        assert await asyncio.wait_for(server.process.wait(), PATIENCE) == 0
