"""Which addresses may be connected to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.address import ALLOWED_ONLY, SETTING, AddressPolicy

CLOSED = AddressPolicy()

SPECIAL_V4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
]
SPECIAL_V6 = [
    "::/128",
    "::1/128",
    "::/96",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "64:ff9b:1::/48",
    "4000::/3",
    "8000::/1",
    "200::/7",
]


def inside(network: IPv4Network | IPv6Network, data: st.DataObject) -> IPv4Address | IPv6Address:
    return network[data.draw(st.integers(0, network.num_addresses - 1))]


@pytest.mark.parametrize("network", SPECIAL_V4 + SPECIAL_V6)
def test_first_and_last_address_of_each_special_range_are_refused(network: str) -> None:
    net = ip_network(network)
    for ip in (net[0], net[-1]):
        words = CLOSED.refusal(ip)
        assert words is not None, ip
        assert str(ip) in words
        assert "ANGARIUM_ALLOWED_SUBNETS" in words


@given(st.sampled_from(SPECIAL_V4 + SPECIAL_V6), st.data())
def test_any_address_of_a_special_range_is_refused_until_its_network_is_allowed(
    network: str, data: st.DataObject
) -> None:
    net = ip_network(network)
    ip = inside(net, data)
    assert CLOSED.refusal(ip) is not None
    assert AddressPolicy([net]).refusal(ip) is None


@pytest.mark.parametrize(
    "ip",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "2001:4860:4860::8888",
        "2003::1",
        "64:ff9b::8.8.8.8",
        "::ffff:8.8.8.8",
        "2606:4700::5efe:8.8.8.8",
    ],
)
def test_public_addresses_are_allowed(ip: str) -> None:
    assert CLOSED.refusal(ip) is None


@given(st.ip_addresses())
def test_allowed_addresses_are_global_for_the_standard_library_too(ip: IPv4Address | IPv6Address) -> None:
    if CLOSED.refusal(ip) is None:
        mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
        assert (mapped or ip).is_global
        assert not ip.is_multicast


def embedded(ip: IPv4Address) -> list[IPv6Address]:
    value = int(ip)
    return [
        IPv6Address((0xFFFF << 32) | value),
        IPv6Address((0x0064FF9B << 96) | value),
        IPv6Address((0x26064700 << 96) | (0x5EFE << 32) | value),
        IPv6Address((0x26064700 << 96) | (0x02005EFE << 32) | value),
    ]


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_checked_itself(ip: IPv4Address) -> None:
    refused = CLOSED.refusal(ip) is not None
    for form in embedded(ip):
        assert (CLOSED.refusal(form) is not None) is refused, form
    assert CLOSED.refusal(IPv6Address((0x2002 << 112) | (int(ip) << 80))) is not None
    assert CLOSED.refusal(IPv6Address((0x20010000 << 96) | (int(ip) ^ 0xFFFFFFFF))) is not None
    assert CLOSED.refusal(IPv6Address(int(ip))) is not None


def test_everything_allowed_in_ipv6_does_not_open_mapped_ipv4() -> None:
    policy = AddressPolicy([ip_network("::/0")])
    assert policy.refusal("fd00::1") is None
    assert policy.refusal("::ffff:127.0.0.1") is not None


def test_an_allowed_subnet_allows_only_itself() -> None:
    policy = AddressPolicy([ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")])
    assert policy.refusal("10.1.2.3") is None
    assert policy.refusal("::ffff:10.1.2.3") is None
    assert policy.refusal("fd00:1::7") is None
    assert policy.refusal("10.2.0.1") is not None
    assert policy.refusal("fd00:2::7") is not None
    assert policy.refusal("127.0.0.1") is not None


def test_a_zone_changes_nothing() -> None:
    assert CLOSED.refusal(ip_address("fe80::1%eth0")) is not None
    assert AddressPolicy([ip_network("fe80::/10")]).refusal("fe80::1%lo") is None


@pytest.mark.parametrize(
    ("ip", "words"),
    [
        ("192.0.2.7", "192.0.2.7 is not public: reserved for documentation (192.0.2.0/24)"),
        ("255.255.255.255", "255.255.255.255 is not public: broadcast (255.255.255.255/32)"),
        ("FE80::1%eth0", "fe80::1 is not public: link-local (fe80::/10)"),
        ("4000::1", "4000::1 is not public: not global unicast (outside 2000::/3)"),
        ("::ffff:10.0.0.1", "10.0.0.1 is not public: a private network (10.0.0.0/8)"),
    ],
)
def test_the_message_names_the_address_the_range_and_the_setting(ip: str, words: str) -> None:
    assert CLOSED.refusal(ip) == f"The address {words}. {ALLOWED_ONLY}"
    assert SETTING in ALLOWED_ONLY
    assert "metadata" in (CLOSED.refusal("169.254.169.254") or "")


@pytest.mark.parametrize(("ip", "form"), [("64:ff9b::a00:1", "NAT64"), ("2606:4700::5efe:a00:1", "ISATAP")])
def test_the_message_names_the_embedded_address(ip: str, form: str) -> None:
    assert CLOSED.refusal(ip) == f"{ip} maps to 10.0.0.1 ({form}). {CLOSED.refusal('10.0.0.1')}"
