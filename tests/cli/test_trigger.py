"""`angarium trigger` against the server that `make serve` starts, as its first lines say."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from angarium.client import Angarium
from tests.kit import command
from tests.kit.server import dev


async def run(*arguments: str, **variables: Any) -> tuple[int, str, str]:
    done = await asyncio.to_thread(command.run, *arguments, **variables)
    return done.returncode, done.stdout, done.stderr


async def test_the_server_of_make_serve_takes_what_is_triggered(directory: Path) -> None:
    async with dev(directory) as server:
        given = {"ANGARIUM_URL": server.url, "ANGARIUM_TOKEN": server.line["token"]}
        code, _, said = await run("trigger", "order.filled", **given)
        assert code == 2
        assert "there are no applications" in re.sub(r"[\s│]+", " ", said)

        client = Angarium(server.url, server.line["token"])
        await asyncio.to_thread(client.call, "POST", "/app", {"name": "First", "uid": "first"})
        code, out, said = await run(
            "trigger", "order.accepted", "order.filled", "--set", "amount=1.00", "--json", **given
        )
        assert code == 0, said
        assert "the catalogue is empty" in said
        made = [json.loads(line) for line in out.splitlines()]
        assert [one["eventType"] for one in made] == ["order.accepted", "order.filled"]
        assert out.count('"payload":{"amount":1.00}') == 2

        code, _, said = await run("trigger", "order.filled", "--app", "second", **given)
        assert code == 1
        assert "no application second" in said

        for name, operator in server.line["operators"].items():
            await _of_a_product(server.url, name, operator)


async def _of_a_product(url: str, name: str, operator: Mapping[str, Any]) -> None:
    given = {"ANGARIUM_URL": url, "ANGARIUM_TOKEN": str(operator["token"])}
    client = Angarium(url, operator["token"])
    types = await asyncio.to_thread(lambda: [one["name"] for one in client.each("/event-type")])
    assert types, name
    code, out, said = await run("trigger", types[0], **given)
    assert (code, out.split()[1]) == (0, types[0]), said
    code, _, said = await run("trigger", types[0] + "x", **given)
    assert code == 1
    assert f"Did you mean {types[0]}" in said
