"""Checks endpoint URLs and normalizes them before they are stored.

The normal form is that of the WHATWG URL standard, written by its parser ada (Svix's server stores the same):
lower-case host in ASCII, no default port, a path of at least `/`, dot segments resolved, everything else
percent-encoded once. A host that is an IPv4 address in another notation (`2130706433`, `0x7f.1`, `127.1`)
becomes the dotted address and is checked as such.

Two parsers may read a URL differently. So what the standard would silently repair (whitespace inside,
backslashes, several `@`, `%` in a host) is refused, host and port are read here first, and ada must find the
same host. Only surrounding whitespace is trimmed.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import unquote_to_bytes

import ada_url

from angarium.core.address import AddressPolicy

MAX_URL: Final = 65_536
BLANKS: Final = " \t\r\n\f\v"  # trimmed around a URL
HIDDEN: Final = "***"  # replaces the secret part of a login

_SHAPE: Final = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.IGNORECASE | re.DOTALL)
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_NUMBERS: Final = re.compile(r"[0-9a-fA-FxX]{1,32}(?:\.[0-9a-fA-FxX]{1,32})*\.?")


def check_url(url: str, *, https_only: bool, policy: AddressPolicy) -> str:
    """The URL in its normal form. Raises ValueError with a message. Host names are checked after DNS, when
    sending."""
    if policy.trusts(url):  # only in exactly this spelling, without surrounding whitespace
        return url
    url = url.strip(BLANKS)
    if not url:
        raise ValueError("the URL is empty")
    if len(url) > MAX_URL:
        raise ValueError(f"the URL is longer than {MAX_URL:,} characters")
    if any(not c.isprintable() or c.isspace() for c in url) or "\\" in url:
        raise ValueError("the URL must not contain spaces, control characters or backslashes")
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        raise ValueError("the URL must start with https:// or http://")
    scheme, authority, *rest = (part or "" for part in shape.groups())
    if https_only and scheme.lower() != "https":
        raise ValueError("the URL must start with https://")
    user, _, place = authority.rpartition("@")
    if "@" in user:
        raise ValueError("the URL has more than one @ before its host")
    host, port = _split_port(place)
    name = _host(host)
    _judge(name, policy)
    _check_port(port)
    try:
        read = ada_url.URL(f"{scheme}://{user}@{name}:{port}{''.join(rest)}")
    except ValueError:
        read = None
    if read is None or read.hostname != name:
        raise ValueError("the URL is ambiguous: programs read it differently")
    if len(read.href) > MAX_URL:
        raise ValueError(f"the URL is longer than {MAX_URL:,} characters")
    return str(read.href)


def hide_login(url: str) -> tuple[str, str | None]:
    """A checked URL as it is stored and shown, and the login removed from it, still percent-encoded.

    A name is shown if there is a password. Without one it may be a secret: some services put a key there.
    """
    shape = _SHAPE.fullmatch(url)
    if shape is None or "@" not in shape[2]:
        return url, None
    login, _, place = shape[2].rpartition("@")
    name, _, password = login.partition(":")
    shown = f"{name}:{HIDDEN}" if name and password else HIDDEN
    return url.replace(f"{login}@{place}", f"{shown}@{place}", 1), login


def with_login(url: str, login: str | None) -> str:
    """The URL that was given to `hide_login`."""
    if login is None:
        return url
    shape = _SHAPE.fullmatch(url)
    if shape is None:
        return url
    place = shape[2].rpartition("@")[2]
    return url.replace(f"://{shape[2]}", f"://{login}@{place}", 1)  # a host may be named `http`


def is_hidden(login: str | None) -> bool:
    """Whether a login is the placeholder for a hidden one."""
    return login is not None and (login == HIDDEN or login.endswith(f":{HIDDEN}"))


def same_origin(one: str, other: str) -> bool:
    """Whether two checked URLs have the same scheme, host and port. Logins are ignored."""
    shapes = _SHAPE.fullmatch(one), _SHAPE.fullmatch(other)
    first, second = ((shape[1], shape[2].rpartition("@")[2]) if shape else None for shape in shapes)
    return first is not None and first == second


def split_credentials(url: str) -> tuple[str, str | None]:
    """The URL without its `user:password@`, and the `Authorization` value for it, if any."""
    shape = _SHAPE.fullmatch(url)
    if shape is None or "@" not in shape[2]:
        return url, None
    user, _, place = shape[2].rpartition("@")
    name, _, password = user.partition(":")
    login = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    bare = url.replace(f"{user}@{place}", place, 1)
    return bare, "Basic " + base64.b64encode(login).decode("ascii")


@lru_cache(maxsize=4096)
def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address of a numeric host, as resolvers read it; None for a name.

    Raises ValueError for a host that looks like an address but is not valid.
    """
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if bracketed or ":" in host:
        if "%" in host:
            raise ValueError("an IPv6 address in a URL must not have a zone")
        try:
            return IPv6Address(host)
        except AddressValueError:
            raise ValueError("the host is not a valid IPv6 address") from None
    if not _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        return None
    try:
        if not _NUMBERS.fullmatch(host):
            raise ValueError(host)
        return IPv4Address(ada_url.URL(f"http://{host}/").hostname)
    except ValueError:
        raise ValueError("the host looks like an IPv4 address, but is not a valid one") from None


def _split_port(place: str) -> tuple[str, str]:
    if place.startswith("["):
        host, bracket, rest = place.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("the brackets around the IPv6 address do not match")
        return host + bracket, rest[1:]
    host, _, port = place.partition(":")
    return host, port


def _check_port(text: str) -> None:
    if text and not (text.isascii() and text.isdigit() and len(text) <= 9 and 0 < int(text) <= 65535):
        raise ValueError("the port must be a number from 1 to 65535")


def _host(host: str) -> str:
    """The host in ASCII: a name without trailing dot, a dotted IPv4 address, or a bracketed IPv6 one."""
    if not host:
        raise ValueError("the URL has no host")
    if host.isascii():
        literal_address(host)  # refuses what only looks like an address
    try:
        # UTS #46 as in browsers: `i❤.ws` is a valid name, although IDNA 2008 has no emoji. A trailing dot is
        # valid in DNS, but not in certificates and most servers' Host header.
        name = "" if "%" in host else str(ada_url.URL(f"https://{host}/").hostname).removesuffix(".")
    except ValueError:
        name = ""
    is_name = len(name) <= 253 and all(map(_LABEL.fullmatch, name.split(".")))
    if not is_name and literal_address(name) is None:
        raise ValueError("the host is not a valid domain name")
    return name


def _judge(name: str, policy: AddressPolicy) -> None:
    literal = literal_address(name)
    if literal is not None:
        refusal = policy.refusal(literal)
    elif name == "localhost" or name.endswith(".localhost"):
        # RFC 6761, 6.3: always loopback, so DNS is not needed.
        refusal = policy.refusal("::1") and policy.refusal("127.0.0.1")
    else:
        refusal = None
    if refusal is not None:
        raise ValueError(refusal)
