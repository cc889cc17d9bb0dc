"""The tree of commands: help, examples, old names, completion, exit codes and errors."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from angarium import __version__
from angarium.cli import message
from angarium.cli.error import Exit
from angarium.cli.main import Tree
from tests.api.conftest import api, backend, client, new_organization
from tests.cli.test_remote import Caller, caller
from tests.kit.command import run, run_apart
from tests.kit.commands import commands, options, parsed
from tests.kit.port import free_port

__all__ = ["api", "backend", "caller", "client", "new_organization"]

COMMANDS = commands()
NOWHERE = {"ANGARIUM_URL": "http://127.0.0.1:9", "ANGARIUM_TOKEN": "token"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_an_example_and_help_of_every_option(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    examples = [line[2:] for line in (command.epilog or "").splitlines() if line.startswith("$ ")]
    names = [parsed(shlex.split(example)[1:]) for example in examples]
    assert name in names
    for one in command.params:
        assert one.help, f"{name}: {one.opts}"
    shown = run(*name.split(), "--help").stdout
    assert "Examples:" in shown
    assert f"$ angarium {name}" in shown


def test_summaries_of_the_first_level_are_those_of_the_commands() -> None:
    for name, place in Tree.places.items():
        if name in COMMANDS:
            assert COMMANDS[name].help.startswith(place.summary.rstrip(".")), name
    shown = " ".join(run("--help").stdout.replace("│", " ").split())
    for name, place in Tree.places.items():
        assert f"{name} {place.summary}" in shown


def test_the_version_is_an_option() -> None:
    assert run("--version").stdout == f"{__version__}\n"


@pytest.mark.parametrize("words", [(), ("endpoint",)])
def test_a_noun_without_a_verb_shows_its_help_once(words: tuple[str, ...]) -> None:
    done = run_apart(*words)
    assert (done.returncode, done.stdout.count("Usage: angarium"), done.stderr) == (2, 1, "")


@cache
def first_level() -> set[str]:
    """What the help of the first level lists."""
    return {line.split()[1] for line in run("--help").stdout.splitlines() if line.startswith("│ ")}


@pytest.mark.parametrize("old", Tree.moved)
def test_an_old_name_works_is_not_in_help_and_names_the_new_one(old: str) -> None:
    new = Tree.moved[old]
    told = [] if old in ("version", "token") else ["--help"]
    done = run(*old.split(), *told)
    assert f"`angarium {old}` is now `angarium {new}`" in done.stderr
    if told:
        assert done.returncode == 0
        assert f"Usage: angarium {' '.join(word for word in new.split() if word[0] != '-')} " in done.stdout
    assert old.split()[0] not in first_level() - {"token", "key"}


def test_a_name_that_is_old_and_new_is_what_follows_it() -> None:
    assert "is now" not in run("token", "list", "--help").stderr
    assert "is now" not in run("token", "--help").stderr
    assert "`angarium token` is now" in run("token", "--org", "x").stderr


def test_every_reading_command_prints_json() -> None:
    verbs = {"list", "show", "stats", "secret", "headers", "check", "tail"}
    reading = {name for name in COMMANDS if name.split()[-1] in verbs | {"settings", "verify", "doctor"}}
    without = {name for name in reading if "--json" not in options(COMMANDS[name])}
    assert without == set()


# ------------------------------------------------------------------------------------------- exit codes


async def test_every_exit_code(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    await caller.run("application", "list")
    assert caller.code == Exit.DONE
    await caller.run("message", "show", "msg_0ujsswThIGTUYm2K8FjOOfXtY1K")
    assert caller.code == Exit.FAILED
    await caller.run("message", "show")
    assert caller.code == Exit.USAGE
    await caller.run("application", "list", ANGARIUM_URL=f"http://127.0.0.1:{free_port()}")
    assert caller.code == Exit.UNREACHABLE

    def interrupted(_: str) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(message, "content", interrupted)
    await caller.run("message", "send", "--type", "a.b", "--data", "{}")
    assert caller.code == Exit.INTERRUPTED
    assert {code.value for code in Exit} == {0, 1, 2, 3, 4, 130, 143}


def error_of(done: Any) -> dict[str, Any]:
    assert done.stdout == ""
    error: dict[str, Any] = json.loads(done.stderr)["error"]
    assert error.keys() == {"code", "detail", "advice", "exitCode"}
    assert error["exitCode"] == done.returncode
    return error


def test_errors_say_what_happened_and_what_to_do() -> None:
    plain = run("application", "list", **NOWHERE)
    assert plain.stderr.startswith("angarium: http://127.0.0.1:9 does not answer: ")
    assert "Check the URL (--url or ANGARIUM_URL), and that the server is running." in plain.stderr
    error = error_of(run("application", "list", "--json", **NOWHERE))
    assert (error["code"], error["exitCode"]) == ("unreachable", 3)
    error = error_of(run("endpoint", "list", "--json", "--limit", "none", **NOWHERE))
    assert (error["code"], error["exitCode"]) == ("usage", 2)
    assert "angarium endpoint list --help" in error["advice"]
    error = error_of(run("application", "list", "--json"))
    assert error["detail"].startswith("ANGARIUM_URL (or --url) is not set")
    assert "No such command 'endpoints'. Did you mean 'endpoint'?" in run("endpoints").stderr
    error = error_of(run("profile", "show", "blom", "--json"))
    assert (error["exitCode"], "did you mean bloom?" in error["detail"]) == (1, True)


async def test_errors_of_the_server_come_with_advice(caller: Caller) -> None:
    for arguments, code, words in (
        (("endpoint", "show", "ep_x"), "not_found", "Check the ID"),
        (("application", "list", "--token", "x"), "authentication_failed", "Check the token"),
        (("application", "show", "x"), "not_found", "Check the ID"),
    ):
        await caller.run(*arguments, "--json")
        error = json.loads(caller.said)["error"]
        assert (caller.code, error["code"]) == (1, code), error
        assert words in error["advice"]
        await caller.run(*arguments)
        assert caller.said.startswith("angarium: ")
        assert words in caller.said
    await caller.run("endpoint", "list", "--app", "nobody")
    assert (caller.code, "The server has no application nobody" in caller.said) == (1, True)
    await caller.run("endpoint", "create", "--to", "nonsense")
    assert (caller.code, "url" in caller.said) == (1, True)


async def test_what_is_no_server_of_ours_is_no_traceback(caller: Caller) -> None:
    for url in (f"{caller.url}/docs", f"{caller.url}/elsewhere"):
        await caller.run("application", "list", ANGARIUM_URL=url)
        assert caller.code in (Exit.FAILED, Exit.UNREACHABLE)
        assert caller.said.startswith("angarium: ")


def test_a_missing_package_is_said_with_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pydantic_settings'] = None; "
        "from angarium.cli.main import main; sys.argv[1:] = ['settings']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "angarium[server]"' in done.stderr
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------------------------- completion


def completed(*words: str) -> list[str]:
    line = " ".join(("angarium", *words))
    done = subprocess.run(
        [sys.executable, "-m", "angarium"],
        env=os.environ
        | {"_ANGARIUM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words))},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split()


def test_a_shell_completes_nouns_verbs_and_options() -> None:
    assert completed("end") == ["endpoint"]
    assert completed("endpoint", "re") == ["recover", "replay-missing"]
    assert "--since" in completed("endpoint", "recover", "--s")
    plain = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # the test's parent may be no shell
    assert "_ANGARIUM_COMPLETE=complete_bash" in run_apart("--show-completion", "bash", **plain).stdout


def test_help_and_completion_of_the_first_level_import_no_command() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from angarium.cli.main import app; "
        "done = CliRunner().invoke(app, ['--help']); assert done.exit_code == 0, done; "
        "print(*[name for name in sys.modules if name.startswith(('angarium.cli.', 'angarium.client', "
        "'pydantic_settings', 'fastapi', 'asyncpg', 'jsonschema_rs'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"angarium.cli.main", "angarium.cli.command", "angarium.cli.error"}


@pytest.mark.parametrize("name", ["endpoint list", "message send", "delivery list", "dead-letter list"])
def test_a_command_that_calls_a_server_imports_nothing_of_the_service(name: str) -> None:
    code = (
        "import sys; from angarium.cli.main import Tree; "
        f"Tree.places[{name.split()[0]!r}].load({name.split()[0]!r}); "
        "print(*[one for one in sys.modules if one.startswith(('angarium.service', 'angarium.store', "
        "'angarium.api', 'angarium.settings', 'pydantic_settings', 'fastapi', 'asyncpg'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
