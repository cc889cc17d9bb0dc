"""The limit of open files is raised at start, or the start says what is missing."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from angarium.server import open_files
from angarium.settings import Settings
from tests.cli.test_serve import environment
from tests.kit.port import free_port

LOW = 300
OPERATING = Path(__file__).parents[2] / "docs/operating.md"
ALLOW = "from angarium.server import open_files; from angarium.settings import load; import resource, sys; "
SHOW = "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
DEFAULTS = Settings.model_validate({})
FORKING = """
import json, os, resource, sys, traceback
import angarium.cli.dev, angarium.cli.main, angarium.cli.serve, angarium.server.supervisor

for line in sys.stdin:
    code, limits, variables, files = json.loads(line)
    if not (pid := os.fork()):
        ended = 1
        try:
            for number, file in enumerate(files, 1):
                os.dup2(os.open(file, os.O_WRONLY), number)
            os.environ.update(variables)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            exec(code, {})
            ended = 0
        except SystemExit as ending:
            ended = ending.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
Allowed = Callable[..., tuple[int, int]]
_, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a process printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


class Forking:
    """A Python that has imported the command line, and runs code in a copy of itself for each case: a hard
    limit cannot be raised again, and most of the work of a process is to import."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKING],
            env=environment("postgresql:///nowhere", free_port()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str, soft: int, hard: int = HARD, **variables: str) -> Ran:
        """Code, under these limits."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            files = [f"/proc/{os.getpid()}/fd/{one.fileno()}" for one in (out, err)]
            self._process.stdin.write(json.dumps([code, (soft, hard), variables, files]) + "\n")
            self._process.stdin.flush()
            ended = int(self._process.stdout.readline())
            out.seek(0)
            err.seek(0)
            return Ran(ended, out.read(), err.read())

    def end(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def forking() -> Iterator[Forking]:
    forking = Forking()
    yield forking
    forking.end()


@pytest.fixture
def allowed(forking: Forking) -> Allowed:
    def allowed(role: str, *, soft: int, hard: int = HARD, **variables: str) -> tuple[int, int]:
        """The limits after `allow`."""
        ran = forking.run(f"{allow(role)}; {SHOW}", soft, hard, **variables)
        assert ran.returncode == 0, ran.stderr
        now, most = ran.stdout.split()
        return int(now), int(most)

    return allowed


def allow(role: str) -> str:
    return f"{ALLOW} open_files.allow(load(), {role!r})"


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
def test_a_low_soft_limit_is_raised_and_the_hard_one_stays(allowed: Allowed, role: str) -> None:
    now, most = allowed(role, soft=LOW)
    assert open_files.needed(DEFAULTS, role) <= now <= open_files.PLENTY
    assert most == HARD


def test_a_limit_that_suffices_is_not_lowered(allowed: Allowed) -> None:
    need = open_files.needed(DEFAULTS, "all")
    now, _ = allowed("all", soft=need + 1, hard=need + 1)
    assert now == need + 1


@pytest.mark.parametrize("more", [0, 1])
def test_a_hard_limit_of_just_what_is_needed_will_do(allowed: Allowed, more: int) -> None:
    need = open_files.needed(DEFAULTS, "all")
    assert allowed("all", soft=LOW, hard=need + more) == (need + more, need + more)


def test_the_concurrency_that_the_error_names_is_the_largest_that_fits(
    forking: Forking, allowed: Allowed
) -> None:
    hard = open_files.needed(DEFAULTS, "all") - 1001
    ran = forking.run(allow("all"), LOW, hard)
    assert ran.returncode != 0
    named = re.search(r"ANGARIUM_CONCURRENCY=(\d+) or less", ran.stderr)
    assert named is not None, ran.stderr
    fitting = int(named[1])
    allowed("all", soft=LOW, hard=hard, ANGARIUM_CONCURRENCY=str(fitting))
    larger = forking.run(allow("all"), LOW, hard, ANGARIUM_CONCURRENCY=str(fitting + 1))
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
    forking: Forking, tmp_path: Path, role: str, arguments: list[str]
) -> None:
    data = tmp_path / "data"
    variables = {"ANGARIUM_DATA_DIR": str(data)}
    if arguments == ["dev"]:
        variables["ANGARIUM_DATABASE_URL"] = ""
    code = f"import sys; from angarium.cli.main import main; sys.argv[1:] = {arguments!r}; main()"
    ran = forking.run(code, LOW, LOW, **variables)
    assert ran.returncode != 0
    assert "Traceback" not in ran.stderr
    words = " ".join(ran.stderr.split())
    need = open_files.needed(DEFAULTS, role)
    assert f"may need {need} open files" in words
    assert f"the system allows {LOW}" in words
    assert "LimitNOFILE=" in words
    assert not (data / "postgres").exists()
