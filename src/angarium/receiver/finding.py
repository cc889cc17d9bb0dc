"""Judges the responses of a receiver that is checked, in words that say what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. Unless it is ok, `words` say what to do."""

    check: str
    level: Level
    words: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A response. `status` is 0 if there was none, for the reason in `error`."""

    status: int
    seconds: float
    body: bytes = b""
    location: str | None = None
    error: str = ""

    @property
    def accepted(self) -> bool:
        return 200 <= self.status <= 299

    @property
    def refused(self) -> bool:
        return 400 <= self.status <= 499

    @property
    def said(self) -> str:
        return f"it responded with {self.status}" if self.status else self.error


def signature(reply: Reply) -> Finding:
    if reply.accepted:
        return Finding("signature", "ok", "A correctly signed event is accepted.")
    fix = {
        0: "Start the receiver, and make it reachable for the sender.",
        401: "Check that it uses this scheme, and this secret as a whole.",
        403: "Check its secret. Exempt its URL from logins and CSRF tokens.",
        404: "Check the path of the URL.",
        405: "Allow POST.",
    }.get(reply.status, "The receiver's log has the reason.")
    return Finding("signature", "fail", f"A correctly signed event is not accepted: {reply.said}. {fix}")


def redirect(reply: Reply) -> Finding:
    if not reply.status:
        return Finding("redirect", "skip", "Not checked: the correctly signed event got no response.")
    if not 300 <= reply.status <= 399:
        return Finding("redirect", "ok", "It does not redirect.")
    to = reply.location or "another URL"
    return Finding("redirect", "fail", f"It redirects to {to}. Senders do not follow: give them that URL.")


def duplicate(reply: Reply) -> Finding:
    if reply.accepted:
        return Finding("duplicate", "ok", "A duplicate is accepted.")
    fix = "Respond with 2xx, or the sender retries for days."
    return Finding("duplicate", "fail", f"A duplicate is not accepted: {reply.said}. {fix}")


def same_data(first: Reply, repeat: Reply, reply: Reply) -> Finding:
    """`reply` is to an event with the data of `first`, and `repeat` to a duplicate of `first`."""
    fix = "Recognize duplicates by the id of the event, not by data.id, which is the same in many events."
    if not reply.accepted:
        words = f"A second event about the same object is not accepted: {reply.said}. {fix}"
        return Finding("same_data", "fail", words)
    if (first.status, first.body) != (repeat.status, repeat.body) == (reply.status, reply.body):
        words = f"A second event about the same object is treated as a duplicate. {fix}"
        return Finding("same_data", "fail", words)
    return Finding("same_data", "ok", "Two events about the same object are accepted.")


def must_refuse(check: str, replies: list[Reply], what: str, fix: str) -> Finding:
    """The first reply that is not a 4xx decides."""
    for reply in replies:
        if reply.accepted:
            return Finding(check, "fail", f"It accepts {what}. {fix}")
        if not reply.refused:
            return Finding(check, "fail", f"It does not respond with 401 to {what}: {reply.said}. {fix}")
    statuses = sorted({reply.status for reply in replies})
    if set(statuses) <= {400, 401, 403}:
        return Finding(check, "ok", f"It refuses {what}.")
    said = " and ".join(map(str, statuses))
    return Finding(check, "warn", f"It refuses {what} with {said} instead of 401. {fix}")
