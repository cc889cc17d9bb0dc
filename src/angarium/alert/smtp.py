"""Sends mails over SMTP, in a thread, with a timeout for each step and a deadline for all.

Certificates are verified. A mail that the server refuses permanently is
distinguished from one that can be tried again.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from enum import Enum
from ipaddress import ip_address
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from angarium.alert.mail import Mail
from angarium.core.contact import one_line

TIMEOUT: Final = 15.0  # seconds, for each response of the server
DEADLINE: Final = 240.0  # for all mails that are sent together
_PORTS: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_PERMANENT: Final = range(500, 600)


class Verdict(Enum):
    """What became of a mail."""

    SENT = 0
    REFUSED = 1  # permanently: there is no such mailbox
    LATER = 2


class SendResult(NamedTuple):
    """What became of a mail, and what the server said."""

    verdict: Verdict
    said: str


class MailChannel(Protocol):
    """Sends mails."""

    async def send(self, mails: Sequence[Mail]) -> list[SendResult]:
        """Send them. Returns a result for each; raises nothing but CancelledError."""
        ...


class MailServer(NamedTuple):
    """A mail server of the settings. Its password is not shown."""

    scheme: str
    host: str
    port: int
    user: str
    password: str

    @classmethod
    def of(cls, url: str) -> MailServer:
        """From `smtp[s]://[user:password@]host[:port]`, or smtp+starttls. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(
                "write smtp+starttls://user:password@host:587, smtps://user:password@host:465 or "
                "smtp://host:25"
            )
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if user and parts.scheme == "smtp" and not _is_loopback(parts.hostname):
            raise ValueError("smtp:// sends the password unencrypted; write smtp+starttls:// or smtps://")
        return cls(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], user, password)

    def __repr__(self) -> str:
        return f"MailServer({self.scheme}://{self.host}:{self.port})"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Smtp:
    """Sends mails to one server."""

    def __init__(self, server: MailServer, context: ssl.SSLContext | None = None) -> None:
        """`context`: None trusts the authorities of the system."""
        self._server = server
        self._context = context

    async def send(self, mails: Sequence[Mail]) -> list[SendResult]:
        """Send them over one connection, in order."""
        talk = _Talk(self._server, self._context)
        work = asyncio.get_running_loop().run_in_executor(None, talk.send, mails)
        try:
            return await asyncio.wait_for(asyncio.shield(work), DEADLINE)
        except (TimeoutError, asyncio.CancelledError) as error:
            talk.abort()  # the thread sees a closed connection, and ends
            done = await asyncio.shield(work)
            if isinstance(error, asyncio.CancelledError):
                raise
            return done


class _Talk:
    """One conversation with the server, in a thread."""

    def __init__(self, server: MailServer, context: ssl.SSLContext | None) -> None:
        self._server = server
        self._context = context
        self._client: smtplib.SMTP | None = None

    def send(self, mails: Sequence[Mail]) -> list[SendResult]:
        results = list(self._results(mails))
        said = results[-1].said if results else ""
        return results + [SendResult(Verdict.LATER, said)] * (len(mails) - len(results))

    def abort(self) -> None:
        """End the conversation, from another thread."""
        if self._client is not None and self._client.sock is not None:
            with suppress(OSError):
                self._client.sock.shutdown(2)

    def _results(self, mails: Sequence[Mail]) -> Iterator[SendResult]:
        """A result for each mail, until the connection ends."""
        try:
            context = self._context or ssl.create_default_context()
            with closing(self._connected(context)) as client:
                self._begin(client, context)
                for one in mails:
                    yield self._send(client, one)
                    if client.sock is None:
                        return
                with suppress(smtplib.SMTPException, OSError):
                    client.quit()
        except (smtplib.SMTPException, OSError) as error:
            yield SendResult(Verdict.LATER, self._said(error))

    def _connected(self, context: ssl.SSLContext) -> smtplib.SMTP:
        server = self._server
        if server.scheme == "smtps":
            self._client = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=context)
        else:
            self._client = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)
        return self._client

    def _begin(self, client: smtplib.SMTP, context: ssl.SSLContext) -> None:
        client.ehlo()
        if self._server.scheme == "smtp+starttls":
            client.starttls(context=context)  # raises if the server does not offer it
            client.ehlo()
        if self._server.user:
            client.login(self._server.user, self._server.password)

    def _send(self, client: smtplib.SMTP, mail: Mail) -> SendResult:
        try:
            refused = client.send_message(mail.message, mail.sender, list(mail.recipients))
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            verdict = Verdict.REFUSED if all(code in _PERMANENT for code in codes) else Verdict.LATER
            return SendResult(verdict, _answers(error.recipients))
        except (smtplib.SMTPException, OSError) as error:
            return SendResult(Verdict.LATER, self._said(error))
        # without a recipient who accepted, it would have been an error
        return SendResult(Verdict.SENT, _answers(refused) if refused else "accepted")

    def _said(self, error: Exception) -> str:
        """What went wrong. What the server says of a failed login is kept; the password is not in it."""
        if isinstance(error, smtplib.SMTPResponseException):
            return _answer(error.smtp_code, error.smtp_error)
        return one_line(self._in_words(error), 300)

    def _in_words(self, error: Exception) -> str:
        place = f"{self._server.host}:{self._server.port}"
        match error:
            case ConnectionRefusedError():
                return (
                    f"{place} refuses connections. Check ANGARIUM_SMTP_URL, and that the server is running."
                )
            case socket.gaierror():
                return f"{self._server.host} cannot be resolved ({error.strerror}). Check ANGARIUM_SMTP_URL."
            case TimeoutError():
                return f"{place} did not respond within {TIMEOUT:g} s."
            case ssl.SSLCertVerificationError():
                return f"certificate verify failed for {place}: {error.verify_message}."
            case ssl.SSLError():
                return f"{place} does not speak TLS ({error.reason}). Check the scheme of ANGARIUM_SMTP_URL."
            case smtplib.SMTPServerDisconnected():
                return f"{place} ended the connection."
            case OSError() if error.strerror:
                return f"{place} failed: {error.strerror}."
        return f"{place} failed: {error}"


def _answers(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(_answer(code, words) for code, words in refused.values())


def _answer(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return one_line(f"{code} {text}", 300)
