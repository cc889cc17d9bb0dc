"""The examples of docs/receiver.md work, and the names in its tables exist."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from angarium import receiver
from angarium.testing import WebhookInbox, sign
from tests.kit.patience import PATIENCE, wait_until
from tests.kit.port import free_port

PAGE = Path(__file__).parents[2] / "docs" / "receiver.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_quick_start_handles_an_event_in_an_empty_folder(tmp_path: Path, record_property: Any) -> None:
    port = str(free_port())
    started = time.monotonic()
    (tmp_path / "receive.py").write_text(EXAMPLES[0].replace("9000", port))
    (tmp_path / "send.py").write_text(EXAMPLES[1].replace("9000", port))
    with subprocess.Popen(
        [sys.executable, "receive.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            _listening(int(port))
            said = [_send(tmp_path) for _ in range(2)]
            assert server.stdout
            line = server.stdout.readline()
        finally:
            server.kill()
    record_property("seconds", time.monotonic() - started)
    assert line == "handled order.filled ord_1\n"
    assert said == ['{"outcome": "handled"}\n'] * 2  # signed again, with another id
    assert time.monotonic() - started < 60


def _listening(port: int) -> None:
    def open_to_us() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
            return True
        return False

    wait_until(open_to_us)


def _send(folder: Path) -> str:
    ended = subprocess.run(
        [sys.executable, "send.py"], cwd=folder, capture_output=True, text=True, check=True
    )
    return ended.stdout


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that exist after all examples of the page except the second have run in order."""
    monkeypatch.chdir(tmp_path)
    body = b'{"type":"order.filled"}'
    names: dict[str, Any] = {"__name__": "page", "body": body}
    for number, example in enumerate(EXAMPLES):
        if number != 1:
            names["headers"] = sign(body, names["SECRET"]) if "SECRET" in names else {}
            exec(compile(example, f"example {number}", "exec", dont_inherit=True), names)
    return names


def test_the_examples_run_and_their_handlers_are_called(
    page: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for event_type in ("transfer.failed", "transfer.deposit.completed"):
        body = f'{{"type":"{event_type}","data":{{"id":"t","amount":"5.25"}}}}'
        assert page["receiver"].handle(body, sign(body, page["SECRET"])).status == 200
    assert capsys.readouterr().out == "5.25\n5.25\n"
    for second in (2, 1):
        body = f'{{"type":"account.updated","timestamp":"2025-01-01T00:00:0{second}Z","data":{{"id":"a"}}}}'
        assert page["receiver"].handle(body, sign(body, page["SECRET"])).status == 200
    assert capsys.readouterr().out == "the newest state of a\n"
    assert page["event"].type == "order.filled"
    body = "token=x&command=%2Fx"
    secret = "8f742231b10e8888abcd99yyyzzz85a5"
    assert page["commands"].handle(body, sign(body, secret, page["SLACK"])).status == 200
    assert page["slow"].handle(b"{}", sign(b"{}", page["SECRET"])).status == 202


def test_the_example_of_the_test_kit_passes(page: dict[str, Any], webhook_inbox: WebhookInbox) -> None:
    def place_order(notify: str) -> None:
        body = '{"type":"order.placed","data":{"id":"ord_1"}}'
        headers = sign(body, page["SECRET"])

        def deliver() -> None:
            to, status = urlsplit(notify), 0
            while status != 204:
                connection = http.client.HTTPConnection(to.netloc, timeout=PATIENCE)
                connection.request("POST", to.path, body, headers)
                status = connection.getresponse().status
                connection.close()

        threads.append(threading.Thread(target=deliver))
        threads[0].start()

    threads: list[threading.Thread] = []
    page["place_order"] = place_order
    page["test_an_order_is_announced"](webhook_inbox)
    threads[0].join()
    assert [message.status for message in webhook_inbox.messages] == [503, 204]


def test_every_name_in_the_tables_exists() -> None:
    text = PAGE.read_text()
    adapters = re.findall(r"\| `((?:adapter|django)[.\w]*)` \| `.*?(\w+)\(receiver", text)
    assert len(adapters) == 9
    for module, name in adapters:
        assert hasattr(importlib.import_module(f"angarium.receiver.{module}"), name)
    backends = set(re.findall(r"`(?:queue=)?(\w+(?:Queue|Store|Inbox))\(", text))
    assert len(backends) == 7 + 5 + 2
    for name in backends:
        assert hasattr(receiver, name)
