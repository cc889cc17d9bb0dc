"""What the payload of a token says, and which payloads are refused."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core import claims, ids
from angarium.core.claims import EVERYTHING, Capability, Claims, ParentCredential
from angarium.core.errors import BadRequest, NotAuthenticated

APP = UUID("019abc00-1234-7abc-8def-0123456789ab")
APP_TEXT = "app_" + ids.text("", APP)
DIGEST = bytes(range(32))
LINK = b"\xab" * 32
FOREVER = float("inf")

texts = st.text('aZ0 é🙂"\0', max_size=8)


def of_application(**more: Any) -> dict[str, Any]:
    return {"sub": APP_TEXT, "org": "org_a", **more}


def test_a_payload_has_the_names_that_clients_know() -> None:
    """Tokens outlive the server that made them, so the names and values are fixed."""
    assert claims.written("org_a") == {"sub": "org_a"}
    assert claims.written("org_a", APP) == {"sub": APP_TEXT, "org": "org_a"}
    everything = claims.written(
        "org_a",
        APP,
        feature_flags=(flag for flag in ("beta", "b2")),
        capabilities=[Capability.VIEW, Capability.CREATE_ATTEMPTS],
        session_id="s1",
        link=LINK,
        origins=[LINK, DIGEST],
        since=12.5,
        operator=True,
    )
    assert everything == {
        "sub": APP_TEXT,
        "org": "org_a",
        "feature_flags": ["beta", "b2"],
        "capabilities": ["ViewBase", "CreateAttempts"],
        "session_id": "s1",
        "link": "ab" * 32,
        "origins": ["ab" * 32, DIGEST.hex()],
        "since": 12.5,
        "operator": True,
    }
    assert {str(capability) for capability in Capability} == {
        "ViewBase",
        "ViewEndpointSecret",
        "ManageEndpointSecret",
        "ManageTransformations",
        "CreateAttempts",
        "ManageEndpoint",
    }


def test_no_capabilities_differ_from_all_of_them() -> None:
    assert claims.written("org_a", APP, capabilities=[])["capabilities"] == []
    assert claims.read(of_application(capabilities=[]), DIGEST).capabilities == frozenset()
    assert claims.read(of_application(capabilities=None), DIGEST).capabilities == EVERYTHING
    assert claims.read(of_application(), DIGEST).capabilities == EVERYTHING == frozenset(Capability)


@given(
    st.lists(texts, max_size=3),
    st.none() | st.lists(st.sampled_from(Capability), max_size=3),
    st.none() | texts,
    st.none() | st.just(LINK),
    st.lists(st.sampled_from([LINK, DIGEST]), max_size=4),
    st.none() | st.floats(0, 2**37),
    st.booleans(),
)
def test_what_is_written_for_an_application_is_read(
    flags: list[str],
    capabilities: list[Capability] | None,
    session_id: str | None,
    link: bytes | None,
    origins: list[bytes],
    since: float | None,
    operator: bool,
) -> None:
    payload = claims.written(
        "org_a",
        APP,
        feature_flags=flags,
        capabilities=capabilities,
        session_id=session_id,
        link=link,
        origins=origins,
        since=since,
        operator=operator,
    )
    assert claims.read(json.loads(json.dumps(payload)), DIGEST) == Claims(
        "org_a",
        APP,
        frozenset(flags),
        EVERYTHING if capabilities is None else frozenset(capabilities),
        session_id,
        since or 0.0,
        FOREVER,
        DIGEST,
        link,
        tuple(origins),
        operator,
    )


def test_an_organization_token_may_do_everything_and_says_nothing_of_an_application() -> None:
    payload = {
        "sub": "org_a",
        "org": "org_b",
        "exp": 50,
        "iat": 10,
        "link": "ab" * 32,
        "capabilities": [],
        "feature_flags": ["beta"],
        "session_id": "s1",
        "operator": True,
    }
    assert claims.read(payload, DIGEST) == Claims(
        "org_a", None, frozenset(), EVERYTHING, None, 0.0, 50.0, DIGEST, LINK
    )


def test_a_token_is_named_by_the_start_of_its_digest() -> None:
    alone, session = (
        claims.read({"sub": "org_a"}, DIGEST),
        claims.read(of_application(link="ab" * 32), DIGEST),
    )
    assert (alone.name, alone.parent) == ("00010203", "")
    assert (session.name, session.parent) == ("00010203", "abababab")


def test_a_token_is_revoked_with_its_parent_credential() -> None:
    first, second = b"\1" * 32, b"\2" * 32
    assert claims.read({"sub": "org_a"}, DIGEST).digests == (DIGEST,)
    read = claims.read(of_application(link="ab" * 32, origins=[first.hex(), second.hex()], exp=50), DIGEST)
    assert read.digests == (DIGEST, LINK, first, second)
    assert read.origin == ParentCredential((DIGEST, LINK, first, second), 50.0)
    assert (
        claims.read(of_application(), DIGEST).origin
        == ParentCredential((DIGEST,), FOREVER)
        == ParentCredential((DIGEST,))
    )


@pytest.mark.parametrize(
    "origins", ["ab" * 32, {}, 5, [5], [None], ["ab" * 31], ["AB" * 32], ["ab" * 32 + "\n"], ["ab" * 32] * 5]
)
def test_origins_that_are_not_digests_are_refused(origins: object) -> None:
    """Otherwise such a token would outlive its origin."""
    with pytest.raises(NotAuthenticated):
        claims.read(of_application(origins=origins), DIGEST)
    assert claims.read(of_application(origins=None), DIGEST).origins == ()
    assert claims.read(of_application(origins=["ab" * 32] * 4), DIGEST).origins == (LINK,) * 4


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"sub": None},
        {"sub": 5},
        {"sub": ["org_a"]},
        {"sub": "a"},
        {"sub": "org"},
        {"sub": "ORG_a"},
        {"sub": "org_a b"},
        {"sub": "org_" + "a" * 253},
        {"sub": "org_a\n"},
        {"sub": "xorg_a"},
        {"sub": APP_TEXT},
        {"sub": APP_TEXT, "org": None},
        {"sub": APP_TEXT, "org": ["org_a"]},
        {"sub": APP_TEXT, "org": "a"},
        {"sub": APP_TEXT, "org": "org_a b"},
        {"sub": "ep_" + ids.text("", APP), "org": "org_a"},
        {"sub": APP_TEXT + "0", "org": "org_a"},
    ],
)
def test_a_token_names_an_organization_or_an_application_of_one(payload: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="names neither an organization nor an application") as refused:
        claims.read(payload, DIGEST)
    assert refused.value.wire_code == "bad_token"


def test_the_times_of_a_token() -> None:
    assert claims.term({}) == (0.0, FOREVER)
    assert claims.term({"exp": None, "nbf": None}) == (0.0, FOREVER)
    assert claims.term({"exp": 20, "nbf": 10}) == (10.0, 20.0)
    assert claims.term({"exp": 0, "nbf": 0.5}) == (0.5, 0.0)
    read = claims.read(of_application(exp=20.5, iat=10, ms=250), DIGEST)
    assert (read.issued_at, read.expires_at) == (10.25, 20.5)
    assert claims.read(of_application(iat=10), DIGEST).issued_at == 10.0
    assert claims.read(of_application(iat=10, ms=250, since=7), DIGEST).issued_at == 7.0


def test_the_time_of_issue_is_one_that_the_database_can_hold() -> None:
    for iat, kept in ((-5, 0.0), (0, 0.0), (1e300, 2.0**37), (2**37 - 1, 2.0**37 - 1)):
        assert claims.read(of_application(iat=iat), DIGEST).issued_at == kept
        assert claims.read(of_application(since=iat), DIGEST).issued_at == kept


@pytest.mark.parametrize(
    "wrong", ["20", True, False, [], {}, float("nan"), float("inf"), float("-inf"), 10**400]
)
@pytest.mark.parametrize("name", ["exp", "nbf", "iat", "ms", "since"])
def test_an_invalid_time_is_refused(name: str, wrong: object) -> None:
    """NaN would never expire: each comparison with it is false."""
    with pytest.raises(NotAuthenticated):
        claims.read(of_application(**{name: wrong}), DIGEST)


def test_claims_of_another_type_grant_nothing() -> None:
    read = claims.read(
        of_application(
            feature_flags=["beta", 5, None, ["x"]],
            capabilities=["ViewBase", 1, "viewbase", "Everything", "ManageEndpoint"],
            session_id=5,
            operator=1,
        ),
        DIGEST,
    )
    assert read.feature_flags == {"beta"}
    assert read.capabilities == {Capability.VIEW, Capability.MANAGE_ENDPOINT}
    assert (read.session_id, read.operator) == (None, False)
    for not_a_list in ("ViewBase", {"ViewBase": 1}, 5, True):
        read = claims.read(of_application(capabilities=not_a_list, feature_flags=not_a_list), DIGEST)
        assert (read.capabilities, read.feature_flags) == (frozenset(), frozenset())


@pytest.mark.parametrize("link", [None, 5, "", "ab" * 31, "ab" * 33, "AB" * 32, "ag" * 32, "ab" * 32 + "\n"])
@pytest.mark.parametrize("payload", [of_application(), {"sub": "org_a"}])
def test_a_link_is_a_digest_in_lower_case(payload: dict[str, Any], link: object) -> None:
    assert claims.read({**payload, "link": "ab" * 32}, DIGEST).link == LINK
    assert claims.read({**payload, "link": link}, DIGEST).link is None
