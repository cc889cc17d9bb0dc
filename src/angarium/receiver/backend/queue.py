"""Queues for Celery, Dramatiq, Huey, Procrastinate, RQ, arq and Taskiq.

    receiver = Receiver("standard", SECRET, queue=CeleryQueue(app))

The workers import the module that creates the Receiver. A handler that fails is retried by the task queue:
`options` are passed on to it, and override the defaults named below. The libraries are imported when a queue
is bound, so this module needs none of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from angarium.receiver.backend import Item, Queue
from angarium.receiver.worker import SCHEDULE, located

if TYPE_CHECKING:
    from angarium.receiver.receiver import Receiver

RETRIES: Final = 6
"""How often a handler is retried by default."""


def _task(receiver: Receiver) -> Callable[[Item], None]:
    # the libraries need a function: they do not accept a bound method
    def receive(item: Item) -> None:
        receiver.process(item)

    return receive


def _async_task(receiver: Receiver) -> Callable[[Item], Awaitable[None]]:
    async def receive(item: Item) -> None:
        await receiver.aprocess(item)

    return receive


class _TaskQueue(Queue):
    """A queue whose library registers tasks. `options` override the defaults."""

    DEFAULTS: ClassVar[dict[str, Any]] = {}

    def __init__(self, app: Any, **options: Any) -> None:
        self._app = app
        self._options = {**self.DEFAULTS, **options}


class CeleryQueue(_TaskQueue):
    """Retries after 1, 2, 4, … up to 600 seconds. `options` are those of `app.task`.

    The task acknowledges late, so an item returns to the queue if its worker dies.
    """

    DEFAULTS: ClassVar = {
        "autoretry_for": (Exception,),
        "retry_backoff": True,
        "retry_kwargs": {"max_retries": RETRIES},
        "acks_late": True,
        "reject_on_worker_lost": True,
        "ignore_result": True,
    }

    def bind(self, receiver: Receiver) -> None:
        self._task = self._app.task(_task(receiver), name=self.name(receiver), **self._options)

    def put(self, item: Item) -> None:
        self._task.delay(item)


class DramatiqQueue(_TaskQueue):
    """Retries are made by the broker's Retries middleware, which brokers have by default. `options` are those
    of `dramatiq.actor`."""

    DEFAULTS: ClassVar = {"max_retries": RETRIES}

    def bind(self, receiver: Receiver) -> None:
        import dramatiq

        make: Any = dramatiq.actor(actor_name=self.name(receiver), broker=self._app, **self._options)
        self._actor = make(_task(receiver))

    def put(self, item: Item) -> None:
        self._actor.send(item)


class HueyQueue(_TaskQueue):
    """Retries every minute. `options` are those of `huey.task`.

    Huey removes a task from its storage before it runs it, so the task of a consumer that is killed is lost.
    """

    DEFAULTS: ClassVar = {"retries": RETRIES, "retry_delay": 60}

    def bind(self, receiver: Receiver) -> None:
        self._task = self._app.task(name=self.name(receiver), **self._options)(_task(receiver))

    def put(self, item: Item) -> None:
        self._task(item)


class ProcrastinateQueue(_TaskQueue):
    """Retries after 5, 25, 125, … seconds. `options` are those of `app.task`.

    `put` needs a connector that works without an event loop; `aput`, one that works with it.
    """

    def bind(self, receiver: Receiver) -> None:
        from procrastinate import RetryStrategy

        retry = RetryStrategy(max_attempts=RETRIES, exponential_wait=5)
        options: dict[str, Any] = {"retry": retry, **self._options}
        self._task = self._app.task(_async_task(receiver), name=self.name(receiver), **options)

    def put(self, item: Item) -> None:
        self._task.defer(item=item)

    async def aput(self, item: Item) -> None:
        await self._task.defer_async(item=item)


class RqQueue(Queue):
    """Retries after 5, 60, 300, … seconds, which needs `rq worker --with-scheduler`. `options` are those of
    `Queue.enqueue`.

    RQ's jobs are importable functions, so this queue needs the place of the Receiver, as `module:name`.
    """

    def __init__(self, queue: Any, place: str, **options: Any) -> None:
        from rq import Retry

        self._queue = queue
        self._place = place
        retry = Retry(max=len(SCHEDULE), interval=[int(one) for one in SCHEDULE])
        self._options = {"retry": retry, **options}

    def bind(self, receiver: Receiver) -> None:
        """Nothing to do: workers import the Receiver by its place."""

    def put(self, item: Item) -> None:
        self._queue.enqueue(process_located, self._place, item, **self._options)


def process_located(place: str, item: Item) -> None:
    """RQ's job."""
    located(place).process(item)


class _LoopQueue(_TaskQueue):
    """A queue whose library works in event loops only."""

    def put(self, item: Item) -> None:
        raise RuntimeError(f"{type(self).__name__} needs an event loop: await `ahandle` instead of `handle`")


class ArqQueue(_LoopQueue):
    """Retries after 5, 60, 300, … seconds, up to `tries` attempts. `options` are those of `enqueue_job`.

    Add `queue.function` to the `functions` of the worker's settings. `pool` may be a function that returns
    the pool, for a pool that is created when the application starts.
    """

    function: Any

    def __init__(self, pool: Any, *, tries: int = RETRIES + 1, **options: Any) -> None:
        super().__init__(pool, **options)
        self._tries = tries

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

    async def aput(self, item: Item) -> None:
        pool = self._app() if callable(self._app) else self._app
        if await pool.enqueue_job(self._name, item, **self._options) is None:
            raise RuntimeError("arq did not accept the job")


class TaskiqQueue(_LoopQueue):
    """Retries if the broker has `SimpleRetryMiddleware` or `SmartRetryMiddleware`. `options` are labels
    of the task."""

    DEFAULTS: ClassVar = {"retry_on_error": True, "max_retries": RETRIES}

    def bind(self, receiver: Receiver) -> None:
        name = self.name(receiver)
        self._task = self._app.register_task(_async_task(receiver), task_name=name, **self._options)

    async def aput(self, item: Item) -> None:
        await self._task.kiq(item)
