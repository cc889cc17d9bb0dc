from __future__ import annotations

import asyncio
import signal
import stat
import tempfile
from pathlib import Path

import aiohttp

from tests.kit.patience import PATIENCE
from tests.kit.process import runs
from tests.kit.server import Server, angarium, dev


async def test_it_serves_stops_with_its_postgresql_and_goes_on_with_the_same_data(directory: Path) -> None:
    """First it is stopped in order, then it is killed. A third one runs while others are refused."""
    async with dev(directory) as server, aiohttp.ClientSession(server.url) as session:
        process, ready = server.process, server.line
        assert set(ready) == {"url", "token", "organization", "pid", "profiles", "operators"}
        assert ready["pid"] == process.pid
        assert ready["organization"].startswith("org_")
        assert len(ready["organization"]) == 31
        headers = {"authorization": f"Bearer {ready['token']}"}
        async with session.post("/api/v1/app", json={"name": "One", "uid": "one"}, headers=headers) as answer:
            assert answer.status == 201
        postgres = int((directory / "postgres" / "postmaster.pid").read_text().split()[0])
        process.send_signal(signal.SIGTERM)
        more, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0
        assert more == b"", "it prints one line"
    assert not runs(postgres)

    kept = {name: (directory / name).read_text() for name in ("jwt-secret", "secret-key", "organization")}
    async with dev(directory) as second:
        assert second.line["organization"] == ready["organization"]
        assert await found(second, "/api/v1/app/one", headers), "a token lasts longer than a process"
        second.kill()
    async with dev(directory) as third:
        assert await found(third, "/api/v1/app/one", headers)
        await _refused_to_a_second_one(third, directory)
        third.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(third.process.wait(), PATIENCE) == 0
    for name, text in kept.items():
        assert (directory / name).read_text() == text
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600, "closed to others"


async def found(server: Server, path: str, headers: dict[str, str]) -> bool:
    async with aiohttp.ClientSession(server.url) as session, session.get(path, headers=headers) as answer:
        return answer.status == 200


async def _refused_to_a_second_one(first: Server, directory: Path) -> None:
    """It says who has the directory or the port, without a traceback."""
    second = await angarium("dev", "--json", "--port", "0", "--data", str(directory))
    out, err = await asyncio.wait_for(second.communicate(), PATIENCE)
    assert second.returncode == 1
    assert out == b""
    expected = f"another Angarium (pid {first.process.pid}) already uses the data directory {directory}"
    assert expected in err.decode()
    assert "Traceback" not in err.decode()

    port = first.url.rpartition(":")[2]
    with tempfile.TemporaryDirectory(prefix="angarium-test-", ignore_cleanup_errors=True) as other:
        third = await angarium("dev", "--port", port, "--data", other)
        _, err = await asyncio.wait_for(third.communicate(), PATIENCE)
    assert third.returncode == 1
    assert f"cannot listen at 127.0.0.1:{port}" in err.decode()
    assert "Traceback" not in err.decode()


async def test_the_demo_succeeds() -> None:
    process = await angarium("demo")
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, out.decode() + err.decode()
    words = " ".join(out.decode().split())
    assert (
        "6 delivered after 12 attempts; 12 of 12 signatures verified. All messages were delivered." in words
    )
