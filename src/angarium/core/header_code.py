"""Encodes the headers of an attempt, sent and received, in few bytes. Lossless.

Most attempts have the same headers. As in HPACK (RFC 7541), a table gives them numbers. Kinds of entries:

    1  a header with its value, such as `connection: keep-alive`
    2  a name whose value can be derived: the message's id, the second in which the attempt began, a date near
       it, a signature of 32 bytes, or the previous signature
    3  a name and the beginning of a value; the rest is stored as text
    4  a name; its value is stored as text

Number 0 is a header whose name and value are stored as text. The code is the number of headers sent, the
headers sent, and the headers received. A text is its length and its UTF-8. All numbers are LEB128.

Stored rows live long, so entries are only added at the end of the table and never changed. Numbers are
written in their shortest form, so a code that begins with the bytes 80 00 is free for another format.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import Enum
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec

from angarium.core import ids

Pairs = Sequence[tuple[str, str]]
Read = tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]


class Kind(Enum):
    """How a value is derived, and what is stored."""

    ID = "the message's id: nothing"
    SECOND = "the second of the attempt: nothing"
    DATE = "a date as HTTP writes it: seconds from the attempt"
    SIGNATURE = "`v1,` and 32 bytes as base64: the bytes"
    AGAIN = "the signature before: nothing"
    TEXT = "anything: the text"


class Beginning(msgspec.Struct, frozen=True, gc=False):
    """The beginning of a value. The rest is stored as text."""

    text: str


class UnreadableError(ValueError):
    """The encoded headers are invalid, or of a later release."""


Entry = tuple[str, str | Kind | Beginning]

_NAMES: Final = (
    "content-type", "user-agent", "webhook-id", "webhook-timestamp", "webhook-signature", "svix-id",
    "svix-timestamp", "svix-signature", "date", "server", "connection", "content-length",
    "transfer-encoding", "keep-alive", "cache-control", "vary", "etag", "x-powered-by", "x-request-id",
    "set-cookie", "strict-transport-security", "x-content-type-options", "x-frame-options",
    "x-xss-protection", "referrer-policy", "content-security-policy", "access-control-allow-origin",
    "access-control-allow-methods", "access-control-allow-headers", "access-control-allow-credentials",
    "access-control-expose-headers", "access-control-max-age", "cf-ray", "cf-cache-status", "nel",
    "report-to", "alt-svc", "via", "age", "expires", "pragma", "last-modified", "x-amzn-requestid",
    "x-amz-apigw-id", "x-amzn-trace-id", "x-amz-cf-id", "x-amz-cf-pop", "x-cache", "x-runtime",
    "x-vercel-id", "x-vercel-cache", "x-cloud-trace-context", "x-ratelimit-limit",
    "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after", "location", "www-authenticate",
    "content-encoding", "permissions-policy", "x-correlation-id", "x-response-time", "server-timing",
    "x-envoy-upstream-service-time",
)  # fmt: skip

TABLE: Final[tuple[Entry, ...]] = (
    # of a request
    ("content-type", "application/json"),
    ("user-agent", Beginning("Angarium-Webhooks/")),
    ("svix-id", Kind.ID), ("svix-timestamp", Kind.SECOND),
    ("svix-signature", Kind.SIGNATURE), ("svix-signature", Kind.AGAIN),
    ("webhook-id", Kind.ID), ("webhook-timestamp", Kind.SECOND),
    ("webhook-signature", Kind.SIGNATURE), ("webhook-signature", Kind.AGAIN),
    # of a response, in the two common spellings
    *(
        (spelling, value)
        for name, value in (
            ("date", Kind.DATE), ("connection", "keep-alive"), ("connection", "close"),
            ("content-length", "0"), ("content-length", "2"), ("transfer-encoding", "chunked"),
            ("content-type", "application/json; charset=utf-8"),
            ("content-type", "text/plain; charset=utf-8"),
            ("content-type", "text/html; charset=utf-8"), ("content-type", "text/html; charset=UTF-8"),
            ("server", Beginning("nginx/")), ("server", "nginx"), ("server", "cloudflare"),
            ("server", "uvicorn"), ("server", Beginning("Apache")), ("x-powered-by", "Express"),
            ("keep-alive", Beginning("timeout=")), ("set-cookie", "(hidden)"),
            ("cache-control", Beginning("no-cache")), ("cf-cache-status", "DYNAMIC"),
            ("vary", "Accept-Encoding"), ("x-content-type-options", "nosniff"),
            ("strict-transport-security", Beginning("max-age=")),
        )
        for spelling in (name, name.title())
    ),
    # any name, in the same spellings
    *((spelling, Kind.TEXT) for name in _NAMES for spelling in (name, name.title())),
)  # fmt: skip

_SIGNED: Final = "v1,"
_DATE_LENGTH: Final = 29


def encode(sent: Pairs, received: Pairs, *, message_id: UUID, attempt_id: UUID) -> bytes:
    """Encode headers; `decode` needs the same ids. Raises UnicodeEncodeError for a lone surrogate."""
    # hot path: most headers are found at the first lookup
    second = (attempt_id.int >> 80) // 1000
    public, stamp = ids.text(ids.MESSAGE, message_id), str(second)
    before = ""  # the previous signature
    parts = [_number(len(sent))]
    for header in (*sent, *received):
        code = _WHOLE.get(header)
        if code is None:
            name, value = header
            codes = _DERIVED.get(name)
            if codes is None:
                code = _kept(name, value)
            elif value == public:
                code = codes.id
            elif value == stamp:
                code = codes.second
            elif value == before:
                code = codes.again
            elif codes.signature and (raw := _signature(value)) is not None:
                code = codes.signature + raw
                before = value
            elif codes.date and (at := _read_date(value)) is not None:
                code = codes.date + _signed_number(at - second)
            parts.append(code or _kept(name, value))
        else:
            parts.append(code)
    return b"".join(parts)


def decode(data: bytes, *, message_id: UUID, attempt_id: UUID) -> Read:
    """The headers sent and received. Raises UnreadableError for invalid data."""
    try:
        return _read(data, message_id, attempt_id)
    except (ValueError, IndexError, OverflowError, OSError) as error:
        raise UnreadableError("the headers are cut off or were written by a later release") from error


def _read(data: bytes, message_id: UUID, attempt_id: UUID) -> Read:
    reader = _Reader(data)
    count = reader.number()
    second = (attempt_id.int >> 80) // 1000
    before = ""
    headers: list[tuple[str, str]] = []
    while not reader.over:
        number = reader.number()
        name, form = TABLE[number - 1] if number else (reader.text(), Kind.TEXT)
        match form:
            case str():
                value = form
            case Beginning():
                value = form.text + reader.text()
            case Kind.ID:
                value = ids.text(ids.MESSAGE, message_id)
            case Kind.SECOND:
                value = str(second)
            case Kind.DATE:
                value = _date(second + reader.signed_number())
            case Kind.SIGNATURE:
                value = before = _SIGNED + b2a_base64(reader.take(32), newline=False).decode()
            case Kind.AGAIN:
                value = before
            case Kind.TEXT:
                value = reader.text()
        headers.append((name, value))
    if len(headers) < count:
        raise ValueError("the headers are cut off")
    return tuple(headers[:count]), tuple(headers[count:])


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def over(self) -> bool:
        return self._at >= len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise ValueError("the headers are cut off")
        self._at += count
        return taken

    def number(self) -> int:
        number = shift = 0
        while True:
            (byte,) = self.take(1)
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if byte == 0 and shift > 7:
                    raise ValueError("a number is not in its shortest form")
                return number

    def signed_number(self) -> int:
        number = self.number()
        return -(number >> 1) - 1 if number & 1 else number >> 1

    def text(self) -> str:
        return self.take(self.number()).decode()


def _number(number: int) -> bytes:
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _signed_number(number: int) -> bytes:
    return _number(number << 1 if number >= 0 else (-number << 1) - 1)


def _text(text: str) -> bytes:
    data = text.encode()
    return _number(len(data)) + data


@lru_cache(maxsize=1024)
def _kept(name: str, value: str) -> bytes:
    """A header stored as text, except for a known name and a known beginning of the value."""
    for beginning, code in _BEGINNINGS.get(name, ()):
        if value.startswith(beginning):
            return code + _text(value[len(beginning) :])
    return (_NAMED.get(name) or b"\0" + _text(name)) + _text(value)


def _signature(value: str) -> bytes | None:
    """The bytes of a signature in the usual form, or None."""
    if not value.startswith(_SIGNED):
        return None
    try:
        raw = a2b_base64(value[len(_SIGNED) :])
    except ValueError:
        return None
    return raw if len(raw) == 32 and _SIGNED + b2a_base64(raw, newline=False).decode() == value else None


@lru_cache(maxsize=256)
def _read_date(value: str) -> int | None:
    """The second of a date in the form of HTTP (RFC 9110, 5.6.7), or None."""
    if len(value) != _DATE_LENGTH:
        return None
    try:
        second = int(parsedate_to_datetime(value).timestamp())
    except (ValueError, OverflowError):
        return None
    return second if _date(second) == value else None


def _date(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC), usegmt=True)


class _Codes(msgspec.Struct, gc=False):
    """The numbers of a name whose value may be derived; empty if there is none of that kind."""

    id: bytes = b""
    second: bytes = b""
    again: bytes = b""
    signature: bytes = b""
    date: bytes = b""


# lookup tables
_CODES: Final = [(name, form, _number(place)) for place, (name, form) in enumerate(TABLE, 1)]
_WHOLE: Final = {(name, form): code for name, form, code in _CODES if isinstance(form, str)}
_NAMED: Final = {name: code for name, form, code in _CODES if form is Kind.TEXT}
_BEGINNINGS: Final[dict[str, list[tuple[str, bytes]]]] = {}
_DERIVED: Final[dict[str, _Codes]] = {}
for _name, _form, _code in _CODES:
    if isinstance(_form, Beginning):
        _BEGINNINGS.setdefault(_name, []).append((_form.text, _code))
    elif isinstance(_form, Kind) and _form is not Kind.TEXT:
        setattr(_DERIVED.setdefault(_name, _Codes()), _form.name.lower(), _code)
