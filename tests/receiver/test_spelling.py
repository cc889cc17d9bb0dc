"""A secret and a signature are accepted in one spelling. The base64 of a secret may omit its padding."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from angarium.receiver import BadSecret, Custom, Receiver, VerificationError, verify
from angarium.testing import sign
from tests.kit.spelling import base64_spellings

BODY = b'{"type":"order.filled","data":{}}'
HEX = Custom(name="hex", header="x-signature", key="hex")
SEEDS = st.integers(24, 75).flatmap(lambda size: st.binary(min_size=size, max_size=size))


def others(text: str) -> Iterator[str]:
    """Other spellings of a secret's base64, except the one without padding."""
    bare = text.rstrip("=")
    yield from (one for one in base64_spellings(text) if one != bare)
    yield from (f" {text}", f"{text} ", f"{text}\n", f"\t{text}")


@given(SEEDS)
def test_a_secret_is_accepted_in_one_spelling_and_no_error_contains_it(seed: bytes) -> None:
    text = base64.b64encode(seed).decode()
    signed = sign(BODY, f"whsec_{text}")
    for spelling in (text, text.rstrip("=")):
        verify(BODY, signed, f"whsec_{spelling}")
    for spelling in others(text):
        with pytest.raises(BadSecret) as refused:
            Receiver("standard", f"whsec_{spelling}")
        assert spelling.strip() not in str(refused.value)
        with pytest.raises(BadSecret):
            verify(BODY, signed, f"whsec_{spelling}")
        with pytest.raises(BadSecret):
            sign(BODY, f"whsec_{spelling}")


@given(st.binary(min_size=32, max_size=32))
def test_an_ed25519_key_and_its_signature_are_accepted_in_one_spelling(seed: bytes) -> None:
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    private, shown = (base64.b64encode(one).decode() for one in (seed + public, public))
    signed = sign(BODY, f"whsk_{private}")
    verify(BODY, signed, f"whpk_{shown}")
    for spelling in others(shown):
        with pytest.raises(BadSecret):
            Receiver("standard", f"whpk_{spelling}")
    for spelling in others(private):
        with pytest.raises(BadSecret):
            sign(BODY, f"whsk_{spelling}")
    signature = signed["webhook-signature"].partition(",")[2]
    for spelling in base64_spellings(signature):
        if " " in spelling or "\t" in spelling:
            continue  # a list of two
        with pytest.raises(VerificationError):
            verify(BODY, signed | {"webhook-signature": f"v1a,{spelling}"}, f"whpk_{shown}")


@given(st.binary(min_size=16, max_size=32))
def test_a_secret_in_hexadecimal_digits_contains_nothing_else(key: bytes) -> None:
    text = key.hex()
    signed = sign(BODY, text, HEX)
    verify(BODY, signed, text.upper(), HEX)
    for spelling in (
        f"{text[:2]} {text[2:]}",
        f" {text}",
        f"{text}\n",
        text[1:],
        f"0x{text}",
        f"\u0660{text[1:]}",
    ):
        with pytest.raises(BadSecret):
            Receiver(HEX, spelling)
        with pytest.raises(BadSecret):
            verify(BODY, signed, spelling, HEX)
