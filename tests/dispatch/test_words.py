"""What a failed attempt says to a developer: what happened and what to do, without our insides.

test_sender.py tests how each failure happens; these tests are about the texts.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from angarium.core.address import AddressPolicy
from angarium.core.failure import KINDS, kind_of, title_of
from angarium.core.outcome import AttemptResult, explain_status
from angarium.dispatch.transport.dial import NotConnected
from angarium.dispatch.transport.failure import explain, explain_timeout
from angarium.dispatch.transport.resolver import CONTROL, NameFailure, SystemResolver
from angarium.dispatch.transport.sender import OutgoingRequest, Sender
from angarium.dispatch.url_check_transport import UrlCheckTransport
from tests.kit import receiver as kit
from tests.kit.authority import Authority
from tests.kit.overdue import overdue
from tests.kit.patience import PATIENCE
from tests.kit.port import free_port
from tests.kit.receiver import Hangup, Raw, Receiver, Reply, Reset, Silence, redirect
from tests.kit.world import LOOPBACK

CODES = tuple(KINDS)
OURS = re.compile(
    r"Error|Exception|errno|\bE[A-Z]{4,}\b|aiohttp|[Pp]ython|OpenSSL|_ssl|SSL:|socket|None|Traceback|object|[{}]"
)
NEXT_STEP = re.compile(
    r"\b(Check|Use|Get|Renew|Respond|Look|Set|Raise|Make|Exempt|Verify|Compare|Offer|Replace|Remove|Send|Start"
    r"|Accept|Shorten|Free|Ask)\b"
    r"|No action needed|If |can allow"
)


def well_said(words: str | None) -> str:
    assert words is not None
    sentences = re.split(r"(?<=[.]) (?=[A-Z])", words)
    assert 2 <= len(sentences) <= 3, words
    assert len(words) < 420, words
    assert words.isprintable()
    assert words[0].isupper()
    assert words.endswith(".")
    assert not OURS.search(words), words
    assert NEXT_STEP.search(words), f"says what to do: {words}"
    return words


async def said(
    url: str, *, timeout: float = 30.0, over_at: str | None = None, **parts: object
) -> AttemptResult:
    """The answer of the real sender, whose words are well said; `over_at`: how far it gets in its time."""
    sender = Sender(
        **({"policy": LOOPBACK, "response_limit": 1000, "connections": 2} | parts)  # type: ignore[arg-type]
    )
    request = OutgoingRequest(url, [("content-type", "application/json")], b"{}", timeout)
    try:
        if over_at is None:
            answer = await sender.send(request)
        else:
            answer = await overdue(sender, request, lambda exchange: exchange.how_far() == over_at)
    finally:
        await sender.close()
    well_said(answer.error)
    return answer


def holds(answer: AttemptResult, code: str, *words: str) -> None:
    assert answer.error_code == code, answer
    for word in words:
        assert word in (answer.error or ""), answer.error


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


# -- no connection


async def test_a_dns_failure() -> None:
    def fails(error: int) -> Callable[[str], list[str]]:
        def lookup(host: str) -> list[str]:
            raise socket.gaierror(error, "Name or service not known")

        return lookup

    url = "http://hooks.example.com/in"
    answer = await said(url, resolver=SystemResolver(lookup=fails(socket.EAI_NONAME)))
    holds(answer, "dns", "The host name hooks.example.com does not exist in DNS", "Check the URL")
    answer = await said(url, resolver=SystemResolver(lookup=fails(socket.EAI_AGAIN)))
    holds(answer, "resolver_down", "Our name servers do not respond", "No action needed")

    never = asyncio.get_running_loop().create_future()

    class Silent:
        """Name servers that answer nothing, the control lookup neither."""

        async def addresses(self, host: str) -> list[str]:
            await never
            return []

        def silent(self, seconds: float) -> bool:
            return True

        async def close(self) -> None:
            never.cancel()

    answer = await said(url, resolver=Silent(), over_at="dns")
    holds(answer, "resolver_down", "Our name servers do not respond", "No action needed")

    def broken_domain(host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME if host == CONTROL else socket.EAI_AGAIN, "x")

    answer = await said(url, resolver=SystemResolver(lookup=broken_domain))
    holds(
        answer,
        "dns_unanswered",
        "did not answer for hooks.example.com",
        "check the domain's name servers",
    )
    answer = await said(url, resolver=SystemResolver(lookup=lambda host: []))
    holds(answer, "dns", "hooks.example.com has no address", "Check the domain's records")


async def test_a_refused_address() -> None:
    answer = await said("http://127.0.0.1:1/", policy=AddressPolicy())
    holds(
        answer,
        "refused_address",
        "127.0.0.1 is not public",
        "Only public addresses are allowed",
        "ANGARIUM_ALLOWED_SUBNETS",
    )
    answer = await said(
        "http://hooks.example.com/",
        policy=AddressPolicy(),
        resolver=SystemResolver(lookup=lambda _: ["10.1.2.3"]),
    )
    holds(answer, "refused_address", "hooks.example.com has no public address", "ANGARIUM_ALLOWED_SUBNETS")


INSIDE = ["10.1.2.3", "127.0.0.1", "169.254.169.254", "fd00::7", "::1", "::ffff:10.1.2.3", "64:ff9b::a01:203"]


@pytest.mark.parametrize("found", [[one] for one in INSIDE] + [INSIDE])
async def test_internal_addresses_of_a_name_are_only_logged(found: list[str]) -> None:
    def lookup(_: str) -> list[str]:
        return found

    with structlog.testing.capture_logs() as logged:
        answer = await said(
            "http://hooks.example.com/", policy=AddressPolicy(), resolver=SystemResolver(lookup=lookup)
        )
        url_check_transport = UrlCheckTransport(
            policy=AddressPolicy(), response_limit=100, resolver=SystemResolver(lookup=lookup)
        )
        trouble = await url_check_transport.trouble("hooks.example.com", PATIENCE)
        await url_check_transport.close()
    assert [one["addresses"] for one in logged if one["event"] == "address.refused"] == [found, found]
    texts = {answer.error, (trouble or ("", ""))[1]}
    assert texts == {
        "The host hooks.example.com has no public address. Only public addresses are allowed. "
        "Your operator can allow a private network with ANGARIUM_ALLOWED_SUBNETS."
    }


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ECONNREFUSED, "Connection refused by 10.0.0.53"),
        socket.gaierror(socket.EAI_AGAIN, "server 10.0.0.53 did not answer"),
        socket.gaierror(socket.EAI_NONAME, "ns.internal.corp has no such name"),
        socket.gaierror(socket.EAI_FAIL, "refused by 10.0.0.53"),
        UnicodeError("10.0.0.53"),
    ],
)
async def test_messages_of_name_servers_are_not_shown(error: Exception) -> None:
    def lookup(host: str) -> list[str]:
        raise error if host != CONTROL else socket.gaierror(socket.EAI_NONAME, "no such name")

    answer = await said("http://hooks.example.com/", resolver=SystemResolver(lookup=lookup))
    assert answer.error_code in ("dns", "dns_unanswered")
    assert not re.search(r"10\.0|internal", answer.error or "")


async def test_a_refused_connection() -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    holds(await said(url), "connect_refused", "Nothing is listening", "Check that your server is running")


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.EHOSTUNREACH, "connect_no_route", "No route to the server"),
        (errno.ENETUNREACH, "connect_no_network", "Network is unreachable"),
        (errno.ETIMEDOUT, "connect_timeout", "The connection timed out"),
        (errno.EMFILE, "out_of_resources", "we are out of resources"),
        (errno.EADDRNOTAVAIL, "out_of_resources", "we are out of resources"),
        (errno.EPERM, "connect_no_network", "Network is unreachable"),
        (errno.EPROTO, "connect_failed", "The connection to the server failed"),
    ],
)
def test_a_connection_that_the_network_does_not_allow(number: int, code: str, words: str) -> None:
    """Such networks cannot be had in a test, so the error of the system is put in by hand."""
    found, told = explain(NotConnected(OSError(number, "x")))
    assert found.code == code
    assert words in well_said(told)


# -- encryption


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("expired", "tls_expired", ("has expired", "Renew the certificate")),
        ("wrong_name", "tls_name", ("for another host name", "Get a certificate for the host in the URL")),
        ("self_signed", "tls_untrusted", ("self-signed", "Use a certificate from a public authority")),
        ("unknown_issuer", "tls_untrusted", ("issuer", "is unknown", "intermediate certificates")),
    ],
)
async def test_a_certificate(tmp_path: Path, kind: str, code: str, words: tuple[str, ...]) -> None:
    authority = Authority(tmp_path)
    async with Receiver(tls=getattr(authority, kind)()) as receiver:
        holds(await said(receiver.url, ssl_context=authority.trust()), code, *words)


async def test_a_port_that_answers_tls_with_plain_http() -> None:
    async with speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        answer = await said(f"https://127.0.0.1:{port}/")
        holds(answer, "tls", "does not serve HTTPS", "Use the port of the HTTPS server")


async def test_no_common_tls_version(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served, ours = authority.good(), authority.trust()
    served.maximum_version = ssl.TLSVersion.TLSv1_2
    ours.minimum_version = ssl.TLSVersion.TLSv1_3
    async with Receiver(tls=served) as receiver:
        answer = await said(receiver.url, ssl_context=ours)
    assert answer.error_code in ("tls", "reset"), "as the server ends the connection"
    assert "TLS 1.2 or 1.3" in (answer.error or "")
    async with speaking(b"\x15\x03\x03\x00\x02\x02\x46") as port:  # the alert protocol_version
        answer = await said(f"https://127.0.0.1:{port}/")
        holds(answer, "tls", "none of our TLS versions or ciphers", "Offer TLS 1.2 or 1.3")


async def test_a_server_that_breaks_off_the_handshake() -> None:
    async with speaking(b"\x15\x03\x03\x00\x02\x02\x28") as port:  # the alert handshake_failure
        holds(await said(f"https://127.0.0.1:{port}/"), "tls", "Offer TLS 1.2")
    async with speaking(b"\x15\x03\x03\x00\x02\x02\x70") as port:  # the alert unrecognized_name
        holds(
            await said(f"https://127.0.0.1:{port}/"), "tls", "no certificate for the host", "Check the host"
        )


@pytest.mark.parametrize("reason", ["SOME_NEW_REASON", None])
def test_another_failure_of_tls(reason: str | None) -> None:
    error = ssl.SSLError(1, f"[SSL: {reason}] some new reason (_ssl.c:1000)")
    code, words = explain(error)
    assert code.code == "tls"
    assert "closed the connection during the TLS handshake" in well_said(words)


def test_another_failure_of_a_certificate() -> None:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] (_ssl.c:1000)")
    error.verify_code, error.verify_message = 23, "certificate revoked"
    code, words = explain(error)
    assert code.code == "tls"
    assert "not accepted (certificate revoked)" in well_said(words)


# -- time


async def test_a_dns_timeout() -> None:
    class Slow:
        def silent(self, seconds: float) -> bool:
            return False

        async def addresses(self, host: str) -> list[str]:
            await asyncio.Event().wait()
            return []

        async def close(self) -> None:
            return

    answer = await said("http://hooks.example.com/", timeout=0.3, resolver=Slow())
    holds(answer, "dns_unanswered", "DNS lookup timed out after 0.3 seconds", "Check the name servers")


async def test_a_connection_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        # its queue is full, so the next one is left waiting
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        try:
            answer = await said(f"http://127.0.0.1:{address[1]}/", timeout=3.0)
        finally:
            for one in waiting:
                one.close()
    holds(answer, "connect_timeout", "Connection timed out after 3 seconds", "firewall accepts our requests")


async def test_a_handshake_timeout(receiver: Receiver) -> None:
    async with speaking(b"") as port:
        answer = await said(f"https://127.0.0.1:{port}/", over_at="tls")
    holds(answer, "timeout", "TLS handshake timed out after 30 seconds", "Check that the port serves HTTPS")


async def test_a_response_timeout(receiver: Receiver) -> None:
    receiver.default = Silence()
    answer = await said(receiver.url, over_at="answer")
    holds(answer, "timeout", "No response within 30 seconds", "Respond with 200 first")


async def test_a_response_that_stalls(receiver: Receiver) -> None:
    receiver.default = kit.Drip(interval=0.05, head=False)
    answer = await said(receiver.url, over_at="head")
    holds(
        answer,
        "timeout",
        "The response headers were not complete",
        "within 30 seconds",
        "Send the status and all headers",
    )


def test_waiting_for_our_own_connections_is_our_fault() -> None:
    code, words = explain_timeout("queue", 15.0)
    assert code.code == "pool_full"
    assert "our connections were in use" in well_said(words)


# -- the answer


@pytest.mark.parametrize(
    "behaviour", [Hangup(), Reset(), Reset(b"HTTP/1.1 200")], ids=["end", "reset", "half"]
)
async def test_a_connection_that_breaks(receiver: Receiver, behaviour: kit.Behaviour) -> None:
    receiver.default = behaviour
    holds(await said(receiver.url), "reset", "closed the connection before it answered", "Look for a crash")


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 2xx OK\r\nbad header\r\n\r\n", b"\x00\x01\x02" * 9]
)
async def test_a_response_that_is_not_http(receiver: Receiver, data: bytes) -> None:
    receiver.default = Raw(data)
    answer = await said(receiver.url)
    holds(answer, "protocol", "not valid HTTP", "Check that the port in the URL belongs to an HTTP server")


@pytest.mark.parametrize(
    "behaviour",
    [kit.endless_header_line(), kit.endless_headers()],
    ids=["long", "many"],
)
async def test_headers_without_an_end(receiver: Receiver, behaviour: kit.Behaviour) -> None:
    receiver.default = behaviour
    holds(
        await said(receiver.url),
        "too_large",
        "headers are too large or endless",
        "Respond with 200 and a few headers",
    )


async def test_a_redirect_names_where_to(receiver: Receiver) -> None:
    receiver.default = redirect("https://www.example.com/hook/", 301)
    answer = await said(receiver.url)
    holds(answer, "redirect", "answered 301", "to https://www.example.com/hook/", "Set the endpoint's URL")
    receiver.default = Reply(302)
    holds(await said(receiver.url), "redirect", "answered 302, a redirect. Set")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "Verify the signature before you parse the body"),
        (401, "has this endpoint's secret and verifies the raw body"),
        (403, "firewall, CSRF protection and bot protection"),
        (404, "Check the path in the URL"),
        (405, "accept POST"),
        (408, "proxy"),
        (409, "A repeat is not an error"),
        (410, "the endpoint was disabled. If you still want messages, enable the endpoint again"),
        (413, "Raise the body limit"),
        (415, "accept application/json"),
        (422, "Respond with 200, and log"),
        (429, "deliveries slow down. Set a rate limit"),
        (499, "Check the URL and the code behind it"),
        (500, "Check your server's log at the time of this attempt"),
        (501, "points to your application"),
        (502, "is running behind its proxy"),
        (503, "so deliveries slow down"),
        (504, "then do the work"),
        (599, "Check your server's log at the time of this attempt"),
        (777, "not a known HTTP status"),
    ],
)
async def test_a_status(receiver: Receiver, status: int, words: str) -> None:
    receiver.default = Reply(status)
    holds(await said(receiver.url), f"http_{status}", f"answered {status}: ", words)


def test_every_status_has_a_proper_sentence() -> None:
    for status in (*range(100, 200), *range(300, 600), 777, 999):
        code, words = explain_status(status)
        well_said(words)
        assert code is not None
        assert code.title


# -- our own settings


async def test_a_header_that_cannot_be_sent(receiver: Receiver) -> None:
    sender = Sender(policy=LOOPBACK, response_limit=1000, connections=2)
    try:
        answer = await sender.send(OutgoingRequest(receiver.url, [("x-a", "1\r\nx-b: 2")], b"{}", 5.0))
    finally:
        await sender.close()
    holds(
        answer, "bad_request", "cannot be sent with the endpoint's URL and headers", "Set the endpoint's URL"
    )
    well_said(answer.error)


async def test_a_fault_on_our_side_is_named_without_internal_details() -> None:
    code, words = explain(KeyError("'NoneType' object has no attribute 'send' (secret=abc)"))
    assert code.code == "internal"
    assert "error on our side" in well_said(words)
    assert "secret" not in words


# -- titles and steps


@pytest.mark.parametrize("code", CODES)
def test_every_kind_has_a_title_and_advice(code: str) -> None:
    assert title_of(code)
    assert len(title_of(code)) <= 32
    assert code == "internal" or title_of(code) != title_of("internal")
    assert not OURS.search(title_of(code))
    assert NEXT_STEP.search(kind_of(code).advice)
    assert kind_of(code).advice.endswith(".")


def test_titles_are_stable() -> None:
    assert title_of("tls_expired") == "Certificate expired"
    assert title_of("http_404") == "404 Not Found"
    assert title_of("http_499") == "Status 499"
    assert title_of("something new") == title_of("internal")
    assert "raw body" in kind_of("http_401").advice


@asynccontextmanager
async def speaking(data: bytes) -> AsyncIterator[int]:
    """A port that says these bytes to whatever comes, and then waits."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(data)
        await writer.drain()
        if not data:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        done.set()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    "error",
    [
        NameFailure("The host name does not exist in DNS.", temporary=False),
        NameFailure("The host name was not resolved.", temporary=True),
        NotConnected(ssl.SSLError(1, "certificate verify failed")),
    ],
)
def test_without_file_descriptors_dns_and_tls_fail_in_other_words(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert explain(error)[0].code != "out_of_resources"

    def exhausted(descriptor: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("angarium.dispatch.transport.failure.os.dup", exhausted)
    kind, words = explain(error)
    assert kind.code == "out_of_resources"
    well_said(words)
