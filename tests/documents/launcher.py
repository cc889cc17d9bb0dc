"""Runs `angarium` in forks of one process that has imported everything: a command costs its work alone.

A shell gets a small program named `angarium` on its PATH. It passes its arguments, directory, environment and
its three standard files to the launcher, and ends as the command ends. Commands that set up a whole process
run in one of their own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.kit.command import OWN_PROCESS
from tests.kit.patience import wait_until

PLACE: Final = "TEST_LAUNCHER"
PROGRAM: Final = f"""#!{sys.executable} -SEs
import json, os, signal, socket, sys
if sys.argv[1:2] and sys.argv[1] in {sorted(OWN_PROCESS)!r}:
    os.execv({sys.executable!r}, [{sys.executable!r}, "-m", "angarium", *sys.argv[1:]])
asked = socket.socket(socket.AF_UNIX)
asked.connect(os.environ[{PLACE!r}])
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(asked, [len(request).to_bytes(4, "big")], [0, 1, 2])
asked.sendall(request)
answers = asked.makefile("rb")
child = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(child, number))
sys.exit(int(answers.readline()))
"""


@contextmanager
def launching(bin_directory: Path) -> Iterator[dict[str, str]]:
    """The launcher at work, with `angarium` in the directory. Gives what a shell needs in its environment."""
    with tempfile.TemporaryDirectory(prefix="angarium-launcher-") as name:
        place = f"{name}/socket"
        program = bin_directory / "angarium"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        process = subprocess.Popen([sys.executable, "-m", "tests.documents.launcher", place])
        try:
            wait_until(lambda: Path(place).exists() or process.poll() is not None)
            assert process.poll() is None
            yield {
                PLACE: place,
                "PATH": os.pathsep.join(
                    (str(bin_directory), str(Path(sys.executable).parent), os.environ["PATH"])
                ),
            }
        finally:
            process.terminate()
            process.wait()


def serve(place: str) -> None:
    """Answer requests until a signal."""
    _load()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place + ".new")
    listener.listen(16)
    Path(place + ".new").rename(place)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no process waits for those that watch
    while True:
        asked, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _watch(asked)
        asked.close()


def _load() -> None:
    """Import what commands import when they run."""
    import asyncpg  # noqa: F401
    import yaml  # noqa: F401

    import angarium.build  # noqa: F401
    from tests.kit.commands import commands

    commands()


def _watch(asked: socket.socket) -> None:
    """Run a command in a child, and tell how it ended."""
    length, files, _, _ = socket.recv_fds(asked, 4, 3)
    request = b""
    while len(request) < int.from_bytes(length, "big"):
        request += asked.recv(65536)
    child = os.fork()
    if child == 0:
        _run(files, *json.loads(request))
    asked.sendall(b"%d\n" % child)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    asked.sendall(b"%d\n" % (code if code >= 0 else 128 - code))
    os._exit(0)


def _run(files: list[int], arguments: list[str], directory: str, environment: dict[str, str]) -> Any:
    from angarium.cli.main import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    for target, source in enumerate(files):
        os.dup2(source, target)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["angarium", *arguments]
    code: Any = 1
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    serve(sys.argv[1])
