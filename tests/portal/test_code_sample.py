"""The code samples of an endpoint, run: a signed request is accepted, one with a flipped byte is refused."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import httpx
import pytest

from angarium.core import ids
from angarium.core.nouns import SigningKey
from angarium.core.product import Product
from angarium.portal.customer import code_sample
from tests.kit.patience import PATIENCE
from tests.kit.stand import Stand, product
from tests.node.npm import BIN
from tests.portal.visitor import Visitor

PRODUCTS = ("standard", "bluum", "bluma", "bloom")
SCHEMES = ("standard", "bluma")  # one product for each way of signing, where a program has to be started
SECRET = "whsec_" + "c2VjcmV0" * 4
URL = "https://example.com/hooks/in-here"
PATH = "/hooks/in-here"
NODE_MODULES = Path(__file__).parents[1] / "node" / "node_modules"

Request = tuple[dict[str, str], bytes]


def request_of(made: Product) -> Request:
    """A request as our message format makes it, now."""
    now = time.time()
    message_id = ids.new(now, os.urandom(8))
    body = made.message_format.body(message_id, "order.filled", now, '{"id":"ord_1","name":"é"}'.encode())
    keys = made.message_format.keys([SigningKey(SECRET)])
    headers = made.message_format.headers(
        message_id=message_id, event_type="order.filled", body=body, keys=keys, custom={}, now=now
    )
    return dict(headers), body


def requests_of(made: Product) -> list[tuple[Request, int]]:
    """Good and bad ones, and what each is to be answered with."""
    headers, body = request_of(made)
    flipped = body[:-3] + bytes([body[-3] ^ 1]) + body[-2:]
    unsigned = {name: value for name, value in headers.items() if "ignature" not in name}
    signed_badly = {name: ("\u00e9" if "ignature" in name else value) for name, value in headers.items()}
    nonsense = {name: ("v1,a,b" if "ignature" in name else value) for name, value in headers.items()}
    return [
        ((headers, body), 204),
        ((headers, flipped), 401),
        ((unsigned, body), 401),
        ((signed_badly, body), 401),
        ((nonsense, body), 401),
    ]


@pytest.fixture
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)


def program(made: Product, name: str) -> dict[str, Any]:
    """The sample as a module."""
    code = code_sample.sample(made, URL, name).code
    module: dict[str, Any] = {"__name__": "sample"}
    exec(compile(code, f"{made.name}-{name}.py", "exec"), module)
    return module


@pytest.mark.usefixtures("_secret")
@pytest.mark.parametrize("name", PRODUCTS)
def test_the_flask_sample_works(name: str) -> None:
    made = product(name)
    client = program(made, "flask")["app"].test_client()
    for (headers, body), status in requests_of(made):
        assert client.post(PATH, headers=headers, data=body).status_code == status, headers


@pytest.mark.usefixtures("_secret")
@pytest.mark.parametrize("name", PRODUCTS)
async def test_the_fastapi_sample_works(name: str) -> None:
    made = product(name)
    transport = httpx.ASGITransport(program(made, "fastapi")["app"])
    async with httpx.AsyncClient(transport=transport, base_url="http://receiver.test") as client:
        for (headers, body), status in requests_of(made):
            raw = {key.encode(): value.encode() for key, value in headers.items()}
            assert (await client.post(PATH, headers=raw, content=body)).status_code == status, headers


DJANGO = """
import json, sys
from django.conf import settings
settings.configure(ROOT_URLCONF="sample", ALLOWED_HOSTS=["*"], SECRET_KEY="x")
import django
django.setup()
from django.test import Client
client = Client(enforce_csrf_checks=True)
for path, headers, body in json.load(sys.stdin):
    headers = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    kind = headers.pop("content-type")
    answer = client.post(path, body.encode("latin-1"), content_type=kind, headers=headers)
    print(answer.status_code, file=sys.stderr)
"""


@pytest.mark.parametrize("name", SCHEMES)
def test_the_django_sample_works(name: str, tmp_path: Path) -> None:
    """In a process of its own, because Django's settings are one for each."""
    made = product(name)
    (tmp_path / "sample.py").write_text(code_sample.sample(made, URL, "django").code, "utf-8")
    cases = requests_of(made)
    given = [[PATH, headers, body.decode("latin-1")] for (headers, body), _ in cases]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", DJANGO],
        input=json.dumps(given), capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE, check=False,
        env=os.environ | {"WEBHOOK_SECRET": SECRET, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    answers = [int(line) for line in run.stderr.splitlines() if line.isdigit()]
    assert answers == [status for _, status in cases], run.stderr


@pytest.mark.parametrize("name", SCHEMES)
async def test_the_express_sample_works(name: str, tmp_path: Path) -> None:
    made = product(name)
    code = code_sample.sample(made, URL, "express").code
    listen = "app.listen(process.env.PORT ?? 3000);"
    assert listen in code
    told = 'const server = app.listen(0, "127.0.0.1", () => console.log("port", server.address().port));'
    (tmp_path / "server.mjs").write_text(code.replace(listen, told), "utf-8")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    environment = os.environ | {"WEBHOOK_SECRET": SECRET}
    process = await asyncio.create_subprocess_exec(
        str(BIN / "node"), "server.mjs", cwd=tmp_path, stdout=PIPE, env=environment
    )
    try:
        port = await asyncio.wait_for(_port(process), PATIENCE)
        async with httpx.AsyncClient(timeout=60, base_url=f"http://127.0.0.1:{port}") as client:
            for (headers, body), status in requests_of(made):
                raw = {key.encode(): value.encode() for key, value in headers.items()}
                assert (await client.post(PATH, headers=raw, content=body)).status_code == status, headers
    finally:
        process.kill()
        await process.wait()


async def _port(process: Process) -> int:
    assert process.stdout is not None
    async for line in process.stdout:
        word, _, number = line.decode().partition(" ")
        if word == "port":
            return int(number)
    raise AssertionError("the program ended")


def test_a_path_that_a_framework_would_read_as_a_pattern_is_not_taken() -> None:
    for path in ("/a%7Bb%7D", "/<x>", "/", "", "/a'b", "/:id"):
        assert code_sample.path_of(f"https://example.com{path}") == code_sample.DEFAULT_PATH, path
    assert code_sample.path_of("https://example.com/a/b-c.d?x=1") == "/a/b-c.d"


async def test_the_page_shows_each_sample_with_the_path_of_this_endpoint(
    stand: Stand, visitor: Visitor
) -> None:
    endpoint = await stand.endpoint("http://127.0.0.1:9/hooks/in-here")
    for name, framework in code_sample.FRAMEWORKS.items():
        page = await visitor.get(f"/endpoints/{endpoint}/code?in={name}")
        assert framework.title in page
        assert PATH in page
        assert "standardwebhooks" in page
    assert "Flask" in await visitor.get(f"/endpoints/{endpoint}/code?in=nonsense")
