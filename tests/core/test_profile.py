"""Profiles: what their tables amount to, and what is refused, with the keys that lead to it."""

from __future__ import annotations

import math
from typing import Any
from uuid import UUID

import pytest

from angarium.core.health import DisableRule
from angarium.core.product import Product, product_of
from angarium.core.profile import Profile, ProfileError, read
from angarium.core.profile_scenario import ScenarioStep
from angarium.core.profile_table import DeliveryTable, DisableTable, Portal, Secrets
from angarium.core.schedule import Schedule

LEAST: dict[str, Any] = {"name": "x", "title": "X"}
EVENT: dict[str, Any] = {"name": "order.filled", "description": "An order was filled."}
ANY_PART = "one of {id}, {type}, {time}, {data}, not '{dta}'"
OWN: dict[str, Any] = {"header": "X-Sum"}


def scenario(**step: Any) -> dict[str, Any]:
    routes = [
        {"name": "a", "path": "/a"},
        {"name": "b", "path": "/b", "steps": [{"type": "order.filled"}, step]},
    ]
    return {"events": [EVENT], "scenarios": routes}


def schemas(*some: Any) -> dict[str, Any]:
    return {"events": [{**EVENT, "name": f"order.{at}", "schema": schema} for at, schema in enumerate(some)]}


@pytest.mark.parametrize(
    ("tables", "where", "words"),
    [
        # what the types say
        ({"name": 3}, ("name",), "Expected `str`, got `int`"),
        ({"extra": 1}, (), "Object contains unknown field `extra`"),
        ({"delivery": {"headers": 3}}, ("delivery", "headers"), "Expected `object`, got `int`"),
        ({"delivery": {"headers": {"a": 3}}}, ("delivery", "headers"), "Expected `str`, got `int`"),
        ({"scenarios": [{"choices": {"a": [], "b": 3}}]}, ("scenarios", 0, "choices"), "Expected `array`"),
        ({"delivery": {"jitter": [0.1, "a"]}}, ("delivery", "jitter", 1), "Expected `float`, got `str`"),
        ({"signing": [OWN, {"header": 3}]}, ("signing", 1, "header"), "Expected `str | null`, got `int`"),
        # names
        ({"name": ""}, ("name",), "letters, digits"),
        ({"name": "a b"}, ("name",), "letters, digits"),
        # the body
        ({"envelope": {"d": "{data}", "e": "{dta}"}}, ("envelope", "e"), ANY_PART),
        ({"envelope": {"i": "{id}", "t": "{type}"}}, ("envelope",), "one key must hold {data}"),
        # signatures
        ({"signing": []}, ("signing",), "at least one scheme"),
        ({"signing": [OWN, {}]}, ("signing", 1), "either a family or a header"),
        ({"signing": [OWN, {"family": "svix", **OWN}]}, ("signing", 1), "either a family or a header"),
        ({"signing": [OWN, {**OWN, "format": "x"}]}, ("signing", 1, "format"), "must contain {signature}"),
        ({"signing": [OWN, {**OWN, "signed": "{id}"}]}, ("signing", 1, "signed"), "must contain {body}"),
        ({"signing": [{**OWN, "format": "{signature}{signature}"}]}, ("signing", 0, "format"), "once, and"),
        (
            {"signing": [{**OWN, "format": "{timestamp}.{timestamp}.{signature}"}]},
            ("signing", 0, "format"),
            "{timestamp} at most once",
        ),
        ({"signing": [{**OWN, "signed": "{body}{body}"}]}, ("signing", 0, "signed"), "{body} once"),
        # headers that no request could carry
        ({"signing": [OWN, {"family": "a b"}]}, ("signing", 1, "family"), "not a valid header name"),
        ({"signing": [OWN, {"header": ""}]}, ("signing", 1, "header"), "not a valid header name"),
        (
            {"signing": [OWN, {**OWN, "format": "{signature}\r\nX: 1"}]},
            ("signing", 1, "format"),
            "printable ASCII",
        ),
        ({"delivery": {"headers": {"X A": "a"}}}, ("delivery", "headers", "X A"), "not a valid header name"),
        ({"delivery": {"headers": {"X-A": "ä"}}}, ("delivery", "headers", "X-A"), "printable ASCII"),
        ({"delivery": {"user_agent": "ä/1"}}, ("delivery", "user_agent"), "printable ASCII"),
        ({"ids": {"message": "a\n"}}, ("ids", "message"), "printable ASCII"),
        # durations and numbers
        ({"delivery": {"timeout": "9" * 400 + "s"}}, ("delivery", "timeout"), "at most 100 characters"),
        ({"secrets": {"overlap": "99999d"}}, ("secrets", "overlap"), "at most 36525d"),
        ({"portal": {"link_lifetime": "99999d"}}, ("portal", "link_lifetime"), "at most 36525d"),
        ({"disable": {"all_failing_for": "99999d"}}, ("disable", "all_failing_for"), "at most 36525d"),
        ({"management": {"create_status": 199}}, ("management", "create_status"), "from 200 to 299"),
        ({"management": {"create_status": 300}}, ("management", "create_status"), "from 200 to 299"),
        ({"delivery": {"jitter": [-1.0, 0.0]}}, ("delivery", "jitter"), "two fractions"),
        ({"delivery": {"jitter": [0.2, 0.1]}}, ("delivery", "jitter"), "two fractions"),
        ({"delivery": {"jitter": [0.0, 1.01]}}, ("delivery", "jitter"), "two fractions"),
        ({"delivery": {"jitter": [0.0, math.nan]}}, ("delivery", "jitter"), "two fractions"),
        ({"delivery": {"max_body": 0}}, ("delivery", "max_body"), "at least 1"),
        ({"disable": {"warn_at": [0.5, 0.0]}}, ("disable", "warn_at", 1), "greater than 0 and at most 1"),
        ({"disable": {"warn_at": [1.01]}}, ("disable", "warn_at", 0), "greater than 0 and at most 1"),
        ({"delivery": {"retries": "5s,soon"}}, ("delivery", "retries"), "'soon' is not a duration"),
        ({"delivery": {"retries": "31d"}}, ("delivery", "retries"), "at most 30 days"),
        ({"delivery": {"timeout": "soon"}}, ("delivery", "timeout"), "'soon' is not a duration"),
        ({"delivery": {"timeout": "0s"}}, ("delivery", "timeout"), "greater than 0 and at most 60s"),
        ({"delivery": {"timeout": "60.001s"}}, ("delivery", "timeout"), "greater than 0 and at most 60s"),
        ({"disable": {"all_failing_for": "x"}}, ("disable", "all_failing_for"), "'x' is not a duration"),
        ({"disable": {"consecutive_attempts": 0}}, ("disable", "consecutive_attempts"), "at least 1"),
        ({"secrets": {"overlap": "1"}}, ("secrets", "overlap"), "'1' is not a duration"),
        ({"portal": {"link_lifetime": ""}}, ("portal", "link_lifetime"), "'' is not a duration"),
        # events
        ({"events": [EVENT, {**EVENT, "name": "a b"}]}, ("events", 1, "name"), "'a b' is not a valid event"),
        ({"events": [EVENT, EVENT]}, ("events", 1, "name"), "'order.filled' is not a valid event type, or"),
        (schemas({}, {"type": "thing"}), ("events", 1, "schema", "type"), "thing"),
        (schemas(None, {"not": {"$ref": "#/none"}}), ("events", 1, "schema", "not", "$ref"), "#/none"),
        # scenarios
        (scenario(type="order.lost"), ("scenarios", 1, "steps", 1, "type"), "'order.lost' is not one of"),
        (
            scenario(type="order.filled", when={"n": {"under": 1}}),
            ("scenarios", 1, "steps", 1, "when"),
            "n: 'under' is not a comparison",
        ),
        (scenario(type="order.filled", after="x"), ("scenarios", 1, "steps", 1, "after"), "'x' is not a"),
    ],
)  # fmt: skip
def test_an_invalid_profile_is_refused_at_its_key(
    tables: dict[str, Any], where: tuple[str | int, ...], words: str
) -> None:
    with pytest.raises(ProfileError) as refused:
        read(LEAST | tables)
    assert refused.value.where == where
    assert words in refused.value.words
    assert str(refused.value) == refused.value.words
    assert " at `$" not in refused.value.words


@pytest.mark.parametrize(
    "tables",
    [
        {"name": "X-1_a.b"},
        {"envelope": {"d": "{data}"}},
        {"envelope": {"d": "{data}", "e": "{data}", "i": "{id}", "t": "{type}", "s": "{time}"}},
        {"signing": [{"family": "svix"}, OWN]},
        {"signing": [{**OWN, "format": "t={timestamp} v={signature}", "signed": "{id}{timestamp}{body}!"}]},
        {"signing": [{"family": "acme"}]},
        {"ids": {"message": ""}, "delivery": {"headers": {"X-A": "", "x": "v" * 4096}, "max_body": 1}},
        {"delivery": {"jitter": [-0.99, 1.0]}},
        {"delivery": {"jitter": [0.5, 0.5]}},
        {"disable": {"warn_at": [0.001, 1.0]}},
        {"delivery": {"retries": "", "timeout": "1ms"}},
        {"delivery": {"retries": "30d", "timeout": "60s"}},
        {"disable": {"consecutive_attempts": 1, "all_failing_for": "never"}},
        schemas(None, {}, {"$ref": "#/definitions/a", "definitions": {"a": {"type": "string"}}}),
        scenario(type="order.filled", when={"n": {"below": 1}, "m": "a"}, after="1h"),
    ],
)  # fmt: skip
def test_values_at_the_limit_are_accepted(tables: dict[str, Any]) -> None:
    assert isinstance(read(LEAST | tables), Profile)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ProfileError, match="missing required field `title`") as refused:
        read({"name": "x"})
    assert refused.value.where == ()


def test_durations_are_read_as_seconds() -> None:
    assert DeliveryTable(timeout="1m").timeout_seconds == 60.0
    assert Secrets(overlap="2d").overlap_seconds == 172_800.0
    assert Portal(link_lifetime="1h30m").lifetime_seconds == 5400.0
    assert ScenarioStep(type="a", after="250ms").after_seconds == 0.25
    times = (DisableTable(all_failing_for=text).failing_seconds for text in ("5d", "never", None))
    assert list(times) == [432_000.0, None, None]


def test_a_schedule_has_the_delays_and_the_fractions_of_the_profile() -> None:
    made = DeliveryTable(retries="5s,1m", jitter=(-0.1, 0.3)).schedule()
    assert made == Schedule(delays=(5.0, 60.0), jitter=0.3, least=-0.1)


@pytest.mark.parametrize(
    ("attempts", "fractions", "expected"),
    [
        (None, (0.5,), {}),
        (10, (), {}),
        (10, (0.5, 0.8), {5: 0.5, 8: 0.8}),
        (6, (0.5, 0.75), {3: 0.5, 5: 0.75}),  # a part of an attempt counts as a whole one
        (3, (1 / 3, 2 / 3, 1.0), {1: 1 / 3, 2: 2 / 3, 3: 1.0}),
        (1000, (0.0011,), {2: 0.0011}),
        (7, (0.1,), {1: 0.1}),
        (4000, (0.5,), {2000: 0.5}),
        (10, (0.1, 0.2, 0.3, 0.6, 0.7), {1: 0.1, 2: 0.2, 3: 0.3, 6: 0.6, 7: 0.7}),  # no float adds one
    ],
)  # fmt: skip
def test_the_operator_is_alerted_at_fractions_of_the_attempts(
    attempts: int | None, fractions: tuple[float, ...], expected: dict[int, float]
) -> None:
    assert DisableTable(consecutive_attempts=attempts, warn_at=fractions).warnings() == expected


def test_a_product_is_its_profile_made_ready() -> None:
    tables = {
        "delivery": {"retries": "5s", "jitter": [0.1, 0.2], "timeout": "3s", "max_body": 1000},
        "disable": {
            "consecutive_attempts": 4,
            "all_failing_for": "1d",
            "evidence": False,
            "on_gone": False,
            "warn_at": [0.5],
        },
    }
    profile = read(LEAST | tables)
    made = product_of(profile, "Agent/1")
    assert made == Product(
        profile=profile,
        message_format=made.message_format,
        schedule=Schedule((5.0,), 0.2, 0.1),
        timeout=3.0,
        max_body=1000,
        disable=DisableRule(
            consecutive=4, failing_for=86_400.0, evidence=False, on_gone=False, warnings={2: 0.5}
        ),
    )
    assert made.name == "x"
    assert product_of(read(LEAST), "Agent/1").disable == DisableRule(
        consecutive=None, failing_for=432_000.0, evidence=True, on_gone=True, warnings={}
    )


@pytest.mark.parametrize("named", [None, "Its/2"])
def test_a_product_sends_with_the_agent_of_its_profile_or_the_given_one(named: str | None) -> None:
    made = product_of(read(LEAST | {"delivery": {"user_agent": named}}), "Agent/1")
    sent = made.message_format.headers(
        message_id=UUID(int=0), event_type="a", body=b"", keys=(), custom={}, now=0.0
    )
    assert dict(sent)["user-agent"] == (named or "Agent/1")
