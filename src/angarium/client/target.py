"""Reads URLs that are given to a command or to the client.

IPv6 addresses, a login, and non-ASCII characters in host and path are supported; port and path are optional.
Errors never contain the login.
"""

from __future__ import annotations

import base64
import http.client
import re
import ssl
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import quote, unquote, urlsplit

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_UNPRINTED: Final = re.compile(r"[^\x21-\x7e]")
_LOGIN: Final = re.compile(r"(?<=://)[^/?#]*@")
_AUTHORITY: Final = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(:.*)?")
_DEFAULT_PORT: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go. `host` is ASCII, and an IPv6 address has no brackets."""

    secure: bool
    host: str
    port: int
    path: str  # with the query, percent-encoded
    authorization: str | None = field(default=None, repr=False)  # from the login

    @property
    def origin(self) -> str:
        """Host and port as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def connection(
        self, timeout: float | None = None, context: ssl.SSLContext | None = None
    ) -> http.client.HTTPConnection:
        """A new connection, not opened yet. `timeout` is in seconds."""
        if self.secure:
            return http.client.HTTPSConnection(
                self.host, self.port, timeout=timeout, context=context or ssl.create_default_context()
            )
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)


def read_target(text: str, example: str, *, scheme: str | None = None) -> Target:
    """Raises ValueError with a message for users. `example` is a valid URL, `scheme` the default scheme."""
    given = text.strip()
    if scheme is not None and _SCHEME.match(given) is None:
        given = f"{scheme}://{given}"
    try:
        return _read(given)
    except ValueError as error:
        shown = _LOGIN.sub("…@", text)
        raise ValueError(f"{shown!r} is not a URL: {error}. Write {example}") from None


def _read(given: str) -> Target:
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in given):
        raise ValueError("it contains a control character")
    parts = urlsplit(given)
    if parts.scheme not in _DEFAULT_PORT:
        raise ValueError("it does not start with http:// or https://")
    if _AUTHORITY.fullmatch(parts.netloc.rpartition("@")[2]) is None:
        raise ValueError("its host and port are not written as host:port")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("its port is not a number from 1 to 65535") from None
    if port == 0:
        raise ValueError("its port is not a number from 1 to 65535")
    path = parts.path or "/"
    return Target(
        secure=parts.scheme == "https",
        host=_host(parts.hostname or ""),
        port=port or _DEFAULT_PORT[parts.scheme],
        path=_ascii(f"{path}?{parts.query}" if parts.query else path),
        authorization=_basic(parts.username, parts.password),
    )


def _host(name: str) -> str:
    if ":" in name:  # IPv6; a zone is written %25eth0
        address = unquote(name)
        try:
            IPv6Address(address)
        except ValueError:
            raise ValueError("its host is not an IPv6 address") from None
        return address
    try:
        host = unquote(name).encode("idna").decode()
    except UnicodeError:
        raise ValueError("its host is not a valid name") from None
    if not host or _UNPRINTED.search(host):
        raise ValueError("it has no host" if not host else "its host is not a valid name")
    return host


def _ascii(path: str) -> str:
    """The path, with characters that are invalid in a request line percent-encoded."""
    return _UNPRINTED.sub(lambda found: quote(found[0], errors="surrogateescape"), path)


def _basic(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    login = f"{unquote(user)}:{unquote(password or '')}"
    return "Basic " + base64.b64encode(login.encode("utf-8", "surrogateescape")).decode()
