from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from angarium.telemetry import EVENTS

SOURCE = Path(__file__).parent.parent / "src" / "angarium"
# of other people's processes: they log in their way
APART = {"client", "outbox", "receiver", "testing"}
LEVELS = {"debug", "info", "warning", "error", "exception"}


def is_logger(node: ast.expr) -> bool:
    """`log`, or `telemetry.logger(…)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr == "logger"
    return isinstance(node, ast.Name) and node.id == "log"


def logged() -> Iterator[str]:
    """The event name of every line that the service logs anywhere."""
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] in APART:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in LEVELS and is_logger(node.func.value):
                first = node.args[0]
                assert isinstance(first, ast.Constant), f"{path}:{node.lineno}: an event's name is a literal"
                yield str(first.value)


def test_every_event_that_is_logged_is_in_the_catalogue_and_the_other_way_round() -> None:
    assert set(logged()) == set(EVENTS)


def test_json_lines_go_to_standard_error_with_the_libraries_warnings_among_them() -> None:
    program = """
import logging
from angarium import telemetry
telemetry.configure("json", "info")
telemetry.logger("test").info("server.started", url="http://x")
logging.getLogger("library").warning("careful")
logging.getLogger("library").info("chatter")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["server.started", "careful"]
    assert lines[0]["url"] == "http://x"
    assert lines[0]["level"] == "info"
    assert done.stdout == ""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_values_of_variables(log_format: str) -> None:
    """They hold payloads, secrets and tokens."""
    script = f"""
import logging
from angarium import telemetry
telemetry.configure({log_format!r}, "info")
def fail(value):
    held = value + "-in-a-variable"
    raise RuntimeError("it broke")
for log in (telemetry.logger("test").exception, logging.getLogger("uvicorn.error").exception):
    try:
        fail("secr" + "et")
    except RuntimeError:
        log("part.broken")
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stderr.count("it broke") >= 2
    assert "secret-in-a-variable" not in ended.stderr


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_comes_from_outside_cannot_forge_a_line_or_command_the_terminal(log_format: str) -> None:
    program = f"""
from angarium import telemetry
telemetry.configure("{log_format}", "info")
hostile = "/x\\n2026-01-01 [info] server.started \\x1b[2J\\r\\u2028\\x9b31m"
telemetry.logger("test").info("server.started", path=hostile)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert len(done.stderr.splitlines()) == 1
    assert not any(sign in done.stderr for sign in "\x1b\r\x9b\u2028")
