"""The key of tokens opens what it signed, and nothing else."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from angarium.core.errors import BadRequest, NotAuthenticated
from angarium.core.token_key import TokenKey, TokenKeys

SECRET = "a secret of the settings that is long enough for each of the three HMAC digests, SHA-512 too"
OTHER = SECRET[::-1]
FIRST, SECOND = "f" * 64, "s" * 64  # of a list, in which a comma separates
PAYLOAD = {"sub": "org_a", "exp": 20}
SHARED = ["HS256", "HS384", "HS512"]
PAIRS = ["RS256", "RS384", "RS512", "EdDSA"]


def pair(algorithm: str, number: int = 0) -> tuple[str, str]:
    """A private and a public key as PEM texts. `number` tells two pairs apart."""
    return generated(algorithm == "EdDSA", number)


@cache
def generated(edwards: bool, number: int) -> tuple[str, str]:
    made = Ed25519PrivateKey.generate() if edwards else generate_private_key(65537, 2048)
    private = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("algorithm", SHARED)
def test_a_shared_secret_signs_and_verifies(algorithm: str) -> None:
    key = TokenKey.of(SECRET, algorithm)
    token = key.sign(PAYLOAD)
    assert key.open(token) == PAYLOAD
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT"}
    assert jwt.decode(token, SECRET, [algorithm], options={"verify_exp": False}) == PAYLOAD


def test_the_algorithm_is_hs256_unless_another_is_named() -> None:
    assert TokenKey.of(SECRET) == TokenKey("HS256", SECRET, SECRET)


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_private_key_signs_and_its_public_key_only_verifies(algorithm: str) -> None:
    private, public = pair(algorithm)
    signing, verifying = TokenKey.of(private, algorithm), TokenKey.of(public, algorithm)
    token = signing.sign(PAYLOAD)
    assert signing.open(token) == verifying.open(token) == PAYLOAD
    assert signing.verifying == public
    assert (verifying.verifying, verifying.signing) == (public, None)
    with pytest.raises(BadRequest, match="can verify tokens but has no key to sign them") as refused:
        verifying.sign(PAYLOAD)
    assert refused.value.wire_code == "no_signing_key"


def test_only_the_first_line_says_whether_a_key_is_private() -> None:
    """The base64 of a public key may hold any word."""
    assert TokenKey.of("-----BEGIN PUBLIC KEY-----\nPRIVATE", "RS256").signing is None


def test_the_key_does_not_check_times_and_audiences() -> None:
    key = TokenKey.of(SECRET)
    for payload in (
        {"exp": 1},
        {"nbf": 2**40},
        {"iat": 2**40},
        {"exp": "soon"},
        {"nbf": "soon"},
        {"iat": "soon"},
        {"aud": "someone"},
    ):
        assert key.open(jwt.encode(payload, SECRET, algorithm="HS256")) == payload


@pytest.mark.parametrize("algorithm", [*SHARED, *PAIRS])
def test_a_token_signed_with_another_key_is_refused(algorithm: str) -> None:
    if algorithm in SHARED:
        key, other, confused = TokenKey.of(SECRET, algorithm), OTHER, SECRET
    else:
        key = TokenKey.of(pair(algorithm)[0], algorithm)
        other = pair(algorithm, 1)[0]
        confused = key.verifying
    token = key.sign(PAYLOAD)
    head, payload, signature = token.split(".")
    forged = [
        jwt.encode(PAYLOAD, other, algorithm=algorithm),
        f"{head}.{part({'sub': 'org_b'})}.{signature}",
        f"{head}.{payload}.",
        f"{head}.{payload}",
        f"{part({'alg': 'none'})}.{payload}.",
        f"{part({'alg': 'HS256' if algorithm != 'HS256' else 'HS512'})}.{payload}.{signature}",
        token + "A",
        "",
        "..",
        "ä",
        "\ud800",
        "x" * 5000,
        confused,
    ]
    for text in forged:
        with pytest.raises(NotAuthenticated):
            key.open(text)


def test_a_public_key_is_no_shared_secret() -> None:
    """Who knows the public key could otherwise sign with it, and say that the algorithm is HMAC."""
    private, public = pair("RS256")
    head, payload = part({"alg": "HS256", "typ": "JWT"}), part(PAYLOAD)
    made = jwt.get_algorithm_by_name("HS256").sign(f"{head}.{payload}".encode(), public.encode())
    forged = f"{head}.{payload}.{base64.urlsafe_b64encode(made).decode().rstrip('=')}"
    with pytest.raises(NotAuthenticated):
        TokenKey.of(private, "RS256").open(forged)


@pytest.mark.parametrize("body", ["[" * 100_000, "[]", "5", "null", "{", '{"sub": 5}'])
def test_a_signed_value_that_is_not_an_object_is_refused(body: str) -> None:
    signed = jwt.PyJWS().encode(body.encode(), SECRET, algorithm="HS256")
    with pytest.raises(NotAuthenticated):
        TokenKey.of(SECRET).open(signed)


def test_a_secret_in_place_of_a_token_is_recognized() -> None:
    for algorithm in SHARED:
        with pytest.raises(NotAuthenticated, match="is the server's JWT secret") as refused:
            TokenKey.of(SECRET, algorithm).open(SECRET)
        assert SECRET not in refused.value.detail
    for text in (pair("RS256")[0], pair("RS256")[1], ""):
        with pytest.raises(NotAuthenticated) as refused:
            TokenKey.of(pair("RS256")[0], "RS256").open(text)
        assert "JWT secret" not in refused.value.detail


def test_the_first_line_of_a_key_names_its_kind() -> None:
    key = "-----BEGIN PUBLIC KEY-----\nPRIVATE\n-----END PUBLIC KEY-----\n"
    assert TokenKey.of(key, "RS256") == TokenKey("RS256", key, None)


# a list of keys


@pytest.mark.parametrize("algorithm", SHARED + PAIRS)
@pytest.mark.parametrize("between", ["\n", ",", " ,\n"])
def test_the_first_key_of_a_list_signs_and_each_verifies(algorithm: str, between: str) -> None:
    first, second = (FIRST, SECOND) if algorithm in SHARED else (pair(algorithm, 1)[0], pair(algorithm, 2)[0])
    keys = TokenKeys.parse(f"{first}{between}{second}", algorithm)
    old, new = TokenKey.of(second, algorithm), TokenKey.of(first, algorithm)
    assert keys.open(old.sign(PAYLOAD)) == PAYLOAD
    assert keys.open(new.sign(PAYLOAD)) == PAYLOAD
    signed = keys.sign(PAYLOAD)
    assert new.open(signed) == PAYLOAD
    with pytest.raises(NotAuthenticated):
        old.open(signed)
    assert jwt.get_unverified_header(signed)["kid"] == new.id != old.id


def test_a_public_key_behind_a_private_one_still_verifies() -> None:
    private, public = pair("EdDSA", 1)[0], pair("EdDSA", 2)[1]
    keys = TokenKeys.parse(private + public, "EdDSA")
    assert keys.open(TokenKey.of(pair("EdDSA", 2)[0], "EdDSA").sign(PAYLOAD)) == PAYLOAD


def test_one_key_writes_no_kid_and_opens_tokens_of_the_time_when_there_were_more() -> None:
    signed = TokenKeys.parse(f"{FIRST},{SECOND}").sign(PAYLOAD)
    alone = TokenKeys.parse(FIRST)
    assert alone.open(signed) == PAYLOAD
    assert "kid" not in jwt.get_unverified_header(alone.sign(PAYLOAD))


def test_a_token_that_names_a_key_of_another_tool_is_verified_with_each() -> None:
    keys = TokenKeys.parse(f"{SECOND},{FIRST}")
    for kid in ("2024-a", "", TokenKey.of(FIRST).id):
        assert keys.open(jwt.encode(PAYLOAD, FIRST, "HS256", headers={"kid": kid})) == PAYLOAD


def test_a_token_of_another_key_and_the_secrets_themselves_are_refused() -> None:
    keys = TokenKeys.parse(f"{FIRST},{SECOND}")
    strange = "another secret " * 4
    for kid in (None, TokenKey.of(FIRST).id):
        with pytest.raises(NotAuthenticated):
            keys.open(jwt.encode(PAYLOAD, strange, "HS256", headers={"kid": kid} if kid else None))
    for secret in (FIRST, SECOND):
        with pytest.raises(NotAuthenticated, match="is the server's JWT secret"):
            keys.open(secret)


def test_a_list_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        TokenKeys.parse(" ,\n")
