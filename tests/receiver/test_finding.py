"""The verdicts of a check-up: what a reply means, and that a complaint says what to do."""

from __future__ import annotations

import pytest

from angarium.receiver.finding import Finding, Reply, duplicate, must_refuse, redirect, same_data, signature

NOBODY = Reply(0, 0.1, error="nobody listens there")


def reply(status: int, body: bytes = b"", location: str | None = None) -> Reply:
    return Reply(status, 0.1, body, location)


@pytest.mark.parametrize(
    ("status", "accepted", "refused"),
    [
        (0, False, False), (199, False, False), (200, True, False), (299, True, False), (300, False, False),
        (399, False, False), (400, False, True), (499, False, True), (500, False, False),
    ],
)  # fmt: skip
def test_2xx_accepts_and_4xx_refuses(status: int, accepted: bool, refused: bool) -> None:
    assert (reply(status).accepted, reply(status).refused) == (accepted, refused)


def test_a_reply_says_its_status_or_why_there_was_none() -> None:
    assert reply(404).said == "it answered 404"
    assert NOBODY.said == "nobody listens there"


@pytest.mark.parametrize(
    ("given", "said", "advice"),
    [
        (NOBODY, "nobody listens there", "Is it running"),
        (reply(401), "it answered 401", "this secret"),
        (reply(403), "it answered 403", "CSRF"),
        (reply(404), "it answered 404", "path"),
        (reply(405), "it answered 405", "POST"),
        (reply(302), "it answered 302", "log"),
        (reply(500), "it answered 500", "log"),
    ],
)
def test_a_signed_event_that_is_not_accepted_has_advice(given: Reply, said: str, advice: str) -> None:
    found = signature(given)
    assert (found.check, found.level) == ("signature", "fail")
    event, _, mend = found.words.partition(", not 2xx. ")
    assert event == f"To a rightly signed event {said}"
    assert advice in mend


@pytest.mark.parametrize("status", [200, 204, 299])
def test_what_is_accepted_is_ok(status: int) -> None:
    given = reply(status)
    for found, check in ((signature(given), "signature"), (duplicate(given), "duplicate")):
        assert (found.check, found.level) == (check, "ok")
    found = same_data(given, given, reply(status, b"another"))
    assert (found.check, found.level) == ("same_data", "ok")


@pytest.mark.parametrize(
    ("given", "level", "words"),
    [
        (reply(299), "ok", "It does not redirect."),
        (reply(300, location="/other"), "fail", "redirects to /other."),
        (reply(399, location="/other"), "fail", "redirects to /other."),
        (reply(302), "fail", "redirects to another place."),
        (reply(400), "ok", "It does not redirect."),
        (NOBODY, "ok", "It does not redirect."),
    ],
)
def test_any_3xx_is_a_redirect(given: Reply, level: str, words: str) -> None:
    found = redirect(given)
    assert (found.check, found.level) == ("redirect", level)
    assert words in found.words


@pytest.mark.parametrize("given", [NOBODY, reply(409), reply(500), reply(302)])
def test_a_repeat_has_to_be_accepted(given: Reply) -> None:
    found = duplicate(given)
    assert (found.check, found.level) == ("duplicate", "fail")
    assert f"once more {given.said}." in found.words


HANDLED, REPEATED = reply(200, b"handled"), reply(200, b"duplicate")


@pytest.mark.parametrize(
    ("first", "repeat", "third", "level"),
    [
        (HANDLED, REPEATED, HANDLED, "ok"),
        (HANDLED, REPEATED, REPEATED, "fail"),
        (HANDLED, HANDLED, HANDLED, "ok"),  # it does not say which is a repeat
        (reply(201), reply(200), reply(201), "ok"),
        (reply(201), reply(200), reply(200), "fail"),
        (HANDLED, REPEATED, reply(204), "ok"),
        (HANDLED, REPEATED, reply(409), "fail"),
        (HANDLED, REPEATED, NOBODY, "fail"),
    ],
)
def test_a_new_event_about_the_same_thing_is_no_repeat(
    first: Reply, repeat: Reply, third: Reply, level: str
) -> None:
    found = same_data(first, repeat, third)
    assert (found.check, found.level) == ("same_data", level)
    assert ("id of the event" in found.words) is (level == "fail")
    assert (f"{third.said}." in found.words) is not third.accepted


UNDERSTOOD = "401 is what senders understand."


@pytest.mark.parametrize(
    ("replies", "finding"),
    [
        ([reply(401)], ("ok", "It refuses a forgery.")),
        ([reply(401), reply(400), reply(403)], ("ok", "It refuses a forgery.")),
        ([reply(404), reply(401)], ("warn", f"To a forgery it answered 401 and 404; {UNDERSTOOD} Do.")),
        ([reply(499), reply(499)], ("warn", f"To a forgery it answered 499; {UNDERSTOOD} Do.")),
        ([reply(401), reply(204)], ("fail", "It accepted a forgery. Do.")),
        ([reply(401), reply(500), reply(200)], ("fail", "To a forgery it answered 500, not 401. Do.")),
        ([NOBODY], ("fail", "To a forgery nobody listens there, not 401. Do.")),
    ],
)  # fmt: skip
def test_what_must_be_refused_is_refused_with_4xx(replies: list[Reply], finding: tuple[str, str]) -> None:
    assert must_refuse("forged", replies, "a forgery", "Do.") == Finding("forged", *finding)  # type: ignore[arg-type]
