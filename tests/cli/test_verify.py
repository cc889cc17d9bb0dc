"""`angarium verify --endpoints` knows whose secret it was."""

from __future__ import annotations

import json

from angarium.testing import sign
from tests.api.conftest import api, backend, client, new_organization
from tests.cli.test_remote import Caller, caller

__all__ = ["api", "backend", "caller", "client", "new_organization"]

BODY = '{"n": 1}'


async def test_the_endpoint_whose_secret_it_was_is_named(caller: Caller) -> None:
    secrets = {}
    for url in ("https://one.example.com/", "https://two.example.com/"):
        endpoint = await caller.api.endpoint(caller.app, url)
        secrets[url] = (await caller.api.get(f"/app/{caller.app}/endpoint/{endpoint}/secret"))["key"]
    one, two = secrets.values()
    headers = json.dumps(sign(BODY, two))
    told = ("verify", "--headers", headers, "--body", BODY)
    (found,) = await caller.lines(*told, "--secret", one, "--endpoints")
    assert (found["mistake"], caller.code) == ("other_secret", 1)
    assert "https://two.example.com/ (ep_" in found["words"]
    assert two not in found["words"]
    (found,) = await caller.lines(*told, "--secret", one)
    assert found["mistake"] == "unknown"
    (found,) = await caller.lines(*told, "--secret", two, "--endpoints", "--url", "http://127.0.0.1:9")
    assert found == {"verified": True}, "what verifies needs no server"
    await caller.run(*told, "--secret", one, "--endpoints", ANGARIUM_TOKEN="")
    assert caller.code == 2
