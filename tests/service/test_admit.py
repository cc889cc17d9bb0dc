"""What every door asks of a token, one question after another, while the login throttle watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from angarium.core.claims import EVERYTHING, Claims
from angarium.core.errors import CredentialExpired, NotAuthenticated
from angarium.service.login import LoginThrottle

CLAIMS = Claims("org_a", None, frozenset(), EVERYTHING, None, 0.0, 1.0, b"d" * 32)


@dataclass
class Door(LoginThrottle):
    """A login throttle that is its own tokens, and notes what is asked."""

    wrong: Exception | None = None
    ended: Exception | None = None
    asked: list[Any] = field(default_factory=list)
    watched: list[type[BaseException] | None] = field(default_factory=list)

    @contextmanager
    def watching(self, kind: str, cookie: str | None = None) -> Iterator[None]:
        self.asked.append(("watching", kind, cookie))
        try:
            yield
        except BaseException as error:
            self.watched.append(type(error))
            raise

    def verify(self, token: str) -> Claims:
        self.asked.append(("verify", token))
        if self.wrong is not None:
            raise self.wrong
        return CLAIMS

    async def check_live(self, claims: Claims) -> None:
        self.asked.append(("check_live", claims))
        if self.ended is not None:
            raise self.ended


async def enter(door: Door, *, fits: bool = True) -> Claims:
    tokens: Any = door
    return await door.admit(
        tokens, "token", "text", lambda claims: fits and claims is CLAIMS, cookie="cookie"
    )


async def test_a_good_token_is_verified_and_then_looked_up() -> None:
    door = Door()
    assert await enter(door) is CLAIMS
    assert door.asked == [("watching", "token", "cookie"), ("verify", "text"), ("check_live", CLAIMS)]
    assert door.watched == []


async def test_a_token_of_another_kind_is_refused_without_a_look_up() -> None:
    door = Door()
    with pytest.raises(NotAuthenticated):
        await enter(door, fits=False)
    assert door.asked[-1] == ("verify", "text")
    assert door.watched == [NotAuthenticated]


@pytest.mark.parametrize(
    ("wrong", "ended", "seen"),
    [(NotAuthenticated(), None, NotAuthenticated), (None, CredentialExpired(), CredentialExpired)],
)
async def test_the_guard_sees_every_refusal(
    wrong: Exception | None, ended: Exception | None, seen: type[Exception]
) -> None:
    door = Door(wrong, ended)
    with pytest.raises(seen):
        await enter(door)
    assert door.watched == [seen]
