"""Tokens: what each kind says, how long it is good, and what ends it before that."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from uuid import UUID

import jwt
import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.claims import EVERYTHING, Capability, Claims, ParentCredential
from angarium.core.errors import BadRequest, CredentialExpired, NotAllowed, NotAuthenticated, NotFound
from angarium.core.token_key import TokenKey
from angarium.service import token as module
from angarium.service.token import (
    APPLICATION_LIFETIME,
    LEEWAY,
    LOOK_EVERY,
    ORGANIZATION_LIFETIME,
    SESSION_LIFETIME,
    VIEW_LIFETIME,
    Tokens,
)
from angarium.service.use_case import Subject
from angarium.store.database import Database
from tests.kit.clock import ManualClock
from tests.kit.world import World

SECRET = "a secret for tests of tokens " * 4
ORG, OTHER = "org_a", "org_b"
APP, OTHER_APP = UUID(int=7), UUID(int=8)
NOW = 1_800_000_007
DAY = 86400.0


def drawn() -> Callable[[int], bytes]:
    """Bytes that never repeat."""
    numbers: Iterator[int] = count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW + 0.25)


@pytest.fixture
def tokens(clock: ManualClock) -> Tokens:
    """Tokens that are made and read without a database."""
    nothing: Any = None
    return Tokens(nothing, clock, drawn(), TokenKey.of(SECRET))


@pytest.fixture
def kept(database: Database, clock: ManualClock) -> Tokens:
    """Tokens that can be revoked."""
    return Tokens(database, clock, drawn(), TokenKey.of(SECRET))


def said(token: str) -> dict[str, Any]:
    read: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return read


def signed(**claims: Any) -> str:
    """A token that another program created with the same secret."""
    return jwt.encode({"sub": ORG, **claims}, SECRET, "HS256")


def link(tokens: Tokens, **more: Any) -> Claims:
    return tokens.verify(tokens.for_application(ORG, APP, **more))


def organization(tokens: Tokens, **more: Any) -> Claims:
    return tokens.verify(tokens.for_organization(ORG, **more))


def session(tokens: Tokens) -> Claims:
    return tokens.verify(tokens.for_session(link(tokens)))


def operator(tokens: Tokens, **more: Any) -> Claims:
    return tokens.verify(tokens.for_operator(organization(tokens, **more)))


# what each kind says


def test_an_organization_token_names_the_organization_and_its_times(tokens: Tokens) -> None:
    assert said(tokens.for_organization(ORG)) == {
        "sub": ORG, "iss": "angarium", "iat": NOW, "nbf": NOW, "exp": NOW + ORGANIZATION_LIFETIME, "ms": 250,
        "jti": "000000000000000000000001",
    }  # fmt: skip
    assert said(tokens.for_organization(ORG, lifetime=60))["exp"] == NOW + 60
    assert organization(tokens).capabilities == EVERYTHING


def test_an_application_token_says_what_it_may_do(tokens: Tokens) -> None:
    origin = ParentCredential((b"k" * 32, b"l" * 32))
    made = tokens.for_application(
        ORG, APP, feature_flags=["beta"], capabilities=[Capability.VIEW], session_id="s@1", origin=origin
    )
    claims = tokens.verify(made)
    assert claims == Claims(
        ORG, APP, frozenset({"beta"}), frozenset({Capability.VIEW}), "s@1", NOW + 0.25,
        NOW + APPLICATION_LIFETIME, hashlib.sha256(made.encode()).digest(), None, origin.digests,
    )  # fmt: skip
    plain = link(tokens)
    assert (plain.feature_flags, plain.capabilities, plain.session_id, plain.origins) == (
        frozenset(), EVERYTHING, None, (),
    )  # fmt: skip


async def test_a_session_may_do_what_its_link_may_and_counts_as_issued_with_it(
    tokens: Tokens, clock: ManualClock
) -> None:
    origin = ParentCredential((b"k" * 32,))
    made_from = link(
        tokens, feature_flags=["b", "a"], capabilities=[Capability.VIEW_SECRET, Capability.VIEW],
        session_id="s@1", origin=origin,
    )  # fmt: skip
    await clock.advance_to(clock.now() + 100)
    made = tokens.for_session(made_from)
    assert said(made)["feature_flags"] == ["a", "b"]
    assert said(made)["capabilities"] == sorted([Capability.VIEW, Capability.VIEW_SECRET])
    claims = tokens.verify(made)
    assert claims == Claims(
        ORG, APP, made_from.feature_flags, made_from.capabilities, "s@1", NOW + 0.25,
        NOW + 100 + SESSION_LIFETIME, hashlib.sha256(made.encode()).digest(), made_from.digest,
        origin.digests,
    )  # fmt: skip


def test_an_operators_session_names_the_token_that_it_was_made_from(tokens: Tokens) -> None:
    made_from = organization(tokens)
    claims = operator(tokens)
    assert (claims.org_id, claims.app_id, claims.capabilities) == (ORG, None, EVERYTHING)
    claims = tokens.verify(tokens.for_operator(made_from))
    assert (claims.link, claims.expires_at, claims.operator) == (
        made_from.digest, NOW + SESSION_LIFETIME, False,
    )  # fmt: skip


def test_an_operator_view_is_read_only(tokens: Tokens) -> None:
    entered = operator(tokens)
    claims = tokens.verify(tokens.for_operator_view(entered, APP))
    assert (claims.org_id, claims.app_id, claims.operator) == (ORG, APP, True)
    assert claims.capabilities == {Capability.VIEW}
    assert (claims.link, claims.origins) == (entered.digest, (entered.link,))
    assert claims.expires_at == NOW + VIEW_LIFETIME


def test_each_kind_is_made_from_one_kind_only(tokens: Tokens) -> None:
    look = tokens.verify(tokens.for_operator_view(operator(tokens), APP))
    for make, wrong in (
        (tokens.for_session, [organization(tokens), operator(tokens), session(tokens), look]),
        (tokens.for_operator, [link(tokens), session(tokens), operator(tokens), look]),
        (
            lambda claims: tokens.for_operator_view(claims, APP),
            [organization(tokens), link(tokens), session(tokens), look],
        ),
    ):
        for claims in wrong:
            with pytest.raises(NotAuthenticated):
                make(claims)


def test_no_token_outlives_what_it_was_made_with(tokens: Tokens) -> None:
    soon = NOW + 60.0
    for made in (
        tokens.for_application(ORG, APP, origin=ParentCredential((b"k" * 32,), soon + 0.9)),
        tokens.for_session(link(tokens, lifetime=60)),
        tokens.for_operator(organization(tokens, lifetime=60)),
        tokens.for_operator_view(operator(tokens, lifetime=60), APP),
    ):
        assert said(made)["exp"] == soon


def test_two_tokens_of_one_moment_differ(tokens: Tokens) -> None:
    assert tokens.for_application(ORG, APP) != tokens.for_application(ORG, APP)


# how long a token is good


@pytest.mark.parametrize("before", [False, True], ids=["new", "verified before"])
async def test_a_token_is_valid_for_the_leeway_after_its_expiry(
    tokens: Tokens, clock: ManualClock, before: bool
) -> None:
    made = tokens.for_organization(ORG, lifetime=10)
    if before:
        tokens.verify(made)
    await clock.advance_to(NOW + 10 + LEEWAY)
    if before:
        assert tokens.remembered(made) is not None
    assert tokens.verify(made).org_id == ORG
    assert tokens.remembered(made) == tokens.verify(made)
    await clock.advance_to(clock.now() + 0.001)
    with pytest.raises(CredentialExpired):
        tokens.verify(made)
    assert tokens.remembered(made) is None


async def test_an_expired_token_that_is_new_is_expired_and_not_invalid(
    tokens: Tokens, clock: ManualClock
) -> None:
    made = tokens.for_organization(ORG, lifetime=10)
    await clock.advance_to(NOW + 10 + LEEWAY + 0.001)
    with pytest.raises(CredentialExpired):
        tokens.verify(made)


async def test_a_token_is_valid_for_the_leeway_before_its_start(tokens: Tokens, clock: ManualClock) -> None:
    early = signed(nbf=NOW + 1000)
    await clock.advance_to(NOW + 1000 - LEEWAY - 0.001)
    with pytest.raises(CredentialExpired):
        tokens.verify(early)
    await clock.advance_to(NOW + 1000 - LEEWAY)
    assert tokens.verify(early).org_id == ORG


def test_the_cache_of_verified_tokens_is_bounded(tokens: Tokens) -> None:
    first, second, *others = (tokens.for_organization(ORG) for _ in range(module._CACHE + 1))
    assert tokens.remembered(first) is None
    for one in (first, second, *others[:-1]):
        tokens.verify(one)
    assert tokens.remembered(first) is not None
    tokens.verify(others[-1])
    assert tokens.remembered(first) is None
    assert tokens.remembered(second) is not None
    assert tokens.verify(second) is tokens.verify(second), "what is cached is not computed again"
    assert tokens.verify(first).digest == hashlib.sha256(first.encode()).digest()


# what is known without asking


async def test_an_organization_token_is_cached_briefly(kept: Tokens, clock: ManualClock) -> None:
    made = kept.for_organization(ORG)
    assert kept.at_once(made) is None, "nothing is known of it yet"
    claims = kept.verify(made)
    assert kept.at_once(made) is None, "it may have been revoked"
    await kept.check_live(claims)
    assert kept.at_once(made) == claims
    await clock.advance_to(clock.now() + LOOK_EVERY)
    assert kept.at_once(made) is None


async def test_other_tokens_are_looked_up_at_each_use(kept: Tokens) -> None:
    for made in (
        kept.for_application(ORG, APP),
        kept.for_session(link(kept)),
        kept.for_operator(organization(kept)),
    ):
        claims = kept.verify(made)
        await kept.organization.check(ORG, claims.digest, math.inf)
        assert kept.at_once(made) is None


# what ends a token


async def refused(tokens: Tokens, *ended: Claims) -> None:
    for claims in ended:
        with pytest.raises(CredentialExpired):
            await tokens.check_live(claims)


async def application(database: Database) -> None:
    """Which organization an application belongs to is read from its row."""
    await World(database).application(id=APP, org_id=ORG)


async def audit_events(database: Database) -> list[tuple[Any, ...]]:
    """What the audit log says, oldest first."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "select org_id, app_id, action, target, before, after from all_audit order by id"
        )
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("kind", ["organization", "application", "operator"])
async def test_a_cached_token_that_has_expired_is_refused(
    kept: Tokens, clock: ManualClock, kind: str
) -> None:
    make = {"organization": organization, "application": link, "operator": operator}[kind]
    claims = make(kept, lifetime=10)
    await clock.advance_to(NOW + 10 + LEEWAY)
    await kept.check_live(claims)
    await clock.advance_to(clock.now() + 0.001)
    await refused(kept, claims)


async def test_a_revoked_link_ends_with_its_sessions_and_no_other(kept: Tokens, database: Database) -> None:
    one, other = link(kept), link(kept)
    begun, elsewhere = kept.verify(kept.for_session(one)), kept.verify(kept.for_session(other))
    await kept.revoke(one)
    await refused(kept, one, begun)
    for claims in (other, elsewhere):
        await kept.check_live(claims)
    assert await audit_events(database) == [(ORG, APP, "token.ended", one.name, None, None)]


async def test_a_session_that_is_logged_out_leaves_its_link_in_force(
    kept: Tokens, database: Database
) -> None:
    one = link(kept)
    begun, again = kept.verify(kept.for_session(one)), kept.verify(kept.for_session(one))
    await kept.revoke(begun)
    await refused(kept, begun)
    for claims in (one, again):
        await kept.check_live(claims)
    assert await audit_events(database) == [(ORG, APP, "session.ended", begun.name, None, None)]


async def test_a_revoked_key_ends_the_tokens_that_were_made_with_it(kept: Tokens) -> None:
    key = link(kept)
    made = link(kept, origin=key.origin)
    begun = kept.verify(kept.for_session(made))
    await kept.revoke(key)
    await refused(kept, made, begun)


async def test_a_revoked_organization_token_ends_the_operators_sessions(
    kept: Tokens, database: Database
) -> None:
    made = kept.for_organization(ORG)
    begun = kept.verify(kept.for_operator(kept.verify(made)))
    look = kept.verify(kept.for_operator_view(begun, APP))
    for claims in (begun, look):
        await kept.check_live(claims)
    await kept.revoke_shown(ORG, made)
    await refused(kept, kept.verify(made), begun, look)
    assert [audit_event[:3] for audit_event in await audit_events(database)] == [(ORG, None, "token.revoked")]


async def test_an_organization_token_cannot_be_logged_out_but_its_session_can(
    kept: Tokens, database: Database
) -> None:
    made, begun = organization(kept), operator(kept)
    with pytest.raises(NotAllowed) as refusal:
        await kept.revoke(made)
    assert refusal.value.detail == "Only an application token can be logged out."
    await kept.revoke(begun)
    await refused(kept, begun)
    await kept.check_live(made)
    assert await audit_events(database) == [(ORG, None, "session.ended", begun.name, None, None)]


async def test_a_holder_of_a_token_can_revoke_it(kept: Tokens, database: Database) -> None:
    shown = (
        kept.for_application(ORG, APP),
        kept.for_session(link(kept)),
        kept.for_operator(organization(kept)),
    )
    for made in shown:
        await kept.revoke_shown(ORG, made)
        await refused(kept, kept.verify(made))
    assert [audit_event[2] for audit_event in await audit_events(database)] == [
        "token.ended",
        "session.ended",
        "session.ended",
    ]


async def test_only_tokens_of_the_organization_can_be_revoked(kept: Tokens, clock: ManualClock) -> None:
    foreign = (kept.for_organization(OTHER), kept.for_application(OTHER, APP))
    nobodys = (
        "nonsense",
        jwt.encode({"sub": ORG}, "another secret " * 5, "HS256"),
        signed(sub="user_1"),
        kept.for_organization(ORG, lifetime=-LEEWAY - 1),
    )
    for made in (*foreign, *nobodys):
        with pytest.raises(NotFound) as refusal:
            await kept.revoke_shown(ORG, made)
        assert refusal.value.detail == "Not a valid token of this organization."
    for made in foreign:
        await kept.check_live(kept.verify(made))


async def test_a_revoked_token_is_kept_until_it_has_expired_on_every_clock(
    kept: Tokens, database: Database
) -> None:
    for claims, until in (
        (link(kept, lifetime=3600), NOW + 3600 + 2 * LEEWAY),
        # a token without an end, as others may make one
        (
            kept.verify(signed(sub=ids.text(ids.APPLICATION, APP), org=ORG)),
            NOW + 0.25 + ORGANIZATION_LIFETIME + 2 * LEEWAY,
        ),
    ):
        await kept.revoke(claims)
        async with database.connection() as connection:
            row = await connection.fetchrow("select * from revoked_token where digest = $1", claims.digest)
        assert row["expires_at"] == datetime_at(until)


async def test_all_tokens_of_an_application_are_ended_that_were_made_before(
    kept: Tokens, clock: ManualClock, database: Database
) -> None:
    await application(database)
    old, named, neighbour = link(kept), link(kept, session_id="s@1"), kept.verify(
        kept.for_application(ORG, OTHER_APP)
    )  # fmt: skip
    begun = kept.verify(kept.for_session(old))
    await clock.advance_to(clock.now() + 0.01)
    await kept.end_all(APP, session_ids=None)
    await refused(kept, old, named, begun)
    await clock.advance_to(clock.now() + 0.01)
    await refused(kept, kept.verify(kept.for_session(old)))
    for claims in (link(kept), neighbour, organization(kept)):
        await kept.check_live(claims)
    target = ids.text(ids.APPLICATION, APP)
    after = {"sessions": None, "afterSeconds": 0.0}
    assert await audit_events(database) == [(ORG, APP, "token.all_ended", target, None, after)]


async def test_tokens_of_sessions_can_be_revoked_later(
    kept: Tokens, clock: ManualClock, database: Database
) -> None:
    await application(database)
    one, two, three, none = (link(kept, session_id=name) for name in ("one", "two", "three", None))
    await clock.advance_to(clock.now() + 0.01)
    ended_at = clock.now()
    await kept.end_all(APP, session_ids=["one", "two", "one"], delay=60.0)
    await clock.advance_to(ended_at + 59)
    for claims in (one, two, three, none):
        await kept.check_live(claims)
    await clock.advance_to(ended_at + 61)
    await refused(kept, one, two)
    for claims in (three, none):
        await kept.check_live(claims)
    ((*_, after),) = await audit_events(database)
    assert after == {"sessions": ["one", "two", "one"], "afterSeconds": 60.0}


async def test_creating_a_token_writes_an_audit_event(
    kept: Tokens, clock: ManualClock, database: Database
) -> None:
    await kept.record("token.made", Subject(ORG, APP, "target"), {"a": 1})
    assert await audit_events(database) == [(ORG, APP, "token.made", "target", None, {"a": 1})]
    async with database.connection() as connection:
        (row,) = await connection.fetch("select id from all_audit")
    assert ids.created_at(row["id"]) == pytest.approx(clock.now(), abs=0.001)


def test_an_unknown_subject_is_refused(tokens: Tokens) -> None:
    with pytest.raises(BadRequest):
        tokens.verify(signed(sub="user_1"))
