"""Runs the worker of a receiver's inbox: `python -m angarium.receiver module:receiver`."""

from __future__ import annotations

import argparse
import logging
import signal
import threading

from angarium.receiver.worker import POLL, Worker, located


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m angarium.receiver", description="Run the handlers for the events in an inbox."
    )
    parser.add_argument("receiver", help="the Receiver, as module:name")
    parser.add_argument(
        "--poll",
        type=float,
        default=POLL,
        help="seconds between two looks at the inbox (default: %(default)s)",
    )
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    Worker(located(given.receiver), poll=given.poll).run(stop)


if __name__ == "__main__":
    main()
