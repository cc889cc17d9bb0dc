"""A url check transport: why a host could not be sent to, by the rules of real attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from angarium.core.address import AddressPolicy
from angarium.dispatch.transport.resolver import NameFailure
from angarium.dispatch.url_check_transport import UrlCheckTransport
from tests.kit.receiver import Receiver, Reply
from tests.kit.world import LOOPBACK


@dataclass
class Names:
    """DNS with what a test says; a name that it does not know never gets an answer."""

    known: dict[str, list[str]] = field(default_factory=dict)

    def silent(self, seconds: float) -> bool:
        return False

    async def addresses(self, host: str) -> Sequence[str]:
        if host.endswith(".invalid"):
            raise NameFailure(f"There is no {host}.")
        if host not in self.known:
            await asyncio.Event().wait()
        return self.known[host]

    async def close(self) -> None:
        pass


async def test_every_address_of_a_host_is_checked() -> None:
    names = Names(
        {"public.test": ["10.0.0.1", "93.184.216.34"], "private.test": ["10.0.0.1"], "none.test": []}
    )
    url_check_transport = UrlCheckTransport(policy=AddressPolicy(), response_limit=100, resolver=names)
    assert await url_check_transport.trouble("public.test", 1.0) is None
    assert await url_check_transport.trouble("93.184.216.34", 1.0) is None
    for host, code in (
        ("private.test", "refused_address"),
        ("127.0.0.1", "refused_address"),
        ("[::1]", "refused_address"),
        ("none.test", "dns"),
        ("no.invalid", "dns"),
        ("hangs.test", "timeout"),
    ):
        found = await url_check_transport.trouble(host, 0.05 if host == "hangs.test" else 30.0)
        assert found is not None
        assert found[0] == code
        assert found[1].endswith(".") or "can allow" in found[1]
    await url_check_transport.close()


async def test_a_trial_follows_no_redirect_and_reaches_no_forbidden_address() -> None:
    async with Receiver(default=Reply(302, headers=[("location", "http://127.0.0.1:1/")])) as receiver:
        url_check_transport = UrlCheckTransport(policy=LOOPBACK, response_limit=100)
        answer = await url_check_transport.post(
            receiver.url, [("content-type", "application/json")], b"{}", 30.0
        )
        assert answer.error_code == "redirect"
        await url_check_transport.close()
        strict = UrlCheckTransport(policy=AddressPolicy(), response_limit=100)
        answer = await strict.post(receiver.url, [], b"{}", 30.0)
        assert answer.error_code == "refused_address"
        await strict.close()
        assert receiver.count == 1
