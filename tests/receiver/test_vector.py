"""Published signatures are verified, and the server and the receiver sign and verify alike."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from pathlib import Path
from uuid import UUID

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from angarium import profiles
from angarium.core import signature
from angarium.core.message_format import MessageFormat
from angarium.core.nouns import SigningKey
from angarium.core.profile import Profile
from angarium.receiver import SCHEMES, Custom, NoMatch, VerificationError, verify
from angarium.receiver.scheme import profile
from angarium.receiver.scheme.standard import Standard
from angarium.testing import Vector, sign, vectors

GOOD = [vector for vector in vectors() if vector.error is None]
BAD = [vector for vector in vectors() if vector.error is not None]
BODY = b'{"id":"evt_1","type":"order.filled","data":{"id":"ord_1"}}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def named(some: list[Vector]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", some, ids=[vector.name for vector in some])


@named(GOOD)
def test_a_valid_vector_is_verified(vector: Vector) -> None:
    event = verify(vector.body, vector.headers, vector.secret, vector.scheme, clock=lambda: vector.now)
    assert event.raw == vector.body.encode()
    assert vector.id in (None, event.id)
    assert vector.type in (None, event.type)


@named(BAD)
def test_an_invalid_vector_is_refused(vector: Vector) -> None:
    with pytest.raises(VerificationError) as caught:
        verify(vector.body, vector.headers, vector.secret, vector.scheme, clock=lambda: vector.now)
    assert caught.value.code == vector.error


@named([vector for vector in GOOD if "signatures" not in vector.name])
def test_sign_makes_the_published_signature(vector: Vector) -> None:
    given = {name.lower(): value for name, value in vector.headers.items()}
    signed = sign(
        vector.body,
        vector.signing_secret or vector.secret,
        vector.scheme,
        id=vector.id,
        timestamp=int(given.get("webhook-timestamp") or given.get("svix-timestamp") or 1533204620),
    )
    made = {name.lower(): value for name, value in signed.items()}
    for name, value in given.items():
        assert value.startswith(made[name])  # Stripe's example also has a v0, which is not verified


def test_the_vectors_include_those_that_senders_have_published() -> None:
    assert {"Stripe", "GitHub", "Standard Webhooks", "Svix"} <= {vector.origin for vector in GOOD}


@named([vector for vector in GOOD if isinstance(SCHEMES[vector.scheme], Standard)])
def test_the_server_signs_and_verifies_the_same(vector: Vector) -> None:
    headers = {name.lower(): value for name, value in vector.headers.items()}
    signature.verify(vector.body.encode(), headers, [vector.secret], now=vector.now)
    family = "svix" if "svix-id" in headers else "webhook"
    made = signature.Signer(vector.signing_secret or vector.secret).sign(
        headers[f"{family}-id"], int(headers[f"{family}-timestamp"]), vector.body.encode()
    )
    assert made in headers[f"{family}-signature"].split()


@named([vector for vector in BAD if vector.scheme == "standard"])
def test_the_server_refuses_the_same(vector: Vector) -> None:
    with pytest.raises(signature.SignatureError):
        signature.verify(vector.body.encode(), vector.headers, [vector.secret], now=vector.now)


def sent(product: Profile) -> tuple[bytes, list[tuple[str, str]], str]:
    """Body and headers of a request as the server sends it, and its message id."""
    message_format = MessageFormat(product, "Angarium-Webhooks/1.0")
    message_id = UUID("0197f3a0-0000-7000-8000-000000000001")
    body = message_format.body(message_id, "order.filled", time.time(), b'{"id":"ord_1"}')
    headers = message_format.headers(
        message_id=message_id,
        event_type="order.filled",
        body=body,
        keys=message_format.keys([SigningKey(SECRET)]),
        custom={},
        now=time.time(),
    )
    return body, headers, message_format.message_id(message_id)


@pytest.mark.parametrize("product", profiles.names())
def test_a_request_of_each_product_is_verified_by_its_scheme(product: str) -> None:
    body, headers, message_id = sent(profiles.load(product))
    event = verify(body, headers, SECRET, product)
    assert event.id == message_id
    if product != "standard":  # sends the payload unchanged
        assert event.type == "order.filled"
        assert event.data == {"id": "ord_1"}
        assert event.timestamp is not None


@pytest.mark.parametrize(
    "signing",
    [
        'header = "X-Signature"',
        'header = "X-Signature"\nkey = "text"',
        'header = "X-Signature"\nencoding = "base64"\nalgorithm = "hmac-sha512"\nformat = "v0={signature}"',
        'header = "X-Signature"\nsigned = "v0:{body}"\n[[signing]]\nfamily = "webhook"',
        'family = "webhook"',
    ],
)
def test_a_profile_is_read_as_the_server_reads_it(
    signing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "acme.toml"
    file.write_text(f'name = "acme"\ntitle = "Acme"\n[[signing]]\n{signing}\n')
    monkeypatch.setattr(profile, "_FOLDER", tmp_path)
    scheme = profile.read("acme")
    body, headers, _ = sent(profiles.load(str(file)))
    assert (profile.names(), scheme.name, scheme.envelope) == (["acme"], "acme", "{data}")
    assert isinstance(scheme, Custom if "X-Signature" in signing else Standard)
    assert verify(body, headers, SECRET, scheme).data == {"id": "ord_1"}
    with pytest.raises(NoMatch):
        verify(body + b" ", headers, SECRET, scheme)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_a_signed_body_is_verified_and_a_changed_one_is_not(scheme: str) -> None:
    headers = sign(BODY, SECRET, scheme, id="evt_1", type="order")
    assert verify(BODY, headers, SECRET, scheme).id == "evt_1"
    with pytest.raises(VerificationError):
        verify(BODY.replace(b"filled", b"fillee"), headers, SECRET, scheme)


def test_stripes_library_verifies_our_signature() -> None:
    body = '{"id":"evt_1","object":"event","type":"invoice.paid","data":{"object":{}}}'
    header = sign(body, "whsec_test", "stripe")["Stripe-Signature"]
    assert stripe.Webhook.construct_event(body, header, "whsec_test").id == "evt_1"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, header, "whsec_other")


@settings(max_examples=100)
@given(
    st.binary(min_size=24, max_size=75),
    st.uuids(),
    st.integers(0, 10**12),
    st.dictionaries(st.text(), st.integers()),
)
def test_every_signature_of_the_server_is_verified_by_the_receiver(
    key: bytes, name: UUID, timestamp: int, payload: dict[str, int]
) -> None:
    secret, message_id = f"whsec_{b64encode(key).decode()}", f"msg_{name.hex}"
    body = json.dumps(payload).encode()
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature.Signer(secret).sign(message_id, timestamp, body),
    }
    event = verify(body, headers, secret, clock=lambda: timestamp)
    assert (event.id, event.raw) == (message_id, body)
    signed = sign(body, secret, id=message_id, timestamp=timestamp)
    assert signed == {"content-type": "application/json", **headers}
    signature.verify(body, signed, [secret], now=timestamp)
