"""The commands of each page, typed into a shell in the order of the page, beside the server of the README.

What a page shows below a command is compared with what it prints: `…` stands for any text. `make docs-check`
runs this, in some two minutes.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.conftest import TEMPLATE, Clones
from tests.documents.block import ALL, ROOT, TYPED, Step, blocks, of
from tests.documents.stage import Done, Stage, credential, ensure, scene, staged
from tests.kit.patience import PATIENCE

ENDS: Final = {
    "angarium diff": 2,  # something would change
    "angarium listen": 1,  # nothing came
}
"""Commands that end with another code than 0."""
EMPTY: Final = "docs/configuration.md"
"""The page whose organization is empty at first."""
APART: Final = ("serve", "dev", "demo", "--install-completion")
"""Calls that are not made here: the README starts the server, and tests/cli/test_dev.py the others."""
RUN: Final = sorted(
    {block.page for block in ALL if block.kind in TYPED and block.not_run is None}
    - {"README.md", "docs/tutorial.md"}
)
"""The pages. The README starts the server, and tests/documents/test_tutorial.py runs the tutorial."""


@pytest.fixture(scope="module")
def stage(clones: Clones) -> Iterator[Stage]:
    """The server that the README starts."""
    with (
        clones.of(TEMPLATE) as database,
        clones.of(TEMPLATE) as restored,
        tempfile.TemporaryDirectory(prefix="angarium-stage-") as name,
        staged(Path(name), database, restored) as it,
    ):
        yield it


def runs(step: Step) -> bool:
    return not step.command.startswith(("pip ", "make ")) and not any(
        call.startswith(APART) for call in step.calls()
    )


def differs(done: Done, shown: str) -> bool:
    """Whether a command printed something else than the page shows."""
    wanted = ".*".join(re.escape(part) for part in shown.split("…"))
    return bool(shown) and re.fullmatch(wanted, done.printed.strip(), re.DOTALL) is None


def test_the_server_of_the_readme_answers_with_the_token_that_it_creates(stage: Stage) -> None:
    with stage.calling(stage.token) as call:
        assert call.get("app").status_code == 200
        assert call.get("health").json()["database"]["status"] == "ok"


def test_a_command_that_prints_something_else_than_its_page_shows_is_found() -> None:
    done = Done(Step("angarium --version", ("angarium 0.1.0",)), 0, "angarium 0.1.0\nmore\n")
    assert differs(done, "angarium 0.1.0")
    assert differs(done, "…0.1.1…")
    assert not differs(done, "angarium …")
    assert not differs(done, "")


@pytest.mark.parametrize("page", RUN)
async def test_the_commands_of_a_page_do_what_it_shows(page: str, stage: Stage, tmp_path: Path) -> None:
    async with scene(stage, tmp_path) as made:
        for block in blocks(ROOT / page):
            if block.kind == "yaml" and block.text.startswith(("# yaml-language-server", "angarium:")):
                (tmp_path / "angarium.yaml").write_text(made.replaced(block.text))
            if block.kind not in TYPED or block.not_run is not None:
                continue
            if page != EMPTY:
                await ensure(made)
            steps = [step for step in block.steps() if runs(step)]
            ended = await asyncio.to_thread(made.play, steps)
            assert len(ended) == len(steps), f"{block.place}: the shell ended early"
            for done in ended:
                expected = {0} | {code for call, code in ENDS.items() if done.step.command.startswith(call)}
                told = f"{block.place}: {done.step.command}\n{done.code}\n{done.printed}"
                assert done.code in expected, told
                assert not differs(done, made.replaced("\n".join(done.step.shown))), told


async def test_the_fault_of_a_configuration_file_is_told_as_shown(stage: Stage, tmp_path: Path) -> None:
    (block,) = of("text", page="docs/configuration.md")
    line = int(re.findall(r"angarium\.yaml:(\d+):", block.text)[0])
    (example, *_) = of("yaml", page="docs/configuration.md")
    written = example.text.splitlines()
    assert "throttleRate" in written[line - 1]
    written[line - 1] = "    throttleRate: fast"
    async with scene(stage, tmp_path) as made:
        (tmp_path / "angarium.yaml").write_text("\n".join(written))
        (done,) = await asyncio.to_thread(made.play, [Step("angarium diff -f angarium.yaml", ())])
    assert done.code == 1
    assert " ".join(done.printed.split()) == " ".join(block.text.split())


def test_the_json_of_health_has_the_fields_of_the_api(stage: Stage) -> None:
    with httpx.Client(base_url=stage.url, timeout=PATIENCE) as client:
        described = client.get("/api/v1/openapi.json").json()["components"]["schemas"]
    found = of("json", page="docs/operating.md")
    assert found
    for block in found:
        if block.text.startswith("{"):  # the answer of a probe
            answer = json.loads(block.text)
            assert set(answer) == {"probe", "ok", "checks"}
            assert all(set(check) >= {"name", "ok", "reason"} for check in answer["checks"])
            continue
        for line in block.text.strip().splitlines():
            for name, value in json.loads(f"{{{line}}}").items():
                schema = described[f"{name.capitalize()}Out"]
                assert set(value) <= set(schema["properties"]), line
                assert value["status"] in schema["properties"]["status"]["enum"]


def test_the_query_of_a_product_gives_a_link(stage: Stage) -> None:
    (block,) = of("graphql")
    headers = {"authorization": f"Bearer {credential(stage, 'bloom', 'organization')}"}
    answer = httpx.post(f"{stage.url}/v2/gql", json={"query": block.text}, headers=headers, timeout=PATIENCE)
    assert answer.json()["data"]["webhookDashboardUrl"].startswith(f"{stage.url}/login?")


def test_the_script_and_the_element_of_the_portal_exist(stage: Stage) -> None:
    (block,) = of("html")
    (source,) = re.findall(r'src="https://hooks\.example\.com([^"]+)"', block.text)
    (element,) = re.findall(r"<([a-z]+-[a-z]+) ", block.text)
    answer = httpx.get(f"{stage.url}{source}", timeout=PATIENCE)
    assert answer.status_code == 200
    assert f'"{element}"' in answer.text
