"""The paths that deploy/ names for probes and metrics are those of a running process."""

from __future__ import annotations

import asyncio
import re
import urllib.error
import urllib.request
from pathlib import Path

from tests.deploy.meaning import DEPLOY
from tests.deploy.ops import PATHS
from tests.deploy.secret import made
from tests.kit.patience import PATIENCE, until
from tests.kit.port import free_port
from tests.kit.server import angarium


def status(url: str) -> int:
    """The status of the answer; 0 if no process listens."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


async def test_a_process_of_the_role_without_an_api_serves_every_path_and_no_other(
    database_url: str, tmp_path: Path
) -> None:
    secrets = await asyncio.to_thread(made, tmp_path)
    port = free_port()
    process = await angarium(
        *("serve", "--role", "dispatch"),
        stderr=None,
        ANGARIUM_DATABASE_URL=database_url,
        ANGARIUM_JWT_SECRET_FILE=str(secrets / "jwt_secret"),
        ANGARIUM_SECRET_KEY_FILE=str(secrets / "secret_key"),
        ANGARIUM_OPS_LISTEN=f"127.0.0.1:{port}",
    )
    try:

        async def ready() -> bool:
            assert process.returncode is None
            return await asyncio.to_thread(status, f"http://127.0.0.1:{port}/readyz") == 200

        await until(ready, "the process is ready")
        found = {path: await asyncio.to_thread(status, f"http://127.0.0.1:{port}{path}") for path in PATHS}
        assert set(found.values()) == {200}, found
        assert await asyncio.to_thread(status, f"http://127.0.0.1:{port}/healthz") == 404
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE)


def test_every_path_in_the_files_is_one_of_them() -> None:
    texts = [path.read_text() for path in DEPLOY.rglob("*") if path.suffix in (".yaml", ".yml", ".tpl")]
    named = {one for text in texts for one in re.findall(r"path: (/\w+z|/metrics)\b", text)}
    assert named == PATHS
