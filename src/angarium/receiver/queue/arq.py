"""arq. `Receiver(…, queue=ArqQueue(pool))`, and `functions = [queue.function]` in the worker's settings.

`pool` may be a function that returns the pool, for one that is made when the application starts. Event loops
only: the request comes in by `ahandle`. A handler that fails is tried again after 5, 60, 300 … seconds, up to
the function's `max_tries`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from angarium.receiver.inbox import Item
from angarium.receiver.queue.base import RETRIES, Queue
from angarium.receiver.worker import SCHEDULE

if TYPE_CHECKING:
    from angarium.receiver.receiver import Receiver


class ArqQueue(Queue):
    """`options` go to `enqueue_job`."""

    function: Any
    """For the worker's `functions`."""

    def __init__(self, pool: Any, *, tries: int = RETRIES + 1, **options: Any) -> None:
        self._pool = pool
        self._tries = tries
        self._options = options
        self._name = ""

    def bind(self, receiver: Receiver) -> None:
        from arq import Retry, func

        async def receive(ctx: dict[str, Any], item: Item) -> None:
            try:
                await receiver.aprocess(item)
            except Exception as error:
                attempt = int(ctx["job_try"])
                if attempt >= self._tries:
                    raise
                raise Retry(SCHEDULE[min(attempt, len(SCHEDULE)) - 1]) from error

        self._name = self.name(receiver)
        self.function = func(receive, name=self._name, max_tries=self._tries)

    def put(self, item: Item) -> None:
        raise RuntimeError("arq is for event loops: await `ahandle` instead of calling `handle`")

    async def aput(self, item: Item) -> None:
        pool = self._pool() if callable(self._pool) else self._pool
        if await pool.enqueue_job(self._name, item, **self._options) is None:
            raise RuntimeError("arq did not take the job")
