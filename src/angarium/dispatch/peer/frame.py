"""Encodes and encrypts what processes send each other. Pure.

A connection begins with a greeting of each side in plain text: the listener sends MAGIC, its instance and 16
random bytes, the caller sends 16 random bytes. Everything else goes from the caller to the listener, in
frames: 4 bytes of length, then the contents, encrypted with AES-256-GCM. The key of the connection is derived
from the listener's key, which is in the database, and from the random bytes of both sides. The nonce is the
number of the frame, so a frame that is changed, repeated, reordered or of another connection is refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from angarium.store.accept import NewDelivery

MAGIC: Final = b"angarium-peer-1\n"  # a change of the format changes it
INSTANCE_BYTES: Final = 16
RANDOM_BYTES: Final = 16
KEY_BYTES: Final = 32
GREETING: Final = len(MAGIC) + INSTANCE_BYTES + RANDOM_BYTES  # bytes that the listener sends
LENGTH_BYTES: Final = 4
MAX_FRAME: Final = 2 * 1024 * 1024  # bytes; a longer one is refused before it is read
MAX_PAYLOAD: Final = 128 * 1024  # bytes; the owner reads a longer one from the database
MAX_DELIVERIES: Final = 256  # in one frame
MAX_PAYLOADS: Final = 512 * 1024  # bytes of payloads in one frame, except for the last one


class FrameError(Exception):
    """What arrived is not a frame of this connection."""


class HandOver(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Deliveries for lanes of the receiver. `tenures`: by shard, the tenure that the sender knew before the
    deliveries were committed. `sent_at`: the sender's time, epoch seconds."""

    tenures: Mapping[int, int]
    sent_at: float
    deliveries: Sequence[NewDelivery]


_encoder: Final = msgspec.msgpack.Encoder(uuid_format="bytes")
_decoder: Final = msgspec.msgpack.Decoder(HandOver)


def encode(hand_over: HandOver) -> bytes:
    """The contents of a frame."""
    return _encoder.encode(hand_over)


def decode(contents: bytes) -> HandOver:
    """The hand-over in the contents of a frame. Raises FrameError."""
    try:
        return _decoder.decode(contents)
    except msgspec.DecodeError as error:
        raise FrameError(str(error)) from error


class Cipher:
    """Encrypts or decrypts the frames of one connection, in their order."""

    __slots__ = ("_aead", "_number")

    def __init__(self, key: bytes, listener_random: bytes, caller_random: bytes) -> None:
        """`key`: the listener's. The others: the random bytes of each side."""
        self._aead = AESGCM(hmac.digest(key, MAGIC + listener_random + caller_random, "sha256"))
        self._number = 0

    def seal(self, contents: bytes) -> bytes:
        """The next frame, with its length."""
        sealed = self._aead.encrypt(self._nonce(), contents, None)
        return len(sealed).to_bytes(LENGTH_BYTES, "big") + sealed

    def open(self, sealed: bytes) -> bytes:
        """The contents of the next frame. Raises FrameError."""
        try:
            return self._aead.decrypt(self._nonce(), sealed, None)
        except InvalidTag:
            raise FrameError("the frame cannot be decrypted") from None

    def _nonce(self) -> bytes:
        number, self._number = self._number, self._number + 1
        return number.to_bytes(12, "big")
