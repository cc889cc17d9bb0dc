"""Checks the address and certificate of a receiver, and sends requests to it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final

from angarium import __version__
from angarium.client.target import read_target
from angarium.receiver.finding import Finding, Reply

MAX_ANSWER: Final = 64 * 1024
SOON: Final = 14.0  # days for which a certificate should stay valid
CHECKS: Final = ("https", "address", "tls")


class Way:
    """Connects to one URL; `timeout` in seconds per request. Raises ValueError if `url` is not a URL."""

    def __init__(self, url: str, timeout: float, *, local: bool) -> None:
        self._target = target = read_target(url, "https://shop.example.com/webhooks")
        self._secure, self._host, self._port = target.secure, target.host, target.port
        self._timeout = timeout
        self._local = local

    def findings(self) -> Iterator[Finding]:
        """Checks whether a sender can reach the URL. Ends with the first failure."""
        for check in (self._https, self._address, self._tls):
            found = check()
            yield found
            if found.level == "fail":
                return

    def _https(self) -> Finding:
        if self._secure:
            return Finding("https", "ok", "The URL is https.")
        if self._local:
            return Finding("https", "warn", "The URL is http, which is acceptable for development only.")
        return Finding(
            "https", "fail", "Senders require https. For a receiver on this machine, add --allow-http."
        )

    def _address(self) -> Finding:
        try:
            answers = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return Finding("address", "fail", f"{self._host} was not found in DNS.")
        found = sorted({str(answer[4][0]) for answer in answers})
        inside = [one for one in found if not ip_address(one.partition("%")[0]).is_global]
        if inside and not self._local:
            words = f"{self._host} resolves to {inside[0]}, which is not reachable from the internet."
            return Finding("address", "fail", f"{words} For development, add --allow-http.")
        return Finding("address", "ok", f"{self._host} resolves to {', '.join(found)}.")

    def _tls(self) -> Finding:
        if not self._secure:
            return Finding("tls", "skip", "No certificate without https.")
        context = ssl.create_default_context()
        try:
            with (
                socket.create_connection((self._host, self._port), self._timeout) as plain,
                context.wrap_socket(plain, server_hostname=self._host) as wrapped,
            ):
                certificate = wrapped.getpeercert() or {}
        except ssl.SSLCertVerificationError as error:
            return Finding("tls", "fail", f"The certificate is not valid: {error.verify_message}.")
        except ssl.SSLError as error:
            return Finding("tls", "fail", f"TLS fails: {error.reason or error}. TLS 1.2 or 1.3 is required.")
        except OSError as error:
            return Finding("tls", "fail", f"Cannot connect to {self._target.origin}: {error}.")
        days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / 86400
        if days < SOON:
            words = f"The certificate expires in {max(0, int(days))} days. Make sure that it is renewed."
            return Finding("tls", "warn", words)
        return Finding("tls", "ok", f"The certificate is valid for {int(days)} days.")

    def send(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Sends one POST on a new connection. Returns failures as replies."""
        started = time.monotonic()
        connection = self._target.connection(self._timeout)
        try:
            return self._exchange(connection, headers, body, started)
        except TimeoutError:
            error = f"it did not respond within {self._timeout:g} s"
        except ConnectionRefusedError:
            error = f"nothing listens at {self._target.origin}"
        except (OSError, http.client.HTTPException) as problem:
            error = f"it closed the connection ({problem or type(problem).__name__})"
        finally:
            connection.close()
        return Reply(0, time.monotonic() - started, error=error)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        headers: Mapping[str, str],
        body: bytes,
        started: float,
    ) -> Reply:
        sent = {"user-agent": f"angarium-doctor/{__version__}", **headers}
        if self._target.authorization is not None:
            sent["authorization"] = self._target.authorization
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have responded already
            connection.request("POST", self._target.path, body, sent)
        with connection.getresponse() as response:
            read = b""
            while len(read) < MAX_ANSWER and (piece := response.read1(MAX_ANSWER - len(read))):
                read += piece
                if time.monotonic() - started > self._timeout:
                    raise TimeoutError
            took = time.monotonic() - started
            return Reply(response.status, took, read, response.getheader("location"))
