"""Findings: what a response means, and what to do about it."""

from __future__ import annotations

import pytest

from angarium.receiver.finding import Finding, Reply, duplicate, must_refuse, redirect, same_data, signature

NO_REPLY = Reply(0, 0.1, error="nothing listens there")


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


def test_a_reply_says_its_status_or_why_there_is_none() -> None:
    assert reply(404).said == "it responded with 404"
    assert NO_REPLY.said == "nothing listens there"


@pytest.mark.parametrize(
    ("given", "said", "advice"),
    [
        (NO_REPLY, "nothing listens there", "Start the receiver"),
        (reply(401), "it responded with 401", "this secret"),
        (reply(403), "it responded with 403", "CSRF"),
        (reply(404), "it responded with 404", "path"),
        (reply(405), "it responded with 405", "POST"),
        (reply(302), "it responded with 302", "log"),
        (reply(500), "it responded with 500", "log"),
    ],
)
def test_a_signed_event_that_is_not_accepted_has_advice(given: Reply, said: str, advice: str) -> None:
    found = signature(given)
    assert (found.check, found.level) == ("signature", "fail")
    event, _, fix = found.words.partition(". ")
    assert event == f"A correctly signed event is not accepted: {said}"
    assert advice in fix


@pytest.mark.parametrize("status", [200, 204, 299])
def test_an_accepted_event_or_duplicate_is_ok(status: int) -> None:
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
        (reply(302), "fail", "redirects to another URL."),
        (reply(400), "ok", "It does not redirect."),
        (NO_REPLY, "skip", "got no response"),
    ],
)
def test_any_3xx_is_a_redirect(given: Reply, level: str, words: str) -> None:
    found = redirect(given)
    assert (found.check, found.level) == ("redirect", level)
    assert words in found.words


@pytest.mark.parametrize("given", [NO_REPLY, reply(409), reply(500), reply(302)])
def test_a_duplicate_must_be_accepted(given: Reply) -> None:
    found = duplicate(given)
    assert (found.check, found.level) == ("duplicate", "fail")
    advice = "Respond with 2xx, or the sender retries for days."
    assert found.words == f"A duplicate is not accepted: {given.said}. {advice}"


HANDLED, REPEATED = reply(200, b"handled"), reply(200, b"duplicate")


@pytest.mark.parametrize(
    ("first", "repeat", "third", "level"),
    [
        (HANDLED, REPEATED, HANDLED, "ok"),
        (HANDLED, REPEATED, REPEATED, "fail"),
        (HANDLED, HANDLED, HANDLED, "ok"),  # the response does not tell a duplicate apart
        (reply(201), reply(200), reply(201), "ok"),
        (reply(201), reply(200), reply(200), "fail"),
        (HANDLED, REPEATED, reply(204), "ok"),
        (HANDLED, REPEATED, reply(409), "fail"),
        (HANDLED, REPEATED, NO_REPLY, "fail"),
    ],
)
def test_a_second_event_about_the_same_object_is_not_a_duplicate(
    first: Reply, repeat: Reply, third: Reply, level: str
) -> None:
    found = same_data(first, repeat, third)
    assert (found.check, found.level) == ("same_data", level)
    assert ("id of the event" in found.words) is (level == "fail")
    assert (f"{third.said}." in found.words) is not third.accepted


@pytest.mark.parametrize(
    ("replies", "finding"),
    [
        ([reply(401)], ("ok", "It refuses a forgery.")),
        ([reply(401), reply(400), reply(403)], ("ok", "It refuses a forgery.")),
        ([reply(404), reply(401)], ("warn", "It refuses a forgery with 401 and 404 instead of 401. Do.")),
        ([reply(499), reply(499)], ("warn", "It refuses a forgery with 499 instead of 401. Do.")),
        ([reply(401), reply(204)], ("fail", "It accepts a forgery. Do.")),
        ([reply(401), reply(500), reply(200)],
         ("fail", "It does not respond with 401 to a forgery: it responded with 500. Do.")),
        ([NO_REPLY], ("fail", "It does not respond with 401 to a forgery: nothing listens there. Do.")),
    ],
)  # fmt: skip
def test_a_forgery_must_be_refused_with_4xx(replies: list[Reply], finding: tuple[str, str]) -> None:
    assert must_refuse("forged", replies, "a forgery", "Do.") == Finding("forged", *finding)  # type: ignore[arg-type]
