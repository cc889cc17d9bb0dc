"""Exceptions of the HTTP client, DNS and TLS to a stable code and words: what happened, and what to do."""

from __future__ import annotations

import errno
import ssl
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from angarium.core.outcome import plain
from angarium.dispatch.connector import AddressRefused, AnswerTooLarge
from angarium.dispatch.resolver import NameFailure

Failure = tuple[str, str]

# X509_V_ERR_* of OpenSSL, as SSLCertVerificationError.verify_code gives them.
_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_SELF_SIGNED: Final = frozenset({18, 19})
_UNKNOWN_ISSUER: Final = frozenset({2, 20, 21})
_WRONG_NAME: Final = frozenset({62, 64})

_RESET: Final = (
    "The receiver closed the connection before it answered. Look for a crash, a restart or a limit in its "
    "log at the time of this attempt."
)
_PROTOCOL: Final = (
    "The receiver's answer is not valid HTTP. Check that the port in the URL belongs to an HTTP server"
)
_TOO_LARGE: Final = (
    "The receiver's answer was cut off: its headers are too large or do not end. Answer with a short 200."
)
_STAGE: Final = {
    "dns": "The host name was not resolved within {0:g} s. Check the domain's name servers.",
    "connect": "No connection came about within {0:g} s. Check that the server runs and that its firewall "
    "lets us in.",
    "answer": "No answer came within {0:g} s. Answer first with 200 and do the work afterwards.",
}


def explain_timeout(stage: str, timeout: float) -> Failure:
    """The total deadline passed before a status had arrived."""
    if stage == "queue":
        return "internal", (
            f"The sender had no connection free within {timeout:g} s. This is not the receiver's fault; the "
            "delivery is tried again."
        )
    return "timeout", _STAGE[stage].format(timeout)


def explain(exc: BaseException) -> Failure:
    """Any exception of one request."""
    match exc:
        case AddressRefused():
            return "refused_address", str(exc)
        case NameFailure():
            return "dns", str(exc)
        case AnswerTooLarge():
            return "too_large", _TOO_LARGE
        case aiohttp.ClientConnectorCertificateError():
            return _certificate(exc.certificate_error)
        case aiohttp.ClientConnectorSSLError():
            return _tls(exc.os_error)
        case aiohttp.ClientConnectorError():
            return _connect(exc.os_error)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return "bad_request", "The endpoint's URL cannot be requested. Set it again."
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
            return "reset", _RESET
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return _protocol(exc)
        case aiohttp.ClientPayloadError():
            return "protocol", f"{_PROTOCOL}."
        case ssl.SSLError():
            return _tls(exc)
        case OSError():
            return _connect(exc)
        case ValueError() | TypeError():
            # A header that must not go out (control characters) shows only when it is written.
            return "bad_request", (
                "The request cannot be sent as the endpoint is set up. Check its URL and its custom headers: "
                f"{plain(str(exc), 200)}"
            )
        case _:
            return "internal", (
                f"The sender failed ({type(exc).__name__}: {plain(str(exc), 200)}). This is not the "
                "receiver's fault; the delivery is tried again."
            )


def _protocol(exc: aiohttp.ClientResponseError | HttpProcessingError) -> Failure:
    cause = exc.__cause__ if isinstance(exc, aiohttp.ClientResponseError) else exc
    detail = plain(str(getattr(cause, "message", "")).split("\n")[0], 120).strip(" :")
    if detail.startswith(("Got more than", "Too many")):
        return "too_large", _TOO_LARGE
    return "protocol", f"{_PROTOCOL} ({detail})." if detail else f"{_PROTOCOL}."


def _connect(exc: OSError) -> Failure:
    if exc.errno == errno.ECONNREFUSED or isinstance(exc, ConnectionRefusedError):
        return "connect_refused", (
            "Nothing listens at the host and port of the URL. Check that the server runs and that the port "
            "is right."
        )
    if isinstance(exc, ConnectionError):
        return "reset", (
            "The connection was closed while it was made. Check the firewall, and that an https URL leads to "
            "a port that speaks TLS."
        )
    name = errno.errorcode.get(exc.errno or 0, type(exc).__name__)
    return "connect_failed", (
        f"No connection to the server ({name}). Check that its address is right and can be reached from "
        "the internet."
    )


def _certificate(exc: Exception) -> Failure:
    code = getattr(exc, "verify_code", 0)
    if code == _EXPIRED:
        return "tls_expired", "The certificate of the server has expired. Renew it."
    if code == _NOT_YET_VALID:
        return (
            "tls_expired",
            "The certificate of the server is not valid yet. Check its dates, and the server's clock.",
        )
    if code in _WRONG_NAME:
        return "tls_name", (
            "The certificate of the server is for another host name. Get one for the host in the URL, or "
            "correct the URL."
        )
    if code in _SELF_SIGNED:
        return "tls_untrusted", (
            "The certificate of the server is self-signed. Use one from a public certificate authority."
        )
    if code in _UNKNOWN_ISSUER:
        return "tls_untrusted", (
            "The issuer of the server's certificate is not known. Use a public certificate authority, and "
            "let the server send its intermediate certificates too."
        )
    return "tls", f"The certificate of the server was not accepted ({plain(str(exc), 200)}). Replace it."


def _tls(exc: OSError) -> Failure:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _certificate(exc)
    reason = plain(str(getattr(exc, "reason", None) or exc), 120)
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"):
        return "tls", "The port does not speak TLS. Use http:// in the URL, or the port of the https server."
    return "tls", f"No TLS connection ({reason}). Offer TLS 1.2 or 1.3 with a common cipher suite."
