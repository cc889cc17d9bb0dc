"""Each command says in words, with its exit code, that a server or a database is not there."""

from __future__ import annotations

import base64
import json
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from angarium.cli.error import Exit
from angarium.client import transport
from tests.kit.command import Done, run
from tests.kit.commands import commands, options, parsed
from tests.kit.patience import PATIENCE
from tests.kit.port import free_port

COMMANDS = commands()
# these call neither a server nor a database
ALONE = {
    *("verify", "sign", "init", "settings", "token create", "key create"),
    *("profile check", "profile show", "profile list", "profile docs", "alert test"),
}
# these report what they found, with exit code 1
PROBING = {"doctor", "health"}
REMOTE = [name for name, one in COMMANDS.items() if "--url" in options(one) and name not in ALONE]
SETTINGS = {
    "ANGARIUM_JWT_SECRET": "s" * 48,
    "ANGARIUM_SECRET_KEY": base64.b64encode(b"k" * 32).decode(),
    "ANGARIUM_TOKEN": "a-token",
    "ANGARIUM_APP": "one",
}
FILES = {
    "openapi.yaml": "openapi: 3.1.0\ninfo: {title: a, version: '1'}\nwebhooks: {}\n",
    "angarium.yaml": "angarium: 1\n",
    "angarium.log": "",
    "audit.jsonl": "",
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(transport, "_backoff", lambda _: 0.0)


def example(name: str) -> list[str]:
    """The first example of its help, which asks nothing."""
    shown = [line[2:].replace("\\[", "[") for line in COMMANDS[name].epilog.splitlines() if line[:2] == "$ "]
    words = next(words for one in shown if parsed((words := shlex.split(one))[1:]) == name)
    instead = {"my-product.toml": "standard", "-": "token_0ujsswThIGTUYm2K8FjOOfXtY1K"}
    words = [instead.get(word, word) for word in words[1:]]
    return [*words, *(["--yes"] if "--yes" in options(COMMANDS[name]) else [])]


def refusal(done: Done) -> str:
    """What is said about the failure, once."""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("angarium: "), done
    assert done.stderr.count("angarium: ") == 1, done.stderr
    assert "Errno" not in done.stderr, done.stderr
    return done.stderr


@pytest.mark.parametrize("name", REMOTE)
def test_a_server_that_is_not_there_is_code_3(files: None, name: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = run(*example(name), **SETTINGS, ANGARIUM_URL=url)
    words = refusal(done)
    assert done.returncode == Exit.UNREACHABLE, words
    assert f"{url} does not answer: Connection refused\n" in words
    assert "Check the URL (--url or ANGARIUM_URL), and that the server is running." in words


def test_a_host_that_is_not_there_is_code_3(files: None) -> None:
    done = run("application", "list", **SETTINGS, ANGARIUM_URL="http://nowhere.invalid")
    assert done.returncode == Exit.UNREACHABLE
    assert refusal(done).startswith("angarium: http://nowhere.invalid does not answer: ")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, one in COMMANDS.items()
        if name not in ALONE | PROBING | {"dev", "demo"}
        and ("--database" in options(one) or "--url" not in options(one))
    ],
)
def test_a_database_that_is_not_there_is_code_3(files: None, name: str) -> None:
    place = f"127.0.0.1:{free_port()}"
    words = [word for word in example(name) if word != "--all"]
    if "--database" in options(COMMANDS[name]):
        words += ["--database", "--org", "org_a"]
    url = f"postgresql://someone:confidential@{place}/nothing"
    done = run(*words, **SETTINGS, ANGARIUM_DATABASE_URL=url, ANGARIUM_OPS_LISTEN="")
    if name == "serve":  # what its log says comes first
        done = Done(done.returncode, done.stdout, done.stderr[done.stderr.index("angarium: ") :])
    said = refusal(done)
    assert done.returncode == Exit.UNREACHABLE, said
    assert f"cannot connect to the database: {place}: Connection refused\n" in said
    assert "Check ANGARIUM_DATABASE_URL, and that PostgreSQL is running." in said
    assert "confidential" not in said


@pytest.mark.parametrize("words", [("doctor", "server", "--json"), ("doctor", "server")])
def test_probes_that_are_not_there_are_code_3(words: tuple[str, ...]) -> None:
    done = run(*words, ANGARIUM_OPS_LISTEN=f"127.0.0.1:{free_port()}")
    assert done.returncode == Exit.UNREACHABLE
    if "--json" in words:
        assert json.loads(done.stderr)["error"]["exitCode"] == 3
    else:
        assert "does not answer the probe: Connection refused\n" in refusal(done)


def test_a_receiver_that_is_not_there_fails_the_check() -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    done = run("doctor", url, "--allow-http", "--secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert (done.returncode, done.stderr) == (Exit.FAILED, "")
    assert "nothing listens at 127.0.0.1" in done.stdout
    assert "ok    redirect" not in done.stdout


class _Stranger(BaseHTTPRequestHandler):
    """Answers as a web server that is not Angarium does."""

    status = 200

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b"<html><body>Welcome</body></html>"
        self.send_response(self.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self._answer

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@contextmanager
def stranger(status: int) -> Iterator[str]:
    handler = type("Stranger", (_Stranger,), {"status": status})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("status", [200, 404, 502])
def test_a_server_that_is_another_one_is_said(files: None, status: int) -> None:
    with stranger(status) as url:
        for name in REMOTE:
            if name in ("message tail", "listen") and status == 502:
                continue  # they wait until it is back
            done = run(*example(name), **SETTINGS, ANGARIUM_URL=url)
            said = refusal(done)
            assert done.returncode in (Exit.FAILED, Exit.UNREACHABLE), (name, said)
            assert "Check the URL" in said, name


def test_a_person_at_a_terminal_is_told_why_a_command_waits() -> None:
    ours, theirs = pty.openpty()
    words = ["application", "list", "--url", f"http://127.0.0.1:{free_port()}", "--token", "t"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "angarium.cli.main", *words],
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            timeout=PATIENCE,
            check=False,
        )
        said = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == Exit.UNREACHABLE
    first, *_, last = said.splitlines()
    assert "does not answer: Connection refused; trying again in 0." in first
    assert said.count("angarium: ") == 1
    assert "Check the URL" in last
