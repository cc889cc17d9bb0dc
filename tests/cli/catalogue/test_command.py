"""`angarium event-type import` and `export` against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.conftest import Api, api, backend, client, new_organization
from tests.cli.catalogue.test_catalogue import OPENAPI, RECURSIVE
from tests.cli.configuration.test_apply import Files, files

__all__ = ["api", "backend", "client", "files", "new_organization"]


async def imported(files: Files, text: str, *more: str) -> str:
    path = files.write(text, "document.yaml")
    return await files.caller.run("event-type", "import", path, *more)


@pytest.mark.parametrize("form", ["openapi", "asyncapi"])
async def test_event_types_go_to_another_organization_as_a_document(
    files: Files, form: str, new_organization: Callable[[], Api]
) -> None:
    call = files.caller.api
    more = {"groupName": "order", "featureFlags": ["beta"], "deprecated": True}
    await call.event_type("order.filled", schemas={"1": RECURSIVE, "2": {"type": "object"}}, **more)
    await call.event_type("order.old", archived=True)
    for arguments in ((), ("--json",)):
        document = await files.caller.run("event-type", "export", "--format", form, *arguments)
        assert "order.old" not in document
        assert await imported(files, document, "--yes") == "Nothing to do.\n"
    files.caller.api = new_organization()
    assert "+ event type order.filled" in await imported(files, document, "--yes")
    assert files.caller.code == 0, files.caller.said
    again = await files.caller.run("event-type", "export", "--format", form, "--json")
    assert json.loads(again) == json.loads(document)
    assert await imported(files, document) == "Nothing to do.\n"


async def test_a_document_changes_event_types_and_archives_with_the_flag(files: Files) -> None:
    await files.caller.api.event_type("order.other")
    await imported(files, json.dumps(OPENAPI))
    assert (files.caller.code, "confirm with --yes" in files.caller.said) == (2, True)
    await imported(files, json.dumps(OPENAPI), "--yes")
    assert files.caller.code == 0, files.caller.said
    changed = json.dumps(OPENAPI).replace("An order was filled.", "Filled.")
    printed = await imported(files, changed, "--delete", "--yes")
    assert "~ event type order.filled\n" in printed
    assert "- event type order.other\n" in printed
    assert await imported(files, changed, "--delete", "--yes") == "Nothing to do.\n"
    assert (await files.caller.api.get("/event-type/order.other"))["archived"]


async def test_a_fault_names_the_line_and_nothing_is_done(files: Files, tmp_path: Path) -> None:
    text = "openapi: 3.1.0\nwebhooks:\n  a.b:\n    post:\n      requestBody: {$ref: '#/components/x'}\n"
    await imported(files, text, "--yes")
    assert files.caller.code == 1
    assert "document.yaml:3: webhooks[\"a.b\"]: '#/components/x' does not exist" in files.caller.said
    await files.caller.run("event-type", "export", "--format", "raml")
    assert (files.caller.code, "openapi or asyncapi" in files.caller.said) == (2, True)
    assert (await files.caller.api.get("/event-type"))["data"] == []
