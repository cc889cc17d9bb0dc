"""Sealing: what comes back, what does not, and what is said then."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.errors import SettingsError
from angarium.core.keyring import Keyring, SealError

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"t" * 32
NONCE = b"123456789012"


def key_id(key: bytes) -> str:
    """As the head of a sealed value has it."""
    return Keyring([key]).seal(b"", NONCE, b"")[:4].hex()


@given(st.binary(), st.binary(min_size=12, max_size=12), st.binary(), st.binary(min_size=32, max_size=32))
def test_a_sealed_value_can_be_opened(plain: bytes, nonce: bytes, context: bytes, key: bytes) -> None:
    ring = Keyring([key])
    sealed = ring.seal(plain, nonce, context)
    assert ring.open(sealed, context) == plain
    assert len(sealed) == 4 + 12 + len(plain) + 16


@given(st.data())
def test_a_changed_bit_does_not_open(data: st.DataObject) -> None:
    ring = Keyring([NEW])
    sealed = bytearray(ring.seal(b"whsec_secret", NONCE, b"ep_1"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealError):
        ring.open(bytes(sealed), b"ep_1")


def test_a_value_moved_to_another_row_does_not_open() -> None:
    ring = Keyring([NEW])
    with pytest.raises(SealError, match="moved from another row"):
        ring.open(ring.seal(b"x", NONCE, b"ep_1"), b"ep_2")


def test_rotation_opens_old_values_and_seals_new_ones() -> None:
    sealed = Keyring([OLD]).seal(b"x", NONCE, b"c")
    ring = Keyring([NEW, OLD])
    assert ring.open(sealed, b"c") == b"x"
    assert not ring.is_current(sealed)
    assert ring.is_current(ring.seal(b"x", NONCE, b"c"))


def test_an_error_names_the_missing_key_and_what_to_do() -> None:
    sealed = Keyring([OLD]).seal(b"x", NONCE, b"c")
    with pytest.raises(SealError, match="ANGARIUM_SECRET_KEY") as caught:
        Keyring([NEW]).open(sealed, b"c")
    assert sealed[:4].hex() in str(caught.value)
    with pytest.raises(SealError) as caught:
        Keyring([NEW, OTHER]).open(sealed, b"c")
    assert f"ANGARIUM_SECRET_KEY ({key_id(OTHER)}, {key_id(NEW)}). " in str(caught.value)


@pytest.mark.parametrize("sealed", [b"", b"abc", b"x" * 31])
def test_a_truncated_value_is_reported_as_truncated(sealed: bytes) -> None:
    with pytest.raises(SealError, match="too short"):
        Keyring([NEW]).open(sealed, b"")


@given(st.binary(max_size=80), st.binary(max_size=20))
def test_foreign_bytes_never_raise_anything_else(sealed: bytes, context: bytes) -> None:
    with pytest.raises(SealError):
        Keyring([NEW, OLD]).open(sealed, context)


def test_keys_are_read_as_base64_or_hex() -> None:
    text = f" {base64.b64encode(NEW).decode()} , {OLD.hex()},"
    ring = Keyring.parse(text)
    assert ring.open(Keyring([OLD]).seal(b"x", NONCE, b""), b"") == b"x"
    assert ring.is_current(Keyring([NEW]).seal(b"x", NONCE, b""))
    key = b"\xfb\xff" * 16
    url_safe = base64.urlsafe_b64encode(key).decode().rstrip("=")
    assert {"-", "_"} < set(url_safe)
    assert Keyring.parse(url_safe).is_current(Keyring([key]).seal(b"", NONCE, b""))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at least one"),
        ("  ,", "at least one"),
        ("zz!!", "number 1 is neither"),
        (f"{base64.b64encode(NEW).decode()},{base64.b64encode(OLD).decode()[:-1]}!=", "number 2 is neither"),
        ("AAAA", "has 3 bytes"),
        (f"{OLD.hex()},é", "number 2"),
        ("g" * 64, "number 1"),
    ],
)
def test_invalid_keys_are_reported_without_their_value(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Keyring.parse(text)


def test_a_keyring_shows_the_ids_of_its_keys_and_not_the_keys() -> None:
    assert repr(Keyring([NEW, OLD])) == f"Keyring({key_id(OLD)}, {key_id(NEW)})"
    assert OLD.hex() not in repr(Keyring([OLD]))


def test_two_keys_with_the_same_id_are_refused_and_a_repeated_key_is_not() -> None:
    one, other = (number.to_bytes(32) for number in (50_323, 54_260))
    assert key_id(one) == key_id(other)
    with pytest.raises(SettingsError, match="same id"):
        Keyring([one, other])
    sealed = Keyring([NEW, OLD, NEW]).seal(b"x", NONCE, b"")
    assert Keyring([NEW]).open(sealed, b"") == b"x"


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(SettingsError, match="32 bytes"):
        Keyring([b"short"])
    with pytest.raises(ValueError, match="12 bytes"):
        Keyring([OLD]).seal(b"", b"short", b"")
