"""The limit of open files is raised at start, or the start says what is missing."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from angarium.server import open_files
from angarium.settings import Settings
from tests.cli.test_serve import environment, healthy, serve
from tests.kit.patience import PATIENCE, until
from tests.kit.port import free_port

LOW = 300
OPERATING = Path(__file__).parents[2] / "docs/operating.md"
ALLOW = "from angarium.server import open_files; from angarium.settings import load; import resource, sys; "
SHOW = "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
DEFAULTS = Settings.model_validate({})
_, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)


def limited(soft: int, hard: int = HARD) -> Any:
    return partial(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))


def started(
    *arguments: str, soft: int, hard: int = HARD, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A Python that ends by itself, under these limits."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment("postgresql:///nowhere", free_port()) | variables,
        preexec_fn=limited(soft, hard),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def allowed(role: str, *, soft: int, hard: int = HARD, **variables: str) -> tuple[int, int]:
    """The limits after `allow`."""
    ran = started(
        "-c", f"{ALLOW} open_files.allow(load(), {role!r}); {SHOW}", soft=soft, hard=hard, **variables
    )
    assert ran.returncode == 0, ran.stderr
    now, most = ran.stdout.split()
    return int(now), int(most)


def test_what_is_needed_follows_the_settings_and_the_role() -> None:
    settings = Settings.model_validate({"concurrency": 3000, "database_pool": 40})
    everything, api, dispatch = (open_files.needed(settings, role) for role in ("all", "api", "dispatch"))
    assert everything > 2 * 3000 + 40
    assert api < 3000
    assert 2 * 3000 < dispatch < everything
    more = Settings.model_validate({"concurrency": 3001, "database_pool": 41})
    assert open_files.needed(more, "all") == everything + 3
    assert open_files.needed(more, "api") == api + 1
    assert open_files.needed(more, "dispatch") == dispatch + 2
    urls = {"database_url": "postgresql://a/b", "database_replica_url": "postgresql://c/b"}
    replicated = Settings.model_validate({"concurrency": 3000, "database_pool": 40, **urls})
    assert open_files.needed(replicated, "api") == api + 40
    assert open_files.needed(replicated, "dispatch") == dispatch, "it reads no lists"


def test_the_documentation_has_the_numbers_of_the_defaults() -> None:
    page = OPERATING.read_text()
    for role in ("all", "api", "dispatch"):
        assert f"{open_files.needed(DEFAULTS, role):,}" in page, role


@pytest.mark.parametrize("role", ["all", "api", "dispatch"])
def test_a_low_soft_limit_is_raised_and_the_hard_one_stays(role: str) -> None:
    now, most = allowed(role, soft=LOW)
    assert open_files.needed(DEFAULTS, role) <= now <= open_files.PLENTY
    assert most == HARD


def test_a_limit_that_suffices_is_not_lowered() -> None:
    need = open_files.needed(DEFAULTS, "all")
    now, _ = allowed("all", soft=need + 1, hard=need + 1)
    assert now == need + 1


@pytest.mark.parametrize("more", [0, 1])
def test_a_hard_limit_of_just_what_is_needed_will_do(more: int) -> None:
    need = open_files.needed(DEFAULTS, "all")
    assert allowed("all", soft=LOW, hard=need + more) == (need + more, need + more)


def test_the_concurrency_that_the_error_names_is_the_largest_that_fits() -> None:
    hard = open_files.needed(DEFAULTS, "all") - 1001
    ran = started("-c", f"{ALLOW} open_files.allow(load(), 'all')", soft=LOW, hard=hard)
    assert ran.returncode != 0
    named = re.search(r"ANGARIUM_CONCURRENCY=(\d+) or less", ran.stderr)
    assert named is not None, ran.stderr
    fitting = int(named[1])
    allowed("all", soft=LOW, hard=hard, ANGARIUM_CONCURRENCY=str(fitting))
    larger = started(
        "-c", f"{ALLOW} open_files.allow(load(), 'all')",
        soft=LOW, hard=hard, ANGARIUM_CONCURRENCY=str(fitting + 1),
    )  # fmt: skip
    assert larger.returncode != 0


@pytest.mark.parametrize(
    ("role", "arguments"),
    [
        ("all", ["serve"]),
        ("all", ["serve", "--processes", "2"]),
        ("dispatch", ["serve", "--role", "dispatch"]),
        ("api", ["serve", "--role", "api"]),
        ("all", ["dev"]),
    ],
)
def test_a_start_with_a_low_hard_limit_says_what_is_missing_and_begins_nothing(
    tmp_path: Path, role: str, arguments: list[str]
) -> None:
    data = tmp_path / "data"
    variables = {"ANGARIUM_DATA_DIR": str(data)}
    if arguments == ["dev"]:
        variables["ANGARIUM_DATABASE_URL"] = ""
    ran = started("-m", "angarium.cli.main", *arguments, soft=LOW, hard=LOW, **variables)
    assert ran.returncode != 0
    assert "Traceback" not in ran.stderr
    words = " ".join(ran.stderr.split())
    need = open_files.needed(DEFAULTS, role)
    assert f"may need {need} open files" in words
    assert f"the system allows {LOW}" in words
    assert "LimitNOFILE=" in words
    assert not (data / "postgres").exists()


async def test_every_process_of_a_server_gets_what_it_needs(database_url: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = open_files.needed(DEFAULTS, "all")
    resource.setrlimit(resource.RLIMIT_NOFILE, (LOW, before[1]))  # it is inherited
    try:
        serving = serve(database_url, "--processes", "2")
        process, url = await serving.__aenter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    try:
        await healthy(url)

        def workers() -> list[psutil.Process]:
            children = psutil.Process(process.pid).children()
            return [one for one in children if "spawn_main" in " ".join(one.cmdline())]

        await until(lambda: len(workers()) == 2)
        for pid in (process.pid, *(one.pid for one in workers())):
            assert _limit(pid) >= need
    finally:
        await serving.__aexit__(None, None, None)


def _limit(pid: int) -> int:
    found = re.search(r"^Max open files\s+(\d+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
    assert found is not None, os.uname()
    return int(found[1])
