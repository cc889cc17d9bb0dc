"""What a product's requests are made of: the body once, the headers for each attempt."""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import b64encode
from typing import Any
from uuid import UUID

import pytest

from angarium.core.message_format import MessageFormat, own_signer
from angarium.core.nouns import SigningKey
from angarium.core.profile import Profile, read
from angarium.core.profile_table import SigningTable
from angarium.core.signature import Signer

MESSAGE = UUID("0197f3a0-0000-7000-8000-000000000001")
NOW = 1_750_000_000
BODY = b'{"n":1}'
RAW = b"\xfb\xffkey of a test, 24 by"
SECRET = f"whsec_{b64encode(RAW + b'tes').decode()}"
NEW, OLD = (f"whsec_{b64encode(byte * 24).decode()}" for byte in (b"n", b"o"))
OWN = {"header": "X-Sum", "key": "text"}


def profile(**tables: Any) -> Profile:
    return read({"name": "x", "title": "X", "ids": {"message": "note_"}, **tables})


def headers(
    described: Profile, *keys: SigningKey, now: float = NOW, custom: dict[str, str] | None = None, **more: Any
) -> list[tuple[str, str]]:
    message_format = MessageFormat(described, "Agent/1")
    return message_format.headers(
        message_id=MESSAGE,
        event_type="order.filled",
        body=BODY,
        keys=message_format.keys(keys or [SigningKey(SECRET)]),
        custom=custom or {},
        now=now,
        **more,
    )


def test_an_id_starts_with_the_products_prefix() -> None:
    text = MessageFormat(profile(), "Agent/1").message_id(MESSAGE)
    assert text.startswith("note_")
    assert len(text) == len("note_") + 27


def test_without_an_envelope_the_payload_is_the_body() -> None:
    payload = b' {"a" : 1}\n'
    assert MessageFormat(profile(), "Agent/1").body(MESSAGE, "order.filled", NOW, payload) == payload


@pytest.mark.parametrize("zone", ["UTC0", "XXX-5:30"])
def test_an_envelope_holds_its_parts_in_the_order_of_the_profile(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = {"kind": "{type}", 'ä"': "{id}", "at": "{time}", "parcel": "{data}"}
    message_format = MessageFormat(profile(envelope=envelope), "Agent/1")
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        made = message_format.body(MESSAGE, "order.filled", NOW, b' {"a" : 1}')
    finally:
        monkeypatch.undo()
        time.tzset()
    assert made.decode() == (
        f'{{"kind":"order.filled","ä\\"":"{message_format.message_id(MESSAGE)}",'
        '"at":"2025-06-15T15:06:40Z","parcel": {"a" : 1}}'
    )


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (NOW + 0.25, "2025-06-15T15:06:40.250Z"),
        (NOW + 0.0004, "2025-06-15T15:06:40Z"),
        (NOW + 0.0006, "2025-06-15T15:06:40.001Z"),
        (NOW + 0.9996, "2025-06-15T15:06:41Z"),
    ],
)
def test_a_time_has_milliseconds_only_where_there_are_any(at: float, text: str) -> None:
    message_format = MessageFormat(profile(envelope={"t": "{time}", "d": "{data}"}), "Agent/1")
    assert message_format.body(MESSAGE, "a.b", at, b"0") == b'{"t":"%b","d":0}' % text.encode()


def test_headers_come_in_order_and_the_products_own_replace_others_of_their_names() -> None:
    described = profile(
        signing=[
            OWN,
            {"family": "webhook"},
            {**OWN, "header": "X-Time", "format": "{timestamp}:{signature}"},
        ],
        delivery={"headers": {"X-Kind": "a {type} {id}", "X-Fixed": "{time}"}},
    )
    custom = {"x-kind": "mine", "x-SUM": "mine", "X-Own": "mine", "Host": "mine"}
    made = headers(described, custom=custom, now=NOW + 0.9)
    message_id = MessageFormat(described, "Agent/1").message_id(MESSAGE)
    value = hmac.new(SECRET.encode(), BODY, "sha256").hexdigest()
    assert made == [
        ("content-type", "application/json"),
        ("user-agent", "Agent/1"),
        ("webhook-id", message_id),
        ("webhook-timestamp", str(NOW)),
        ("webhook-signature", Signer(SECRET).sign(message_id, NOW, BODY)),
        ("X-Own", "mine"),
        ("X-Sum", value),
        ("X-Time", f"{NOW}:{value}"),
        ("X-Kind", f"a order.filled {message_id}"),
        ("X-Fixed", "{time}"),
    ]


@pytest.mark.parametrize(
    ("tables", "last"),
    [
        ({"signing": [OWN]}, "X-Sum"),
        ({"delivery": {"headers": {"X-Kind": "{type}"}}}, "X-Kind"),
        ({}, "webhook-signature"),
    ],
)
def test_a_scheme_and_headers_of_the_product_are_each_sent_without_the_other(
    tables: dict[str, Any], last: str
) -> None:
    made = headers(profile(**tables))
    assert made[-1][0] in (last, last.replace("webhook", "svix"))
    assert len(made) == {"X-Sum": 3, "X-Kind": 9, "webhook-signature": 8}[last]


def test_only_the_families_of_the_profile_are_sent() -> None:
    names = [name for name, _ in headers(profile(signing=[{"family": "svix"}]))]
    assert names[2:] == ["svix-id", "svix-timestamp", "svix-signature"]


def test_the_agent_is_the_profiles_if_it_names_one() -> None:
    assert dict(headers(profile()))["user-agent"] == "Agent/1"
    assert dict(headers(profile(delivery={"user_agent": "Its/2"})))["user-agent"] == "Its/2"


def test_the_content_type_is_the_senders_if_there_is_one() -> None:
    assert dict(headers(profile()))["content-type"] == "application/json"
    assert dict(headers(profile(), content_type="text/plain"))["content-type"] == "text/plain"


def test_a_key_signs_until_it_expires() -> None:
    keys = SigningKey(NEW), SigningKey(OLD, expires_at=NOW + 10)
    message_id = MessageFormat(profile(), "").message_id(MESSAGE)
    for now, secrets in ((NOW + 9.9, (NEW, OLD)), (NOW + 10, (NEW,)), (NOW + 10**9, (NEW,))):
        wanted = " ".join(Signer(secret).sign(message_id, int(now), BODY) for secret in secrets)
        assert dict(headers(profile(), *keys, now=now))["webhook-signature"] == wanted


def test_a_header_with_room_for_one_signature_has_that_of_the_first_key_in_force() -> None:
    def signed_with(*keys: SigningKey, now: float) -> str:
        value = dict(headers(profile(signing=[OWN]), *keys, now=now))["X-Sum"]
        (secret,) = (key.secret for key in keys if own_signer(key.secret, scheme)("", 0, BODY) == value)
        return secret

    scheme = SigningTable(header="X-Sum", key="text")
    current, old = SigningKey(NEW), SigningKey(OLD, expires_at=NOW + 10)
    assert signed_with(current, old, now=NOW) == NEW
    coming = SigningKey(NEW, active_at=NOW + 5)
    assert signed_with(coming, old, now=NOW + 4.9) == OLD
    assert signed_with(coming, old, now=NOW + 5) == NEW
    assert signed_with(coming, now=NOW) == NEW  # where there is no other, it signs before its time
    late = SigningKey(NEW, active_at=NOW + 20)
    assert signed_with(late, old, now=NOW + 9.9) == OLD
    assert signed_with(late, old, now=NOW + 10) == NEW


def test_a_key_without_a_time_is_in_force_from_the_beginning() -> None:
    described = profile(signing=[OWN])
    keys = SigningKey(NEW), SigningKey(OLD)
    assert dict(headers(described, *keys, now=0.0))["X-Sum"] == own_signer(NEW, described.signing[0])(
        "", 0, BODY
    )


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_a_products_header_contains_the_hmac_of_its_template(digest: str) -> None:
    def made(**scheme: Any) -> str:
        scheme = {"algorithm": f"hmac-{digest}", **scheme}
        return own_signer(SECRET, SigningTable(header="X-Sum", **scheme))("msg_1", NOW, BODY)

    def hashed(key: bytes, content: bytes) -> bytes:
        return hmac.new(key, content, getattr(hashlib, digest)).digest()

    raw, text = RAW + b"tes", SECRET.encode()
    assert made() == hashed(raw, BODY).hex()
    assert made(key="text") == hashed(text, BODY).hex()
    assert made(encoding="base64") == b64encode(hashed(raw, BODY)).decode()
    content = f"msg_1 {NOW} ".encode() + BODY + f" {NOW} msg_1".encode()
    shape = "t={timestamp},v={signature}"
    assert made(signed="{id} {timestamp} {body} {timestamp} {id}", format=shape) == (
        f"t={NOW},v={hashed(raw, content).hex()}"
    )


def test_a_body_that_looks_like_a_placeholder_is_signed_as_it_is() -> None:
    sign = own_signer(SECRET, SigningTable(header="X-Sum", key="text", signed="{id}{body}"))
    assert sign("1", 2, b"{timestamp}{id}{body}") == (
        hmac.new(SECRET.encode(), b"1{timestamp}{id}{body}", "sha256").hexdigest()
    )
