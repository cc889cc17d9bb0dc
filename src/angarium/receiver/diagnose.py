"""Finds out why a signature is not valid: tries common mistakes until one explains it.

For developers of a receiver. A server must not use it: it would tell an attacker which signature is valid.
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
"""Bytes of a body."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A stable code, and what happened and what to do in words."""

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
    """The mistake that makes `verify` fail, or None if it succeeds.

    `others` are secrets of other endpoints, by the names to report. Raises VerificationError for an unknown
    scheme.
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
        return Mistake("clock", f"The signature is valid, but {error}.")
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
                return Mistake(mistake, f"{words} The key is also derived from the secret in another way.")
    return Mistake(
        "unknown",
        "No common mistake explains it. Probably the secret is an old one or another endpoint's, or the "
        "body, id or timestamp was changed on the way. Compare the bytes with those that the portal shows.",
    )


def _other_scheme(chosen: Scheme, fits: Callable[..., VerificationError | None]) -> Mistake | None:
    for scheme in SCHEMES.values():
        if scheme is not chosen and fits(scheme=scheme) is None:
            words = (
                f"The request is signed with the scheme {scheme.name}, not {chosen.name}. Use that scheme."
            )
            return Mistake("scheme", words)
    return None


def _bodies(body: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Bodies that may have been signed: a code, words and the body."""
    for words, one in (
        ("a newline at its end", body + b"\n"),
        ("no newline at its end", body.rstrip(b"\r\n")),
        ("no whitespace around it", body.strip()),
    ):
        if one != body:
            yield (
                "trailing_newline",
                f"The signed body has {words}. Use the bytes as received.",
                one,
            )
    for words, one in (
        ("Unix line ends", body.replace(b"\r\n", b"\n")),
        ("Windows line ends", body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")),
        ("no byte order mark", body.removeprefix(b"\xef\xbb\xbf")),
    ):
        if one != body:
            yield "line_ends", f"The signed body has {words}. Something on the way changed it.", one
    for words, one in _reserialized(body):
        if one != body:
            said = f"The body was parsed and serialized again: the signed one is {words}."
            yield "reserialized", f"{said} Verify the raw bytes, before they are parsed.", one


def _reserialized(body: bytes) -> Iterator[tuple[str, bytes]]:
    """The JSON as other tools serialize it. Some change only spaces, some also escapes or numbers."""
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
        escapes = ", with escaped letters" if ascii_only else ""
        for words, options in (
            ("compact JSON", {}),
            ("JSON with spaces after commas and colons", {"separators": (", ", ": ")}),
            ("JSON over several lines", {"separators": (",", ": "), "indent": 2}),
            ("compact JSON with its keys sorted", {"sort_keys": True}),
        ):
            made = json_text.write(value, ascii_only=ascii_only, **options)
            yield words + escapes, made.encode("utf-8", "surrogatepass")


def _keys(secret: str) -> Iterator[tuple[str, bytes]]:
    """Keys that a program may have derived from the secret, in words."""
    bare = secret.partition("_")[2] if secret.startswith("whsec_") else secret
    yield "The key is the whole secret as text, including its prefix. Do not decode it.", secret.encode()
    yield "The key is the secret as text, without its prefix. Do not decode it.", bare.encode()
    padded = bare + "=" * (-len(bare) % 4)
    for words, decode, text in (
        ("The key is the base64 after the prefix. Decode it.", base64.b64decode, padded),
        ("The key is URL-safe base64. Decode it with that alphabet.", base64.urlsafe_b64decode, padded),
        ("The key is written in hexadecimal digits. Decode them.", bytes.fromhex, bare),
    ):
        try:
            key = decode(text)
        except (binascii.Error, ValueError):
            continue
        if key:
            yield words, key
