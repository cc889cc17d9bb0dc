"""Receives request bodies into memory, within limits of size, speed, encoding and memory per caller.

All open requests share the memory for bodies. It is counted per authenticated organization or application, or
per address if the request is not authenticated when its body is read. Authenticated and other callers
have separate budgets. A caller may use as much as remains free at the level above, so the largest user is
refused first: an organization or an address at half of its budget, an application at a third.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, NoReturn

from starlette.types import Message, Receive

from angarium.core.errors import AngariumError, BodyTooLarge, Compressed, Overloaded, TooSlow
from angarium.service import audit
from angarium.service.login import origin_of

VERIFIED: Final = "verified"
STRANGERS: Final = "strangers"
POTS: Final = {VERIFIED: 64 * 1024 * 1024, STRANGERS: 8 * 1024 * 1024}
"""Bytes of bodies in memory."""
STRANGER_LIMIT: Final = 16 * 1024
"""Maximum bytes of a body before authentication: enough for a key or a token."""
GRACE: Final = 10.0
"""Seconds that any body may take."""
SLOWEST: Final = 32 * 1024
"""Bytes a second that a body must bring beyond that."""

Asker = tuple[object, ...]
"""From the whole to the part: a pot, then an organization and an application of it, or an address."""


def asker() -> Asker:
    """Who makes the request, as far as that is known by now."""
    actor = audit.current()
    if actor.org_id is None:
        return (STRANGERS, origin_of(actor.address))
    who = (VERIFIED, actor.org_id)
    return who if actor.app_id is None else (*who, actor.app_id)


class Budget:
    """Bytes of bodies in memory, by who sends them."""

    def __init__(self) -> None:
        self._held: dict[Asker, int] = {}

    @property
    def held(self) -> int:
        """Bytes of all."""
        return sum(size for who, size in self._held.items() if len(who) == 1)

    def take(self, who: Asker, size: int) -> None:
        """Count bytes of `who`. Raises Overloaded when there is no room for them."""
        room = POTS[str(who[0])]
        after: dict[Asker, int] = {}
        for depth in range(1, len(who) + 1):
            place = who[:depth]
            after[place] = held = self._held.get(place, 0) + size
            if held > room:
                raise Overloaded("Too many request bodies are being sent at once; try again shortly.")
            room -= held
        self._held |= after

    def give(self, who: Asker, size: int) -> None:
        """They are in memory no longer."""
        for depth in range(1, len(who) + 1):
            place = who[:depth]
            self._held[place] -= size
            if not self._held[place]:
                del self._held[place]


class Upload:
    """The body of one request; `receive` stands in for the server's.

    `raw`: it is taken from strangers too, up to `limit`, and in any coding.
    """

    __slots__ = (
        "_budget",
        "_headers",
        "_is_whole",
        "_limit",
        "_raw",
        "_receive",
        "_since",
        "_who",
        "fault",
        "size",
    )

    def __init__(
        self,
        budget: Budget,
        limit: int,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        *,
        raw: bool = False,
    ) -> None:
        self._budget = budget
        self._limit = limit
        self._headers = headers
        self._receive = receive
        self._raw = raw
        self._who: Asker = ()
        self._since: float | None = None  # when reading began
        self._is_whole = False
        self.fault: AngariumError | None = None  # why it is read no further
        self.size = 0

    async def receive(self) -> Message:
        """Raises BodyTooLarge, TooSlow, Compressed or Overloaded."""
        if self._is_whole:
            return await self._receive()
        if self.fault is not None:
            raise self.fault
        if self._since is None:
            self._since = asyncio.get_running_loop().time()
            self._begin()
        try:
            async with asyncio.timeout_at(self._since + GRACE + self.size / SLOWEST):
                message = await self._receive()
        except TimeoutError:
            self._refuse(TooSlow(f"The body must arrive at {SLOWEST // 1024} KiB a second or faster."))
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._is_whole = not message.get("more_body", False)
        return message

    def end(self) -> None:
        """The request is answered."""
        if self.size:
            self._budget.give(self._who, self.size)

    def _begin(self) -> None:
        self._who = asker()
        if self._raw:
            pass
        elif (coding := self._headers.get(b"content-encoding", b"").strip().lower()) not in (
            b"",
            b"identity",
        ):
            shown = coding[:40].decode("latin-1")
            self._refuse(Compressed(f"The body has the Content-Encoding {shown!r}. Send it without one."))
        elif self._who[0] == STRANGERS:
            self._limit = min(self._limit, STRANGER_LIMIT)
        declared = self._headers.get(b"content-length", b"")
        if declared.isdigit() and len(declared) < 19 and int(declared) > self._limit:
            self._refuse_size()

    def _count(self, size: int) -> None:
        if self.size + size > self._limit:
            self._refuse_size()
        if size:
            try:
                self._budget.take(self._who, size)
            except Overloaded as error:
                self._refuse(error)
            self.size += size

    def _refuse_size(self) -> NoReturn:
        self._refuse(BodyTooLarge(f"The request body is larger than {self._limit} bytes."))

    def _refuse(self, fault: AngariumError) -> NoReturn:
        self.fault = fault
        raise fault
