"""Every code block of the documents is run, or checked by its kind, or says why it is not.

`make docs-check` also runs tests/documents/page.py, which types the commands of all pages into a shell. Here
it is checked that what they name exists.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections import Counter
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import asyncpg
import jsonschema_rs
import pytest
import yaml

from angarium.api.errors import body_of
from angarium.core.errors import MessageLimitReached
from angarium.receiver import verify
from tests.deploy.meaning import command_fault
from tests.documents.block import ALL, PAGES, ROOT, TYPED, Block, Step, blocks, indented, of
from tests.documents.stage import SECRET
from tests.kit.debian import ensure as ensure_program
from tests.kit.debian import unpacked

PYTHON: Final = {
    "README.md": ("tests/test_docs.py", 1),
    "docs/client.md": ("tests/outbox/test_docs.py", 6),
    "docs/moving.md": ("tests/test_docs.py", 1),
    "docs/receiver.md": ("tests/receiver/test_docs.py", 8),
    "docs/receiving.md": ("tests/test_docs.py", 1),
    "docs/tutorial.md": ("tests/documents/test_tutorial.py", 1),
}
"""The test that runs the Python of a page, and how many examples it runs."""
PAGE_OF: Final = {
    ("ini", "docs/deploying.md"), ("ini", "docs/restoring.md"), ("json", "docs/configuration.md"),
    ("json", "docs/erasure.md"), ("json", "docs/operating.md"), ("json", "docs/quotas.md"),
    ("text", "docs/architecture.md"), ("text", "docs/configuration.md"),
}  # fmt: skip
"""Blocks of a kind that means something else on each page, with a test for each page."""
COMMANDS: Final = [block for block in ALL if block.kind in TYPED]
_SUBSTITUTED: Final = re.compile(r"\$\([^()]*(?:\([^()]*\)[^()]*)*\)")


def ids(block: Block) -> str:
    return block.place


def test_every_block_has_a_kind_that_is_checked_or_a_reason_why_it_is_not_run() -> None:
    """The tests of other kinds take every block, or count them."""
    checked = {*TYPED, "python", "sql", "yaml", "http", "graphql", "html", "diff"}
    known = [*of(*checked), *(block for kind, page in PAGE_OF for block in of(kind, page=page))]
    assert [block.place for block in ALL if block.not_run is None and block not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_fenced_so_that_it_has_a_kind(page: Path) -> None:
    assert indented(page) == []


def test_blocks_commands_output_and_reasons_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.documents.block.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: a reason -->\n```console\n$ one \\\n  two\nshown\n$ three\n```\n"
        "- list\n\n    its text\n\n   ```sh\n   four\n   ```\n\ntext\n\n    alone\n"
    )
    first, second = blocks(page)
    assert (first.place, first.not_run, second.not_run) == ("page.md:2", "a reason", None)
    assert first.steps() == [Step("one \\\n  two", ("shown",)), Step("three", ())]
    assert second.steps() == [Step("four", ())]
    assert indented(page) == [18]


def faults(step: Step) -> list[str]:
    """What is wrong with a command, as far as can be seen without running it."""
    found = []
    plain = _SUBSTITUTED.sub("X", step.command)
    for call in [
        *step.calls(),
        *(call for sub in _SUBSTITUTED.findall(step.command) for call in Step(sub, ()).calls()),
    ]:
        words = shlex.split(_SUBSTITUTED.sub("X", call), comments=True)
        if words[:1] != ["--install-completion"] and (fault := command_fault(words)):
            found.append(fault)
    words = shlex.split(plain, comments=True)
    if words[0].endswith("pip"):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        named = [name for word in words for name in re.findall(r"angarium\[(\w+)\]", word)]
        found += [name for name in named if name not in project["optional-dependencies"]]
    elif words[0] == "make":
        if not re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE):
            found.append(f"make has no target {words[1]}")
    elif words[:2] == ["python", "-m"] and find_spec(words[2]) is None:
        found.append(f"there is no module {words[2]}")
    elif (ROOT / words[0]).suffix == ".sh" and not (ROOT / words[0]).exists():
        found.append(f"there is no {words[0]}")
    return found


@pytest.mark.parametrize("block", COMMANDS, ids=ids)
def test_what_a_command_names_exists(block: Block) -> None:
    """Also in blocks that are not run: each command with its options, target, module and extra."""
    for step in block.steps():
        assert faults(step) == [], step.command


def test_a_command_that_does_not_exist_is_found() -> None:
    for wrong in (
        "angarium endpoint lst", "angarium endpoint list --nme x", "make servee",
        "python -m angarium.nothing", 'pip install "angarium[servers]"',
        "X=$(angarium key creat) angarium settings",
    ):  # fmt: skip
        assert faults(Step(wrong, ())) != [], wrong


@pytest.mark.parametrize("page", sorted({block.page for block in of("python")}))
def test_the_python_of_a_page_is_run_by_a_test(page: str) -> None:
    test, number = PYTHON[page]
    assert len(of("python", page=page)) == number
    assert Path(page).name in (ROOT / test).read_text()
    for block in of("python", page=page):
        compile(block.text, block.place, "exec")


@pytest.mark.parametrize("block", of("sql"), ids=ids)
async def test_a_statement_runs_on_the_schema(block: Block, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    name = f"page_{abs(hash(block.place))}"
    text = re.sub(r"\brole angarium\b", f"role {name}", block.text)
    text = text.replace("database angarium owner angarium", f"database {name} owner {name}")
    try:
        if f"create role {name}" not in text:
            await connection.execute(f"create role {name}")
        for statement in filter(str.strip, text.split(";")):
            await connection.execute(statement)
    finally:
        await connection.execute(f"drop database if exists {name}")
        await connection.execute(f"drop role if exists {name}")
        await connection.close()


def test_the_json_of_configuration_is_what_diff_prints() -> None:
    (block,) = of("json", page="docs/configuration.md")
    (step,) = json.loads(block.text)["steps"]
    assert set(step) == {"action", "kind", "path", "changes"}
    assert all(set(one) == {"field", "secret", "before", "after"} for one in step["changes"])


def test_the_json_of_erasure_is_the_proof() -> None:
    (block,) = of("json", page="docs/erasure.md")
    proof = json.loads(block.text)
    assert set(proof) == {"application", "uid", "name", "rows", "left"}
    assert all(isinstance(number, int) for number in proof["rows"].values())


def test_the_json_of_quotas_is_the_body_of_the_refusal() -> None:
    (block,) = of("json", page="docs/quotas.md")
    body = json.loads(block.text)
    now = datetime(2026, 11, 30, tzinfo=UTC)
    refused = MessageLimitReached(body["limit"], body["used"], datetime.fromisoformat(body["endsAt"]), now)
    assert body_of(refused) == body


@pytest.mark.parametrize("block", of("yaml"), ids=ids)
def test_yaml_is_accepted_by_what_reads_it(block: Block, tmp_path: Path) -> None:
    content = yaml.safe_load(block.text)
    if "scrape_configs" in block.text:
        (tmp_path / "prometheus.yml").write_text(block.text)
        command = [str(unpacked("promtool")), "check", "config", "prometheus.yml"]
    elif "angarium" in content:
        schema = json.loads((ROOT / "docs/configuration.schema.json").read_text())
        jsonschema_rs.validator_for(schema).validate(content)
        return
    else:
        steps = {"on": "push", "jobs": {"one": {"runs-on": "ubuntu-latest", "steps": content}}}
        (tmp_path / "workflow.yml").write_text(json.dumps(steps))
        words = "check_jsonschema --builtin-schema vendor.github-workflows workflow.yml"
        command = [sys.executable, "-m", *words.split()]
        assert [fault for one in content for fault in faults(Step(one["run"], ()))] == []
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_change_of_the_unit_is_accepted_by_systemd(tmp_path: Path) -> None:
    (block,) = of("ini", page="docs/deploying.md")
    text = (ROOT / "deploy/systemd/angarium.service").read_text()
    unit = tmp_path / "angarium.service"
    unit.write_text(text.replace("/opt/angarium/bin/angarium", "/bin/true"))
    drop_in = tmp_path / "angarium.service.d"
    drop_in.mkdir()
    (drop_in / "override.conf").write_text(block.text.replace("/opt/angarium/bin/angarium", "/bin/true"))
    done = subprocess.run(
        [ensure_program("systemd-analyze"), "verify", "--man=no", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "angarium" in line] == []
    (command,) = re.findall(r"^ExecStart=\S+angarium (.+)$", block.text, re.MULTILINE)
    assert command_fault(command.split()) is None


async def test_the_settings_of_postgresql_exist(database_url: str) -> None:
    blocks = [one for one in of("ini", page="docs/restoring.md") if one.not_run is None]
    named = [name for one in blocks for name in re.findall(r"^(\w+) = ", one.text, re.MULTILINE)]
    connection = await asyncpg.connect(database_url)
    found = await connection.fetch("select name from pg_settings where name = any($1)", named)
    await connection.close()
    assert len(named) == len(found) == sum(len(one.text.splitlines()) for one in blocks)


@pytest.mark.parametrize("block", of("http"), ids=ids)
def test_the_request_of_a_product_has_a_valid_signature(
    block: Block,
) -> None:
    head, _, body = block.text.rstrip("\n").partition("\n\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    signed = float(headers["webhook-timestamp"])
    product = Path(block.page).stem
    for scheme in ("standard", product):
        assert verify(body.encode(), headers, SECRET, scheme, clock=lambda: signed).data


def test_the_layers_are_those_that_lint_checks() -> None:
    (block,) = [one for one in of("text", page="docs/architecture.md") if one.not_run is None]
    drawn = [set(re.findall(r"(?:^|\| +)([a-z]+) ", line)) for line in block.text.splitlines()]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [set(re.findall(r"angarium\.(\w+)", line)) for line in contracts[0]["layers"]]
    assert drawn == layers[: len(drawn)]
    assert {"core"} in drawn


def test_the_changed_line_of_an_application_calls_the_outbox() -> None:
    from types import SimpleNamespace

    from sqlalchemy import MetaData

    from angarium.outbox.sqlalchemy import OutboxTable

    (block,) = of("diff")
    (added,) = re.findall(r"^\+ *(.+)$", block.text, re.MULTILINE)
    executed: list[Any] = []
    names = {
        "outbox": OutboxTable(MetaData()), "session": SimpleNamespace(execute=executed.append),
        "customer": SimpleNamespace(uid="customer-1"), "order": SimpleNamespace(pk="ord_1"),
    }  # fmt: skip
    exec(added, names)
    assert len(executed) == 1


def test_the_reasons_why_blocks_are_not_run_are_few() -> None:
    reasons = Counter(block.not_run for block in ALL if block.not_run)
    sys.stderr.write("".join(f"  {count} {reason}\n" for reason, count in reasons.items()))
    assert sum(reasons.values()) <= 20
