"""What processes send each other: every field arrives, and nothing that was changed is accepted."""

from __future__ import annotations

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.dispatch.peer.frame import LENGTH_BYTES, Cipher, FrameError, HandOver, decode, encode
from angarium.store.accept import NewDelivery

KEY, LISTENER, CALLER = b"k" * 32, b"l" * 16, b"c" * 16

deliveries = st.builds(
    NewDelivery,
    st.uuids(),
    st.uuids(),
    st.uuids(),
    st.integers(0, 63),
    st.booleans(),
    st.integers(0, 2**31),
    st.floats(0, 1e10),
    st.text(),
    st.none() | st.binary(),
    st.floats(0, 1e10),
    st.booleans(),
    st.none() | st.text(),
    st.integers(0, 2**62),
)


def pair() -> tuple[Cipher, Cipher]:
    """The two sides of a connection."""
    return Cipher(KEY, LISTENER, CALLER), Cipher(KEY, LISTENER, CALLER)


def sealed(cipher: Cipher, contents: bytes) -> bytes:
    """The next frame, without its length."""
    frame = cipher.seal(contents)
    assert int.from_bytes(frame[:LENGTH_BYTES], "big") == len(frame) - LENGTH_BYTES
    return frame[LENGTH_BYTES:]


@given(st.dictionaries(st.integers(0, 63), st.integers(0, 2**62)), st.floats(0, 1e10), st.lists(deliveries))
def test_a_hand_over_arrives_as_it_was_sent(
    tenures: dict[int, int], sent_at: float, sent: list[NewDelivery]
) -> None:
    assert decode(encode(HandOver(tenures, sent_at, sent))) == HandOver(tenures, sent_at, sent)


@pytest.mark.parametrize(
    "contents",
    [b"", b"\xc1", os.urandom(64), msgspec.msgpack.encode([{}, 0.0]), b"\x93\x80\x00\x91\x91\x00"],
    ids=["empty", "unused code", "random", "too short", "not a delivery"],
)
def test_other_contents_are_refused(contents: bytes) -> None:
    with pytest.raises(FrameError):
        decode(contents)


def test_frames_are_opened_in_their_order() -> None:
    caller, listener = pair()
    frames = [sealed(caller, b"%d" % number) for number in range(3)]
    assert b"0" not in frames[0][:-16]
    assert [listener.open(frame) for frame in frames] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("place", [0, 5, -1])
def test_a_changed_frame_is_refused(place: int, bit: int) -> None:
    caller, listener = pair()
    changed = bytearray(sealed(caller, b"contents"))
    changed[place] ^= 1 << bit
    with pytest.raises(FrameError):
        listener.open(bytes(changed))


def test_a_repeated_frame_is_refused() -> None:
    caller, listener = pair()
    frame = sealed(caller, b"contents")
    assert listener.open(frame) == b"contents"
    with pytest.raises(FrameError):
        listener.open(frame)


@pytest.mark.parametrize(
    "other",
    [
        Cipher(b"x" * 32, LISTENER, CALLER),
        Cipher(KEY, b"x" * 16, CALLER),
        Cipher(KEY, LISTENER, b"x" * 16),
    ],
    ids=["another key", "another random value of the listener", "another random value of the caller"],
)
def test_a_frame_of_another_connection_is_refused(other: Cipher) -> None:
    with pytest.raises(FrameError):
        pair()[1].open(sealed(other, b"contents"))


def test_the_same_contents_never_look_the_same() -> None:
    caller, _ = pair()
    assert len({sealed(caller, b"contents") for _ in range(3)}) == 3
