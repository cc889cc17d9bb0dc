"""The schemes: what each signs, computed here independently, and what each refuses."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from angarium.receiver import (
    BadFormat,
    BadSecret,
    Custom,
    Event,
    MissingHeader,
    MissingLibrary,
    NoMatch,
    Receiver,
    Shape,
    UnknownScheme,
    VerificationError,
    verify,
)
from angarium.receiver.scheme import SCHEMES, Scheme, find
from angarium.testing import sign

NOW = 1_700_000_000
KEY = b"0123456789abcdef01234567"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = b'{"id":"evt_1","type":"order.filled","action":"opened"}'


def at(body: bytes, headers: Any, secret: Any, scheme: str | Scheme) -> Event[Any]:
    return verify(body, headers, secret, scheme, clock=lambda: NOW)


def mac(content: bytes, algorithm: str = "sha256", key: bytes = KEY) -> bytes:
    return hmac.new(key, content, getattr(hashlib, algorithm)).digest()


# ----------------------------------------------------------------------------------------------- Custom


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("kind", ["text", "base64", "hex"])
def test_a_custom_scheme_signs_as_it_is_described(algorithm: Any, encoding: Any, kind: Any) -> None:
    scheme = Custom(
        name="mine",
        header="X-Signature",
        algorithm=algorithm,
        encoding=encoding,
        key=kind,
        key_prefix="key_",
        prefix="s=",
        signed="v0:{timestamp}:{id}:{body}",
        timestamp_header="X-Time",
        id_header="X-Id",
        type_header="X-Type",
    )
    text = {"text": KEY.decode(), "base64": base64.b64encode(KEY).decode(), "hex": KEY.hex()}[kind]
    digest = mac(b"v0:%d:msg_1:%b" % (NOW, BODY), algorithm)
    wanted = {
        "X-Signature": "s=" + (digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()),
        "X-Time": str(NOW),
        "X-Id": "msg_1",
        "X-Type": "order",
    }
    signed = sign(BODY, f"key_{text}", scheme, id="msg_1", type="order", timestamp=NOW)
    assert signed == {"content-type": "application/json", **wanted}
    event = at(BODY, wanted, f"key_{text}", scheme)
    assert (event.id, event.type) == ("msg_1", "order")
    assert event.sent_at == datetime.fromtimestamp(NOW, UTC)
    for name in ("X-Time", "X-Id", "X-Signature"):
        with pytest.raises(MissingHeader, match=name):
            at(BODY, {**wanted, name: ""}, f"key_{text}", scheme)
    for name, other in (
        ("X-Time", str(NOW + 1)),
        ("X-Id", "msg_2"),
        ("X-Signature", wanted["X-Signature"][2:]),
    ):
        with pytest.raises(NoMatch):
            at(BODY, {**wanted, name: other}, f"key_{text}", scheme)


PLAIN = Custom(name="plain", header="X-Signature")
LISTED = Custom(name="listed", header="X-Signature", encoding="base64", separator=";")


def test_hexadecimal_digits_may_be_capitals_and_base64_may_not_be_changed() -> None:
    good = mac(BODY).hex()
    assert at(BODY, {"X-Signature": good.upper()}, KEY, PLAIN).id == "evt_1"
    good = base64.b64encode(mac(BODY)).decode()
    assert at(BODY, {"X-Signature": good}, KEY, LISTED).id == "evt_1"
    with pytest.raises(NoMatch):
        at(BODY, {"X-Signature": good.lower()}, KEY, LISTED)


def test_signatures_are_listed_only_where_the_scheme_has_a_separator() -> None:
    good = base64.b64encode(mac(BODY)).decode()
    assert at(BODY, {"X-Signature": f"other; {good} ;more"}, KEY, LISTED).id == "evt_1"
    with pytest.raises(NoMatch):
        at(BODY, {"X-Signature": f"other {good}"}, KEY, LISTED)
    with pytest.raises(NoMatch):
        at(BODY, {"X-Signature": f"other {mac(BODY).hex()}"}, KEY, PLAIN)


@pytest.mark.parametrize(
    ("body", "header", "event_type"),
    [
        (b'{"action":"opened"}', "issue", "issue.opened"),
        (b'{"action":""}', "issue", "issue"),
        (b'{"action":5}', "issue", "issue"),
        (b"{}", "issue", "issue"),
        (b'["action"]', "issue", "issue"),
        (b'"action"', "issue", "issue"),
        (b"no JSON", "issue", "issue"),
        (b'{"action":"opened"}', "", ""),
    ],
)
def test_the_action_is_added_to_the_type_of_the_header(body: bytes, header: str, event_type: str) -> None:
    scheme = Custom(
        name="mine", header="X-Signature", type_header="X-Type", action="action", shape=Shape(type=())
    )
    headers = {"X-Signature": mac(body).hex(), "X-Type": header}
    assert at(body, headers, KEY, scheme).type == event_type


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"signed": "{timestamp}", "timestamp_header": "X-Time"}, "signed: must contain {body}"),
        ({"signed": "{body}{nonce}"}, "signed: {nonce} must be one of"),
        ({"signed": "{timestamp}{body}"}, "signed: {timestamp} requires timestamp_header"),
        ({"signed": "{id}{body}"}, "signed: {id} requires id_header"),
        ({"timestamp_header": "X-Time"}, "timestamp_header: "),
        ({"algorithm": "md5"}, "algorithm: must be one of sha1, sha256, sha384, sha512, not 'md5'"),
        ({"encoding": "base32"}, "encoding: must be one of hex, base64, not 'base32'"),
        ({"key": "utf-16"}, "key: must be one of text, base64, hex, not 'utf-16'"),
    ],
)
def test_an_invalid_custom_scheme_says_which_setting_is_wrong(options: Any, words: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        Custom(name="wrong", header="X-Signature", **options)
    assert str(caught.value).startswith(words)


# --------------------------------------------------------------------------------------------- Standard


@pytest.mark.parametrize("event_id", ["", ".", "msg.1"])
def test_an_id_with_a_period_is_not_signed_because_it_is_ambiguous(event_id: str) -> None:
    with pytest.raises(BadFormat):
        SCHEMES["standard"].sign(BODY, SECRET, event_id=event_id, timestamp=NOW, event_type="a")


def ed25519(seed: bytes) -> tuple[str, str]:
    """The private and the public text of a key."""
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return f"whsk_{base64.b64encode(seed + public).decode()}", f"whpk_{base64.b64encode(public).decode()}"


def test_an_ed25519_signature_is_verified_by_its_key_and_by_no_other() -> None:
    (private, public), (other, another) = ed25519(b"a" * 32), ed25519(b"b" * 32)
    headers = sign(BODY, private, id="msg_1", timestamp=NOW)
    content = b"msg_1.%d.%b" % (NOW, BODY)
    made = Ed25519PrivateKey.from_private_bytes(b"a" * 32).sign(content)
    assert headers["webhook-signature"] == f"v1a,{base64.b64encode(made).decode()}"
    for secret in (public, private, [another, public], [other, private], [SECRET, public]):
        event = at(BODY, headers, secret, "standard")
        assert (event.id, event.sent_at) == ("msg_1", datetime.fromtimestamp(NOW, UTC))
    for secret in (another, other, SECRET):
        with pytest.raises(NoMatch):
            at(BODY, headers, secret, "standard")
    for wrong in ("v1a,", "v1a,AAAA", "v1a,%%", f"v1,{headers['webhook-signature'][4:]}"):
        with pytest.raises(NoMatch):
            at(BODY, {**headers, "webhook-signature": wrong}, public, "standard")
    with pytest.raises(NoMatch):
        at(BODY + b" ", headers, public, "standard")


@pytest.mark.parametrize("size", [0, 1, 31, 33, 63, 65, 96])
@pytest.mark.parametrize("kind", ["whpk_", "whsk_"])
def test_an_ed25519_key_of_another_size_is_refused(kind: str, size: int) -> None:
    headers = sign(BODY, ed25519(b"a" * 32)[0], id="msg_1", timestamp=NOW)
    secret = kind + base64.b64encode(b"k" * size).decode()
    with pytest.raises(BadSecret, match="Ed25519") as caught:
        at(BODY, headers, secret, "standard")
    assert secret not in str(caught.value)


def test_only_the_first_prefix_of_a_key_is_removed() -> None:
    private, public = ed25519(b"a" * 32)
    headers = sign(BODY, private, id="msg_1", timestamp=NOW)
    for secret in (f"whpk_AAAA_{public[5:]}", f"whsk_AAAA_{private[5:]}"):
        with pytest.raises(BadSecret, match="Ed25519"):
            at(BODY, headers, secret, "standard")


def test_without_its_library_an_ed25519_key_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = ed25519(b"a" * 32)
    headers = sign(BODY, private, id="msg_1", timestamp=NOW)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    for attempt in (lambda: at(BODY, headers, public, "standard"), lambda: sign(BODY, private)):
        with pytest.raises(MissingLibrary, match=r"pip install cryptography$"):
            attempt()


def test_the_secret_of_a_custom_scheme_is_checked_when_the_receiver_is_made() -> None:
    scheme = Custom(name="mine", header="X-Signature", key="hex", key_prefix="key_")
    assert Receiver(scheme, ["key_00ff", "11"]).scheme is scheme
    for wrong in ("key_zz", "other_00ff"):
        with pytest.raises(BadSecret, match="hex"):
            Receiver(scheme, ["key_00ff", wrong])


@pytest.mark.parametrize("secret", ["whsk_", "whsk_AAAA", "whsk_%%%%"])
def test_an_invalid_private_key_is_refused_for_signing(secret: str) -> None:
    with pytest.raises(BadSecret, match="Ed25519"):
        sign(BODY, secret)


# ----------------------------------------------------------------------------------------------- Stripe


def test_stripes_header_may_be_split_and_repeated() -> None:
    good = mac(b"%d.%b" % (NOW, BODY), key=SECRET.encode()).hex()
    time = f"t={NOW}"
    for value in (
        f"{time},v1={good}",
        f" {time} , v1={good} ",
        f"v1=00,{time},v0=00,v1={good}",
        f"v1={good},{time}",
    ):
        assert at(BODY, {"Stripe-Signature": value}, SECRET, "stripe").sent_at == datetime.fromtimestamp(
            NOW, UTC
        )
    parts = [("Stripe-Signature", time), ("stripe-signature", f"v1={good}")]
    assert at(BODY, parts, SECRET, "stripe").id == "evt_1"
    for value in (
        f"v1={good}",
        f"{time},t={NOW + 1},v1={good}",
        f"{time},t=x={NOW},v1={good}",
        good,
        f"{time};v1={good}",
    ):
        with pytest.raises(BadFormat, match=r"Stripe-Signature|timestamp"):
            at(BODY, {"Stripe-Signature": value}, SECRET, "stripe")
    for value in (time, f"{time},v1=", f"{time},v0={good}", f"{time},v1={good}=", f"{time},v1=x={good}"):
        with pytest.raises(NoMatch):
            at(BODY, {"Stripe-Signature": value}, SECRET, "stripe")


# ------------------------------------------------------------------------------- what all have in common


@pytest.mark.parametrize("scheme", ["standard", "stripe", LISTED], ids=str)
def test_fifty_signatures_are_checked_and_more_are_refused(scheme: Any) -> None:
    name, good, separator = {
        "standard": (
            "webhook-signature",
            sign(BODY, SECRET, id="a", timestamp=NOW)["webhook-signature"],
            " ",
        ),
        "stripe": ("Stripe-Signature", sign(BODY, SECRET, "stripe", timestamp=NOW)["Stripe-Signature"], ","),
        LISTED: ("X-Signature", base64.b64encode(mac(BODY, key=SECRET.encode())).decode(), ";"),
    }[scheme]
    other = {"standard": "v1,b3RoZXI=", "stripe": "v1=00", LISTED: "other"}[scheme]
    headers = sign(BODY, SECRET, scheme, id="a", timestamp=NOW)
    headers[name] = separator.join([other] * 49 + [good])
    assert at(BODY, headers, SECRET, scheme).raw == BODY
    headers[name] = separator.join([other] * 50 + [good])
    with pytest.raises(BadFormat, match="more than 50"):
        at(BODY, headers, SECRET, scheme)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("wrong", ["é", "\ud800", "\x00"])
def test_a_signature_with_unusual_characters_does_not_match(scheme: str, wrong: str) -> None:
    headers = sign(BODY, SECRET, scheme, id="a", timestamp=NOW)
    name = next(name for name in headers if "signature" in name.lower())
    prefix = getattr(SCHEMES[scheme], "prefix", f"t={NOW},v1=" if scheme == "stripe" else "v1,")
    with pytest.raises(NoMatch) as caught:
        at(BODY, {**headers, name: prefix + wrong}, SECRET, scheme)
    assert caught.value.status == 401


def test_an_id_that_cannot_be_encoded_is_refused_as_malformed() -> None:
    headers = sign(BODY, SECRET, id="a", timestamp=NOW)
    with pytest.raises(BadFormat, match="a header is not text") as caught:
        at(BODY, {**headers, "webhook-id": "\ud800"}, SECRET, "standard")
    assert caught.value.status == 400


@pytest.mark.parametrize("unknown", ["", "Standard", "nonsense", None, 5, ["standard"], Custom])
def test_a_scheme_is_given_by_its_name_or_as_an_object(unknown: object) -> None:
    assert all(find(name) is scheme and find(scheme) is scheme for name, scheme in SCHEMES.items())
    assert len(SCHEMES) == len(set(SCHEMES))
    assert find(PLAIN) is PLAIN
    with pytest.raises(UnknownScheme, match="must be one of standard, svix, stripe, github, "):
        find(unknown)
    assert issubclass(UnknownScheme, VerificationError)
