"""Opens connections, to allowed addresses only.

Every address is checked after DNS and again when its socket is created, so that nothing bypasses the check
(literal addresses skip the resolver). The addresses of a host are tried in turn, a quarter of a second apart
(RFC 8305).
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import aiohappyeyeballs
import structlog

from angarium.core.address import ALLOWED_ONLY, AddressPolicy
from angarium.core.url import literal_address
from angarium.dispatch.transport.resolver import NameFailure, Resolver

log = structlog.get_logger(__name__)

STAGGER: Final = 0.25  # seconds until the next address is tried as well

P = TypeVar("P", bound=asyncio.BaseProtocol)


class AddressRefused(Exception):
    """Connections to the address are refused. The message says why."""


class NotConnected(Exception):
    """The connection failed. `error` is the error of the system or of TLS."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


class NoSocket(Exception):
    """No socket could be created. `error` is the system's error."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


class Origin(NamedTuple):
    """Where a connection leads. Connections of the same origin are interchangeable."""

    host: str
    port: int
    secure: bool
    trusted: bool  # one of our own URLs, exempt from the address rules


class Stages(Protocol):
    """Gets the current stage of a connection: `dns`, `connect`, `tls`."""

    stage: str


async def dial(
    origin: Origin,
    *,
    policy: AddressPolicy,
    names: Resolver,
    context: ssl.SSLContext,
    protocol: Callable[[socket.socket], P],
    stages: Stages,
) -> P:
    """A connected protocol. Raises NameFailure, NameServersDown, AddressRefused, NoSocket or NotConnected."""
    stages.stage = "dns"
    found = await allowed_addresses(origin.host, names, policy)
    stages.stage = "connect"
    sock: socket.socket | None = None
    try:
        sock = await aiohappyeyeballs.start_connection(
            [_info(address, origin.port) for address in found],
            happy_eyeballs_delay=STAGGER,
            interleave=1,
            socket_factory=lambda info: _socket(info, policy),
        )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stages.stage = "tls"
        connected = sock
        _, made = await asyncio.get_running_loop().create_connection(
            lambda: protocol(connected),
            sock=sock,
            ssl=context if origin.secure else None,
            server_hostname=origin.host.strip("[]") if origin.secure else None,
        )
    except OSError as error:
        if sock is not None:
            sock.close()
        raise NotConnected(error) from None
    except BaseException:
        if sock is not None:
            sock.close()
        raise
    return made


async def allowed_addresses(host: str, names: Resolver, policy: AddressPolicy) -> list[str]:
    """The allowed addresses of a host. Raises NameFailure, or AddressRefused if none is allowed.

    The messages of both are for customers. Only the log shows which internal addresses a name has.
    """
    try:
        literal = literal_address(host)
    except ValueError as exc:
        raise NameFailure(f"{host} is not a valid address: {exc}.") from None
    found = [str(literal)] if literal is not None else await names.addresses(host)
    if not found:
        raise NameFailure(f"The host name {host} has no address in DNS. Check the domain's records.")
    allowed = [address for address in found if policy.refusal(address) is None]
    if allowed:
        return allowed
    if literal is not None:
        raise AddressRefused(str(policy.refusal(literal)))
    log.info("address.refused", host=host, addresses=list(found))
    raise AddressRefused(f"The host {host} has no public address. {ALLOWED_ONLY}")


def _info(address: str, port: int) -> Any:
    if ":" not in address:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)


def _socket(info: Any, policy: AddressPolicy) -> socket.socket:
    """Check the address that is actually connected to, and create its socket."""
    family, kind, proto, _, address = info
    if policy.refusal(address[0]) is not None:
        raise AddressRefused(ALLOWED_ONLY)
    try:
        made = socket.socket(family, kind, proto)
    except OSError as error:
        # Not an OSError, which would be mixed with the errors of the host's other addresses. An address
        # family that the system does not have is a failure of this address only.
        if error.errno == errno.EAFNOSUPPORT:
            raise OSError(errno.ENETUNREACH, "address family not supported") from None
        raise NoSocket(error) from None
    made.setblocking(False)
    return made
