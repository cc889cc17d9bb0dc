"""Table of failure kinds: code, title, advice for customers, and effects.

The code is stable: the API, the log and the filters of the portal use it. Nothing else switches on codes or
statuses. `side` says whose fault it is. A failure of side `ours` is never recorded: no attempt is
written, no retry is used, and the endpoint's health does not change (see core/outage.py).

A kind with `becomes` is ambiguous: the network between us and the receiver failed, and one failure does not
show at which end. It counts as the kind in `becomes` when `burst` unrelated hosts failed in this way and no
receiver was reached in between.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import msgspec

BURST: Final = 5
"""Unrelated hosts that must fail, with no success in between, before an ambiguous failure counts as ours."""


class Side(StrEnum):
    """Whose fault a failure is."""

    RECEIVER = "receiver"
    NETWORK = "network"  # between us and the receiver
    SETTINGS = "settings"  # of the endpoint
    OURS = "ours"


class FailureKind(msgspec.Struct, frozen=True, gc=False):
    """One row of the table."""

    code: str
    title: str
    advice: str
    side: Side
    slows: bool = False  # the endpoint as a whole is failing, so its lane slows down
    timed_out: bool = False
    becomes: str | None = None  # the code of side `ours` that it counts as after a burst
    burst: int = 0
    lane_only: bool = False  # of side `ours`: it says nothing about other lanes

    @property
    def ours(self) -> bool:
        return self.side is Side.OURS


_WAIT: Final = "No action needed. We will send it when the problem is fixed."


def _receiver(
    code: str, title: str, advice: str, *, slows: bool = True, timed_out: bool = False
) -> FailureKind:
    return FailureKind(code, title, advice, Side.RECEIVER, slows, timed_out)


def _network(
    code: str, title: str, advice: str, becomes: str, burst: int = BURST, *, timed_out: bool = False
) -> FailureKind:
    return FailureKind(code, title, advice, Side.NETWORK, True, timed_out, becomes, burst)


def _settings(code: str, title: str, advice: str, *, slows: bool = True) -> FailureKind:
    return FailureKind(code, title, advice, Side.SETTINGS, slows)


def _ours(code: str, title: str, *, lane_only: bool = False) -> FailureKind:
    return FailureKind(code, title, _WAIT, Side.OURS, lane_only=lane_only)


_TABLE: Final = (
    _settings("dns", "Host name not found", "Check the host in the URL, and the domain's DNS records."),
    _network(
        "dns_unanswered",
        "Name server did not answer",
        "Check the domain's name servers.",
        becomes="resolver_down",
    ),
    _settings("refused_address", "Address not allowed", "Use a URL with a public address."),
    _receiver(
        "connect_refused",
        "Connection refused",
        "Check that your server is running and that the port in the URL is correct.",
    ),
    _network(
        "connect_timeout",
        "Connection timed out",
        "Check that your server is running and that its firewall accepts our requests.",
        becomes="network_down",
        timed_out=True,
    ),
    _network(
        "connect_no_route",
        "No route to host",
        "Check that the address is right and can be reached from the internet.",
        becomes="network_down",
    ),
    # Usually our own network is down, so one host is enough. If others are reached, the fault is the host's,
    # such as an IPv6 address called from a network without IPv6.
    _network(
        "connect_no_network",
        "Network unreachable",
        "Check that the address is right and can be reached from the internet.",
        becomes="network_down",
        burst=1,
    ),
    _receiver(
        "connect_failed",
        "Could not connect",
        "Check that the address is right and can be reached from the internet.",
    ),
    _receiver(
        "tls_name",
        "Certificate name mismatch",
        "Get a certificate for the host in the URL, or correct the URL.",
    ),
    _receiver("tls_expired", "Certificate expired", "Renew the certificate and reload the server."),
    _receiver(
        "tls_untrusted",
        "Certificate not trusted",
        "Use a certificate from a public authority, and send its intermediate certificates too.",
    ),
    _receiver(
        "tls",
        "TLS handshake failed",
        "Check that the port in the URL serves HTTPS with TLS 1.2 or 1.3.",
    ),
    _receiver("timeout", "Response timed out", "Respond with 200 first, then do the work.", timed_out=True),
    _receiver(
        "reset",
        "Connection closed early",
        "Look for a crash, a restart or a limit in your server's log at the time of this attempt.",
    ),
    _receiver(
        "protocol",
        "Response is not HTTP",
        "Check that the port in the URL belongs to an HTTP server.",
        slows=False,
    ),
    _receiver(
        "too_large",
        "Response too large",
        "Respond with 200 and a few headers. No body is needed.",
        slows=False,
    ),
    _receiver(
        "redirect",
        "Redirect",
        "Set the endpoint's URL to the final address. Redirects are not followed.",
        slows=False,
    ),
    _receiver(
        "local",
        "No response from local server",
        "Check that your server is running and that `angarium listen` forwards to its port.",
        slows=False,
    ),
    _settings(
        "bad_request",
        "Invalid endpoint settings",
        "Set the endpoint's URL and custom headers again.",
        slows=False,
    ),
    _ours("out_of_resources", "Out of resources on our side"),
    _ours("resolver_down", "No name resolution on our side"),
    _ours("network_down", "Network is down on our side"),
    _ours("pool_full", "All our connections are in use"),
    _ours("restoring", "We are restoring our database"),
    _ours("internal", "Internal error on our side", lane_only=True),
)
KINDS: Final = {kind.code: kind for kind in _TABLE}

FAMILIES: Final = {
    "dns": "Host name not resolved",
    "connect": "Could not connect",
    "tls": "Certificate or TLS handshake",
    "timeout": "Response timed out",
    "reset": "Connection closed early",
    "http": "HTTP error status",
    "redirect": "Redirect",
    "protocol": "Response is not HTTP",
    "too_large": "Response too large",
    "refused_address": "Address not allowed",
    "bad_request": "Invalid endpoint settings",
    "local": "No response from local server",
}
"""Families offered by the filter of failed attempts. A family is a code or the common prefix of several."""

_SLOWING: Final = frozenset({429, 502, 503, 504})
_STATUS_ADVICE: Final = {
    400: "Compare the body with what your code expects. Verify the signature before you parse the body.",
    401: "Check that your code has this endpoint's secret and verifies the raw body, and that the path "
    "requires no login.",
    403: "Exempt this path from your firewall, CSRF protection and bot protection.",
    404: "Check the path in the URL, and that the route is deployed.",
    405: "Make the route accept POST, or correct the URL.",
    406: "Accept requests with any Accept header: the response to a webhook needs no content.",
    408: "If this repeats, check the proxy in front of your server.",
    409: "If you have already processed the message, respond with 200. A repeat is not an error.",
    410: "If you still want messages, enable the endpoint again.",
    411: "Check the proxy in front of your server: every request has a Content-Length header.",
    413: "Raise the body limit of your server, or of the proxy in front of it.",
    414: "Shorten the URL of the endpoint.",
    415: "Make the route accept application/json.",
    418: "Check that the URL points to your own application.",
    421: "Check the host in the URL and how your proxy routes it.",
    422: "Respond with 200, and log what your code cannot handle.",
    425: "Check the proxy in front of your server: we do not send TLS early data.",
    426: "Remove the requirement for another protocol from this path.",
    428: "Remove the requirement for a conditional request from this path.",
    429: "Set a rate limit for the endpoint that your server can keep up with.",
    431: "Raise the header limit of your server, or remove custom headers from the endpoint.",
    451: "Ask the operator of the host, or of the proxy in front of it, why the request is refused.",
    500: "Check your server's log at the time of this attempt.",
    501: "Check that the URL points to your application.",
    502: "Check that your application is running behind its proxy.",
    503: "Start your server or end its maintenance. Waiting deliveries will then be sent.",
    504: "Respond with 200 first, then do the work, or check whether your application hangs.",
    507: "Free some space on your server.",
    508: "Check the routing of your proxy: it has a loop.",
    511: "Check the network in front of your server: it asks for a login.",
}
_CLASS_ADVICE: Final = {
    1: "Respond with 200.",
    4: "Check the URL and the code behind it.",
    5: "Check your server's log at the time of this attempt.",
}


def kind_of(code: str) -> FailureKind:
    """The kind with this code. An unknown code counts as an internal error."""
    found = KINDS.get(code)
    if found is None and (status := _status(code)) is not None:
        return kind_of_status(status)
    return found or KINDS["internal"]


@lru_cache(maxsize=1024)
def kind_of_status(status: int) -> FailureKind:
    """The kind of a failed answer with this status."""
    if 300 <= status <= 399:
        return KINDS["redirect"]
    try:
        title = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        title = f"Status {status}"
    advice = _STATUS_ADVICE.get(status) or _CLASS_ADVICE.get(
        status // 100, "Respond with a standard HTTP status, such as 200."
    )
    return FailureKind(f"http_{status}", title, advice, Side.RECEIVER, status in _SLOWING)


def title_of(code: str) -> str:
    """The title of a failure kind, such as `Certificate expired` or `404 Not Found`."""
    return kind_of(code).title


def _status(code: str) -> int | None:
    number = code.removeprefix("http_")
    return (
        int(number) if number != code and number.isascii() and number.isdigit() and len(number) <= 3 else None
    )
