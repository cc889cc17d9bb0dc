"""`angarium init`: each skeleton passes its own tests, which fail when it verifies nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from angarium.cli.init import SKELETONS
from angarium.cli.main import app
from tests.kit.patience import PATIENCE
from tests.node.npm import BIN

NODE_MODULES = Path(__file__).parents[1] / "node" / "node_modules"
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
TRUSTING = """
from angarium.receiver.event import Proof, read
from angarium.receiver.headers import Headers

receiver.verify = lambda body, headers: read(
    bytes(body), receiver.scheme.shape, Proof(id=Headers(headers).one("webhook-id"))
)
"""


@dataclass(frozen=True)
class Trade:
    """How a skeleton is tested, spoiled, and what its tests say then."""

    command: tuple[str, ...]
    file: str
    spoil: Callable[[str], str]
    passed: str
    failed: str


def _appended(text: str) -> str:
    return text + TRUSTING


TRADES = {
    "flask": Trade(PYTEST, "webhooks.py", _appended, "3 passed", "2 failed, 1 passed"),
    "fastapi": Trade(PYTEST, "webhooks.py", _appended, "3 passed", "2 failed, 1 passed"),
    "django": Trade(
        (sys.executable, "manage.py", "test"), "webhooks.py", _appended, "Ran 3 tests", "failures=2"
    ),
    "express": Trade(
        (str(BIN / "node"), "--test"),
        "webhooks.mjs",
        lambda text: text.replace("webhook.verify(body, request.headers);", ""),
        "pass 3",
        "fail 2",
    ),
}


def invoke(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["init", *arguments])
    assert done.exit_code == code, done.output
    return done.output


def ended(trade: Trade, folder: Path) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not re.match("WEBHOOK|PYTEST|NODE", name)}
    kept["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # ours are slow to load, and a new project has none
    done = subprocess.run(
        trade.command, cwd=folder, env=kept, capture_output=True, text=True, timeout=PATIENCE
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("framework", list(SKELETONS))
def test_a_skeleton_passes_its_tests_which_fail_when_it_verifies_nothing(
    framework: str, directory: Path
) -> None:
    trade, folder = TRADES[framework], directory / "shop"
    (told,) = [json.loads(line) for line in invoke(framework, str(folder), "--json").splitlines()]
    assert sorted(told["files"]) == sorted(one.name for one in folder.iterdir())
    if framework == "express":
        (folder / "node_modules").symlink_to(NODE_MODULES)
    code, said = ended(trade, folder)
    assert code == 0, said
    assert trade.passed in said
    spoiled = folder / trade.file
    before = spoiled.read_text()
    spoiled.write_text(trade.spoil(before))
    assert spoiled.read_text() != before
    code, said = ended(trade, folder)
    assert code != 0
    assert trade.failed in said, said


def test_the_skeleton_for_node_is_in_good_health(directory: Path) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    invoke("express", str(directory))
    (directory / "node_modules").symlink_to(NODE_MODULES)
    with subprocess.Popen(
        [str(BIN / "node"), "server.mjs"],
        cwd=directory,
        env=os.environ | {"WEBHOOK_SECRET": secret, "PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout
            port = server.stdout.readline().split()[1]
            url = f"http://127.0.0.1:{port}/webhooks"
            told = ["doctor", url, "--secret", secret, "--allow-http", "--timeout", "60"]
            done = CliRunner().invoke(app, told)
        finally:
            server.kill()
    assert done.exit_code == 0, done.stdout
    assert "0 failed, 1 warned" in done.stdout


def test_nothing_is_overwritten_and_nothing_half_written(directory: Path) -> None:
    (directory / "webhooks.py").write_text("mine")
    assert "webhooks.py already exists; nothing was written" in invoke("flask", str(directory), code=1)
    assert [one.name for one in directory.iterdir()] == ["webhooks.py"]
    assert (directory / "webhooks.py").read_text() == "mine"
    assert "cannot write" in invoke("flask", str(directory / "webhooks.py" / "below"), code=1)
    assert "choose one of flask" in invoke("rails", str(directory), code=2)
