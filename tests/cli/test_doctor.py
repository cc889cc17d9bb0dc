"""`angarium doctor` finds nothing wrong with good receivers, and each planted fault in bad ones."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from angarium.cli.main import app
from angarium.receiver import SCHEMES, Event, Receiver, RetryLater, VerificationError, verify
from tests.kit.authority import Authority
from tests.receiver.serving import fastapi, plain_wsgi, wsgi

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATIENT = "60"  # seconds, of which half are slow
Levels = dict[str, str]


def examine(url: str, *options: str, code: int | None = None, **env: str) -> dict[str, tuple[str, str]]:
    """Level and words by check."""
    told = ["doctor", url, "--secret", SECRET, "--json", "--timeout", PATIENT, *options]
    done = CliRunner().invoke(app, told, env=env)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    said = json.loads(done.stdout)
    assert said["passed"] is (done.exit_code == 0)
    assert code is None or done.exit_code == code, said
    return {one["check"]: (one["level"], one["words"]) for one in said["checks"]}


def levels(found: dict[str, tuple[str, str]]) -> Levels:
    return {check: level for check, (level, _) in found.items() if level not in ("ok", "skip")}


def local(port: int) -> str:
    return f"http://127.0.0.1:{port}/webhooks"


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_nothing_is_wrong_with_a_good_receiver(scheme: str) -> None:
    receiver, seen = Receiver(scheme, SECRET), []

    @receiver.on("order.*")
    def order(event: Event[dict[str, Any]]) -> None:
        seen.append(event)

    with plain_wsgi(receiver) as port:
        found = examine(local(port), "--allow-http", "--scheme", scheme, "--type", "order.filled", code=0)
    assert levels(found) == {"https": "warn"}
    assert len(found) == 16
    skipped = {check for check, (level, _) in found.items() if level == "skip"}
    assert skipped == {"tls"} | ({"old_timestamp"} if scheme in ("bluma", "github") else set())
    # the first, another about the same thing, the odd one, the large one; GitHub does not sign its id, so
    # that a request without it is a right one
    assert len(seen) == (5 if scheme == "github" else 4)


def test_nothing_is_wrong_with_a_good_receiver_behind_uvicorn() -> None:
    with fastapi(Receiver("standard", SECRET)) as port:
        found = examine(local(port), "--allow-http", code=0)
    assert levels(found) == {"https": "warn"}


Judge = Callable[[bytes, dict[str, str]], tuple[int, bytes]]


class Faulty:
    """A receiver that was written without the library."""

    def __init__(
        self, judge: Judge, *, limit: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self._judge, self._limit, self._headers = judge, limit, headers or {}

    def __call__(self, environ: dict[str, Any], start: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = {k[5:].replace("_", "-").lower(): v for k, v in environ.items() if k.startswith("HTTP_")}
        if self._limit is not None and len(body) > self._limit:
            status, said = 413, b""
        else:
            try:
                status, said = self._judge(body, headers)
            except Exception:
                status, said = 500, b"Internal Server Error"
        start(f"{status} x", [("content-length", str(len(said))), *self._headers.items()])
        return [said]


def careful(body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    try:
        verify(body, headers, SECRET)
    except VerificationError:
        return 401, b""
    return 204, b""


def trusting(body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    return 200, b""


def crashing(body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    verify(body, headers, SECRET)  # without handling what it raises
    return 200, b""


def assuming_the_header(body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    assert headers["webhook-signature"]
    return careful(body, headers)


def timeless(body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    try:
        verify(body, headers, SECRET, clock=lambda: float(headers.get("webhook-timestamp", "0")))
    except VerificationError:
        return 401, b""
    return 200, b""


def rewriting(body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    again = json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()
    return careful(again, headers)


def vague(body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    status, _ = careful(body, headers)
    return (status, b"") if status != 401 else (404, b"")


def chatty(body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    status, _ = careful(body, headers)
    return 200 if status == 204 else status, b"<p>" * 10_000


class Slow:
    """The first event takes its time."""

    def __init__(self) -> None:
        self._warm = False

    def __call__(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        status, said = careful(body, headers)
        if status == 204 and not self._warm:
            self._warm = True
            time.sleep(6)
        return status, said


class Remembering:
    """Tells repeats by what it takes from the request."""

    def __init__(self, of: Callable[[bytes, dict[str, str]], Any], repeat: tuple[int, bytes]) -> None:
        self._of, self._repeat, self._seen = of, repeat, set[Any]()

    def __call__(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        status, said = careful(body, headers)
        if status != 204:
            return status, said
        known = self._of(body, headers)
        if known in self._seen:
            return self._repeat
        self._seen.add(known)
        return 200, b"thank you"


def data_id(body: bytes, _: dict[str, str]) -> Any:
    return json.loads(body)["data"]["id"]


def event_id(_: bytes, headers: dict[str, str]) -> Any:
    return headers["webhook-id"]


FAULTS: dict[str, tuple[Faulty, Levels]] = {
    "verifies nothing": (
        Faulty(trusting),
        dict.fromkeys(
            ("wrong_signature", "changed_body", "garbled_signature", "missing_header", "old_timestamp"),
            "fail",
        ),
    ),
    "crashes on what does not verify": (
        Faulty(crashing),
        dict.fromkeys(
            ("wrong_signature", "changed_body", "garbled_signature", "missing_header", "old_timestamp"),
            "fail",
        ),
    ),
    "crashes without the header": (Faulty(assuming_the_header), {"missing_header": "fail"}),
    "does not look at the time": (Faulty(timeless), {"old_timestamp": "fail"}),
    "verifies what it wrote out again": (
        Faulty(rewriting),
        {"exact_bytes": "fail", "changed_body": "fail"},
    ),
    "answers something else than 401": (
        Faulty(vague),
        dict.fromkeys(
            ("wrong_signature", "changed_body", "garbled_signature", "missing_header", "old_timestamp"),
            "warn",
        ),
    ),
    "refuses repeats": (Faulty(Remembering(event_id, (409, b""))), {"duplicate": "fail"}),
    "refuses what has the same data.id": (
        Faulty(Remembering(data_id, (409, b""))),
        {"duplicate": "fail", "same_data": "fail", "exact_bytes": "fail", "large_body": "fail"},
    ),
    "takes what has the same data.id for a repeat": (
        Faulty(Remembering(data_id, (200, b"had it"))),
        {"same_data": "fail"},
    ),
    "takes small bodies only": (Faulty(careful, limit=100 * 1024), {"large_body": "fail"}),
    "is slow": (Faulty(Slow()), {"latency": "warn"}),
    "answers with a page": (Faulty(chatty), {"answer": "warn"}),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_each_fault_is_found_and_nothing_else(fault: str) -> None:
    application, expected = FAULTS[fault]
    with wsgi(application) as port:
        found = examine(local(port), "--allow-http", *(("--timeout", "11") if fault == "is slow" else ()))
    assert levels(found) == {"https": "warn", **expected}


def test_a_redirect_a_wrong_path_and_a_wrong_secret_are_named() -> None:
    moved = Faulty(lambda *_: (308, b""), headers={"location": "https://shop.example.com/new"})
    with wsgi(moved) as port:
        found = examine(local(port), "--allow-http", code=1)
    assert found["redirect"] == (
        "fail",
        "It redirects to https://shop.example.com/new. Senders do not follow: give them that URL.",
    )
    assert found["duplicate"][0] == "skip"
    with wsgi(Faulty(lambda *_: (404, b""))) as port:
        found = examine(local(port), "--allow-http", code=1)
    assert "Check the path" in found["signature"][1]
    with plain_wsgi(Receiver("standard", "whsec_" + "A" * 32)) as port:
        found = examine(local(port), "--allow-http", code=1)
    assert found["signature"][0] == "fail"
    assert "this secret" in found["signature"][1]
    assert found["wrong_signature"][0] == "ok"


def test_a_receiver_that_is_never_ready_fails() -> None:
    receiver = Receiver("standard", SECRET)

    @receiver.default
    def busy(event: Event[Any]) -> None:
        raise RetryLater(5)

    with plain_wsgi(receiver) as port:
        found = examine(local(port), "--allow-http", code=1)
    assert found["signature"] == (
        "fail",
        "A correctly signed event is not accepted: it responded with 503. The receiver's log has the reason.",
    )


def test_what_cannot_be_reached_is_said() -> None:
    found = examine("http://127.0.0.1:9/", code=1)
    assert list(found) == ["https"]
    found = examine("https://127.0.0.1:9/", code=1)
    assert "not reachable from the internet" in found["address"][1]
    found = examine("https://no-such-host.invalid/", code=1)
    assert found["address"] == ("fail", "no-such-host.invalid was not found in DNS.")
    found = examine("http://127.0.0.1:9/", "--allow-http", code=1)
    assert "nothing listens at 127.0.0.1:9" in found["signature"][1]
    said = [words for level, words in found.values() if "nothing listens" in words]
    assert len(said) == 1, "one failure is said once"
    assert found["wrong_signature"][0] == found["duplicate"][0] == "skip"


class _Good(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status, _ = careful(body, {name.lower(): value for name, value in self.headers.items()})
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""


class _Tls(HTTPServer):
    """What a client breaks off is the client's affair."""

    def handle_error(self, *_: Any) -> None:
        """Nothing on standard error."""


@contextlib.contextmanager
def secure(context: ssl.SSLContext) -> Iterator[str]:
    with _Tls(("127.0.0.1", 0), _Good) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield f"https://localhost:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_certificates_are_judged(directory: Path) -> None:
    authority = Authority(directory)
    root = directory / "root.pem"
    root.write_text(authority.pem)
    trust = {"SSL_CERT_FILE": str(root)}
    with secure(authority.good()) as url:
        found = examine(url, "--allow-http", code=0, **trust)
    assert levels(found) == {}
    assert found["tls"] == ("ok", "The certificate is valid for 29 days.")
    with secure(authority.ending()) as url:
        found = examine(url, "--allow-http", code=0, **trust)
    assert levels(found) == {"tls": "warn"}
    for context, words in (
        (authority.expired(), "expired"),
        (authority.wrong_name(), "mismatch"),
        (authority.self_signed(), "self-signed"),
    ):
        with secure(context) as url:
            found = examine(url, "--allow-http", code=1, **trust)
        assert words in found["tls"][1]
        assert "signature" not in found


def test_a_human_reads_it_line_by_line_and_nonsense_is_a_wrong_call() -> None:
    with wsgi(Faulty(trusting)) as port:
        told = ["doctor", local(port), "--secret", SECRET, "--allow-http", "--timeout", PATIENT]
        done = CliRunner().invoke(app, told)
    assert done.exit_code == 1
    assert "FAIL  wrong_signature   It accepts an event signed with another secret." in done.stdout
    assert "5 failed, 1 warned, of 16 checks" in done.stdout
    for wrong in (
        ["nonsense", "--secret", SECRET],
        [local(9), "--secret", SECRET, "--scheme", "none"],
        [local(9), "--secret", SECRET, "--data", "[]"],
        [local(9), "--secret", "whsec_!", "--allow-http"],
    ):
        assert CliRunner().invoke(app, ["doctor", *wrong]).exit_code == 2, wrong
