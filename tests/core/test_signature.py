"""Golden vectors both ways, and a verifier that nothing can surprise."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.signature import (
    SignatureError,
    Signer,
    check_secret,
    new_secret,
    public_form,
    verify,
)

PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
ED25519 = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="

VECTORS = [
    (SECRET, ID, AT, BODY, SIGNATURE),
    (
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1649367553,
        b'{"email":"test@example.com","username":"test_user"}',
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
    (PRIVATE, ID, AT, BODY, ED25519),
]


def headers(
    signature: str = SIGNATURE, *, at: object = AT, message_id: str = ID, family: str = "webhook"
) -> dict[str, str]:
    return {f"{family}-id": message_id, f"{family}-timestamp": str(at), f"{family}-signature": signature}


@pytest.mark.parametrize(("secret", "message_id", "at", "body", "signature"), VECTORS)
def test_golden_vectors_both_ways(secret: str, message_id: str, at: int, body: bytes, signature: str) -> None:
    assert Signer(secret).sign(message_id, at, body) == signature
    verify(body, headers(signature, at=at, message_id=message_id), [public_form(secret)], now=at)
    verify(body, headers(signature, at=at, message_id=message_id), [secret], now=at)


def test_the_public_form_hides_only_the_private_key() -> None:
    assert public_form(PRIVATE) == PUBLIC
    assert public_form(SECRET) == SECRET


def test_a_signer_does_not_show_its_secret() -> None:
    for secret in (SECRET, PRIVATE):
        assert repr(Signer(secret)) == "Signer(…)"


@pytest.mark.parametrize("family", ["webhook", "svix", "Webhook", "SVIX"])
def test_both_header_families_verify_whatever_their_case(family: str) -> None:
    verify(BODY, headers(family=family), [SECRET], now=AT)


@pytest.mark.parametrize("part", ["id", "timestamp", "signature"])
def test_each_header_is_required(part: str) -> None:
    given_headers = headers()
    del given_headers[f"webhook-{part}"]
    with pytest.raises(SignatureError, match="missing"):
        verify(BODY, given_headers, [SECRET], now=AT)


def test_no_headers_at_all() -> None:
    with pytest.raises(SignatureError, match="missing"):
        verify(BODY, {}, [SECRET], now=AT)


@pytest.mark.parametrize(
    "at",
    [
        "abc",
        "1614265330.5",
        "-1614265330",
        "+1614265330",
        "1_614_265_330",
        " 1614265330",
        "١٦١٤٢٦٥٣٣٠",
        "9" * 40,
        "1e9",
    ],
)
def test_the_timestamp_is_plain_seconds(at: str) -> None:
    with pytest.raises(SignatureError, match="whole number"):
        verify(BODY, headers(at=at), [SECRET], now=AT)


def test_the_tolerance_is_five_minutes_either_way() -> None:
    verify(BODY, headers(), [SECRET], now=AT + 300)
    verify(BODY, headers(), [SECRET], now=AT - 300)
    with pytest.raises(SignatureError, match="too old"):
        verify(BODY, headers(), [SECRET], now=AT + 301)
    with pytest.raises(SignatureError, match="future"):
        verify(BODY, headers(), [SECRET], now=AT - 301)


@pytest.mark.parametrize(
    "signature",
    [
        "v1,",
        SIGNATURE[:11],
        "v1",
        ",",
        " ",
        "v2," + SIGNATURE[3:],
        "v1a," + SIGNATURE[3:],
        "v1," + SIGNATURE[3:-1],
        "v1,é",
        "V1," + SIGNATURE[3:],
        SIGNATURE.replace(",", "="),
    ],
)
def test_an_invalid_signature_is_refused(signature: str) -> None:
    with pytest.raises(SignatureError):
        verify(BODY, headers(signature), [SECRET], now=AT)


@pytest.mark.parametrize(
    "listed",
    [
        f"v2,abc {SIGNATURE}",
        f"v1,Zm9v v1,YmFy {SIGNATURE}",
        f"nocomma  {SIGNATURE} v9,x",
        f"{ED25519} {SIGNATURE}",
    ],
)
def test_one_valid_signature_in_a_list_is_enough(listed: str) -> None:
    verify(BODY, headers(listed), [SECRET], now=AT)


def test_during_rotation_either_key_verifies() -> None:
    old, new = new_secret(b"o" * 24), new_secret(b"n" * 24)
    listed = " ".join(Signer(secret).sign(ID, AT, BODY) for secret in (new, old, PRIVATE))
    for secret in (old, new, PUBLIC):
        verify(BODY, headers(listed), [secret], now=AT)
    with pytest.raises(SignatureError):
        verify(BODY, headers(listed), [SECRET], now=AT)
    verify(BODY, headers(Signer(old).sign(ID, AT, BODY)), [new, old], now=AT)


def test_one_changed_byte_is_detected() -> None:
    for secret, signature in ((SECRET, SIGNATURE), (PUBLIC, ED25519)):
        for changed in (BODY + b" ", BODY[:-1], b"", BODY.replace(b"2", b"3", 1)):
            with pytest.raises(SignatureError):
                verify(changed, headers(signature), [secret], now=AT)
        with pytest.raises(SignatureError):
            verify(BODY, headers(signature, message_id="msg_other"), [secret], now=AT)


def test_unpadded_secrets_verify() -> None:
    key = base64.b64encode(b"k" * 25).decode()
    signature = Signer("whsec_" + key).sign(ID, AT, BODY)
    verify(BODY, headers(signature), ["whsec_" + key.rstrip("=")], now=AT)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whpk_", "whsk_", "whsec_!!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whpk_AAAA"]
)
def test_every_unusable_secret_raises_the_same_error(secret: str) -> None:
    with pytest.raises(SignatureError, match="secret"):
        verify(BODY, headers(), [secret], now=AT)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "must start with"),
        ("whsec", "must start with"),
        (PUBLIC, "must start with `whsec_` or `whsk_`, followed by base64; `whpk_` is a public key"),
        ("key_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must start with `whsec_` or `whsk_`, followed by base64$"),
        ("whsec_MfKQ_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "base64"),
        ("whsec_", "has 0 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "23 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 76).decode(), "76 bytes"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa%%", "base64"),
        ("whsec_ MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "base64"),
        ("whsec_é", "base64"),
        ("whsk_" + base64.b64encode(b"x" * 32).decode(), "64 bytes"),
        ("whsk_" + base64.b64encode(b"x" * 64).decode(), "public key"),
    ],
)
def test_an_invalid_secret_is_refused_with_a_message(secret: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_secret(secret)
    with pytest.raises(ValueError, match=words):
        Signer(secret)


def test_a_new_secret_is_24_random_bytes() -> None:
    assert new_secret(bytes(range(32))) == "whsec_" + base64.b64encode(bytes(range(24))).decode()
    check_secret(new_secret(b"x" * 24))
    with pytest.raises(ValueError, match="24"):
        new_secret(b"short")


@pytest.mark.parametrize("size", range(24, 76))
def test_a_key_of_every_size_signs_as_hmac_does(size: int) -> None:
    """A key longer than a block of SHA-256, 64 bytes, is hashed first."""
    key = bytes(range(size))
    secret = "whsec_" + base64.b64encode(key).decode()
    digest = hmac.new(key, f"{ID}.{AT}.".encode() + BODY, hashlib.sha256).digest()
    assert Signer(secret).sign(ID, AT, BODY) == "v1," + base64.b64encode(digest).decode()


@pytest.mark.parametrize("listed", ["v1,\ud800", "v1a,\ud800", "v1,é", "v1a,é", "\ud800"])
def test_a_signature_of_unusual_characters_is_invalid(listed: str) -> None:
    for secret in (SECRET, PUBLIC):
        with pytest.raises(SignatureError, match="no signature fits"):
            verify(BODY, headers(listed), [secret], now=AT)


@given(st.binary(min_size=24, max_size=75), st.binary(max_size=300), st.integers(0, 2**40))
def test_what_is_signed_verifies_and_the_reference_library_agrees(key: bytes, body: bytes, at: int) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    signature = Signer(secret).sign(ID, at, body)
    verify(body, headers(signature, at=at), [secret], now=at)
    reference = standardwebhooks.Webhook(secret)._whsecret
    content = f"{ID}.{at}.".encode() + body
    digest = hmac.new(reference, content, hashlib.sha256).digest()
    assert signature == "v1," + base64.b64encode(digest).decode()


_names = st.sampled_from(
    [
        "webhook-id",
        "Webhook-Timestamp",
        "webhook-signature",
        "svix-id",
        "svix-timestamp",
        "svix-signature",
        "x",
    ]
)
_values = st.one_of(
    st.text(),
    st.text(st.characters()),
    st.sampled_from(
        [ID, str(AT), SIGNATURE, ED25519, f"{SIGNATURE} {ED25519}", "v1a,é", "v1a,AAAA", "\ud800"]
    ),
)
_secrets = st.one_of(
    st.sampled_from([SECRET, PUBLIC, PRIVATE, "whsec_", "whpk_AAA"]),
    st.text().map("whsec_".__add__),
    st.text().map("whpk_".__add__),
    st.text(),
)


@given(
    st.binary(), st.dictionaries(_names, _values), st.lists(_secrets, max_size=3), st.floats(), st.floats()
)
def test_verify_raises_only_its_own_errors_for_any_input(
    body: bytes, given_headers: dict[str, str], secrets: list[str], now: float, tolerance: float
) -> None:
    try:
        verify(body, given_headers, secrets, now=now, tolerance=tolerance)
    except SignatureError:
        return
    assert body == BODY
