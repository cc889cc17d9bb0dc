"""Maps exceptions of the HTTP client, DNS and TLS to a failure kind and a message.

An unknown exception is a bug on our side, so it never counts against the receiver.
"""

from __future__ import annotations

import errno
import os
import ssl
from typing import Final

import structlog

from angarium.core.failure import KINDS, FailureKind
from angarium.core.outcome import plain
from angarium.dispatch.transport.dial import AddressRefused, NoSocket, NotConnected
from angarium.dispatch.transport.exchange import AnswerTooLarge, HungUp, NotHttp, Unsendable
from angarium.dispatch.transport.pool import Closed
from angarium.dispatch.transport.resolver import NameFailure, NameServersDown

log = structlog.get_logger(__name__)

Failure = tuple[FailureKind, str]

_NO_HTTP: Final = "The receiver's response is not valid HTTP."
_CUT_OFF: Final = "The receiver's response was cut off: its headers are too large or endless."

# X509_V_ERR_* of OpenSSL, as SSLCertVerificationError.verify_code gives them.
_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_SELF_SIGNED: Final = frozenset({18, 19})
_UNKNOWN_ISSUER: Final = frozenset({2, 20, 21})
_WRONG_NAME: Final = frozenset({62, 64})

# ERR_GET_REASON of OpenSSL, as SSLError.reason gives them.
_NO_TLS: Final = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
        "HTTP_REQUEST",
        "UNKNOWN_PROTOCOL",
        "PACKET_LENGTH_TOO_LONG",
    }
)
_NOTHING_COMMON: Final = frozenset(
    {
        "UNSUPPORTED_PROTOCOL",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "DH_KEY_TOO_SMALL",
    }
)
_WANTS_CERTIFICATE: Final = frozenset(
    {"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE", "TLSV1_ALERT_UNKNOWN_CA"}
)
_UNKNOWN_HOST: Final = frozenset({"TLSV1_UNRECOGNIZED_NAME", "TLSV1_ALERT_INTERNAL_ERROR"})

_NO_ROUTE: Final = frozenset({errno.EHOSTUNREACH, errno.EHOSTDOWN})
# EPERM and EACCES come from a firewall on this host.
_NO_NETWORK: Final = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EPERM, errno.EACCES})
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})

_TIMEOUT: Final = {
    "dns": (
        "dns_unanswered",
        "DNS lookup timed out after {0:g} seconds.",
        "Check the name servers of the domain.",
    ),
    "connect": ("connect_timeout", "Connection timed out after {0:g} seconds.", None),
    "tls": (
        "timeout",
        "TLS handshake timed out after {0:g} seconds.",
        "Check that the port serves HTTPS and that the server is not overloaded.",
    ),
    "answer": ("timeout", "No response within {0:g} seconds.", None),
    "head": (
        "timeout",
        "The response headers were not complete within {0:g} seconds.",
        "Send the status and all headers at once, then do the work.",
    ),
}


def explain_timeout(stage: str, timeout: float) -> Failure:
    """Kind and message when the deadline passed before a status arrived."""
    if stage == "queue":
        return _failure("pool_full", f"All our connections were in use for {timeout:g} seconds.")
    code, happened, step = _TIMEOUT[stage]
    return _checked(*_failure(code, happened.format(timeout), step))


def _failure(code: str, happened: str, step: str | None = None) -> Failure:
    kind = KINDS[code]
    return kind, f"{happened} {step or kind.advice}"


def explain(exc: BaseException) -> Failure:
    """Kind and message for any exception of a request."""
    match exc:
        case AddressRefused():
            return KINDS["refused_address"], str(exc)
        case NameServersDown():
            return _failure("resolver_down", "Our name servers do not respond.")
        case NameFailure():
            return _checked(KINDS["dns_unanswered" if exc.temporary else "dns"], str(exc))
        case AnswerTooLarge():
            return _failure("too_large", _CUT_OFF)
        case NoSocket():
            return _connect(exc.error)
        case NotConnected():
            return _tls(exc.error) if isinstance(exc.error, ssl.SSLError) else _connect(exc.error)
        case HungUp() | ConnectionError():
            return _failure("reset", "The receiver closed the connection before it answered.")
        case NotHttp():
            return _failure("protocol", _NO_HTTP)
        case ssl.SSLError():
            return _tls(exc)
        case OSError():
            return _connect(exc)
        case Unsendable():
            return _failure("bad_request", "The request cannot be sent with the endpoint's URL and headers.")
        case MemoryError():
            return _failure("out_of_resources", "The request was not sent: we are out of memory.")
        case Closed():
            return _failure("internal", "The request was not sent: this process is stopping.")
        case _:
            log.error("sender.failed", error=f"{type(exc).__name__}: {plain(str(exc), 200)}", exc_info=exc)
            return _failure("internal", "The request was not sent because of an error on our side.")


def _checked(kind: FailureKind, words: str) -> Failure:
    """A failure of DNS or TLS, unless we are out of file descriptors: both read files (the name server's
    address, the root certificates), and then fail with another error."""
    try:
        os.close(os.dup(0))
    except OSError as error:
        if error.errno in _OURS:
            return _connect(error)
    return kind, words


def _connect(exc: OSError) -> Failure:
    if exc.errno in _OURS:
        log.error("sender.failed", error=errno.errorcode.get(exc.errno or 0, "OSError"))
        return _failure("out_of_resources", "The connection was not opened: we are out of resources.")
    if exc.errno == errno.ECONNREFUSED or isinstance(exc, ConnectionRefusedError):
        return _failure(
            "connect_refused",
            "Nothing is listening on the host and port of the URL.",
        )
    if isinstance(exc, ConnectionError):
        return _failure(
            "reset",
            "The connection was closed before it was established.",
            "Check the firewall. If the URL starts with https, check that the server offers TLS 1.2 or 1.3.",
        )
    if exc.errno in _NO_NETWORK:
        return _failure("connect_no_network", "Network is unreachable.")
    if exc.errno in _NO_ROUTE:
        return _failure("connect_no_route", "No route to the server.")
    if exc.errno == errno.ETIMEDOUT or isinstance(exc, TimeoutError):
        return _failure("connect_timeout", "The connection timed out.")
    return _failure("connect_failed", "The connection to the server failed.")


def _certificate(exc: Exception) -> Failure:
    code = getattr(exc, "verify_code", 0)
    if code == _EXPIRED:
        return _failure("tls_expired", "The certificate of the server has expired.")
    if code == _NOT_YET_VALID:
        return _failure(
            "tls_expired",
            "The certificate of the server is not valid yet.",
            "Check its dates and the clock of the server that issued it.",
        )
    if code in _WRONG_NAME:
        return _failure("tls_name", "The certificate of the server is for another host name.")
    if code in _SELF_SIGNED:
        return _failure(
            "tls_untrusted",
            "The certificate of the server is self-signed.",
            "Use a certificate from a public authority, such as Let's Encrypt.",
        )
    if code in _UNKNOWN_ISSUER:
        return _failure("tls_untrusted", "The issuer of the server's certificate is unknown.")
    reason = plain(str(getattr(exc, "verify_message", "")), 120)
    because = f" ({reason})" if reason else ""
    return _failure("tls", f"The certificate of the server was not accepted{because}.", "Replace it.")


def _tls(exc: OSError) -> Failure:
    return _checked(*_handshake(exc))


def _handshake(exc: OSError) -> Failure:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _certificate(exc)
    reason = str(getattr(exc, "reason", None) or "")
    if reason in _NO_TLS:
        return _failure(
            "tls",
            "The port in the URL does not serve HTTPS.",
            "Use the port of the HTTPS server, or http:// if that is allowed.",
        )
    if reason in _NOTHING_COMMON:
        return _failure(
            "tls",
            "The server supports none of our TLS versions or ciphers.",
            "Offer TLS 1.2 or 1.3 with a current cipher.",
        )
    if reason in _WANTS_CERTIFICATE:
        return _failure(
            "tls",
            "The server requires a client certificate, and we have none.",
            "Do not require one for this path. Verify the signature instead.",
        )
    if reason in _UNKNOWN_HOST:
        return _failure(
            "tls",
            "The server has no certificate for the host in the URL.",
            "Check the host in the URL and set up HTTPS for it.",
        )
    return _failure("tls", "The server closed the connection during the TLS handshake.")
