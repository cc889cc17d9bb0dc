"""What a check-up finds: what came back, judged, in words that say what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check; `words` say what to do unless it is ok."""

    check: str
    level: Level
    words: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `status` 0: nothing did, for the reason in `error`."""

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
        return f"it answered {self.status}" if self.status else self.error


def signature(reply: Reply) -> Finding:
    if reply.accepted:
        return Finding("signature", "ok", "A rightly signed event is accepted.")
    mend = {
        0: "Is it running, and open to the internet?",
        401: "Does it have this secret, all of it, and go by this scheme?",
        403: "Does it have this secret? A login or a check of CSRF tokens in front of it has to go.",
        404: "There is nothing at this path.",
        405: "It has to take POST.",
    }.get(reply.status, "Its log will say why.")
    return Finding("signature", "fail", f"To a rightly signed event {reply.said}, not 2xx. {mend}")


def redirect(reply: Reply) -> Finding:
    if not 300 <= reply.status <= 399:
        return Finding("redirect", "ok", "It does not redirect.")
    words = f"It redirects to {reply.location or 'another place'}. Senders do not follow: give them that URL."
    return Finding("redirect", "fail", words)


def duplicate(reply: Reply) -> Finding:
    if reply.accepted:
        return Finding("duplicate", "ok", "The same event once more is accepted.")
    words = f"When the same event came once more {reply.said}. Answer 2xx, or the sender repeats it for days."
    return Finding("duplicate", "fail", words)


def same_data(first: Reply, repeat: Reply, reply: Reply) -> Finding:
    mend = "Tell events apart by the id of the event, not by data.id, which many events have in common."
    if not reply.accepted:
        return Finding("same_data", "fail", f"To a new event about the same thing {reply.said}. {mend}")
    if (first.status, first.body) != (repeat.status, repeat.body) == (reply.status, reply.body):
        return Finding("same_data", "fail", f"A new event about the same thing is taken for a repeat. {mend}")
    return Finding("same_data", "ok", "Two events about the same thing are accepted.")


def must_refuse(check: str, replies: list[Reply], what: str, mend: str) -> Finding:
    """The first reply that is not a 4xx decides."""
    for reply in replies:
        if reply.accepted:
            return Finding(check, "fail", f"It accepted {what}. {mend}")
        if not reply.refused:
            return Finding(check, "fail", f"To {what} {reply.said}, not 401. {mend}")
    statuses = sorted({reply.status for reply in replies})
    if set(statuses) <= {400, 401, 403}:
        return Finding(check, "ok", f"It refuses {what}.")
    said = " and ".join(map(str, statuses))
    return Finding(check, "warn", f"To {what} it answered {said}; 401 is what senders understand. {mend}")
