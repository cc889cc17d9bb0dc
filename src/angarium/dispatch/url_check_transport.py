"""Sends the requests of URL checks by the rules of real attempts, and resolves their hosts.

It has its own sender and DNS threads, so that checks do not slow down deliveries.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence

from angarium.core.address import AddressPolicy
from angarium.core.outcome import AttemptResult
from angarium.dispatch.transport.dial import AddressRefused, allowed_addresses
from angarium.dispatch.transport.resolver import NameFailure, NameServersDown, Resolver, SystemResolver
from angarium.dispatch.transport.sender import OutgoingRequest, Sender


class UrlCheckTransport:
    """Runs at most `connections` checks at a time."""

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        response_limit: int,
        connections: int = 32,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._names = resolver or SystemResolver(at_once=4)
        self._sender = Sender(
            policy=policy,
            response_limit=response_limit,
            connections=connections,
            resolver=self._names,
            ssl_context=ssl_context,
            now=now,
        )

    async def trouble(self, host: str, timeout: float) -> tuple[str, str] | None:
        """Why a host cannot be reached: a failure code and a message; None if it resolves to an allowed
        address."""
        try:
            async with asyncio.timeout(timeout):
                await allowed_addresses(host, self._names, self._policy)
        except NameFailure as error:
            return "dns", str(error)
        except NameServersDown:
            return "resolver_down", f"{host} was not looked up: our name servers do not respond."
        except AddressRefused as error:
            return "refused_address", str(error)
        except TimeoutError:
            return "timeout", f"DNS lookup of {host} timed out after {timeout:g} s."
        return None

    async def post(
        self, url: str, headers: Sequence[tuple[str, str]], body: bytes, timeout: float
    ) -> AttemptResult:
        """POST once. Every failure is a result."""
        await self._sender.prepare()
        return await self._sender.send(OutgoingRequest(url, list(headers), body, timeout))

    async def close(self) -> None:
        await self._sender.close()  # its resolver is ours
