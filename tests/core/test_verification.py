"""Requests are verified as their product signs them: the message format's own pass, and nothing else does."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.message_format import MessageFormat
from angarium.core.nouns import SigningKey
from angarium.core.profile import Profile, read
from angarium.core.signature import SignatureError, Signer
from angarium.core.verification import verify_request

NOW = 1_750_000_000
BODY = b'{"n":1}'
MINE, OTHER = (f"whsec_{b64encode(byte * 24).decode()}" for byte in (b"m", b"o"))
MESSAGE = UUID("0197f3a0-0000-7000-8000-000000000001")
TIMED = {
    "header": "X-Proof",
    "signed": "{id}/{timestamp}/{body}",
    "format": "at={timestamp};proof={signature}",
}
PLAIN = {"header": "X-Plain", "format": "sha256={signature}", "key": "text"}
STANDARD = {"family": "webhook"}
NAMED = {"headers": {"X-Kind": "{type}", "X-Note": "{id}"}}


def profile(*signing: dict[str, str], **more: Any) -> Profile:
    return read({"name": "x", "title": "X", "signing": list(signing), **more})


def sent(described: Profile, *secrets: str, at: float = NOW) -> dict[str, str]:
    message_format = MessageFormat(described, "Agent/1")
    made = message_format.headers(
        message_id=MESSAGE,
        event_type="order.filled",
        body=BODY,
        keys=message_format.keys([SigningKey(secret) for secret in secrets or (MINE,)]),
        custom={},
        now=at,
    )
    return dict(made)


def verified(described: Profile, headers: dict[str, str], *secrets: str, body: bytes = BODY) -> None:
    verify_request(described, secrets or (MINE,), headers, body, now=NOW)


def refused(described: Profile, headers: dict[str, str], *secrets: str, body: bytes = BODY) -> str:
    with pytest.raises(SignatureError) as caught:
        verified(described, headers, *secrets, body=body)
    return str(caught.value)


@given(
    algorithm=st.sampled_from(["hmac-sha1", "hmac-sha256", "hmac-sha512"]),
    signed=st.sampled_from(["{body}", "{id}.{timestamp}.{body}", "a{timestamp}{body}b{id}"]),
    key=st.sampled_from(["base64", "text"]),
    encoding=st.sampled_from(["hex", "base64"]),
    shape=st.sampled_from(
        ["{signature}", "t={timestamp},v=({signature})", "{signature}.{timestamp}", "v[{signature}]*"]
    ),
    raw=st.binary(min_size=24, max_size=75),
    at=st.integers(0, 10**11),
)  # fmt: skip
def test_what_a_message_format_signs_is_verified_and_a_changed_body_is_not(
    algorithm: str, signed: str, key: str, encoding: str, shape: str, raw: bytes, at: int
) -> None:
    scheme = {"algorithm": algorithm, "signed": signed, "key": key, "encoding": encoding, "format": shape}
    if "{timestamp}" in signed and "{timestamp}" not in shape:
        shape = scheme["format"] = "{timestamp} " + shape
    described = profile({"header": "X-Proof", **scheme}, delivery=NAMED)
    secret = f"whsec_{b64encode(raw).decode()}"
    headers = sent(described, secret, at=at)
    verified(described, headers, secret)
    assert refused(described, headers, secret, body=BODY + b" ") == "no signature fits"


@pytest.mark.parametrize("signing", [(TIMED,), (PLAIN,), (STANDARD,), (TIMED, PLAIN, STANDARD)])
def test_any_secret_may_have_signed_and_header_names_ignore_case(
    signing: tuple[dict[str, str], ...],
) -> None:
    described = profile(*signing, delivery=NAMED)
    headers = sent(described)
    for cased in (headers, {name.upper(): value for name, value in headers.items()}):
        verified(described, cased, OTHER, MINE)
        verified(described, cased, MINE, OTHER)
        assert refused(described, cased, OTHER) == "no signature fits"


@pytest.mark.parametrize("spoiled", ["X-Proof", "X-Plain", "webhook-signature"])
def test_every_scheme_of_the_profile_must_verify(spoiled: str) -> None:
    described = profile(TIMED, PLAIN, STANDARD, delivery=NAMED)
    headers = sent(described)
    verified(described, headers)
    assert refused(described, headers | {spoiled: sent(described, OTHER)[spoiled]}) == "no signature fits"
    del headers[spoiled]
    assert spoiled in refused(described, headers)


@pytest.mark.parametrize(
    ("scheme", "missing"),
    [(TIMED, "X-Proof"), (STANDARD, "webhook-signature"), ({"family": "svix"}, "svix-signature")],
)
def test_a_request_without_the_headers_of_a_scheme_is_refused_by_their_name(
    scheme: dict[str, str], missing: str
) -> None:
    others = {"svix": "1", "webhook": "1", "svixer-id": "1", "webhooks-id": "1", "x-proofs": "1"}
    assert refused(profile(scheme), others) == f"the header {missing} is missing"


def test_a_family_is_verified_by_its_own_headers() -> None:
    both = profile({"family": "webhook"}, {"family": "svix"})
    headers = sent(both)
    verified(both, headers)
    # the other family is in order, and must not stand in for this one
    assert refused(both, headers | {"svix-signature": "v1,bm9uZQ=="}) == "no signature fits"
    assert refused(both, headers | {"webhook-signature": "v1,bm9uZQ=="}) == "no signature fits"


def test_a_family_has_any_name_that_the_profile_gives_it() -> None:
    described = profile({"family": "Acme"})
    headers = sent(described)
    assert headers["Acme-signature"]
    verified(described, headers)
    assert refused(described, headers, OTHER) == "no signature fits"
    del headers["Acme-id"]
    assert refused(described, headers) == "one of acme-id, acme-timestamp and acme-signature is missing"
    assert refused(described, {}) == "the header Acme-signature is missing"


def test_a_family_has_a_time_and_five_minutes_for_it() -> None:
    described = profile(STANDARD)
    for at in (NOW - 300, NOW + 300):
        verified(described, sent(described, at=at))
    assert refused(described, sent(described, at=NOW - 301)) == "the timestamp is too old"
    assert refused(described, sent(described, at=NOW + 301)) == "the timestamp is too far in the future"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "at=1;proof=",
        "at=;proof=abc",
        "at=-1;proof=abc",
        "at=1234567890123456;proof=abc",
        "at=\u0661;proof=abc",
        "at=1;proof=a b",
        "at=1;proof=ä",
        " at=1;proof=abc",
        "at=1;proof=abc\n",
        "AT=1;proof=abc",
    ],
)
def test_a_header_with_another_format_is_refused(value: str) -> None:
    words = "the header X-Proof does not look like at={timestamp};proof={signature}"
    assert refused(profile(TIMED), {"x-proof": value}) == words


@pytest.mark.parametrize("value", ["at=1;proof=!", "at=123456789012345;proof=~", f"at=0{NOW};proof=abc"])
def test_a_header_with_the_right_format_is_compared(value: str) -> None:
    assert refused(profile(TIMED), {"x-proof": value}) == "no signature fits"


def test_special_characters_of_a_format_are_literal() -> None:
    described = profile({"header": "X-Proof", "format": "v.({signature})+"})
    value = sent(described)["X-Proof"]
    verified(described, {"x-proof": value})
    assert "does not look like v.({signature})+" in refused(described, {"x-proof": value.replace("v.", "vx")})


def test_the_signed_time_is_that_of_the_header() -> None:
    described = profile(TIMED, delivery=NAMED)
    headers = sent(described)
    later = headers["X-Proof"].replace(str(NOW), str(NOW + 1))
    assert later != headers["X-Proof"]
    assert refused(described, headers | {"X-Proof": later}) == "no signature fits"


def test_the_signed_id_is_in_the_products_own_header_or_else_in_that_of_a_family() -> None:
    own, family = profile(TIMED, delivery=NAMED), profile(TIMED, STANDARD)
    message_id = MessageFormat(own, "Agent/1").message_id(MESSAGE)
    verified(own, sent(own))
    verified(family, sent(family))
    assert refused(own, sent(own) | {"X-Note": "msg_2"}) == "no signature fits"
    assert refused(family, sent(family) | {"webhook-id": "msg_2"}) == "no signature fits"
    assert sent(own)["X-Note"] == sent(family)["webhook-id"] == message_id
    # the product's own header comes first; the scheme of the family goes by its own
    both = profile(TIMED, STANDARD, delivery=NAMED)
    other = sent(both) | {
        "webhook-id": "msg_2",
        "webhook-signature": Signer(MINE).sign("msg_2", NOW, BODY),
    }
    verified(both, other)
    # where no header has the id, an empty one was signed, or nothing fits
    nowhere = {name: value for name, value in sent(own).items() if name != "X-Note"}
    assert refused(own, nowhere) == "no signature fits"
    empty = sent(own) | {"X-Note": ""}
    assert refused(own, empty) == "no signature fits"


def test_an_id_in_no_header_counts_as_empty() -> None:
    described = profile({"header": "X-Proof", "signed": "{id}{body}"})
    message_id = MessageFormat(described, "Agent/1").message_id(MESSAGE)
    assert refused(described, sent(described)) == "no signature fits"
    # the id before the body signs as the body that begins with it
    verified(described, sent(described), body=message_id.encode() + BODY)


def test_without_secrets_nothing_verifies() -> None:
    for scheme in (TIMED, STANDARD):
        described = profile(scheme, delivery=NAMED)
        with pytest.raises(SignatureError, match="no signature fits"):
            verify_request(described, [], sent(described), BODY, now=NOW)
