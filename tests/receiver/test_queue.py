"""Each task queue with its real library and workers: events are queued once, retried, and handled once."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from angarium.receiver import (
    Answer,
    ArqQueue,
    CeleryQueue,
    DramatiqQueue,
    Event,
    HueyQueue,
    Item,
    ProcrastinateQueue,
    Queue,
    Receiver,
    RqQueue,
    TaskiqQueue,
)
from angarium.testing import sign
from tests.kit.patience import PATIENCE, wait_until
from tests.receiver import place
from tests.receiver.memory import Nowhere

BODY = b'{"type":"order.filled","data":{"id":"ord_1"}}'


def signed(message: str = "msg_1") -> dict[str, str]:
    """The headers of the message if it is sent now."""
    return dict(sign(BODY, place.SECRET, id=message))


class Shop:
    """A receiver whose handler fails the first time."""

    def __init__(self, queue: Queue) -> None:
        self.ran: list[Event[Any]] = []
        self.receiver = Receiver("standard", place.SECRET, queue=queue)
        self.receiver.on("order.*")(self.handle)

    def handle(self, event: Event[Any]) -> None:
        self.ran.append(event)
        if len(self.ran) == 1:
            raise RuntimeError("the database is away")

    def post(self, message: str = "msg_1") -> Answer:
        return self.receiver.handle(BODY, signed(message))

    async def apost(self) -> Answer:
        return await self.receiver.ahandle(BODY, signed())

    def check(self) -> None:
        """The handler was called again, with the whole event."""
        assert [event.id for event in self.ran] == ["msg_1", "msg_1"]
        event = self.ran[1]
        assert (event.type, event.raw, event.data) == ("order.filled", BODY, {"id": "ord_1"})


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
def test_celery_retries_a_handler_that_fails() -> None:
    from celery import Celery
    from celery.contrib.testing.worker import start_worker

    app = Celery("shop", broker="memory://", set_as_current=False)
    app.conf.broker_transport_options = {"polling_interval": 0.01}
    shop = Shop(CeleryQueue(app, retry_backoff=False, retry_kwargs={"max_retries": 3, "countdown": 0}))
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        assert [shop.post().status for _ in range(2)] == [202, 200]
        wait_until(lambda: len(shop.ran) == 2)
    shop.check()


RQ_WORKS = Shop(Nowhere())
RQ_RECEIVER = RQ_WORKS.receiver


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_rq_retries_a_handler_that_fails(valkey: str) -> None:
    import redis
    from rq import Queue as RedisQueue
    from rq import Retry, SimpleWorker

    with closing(redis.Redis.from_url(valkey)) as connection:
        connection.flushall()
        jobs = RedisQueue(connection=connection)
        where = "tests.receiver.test_queue:RQ_RECEIVER"
        front = Receiver("standard", place.SECRET, queue=RqQueue(jobs, where, retry=Retry(max=2)))
        RQ_WORKS.ran.clear()
        assert [front.handle(BODY, signed()).status for _ in range(2)] == [202, 200]
        SimpleWorker([jobs], connection=connection).work(burst=True)
    RQ_WORKS.check()


def test_rq_retries_with_growing_delays_by_default(valkey: str) -> None:
    import redis
    from rq import Queue as RedisQueue

    with closing(redis.Redis.from_url(valkey)) as connection:
        connection.flushall()
        jobs = RedisQueue(connection=connection)
        front = Receiver("standard", place.SECRET, queue=RqQueue(jobs, "shop:receiver"))
        assert front.handle(BODY, signed()).status == 202
        assert jobs.jobs[0].retry_intervals == [5, 60, 300, 1800, 7200, 21600]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_arq_retries_a_handler_that_fails(valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from arq import Worker, create_pool
    from arq.connections import RedisSettings

    monkeypatch.setattr("angarium.receiver.backend.queue.SCHEDULE", (0.01,))
    pool = await create_pool(RedisSettings.from_dsn(valkey))
    try:
        await pool.flushall()
        queue = ArqQueue(lambda: pool)
        shop = Shop(queue)
        assert [(await shop.apost()).status for _ in range(2)] == [202, 200]
        worker = Worker([queue.function], redis_pool=pool, burst=True, poll_delay=0.01, handle_signals=False)
        await worker.main()
        shop.check()
        assert shop.post("msg_2").status == 503  # only in an event loop
    finally:
        await pool.aclose()


def test_dramatiq_retries_a_handler_that_fails() -> None:
    from dramatiq import Worker
    from dramatiq.brokers.stub import StubBroker

    broker = StubBroker()
    shop = Shop(DramatiqQueue(broker, min_backoff=1))
    worker = Worker(broker, worker_timeout=50, worker_threads=1)
    worker.start()
    try:
        assert [shop.post().status for _ in range(2)] == [202, 200]
        wait_until(lambda: len(shop.ran) == 2)
        broker.join("default", timeout=60_000)
    finally:
        worker.stop()
        broker.close()
    shop.check()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_taskiq_retries_a_handler_that_fails() -> None:
    from taskiq import InMemoryBroker, SimpleRetryMiddleware

    broker = InMemoryBroker().with_middlewares(SimpleRetryMiddleware())
    shop = Shop(TaskiqQueue(broker))
    await broker.startup()
    try:
        assert [(await shop.apost()).status for _ in range(2)] == [202, 200]
        async with asyncio.timeout(PATIENCE):
            while len(shop.ran) < 2:
                await broker.wait_all()
                await asyncio.sleep(0.01)
            await broker.wait_all()
    finally:
        await broker.shutdown()
    shop.check()
    assert shop.post("msg_2").status == 503  # only in an event loop


def test_huey_retries_a_handler_that_fails(directory: Path) -> None:
    from huey import SqliteHuey

    huey = SqliteHuey("shop", filename=str(directory / "huey.db"))
    shop = Shop(HueyQueue(huey, retry_delay=0))
    consumer = huey.create_consumer(
        workers=1, periodic=False, initial_delay=0.01, max_delay=0.05, scheduler_interval=1
    )
    consumer.start()
    try:
        assert [shop.post().status for _ in range(2)] == [202, 200]
        wait_until(lambda: len(shop.ran) == 2)
    finally:
        consumer.stop(graceful=True)
        huey.storage.close()
    shop.check()


async def test_procrastinate_retries_a_handler_that_fails(empty_database_url: str) -> None:
    from procrastinate import App, PsycopgConnector, RetryStrategy

    app = App(connector=PsycopgConnector(conninfo=empty_database_url))
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        shop = Shop(ProcrastinateQueue(app, retry=RetryStrategy(max_attempts=3, wait=0)))
        assert [(await shop.apost()).status for _ in range(2)] == [202, 200]
        await app.run_worker_async(wait=False, install_signal_handlers=False)
        await app.run_worker_async(wait=False, install_signal_handlers=False)
    shop.check()


class Broken(Nowhere):
    def put(self, item: Item) -> None:
        raise ConnectionError("the broker is down")


def test_an_unavailable_queue_is_503_and_the_next_request_is_queued() -> None:
    taken: list[Item] = []
    queue = Broken()
    receiver = Receiver("standard", place.SECRET, queue=queue)
    answer = receiver.handle(BODY, signed())
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    queue.put = taken.append  # type: ignore[method-assign, assignment]
    assert receiver.handle(BODY, signed()).status == 202
    assert json.loads(json.dumps(taken[0]))["id"] == "msg_1"


def test_an_item_that_a_broker_delivers_twice_is_handled_once() -> None:
    works = Shop(Nowhere())
    works.ran.append(works.receiver.load(ITEM))  # so that it does not fail
    for _ in range(3):
        works.receiver.process(ITEM)
    assert len(works.ran) == 2


ITEM: Item = Receiver("standard", place.SECRET).verify(BODY, signed()).dump()
