"""`angarium doctor`: checks the address, certificate and answers of a receiver, or a server's probes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Annotated, Final

import typer

from angarium import __version__
from angarium.cli.error import Exit
from angarium.cli.health import Ops, explain
from angarium.cli.option import Json
from angarium.cli.verify import Scheme
from angarium.client.target import read_target
from angarium.receiver import SCHEMES, VerificationError
from angarium.receiver.checkup import Checkup
from angarium.receiver.finding import Finding, Reply

MAX_ANSWER: Final = 64 * 1024
SOON: Final = 14.0  # days for which a certificate should stay valid
SERVER: Final = "server"  # in place of a URL
CHECKS: Final = ("https", "address", "tls")
SIGNS: Final = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL", "skip": "-   "}
ASIDE: Final = (
    "Not checked: that slow work runs after the response, that each delivery is logged,\n"
    "that failures raise an alert, and that production uses this URL."
)


def doctor(
    url: Annotated[
        str,
        typer.Argument(
            help="URL of your receiver, such as https://shop.example.com/webhooks, or `server` for the "
            "probes of a server."
        ),
    ],
    secret: Annotated[
        str | None,
        typer.Option(envvar="WEBHOOK_SECRET", help="The endpoint's signing secret, whsec_….", metavar="TEXT"),
    ] = None,
    scheme: Scheme = "standard",
    timeout: Annotated[
        float, typer.Option(min=0.1, max=60, help="Timeout of the sender, in seconds.")
    ] = 15.0,
    event_type: Annotated[
        str,
        typer.Option(
            "--type", help="Event type to send; one that the receiver handles gives better results."
        ),
    ] = "angarium.doctor",
    data: Annotated[str | None, typer.Option(help="Event data to send, a JSON object.")] = None,
    allow_http: Annotated[
        bool,
        typer.Option(
            "--allow-http", help="Allow http and private addresses, for a receiver on this machine."
        ),
    ] = False,
    ops: Ops = None,
    as_json: Json = False,
) -> None:
    """Check a receiver with about fifteen requests, half of them forged. Exit code 1 if a check fails.

    The receiver will handle the correctly signed events. `doctor server` asks a server's probes instead, and
    says what each failing check means and what to do.

    $ angarium doctor https://shop.example.com/webhooks --secret whsec_…
    $ angarium doctor http://localhost:3000/webhooks --secret whsec_… --allow-http --json
    $ angarium doctor server --ops http://127.0.0.1:9464
    """
    if url == SERVER:
        explain(ops, timeout, as_json=as_json)
        return
    if secret is None:
        raise typer.BadParameter("--secret is missing (or WEBHOOK_SECRET)")
    if scheme not in SCHEMES:
        raise typer.BadParameter(f"the scheme must be one of {', '.join(SCHEMES)}")
    try:
        way = Way(url, timeout, local=allow_http)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    checkup = Checkup(
        way.send, SCHEMES[scheme], secret, timeout=timeout, clock=time.time, entropy=os.urandom,
        event_type=event_type, data=_data(data),
    )  # fmt: skip
    found: list[Finding] = []
    try:
        for one in way.findings():
            _show(found, one, as_json)
        if found[-1].check == CHECKS[-1] and found[-1].level != "fail":
            for one in checkup.findings():
                _show(found, one, as_json)
    except VerificationError as error:
        raise typer.BadParameter(str(error)) from error
    failed = sum(one.level == "fail" for one in found)
    warned = sum(one.level == "warn" for one in found)
    if as_json:
        checks = [{"check": one.check, "level": one.level, "words": one.words} for one in found]
        print(json.dumps({"url": url, "passed": not failed, "checks": checks}, ensure_ascii=False))
    else:
        print(f"\n{ASIDE}\n\n{failed} failed, {warned} warned, of {len(found)} checks")
    if failed:
        raise typer.Exit(Exit.FAILED)


def _show(found: list[Finding], one: Finding, as_json: bool) -> None:
    found.append(one)
    if not as_json:
        print(f"{SIGNS[one.level]}  {one.check:<18}{one.words}", flush=True)


def _data(given: str | None) -> dict[str, object] | None:
    if given is None:
        return None
    try:
        data = json.loads(given)
    except ValueError as error:
        raise typer.BadParameter(f"the data is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise typer.BadParameter("the data must be a JSON object")
    return data


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
            words = error.strerror or str(error)
            return Finding("tls", "fail", f"Cannot connect to {self._target.origin}: {words}.")
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
