"""Errors: their stable codes, their words, and where a fault is."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from angarium.core import errors
from angarium.core.error_text import TEXTS
from angarium.core.errors import AngariumError, FieldError, Invalid, StoreReason, StoreUnavailable

CODES = {
    "AngariumError": "error",
    "BadRequest": "bad_request",
    "TooManyEndpoints": "too_many_endpoints",
    "NotAuthenticated": "authentication_failed",
    "NotAllowed": "insufficient access",
    "NotFound": "not_found",
    "Conflict": "conflict",
    "UidTaken": "conflict",
    "EventTypeExists": "event_type_exists",
    "Unsupported": "not_implemented",
    "CredentialExpired": "authentication_failed",
    "TooManyFailures": "rate_limit",
    "BodyTooLarge": "payload_too_large",
    "TooSlow": "body_too_slow",
    "Compressed": "unsupported_content_encoding",
    "MessageLimitReached": "message_limit_reached",
    "Overloaded": "overloaded",
    "Invalid": "validation",
    "SettingsError": "settings",
    "ProcessRefused": "settings",
    "StoreUnavailable": "store_unavailable",
}
PLAIN = [
    name
    for name in CODES
    if name not in ("TooManyEndpoints", "UidTaken", "Unsupported", "Invalid", "MessageLimitReached")
]


def test_the_codes_are_stable() -> None:
    """Clients compare them."""
    found = {
        name: kind.code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, AngariumError)
    }
    assert found == CODES


@pytest.mark.parametrize("name", PLAIN)
def test_an_error_has_the_words_of_its_code_unless_others_are_given(name: str) -> None:
    kind: type[AngariumError] = getattr(errors, name)
    error = kind()
    words = TEXTS[kind.code].detail if kind.code in TEXTS else (kind.__doc__ or "").strip()
    assert error.detail == str(error) == words != ""
    assert error.wire_code == kind.code
    told = kind("In other words.")
    assert told.detail == str(told) == "In other words."
    assert told.wire_code == kind.code


@pytest.mark.parametrize("name", ["BadRequest", "NotAllowed", "TooManyFailures"])
def test_a_code_can_be_more_exact_than_that_of_the_class(name: str) -> None:
    error = getattr(errors, name)("Words.", code="exact")
    assert (error.detail, error.wire_code, type(error).code) == ("Words.", "exact", CODES[name])


def test_values_are_filled_into_the_words_of_a_code() -> None:
    error = errors.BadRequest(code="limit_reached", most=7)
    assert error.detail == "An endpoint can have at most 7 old secrets in use. Wait until one expires."
    assert errors.Unsupported("/page").detail.endswith(" See /page")


def test_every_code_of_the_tree_and_of_the_source_has_a_text() -> None:
    """Only errors of settings are never on the wire."""
    source = Path(errors.__file__).parents[1]
    named = {
        code
        for path in source.rglob("*.py")
        if path.parts[-3:-1] != ("api", "dialects") and path.parent.name not in ("receiver", "client")
        for code in re.findall(r"\bcode=\"([a-z_ ]+)\"", path.read_text())
    }
    assert {"invalid_range", "no_public_url"} <= named
    assert named | set(CODES.values()) - {"error", "settings"} <= TEXTS.keys()


@pytest.mark.parametrize("code", TEXTS)
def test_a_text_says_what_happened_and_what_to_do(code: str) -> None:
    text = TEXTS[code]
    assert 400 <= text.status < 600
    assert text.title.endswith(".")
    assert text.advice.endswith(".")
    assert "{" not in text.example
    assert text.example


def test_an_error_without_a_message_is_accepted() -> None:
    class Silent(AngariumError):
        __doc__ = None

    assert Silent().detail == ""


@pytest.mark.parametrize("name", ["TooManyFailures", "Overloaded"])
def test_retry_after_is_one_second_by_default(name: str) -> None:
    kind = getattr(errors, name)
    assert kind().retry_after == 1.0
    error = kind("Words.", retry_after=7.5)
    assert (error.detail, error.retry_after) == ("Words.", 7.5)


def test_too_many_endpoints_names_the_limit() -> None:
    error = errors.TooManyEndpoints(1)
    assert (error.most, error.detail) == (1, error.said_of("endpoint"))
    assert error.detail.startswith("Endpoint limit reached (1). Delete endpoints ")
    assert (
        errors.TooManyEndpoints(2)
        .said_of("webhook")
        .startswith("Webhook limit reached (2). Delete webhooks ")
    )
    assert "Endpoint limit reached (1,000)." in errors.TooManyEndpoints(1000).detail
    assert error.wire_code == "too_many_endpoints"


def test_a_limit_of_messages_says_when_the_month_ends() -> None:
    now, end = datetime(2026, 11, 30, 23, 59, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    error = errors.MessageLimitReached(1000, 1001, end, now)
    assert error.detail == (
        "Message limit of the month reached: 1,001 of 1,000 used. "
        "The next month begins at 2026-12-01T00:00:00Z."
    )
    assert error.facts == {"limit": 1000, "used": 1001, "endsAt": "2026-12-01T00:00:00Z"}
    assert (error.retry_after, error.wire_code) == (60.0, "message_limit_reached")


def test_field_errors_contain_their_locations() -> None:
    error = Invalid(FieldError(("body", "urls", 0), "No URL."), FieldError(("query", "limit"), "Too large."))
    assert error.detail == "body.urls.0: No URL.; query.limit: Too large."
    assert [fault.type for fault in error.faults] == ["value_error", "value_error"]


def test_one_invalid_field_is_reported() -> None:
    assert Invalid.field("a.b", "No.").faults == (FieldError(("body", "a", "b"), "No.", "value_error"),)
    assert Invalid.field("a", "No.", where="query").faults == (FieldError(("query", "a"), "No."),)


def test_field_errors_can_be_moved_to_another_location() -> None:
    found = Invalid(
        FieldError(("query", "tag", 0), "No."), FieldError(("query", "since"), "Nor this.", "type_error")
    )
    assert found.placed("body", "filter").faults == (
        FieldError(("body", "filter", "tag", 0), "No."),
        FieldError(("body", "filter", "since"), "Nor this.", "type_error"),
    )
    renamed = found.placed("body", names={"since": "after", "query": "never", "0": "zero"})
    assert renamed.faults == (
        FieldError(("body", "tag", "zero"), "No."),
        FieldError(("body", "after"), "Nor this.", "type_error"),
    )
    assert found.placed().faults[0].loc == ("tag", 0)


@pytest.mark.parametrize("reason", StoreReason)
def test_the_reason_why_the_store_is_unavailable_is_kept(reason: StoreReason) -> None:
    assert StoreUnavailable(reason=reason).reason is reason
    assert StoreUnavailable("Words.").reason is StoreReason.UNREACHABLE
