"""Rules for IP addresses: connections go to public addresses and to networks that the operator allows.

The table follows IANA's special-purpose registries (RFC 6890 and its updates). In IPv6 only 2000::/3 is
global unicast, so everything outside it is refused. An address that embeds an IPv4 address (mapped, NAT64,
ISATAP) is treated as that IPv4 address. 6to4 and Teredo are refused entirely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

CACHED: Final = 4096  # answers about addresses
SETTING: Final = "ANGARIUM_ALLOWED_SUBNETS"
ALLOWED_ONLY: Final = (
    f"Only public addresses are allowed. Your operator can allow a private network with {SETTING}."
)

_V4: Final = [
    (IPv4Network(net), words)
    for net, words in (
        ("0.0.0.0/8", "this host or network"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "a carrier's shared network"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local, used by cloud metadata services"),
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("192.0.2.0/24", "reserved for documentation"),
        ("192.88.99.0/24", "deprecated 6to4 relay"),
        ("192.168.0.0/16", "a private network"),
        ("198.18.0.0/15", "reserved for benchmarking"),
        ("198.51.100.0/24", "reserved for documentation"),
        ("203.0.113.0/24", "reserved for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
    )
]
_V6: Final = [
    (IPv6Network(net), words)
    for net, words in (
        ("::/128", "the unspecified address"),
        ("::1/128", "loopback"),
        ("::/96", "deprecated IPv4-compatible form"),
        ("64:ff9b:1::/48", "local IPv4 translation"),
        ("100::/64", "discard only"),
        ("100:0:0:1::/64", "a placeholder prefix"),
        ("2001::/32", "Teredo, which can reach any IPv4 address"),
        ("2001::/23", "reserved for protocols"),
        ("2001:db8::/32", "reserved for documentation"),
        ("2002::/16", "6to4, which can reach any IPv4 address"),
        ("3fff::/20", "reserved for documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "a private network"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "a private network (site-local)"),
        ("ff00::/8", "multicast"),
    )
]
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_ISATAP: Final = frozenset(
    {0x00005EFE, 0x02005EFE}
)  # RFC 5214, 6.1: the interface id before the IPv4 address


class AddressPolicy:
    """The rule with the operator's allowed subnets. `trusts` exempts our own URLs from it."""

    def __init__(
        self, allowed: Sequence[Network] = (), *, trusts: Callable[[str], bool] | None = None
    ) -> None:
        self.trusts = trusts or (lambda url: False)
        self._v4 = tuple(net for net in allowed if isinstance(net, IPv4Network))
        self._v6 = tuple(net for net in allowed if isinstance(net, IPv6Network))
        self._cached = lru_cache(CACHED)(self._refusal)

    def refusal(self, ip: Address | str) -> str | None:
        """Why connections to the address are refused, as a message; None if they are allowed."""
        return self._cached(ip)

    def _refusal(self, ip: Address | str) -> str | None:
        address = ip_address(ip) if isinstance(ip, str) else ip
        if isinstance(address, IPv4Address):
            return self._refusal_v4(address)
        return self._refusal_v6(address)

    def _refusal_v4(self, ip: IPv4Address) -> str | None:
        for net, words in _V4:
            if ip in net:
                return None if any(ip in allowed for allowed in self._v4) else _words(ip, str(net), words)
        return None

    def _refusal_v6(self, ip: IPv6Address) -> str | None:
        # A zone (fe80::1%eth0) selects an interface, not another range.
        ip = IPv6Address(int(ip))
        last = IPv4Address(int(ip) & 0xFFFFFFFF)
        if ip in _MAPPED:
            # The kernel connects to the IPv4 address, so only that one counts, even if `::/0` is allowed.
            return self._refusal_v4(last)
        if any(ip in allowed for allowed in self._v6):
            return None
        if ip in _NAT64:
            return self._inside(ip, last, "NAT64")
        for net, words in _V6:
            if ip in net:
                return _words(ip, str(net), words)
        if ip not in _GLOBAL_V6:
            return _words(ip, "outside 2000::/3", "not global unicast")
        if (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP:
            return self._inside(ip, last, "ISATAP")
        return None

    def _inside(self, ip: IPv6Address, last: IPv4Address, form: str) -> str | None:
        reason = self._refusal_v4(last)
        return reason and f"{ip} maps to {last} ({form}). {reason}"


def _words(ip: Address, where: str, words: str) -> str:
    return f"The address {ip} is not public: {words} ({where}). {ALLOWED_ONLY}"
