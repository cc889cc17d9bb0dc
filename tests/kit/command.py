"""The command line within the test's own process: a command costs its work, not the start of a Python."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from unittest.mock import patch

from angarium.cli.main import main
from tests.kit.patience import PATIENCE

# these set up a whole process (its log, its signals), so they get one
OWN_PROCESS = frozenset({"serve", "dev", "demo", "migrate"})


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, **variables: str) -> Done:
    """A command to its end; settings only from `variables`."""
    if arguments[0] in OWN_PROCESS and "--help" not in arguments:
        return run_apart(*arguments, **variables)
    return run_within(*arguments, **variables)


def run_within(*arguments: str, **variables: str) -> Done:
    """The same in this process for any command. One that sets up a whole process must fail before that."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, {"COLUMNS": "80"} | _settings(variables), clear=True),
        patch.object(sys, "argv", ["angarium", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def run_apart(*arguments: str, **variables: str) -> Done:
    """The same in a process of its own, as users have it."""
    done = subprocess.run(
        [sys.executable, "-m", "angarium", *arguments],
        env=_settings(variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def _settings(variables: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("ANGARIUM_")} | variables
