"""What the documents say is done, exactly as they say it."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from svix.api import (
    ApplicationIn,
    ApplicationListOptions,
    EndpointIn,
    EndpointListOptions,
    EventTypeIn,
    EventTypeListOptions,
    Svix,
    SvixOptions,
)

from angarium.store.database import Database
from tests.api import serving as asgi
from tests.api.conftest import Api, Backend, backend, client, new_organization
from tests.kit.receiver import Receiver
from tests.kit.server import dev

__all__ = ["backend", "client", "new_organization"]

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
ASK = "print(angarium.endpoint.get_secret(app.id, angarium.endpoint.list(app.id).data[0].id).key)"
SQL = re.compile(r"```sql\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


def example(page: str, number: int = 0) -> str:
    """A Python example of a page."""
    return str(PYTHON.findall((ROOT / page).read_text())[number])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def anchors(page: Path) -> list[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one).lower().strip() for one in headings]
    return [re.sub(r"[^\w\- ]", "", one).replace(" ", "-") for one in plain]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_headings_lead_to_one(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            found = anchors(page.parent / target if target else page)
            assert found.count(anchor) == 1, f"{target}#{anchor}"


def test_the_modules_that_the_architecture_page_names_exist() -> None:
    named = re.findall(r"`([a-z_]+/[\w/.]*)`", (ROOT / "docs/architecture.md").read_text())
    assert len(named) > 40
    places = (ROOT / "src/angarium", ROOT)
    assert [one for one in named if not any((place / one).exists() for place in places)] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/decisions/0*.md")), ids=lambda page: page.stem)
def test_a_decision_has_a_date_and_a_status_and_is_in_the_index(page: Path) -> None:
    number, title, date, status = re.findall(
        r"\A# (\d+)\. (.+)\n\nDate: (\d{4}-\d\d-\d\d)\. Status: (.+)\.\n", page.read_text()
    )[0]
    assert int(page.name[:4]) == int(number)
    line = f"| {number} | [{title}]({page.name}) | {date} | {status} |"
    assert line in (page.parent / "README.md").read_text().splitlines()
    listed = f"- [{number}. {title}](decisions/{page.name})"
    assert listed in (ROOT / "docs/llms.txt").read_text().splitlines()


def test_the_list_for_language_models_has_every_page_once() -> None:
    docs = ROOT / "docs"
    listed = re.findall(r"^- \[.*\]\(([^)]*)\)", (docs / "llms.txt").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(str(page.relative_to(docs)) for page in docs.rglob("*.md"))


async def test_the_statements_for_operators_run(database: Database) -> None:
    """What docs/operating.md tells them to ask PostgreSQL."""
    statements = SQL.findall((ROOT / "docs/operating.md").read_text())
    assert len(statements) > 5
    async with database.transaction() as connection:
        await connection.execute("create role angarium")
        for one in statements:
            await connection.execute(one)
        await connection.execute("drop role angarium")


def test_every_page_is_reached_from_the_readme() -> None:
    reached = {ROOT / "README.md"}
    pending = list(reached)
    while pending:
        page = pending.pop()
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            found = (page.parent / target).resolve()
            pages = [found] if found.suffix == ".md" else list(found.glob("*.md")) if found.is_dir() else []
            for one in pages:
                if one in PAGES and one not in reached:
                    reached.add(one)
                    pending.append(one)
    assert set(PAGES) == reached


async def test_a_first_message_is_delivered_and_verified_as_the_readme_and_the_receiving_page_say(
    directory: Path,
) -> None:
    async with dev(directory) as server, Receiver() as watcher:
        first = example("README.md").replace("http://127.0.0.1:9000/webhooks", watcher.url)
        names = f"TOKEN, URL = {server.token!r}, {server.url!r}\n"
        ended = await asyncio.create_subprocess_exec(
            sys.executable, "-c", names + first + ASK, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await ended.communicate()
        (request,) = await watcher.wait_for(1)

        flask: dict[str, Any] = {"__name__": "__main__"}
        exec(example("docs/receiving.md").replace("whsec_…", printed.decode().strip()), flask)
        with serving(flask["app"]) as port:
            answers = [await post(port, request, body) for body in (request.body, request.body + b" ")]
        assert answers == [204, 401]


async def test_the_script_for_moving_from_svix_copies_everything_that_can_be_read(
    backend: Backend, new_organization: Callable[[], Api]
) -> None:
    """Between two organizations, for Angarium has Svix's API."""
    async with asgi.serving(backend.app) as url:
        old, new = new_organization().token, new_organization().token
        services = [Svix(token, SvixOptions(server_url=url)) for token in (old, new)]
        await asyncio.to_thread(fill, services[0])
        script: dict[str, Any] = {"OLD_TOKEN": old, "OLD_URL": url, "NEW_TOKEN": new, "NEW_URL": url}
        await asyncio.to_thread(exec, example("docs/moving.md"), script)
        before, after = [await asyncio.to_thread(read, service) for service in services]
        for client in (*services, script["old"], script["new"]):
            client._httpx_client.close()  # the SDK offers no way to close it
    assert len(before) > 2 * 50, "more than a page of each"
    assert before == after


def fill(svix: Svix) -> None:
    for number in range(51):
        svix.event_type.create(
            EventTypeIn(name=f"order.n{number}", description="An order.", archived=number == 7)
        )
        app = svix.application.create(ApplicationIn(name=f"Customer {number}", uid=f"customer-{number}"))
    for number in range(51):
        svix.endpoint.create(
            app.id,
            EndpointIn(
                url=f"http://127.0.0.1:9/{number}",
                uid=f"endpoint-{number}",
                description="Orders",
                event_types=["order.n1", "order.n2"] if number else None,
                channels=["eu"],
                throttle_rate=5,
                headers={"X-Shop": str(number)},
                disabled=number == 3,
                metadata={"number": str(number)},
            ),
        )


def read(svix: Svix) -> list[Any]:
    """What the copy must have: everything but ids and times."""
    kinds = svix.event_type.list(EventTypeListOptions(limit=250, include_archived=True)).data
    found: list[Any] = [
        (kind.name, kind.description, kind.archived, kind.group_name, kind.schemas) for kind in kinds
    ]
    for app in svix.application.list(ApplicationListOptions(limit=250)).data:
        found.append((app.name, app.uid, app.metadata))
        for one in svix.endpoint.list(app.id, EndpointListOptions(limit=250)).data:
            secret = svix.endpoint.get_secret(app.id, one.id).key
            headers = svix.endpoint.get_headers(app.id, one.id).headers
            found.append((one.url, one.uid, one.description, one.event_types, one.channels, one.throttle_rate,
                          one.disabled, one.metadata, secret, headers))  # fmt: skip
    return sorted(found, key=str)


class serving:  # noqa: N801
    """A WSGI application on a port of its own."""

    def __init__(self, app: Any) -> None:
        class Quiet(WSGIRequestHandler):
            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> int:
        self._thread.start()
        return self._server.server_port

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


async def post(port: int, request: Any, body: bytes) -> int:
    """The status of the answer to the same request with this body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    kept = [(k, v) for k, v in request.headers if k.lower() not in ("content-length", "host", "connection")]
    lines = [
        f"POST /webhooks HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\nconnection: close"
    ]
    lines += [f"{name}: {value}" for name, value in kept]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1])
