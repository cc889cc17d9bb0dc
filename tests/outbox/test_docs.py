"""The examples of docs/client.md work."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kit.patience import PATIENCE, until
from tests.outbox.conftest import Served

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "client.md").read_text(), re.DOTALL)
SITE = """
import sys
from tests.outbox.django_site import configure

configure("django.db")
from django.core.management import call_command
from django.db import transaction

call_command("migrate", verbosity=0)
exec(sys.argv[1])


class Order:
    pk = "ord_4"

    def save(self):
        pass


fill(Order())
call_command("forward_outbox", "--once")
"""


async def test_the_examples_send_their_messages(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANGARIUM_URL", served.url)
    monkeypatch.setenv("ANGARIUM_TOKEN", served.api.token)
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'src'}")
    names: dict[str, Any] = {}
    *plain, django = EXAMPLES
    for number, example in enumerate(plain):
        await asyncio.to_thread(exec, compile(example, f"example {number}", "exec"), names)

    async def forwarded() -> bool:
        return len(await served.messages()) == 3

    await until(forwarded, "the example's thread has sent them on")
    names["stop"].set()
    await asyncio.to_thread(names["thread"].join)
    names["engine"].dispose()
    command = [sys.executable, "-c", SITE, django]
    done = await asyncio.to_thread(subprocess.run, command, cwd=tmp_path, timeout=PATIENCE, check=False)
    assert done.returncode == 0
    listed = (await served.api.get(f"/app/{served.app}/msg", with_content="true"))["data"]
    assert [one["payload"]["id"] for one in listed] == ["ord_4", "ord_3", "ord_2", "ord_1"]
    assert listed[-1]["eventId"] == "order-1-filled"
