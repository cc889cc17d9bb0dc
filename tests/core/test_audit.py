"""The audit log's form of actors and objects. It contains no secret."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core import audit
from angarium.core.audit import Actor, ActorKind
from angarium.core.inbox import InboxAnswer
from angarium.core.nouns import Application, Endpoint, EventType, SigningKey

NOW = datetime(2026, 11, 28, tzinfo=UTC)
APP, ENDPOINT_ID = UUID(int=1), UUID(int=2)
SECRETS = ("whsec_the_first", "whsec_the_second")

ENDPOINT = Endpoint(
    id=ENDPOINT_ID,
    app_id=APP,
    org_id="org_a",
    uid="own",
    url="https://example.com/hook",
    description="words",
    version=3,
    rate_limit=7,
    event_types=("a.b", "c.*"),
    channels=("red",),
    metadata={"team": "x"},
    headers={"X-Key": "hidden-1", "Authorization": "hidden-2"},
    keys=tuple(SigningKey(secret) for secret in SECRETS),
    fifo=True,
    shard=1,
    disabled_at=NOW,
    disabled_reason="manual",
    revision=9,
    created_at=NOW,
    updated_at=NOW,
    name="Named",
)


def digits(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def test_the_kinds_of_actors_are_fixed() -> None:
    """They are kept in the log, and read back from it."""
    assert {kind.value for kind in ActorKind} == {
        "organization-token",
        "application-token",
        "portal-session",
        "api-key",
        "operator-session",
        "command-line",
        "system",
        "stranger",
    }


def test_an_actor_is_written_as_its_kind_and_its_name() -> None:
    assert Actor(ActorKind.API_KEY, "key_1").text == "api-key:key_1"
    assert Actor(ActorKind.SYSTEM).text == audit.SYSTEM.text == "system"


@given(st.sampled_from(ActorKind), st.text(max_size=10), st.none() | st.just("192.0.2.1"))
def test_an_actor_is_read_from_its_text(kind: ActorKind, name: str, address: str | None) -> None:
    actor = Actor(kind, name, address)
    assert Actor.of(actor.text, address) == actor


def test_an_actor_of_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody"):
        Actor.of("nobody:x", None)


def test_an_identified_actor_keeps_its_address() -> None:
    stranger = Actor(ActorKind.STRANGER, "x", "192.0.2.1", "org_x", UUID(int=9))
    assert stranger.became(ActorKind.API_KEY, "key_1", "org_a", APP) == Actor(
        ActorKind.API_KEY, "key_1", "192.0.2.1", "org_a", APP
    )
    assert stranger.became(ActorKind.SYSTEM) == Actor(ActorKind.SYSTEM, "", "192.0.2.1", None, None)


def test_a_difference_contains_only_changed_fields() -> None:
    before, after = {"a": 1, "same": 5, "gone": 2, "c": None}, {"new": 3, "a": 4, "same": 5, "c": None}
    found = audit.difference(before, after)
    assert found == ({"a": 1, "gone": 2}, {"a": 4, "new": 3})
    names = [list(view) for view in audit.difference({"c": 0, "b": 0}, {"b": 1, "d": 2, "a": 3}) or ()]
    assert names == [["b", "c"], ["a", "b", "d"]]
    assert audit.difference(before, dict(reversed(before.items()))) is None


values = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2))


@given(values, values)
def test_a_difference_leads_from_one_view_to_the_other(before: dict[str, int], after: dict[str, int]) -> None:
    found = audit.difference(before, after)
    if found is None:
        assert before == after
        return
    old, new = found
    assert old.keys() | new.keys()
    assert {**{name: value for name, value in before.items() if name not in old}, **new} == after
    assert all(old.get(name) != new.get(name) for name in old.keys() | new.keys())


def test_a_fingerprint_is_the_start_of_a_digest() -> None:
    assert audit.fingerprint("whsec_the_first") == digits("whsec_the_first")
    assert len(audit.fingerprint("\ud800")) == 8  # text of a database may be anything


def test_an_application_in_the_log() -> None:
    application = Application(APP, "org_a", "own", "Name", 5, {"k": "v"}, NOW, NOW)
    assert audit.application_view(application) == {
        "name": "Name",
        "uid": "own",
        "rateLimit": 5,
        "metadata": {"k": "v"},
    }


def test_an_endpoint_in_the_log() -> None:
    view = audit.endpoint_view(ENDPOINT)
    assert view == {
        "url": "https://example.com/hook",
        "uid": "own",
        "name": "Named",
        "description": "words",
        "version": 3,
        "rateLimit": 7,
        "eventTypes": ["a.b", "c.*"],
        "channels": ["red"],
        "metadata": {"team": "x"},
        "fifo": True,
        "disabled": True,
        "headers": ["Authorization", "X-Key"],
        "secrets": [digits(secret) for secret in SECRETS],
    }
    assert audit.secret_view(ENDPOINT) == {"secrets": view["secrets"]}
    plain = audit.endpoint_view(replace(ENDPOINT, event_types=None, channels=None, disabled_at=None))
    assert (plain["eventTypes"], plain["channels"], plain["disabled"]) == (None, None, False)
    text = repr(view)
    for hidden in (*SECRETS, "hidden-1", "hidden-2"):
        assert hidden not in text


def url(text: str, login: str | None = None) -> Any:
    return audit.endpoint_view(replace(ENDPOINT, url=text, login=login))["url"]


def test_a_url_in_the_log_shows_neither_login_nor_query() -> None:
    assert url("https://example.com/a?key=1&b=2") == f"https://example.com/a?#{digits('key=1&b=2')}"
    assert url("https://us:***@example.com/a", "us:pw") == f"https://example.com/a?#{digits('us:pw')}"
    assert url("https://us:***@example.com/a?k=1", "us:pw") == f"https://example.com/a?#{digits('us:pwk=1')}"
    assert url("https://example.com/a?") == url("https://example.com/a") == "https://example.com/a"
    assert url("https://example.com/?a?b") == f"https://example.com/?#{digits('a?b')}"


def test_a_changed_login_or_query_is_seen_in_the_log() -> None:
    seen = {
        url("https://***@example.com/", "one"),
        url("https://***@example.com/", "two"),
        url("https://example.com/?one"),
        url("https://example.com/?two2"),
        url("https://example.com/"),
    }
    assert len(seen) == 4  # a login alone and the same text as query look alike


def test_the_answer_of_an_inbox_in_the_log() -> None:
    assert audit.answer_view(InboxAnswer(503, 2.5, 40)) == {"status": 503, "delay": 2.5, "failures": 40}


def test_an_event_type_in_the_log() -> None:
    event_type = EventType("org_a", "a.b", "words", {"1": {}}, True, False, ("beta",), "group", NOW, NOW)
    assert audit.event_type_view(event_type) == {
        "description": "words",
        "archived": True,
        "deprecated": False,
        "featureFlags": ["beta"],
        "groupName": "group",
        "schemas": digits("{'1': {}}"),
    }
    other = audit.event_type_view(replace(event_type, archived=False, deprecated=True, schemas=None))
    assert (other["archived"], other["deprecated"], other["schemas"]) == (False, True, None)
