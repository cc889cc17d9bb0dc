"""Endpoint URLs: the one form, and what is refused."""

from __future__ import annotations

from ipaddress import ip_network

import ada_url
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from yarl import URL

from angarium.core import url as url_module
from angarium.core.address import AddressPolicy
from angarium.core.url import (
    MAX_URL,
    check_url,
    hide_login,
    is_hidden,
    literal_address,
    same_origin,
    split_credentials,
    with_login,
)

CLOSED = AddressPolicy()


def check(url: str, *, https_only: bool = False, policy: AddressPolicy = CLOSED) -> str:
    return check_url(url, https_only=https_only, policy=policy)


@pytest.mark.parametrize(
    ("given_url", "stored"),
    [
        ("http://example.com", "http://example.com/"),
        ("https://example.com/", "https://example.com/"),
        ("HTTPS://EXAMPLE.com/Path?Q=A", "https://example.com/Path?Q=A"),
        ("http://example.com:80/a", "http://example.com/a"),
        ("https://example.com:443", "https://example.com/"),
        ("https://example.com:80", "https://example.com:80/"),
        ("https://example.com:0443/x", "https://example.com/x"),
        ("http://example.com:/", "http://example.com/"),
        ("http://example.com?x=1", "http://example.com/?x=1"),
        ("http://example.com?", "http://example.com/?"),
        ("http://example.com#`", "http://example.com/#%60"),
        ("http://example.com#part", "http://example.com/#part"),
        ("http://example.com/a/./b/../c", "http://example.com/a/c"),
        ("http://example.com/../../x", "http://example.com/x"),
        ("http://example.com/a/..", "http://example.com/"),
        ("http://example.com/a/%2E%2e/b", "http://example.com/b"),
        ("http://example.com//a//", "http://example.com//a//"),
        ("http://example.com/ä?ö=ü", "http://example.com/%C3%A4?%C3%B6=%C3%BC"),
        ("http://example.com/a%20b%2Fc", "http://example.com/a%20b%2Fc"),
        ("http://example.com/{id}?q={x}", "http://example.com/%7Bid%7D?q={x}"),
        ("http://example.com/?q='\"<>", "http://example.com/?q=%27%22%3C%3E"),
        ("http://example.com.", "http://example.com/"),
        ("http://münchen.de/", "http://xn--mnchen-3ya.de/"),
        ("http://EXAMPLE。com/", "http://example.com/"),
        ("http://faß.de/", "http://xn--fa-hia.de/"),
        ("http://sub_domain.example.com/", "http://sub_domain.example.com/"),
        ("http://user:pass@example.com", "http://user:pass@example.com/"),
        ("http://example.com:1/", "http://example.com:1/"),
        ("http://example.com:65535/", "http://example.com:65535/"),
        ("http://example.com:000000080/", "http://example.com/"),
        ("http://example.com/a/b/..", "http://example.com/a/"),
        ("http://example.com/a/b/.", "http://example.com/a/b/"),
        ("http://" + "a." * 126 + "b", "http://" + "a." * 126 + "b/"),
        ("http://us%40er:pä@example.com", "http://us%40er:p%C3%A4@example.com/"),
        ("http://@example.com/", "http://example.com/"),
        ("http://:@example.com/", "http://example.com/"),
        ("http://a:@example.com/", "http://a@example.com/"),
        ("http://:b@example.com/", "http://:b@example.com/"),
        ("http://a:b:c@example.com/", "http://a:b%3Ac@example.com/"),
        ("http://8.8.8.8", "http://8.8.8.8/"),
        ("http://134744072", "http://8.8.8.8/"),
        ("http://0x8.0x8.0x808", "http://8.8.8.8/"),
        ("http://010.8.8.8.", "http://8.8.8.8/"),
        ("http://[2606:4700:0:0::1111]:8080/x", "http://[2606:4700::1111]:8080/x"),
        ("http://intranet/", "http://intranet/"),
        ("https://i❤.ws/hook", "https://xn--i-7iq.ws/hook"),
        ("https://xn--i-7iq.ws/hook", "https://xn--i-7iq.ws/hook"),
        ("https://💩.la/", "https://xn--ls8h.la/"),
        ("https://ö.EXAMPLE/", "https://xn--nda.example/"),
        (" https://example.com/a\t\r\n", "https://example.com/a"),
        ("https://example.com/" + "a" * 65_000, "https://example.com/" + "a" * 65_000),
    ],
)
def test_urls_are_normalized(given_url: str, stored: str) -> None:
    assert check(given_url) == stored
    assert check(stored) == stored


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "empty"),
        ("example.com", "start with"),
        ("//example.com", "start with"),
        ("ftp://example.com", "start with"),
        ("file:///etc/passwd", "start with"),
        ("javascript:alert(1)", "start with"),
        ("http:example.com", "start with"),
        ("http:/example.com", "start with"),
        ("http://", "no host"),
        ("http:///path", "no host"),
        ("http://:80/", "no host"),
        ("http://user@/", "no host"),
        ("http://example.com/a b", "spaces"),
        ("http://exam\tple.com", "spaces"),
        ("http://example.com/\r\nx: y", "spaces"),
        ("http://example.com/\x00", "spaces"),
        ("http://example.com/\x7f", "spaces"),
        ("http://example.com/\u00a0", "spaces"),
        ("http://example.com/\u202e", "spaces"),
        ("http://example.com/\ud800", "spaces"),
        ("http://good.example\\@evil.example/", "backslash"),
        ("http://a@b@example.com/", "more than one @"),
        ("http://example.com:0/", "port"),
        ("http://example.com:65536/", "port"),
        ("http://example.com:99999999999999/", "port"),
        ("http://example.com:0000000080/", "port"),
        ("http://[2606:4700::1]:80]/", "port"),
        ("http://example.com:8o/", "port"),
        ("http://example.com:-1/", "port"),
        ("http://example.com:80:80/", "port"),
        ("http://example.com:٨٠/", "port"),
        ("http://ex%61mple.com/", "domain name"),
        ("http://1.1.1.%31/", "domain name"),
        ("http://1.1.1.\uff05\uff13\uff11/", "domain name"),
        ("http://exa mple.com/", "spaces"),
        ("http://a..b/", "domain name"),
        ("http://.example.com/", "domain name"),
        ("http://-a.example/", "domain name"),
        ("http://" + "a" * 64 + ".example/", "domain name"),
        ("http://" + "a." * 130 + "example/", "domain name"),
        ("http://" + "a." * 126 + "bc/", "domain name"),
        ("http://exa<mple.com/", "domain name"),
        ("http://[::1/", "brackets"),
        ("http://[::1]x/", "brackets"),
        ("http://[1.2.3.4]/", "domain name|IPv6|IPv4"),
        ("http://[fe80::1%25eth0]/", "zone"),
        ("http://[gg::1]/", "IPv6"),
        ("http://1.2.3.4.5/", "valid one"),
        ("http://1.2.3.256/", "valid one"),
        ("http://256.1.1.1/", "valid one"),
        ("http://4294967296/", "valid one"),
        ("http://09.1.1.1/", "valid one"),
        ("http://example.1/", "valid one"),
        ("http://1.2..4/", "valid one"),
        ("http://\u0301a.example/", "domain name"),
        ("http://\u05d0a.example/", "domain name"),
        ("http://\ufffd.example/", "domain name"),
        ("http://example.com/" + "a" * MAX_URL, "longer"),
        ("http://example.com/" + "ä" * (MAX_URL // 5), "longer"),
    ],
)
def test_invalid_urls_are_refused_with_a_reason(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0X7F.1",
        "017700000001",
        "0177.0.0.01",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "10.0.0.1",
        "167772161",
        "0xa9fea9fe",
        "169.254.169.254",
        "192.168.0.1",
        "172.16.1",
        "[::1]",
        "[::]",
        "[::ffff:10.0.0.1]",
        "[::ffff:a00:1]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::]",
        "[2001:0:1::]",
        "[fe80::5efe:10.0.0.1]",
        "[2606:4700::5efe:a00:1]",
        "[::10.0.0.1]",
        "[fc00::1]",
        "[ff02::1]",
        "\uff11\uff12\uff17.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "localhost",
        "LOCALHOST.",
        "a.b.localhost",
    ],
)
def test_forbidden_addresses_are_refused_in_every_notation(host: str) -> None:
    for url in (f"http://{host}/", f"https://user:pass@{host}:8443/x"):
        with pytest.raises(ValueError, match="ANGARIUM_ALLOWED_SUBNETS"):
            check(url)


def test_the_longest_url_is_as_long_as_the_limit_before_and_after_encoding() -> None:
    head = "http://example.com/"
    longest = head + "a" * (MAX_URL - len(head))
    assert check(longest) == longest
    encoded = "ä" * 10_000
    assert len(check(head + encoded + "a" * (MAX_URL - len(head) - 60_000))) == MAX_URL
    for url in (longest + "a", head + encoded + "a" * (MAX_URL - len(head) - 60_000 + 1)):
        with pytest.raises(ValueError, match="longer than 65,536 characters"):
            check(url)


def test_a_play_inbox_url_is_accepted_unchanged() -> None:
    policy = AddressPolicy(trusts=lambda url: url == "our-own:x")
    assert check("our-own:x", policy=policy) == "our-own:x"
    for other in ("our-own:y", " our-own:x", "our-own:x\r\n"):
        with pytest.raises(ValueError, match="start with"):
            check(other, policy=policy)


def test_a_url_that_the_standard_reads_differently_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check behind all others: here we read another host than the standard, then one that is none."""
    monkeypatch.setattr(url_module, "_host", lambda host: host)
    for host in ("Example.com", "exa<mple.com"):
        with pytest.raises(ValueError, match="ambiguous"):
            check(f"http://{host}/")


def test_allowed_subnets_allow() -> None:
    policy = AddressPolicy([ip_network("127.0.0.0/8")])
    assert check("http://127.1:9000", policy=policy) == "http://127.0.0.1:9000/"
    assert check("http://localhost:9000", policy=policy) == "http://localhost:9000/"
    with pytest.raises(ValueError, match="not public"):
        check("http://[::1]/", policy=policy)


def test_https_only() -> None:
    assert check("https://example.com", https_only=True) == "https://example.com/"
    with pytest.raises(ValueError, match="https://"):
        check("http://example.com", https_only=True)


@pytest.mark.parametrize(
    ("url", "bare", "authorization"),
    [
        ("http://h/x@y", "http://h/x@y", None),
        ("http://u:p@h:1/x?y#z", "http://h:1/x?y#z", "Basic dTpw"),
        ("http://u@h/", "http://h/", "Basic dTo="),
        ("http://u:p@q@h/", "http://h/", "Basic dTpwQHE="),
        ("http://u:a%3Ab%40@h/", "http://h/", "Basic dTphOmJA"),
        ("http://u:p@h/u:p@h", "http://h/u:p@h", "Basic dTpw"),
    ],
)
def test_credentials_are_split_off(url: str, bare: str, authorization: str | None) -> None:
    assert split_credentials(url) == (bare, authorization)


@pytest.mark.parametrize(
    ("url", "shown", "login"),
    [
        ("http://h/x?y#z", "http://h/x?y#z", None),
        ("http://h/x@y", "http://h/x@y", None),
        ("mailto:me@example.com", "mailto:me@example.com", None),
        ("http://u:p@h:1/x?y#z", "http://u:***@h:1/x?y#z", "u:p"),
        ("http://key@h/", "http://***@h/", "key"),
        ("http://:p@h/", "http://***@h/", ":p"),
        ("http://u:p:q@h/", "http://u:***@h/", "u:p:q"),
        ("http://u:p@q@h/", "http://u:***@h/", "u:p@q"),
        ("http://u:p@h/u:p@h", "http://u:***@h/u:p@h", "u:p"),
        ("http://u:p@http/", "http://u:***@http/", "u:p"),
    ],
)
def test_a_login_is_taken_out_of_a_url_and_put_back(url: str, shown: str, login: str | None) -> None:
    assert hide_login(url) == (shown, login)
    assert with_login(shown, login) == url
    assert is_hidden(hide_login(shown)[1]) is (login is not None)


def test_a_login_is_put_before_the_host_of_a_url_without_one() -> None:
    assert with_login("http://http/http", "u:p") == "http://u:p@http/http"
    assert with_login("http://h@i:1/x", "u:p") == "http://u:p@i:1/x"
    assert with_login("http://h@i@j/", "u:p") == "http://u:p@j/"
    assert with_login("http://h/?next=http://h/", "u:p") == "http://u:p@h/?next=http://h/"
    assert with_login("http://h/", None) == "http://h/"
    assert with_login("no URL", "u:p") == "no URL"


def test_only_the_placeholder_of_a_login_counts_as_hidden() -> None:
    assert is_hidden("***")
    assert is_hidden("u:***")
    for login in (None, "", "u", "u:p", "u***", "***:p", ":***x"):
        assert not is_hidden(login)


def test_the_same_origin_is_the_same_scheme_host_and_port() -> None:
    for other in ("http://h:1/", "http://h:1/y?z#f", "http://a:b@h:1/x", "http://c@d@h:1/"):
        assert same_origin("http://u:p@h:1/x", other)
        assert same_origin(other, "http://h:1")
    for other in ("https://h:1/", "http://h:2/", "http://h/", "http://i:1/", "http://h:1@i/", "", "h:1"):
        assert not same_origin("http://u:p@h:1/x", other)
        assert not same_origin(other, "http://u:p@h:1/x")
    assert not same_origin("no URL", "no URL")


_hosts = st.one_of(
    st.sampled_from(
        [
            "example.com",
            "a.b",
            "8.8.8.8",
            "[2606:4700::1]",
            "xn--mnchen-3ya.de",
            "127.1",
            "0x7f.1",
            "localhost",
        ]
    ),
    st.text(st.characters(), max_size=12),
    st.text("0123456789abcdefxX.:[]%", max_size=14),
)


@given(
    st.sampled_from(["http://", "https://", "HTTP://", "http:", ""]),
    _hosts,
    st.text(st.characters(), max_size=30),
)
@example("http://", "\u00ad", "/")
def test_any_text_is_refused_with_a_message_or_becomes_a_stable_ascii_url(
    scheme: str, host: str, rest: str
) -> None:
    try:
        stored = check(scheme + host + rest)
    except UnicodeError:
        raise
    except ValueError:
        return
    assert stored.isascii()
    assert stored.isprintable()
    assert " " not in stored
    assert ada_url.URL(stored).href == stored
    assert check(stored) == stored
    # The HTTP client reads the same host out of it, and it is not a forbidden address.
    bare, _ = split_credentials(stored)
    parsed = URL(bare, encoded=True)
    assert parsed.raw_host
    literal = literal_address(parsed.raw_host)
    assert literal is None or CLOSED.refusal(literal) is None


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0", "0.0.0.0"),
        ("00", "0.0.0.0"),
        ("8", "0.0.0.8"),
        ("010", "0.0.0.8"),
        ("0x10", "0.0.0.16"),
        ("0X10", "0.0.0.16"),
        ("0x", "0.0.0.0"),
        ("0X", "0.0.0.0"),
        ("1.0x", "1.0.0.0"),
        ("1.2", "1.0.0.2"),
        ("1.65535", "1.0.255.255"),
        ("1.2.3", "1.2.0.3"),
        ("1.2.65535", "1.2.255.255"),
        ("255.255.255.255", "255.255.255.255"),
        ("255.16777215", "255.255.255.255"),
        ("4294967295", "255.255.255.255"),
        ("1.2.3.4.", "1.2.3.4"),
        ("1.", "0.0.0.1"),
        ("0" * 31 + "1", "0.0.0.1"),
        ("0x" + "0" * 29 + "1.2", "1.0.0.2"),
        ("::1", "::1"),
        ("[::1]", "::1"),
    ],
)
def test_an_address_may_be_spelled_in_many_ways(host: str, address: str) -> None:
    assert str(literal_address(host)) == address


@pytest.mark.parametrize("host", ["", ".", "a", "1.a", "1.2.3.4a", "0b1", "1.0xg", "a]", "[a", "1.2.3.4.."])
def test_a_host_whose_last_part_is_no_number_is_a_name(host: str) -> None:
    assert literal_address(host) is None


@pytest.mark.parametrize(
    "host",
    [
        *("a.1", "0b1.1", "0xg.1", "+1.1", "-1.1", " 1.1", "1_0.1", ".1", "1..1", "08", "08.1", "\u0661.1"),
        *("1.2.3.4.0", "1.2.3.4.5", "0.0.0.0.0.0", "256.1", "1.256.1", "1.2.256.1", "1.2.3.256"),
        *("1.2.65536", "1.16777216", "4294967296", "0" * 32 + "1", "0x" + "0" * 30 + "1.1"),
        *("[::1", "::1]", "[]", "[1.2.3.4]", "a:b", ":", "fe80::1%0"),
    ],
)
def test_a_host_that_looks_like_an_invalid_address_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"valid one|valid IPv6 address|zone"):
        literal_address(host)


@given(st.text("0123456789abcdefxX.", min_size=1, max_size=16))
def test_hosts_of_digits_mean_what_the_system_means(host: str) -> None:
    import socket

    try:
        meant = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return
    assume(not host.endswith("."))
    assert str(literal_address(host)) == meant
