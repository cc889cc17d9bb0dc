"""Everything that Svix's open server offers is in our document, and unknown things are refused in JSON."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e.conftest import Server
from tests.e2e.operation import BATCH, IMPLEMENTED, LOGOUT


async def test_the_document_names_all_of_them(server: Server) -> None:
    async with server.client() as client:
        answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    paths = answer.json()["paths"]
    ours = {(method.upper(), path) for path, item in paths.items() for method in item}
    assert len(set(IMPLEMENTED)) == 39
    assert set(IMPLEMENTED) | {LOGOUT, BATCH} <= ours


@pytest.mark.parametrize("token", ["valid", "none", "nonsense"])
async def test_unknown_paths_and_methods_are_answered_in_json(server: Server, token: str) -> None:
    headers = {"valid": {"authorization": f"Bearer {server.token}"}, "none": {}}
    given = headers.get(token, {"authorization": "Bearer nonsense"})
    paths = ("/nowhere", "/api", "/api/v1", "/api/v1/app/a/b/c/d", "/api/v1/none/%2F", "/api/v1//app", "/é")
    known = ("/api/v1/app", "/api/v1/app/x/msg", "/api/v1/app/x/msg/batch", "/api/v1/health")
    async with httpx.AsyncClient(timeout=60, base_url=server.url, headers=given) as client:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            for path in (*paths, *known):
                answer = await client.request(method, path)
                if answer.is_success:
                    continue
                assert answer.status_code in ((404, 405) if path in paths else (401, 404, 405, 422)), (
                    method,
                    path,
                    answer,
                )
                assert answer.headers["content-type"] == "application/json", (method, path)
                body = answer.json()
                assert "detail" in body, (method, path, body)
                assert isinstance(body["detail"], list) == (answer.status_code == 422)
