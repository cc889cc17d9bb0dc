"""Whatever fits or almost fits the OpenAPI document, the server never fails on it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.conftest import Api, Backend
from tests.api.serving import serving

CHECKS = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"


@pytest.mark.timeout(300)
async def test_fuzzing_the_document_finds_no_fault(
    backend: Backend, new_organization: Callable[[], Api], tmp_path: Path
) -> None:
    api = new_organization()
    app = await api.application()
    endpoint = await api.endpoint(app)
    await api.event_type("known")
    message = await api.post(f"/app/{app}/msg", {"eventType": "known", "payload": {}}, status=202)
    inbox = await api.post(f"/app/{app}/inbox")
    names = {"app_id": app, "endpoint_id": endpoint, "event_type_name": "known", "msg_id": message["id"]}
    names["inbox_id"] = inbox["id"]
    lines = [f'"path.{name}" = "{value}"\n' for name, value in names.items()]
    (tmp_path / "schemathesis.toml").write_text("[parameters]\n" + "".join(lines))
    async with serving(backend.app) as url:
        fuzzer = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"),
            "run",
            f"{url}/api/v1/openapi.json",
            f"--header=Authorization: Bearer {api.token}",
            f"--checks={CHECKS}",
            "--phases=coverage,fuzzing",
            "--max-examples=5",
            "--exclude-method=DELETE",  # what is deleted cannot be tried any more
            "--no-color",
            cwd=tmp_path,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(280):
                said, _ = await fuzzer.communicate()
        finally:
            if fuzzer.returncode is None:
                fuzzer.kill()
                await fuzzer.wait()
    assert fuzzer.returncode == 0, said.decode()
