"""Kinds of failures: each has a title and advice, unknown codes those of a fault on our side."""

from __future__ import annotations

import pytest

from angarium.core.failure import FAMILIES, KINDS, FailureKind, Side, kind_of, title_of

OURS = "Internal error on our side"
WAIT = "No action needed. We will send it when the problem is fixed."

TABLE = [
    FailureKind(
        "dns", "Host name not found",
        "Check the host in the URL, and the domain's DNS records.",
        Side.SETTINGS, slows=True,
    ),
    FailureKind(
        "dns_unanswered", "Name server did not answer",
        "Check the domain's name servers.",
        Side.NETWORK, slows=True, becomes="resolver_down", burst=5,
    ),
    FailureKind(
        "refused_address", "Address not allowed",
        "Use a URL with a public address.",
        Side.SETTINGS, slows=True,
    ),
    FailureKind(
        "connect_refused", "Connection refused",
        "Check that your server is running and that the port in the URL is correct.",
        Side.RECEIVER, slows=True,
    ),
    FailureKind(
        "connect_timeout", "Connection timed out",
        "Check that your server is running and that its firewall accepts our requests.",
        Side.NETWORK, slows=True, timed_out=True, becomes="network_down", burst=5,
    ),
    FailureKind(
        "connect_no_route", "No route to host",
        "Check that the address is right and can be reached from the internet.",
        Side.NETWORK, slows=True, becomes="network_down", burst=5,
    ),
    FailureKind(
        "connect_no_network", "Network unreachable",
        "Check that the address is right and can be reached from the internet.",
        Side.NETWORK, slows=True, becomes="network_down", burst=1,
    ),
    FailureKind(
        "connect_failed", "Could not connect",
        "Check that the address is right and can be reached from the internet.",
        Side.RECEIVER, slows=True,
    ),
    FailureKind(
        "tls_name", "Certificate name mismatch",
        "Get a certificate for the host in the URL, or correct the URL.",
        Side.RECEIVER, slows=True,
    ),
    FailureKind(
        "tls_expired", "Certificate expired",
        "Renew the certificate and reload the server.",
        Side.RECEIVER, slows=True,
    ),
    FailureKind(
        "tls_untrusted", "Certificate not trusted",
        "Use a certificate from a public authority, and send its intermediate certificates too.",
        Side.RECEIVER, slows=True,
    ),
    FailureKind(
        "tls", "TLS handshake failed",
        "Check that the port in the URL serves HTTPS with TLS 1.2 or 1.3.",
        Side.RECEIVER, slows=True,
    ),
    FailureKind(
        "timeout", "Response timed out",
        "Respond with 200 first, then do the work.",
        Side.RECEIVER, slows=True, timed_out=True,
    ),
    FailureKind(
        "reset", "Connection closed early",
        "Look for a crash, a restart or a limit in your server's log at the time of this attempt.",
        Side.RECEIVER, slows=True,
    ),
    FailureKind(
        "protocol", "Response is not HTTP",
        "Check that the port in the URL belongs to an HTTP server.",
        Side.RECEIVER,
    ),
    FailureKind(
        "too_large", "Response too large",
        "Respond with 200 and a few headers. No body is needed.",
        Side.RECEIVER,
    ),
    FailureKind(
        "redirect", "Redirect",
        "Set the endpoint's URL to the final address. Redirects are not followed.",
        Side.RECEIVER,
    ),
    FailureKind(
        "local", "No response from local server",
        "Check that your server is running and that `angarium listen` forwards to its port.",
        Side.RECEIVER,
    ),
    FailureKind(
        "bad_request", "Invalid endpoint settings",
        "Set the endpoint's URL and custom headers again.",
        Side.SETTINGS,
    ),
    FailureKind(
        "out_of_resources", "Out of resources on our side",
        WAIT,
        Side.OURS,
    ),
    FailureKind(
        "resolver_down", "No name resolution on our side",
        WAIT,
        Side.OURS,
    ),
    FailureKind(
        "network_down", "Network is down on our side",
        WAIT,
        Side.OURS,
    ),
    FailureKind(
        "pool_full", "All our connections are in use",
        WAIT,
        Side.OURS,
    ),
    FailureKind(
        "restoring", "We are restoring our database",
        WAIT,
        Side.OURS,
    ),
    FailureKind(
        "internal", "Internal error on our side",
        WAIT,
        Side.OURS, lane_only=True,
    ),
]  # fmt: skip
"""What customers and the dispatcher go by, once more: a row changes here too, or not at all."""


@pytest.mark.parametrize(
    ("code", "title", "step"),
    [
        ("tls_expired", "Certificate expired", "Renew the certificate"),
        ("http_404", "404 Not Found", "Check the path in the URL"),
        ("http_504", "504 Gateway Timeout", "Respond with 200 first"),
        # a status without a step of its own has that of its class
        ("http_100", "100 Continue", "Respond with 200."),
        ("http_402", "402 Payment Required", "Check the URL and the code behind it."),
        ("http_499", "Status 499", "Check the URL and the code behind it."),
        ("http_505", "505 HTTP Version Not Supported", "Check your server's log"),
        ("http_599", "Status 599", "Check your server's log"),
        ("http_600", "Status 600", "Respond with a standard HTTP status"),
        ("http_0", "Status 0", "Respond with a standard HTTP status"),
        # not a code of Angarium
        ("internal", OURS, "No action needed"),
        ("", OURS, "No action needed"),
        ("404", OURS, "No action needed"),
        ("http_", OURS, "No action needed"),
        ("http_abc", OURS, "No action needed"),
        ("http_-404", OURS, "No action needed"),
        ("http_\u0664", OURS, "No action needed"),
        ("http_1000", OURS, "No action needed"),
        ("http_" + "9" * 5000, OURS, "No action needed"),
        ("http_http_404", OURS, "No action needed"),
    ],
)
def test_every_code_has_a_title_and_advice(code: str, title: str, step: str) -> None:
    assert kind_of(code).title == title
    assert kind_of(code).advice.startswith(step)


def test_the_status_of_a_receiver_is_never_our_fault() -> None:
    assert {kind_of(f"http_{status}").side for status in range(400, 1000)} == {Side.RECEIVER}


@pytest.mark.parametrize(
    "code", ["connect_refused", "timeout", "reset", "tls", "tls_untrusted", "dns", "redirect"]
)
def test_failures_by_the_receiver_are_never_our_fault(code: str) -> None:
    assert KINDS[code].becomes is None
    assert not KINDS[code].ours


def test_ambiguous_failures_have_a_kind_on_our_side() -> None:
    ambiguous = [kind for kind in KINDS.values() if kind.becomes is not None]
    assert {kind.side for kind in ambiguous} == {Side.NETWORK}
    assert all(kind.burst >= 1 and KINDS[kind.becomes or ""].ours for kind in ambiguous)


def test_the_table_of_failures_is_complete() -> None:
    assert list(KINDS.values()) == TABLE
    assert list(KINDS) == [kind.code for kind in TABLE]


def test_only_overload_and_unavailable_statuses_slow_an_endpoint() -> None:
    kinds = {status: kind_of(f"http_{status}") for status in range(400, 1000)}
    assert {status for status, kind in kinds.items() if kind.slows} == {429, 502, 503, 504}
    assert not any(kind.timed_out or kind.becomes or kind.burst or kind.lane_only for kind in kinds.values())
    assert all(kind.code == f"http_{status}" for status, kind in kinds.items())


def test_a_redirect_is_a_kind_of_its_own_whatever_its_status() -> None:
    assert {kind_of(f"http_{status}").code for status in range(300, 400)} == {"redirect"}
    assert {kind_of(f"http_{status}").code for status in (299, 400)} == {"http_299", "http_400"}


def test_a_code_is_titled_as_its_kind() -> None:
    assert title_of("http_404") == "404 Not Found"
    assert title_of("tls_expired") == "Certificate expired"


def test_each_kind_that_is_recorded_belongs_to_a_family() -> None:
    for kind in TABLE:
        families = [name for name in FAMILIES if kind.code == name or kind.code.startswith(f"{name}_")]
        assert len(families) == (0 if kind.ours else 1), kind.code
