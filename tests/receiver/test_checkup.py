"""Checks receivers that are correct, and receivers that each make one common mistake."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from angarium.receiver import SCHEMES, Custom, Misuse, Receiver, VerificationError, verify
from angarium.receiver.checkup import Checkup
from angarium.receiver.finding import Finding, Reply

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1_750_000_000.75
CHECKS = (
    "signature", "redirect", "wrong_signature", "changed_body", "garbled_signature", "missing_header",
    "old_timestamp", "duplicate", "same_data", "exact_bytes", "large_body", "latency", "answer",
)  # fmt: skip
NAMED = sorted(SCHEMES)
Send = Callable[[Mapping[str, str], bytes], Reply]


class Server:
    """A correct receiver that keeps its requests. `wrong` may return another response."""

    def __init__(
        self, scheme: str = "standard", wrong: Callable[..., Reply | None] = lambda *_: None
    ) -> None:
        self.scheme = scheme
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self._wrong = wrong
        self._receiver = Receiver(SCHEMES[scheme], SECRET, clock=lambda: NOW)
        self._receiver.default(lambda event: None)

    def __call__(self, headers: Mapping[str, str], body: bytes) -> Reply:
        self.requests.append((dict(headers), body))
        answer = self._receiver.handle(body, headers)
        right = Reply(answer.status, 0.1, answer.body)
        return self._wrong(self, right, headers, body) or right

    @property
    def number(self) -> int:
        return len(self.requests)


def checkup(send: Send, scheme: str = "standard", **more: Any) -> Checkup:
    counter = iter(range(1, 200))
    return Checkup(
        send,
        SCHEMES[scheme],
        SECRET,
        timeout=10,
        clock=lambda: NOW,
        entropy=lambda size: next(counter).to_bytes(size, "big"),
        **more,
    )


def complaints(send: Send, scheme: str = "standard", **more: Any) -> dict[str, Finding]:
    """The findings that are not ok, by check."""
    found = list(checkup(send, scheme, **more).findings())
    assert tuple(one.check for one in found) == CHECKS
    return {one.check: one for one in found if one.level != "ok"}


@pytest.mark.parametrize("scheme", NAMED)
@pytest.mark.parametrize("data", [None, {}, {"id": "ord_1"}])
def test_a_correct_receiver_passes_all_checks(scheme: str, data: Any) -> None:
    found = complaints(Server(scheme), scheme, data=data)
    signs_no_time = isinstance(SCHEMES[scheme], Custom)
    assert found.keys() == ({"old_timestamp"} if signs_no_time else set())
    if signs_no_time:
        assert found["old_timestamp"] == Finding(
            "old_timestamp", "skip", f"The scheme {scheme} signs no timestamp."
        )


def test_each_passed_check_says_what_works() -> None:
    found = list(checkup(Server()).findings())
    assert [(one.check, one.level, one.words) for one in found] == [
        ("signature", "ok", "A correctly signed event is accepted."),
        ("redirect", "ok", "It does not redirect."),
        ("wrong_signature", "ok", "It refuses an event signed with another secret."),
        ("changed_body", "ok", "It refuses an event whose body was changed."),
        ("garbled_signature", "ok", "It refuses a malformed signature."),
        ("missing_header", "ok", "It refuses an event without a signature."),
        ("old_timestamp", "ok", "It refuses an event signed an hour ago."),
        ("duplicate", "ok", "A duplicate is accepted."),
        ("same_data", "ok", "Two events about the same object are accepted."),
        ("exact_bytes", "ok", "A body with spaces, non-ASCII text and unusual numbers is accepted."),
        ("large_body", "ok", "A body of 150 KiB is accepted."),
        ("latency", "ok", "The slowest response took 0.10 s of 10 s."),
        ("answer", "ok", "Its responses are small."),
    ]


def accepts(scheme: str, headers: Mapping[str, str], body: bytes) -> bool:
    try:
        verify(body, headers, SECRET, scheme, clock=lambda: NOW)
    except VerificationError:
        return False
    return True


def answer(status: int, seconds: float = 0.1, body: bytes = b"") -> Reply:
    return Reply(status, seconds, body)


def takes(*tests: Callable[..., bool]) -> Callable[..., Reply | None]:
    """Responds with 200 to requests that it should refuse."""
    return lambda *given: answer(200) if any(test(*given) for test in tests) else None


def fails(status: int, test: Callable[..., bool]) -> Callable[..., Reply | None]:
    return lambda *given: answer(status) if test(*given) else None


def unsigned(server: Any, right: Reply, headers: Mapping[str, str], body: bytes) -> bool:
    return "webhook-signature" not in headers


def garbled(server: Any, right: Reply, headers: Mapping[str, str], body: bytes) -> bool:
    return headers.get("webhook-signature") in ("nonsense", "v1,abc", "t=x,v1=")


def unnamed(server: Any, right: Reply, headers: Mapping[str, str], body: bytes) -> bool:
    return "webhook-signature" in headers and "webhook-id" not in headers


def untimed(server: Any, right: Reply, headers: Mapping[str, str], body: bytes) -> bool:
    return "webhook-signature" in headers and "webhook-timestamp" not in headers


def old(server: Any, right: Reply, headers: Mapping[str, str], body: bytes) -> bool:
    return headers.get("webhook-timestamp") == str(int(NOW) - 3600)


def changed(server: Any, right: Reply, headers: Mapping[str, str], body: bytes) -> bool:
    return body.endswith(b" }")


def signed_by_another(server: Server, right: Reply, headers: Mapping[str, str], body: bytes) -> bool:
    return server.number == 2


def repeated(server: Any, right: Reply, headers: Mapping[str, str], body: bytes) -> bool:
    return b"duplicate" in right.body


def large(server: Any, right: Reply, headers: Mapping[str, str], body: bytes) -> bool:
    return len(body) > 150 * 1024


def odd(server: Any, right: Reply, headers: Mapping[str, str], body: bytes) -> bool:
    return body.endswith(b"\n")


@pytest.mark.parametrize(
    ("wrong", "check", "level", "words"),
    [
        (takes(signed_by_another), "wrong_signature", "fail", "It accepts an event signed with another"),
        (fails(500, signed_by_another), "wrong_signature", "fail", "secret: it responded with 500. Respond"),
        (takes(changed), "changed_body", "fail", "It accepts an event whose body was changed. Respond"),
        (takes(garbled), "garbled_signature", "fail", "It accepts a malformed signature. Treat"),
        (fails(500, garbled), "garbled_signature", "fail", "without an exception."),
        (fails(404, garbled), "garbled_signature", "warn", "with 404 instead of 401."),
        (takes(unsigned), "missing_header", "fail", "It accepts an event without a signature. Respond"),
        (fails(500, unnamed), "missing_header", "fail", "webhook-id is missing: it responded with 500."),
        (fails(502, untimed), "missing_header", "fail", "-timestamp is missing: it responded with 502."),
        (fails(0, untimed), "missing_header", "fail", "header webhook-timestamp is missing: . Respond"),
        (takes(old), "old_timestamp", "fail", "It accepts an event signed an hour ago. Refuse timestamps"),
        (fails(409, repeated), "duplicate", "fail", "A duplicate is not accepted: it responded with 409."),
        (fails(413, large), "large_body", "fail", "of 150 KiB is not accepted: it responded with 413. Raise"),
        (fails(401, odd), "exact_bytes", "fail", "it responded with 401. Verify the raw bytes"),
        (fails(400, odd), "exact_bytes", "fail", "it responded with 400. Verify the raw bytes"),
        (fails(403, odd), "exact_bytes", "fail", "it responded with 403. Verify the raw bytes"),
        (fails(500, odd), "exact_bytes", "fail", "it responded with 500. The receiver's log has the reason."),
        (
            lambda server, right, *_: answer(200, 5.0) if right.accepted and server.number == 1 else None,
            "latency", "warn", "The slowest response took 5.00 s of 10 s. Store the event",
        ),
        (
            lambda server, right, *_: answer(200, 0.1, b"x" * (16 * 1024 + 1)) if right.accepted else None,
            "answer", "warn", "A response has more than 16 KiB. Respond with nothing",
        ),
    ],
)  # fmt: skip
def test_a_common_mistake_is_the_only_finding(
    wrong: Callable[..., Reply | None], check: str, level: str, words: str
) -> None:
    found = complaints(Server(wrong=wrong))
    assert found.keys() == {check}
    assert (found[check].level, words in found[check].words) == (level, True), found


def test_a_receiver_that_accepts_everything_fails_each_check_of_forgeries() -> None:
    found = complaints(lambda headers, body: answer(200))
    refusals = ("wrong_signature", "changed_body", "garbled_signature", "missing_header", "old_timestamp")
    assert {check for check, one in found.items() if one.level == "fail"} == set(refusals)


def test_a_new_event_that_is_treated_as_a_duplicate_is_reported() -> None:
    def by_data(server: Server, right: Reply, headers: Mapping[str, str], body: bytes) -> Reply | None:
        seen = sum(json.loads(one)["data"] == json.loads(body)["data"] for _, one in server.requests[7:])
        return answer(200, body=b"again" if seen else b"new") if right.accepted else None

    found = complaints(Server(wrong=by_data))
    assert found["same_data"].level == "fail"


@pytest.mark.parametrize("seconds", [0.0, 4.99])
def test_a_response_within_half_of_the_timeout_and_16_kib_is_ok(seconds: float) -> None:
    def slow(server: Server, right: Reply, headers: Any, body: bytes) -> Reply | None:
        return answer(200, seconds, b"x" * 16 * 1024) if right.accepted else None

    found = {one.check: one for one in checkup(Server(wrong=slow)).findings()}
    assert found["latency"] == Finding("latency", "ok", f"The slowest response took {seconds:.2f} s of 10 s.")
    assert found["answer"].level == "ok"
    assert found["large_body"] == Finding("large_body", "ok", "A body of 150 KiB is accepted.")


@pytest.mark.parametrize("status", [0, 302, 401, 500])
def test_checks_that_need_an_accepted_event_are_skipped_without_one(status: int) -> None:
    server = Server(wrong=lambda *_: answer(status))
    found = list(checkup(server).findings())
    assert tuple(one.check for one in found) == CHECKS
    assert found[0].level == "fail"
    assert found[1].level == {0: "skip", 302: "fail"}.get(status, "ok")
    for one in found[CHECKS.index("duplicate") :]:
        assert one == Finding(one.check, "skip", "Not checked: the correctly signed event was not accepted.")


# --------------------------------------------------------------------------------------------- the requests


@pytest.mark.parametrize("data", [{}, {"id": "ord_1"}])
@pytest.mark.parametrize("scheme", [name for name in NAMED if name != "github"])
def test_each_event_is_json_with_its_own_id_and_a_duplicate_has_the_same_id(scheme: str, data: Any) -> None:
    server = Server(scheme)
    list(checkup(server, scheme, data=data).findings())
    whole = [one for one in server.requests if one[0].keys() == server.requests[0][0].keys()]
    events = [verify(body, headers, SECRET, scheme, clock=lambda: NOW) for headers, body in whole
              if accepts(scheme, headers, body)]  # fmt: skip
    first, repeat, *others = (event.id for event in events)
    assert first == repeat
    assert len({first, *others}) == 4
    assert all(isinstance(event.body, dict) for event in events)
    if "{id}" in SCHEMES[scheme].envelope:  # the others have it in a header only
        assert [event.body["id"] for event in events] == [event.id for event in events]


@pytest.mark.parametrize("scheme", NAMED)
def test_the_requests_are_those_that_the_checks_describe(scheme: str) -> None:
    server = Server(scheme)
    list(checkup(server, scheme, event_type="order.filled", data={"id": "ord_1"}).findings())
    signature = next(name for name in server.requests[0][0] if "signature" in name.lower())
    first, (by_another, same), (sent, altered), *garbled = server.requests[:6]
    assert first[0].keys() == by_another.keys() == sent.keys()
    assert first[0]["content-type"] == "application/json"
    assert same == first[1]
    assert by_another[signature] != first[0][signature]
    assert altered == first[1][:-1] + b" }"
    assert [headers[signature] for headers, _ in garbled] == ["nonsense", "v1,abc", "t=x,v1="]
    bare, unsigned = server.requests[6:8]
    assert bare == ({"content-type": "application/json"}, first[1])
    assert unsigned == ({name: value for name, value in sent.items() if name != signature}, first[1])
    whole = [one for one in server.requests if one[0].keys() == first[0].keys()]
    accepted = [one for one in whole if accepts(scheme, *one)]
    assert accepted[0] == accepted[1] == first
    assert len(accepted) == 5
    *_, exact, filled = accepted
    for written in ('"text":"Zürich, 東京, 🚀', "\\u00e9, \\/", '"amount":100.00,"small":1E-7, "id":"ord_1"'):
        assert written.encode() in exact[1]
    assert exact[1].endswith(b"\n")
    assert b'"filling":"' + b"x" * 150 * 1024 + b'"' in filled[1]


@pytest.mark.parametrize(
    ("scheme", "body"),
    [
        ("standard", {"type": "a.b", "timestamp": "2025-06-15T15:06:40Z", "data": {"id": "é"}}),
        ("svix", {"type": "a.b", "timestamp": "2025-06-15T15:06:40Z", "data": {"id": "é"}}),
        ("bluum", {"event": "a.b", "timestamp": "2025-06-15T15:06:40Z", "data": {"id": "é"}, "id": "ID"}),
        ("bluma", {"id": "ID", "type": "a.b", "created_at": "2025-06-15T15:06:40Z", "data": {"id": "é"}}),
        ("github", {"zen": "Keep it logically awesome.", "hook_id": 1, "payload": {"id": "é"}}),
        ("stripe", {"id": "ID", "object": "event", "type": "a.b", "created": 1750000000,
                    "data": {"object": {"id": "é"}}}),
    ],
)  # fmt: skip
def test_an_event_has_the_form_of_its_sender(scheme: str, body: dict[str, Any]) -> None:
    server = Server(scheme)
    list(checkup(server, scheme, event_type="a.b", data={"id": "é"}).findings())
    sent = server.requests[0][1].decode()
    event_id = f"evt_doctor{1:024x}"
    wanted = {name: event_id if value == "ID" else value for name, value in body.items()}
    assert sent == json.dumps(wanted, ensure_ascii=False, separators=(",", ":"))


def test_an_event_without_given_data_has_data_with_a_new_id() -> None:
    server = Server()
    list(checkup(server).findings())
    headers, body = server.requests[0]
    assert json.loads(body)["data"] == {"id": f"doctor_{1:012x}"}
    assert json.loads(body)["type"] == "angarium.doctor"
    assert headers["webhook-id"] == f"evt_doctor{2:024x}"
    assert headers["webhook-timestamp"] == str(int(NOW))
    ids = [headers["webhook-id"] for headers, body in server.requests if accepts("standard", headers, body)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


def test_a_secret_that_cannot_be_used_is_an_error() -> None:
    scheme = Custom(name="mine", header="X-Signature", key="hex")
    with pytest.raises(Misuse):
        list(
            Checkup(
                Server(), scheme, "no digits", timeout=1, clock=lambda: NOW, entropy=lambda size: b"x" * size
            ).findings()
        )
