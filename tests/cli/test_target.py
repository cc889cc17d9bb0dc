"""URLs given to commands: every usual form is understood, and what is none is said in words."""

from __future__ import annotations

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from angarium.cli.doctor import Way
from angarium.cli.forward import DeliveryForwarder, ForwardResult, read_header
from angarium.cli.main import app as cli
from angarium.client import Angarium, ClientError
from angarium.client.target import Target, read_target
from tests.kit.authority import Authority
from tests.kit.receiver import Receiver

SAID = r"is not a URL: .*Write http"
EXAMPLE = "http://localhost:3000/webhooks"
BASIC = "Basic " + base64.b64encode(b"user:pa@ss").decode()
FORMS = {
    "http://localhost:3000/webhooks": Target(False, "localhost", 3000, "/webhooks"),
    "HTTPS://Shop.Example.com": Target(True, "shop.example.com", 443, "/"),
    " http://localhost/a?b=1#c ": Target(False, "localhost", 80, "/a?b=1"),
    "http://localhost?b=1": Target(False, "localhost", 80, "/?b=1"),
    "http://[::1]:3000/a": Target(False, "::1", 3000, "/a"),
    "http://[fe80::1%25eth0]/": Target(False, "fe80::1%eth0", 80, "/"),
    "http://user:pa%40ss@localhost/": Target(False, "localhost", 80, "/", BASIC),
    "http://user@localhost/": Target(
        False, "localhost", 80, "/", "Basic " + base64.b64encode(b"user:").decode()
    ),
    "http://localhost/wébhook": Target(False, "localhost", 80, "/w%C3%A9bhook"),
    "http://localhost/w%C3%A9b%2Fhook?q=ü": Target(False, "localhost", 80, "/w%C3%A9b%2Fhook?q=%C3%BC"),
    "http://localhost/a b": Target(False, "localhost", 80, "/a%20b"),
    "https://bücher.example/": Target(True, "xn--bcher-kva.example", 443, "/"),
    "https://i❤.example/": Target(True, "xn--i-7iq.example", 443, "/"),
    "localhost:3000/webhooks": Target(False, "localhost", 3000, "/webhooks"),
    "127.0.0.1:3000": Target(False, "127.0.0.1", 3000, "/"),
}
NO_URLS = [
    "", " ", "/webhooks", "ftp://localhost/", "unix:///run/app.sock", "http://", "http:///path", "http://:3000/",
    "http://localhost:port/", "http://localhost:70000/", "http://localhost:-1/", "http://localhost:0/",
    "http://[::1/", "http://[::1]x/", "http://a..b/", "http://" + "a" * 64 + "/", "http://a b/", "http://a\x00b/",
    "http://local\nhost/", "http://localhost/\r\nx: y", "http://%00/", "http://user:secret@/",
]  # fmt: skip


@pytest.mark.parametrize(("text", "target"), FORMS.items(), ids=FORMS)
def test_every_usual_form_is_understood(text: str, target: Target) -> None:
    assert read_target(text, EXAMPLE, scheme="http") == target


@pytest.mark.parametrize("text", NO_URLS, ids=repr)
def test_what_is_no_url_is_an_error_with_an_example_in_every_command(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reader in (lambda: DeliveryForwarder(text, 1.0), lambda: Way(text, 1.0, local=True)):
        with pytest.raises(ValueError, match=SAID):
            reader()
    if text.strip():
        with pytest.raises(ClientError, match=SAID):
            Angarium(text, "token")
    server = {"ANGARIUM_URL": "http://127.0.0.1:1", "ANGARIUM_TOKEN": "token"}
    commands = [["listen", "--forward-to", text], ["doctor", text, "--secret", "whsec_aaaa"]]
    if text.strip():
        commands += [
            ["message", "tail", "--url", text],
            ["listen", "--forward-to", "localhost:1", "--url", text],
        ]
    for command in commands:
        done = CliRunner().invoke(cli, command, env=server)
        assert done.exit_code == 2, done.output
        assert "is not a URL" in re.sub(r"[\s│]+", " ", done.output)


def test_no_error_shows_a_login() -> None:
    with pytest.raises(ValueError, match="…@") as error:
        read_target("http://user:secret@localhost:99999/", EXAMPLE)
    assert "secret" not in str(error.value)
    assert "pa@ss" not in repr(read_target("http://user:pa%40ss@localhost/", EXAMPLE))
    assert BASIC not in repr(read_target("http://user:pa%40ss@localhost/", EXAMPLE))
    with pytest.raises(ClientError, match="must not contain a login"):
        Angarium("http://user:secret@localhost/", "token")


DELIVERY: dict[str, Any] = {
    "receipt": "r",
    "messageId": "msg_1",
    "eventType": "a.b",
    "attempt": 1,
    "headers": [["content-type", "application/json"], ["webhook-id", "msg_1"]],
    "body": base64.b64encode(b'{"n":1.0}').decode(),
}


async def forwarded(url: str, *headers: str, insecure: bool = False) -> ForwardResult:
    extra = [read_header(one) for one in headers]
    return await asyncio.to_thread(DeliveryForwarder(url, 10.0, extra, insecure=insecure).forward, DELIVERY)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_delivery_is_forwarded_to_a_url_with_a_login_and_letters_outside_ascii(host: str) -> None:
    async with Receiver(host=host) as receiver:
        url = receiver.url.replace("://", "://user:pa%40ss@").replace("/hook", "/wébhook?a=ü b")
        outcome = await forwarded(url)
    assert (outcome.status, outcome.error) == (200, None)
    (request,) = receiver.requests
    assert request.path == "/w%C3%A9bhook?a=%C3%BC%20b"
    assert request.header("authorization") == BASIC
    authority = f"[{host}]" if ":" in host else host
    assert request.header("host") == f"{authority}:{receiver.port}"
    assert request.body == b'{"n":1.0}'


async def test_headers_of_the_command_replace_those_of_the_delivery_host_included() -> None:
    given = ("Host: shop.test", "Content-Type: text/plain", "X-Note: é", "X-Note: 2", "Authorization: mine")
    async with Receiver() as receiver:
        await forwarded(receiver.url.replace("://", "://user:pw@"), *given)
    (request,) = receiver.requests
    for name, value in (("host", "shop.test"), ("content-type", "text/plain"), ("webhook-id", "msg_1")):
        assert [v for n, v in request.headers if n.lower() == name] == [value]
    assert len([1 for name, _ in request.headers if name.lower() == "x-note"]) == 2
    assert [v for n, v in request.headers if n.lower() == "authorization"] == ["mine"]


@pytest.mark.parametrize(
    "header",
    [
        "Content-Length: 1",
        "transfer-encoding: chunked",
        "Connection: close",
        "no colon",
        ": x",
        "a b: c",
        "x: a\nb: c",
    ],
)
def test_a_header_that_cannot_be_chosen_is_refused_not_dropped(header: str) -> None:
    command = ["listen", "--forward-to", "http://localhost:1/", "--header", header]
    done = CliRunner().invoke(cli, command, env={"ANGARIUM_URL": "http://127.0.0.1:1", "ANGARIUM_TOKEN": "t"})
    assert done.exit_code == 2
    with pytest.raises(ValueError, match=r"cannot be changed|control character|write 'Name: value'"):
        read_header(header)


async def test_a_certificate_that_nobody_signed_is_accepted_when_asked_for(tmp_path: Path) -> None:
    async with Receiver(tls=Authority(tmp_path).good()) as receiver:
        refused = await forwarded(receiver.url)
        accepted = await forwarded(receiver.url, insecure=True)
    assert refused.status == 0
    assert "--insecure" in str(refused.error)
    assert accepted.status == 200


async def test_a_listener_forwards_to_a_receiver_whose_host_does_not_resolve() -> None:
    outcome = await forwarded("http://no-such-host.invalid/")
    assert outcome.status == 0
    assert "failed" in str(outcome.error)
