"""Each example does what its README says."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import httpx

from angarium.testing import sign
from tests.examples.program import EXAMPLES, Example
from tests.kit.patience import PATIENCE, until
from tests.kit.port import free_port
from tests.outbox.conftest import Served

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"type":"order.placed","data":{"id":7,"item":"lamp"}}'
NODE_MODULES = Path(__file__).parents[1] / "node" / "node_modules"


def shop(name: str, served: Served, **more: str) -> Example:
    return Example(name, {"ANGARIUM_URL": served.url, "ANGARIUM_TOKEN": served.api.token} | more)


def at(port: int | str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False)


async def messages(served: Served) -> list[tuple[str, object]]:
    listed = await served.api.get("/app/acme/msg", with_content="true")
    return [(one["eventType"], one["payload"]) for one in listed["data"]]


def is_link(text: str) -> bool:
    return re.fullmatch(r"https://hooks\.example\.com/login#key=[\w-]{100,}=*\s*", text) is not None


async def test_the_fastapi_shop_sends_a_message_for_an_order(served: Served, tmp_path: Path) -> None:
    example = shop("fastapi-shop", served, DATABASE_URL=f"sqlite:///{tmp_path}/shop.db")
    port = free_port()
    command = example.command("uvicorn", **{"8000": str(port)})
    async with example.running(command, "Uvicorn running on"), at(port) as customer:
        assert (await customer.put("/customers/acme", json={"name": "Acme"})).status_code == 204
        placed = await customer.post("/customers/acme/orders", json={"item": "lamp"})
        assert (placed.status_code, placed.json()) == (201, {"id": 1, "item": "lamp"})
        await until(lambda: messages(served), "the forwarder has sent the message")
        assert is_link((await customer.post("/customers/acme/webhooks")).json()["url"])
        assert (await customer.post("/customers/a%3Fb/webhooks")).status_code == 422
    assert await messages(served) == [("order.placed", {"id": 1, "item": "lamp"})]


async def test_the_django_shop_sends_a_message_for_an_order(served: Served, tmp_path: Path) -> None:
    example = shop("django-shop", served, DATABASE=str(tmp_path / "shop.db"))
    port = free_port()
    migrate = example.command("python manage.py migrate")
    await example.run(migrate)
    await example.run([*migrate[:2], "makemigrations", "--check"])
    assert is_link(await example.run(example.command("python manage.py sign_up")))
    command = [*example.command("python manage.py runserver", **{"8000": str(port)}), "--noreload"]
    async with example.running(command, "Quit the server"), at(port) as customer:
        placed = await customer.post("/customers/acme/orders", data={"item": "lamp"})
        assert (placed.status_code, placed.json()) == (201, {"id": 1, "item": "lamp"})
        assert (await customer.post("/customers/acme/orders")).status_code == 400
    await example.run([*example.command("python manage.py forward_outbox"), "--once"])
    assert await messages(served) == [("order.placed", {"id": 1, "item": "lamp"})]


async def received(port: int | str) -> list[int]:
    """The statuses for an event, a duplicate, a forged event, and one that is too large."""
    headers = sign(BODY, SECRET) | {"content-type": "application/json"}
    large = b'{"pad":"%s"}' % (b"a" * 1024 * 1024)
    bodies = (
        (BODY, headers),
        (BODY, headers),
        (BODY.replace(b"7", b"8"), headers),
        (large, sign(large, SECRET)),
    )
    async with at(port) as sender:
        return [
            (await sender.post("/webhooks", content=body, headers=given)).status_code
            for body, given in bodies
        ]


async def test_the_flask_receiver_ships_an_order_once(tmp_path: Path) -> None:
    example = Example("flask-receiver", {"WEBHOOK_SECRET": SECRET, "INBOX": str(tmp_path / "inbox.db")})
    port = free_port()
    async with example.running(example.command("flask", **{"9000": str(port)}), "Running on"):
        assert await received(port) == [202, 200, 401, 413]
        later = b'{"type":"order.lost"}'
        async with at(port) as sender:
            await sender.post("/webhooks", content=later, headers=sign(later, SECRET))
    async with example.running(example.command("python -m angarium.receiver"), "shipped lamp") as worker:
        await worker.line("ignored order.lost")
    assert sum("shipped" in line for line in worker.said) == 1


async def test_the_node_receiver_ships_an_order_once(tmp_path: Path) -> None:
    source = EXAMPLES / "node-receiver"
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    example = Example("node-receiver", {"WEBHOOK_SECRET": SECRET, "PORT": "0"}, tmp_path)
    start = json.loads((source / "package.json").read_text())["scripts"]["start"]
    async with example.running(example.translated(start), r"listening on port") as program:
        port = re.findall(r"\d+", program.said[-1])[0]
        assert await received(port) == [204, 204, 401, 413]
        async with at(port) as sender:
            assert [(await sender.get(path)).status_code for path in ("/webhooks", "/")] == [405, 404]
        await program.line("shipped lamp")
    assert program.rest.count("shipped") == 0
