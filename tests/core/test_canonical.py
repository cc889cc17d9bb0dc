"""Base64 has one spelling: what decodes to the same bytes in another is refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core import canonical
from angarium.core.signature import SignatureError, Signer, check_secret, verify
from tests.kit.spelling import base64_spellings

KEYS = st.binary(min_size=24, max_size=75)


@given(st.binary(min_size=1, max_size=100))
def test_only_the_canonical_spelling_is_accepted(data: bytes) -> None:
    plain, safe = base64.b64encode(data).decode(), canonical.url_safe_text(data)
    assert canonical.standard(plain) == data
    assert canonical.url_safe(safe) == data
    for read, text in ((canonical.standard, plain), (canonical.url_safe, safe)):
        for other in base64_spellings(text):
            with pytest.raises(ValueError, match=r"."):
                read(other)


@pytest.mark.parametrize(
    ("data", "standard", "url_safe"),
    [
        (b"", "", ""),
        (b"\0", "AA==", "AA"),
        (b"\0\0", "AAA=", "AAA"),
        (b"\0\0\0", "AAAA", "AAAA"),
        (b"\xfb\xef\xbe\xff", "++++/w==", "----_w"),
        (b"\xff\xff\xff", "////", "____"),
        (b"]u\xd7", "XXXX", "XXXX"),  # no letter is taken for padding
    ],
)
def test_bytes_have_the_text_of_the_standard(data: bytes, standard: str, url_safe: str) -> None:
    assert canonical.standard(standard) == canonical.url_safe(url_safe) == data
    assert canonical.url_safe_text(data) == url_safe
    for read, other in ((canonical.standard, url_safe), (canonical.url_safe, standard)):
        if standard != url_safe:
            with pytest.raises(ValueError, match=r"."):
                read(other)


@given(st.text(max_size=40))
def test_whatever_is_read_is_written_the_same_way(text: str) -> None:
    for read, write in (
        (canonical.standard, lambda data: base64.b64encode(data).decode()),
        (canonical.url_safe, canonical.url_safe_text),
    ):
        try:
            data = read(text)
        except ValueError:
            continue
        assert write(data) == text


@given(KEYS)
def test_a_secret_is_taken_in_one_spelling_and_the_error_does_not_show_it(key: bytes) -> None:
    bare = base64.b64encode(key).decode()
    check_secret("whsec_" + bare)
    for other in base64_spellings(bare):
        with pytest.raises(ValueError, match="base64") as refused:
            check_secret("whsec_" + other)
        assert other not in str(refused.value)


@given(st.integers(24, 75).flatmap(lambda size: st.binary(min_size=size, max_size=size)))
def test_a_stored_secret_in_another_spelling_still_signs(key: bytes) -> None:
    bare = base64.b64encode(key).decode()
    for other in base64_spellings(bare):
        try:
            same = base64.b64decode(other, validate=True) == key
        except ValueError:
            continue
        if same:
            made = Signer("whsec_" + other).sign("msg_1", 1_750_000_000, b"{}")
            assert made == Signer("whsec_" + bare).sign("msg_1", 1_750_000_000, b"{}")


@given(st.binary(min_size=64, max_size=64), st.sampled_from(["v1", "v1a"]))
def test_a_signature_fits_in_one_spelling(seed: bytes, version: str) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = "whsec_" + base64.b64encode(seed).decode()
    if version == "v1a":
        public = Ed25519PrivateKey.from_private_bytes(seed[:32]).public_key().public_bytes_raw()
        secret = "whsk_" + base64.b64encode(seed[:32] + public).decode()
    name, _, made = Signer(secret).sign("msg_1", 1_750_000_000, b"{}").partition(",")
    assert name == version
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1750000000"}
    verify(b"{}", headers | {"webhook-signature": f"{name},{made}"}, [secret], now=1_750_000_000)
    for other in base64_spellings(made):
        if " " in other:
            continue  # a list of two
        with pytest.raises(SignatureError):
            verify(b"{}", headers | {"webhook-signature": f"{name},{other}"}, [secret], now=1_750_000_000)
