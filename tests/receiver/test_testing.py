"""The test kit: the inbox waits, verifies and responds, and pytest finds the fixture."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from angarium.testing import WebhookInbox, sign
from tests.kit.patience import PATIENCE

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def send(inbox: WebhookInbox, event_type: str, secret: str = SECRET, event_id: str = "msg_1") -> int:
    body = f'{{"type":"{event_type}","data":{{"id":"ord_1"}}}}'
    to = urlsplit(inbox.url)
    connection = http.client.HTTPConnection(to.netloc, timeout=PATIENCE)
    try:
        connection.request("POST", to.path, body, sign(body, secret, id=event_id))
        return connection.getresponse().status
    finally:
        connection.close()


def later(inbox: WebhookInbox, *event_types: str) -> threading.Thread:
    thread = threading.Thread(target=lambda: [send(inbox, one) for one in event_types])
    thread.start()
    return thread


def test_the_inbox_waits_for_a_message(webhook_inbox: WebhookInbox) -> None:
    webhook_inbox.expect("standard", SECRET)
    thread = later(webhook_inbox, "order.accepted", "video.failed", "order.filled")
    message = webhook_inbox.wait("order.filled", timeout=PATIENCE)
    thread.join()
    assert (message.type, message.id, message.data, message.status) == (
        "order.filled",
        "msg_1",
        {"id": "ord_1"},
        204,
    )
    assert [one.type for one in webhook_inbox.messages] == ["order.accepted", "video.failed", "order.filled"]


def test_the_inbox_waits_for_several_messages_of_a_pattern(webhook_inbox: WebhookInbox) -> None:
    thread = later(webhook_inbox, "order.accepted", "video.failed", "order.filled")
    both = webhook_inbox.wait_for(2, "order.*", timeout=PATIENCE)
    assert [one.type for one in both] == ["order.accepted", "order.filled"]
    thread.join()


def test_a_missing_message_fails_and_the_error_says_what_was_received(
    webhook_inbox: WebhookInbox,
) -> None:
    send(webhook_inbox, "order.accepted")
    with pytest.raises(
        AssertionError, match=r"no message order.filled within 0.1 s; received: order.accepted"
    ):
        webhook_inbox.wait("order.filled", timeout=0.1)
    with pytest.raises(AssertionError, match="nothing"), WebhookInbox() as another:
        another.wait(timeout=0.05)


def test_a_wrong_signature_is_401_and_makes_wait_fail(webhook_inbox: WebhookInbox) -> None:
    webhook_inbox.expect("standard", [SECRET])
    assert send(webhook_inbox, "order.filled", OTHER) == 401
    with pytest.raises(AssertionError, match="not correctly signed"):
        webhook_inbox.wait()
    assert send(webhook_inbox, "order.filled") == 204
    assert webhook_inbox.wait().verify("standard", SECRET).id == "msg_1"
    with pytest.raises(AssertionError, match="not correctly signed"):
        webhook_inbox.messages[-1].verify("standard", OTHER)


def test_the_inbox_sends_the_responses_that_were_set(webhook_inbox: WebhookInbox) -> None:
    webhook_inbox.answer(202)
    webhook_inbox.answer(503, times=2, headers={"retry-after": "1"})
    assert [send(webhook_inbox, "a") for _ in range(4)] == [503, 503, 202, 202]
    webhook_inbox.answer(200, times=1, delay=0.2)
    started = time.monotonic()
    assert send(webhook_inbox, "a") == 200
    assert time.monotonic() - started >= 0.2


def test_a_long_delay_ends_with_the_inbox() -> None:
    started = time.monotonic()
    with WebhookInbox() as inbox:
        inbox.answer(200, delay=600)
        thread = later(inbox, "a")
        inbox.wait("a", timeout=PATIENCE)
    thread.join()
    assert time.monotonic() - started < 60


def test_assert_quiet_fails_if_a_message_is_received(webhook_inbox: WebhookInbox) -> None:
    webhook_inbox.assert_quiet(0.05)
    send(webhook_inbox, "a")
    with pytest.raises(AssertionError, match="unexpected message"):
        webhook_inbox.assert_quiet(0.05)
    webhook_inbox.wait("a")
    webhook_inbox.assert_quiet(0.05)


def test_pytest_finds_the_fixture_without_an_import(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text("def test_a(webhook_inbox):\n    assert webhook_inbox.url\n")
    slow = ("schemathesis", "hypothesispytest", "xdist", "valkey", "asyncio", "cacheprovider")
    without = [part for name in slow for part in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-q", *without, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout


def test_a_user_with_strict_mypy_sees_types(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from angarium.receiver import Event, Receiver, verify\n"
        "from angarium.testing import WebhookInbox, sign\n\n"
        "receiver = Receiver('standard', 'whsec_')\n\n"
        "@receiver.on('order.*')\n"
        "def order(event: Event[dict[str, str]]) -> None:\n"
        "    reveal_type(event.data)\n\n"
        "reveal_type(verify(b'', {}, '').timestamp)\n"
        "reveal_type(sign(b'', ''))\n"
    )
    # as for most users, who have none of these: reading them takes most of the time
    absent = ("arq", "cryptography", "dramatiq", "procrastinate", "psycopg", "psycopg_pool", "redis", "rq")
    skipped = ",".join(f"{name}.*" for name in (*absent, "sqlalchemy"))
    (tmp_path / "mypy.ini").write_text(f"[mypy]\n[mypy-{skipped}]\nfollow_imports = skip\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "shop.py"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stdout
    for shown in ('"dict[str, str]"', '"datetime.datetime | None"'):
        assert shown in ended.stdout
