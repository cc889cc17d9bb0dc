"""`verify`: what it accepts and refuses, and that it raises nothing but VerificationError."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angarium.receiver import (
    SCHEMES,
    BadFormat,
    BadSecret,
    BodyNotBytes,
    Custom,
    Expired,
    MissingHeader,
    MissingLibrary,
    Misuse,
    NoMatch,
    Shape,
    TooLarge,
    VerificationError,
    verify,
)
from angarium.receiver.event import load
from angarium.testing import sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = b'{"type":"order.filled","timestamp":"2025-06-15T14:30:15Z","data":{"id":"ord_1"}}'
HEADERS = sign(BODY, SECRET, id="msg_1", timestamp=1000)


def at(now: float, body: Any = BODY, headers: Any = HEADERS, secrets: Any = SECRET, **more: Any) -> Any:
    return verify(body, headers, secrets, clock=lambda: now, **more)


def test_an_event_has_the_parts_of_the_request() -> None:
    event = at(1000)
    assert (event.id, event.type, event.data, event.raw) == ("msg_1", "order.filled", {"id": "ord_1"}, BODY)
    assert event.timestamp == datetime(2025, 6, 15, 14, 30, 15, tzinfo=UTC)
    assert event.sent_at == datetime.fromtimestamp(1000, UTC)
    assert event.body == json.loads(BODY)


def test_an_event_does_not_print_its_payload() -> None:
    assert "ord_1" not in repr(at(1000))


def test_headers_may_be_pairs_bytes_repeated_or_in_any_case() -> None:
    pairs = [(name.upper().encode(), value.encode()) for name, value in HEADERS.items()]
    assert at(1000, headers=pairs).id == "msg_1"
    assert at(1000, headers=[*pairs, *pairs]).id == "msg_1"
    assert at(1000, headers={name.title(): [value] for name, value in HEADERS.items()}).id == "msg_1"
    foreign = ("webhook-signature", "v1,bm90aGluZw==")
    assert at(1000, headers=[foreign, *HEADERS.items(), foreign]).id == "msg_1"


def test_a_header_repeated_with_different_values_is_refused() -> None:
    with pytest.raises(BadFormat, match="webhook-id"):
        at(1000, headers=[*HEADERS.items(), ("Webhook-Id", "msg_2")])


def test_several_secrets_are_tried() -> None:
    assert at(1000, secrets=[OTHER, SECRET]).id == "msg_1"
    assert at(1000, secrets=(secret for secret in (SECRET, OTHER))).id == "msg_1"
    with pytest.raises(NoMatch):
        at(1000, secrets=[OTHER])


def test_a_secret_may_lack_its_padding_or_prefix() -> None:
    for secret in ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaQ", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBg"):
        assert at(1000, headers=sign(BODY, secret, timestamp=1000), secrets=secret)
    assert at(1000, secrets=SECRET.removeprefix("whsec_")).id == "msg_1"


def test_a_body_given_as_text_is_verified_as_utf8() -> None:
    body = '{"type":"note","data":"héé 😀"}'
    assert at(1000, body=body, headers=sign(body, SECRET, timestamp=1000)).data == "héé 😀"
    assert at(1000, body=bytearray(BODY)).raw == BODY
    assert at(1000, body=memoryview(BODY)).raw == BODY


@pytest.mark.parametrize("body", [json.loads(BODY), None, 5, [1], BODY.split()])
def test_a_parsed_body_is_refused_with_the_reason(body: Any) -> None:
    with pytest.raises(
        BodyNotBytes, match=r"^The body was parsed already\. Verify the raw body: .* in aiohttp\.$"
    ):
        at(1000, body=body)


def test_tolerance_and_clock_can_be_given() -> None:
    assert at(1300).id == at(700).id == "msg_1"
    for now in (1301, 699):
        with pytest.raises(Expired):
            at(now)
    assert at(1301, tolerance=301).id == "msg_1"
    assert at(1e12, tolerance=math.inf).id == "msg_1"


@pytest.mark.parametrize("tolerance", [math.nan, -1, "300", [], 1j])
def test_an_invalid_tolerance_is_refused(tolerance: Any) -> None:
    with pytest.raises(Misuse):
        at(1000, tolerance=tolerance)


def test_a_body_over_the_limit_is_refused_before_it_is_verified() -> None:
    assert at(1000, max_body=len(BODY)).id == "msg_1"
    with pytest.raises(TooLarge):
        at(1000, max_body=len(BODY) - 1)


TEXT = '{"type":"order.filled","data":{"id":"é"}}'


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
)
def test_signed_json_is_read_in_any_unicode_encoding(encoding: str) -> None:
    body = TEXT.encode(encoding)
    event = at(1000, body=body, headers=sign(body, SECRET, timestamp=1000))
    assert (event.type, event.data, event.raw) == ("order.filled", {"id": "é"}, body)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xff", b"{", b"[" * 100_000, b"\xef\xbb\xbf", TEXT.encode("latin-1"), b"{'a': 1}", b"{}{}",
        b"a=1&b=2", b"\x1f\x8b\x08compressed", b"<order/>", b"\x00",
    ],
)  # fmt: skip
def test_a_signed_body_that_is_not_json_is_data_as_bytes(body: bytes) -> None:
    event = at(1000, body=body, headers=sign(body, SECRET, timestamp=1000))
    assert (event.type, event.data, event.body, event.raw) == ("", body, body, body)
    assert load(event.dump(), Shape()) == event


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b"[1,2]", [1, 2]),
        (b"null", None),
        (b'"text"', "text"),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":' + b"9" * 5000 + b"}", {"a": Decimal("9" * 5000)}),
        (b'{"a":1E400}', {"a": math.inf}),
        (b'{"a":Infinity}', {"a": math.inf}),
        (b'{"a":"\\ud800"}', {"a": "\ud800"}),
    ],
)
def test_any_signed_json_is_received(body: bytes, data: Any) -> None:
    assert at(1000, body=body, headers=sign(body, SECRET, timestamp=1000)).data == data


PLAIN = Custom(name="plain", header="X-Signature", prefix="sha256=")
"""Without headers for id and type."""


@pytest.mark.parametrize("name", ["x" * 300, "a\nb", "\ud800", "\x00"])
def test_an_id_too_long_for_a_column_is_replaced_and_such_a_type_dropped(name: str) -> None:
    body = json.dumps({"id": name, "type": name}).encode()
    first, again = (verify(body, sign(body, SECRET, PLAIN), SECRET, PLAIN) for _ in range(2))
    assert first.type == ""
    assert first.id == again.id
    assert len(first.id) <= 255
    assert first.id.isprintable()
    other = json.dumps({"id": name + "2", "type": "a"}).encode()
    assert verify(other, sign(other, SECRET, PLAIN), SECRET, PLAIN).id != first.id


def test_the_whole_body_is_the_data_if_there_is_no_envelope() -> None:
    body = b'{"data":1,"more":2}'
    event = at(1000, body=body, headers=sign(body, SECRET, timestamp=1000))
    assert (event.type, event.data) == ("", {"data": 1, "more": 2})


def test_the_type_of_a_github_event_contains_the_action() -> None:
    body = b'{"action":"opened","number":1}'
    headers = sign(body, "key", "github", id="72d3162e", type="pull_request")
    event = verify(body, headers, "key", "github")
    assert (event.id, event.type, event.data["number"]) == ("72d3162e", "pull_request.opened", 1)


def test_an_event_without_an_id_has_the_hash_of_its_body() -> None:
    body = b'{"type":"video.failed"}'
    first = verify(body, sign(body, SECRET, PLAIN), SECRET, PLAIN)
    assert first.id.startswith("sha256:")
    assert verify(body, sign(body, SECRET, PLAIN), SECRET, PLAIN).id == first.id


SLACK = Custom(
    name="slack",
    header="X-Slack-Signature",
    prefix="v0=",
    signed="v0:{timestamp}:{body}",
    timestamp_header="X-Slack-Request-Timestamp",
)
SHOP = Custom(
    name="shop",
    header="X-Shop-Hmac",
    algorithm="sha512",
    encoding="base64",
    key="hex",
    key_prefix="key_",
    separator=" ",
    signed="{id}|{body}",
    id_header="X-Shop-Id",
    type_header="X-Shop-Topic",
)


def test_slacks_published_example_is_verified_by_a_custom_scheme() -> None:
    body = (
        "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
        "%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "X-Slack-Request-Timestamp": "1531420618",
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    secret = "8f742231b10e8888abcd99yyyzzz85a5"
    assert verify(body, headers, secret, SLACK, clock=lambda: 1531420618).data == body.encode()
    with pytest.raises(Expired):
        verify(body, headers, secret, SLACK, clock=lambda: 1531421618)


def test_a_custom_scheme_signs_and_verifies_with_all_its_settings() -> None:
    headers = sign(BODY, "key_00ff", SHOP, id="7", type="orders/create")
    event = verify(BODY, headers, ["key_11", "key_00ff"], SHOP)
    assert (event.id, event.type) == ("7", "orders/create")
    headers["X-Shop-Hmac"] = f"first {headers['X-Shop-Hmac']}"
    assert verify(BODY, headers, "key_00ff", SHOP).id == "7"
    with pytest.raises(NoMatch):
        verify(BODY, {**headers, "X-Shop-Id": "8"}, "key_00ff", SHOP)
    with pytest.raises(MissingHeader):
        verify(BODY, {"X-Shop-Hmac": headers["X-Shop-Hmac"]}, "key_00ff", SHOP)
    with pytest.raises(BadSecret):
        verify(BODY, headers, "key_zz", SHOP)


@pytest.mark.parametrize(
    "wrong",
    [
        {"signed": "{timestamp}"},
        {"signed": "{body}{nonce}"},
        {"signed": "{timestamp}{body}"},
        {"signed": "{id}{body}"},
        {"timestamp_header": "X-Time"},
        {"algorithm": "md5"},
        {"encoding": "base32"},
        {"key": "utf-16"},
    ],
)
def test_an_invalid_custom_scheme_is_refused_when_it_is_made(wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        Custom(name="wrong", header="X-Signature", **wrong)


def test_without_cryptography_an_ed25519_key_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from angarium.receiver import verify, MissingLibrary\n"
        "headers = {'webhook-id': 'a', 'webhook-timestamp': '1', 'webhook-signature': 'v1a,AA=='}\n"
        "try:\n    verify(b'{}', headers, 'whpk_AAAA')\n"
        "except MissingLibrary as error:\n    print(error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install cryptography" in ended.stdout
    assert issubclass(MissingLibrary, VerificationError)


def test_importing_the_receiver_imports_the_standard_library_only() -> None:
    program = (
        "import sys\nimport angarium.receiver, angarium.testing.inbox\n"
        "foreign = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(foreign - {'__main__'}))"
    )
    ended = subprocess.run(
        [sys.executable, "-IS", "-c", f"import sys; sys.path.insert(0, 'src')\n{program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "['angarium']"


# ------------------------------------------------------------------------------------- anything at all


class Hostile:
    """Whatever is asked of it, it raises; but for what Hypothesis itself asks."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("__class__", "__dict__"):
            return object.__getattribute__(self, name)
        raise OSError(name)

    def __iter__(self) -> Any:
        raise OSError

    def __eq__(self, other: object) -> bool:
        raise OSError

    __hash__ = None  # type: ignore[assignment]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.binary(max_size=60),
    st.text(st.characters(), max_size=60),
    st.just(SECRET),
    st.sampled_from(["whpk_AAAA", "whsk_", "v1,", "v1a,AAAA", "t=1000,v1=00", "sha256=test", "1000"]),
    st.builds(Hostile),
)
NAMES = st.one_of(
    st.sampled_from(
        [f"{family}-{part}" for family in ("webhook", "svix") for part in ("id", "timestamp", "signature")]
        + [
            "Stripe-Signature",
            "X-Signature",
            "X-Hub-Signature-256",
            "X-GitHub-Event",
            "X-GitHub-Delivery",
        ]
    ),
    VALUES.filter(lambda value: not isinstance(value, Hostile)),
)
ANYTHING = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
ANY_HEADERS = st.one_of(
    st.dictionaries(NAMES, ANYTHING, max_size=6),
    st.lists(st.tuples(NAMES, ANYTHING), max_size=8),
    ANYTHING,
)
ANY_SCHEME = st.one_of(st.sampled_from([*SCHEMES, SLACK, SHOP]), ANYTHING)


@settings(max_examples=250)
@given(ANYTHING, ANY_HEADERS, ANYTHING, ANY_SCHEME, st.one_of(st.none(), VALUES), VALUES)
def test_verify_raises_only_verification_errors_for_any_arguments(
    body: Any, headers: Any, secrets: Any, scheme: Any, tolerance: Any, now: Any
) -> None:
    with pytest.raises(VerificationError):
        verify(body, headers, secrets, scheme, tolerance=tolerance, clock=lambda: now, max_body=100)


class Opaque(Hostile):
    """Not even its class can be asked for."""

    def __getattribute__(self, name: str) -> Any:
        raise OSError(name)


@pytest.mark.parametrize("place", range(6))
def test_verify_raises_only_verification_errors_if_arguments_raise_any_error(place: int) -> None:
    arguments: list[Any] = [BODY, HEADERS, SECRET, "standard", 300, time.time]
    arguments[place] = Opaque()
    body, headers, secrets, scheme, tolerance, clock = arguments
    with pytest.raises(VerificationError):
        verify(body, headers, secrets, scheme, tolerance=tolerance, clock=clock)


@settings(max_examples=200)
@given(
    st.one_of(st.binary(max_size=80), st.text(max_size=80), st.from_type(type(None)).map(lambda _: BODY)),
    st.sampled_from([*SCHEMES, SLACK, SHOP]),
    st.text(max_size=20),
    st.text(max_size=20),
    st.integers(min_value=-(10**16), max_value=10**16),
)
def test_verify_raises_only_verification_errors_if_the_signature_is_valid(
    body: Any, scheme: Any, event_id: str, event_type: str, timestamp: int
) -> None:
    secret = "key_00ff" if scheme is SHOP else SECRET
    try:
        headers = sign(body, secret, scheme, id=event_id, type=event_type, timestamp=timestamp)
    except (VerificationError, UnicodeEncodeError):  # it cannot be signed
        return
    try:
        event = verify(body, headers, secret, scheme, tolerance=math.inf)
    except VerificationError:
        return
    assert len(event.id) <= 255
    assert event.raw == (body.encode() if isinstance(body, str) else body)


@settings(max_examples=200)
@given(st.binary(min_size=1, max_size=40), st.integers(min_value=0), st.sampled_from(sorted(SCHEMES)))
def test_a_changed_body_is_never_verified(body: bytes, place: int, scheme: str) -> None:
    headers = sign(body, SECRET, scheme, id="evt_1")
    changed = bytearray(body)
    changed[place % len(body)] ^= 1
    with pytest.raises(NoMatch):
        verify(bytes(changed), headers, SECRET, scheme)
