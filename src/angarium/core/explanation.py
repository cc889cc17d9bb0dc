"""What each kind of failure is called, and what a developer can do about it.

`title_of` and `step_of` take the stable codes of core/outcome.py and know an answer for every one of them;
the words of an attempt (`explain_status`, dispatch/failure.py) are made of what happened and such a step.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

_KINDS: Final = {
    "dns": (
        "Host name not found",
        "Check the host in the URL, and the domain's DNS records.",
    ),
    "refused_address": (
        "Address not allowed",
        "Use a URL that leads to a public address.",
    ),
    "connect_refused": (
        "Connection refused",
        "Check that your server runs, and that the port in the URL is right.",
    ),
    "connect_failed": (
        "Could not connect",
        "Check that the address is right and can be reached from the internet.",
    ),
    "tls_name": (
        "Certificate for another name",
        "Get a certificate for the host in the URL, or correct the URL.",
    ),
    "tls_expired": (
        "Certificate expired",
        "Renew the certificate, and reload the server that uses it.",
    ),
    "tls_untrusted": (
        "Certificate not trusted",
        "Use a certificate of a public authority, and send its intermediate certificates too.",
    ),
    "tls": (
        "No secure connection",
        "Check that the port in the URL speaks https, with TLS 1.2 or 1.3.",
    ),
    "timeout": (
        "No answer in time",
        "Answer with 200 first and do the work afterwards.",
    ),
    "reset": (
        "Connection broken off",
        "Look for a crash, a restart or a limit in your server's log at the time of this attempt.",
    ),
    "protocol": (
        "Answer was not HTTP",
        "Check that the port in the URL belongs to an HTTP server.",
    ),
    "too_large": (
        "Answer too large",
        "Answer with a short 200: a few headers, and no body is needed.",
    ),
    "redirect": (
        "Redirect",
        "Set the endpoint's URL to the final address: redirects are not followed.",
    ),
    "bad_request": (
        "Settings cannot be sent",
        "Set the endpoint's URL and its own headers again.",
    ),
    "internal": (
        "Fault on our side",
        "You need do nothing: it is tried again.",
    ),
}

_STATUS_STEPS: Final = {
    400: "Compare the body with what your code expects. Do not parse it before the signature is verified.",
    401: "Check that your code has this endpoint's secret and verifies the raw body, and that no login of "
    "your site guards the path.",
    403: "Let requests to this path through your firewall, CSRF protection and bot protection.",
    404: "Check the path in the URL, and that the route is deployed.",
    405: "Let the route take POST, or correct the URL.",
    406: "Answer whatever content type is asked for: a webhook needs no content.",
    408: "If this repeats, check the proxy in front of your server.",
    409: "If the message was handled before, answer 200: a repeat is not an error.",
    410: "If you still want messages, enable the endpoint again.",
    411: "Check the proxy in front of your server: every request says how long it is.",
    413: "Raise the body limit of your server, or of the proxy in front of it.",
    414: "Shorten the URL of the endpoint.",
    415: "Let the route accept application/json.",
    418: "Check that the URL leads to your own application.",
    421: "Check the host in the URL, and how your proxy routes it.",
    422: "Answer 200, and log what your code cannot handle.",
    425: "Check the proxy in front of your server: nothing is sent early here.",
    426: "Take the demand for another protocol off this path.",
    428: "Take the demand for a condition off this path.",
    429: "Set a rate limit for the endpoint that your server can keep up with.",
    431: "Raise the header limit of your server, or remove headers of your own from the endpoint.",
    451: "Ask whoever runs the host or the proxy in front of it why it refuses.",
    500: "Your server's own log at the time of this attempt shows why.",
    501: "Check that the URL leads to your application.",
    502: "Check that your application runs behind its proxy.",
    503: "Bring your server back up, or out of maintenance; what is owed is sent then.",
    504: "Answer with 200 first and do the work afterwards, or check whether your application hangs.",
    507: "Free some space on your server.",
    508: "Check the routing of your proxy: it runs in a circle.",
    511: "Check the network of your server: something in between asks for a login.",
}
_CLASS_STEPS: Final = {
    1: "Answer with 200.",
    4: "Check the URL and the code behind it.",
    5: "Your server's own log at the time of this attempt shows why.",
}


def title_of(code: str) -> str:
    """What a kind of failure is called: `Certificate expired`, `404 Not Found`."""
    status = _status(code)
    if status is None:
        return _KINDS.get(code, _KINDS["internal"])[0]
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"Status {status}"


def step_of(code: str) -> str:
    """What to do about a kind of failure, in a sentence."""
    status = _status(code)
    if status is None:
        return _KINDS.get(code, _KINDS["internal"])[1]
    return _STATUS_STEPS.get(status) or _CLASS_STEPS.get(
        status // 100, "Answer with a status that HTTP knows, such as 200."
    )


def _status(code: str) -> int | None:
    number = code.removeprefix("http_")
    return int(number) if number != code and number.isascii() and number.isdigit() else None
