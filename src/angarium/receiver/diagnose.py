"""Why a signature does not fit: the usual mistakes, tried one by one until one explains it.

For people at work on a receiver. A server must not use it: it tells an attacker what would have fitted.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from angarium import json_text
from angarium.receiver.errors import VerificationError
from angarium.receiver.headers import Given
from angarium.receiver.scheme import SCHEMES, Scheme, find
from angarium.receiver.verify import verify

MOST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Mistake:
    """What spoils a signature: a stable code, and words for what happened and what to do."""

    code: str
    words: str


def diagnose(
    body: bytes,
    headers: Given,
    secret: str,
    scheme: str | Scheme = "standard",
    *,
    now: float,
    others: dict[str, str] | None = None,
) -> Mistake | None:
    """What explains the failure of `verify`, or None when it verifies.

    `others`: secrets of other endpoints, by a name to say. Raises VerificationError for an unknown scheme.
    """
    chosen = find(scheme)

    def fits(
        body: bytes = body,
        secret: str | bytes = secret,
        scheme: Scheme = chosen,
        tolerance: float = float("inf"),
    ) -> VerificationError | None:
        try:
            verify(body, headers, [secret], scheme, tolerance=tolerance, clock=lambda: now, max_body=MOST)
        except VerificationError as error:
            return error
        return None

    error = fits(tolerance=chosen.tolerance)
    if error is None:
        return None
    if fits() is None:
        return Mistake("clock", f"The signature is right, but {error}.")
    if error.code not in ("no_match", "expired"):
        found = _other_scheme(chosen, fits)
        return found or Mistake(error.code, str(error))
    for mistake, words, one in _bodies(body):
        if fits(body=one) is None:
            return Mistake(mistake, words)
    for words, key in _keys(secret):
        if fits(secret=key) is None:
            return Mistake("key_decoding", words)
    for name, other in (others or {}).items():
        if other != secret and fits(secret=other) is None:
            return Mistake("other_secret", f"It was signed with the secret of {name}.")
    found = _other_scheme(chosen, fits)
    if found is not None:
        return found
    for mistake, words, one in _bodies(body):
        for _, key in _keys(secret):
            if fits(body=one, secret=key) is None:
                return Mistake(mistake, f"{words} The secret is decoded in another way as well.")
    return Mistake(
        "unknown",
        "No usual mistake explains it. The secret is probably another endpoint's or an old one; or body, id "
        "or timestamp were changed on the way. Compare the bytes with those that the portal shows.",
    )


def _other_scheme(chosen: Scheme, fits: Callable[..., VerificationError | None]) -> Mistake | None:
    for scheme in SCHEMES.values():
        if scheme is not chosen and fits(scheme=scheme) is None:
            return Mistake(
                "scheme", f"It is signed by the scheme {scheme.name}, not {chosen.name}: verify with that."
            )
    return None


def _bodies(body: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Bodies that may have been the ones that were signed."""
    for words, one in (
        ("a line end at its end", body + b"\n"),
        ("no line end at its end", body.rstrip(b"\r\n")),
        ("no white space around it", body.strip()),
    ):
        if one != body:
            yield (
                "trailing_newline",
                f"The body that was signed has {words}. Take the bytes as they came.",
                one,
            )
    for words, one in (
        ("with Unix line ends", body.replace(b"\r\n", b"\n")),
        ("with Windows line ends", body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")),
        ("without the byte order mark", body.removeprefix(b"\xef\xbb\xbf")),
    ):
        if one != body:
            yield "line_ends", f"The body was signed {words}: something on the way changed it.", one
    for words, one in _reserialized(body):
        if one != body:
            yield (
                "reserialized",
                f"The body was parsed and written again; what was signed is {words}. Verify the raw bytes, "
                "before any parser touches them.",
                one,
            )


def _reserialized(body: bytes) -> Iterator[tuple[str, bytes]]:
    """What other tools make of the JSON: some change blanks alone, some escapes, some numbers too."""
    try:
        text = body.decode()
        yield "compact JSON", json_text.compact(text).encode()
        yield "JSON over several lines", json_text.indented(text).encode()
    except (ValueError, RecursionError):
        return
    for parse in (json_text.read, json.loads):
        try:
            yield from _written(parse(text))
        except (ValueError, RecursionError):  # Python refuses numbers of thousands of digits
            continue


def _written(value: Any) -> Iterator[tuple[str, bytes]]:
    for ascii_only in (False, True):
        escapes = ", with letters escaped" if ascii_only else ""
        for words, options in (
            ("compact JSON", {}),
            ("JSON with blanks behind commas and colons", {"separators": (", ", ": ")}),
            ("JSON over several lines", {"separators": (",", ": "), "indent": 2}),
            ("compact JSON with its keys sorted", {"sort_keys": True}),
        ):
            made = json_text.write(value, ascii_only=ascii_only, **options)
            yield words + escapes, made.encode("utf-8", "surrogatepass")


def _keys(secret: str) -> Iterator[tuple[str, bytes]]:
    """Keys that the secret may have been taken for."""
    bare = secret.partition("_")[2] if secret.startswith("whsec_") else secret
    yield "The key is the whole secret as text, with its prefix; do not decode it.", secret.encode()
    yield "The key is the secret as text, without its prefix; do not decode it.", bare.encode()
    padded = bare + "=" * (-len(bare) % 4)
    for words, decode, text in (
        ("The key is what the base64 behind the prefix stands for; decode it.", base64.b64decode, padded),
        ("The key is decoded with the URL-safe alphabet of base64.", base64.urlsafe_b64decode, padded),
        ("The key is written in hexadecimal digits; decode it.", bytes.fromhex, bare),
    ):
        try:
            key = decode(text)
        except (binascii.Error, ValueError):
            continue
        if key:
            yield words, key
